/// Who goes when memory is full. A policy says which segments the collector takes and what of them stays; it may be
/// changed while serving. What each does: storage/README.md, "Eviction".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gannet::storage {

/// In the order of LiveConfig::eviction; new ones at the end.
enum class Eviction : std::uint8_t {
  kMerge,   ///< The oldest segments are merged: what was used most for its size stays, up to half of their bytes.
  kFifo,    ///< The oldest segment goes as it is.
  kRandom,  ///< A segment taken by chance goes as it is.
  kCte,     ///< Closest to expiry: the segment whose items end first goes as it is.
  kUtil,    ///< The segment with the fewest live bytes goes as it is.
  kS3Fifo,  ///< New items pass through a small queue of segments; who was used there moves to the large one.
  kGreedy,  ///< Greedy dual: uses for the size, on top of a clock that rises as memory is taken back.
};
inline constexpr std::array<std::string_view, 7> kEvictionNames{"merge", "fifo",   "random", "cte",
                                                                "util",  "s3fifo", "greedy"};

[[nodiscard]] constexpr std::string_view eviction_name(Eviction eviction) noexcept {
  return kEvictionNames[static_cast<std::size_t>(eviction)];
}
[[nodiscard]] constexpr std::optional<Eviction> eviction_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kEvictionNames.size(); ++i) {
    if (kEvictionNames[i] == name) return static_cast<Eviction>(i);
  }
  return std::nullopt;
}

}  // namespace gannet::storage
