#include "control/report.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <memory>

#include "control/http.h"
#include "control/log.h"
#include "control/state.h"

using namespace gannet;
using namespace gannet::control;
using abi::Phase;
using abi::Supervision;

namespace {

constexpr MonotonicNs kSecond = 1'000'000'000;
constexpr MonotonicNs kNow = 500 * kSecond;

/// A shared file in plain memory: a gannetd with two workers that has served for 100 s.
std::unique_ptr<abi::Shared> serving() {
  auto shared = std::make_unique<abi::Shared>();
  abi::set_text(shared->header.name, "t");
  shared->control.stuck_after_ms.store(2000);
  shared->control.starts.store(1);
  shared->control.supervision.store(static_cast<std::uint64_t>(Supervision::kServing));
  shared->dataplane.phase.store(static_cast<std::uint64_t>(Phase::kServing));
  shared->dataplane.pid.store(42);
  shared->dataplane.started_unix_s.store(1000);
  shared->dataplane.workers.store(2);
  for (std::size_t w = 0; w < 2; ++w) shared->worker[w].gauges.heartbeat_ns.store(kNow - kSecond / 100);
  return shared;
}

Report report_of(const abi::Shared& shared, Alive alive = {true, true}, const Sample* before = nullptr) {
  return make_report(shared, alive, kNow, 1100, before);
}

void set(abi::Shared& shared, Supervision supervision, Phase phase) {
  shared.control.supervision.store(static_cast<std::uint64_t>(supervision));
  shared.dataplane.phase.store(static_cast<std::uint64_t>(phase));
}

}  // namespace

TEST_CASE("the state is one word, whoever lives or died", "[control][report]") {
  struct Case {
    bool control, dataplane;
    Supervision supervision;
    Phase phase;
    const char* state;
  };
  const Case cases[] = {
      {true, true, Supervision::kServing, Phase::kServing, "serving"},
      {false, true, Supervision::kServing, Phase::kServing,
       "serving"},  // Control is dead: gannetd serves all the same.
      {true, true, Supervision::kStarting, Phase::kNone, "starting"},
      {true, true, Supervision::kStarting, Phase::kStarting, "starting"},
      {true, true, Supervision::kStopping, Phase::kDraining, "draining"},
      {true, true, Supervision::kStopping, Phase::kStopped, "draining"},
      {true, true, Supervision::kStarting, Phase::kFailed, "failed"},
      {true, false, Supervision::kWaiting, Phase::kServing, "waiting"},
      {true, false, Supervision::kStarting, Phase::kNone, "starting"},
      {false, false, Supervision::kServing, Phase::kServing, "dead"},
      {false, false, Supervision::kWaiting, Phase::kServing, "dead"},
      {false, false, Supervision::kHopeless, Phase::kFailed, "failed"},
      {false, false, Supervision::kStopped, Phase::kStopped, "stopped"},
      {false, false, Supervision::kServing, Phase::kStopped, "stopped"},
  };
  for (const Case& c : cases) {
    auto shared = serving();
    set(*shared, c.supervision, c.phase);
    const Report report = report_of(*shared, {c.control, c.dataplane});
    INFO("control " << c.control << ", gannetd " << c.dataplane << ", "
                    << abi::supervision_name(static_cast<std::uint64_t>(c.supervision)) << ", "
                    << abi::phase_name(static_cast<std::uint64_t>(c.phase)));
    REQUIRE(report.state == c.state);
    REQUIRE(report.ready == (report.state == "serving"));
    REQUIRE(report.healthy == report.ready);
    REQUIRE(report.because.empty() == report.ready);
    REQUIRE(report_text(report).starts_with("t: " + std::string(c.state)));
  }
}

TEST_CASE("a worker is stuck when its heart has been silent for longer than the limit, and not before",
          "[control][report]") {
  auto shared = serving();
  shared->worker[1].gauges.heartbeat_ns.store(kNow - 2 * kSecond);
  REQUIRE(report_of(*shared).state == "serving");
  REQUIRE_FALSE(any_stuck(*shared, kNow, 0, 2000));
  shared->worker[1].gauges.heartbeat_ns.store(kNow - 2 * kSecond - 1'000'000);
  const Report report = report_of(*shared);
  REQUIRE(report.state == "stuck");
  REQUIRE_FALSE(report.workers[0].stuck);
  REQUIRE(report.workers[1].stuck);
  REQUIRE(report.because.find("worker 1") != std::string::npos);
  REQUIRE(any_stuck(*shared, kNow, 0, 2000));
  REQUIRE_FALSE(any_stuck(*shared, kNow, kNow - kSecond, 2000));    // It has served for a second only.
  shared->worker[1].gauges.heartbeat_ns.store(kNow + 5 * kSecond);  // Another core's clock may be ahead.
  REQUIRE(report_of(*shared).state == "serving");
  shared->worker[1].gauges.heartbeat_ns.store(0);  // Serving for 100 s and never beat.
  REQUIRE(report_of(*shared).state == "stuck");
}

TEST_CASE("rates and latency are those between two samples of one gannetd", "[control][report]") {
  auto shared = serving();
  abi::bump(shared->worker[0].counters.requests, 1000);
  abi::bump(shared->worker[0].latency.buckets[0][abi::latency_bucket(1'000'000)], 1000);
  Sample before = take_sample(*shared, kNow - 2 * kSecond);
  abi::bump(shared->worker[0].counters.requests, 500);
  abi::bump(shared->worker[1].counters.requests, 100);
  abi::bump(shared->worker[0].counters.busy_ns, kSecond);
  abi::bump(shared->worker[0].latency.buckets[0][abi::latency_bucket(1'000)], 500);
  const Report report = report_of(*shared, {true, true}, &before);
  REQUIRE(report.sample_s == Approx(2));
  REQUIRE(report.requests_per_s == Approx(300));
  REQUIRE(report.workers[0].busy_share == Approx(0.5));
  REQUIRE(report.requests == 1600);
  REQUIRE(report.latency[0].count == 500);
  REQUIRE(report.latency[0].p999_ns < 1'200);  // The former millisecond does not count.
  REQUIRE(report_of(*shared).latency[0].count == 1500);
  before.dataplane_pid = 41;  // Another process: its counters began anew.
  REQUIRE(report_of(*shared, {true, true}, &before).sample_s == 0);
  REQUIRE(report_of(*shared, {true, true}, &before).requests_per_s == 0);
}

TEST_CASE("a worker that runs with an older configuration is named", "[control][report]") {
  auto shared = serving();
  abi::publish_config(shared->config, abi::LiveConfig{});
  shared->worker[0].gauges.config_generation.store(1);
  const Report report = report_of(*shared);
  REQUIRE(report.warnings.size() == 1);
  REQUIRE(report.warnings[0].starts_with("worker 1 runs with configuration 0, not 1"));
}

TEST_CASE("a figure that is no amount is not summed", "[control][report]") {
  auto shared = serving();
  shared->worker[0].gauges.config_generation.store(3);
  shared->worker[1].gauges.config_generation.store(4);
  shared->worker[0].gauges.items.store(3);
  shared->worker[1].gauges.items.store(4);
  REQUIRE(stats_json(*shared, -1)["config_generation"] == 4);
  REQUIRE(stats_json(*shared, -1)["items"] == 7);
  REQUIRE(stats_json(*shared, 0)["items"] == 3);
  REQUIRE(stats_json(*shared, -1).size() == stat_names().size());
}

TEST_CASE("an ending is told in words", "[control][report]") {
  REQUIRE(exit_sentence(0) == "it has not ended yet");
  REQUIRE(exit_sentence(exit_of_status(2 << 8)) == "exit code 2");
  REQUIRE(exit_sentence(exit_of_status(SIGKILL)) == "killed by signal 9 (Killed)");
  REQUIRE(exit_sentence(kExitUnseen) == "nobody saw how");
}

TEST_CASE("numbers are written for people", "[control][report]") {
  REQUIRE(grouped(0) == "0");
  REQUIRE(grouped(999) == "999");
  REQUIRE(grouped(1'234'567) == "1,234,567");
  REQUIRE(human_bytes(512) == "512 B");
  REQUIRE(human_bytes(1536ull << 20) == "1.5 GiB");
  REQUIRE(human_duration(59) == "59 s");
  REQUIRE(human_duration(90'061) == "1 d 1 h 1 min");
  REQUIRE(human_ns(999) == "999 ns");
  REQUIRE(human_ns(1'500) == "1.5 us");
  REQUIRE(human_ns(2'500'000'000) == "2.5 s");
}

TEST_CASE("a log line cannot be forged, and a flood is cut and counted", "[control][log]") {
  REQUIRE(logfmt_value("plain") == "plain");
  REQUIRE(logfmt_value("") == "\"\"");
  REQUIRE(logfmt_value("two words") == "\"two words\"");
  REQUIRE(logfmt_value("a\nlevel=error") == "\"a\\nlevel=error\"");
  REQUIRE(logfmt_value("say \"x\"\\\x01") == "\"say \\\"x\\\"\\\\\\x01\"");
  LineBudget budget;
  std::uint64_t suppressed = 99;
  for (unsigned i = 0; i < LineBudget::kLinesPerSecond; ++i) {
    REQUIRE(budget.take(7, suppressed));
    REQUIRE(suppressed == 0);
  }
  REQUIRE_FALSE(budget.take(7, suppressed));
  REQUIRE_FALSE(budget.take(7, suppressed));
  REQUIRE(budget.take(8, suppressed));
  REQUIRE(suppressed == 2);
  REQUIRE(budget.take(8, suppressed));
  REQUIRE(suppressed == 0);
}

TEST_CASE("a process is known by pid and start time", "[control][state]") {
  const std::uint64_t ticks = process_start_ticks(::getpid());
  REQUIRE(ticks > 0);
  REQUIRE(process_alive(::getpid(), ticks));
  REQUIRE(process_alive(::getpid(), 0));
  REQUIRE_FALSE(process_alive(::getpid(), ticks + 1));  // The pid was given to another.
  REQUIRE_FALSE(process_alive(0, 0));
  REQUIRE_FALSE(process_alive(-1, 0));
  auto shared = serving();
  const std::string boot = boot_id();
  std::copy_n(boot.begin(), std::min(boot.size(), shared->header.boot_id.size() - 1), shared->header.boot_id.begin());
  shared->control.child_pid.store(static_cast<std::uint64_t>(::getpid()));
  shared->control.child_start_ticks.store(ticks);
  REQUIRE(dataplane_alive(*shared));
  shared->header.boot_id[0] ^= 1;  // A file of an earlier boot.
  REQUIRE_FALSE(dataplane_alive(*shared));
}

TEST_CASE("the sampler keeps a sample between one and two seconds old", "[control][report]") {
  auto shared = serving();
  Sampler sampler;
  const MonotonicNs now = monotonic_ns();
  sampler.tick(*shared, now - 2 * kSecond);
  abi::bump(shared->worker[0].counters.requests, 100);
  sampler.tick(*shared, now - 2 * kSecond + 1);  // Too early: not taken.
  sampler.tick(*shared, now - kSecond);
  abi::bump(shared->worker[0].counters.requests, 100);
  const Report report = sampler.report(*shared, {true, true});
  REQUIRE(report.sample_s >= 2);
  REQUIRE(report.requests_per_s * report.sample_s == Approx(200));
}
