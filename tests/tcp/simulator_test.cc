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

TEST_CASE("a path that marks slows both streams down without losing anything", "[tcp]") {
  for (const char* name : {"bulk-1ms-loss0", "down-20ms-loss0"}) {
    SimulatorOptions options = options_of(*find_cell(name), 1);
    const SimulatorResult unmarked = simulate(options);
    options.channel.mark = 0.02;
    const SimulatorResult not_agreed = simulate(options);
    REQUIRE(not_agreed.marked == 0);
    REQUIRE(not_agreed.took_ns == unmarked.took_ns);
    options.engine.ecn_ask = true;
    const SimulatorResult result = simulate(options);
    INFO(name << ": " << result.marked << " marked");
    REQUIRE(result.fault == "");
    REQUIRE(result.marked > 5);
    REQUIRE(result.ecn_reductions > 2);
    REQUIRE(result.ecn_reductions <= result.marked);
    REQUIRE(result.retransmits == 0);
    REQUIRE(result.took_ns > unmarked.took_ns);
  }
}

TEST_CASE("a path that marks and does everything else too lets every byte through", "[tcp]") {
  SimulatorOptions options = options_of(*find_cell("bulk-1ms-loss5-all"), 1);
  options.engine.ecn_ask = true;
  options.channel.mark = 0.1;
  for (options.seed = 1; options.seed <= 5; ++options.seed) {
    INFO("seed " << options.seed);
    REQUIRE(simulate(options).fault == "");
  }
}

TEST_CASE("the shorter way of common segments sends the same frames at the same times as the long one", "[tcp]") {
  std::uint64_t variant = 0;
  for (const Cell& cell : cells()) {
    const bool rounds = cell.traffic == Cell::Traffic::kRounds;
    if (!rounds && name_of(cell) != "bulk-1ms-loss5-all") continue;
    ++variant;
    INFO(name_of(cell) << ", variant " << variant);
    SimulatorOptions options = options_of(cell, variant);
    options.device.tx_tcp_checksum = options.device.tx_ip_checksum = variant % 2 == 0;
    options.engine.timestamps = variant % 3 != 0;
    options.engine.sack = variant % 5 != 0;
    const SimulatorResult predicted = simulate(options);
    options.engine.prediction = false;
    const SimulatorResult plain = simulate(options);
    REQUIRE(predicted.fault == "");
    REQUIRE(predicted.frames == plain.frames);
    REQUIRE(predicted.digest == plain.digest);
    if (rounds) REQUIRE(predicted.predicted_in + predicted.predicted_out > 0);
    REQUIRE(plain.predicted_in + plain.predicted_out == 0);
    if (rounds && cell.loss_percent == 0 && !cell.all) {
      REQUIRE(predicted.predicted_in >= 390);
      REQUIRE(predicted.predicted_out >= 390);
    }
  }
}

TEST_CASE("a seed decides everything: twice the same simulation", "[tcp]") {
  const SimulatorOptions options = options_of(*find_cell("bulk-1ms-loss5-all"), 7);
  const SimulatorResult first = simulate(options), second = simulate(options);
  REQUIRE(first.frames == second.frames);
  REQUIRE(first.took_ns == second.took_ns);
  REQUIRE(first.retransmits == second.retransmits);
}
