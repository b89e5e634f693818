/// How often one source may be heard: a bounded table of sources, each with a rate limit of its own. Time is handed in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "storage/base/clock.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {

/// At most `per_s` a second in the long run and kBurstMs worth of it at once, for each source. One number for each
/// source: the time at which all it has sent would have been due (the generic cell rate algorithm, ITU-T I.371). A
/// source whose time has passed is as good as unknown, so its entry is free for another. When all four places of a set
/// are taken by sources that are ahead of their time, the one least ahead is forgotten: a flood from more sources than
/// the table holds is not limited, what it holds is. One thread's.
class SourceLimiter {
 public:
  static constexpr std::uint32_t kSources = 4096, kWays = 4;
  static constexpr std::uint32_t kBurstMs = 100;
  static constexpr std::uint32_t kBurstMin = 32;  ///< Datagrams at once, however low the rate.
  static constexpr std::uint32_t kPerSecondMax = 100'000'000;

  /// Allocates here and nowhere else. No limit at first.
  SourceLimiter() : entries_(std::make_unique<Entry[]>(kSources)) {}

  /// From now on; 0: no limit. A new rate starts with nobody known.
  void set(std::uint32_t per_s) noexcept {
    MUST_LE(per_s, kPerSecondMax);
    const std::uint64_t step_ns = per_s == 0 ? 0 : 1'000'000'000 / per_s;
    if (step_ns == step_ns_) return;
    step_ns_ = step_ns;
    std::fill_n(entries_.get(), kSources, Entry{});
    const std::uint64_t burst = std::max<std::uint64_t>(std::uint64_t{per_s} * kBurstMs / 1000, kBurstMin);
    ahead_max_ns_ = step_ns_ * burst;
  }
  [[nodiscard]] bool limits() const noexcept { return step_ns_ != 0; }

  /// True: it may be heard. Needs limits(). `source` is an IPv4 address, or the first half of an IPv6 one. `now` never
  /// runs backwards.
  [[nodiscard]] bool take(std::uint64_t source, MonotonicNs now) noexcept {
    const std::uint64_t mixed = source * 0x9e37'79b9'7f4a'7c15;
    Entry* const set = &entries_[(mixed >> 32) % (kSources / kWays) * kWays];
    Entry* place = set;
    for (Entry* entry = set; entry != set + kWays; ++entry) {
      if (entry->source == source && entry->due_ns > now) {
        if (entry->due_ns - now > ahead_max_ns_ - step_ns_) return false;
        entry->due_ns += step_ns_;
        return true;
      }
      if (entry->due_ns < place->due_ns) place = entry;
    }
    *place = {source, now + step_ns_};
    return true;
  }

 private:
  struct Entry {
    std::uint64_t source = 0;
    MonotonicNs due_ns = 0;
  };

  std::unique_ptr<Entry[]> entries_;
  std::uint64_t step_ns_ = 0;       ///< One datagram's share of a second.
  std::uint64_t ahead_max_ns_ = 0;  ///< How far a source may be ahead of its time.
};

}  // namespace gannet::nicpipe
