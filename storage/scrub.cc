// The background's second look: every sealed segment is verified again, slowly, all of them once in kScrubPassSeconds.
// One whose bytes have changed is given up. Its items are forgotten as far as their keys still lead to them; the slots
// of the rest are swept out of the index bucket by bucket, and only then is the segment free.
#include <algorithm>

#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {
namespace {

constexpr std::uint32_t kScrubPassSeconds = 600;
/// In one tick.
constexpr std::uint32_t kScrubBytesMax = 32 * 1024, kSweepBucketsMax = 256;

}  // namespace

void Shard::scrub() noexcept {
  Scrub& job = scrub_;
  if (job.damaged != kNoSegment) {
    sweep();
    return;
  }
  if (job.second != now_) {
    job.second = now_;
    const std::uint64_t share = pool_.geometry().region_bytes / kScrubPassSeconds;
    job.budget = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(share, kScrubBytesMax, 1u << 30));
  }
  std::uint32_t left = std::min(job.budget, kScrubBytesMax);
  job.budget -= left;
  constexpr std::uint32_t kHeadersMax = 32;
  for (std::uint32_t looked = 0; left > 0 && looked < kHeadersMax; ++looked) {
    SegmentHeader& segment = pool_.header(job.segment);
    if (segment.state == SegmentState::kSealed) {
      if (job.offset == 0) {
        job.sequence = segment.sequence;
        job.crc = 0;
      }
      if (segment.sequence == job.sequence && !scrub_segment(segment, left)) return give_up(job.segment);
      if (segment.sequence == job.sequence && job.offset < segment.used_bytes) return;
    }
    next_to_scrub();
  }
}

bool Shard::scrub_segment(const SegmentHeader& segment, std::uint32_t& left) noexcept {
  Scrub& job = scrub_;
  const std::byte* const data = pool_.data(segment.id);
  while (job.offset < segment.used_bytes && left > 0) {
    const auto& item = *reinterpret_cast<const ItemHeader*>(data + job.offset);
    const std::uint32_t room = segment.used_bytes - job.offset;
    if (!item_fits(item, room)) return false;
    job.crc = body_crc_extend(job.crc, item);
    job.offset += item.item_bytes();
    left -= std::min(left, item.item_bytes());
  }
  return job.offset < segment.used_bytes ||
         (job.crc == segment.body_crc && header_crc(segment, pool_.base_of(segment.id)) == segment.header_crc);
}

void Shard::next_to_scrub() noexcept {
  scrub_.offset = 0;
  if (++scrub_.segment < pool_.segments()) return;
  scrub_.segment = 0;
  ++counts_.scrub_rounds;
}

void Shard::give_up(std::uint32_t id) noexcept {
  SegmentHeader& segment = pool_.header(id);
  if (segment.pins != 0) {  // Its bytes are on the wire already; it is found again next time.
    next_to_scrub();
    return;
  }
  ++counts_.damaged_segments;
  counts_.damaged_items += segment.live_items;
  ordered_store(segment.state, SegmentState::kDraining);
  const std::byte* const data = pool_.data(id);
  for (std::uint32_t offset = 0; offset < segment.used_bytes;) {
    const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
    if (!item_fits(item, segment.used_bytes - offset)) break;
    const Location at = pool_.location(id, offset);
    offset += item.item_bytes();
    if (const std::uint64_t hash = hash_at(at); index_.holds(hash, at)) index_.remove(hash, at);
    item_at(at).state |= kItemDead;
  }
  live_bytes_ -= segment.live_bytes;
  segment.live_bytes = segment.live_items = 0;
  scrub_.damaged = id;
  scrub_.bucket = 0;
}

void Shard::sweep() noexcept {
  Scrub& job = scrub_;
  const Location first = pool_.location(job.damaged, 0), end = first + pool_.geometry().segment_bytes / kItemAlign;
  for (std::uint32_t i = 0; i < kSweepBucketsMax && job.bucket < index_.buckets(); ++i)
    index_.sweep(job.bucket++, first, end);
  if (job.bucket < index_.buckets()) return;
  pool_.release(job.damaged);
  job.damaged = kNoSegment;
  next_to_scrub();
}

}  // namespace gannet::storage
