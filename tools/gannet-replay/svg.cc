#include "tools/gannet-replay/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace gannet::replay {
namespace {

constexpr double kWidth = 800, kHeight = 480, kLeft = 70, kRight = 170, kTop = 40, kBottom = 50;
constexpr std::array<const char*, 8> kColours{"#0b6e99", "#c0392b", "#2e8b57", "#8e44ad",
                                              "#d68910", "#34495e", "#16a085", "#7f8c8d"};

}  // namespace

std::string plot(const std::string& title, const std::vector<Curve>& curves) {
  double low = 1e300, high = 0, top = 0;
  for (const Curve& curve : curves) {
    for (const auto& [mib, ratio] : curve.points) {
      low = std::min(low, mib);
      high = std::max(high, mib);
      top = std::max(top, ratio);
    }
  }
  if (high <= 0) return "";
  top = std::min(1.0, std::ceil(top * 11) / 10);
  const double range = high > low ? std::log2(high / low) : 1;
  const auto x = [&](double mib) { return kLeft + std::log2(mib / low) / range * (kWidth - kLeft - kRight); };
  const auto y = [&](double ratio) { return kHeight - kBottom - ratio / top * (kHeight - kTop - kBottom); };
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"24\" font-size=\"15\">{3}: object miss ratio against memory</text>\n",
      kWidth, kHeight, kLeft, title);
  for (int i = 0; i <= 5; ++i) {
    const double ratio = top * i / 5;
    out += fmt::format(
        "<line x1=\"{0}\" y1=\"{2:.1f}\" x2=\"{1}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.3f}</text>\n",
        kLeft, kWidth - kRight, y(ratio), kLeft - 8, y(ratio) + 4, ratio);
  }
  for (const auto& [mib, ratio] : curves.front().points) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g} MiB</text>\n", x(mib),
                       kHeight - kBottom + 20, mib);
  }
  for (std::size_t c = 0; c < curves.size(); ++c) {
    const char* const colour = kColours[c % kColours.size()];
    out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"", colour);
    for (const auto& [mib, ratio] : curves[c].points) out += fmt::format("{:.1f},{:.1f} ", x(mib), y(ratio));
    out += "\"/>\n";
    for (const auto& [mib, ratio] : curves[c].points) {
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x(mib), y(ratio), colour);
    }
    const double row = kTop + 18 * static_cast<double>(c);
    out += fmt::format(
        "<rect x=\"{0}\" y=\"{1}\" width=\"12\" height=\"12\" fill=\"{2}\"/>"
        "<text x=\"{3}\" y=\"{4}\">{5}</text>\n",
        kWidth - kRight + 20, row, colour, kWidth - kRight + 38, row + 11, curves[c].name);
  }
  return out + "</svg>\n";
}

}  // namespace gannet::replay
