/// The cells of the simulator's matrix: kind of traffic × round trip × loss × what else the wire does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/tcp/simulator.h"

namespace gannet::test::tcp {

struct Cell {
  enum class Traffic : std::uint8_t {
    kDown,
    kBulk,
    kRounds
  };  ///< Server sends by a device that segments; both send; request and answer, by a device that can do nothing.
  Traffic traffic{};
  MonotonicNs rtt_ns = 0;
  std::uint32_t loss_percent = 0;
  bool all = false;       ///< 2 % reordered, 1 % doubled, 0.5 % damaged besides.
  bool is_quick = false;  ///< Part of tools/check.
};

[[nodiscard]] std::vector<Cell> cells();
/// "bulk-1ms-loss5-all"
[[nodiscard]] std::string name_of(const Cell& cell);
[[nodiscard]] std::optional<Cell> find_cell(const std::string& name);
[[nodiscard]] SimulatorOptions options_of(const Cell& cell, std::uint64_t seed);

}  // namespace gannet::test::tcp
