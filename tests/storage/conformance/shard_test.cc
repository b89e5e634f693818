/// The segment store under the conformance suite: roomy memory (exact), full memory, tiny arenas, huge values, pins and
/// late commits.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "storage/shard.h"
#include "tests/storage/conformance/conformance.h"

namespace {

using namespace gannet::testing;
using gannet::storage::Eviction;
using gannet::storage::Shard;
using gannet::storage::ShardOptions;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint32_t kStepsPerRun = 30'000;
#else
constexpr std::uint32_t kStepsPerRun = 60'000;
#endif

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB;

/// A shard on plain memory, dirty before it is formatted, so that nothing may count on zeros.
class TestShard {
 public:
  explicit TestShard(std::uint64_t bytes, ShardOptions options = {}) : memory_(bytes / sizeof(Line)) {
    std::fill_n(reinterpret_cast<unsigned char*>(memory_.data()), bytes, 0xdb);
    options.now = 1'795'000'000;
    options.hash_key = {0x0123456789abcdef, 0xfedcba9876543210};
    std::string why;
    shard_ = Shard::format({reinterpret_cast<std::byte*>(memory_.data()), bytes}, options, why);
    INFO(why);
    REQUIRE(shard_ != nullptr);
  }
  Shard& operator*() { return *shard_; }
  Shard* operator->() { return shard_.get(); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory_;
  std::unique_ptr<Shard> shard_;
};

TEST_CASE("roomy memory: every answer is exact, misses too", "[storage][conformance][shard]") {
  constexpr std::uint64_t kMemory = 96 * kMiB;
  for (std::uint64_t seed = 100; seed < 104; ++seed) {
    ShardOptions options;
    options.item_bytes_max = 32 * kKiB;
    TestShard shard(kMemory, options);
    Workload workload;
    workload.keys = seed % 2 == 0 ? 3000 : 200;
    workload.clock_runs_back = seed % 2 == 1;
    const RunResult result =
        run_conformance(*shard, workload, {.seed = seed, .steps = kStepsPerRun, .bytes_written_max = kMemory / 2});
    REQUIRE(result.failure == "");
    REQUIRE(result.hits > 1000);
    REQUIRE(result.forgotten == 0);
    REQUIRE(shard->stats().evicted_items == 0);
  }
}

TEST_CASE("full memory: a set never fails, a hit is right, what was missed stays away",
          "[storage][conformance][shard]") {
  for (std::uint64_t seed = 200; seed < 206; ++seed) {
    ShardOptions options;
    options.eviction = seed % 2 == 0 ? Eviction::kMerge : Eviction::kFifo;
    TestShard shard(kMiB * 3 / 4, options);
    Workload workload;
    workload.keys = 60'000;
    workload.set_weight = 60;
    workload.value_bytes_max = 4000;
    workload.clock_per_1000 = 10;
    workload.too_large_per_1000 = 1;
    workload.flush_per_10000 = 0;
    if (seed % 3 == 1) workload.ttl_per_1000 = 1000;
    if (seed % 3 == 2) workload.ttl_per_1000 = 0;
    const RunResult result =
        run_conformance(*shard, workload, {.seed = seed, .steps = kStepsPerRun, .may_forget = true});
    REQUIRE(result.failure == "");
    REQUIRE(result.no_memory == 0);
    INFO("seed " << seed);
    const std::uint64_t least = workload.ttl_per_1000 == 1000 ? 20 : 100;  // Expiry frees most of it then.
    REQUIRE(shard->stats().evicted_items > least);
  }
}

TEST_CASE("full memory with replies pinned and values on their way in", "[storage][conformance][shard]") {
  for (std::uint64_t seed = 300; seed < 306; ++seed) {
    ShardOptions options;
    options.eviction = seed % 2 == 0 ? Eviction::kMerge : Eviction::kFifo;
    TestShard shard(1 * kMiB, options);
    Workload workload;
    workload.keys = 20'000;
    workload.set_weight = 60;
    workload.value_bytes_max = 2000;
    workload.pins = true;
    workload.reservations = true;
    workload.flush_per_10000 = seed % 3;
    const RunResult result =
        run_conformance(*shard, workload, {.seed = seed, .steps = kStepsPerRun, .may_forget = true});
    REQUIRE(result.failure == "");
    REQUIRE(result.pins_checked > 100);
    REQUIRE(result.late_commits > 100);
  }
}

/// The smallest region, in steps of a segment, that format() accepts.
std::uint64_t smallest_region(const ShardOptions& options) {
  for (std::uint64_t bytes = options.segment_bytes;; bytes += options.segment_bytes) {
    std::vector<std::uint64_t> memory(bytes / 8 + 8);
    auto* at = reinterpret_cast<std::byte*>(memory.data());
    at += (64 - reinterpret_cast<std::uintptr_t>(at) % 64) % 64;
    std::string why;
    if (Shard::format({at, bytes}, options, why) != nullptr) return bytes;
    REQUIRE_FALSE(why.empty());
    REQUIRE(bytes < 64 * kMiB);
  }
}

TEST_CASE("tiny arenas: a handful of segments evict and never refuse", "[storage][conformance][shard]") {
  ShardOptions options;
  options.segment_bytes = 64 * kKiB;
  options.now = 1'795'000'000;
  const std::uint64_t least = smallest_region(options);
  for (std::uint64_t more = 0; more < 6; ++more) {
    options.eviction = more % 2 == 0 ? Eviction::kMerge : Eviction::kFifo;
    TestShard shard(least + more * options.segment_bytes, options);
    Workload workload;
    workload.keys = 2000;
    workload.set_weight = 60;
    workload.value_bytes_max = 4000;
    workload.too_large_per_1000 = 1;
    workload.ttl_per_1000 = static_cast<std::uint32_t>(more % 3 * 500);
    const RunResult result = run_conformance(
        *shard, workload, {.seed = 400 + more, .steps = kStepsPerRun / 2, .may_forget = true, .audit_every = 500});
    INFO("segments of 64 KiB: " << shard->geometry().segments);
    REQUIRE(result.failure == "");
    REQUIRE(result.no_memory == 0);
  }
}

TEST_CASE("values of one byte by the thousand", "[storage][conformance][shard]") {
  for (std::uint64_t seed = 500; seed < 502; ++seed) {
    TestShard shard(2 * kMiB);
    Workload workload;
    workload.keys = 100'000;
    workload.value_bytes_max = 1;
    workload.too_large_per_1000 = 0;
    workload.set_weight = 70;
    workload.flush_per_10000 = 0;
    workload.ttl_per_1000 = seed % 2 == 0 ? 0 : 500;
    const RunResult result =
        run_conformance(*shard, workload, {.seed = seed, .steps = kStepsPerRun, .may_forget = true});
    REQUIRE(result.failure == "");
    REQUIRE(result.no_memory == 0);
  }
}

TEST_CASE("values as large as an item may be", "[storage][conformance][shard]") {
  for (std::uint64_t seed = 600; seed < 602; ++seed) {
    TestShard shard(24 * kMiB);
    Workload workload;
    workload.keys = 60;
    workload.value_bytes_max = shard->item_bytes_max();
    workload.too_large_per_1000 = 20;
    workload.set_weight = 50;
    workload.pins = seed % 2 == 1;
    workload.reservations = seed % 2 == 1;
    const RunResult result = run_conformance(
        *shard, workload, {.seed = seed, .steps = kStepsPerRun / 12, .may_forget = true, .audit_every = 250});
    REQUIRE(result.failure == "");
    if (seed % 2 == 0) REQUIRE(result.no_memory == 0);
  }
}

TEST_CASE("short lives only: memory full of items that are about to go takes new ones",
          "[storage][conformance][shard]") {
  TestShard shard(2 * kMiB);
  Workload workload;
  workload.keys = 50'000;
  workload.value_bytes_max = 500;
  workload.ttl_per_1000 = 1000;
  workload.ttl_max = 10;
  workload.set_weight = 80;
  workload.clock_per_1000 = 1;
  workload.flush_per_10000 = 0;
  const RunResult result = run_conformance(*shard, workload, {.seed = 700, .steps = kStepsPerRun, .may_forget = true});
  REQUIRE(result.failure == "");
  REQUIRE(result.no_memory == 0);
}

}  // namespace
