/// Times of single calls: the processor's own counter, a histogram of them, and what of a long call was somebody
/// else's.
#pragma once

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>

namespace gannet::bench {

[[nodiscard]] inline std::uint64_t cycles() noexcept {
  unsigned unused = 0;
  return __rdtscp(&unused);  // Waits until what is before it is done.
}

/// How many of them make a microsecond.
[[nodiscard]] inline double cycles_per_us() {
  static const double rate = [] {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t from = cycles();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(50)) {
    }
    const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(cycles() - from) / took.count();
  }();
  return rate;
}

/// Processor time of this thread, in cycles.
[[nodiscard]] inline std::uint64_t own_cycles() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint64_t>((static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3) *
                                    cycles_per_us());
}

/// Counts by size: 32 classes per doubling, so that what is read off is right to 3 %; the largest is kept exactly.
class Histogram {
 public:
  void add(std::uint64_t value) noexcept {
    ++counts_[class_of(value)];
    ++count_;
    largest_ = std::max(largest_, value);
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t largest() const noexcept { return largest_; }
  /// The value that `share` of all do not pass.
  [[nodiscard]] std::uint64_t at(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) return std::min(upper_end(i), largest_);
    }
    return largest_;
  }

 private:
  static constexpr std::uint32_t kPartsLog = 5, kParts = 1 << kPartsLog;
  [[nodiscard]] static std::size_t class_of(std::uint64_t value) noexcept {
    if (value < kParts) return value;
    const auto log = static_cast<std::uint32_t>(std::bit_width(value)) - 1;
    return (log - kPartsLog + 1) * kParts + ((value >> (log - kPartsLog)) & (kParts - 1));
  }
  [[nodiscard]] static std::uint64_t upper_end(std::size_t number) noexcept {
    if (number < kParts) return number;
    const std::size_t doubling = number / kParts - 1;
    return ((number % kParts + kParts + 1) << doubling) - 1;
  }

  std::array<std::uint64_t, (64 - kPartsLog + 1) * kParts> counts_{};
  std::uint64_t count_ = 0, largest_ = 0;
};

/// Times calls. A call that took long is compared with the processor time of this thread since the last look: what the
/// thread did not get (the kernel ran another one) is taken off it. What a hypervisor takes cannot be seen and stays.
class CallTimer {
 public:
  CallTimer() { look(); }
  template <class Call>
  void operator()(Call&& call) {
    if (++calls_ % kCallsPerLook == 0) look();
    const std::uint64_t begin = cycles();
    call();
    std::uint64_t took = cycles() - begin;
    wall_.add(took);
    if (took > long_) {
      const std::uint64_t passed = cycles() - seen_at_, own = own_cycles() - own_at_;
      const std::uint64_t lost = passed > own ? passed - own : 0;
      took -= std::min(took, lost);
      look();
    }
    own_.add(took);
  }
  /// What other threads took falls on the next long call if it is not looked at in between.
  void look() {
    seen_at_ = cycles();
    own_at_ = own_cycles();
  }

  static void print_head() {
    std::printf("%-34s %12s %7s %7s %7s %7s %9s %12s\n", "microseconds", "calls", "p50", "p99", "p99.9", "p99.99",
                "max", "(max, wall)");
  }
  void print(const char* what) const {
    const double rate = cycles_per_us();
    const auto us = [&](std::uint64_t count) { return static_cast<double>(count) / rate; };
    std::printf("%-34s %12llu %7.2f %7.2f %7.2f %7.2f %9.2f %12.2f\n", what,
                static_cast<unsigned long long>(own_.count()), us(own_.at(0.5)), us(own_.at(0.99)), us(own_.at(0.999)),
                us(own_.at(0.9999)), us(own_.largest()), us(wall_.largest()));
    std::fflush(stdout);
  }
  [[nodiscard]] const Histogram& own() const noexcept { return own_; }

 private:
  static constexpr std::uint64_t kCallsPerLook = 64;
  Histogram wall_, own_;
  std::uint64_t calls_ = 0, seen_at_ = 0, own_at_ = 0;
  std::uint64_t long_ = static_cast<std::uint64_t>(10 * cycles_per_us());
};

}  // namespace gannet::bench
