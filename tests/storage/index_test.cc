// The index alone, on made-up places: against a map, whatever is asked of it and however many bits a place takes.
#include "storage/index.h"

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/geometry.h"

namespace gannet::storage {
namespace {

using Bucket = Index::Bucket;

/// An index in memory of its own whose entries point into a region that may be far larger: nothing is ever read there.
class TestIndex {
 public:
  TestIndex(std::uint64_t memory_bytes, std::uint32_t segment_bytes, std::uint64_t region_bytes)
      : geometry_(divide(memory_bytes, segment_bytes)),
        memory_(static_cast<std::byte*>(std::aligned_alloc(4096, memory_bytes)), &std::free) {
    for (std::uint32_t id = 1; id < geometry_.segments; ++id) free_.push_back(id);
    places_ = region_bytes / kItemAlign;
    geometry_.region_bytes = region_bytes;
    index_.format(memory_.get(), geometry_, 0);
  }
  Index& operator*() noexcept { return index_; }
  Index* operator->() noexcept { return &index_; }
  [[nodiscard]] std::uint64_t places() const noexcept { return places_; }
  [[nodiscard]] std::size_t free_segments() const noexcept { return free_.size(); }

  bool insert(std::uint64_t hash, Location at) {
    ready();
    if (!index_.insert(hash, at)) return false;
    hashes[at] = hash;
    return true;
  }
  void remove(Location at) {
    index_.remove(hashes.at(at), at);
    hashes.erase(at);
  }
  void replace(Location from, Location to) {
    const std::uint64_t hash = hashes.at(from);
    index_.replace(hash, from, to);
    hashes.erase(from);
    hashes[to] = hash;
  }
  void grow() {
    ready();
    if (index_.growth_needs_segment()) give(Index::Use::kBuckets);
    index_.grow([this](Location at) { return hashes.at(at); });
  }
  bool shrink() {
    ready();
    const bool done = index_.overflow_buckets_free() > 1 && index_.shrink();
    take_back(Index::Use::kBuckets);
    if (index_.store_empty_overflow()) take_back(Index::Use::kOverflow);
    return done;
  }
  /// What a lookup does: the place of `wanted`, and how many other items it would have looked at.
  Location find(std::uint64_t hash, Location wanted, std::uint64_t& others) const {
    return index_.find(hash, [&](Location at) {
      if (at == wanted) return true;
      ++others;
      return false;
    });
  }
  /// Every entry is found, each prefetch gives one of its own, and there is nothing else. Gives the others looked at.
  std::uint64_t check() const {
    std::uint64_t others = 0;
    for (const auto& [at, hash] : hashes) {
      if (find(hash, at, others) != at) FAIL("lost place " << at);
      if (!index_.holds(hash, at)) FAIL("does not hold place " << at);
      Probe probe{hash};
      Probe* const burst[] = {&probe};
      index_.prefetch_burst(burst);
      if (probe.place != 0 && hashes.count(probe.place) == 0) FAIL("prefetched " << probe.place << ", empty");
    }
    REQUIRE(index_.items() == hashes.size());
    REQUIRE(index_.count_slots() == hashes.size());
    return others;
  }

  std::unordered_map<Location, std::uint64_t> hashes;

 private:
  void ready() {
    if (index_.ready_overflow()) return;
    give(Index::Use::kOverflow);
    REQUIRE(index_.ready_overflow());
  }
  void give(Index::Use use) {
    REQUIRE_FALSE(free_.empty());
    index_.give_segment(free_.back(), use);
    free_.pop_back();
  }
  void take_back(Index::Use use) {
    if (const std::uint32_t id = index_.give_back_segment(use); id != kNoSegment) free_.push_back(id);
  }

  Geometry geometry_;
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  std::vector<std::uint32_t> free_;
  std::uint64_t places_ = 0;
  Index index_;
};

TEST_CASE("an index holds what a map holds, whatever is put in, moved, taken out, split and folded",
          "[storage][index]") {
  // Places of 20 to 36 bits: the tag begins below, at and above a slot's byte boundary.
  const std::uint64_t region = GENERATE(as<std::uint64_t>(), 4ull << 20, 1ull << 30, 16ull << 30, 20ull << 30,
                                        kRegionBytesMax - (64ull << 20), kRegionBytesMax);
  const std::uint64_t seed = std::random_device{}();
  INFO("region of " << region << " bytes, seed " << seed);
  std::mt19937_64 random(seed);
  TestIndex index(4 << 20, 16 * 1024, region);
  const std::size_t free_before = index.free_segments();
  std::vector<Location> there;
  const auto unused = [&] {
    for (;;) {
      // The region's last places now and then: those with the most bits.
      const Location at =
          random() % 16 == 0 ? index.places() - 1 - random() % 4096 : 1 + random() % (index.places() - 1);
      if (index.hashes.count(at) == 0) return at;
    }
  };
  for (int round = 0; round < 6; ++round) {
    const bool filling = round % 2 == 0;
    for (int step = 0; step < 8'000; ++step) {
      const std::uint64_t kind = random() % 16;
      if (there.empty() || kind < (filling ? 10 : 2)) {
        const Location at = unused();
        REQUIRE(index.insert(random(), at));
        there.push_back(at);
      } else {
        Location& chosen = there[random() % there.size()];
        if (kind < (filling ? 13 : 5)) {
          const Location to = unused();
          index.replace(chosen, to);
          chosen = to;
        } else {
          index.remove(chosen);
          chosen = there.back();
          there.pop_back();
        }
      }
      if (index->wants_growth()) index.grow();
      if (index->wants_shrink()) (void)index.shrink();
      if (random() % 64 == 0) index.grow();  // Also when nobody would.
      if (random() % 64 == 0) (void)index.shrink();
    }
    const std::uint64_t others = index.check();
    // Half of a bucket's others come before; with a tag of b bits one in 2^b is looked at. Four times that is no
    // chance.
    const std::uint64_t bits = Index::kSlotBits - static_cast<std::uint64_t>(std::bit_width(index.places() - 1));
    CHECK(others <= 50 + (index.hashes.size() * Index::kGrowLoad * 2 >> bits));
  }
  while (!there.empty()) {
    index.remove(there.back());
    there.pop_back();
  }
  while (index.shrink()) continue;
  CHECK(index.check() == 0);
  CHECK(index->overflow_buckets_used() == 0);
  CHECK(index.free_segments() + 1 >= free_before);
}

TEST_CASE("keys whose tags are all the same are told apart by their items, and split by their hashes",
          "[storage][index]") {
  TestIndex index(4 << 20, 16 * 1024, kRegionBytesMax);
  constexpr std::uint64_t kItems = 20'000;
  for (std::uint64_t i = 0; i < kItems; ++i) {
    // Tag 0 is what an empty slot would carry, and all bits differ below it.
    REQUIRE(index.insert(i * 0x9e3779b97f4a7c15 >> 4, kRegionBytesMax / kItemAlign - 1 - i));
    if (index->wants_growth()) index.grow();
  }
  CHECK(index->buckets() * Index::kGrowLoad >= kItems);
  (void)index.check();
  for (std::uint64_t i = 0; i < kItems; i += 2) index.remove(kRegionBytesMax / kItemAlign - 1 - i);
  while (index->wants_shrink() && index.shrink()) continue;
  (void)index.check();
}

TEST_CASE("a chain as long as it may be refuses, changes nothing, and is neither split nor folded apart",
          "[storage][index]") {
  TestIndex index(1 << 20, 16 * 1024, 1 << 30);
  constexpr std::uint64_t kMost = Index::kChainBucketsMax * Index::kSlots;
  // One hash for all: no split parts them.
  for (std::uint64_t i = 1; i <= kMost; ++i) REQUIRE(index.insert(0x0123456789abcdef, i));
  REQUIRE_FALSE(index.insert(0x0123456789abcdef, kMost + 1));
  (void)index.check();
  for (int i = 0; i < 200; ++i) index.grow();
  (void)index.check();
  while (index.shrink()) continue;
  (void)index.check();
  for (std::uint64_t i = kMost; i > 0; --i) index.remove(i);
  CHECK(index->overflow_buckets_used() == 0);
  CHECK(index->count_slots() == 0);
}

TEST_CASE("a split prefetches and asks no more than the items of its chain", "[storage][index]") {
  TestIndex index(4 << 20, 16 * 1024, 1 << 30);
  std::mt19937_64 random(1);
  std::uint64_t most = 0, asked_in_all = 0, splits = 0;
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    REQUIRE(index.insert(random(), i));
    while (index->wants_growth()) {
      const std::uint64_t lines = index->lines_touched(), buckets = index->buckets();
      std::uint64_t asked = 0;
      if (index->growth_needs_segment()) break;  // Left to the fixture, which counts nothing.
      index->grow([&](Location at) {
        ++asked;
        return index.hashes.at(at);
      });
      if (index->buckets() == buckets) break;
      CHECK(index->lines_touched() - lines < 64);
      most = std::max(most, asked);
      asked_in_all += asked;
      ++splits;
    }
    if (index->wants_growth()) index.grow();
  }
  INFO("a split asked " << most << " items at most, " << asked_in_all << " in " << splits);
  CHECK(most <= 4 * Index::kSlots);  // With a keyed hash no chain of 48 is ever seen.
  CHECK(asked_in_all <= splits * (2 * Index::kGrowLoad));
  (void)index.check();
}

TEST_CASE("a shard larger than a slot has bits for is refused with a sentence", "[storage][index]") {
  Geometry geometry;
  std::string why;
  CHECK(make_geometry(kRegionBytesMax, 0, 0, geometry, why));
  CHECK_FALSE(make_geometry(kRegionBytesMax + 1, 0, 0, geometry, why));
  CHECK(why.find("divide the memory among more workers") != std::string::npos);
}

TEST_CASE("all slots compared at once and one after the other give the same", "[storage][index]") {
  const std::uint64_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto some_byte = [&] {
    constexpr std::uint8_t kEdges[] = {0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xf0, 0xff};
    return kEdges[random() % 8];
  };
  for (int trial = 0; trial < 100'000; ++trial) {
    Bucket bucket{};
    bucket.link = random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random());
    for (std::uint32_t i = 0; i < Index::kSlots; ++i) {
      if (random() % 3 == 0) continue;
      const std::uint32_t low = random() % 2 == 0 ? 0x80000000u >> random() % 32 : static_cast<std::uint32_t>(random());
      const Index::Slot slot = Index::Slot{some_byte()} << 32 | (random() % 4 == 0 ? 0 : low);
      bucket.set(i, slot);
      if (bucket.slot(i) != slot) FAIL("slot " << i << " is not what was set");
    }
    const auto mask = static_cast<std::uint8_t>(0xff << random() % 8);
    const Index::Slot wanted = Index::Slot{static_cast<std::uint8_t>(some_byte() & mask)} << 32 | random() % 1000;
    std::uint32_t matches = 0, empty = 0;
    for (std::uint32_t i = 0; i < Index::kSlots; ++i) {
      if (((bucket.slot(i) ^ wanted) >> 32 & mask) == 0) matches |= 1u << i;
      if (bucket.slot(i) == 0) empty |= 1u << i;
    }
    if (bucket.matches(wanted, mask) != matches)
      FAIL("matches " << bucket.matches(wanted, mask) << ", not " << matches);
    if (bucket.empty() != empty) FAIL("empty " << bucket.empty() << ", not " << empty);
    if (bucket.used() != (~empty & Index::kAllSlots)) FAIL("used " << bucket.used());
  }
}

}  // namespace
}  // namespace gannet::storage
