/// Bits that flip in memory between two processes, or under one: found, and never served.
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;
constexpr std::size_t kBytes = 96 * 1024;

struct Free {
  void operator()(std::byte* at) const { std::free(at); }
};

/// A shard of 4 KiB segments, most of them sealed, stopped in the middle; and what was in it.
struct Left {
  std::vector<std::byte> bytes;
  std::vector<std::string> values = std::vector<std::string>(kKeys);
  std::vector<std::uint64_t> cas = std::vector<std::uint64_t>(kKeys);
  std::vector<std::uint32_t> filled;  ///< Segments with items, open ones too.
  std::vector<std::uint32_t> sealed;  ///< Offsets of the sealed segments' first bytes, and how much of each is used.
  std::vector<std::uint32_t> used;
  Geometry geometry;
  static constexpr std::size_t kKeys = 300;

  Left() {
    TestShard shard(kBytes, {.segment_bytes = 4096});
    std::mt19937_64 random(3);
    for (std::size_t key = 0; key < kKeys; ++key) {
      values[key] = std::string(20 + random() % 200, static_cast<char>('a' + key % 26)) + std::to_string(key);
      REQUIRE(shard.put("key" + std::to_string(key), values[key]) == StoreStatus::kStored);
      cas[key] = shard.cas;
      shard->tick(kStart, 64 * 1024);
    }
    for (std::size_t key = 0; key < kKeys; key += 3) {
      values[key] = "new" + std::to_string(key);
      REQUIRE(shard.put("key" + std::to_string(key), values[key]) == StoreStatus::kStored);
      cas[key] = shard.cas;
    }
    for (std::size_t key = 1; key < kKeys; key += 10) {
      values[key].clear();
      REQUIRE(shard.erase("key" + std::to_string(key)) == StoreStatus::kStored);
    }
    for (int i = 0; i < 20; ++i) shard->tick(kStart, 64 * 1024);
    REQUIRE(shard->stats().evicted_items == 0);
    geometry = shard->geometry();
    bytes.assign(shard.memory().begin(), shard.memory().end());
    for (std::uint32_t id = 0; id < geometry.segments; ++id) {
      const auto& segment = header(id);
      if (segment.live_items > 0) filled.push_back(id);
      if (segment.state != SegmentState::kSealed) continue;
      sealed.push_back(id);
      used.push_back(segment.used_bytes);
    }
    REQUIRE(sealed.size() > 8);
  }
  [[nodiscard]] const SegmentHeader& header(std::uint32_t id) const {
    return reinterpret_cast<const SegmentHeader*>(bytes.data() + kShardHeaderBytes)[id];
  }
};

/// A copy of what was left, to be damaged and attached to.
class Copy {
 public:
  explicit Copy(const Left& left) : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, kBytes))), left_(left) {
    std::memcpy(memory_.get(), left.bytes.data(), kBytes);
  }
  void flip(std::uint64_t bit) { memory_.get()[bit / 8] ^= static_cast<std::byte>(1u << bit % 8); }
  bool attach() {
    shard_ = Shard::attach({memory_.get(), kBytes}, {.segment_bytes = 4096, .now = kStart}, report);
    for (int i = 0; shard_ != nullptr && shard_->restoring() && i < 1000; ++i) shard_->tick(kStart, 16 * 1024);
    return shard_ != nullptr;
  }
  Shard* operator->() { return shard_.get(); }
  /// Every key: its last value or a miss. Gives the number of hits.
  std::size_t check() {
    std::size_t hits = 0;
    for (std::size_t key = 0; key < Left::kKeys; ++key) {
      const std::string text = "key" + std::to_string(key);
      ItemView view;
      if (shard_->find(shard_->hash(as_bytes(text)), as_bytes(text), kStart, view) != FindStatus::kHit) continue;
      ++hits;
      if (as_text(view.value) != left_.values[key] || left_.values[key].empty())
        FAIL(text << " gave " << as_text(view.value));
      if (view.cas != left_.cas[key] || view.flags != 0 || view.expires_at != kNever)
        FAIL(text << " has CAS " << view.cas << ", flags " << view.flags << ", expiry " << view.expires_at);
    }
    return hits;
  }
  AttachReport report;

 private:
  std::unique_ptr<std::byte, Free> memory_;
  const Left& left_;
  std::unique_ptr<Shard> shard_;
};

TEST_CASE("any bit that flips in a sealed segment is found at attach, and nothing of that segment is served",
          "[storage][damage]") {
  const Left left;
  Copy whole(left);
  REQUIRE(whole.attach());
  const std::size_t all = whole.check();
  REQUIRE(all == 270);
  REQUIRE(whole->stats().damaged_segments == 0);
  std::mt19937_64 random(11);
  std::size_t looked_at = 0, use_bits = 0;
  for (std::size_t s = 0; s < left.sealed.size(); ++s) {
    const std::uint64_t at = left.geometry.data_offset + std::uint64_t{left.sealed[s]} * 4096;
    // Every bit of one segment, a sample of the others.
    const std::uint64_t step = s == 0 ? 1 : 97;
    for (std::uint64_t bit = s == 0 ? 0 : random() % step; bit < std::uint64_t{left.used[s]} * 8; bit += step) {
      INFO("segment " << left.sealed[s] << ", bit " << bit);
      Copy copy(left);
      copy.flip(at * 8 + bit);
      REQUIRE(copy.attach());
      const std::size_t hits = copy.check();
      ++looked_at;
      // A use count may flip unseen, and a dead bit that is set where it was clear only loses the item.
      if (copy->stats().damaged_segments == 0) {
        ++use_bits;
        REQUIRE(hits + 1 >= all);
        continue;
      }
      REQUIRE(copy->stats().damaged_segments == 1);
      REQUIRE(hits <= all);
      if (looked_at % 64 == 0) {
        const AuditReport audit = copy->audit(kStart);
        INFO(audit.first_fault);
        REQUIRE(audit.faults == 0);
      }
    }
  }
  REQUIRE(looked_at > 10'000);
  // One state byte an item.
  REQUIRE(use_bits * 30 < looked_at);
}

TEST_CASE("any bit that flips in a segment's header or the header page leaves nothing wrong behind",
          "[storage][damage]") {
  const Left left;
  for (std::uint64_t bit = 0; bit < sizeof(ShardHeader) * 8; ++bit) {
    INFO("header page, bit " << bit);
    Copy copy(left);
    copy.flip(bit);
    if (copy.attach()) copy.check();
  }
  for (const std::uint32_t id : {left.sealed.front(), left.sealed.back()}) {
    const std::uint64_t at = kShardHeaderBytes + std::uint64_t{id} * sizeof(SegmentHeader);
    for (std::uint64_t bit = 0; bit < sizeof(SegmentHeader) * 8; ++bit) {
      INFO("segment " << id << ", header bit " << bit);
      Copy copy(left);
      copy.flip(at * 8 + bit);
      REQUIRE(copy.attach());
      copy.check();
    }
  }
}

TEST_CASE("any bit that flips in what a segment's items count from is found, sealed or not", "[storage][damage]") {
  const Left left;
  REQUIRE(left.filled.size() > left.sealed.size());
  Copy whole(left);
  REQUIRE(whole.attach());
  const std::size_t all = whole.check();
  for (const std::uint32_t id : left.filled) {
    const std::uint64_t at = left.geometry.bases_offset + std::uint64_t{id} * sizeof(SegmentBase);
    for (std::uint64_t bit = 0; bit < sizeof(SegmentBase) * 8; ++bit) {
      INFO("segment " << id << ", bit " << bit << " of its base");
      Copy copy(left);
      copy.flip(at * 8 + bit);
      REQUIRE(copy.attach());
      const std::size_t hits = copy.check();
      const bool sealed = left.header(id).state == SegmentState::kSealed;
      // Items that never expire do not count from the second half, but a sealed segment vouches for all of it.
      if (!sealed && bit >= 64) continue;
      REQUIRE(copy->stats().damaged_segments == 1);
      REQUIRE(hits < all);
    }
  }
}

TEST_CASE("the scrub finds a bit that flipped under a serving shard, gives its segment up and forgets its items",
          "[storage][damage]") {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    TestShard shard(kBytes, {.segment_bytes = 4096});
    for (int key = 0; key < 200; ++key)
      REQUIRE(shard.put("key" + std::to_string(key), std::string(150, 'v')) == StoreStatus::kStored);
    for (int i = 0; i < 20; ++i) shard->tick(kStart, 64 * 1024);
    const auto* const headers = reinterpret_cast<const SegmentHeader*>(shard.memory().data() + kShardHeaderBytes);
    std::uint32_t id = 0;
    do id = static_cast<std::uint32_t>(random() % shard->geometry().segments);
    while (headers[id].state != SegmentState::kSealed);
    const std::uint64_t items = shard->stats().items, lost = headers[id].live_items;
    std::uint64_t bit = 0;
    do bit = random() % (headers[id].used_bytes * 8u);
    while (bit / 8 % 164 == 0);  // Roughly: not a state byte, which no checksum covers.
    shard.memory()[shard->geometry().data_offset + std::uint64_t{id} * 4096 + bit / 8] ^=
        static_cast<std::byte>(1u << bit % 8);
    INFO("round " << round << ", segment " << id << ", bit " << bit);
    // Somebody writes meanwhile; the items of the damaged segment are among what is overwritten.
    for (UnixSeconds second = kStart; second < kStart + 20; ++second) {
      for (int i = 0; i < 8; ++i) shard->tick(second, 4096);
      const std::string key = "key" + std::to_string(random() % 200);
      if (second > kStart + 10) REQUIRE(shard.put(key, std::string(150, 'v'), second) == StoreStatus::kStored);
    }
    if (shard->stats().damaged_segments == 0) continue;  // It was a state byte after all.
    REQUIRE(shard->stats().damaged_segments == 1);
    REQUIRE(shard->stats().damaged_items == lost);
    REQUIRE(shard->stats().items + lost >= items);
    REQUIRE(shard->stats().items <= items);
    REQUIRE(shard->stats().scrub_rounds > 0);
    REQUIRE(shard.audit() == "");
    for (int key = 0; key < 200; ++key) {
      const auto value = shard.get("key" + std::to_string(key), kStart + 20);
      if (value) REQUIRE(*value == std::string(150, 'v'));
    }
  }
}

}  // namespace
}  // namespace gannet::storage
