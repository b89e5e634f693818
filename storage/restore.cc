// Reading what an earlier process left, segment by segment and oldest first, while the shard already serves: each
// segment is verified whole before its first item can be found.
//
// While that goes on the index does not know every live item, so whatever leaves it has to leave something behind, or
// an older value not read yet would take its place: an item already expired stands for each removal (Shard::remove),
// and segments opened since the attach are not evicted (Shard::evictable). A process that dies meanwhile leaves
// restore_sequence in the header page; the next one reads everything before it serves, the higher CAS of a key staying.
#include <algorithm>
#include <array>

#include "storage/attach.h"
#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::storage {
namespace {

constexpr std::uint32_t kBatch = 32;
/// Work per item entered, in bytes of budget beyond its own.
constexpr std::uint64_t kEnterCost = 64;
/// The second 1 of unix time: the expiry of what stands for a removal.
constexpr UnixSeconds kLongGone = 1;

}  // namespace

void Shard::restore(std::uint64_t& budget) noexcept {
  Restore& job = restore_;
  if (job.busy) return;  // Making room for the index has led back here.
  job.busy = true;
  while (job.next < job.count && budget > 0) {
    const std::uint32_t id = job.order[job.next];
    if (!job.verified) {
      verify_kept(id, budget);
    } else {
      enter_kept(id, budget);
    }
    if (job.failed) job.next = job.count;
  }
  job.busy = false;
  if (job.count > 0 && job.next == job.count && !job.failed) end_restore();
}

void Shard::end_restore() noexcept {
  restore_.count = restore_.next = 0;
  ordered_store(header().restore_sequence, std::uint64_t{0});
}

void Shard::verify_kept(std::uint32_t id, std::uint64_t& budget) noexcept {
  Restore& job = restore_;
  SegmentHeader& segment = pool_.header(id);
  const SegmentBase& base = pool_.base_of(id);
  const std::byte* const data = pool_.data(id);
  if (job.offset == 0) job.sealed = segment.header_crc == header_crc(segment, base);
  // In registers: the sums of a job are written once a call.
  const bool sealed = job.sealed;
  bool good = true;
  std::uint32_t offset = job.offset, crc = job.crc, live_items = job.live_items, live_bytes = job.live_bytes;
  std::uint64_t cas_max = job.cas_max, left = budget;
  PrefetchAhead ahead(data + offset);
  while (offset < segment.used_bytes && left > 0) {
    ahead.reach(data + offset);
    const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
    good =
        item_fits(item, segment.used_bytes - offset) && (sealed || item.dead() || item.check == item_check(item, base));
    if (!good) break;
    if (sealed) crc = body_crc_extend(crc, item);
    const std::uint32_t bytes = item.item_bytes();
    if (!item.dead()) {
      ++live_items;
      live_bytes += bytes;
      cas_max = std::max(cas_max, item.cas(base));
    }
    offset += bytes;
    left -= left < bytes ? left : bytes;
  }
  budget = left;
  job.offset = offset;
  job.crc = crc;
  job.live_items = live_items;
  job.live_bytes = live_bytes;
  job.cas_max = cas_max;
  if (!good) {
    // An open segment ends here: nobody vouches for anything behind an item that fails.
    if (sealed || job.careful) return retire_kept(id);
    ++counts_.damaged_segments;
    segment.used_bytes = offset;
  }
  if (job.offset < segment.used_bytes) return;
  if (job.sealed && job.crc != segment.body_crc) return retire_kept(id);
  // A crash leaves the counts too large by one at most, never too small: a dead bit was lost.
  if (job.live_items > segment.live_items || job.live_bytes > segment.live_bytes) return retire_kept(id);
  if (job.cas_max >= header().next_cas) header().next_cas = job.cas_max + 1;
  segment.live_items = job.live_items;
  segment.live_bytes = job.live_bytes;
  live_bytes_ += job.live_bytes;
  job.verified = true;
  job.offset = 0;
}

void Shard::retire_kept(std::uint32_t id) noexcept {
  SegmentHeader& segment = pool_.header(id);
  ++counts_.damaged_segments;
  counts_.damaged_items += segment.live_items;
  if (restore_.careful) {
    restore_.failed = true;
    return;
  }
  segment.live_items = segment.live_bytes = 0;
  ordered_store(segment.state, SegmentState::kDraining);
  pool_.release(id);
  next_kept();
}

void Shard::next_kept() noexcept {
  Restore& job = restore_;
  ++job.next;
  job.verified = false;
  job.offset = job.crc = job.live_items = job.live_bytes = 0;
  job.cas_max = 0;
}

void Shard::enter_kept(std::uint32_t id, std::uint64_t& budget) noexcept {
  Restore& job = restore_;
  SegmentHeader& segment = pool_.header(id);
  std::byte* const data = pool_.data(id);
  const Location first = pool_.location(id, 0);
  const HashKey hash_key = hash_key_;
  const std::uint32_t used = segment.used_bytes;
  const bool all = all_visible(segment);  // As a rule: then there is little to ask for each item.
  PrefetchAhead ahead(data + job.offset);
  while (job.offset < used && budget > 0 && !job.failed) {
    std::array<Location, kBatch> at;
    std::array<std::uint64_t, kBatch> hash;
    std::array<Index::Bucket*, kBatch> head;
    std::uint32_t count = 0, offset = job.offset;
    while (count < kBatch && offset < used) {
      ahead.reach(data + offset);
      const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
      if (!item.dead()) {
        at[count] = first + offset / kItemAlign;
        hash[count] = keyed_hash(hash_key, item.key());
        head[count] = index_.prefetch_head(hash[count]);
        ++count;
      }
      offset += item.item_bytes();
    }
    const std::uint64_t cost = offset - job.offset + count * kEnterCost;
    budget -= budget < cost ? budget : cost;
    std::uint32_t entered = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!all || !index_.overflow_ready()) [[unlikely]] {
        enter_item(at[i], hash[i]);
        continue;
      }
      const Location other = index_.find_or_insert(
          head[i], hash[i], at[i], [&](Location there) { return has_key(item_at(there), item_at(at[i]).key()); });
      if (other == at[i]) [[likely]] {
        ++entered;
      } else {
        settle_twice(at[i], hash[i], other);
      }
    }
    counts_.restored_items += entered;
    job.offset = offset;
    tend_index(count);
  }
  if (job.offset < used || job.failed) return;
  if (job.sealed) {
    ordered_store(segment.state, SegmentState::kSealed);
  } else {
    segment.header_crc = 0;
    ordered_store(segment.state, SegmentState::kClosed);
    ++closed_;
  }
  next_kept();
  release_if_empty(id);
}

void Shard::enter_item(Location at, std::uint64_t hash) noexcept {
  const ItemHeader& item = item_at(at);
  const SegmentBase& base = base_at(at);
  const std::uint64_t cas = item.cas(base);
  // What expired may stand for a removal of something not read yet if the earlier process did not get to the end.
  if (cas < flush_cas_ || (!restore_.careful && expired(item.expires_at(base)))) {
    ++counts_.restore_dropped;
    bury(at);
    return;
  }
  const auto same_key = [&](Location there) { return has_key(item_at(there), item.key()); };
  const bool ready = ready_index();
  const Location other = ready ? index_.find_or_insert(hash, at, same_key) : index_.find(hash, same_key);
  if (other == at) [[likely]] {
    ++counts_.restored_items;
    return;
  }
  settle_twice(at, hash, other);
}

void Shard::settle_twice(Location at, std::uint64_t hash, Location other) noexcept {
  const std::uint64_t cas = cas_at(at);
  if (other == 0) {
    ++counts_.restore_dropped;
    restore_.failed |= restore_.careful;
    bury(at);
    return;
  }
  ++counts_.restore_dropped;
  if (cas_at(other) >= cas) {
    bury(at);
    return;
  }
  index_.replace(hash, other, at);
  bury(other);
}

void Shard::remove(std::uint64_t hash, Bytes key, Location at) noexcept {
  if (restoring()) [[unlikely]] {
    if (mark_removed(hash, key)) return;
    restore_all();
    at = locate(hash, key);
  }
  if (at != 0) forget(hash, at);
}

bool Shard::mark_removed(std::uint64_t hash, Bytes key) noexcept {
  if (!ready_index()) return false;
  NewItem item{key, 0, 0, kLongGone, kNextCas};
  const Location at = make_item(item).at;
  if (at == 0) return false;
  return publish(hash, at, header().next_cas++, locate_entry(hash, key));
}

void Shard::restore_all() noexcept {
  std::uint64_t all = ~std::uint64_t{0};
  restore(all);
}

}  // namespace gannet::storage
