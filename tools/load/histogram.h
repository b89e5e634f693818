/// Latencies, counted in log-linear buckets: 64 an octave, so a figure read back is at most 1.6 % above the true one.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gannet::load {

inline constexpr int kSubBits = 6;     // 2^6 buckets an octave.
inline constexpr int kOctaveMax = 40;  // Values from 2^40 ns (18 minutes) on share the last bucket.
inline constexpr std::size_t kHistogramBuckets = static_cast<std::size_t>(kOctaveMax - kSubBits + 1) << kSubBits;

[[nodiscard]] constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
  if (ns < std::uint64_t{1} << kSubBits) return static_cast<std::size_t>(ns);
  if (ns >= std::uint64_t{1} << kOctaveMax) return kHistogramBuckets - 1;
  const int shift = std::bit_width(ns) - 1 - kSubBits;
  return (static_cast<std::size_t>(shift) << kSubBits) + static_cast<std::size_t>(ns >> shift);
}

/// Largest value that falls into `bucket`.
[[nodiscard]] constexpr std::uint64_t bucket_top(std::size_t bucket) noexcept {
  if (bucket < std::size_t{2} << kSubBits) return bucket;
  const int shift = static_cast<int>(bucket >> kSubBits) - 1;
  return (((bucket & ((1 << kSubBits) - 1)) + (1 << kSubBits) + 1) << shift) - 1;
}

static_assert(bucket_of(63) == 63 && bucket_of(64) == 64 && bucket_of(128) == 128 && bucket_of(130) == 129);
static_assert(bucket_of(bucket_top(777)) == 777 && bucket_of(bucket_top(777) + 1) == 778);
static_assert(bucket_of((std::uint64_t{1} << kOctaveMax) - 1) == kHistogramBuckets - 1);

/// A picture of a histogram at one moment; plain values.
class Picture {
 public:
  Picture() : counts_(kHistogramBuckets, 0) {}

  [[nodiscard]] std::uint64_t count() const;
  /// The value that `share` (0..1) of all recorded ones do not exceed, rounded up to its bucket's top; 0 when empty.
  [[nodiscard]] std::uint64_t at(double share) const;
  [[nodiscard]] std::uint64_t max() const { return at(1.0); }
  [[nodiscard]] double mean() const;
  /// How many lie in [from, to); both powers of two, so that no bucket is cut.
  [[nodiscard]] std::uint64_t between(std::uint64_t from, std::uint64_t to) const;

  Picture& operator+=(const Picture& other);
  /// What was recorded since `earlier`, a picture of the same histogram.
  Picture& operator-=(const Picture& earlier);

 private:
  friend class Histogram;
  std::vector<std::uint64_t> counts_;
};

/// One writer; any thread may take a picture meanwhile.
class Histogram {
 public:
  Histogram() : counts_(kHistogramBuckets) {}

  void record(std::uint64_t ns) noexcept {
    std::atomic<std::uint64_t>& cell = counts_[bucket_of(ns)];
    cell.store(cell.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] Picture picture() const;

 private:
  std::vector<std::atomic<std::uint64_t>> counts_;
};

}  // namespace gannet::load
