#include "dataplane/program/worker_loop.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <thread>

#include "control/abi/config_slot.h"
#include "tests/dataplane/appliance.h"

using namespace gannet;
using namespace gannet::dataplane;
using nicpipe::MemoryEndpoint;
using test::ApplianceOptions;
using Loop = WorkerLoop<Worker, MemoryEndpoint>;

namespace {

/// The threads of an appliance in memory, run as gannetd runs them.
class Threads {
 public:
  explicit Threads(test::Appliance& appliance, std::uint32_t workers) : appliance_(appliance), reports_(workers) {
    signals.announcements[0].store(1);
    for (std::uint32_t k = 0; k < workers; ++k)
      threads_.emplace_back([this, k] {
        appliance_.shard(k).bind_owner();
        std::vector<Announcement> announcements;
        if (k == 0)
          announcements.push_back({test::mac_of(test::ipv4(test::Appliance::kAddress)),
                                   test::ipv4(test::Appliance::kAddress), test::ip("fd77::2"), 0});
        Loop loop({.worker = appliance_.worker(k),
                   .endpoints = {&appliance_.endpoint(k)},
                   .block = appliance_.shared().worker[k],
                   .signals = signals,
                   .report = reports_[k],
                   .rungs = {},
                   .announcements = std::move(announcements)});
        loop.run();
      });
  }
  ~Threads() { end(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  /// Drain, halt, close, as Appliance::stop does. False: something did not come about in time.
  bool end() {
    if (threads_.empty()) return true;
    signals.order.store(Order::kDrain, std::memory_order_release);
    const bool drained =
        within([this] { return all(&LoopReport::drained) && appliance_.group().packets_travelling() == 0; });
    signals.order.store(Order::kHalt, std::memory_order_release);
    const bool halted = within([this] { return all(&LoopReport::halted); });
    signals.order.store(Order::kClose, std::memory_order_release);
    for (std::thread& thread : threads_) thread.join();
    for (std::uint32_t k = 0; k < threads_.size(); ++k) appliance_.shard(k).bind_owner();
    threads_.clear();
    return drained && halted;
  }

  static bool within(const std::function<bool()>& holds) {
    for (int round = 0; round < 20'000; ++round) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  [[nodiscard]] bool all(std::atomic<bool> LoopReport::*what) const {
    for (const LoopReport& report : reports_)
      if (!(report.*what).load(std::memory_order_acquire)) return false;
    return true;
  }

  LoopSignals signals;

 private:
  test::Appliance& appliance_;
  std::vector<LoopReport> reports_;
  std::vector<std::thread> threads_;
};

/// `requests` datagrams to each worker: stores and lookups of keys that any worker may own.
void deliver(test::Appliance& appliance, std::uint32_t workers, std::uint32_t requests) {
  for (std::uint32_t i = 0; i < requests; ++i)
    for (std::uint32_t at = 0; at < workers; ++at) {
      const std::string key = "key:" + std::to_string((i * 7 + at) % 100);
      const test::Request request = i % 2 == 0 ? test::set(key, "value of " + key) : test::get(key);
      appliance.deliver(test::udp("10.77.0.1:40000", "10.77.0.2:11211")
                            .payload(test::datagram(static_cast<std::uint16_t>(i), request.bytes()))
                            .frame(),
                        at);
    }
}

bool is_of(const test::Frame& frame, int type_high, int type_low) {
  return frame[12] == std::byte(type_high) && frame[13] == std::byte(type_low);
}

/// What a link is told at once: a gratuitous ARP, what groups we hear, and whether each of both addresses over IPv6 is
/// free. That we have them is told a second later.
std::size_t first_words(const std::vector<test::Frame>& frames) {
  std::size_t count = 0;
  for (const test::Frame& frame : frames) {
    const bool announces = is_of(frame, 0x86, 0xdd) && frame.at(54) == std::byte{136};
    count += is_of(frame, 0x08, 0x06) || (is_of(frame, 0x86, 0xdd) && !announces);
  }
  return count;
}

}  // namespace

TEST_CASE("worker threads serve, drain, halt and close without losing a buffer", "[loop]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  INFO("workers " << workers);
  test::Appliance appliance(ApplianceOptions{.workers = workers});
  constexpr std::uint32_t kRequests = 300;
  deliver(appliance, workers, kRequests);
  {
    Threads threads(appliance, workers);
    REQUIRE(Threads::within([&] { return appliance.sum(&abi::WorkerCounters::answers) == workers * kRequests; }));
    REQUIRE(threads.all(&LoopReport::serving));
    REQUIRE_FALSE(threads.all(&LoopReport::drained));
    REQUIRE(threads.end());
  }
  const std::vector<test::Frame> sent = appliance.sent();
  std::size_t answers = 0;
  for (const test::Frame& frame : sent) {
    INFO(test::describe(frame));
    REQUIRE(test::fault_of(frame).empty());
    answers += is_of(frame, 0x08, 0x00);
  }
  REQUIRE(answers == workers * kRequests);
  REQUIRE(first_words(sent) == 4);
  REQUIRE(appliance.sum(&abi::WorkerCounters::busy_ns) > 0);
  REQUIRE(appliance.close().empty());
}

TEST_CASE("a draining worker leaves frames in the device", "[loop]") {
  test::Appliance appliance;
  Threads threads(appliance, 1);
  REQUIRE(Threads::within([&] { return threads.all(&LoopReport::serving); }));
  threads.signals.order.store(Order::kDrain, std::memory_order_release);
  REQUIRE(Threads::within([&] { return threads.all(&LoopReport::drained); }));
  REQUIRE(threads.end());
  appliance.deliver(
      test::udp("10.77.0.1:40000", "10.77.0.2:11211").payload(test::datagram(1, test::noop().bytes())).frame());
  REQUIRE(appliance.endpoint().waiting() == 1);
  REQUIRE(appliance.sum(&abi::WorkerCounters::requests) == 0);
}

TEST_CASE("an idle worker sleeps only when the live configuration lets it", "[loop]") {
  test::Appliance appliance;
  appliance.configure({.idle_sleep_us_max = 0});
  {
    Threads threads(appliance, 1);
    REQUIRE(Threads::within([&] { return appliance.sum(&abi::WorkerCounters::turns_idle) > 10'000; }));
    REQUIRE(appliance.sum(&abi::WorkerCounters::sleeps) == 0);
    appliance.configure({.idle_sleep_us_max = 50});
    REQUIRE(Threads::within([&] { return appliance.sum(&abi::WorkerCounters::sleeps) > 10; }));
    REQUIRE(threads.end());
  }
}

TEST_CASE("a link that comes up is told our addresses again", "[loop]") {
  test::Appliance appliance;
  {
    Threads threads(appliance, 1);
    REQUIRE(Threads::within([&] { return threads.all(&LoopReport::serving); }));
    // Announcements are looked for every fifth of a second of the worker's own time; two that fall into one look are
    // one.
    const abi::Cell& heartbeat = appliance.shared().worker[0].gauges.heartbeat_ns;
    const auto looked_since = [&](MonotonicNs asked_ns) {
      return Threads::within([&] { return heartbeat.load() > asked_ns + 500'000'000; });
    };
    REQUIRE(looked_since(LoopClock::mono_now()));
    threads.signals.announcements[0].fetch_add(1, std::memory_order_release);
    REQUIRE(looked_since(LoopClock::mono_now()));
    REQUIRE(threads.end());
  }
  REQUIRE(first_words(appliance.sent()) == 8);
}

TEST_CASE("the loop's clock gives unix seconds that agree with the system's", "[loop]") {
  LoopClock clock;
  for (int round = 0; round < 1'000; ++round) {
    const auto before = static_cast<UnixSeconds>(std::time(nullptr));
    const Now now = clock.now();
    const auto after = static_cast<UnixSeconds>(std::time(nullptr));
    REQUIRE(now.unix_s + 1 >= before);
    REQUIRE(now.unix_s <= after + 1);
    REQUIRE(now.mono_ns > 0);
  }
}

TEST_CASE("unix time follows the system's clock forwards, and goes on by itself when that is set back", "[loop]") {
  constexpr std::uint64_t kS = 1'000'000'000;
  UnixClock clock(LoopClock::kNoLead);
  clock.look(1000 * kS, 10 * kS);
  REQUIRE(clock.at(10 * kS) == 1000);
  REQUIRE(clock.at(15 * kS) == 1005);
  clock.look(2005 * kS, 15 * kS);  // Set forward.
  REQUIRE(clock.at(15 * kS) == 2005);
  clock.look(1010 * kS, 20 * kS);  // Set back: what has 10 seconds to live still has 10.
  REQUIRE(clock.at(20 * kS) == 2010);
  UnixClock successor(clock.lead_ns());
  successor.look(1020 * kS, 30 * kS);
  REQUIRE(successor.at(30 * kS) == 2020);
}
