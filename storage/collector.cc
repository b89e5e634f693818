// The collector takes segments back: expired and flushed ones, then by eviction. It has one job at a time, a window of
// up to kWindowMax segments, and does it in steps of bounded work:
//   scan   sums up the bytes of each score class of the window's visible items (merge only). Sequential: the use counts
//   lie in the items. drain  walks one segment after the other: dead items are passed over, expired and flushed ones
//   forgotten, the best moved to a tail,
//          the rest evicted; then the segment is free. In batches, so that the index lines of one batch are fetched
//          together.
#include <algorithm>
#include <bit>
#include <cstring>

#include "storage/shard.h"

namespace gannet::storage {
namespace {

/// Work per item in bytes of budget, beyond its own: what a scanned header and a drained index entry cost.
constexpr std::uint64_t kScanCost = 32, kDrainCost = 96;
constexpr std::uint32_t kDrainBatch = 32;
/// Windows after which a score seen has lost about two thirds of its weight in the usual distribution.
constexpr std::uint64_t kUsualWindows = 8;
/// What has expired among items that have not is moved out of when it takes more than this part of memory.
constexpr std::uint64_t kHeldShare = 64;
/// What kGreedy would keep of what is looked at, in sixteenths: a lower share looks at each item less often than its
/// worth changes, a higher one copies more than it gains. Where much is overwritten looking more often pays: what is
/// dead when a segment is taken is half of it looked for sooner.
constexpr std::uint64_t kGreedyKeeps = 12, kGreedyKeepsMost = 13;

}  // namespace

bool Shard::begin_expired() noexcept {
  Collector& job = collector_;
  MUST_EQ(job.phase, Collector::Phase::kIdle);
  job.segments = 0;
  while (finished_count_ > 0 && job.segments < kWindowMax) {
    const std::uint32_t id = finished_[--finished_count_];
    if (evictable(pool_.header(id)) && finished(pool_.header(id))) add_to_window(id);
  }
  if (job.segments == 0) return false;
  job.phase = Collector::Phase::kDrain;
  job.at = job.offset = 0;
  job.evicting = false;
  job.cutoff = 0;  // Whatever is still visible (committed after the flush) is moved.
  job.ageing = false;
  job.keep_bytes = std::uint64_t{job.segments} << pool_.geometry().segment_shift;
  return true;
}

bool Shard::begin_compaction() noexcept {
  // Judged once a round of look_at_next_segments(), so that what one round found is not taken for still there.
  Collector& job = collector_;
  MUST_EQ(job.phase, Collector::Phase::kIdle);
  job.segments = 0;
  if (held_ * kHeldShare <= pool_.geometry().region_bytes || pool_.free_segments() <= spare_ + 1) return false;
  const std::uint32_t id = most_expired();
  if (id == kNoSegment) return false;
  add_to_window(id);
  const std::uint64_t held = expired_of(pool_.header(id));
  held_ -= std::min(held_, held);
  job.phase = Collector::Phase::kDrain;
  job.at = job.offset = 0;
  job.evicting = false;
  job.cutoff = 0;
  job.ageing = false;
  job.keep_bytes = 2 * std::uint64_t{pool_.geometry().segment_bytes};  // Copies may be wider than what they are of.
  return true;
}

bool Shard::begin_eviction(bool drop_all) noexcept {
  Collector& job = collector_;
  MUST_EQ(job.phase, Collector::Phase::kIdle);
  drop_all |= drops_whole();
  job.segments = 0;
  choose_window(drop_all);
  if (job.segments == 0) return false;
  job.at = job.offset = 0;
  job.phase = drop_all || eviction_ == Eviction::kS3Fifo ? Collector::Phase::kDrain : Collector::Phase::kScan;
  job.evicting = true;
  job.ageing = !drop_all;
  job.cutoff = drop_all ? kScoreClasses : 1;
  job.keep_bytes = drop_all ? 0 : std::uint64_t{job.segments} << pool_.geometry().segment_shift;
  job.histogram.fill(0);
  if (!drop_all) ++counts_.merges;
  return true;
}

void Shard::scan(std::uint64_t& budget) noexcept {
  Collector& job = collector_;
  while (job.at < job.segments && budget > 0) {
    const SegmentHeader& segment = pool_.header(job.window[job.at]);
    const SegmentBase& base = pool_.base_of(segment.id);
    const std::byte* const data = pool_.data(segment.id);
    const bool all = all_visible(segment);
    std::uint32_t offset = job.offset;
    PrefetchAhead ahead(data + offset);
    while (offset < segment.used_bytes && budget > 0) {
      ahead.reach(data + offset);
      const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
      const std::uint32_t bytes = item.item_bytes();
      if (!item.dead() && (all || visible(item, base)))
        job.histogram[class_of_worth(merit_of(item.state, bytes))] += bytes;
      offset += bytes;
      budget -= budget < kScanCost ? budget : kScanCost;
      ++work_.lines_touched;
    }
    job.offset = offset;
    if (job.offset < segment.used_bytes) return;
    MUST_EQ(job.offset, segment.used_bytes);
    job.offset = 0;
    ++job.at;
  }
  if (job.at == job.segments) judge_window();
}

void Shard::judge_window() noexcept {
  Collector& job = collector_;
  const std::uint32_t segment_bytes = pool_.geometry().segment_bytes;
  const std::uint64_t window_bytes = std::uint64_t{job.segments} * segment_bytes;
  std::uint64_t visible_bytes = 0;
  for (const std::uint64_t bytes : job.histogram) visible_bytes += bytes;
  const bool compact = visible_bytes <= window_bytes / 2;  // So much is dead that nothing need be evicted.
  const std::uint64_t sample = job.usual_bytes + window_bytes;
  job.cutoff = cutoff_for(eviction_ == Eviction::kGreedy ? greedy_keeps(sample, visible_bytes) : sample / 2);
  std::uint64_t worth = 0;
  for (std::uint32_t score = job.cutoff; score < kScoreClasses; ++score) worth += job.histogram[score];
  // A merge always frees a segment. Where that would cost what is worth keeping, the window is widened first.
  const std::uint64_t most = job.segments == 1 ? window_bytes / 2 : window_bytes - segment_bytes;
  if (!compact && worth > most && job.segments >= kWindowUsual && job.segments < kWindowMax) {
    if (widen_window()) return;
  }
  remember_scores(window_bytes);
  job.phase = Collector::Phase::kDrain;
  job.at = job.offset = 0;
  job.keep_bytes = most;
  job.ageing = !compact;
  if (compact) job.cutoff = 0;
  if (!compact && worth > most) {
    job.cutoff = kScoreClasses;
    for (std::uint64_t kept = 0; job.cutoff > 1 && kept < most;) kept += job.histogram[--job.cutoff];
  }
}

std::uint64_t Shard::greedy_keeps(std::uint64_t sample, std::uint64_t visible_bytes) const noexcept {
  for (const std::uint64_t bytes : collector_.usual) visible_bytes += bytes;
  const std::uint64_t dead = sample - std::min(sample, visible_bytes);
  return std::min(sample * kGreedyKeeps / 16 + dead / 2, sample * kGreedyKeepsMost / 16);
}

bool Shard::widen_window() noexcept {
  const std::uint32_t before = collector_.segments;
  if (eviction_ == Eviction::kGreedy) {
    choose_by_gain(1);
  } else if (const std::uint32_t id = oldest_evictable(); id != kNoSegment) {
    add_to_window(id);
  }
  return collector_.segments > before;
}

std::uint32_t Shard::cutoff_for(std::uint64_t wanted) const noexcept {
  // What is worth keeping is judged against the last windows together: a window of hot items keeps more than one of
  // cold items. The class that crosses the limit goes: keeping some of many that are worth the same is copying
  // for nothing.
  // What the clock has overtaken stays, too, as long as so much is dead that the rest may stay: otherwise segments are
  // taken the more seldom, the more they hold that was overwritten.
  const std::uint32_t least = eviction_ == Eviction::kGreedy ? 0 : 1;
  std::uint32_t cutoff = kScoreClasses;
  for (std::uint64_t sum = 0; cutoff > least; --cutoff) {
    sum += collector_.usual[cutoff - 1] + collector_.histogram[cutoff - 1];
    if (sum > wanted) break;
  }
  return cutoff;
}

void Shard::remember_scores(std::uint64_t window_bytes) noexcept {
  Collector& job = collector_;
  std::uint64_t all = 0;
  for (std::uint32_t score = 0; score < kScoreClasses; ++score) {
    job.usual[score] += job.histogram[score] - job.usual[score] / kUsualWindows;
    all += job.usual[score];
  }
  job.usual_bytes += window_bytes - job.usual_bytes / kUsualWindows;
  std::uint64_t sum = 0;
  for (std::uint32_t score = 0, rank = 1; score < kScoreClasses && rank < kRanks; ++score) {
    sum += job.usual[score];
    while (rank < kRanks && sum * kRanks >= all * rank) job.rank_from[rank++] = least_worth_from(score + 1);
  }
}

[[gnu::always_inline]] inline void Shard::drain_item(SegmentHeader& from, Location at, std::uint64_t hash,
                                                     bool all_visible, std::uint64_t cutoff) noexcept {
  Collector& job = collector_;
  ItemHeader& item = item_at(at);
  const std::uint32_t bytes = item.item_bytes();
  const bool here = all_visible || visible(at);
  if (here && merit_of(item.state, bytes) >= cutoff && bytes <= job.keep_bytes) {
    if (const std::uint32_t copied = move_item(from, at, hash); copied != 0) {
      job.keep_bytes -= std::min<std::uint64_t>(job.keep_bytes, copied);
      ++counts_.merged_items_kept;
      return;
    }
  }
  ++(here ? counts_.evicted_items : counts_.expired_items);
  index_.remove(hash, at);
  bury(item, from, bytes);
}

void Shard::drain(std::uint64_t& budget) noexcept {
  Collector& job = collector_;
  while (job.at < job.segments && budget > 0) {
    const std::uint32_t id = job.window[job.at];
    SegmentHeader& segment = pool_.header(id);
    std::byte* const data = pool_.data(id);
    const bool all = all_visible(segment);
    const std::uint64_t cutoff = least_worth_from(job.cutoff);
    PrefetchAhead ahead(data + job.offset);
    while (job.offset < segment.used_bytes && budget > 0) {
      std::array<Location, kDrainBatch> at;
      std::array<std::uint64_t, kDrainBatch> hash;
      std::uint32_t count = 0, offset = job.offset;
      while (count < kDrainBatch && offset < segment.used_bytes && budget > 0) {
        ahead.reach(data + offset);
        const auto& item = *reinterpret_cast<const ItemHeader*>(data + offset);
        const std::uint32_t bytes = item.item_bytes();
        const std::uint64_t cost = kDrainCost + bytes;
        budget -= budget < cost ? budget : cost;
        ++work_.lines_touched;
        if (!item.dead()) {
          at[count] = pool_.location(id, offset);
          hash[count] = keyed_hash(hash_key_, item.key());
          work_.lines_touched += lines_of(item.key_bytes());
          ++count;
        }
        offset += bytes;
      }
      job.offset = offset;
      index_.prefetch_buckets({hash.data(), count});
      for (std::uint32_t i = 0; i < count; ++i) drain_item(segment, at[i], hash[i], all, cutoff);
    }
    if (job.offset < segment.used_bytes) return;
    MUST_EQ(job.offset, segment.used_bytes);
    set_free(id);
    if (job.evicting) ++counts_.evicted_segments;
    job.offset = 0;
    ++job.at;
  }
  if (job.at == job.segments) {
    if (job.ageing) advance_clock(job.cutoff);
    job.phase = Collector::Phase::kIdle;
    job.segments = 0;
  }
}

std::uint32_t Shard::move_item(SegmentHeader& from, Location at, std::uint64_t hash) noexcept {
  ItemHeader& item = item_at(at);
  const SegmentBase& from_base = pool_.base_of(from.id);
  const std::uint32_t before = item.item_bytes();
  const NewItem same{item.key(), item.value_bytes(), item.flags(), item.expires_at(from_base), item.cas(from_base)};
  const std::uint8_t state = collector_.ageing ? aged(item.state, before) : item.state & kItemUsesMask;
  const std::uint64_t worth = lead_of(state, before);
  const std::uint32_t rank = eviction_ == Eviction::kS3Fifo ? 1 : rank_of(worth);
  const auto most = static_cast<std::uint32_t>(item_bytes_most(same.key.size(), same.value_bytes, same.flags));
  const std::uint32_t into = tail_for(same.expires_at, most, rank, false);
  if (into == kNoSegment) return 0;
  const Location copy_at = pool_.location(into, pool_.header(into).used_bytes);
  ItemHeader& copy = item_at(copy_at);
  // The check is of what it stands for, not of how it is written: damage done here before is still seen.
  const auto [header_bytes, bytes] = write_header(copy, same, pool_.base_of(into), item.check);
  copy_item_bytes(copy.bytes() + header_bytes, same.key.data(), same.key.size() + same.value_bytes);
  take_room(into, bytes, same.expires_at);
  work_.bytes_copied += bytes;
  work_.lines_touched += lines_of(before) + lines_of(bytes);
  note_written(into, bytes, worth, same.expires_at);
  go_live(copy_at, into, bytes, state, at);
  counts_.moved_bytes += bytes;
  index_.replace(hash, at, copy_at);
  bury(item, from, before);
  ordered_store(header().replaced, Location{0});
  return bytes;
}

void Shard::step(std::uint64_t& budget) noexcept {
  if (collector_.phase == Collector::Phase::kScan) scan(budget);
  if (collector_.phase == Collector::Phase::kDrain) drain(budget);
}

void Shard::collect(std::uint64_t& budget) noexcept {
  while (budget > 0) {
    if (collector_.phase == Collector::Phase::kIdle && !begin_expired() && !begin_compaction()) {
      if (pool_.free_segments() >= free_wanted_ || !begin_eviction(false)) return;
    }
    step(budget);
  }
}

bool Shard::make_free(std::uint32_t spare) noexcept {
  // Merging frees at least half of its window in the long run, but single windows may end where they began (a tail to
  // fill up first); after some of those, segments are dropped whole.
  constexpr std::uint32_t kMergesMax = 4;
  ++work_.waits;
  for (std::uint32_t jobs = 0, in_vain = 0; pool_.free_segments() <= spare;) {
    if (collector_.phase == Collector::Phase::kIdle) {
      look_at_oldest();
      const bool drop_all = jobs >= kMergesMax;
      if (!begin_expired() && !begin_eviction(drop_all)) {
        in_vain += kHeadersPerCall;
        if (in_vain < pool_.segments()) continue;  // Not all of them have been looked at.
        if (restoring() && !restore_.busy) {
          std::uint64_t step_bytes = pool_.geometry().segment_bytes;
          restore(step_bytes);
          continue;
        }
        if (!close_some_tail()) return false;
        in_vain = 0;
        continue;
      }
      ++jobs;
      in_vain = 0;
    }
    std::uint64_t budget = pool_.geometry().segment_bytes;
    step(budget);
  }
  return true;
}

}  // namespace gannet::storage
