/// What other caches reach on the shared traces: object miss ratios from the traces' README. The simulated policies
/// count keys and values only, nothing beside them per object; Segcache is the real engine without its hash table.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace gannet::replay {

struct Reference {
  std::string_view trace;
  unsigned mib;
  double fifo, lru, clock, arc, s3_fifo, sieve, lhd, gdsf, fifo_merge, segcache;

  [[nodiscard]] double best_adaptive() const { return std::min({arc, s3_fifo, lhd}); }
  /// What ours has to be at or below: Segcache and LRU everywhere, from 16 MiB on two per cent above the best of ARC,
  /// S3-FIFO and LHD.
  [[nodiscard]] double goal() const {
    const double everywhere = std::min(lru, segcache);
    return mib >= 16 ? std::min(everywhere, best_adaptive() * 1.02) : everywhere;
  }
};

[[nodiscard]] std::span<const Reference> references() noexcept;

}  // namespace gannet::replay
