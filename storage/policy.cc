// What items are worth to each policy, and which segments go. Chosen once a window; the only thing asked for each item
// is its score.
#include <algorithm>

#include "storage/shard.h"

namespace gannet::storage {
namespace {

/// Segment headers looked at for one window: however many there are, the best of so many is good enough.
constexpr std::uint32_t kLookMax = 128;

}  // namespace

std::uint32_t Shard::level_of(std::uint32_t uses_256) noexcept {
  std::uint32_t level = 0;
  while (level + 1 < kUseLevels && uses_256 >= kUsesAt[level + 1] * 256u) ++level;
  if (level + 1 == kUseLevels) return level;
  // Between two levels by chance, so that on average nothing is lost.
  const std::uint32_t over = uses_256 - kUsesAt[level] * 256u, step = (kUsesAt[level + 1] - kUsesAt[level]) * 256u;
  return std::uint64_t{random()} * step >> 32 < over ? level + 1 : level;
}

std::uint8_t Shard::aged_slowly(std::uint8_t state, std::uint32_t item_bytes) noexcept {
  if (eviction_ == Eviction::kS3Fifo) return state_of(epoch_, std::max(use_level(state), kLevelNew + 1) - 1);
  if (eviction_ != Eviction::kGreedy) return state_of(epoch_, level_of(uses_of(state) / 2 * 256));
  // Its epoch would come to look like a new one: it gets a later one, and what the clock rose between is paid in uses.
  const std::uint32_t epoch = epoch_ - kEpochsKept;
  const std::uint64_t rise = clock_at_epoch_[epoch & (kEpochs - 1)] - clock_at_epoch_[epoch_of(state)];
  const std::uint64_t paid = (rise * (item_bytes + kIndexBytesPerItem)) >> (kWorthShift - 8);
  const std::uint64_t had = uses_of(state) * 256u;
  return state_of(epoch, level_of(had > paid ? static_cast<std::uint32_t>(had - paid) : 0));
}

void Shard::begin_rank(std::uint32_t segment, std::uint32_t rank) noexcept {
  ranks_[segment] = {clock_, static_cast<std::uint8_t>(rank), {}, {}};
}

void Shard::note_written(std::uint32_t segment, std::uint32_t bytes, std::uint64_t worth,
                         UnixSeconds expires_at) noexcept {
  ranks_[segment].bytes[SegmentRank::bin_of(worth)] += bytes;
  const UnixSeconds opened = pool_.header(segment).created_s;
  const std::uint32_t until = expires_at == kNever ? ~0u : expires_at > opened ? expires_at - opened : 0;
  ranks_[segment].ends[SegmentRank::end_bin_of(until)] += bytes;
  epoch_bytes_ += bytes;
  const std::uint64_t turn = std::uint64_t{pool_.segments() - pool_.index_segments()} << pool_.geometry().segment_shift;
  if (epoch_bytes_ * kEpochsPerTurn < turn) return;
  epoch_bytes_ = 0;
  ++epoch_;
  clock_at_epoch_[epoch_ & (kEpochs - 1)] = clock_;
}

void Shard::advance_clock(std::uint32_t cutoff) noexcept {
  if (eviction_ == Eviction::kGreedy && cutoff < kScoreClasses) clock_ += worth_of_class(cutoff);
}

bool Shard::drops_whole() const noexcept {
  return eviction_ == Eviction::kFifo || eviction_ == Eviction::kRandom || eviction_ == Eviction::kCte ||
         eviction_ == Eviction::kUtil;
}

std::uint64_t Shard::gain_of(const SegmentHeader& segment) const noexcept {
  // What is dead, what has expired as far as the range tells, and of the rest what the clock has overtaken since it was
  // written: as if nobody had used it.
  const std::uint32_t size = pool_.geometry().segment_bytes;
  std::uint64_t visible_bytes = segment.live_bytes;
  if (segment.expiry_max_s <= now_) return size;
  if (segment.expiry_min_s < now_ && segment.expiry_max_s != kNeverExpires) {
    visible_bytes -= visible_bytes * (now_ - segment.expiry_min_s) / (segment.expiry_max_s - segment.expiry_min_s);
  }
  const SegmentRank& rank = ranks_[segment.id];
  std::uint64_t low = 0, all = 1;
  const std::uint32_t overtaken = SegmentRank::bin_of(clock_ - rank.clock);
  for (std::uint32_t bin = 0; bin < SegmentRank::kBins; ++bin) {
    all += rank.bytes[bin];
    if (bin < overtaken) low += rank.bytes[bin];
  }
  return size - visible_bytes + visible_bytes * low / all;
}

void Shard::choose_by_gain(std::uint32_t more) noexcept {
  std::array<std::uint32_t, kWindowUsual> best{};
  std::array<std::uint64_t, kWindowUsual> gain{};
  std::uint32_t found = 0;
  MUST_LE(more, kWindowUsual);
  for (std::uint32_t looked = 0; looked < std::min(kLookMax, pool_.segments()); ++looked) {
    if (++look_cursor_ >= pool_.segments()) look_cursor_ = 0;
    const SegmentHeader& segment = pool_.header(look_cursor_);
    if (!evictable(segment)) continue;
    const std::uint64_t mine = gain_of(segment);
    if (found == more && mine <= gain[found - 1]) continue;
    std::uint32_t at = found < more ? found++ : found - 1;
    for (; at > 0 && gain[at - 1] < mine; --at) {
      best[at] = best[at - 1];
      gain[at] = gain[at - 1];
    }
    best[at] = look_cursor_;
    gain[at] = mine;
  }
  if (found == 0) {  // All of those are free, pinned or the index's: whatever there is, then.
    if (const std::uint32_t id = oldest_evictable(); id != kNoSegment) add_to_window(id);
    return;
  }
  for (std::uint32_t i = 0; i < found; ++i) add_to_window(best[i]);
}

std::uint32_t Shard::victim_by_chance() noexcept {
  constexpr std::uint32_t kTries = 32;
  for (std::uint32_t i = 0; i < kTries; ++i) {
    const auto id = static_cast<std::uint32_t>(std::uint64_t{random()} * pool_.segments() >> 32);
    if (evictable(pool_.header(id))) return id;
  }
  return oldest_evictable();
}

template <class Cost>
std::uint32_t Shard::cheapest(Cost&& cost) noexcept {
  std::uint32_t chosen = kNoSegment;
  std::uint64_t least = ~std::uint64_t{0};
  for (std::uint32_t looked = 0; looked < std::min(kLookMax, pool_.segments()); ++looked) {
    if (++look_cursor_ >= pool_.segments()) look_cursor_ = 0;
    const SegmentHeader& segment = pool_.header(look_cursor_);
    if (!evictable(segment) || cost(segment) >= least) continue;
    least = cost(segment);
    chosen = look_cursor_;
  }
  return chosen != kNoSegment ? chosen : oldest_evictable();
}

std::uint32_t Shard::victim_of_queue() noexcept {
  // The small queue keeps a tenth of what both have.
  std::uint32_t small = 0, large = 0;
  std::array<std::uint32_t, 2> oldest{kNoSegment, kNoSegment};
  for (std::uint32_t looked = 0; looked < std::min(kLookMax, pool_.segments()); ++looked) {
    if (++look_cursor_ >= pool_.segments()) look_cursor_ = 0;
    const SegmentHeader& segment = pool_.header(look_cursor_);
    if (!evictable(segment)) continue;
    const std::uint32_t queue = ranks_[look_cursor_].rank != 0 ? 1 : 0;
    ++(queue == 0 ? small : large);
    if (oldest[queue] == kNoSegment || segment.sequence < pool_.header(oldest[queue]).sequence)
      oldest[queue] = look_cursor_;
  }
  if (small == 0 && large == 0) return oldest_evictable();
  return small != 0 && small * 9 >= large ? oldest[0] : large != 0 ? oldest[1] : oldest[0];
}

void Shard::choose_window(bool drop_all) noexcept {
  const std::uint32_t data = pool_.segments() - pool_.index_segments();
  const std::uint32_t wanted = drop_all ? 1 : std::min(1 + data / 8, kWindowUsual);
  std::uint32_t one = kNoSegment;
  switch (eviction_) {
    case Eviction::kRandom:
      one = victim_by_chance();
      break;
    case Eviction::kCte:
      one = cheapest([](const SegmentHeader& segment) { return std::uint64_t{segment.expiry_max_s}; });
      break;
    case Eviction::kUtil:
      one = cheapest([](const SegmentHeader& segment) { return std::uint64_t{segment.live_bytes}; });
      break;
    case Eviction::kS3Fifo:
      one = victim_of_queue();
      break;
    case Eviction::kGreedy:
      return choose_by_gain(wanted);
    case Eviction::kFifo:
      one = oldest_evictable();
      break;
    case Eviction::kMerge:
      while (collector_.segments < wanted) {
        const std::uint32_t id = oldest_evictable();
        if (id == kNoSegment) return;
        add_to_window(id);
      }
      return;
  }
  if (one != kNoSegment) add_to_window(one);
}

}  // namespace gannet::storage
