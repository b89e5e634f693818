#include "nicpipe/tcp/time_wait.h"

#include <algorithm>
#include <bit>

namespace gannet::nicpipe::tcp {

TimeWaitTable::TimeWaitTable(std::uint32_t count)
    : entries_(count),
      mask_(std::bit_ceil(std::max(count, 16u)) - 1),
      heads_(std::make_unique<std::uint32_t[]>(mask_ + 1)) {
  std::fill_n(heads_.get(), mask_ + 1, kNone);
}

std::uint32_t TimeWaitTable::find(const Tuple& tuple, std::uint32_t hash) const noexcept {
  if (oldest_ == kNone) return kNone;
  std::uint32_t entry = heads_[hash & mask_];
  while (entry != kNone && (entries_[entry].hash != hash || entries_[entry].entry.tuple != tuple))
    entry = entries_[entry].next;
  return entry;
}

bool TimeWaitTable::add(const TimeWait& entry, std::uint32_t hash) noexcept {
  const bool full = entries_.left() == 0;
  if (full) remove(oldest_);
  const std::uint32_t index = entries_.take();
  Slot& slot = entries_[index];
  slot.entry = entry;
  slot.hash = hash;
  slot.next = heads_[hash & mask_];
  heads_[hash & mask_] = index;
  link_youngest(index);
  return full;
}

void TimeWaitTable::renew(std::uint32_t entry, MonotonicNs until_ns) noexcept {
  unlink_age(entry);
  entries_[entry].entry.until_ns = until_ns;
  link_youngest(entry);
}

void TimeWaitTable::remove(std::uint32_t entry) noexcept {
  unlink_age(entry);
  std::uint32_t* link = &heads_[entries_[entry].hash & mask_];
  while (*link != entry) link = &entries_[*link].next;
  *link = entries_[entry].next;
  entries_.give(entry);
}

void TimeWaitTable::expire(MonotonicNs now, std::uint32_t most) noexcept {
  for (; most > 0 && oldest_ != kNone && entries_[oldest_].entry.until_ns <= now; --most) remove(oldest_);
}

void TimeWaitTable::unlink_age(std::uint32_t entry) noexcept {
  const TimeWait& gone = entries_[entry].entry;
  (gone.older == kNone ? oldest_ : entries_[gone.older].entry.younger) = gone.younger;
  (gone.younger == kNone ? youngest_ : entries_[gone.younger].entry.older) = gone.older;
}

void TimeWaitTable::link_youngest(std::uint32_t entry) noexcept {
  TimeWait& last = entries_[entry].entry;
  last.older = youngest_;
  last.younger = kNone;
  (youngest_ == kNone ? oldest_ : entries_[youngest_].entry.younger) = entry;
  youngest_ = entry;
}

}  // namespace gannet::nicpipe::tcp
