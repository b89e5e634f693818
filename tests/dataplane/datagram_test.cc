/// Several requests in a datagram, answers of several datagrams, datagrams that are wrong, and devices that do not take
/// what they are given.
#include <catch2/catch.hpp>
#include <random>

#include "dataplane/core/udp_message.h"
#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using Counters = gannet::abi::WorkerCounters;

[[nodiscard]] std::string pattern(std::size_t bytes, std::uint32_t seed) {
  std::string text(bytes, '\0');
  std::uint32_t state = seed * 2654435761u + 1;
  for (char& c : text) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

TEST_CASE("all requests of a datagram are executed in order, each answered by its own message",
          "[dataplane][datagram]") {
  Appliance appliance;
  std::string requests;
  for (std::uint32_t i = 0; i < 20; ++i) {
    requests += set("k", std::to_string(i)).with_opaque(2 * i).bytes() + get("k").with_opaque(2 * i + 1).bytes();
  }
  const auto answers = appliance.ask(requests);
  REQUIRE(answers.size() == 40);
  for (std::uint32_t i = 0; i < 20; ++i) {
    REQUIRE(answers[2 * i].opaque == 2 * i);
    REQUIRE(answers[2 * i + 1].opaque == 2 * i + 1);
    REQUIRE(answers[2 * i + 1].value == std::to_string(i));
  }
}

TEST_CASE("a bulk of quiet gets ends with its NOOP and tells hits only", "[dataplane][datagram]") {
  Appliance appliance;
  std::string requests;
  for (int i = 0; i < 30; ++i) {
    if (i % 3 == 0) appliance.put("key" + std::to_string(i), "v" + std::to_string(i));
    requests += getkq("key" + std::to_string(i)).bytes();
  }
  const auto answers = appliance.ask(requests + noop().bytes());
  REQUIRE(answers.size() == 11);
  for (std::size_t i = 0; i < 10; ++i) REQUIRE(answers[i].key == "key" + std::to_string(3 * i));
  REQUIRE(answers[10].opcode == 0x0a);
  REQUIRE(appliance.sum(&Counters::quiet_silences) == 20);
}

TEST_CASE("the last answer of a datagram leaves in the request's own buffer", "[dataplane][datagram]") {
  Appliance appliance;
  appliance.put("k", "v");
  for (int turn = 0; turn < 10; ++turn) appliance.turn();
  const std::uint32_t out = appliance.pool().buffers_out();  // The worker's spares.
  std::string requests = getk("k").bytes();
  for (int i = 0; i < 3; ++i) {
    REQUIRE(appliance.ask(requests).size() == 1);
    REQUIRE(appliance.pool().buffers_out() == out);
  }
}

TEST_CASE("what is no single whole request is dropped, counted by reason, and never answered",
          "[dataplane][datagram]") {
  Appliance appliance;
  const std::string good = get("k").bytes();
  struct Case {
    std::string payload;
    gannet::abi::Cell Counters::*counter;
  };
  Request response = get("k");
  response.magic = 0x81;
  Request truncated = set("k", "value");
  truncated.body_bytes = 2000;
  const Case cases[] = {
      {"", &Counters::drop_frame_header},
      {"1234567", &Counters::drop_frame_header},
      {datagram(1, ""), &Counters::drop_frame_header},
      {datagram(1, good.substr(0, 23)), &Counters::drop_frame_header},
      {datagram(1, good, 0, 0), &Counters::drop_multi_datagram},
      {datagram(1, good, 0, 2), &Counters::drop_multi_datagram},
      {datagram(1, good, 1, 2), &Counters::drop_multi_datagram},
      {datagram(1, good, 1, 1), &Counters::drop_multi_datagram},
      {datagram(1, response.bytes()), &Counters::drop_bad_magic},
      {datagram(1, "get k\r\nget k\r\nget k\r\nget k\r\n"), &Counters::drop_bad_magic},
      {datagram(1, good.substr(0, 24)), &Counters::drop_truncated},
      {datagram(1, truncated.bytes()), &Counters::drop_truncated},
  };
  for (const Case& wrong : cases) {
    const std::uint64_t counted = appliance.sum(wrong.counter), all = appliance.drops();
    REQUIRE(appliance.exchange(wrong.payload).empty());
    REQUIRE(appliance.sum(wrong.counter) == counted + 1);
    REQUIRE(appliance.drops() == all + 1);
  }
  REQUIRE(appliance.sum(&Counters::requests) == 0);
  REQUIRE(appliance.one(noop()).status == 0);
}

TEST_CASE("good requests before garbage are answered, the garbage is dropped", "[dataplane][datagram]") {
  Appliance appliance;
  const auto answers = appliance.ask(set("k", "v").bytes() + get("k").bytes() + "garbage");
  REQUIRE(answers.size() == 2);
  REQUIRE(answers[1].value == "v");
  REQUIRE(appliance.sum(&Counters::drop_bad_magic) == 1);
  REQUIRE(appliance.ask(get("k").bytes() + get("k").bytes().substr(0, 10)).size() == 1);
  REQUIRE(appliance.sum(&Counters::drop_truncated) == 1);
}

TEST_CASE("values of every size come back byte for byte, pointed at or copied", "[dataplane][datagram][large]") {
  const bool multi_segment = GENERATE(false, true);
  Appliance appliance({.multi_segment = multi_segment, .shard_bytes = 16u << 20, .segment_bytes = 2u << 20});
  std::uint32_t seed = 0;
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{1023}, std::size_t{1024}, std::size_t{1363}, std::size_t{1364},
        std::size_t{1365}, std::size_t{1392}, std::size_t{1400}, std::size_t{2756}, std::size_t{2757},
        std::size_t{10'000}, std::size_t{100'000}, std::size_t{700'000}, std::size_t{1'048'000}}) {
    const std::string value = pattern(bytes, ++seed);
    const std::string key = "key" + std::to_string(seed);
    INFO(bytes << " bytes, multi-segment " << multi_segment);
    appliance.put(key, value, seed);
    for (const bool echo : {false, true}) {
      const auto payloads = appliance.exchange(datagram(77, (echo ? getk(key) : get(key)).bytes()));
      const std::size_t message = 24 + 4 + (echo ? key.size() : 0) + bytes;
      REQUIRE(payloads.size() == (message + 1391) / 1392);
      const auto messages = messages_of(payloads);
      REQUIRE(messages.size() == 1);
      const auto answers = responses_of(messages[0].bytes);
      REQUIRE(answers.size() == 1);
      REQUIRE(answers[0].value == value);
      REQUIRE(answers[0].key == (echo ? key : ""));
      REQUIRE(answers[0].extras == be32(seed));
    }
  }
  REQUIRE((appliance.sum(&Counters::answers_zero_copy) > 0) == multi_segment);
  REQUIRE((appliance.endpoint().tails_sent() > 0) == multi_segment);
}

TEST_CASE("large answers of one datagram leave one after the other, and the requests behind them wait",
          "[dataplane][datagram][large]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  Appliance appliance({.workers = workers});
  std::string requests;
  for (std::uint32_t i = 0; i < 6; ++i) {
    appliance.put("big" + std::to_string(i), pattern(3000 + 500 * i, i));
    appliance.put("small" + std::to_string(i), "s" + std::to_string(i));
    requests += get("big" + std::to_string(i)).bytes() + get("small" + std::to_string(i)).bytes();
  }
  appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(9, requests)).frame());
  std::vector<std::string> payloads;
  for (int turn = 0; turn < 100; ++turn) {  // In the order of time, whichever worker sends.
    appliance.turn();
    for (const Frame& frame : appliance.sent()) payloads.push_back(payload_of(frame));
  }
  std::vector<Response> answers;
  for (const Message& message : messages_of(payloads)) {
    for (const Response& response : responses_of(message.bytes)) answers.push_back(response);
  }
  REQUIRE(answers.size() == 12);
  for (std::uint32_t i = 0; i < 6; ++i) {
    REQUIRE(answers[2 * i].value == pattern(3000 + 500 * i, i));
    REQUIRE(answers[2 * i + 1].value == "s" + std::to_string(i));
  }
}

TEST_CASE("a large answer may be cut in two by the store's changes and still tells the old value",
          "[dataplane][datagram][large]") {
  const bool multi_segment = GENERATE(false, true);
  Appliance appliance(
      {.multi_segment = multi_segment, .release_at_once = false, .shard_bytes = 4u << 20, .segment_bytes = 512u << 10});
  const std::string value = pattern(400'000, 1);
  appliance.put("big", value);
  appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, get("big").bytes())).frame());
  appliance.turn();
  appliance.turn();
  for (std::uint32_t i = 0; i < 64; ++i)
    appliance.put("other" + std::to_string(i), pattern(100'000, i + 2));  // Everything old is evicted.
  appliance.put("big", "new");
  appliance.settle();
  std::vector<std::string> payloads;
  appliance.endpoint().complete_tx();
  for (const Frame& frame : appliance.sent()) payloads.push_back(payload_of(frame));
  const auto messages = messages_of(payloads);
  REQUIRE(messages.size() == 1);
  REQUIRE(responses_of(messages[0].bytes)[0].value == value);
}

TEST_CASE("when the table of large answers is full, one more is refused with 0x82", "[dataplane][datagram][large]") {
  Appliance appliance;
  appliance.put("big", pattern(4000, 1));
  appliance.endpoint().tx_limit(0);
  const std::uint32_t asked = gannet::dataplane::kTransfersMax + 200;
  for (std::uint32_t i = 0; i < asked; ++i) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211")
                          .payload(datagram(static_cast<std::uint16_t>(i), get("big").bytes()))
                          .frame());
  }
  for (int turn = 0; turn < 100; ++turn) appliance.turn();
  appliance.endpoint().tx_limit(gannet::nicpipe::MemoryEndpoint::kNoLimit);
  appliance.settle();
  std::vector<std::string> payloads;
  for (const Frame& frame : appliance.sent()) payloads.push_back(payload_of(frame));
  std::size_t whole = 0, refused = 0;
  for (const Message& message : messages_of(payloads)) {
    const auto answers = responses_of(message.bytes);
    REQUIRE(answers.size() == 1);
    if (answers[0].status == 0x82) {
      ++refused;
    } else {
      REQUIRE(answers[0].value.size() == 4000);
      ++whole;
    }
  }
  REQUIRE(refused > 0);
  REQUIRE(whole + refused == asked);
  REQUIRE(appliance.sum(&Counters::error_no_memory) == refused);
}

TEST_CASE("a device that takes nothing stops the intake, loses nothing, and goes on where it stopped",
          "[dataplane][pressure]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  Appliance appliance({.workers = workers});
  const std::uint64_t seed = 7;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  constexpr std::uint32_t kDatagrams = 2000;
  std::uint64_t requests = 0;
  for (std::uint32_t i = 0; i < kDatagrams; ++i) {
    std::string body;
    for (std::uint64_t n = random() % 5 + 1; n > 0; --n, ++requests)
      body += get("key" + std::to_string(random() % 50)).bytes();
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, body)).frame(), i % workers);
  }
  for (std::uint32_t k = 0; k < workers; ++k) appliance.endpoint(k).tx_limit(0);
  for (int turn = 0; turn < 400; ++turn) appliance.turn();
  REQUIRE(appliance.worker().rx_room() == 0);
  REQUIRE(appliance.endpoint().waiting() > 0);
  for (int round = 0; round < 5000; ++round) {
    for (std::uint32_t k = 0; k < workers; ++k)
      appliance.endpoint(k).tx_limit(static_cast<std::uint32_t>(random() % 7));
    appliance.turn();
  }
  for (std::uint32_t k = 0; k < workers; ++k) appliance.endpoint(k).tx_limit(gannet::nicpipe::MemoryEndpoint::kNoLimit);
  appliance.settle();
  const std::size_t answers = appliance.sent().size();
  REQUIRE(answers + appliance.drops() >= requests);
  REQUIRE(answers == appliance.sum(&Counters::answer_datagrams));
  if (workers == 1) REQUIRE(answers == requests);
}

TEST_CASE("without spare buffers answers are dropped and counted, and the worker goes on", "[dataplane][pressure]") {
  Appliance appliance({.buffers = 64, .spares = 4});
  std::string body;
  for (int i = 0; i < 10; ++i) body += get("k").bytes();
  for (int round = 0; round < 200; ++round) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, body)).frame());
    if (round % 3 == 0) appliance.turn();
  }
  appliance.settle();
  REQUIRE(appliance.sent().size() + appliance.sum(&Counters::drop_no_buffer) == appliance.sum(&Counters::requests));
  REQUIRE(appliance.sum(&Counters::requests) > 0);
  REQUIRE(appliance.one(get("k")).status == 1);
}

}  // namespace
