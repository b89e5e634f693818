/// The index: from a key's hash to the places of items that may have that key. Linear hashing in buckets of one cache
/// line, carved from the region's own segments in pages; it grows and shrinks one bucket at a time.
///
///   bucket, 64 B:  7 slots of 8 B + link       slot:  tag 20 bits | location 44 bits (bytes / 4 from the region's
///   start), 0 = empty
///                                              link:  place of the overflow bucket / 64, 0 = none
///
/// A bucket is chosen by the low bits of the hash, the tag is bits 14..33. So a split at or above 2^14 buckets reads
/// the bit it needs from the tag and never touches an item; below that, the table and its items are small enough to be
/// asked for their hash again. The price is that a tag tells less as the table grows: at 2^25 buckets (170 million
/// items) 9 bits are left, and a lookup reads a wrong item's line once in 100.
#pragma once

#include <smmintrin.h>

#include <bit>
#include <cstdint>
#include <span>

#include "storage/base/bytes.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"
#include "storage/overflow.h"
#include "storage/segment.h"

namespace gannet::storage {

class Index {
 public:
  static constexpr std::uint32_t kSlots = 7;
  static constexpr std::uint32_t kTagShift = 14, kTagBits = 20, kLocationBits = 44;
  static constexpr std::uint64_t kLocationMask = (std::uint64_t{1} << kLocationBits) - 1;
  /// Items per bucket, on average, above which it grows, and below which it shrinks.
  static constexpr std::uint32_t kGrowLoad = 5, kShrinkLoad = 2;
  /// A chain longer than this takes no more: with a keyed hash it means that growth was starved of memory.
  static constexpr std::uint32_t kChainBucketsMax = 16;

  /// From here on a segment for overflow alone costs less than one part in 64 of memory.
  static constexpr std::uint32_t kSegmentsForOwnStores = 64;

  struct alignas(64) Bucket {
    std::uint64_t slots[kSlots];
    std::uint64_t link;
  };
  static_assert(sizeof(Bucket) == 64);

  Index() = default;
  /// `first_segment` becomes the index's first home: one page of buckets, the others in store.
  void format(std::byte* base, const Geometry& geometry, std::uint32_t first_segment) noexcept;

  [[nodiscard]] std::uint64_t items() const noexcept { return items_; }
  [[nodiscard]] std::uint64_t buckets() const noexcept { return buckets_; }
  [[nodiscard]] std::uint64_t overflow_buckets_free() const noexcept { return overflow_.free_buckets(); }
  [[nodiscard]] std::uint64_t overflow_buckets_used() const noexcept { return overflow_.used_buckets(); }

  [[nodiscard]] const Bucket* bucket(std::uint64_t hash) const noexcept { return bucket_at(bucket_number(hash)); }
  void prefetch(std::uint64_t hash) const noexcept { prefetch_line(bucket(hash)); }

  /// Calls `candidate(location)` for each item whose tag matches until it says true; that location, or 0.
  template <class Candidate>
  [[nodiscard]] Location find(std::uint64_t hash, Candidate&& candidate) const noexcept {
    const std::uint64_t tag = tag_of(hash);
    for (const Bucket* at = bucket(hash);;) {
      for (std::uint32_t match = matches(*at, tag); match != 0; match &= match - 1) {
        const Location location = at->slots[std::countr_zero(match)] & kLocationMask;
        if (location != 0 && candidate(location)) return location;
      }
      if (at->link == 0) [[likely]]
        return 0;
      at = overflow_at(at->link);
    }
  }
  /// Prefetches what a lookup will touch after the bucket line: the first two lines of items whose tag matches, or the
  /// overflow bucket. Gives the first of those items, 0 for none. It stays an entry of the index as long as
  /// withdrawals() stays the same.
  [[nodiscard]] Location prefetch_items(std::uint64_t hash) const noexcept {
    const Bucket* const at = bucket(hash);
    const Location place = first_match(*at, tag_of(hash));
    if (place != 0) {
      prefetch_item(place);
    } else if (at->link != 0) {
      prefetch_line(overflow_at(at->link));
    }
    return place;
  }
  static constexpr std::uint32_t kPrefetchBurstMax = 64;
  /// Both steps for a burst of at most kPrefetchBurstMax hashes, whole: what find() will touch is on its way when this
  /// returns. Gives each hash's place as prefetch_items() does, overflow buckets searched too.
  void prefetch_burst(std::span<const std::uint64_t> hashes, std::span<Location> places) const noexcept;
  /// Counts the entries that went or were pointed elsewhere; starts at 1. New entries, splits and folds withdraw
  /// nothing.
  [[nodiscard]] std::uint64_t withdrawals() const noexcept { return withdrawals_; }

  /// True when insert() cannot fail for want of an overflow bucket: at least one is at hand. Otherwise ready_overflow()
  /// takes a page.
  [[nodiscard]] bool overflow_ready() const noexcept { return overflow_.free_buckets() > 0; }
  /// Turns a page in store into overflow buckets. False: no page in store, give a segment first.
  [[nodiscard]] bool ready_overflow() noexcept;
  /// What a page is for. Kept in stores of their own, each with its own segments, so that a table that shrinks leaves
  /// whole segments behind; in a small arena one store serves both.
  enum class Use : std::uint32_t { kBuckets, kOverflow };
  /// A free segment of the pool becomes pages in store.
  void give_segment(std::uint32_t id, Use use) noexcept;
  /// True when a split needs a page and none is in store.
  [[nodiscard]] bool growth_needs_segment() const noexcept {
    return (buckets_ & page_mask_) == 0 && store_[0].pages == 0;
  }
  [[nodiscard]] bool wants_growth() const noexcept { return items_ > buckets_ * kGrowLoad && buckets_ < buckets_max_; }
  [[nodiscard]] bool wants_shrink() const noexcept {
    return buckets_ > page_mask_ + 1 && items_ < buckets_ * kShrinkLoad;
  }

  /// Puts a new entry in. Needs overflow_ready(). False: the chain is as long as it may be; nothing was changed.
  [[nodiscard]] bool insert(std::uint64_t hash, Location at) noexcept;
  /// The entry must be there.
  void replace(std::uint64_t hash, Location from, Location to) noexcept;
  void remove(std::uint64_t hash, Location at) noexcept;
  /// Removes every entry of bucket number `bucket` that points into [first, end), whatever its hash.
  void sweep(std::uint64_t bucket, Location first, Location end) noexcept;
  /// True when the very entry is there (audit).
  [[nodiscard]] bool holds(std::uint64_t hash, Location at) const noexcept;

  /// Splits the next bucket. Needs a page in store when growth_needs_segment() would say so. `hash_of(location)` hashes
  /// an item's key; asked only while the table is small.
  template <class HashOf>
  void grow(HashOf&& hash_of) noexcept;
  /// A page of empty buckets more, without looking at the others: only while the index has no entry. Needs a page in
  /// store.
  void add_empty_page() noexcept;
  /// Folds the last bucket into the one it was split from. Needs overflow_ready(). May leave a page in store. False:
  /// not now.
  [[nodiscard]] bool shrink() noexcept;
  /// A segment all of whose pages are in store is the pool's again: taken out of the store and returned. kNoSegment:
  /// there is none. Ask after each step that may have left a page in store.
  [[nodiscard]] std::uint32_t give_back_segment(Use use) noexcept;
  /// A page of overflow buckets none of which is used goes into store, if enough are left. False: there is none.
  [[nodiscard]] bool store_empty_overflow() noexcept;
  /// Cache lines that changes have touched so far.
  [[nodiscard]] std::uint64_t lines_touched() const noexcept { return lines_; }
  /// Audit: every link, slot and count. Gives the number of slots in use, or ~0 when the structure is broken.
  [[nodiscard]] std::uint64_t count_slots() const noexcept;

 private:
  static constexpr std::uint32_t kChainSlotsMax = kChainBucketsMax * kSlots;
  /// A chain taken apart: its slots, in no order.
  struct Loose {
    std::uint64_t slots[kChainSlotsMax];
    std::uint32_t count = 0;
  };

  [[nodiscard]] static std::uint64_t tag_of(std::uint64_t hash) noexcept {
    return hash >> kTagShift & ((std::uint64_t{1} << kTagBits) - 1);
  }
  /// Bit i: slot i carries `tag`. All seven at once, because which slot matches is chance and a branch on it is
  /// mispredicted. An empty slot matches tag 0; its location is 0.
  [[nodiscard]] static std::uint32_t matches(const Bucket& bucket, std::uint64_t tag) noexcept {
    const __m128i wanted = _mm_set1_epi64x(static_cast<long long>(tag));
    const auto* const pairs = reinterpret_cast<const __m128i*>(&bucket);
    const auto match_of = [&](int pair) {
      const __m128i tags = _mm_srli_epi64(_mm_load_si128(pairs + pair), kLocationBits);
      return static_cast<std::uint32_t>(_mm_movemask_pd(_mm_castsi128_pd(_mm_cmpeq_epi64(tags, wanted))));
    };
    const std::uint32_t match = match_of(0) | match_of(1) << 2 | match_of(2) << 4 | match_of(3) << 6;
    return match & ((1u << kSlots) - 1);
  }
  /// The first item in a bucket that carries `tag`, 0 for none. A second one is left to the lookup.
  [[gnu::always_inline]] [[nodiscard]] static Location first_match(const Bucket& in, std::uint64_t tag) noexcept {
    const std::uint32_t match = matches(in, tag);
    return match == 0 ? 0 : in.slots[std::countr_zero(match)] & kLocationMask;
  }
  void prefetch_item(Location at) const noexcept {
    prefetch_line(base_ + at * 4);
    prefetch_line(base_ + at * 4 + 64);
  }
  [[nodiscard]] static std::uint64_t slot_of(std::uint64_t hash, Location at) noexcept {
    return tag_of(hash) << kLocationBits | at;
  }
  [[nodiscard]] std::uint64_t bucket_number(std::uint64_t hash) const noexcept {
    // Without a branch: how much of a doubling is done, is how often it would be mispredicted.
    const std::uint64_t number = hash & mask_, folded = number & (mask_ >> 1);
    const std::uint64_t not_split_yet = -static_cast<std::uint64_t>(number >= buckets_);
    return number ^ ((number ^ folded) & not_split_yet);
  }
  [[nodiscard]] Bucket* bucket_at(std::uint64_t number) const noexcept {
    const std::uint64_t page = directory_[number >> page_buckets_shift_];
    return reinterpret_cast<Bucket*>(pages_ + (page << page_shift_) + (number & page_mask_) * sizeof(Bucket));
  }
  [[nodiscard]] Bucket* overflow_at(std::uint64_t link) const noexcept {
    return reinterpret_cast<Bucket*>(base_ + link * sizeof(Bucket));
  }
  [[nodiscard]] std::uint64_t link_to(const Bucket* bucket) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(bucket) - base_) / sizeof(Bucket);
  }
  struct Store {
    std::uint32_t head = 0, pages = 0;  // Page number + 1; the pages are a list.
  };
  /// The first words of a page in store: its neighbours, page number + 1.
  struct StoredPage {
    std::uint32_t next, previous;
  };
  [[nodiscard]] StoredPage& stored(std::uint32_t page) noexcept {
    return *reinterpret_cast<StoredPage*>(page_at(page));
  }
  [[nodiscard]] Store& store_for(Use use) noexcept {
    return store_[shared_store_ ? 0 : static_cast<std::uint32_t>(use)];
  }
  [[nodiscard]] std::uint32_t take_page(Store& from) noexcept;
  void take_page_out(Store& from, std::uint32_t page) noexcept;
  void store_page(Store& into, std::uint32_t page) noexcept;
  [[nodiscard]] std::byte* page_at(std::uint32_t page) const noexcept {
    return pages_ + (static_cast<std::uint64_t>(page) << page_shift_);
  }
  [[nodiscard]] std::uint64_t take_overflow() noexcept;
  [[nodiscard]] std::uint64_t* slot_holding(std::uint64_t hash, Location at, Bucket*& in) const noexcept;
  /// Empties a chain into `loose`, its overflow buckets freed. False: too long; nothing was changed.
  [[nodiscard]] bool take_apart(Bucket* head, Loose& loose) noexcept;
  /// Writes slots into an empty chain. Never runs out: see grow().
  void put_together(Bucket* head, std::span<const std::uint64_t> slots) noexcept;

  std::byte* base_ = nullptr;         // The region.
  std::byte* pages_ = nullptr;        // Segment 0: page p lies p pages behind it.
  SegmentHeader* headers_ = nullptr;  // Of all segments; those of the index's own count pages in store.
  std::uint32_t* directory_ = nullptr;
  std::uint64_t mask_ = 0, buckets_ = 0, buckets_max_ = 0, page_mask_ = 0;
  std::uint32_t page_shift_ = 0, page_buckets_shift_ = 0;
  Store store_[2];
  bool shared_store_ = true;
  OverflowPages overflow_;
  std::uint64_t items_ = 0, withdrawals_ = 1;
  mutable std::uint64_t lines_ = 0;
};

template <class HashOf>
void Index::grow(HashOf&& hash_of) noexcept {
  // Bucket `old` = buckets_ - half splits into itself and `buckets_`, by the hash bit `half`.
  std::uint64_t half = (mask_ + 1) >> 1;
  if (buckets_ == mask_ + 1) half = mask_ + 1;
  Bucket* const from = bucket_at(buckets_ - half);
  Loose loose;
  if (!take_apart(from, loose)) return;
  ++lines_;
  if ((buckets_ & page_mask_) == 0) directory_[buckets_ >> page_buckets_shift_] = take_page(store_[0]);
  Bucket* const to = bucket_at(buckets_);
  *to = Bucket{};
  const auto bit = static_cast<std::uint32_t>(__builtin_ctzll(half));
  std::uint64_t moved[kChainSlotsMax];
  std::uint32_t kept = 0, gone = 0;
  for (std::uint32_t i = 0; i < loose.count; ++i) {
    const std::uint64_t slot = loose.slots[i];
    const bool up = bit >= kTagShift ? (slot >> (kLocationBits + bit - kTagShift) & 1) != 0
                                     : (hash_of(slot & kLocationMask) >> bit & 1) != 0;
    if (up) {
      moved[gone++] = slot;
    } else {
      loose.slots[kept++] = slot;
    }
  }
  // Two chains of k and m slots need at most as many overflow buckets as the one of k + m gave back: ceil(k/7) +
  // ceil(m/7) - 2
  // <= ceil((k + m) / 7) - 1.
  put_together(from, {loose.slots, kept});
  put_together(to, {moved, gone});
  if (half == mask_ + 1) mask_ = mask_ * 2 + 1;
  ++buckets_;
}

}  // namespace gannet::storage
