/// Miss ratio against cache size, as an SVG that needs nothing from outside.
#pragma once

#include <string>
#include <vector>

namespace gannet::replay {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< MiB, object miss ratio.
};

/// The size axis is logarithmic, the ratio axis starts at 0.
[[nodiscard]] std::string plot(const std::string& title, const std::vector<Curve>& curves);

}  // namespace gannet::replay
