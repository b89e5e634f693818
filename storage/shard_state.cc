// Making a shard, flushing it, and its numbers.
#include <algorithm>
#include <cstddef>

#include "storage/checksum.h"
#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {

void Shard::prepare(const ShardOptions& options, const Geometry& geometry, HashKey hash_key) {
  hash_key_ = hash_key;
  eviction_ = options.eviction;
  pins_max_ = options.pins_max;
  now_ = options.now;
  item_bytes_max_ =
      options.item_bytes_max != 0 ? options.item_bytes_max : std::min(1024u * 1024, geometry.segment_bytes);
  reservations_ = std::make_unique<OpenReservation[]>(kReservationsMax);
  for (std::uint32_t i = 0; i < kReservationsMax; ++i) reservations_[i].next = i + 1;
  const std::uint32_t segments = geometry.segments;
  // Before anything was looked at, what is seen first is not taken for what is usual.
  collector_.usual_bytes = std::uint64_t{kWindowUsual} * 4 * geometry.segment_bytes;
  ranks_ = std::make_unique<SegmentRank[]>(segments);
  spare_ = 1;
  free_wanted_ = 1 + std::clamp(segments / 64, 1u, 8u);
  tails_max_ = std::clamp(segments / 40, 1u, kTailsMax);
  tails_usual_ = std::clamp(segments / 50, 1u, kTailsMax);
}

std::unique_ptr<Shard> Shard::format(MutableBytes region, const ShardOptions& options, std::string& why) {
  Geometry geometry;
  if (!make_geometry(region.size(), options.segment_bytes, options.item_bytes_max, geometry, why)) return nullptr;
  if (options.pins_max == 0 || options.pins_max > 65535) {
    why = "pins_max is " + std::to_string(options.pins_max) + "; choose 1 to 65535";
    return nullptr;
  }
  MUST_EQ(reinterpret_cast<std::uintptr_t>(region.data()) % 64, 0u);
  std::unique_ptr<Shard> shard(new Shard);
  shard->prepare(options, geometry, options.hash_key);

  auto& header = *reinterpret_cast<ShardHeader*>(region.data());
  ordered_store(header.magic, std::uint64_t{0});
  header = ShardHeader{};
  header.format = kArenaFormat;
  header.region_bytes = geometry.region_bytes;
  header.directory_offset = geometry.directory_offset;
  header.data_offset = geometry.data_offset;
  header.segment_bytes = geometry.segment_bytes;
  header.segments = geometry.segments;
  header.item_bytes_max = shard->item_bytes_max_;
  header.regions = options.regions;
  header.region = options.region;
  header.hash_key_a = options.hash_key.a;
  header.hash_key_b = options.hash_key.b;
  header.geometry_crc = geometry_crc(header);
  // A CAS that a client kept from before a cold start must not fit again: the clock leads.
  header.next_cas = std::max<std::uint64_t>(std::uint64_t{options.now} << 32, 1);
  header.next_sequence = 1;
  header.clock_s = options.now;

  shard->pool_.format(region, geometry);
  shard->index_.format(region.data(), geometry, shard->pool_.take_for_index());
  ordered_store(header.magic, kShardMagic);
  return shard;
}

void Shard::flush(UnixSeconds at, UnixSeconds now) noexcept {
  check_owner();
  advance(now);
  if (at == 0 || at <= now_) {
    flush_now();
    return;
  }
  flush_at_ = at;
  ordered_store(header().flush_at_s, at);
}

void Shard::flush_now() noexcept {
  flush_cas_ = header().next_cas;
  ordered_store(header().flush_cas, flush_cas_);
  flush_at_ = 0;
  ordered_store(header().flush_at_s, UnixSeconds{0});
  // What is stored from here on goes into segments of its own, so that those of before can be taken back whole.
  while (tails_ > 0) close_tail(0);
  flush_sequence_ = header().next_sequence;
}

Stats Shard::stats() const noexcept {
  Stats out = counts_;
  const Geometry& geometry = pool_.geometry();
  out.items = index_.items();
  out.item_bytes = live_bytes_;
  out.memory_bytes = geometry.region_bytes + sizeof(Shard) + kReservationsMax * sizeof(OpenReservation) +
                     geometry.segments * sizeof(SegmentRank);
  out.index_bytes = std::uint64_t{pool_.index_segments()} * geometry.segment_bytes;
  out.segments_total = geometry.segments;
  out.segments_free = pool_.free_segments();
  out.segments_open = tails_;
  out.segments_index = pool_.index_segments();
  out.segments_sealed = out.segments_total - out.segments_free - out.segments_open - out.segments_index;
  out.expired_bytes_held = held_;
  out.pins = pins_;
  out.reservations = reservations_open_;
  out.segments_kept = restore_.count - restore_.next;
  return out;
}

}  // namespace gannet::storage
