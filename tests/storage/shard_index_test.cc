#include <catch2/catch.hpp>
#include <string>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

TEST_CASE("the index grows from nothing to its items and back, item by item, and loses none on the way",
          "[storage][index]") {
  TestShard shard(24 << 20, {.segment_bytes = 64 * 1024});
  constexpr int kItems = 250'000;
  const std::uint64_t smallest = shard->stats().segments_index;
  for (int i = 0; i < kItems; ++i) {
    if (shard.put("k" + std::to_string(i), "v") != StoreStatus::kStored) FAIL("refused k" << i);
    if (i % 100'000 == 0) REQUIRE(shard.audit() == "");
  }
  REQUIRE(shard->stats().items == kItems);
  REQUIRE(shard.audit() == "");
  const std::uint64_t largest = shard->stats().segments_index;
  // Five bytes a slot, nine of twelve slots used, overflow on top.
  CHECK(shard->stats().index_bytes < kItems * 9);
  for (int i = 0; i < kItems; ++i) {
    if (!shard.get("k" + std::to_string(i))) FAIL("lost k" << i);
  }
  for (int i = 0; i < kItems - 100; ++i) {
    if (shard.erase("k" + std::to_string(i)) != StoreStatus::kStored) FAIL("not found: k" << i);
    if (i % 4 == 0) shard->tick(kStart, 4096);
    if (i % 100'000 == 0) REQUIRE(shard.audit() == "");
  }
  for (int i = 0; i < 20'000; ++i) shard->tick(kStart, 4096);
  REQUIRE(shard.audit() == "");
  INFO("index segments: " << smallest << ", then " << largest << ", at last " << shard->stats().segments_index);
  CHECK(shard->stats().segments_index * 3 < largest);
  for (int i = kItems - 100; i < kItems; ++i) REQUIRE(shard.get("k" + std::to_string(i)) == "v");
}

TEST_CASE("overflow buckets are given back with the segments they lay in", "[storage][index]") {
  // Segments of 4 KiB: a page holds seven overflow buckets, and at nine items a bucket hundreds of pages are taken.
  TestShard shard(24 << 20, {.segment_bytes = 4096});
  constexpr int kItems = 250'000;
  const auto segments = [&] { return shard->stats().segments_index; };
  std::uint64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kItems; ++i) {
      if (shard.put("k" + std::to_string(i), "v") != StoreStatus::kStored) FAIL("refused k" << i);
    }
    const std::uint64_t largest = segments();
    if (round > 0) CHECK(largest <= before + before / 50);  // Nothing is lost from one round to the next.
    before = largest;
    for (int i = 0; i < kItems; ++i) {
      if (shard.erase("k" + std::to_string(i)) != StoreStatus::kStored) FAIL("not found: k" << i);
      if (i % 4 == 0) shard->tick(kStart, 4096);
    }
    for (int i = 0; i < 20'000; ++i) shard->tick(kStart, 4096);
    REQUIRE(shard.audit() == "");
    // One segment of buckets, and the few overflow pages held ready, which may each lie in another segment.
    INFO("round " << round << ": " << largest << " index segments, then " << segments());
    CHECK(segments() <= 8);
  }
}

TEST_CASE("with memory full of the smallest items the index takes its share and no SET fails", "[storage][index]") {
  TestShard shard(4 << 20, {.segment_bytes = 16 * 1024});
  for (int i = 0; i < 400'000; ++i) {
    if (shard.put(std::to_string(i), "") != StoreStatus::kStored) FAIL("refused " << i);
  }
  REQUIRE(shard.audit() == "");
  const Stats stats = shard->stats();
  INFO(stats.items << " items, index " << stats.segments_index << " of " << stats.segments_total);
  CHECK(stats.items > 80'000);
  CHECK(stats.segments_index * 2 < stats.segments_total);
}

TEST_CASE("the index gives its memory back when small items are replaced by large ones", "[storage][index]") {
  TestShard shard(4 << 20, {.segment_bytes = 16 * 1024, .eviction = Eviction::kMerge});
  for (int i = 0; i < 200'000; ++i) {
    if (shard.put(std::to_string(i), "") != StoreStatus::kStored) FAIL("refused " << i);
  }
  const std::uint64_t before = shard->stats().segments_index;
  for (int i = 0; i < 20'000; ++i) {
    REQUIRE(shard.put("large" + std::to_string(i), std::string(2000, 'x')) == StoreStatus::kStored);
    shard->tick(kStart, 4096);
  }
  REQUIRE(shard.audit() == "");
  CHECK(shard->stats().segments_index * 4 < before);
}

}  // namespace
}  // namespace gannet::storage
