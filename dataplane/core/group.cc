#include "dataplane/core/group.h"

#include "control/abi/reader.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

WorkerGroup::WorkerGroup(abi::Shared& shared, std::uint32_t workers) : shared_(shared), workers_(workers) {
  MUST_GE(workers, 1u);
  MUST_LE(workers, kWorkersMax);
  rings_.resize(std::size_t{workers} * workers);
  errands_.resize(std::size_t{workers} * workers);
  stream_rings_.resize(rings_.size());
  for (std::uint32_t from = 0; from < workers; ++from) {
    for (std::uint32_t to = 0; to < workers; ++to) {
      if (from == to) continue;
      rings_[from * workers + to] = std::make_unique<SpscRing<nicpipe::Packet>>(kHandoverSlots);
      errands_[from * workers + to] = std::make_unique<SpscRing<Errand*>>(kErrandSlots);
      stream_rings_[from * workers + to] = std::make_unique<SpscRing<StreamMessage>>(kStreamSlots);
    }
  }
}

std::uint64_t WorkerGroup::packets_travelling() const noexcept {
  std::uint64_t packets = 0;
  for (const auto& ring : rings_) packets += ring ? ring->size() : 0;
  for (const auto& ring : errands_) packets += ring ? ring->size() : 0;
  for (const auto& ring : stream_rings_) packets += ring ? ring->size() : 0;
  return packets;
}

std::uint64_t WorkerGroup::counter_total(std::size_t index) const noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t k = 0; k < workers_; ++k) {
    sum += abi::value_of(shared_.worker[k].counters, abi::kCounterDescriptions[index]);
  }
  return sum;
}

std::uint64_t WorkerGroup::counter(std::size_t index) const noexcept {
  const std::uint64_t before = counters_at_reset_[index].load(std::memory_order_relaxed);
  const std::uint64_t total = counter_total(index);
  return total > before ? total - before : 0;
}

std::uint64_t WorkerGroup::gauge(std::size_t index) const noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t k = 0; k < workers_; ++k) {
    sum += abi::value_of(shared_.worker[k].gauges, abi::kGaugeDescriptions[index]);
  }
  return sum;
}

void WorkerGroup::reset_counters() noexcept {
  for (std::size_t index = 0; index < counters_at_reset_.size(); ++index) {
    counters_at_reset_[index].store(counter_total(index), std::memory_order_relaxed);
  }
}

}  // namespace gannet::dataplane
