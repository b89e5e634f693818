#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

std::string value_of(std::uint64_t key, std::uint64_t version, std::size_t bytes) {
  std::string value(bytes, '\0');
  std::uint64_t state = key * 0x9e3779b97f4a7c15 + version;
  for (char& byte : value) {
    state = state * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<char>(state >> 56);
  }
  return value;
}

TEST_CASE("a SET never fails while memory is full, whatever the eviction, and a hit is always the last value",
          "[storage][eviction]") {
  const Eviction eviction = GENERATE(Eviction::kMerge, Eviction::kFifo, Eviction::kRandom, Eviction::kCte,
                                     Eviction::kUtil, Eviction::kS3Fifo, Eviction::kGreedy);
  const std::uint32_t segments = GENERATE(4u, 8u, 64u);
  const bool ticking = GENERATE(false, true);
  const std::uint64_t seed = 4711 + segments;
  INFO("seed " << seed << ", segments " << segments << ", " << eviction_name(eviction) << ", ticking " << ticking);
  constexpr std::uint32_t kSegment = 8192;
  TestShard shard(8192 + segments * (kSegment + 112), {.segment_bytes = kSegment, .eviction = eviction});
  REQUIRE(shard->geometry().segments == segments);
  std::mt19937_64 random(seed);
  std::map<std::uint64_t, std::pair<std::uint64_t, std::size_t>>
      last;  // Version and size; absent: erased or never put.
  UnixSeconds now = kStart;
  std::uint64_t hits = 0;
  for (std::uint64_t step = 0; step < 20'000; ++step) {
    const std::uint64_t key = random() % (random() % 4 == 0 ? 5000 : 50);
    const std::string name = "key" + std::to_string(key);
    switch (random() % 8) {
      case 0:
        (void)shard.erase(name, now);
        last.erase(key);
        break;
      case 1:
      case 2:
      case 3: {
        const std::size_t bytes = random() % 100 == 0 ? random() % 8000 : random() % 300;
        const UnixSeconds expires_at = random() % 4 == 0 ? kNever : now + 1 + random() % 100;
        REQUIRE(shard.put(name, value_of(key, step, bytes), now, expires_at) == StoreStatus::kStored);
        last[key] = {step, bytes};
        break;
      }
      default:
        if (const auto got = shard.get(name, now)) {
          ++hits;
          REQUIRE(last.count(key) == 1);
          REQUIRE(*got == value_of(key, last[key].first, last[key].second));
        }
    }
    if (random() % 50 == 0) ++now;
    if (ticking && random() % 4 == 0) shard->tick(now, 4096);
    if (step % 2000 == 0) REQUIRE(shard.audit(now) == "");
  }
  REQUIRE(shard.audit(now) == "");
  REQUIRE(hits > 0);
  REQUIRE(shard->stats().evicted_segments > 0);
}

TEST_CASE("merging keeps what is used and lets go what is not, first in first out does not look",
          "[storage][eviction]") {
  const auto survivors = [](Eviction eviction) {
    TestShard shard(1 << 20, {.segment_bytes = 16 * 1024, .eviction = eviction});
    for (int i = 0; i < 500; ++i)
      REQUIRE(shard.put("hot" + std::to_string(i), value_of(1, 1, 100)) == StoreStatus::kStored);
    for (int i = 0; i < 100'000; ++i) {
      REQUIRE(shard.put("cold" + std::to_string(i), value_of(2, 2, 100)) == StoreStatus::kStored);
      (void)shard.get("hot" + std::to_string(i % 500));
    }
    int kept = 0;
    for (int i = 0; i < 500; ++i) kept += shard.get("hot" + std::to_string(i)).has_value();
    REQUIRE(shard.audit() == "");
    return kept;
  };
  CHECK(survivors(Eviction::kMerge) >= 450);
  CHECK(survivors(Eviction::kGreedy) >= 350);
  CHECK(survivors(Eviction::kS3Fifo) >= 450);
  CHECK(survivors(Eviction::kFifo) < 50);
}

TEST_CASE("of two items used alike the smaller stays", "[storage][eviction]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  for (int i = 0; i < 400; ++i) {
    REQUIRE(shard.put("small" + std::to_string(i), value_of(1, 1, 40)) == StoreStatus::kStored);
    REQUIRE(shard.put("large" + std::to_string(i), value_of(1, 1, 1500)) == StoreStatus::kStored);
    (void)shard.get("small" + std::to_string(i));
    (void)shard.get("large" + std::to_string(i));
  }
  for (int i = 0; shard->stats().evicted_segments < 50; ++i) {
    REQUIRE(shard.put("more" + std::to_string(i), value_of(1, 1, 200)) == StoreStatus::kStored);
  }
  int small = 0, large = 0;
  for (int i = 0; i < 400; ++i) {
    small += shard.get("small" + std::to_string(i)).has_value();
    large += shard.get("large" + std::to_string(i)).has_value();
  }
  INFO("small " << small << ", large " << large);
  REQUIRE(small > large);
}

TEST_CASE("what was used often outlives, unused, what was used once, and goes in the end", "[storage][eviction]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024, .eviction = Eviction::kMerge});
  for (int i = 0; i < 50; ++i) {
    REQUIRE(shard.put("often" + std::to_string(i), value_of(1, 1, 100)) == StoreStatus::kStored);
    REQUIRE(shard.put("once" + std::to_string(i), value_of(1, 1, 100)) == StoreStatus::kStored);
    for (int use = 0; use < 12; ++use) (void)shard.get("often" + std::to_string(i));
    (void)shard.get("once" + std::to_string(i));
  }
  // An ERASE with a CAS nobody has asks whether an item is there without using it.
  const auto there = [&](const std::string& kind) {
    int count = 0;
    for (int i = 0; i < 50; ++i) count += shard.erase(kind + std::to_string(i), kStart, 1) == StoreStatus::kExists;
    return count;
  };
  int next = 0;
  const auto rotate = [&] {  // Some 7,000 items of this size are all of memory.
    for (int i = 0; i < 8000; ++i)
      REQUIRE(shard.put("f" + std::to_string(next++), value_of(2, 2, 100)) == StoreStatus::kStored);
  };
  rotate();
  rotate();
  CHECK(there("often") == 50);
  CHECK(there("once") == 0);
  for (int i = 0; i < 6; ++i) rotate();
  CHECK(there("often") == 0);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("memory that updates left dead is compacted without evicting anything", "[storage][eviction]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  constexpr int kKeys = 2500;  // Of 150 bytes: about 40 % of memory.
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < kKeys; ++i) {
      const int key = (i * 7919 + round * 31) % kKeys;
      REQUIRE(shard.put("k" + std::to_string(key), value_of(1, 1, 120)) == StoreStatus::kStored);
    }
  }
  REQUIRE(shard->stats().evicted_items == 0);
  for (int i = 0; i < kKeys; ++i) REQUIRE(shard.get("k" + std::to_string(i)).has_value());
  REQUIRE(shard.audit() == "");
}

TEST_CASE("pinned bytes never change while memory is overwritten around them", "[storage][eviction][pin]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024, .pins_max = 8});
  std::vector<std::pair<ItemView, std::string>> pinned;
  for (int i = 0; i < 8; ++i) {
    REQUIRE(shard.put("pinned" + std::to_string(i), value_of(i, 0, 900)) == StoreStatus::kStored);
    REQUIRE(shard.get("pinned" + std::to_string(i)).has_value());
    REQUIRE(shard->pin(shard.view.segment));
    pinned.emplace_back(shard.view, value_of(i, 0, 900));
    for (int j = 0; j < 40; ++j)
      REQUIRE(shard.put("f" + std::to_string(i * 40 + j), value_of(1, 1, 300)) == StoreStatus::kStored);
  }
  REQUIRE_FALSE(shard->pin(shard.view.segment));
  for (int i = 0; i < 20'000; ++i) {
    REQUIRE(shard.put("k" + std::to_string(i), value_of(i, 1, 200)) == StoreStatus::kStored);
    if (i % 1000 == 0) (void)shard.erase("pinned" + std::to_string(i / 1000 % 8));
  }
  for (const auto& [view, value] : pinned) CHECK(as_text(view.value) == value);
  REQUIRE(shard.audit() == "");
  for (const auto& [view, value] : pinned) shard->unpin(view.segment);
  REQUIRE(shard->stats().pins == 0);
  for (int i = 0; i < 20'000; ++i)
    REQUIRE(shard.put("l" + std::to_string(i), value_of(i, 1, 200)) == StoreStatus::kStored);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("what is found while its segment drains can be pinned, and stays until it is let go",
          "[storage][eviction][pin]") {
  TestShard shard(1 << 20, {.segment_bytes = 64 * 1024, .pins_max = 64});
  std::vector<std::pair<ItemView, std::string>> pinned;
  int while_draining = 0;
  for (int i = 0; i < 6000; ++i) {
    REQUIRE(shard.put("k" + std::to_string(i), value_of(i, 0, 900)) == StoreStatus::kStored);
    shard->tick(1, 2000);  // Little by little, so that there are windows half drained.
    for (int back = 0; back < 1100 && back <= i && pinned.size() < 64; back += 50) {
      const std::string key = "k" + std::to_string(i - back);
      if (!shard.get(key)) continue;
      const auto& segment =
          reinterpret_cast<const SegmentHeader*>(shard.memory().data() + kShardHeaderBytes)[shard.view.segment];
      if (segment.state != SegmentState::kDraining) continue;
      ++while_draining;
      REQUIRE(shard->pin(shard.view.segment));
      pinned.emplace_back(shard.view, value_of(i - back, 0, 900));
    }
    for (const auto& [view, value] : pinned) REQUIRE(as_text(view.value) == value);
    if (i % 500 == 0) REQUIRE(shard.audit() == "");
    if (pinned.size() == 64 || i % 300 == 299) {
      for (const auto& [view, value] : pinned) shard->unpin(view.segment);
      pinned.clear();
    }
  }
  CHECK(while_draining > 100);
  for (const auto& [view, value] : pinned) shard->unpin(view.segment);
  REQUIRE(shard->stats().pins == 0);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("with every segment pinned or reserved a SET is refused, and works again when one is let go",
          "[storage][eviction][pin]") {
  TestShard shard(8192 + 5 * (8192 + 112), {.segment_bytes = 8192});
  std::vector<std::uint32_t> pins;
  StoreStatus status = StoreStatus::kStored;
  for (int i = 0; i < 100 && status == StoreStatus::kStored; ++i) {
    const std::string key = "k" + std::to_string(i);
    status = shard.put(key, value_of(i, 0, 3000));
    if (status == StoreStatus::kStored && shard.get(key) && shard->pin(shard.view.segment))
      pins.push_back(shard.view.segment);
  }
  REQUIRE(status == StoreStatus::kNoMemory);
  REQUIRE(pins.size() == 8);  // Four segments of two items.
  REQUIRE(shard->stats().set_no_memory == 1);
  REQUIRE(shard.audit() == "");
  for (const std::uint32_t segment : pins) shard->unpin(segment);
  REQUIRE(shard.put("again", value_of(1, 0, 3000)) == StoreStatus::kStored);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a reservation held open across evictions keeps its room and commits what was written",
          "[storage][eviction]") {
  TestShard shard(8192 + 6 * (8192 + 112), {.segment_bytes = 8192});
  SetRequest request;
  request.key = as_bytes("slow");
  request.value_bytes = 500;
  Reservation slow;
  REQUIRE(shard->reserve(shard->hash(request.key), request, kStart, slow) == StoreStatus::kStored);
  const std::string value = value_of(9, 9, 500);
  for (int i = 0; i < 500; ++i) {
    slow.value[i] = static_cast<std::byte>(value[i]);
    for (int j = 0; j < 4; ++j)
      REQUIRE(shard.put("k" + std::to_string(i * 4 + j), value_of(i, j, 400)) == StoreStatus::kStored);
    shard->tick(kStart, 8192);
  }
  REQUIRE(shard.audit() == "");
  std::uint64_t cas = 0;
  REQUIRE(shard->commit(slow, kStart, cas) == StoreStatus::kStored);
  REQUIRE(shard.get("slow") == value);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("segments whose items have all expired come back by ticks alone", "[storage][ttl]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(shard.put("k" + std::to_string(i), value_of(i, 0, 100), kStart, kStart + 1 + i % 500) ==
            StoreStatus::kStored);
  }
  const std::uint64_t index = shard->stats().segments_index, total = shard->stats().segments_total;
  for (UnixSeconds now = kStart; now <= kStart + 520; ++now) {
    for (int i = 0; i < 10; ++i) shard->tick(now, 16 * 1024);
    REQUIRE(shard.audit(now) == "");
  }
  REQUIRE(shard->stats().items == 0);
  REQUIRE(shard->stats().expired_items == 3000);
  REQUIRE(shard->stats().segments_free + index >= total);
}

TEST_CASE("two thousand lifetimes in four shards of 256 MiB leave at most one segment in twenty open",
          "[storage][ttl]") {
  std::vector<std::unique_ptr<TestShard>> shards;
  for (int i = 0; i < 4; ++i) shards.push_back(std::make_unique<TestShard>(64 << 20, ShardOptions{}));
  for (int i = 0; i < 100'000; ++i) {
    TestShard& shard = *shards[static_cast<std::size_t>(i) % 4];
    const UnixSeconds now = kStart + i / 500, ttl = 1 + (i * 7919) % 2000 * 300;
    REQUIRE(shard.put("k" + std::to_string(i), value_of(1, 0, 50), now, now + ttl) == StoreStatus::kStored);
    const Stats stats = shard->stats();
    if (stats.segments_open * 20 > stats.segments_total)
      FAIL(stats.segments_open << " of " << stats.segments_total << " open after " << i);
  }
}

TEST_CASE("lifetimes far apart and items up to a whole segment share few tails while some of them fall idle",
          "[storage][ttl]") {
  // More lifetimes than tails, seconds in which tails fall idle and are closed, and items that fit no tail: whichever
  // is chosen has the room (a number of a tail from before another was closed once had not).
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  std::mt19937_64 random(1717);
  UnixSeconds now = kStart;
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t bytes = random() % 8 == 0 ? random() % 16'000 : random() % 300;
    const UnixSeconds expires_at = random() % 8 == 0 ? kNever : now + 1 + (1u << random() % 24);
    INFO("seed 1717, item " << i << " of " << bytes << " bytes, " << expires_at << " in second " << now);
    REQUIRE(shard.put("k" + std::to_string(random() % 5000), value_of(1, 0, bytes), now, expires_at) ==
            StoreStatus::kStored);
    if (random() % 8 == 0) now += static_cast<UnixSeconds>(random() % 40);
    if (random() % 4 == 0) shard->tick(now, 4096);
  }
  REQUIRE(shard.audit(now) == "");
}

TEST_CASE("with lifetimes mixed expired items hold at most a twentieth of memory", "[storage][ttl]") {
  // A minute, ten minutes and an hour; in a second twenty new items of 320 B, so that a full shard evicts and a roomy
  // one does not. What is held is counted, not estimated: items that the index has, less those that are served.
  constexpr std::uint32_t kValue = 300, kPerSecond = 20, kSeconds = 9000;
  const std::uint32_t mebibytes = GENERATE(8u, 32u);
  TestShard shard(std::size_t{mebibytes} << 20, {});
  std::uint64_t random = 42;
  INFO(mebibytes << " MiB, seed " << random);
  std::vector<std::pair<std::string, UnixSeconds>> stored;
  for (UnixSeconds now = kStart; now < kStart + kSeconds; ++now) {
    for (std::uint32_t i = 0; i < kPerSecond; ++i) {
      random = random * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
      const std::uint32_t dice = (random >> 33) % 10;
      const UnixSeconds ttl = dice < 2 ? 60 : dice < 5 ? 600 : 3600;
      stored.emplace_back("k" + std::to_string(stored.size()), now + ttl);
      REQUIRE(shard.put(stored.back().first, value_of(1, 0, kValue), now, now + ttl) == StoreStatus::kStored);
    }
    for (int i = 0; i < 32; ++i) shard->tick(now, 64 * 1024);
    if ((now - kStart) % 1500 != 1499) continue;
    std::uint64_t served = 0;
    for (const auto& [key, expires_at] : stored) served += expires_at > now && shard.get(key, now).has_value();
    const std::uint64_t held = (shard->stats().items - served) * (kValue + 20);
    INFO(held << " bytes held in second " << now - kStart << ", " << shard->stats().expired_bytes_held << " estimated");
    CHECK(held <= (std::uint64_t{mebibytes} << 20) / 20);
  }
  CHECK(shard.audit() == "");
}

TEST_CASE("ticks seal closed segments, and a flipped bit in one shows in the audit", "[storage][audit]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  for (int i = 0; i < 1000; ++i)
    REQUIRE(shard.put("k" + std::to_string(i), value_of(i, 0, 100)) == StoreStatus::kStored);
  for (int i = 0; i < 100; ++i) shard->tick(kStart, 4096);
  REQUIRE(shard.audit() == "");
  REQUIRE(shard.get("k0").has_value());
  REQUIRE(shard.audit() == "");  // A use counted in a sealed segment breaks no checksum.
  auto* const byte = const_cast<std::byte*>(shard.view.value.data()) + 50;
  *byte ^= std::byte{4};
  REQUIRE(shard.audit() != "");
  *byte ^= std::byte{4};
  REQUIRE(shard.erase("k0") == StoreStatus::kStored);
  REQUIRE(shard.audit() == "");
  *byte ^= std::byte{4};  // Even in a dead item: the segment's checksum covers it.
  REQUIRE(shard.audit() != "");
}

TEST_CASE("the audit finds damage planted in item, segment header and index", "[storage][audit]") {
  TestShard shard(1 << 20, {.segment_bytes = 16 * 1024});
  for (int i = 0; i < 300; ++i)
    REQUIRE(shard.put("k" + std::to_string(i), value_of(i, 0, 100)) == StoreStatus::kStored);
  REQUIRE(shard.get("k7").has_value());
  auto* const headers = reinterpret_cast<SegmentHeader*>(shard.memory().data() + kShardHeaderBytes);
  SegmentHeader& segment = headers[shard.view.segment];
  // Of the narrowest shape: stored soon after its segment was opened, for ever, without flags.
  auto* const item = const_cast<std::byte*>(shard.view.value.data()) - 2 - kItemHeaderLeast;
  const auto planted = [&](auto& at, auto value) {
    const auto before = at;
    at = value;
    const std::string found = shard.audit();
    at = before;
    return found;
  };
  CHECK(planted(item[0], std::byte{kItemDead}) != "");
  CHECK(planted(item[9], std::byte{'8'}) != "");
  CHECK(planted(item[1], item[1] ^ std::byte{0x40}) != "");
  auto& base = *reinterpret_cast<SegmentBase*>(shard.memory().data() + shard->geometry().bases_offset +
                                               segment.id * sizeof(SegmentBase));
  CHECK(planted(base.cas, base.cas + 1) != "");
  CHECK(planted(segment.live_bytes, segment.live_bytes + 4) != "");
  CHECK(planted(segment.live_items, segment.live_items - 1) != "");
  CHECK(planted(segment.used_bytes, segment.used_bytes - 4) != "");
  CHECK(planted(segment.pins, std::uint16_t{1}) != "");
  CHECK(planted(segment.reservations, std::uint16_t{1}) != "");
  CHECK(planted(segment.state, SegmentState::kFree) != "");
  CHECK(planted(segment.next, segment.id) != "");
  CHECK(planted(segment.expiry_max_s, 5u) != "");
  REQUIRE(shard.audit() == "");
}

}  // namespace
}  // namespace gannet::storage
