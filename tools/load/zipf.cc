#include "tools/load/zipf.h"

#include <algorithm>
#include <cmath>

#include "storage/base/must.h"

namespace gannet::load {
namespace {

// expm1(t) / t and log1p(t) / t, continued to 1 at t = 0: this keeps exponents near 1 exact.
double expm1_over(double t) {
  return std::abs(t) > 1e-8 ? std::expm1(t) / t : 1 + t / 2;
}
double log1p_over(double t) {
  return std::abs(t) > 1e-8 ? std::log1p(t) / t : 1 - t / 2;
}

}  // namespace

Zipf::Zipf(std::uint64_t count, double exponent) : count_(static_cast<double>(count)), exponent_(exponent) {
  MUST(count >= 1 && count <= std::uint64_t{1} << 32);
  MUST(exponent > 0 && exponent <= 8);
  area_first_ = integral(1.5) - 1;  // Rank 1 gets its whole bar, not only what lies under the hat.
  area_all_ = integral(count_ + 0.5);
  shortcut_ = 2 - inverse(integral(2.5) - hat(2));
}

double Zipf::hat(double x) const {
  return std::exp(-exponent_ * std::log(x));
}

double Zipf::integral(double x) const {
  const double log_x = std::log(x);
  return log_x * expm1_over((1 - exponent_) * log_x);
}

double Zipf::inverse(double area) const {
  const double t = std::max(-1.0, area * (1 - exponent_));
  return std::exp(area * log1p_over(t));
}

std::uint64_t Zipf::draw(Random& random) const {
  while (true) {
    const double area = area_all_ + random.unit() * (area_first_ - area_all_);
    const double x = inverse(area);
    const double rank = std::clamp(std::floor(x + 0.5), 1.0, count_);
    if (rank - x <= shortcut_ || area >= integral(rank + 0.5) - hat(rank)) return static_cast<std::uint64_t>(rank) - 1;
  }
}

}  // namespace gannet::load
