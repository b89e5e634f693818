/// What the workers of one process share: the rings between them and the statistics file. Everything else is one
/// worker's alone.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/parcel.h"
#include "nicpipe/packet.h"
#include "storage/base/spsc_ring.h"

namespace gannet::dataplane {

struct Errand;

/// The mark of a travelling packet (Packet::mark).
/// A frame as received, for the worker its flow hash names: parse it from the start.
inline constexpr std::uint8_t kMarkRawFrame = 0x80;
/// Not travelling: it waits in a Transfer, and its place in the backlog is void.
inline constexpr std::uint8_t kMarkParked = 0x40;
/// Every key of it has been seen to belong to one worker: it is not looked at again. Otherwise 0.
inline constexpr std::uint8_t kMarkOneOwner = 0x01;

/// Made once, before the workers, and outlives them. Thread safety: ring(from, to) has one producer, worker `from`, and
/// one consumer, worker `to`.
class WorkerGroup {
 public:
  /// `workers` 1..kWorkersMax. `shared` outlives the group; worker k writes shared.worker[k] only.
  WorkerGroup(abi::Shared& shared, std::uint32_t workers);

  [[nodiscard]] std::uint32_t workers() const noexcept { return workers_; }
  [[nodiscard]] abi::Shared& shared() const noexcept { return shared_; }
  [[nodiscard]] SpscRing<nicpipe::Packet>& ring(std::uint32_t from, std::uint32_t to) const noexcept {
    return *rings_[from * workers_ + to];
  }
  /// What worker `from` asks of `to`, and what it gives back that `to` asked of it. Never full: see errand.h.
  [[nodiscard]] SpscRing<Errand*>& errands(std::uint32_t from, std::uint32_t to) const noexcept {
    return *errands_[from * workers_ + to];
  }
  /// Of the streams; the same rule as for ring().
  [[nodiscard]] SpscRing<StreamMessage>& stream_ring(std::uint32_t from, std::uint32_t to) const noexcept {
    return *stream_rings_[from * workers_ + to];
  }
  /// Packets, errands and parcels in all rings; any thread, a moment's picture. 0 once every worker is drained.
  [[nodiscard]] std::uint64_t packets_travelling() const noexcept;

  /// Sum of one counter over all workers since start, or since the last `stats reset`. `index` as in
  /// abi::kCounterDescriptions.
  [[nodiscard]] std::uint64_t counter(std::size_t index) const noexcept;
  /// Sum of one gauge over all workers. `index` as in abi::kGaugeDescriptions.
  [[nodiscard]] std::uint64_t gauge(std::size_t index) const noexcept;
  [[nodiscard]] std::uint64_t gauge_of(abi::Cell abi::WorkerGauges::*which) const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t k = 0; k < workers_; ++k)
      sum += (shared_.worker[k].gauges.*which).load(std::memory_order_relaxed);
    return sum;
  }
  /// From now on counter() starts at 0 again. The counters of the shared file only grow; what is subtracted is kept
  /// here. Any worker.
  void reset_counters() noexcept;

 private:
  [[nodiscard]] std::uint64_t counter_total(std::size_t index) const noexcept;

  abi::Shared& shared_;
  const std::uint32_t workers_;
  std::vector<std::unique_ptr<SpscRing<nicpipe::Packet>>> rings_;
  std::vector<std::unique_ptr<SpscRing<Errand*>>> errands_;
  std::vector<std::unique_ptr<SpscRing<StreamMessage>>> stream_rings_;
  std::array<std::atomic<std::uint64_t>, abi::kCounterDescriptions.size()> counters_at_reset_{};
};

}  // namespace gannet::dataplane
