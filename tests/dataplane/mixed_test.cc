/// Datagrams whose keys have several owners: answered by one worker, in the order of the requests, whole answer after
/// whole answer. Appliance::ask() refuses answers that come from two workers or mix.
#include <catch2/catch.hpp>

#include "dataplane/core/routing.h"
#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using gannet::dataplane::worker_of;
using Counters = gannet::abi::WorkerCounters;

[[nodiscard]] std::string key_of(std::uint32_t owner, std::uint32_t workers, std::uint32_t nth = 0) {
  for (std::uint32_t i = 0;; ++i) {
    std::string key = "mixed:" + std::to_string(i);
    if (worker_of(gannet::as_bytes(key), workers) == owner && nth-- == 0) return key;
  }
}

[[nodiscard]] std::string quiet_gets(std::uint32_t workers, std::uint32_t count) {
  std::string body;
  for (std::uint32_t i = 0; i < count; ++i) body += getkq(key_of(i % workers, workers)).with_opaque(i).bytes();
  return body;
}

TEST_CASE("large answers of several owners come one after the other, whole", "[dataplane][mixed]") {
  const std::uint32_t workers = GENERATE(2u, 4u);
  const bool multi_segment = GENERATE(true, false);
  Appliance appliance({.workers = workers, .multi_segment = multi_segment, .release_at_once = false});
  std::string body;
  for (std::uint32_t i = 0; i < 2 * workers; ++i) {
    const std::string key = key_of(i % workers, workers, i / workers);
    appliance.put(key, std::string(700 + 9'000 * i, static_cast<char>('a' + i)), i);
    body += getk(key).with_opaque(i).bytes();
  }
  body += noop().with_opaque(99).bytes();
  for (std::uint32_t at = 0; at < workers; ++at) {
    const auto answers = appliance.ask(body, {.at = at});
    REQUIRE(answers.size() == 2 * workers + 1);
    for (std::uint32_t i = 0; i < 2 * workers; ++i) {
      REQUIRE(answers[i].opaque == i);
      REQUIRE(answers[i].extras == be32(i));
      REQUIRE(answers[i].key == key_of(i % workers, workers, i / workers));
      REQUIRE(answers[i].value == std::string(700 + 9'000 * i, static_cast<char>('a' + i)));
    }
    REQUIRE(answers.back().opcode == 0x0a);
  }
  for (std::uint32_t k = 0; k < workers; ++k) REQUIRE(appliance.shard(k).stats().pins == 0);
}

TEST_CASE("a NOOP behind quiet gets is the last answer, and misses are silent", "[dataplane][mixed]") {
  const std::uint32_t workers = GENERATE(2u, 4u);
  Appliance appliance({.workers = workers});
  for (std::uint32_t k = 1; k < workers; ++k) appliance.put(key_of(k, workers), "value of " + std::to_string(k));
  for (std::uint32_t at = 0; at < workers; ++at) {
    const auto answers = appliance.ask(quiet_gets(workers, 24) + noop().with_opaque(1000).bytes(), {.at = at});
    REQUIRE(answers.size() == 24 - 24 / workers + 1);
    for (std::size_t i = 1; i < answers.size(); ++i) REQUIRE(answers[i - 1].opaque < answers[i].opaque);
    REQUIRE(answers.back().opaque == 1000);
  }
  REQUIRE(appliance.silent(getkq(key_of(0, workers)).with_opaque(7)));
  REQUIRE(appliance.ask(getkq(key_of(0, workers)).bytes() + getkq(key_of(0, workers, 1)).bytes()).empty());
  REQUIRE(
      appliance.ask(getkq(key_of(0, workers)).bytes() + erase(key_of(1, workers)).with_opcode(0x14).bytes()).empty());
}

TEST_CASE("what has no key is answered at its place among those that have", "[dataplane][mixed]") {
  Appliance appliance({.workers = 4});
  const std::string body = set(key_of(1, 4), "1").with_opaque(1).bytes() + stat("workers").with_opaque(2).bytes() +
                           set(key_of(2, 4), "2").with_opaque(3).bytes() + version().with_opaque(4).bytes() +
                           flush().with_opaque(5).bytes() + get(key_of(2, 4)).with_opaque(6).bytes() +
                           increment(key_of(3, 4), 5, 40).with_opaque(7).bytes() +
                           noop().with_opcode(0x60).with_opaque(8).bytes() + quit().with_opaque(9).bytes() +
                           get(key_of(1, 4)).with_opaque(10).bytes();
  const auto answers = appliance.ask(body, {.at = 2});
  std::vector<std::uint32_t> order;
  for (const Response& answer : answers) {
    if (order.empty() || order.back() != answer.opaque) order.push_back(answer.opaque);
  }
  REQUIRE(order == std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  const auto status = [&answers](std::uint32_t opaque) {
    for (const Response& answer : answers)
      if (answer.opaque == opaque) return answer.status;
    return std::uint16_t{0xffff};
  };
  REQUIRE(status(6) == 1);
  REQUIRE(status(8) == 0x81);
  REQUIRE(answers[answers.size() - 3].value == be64(40));
  REQUIRE(appliance.sum(&Counters::error_unknown_command) == 1);
  REQUIRE(appliance.sum(&Counters::cmd_flush) == 1);
  REQUIRE(appliance.sum(&Counters::requests) == 9);
}

TEST_CASE("what is wrong ends the datagram at its place", "[dataplane][mixed]") {
  Appliance appliance({.workers = 2});
  const std::string good = set(key_of(0, 2), "a").bytes() + set(key_of(1, 2), "b").bytes();
  REQUIRE(appliance.ask(good + "garbage that is no request at all").size() == 2);
  REQUIRE(appliance.sum(&Counters::drop_bad_magic) == 1);
  REQUIRE(appliance.ask(good + get(key_of(0, 2)).bytes().substr(0, 20)).size() == 2);
  REQUIRE(appliance.sum(&Counters::drop_truncated) == 1);
  Request wrong = get(key_of(1, 2));
  wrong.extras = "1234";
  const auto answers = appliance.ask(good + wrong.with_opaque(7).bytes() + get(key_of(0, 2)).bytes());
  REQUIRE(answers.size() == 3);
  REQUIRE(answers[2].status == 0x04);
  REQUIRE(answers[2].opaque == 7);
}

TEST_CASE("what is behind a request that was refused for the operator's reasons is still answered",
          "[dataplane][mixed]") {
  Appliance appliance({.workers = 2});
  gannet::abi::LiveConfig live;
  live.udp_admin = 0;
  live.udp_answer_bytes_max = 1000;
  appliance.configure(live);
  appliance.put(key_of(1, 2), std::string(1001, 'x'));
  appliance.put(key_of(0, 2), std::string(1000, 'y'));
  const auto answers =
      appliance.ask(flush().bytes() + get(key_of(1, 2)).bytes() + stat().bytes() + get(key_of(0, 2)).bytes());
  REQUIRE(answers.size() == 4);
  REQUIRE(answers[0].status == 0x20);
  REQUIRE(answers[1].status == 0x03);
  REQUIRE(answers[2].status == 0x20);
  REQUIRE(answers[3].value == std::string(1000, 'y'));
}

TEST_CASE("more mixed datagrams than there is room for wait their turn, and all are answered",
          "[dataplane][mixed][pressure]") {
  Appliance appliance({.workers = 4, .buffers = 2048, .spares = 8});
  for (std::uint32_t k = 0; k < 4; ++k) appliance.put(key_of(k, 4), std::string(k == 2 ? 6000 : 50, 'v'));
  constexpr std::uint32_t kDatagrams = 400;
  for (std::uint32_t i = 0; i < kDatagrams; ++i) {
    const std::string body = quiet_gets(4, 12) + noop().with_opaque(1000).bytes();
    appliance.deliver(udp("10.77.0.1:" + std::to_string(2000 + i), "10.77.0.2:11211")
                          .payload(datagram(static_cast<std::uint16_t>(i), body))
                          .frame(),
                      i % 2);
  }
  appliance.settle();
  REQUIRE(appliance.sent().size() == kDatagrams * (9 + 3 * 5 + 1));
  REQUIRE(appliance.drops() == 0);
}

TEST_CASE("where no spare packet ever comes, answers are lost, counted, and the last one still goes out",
          "[dataplane][mixed][pressure]") {
  Appliance appliance({.workers = 2, .buffers = 4, .spares = 1});
  for (std::uint32_t k = 0; k < 2; ++k) {
    appliance.put(key_of(k, 2), "v");
    appliance.endpoint(k).tx_limit(0);  // What is answered stays, so nothing comes back.
  }
  for (int round = 0; round < 2; ++round)
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, quiet_gets(2, 8))).frame());
  for (int turn = 0; turn < 2000; ++turn) appliance.turn();
  for (std::uint32_t k = 0; k < 2; ++k) appliance.endpoint(k).tx_limit(gannet::nicpipe::MemoryEndpoint::kNoLimit);
  appliance.settle();
  const std::size_t answers = appliance.sent().size();
  REQUIRE(answers >= 2);
  REQUIRE(appliance.sum(&Counters::drop_no_buffer) == 16 - answers);
  REQUIRE(answers < 16);
  REQUIRE(appliance.one(get(key_of(1, 2))).value == "v");
}

TEST_CASE("closing while others execute for us gives every packet and every pin back", "[dataplane][mixed]") {
  const int turns = GENERATE(0, 1, 2, 3, 5);
  Appliance appliance({.workers = 4, .release_at_once = false});
  for (std::uint32_t k = 0; k < 4; ++k) appliance.put(key_of(k, 4), std::string(k % 2 == 0 ? 20'000 : 1300, 'x'));
  for (std::uint32_t i = 0; i < 120; ++i) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211")
                          .payload(datagram(1, quiet_gets(4, 9) + flush().bytes() + quiet_gets(4, 3)))
                          .frame(),
                      i % 4);
  }
  for (std::uint32_t k = 0; k < 4; ++k) appliance.endpoint(k).tx_limit(3);
  for (int turn = 0; turn < turns; ++turn) appliance.turn();
  REQUIRE(appliance.close() == "");
}

}  // namespace
