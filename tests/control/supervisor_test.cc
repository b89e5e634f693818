#include "control/supervisor.h"

#include <catch2/catch.hpp>
#include <csignal>

using namespace gannet;
using namespace gannet::control;
using abi::Phase;
using abi::Supervision;

namespace {

constexpr MonotonicNs kMs = 1'000'000, kSecond = 1'000 * kMs;
constexpr int kAborted = SIGABRT;  // As waitpid tells it.
constexpr int exited(int code) {
  return code << 8;
}

/// A supervisor and a clock that only the test moves.
struct Bench {
  Supervisor supervisor{SupervisorRules{}};
  MonotonicNs now = 1'000 * kSecond;

  Action next() { return supervisor.next(now); }
  void serve() { supervisor.observe(now, Phase::kServing, false); }
  void start_and_serve() {
    REQUIRE(next() == Action::kStart);
    supervisor.started(now);
    REQUIRE(supervisor.state() == Supervision::kStarting);
    serve();
    REQUIRE(supervisor.state() == Supervision::kServing);
  }
  void crash() { supervisor.ended(now, Ending{true, kAborted, false}); }
  /// Milliseconds until the next start is due, found by asking.
  std::uint64_t wait_ms() {
    std::uint64_t waited = 0;
    while (next() != Action::kStart) {
      now += kMs;
      ++waited;
      REQUIRE(waited < 100'000);
    }
    supervisor.started(now);
    return waited;
  }
};

}  // namespace

TEST_CASE("gannetd is started at once, and once", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  REQUIRE(b.next() == Action::kStart);
  REQUIRE(b.next() == Action::kNone);
  b.supervisor.started(b.now);
  REQUIRE(b.next() == Action::kNone);
}

TEST_CASE("after a first crash it starts at once, and each further one doubles the wait, up to the most",
          "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  for (const std::uint64_t expected : {0, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}) {
    b.crash();
    REQUIRE(b.supervisor.state() == Supervision::kWaiting);
    REQUIRE(b.supervisor.next_start_ns() == b.now + expected * kMs);
    REQUIRE(b.wait_ms() == expected);
    b.serve();
  }
  REQUIRE(b.supervisor.crashes() == 11);
}

TEST_CASE("after serving long enough a crash counts as the first again", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  for (int i = 0; i < 4; ++i) {
    b.crash();
    b.wait_ms();
    b.serve();
  }
  b.now += 29 * kSecond;
  b.crash();
  REQUIRE(b.wait_ms() == 1600);
  b.serve();
  b.now += 30 * kSecond;
  b.crash();
  REQUIRE(b.wait_ms() == 0);
}

TEST_CASE("time spent starting is no time served", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  REQUIRE(b.next() == Action::kStart);
  b.supervisor.started(b.now);
  b.supervisor.observe(b.now, Phase::kStarting, true);  // A long start is not stuck.
  REQUIRE(b.supervisor.state() == Supervision::kStarting);
  b.now += 60 * kSecond;
  b.crash();
  REQUIRE(b.wait_ms() == 0);
  b.now += 60 * kSecond;
  b.crash();
  REQUIRE(b.wait_ms() == 200);
}

TEST_CASE("exit code 2 is hopeless: control leaves with 2 and starts nothing", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  REQUIRE(b.next() == Action::kStart);
  b.supervisor.started(b.now);
  b.supervisor.ended(b.now, Ending{true, exited(2), false});
  REQUIRE(b.supervisor.state() == Supervision::kHopeless);
  REQUIRE(b.next() == Action::kLeave);
  REQUIRE(b.supervisor.exit_code() == 2);
}

TEST_CASE("a program that cannot be executed is hopeless too", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  REQUIRE(b.next() == Action::kStart);
  b.supervisor.start_failed(b.now, true);
  REQUIRE(b.next() == Action::kLeave);
  REQUIRE(b.supervisor.exit_code() == 2);
}

TEST_CASE("exit codes 0 and 1 that nobody asked for are crashes", "[control][supervisor]") {
  for (const int code : {0, 1}) {
    Bench b;
    b.supervisor.begin(b.now);
    b.start_and_serve();
    b.supervisor.ended(b.now, Ending{true, exited(code), false});
    INFO("code " << code);
    REQUIRE(b.supervisor.state() == Supervision::kWaiting);
    REQUIRE(b.supervisor.crashes() == 1);
  }
}

TEST_CASE("a stop asks once, waits, and leaves with 0", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.stop(b.now);
  REQUIRE(b.next() == Action::kAskStop);
  REQUIRE(b.next() == Action::kNone);
  b.now += 9 * kSecond;
  REQUIRE(b.next() == Action::kNone);
  b.serve();  // What the file says while it drains changes nothing.
  REQUIRE(b.supervisor.state() == Supervision::kStopping);
  b.supervisor.ended(b.now, Ending{true, exited(0), true});
  REQUIRE(b.next() == Action::kLeave);
  REQUIRE(b.supervisor.exit_code() == 0);
  REQUIRE(b.supervisor.crashes() == 0);
}

TEST_CASE("who does not stop in time is killed, once", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.stop(b.now);
  REQUIRE(b.next() == Action::kAskStop);
  b.now += 10 * kSecond;
  REQUIRE(b.next() == Action::kKill);
  REQUIRE(b.next() == Action::kNone);
  b.supervisor.ended(b.now, Ending{true, SIGKILL, true});
  REQUIRE(b.next() == Action::kLeave);
}

TEST_CASE("a stop while waiting for the next start leaves at once", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.crash();
  b.supervisor.stop(b.now);
  REQUIRE(b.next() == Action::kLeave);
  REQUIRE(b.supervisor.exit_code() == 0);
}

TEST_CASE("a restart stops and starts again without a wait, and is no crash", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.restart(b.now);
  REQUIRE(b.next() == Action::kAskStop);
  b.supervisor.ended(b.now, Ending{true, exited(0), true});
  REQUIRE(b.next() == Action::kStart);
  b.supervisor.started(b.now);
  b.serve();
  REQUIRE(b.supervisor.state() == Supervision::kServing);
  REQUIRE(b.supervisor.crashes() == 0);
}

TEST_CASE("a stop that overtakes a restart wins", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.restart(b.now);
  b.supervisor.stop(b.now);
  REQUIRE(b.next() == Action::kAskStop);
  b.supervisor.ended(b.now, Ending{true, exited(0), true});
  REQUIRE(b.next() == Action::kLeave);
}

TEST_CASE("a gannetd that does not get as far as serving is killed after a time and started again",
          "[control][supervisor]") {
  Bench b;
  b.supervisor.set_start_limit(120 * kSecond);
  b.supervisor.begin(b.now);
  REQUIRE(b.next() == Action::kStart);
  REQUIRE(b.next() == Action::kNone);  // Not started yet: nothing to kill.
  b.now += 500 * kSecond;
  b.supervisor.started(b.now);
  b.now += 120 * kSecond - 1;
  REQUIRE(b.next() == Action::kNone);
  b.now += 1;
  REQUIRE(b.next() == Action::kKill);
  REQUIRE(b.next() == Action::kNone);
  b.crash();
  REQUIRE(b.supervisor.crashes() == 1);
  REQUIRE(b.supervisor.state() == Supervision::kWaiting);
  REQUIRE(b.wait_ms() == 0);
  b.serve();
  b.now += 1000 * kSecond;
  REQUIRE(b.next() == Action::kNone);  // Serving has no limit.
}

TEST_CASE("an adopted gannetd that does not serve yet has the same time", "[control][supervisor]") {
  Bench b;
  b.supervisor.set_start_limit(10 * kSecond);
  b.supervisor.adopt(b.now, false);
  REQUIRE(b.next() == Action::kNone);
  b.now += 10 * kSecond;
  REQUIRE(b.next() == Action::kKill);
}

TEST_CASE("a restart while waiting starts at once", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.crash();
  b.wait_ms();
  b.serve();
  b.crash();
  REQUIRE(b.next() == Action::kNone);
  b.supervisor.restart(b.now);
  REQUIRE(b.next() == Action::kStart);
}

TEST_CASE("a stuck gannetd is told and left alone, and may recover", "[control][supervisor]") {
  Bench b;
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.observe(b.now, Phase::kServing, true);
  REQUIRE(b.supervisor.state() == Supervision::kStuck);
  REQUIRE(b.next() == Action::kNone);
  b.serve();
  REQUIRE(b.supervisor.state() == Supervision::kServing);
}

TEST_CASE("a stuck gannetd is killed once and started again where that is wished", "[control][supervisor]") {
  Bench b;
  b.supervisor.set_restart_when_stuck(true);
  b.supervisor.begin(b.now);
  b.start_and_serve();
  b.supervisor.observe(b.now, Phase::kServing, true);
  REQUIRE(b.next() == Action::kKill);
  REQUIRE(b.next() == Action::kNone);
  b.supervisor.ended(b.now, Ending{true, SIGKILL, false});
  REQUIRE(b.supervisor.state() == Supervision::kWaiting);
  REQUIRE(b.wait_ms() == 0);
}

TEST_CASE("an adopted gannetd is supervised like a started one", "[control][supervisor]") {
  Bench b;
  b.supervisor.adopt(b.now, true);
  REQUIRE(b.next() == Action::kNone);
  REQUIRE(b.supervisor.state() == Supervision::kServing);
  b.supervisor.ended(b.now, Ending{false, 0, false});
  REQUIRE(b.wait_ms() == 0);
}

TEST_CASE("an adopted gannetd that somebody asked to stop stays stopped", "[control][supervisor]") {
  Bench b;
  b.supervisor.adopt(b.now, true);
  b.supervisor.ended(b.now, Ending{false, 0, true});
  REQUIRE(b.next() == Action::kLeave);
  REQUIRE(b.supervisor.exit_code() == 0);
}
