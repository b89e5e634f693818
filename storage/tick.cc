// Background work in bounded steps: expiry, eviction ahead of need, sealing, the index's growth.
#include <algorithm>

#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {

void Shard::tick(UnixSeconds now, std::uint32_t budget_bytes) noexcept {
  check_owner();
  advance(now);
  if (restoring()) [[unlikely]] {
    std::uint64_t restore_budget = budget_bytes;
    restore(restore_budget);
  }
  if (watched_s_ != now_) {
    watched_s_ = now_;
    close_finished_tails();
    look_at_oldest();
  }
  look_at_next_segments();
  std::uint64_t budget = budget_bytes;
  collect(budget);
  seal_some(budget);
  tend_index(kGrowStepsPerTick);
  if (!restoring()) scrub();
}

bool Shard::late() const noexcept {
  const std::uint64_t segment_bytes = pool_.geometry().segment_bytes;
  const std::uint32_t free = pool_.free_segments();
  std::uint64_t left = 0;
  if (free > spare_) {
    left = (free - spare_) * segment_bytes;
  } else {
    for (std::uint32_t i = 0; i < tails_; ++i) left = std::max<std::uint64_t>(left, room_in(tail_[i].segment));
  }
  return left < (free_wanted_ - spare_) * segment_bytes / 4;
}

void Shard::pace(std::uint32_t item_bytes) noexcept {
  // A merge scans two segments and drains two (one of them copied) per segment it frees: about five bytes of budget per
  // byte stored. At its worst it takes eight segments of the smallest items, 10 B, for which scanning and draining cost
  // 138, and frees one: 110 bytes per byte stored. So when three quarters of the room ahead are used up, that is what
  // is paid, and no store has to wait for a whole window (from 512 segments on this is certain; smaller shards keep
  // fewer free). Not from the start: what is evicted sooner than need be would be missed.
  constexpr std::uint64_t kWorkPerByte = 8, kWorkPerByteLate = 112, kWorkMin = 1024;
  if (pool_.free_segments() >= free_wanted_) return;
  std::uint64_t budget = kWorkMin + item_bytes * (late() ? kWorkPerByteLate : kWorkPerByte);
  collect(budget);
}

bool Shard::give_index_segment(Index::Use use) noexcept {
  if (pool_.index_segments() >= index_segments_max()) return false;  // Chains get longer instead.
  if (pool_.free_segments() == 0 && !make_free(0)) return false;
  index_.give_segment(pool_.take_for_index(), use);
  return true;
}

bool Shard::ready_index_slowly() noexcept {
  if (index_.ready_overflow()) return true;
  return give_index_segment(Index::Use::kOverflow) && index_.ready_overflow();
}

void Shard::take_back_segment(Index::Use use) noexcept {
  if (const std::uint32_t id = index_.give_back_segment(use); id != kNoSegment) pool_.return_from_index(id);
}

void Shard::grow_index_now(std::uint32_t steps) noexcept {
  for (; steps > 0 && index_.wants_growth(); --steps) {
    // Growth can wait until eviction ahead of need has freed a segment; a store would have to wait for a whole window.
    if (index_.growth_needs_segment() && (pool_.free_segments() <= spare_ || !give_index_segment(Index::Use::kBuckets)))
      return;
    index_.grow([this](Location at) {
      work_.lines_touched += lines_of(item_at(at).key_bytes());
      return hash_at(at);
    });
  }
}

void Shard::tend_index(std::uint32_t steps) noexcept {
  grow_index(steps);
  // What looks too large while restoring is about right for what is still to come, and a sweep must meet every bucket.
  if (restoring() || scrub_.damaged != kNoSegment) return;
  // A fold may take one overflow bucket more than it frees; the last one in store belongs to the next insert.
  for (; steps > 0 && index_.wants_shrink() && index_.overflow_buckets_free() > 1; --steps) {
    if (!index_.shrink()) return;
    take_back_segment(Index::Use::kBuckets);
  }
  if (index_.store_empty_overflow()) take_back_segment(Index::Use::kOverflow);
}

void Shard::seal_some(std::uint64_t& budget) noexcept {
  constexpr std::uint32_t kHeadersPerLook = 64;
  while (closed_ > 0 && budget > 0) {
    for (std::uint32_t looked = 0; seal_segment_ == kNoSegment; ++looked) {
      if (looked == kHeadersPerLook) return;
      const SegmentHeader& segment = pool_.header(seal_cursor_);
      if (segment.state == SegmentState::kClosed && segment.reservations == 0) {
        seal_segment_ = seal_cursor_;
        seal_offset_ = seal_crc_ = 0;
      }
      if (++seal_cursor_ == pool_.segments()) seal_cursor_ = 0;
    }
    const SegmentHeader& segment = pool_.header(seal_segment_);
    const std::byte* const data = pool_.data(seal_segment_);
    const std::uint32_t begin = seal_offset_, end = segment.used_bytes;
    // In registers: the sums of a job are written once a call.
    std::uint32_t offset = begin, crc = seal_crc_;
    PrefetchAhead ahead(data + offset);
    while (offset < end && offset - begin < budget) {
      ahead.reach(data + offset);
      const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
      crc = body_crc_extend(crc, item);
      offset += item.item_bytes();
    }
    seal_offset_ = offset;
    seal_crc_ = crc;
    work_.lines_touched += lines_of(offset - begin);
    budget -= std::min<std::uint64_t>(budget, offset - begin);
    if (offset < end) return;
    seal(seal_segment_);
    seal_segment_ = kNoSegment;
  }
}

void Shard::seal(std::uint32_t id) noexcept {
  SegmentHeader& segment = pool_.header(id);
  MUST_EQ(seal_offset_, segment.used_bytes);
  segment.body_crc = seal_crc_;
  ordered_store(segment.header_crc, header_crc(segment, pool_.base_of(id)));
  ordered_store(segment.state, SegmentState::kSealed);
  --closed_;
}

}  // namespace gannet::storage
