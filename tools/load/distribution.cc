#include "tools/load/distribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tools/load/random.h"

namespace gannet::load {
namespace {

constexpr int kQuantileBits = 12;

template <class T>
bool read(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

// The standard normal's value below which `share` of it lies, by bisection; once per quantile, at the start only.
double normal_quantile(double share) {
  double low = -9, high = 9;
  for (int step = 0; step < 60; ++step) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < share ? low : high) = middle;
  }
  return (low + high) / 2;
}

std::vector<std::uint32_t> lognormal_quantiles(double median, double sigma, double max) {
  std::vector<std::uint32_t> quantiles(std::size_t{1} << kQuantileBits);
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const double share = (static_cast<double>(i) + 0.5) / static_cast<double>(quantiles.size());
    quantiles[i] =
        static_cast<std::uint32_t>(std::clamp(std::round(median * std::exp(sigma * normal_quantile(share))), 1.0, max));
  }
  return quantiles;
}

}  // namespace

std::string Distribution::parse(std::string_view text, Distribution& out) {
  const std::string wrong = fmt::format(
      "'{}' is no distribution: write N, uniform:MIN-MAX or lognormal:MEDIAN,SIGMA[,MAX], for instance uniform:16-1024",
      text);
  Distribution made;
  if (text.starts_with("uniform:")) {
    const std::string_view range = text.substr(8);
    const std::size_t dash = range.find('-');
    if (dash == std::string_view::npos || !read(range.substr(0, dash), made.min_) ||
        !read(range.substr(dash + 1), made.max_) || made.min_ > made.max_) {
      return wrong;
    }
  } else if (text.starts_with("lognormal:")) {
    std::string_view rest = text.substr(10);
    double numbers[3] = {0, 0, 0};
    int count = 0;
    while (count < 3) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (!read(rest.substr(0, comma), numbers[count])) return wrong;
      ++count;
      if (comma == rest.size()) {
        rest = {};
        break;
      }
      rest.remove_prefix(comma + 1);
    }
    const double median = numbers[0], sigma = numbers[1];
    const double max = count == 3 ? numbers[2] : median * std::exp(4 * sigma);
    if (count < 2 || !rest.empty() || median < 1 || sigma < 0 || sigma > 8 || max < 1 || max > 1e9) return wrong;
    made.quantiles_ = lognormal_quantiles(median, sigma, std::floor(max));
    made.min_ = made.quantiles_.front();
    made.max_ = made.quantiles_.back();
  } else {
    if (!read(text, made.min_)) return wrong;
    made.max_ = made.min_;
  }
  out = std::move(made);
  return {};
}

std::uint32_t Distribution::of(std::uint64_t bits) const noexcept {
  if (!quantiles_.empty()) return quantiles_[bits >> (64 - kQuantileBits)];
  const std::uint64_t span = std::uint64_t{max_} - min_ + 1;
  return min_ + static_cast<std::uint32_t>(scale(bits, span));
}

}  // namespace gannet::load
