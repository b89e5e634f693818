/// What one thread of the load counted. One writer; the reporter takes pictures meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tools/load/histogram.h"

namespace gannet::load {

/// Every request sent ends as exactly one of the kinds from kHit to kLost.
enum class Count : std::uint8_t {
  kSent,       ///< Requests handed to the wire.
  kHit,        ///< GETs answered with a value.
  kMiss,       ///< GETs answered "not found".
  kStored,     ///< SETs answered with success.
  kRefused,    ///< Requests answered with any other status.
  kLost,       ///< Requests without an answer within the timeout.
  kWrong,      ///< Hits whose value is not the key's; counted as hits too.
  kLate,       ///< Answers to nothing that is open: after the timeout, or doubled.
  kMalformed,  ///< Answers that are no answer.
  kPeerGone,   ///< Times the wire refused to send (buffer full, port unreachable).
  kCount
};
inline constexpr std::size_t kCounts = static_cast<std::size_t>(Count::kCount);

using Counts = std::array<std::uint64_t, kCounts>;

struct TallyPicture {
  Counts counts{};
  Picture gets, sets;

  [[nodiscard]] std::uint64_t operator[](Count count) const { return counts[static_cast<std::size_t>(count)]; }
  [[nodiscard]] std::uint64_t answers() const {
    return (*this)[Count::kHit] + (*this)[Count::kMiss] + (*this)[Count::kStored] + (*this)[Count::kRefused];
  }
  TallyPicture& operator+=(const TallyPicture& other) {
    for (std::size_t i = 0; i < kCounts; ++i) counts[i] += other.counts[i];
    gets += other.gets;
    sets += other.sets;
    return *this;
  }
  TallyPicture& operator-=(const TallyPicture& earlier) {
    for (std::size_t i = 0; i < kCounts; ++i) counts[i] -= earlier.counts[i];
    gets -= earlier.gets;
    sets -= earlier.sets;
    return *this;
  }
};

class alignas(128) Tally {
 public:
  void add(Count count, std::uint64_t more = 1) noexcept {
    std::atomic<std::uint64_t>& cell = counts_[static_cast<std::size_t>(count)];
    cell.store(cell.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t value(Count count) const noexcept {
    return counts_[static_cast<std::size_t>(count)].load(std::memory_order_relaxed);
  }
  Histogram& gets() noexcept { return gets_; }
  Histogram& sets() noexcept { return sets_; }

  [[nodiscard]] TallyPicture picture() const {
    TallyPicture picture;
    for (std::size_t i = 0; i < kCounts; ++i) picture.counts[i] = counts_[i].load(std::memory_order_relaxed);
    picture.gets = gets_.picture();
    picture.sets = sets_.picture();
    return picture;
  }

 private:
  std::array<std::atomic<std::uint64_t>, kCounts> counts_{};
  Histogram gets_, sets_;
};

}  // namespace gannet::load
