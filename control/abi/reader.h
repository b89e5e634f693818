/// What every reader of the shared file needs: is it ours, texts, names, sums over workers, latency percentiles. Std
/// only; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "control/abi/shared.h"

namespace gannet::abi {

/// Why `bytes` at `header` cannot be used as the shared file, as one sentence; nullptr when they can. `bytes` is the
/// file's size: at least sizeof(SharedHeader) of them must be mapped when it is as large as Shared.
[[nodiscard]] inline const char* shared_fault(const SharedHeader* header, std::size_t bytes) noexcept {
  if (bytes < sizeof(Shared))
    return "the shared file is too short: it was made by another version of Gannet; restart gannet-control";
  if (header->magic != kSharedMagic)
    return "the shared file is not Gannet's: wrong magic; name the file that gannet-control made";
  if (header->version != kAbiVersion)
    return "the shared file has another layout version; use gannet-control, gannetd and gannetctl of one release";
  if (header->bytes != sizeof(Shared) || header->layout != kLayoutHash || header->workers_max != kWorkersMax)
    return "the shared file counts other figures than this program; use gannet-control, gannetd and gannetctl of one "
           "release";
  return nullptr;
}

/// Copies `text`, cut to N - 1 bytes, zeros behind. Returns false when it had to cut.
template <std::size_t N>
inline bool set_text(std::array<char, N>& out, std::string_view text) noexcept {
  const std::size_t bytes = std::min(text.size(), out.size() - 1);
  out.fill('\0');
  if (bytes > 0) std::memcpy(out.data(), text.data(), bytes);
  return bytes == text.size();
}

/// The text up to its first NUL; never reads beyond the array, even if another process left no NUL.
template <std::size_t N>
[[nodiscard]] inline std::string_view text_of(const std::array<char, N>& text) noexcept {
  return {text.data(), static_cast<std::size_t>(std::find(text.begin(), text.end(), '\0') - text.begin())};
}

[[nodiscard]] constexpr const char* phase_name(std::uint64_t phase) noexcept {
  switch (static_cast<Phase>(phase)) {
    case Phase::kNone:
      return "none";
    case Phase::kStarting:
      return "starting";
    case Phase::kServing:
      return "serving";
    case Phase::kDraining:
      return "draining";
    case Phase::kStopped:
      return "stopped";
    case Phase::kFailed:
      return "failed";
  }
  return "unknown";
}

[[nodiscard]] constexpr const char* supervision_name(std::uint64_t supervision) noexcept {
  switch (static_cast<Supervision>(supervision)) {
    case Supervision::kNone:
      return "none";
    case Supervision::kStarting:
      return "starting";
    case Supervision::kServing:
      return "serving";
    case Supervision::kStuck:
      return "stuck";
    case Supervision::kWaiting:
      return "waiting";
    case Supervision::kStopping:
      return "stopping";
    case Supervision::kStopped:
      return "stopped";
    case Supervision::kHopeless:
      return "hopeless";
  }
  return "unknown";
}

[[nodiscard]] constexpr const char* device_kind_name(DeviceKind kind) noexcept {
  switch (kind) {
    case DeviceKind::kTap:
      return "tap";
    case DeviceKind::kAfPacket:
      return "af_packet";
    case DeviceKind::kAfXdp:
      return "af_xdp";
    case DeviceKind::kVhost:
      return "vhost";
    case DeviceKind::kMemif:
      return "memif";
    case DeviceKind::kPci:
      return "pci";
    case DeviceKind::kRing:
      return "ring";
  }
  return "unknown";
}

/// Workers that gannetd runs; at most kWorkersMax whatever the file says.
[[nodiscard]] inline std::size_t workers_of(const Shared& shared) noexcept {
  return std::min<std::size_t>(shared.dataplane.workers.load(std::memory_order_acquire), kWorkersMax);
}

[[nodiscard]] inline std::uint64_t value_of(const WorkerCounters& counters, const Description& what) noexcept {
  const auto* base = reinterpret_cast<const std::byte*>(&counters);
  return reinterpret_cast<const Cell*>(base + what.offset)->load(std::memory_order_relaxed);
}

[[nodiscard]] inline std::uint64_t value_of(const WorkerGauges& gauges, const Description& what) noexcept {
  const auto* base = reinterpret_cast<const std::byte*>(&gauges);
  return reinterpret_cast<const Cell*>(base + what.offset)->load(std::memory_order_relaxed);
}

/// Sum over the running workers: sum_of(shared, &WorkerCounters::get_hits).
[[nodiscard]] inline std::uint64_t sum_of(const Shared& shared, Cell WorkerCounters::*member) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t w = 0; w < workers_of(shared); ++w)
    sum += (shared.worker[w].counters.*member).load(std::memory_order_relaxed);
  return sum;
}

[[nodiscard]] inline std::uint64_t sum_of(const Shared& shared, Cell WorkerGauges::*member) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t w = 0; w < workers_of(shared); ++w)
    sum += (shared.worker[w].gauges.*member).load(std::memory_order_relaxed);
  return sum;
}

using LatencyBuckets = std::array<std::uint64_t, kLatencyBuckets>;

/// Adds one worker's buckets of one class to `sum`.
inline void add_latency(const Latency& latency, LatencyClass which, LatencyBuckets& sum) noexcept {
  const auto& cells = latency.buckets[static_cast<std::size_t>(which)];
  for (std::size_t i = 0; i < kLatencyBuckets; ++i) sum[i] += cells[i].load(std::memory_order_relaxed);
}

[[nodiscard]] inline LatencyBuckets latency_of(const Shared& shared, LatencyClass which) noexcept {
  LatencyBuckets sum{};
  for (std::size_t w = 0; w < workers_of(shared); ++w) add_latency(shared.worker[w].latency, which, sum);
  return sum;
}

/// Largest nanoseconds a value of `bucket` can be; the last bucket is open, there it is its floor.
[[nodiscard]] constexpr std::uint64_t latency_bucket_last(std::size_t bucket) noexcept {
  return bucket + 1 < kLatencyBuckets ? latency_bucket_floor(bucket + 1) - 1
                                      : latency_bucket_floor(kLatencyBuckets - 1);
}

/// Nanoseconds that at least `per_million` millionths of the values do not exceed (990000 is the 99th percentile); 0
/// without values. Never below the true percentile, above it by at most an eighth: the bucket's width.
[[nodiscard]] inline std::uint64_t latency_percentile(const LatencyBuckets& buckets,
                                                      std::uint32_t per_million) noexcept {
  std::uint64_t total = 0;
  for (const std::uint64_t count : buckets) total += count;
  if (total == 0) return 0;
  const std::uint64_t million = 1'000'000;
  const std::uint64_t wanted = total / million * per_million + (total % million * per_million + million - 1) / million;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kLatencyBuckets; ++i) {
    seen += buckets[i];
    if (seen >= wanted && seen > 0) return latency_bucket_last(i);
  }
  return latency_bucket_last(kLatencyBuckets - 1);
}

}  // namespace gannet::abi
