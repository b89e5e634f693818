/// The segments of one region: their headers, the free list, and one list per TTL bucket in the order of opening. It
/// knows neither items nor the index, and takes no decision: who is evicted is the collector's business.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/must.h"
#include "storage/segment.h"

namespace gannet::storage {

/// TTL buckets: four per doubling of the lifetime, from 1 s to 2^32 s, and one for items that never expire.
inline constexpr std::uint32_t kTtlBucketNever = 128, kTtlBuckets = 129;

/// The placement class of an item that lives `seconds` more (>= 1); pass kNeverExpires for never.
[[nodiscard]] constexpr std::uint32_t ttl_bucket_of(std::uint32_t seconds) noexcept {
  if (seconds == kNeverExpires) return kTtlBucketNever;
  if (seconds == 0) return 0;
  const std::uint32_t log = 31 - static_cast<std::uint32_t>(__builtin_clz(seconds));
  const std::uint32_t quarter = log >= 2 ? (seconds >> (log - 2)) & 3 : (seconds << (2 - log)) & 3;
  return log * 4 + quarter;
}
static_assert(ttl_bucket_of(1) == 0 && ttl_bucket_of(3) == 6 && ttl_bucket_of(0xfffffffe) == 127);

class SegmentPool {
 public:
  SegmentPool() = default;
  /// Takes the region over and makes every segment free. `region` is laid out as `geometry` says.
  void format(MutableBytes region, const Geometry& geometry) noexcept;

  /// The same for a region that holds segments of an earlier process. Those with a live item are kKept and their ids in
  /// `kept`, in no order, not yet enlisted; all others are free, those of the index too. Gives the number of headers
  /// that were damaged. No header is believed that could not have been left by a process that died.
  [[nodiscard]] std::uint32_t attach(MutableBytes region, const Geometry& geometry, std::vector<std::uint32_t>& kept);
  /// Puts a kept segment at the end of its bucket's list.
  void enlist(std::uint32_t id) noexcept;

  [[nodiscard]] const Geometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::uint32_t segments() const noexcept { return geometry_.segments; }
  [[nodiscard]] std::uint32_t free_segments() const noexcept { return free_; }
  [[nodiscard]] std::uint32_t index_segments() const noexcept { return index_; }

  [[nodiscard]] SegmentHeader& header(std::uint32_t id) noexcept { return headers_[id]; }
  [[nodiscard]] const SegmentHeader& header(std::uint32_t id) const noexcept { return headers_[id]; }
  [[nodiscard]] const SegmentBase& base_of(std::uint32_t id) const noexcept { return bases_[id]; }
  [[nodiscard]] std::byte* data(std::uint32_t id) const noexcept {
    return base_ + geometry_.data_offset + (static_cast<std::uint64_t>(id) << geometry_.segment_shift);
  }
  [[nodiscard]] Location location(std::uint32_t id, std::uint32_t offset) const noexcept {
    return (geometry_.data_offset + (static_cast<std::uint64_t>(id) << geometry_.segment_shift) + offset) / kItemAlign;
  }
  [[nodiscard]] std::uint32_t segment_of(Location at) const noexcept {
    return static_cast<std::uint32_t>((at * kItemAlign - geometry_.data_offset) >> geometry_.segment_shift);
  }

  /// Takes a free segment for `bucket`, puts it at the end of the bucket's list. Needs free_segments() > 0.
  [[nodiscard]] std::uint32_t open(std::uint32_t bucket, std::uint64_t sequence, UnixSeconds now,
                                   const SegmentBase& base) noexcept;
  /// kOpen -> kClosed.
  void close(std::uint32_t id) noexcept;
  /// Out of its bucket's list and onto the free list. Needs no pin, no reservation, no live item.
  void release(std::uint32_t id) noexcept;
  /// A free segment leaves for the index, or comes back.
  [[nodiscard]] std::uint32_t take_for_index() noexcept;
  void return_from_index(std::uint32_t id) noexcept;

  /// Oldest and youngest segment of a bucket's list, kNoSegment for none.
  [[nodiscard]] std::uint32_t oldest(std::uint32_t bucket) const noexcept { return oldest_[bucket]; }
  [[nodiscard]] std::uint32_t youngest(std::uint32_t bucket) const noexcept { return youngest_[bucket]; }

 private:
  void lay_out(MutableBytes region, const Geometry& geometry) noexcept;
  /// Whatever it was, it is free and its header new.
  void wipe(std::uint32_t id) noexcept;
  [[nodiscard]] std::uint32_t pop_free() noexcept;
  void push_free(std::uint32_t id) noexcept;

  std::byte* base_ = nullptr;
  SegmentHeader* headers_ = nullptr;
  SegmentBase* bases_ = nullptr;
  Geometry geometry_;
  std::uint32_t free_head_ = kNoSegment, free_ = 0, index_ = 0;
  std::array<std::uint32_t, kTtlBuckets> oldest_{}, youngest_{};
};

}  // namespace gannet::storage
