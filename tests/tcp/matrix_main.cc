// Prints the simulator's matrix: tcp_matrix [CELL [SEED [trace]]]. Exit 0: every cell is byte-exact and above its
// floor.
#include <cstdio>
#include <cstdlib>

#include "tests/tcp/matrix.h"

int main(int argc, char** argv) {
  using namespace gannet::test::tcp;
  const std::string only = argc > 1 ? argv[1] : "";
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  int failed = 0;
  std::printf("| cell | Mbit/s | floor | frames | lost | sent again | timeouts | recoveries | probes | needless |\n");
  std::printf("|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Cell& cell : cells()) {
    const std::string name = name_of(cell);
    if (!only.empty() && only != name) continue;
    SimulatorOptions options = options_of(cell, seed);
    options.trace = argc > 3;
    const SimulatorResult result = simulate(options);
    const double floor = floor_bits_per_s(options);
    std::printf("| %s | %.3f | %.3f | %llu | %llu | %llu | %llu | %llu | %llu | %llu |%s%s\n", name.c_str(),
                result.bits_per_s / 1e6, floor / 1e6, static_cast<unsigned long long>(result.frames),
                static_cast<unsigned long long>(result.lost), static_cast<unsigned long long>(result.retransmits),
                static_cast<unsigned long long>(result.timeouts),
                static_cast<unsigned long long>(result.fast_recoveries),
                static_cast<unsigned long long>(result.tail_probes), static_cast<unsigned long long>(result.spurious),
                result.bits_per_s < floor ? " BELOW THE FLOOR" : "",
                result.fault.empty() ? "" : (" FAULT: " + result.fault).c_str());
    std::fflush(stdout);
    if (!result.fault.empty() || result.bits_per_s < floor) ++failed;
  }
  return failed == 0 ? 0 : 1;
}
