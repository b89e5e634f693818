/// The index: from a key's hash to the places of items that may have that key. Linear hashing in buckets of one cache
/// line, carved from the region's own segments in pages; it grows and shrinks one bucket at a time.
///
///            0              12      16                                64
///   bucket  +--------------+-------+---------------------------------+    slot i, 40 bits:  highs[i] | lows[i]
///           | highs, 12 B  | link  | lows, 12 x 4 B                  |            = tag | place;  0 is an empty slot
///           +--------------+-------+---------------------------------+
///
/// A place is an item's distance from the region's start in units of kItemAlign; it takes as many bits as the region
/// needs (28 for 1 GiB), and the tag, from the hash's top, gets what is left (12). So the top bits of all tags lie in
/// one vector, which is compared at once, and the rest of a tag is looked at where those fit. A bucket is chosen by the
/// hash's low bits, which the tags know nothing of: a split asks the items of its one chain for their hash again.
#pragma once

#include <smmintrin.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/base/bytes.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"
#include "storage/overflow.h"
#include "storage/segment.h"
#include "storage/store.h"

namespace gannet::storage {

class Index {
 public:
  static constexpr std::uint32_t kSlots = 12, kSlotBits = 40;
  /// Items per bucket, on average, above which it grows, and below which it shrinks. Measured: see storage/README.md.
  static constexpr std::uint32_t kGrowLoad = 9, kShrinkLoad = 5;
  /// A chain longer than this takes no more: with a keyed hash it means that growth was starved of memory.
  static constexpr std::uint32_t kChainBucketsMax = 16;

  /// From here on a segment for overflow alone costs less than one part in 64 of memory.
  static constexpr std::uint32_t kSegmentsForOwnStores = 64;

  /// A tag above an item's place; 0 is no entry.
  using Slot = std::uint64_t;
  struct alignas(64) Bucket {
    std::uint8_t highs[kSlots];  ///< Bits 32..39 of each slot.
    std::uint32_t link;          ///< Place of the overflow bucket / 64, 0 for none.
    std::uint32_t lows[kSlots];  ///< Bits 0..31 of each slot.

    [[nodiscard]] Slot slot(std::uint32_t i) const noexcept { return Slot{highs[i]} << 32 | lows[i]; }
    void set(std::uint32_t i, Slot slot) noexcept {
      highs[i] = static_cast<std::uint8_t>(slot >> 32);
      lows[i] = static_cast<std::uint32_t>(slot);
    }
    /// Bit i: slot i is like `wanted` in those bits 32..39 that `mask` names; in the others `wanted` has zeros. All at
    /// once, because which slot matches is chance and a branch on it is mispredicted.
    [[nodiscard]] std::uint32_t matches(Slot wanted, std::uint8_t mask) const noexcept {
      const __m128i high = _mm_set1_epi8(static_cast<char>(wanted >> 32));
      const __m128i highs_and_link = _mm_load_si128(reinterpret_cast<const __m128i*>(this));
      const __m128i same = _mm_cmpeq_epi8(_mm_and_si128(highs_and_link, _mm_set1_epi8(static_cast<char>(mask))), high);
      return static_cast<std::uint32_t>(_mm_movemask_epi8(same)) & kAllSlots;
    }
    /// Bit i: slot i is empty.
    [[nodiscard]] std::uint32_t empty() const noexcept {
      const auto* const quarters = reinterpret_cast<const __m128i*>(this);
      const auto zero = [&](int quarter) {
        return _mm_cmpeq_epi32(_mm_load_si128(quarters + quarter), _mm_setzero_si128());
      };
      const __m128i no_lows = _mm_packs_epi16(_mm_packs_epi32(zero(1), zero(2)), _mm_packs_epi32(zero(3), zero(3)));
      const __m128i no_highs = _mm_cmpeq_epi8(_mm_load_si128(quarters), _mm_setzero_si128());
      return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_and_si128(no_lows, no_highs))) & kAllSlots;
    }
    [[nodiscard]] std::uint32_t used() const noexcept { return ~empty() & kAllSlots; }
  };
  static constexpr std::uint32_t kAllSlots = (1u << kSlots) - 1;
  static_assert(sizeof(Bucket) == 64 && offsetof(Bucket, link) == 12 && offsetof(Bucket, lows) == 16);

  Index() = default;
  /// `first_segment` becomes the index's first home: one page of buckets, the others in store.
  void format(std::byte* base, const Geometry& geometry, std::uint32_t first_segment) noexcept;

  [[nodiscard]] std::uint64_t items() const noexcept { return items_; }
  [[nodiscard]] std::uint64_t buckets() const noexcept { return buckets_; }
  [[nodiscard]] std::uint64_t overflow_buckets_free() const noexcept { return overflow_.free_buckets(); }
  [[nodiscard]] std::uint64_t overflow_buckets_used() const noexcept { return overflow_.used_buckets(); }

  [[nodiscard]] const Bucket* bucket(std::uint64_t hash) const noexcept { return bucket_at(bucket_number(hash)); }
  void prefetch(std::uint64_t hash) const noexcept { prefetch_line(bucket(hash)); }

  /// Asks for the buckets of several hashes. In a loop of its own: a prefetch whose page is not in the TLB waits for
  /// its walk and holds up what is behind it, so that only those close together overlap.
  void prefetch_buckets(std::span<const std::uint64_t> hashes) const noexcept {
    for (const std::uint64_t hash : hashes) prefetch(hash);
  }

  /// An entry that was found; `place` 0 for none. Good until the index is changed.
  struct Entry {
    Location place = 0;
    Bucket* in = nullptr;
    std::uint32_t slot = 0;
  };
  /// Calls `candidate(location)` for each item whose tag matches until it says true; that entry, or none.
  template <class Candidate>
  [[nodiscard]] Entry find_entry(std::uint64_t hash, Candidate&& candidate) const noexcept {
    const Slot wanted = slot_of(hash, 0);
    for (Bucket* at = bucket_at(bucket_number(hash));;) {
      for (std::uint32_t match = at->matches(wanted, high_mask_); match != 0; match &= match - 1) {
        const Location place = at->slot(lowest(match)) ^ wanted;
        if (place <= place_max_ && place != 0 && candidate(place)) return {place, at, lowest(match)};
      }
      if (at->link == 0) [[likely]]
        return {};
      at = overflow_at(at->link);
    }
  }
  template <class Candidate>
  [[nodiscard]] Location find(std::uint64_t hash, Candidate&& candidate) const noexcept {
    return find_entry(hash, candidate).place;
  }
  /// The entry of that very item, which must be there.
  [[nodiscard]] Entry entry_of(std::uint64_t hash, Location at) const noexcept {
    Entry entry{at};
    entry.in = bucket_holding(hash, at, entry.slot);
    MUST(entry.in != nullptr);
    return entry;
  }
  /// Prefetches what a lookup will touch after the bucket line: the first two lines of items whose tag matches, or the
  /// overflow bucket. Gives the first of those items, 0 for none. It stays an entry of the index as long as
  /// withdrawals() stays the same.
  [[nodiscard]] Location prefetch_items(std::uint64_t hash) const noexcept {
    const Bucket* const at = bucket(hash);
    const Location place = first_match(*at, slot_of(hash, 0));
    if (place != 0) {
      prefetch_item(place);
    } else if (at->link != 0) {
      prefetch_line(overflow_at(at->link));
    }
    return place;
  }
  static constexpr std::uint32_t kPrefetchBurstMax = 64;
  /// Both steps for a burst of at most kPrefetchBurstMax probes, whole: what find() will touch is on its way when this
  /// returns. Notes in each its place as prefetch_items() gives it, overflow buckets searched too, and withdrawals().
  void prefetch_burst(std::span<Probe* const> probes) const noexcept;
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
  [[nodiscard]] bool insert(std::uint64_t hash, Location at) noexcept {
    return find_or_insert(hash, at, [](Location) { return false; }) == at;
  }
  /// find(), and insert() where it found nothing. Gives what it found, else `at`, else 0 for a chain as long as it may
  /// be.
  template <class Candidate>
  [[nodiscard]] Location find_or_insert(std::uint64_t hash, Location at, Candidate&& candidate) noexcept {
    return find_or_insert(bucket_at(bucket_number(hash)), hash, at, candidate);
  }
  /// The same for the bucket that prefetch_head() gave.
  template <class Candidate>
  [[nodiscard]] Location find_or_insert(Bucket* head, std::uint64_t hash, Location at, Candidate&& candidate) noexcept;
  /// As prefetch(); where it is, good until a bucket is split or folded.
  [[nodiscard]] Bucket* prefetch_head(std::uint64_t hash) const noexcept {
    Bucket* const head = bucket_at(bucket_number(hash));
    prefetch_line(head);
    return head;
  }
  /// The entry, one of `hash`, points to `to` from here on.
  void replace(const Entry& entry, std::uint64_t hash, Location to) noexcept {
    ++withdrawals_;
    ++lines_;
    entry.in->set(entry.slot, slot_of(hash, to));
  }
  /// The entry must be there.
  void replace(std::uint64_t hash, Location from, Location to) noexcept { replace(entry_of(hash, from), hash, to); }
  void remove(std::uint64_t hash, Location at) noexcept;
  /// Removes every entry of bucket number `bucket` that points into [first, end), whatever its hash.
  void sweep(std::uint64_t bucket, Location first, Location end) noexcept;
  /// True when the very entry is there (audit).
  [[nodiscard]] bool holds(std::uint64_t hash, Location at) const noexcept;

  /// Splits the next bucket. Needs a page in store when growth_needs_segment() would say so. `hash_of(location)` hashes
  /// the key of an item of the bucket's chain; all of them have been prefetched when the first is asked for.
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
    Slot slots[kChainSlotsMax];
    std::uint32_t count = 0;
  };

  [[nodiscard]] static std::uint32_t lowest(std::uint32_t bits) noexcept {
    return static_cast<std::uint32_t>(std::countr_zero(bits));
  }
  /// The first item in a bucket that carries the tag of `wanted`, a slot without a place; 0 for none. A second one is
  /// left to the lookup.
  [[gnu::always_inline]] [[nodiscard]] Location first_match(const Bucket& in, Slot wanted) const noexcept {
    for (std::uint32_t match = in.matches(wanted, high_mask_); match != 0; match &= match - 1) {
      const Location place = in.slot(lowest(match)) ^ wanted;
      if (place <= place_max_) [[likely]]
        return place;
    }
    return 0;
  }
  void prefetch_item(Location at) const noexcept {
    prefetch_line(base_ + at * kItemAlign);
    prefetch_line(base_ + at * kItemAlign + 64);
  }
  [[nodiscard]] Slot slot_of(std::uint64_t hash, Location at) const noexcept {
    return (hash >> (64 - kSlotBits) & ~place_max_) | at;
  }
  [[nodiscard]] Location place_of(Slot slot) const noexcept { return slot & place_max_; }
  [[nodiscard]] std::uint64_t bucket_number(std::uint64_t hash) const noexcept {
    // Without a branch: how much of a doubling is done, is how often it would be mispredicted.
    const std::uint64_t number = hash & mask_;
    return number & (mask_ >> 1 | -static_cast<std::uint64_t>(number < buckets_));
  }
  [[nodiscard]] Bucket* bucket_at(std::uint64_t number) const noexcept {
    const std::uint64_t page = directory_[number >> page_buckets_shift_];
    return reinterpret_cast<Bucket*>(pages_) + (page << page_buckets_shift_) + (number & page_mask_);
  }
  [[nodiscard]] Bucket* overflow_at(std::uint64_t link) const noexcept {
    return reinterpret_cast<Bucket*>(base_ + link * sizeof(Bucket));
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
  [[nodiscard]] std::uint32_t take_overflow() noexcept;
  /// The bucket that holds the entry, and its slot there; nullptr when there is none.
  [[nodiscard]] Bucket* bucket_holding(std::uint64_t hash, Location at, std::uint32_t& slot) const noexcept;
  /// Empties a chain into `loose`, its overflow buckets freed. False: too long; nothing was changed.
  [[nodiscard]] bool take_apart(Bucket* head, Loose& loose) noexcept;
  /// Writes slots into an empty chain. Never runs out: see grow().
  void put_together(Bucket* head, std::span<const Slot> slots) noexcept;

  std::byte* base_ = nullptr;         // The region.
  std::byte* pages_ = nullptr;        // Segment 0: page p lies p pages behind it.
  SegmentHeader* headers_ = nullptr;  // Of all segments; those of the index's own count pages in store.
  std::uint32_t* directory_ = nullptr;
  std::uint64_t mask_ = 0, buckets_ = 0, buckets_max_ = 0, page_mask_ = 0;
  std::uint32_t page_shift_ = 0, page_buckets_shift_ = 0;
  Location place_max_ = 0;      // All bits of a place set; a slot's others are its tag.
  std::uint8_t high_mask_ = 0;  // Those of bits 32..39 that are tag.
  Store store_[2];
  bool shared_store_ = true;
  OverflowPages overflow_;
  std::uint64_t items_ = 0, withdrawals_ = 1;
  mutable std::uint64_t lines_ = 0;
};

template <class Candidate>
Location Index::find_or_insert(Bucket* head, std::uint64_t hash, Location at, Candidate&& candidate) noexcept {
  const Slot wanted = slot_of(hash, 0);
  Bucket* in = head;
  Bucket* room = nullptr;
  std::uint32_t slot = 0, length = 1;
  for (;; ++length) {
    for (std::uint32_t match = in->matches(wanted, high_mask_); match != 0; match &= match - 1) {
      const Location place = in->slot(lowest(match)) ^ wanted;
      if (place <= place_max_ && place != 0 && candidate(place)) return place;
    }
    if (const std::uint32_t empty = in->empty(); room == nullptr && empty != 0) {
      room = in;
      slot = lowest(empty);
    }
    if (in->link == 0) [[likely]]
      break;
    in = overflow_at(in->link);
  }
  lines_ += length;
  if (room == nullptr) [[unlikely]] {
    if (length >= kChainBucketsMax) return 0;
    in->link = take_overflow();
    room = overflow_at(in->link);
  }
  room->set(slot, wanted | at);
  ++items_;
  return at;
}

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
  for (std::uint32_t i = 0; i < loose.count; ++i) prefetch_item(place_of(loose.slots[i]));
  Slot moved[kChainSlotsMax];
  std::uint32_t kept = 0, gone = 0;
  for (std::uint32_t i = 0; i < loose.count; ++i) {
    const Slot slot = loose.slots[i];
    if ((hash_of(place_of(slot)) & half) != 0) {
      moved[gone++] = slot;
    } else {
      loose.slots[kept++] = slot;
    }
  }
  // Two chains of k and m slots need at most as many overflow buckets as the one of k + m gave back: ceil(k / kSlots) +
  // ceil(m / kSlots) - 2 <= ceil((k + m) / kSlots) - 1.
  put_together(from, {loose.slots, kept});
  put_together(to, {moved, gone});
  if (half == mask_ + 1) mask_ = mask_ * 2 + 1;
  ++buckets_;
}

}  // namespace gannet::storage
