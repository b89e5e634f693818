#include "storage/segment_pool.h"

namespace gannet::storage {

void SegmentPool::format(MutableBytes region, const Geometry& geometry) noexcept {
  base_ = region.data();
  headers_ = reinterpret_cast<SegmentHeader*>(base_ + kShardHeaderBytes);
  geometry_ = geometry;
  oldest_.fill(kNoSegment);
  youngest_.fill(kNoSegment);
  for (std::uint32_t id = geometry.segments; id-- > 0;) {
    headers_[id] = SegmentHeader{};
    headers_[id].magic = kSegmentMagic;
    headers_[id].id = id;
    push_free(id);
  }
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

std::uint32_t SegmentPool::open(std::uint32_t bucket, std::uint64_t sequence, UnixSeconds now) noexcept {
  MUST_LT(bucket, kTtlBuckets);
  const std::uint32_t id = pop_free();
  SegmentHeader& segment = headers_[id];
  MUST_EQ(segment.pins + segment.reservations, 0);
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
  segment.previous = youngest_[bucket];
  if (segment.previous != kNoSegment) {
    headers_[segment.previous].next = id;
  } else {
    oldest_[bucket] = id;
  }
  youngest_[bucket] = id;
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
