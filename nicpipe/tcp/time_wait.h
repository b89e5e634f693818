/// Connections in TIME-WAIT: what must be remembered of them, in a bounded table. All live equally long, so a list in
/// the order of arrival is all the timer they need.
#pragma once

#include <cstdint>
#include <memory>

#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/pool.h"
#include "nicpipe/tcp/seq.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe::tcp {

struct TimeWait {
  Tuple tuple;
  Seq snd_nxt = 0, rcv_nxt = 0;
  std::uint32_t ts_recent = 0, ts_offset = 0;
  std::uint32_t window = 0;  ///< Ours, as announced last: what still counts as in the window.
  bool timestamps = false;
  MonotonicNs until_ns = 0;
  std::uint32_t older = kNone, younger = kNone;
};

class TimeWaitTable {
 public:
  explicit TimeWaitTable(std::uint32_t count);

  /// kNone: not there.
  [[nodiscard]] std::uint32_t find(const Tuple& tuple, std::uint32_t hash) const noexcept;
  /// Needs: not there yet, and count > 0. True: the oldest was forgotten for it.
  bool add(const TimeWait& entry, std::uint32_t hash) noexcept;
  /// The entry is the youngest again, until `until_ns`.
  void renew(std::uint32_t entry, MonotonicNs until_ns) noexcept;
  void remove(std::uint32_t entry) noexcept;
  /// Forgets what is due, at most `most` entries.
  void expire(MonotonicNs now, std::uint32_t most) noexcept;
  [[nodiscard]] MonotonicNs next_due() const noexcept {
    return oldest_ == kNone ? ~MonotonicNs{0} : entries_[oldest_].entry.until_ns;
  }
  [[nodiscard]] TimeWait& operator[](std::uint32_t entry) noexcept { return entries_[entry].entry; }
  [[nodiscard]] std::uint32_t used() const noexcept { return entries_.used(); }
  [[nodiscard]] std::uint32_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return entries_.bytes() + std::uint64_t{mask_ + 1} * 4; }

 private:
  struct Slot {
    TimeWait entry;
    std::uint32_t hash = 0;
    std::uint32_t next = kNone;
  };
  void unlink_age(std::uint32_t entry) noexcept;
  void link_youngest(std::uint32_t entry) noexcept;

  Pool<Slot> entries_;
  const std::uint32_t mask_;
  const std::unique_ptr<std::uint32_t[]> heads_;
  std::uint32_t oldest_ = kNone, youngest_ = kNone;
};

}  // namespace gannet::nicpipe::tcp
