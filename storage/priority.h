/// What is remembered of an item's uses: seven bits beside its dead bit, and what they are worth.
///
///   state byte   bit 7   6..3                                2..0
///                dead    epoch of the last use, modulo 16    uses, on a scale that grows wider
///
/// An item is worth its uses for each byte it takes, the first being that it was stored, on top of the clock of its
/// last use. The clock (Shard::clock_) rises to the worth of what is evicted, as in Greedy Dual Size with Frequency
/// (Cherkasova, HP Labs 1998): who is not used again is overtaken by it, the sooner the larger he is and the fewer uses
/// he has.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "storage/item.h"

namespace gannet::storage {

inline constexpr std::uint32_t kUseLevels = 8, kEpochs = 16;
inline constexpr std::uint32_t kLevelNew = 1;
inline constexpr std::uint8_t kItemLevelMask = 0x07;
inline constexpr std::uint32_t kItemEpochShift = 3;
/// Uses at each level: exact up to 3, then about twice as many from level to level, and counted by chance. A new item
/// has one. At none, what it was worth has been spent (Shard::aged), and the clock has overtaken it.
inline constexpr std::array<std::uint8_t, kUseLevels> kUsesAt{0, 1, 2, 3, 5, 10, 20, 40};

/// Uses from a level to the next one; 0 at the last.
inline constexpr std::array<std::uint8_t, kUseLevels> kUseSteps = [] {
  std::array<std::uint8_t, kUseLevels> steps{};
  for (std::uint32_t i = 0; i + 1 < kUseLevels; ++i) steps[i] = static_cast<std::uint8_t>(kUsesAt[i + 1] - kUsesAt[i]);
  return steps;
}();

[[nodiscard]] constexpr std::uint32_t use_level(std::uint8_t state) noexcept {
  return state & kItemLevelMask;
}
[[nodiscard]] constexpr std::uint32_t uses_of(std::uint8_t state) noexcept {
  return kUsesAt[use_level(state)];
}
[[nodiscard]] constexpr std::uint32_t epoch_of(std::uint8_t state) noexcept {
  return state >> kItemEpochShift & (kEpochs - 1);
}
/// Of a live item.
[[nodiscard]] constexpr std::uint8_t state_of(std::uint32_t epoch, std::uint32_t level) noexcept {
  return static_cast<std::uint8_t>((epoch & (kEpochs - 1)) << kItemEpochShift | level);
}

/// What an item takes in the index, about: counted to its size.
inline constexpr std::uint32_t kIndexBytesPerItem = 9;
/// Worth of one use for one byte.
inline constexpr std::uint32_t kWorthShift = 24;

/// Uses for each byte, 2^-24; `item_bytes` as ItemHeader::item_bytes().
[[nodiscard]] constexpr std::uint64_t worth_of(std::uint32_t uses, std::uint32_t item_bytes) noexcept {
  // A division of 64 bits takes a third longer.
  static_assert(std::uint64_t{kUsesAt.back()} << kWorthShift <= ~std::uint32_t{0});
  return (uses << kWorthShift) / (item_bytes + kIndexBytesPerItem);
}

/// Worth on a logarithmic scale of eight classes for each doubling; 0 is nothing.
inline constexpr std::uint32_t kScoreClasses = 256;
[[nodiscard]] constexpr std::uint32_t class_of_worth(std::uint64_t worth) noexcept {
  if (worth == 0) return 0;
  if (worth < 8) return 1;
  const auto log = static_cast<std::uint32_t>(std::bit_width(worth)) - 1;
  const auto score = log * 8 + static_cast<std::uint32_t>((worth >> (log - 3)) & 7);
  return score < kScoreClasses ? score : kScoreClasses - 1;
}
/// The smallest worth of a class.
[[nodiscard]] constexpr std::uint64_t worth_of_class(std::uint32_t score) noexcept {
  if (score < 24) return score != 0 ? 1 : 0;
  return std::uint64_t{8 + (score & 7)} << (score / 8 - 3);
}
/// The smallest worth whose class is `score` or a higher one: to compare worths without finding out their classes.
[[nodiscard]] constexpr std::uint64_t least_worth_from(std::uint32_t score) noexcept {
  if (score >= kScoreClasses) return ~std::uint64_t{0};  // More than anything can be worth.
  return score < 2 ? score : score < 24 ? 8 : worth_of_class(score);
}
static_assert(class_of_worth(worth_of_class(100)) == 100 && class_of_worth(worth_of_class(207)) == 207);
static_assert(class_of_worth(least_worth_from(5) - 1) == 1 && class_of_worth(least_worth_from(100) - 1) == 99);
static_assert(class_of_worth(worth_of(kUsesAt.back(), 12)) < kScoreClasses - 1);

/// What is known of a segment without reading its items: how many of its bytes were worth how much when they were
/// written, and how many end when. Kept beside the region; a segment taken over from an earlier process starts with
/// nothing known.
struct SegmentRank {
  static constexpr std::uint32_t kBins = 16, kEndBins = 24;
  std::uint64_t clock = 0;  ///< When the segment was opened.
  std::uint8_t rank = 0;    ///< The class of items it was opened for: see Shard::rank_of().
  std::array<std::uint32_t, kBins> bytes{};
  /// By the seconds from the segment's opening to their end, a doubling each; the last bin is later, or never.
  std::array<std::uint32_t, kEndBins> ends{};

  [[nodiscard]] static constexpr std::uint32_t end_bin_of(std::uint32_t seconds) noexcept {
    const auto bin = static_cast<std::uint32_t>(std::bit_width(seconds));
    return bin < kEndBins ? bin : kEndBins - 1;
  }
  /// Half a doubling each, from 2^12, about one use of 4 KiB, to 2^20, about one use of 16 bytes; beyond, the last.
  [[nodiscard]] static constexpr std::uint32_t bin_of(std::uint64_t worth) noexcept {
    constexpr std::uint32_t kLow = 12;
    if (worth < (1u << kLow)) return 0;
    const auto log = static_cast<std::uint32_t>(std::bit_width(worth)) - 1;
    const auto bin = (log - kLow) * 2 + static_cast<std::uint32_t>(worth >> (log - 1) & 1);
    return bin < kBins ? bin : kBins - 1;
  }
};

}  // namespace gannet::storage
