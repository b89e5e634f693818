/// Requests whose key another worker owns, one, two and four workers, turned one after the other on one thread.
#include <catch2/catch.hpp>
#include <random>

#include "dataplane/core/routing.h"
#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using gannet::dataplane::worker_of;
using Counters = gannet::abi::WorkerCounters;

[[nodiscard]] std::string key_of(std::uint32_t owner, std::uint32_t workers, std::uint32_t nth) {
  for (std::uint32_t i = 0;; ++i) {
    std::string key = "key:" + std::to_string(i);
    if (worker_of(gannet::as_bytes(key), workers) == owner && nth-- == 0) return key;
  }
}

TEST_CASE("a key is served by its owner, wherever its datagram arrives", "[dataplane][travel]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  Appliance appliance({.workers = workers});
  for (std::uint32_t at = 0; at < workers; ++at) {
    for (std::uint32_t owner = 0; owner < workers; ++owner) {
      const std::string key = key_of(owner, workers, at);
      REQUIRE(appliance.one(set(key, key), {.at = at}).status == 0);
      for (std::uint32_t k = 0; k < workers; ++k) REQUIRE(appliance.one(getk(key), {.at = k}).value == key);
      REQUIRE(appliance.shard(owner).stats().items == at + 1);
    }
  }
  const std::uint64_t foreign = std::uint64_t{workers} * (workers - 1) * (1 + workers);
  REQUIRE(appliance.sum(&Counters::handed_over) == foreign);
  REQUIRE(appliance.sum(&Counters::taken_over) == foreign);
}

TEST_CASE("the requests of one datagram keep their order even when every key has another owner",
          "[dataplane][travel]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  Appliance appliance({.workers = workers});
  std::string body;
  for (std::uint32_t i = 0; i < 12; ++i)
    body += set(key_of(i % workers, workers, 0), std::to_string(i)).with_opaque(i).bytes();
  for (std::uint32_t i = 0; i < workers; ++i) body += append(key_of(i, workers, 0), "!").with_opaque(100 + i).bytes();
  const auto answers = appliance.ask(body);
  REQUIRE(answers.size() == 12 + workers);
  for (std::uint32_t i = 0; i < answers.size(); ++i) {
    REQUIRE(answers[i].status == 0);
    REQUIRE(answers[i].opaque == (i < 12 ? i : 100 + i - 12));
  }
  for (std::uint32_t i = 0; i < workers; ++i) {
    REQUIRE(appliance.one(get(key_of(i, workers, 0))).value == std::to_string(12 - workers + i) + "!");
  }
}

TEST_CASE("FLUSH visits every worker before it is answered, and spares what is stored behind it",
          "[dataplane][travel][flush]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  Appliance appliance({.workers = workers});
  for (std::uint32_t at = 0; at < workers; ++at) {
    std::string body;
    for (std::uint32_t k = 0; k < workers; ++k) body += set(key_of(k, workers, 0), "old").bytes();
    body += flush().bytes();
    for (std::uint32_t k = 0; k < workers; ++k) {
      body += get(key_of(k, workers, 0)).bytes();
      body += set(key_of(k, workers, 1), "new").bytes();
    }
    std::uint32_t hits = 0, flushes = 0;
    for (const Response& answer : appliance.ask(body, {.at = at})) {
      hits += answer.opcode == 0 && answer.status == 0 ? 1 : 0;
      flushes += answer.opcode == 8 ? 1 : 0;
    }
    REQUIRE(hits == 0);
    REQUIRE(flushes == 1);
    for (std::uint32_t k = 0; k < workers; ++k) REQUIRE(appliance.one(get(key_of(k, workers, 1))).value == "new");
  }
  REQUIRE(appliance.sum(&Counters::cmd_flush) == workers);
  REQUIRE(appliance.silent(flush().with_opcode(0x18), {.at = workers - 1}));
  for (std::uint32_t k = 0; k < workers; ++k) REQUIRE(appliance.one(get(key_of(k, workers, 1))).status == 1);
}

TEST_CASE("a flush that needs a spare buffer for its answer still makes one round only", "[dataplane][travel][flush]") {
  Appliance appliance({.workers = 4, .buffers = 40, .spares = 2});
  std::string body;
  for (int i = 0; i < 20; ++i) body += flush().bytes();
  for (int round = 0; round < 20; ++round) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, body)).frame());
    appliance.settle();
  }
  REQUIRE(appliance.sum(&Counters::cmd_flush) == appliance.sum(&Counters::requests));
  REQUIRE(appliance.sum(&Counters::requests) > 20);
}

TEST_CASE("statistics are those of all workers together", "[dataplane][travel]") {
  Appliance appliance({.workers = 4});
  for (std::uint32_t k = 0; k < 4; ++k) (void)appliance.one(set(key_of(k, 4, 0), "v"), {.at = 0});
  for (int turn = 0; turn < 200; ++turn) appliance.turn();
  std::string items, sets;
  for (const Response& row : appliance.ask(stat(), {.at = 2})) {
    if (row.key == "curr_items") items = row.value;
    if (row.key == "cmd_set") sets = row.value;
  }
  REQUIRE(sets == "4");
  std::size_t ports = 0;
  for (const Response& row : appliance.ask(stat("workers"))) ports += row.key.ends_with("udp_port") ? 1 : 0;
  REQUIRE(ports == 4);
}

TEST_CASE("where the device has one queue, frames are dispatched by flow and every client is answered",
          "[dataplane][travel][dispatch]") {
  const std::uint32_t workers = GENERATE(2u, 4u);
  Appliance appliance({.workers = workers, .queues = 1});
  for (int i = 0; i < 200; ++i) {
    const Client client{.address = "10.77.0.1:" + std::to_string(2000 + i)};
    const std::string key = "key" + std::to_string(i);
    REQUIRE(appliance.one(set(key, key), client).status == 0);
    REQUIRE(appliance.one(get(key), client).value == key);
  }
  std::uint32_t busy = 0;
  for (std::uint32_t k = 0; k < workers; ++k)
    busy += appliance.shared().worker[k].counters.tx_frames.load() > 0 ? 1 : 0;
  REQUIRE(busy == workers);
  // ARP and ping go to worker 0 and are answered as ever.
  appliance.deliver(arp_request("10.77.0.1", "10.77.0.2").frame());
  appliance.deliver(echo_request("10.77.0.1", "10.77.0.2", 1, 2).payload("ping").frame());
  appliance.settle();
  const auto frames = appliance.sent();
  REQUIRE(frames.size() == 2);
  REQUIRE(describe(frames[1]) == describe(echo_reply("10.77.0.2", "10.77.0.1", 1, 2).payload("ping").frame()));
}

TEST_CASE("a worker whose ring is full costs requests, counted, and no buffer", "[dataplane][travel][pressure]") {
  Appliance appliance({.workers = 2, .buffers = 8192});
  const std::string key = key_of(1, 2, 0);
  // Worker 1 never runs: its ring fills.
  std::uint32_t delivered = 0;
  for (; delivered < 2000; ++delivered) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, get(key).bytes())).frame(), 0);
  }
  const std::array<gannet::nicpipe::MemoryEndpoint*, 1> port{&appliance.endpoint(0)};
  gannet::Now now{.unix_s = appliance.now(), .mono_ns = 2'000'000'000};
  for (int turn = 0; turn < 200; ++turn, now.mono_ns += 1000) {
    gannet::dataplane::pump(appliance.worker(0), std::span<gannet::nicpipe::MemoryEndpoint* const>(port), now);
  }
  const std::uint64_t dropped = appliance.sum(&Counters::drop_handover_full);
  REQUIRE(dropped == delivered - gannet::dataplane::kHandoverSlots);
  appliance.settle();
  REQUIRE(appliance.sent().size() == gannet::dataplane::kHandoverSlots);
}

TEST_CASE("closing with packets on every way gives all of them back", "[dataplane][travel]") {
  Appliance appliance({.workers = 4, .release_at_once = false});
  std::mt19937_64 random(3);
  for (int i = 0; i < 20; ++i) appliance.put("key" + std::to_string(i), std::string(i % 4 == 0 ? 30'000 : 1200, 'x'));
  for (int i = 0; i < 600; ++i) {
    std::string body;
    for (int n = 0; n < 4; ++n) body += get("key" + std::to_string(random() % 20)).bytes();
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, body)).frame(),
                      static_cast<std::uint32_t>(i % 4));
  }
  for (std::uint32_t k = 0; k < 4; ++k) appliance.endpoint(k).tx_limit(10);
  for (int turn = 0; turn < 20; ++turn) appliance.turn();
  REQUIRE(!appliance.worker(0).drained());
  REQUIRE(appliance.close().empty());
}

}  // namespace
