// Where a new item is appended: the open tail of its TTL bucket, or of the nearest bucket that has one.
#include "storage/shard.h"

namespace gannet::storage {
namespace {

/// Lifetimes four doublings apart may share a segment: what ends first in it is not much before the rest.
constexpr std::uint32_t kNearBuckets = 16;

[[nodiscard]] constexpr std::uint32_t apart(std::uint32_t left, std::uint32_t right) noexcept {
  return left > right ? left - right : right - left;
}

}  // namespace

void Shard::close_tail(std::uint32_t tail) noexcept {
  MUST_LT(tail, tails_);
  const std::uint32_t id = tail_[tail].segment;
  tail_[tail] = tail_[--tails_];
  close_segment(id);
}

void Shard::close_segment(std::uint32_t id) noexcept {
  pool_.close(id);
  ++closed_;
  release_if_empty(id);
}

bool Shard::close_some_tail() noexcept {
  // The one that was opened first and that the collector could take.
  std::uint32_t chosen = tails_;
  for (std::uint32_t i = 0; i < tails_; ++i) {
    const SegmentHeader& segment = pool_.header(tail_[i].segment);
    if (segment.pins != 0 || segment.reservations != 0) continue;
    if (chosen == tails_ || segment.sequence < pool_.header(tail_[chosen].segment).sequence) chosen = i;
  }
  if (chosen == tails_) return false;
  close_tail(chosen);
  return true;
}

void Shard::close_finished_tails() noexcept {
  for (std::uint32_t i = tails_; i-- > 0;) {
    const SegmentHeader& segment = pool_.header(tail_[i].segment);
    if (segment.used_bytes > 0 && segment.expiry_max_s <= now_) {
      close_tail(i);
    } else if (expired_of(segment) * 8 > pool_.geometry().segment_bytes) {
      close_tail(i);  // So that the rest can be moved out of it.
    }
  }
}

std::uint32_t Shard::room_in(std::uint32_t segment) const noexcept {
  return pool_.geometry().segment_bytes - pool_.header(segment).used_bytes;
}

std::uint32_t Shard::nearest_tail(std::uint32_t bucket, std::uint32_t rank, std::uint32_t bytes) const noexcept {
  // A rank apart counts as much as a doubling and a half of the lifetime.
  constexpr std::uint32_t kRankWeight = 6;
  std::uint32_t nearest = tails_, distance = ~0u;
  for (std::uint32_t i = 0; i < tails_; ++i) {
    const std::uint32_t other = tail_[i].bucket, other_rank = tail_[i].rank;
    const std::uint32_t far = apart(other, bucket) + kRankWeight * apart(other_rank, rank);
    if (far < distance && room_in(tail_[i].segment) >= bytes) {
      nearest = i;
      distance = far;
    }
  }
  return nearest;
}

std::uint32_t Shard::open_tail(std::uint32_t bucket, std::uint32_t rank, std::uint32_t bytes,
                               UnixSeconds expires_at) noexcept {
  // Distances are signed, and what is stored here is most often younger than the segment: so the next 2^16 changes fit
  // two bytes. Lifetimes are classed, so that the first expiry is near all others.
  constexpr std::uint64_t kCasLead = 1 << 15;
  const SegmentBase base{header().next_cas + kCasLead, expires_at == kNever ? now_ : expires_at, 0};
  const std::uint32_t opened = pool_.open(bucket, header().next_sequence++, now_, base);
  begin_rank(opened, rank);
  std::uint32_t mine = tails_;
  for (std::uint32_t i = 0; i < tails_; ++i) {
    if (tail_[i].bucket == bucket && tail_[i].rank == rank) mine = i;
  }
  if (mine < tails_ && room_in(tail_[mine].segment) >= room_in(opened) - bytes) {
    // A large item fits nowhere but alone, and leaves less room than the tail has: the tail stays, the new segment is
    // full as it is.
    pool_.close(opened);
    ++closed_;
    return opened;
  }
  if (mine < tails_) close_tail(mine);
  if (tails_ == tails_max_) {  // Reached only when no tail has the room: the one with the least goes.
    std::uint32_t fullest = 0;
    for (std::uint32_t i = 1; i < tails_; ++i) {
      if (room_in(tail_[i].segment) < room_in(tail_[fullest].segment)) fullest = i;
    }
    close_tail(fullest);
  }
  tail_[tails_++] = {opened, bucket, static_cast<std::uint8_t>(rank)};
  return opened;
}

std::uint32_t Shard::own_tail(std::uint32_t bucket, std::uint32_t rank, std::uint32_t bytes) noexcept {
  for (std::uint32_t i = 0; i < tails_; ++i) {
    if (tail_[i].bucket != bucket || tail_[i].rank != rank || room_in(tail_[i].segment) < bytes) continue;
    return tail_[i].segment;
  }
  return kNoSegment;
}

std::uint32_t Shard::tail_for(UnixSeconds expires_at, std::uint32_t bytes, std::uint32_t rank,
                              bool may_evict) noexcept {
  const std::uint32_t bucket = ttl_bucket_of(expires_at == kNever ? kNeverExpires
                                             : expires_at > now_  ? expires_at - now_
                                                                  : 1);
  if (const std::uint32_t there = own_tail(bucket, rank, bytes); there != kNoSegment) return there;
  bool own = false;
  for (std::uint32_t i = 0; i < tails_; ++i) own |= tail_[i].bucket == bucket && tail_[i].rank == rank;
  if (!own && tails_ >= tails_usual_) {
    const std::uint32_t nearest = nearest_tail(bucket, rank, bytes);
    if (nearest < tails_ && (tails_ == tails_max_ || apart(tail_[nearest].bucket, bucket) <= kNearBuckets))
      return tail_[nearest].segment;
  }
  // With segments short, a tail that fits worse is better than waiting for one to be freed.
  if (pool_.free_segments() <= spare_) {
    if (const std::uint32_t any = nearest_tail(bucket, rank, bytes); any < tails_) return tail_[any].segment;
  }
  // A segment that is being drained is free before the spare one could be full, so that need not be waited for. (What
  // is moved fills the same tails: a window's first segment, kept nearly whole, can be just more than a tail has room
  // for.)
  const std::uint32_t spare = may_evict && collector_.phase != Collector::Phase::kDrain ? spare_ : 0;
  if (pool_.free_segments() > spare) return open_tail(bucket, rank, bytes, expires_at);
  if (may_evict && make_free(spare)) {
    // The collector appends, too: it may have opened the very tail.
    const std::uint32_t there = own_tail(bucket, rank, bytes);
    return there != kNoSegment ? there : open_tail(bucket, rank, bytes, expires_at);
  }
  // Nothing can be evicted. Any room will do, and then the last free segment.
  if (const std::uint32_t any = nearest_tail(bucket, rank, bytes); any < tails_) return tail_[any].segment;
  return pool_.free_segments() > 0 ? open_tail(bucket, rank, bytes, expires_at) : kNoSegment;
}

}  // namespace gannet::storage
