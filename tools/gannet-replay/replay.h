/// A trace replayed into a shard of its own, by a look-aside client: a get that misses stores the object. Time is the
/// trace's; nothing waits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "storage/shard.h"
#include "tools/gannet-replay/trace.h"

namespace gannet::replay {

struct Run {
  std::uint64_t memory_bytes = 0;  ///< All of it: region, and what the process keeps beside it.
  storage::Eviction eviction = storage::Eviction::kGreedy;
  std::uint32_t segment_bytes = 0;  ///< 0: chosen by the store.
};

struct Outcome {
  std::string error;  ///< Not empty: one sentence, and nothing else holds.
  std::uint64_t requests = 0, gets = 0, misses = 0, get_bytes = 0, miss_bytes = 0;  ///< Bytes: key + value.
  std::uint64_t sets = 0, stored_bytes = 0;
  std::uint64_t refused = 0;  ///< SETs not stored: larger than an item may be.
  std::uint64_t wrong = 0;    ///< Hits with other bytes than were stored. Must be 0.
  std::uint64_t lost = 0;     ///< Over the wire: requests whose answer did not come.
  double seconds = 0;
  storage::Stats stats;  ///< At the end.
  std::uint64_t expired_held_sum = 0, expired_held_samples = 0;

  [[nodiscard]] double object_miss_ratio() const { return ratio(misses, gets); }
  [[nodiscard]] double byte_miss_ratio() const { return ratio(miss_bytes, get_bytes); }
  [[nodiscard]] double bytes_per_item() const { return ratio(stats.memory_bytes, stats.items); }
  /// Bytes the collector copied per byte stored.
  [[nodiscard]] double copied_per_stored() const { return ratio(stats.moved_bytes, stored_bytes); }

 private:
  static double ratio(std::uint64_t a, std::uint64_t b) {
    return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
  }
};

/// `progress` is told the requests done, every some ten thousand; empty: nobody is told.
[[nodiscard]] Outcome replay(const Trace& trace, const Run& run, const std::function<void(std::size_t)>& progress);

}  // namespace gannet::replay
