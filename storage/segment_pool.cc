#include "storage/segment_pool.h"

#include "storage/geometry.h"

namespace gannet::storage {

void SegmentPool::lay_out(MutableBytes region, const Geometry& geometry) noexcept {
  base_ = region.data();
  headers_ = reinterpret_cast<SegmentHeader*>(base_ + kShardHeaderBytes);
  bases_ = reinterpret_cast<SegmentBase*>(base_ + geometry.bases_offset);
  geometry_ = geometry;
  oldest_.fill(kNoSegment);
  youngest_.fill(kNoSegment);
}

void SegmentPool::wipe(std::uint32_t id) noexcept {
  ordered_store(headers_[id].state, SegmentState::kFree);
  SegmentHeader fresh{};
  fresh.magic = kSegmentMagic;
  fresh.id = id;
  headers_[id] = fresh;
  bases_[id] = SegmentBase{};
  push_free(id);
}

void SegmentPool::format(MutableBytes region, const Geometry& geometry) noexcept {
  lay_out(region, geometry);
  for (std::uint32_t id = geometry.segments; id-- > 0;) wipe(id);
}

std::uint32_t SegmentPool::attach(MutableBytes region, const Geometry& geometry, std::vector<std::uint32_t>& kept) {
  lay_out(region, geometry);
  std::uint32_t damaged = 0;
  for (std::uint32_t id = geometry.segments; id-- > 0;) {
    SegmentHeader& segment = headers_[id];
    const bool ours = segment.magic == kSegmentMagic && segment.id == id && segment.state <= SegmentState::kKept;
    const bool holds = ours && segment.state != SegmentState::kFree && segment.state != SegmentState::kIndex;
    const bool sane = segment.used_bytes <= geometry.segment_bytes && segment.used_bytes % kItemAlign == 0 &&
                      segment.ttl_bucket < kTtlBuckets &&
                      (segment.state != SegmentState::kSealed || segment.header_crc == header_crc(segment, bases_[id]));
    if (!ours || (holds && !sane)) ++damaged;
    if (!holds || !sane || segment.live_items == 0) {
      wipe(id);
      continue;
    }
    segment.pins = segment.reservations = 0;
    segment.previous = segment.next = kNoSegment;
    ordered_store(segment.state, SegmentState::kKept);
    kept.push_back(id);
  }
  return damaged;
}

void SegmentPool::enlist(std::uint32_t id) noexcept {
  SegmentHeader& segment = headers_[id];
  const std::uint32_t bucket = segment.ttl_bucket;
  segment.previous = youngest_[bucket];
  if (segment.previous != kNoSegment) {
    headers_[segment.previous].next = id;
  } else {
    oldest_[bucket] = id;
  }
  youngest_[bucket] = id;
}

std::uint32_t SegmentPool::pop_free() noexcept {
  const std::uint32_t id = free_head_;
  MUST_NE(id, kNoSegment);
  SegmentHeader& segment = headers_[id];
  MUST_EQ(segment.state, SegmentState::kFree);
  free_head_ = segment.next;
  --free_;
  segment.next = kNoSegment;
  return id;
}

void SegmentPool::push_free(std::uint32_t id) noexcept {
  SegmentHeader& segment = headers_[id];
  ordered_store(segment.state, SegmentState::kFree);
  segment.used_bytes = 0;
  segment.previous = kNoSegment;
  segment.next = free_head_;
  free_head_ = id;
  ++free_;
}

std::uint32_t SegmentPool::open(std::uint32_t bucket, std::uint64_t sequence, UnixSeconds now,
                                const SegmentBase& base) noexcept {
  MUST_LT(bucket, kTtlBuckets);
  const std::uint32_t id = pop_free();
  SegmentHeader& segment = headers_[id];
  MUST_EQ(segment.pins + segment.reservations, 0);
  bases_[id] = base;
  segment.sequence = sequence;
  segment.created_s = now;
  segment.expiry_min_s = kNeverExpires;
  segment.expiry_max_s = 0;
  segment.used_bytes = 0;
  segment.body_crc = 0;
  segment.header_crc = 0;
  segment.live_bytes = 0;
  segment.live_items = 0;
  segment.ttl_bucket = static_cast<std::uint8_t>(bucket);
  enlist(id);
  ordered_store(segment.state, SegmentState::kOpen);  // Last: an open segment's header is whole.
  return id;
}

void SegmentPool::close(std::uint32_t id) noexcept {
  MUST_EQ(headers_[id].state, SegmentState::kOpen);
  ordered_store(headers_[id].state, SegmentState::kClosed);
}

void SegmentPool::release(std::uint32_t id) noexcept {
  SegmentHeader& segment = headers_[id];
  MUST_EQ(segment.pins, 0);
  MUST_EQ(segment.reservations, 0);
  MUST_EQ(segment.live_items, 0u);
  MUST_EQ(segment.live_bytes, 0u);
  MUST(segment.state == SegmentState::kClosed || segment.state == SegmentState::kSealed ||
       segment.state == SegmentState::kDraining);
  const std::uint32_t bucket = segment.ttl_bucket;
  if (segment.previous != kNoSegment) {
    headers_[segment.previous].next = segment.next;
  } else {
    oldest_[bucket] = segment.next;
  }
  if (segment.next != kNoSegment) {
    headers_[segment.next].previous = segment.previous;
  } else {
    youngest_[bucket] = segment.previous;
  }
  push_free(id);
}

std::uint32_t SegmentPool::take_for_index() noexcept {
  const std::uint32_t id = pop_free();
  ordered_store(headers_[id].state, SegmentState::kIndex);
  ++index_;
  return id;
}

void SegmentPool::return_from_index(std::uint32_t id) noexcept {
  MUST_EQ(headers_[id].state, SegmentState::kIndex);
  --index_;
  push_free(id);
}

}  // namespace gannet::storage
