/// Workers on threads of their own, as in the program: what crosses between them crosses in the rings alone. Runs under
/// the thread sanitizer.
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <thread>

#include "control/abi/config_slot.h"
#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using Counters = gannet::abi::WorkerCounters;

TEST_CASE("workers on threads answer every request once, with the right value", "[dataplane][threads]") {
  const std::uint32_t workers = GENERATE(2u, 4u);
  const std::uint32_t queues = GENERATE(0u, 1u);
  const std::uint64_t seed = 5 + workers;
  INFO("seed " << seed << ", workers " << workers << ", queues " << queues);
  std::mt19937_64 random(seed);
  constexpr std::uint32_t kDatagrams = 1500, kKeys = 64;
  Appliance appliance({.workers = workers, .buffers = 8192, .queues = queues});
  const auto value_of = [](std::uint32_t key) {
    return std::string(key % 8 == 0 ? 4000 : 20 + key, static_cast<char>('a' + key % 26));
  };
  for (std::uint32_t key = 0; key < kKeys; ++key) appliance.put("key" + std::to_string(key), value_of(key));

  std::map<std::uint32_t, std::uint32_t> asked;  // Opaque to key.
  std::uint32_t opaque = 0;
  for (std::uint32_t i = 0; i < kDatagrams; ++i) {
    std::string body;
    for (std::uint64_t more = random() % 4 + 1; more > 0; --more) {
      const auto key = static_cast<std::uint32_t>(random() % kKeys);
      asked[opaque] = key;
      body += getk("key" + std::to_string(key)).with_opaque(opaque++).bytes();
    }
    appliance.deliver(udp("10.77.0.1:" + std::to_string(2000 + i % 50), "10.77.0.2:11211")
                          .payload(datagram(static_cast<std::uint16_t>(i), body))
                          .frame(),
                      queues == 1 ? 0 : i % workers);
  }

  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint32_t k = 0; k < workers; ++k) {
    threads.emplace_back([&, k] {
      appliance.shard(k).bind_owner();
      const std::array<gannet::nicpipe::MemoryEndpoint*, 1> port{&appliance.endpoint(k)};
      gannet::Now now{.unix_s = appliance.now(), .mono_ns = 3'000'000'000};
      while (!stop.load(std::memory_order_relaxed)) {
        now.mono_ns += 1000;
        if (!gannet::dataplane::pump(appliance.worker(k), std::span<gannet::nicpipe::MemoryEndpoint* const>(port), now))
          std::this_thread::yield();
      }
    });
  }
  // What is lost to a full ring takes its datagram's other requests with it, so the end is when nothing moves any more;
  // and a worker that never starts moving is a failure, not a wait.
  gannet::abi::LiveConfig live;
  std::uint64_t last = 0;
  for (int still = 0, waits = 0; still < 20 && waits < 3000; ++waits) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    gannet::abi::publish_config(appliance.shared().config, live);  // Configuration changes while they serve.
    const std::uint64_t moved = appliance.sum(&Counters::answers) + appliance.sum(&Counters::answer_datagrams) +
                                appliance.sum(&Counters::tx_frames);
    still = moved == last && moved > 0 ? still + 1 : 0;
    last = moved;
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t k = 0; k < workers; ++k) appliance.shard(k).bind_owner();
  REQUIRE(last > 0);
  appliance.settle();

  std::uint32_t small = 0, large = 0;
  for (const Frame& frame : appliance.sent()) {
    const std::string payload = payload_of(frame);
    if (payload.substr(4, 2) != be16(1)) {
      REQUIRE(payload.substr(4, 2) == be16(3));  // 4000 bytes and a head.
      if (payload.substr(2, 2) == be16(0)) ++large;
      continue;
    }
    for (const Response& response : responses_of(payload.substr(8))) {
      REQUIRE(asked.count(response.opaque) == 1);
      REQUIRE(response.value == value_of(asked[response.opaque]));
      REQUIRE(response.key == "key" + std::to_string(asked[response.opaque]));
      asked.erase(response.opaque);
      ++small;
    }
  }
  const std::uint64_t lost = appliance.sum(&Counters::drop_handover_full);  // Datagrams, with up to 4 requests left.
  REQUIRE(small > 0);
  REQUIRE(large > 0);
  REQUIRE(small + large + 4 * lost >= opaque);
  if (lost == 0) REQUIRE(small + large == opaque);
  REQUIRE(appliance.sum(&Counters::handed_over) == appliance.sum(&Counters::taken_over));
}

}  // namespace
