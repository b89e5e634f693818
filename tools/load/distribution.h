/// Sizes and times to live, drawn from a distribution written as text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gannet::load {

/// "64" (always), "uniform:16-1024" (each alike, both ends included), "lognormal:MEDIAN,SIGMA" or
/// "lognormal:MEDIAN,SIGMA,MAX" (sigma of the natural logarithm; cut at 1 and MAX, which is MEDIAN * e^(4 sigma) when
/// left out). A value is a pure function of 64 bits, so that a key's size can be found again from the key's number
/// alone.
class Distribution {
 public:
  Distribution() = default;  // Always 0.

  /// Gives an empty text on success, else one sentence.
  [[nodiscard]] static std::string parse(std::string_view text, Distribution& out);

  [[nodiscard]] std::uint32_t of(std::uint64_t bits) const noexcept;
  [[nodiscard]] std::uint32_t min() const noexcept { return min_; }
  [[nodiscard]] std::uint32_t max() const noexcept { return max_; }

 private:
  std::uint32_t min_ = 0, max_ = 0;
  std::vector<std::uint32_t> quantiles_;  // Lognormal: kQuantiles equally likely values. Empty: uniform.
};

}  // namespace gannet::load
