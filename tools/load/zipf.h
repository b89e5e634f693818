/// Zipf-distributed ranks, exact and without tables.
#pragma once

#include <cstdint>

#include "tools/load/random.h"

namespace gannet::load {

/// Draws rank k in [0, count) with probability proportional to (k + 1)^-exponent, by rejection-inversion
/// (W. Hörmann, G. Derflinger, ACM TOMACS 6(3), 1996): exact for every exponent > 0, constant memory, about 1.1 draws a
/// rank.
class Zipf {
 public:
  /// Needs: 1 <= count <= 2^32, 0 < exponent <= 8.
  Zipf(std::uint64_t count, double exponent);
  [[nodiscard]] std::uint64_t draw(Random& random) const;

 private:
  // The hat is x^-exponent; its integral from 1 to x, and the inverse of that.
  [[nodiscard]] double integral(double x) const;
  [[nodiscard]] double inverse(double area) const;
  [[nodiscard]] double hat(double x) const;

  double count_, exponent_, area_first_, area_all_, shortcut_;
};

}  // namespace gannet::load
