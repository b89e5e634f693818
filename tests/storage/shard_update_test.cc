#include <catch2/catch.hpp>
#include <string>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

struct Counter {
  TestShard shard;
  std::uint64_t number = 0, cas = 0;
  StoreStatus change(std::uint64_t delta, bool decrement, std::uint64_t with_cas = 0, bool create = false) {
    ArithmeticRequest request;
    request.key = as_bytes("n");
    request.delta = delta;
    request.decrement = decrement;
    request.cas = with_cas;
    request.create = create;
    request.initial = 42;
    request.expires_at = kStart + 9;
    return shard->arithmetic(shard->hash(request.key), request, kStart, number, cas);
  }
};

TEST_CASE("a counter counts as memcached's does: wraps up, stops at 0 down, pads with blanks, keeps flags and expiry",
          "[storage][arithmetic]") {
  Counter counter;
  struct {
    const char* before;
    std::uint64_t delta;
    bool decrement;
    const char* after;
  } const rows[] = {
      {"10", 5, false, "15"},       {"1000", 1, true, "999 "},
      {"999 ", 1, true, "998 "},    {"5", 6, true, "0"},
      {"007", 1, false, "8  "},     {"18446744073709551615", 1, false, "0                   "},
      {"9", 1, false, "10"},        {"18446744073709551614", 1, false, "18446744073709551615"},
      {"12   ", 1, false, "13   "}, {"0", 0, true, "0"},
  };
  for (const auto& row : rows) {
    INFO(row.before << (row.decrement ? " - " : " + ") << row.delta);
    REQUIRE(counter.shard.put("n", row.before, kStart, kStart + 77, 3) == StoreStatus::kStored);
    REQUIRE(counter.change(row.delta, row.decrement) == StoreStatus::kStored);
    REQUIRE(counter.shard.get("n") == row.after);
    CHECK(counter.number == std::stoull(row.after));
    CHECK(counter.shard.view.flags == 3);
    CHECK(counter.shard.view.expires_at == kStart + 77);
    CHECK(counter.shard.view.cas == counter.cas);
  }
  for (const char* const bad :
       {"", " 1", "-1", "+1", "1 2", "0x1", "1.5", "18446744073709551616", "1\n", "   ", "12a"}) {
    INFO("'" << bad << "'");
    REQUIRE(counter.shard.put("n", bad) == StoreStatus::kStored);
    REQUIRE(counter.change(1, false) == StoreStatus::kNotNumeric);
    REQUIRE(counter.shard.get("n") == bad);
  }
  REQUIRE(counter.shard.audit() == "");
}

TEST_CASE("an absent counter is created with its initial value, or not found, as asked", "[storage][arithmetic]") {
  Counter counter;
  REQUIRE(counter.change(1, false) == StoreStatus::kNotFound);
  REQUIRE(counter.change(1, false, 0, true) == StoreStatus::kStored);
  REQUIRE(counter.number == 42);
  REQUIRE(counter.shard.get("n") == "42");
  REQUIRE(counter.shard.view.expires_at == kStart + 9);
  REQUIRE(counter.change(1, false, counter.cas + 1) == StoreStatus::kExists);
  REQUIRE(counter.change(1, false, counter.cas) == StoreStatus::kStored);
  REQUIRE(counter.number == 43);
}

TEST_CASE("concat joins in front or behind, keeps flags and expiry, gives a new CAS", "[storage][concat]") {
  TestShard shard;
  const auto join = [&](std::string_view piece, bool front, std::uint64_t cas = 0) {
    return shard->concat(shard->hash(as_bytes("k")), as_bytes("k"), as_bytes(piece), front, cas, kStart, shard.cas);
  };
  REQUIRE(join("x", false) == StoreStatus::kNotFound);
  REQUIRE(shard.put("k", "b", kStart, kStart + 5, 9) == StoreStatus::kStored);
  const std::uint64_t cas = shard.cas;
  REQUIRE(join("c", false) == StoreStatus::kStored);
  REQUIRE(join("a", true, cas) == StoreStatus::kExists);
  REQUIRE(join("a", true) == StoreStatus::kStored);
  REQUIRE(join("", true) == StoreStatus::kStored);
  REQUIRE(shard.get("k") == "abc");
  CHECK(shard.view.flags == 9);
  CHECK(shard.view.expires_at == kStart + 5);
  CHECK(shard.view.cas == shard.cas);
  REQUIRE(join(std::string(shard->item_bytes_max(), 'x'), false) == StoreStatus::kNotStored);
  REQUIRE(shard.get("k") == "abc");
  REQUIRE(shard.audit() == "");
}

TEST_CASE("touch changes the expiry both ways, keeps value, flags and CAS, and a past one ends the item",
          "[storage][touch]") {
  TestShard shard;
  const auto touch = [&](UnixSeconds expires_at, UnixSeconds now = kStart) {
    return shard->touch(shard->hash(as_bytes("k")), as_bytes("k"), expires_at, now, shard.view);
  };
  REQUIRE(touch(kStart + 5) == StoreStatus::kNotFound);
  REQUIRE(shard.put("k", "value", kStart, kStart + 10, 7) == StoreStatus::kStored);
  const std::uint64_t cas = shard.cas;
  for (const UnixSeconds expires_at : {kStart + 100, kStart + 100, kNever, kStart + 3}) {
    REQUIRE(touch(expires_at) == StoreStatus::kStored);
    CHECK(as_text(shard.view.value) == "value");
    CHECK(shard.view.expires_at == expires_at);
    REQUIRE(shard.get("k") == "value");
    CHECK(shard.view.expires_at == expires_at);
    CHECK(shard.view.flags == 7);
    CHECK(shard.view.cas == cas);
  }
  REQUIRE(shard.get("k", kStart + 2) == "value");
  REQUIRE(touch(kStart + 2, kStart + 2) == StoreStatus::kStored);
  REQUIRE(as_text(shard.view.value) == "value");
  REQUIRE(shard.get("k", kStart + 2) == std::nullopt);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("with memory full an update answers for the item, or that it is gone, and never mixes bytes",
          "[storage][eviction]") {
  TestShard shard(8192 + 5 * (8192 + 112), {.segment_bytes = 8192});
  for (int i = 0; i < 30'000; ++i) {
    const std::string key = "k" + std::to_string(i % 97);
    const Probe probe = shard->hash(as_bytes(key));
    const std::string letter(1, static_cast<char>('a' + i % 97 % 26));
    const auto got = shard.get(key);
    if (got) REQUIRE(got->find_first_not_of(letter) == std::string::npos);
    if (!got || got->size() > 1500) {
      REQUIRE(shard.put(key, letter) == StoreStatus::kStored);
    } else if (i % 3 == 0) {
      const StoreStatus status = shard->touch(probe, as_bytes(key), kStart + 1 + i, kStart, shard.view);
      REQUIRE((status == StoreStatus::kStored || status == StoreStatus::kNotFound));
      if (status == StoreStatus::kStored) REQUIRE(as_text(shard.view.value) == *got);
    } else {
      const std::string piece(1 + i % 300, letter[0]);
      const StoreStatus status = shard->concat(probe, as_bytes(key), as_bytes(piece), i % 2 == 0, 0, kStart, shard.cas);
      REQUIRE((status == StoreStatus::kStored || status == StoreStatus::kNotFound));
      if (status == StoreStatus::kStored) REQUIRE(shard.get(key)->size() == got->size() + piece.size());
    }
    if (i % 3000 == 0) REQUIRE(shard.audit() == "");
  }
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a counter that is created where it is missing always counts, though making room for it evicts it",
          "[storage][arithmetic][eviction]") {
  // Few segments, filled in between: now and then the counter lies in what has to go for its successor.
  TestShard shard(8192 + 6 * (8192 + 112), {.segment_bytes = 8192, .eviction = Eviction::kFifo});
  std::uint64_t number = 0, last = 0, lost_meanwhile = 0;
  ArithmeticRequest request;
  request.key = as_bytes("n");
  request.delta = 1;
  request.create = true;
  std::uint32_t random = 1;
  for (int i = 0; i < 5000; ++i) {
    for (int more = 4 + i % 16; more > 0; --more) {
      random = random * 1664525 + 1013904223;
      const std::string key = "k" + std::to_string(random % 1000);
      REQUIRE(shard.put(key, std::string(random >> 20, 'f')) == StoreStatus::kStored);
    }
    const bool there = shard.get("n").has_value();
    INFO("round " << i);
    REQUIRE(shard->arithmetic(shard->hash(request.key), request, kStart, number, shard.cas) == StoreStatus::kStored);
    REQUIRE((number == 0 || (there && number == last + 1)));
    lost_meanwhile += there && number == 0;
    last = number;
  }
  CHECK(lost_meanwhile > 0);
  REQUIRE(shard.audit() == "");
}

}  // namespace
}  // namespace gannet::storage
