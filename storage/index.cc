#include "storage/index.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace gannet::storage {

void Index::format(std::byte* base, const Geometry& geometry, std::uint32_t first_segment) noexcept {
  base_ = base;
  pages_ = base + geometry.data_offset;
  headers_ = reinterpret_cast<SegmentHeader*>(base + kShardHeaderBytes);
  directory_ = reinterpret_cast<std::uint32_t*>(base + geometry.directory_offset);
  page_shift_ = geometry.page_shift;
  page_buckets_shift_ = geometry.page_shift - 6;
  const std::uint64_t page_buckets = std::uint64_t{1} << page_buckets_shift_;
  page_mask_ = page_buckets - 1;
  buckets_max_ = page_buckets * kPagesPerSegment * geometry.segments;
  shared_store_ = geometry.segments < kSegmentsForOwnStores;
  // Places are smaller than the region's size in units, so that it needs no bit more than its last unit's number.
  MUST_LE(geometry.region_bytes, kRegionBytesMax);
  place_max_ = std::bit_ceil(geometry.region_bytes / kItemAlign) - 1;
  high_mask_ = static_cast<std::uint8_t>(~(place_max_ >> 32));
  overflow_.format(base_, pages_, page_shift_);
  give_segment(first_segment, Use::kBuckets);
  directory_[0] = take_page(store_[0]);
  mask_ = page_buckets - 1;
  buckets_ = page_buckets;
  std::memset(bucket_at(0), 0, page_buckets * sizeof(Bucket));
}

void Index::add_empty_page() noexcept {
  MUST_EQ(items_, 0u);
  MUST_EQ(buckets_ & page_mask_, 0u);
  directory_[buckets_ >> page_buckets_shift_] = take_page(store_[0]);
  std::memset(bucket_at(buckets_), 0, (page_mask_ + 1) * sizeof(Bucket));
  buckets_ += page_mask_ + 1;
  mask_ = std::bit_ceil(buckets_) - 1;
}

void Index::give_segment(std::uint32_t id, Use use) noexcept {
  headers_[id].previous = 0;
  for (std::uint32_t i = kPagesPerSegment; i-- > 0;) store_page(store_for(use), id * kPagesPerSegment + i);
}

void Index::store_page(Store& into, std::uint32_t page) noexcept {
  lines_ += 3;  // The page, its neighbour, the segment's header.
  stored(page) = {into.head, 0};
  if (into.head != 0) stored(into.head - 1).previous = page + 1;
  into.head = page + 1;
  ++into.pages;
  ++headers_[page / kPagesPerSegment].previous;
}

void Index::take_page_out(Store& from, std::uint32_t page) noexcept {
  lines_ += 4;
  const StoredPage out = stored(page);
  (out.previous != 0 ? stored(out.previous - 1).next : from.head) = out.next;
  if (out.next != 0) stored(out.next - 1).previous = out.previous;
  --from.pages;
  --headers_[page / kPagesPerSegment].previous;
}

std::uint32_t Index::take_page(Store& from) noexcept {
  MUST_GT(from.pages, 0u);
  const std::uint32_t page = from.head - 1;
  take_page_out(from, page);
  return page;
}

bool Index::ready_overflow() noexcept {
  if (overflow_ready()) return true;
  Store& store = store_for(Use::kOverflow);
  if (store.pages == 0) return false;
  overflow_.add_page(take_page(store));
  return true;
}

bool Index::store_empty_overflow() noexcept {
  // What one step takes at most before it gives back is far less than a page.
  std::uint32_t page = 0;
  if (!overflow_.take_page(2 * kChainBucketsMax, page)) return false;
  store_page(store_for(Use::kOverflow), page);
  return true;
}

std::uint32_t Index::take_overflow() noexcept {
  lines_ += 2;
  const auto link = static_cast<std::uint32_t>(overflow_.take());
  *overflow_at(link) = Bucket{};
  return link;
}

void Index::prefetch_burst(std::span<Probe* const> probes) const noexcept {
  MUST_LE(probes.size(), kPrefetchBurstMax);
  const std::size_t count = probes.size();
  std::array<const Bucket*, kPrefetchBurstMax> at;
  const Index here = *this;  // The compiler cannot know that what is noted in a probe changes nothing of this.
  // Loops of their own: a prefetch whose page is not in the TLB waits for its walk and holds up what is behind it; only
  // what fits the reorder buffer overlaps.
  for (std::size_t i = 0; i < count; ++i) {
    at[i] = here.bucket(probes[i]->hash);
    prefetch_line(at[i]);
    probes[i]->seen = here.withdrawals_;
  }
  // Items in groups of eight, two lines each: a core that has as many lines under way as it can (24 on Zen 3, fewer
  // before) drops the next ones.
  constexpr std::size_t kGroup = 8;
  std::uint64_t elsewhere = 0;  // Bit i: probe i's item is not in its chain's first bucket.
  for (std::size_t first = 0; first < count; first += kGroup) {
    const std::size_t end = std::min(first + kGroup, count);
    std::array<const std::byte*, kGroup> wanted;
    for (std::size_t i = first; i < end; ++i) {
      const Location place = here.first_match(*at[i], here.slot_of(probes[i]->hash, 0));
      probes[i]->place = place;
      wanted[i % kGroup] = here.base_ + place * kItemAlign;
      if (place == 0 && at[i]->link != 0) [[unlikely]] {
        wanted[i % kGroup] = reinterpret_cast<const std::byte*>(here.overflow_at(at[i]->link));
        elsewhere |= std::uint64_t{1} << i;
      }
    }
    for (std::size_t i = 0; i < end - first; ++i) {
      prefetch_line(wanted[i]);
      prefetch_line(wanted[i] + 64);
    }
  }
  // One item in twelve lies in an overflow bucket when the table is three quarters through a doubling, and left to
  // find() it would cost two whole misses.
  for (; elsewhere != 0; elsewhere &= elsewhere - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(elsewhere));
    Probe& probe = *probes[i];
    probe.place = here.first_match(*here.overflow_at(at[i]->link), here.slot_of(probe.hash, 0));
    if (probe.place != 0) here.prefetch_item(probe.place);
  }
}

Index::Bucket* Index::bucket_holding(std::uint64_t hash, Location at, std::uint32_t& slot) const noexcept {
  const Slot wanted = slot_of(hash, at);
  for (Bucket* bucket = bucket_at(bucket_number(hash));;) {
    ++lines_;
    for (std::uint32_t match = bucket->matches(wanted, 0xff); match != 0; match &= match - 1) {
      slot = lowest(match);
      if (bucket->slot(slot) == wanted) return bucket;
    }
    if (bucket->link == 0) return nullptr;
    bucket = overflow_at(bucket->link);
  }
}

bool Index::holds(std::uint64_t hash, Location at) const noexcept {
  std::uint32_t slot = 0;
  return bucket_holding(hash, at, slot) != nullptr;
}

void Index::remove(std::uint64_t hash, Location at) noexcept {
  std::uint32_t hole = 0;
  Bucket* const in = bucket_holding(hash, at, hole);
  MUST(in != nullptr);
  ++withdrawals_;
  --items_;
  Bucket *before = nullptr, *last = bucket_at(bucket_number(hash));
  if (last->link == 0) [[likely]] {
    in->set(hole, 0);
    return;
  }
  // The chain's last entry moves into the hole, so that chains stay as short as they can be.
  while (last->link != 0) {
    before = last;
    last = overflow_at(last->link);
  }
  const std::uint32_t used = last->used();
  MUST_NE(used, 0u);  // An overflow bucket is never empty.
  const auto filler = static_cast<std::uint32_t>(std::bit_width(used)) - 1;
  in->set(hole, last->slot(filler));
  last->set(filler, 0);
  if ((used & (used - 1)) != 0) return;
  overflow_.give_back(before->link);
  before->link = 0;
}

void Index::sweep(std::uint64_t bucket, Location first, Location end) noexcept {
  Bucket* const head = bucket_at(bucket);
  bool found = false;
  for (const Bucket* at = head;; at = overflow_at(at->link)) {
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      const Location there = place_of(at->slot(i));
      found |= there >= first && there < end;
    }
    if (at->link == 0) break;
  }
  Loose loose;
  if (!found || !take_apart(head, loose)) return;
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < loose.count; ++i) {
    const Location there = place_of(loose.slots[i]);
    if (there < first || there >= end) loose.slots[kept++] = loose.slots[i];
  }
  ++withdrawals_;
  items_ -= loose.count - kept;
  put_together(head, {loose.slots, kept});
}

bool Index::take_apart(Bucket* head, Loose& loose) noexcept {
  std::uint32_t length = 1;
  for (const Bucket* at = head; at->link != 0; at = overflow_at(at->link)) ++length;
  if (length > kChainBucketsMax) return false;
  lines_ += 2 * length;  // A freed bucket's page is touched as well.
  for (const Bucket* at = head;;) {
    for (std::uint32_t used = at->used(); used != 0; used &= used - 1) {
      loose.slots[loose.count++] = at->slot(lowest(used));
    }
    if (at->link == 0) break;
    at = overflow_at(at->link);
  }
  for (std::uint32_t link = head->link; link != 0;) {
    const std::uint32_t following = overflow_at(link)->link;
    overflow_.give_back(link);
    link = following;
  }
  *head = Bucket{};
  return true;
}

void Index::put_together(Bucket* head, std::span<const Slot> slots) noexcept {
  Bucket* at = head;
  std::uint32_t used = 0;
  for (const Slot slot : slots) {
    if (used == kSlots) {
      at->link = take_overflow();
      at = overflow_at(at->link);
      used = 0;
    }
    at->set(used++, slot);
  }
}

bool Index::shrink() noexcept {
  if (buckets_ <= page_mask_ + 1 || !overflow_ready()) return false;
  const std::uint64_t last = buckets_ - 1, half = (mask_ + 1) >> 1;
  Bucket* const from = bucket_at(last);
  Bucket* const to = bucket_at(last - half);
  Loose loose, more;
  if (!take_apart(to, loose)) return false;
  if (!take_apart(from, more) || loose.count + more.count > kChainSlotsMax) {
    put_together(to, {loose.slots, loose.count});
    put_together(from, {more.slots, more.count});
    return false;
  }
  for (std::uint32_t i = 0; i < more.count; ++i) loose.slots[loose.count++] = more.slots[i];
  put_together(to, {loose.slots, loose.count});
  buckets_ = last;
  if (buckets_ == half) mask_ >>= 1;
  if ((buckets_ & page_mask_) == 0) store_page(store_[0], directory_[buckets_ >> page_buckets_shift_]);
  return true;
}

std::uint32_t Index::give_back_segment(Use use) noexcept {
  Store& store = store_for(use);
  if (store.head == 0) return kNoSegment;
  // The page stored last: if its segment is whole again, it became so just now.
  const std::uint32_t id = (store.head - 1) / kPagesPerSegment;
  if (headers_[id].previous != kPagesPerSegment) return kNoSegment;
  for (std::uint32_t i = 0; i < kPagesPerSegment; ++i) take_page_out(store, id * kPagesPerSegment + i);
  return id;
}

std::uint64_t Index::count_slots() const noexcept {
  std::uint64_t slots = 0, overflow = 0;
  for (std::uint64_t number = 0; number < buckets_; ++number) {
    const Bucket* at = bucket_at(number);
    for (std::uint32_t length = 1;; ++length) {
      const auto used = static_cast<std::uint32_t>(std::popcount(at->used()));
      slots += used;
      if (length > 1 && used == 0) return ~std::uint64_t{0};
      if (at->link == 0) break;
      if (length > kChainBucketsMax) return ~std::uint64_t{0};
      at = overflow_at(at->link);
      ++overflow;
    }
  }
  return overflow == overflow_buckets_used() ? slots : ~std::uint64_t{0};
}

}  // namespace gannet::storage
