#include "dataplane/core/idle.h"

#include <catch2/catch.hpp>

using gannet::MonotonicNs;
using gannet::dataplane::IdleAction;
using gannet::dataplane::IdleLadder;
using gannet::dataplane::IdleRungs;

namespace {
constexpr IdleRungs kRungs{.spin_ns = 1'000, .pause_ns = 5'000, .sleep_ns_first = 2'000};
}

TEST_CASE("the ladder spins, then pauses, then sleeps twice as long each time up to the cap", "[idle]") {
  IdleLadder ladder(10, kRungs);
  REQUIRE(ladder.idle(1'000'000).action == IdleAction::kSpin);
  REQUIRE(ladder.idle(1'000'999).action == IdleAction::kSpin);
  REQUIRE(ladder.idle(1'001'000).action == IdleAction::kPause);
  REQUIRE(ladder.idle(1'004'999).action == IdleAction::kPause);
  for (const std::uint32_t wanted : {2'000U, 4'000U, 8'000U, 10'000U, 10'000U}) {
    const auto step = ladder.idle(1'005'000);
    REQUIRE(step.action == IdleAction::kSleep);
    REQUIRE(step.sleep_ns == wanted);
  }
}

TEST_CASE("work brings the ladder back to its lowest rung", "[idle]") {
  IdleLadder ladder(10, kRungs);
  (void)ladder.idle(0);
  REQUIRE(ladder.idle(9'000).sleep_ns == 2'000);
  REQUIRE(ladder.idle(9'000).sleep_ns == 4'000);
  ladder.worked();
  REQUIRE(ladder.idle(20'000).action == IdleAction::kSpin);
  REQUIRE(ladder.idle(24'999).action == IdleAction::kPause);
  REQUIRE(ladder.idle(25'000).sleep_ns == 2'000);
}

TEST_CASE("a cap of 0 never sleeps", "[idle]") {
  IdleLadder ladder(0, kRungs);
  (void)ladder.idle(0);
  for (MonotonicNs now = 5'000; now < 10'000'000'000; now += 999'999'937) {
    REQUIRE(ladder.idle(now).action == IdleAction::kPause);
    REQUIRE(ladder.idle(now).sleep_ns == 0);
  }
}

TEST_CASE("the cap may change while the worker sleeps", "[idle]") {
  IdleLadder ladder(1'000, kRungs);
  (void)ladder.idle(0);
  for (int i = 0; i < 20; ++i) (void)ladder.idle(1'000'000);
  REQUIRE(ladder.idle(1'000'000).sleep_ns == 1'000'000);
  ladder.set_sleep_us_max(3);
  REQUIRE(ladder.idle(1'000'000).sleep_ns == 3'000);
  ladder.set_sleep_us_max(0);
  REQUIRE(ladder.idle(1'000'000).action == IdleAction::kPause);
  ladder.set_sleep_us_max(4);
  REQUIRE(ladder.idle(1'000'000).sleep_ns == 2'000);
  REQUIRE(ladder.idle(1'000'000).sleep_ns == 4'000);
}

TEST_CASE("no cap is obeyed above the top, however large", "[idle]") {
  IdleLadder ladder(4'294'967'295U, kRungs);
  (void)ladder.idle(0);
  std::uint32_t longest = 0;
  for (int i = 0; i < 40; ++i) longest = std::max(longest, ladder.idle(1'000'000).sleep_ns);
  REQUIRE(longest == IdleLadder::kSleepUsTop * 1'000);
}

TEST_CASE("a clock that goes backwards starts the ladder anew instead of sleeping long", "[idle]") {
  IdleLadder ladder(100, kRungs);
  (void)ladder.idle(1'000'000);
  REQUIRE(ladder.idle(2'000'000).action == IdleAction::kSleep);
  REQUIRE(ladder.idle(500).action == IdleAction::kSpin);
  REQUIRE(ladder.idle(5'600).sleep_ns == 2'000);
}

TEST_CASE("rungs of zero length sleep at the first idle turn", "[idle]") {
  IdleLadder ladder(100, IdleRungs{.spin_ns = 0, .pause_ns = 0, .sleep_ns_first = 2'000});
  REQUIRE(ladder.idle(7).sleep_ns == 2'000);
  REQUIRE(ladder.idle(8).sleep_ns == 4'000);
}
