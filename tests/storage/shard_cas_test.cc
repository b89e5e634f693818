// An item's CAS and expiry are kept as distances from its segment's: exact all the same, wherever the item is moved to
// and however many changes come between.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

/// As if so many changes had come and gone.
void let_pass(TestShard& shard, std::uint64_t changes) {
  reinterpret_cast<ShardHeader*>(shard.memory().data())->next_cas += changes;
}

TEST_CASE("CAS, flags and expiry of what is moved stay what they were, however much changes in between",
          "[storage][cas]") {
  constexpr std::uint64_t kSeed = 31;
  INFO("seed " << kSeed);
  std::mt19937_64 random(kSeed);
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  struct Told {
    std::uint64_t cas;
    std::uint32_t flags;
    UnixSeconds expires_at;
  };
  std::map<std::string, Told> hot;
  constexpr std::uint64_t kPasses[] = {1, 1 << 10, 1 << 17, 1 << 25, std::uint64_t{1} << 33};
  constexpr UnixSeconds kLives[] = {0, 1000, 100'000, 10'000'000, 2'000'000'000};
  for (int i = 0; i < 200; ++i) {
    const std::string key = "hot" + std::to_string(i);
    const UnixSeconds life = kLives[random() % std::size(kLives)];
    const auto flags = static_cast<std::uint32_t>(random() >> (32 + random() % 32));
    const UnixSeconds expires_at = life == 0 ? kNever : kStart + life;
    REQUIRE(shard.put(key, std::string(random() % 200, 'v'), kStart, expires_at, flags) == StoreStatus::kStored);
    hot[key] = {shard.cas, flags, expires_at};
    let_pass(shard, kPasses[random() % std::size(kPasses)]);
  }
  std::uint64_t found = 0;
  for (int i = 0; i < 60'000; ++i) {
    REQUIRE(shard.put("cold" + std::to_string(i), std::string(40 + random() % 100, 'c'), kStart,
                      i % 3 == 0 ? kNever : kStart + 50'000 + static_cast<UnixSeconds>(random() % 100'000)) ==
            StoreStatus::kStored);
    if (i % 1000 == 0) {
      let_pass(shard, kPasses[random() % std::size(kPasses)]);
      REQUIRE(shard.audit() == "");
    }
    if (i % 8 != 0) continue;
    const auto& [key, told] = *std::next(hot.begin(), static_cast<std::ptrdiff_t>(random() % hot.size()));
    if (!shard.get(key)) continue;
    ++found;
    REQUIRE(shard.view.cas == told.cas);
    REQUIRE(shard.view.flags == told.flags);
    REQUIRE(shard.view.expires_at == told.expires_at);
  }
  REQUIRE(found > 5000);
  REQUIRE(shard->stats().moved_bytes > 2u << 20);
  // And it is still what a client needs to change it.
  for (const auto& [key, told] : hot) {
    if (!shard.get(key)) continue;
    REQUIRE(shard.erase(key, kStart, told.cas + 1) == StoreStatus::kExists);
    REQUIRE(shard.erase(key, kStart, told.cas) == StoreStatus::kStored);
  }
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a reservation committed any number of changes later has the CAS of its commit", "[storage][cas]") {
  for (const std::uint64_t changes : {std::uint64_t{0}, std::uint64_t{1} << 20, std::uint64_t{1} << 40}) {
    TestShard shard;
    REQUIRE(shard.put("before", "v") == StoreStatus::kStored);
    SetRequest request;
    request.key = as_bytes("late");
    request.value_bytes = 5;
    Reservation room;
    REQUIRE(shard->reserve(shard->hash(request.key), request, kStart, room) == StoreStatus::kStored);
    let_pass(shard, changes);
    std::copy_n(as_bytes("value").data(), 5, room.value.data());
    std::uint64_t cas = 0;
    REQUIRE(shard->commit(room, kStart, cas) == StoreStatus::kStored);
    REQUIRE(cas > shard.cas + changes);
    REQUIRE(shard.get("late") == "value");
    REQUIRE(shard.view.cas == cas);
    REQUIRE(shard.audit() == "");
  }
}

TEST_CASE("an item touched long after it was stored keeps its CAS, and takes any second", "[storage][cas]") {
  TestShard shard;
  REQUIRE(shard.put("k", "value", kStart, kStart + 10, 9) == StoreStatus::kStored);
  const std::uint64_t cas = shard.cas;
  for (const UnixSeconds expires_at :
       {kStart + 20, kStart + 40'000, kNever, kStart + 20'000'000, 0xffffffffu, kStart + 1}) {
    INFO("until " << expires_at);
    let_pass(shard, std::uint64_t{1} << 30);
    ItemView view;
    REQUIRE(shard->touch(shard->hash(as_bytes("k")), as_bytes("k"), expires_at, kStart, view) == StoreStatus::kStored);
    REQUIRE(view.cas == cas);
    REQUIRE(shard.get("k") == "value");
    REQUIRE(shard.view.cas == cas);
    REQUIRE(shard.view.flags == 9);
    REQUIRE(shard.view.expires_at == expires_at);
  }
  REQUIRE(shard.get("k", kStart + 1) == std::nullopt);
  REQUIRE(shard.audit(kStart + 1) == "");
}

}  // namespace
}  // namespace gannet::storage
