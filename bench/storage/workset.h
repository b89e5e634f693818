/// The two things that are compared: what memory allows (two dependent random cache lines an operation) and what the
/// store makes of it. Both lie in the same kind of pages, walk the same numbers in the same batches, and check what
/// they read.
#pragma once

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "bench/storage/numbers.h"
#include "storage/arena.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"
#include "storage/shard.h"

namespace gannet::bench {

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
inline constexpr std::size_t kBatchMax = 64;
inline constexpr std::size_t kKeyBytes = 32, kValueBytes = 64;
inline constexpr UnixSeconds kBenchClock = 1'795'000'000;

/// Hugepages of 2 MiB if there are enough, else pages of 4 KiB. Ends the program with the sentence when there is
/// neither.
[[nodiscard]] inline storage::Arena open_memory(std::uint64_t bytes) {
  storage::ArenaOptions options;
  options.bytes = bytes;
  options.threads = 2;
  storage::ArenaResult result = storage::Arena::open(options);
  if (!result.error.empty()) {
    options.page_bytes = storage::kSmallPageBytes;
    const std::string why = result.error;
    result = storage::Arena::open(options);
    if (!result.error.empty()) {
      std::fprintf(stderr, "%s\n%s\n", why.c_str(), result.error.c_str());
      std::exit(1);
    }
  }
  return std::move(result.arena);
}

[[nodiscard]] inline const char* pages_of(const storage::Arena& arena) {
  return arena.page_bytes() == storage::kSmallPageBytes ? "4 KiB pages" : "2 MiB pages";
}

/// What the machine allows: per operation one random line, whose content names the second one.
class MemoryLimit {
 public:
  explicit MemoryLimit(std::uint64_t bytes)
      : arena_(open_memory(bytes)),
        lines_(reinterpret_cast<Line*>(arena_.bytes().data())),
        count_(bytes / sizeof(Line)) {
    for (std::uint64_t i = 0; i < count_; ++i) {
      lines_[i].next = spread(mix(~i), count_);
      lines_[i].check = mix(i);
    }
  }

  [[nodiscard]] const storage::Arena& arena() const { return arena_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

  /// `operations` in batches of `batch`; aborts on a wrong byte.
  template <class Numbers>
  void run(Numbers& numbers, std::uint64_t operations, std::size_t batch) const {
    std::array<std::uint64_t, kBatchMax> at;
    std::uint64_t wrong = 0;
    for (std::uint64_t done = 0; done < operations; done += batch) {
      for (std::size_t i = 0; i < batch; ++i) {
        at[i] = numbers.next();
        prefetch_line(&lines_[at[i]]);
      }
      for (std::size_t i = 0; i < batch; ++i) {
        at[i] = lines_[at[i]].next;
        prefetch_line(&lines_[at[i]]);
      }
      for (std::size_t i = 0; i < batch; ++i) wrong += lines_[at[i]].check != mix(at[i]);
    }
    MUST_EQ(wrong, 0u);
  }

 private:
  struct alignas(64) Line {
    std::uint64_t next, check, rest[6];
  };
  storage::Arena arena_;
  Line* lines_;
  std::uint64_t count_;
};

/// 32 bytes that differ in the middle, as the keys of one application do.
struct Key {
  alignas(16) std::array<char, kKeyBytes> bytes{'g', 'a', 'n', 'n', 'e', 't', ':', 'u',
                                                's', 'e', 'r', ':', 'i', 'd', ':', ':'};
  /// One store of 16 bytes, because the hash loads 16: a load from two stores would wait, and a key off the wire does
  /// not.
  void set(std::uint64_t number) noexcept {
    _mm_store_si128(
        reinterpret_cast<__m128i*>(&bytes[16]),
        _mm_set_epi64x(static_cast<long long>(number * 0x9e3779b97f4a7c15), static_cast<long long>(number)));
  }
  [[nodiscard]] Bytes view() const noexcept { return std::as_bytes(std::span(bytes)); }
};

/// How much room the items have.
enum class Room {
  kAmple,  ///< A quarter more than they need: nothing is ever evicted, every GET hits.
  kFull,   ///< None for the index and for what was replaced: memory is full, and every SET drives something out.
};

/// A shard and the keys it is asked for: `bytes` of items (header, key, value, padding).
class ItemSet {
 public:
  static constexpr std::uint64_t kItemBytes = storage::item_bytes_least(kKeyBytes, kValueBytes);
  static constexpr std::uint32_t kTickBytes = 64 * 1024, kSetsPerTick = 32;

  explicit ItemSet(std::uint64_t bytes, Room room = Room::kAmple)
      : count_(bytes / kItemBytes), room_(room), arena_(open_memory(region_bytes(bytes, room))) {
    storage::ShardOptions options;
    options.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
    options.now = kBenchClock;
    std::string why;
    shard_ = storage::Shard::format(arena_.bytes(), options, why);
    if (shard_ == nullptr) {
      std::fprintf(stderr, "%s\n", why.c_str());
      std::exit(1);
    }
    struct {
      std::uint64_t number = 0;
      [[nodiscard]] std::uint64_t next() noexcept { return number++; }
    } in_order;
    constexpr std::size_t kBatch = 32;
    run_mix(in_order, count_ / kBatch * kBatch, kBatch, 0);
    run_mix(in_order, count_ % kBatch, 1, 0);
    if (room == Room::kAmple) MUST_EQ(shard_->stats().items, count_);
  }

  [[nodiscard]] const storage::Arena& arena() const { return arena_; }
  [[nodiscard]] storage::Shard& shard() { return *shard_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

  /// `operations` GETs through the three stages; aborts on a miss or a wrong value.
  template <class Numbers>
  void run(Numbers& numbers, std::uint64_t operations, std::size_t batch) {
    std::array<Key, kBatchMax> key;
    std::array<std::uint64_t, kBatchMax> number;
    std::array<storage::Probe, kBatchMax> probe;
    std::array<storage::Probe*, kBatchMax> probes;
    for (std::size_t i = 0; i < kBatchMax; ++i) probes[i] = &probe[i];
    storage::Shard& shard = *shard_;
    std::uint64_t wrong = 0;
    for (std::uint64_t done = 0; done < operations; done += batch) {
      for (std::size_t i = 0; i < batch; ++i) {
        number[i] = numbers.next();
        key[i].set(number[i]);
        probe[i] = shard.hash(key[i].view());
      }
      shard.prefetch_burst(std::span(probes).first(batch));
      for (std::size_t i = 0; i < batch; ++i) {
        storage::ItemView view;
        const bool hit = shard.find(probe[i], key[i].view(), kBenchClock, view) == storage::FindStatus::kHit;
        wrong += !hit || !right(view, number[i]);
      }
    }
    MUST_EQ(wrong, 0u);
  }

  /// `operations` of which `get_percent` are GETs and the others SETs, in the order of the numbers, staged by bursts as
  /// a worker does it, with its tick. Aborts on a wrong value, and on a miss where all items have room. Gives the hits.
  template <class Numbers>
  std::uint64_t run_mix(Numbers& numbers, std::uint64_t operations, std::size_t batch, std::uint32_t get_percent) {
    return run_mix(
        numbers, operations, batch, get_percent, [](auto&& call) { call(); }, [](auto&& call) { call(); });
  }

  /// The same; every SET is made by `time_set(call)` and every tick by `time_tick(call)`.
  template <class Numbers, class TimeSet, class TimeTick>
  std::uint64_t run_mix(Numbers& numbers, std::uint64_t operations, std::size_t batch, std::uint32_t get_percent,
                        TimeSet&& time_set, TimeTick&& time_tick) {
    std::array<Key, kBatchMax> key;
    std::array<std::uint64_t, kBatchMax> number;
    std::array<storage::Probe, kBatchMax> probe;
    std::array<storage::Probe*, kBatchMax> probes;
    for (std::size_t i = 0; i < kBatchMax; ++i) probes[i] = &probe[i];
    storage::Shard& shard = *shard_;
    std::uint64_t wrong = 0, hits = 0;
    for (std::uint64_t done = 0; done < operations; done += batch) {
      for (std::size_t i = 0; i < batch; ++i) {
        number[i] = numbers.next();
        key[i].set(number[i]);
        probe[i] = shard.hash(key[i].view());
      }
      shard.prefetch_burst(std::span(probes).first(batch));
      for (std::size_t i = 0; i < batch; ++i) {
        if (mix(++turn_) % 100 >= get_percent) {
          time_set([&] { store(number[i], key[i], probe[i]); });
          ++sets_;
          continue;
        }
        storage::ItemView view;
        const bool hit = shard.find(probe[i], key[i].view(), kBenchClock, view) == storage::FindStatus::kHit;
        hits += hit;
        wrong += hit ? !right(view, number[i]) : room_ == Room::kAmple;
      }
      // Between bursts, as a worker does it: what a burst has prefetched is not driven out by the tick.
      for (; sets_ >= kSetsPerTick; sets_ -= kSetsPerTick) time_tick([&] { shard.tick(kBenchClock, kTickBytes); });
    }
    MUST_EQ(wrong, 0u);
    return hits;
  }

 private:
  [[nodiscard]] static std::uint64_t region_bytes(std::uint64_t bytes, Room room) {
    return room == Room::kAmple ? bytes + bytes / 4 + 4 * kMiB : bytes;
  }
  [[nodiscard]] static bool right(const storage::ItemView& view, std::uint64_t number) {
    return view.value.size() == kValueBytes && load_raw<std::uint64_t>(view.value.data()) == mix(number);
  }
  void store(std::uint64_t number, const Key& key, storage::Probe probe) {
    std::array<std::uint64_t, kValueBytes / 8> value;
    value.fill(mix(number));
    storage::SetRequest request;
    request.key = key.view();
    request.value_bytes = kValueBytes;
    std::uint64_t cas = 0;
    MUST_EQ(shard_->set(probe, request, std::as_bytes(std::span(value)), kBenchClock, cas),
            storage::StoreStatus::kStored);
  }

  std::uint64_t count_;
  Room room_;
  std::uint64_t turn_ = 0, sets_ = 0;
  storage::Arena arena_;
  std::unique_ptr<storage::Shard> shard_;
};

}  // namespace gannet::bench
