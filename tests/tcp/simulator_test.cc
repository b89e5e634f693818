// The simulator's cells that run with every check; tcp_matrix prints them all.
#include <catch2/catch.hpp>

#include "tests/tcp/matrix.h"

using namespace gannet;
using namespace gannet::test::tcp;

namespace {

void must_hold(const Cell& cell, std::uint64_t seed) {
  const SimulatorOptions options = options_of(cell, seed);
  const SimulatorResult result = simulate(options);
  INFO("replay: tcp_matrix " << name_of(cell) << " " << seed);
  REQUIRE(result.fault == "");
  REQUIRE(result.bits_per_s >= floor_bits_per_s(options));
}

}  // namespace

TEST_CASE("both streams arrive byte for byte, at the floor's speed at least, whatever the wire does", "[tcp]") {
  for (const Cell& cell : cells())
    if (cell.is_quick) must_hold(cell, 1);
}

TEST_CASE("a seed decides everything: twice the same simulation", "[tcp]") {
  const SimulatorOptions options = options_of(*find_cell("bulk-1ms-loss5-all"), 7);
  const SimulatorResult first = simulate(options), second = simulate(options);
  REQUIRE(first.frames == second.frames);
  REQUIRE(first.took_ns == second.took_ns);
  REQUIRE(first.retransmits == second.retransmits);
}
