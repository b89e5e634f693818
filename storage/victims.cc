// Which segments the collector takes: those with nothing left to see first, then the oldest.
#include <algorithm>

#include "storage/shard.h"

namespace gannet::storage {

bool Shard::releasable(const SegmentHeader& segment) noexcept {
  return (segment.state == SegmentState::kClosed || segment.state == SegmentState::kSealed) && segment.pins == 0 &&
         segment.reservations == 0;
}

bool Shard::evictable(const SegmentHeader& segment) const noexcept {
  return releasable(segment) && (!restoring() || (!restore_.careful && segment.sequence < restore_.sequence));
}

bool Shard::finished(const SegmentHeader& segment) const noexcept {
  return segment.expiry_max_s <= now_ || segment.sequence < flush_sequence_;
}

std::uint32_t Shard::oldest_evictable() noexcept {
  constexpr std::uint32_t kLookMax = 8;
  std::uint32_t chosen = kNoSegment;
  for (std::uint32_t bucket = 0; bucket < kTtlBuckets; ++bucket) {
    std::uint32_t id = pool_.oldest(bucket);
    for (std::uint32_t looked = 0; id != kNoSegment && looked < kLookMax; ++looked, id = pool_.header(id).next) {
      ++work_.lines_touched;
      if (!evictable(pool_.header(id))) continue;
      if (chosen == kNoSegment || pool_.header(id).sequence < pool_.header(chosen).sequence) chosen = id;
      break;
    }
  }
  if (chosen != kNoSegment) return chosen;
  // Pinned or reserved all over the old end: the oldest of the headers whose turn it is. Who has to find one comes back
  // for the next ones.
  for (std::uint32_t looked = 0; looked < std::min(kHeadersPerCall, pool_.segments()); ++looked) {
    if (++look_cursor_ >= pool_.segments()) look_cursor_ = 0;
    const SegmentHeader& segment = pool_.header(look_cursor_);
    ++work_.lines_touched;
    if (!evictable(segment)) continue;
    if (chosen == kNoSegment || segment.sequence < pool_.header(chosen).sequence) chosen = look_cursor_;
  }
  return chosen;
}

void Shard::add_to_window(std::uint32_t id) noexcept {
  SegmentHeader& segment = pool_.header(id);
  MUST(evictable(segment));
  MUST_LT(collector_.segments, kWindowMax);
  if (segment.state == SegmentState::kClosed) --closed_;
  if (seal_segment_ == id) seal_segment_ = kNoSegment;
  ordered_store(segment.state, SegmentState::kDraining);
  collector_.window[collector_.segments++] = id;
}

void Shard::release_if_empty(std::uint32_t id) noexcept {
  const SegmentHeader& segment = pool_.header(id);
  if (segment.live_items != 0 || !releasable(segment)) return;
  if (segment.state == SegmentState::kClosed) --closed_;
  if (seal_segment_ == id) seal_segment_ = kNoSegment;
  pool_.release(id);
}

void Shard::set_free(std::uint32_t id) noexcept {
  SegmentHeader& segment = pool_.header(id);
  if (segment.pins == 0) return pool_.release(id);
  ordered_store(segment.state, SegmentState::kClosed);
  ++closed_;
}

void Shard::note_finished(std::uint32_t id) noexcept {
  const SegmentHeader& segment = pool_.header(id);
  if (finished_count_ == kFinishedMax || !evictable(segment) || !finished(segment)) return;
  for (std::uint32_t i = 0; i < finished_count_; ++i) {
    if (finished_[i] == id) return;
  }
  finished_[finished_count_++] = id;
}

std::uint64_t Shard::expired_of(const SegmentHeader& segment) const noexcept {
  if (segment.live_bytes == 0 || segment.expiry_min_s > now_) return 0;
  if (segment.expiry_max_s <= now_) return segment.live_bytes;
  const std::uint32_t age = now_ - segment.created_s, reached = SegmentRank::end_bin_of(age);
  std::uint64_t all = 0, gone = 0;
  for (std::uint32_t bin = 0; bin < SegmentRank::kEndBins; ++bin) {
    const std::uint64_t bytes = ranks_[segment.id].ends[bin];
    all += bytes;
    if (bin < reached || bin == 0) gone += bytes;
    // Of a bin from 2^n to 2^(n+1) seconds, what lies before now.
    if (bin == reached && bin != 0 && bin + 1 < SegmentRank::kEndBins) gone += (bytes * age >> (bin - 1)) - bytes;
  }
  // What expired and was asked for again has been stored anew, and is dead here: it is taken for the first of what
  // ended.
  const std::uint64_t dead = segment.used_bytes - segment.live_bytes;
  if (all != 0) return gone > dead ? std::min<std::uint64_t>(gone - dead, segment.live_bytes) : 0;
  const std::uint64_t past = now_ - segment.expiry_min_s;
  const std::uint64_t range =
      segment.expiry_max_s == kNeverExpires ? 2 * past : segment.expiry_max_s - segment.expiry_min_s;
  return past >= range ? segment.live_bytes : segment.live_bytes * past / range;
}

std::uint32_t Shard::most_expired() noexcept {
  constexpr std::uint32_t kHeadersMax = 128;
  // Less than this is not worth the copying.
  std::uint64_t most = pool_.geometry().segment_bytes / 8;
  std::uint32_t chosen = kNoSegment;
  for (std::uint32_t looked = 0; looked < std::min(kHeadersMax, pool_.segments()); ++looked) {
    if (++look_cursor_ >= pool_.segments()) look_cursor_ = 0;
    const SegmentHeader& segment = pool_.header(look_cursor_);
    if (!evictable(segment) || expired_of(segment) <= most) continue;
    most = expired_of(segment);
    chosen = look_cursor_;
  }
  return chosen;
}

void Shard::look_at_oldest() noexcept {
  // Segments of a bucket expire about in the order of opening.
  for (std::uint32_t bucket = 0; bucket < kTtlBuckets; ++bucket) {
    if (const std::uint32_t id = pool_.oldest(bucket); id != kNoSegment) note_finished(id);
  }
}

void Shard::look_at_next_segments() noexcept {
  constexpr std::uint32_t kHeadersPerLook = 8;
  for (std::uint32_t i = 0; i < kHeadersPerLook; ++i) {
    const SegmentHeader& segment = pool_.header(watch_cursor_);
    note_finished(watch_cursor_);
    held_sum_ += expired_of(segment);
    if (++watch_cursor_ < pool_.segments()) continue;
    watch_cursor_ = 0;
    held_ = held_sum_;
    held_sum_ = 0;
    if (pool_.segments() <= kHeadersPerLook) break;
  }
}

}  // namespace gannet::storage
