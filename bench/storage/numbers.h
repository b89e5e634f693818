/// Streams of item numbers: uniform, or Zipf with the ranks scattered so that popular items are not neighbours in
/// memory.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace gannet::bench {

/// splitmix64's mixing step: cheap, and good enough to look like chance to a prefetcher.
[[nodiscard]] inline std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// `random` spread evenly over 0..count - 1; count < 2^32.
[[nodiscard]] inline std::uint64_t spread(std::uint64_t random, std::uint64_t count) noexcept {
  return ((random >> 32) * count) >> 32;
}

/// Made on the fly: no memory is touched for it.
class UniformNumbers {
 public:
  explicit UniformNumbers(std::uint64_t count) : count_(count) {}
  [[nodiscard]] std::uint64_t next() noexcept { return spread(mix(++turn_), count_); }

 private:
  std::uint64_t count_, turn_ = 0;
};

/// Exact Zipf ranks by rejection-inversion (Hoermann and Derflinger, 1996), drawn ahead: kDrawn numbers, read in
/// sequence, again and again.
class ZipfNumbers {
 public:
  static constexpr std::size_t kDrawn = std::size_t{1} << 21;

  ZipfNumbers(std::uint64_t count, double exponent) : drawn_(kDrawn) {
    const auto top = static_cast<double>(count);
    const auto area = [&](double x) { return std::expm1((1 - exponent) * std::log(x)) / (1 - exponent); };
    const auto back = [&](double y) { return std::exp(std::log1p(y * (1 - exponent)) / (1 - exponent)); };
    const auto height = [&](double x) { return std::exp(-exponent * std::log(x)); };
    const double low = area(1.5) - 1, high = area(top + 0.5);
    const double sure = 2 - back(area(2.5) - height(2));
    std::mt19937_64 random(20261122);
    std::uniform_real_distribution<double> chance(0, 1);
    for (auto& number : drawn_) {
      double rank = 0;
      for (;;) {
        const double y = high + chance(random) * (low - high), x = back(y);
        rank = std::min(std::max(std::floor(x + 0.5), 1.0), top);
        if (rank - x <= sure || y >= area(rank + 0.5) - height(rank)) break;
      }
      // A prime above every count: multiplying by it scatters the ranks and maps no two of them to one number.
      number = static_cast<std::uint32_t>((static_cast<std::uint64_t>(rank) - 1) * 2'147'483'647 % count);
    }
  }
  [[nodiscard]] std::uint64_t next() noexcept { return drawn_[turn_++ % kDrawn]; }

 private:
  std::vector<std::uint32_t> drawn_;
  std::size_t turn_ = 0;
};

}  // namespace gannet::bench
