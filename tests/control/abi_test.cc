#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"

using namespace gannet::abi;

namespace {
std::unique_ptr<Shared> fresh_shared() {
  auto shared = std::make_unique<Shared>();
  shared->header.bytes = sizeof(Shared);
  return shared;
}
}  // namespace

// Two releases of Gannet meet in this file. A change here means: bump kAbiVersion, then pin the new figures.
TEST_CASE("the layout of the shared file is the one of ABI version 6", "[control][abi]") {
  REQUIRE(kAbiVersion == 6);
  REQUIRE(sizeof(SharedHeader) == 592);
  REQUIRE(offsetof(SharedHeader, version) == 8);
  REQUIRE(offsetof(SharedHeader, bytes) == 12);
  REQUIRE(offsetof(SharedHeader, layout) == 20);
  REQUIRE(offsetof(SharedHeader, instance_id) == 32);
  REQUIRE(offsetof(SharedHeader, boot_id) == 40);
  REQUIRE(offsetof(SharedHeader, name) == 80);
  REQUIRE(offsetof(SharedHeader, http_address) == 464);
  REQUIRE(sizeof(PortConfig) == 172);
  REQUIRE(offsetof(PortConfig, device) == 8);
  REQUIRE(offsetof(PortConfig, address) == 136);
  REQUIRE(offsetof(PortConfig, vlan) == 148);
  REQUIRE(offsetof(PortConfig, address6) == 152);
  REQUIRE(sizeof(Prefix) == 24);
  REQUIRE(sizeof(StartConfig) == 1152);
  REQUIRE(offsetof(StartConfig, cores) == 8);
  REQUIRE(offsetof(StartConfig, port) == 264);
  REQUIRE(offsetof(StartConfig, memory_bytes) == 952);
  REQUIRE(offsetof(StartConfig, udp_port) == 976);
  REQUIRE(offsetof(StartConfig, allow_remote) == 980);
  REQUIRE(offsetof(StartConfig, memory_id) == 992);
  REQUIRE(offsetof(StartConfig, memory_starts) == 1000);
  REQUIRE(offsetof(StartConfig, tcp_connections_max) == 1008);
  REQUIRE(offsetof(StartConfig, sasl_users) == 1024);
  REQUIRE(sizeof(LiveConfig) == 856);
  REQUIRE(offsetof(LiveConfig, allow) == 8);
  REQUIRE(offsetof(LiveConfig, idle_sleep_us_max) == 776);
  REQUIRE(offsetof(LiveConfig, udp_rate_per_source) == 788);
  REQUIRE(offsetof(LiveConfig, reserved) == 792);
  REQUIRE(sizeof(ConfigSlot) == 896);
  REQUIRE(sizeof(ControlStatus) == 128);
  REQUIRE(sizeof(DataplaneStatus) == 2048);
  REQUIRE(sizeof(DataplaneStatus::Port) == 168);
  REQUIRE(offsetof(DataplaneStatus, stop_requested) == 32);
  REQUIRE(offsetof(DataplaneStatus, message) == 64);
  REQUIRE(offsetof(DataplaneStatus, port) == 1088);
  REQUIRE(offsetof(DataplaneStatus, story) == 1776);
  REQUIRE(sizeof(WorkerInfo) == 128);
  REQUIRE(sizeof(Latency) == 8704);
  REQUIRE(offsetof(Shared, start) == 640);
  REQUIRE(offsetof(Shared, config) == 1792);
  REQUIRE(offsetof(Shared, control) == 3584);
  REQUIRE(offsetof(Shared, dataplane) == 3712);
  REQUIRE(offsetof(Shared, worker) == 8192);
}

TEST_CASE("every figure lies where its description says, next to no other, and is told in words", "[control][abi]") {
  std::set<std::string> names;
  std::size_t at = 0;
  for (const Description& what : kCounterDescriptions) {
    REQUIRE(what.offset == at);
    at += sizeof(Cell);
    REQUIRE(names.insert(what.name).second);
    REQUIRE(std::string(what.unit).size() > 2);
    REQUIRE(std::string(what.meaning).size() > 5);
  }
  REQUIRE(at <= sizeof(WorkerCounters));
  at = 0;
  for (const Description& what : kGaugeDescriptions) {
    REQUIRE(what.offset == at);
    at += sizeof(Cell);
    REQUIRE(names.insert(what.name).second);
    REQUIRE(std::string(what.unit).size() > 2);
    REQUIRE(std::string(what.meaning).size() > 5);
  }
  REQUIRE(at <= sizeof(WorkerGauges));
}

TEST_CASE("a shared file of another layout is refused with a sentence", "[control][abi]") {
  auto shared = fresh_shared();
  REQUIRE(shared_fault(&shared->header, sizeof(Shared)) == nullptr);
  REQUIRE(std::string(shared_fault(&shared->header, sizeof(Shared) - 1)).find("too short") != std::string::npos);
  shared->header.layout ^= 1;
  REQUIRE(std::string(shared_fault(&shared->header, sizeof(Shared))).find("other figures") != std::string::npos);
  shared->header.version = kAbiVersion + 1;
  REQUIRE(std::string(shared_fault(&shared->header, sizeof(Shared))).find("layout version") != std::string::npos);
  shared->header.magic = 0;
  REQUIRE(std::string(shared_fault(&shared->header, sizeof(Shared))).find("wrong magic") != std::string::npos);
}

TEST_CASE("texts are cut, terminated and read back without running over the end", "[control][abi]") {
  Text text;
  text.fill('x');
  REQUIRE(text_of(text).size() == kTextMax);
  REQUIRE(set_text(text, "tap0"));
  REQUIRE(text_of(text) == "tap0");
  REQUIRE(set_text(text, ""));
  REQUIRE(text_of(text).empty());
  REQUIRE(set_text(text, std::string(kTextMax - 1, 'a')));
  REQUIRE_FALSE(set_text(text, std::string(kTextMax, 'b')));
  REQUIRE(text_of(text) == std::string(kTextMax - 1, 'b'));
}

TEST_CASE("sums count the running workers and no others", "[control][abi]") {
  auto shared = fresh_shared();
  for (std::size_t w = 0; w < kWorkersMax; ++w) {
    bump(shared->worker[w].counters.get_hits, w + 1);
    shared->worker[w].gauges.items.store(10);
  }
  REQUIRE(sum_of(*shared, &WorkerCounters::get_hits) == 0);
  shared->dataplane.workers.store(3);
  REQUIRE(sum_of(*shared, &WorkerCounters::get_hits) == 6);
  REQUIRE(sum_of(*shared, &WorkerGauges::items) == 30);
  REQUIRE(value_of(shared->worker[2].counters, kCounterDescriptions[0]) == 0);
  shared->dataplane.workers.store(1'000'000);  // A broken writer must not make a reader run over the end.
  REQUIRE(sum_of(*shared, &WorkerGauges::items) == 10 * kWorkersMax);
}

TEST_CASE("a value lies between the floor and the last of its latency bucket", "[control][abi]") {
  for (std::uint64_t ns :
       {0ull, 1ull, 7ull, 8ull, 9ull, 15ull, 16ull, 17ull, 999ull, 1024ull, 123'456'789ull, 1ull << 35}) {
    const std::size_t bucket = latency_bucket(ns);
    INFO("ns " << ns << ", bucket " << bucket);
    REQUIRE(latency_bucket_floor(bucket) <= ns);
    REQUIRE(ns <= latency_bucket_last(bucket));
    REQUIRE(static_cast<double>(latency_bucket_last(bucket)) <= static_cast<double>(ns) * 1.125 + 1);
  }
  for (std::size_t bucket = 1; bucket < kLatencyBuckets; ++bucket)
    REQUIRE(latency_bucket_last(bucket - 1) + 1 == latency_bucket_floor(bucket));
  REQUIRE(latency_bucket(~0ull) == kLatencyBuckets - 1);
}

TEST_CASE("percentiles are never below the truth and above it by at most a bucket", "[control][abi]") {
  LatencyBuckets buckets{};
  REQUIRE(latency_percentile(buckets, 990'000) == 0);
  for (std::uint64_t ns = 1; ns <= 10'000; ++ns) ++buckets[latency_bucket(ns)];
  const auto within = [&](std::uint32_t per_million, std::uint64_t truth) {
    const std::uint64_t got = latency_percentile(buckets, per_million);
    INFO("per million " << per_million << ": " << got << ", truth " << truth);
    REQUIRE(got >= truth);
    REQUIRE(got <= truth + truth / 8 + 1);
  };
  within(0, 1);
  within(500'000, 5'000);
  within(990'000, 9'900);
  within(999'000, 9'990);
  within(1'000'000, 10'000);
}

TEST_CASE("a worker adopts each configuration once and keeps what it has when nothing is new", "[control][abi]") {
  std::array<ConfigSlot, 2> slots{};
  std::uint64_t generation = 0;
  LiveConfig live;
  live.eviction = 77;
  REQUIRE_FALSE(adopt_config(slots, generation, live));
  REQUIRE(live.eviction == 77);
  LiveConfig wanted;
  wanted.prefixes = 1;
  wanted.allow[0] = Prefix{{0xfd, 0x77}, 24, {}};
  wanted.idle_sleep_us_max = 50;
  REQUIRE(publish_config(slots, wanted) == 1);
  REQUIRE(adopt_config(slots, generation, live));
  REQUIRE(generation == 1);
  REQUIRE(live.allow[0].address == Address{0xfd, 0x77});
  REQUIRE(live.allow[0].bits == 24);
  REQUIRE(live.idle_sleep_us_max == 50);
  REQUIRE_FALSE(adopt_config(slots, generation, live));
  wanted.idle_sleep_us_max = 60;
  REQUIRE(publish_config(slots, wanted) == 2);
  wanted.idle_sleep_us_max = 70;
  REQUIRE(publish_config(slots, wanted) == 3);
  REQUIRE(adopt_config(slots, generation, live));
  REQUIRE(generation == 3);
  REQUIRE(live.idle_sleep_us_max == 70);
}

TEST_CASE("a control that died half-way through publishing leaves the former configuration in force",
          "[control][abi]") {
  std::array<ConfigSlot, 2> slots{};
  LiveConfig wanted;
  wanted.idle_sleep_us_max = 1;
  publish_config(slots, wanted);
  wanted.idle_sleep_us_max = 2;
  publish_config(slots, wanted);
  slots[1].generation.store(0);  // It had closed the older slot and written half of it.
  slots[1].words[4].store(0xdead);
  std::uint64_t generation = 0;
  LiveConfig live;
  REQUIRE(adopt_config(slots, generation, live));
  REQUIRE(generation == 2);
  REQUIRE(live.idle_sleep_us_max == 2);
  wanted.idle_sleep_us_max = 3;
  REQUIRE(publish_config(slots, wanted) == 3);
  REQUIRE(adopt_config(slots, generation, live));
  REQUIRE(live.idle_sleep_us_max == 3);
}

TEST_CASE("readers never see half of one configuration and half of another", "[control][abi]") {
  std::array<ConfigSlot, 2> slots{};
  std::atomic<bool> done{false};
  std::atomic<int> reading{0};
  constexpr std::uint32_t kPublished = 100'000;
  const auto read = [&] {
    std::uint64_t generation = 0, torn = 0;
    LiveConfig live;
    ++reading;
    while (!done.load(std::memory_order_relaxed) || newest_generation(slots) != generation) {
      if (!adopt_config(slots, generation, live)) continue;
      if (live.reserved[7] != live.prefixes || live.allow[31].address[15] != static_cast<std::uint8_t>(live.prefixes) ||
          generation != live.prefixes)
        ++torn;
    }
    return torn;
  };
  std::array<std::uint64_t, 2> torn{99, 99};
  std::vector<std::thread> readers;
  for (std::size_t r = 0; r < torn.size(); ++r) readers.emplace_back([&, r] { torn[r] = read(); });
  while (reading.load() < 2) std::this_thread::yield();
  for (std::uint32_t i = 1; i <= kPublished; ++i) {
    LiveConfig config;
    config.prefixes = i;
    for (Prefix& prefix : config.allow) prefix.address.fill(static_cast<std::uint8_t>(i));
    for (std::uint64_t& word : config.reserved) word = i;
    publish_config(slots, config);
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  REQUIRE(torn[0] == 0);
  REQUIRE(torn[1] == 0);
}
