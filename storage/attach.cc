// Taking over a region that an earlier process left behind, whatever instruction it died at. What is trusted: the
// header page under its CRC, and of each segment what the order of stores in shard.h promises. The index is not: it is
// made anew, most of it later, in restore.cc.
#include "storage/attach.h"

#include <algorithm>
#include <vector>

#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {

AttachStatus judge_region(Bytes region, Geometry& geometry, std::string& why) {
  const auto& header = *reinterpret_cast<const ShardHeader*>(region.data());
  if (region.size() < kShardHeaderBytes || header.magic == 0) {
    why = "the memory is new";
    return AttachStatus::kFresh;
  }
  if (header.magic != kShardMagic) {
    why = "the memory holds something else than a shard";
    return AttachStatus::kFresh;
  }
  if (header.format != kArenaFormat) {
    why = "the items were left in format " + std::to_string(header.format) + " and this program writes format " +
          std::to_string(kArenaFormat);
    return AttachStatus::kOtherFormat;
  }
  if (header.geometry_crc != geometry_crc(header) || header.segment_bytes < kSegmentBytesMin ||
      header.segment_bytes > kSegmentBytesMax || (header.segment_bytes & (header.segment_bytes - 1)) != 0) {
    why = "the header page of the items is damaged";
    return AttachStatus::kDamaged;
  }
  geometry = divide(header.region_bytes, header.segment_bytes);
  if (geometry.segments != header.segments || geometry.segments < kSegmentsMin ||
      geometry.data_offset != header.data_offset || geometry.directory_offset != header.directory_offset) {
    why = "the header page of the items is damaged";
    return AttachStatus::kDamaged;
  }
  if (header.region_bytes != region.size()) {
    why = "the items were left in a shard of " + std::to_string(header.region_bytes >> 20) + " MiB and this one has " +
          std::to_string(region.size() >> 20);
    return AttachStatus::kDivided;
  }
  return AttachStatus::kAttached;
}

std::unique_ptr<Shard> Shard::attach(MutableBytes region, const ShardOptions& options, AttachReport& report) {
  report = {};
  Geometry geometry;
  report.status = judge_region(region, geometry, report.why);
  if (report.status != AttachStatus::kAttached && report.status != AttachStatus::kDivided) return nullptr;
  auto& header = *reinterpret_cast<ShardHeader*>(region.data());
  Geometry wanted;
  std::string refused;
  if (header.regions != options.regions || header.region != options.region) {
    report.status = AttachStatus::kDivided;
    report.why = "the items were left to " + std::to_string(header.regions) + " workers and now there are " +
                 std::to_string(options.regions);
  }
  if (report.status == AttachStatus::kDivided) return nullptr;
  if (!make_geometry(region.size(), options.segment_bytes, options.item_bytes_max, wanted, refused) ||
      wanted.segment_bytes != geometry.segment_bytes) {
    report.status = AttachStatus::kDivided;
    report.why = "the items were left in segments of " + std::to_string(geometry.segment_bytes) + " bytes and now " +
                 std::to_string(wanted.segment_bytes) + " are wanted";
    return nullptr;
  }
  std::unique_ptr<Shard> shard(new Shard);
  shard->prepare(options, geometry, {header.hash_key_a, header.hash_key_b});
  if (!shard->take_over(region, geometry, report)) {
    report.status = AttachStatus::kDamaged;
    return nullptr;
  }
  std::uint64_t first = options.restore_first_bytes;
  shard->restore(first);
  return shard;
}

bool Shard::take_over(MutableBytes region, const Geometry& geometry, AttachReport& report) {
  auto& found = *reinterpret_cast<ShardHeader*>(region.data());
  report.clean = found.stopped == 1;
  ordered_store(found.stopped, std::uint64_t{0});
  now_ = std::max(now_, found.clock_s);
  flush_cas_ = found.flush_cas;
  flush_at_ = found.flush_at_s;

  std::vector<std::uint32_t> kept;
  report.segments_bad = pool_.attach(region, geometry, kept);
  std::sort(kept.begin(), kept.end(),
            [&](std::uint32_t a, std::uint32_t b) { return pool_.header(a).sequence < pool_.header(b).sequence; });
  report.segments = static_cast<std::uint32_t>(kept.size());
  counts_.damaged_segments = report.segments_bad;
  settle_replacement();

  const std::uint64_t last = kept.empty() ? 0 : pool_.header(kept.back()).sequence;
  found.next_sequence = std::max(found.next_sequence, last + 1);
  report.twice = found.restore_sequence != 0 && last >= found.restore_sequence;
  if (!report.twice) ordered_store(found.restore_sequence, found.next_sequence);

  std::uint64_t items = 0;
  for (const std::uint32_t id : kept) {
    pool_.enlist(id);
    items += std::min<std::uint64_t>(pool_.header(id).live_items, pool_.header(id).used_bytes / kItemBytesMin);
  }
  if (pool_.free_segments() == 0) {
    report.why = "no segment is left for the index";
    return false;
  }
  index_.format(region.data(), geometry, pool_.take_for_index());
  presize_index(items);

  Restore& restore = restore_;
  restore.order = std::make_unique<std::uint32_t[]>(kept.size());
  std::copy(kept.begin(), kept.end(), restore.order.get());
  restore.count = static_cast<std::uint32_t>(kept.size());
  restore.sequence = found.next_sequence;
  if (flush_at_ != 0 && now_ >= flush_at_) flush_now();
  report.why = report.clean ? "the items were left by a clean stop" : "the items were left by a process that died";
  if (restore.count == 0) end_restore();
  if (!report.twice) return true;
  // The earlier process had not read everything when it died, so what it overwrote or deleted may still look alive
  // beside what replaced it. Both have to be seen before either is served.
  restore.careful = true;
  std::uint64_t all = ~std::uint64_t{0};
  this->restore(all);
  if (!restore.failed) return true;
  report.why = "a segment was damaged that may have held newer values of what is left";
  return false;
}

void Shard::settle_replacement() noexcept {
  ShardHeader& page = header();
  const Location old = page.replaced, young = page.replacement;
  if (old != 0 && old != young && may_hold_item(old) && may_hold_item(young)) {
    ItemHeader& from = item_at(old);
    const ItemHeader& to = item_at(young);
    if (!from.dead() && !to.dead() && has_key(from, to.key()) && to.check == item_check(to, base_at(young))) {
      ordered_store(from.state, static_cast<std::uint8_t>(from.state | kItemDead));
      SegmentHeader& segment = pool_.header(pool_.segment_of(old));
      if (segment.live_items > 0) --segment.live_items;
      segment.live_bytes -= std::min(segment.live_bytes, from.item_bytes());
    }
  }
  ordered_store(page.replaced, Location{0});
}

bool Shard::may_hold_item(Location at) const noexcept {
  const Geometry& geometry = pool_.geometry();
  if (at > geometry.region_bytes / kItemAlign) return false;
  const std::uint64_t offset = at * kItemAlign;
  if (offset < geometry.data_offset) return false;
  const std::uint64_t id = (offset - geometry.data_offset) >> geometry.segment_shift;
  if (id >= geometry.segments) return false;
  const SegmentHeader& segment = pool_.header(static_cast<std::uint32_t>(id));
  const std::uint64_t within = (offset - geometry.data_offset) & (geometry.segment_bytes - 1);
  if (segment.state != SegmentState::kKept || within >= segment.used_bytes) return false;
  return item_fits(item_at(at), static_cast<std::uint32_t>(segment.used_bytes - within));
}

void Shard::presize_index(std::uint64_t items) noexcept {
  // What is taken now need not be split into later. Some segments stay for overflow buckets and the first tails.
  const std::uint32_t free_at_least = 2 + pool_.free_segments() / 8;
  while (index_.buckets() * Index::kGrowLoad < items) {
    if (index_.growth_needs_segment()) {
      if (pool_.free_segments() <= free_at_least) return;
      if (pool_.index_segments() >= index_segments_max()) return;
      index_.give_segment(pool_.take_for_index(), Index::Use::kBuckets);
    }
    index_.add_empty_page();
  }
}

void Shard::close() noexcept {
  check_owner();
  while (tails_ > 0) close_tail(0);
  // One call stops where it finds nothing to seal for a while; a segment with a reservation open is never sealed.
  const std::uint32_t calls = pool_.segments() / 64 + 1 + closed_;
  for (std::uint32_t i = 0; i < calls && closed_ > 0; ++i) {
    std::uint64_t all = ~std::uint64_t{0};
    seal_some(all);
  }
  ordered_store(header().stopped, std::uint64_t{1});
}

}  // namespace gannet::storage
