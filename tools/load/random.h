/// Seeded randomness of the load generator: the same seed gives the same load, on every machine.
#pragma once

#include <cstdint>

namespace gannet::load {

__extension__ typedef unsigned __int128 Wide;  // Holds the product of two 64-bit numbers.

/// floor(bits * bound / 2^64): 64 uniform bits scaled to [0, bound).
[[nodiscard]] constexpr std::uint64_t scale(std::uint64_t bits, std::uint64_t bound) noexcept {
  return static_cast<std::uint64_t>((static_cast<Wide>(bits) * bound) >> 64);
}

/// Spreads the bits of `value`: a bijection, so distinct inputs stay distinct.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) noexcept {
  value ^= value >> 32;
  value *= 0x9e6c63d0876a9a47;
  value ^= value >> 29;
  value *= 0xd6e8feb86659fd93;
  value ^= value >> 32;
  return value;
}

/// A counter seen through mix(): 64 bits a call, period 2^64, one thread.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) noexcept : state_(mix(seed ^ 0x6a09e667f3bcc909)) {}

  constexpr std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15); }

  /// Uniform in [0, bound); bound >= 1. The bias is below bound / 2^64.
  constexpr std::uint64_t below(std::uint64_t bound) noexcept { return scale(next(), bound); }

  /// Uniform in [0, 1), 53 bits.
  constexpr double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

}  // namespace gannet::load
