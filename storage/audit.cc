// The walk that proves a shard's invariants, or names the first one broken.
#include <cstdarg>
#include <cstddef>
#include <cstdio>

#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {
namespace {

[[gnu::format(printf, 2, 3)]] void fault(AuditReport& report, const char* format, ...) noexcept {
  if (report.faults++ != 0) return;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(report.first_fault, sizeof report.first_fault, format, arguments);
  va_end(arguments);
}

}  // namespace

void Shard::audit_segment(std::uint32_t id, AuditReport& report) const noexcept {
  const SegmentHeader& segment = pool_.header(id);
  const SegmentBase& base = pool_.base_of(id);
  const std::uint32_t size = pool_.geometry().segment_bytes;
  if (segment.live_bytes > segment.used_bytes || segment.used_bytes > size) {
    fault(report, "segment %u: live %u <= used %u <= size %u does not hold", id, segment.live_bytes, segment.used_bytes,
          size);
    return;
  }
  // Of a segment kept from an earlier process the index knows as much as was entered.
  const bool kept = segment.state == SegmentState::kKept;
  const std::uint32_t known = !kept ? segment.used_bytes : being_entered(id) ? restore_.offset : 0;
  std::uint32_t offset = 0, items = 0, bytes = 0, crc = 0;
  while (offset < segment.used_bytes) {
    const auto& item = *reinterpret_cast<const ItemHeader*>(pool_.data(id) + offset);
    const std::uint32_t item_bytes = item.item_bytes();
    if (!item_fits(item, segment.used_bytes - offset)) {
      fault(report, "segment %u: no item can lie at %u (key %u, %u bytes of %u)", id, offset, item.key_bytes(),
            item_bytes, segment.used_bytes);
      return;
    }
    crc = body_crc_extend(crc, item);
    if (!item.dead() && offset < known) {
      const Location at = pool_.location(id, offset);
      const std::uint64_t cas = item.cas(base);
      const UnixSeconds expires_at = item.expires_at(base);
      const std::uint32_t expiry = expires_at == kNever ? kNeverExpires : expires_at;
      if (item.check != item_check(item, base)) fault(report, "segment %u: the item at %u fails its check", id, offset);
      if (cas == 0 || cas >= header().next_cas)
        fault(report, "segment %u: the item at %u has a CAS never given", id, offset);
      if (expiry < segment.expiry_min_s || expiry > segment.expiry_max_s) {
        fault(report, "segment %u: the item at %u expires outside the segment's range", id, offset);
      }
      if (locate(hash_at(at), item.key()) != at) {
        fault(report, "segment %u: the live item at %u is not what the index finds for its key", id, offset);
      }
      ++items;
      bytes += item_bytes;
    }
    offset += item_bytes;
  }
  if (!kept && (items != segment.live_items || bytes != segment.live_bytes)) {
    fault(report, "segment %u: counts %u live items of %u bytes, has %u of %u", id, segment.live_items,
          segment.live_bytes, items, bytes);
  }
  if (segment.state == SegmentState::kSealed) {
    if (crc != segment.body_crc)
      fault(report, "segment %u: sealed body has CRC %08x, header says %08x", id, crc, segment.body_crc);
    if (header_crc(segment, base) != segment.header_crc) fault(report, "segment %u: sealed header fails its CRC", id);
  }
  report.items += items;
}

AuditReport Shard::audit(UnixSeconds) const noexcept {
  AuditReport report;
  std::uint64_t live_bytes = 0, pins = 0, reservations = 0;
  std::uint32_t free = 0, open = 0, closed = 0, draining = 0, index = 0, listed = 0;
  for (std::uint32_t id = 0; id < pool_.segments(); ++id) {
    const SegmentHeader& segment = pool_.header(id);
    if (segment.magic != kSegmentMagic || segment.id != id) fault(report, "segment %u: header is not its own", id);
    pins += segment.pins;
    reservations += segment.reservations;
    switch (segment.state) {
      case SegmentState::kFree:
      case SegmentState::kIndex:
        ++(segment.state == SegmentState::kFree ? free : index);
        if (segment.pins != 0 || segment.reservations != 0)
          fault(report, "segment %u: pinned or reserved without items", id);
        continue;
      case SegmentState::kOpen:
        ++open;
        break;
      case SegmentState::kClosed:
        ++closed;
        break;
      case SegmentState::kSealed:
        if (segment.reservations != 0) fault(report, "segment %u: sealed with a reservation open", id);
        break;
      case SegmentState::kDraining:
        if (segment.reservations != 0) fault(report, "segment %u: drained while reserved", id);
        ++draining;
        break;
      case SegmentState::kKept:
        if (!restoring() || (segment.pins != 0 && !being_entered(id)) || segment.reservations != 0)
          fault(report, "segment %u: kept, and nobody is going to read it, or in use before it was", id);
        if (!being_entered(id)) live_bytes -= segment.live_bytes;  // Not summed up before it is verified.
        break;
      default:
        fault(report, "segment %u: state %u is none", id, static_cast<unsigned>(segment.state));
        continue;
    }
    ++report.segments;
    live_bytes += segment.live_bytes;
    audit_segment(id, report);
  }
  for (std::uint32_t bucket = 0; bucket < kTtlBuckets; ++bucket) {
    std::uint32_t before = kNoSegment;
    for (std::uint32_t id = pool_.oldest(bucket); id != kNoSegment && listed <= pool_.segments();
         id = pool_.header(id).next) {
      const SegmentHeader& segment = pool_.header(id);
      if (segment.previous != before || segment.ttl_bucket != bucket)
        fault(report, "segment %u: not linked into TTL bucket %u", id, bucket);
      if (before != kNoSegment && segment.sequence <= pool_.header(before).sequence)
        fault(report, "segment %u: out of sequence", id);
      before = id;
      ++listed;
    }
    if (pool_.youngest(bucket) != before)
      fault(report, "TTL bucket %u: its list does not end at its youngest segment", bucket);
  }
  if (listed != report.segments)
    fault(report, "%u segments are listed in TTL buckets, %u hold items", listed,
          static_cast<unsigned>(report.segments));
  if (free != pool_.free_segments() || index != pool_.index_segments() || open != tails_ || closed != closed_ ||
      draining > collector_.segments) {
    fault(report, "states: %u free, %u index, %u open, %u closed, %u draining do not fit the sums", free, index, open,
          closed, draining);
  }
  if (pins != pins_ || reservations != reservations_open_) {
    fault(report, "pins %llu, reservations %llu do not fit the sums", static_cast<unsigned long long>(pins),
          static_cast<unsigned long long>(reservations));
  }
  // Each live item is found under its key (above); with as many slots as live items there is no slot left for anything
  // else.
  if (index_.count_slots() != report.items || index_.items() != report.items) {
    fault(report, "index: %llu slots for %llu live items", static_cast<unsigned long long>(index_.count_slots()),
          static_cast<unsigned long long>(report.items));
  }
  if (live_bytes != live_bytes_) fault(report, "live bytes do not fit the sum");
  return report;
}

}  // namespace gannet::storage
