// No call does unbounded work: what each one copies and touches is held against constants, with memory full and
// evicting, with the index growing, and with more items than any of the constants has to do with. The same constants
// hold at 100 million items: build/release/bench/times_bench prints the largest of each there.
#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

/// The most that one call has done.
struct Most {
  std::uint64_t bytes_copied = 0, lines_touched = 0;
  template <class Call>
  void of(Shard& shard, Call&& call) {
    const Work before = shard.work();
    call();
    const Work after = shard.work();
    bytes_copied = std::max(bytes_copied, after.bytes_copied - before.bytes_copied);
    lines_touched = std::max(lines_touched, after.lines_touched - before.lines_touched);
  }
};

/// Collector's work that a SET of `bytes` pays for at most, in bytes of budget: see Shard::pace. The last item taken up
/// may overdraw it, and a batch of 32 is drained together.
constexpr std::uint64_t pace_most(std::uint64_t bytes) {
  return 1024 + 112 * bytes;
}
constexpr std::uint64_t copied_most(std::uint64_t bytes) {
  return pace_most(bytes) + 2 * bytes;
}
/// An item scanned or drained costs 32 of budget at least and touches few lines; a batch of 32 may overdraw it. Two
/// splits of the index at most, each of which asks the 36 items of a chain of three buckets for their keys, two lines
/// an item.
constexpr std::uint64_t lines_most(std::uint64_t bytes) {
  return pace_most(bytes) / 16 + 150 + 2 * (36 * 2 + 8);
}

std::string key_of(std::uint64_t number) {
  std::string key = "key:00000000";
  for (std::size_t i = key.size(); number != 0; number /= 10) key[--i] = static_cast<char>('0' + number % 10);
  return key;
}

TEST_CASE("no SET copies or touches more than a constant, however many items there are", "[storage][bounds]") {
  // 44 B of key and value, 52 to 56 in memory; a worker's tick now and then.
  const std::string value(32, 'v');
  constexpr std::uint64_t kItem = 56, kTick = 64 * 1024;
  for (const std::uint64_t items : {20'000, 600'000}) {
    TestShard shard(items * (kItem + 16),
                    {.segment_bytes = static_cast<std::uint32_t>(items < 100'000 ? 64 : 512) << 10});
    const std::uint64_t before_index = shard->stats().index_bytes;
    Most sets, ticks;
    std::uint64_t random = 1;
    for (std::uint64_t i = 0; i < 3 * items; ++i) {
      // New keys first, so that the index grows; then old and new ones, and now and then one that is used.
      random = random * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
      const std::string key = key_of(i < items ? i : (random >> 33) % (2 * items));
      sets.of(*shard, [&] {
        if (shard.put(key, value) != StoreStatus::kStored) FAIL("refused " << key);
      });
      if (i % 4 == 0) (void)shard.get(key);
      if (i % 64 == 0) ticks.of(*shard, [&] { shard->tick(kStart, kTick); });
    }
    INFO(items << " items: a SET copied up to " << sets.bytes_copied << " bytes and touched up to "
               << sets.lines_touched << " lines, a tick " << ticks.bytes_copied << " and " << ticks.lines_touched);
    REQUIRE(shard->stats().evicted_items > items / 4);
    REQUIRE(shard->stats().index_bytes > before_index);
    CHECK(sets.bytes_copied >= kItem);
    CHECK(sets.bytes_copied <= copied_most(kItem));
    CHECK(sets.lines_touched <= lines_most(kItem));
    CHECK(ticks.bytes_copied <= kTick + kItem);
    CHECK(ticks.lines_touched <= kTick / 16 + 1000);
    CHECK(shard->work().waits == 0);
    CHECK(shard.audit() == "");
  }
}

TEST_CASE("no SET waits for a whole window, though every item is hot and nobody ticks", "[storage][bounds]") {
  // The smallest items there are, all in use, so that a window keeps as much as it may.
  constexpr std::uint64_t kItem = kItemBytesMin;
  constexpr std::uint64_t kItems = 100'000;
  TestShard shard(kItems * (kItem + 16), {.segment_bytes = 16 * 1024});
  Most sets;
  for (std::uint64_t i = 0; i < 4 * kItems; ++i) {
    const std::string key(reinterpret_cast<const char*>(&i), 3);
    sets.of(*shard, [&] {
      if (shard.put(key, "") != StoreStatus::kStored) FAIL("refused " << key);
    });
    for (int use = 0; use < 3; ++use) (void)shard.get(key);
  }
  INFO("a SET copied up to " << sets.bytes_copied << " bytes and touched up to " << sets.lines_touched << " lines");
  CHECK(shard->work().waits == 0);
  CHECK(sets.bytes_copied <= copied_most(kItem));
  CHECK(sets.lines_touched <= lines_most(kItem));
  CHECK(shard.audit() == "");
}

TEST_CASE("a SET goes on with memory full and as many segments pinned as the cap allows", "[storage][bounds][pins]") {
  constexpr std::uint32_t kPins = 48;
  TestShard shard(2 << 20, {.segment_bytes = 16 * 1024, .pins_max = kPins});
  const std::string value(100, 'v');
  // Replies on the wire, each from another segment, the oldest among them, held for ever.
  std::uint32_t pinned = 0;
  std::vector<std::pair<std::uint32_t, std::string>> held;
  for (int i = 0; i < 100'000; ++i) {
    const std::string key = "k" + std::to_string(i);
    REQUIRE(shard.put(key, value) == StoreStatus::kStored);
    if (i % 150 == 0 && pinned < kPins && shard.get(key) && shard->pin(shard.view.segment)) {
      ++pinned;
      held.emplace_back(shard.view.segment, std::string(as_text(shard.view.value)));
    }
    if (i % 32 == 0) shard->tick(kStart, 64 * 1024);
  }
  REQUIRE(pinned == kPins);
  REQUIRE(shard->stats().pins == kPins);
  REQUIRE(shard.get("k99999"));
  CHECK_FALSE(shard->pin(shard.view.segment));  // Above the cap the caller copies.
  CHECK(shard->stats().set_no_memory == 0);
  CHECK(shard->stats().evicted_items > 50'000);
  CHECK(shard.audit() == "");
  for (const auto& [segment, text] : held) shard->unpin(segment);
  CHECK(shard->stats().pins == 0);
  CHECK(shard.audit() == "");
}

TEST_CASE("nearly all of many segments pinned, no tick looks for one to evict without a bound, and none is missed",
          "[storage][bounds][pins]") {
  constexpr std::uint32_t kSegments = 6000, kLeft = 5;
  // The old ends of the lists, 512 headers and 128 of the policy's own; the rest is a tick's usual work.
  constexpr std::uint64_t kLinesMost = 8 * 4 + 512 + 128 + 1000;
  for (const Eviction eviction : {Eviction::kGreedy, Eviction::kMerge}) {
    TestShard shard(8192 + kSegments * (4096 + 112),
                    {.segment_bytes = 4096, .eviction = eviction, .pins_max = kSegments});
    int next = 0;
    const auto put = [&] { return shard.put("k" + std::to_string(next++), std::string(900, 'v')); };
    while (shard->stats().evicted_segments == 0) REQUIRE(put() == StoreStatus::kStored);
    // All but the youngest: what was stored first is pinned first.
    std::vector<std::uint32_t> pins;
    std::vector<bool> pinned(shard->geometry().segments);
    for (int i = 0; i < next && pins.size() + kLeft < shard->stats().segments_sealed; ++i) {
      if (!shard.get("k" + std::to_string(i)) || pinned[shard.view.segment]) continue;
      REQUIRE(shard->pin(shard.view.segment));
      pinned[shard.view.segment] = true;
      pins.push_back(shard.view.segment);
    }
    REQUIRE(pins.size() > kSegments / 2);
    Most ticks;
    for (int i = 0; i < 500; ++i) {
      INFO(eviction_name(eviction) << ", item " << i << " with " << pins.size() << " segments pinned");
      REQUIRE(put() == StoreStatus::kStored);
      ticks.of(*shard, [&] { shard->tick(kStart, 4096); });
    }
    INFO(eviction_name(eviction) << ": a tick touched up to " << ticks.lines_touched << " lines");
    CHECK(ticks.lines_touched <= kLinesMost);
    // Ahead of need, as a rule: 3 of the 500 stores wait, and 43 where greedy takes only what its own look has found.
    if (eviction == Eviction::kGreedy) CHECK(shard->work().waits < 12);
    for (const std::uint32_t id : pins) shard->unpin(id);
    CHECK(shard.audit() == "");
  }
}

}  // namespace
}  // namespace gannet::storage
