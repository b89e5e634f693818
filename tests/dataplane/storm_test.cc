/// Malformed input in bulk: whatever arrives, every buffer comes back, every request is answered, silent or dropped,
/// and others are served.
#include <catch2/catch.hpp>
#include <random>

#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using Counters = gannet::abi::WorkerCounters;

/// A request of any opcode with plausible or lying fields.
[[nodiscard]] std::string random_request(std::mt19937_64& random) {
  static constexpr std::uint8_t kOpcodes[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                              0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x14, 0x15, 0x17, 0x18,
                                              0x19, 0x1b, 0x1c, 0x1d, 0x1e, 0x20, 0x23, 0x24, 0x30, 0x77};
  Request request;
  request.opcode = random() % 20 == 0 ? static_cast<std::uint8_t>(random()) : kOpcodes[random() % std::size(kOpcodes)];
  static constexpr std::size_t kExtras[] = {0, 0, 4, 8, 20};
  request.extras = std::string(kExtras[random() % 5], static_cast<char>(random() % 4));
  if (random() % 4 != 0) request.key = "key" + std::to_string(random() % 40);
  if (random() % 50 == 0) request.key = std::string(random() % 400, 'k');
  if (random() % 3 == 0) request.value = std::string(random() % 60, 'v');
  if (random() % 10 == 0) request.cas = random() % 100;
  if (random() % 30 == 0) request.magic = static_cast<std::uint8_t>(random());
  if (random() % 30 == 0) request.key_bytes = static_cast<std::uint16_t>(random() % 300);
  if (random() % 30 == 0) request.extras_bytes = static_cast<std::uint8_t>(random());
  if (random() % 30 == 0) request.body_bytes = static_cast<std::uint32_t>(random() >> (random() % 64));
  return request.bytes();
}

TEST_CASE("a storm of malformed requests changes no books and starves nobody", "[dataplane][storm]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  const std::uint64_t seed = 1000 + workers;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  Appliance appliance(
      {.workers = workers, .release_at_once = false, .buffers = 6000, .queues = workers == 4 ? 2u : 0u});
  const std::uint32_t queues = workers == 4 ? 2 : workers;
  appliance.put("witness", "here");
  appliance.put("key1", std::string(5000, 'x'));
  for (int round = 0; round < 400; ++round) {
    for (int n = 0; n < 20; ++n) {
      std::string body;
      for (std::uint64_t more = random() % 6; more > 0; --more) body += random_request(random);
      std::string payload =
          datagram(static_cast<std::uint16_t>(random()), body, random() % 40 == 0 ? 1 : 0, random() % 40 == 0 ? 2 : 1);
      if (random() % 8 == 0 && !payload.empty()) payload[random() % payload.size()] = static_cast<char>(random());
      if (random() % 8 == 0) payload.resize(random() % (payload.size() + 1));
      if (payload.size() > 1472) payload.resize(1472);
      Frame frame = udp("10.77.0.1:" + std::to_string(1024 + random() % 2000),
                        "10.77.0.2:" + std::to_string(11211 + random() % 7))
                        .payload(payload)
                        .frame();
      if (random() % 10 == 0) frame[random() % frame.size()] = static_cast<std::byte>(random());
      if (random() % 20 == 0) frame.resize(random() % frame.size() + 1);
      appliance.deliver(frame, static_cast<std::uint32_t>(random() % queues));
    }
    for (std::uint32_t k = 0; k < workers; ++k)
      appliance.endpoint(k).tx_limit(static_cast<std::uint32_t>(random() % 60));
    appliance.turn();
    if (random() % 4 == 0) appliance.endpoint(static_cast<std::uint32_t>(random() % workers)).complete_tx();
    if (round % 50 == 49) {
      for (std::uint32_t k = 0; k < workers; ++k)
        appliance.endpoint(k).tx_limit(gannet::nicpipe::MemoryEndpoint::kNoLimit);
      appliance.settle();
      (void)appliance.sent();  // Checks every frame.
      (void)appliance.one(set("witness", "here"));
      REQUIRE(appliance.one(get("witness")).value == "here");
    }
  }
  for (std::uint32_t k = 0; k < workers; ++k) appliance.endpoint(k).tx_limit(gannet::nicpipe::MemoryEndpoint::kNoLimit);
  appliance.settle();
  REQUIRE(appliance.sum(&Counters::requests) > 1000);
  REQUIRE(appliance.sum(&Counters::requests) ==
          appliance.sum(&Counters::answers) + appliance.sum(&Counters::quiet_silences));
  REQUIRE(appliance.sum(&Counters::handed_over) == appliance.sum(&Counters::taken_over));
  REQUIRE(appliance.drops() > 100);
  REQUIRE(appliance.close().empty());
}

}  // namespace
