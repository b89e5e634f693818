/// The suite tried on itself: a right store passes it, and each planted fault is found.
#include <catch2/catch.hpp>

#include "tests/storage/conformance/conformance.h"
#include "tests/storage/conformance/reference_store.h"

namespace {

using namespace gannet::testing;

constexpr std::uint32_t kItemBytesMax = 4096;

Workload everything() {
  Workload workload;
  workload.keys = 300;
  workload.pins = true;
  workload.reservations = true;
  workload.flush_per_10000 = 20;
  return workload;
}

TEST_CASE("the plainest right store passes the suite", "[storage][conformance]") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    ReferenceStore store(SIZE_MAX, kItemBytesMax);
    const RunResult result = run_conformance(store, everything(), {.seed = seed, .steps = 10'000});
    REQUIRE(result.failure == "");
    // The run was worth its name.
    REQUIRE(result.hits > 500);
    REQUIRE(result.misses > 300);
    REQUIRE(result.forgotten == 0);
    REQUIRE(result.pins_checked > 100);
    REQUIRE(result.late_commits > 100);
  }
}

TEST_CASE("a store that evicts passes where forgetting is allowed, and nowhere else", "[storage][conformance]") {
  ReferenceStore small(40, kItemBytesMax);
  const RunResult allowed = run_conformance(small, everything(), {.seed = 5, .steps = 10'000, .may_forget = true});
  REQUIRE(allowed.failure == "");
  REQUIRE(allowed.forgotten > 100);
  ReferenceStore again(40, kItemBytesMax);
  REQUIRE(run_conformance(again, everything(), {.seed = 5, .steps = 10'000}).failure != "");
}

TEST_CASE("every planted fault is found", "[storage][conformance]") {
  for (auto fault = static_cast<std::uint8_t>(Fault::kNone) + 1; fault < static_cast<std::uint8_t>(Fault::kCount);
       ++fault) {
    INFO("fault number " << fault);
    ReferenceStore broken(SIZE_MAX, kItemBytesMax, static_cast<Fault>(fault));
    const RunResult result = run_conformance(broken, everything(), {.seed = 6, .steps = 40'000});
    CHECK(result.failure != "");
  }
}

TEST_CASE("in full memory, too, every planted fault but forgetting is found", "[storage][conformance]") {
  for (auto fault = static_cast<std::uint8_t>(Fault::kNone) + 1; fault < static_cast<std::uint8_t>(Fault::kCount);
       ++fault) {
    // To drop early and to flush later stores are forms of forgetting.
    const auto which = static_cast<Fault>(fault);
    if (which == Fault::kForgetsOneInAThousand || which == Fault::kDropsASecondEarly ||
        which == Fault::kFlushForgetsDelay)
      continue;
    INFO("fault number " << fault);
    ReferenceStore broken(150, kItemBytesMax, which);
    const RunResult result = run_conformance(broken, everything(), {.seed = 7, .steps = 40'000, .may_forget = true});
    CHECK(result.failure != "");
  }
}

TEST_CASE("a counter is digits and trailing blanks, at most 2^64 - 1", "[storage][conformance]") {
  REQUIRE(counter_value("0") == 0);
  REQUIRE(counter_value("007") == 7);
  REQUIRE(counter_value("12   ") == 12);
  REQUIRE(counter_value("18446744073709551615") == UINT64_MAX);
  for (const char* text :
       {"", " ", "18446744073709551616", "99999999999999999999", "1 2", "-1", "+1", " 1", "0x1", "1.0", "1\n"}) {
    INFO("text \"" << text << '"');
    REQUIRE(counter_value(text) == std::nullopt);
  }
}

}  // namespace
