/// Memcache over real TCP segments in memory: the appliance's engine and a client's engine, frame by frame.
#include <catch2/catch.hpp>
#include <random>

#include "tests/dataplane/tcp_client.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)

ApplianceOptions with_tcp(std::uint32_t workers, std::uint32_t queues = 0) {
  ApplianceOptions options;
  options.workers = workers;
  options.queues = queues;
  options.tcp = true;
  options.buffers = 16384;
  options.shard_bytes = 16u << 20;
  return options;
}

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 37 + (i >> 9)) & 0xff);
  return text;
}

TEST_CASE("a connection is served, small and large, and every buffer and pin comes back", "[dataplane][tcp]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  const bool gathers = GENERATE(true, false);
  ApplianceOptions options = with_tcp(workers);
  options.multi_segment = gathers;
  Appliance appliance(options);
  TcpClient client(appliance);
  const auto id = client.connect(40000);
  REQUIRE(client.ask(id, set("k", "v").bytes() + get("k").bytes())[1].value == "v");
  for (const std::size_t bytes : {1000u, 5000u, 200'000u}) {
    for (const char* key : {"one", "two", "three", "four"}) {
      const std::string value = pattern(bytes);
      const auto answers = client.ask(id, set(key, value).bytes() + get(key).bytes());
      REQUIRE(answers.size() == 2);
      REQUIRE(answers[0].status == 0);
      REQUIRE((answers[1].value == value));
    }
  }
  const auto sum = [&](auto counter) { return appliance.sum(counter); };
  REQUIRE(sum(&gannet::abi::WorkerCounters::answers_zero_copy) > 0);
  client.send(id, quit().bytes());
  REQUIRE(client.closes(id));
}

TEST_CASE("UDP and TCP see the same items", "[dataplane][tcp]") {
  Appliance appliance(with_tcp(2));
  TcpClient client(appliance);
  const auto id = client.connect(40001);
  for (int i = 0; i < 20; ++i) {
    const std::string key = "shared" + std::to_string(i);
    REQUIRE(client.ask(id, set(key, "over tcp").bytes())[0].status == 0);
    REQUIRE(appliance.one(get(key), {.address = "10.77.0.5:4000", .at = 1}).value == "over tcp");
    REQUIRE(appliance.one(set(key, "over udp"), {.address = "10.77.0.5:4000"}).status == 0);
    REQUIRE(client.ask(id, get(key).bytes())[0].value == "over udp");
  }
}

TEST_CASE("connections are dispatched by their 4-tuple where the device has one queue", "[dataplane][tcp]") {
  Appliance appliance(with_tcp(4, 1));
  TcpClient client(appliance);
  std::vector<TcpClient::ConnectionId> ids;
  for (std::uint16_t port = 41000; port < 41032; ++port) ids.push_back(client.connect(port));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string key = "key" + std::to_string(i);
    REQUIRE(client.ask(ids[i], set(key, std::to_string(i)).bytes() + get(key).bytes())[1].value == std::to_string(i));
  }
  int serving = 0;
  for (std::uint32_t k = 0; k < 4; ++k) serving += appliance.shared().worker[k].counters.requests.load() > 0 ? 1 : 0;
  REQUIRE(serving == 4);
}

/// How many of the frames carry TCP payload of ours, and the longest of them.
std::pair<std::size_t, std::size_t> payloads(const std::vector<Frame>& frames) {
  std::size_t count = 0, longest = 0;
  for (const Frame& frame : frames) {
    if (frame.size() <= 100 || frame[23] != std::byte{6}) continue;
    ++count;
    longest = std::max(longest, frame.size() - 14);
  }
  return {count, longest};
}

TEST_CASE("an ICMP error finds the worker of the connection it is about, whichever queue it came by",
          "[dataplane][tcp][icmp]") {
  const std::uint32_t workers = GENERATE(2u, 4u), queues = GENERATE(0u, 1u), at = GENERATE(0u, 1u);
  INFO(workers << " workers, " << queues << " queues, the connection on " << at);
  Appliance appliance(with_tcp(workers, queues));
  const std::uint32_t last = queues == 1 ? 0 : workers - 1;
  TcpClient client(appliance, "10.77.0.1", queues == 1 ? 0 : at);
  const auto id = client.connect(40010);
  REQUIRE(client.ask(id, set("k", pattern(200'000)).bytes())[0].status == 0);
  client.send(id, get("k").bytes());
  while (payloads(client.heard()).first == 0) client.turn();
  const std::vector<Frame> lost = client.heard();
  const auto [count, longest] = payloads(lost);
  REQUIRE(count > 0);
  REQUIRE(longest == 1500);
  const auto last_sent =
      std::find_if(lost.rbegin(), lost.rend(), [](const Frame& frame) { return frame.size() == 1514; });
  const auto error = port_unreachable("10.77.0.99", "10.77.0.2", *last_sent).icmp_type(3, 4).icmp_rest(1000);
  appliance.deliver(error.frame(), last);
  for (int i = 0; i < 20; ++i) appliance.turn();
  const auto [count_again, longest_again] = payloads(appliance.sent());
  REQUIRE(count_again > 0);
  REQUIRE(longest_again == 1000);
  REQUIRE(appliance.close() == "");
}

TEST_CASE("after a pause nothing is sent again before the frames that waited are heard", "[dataplane][tcp]") {
  using gannet::dataplane::kReceiveBurst, gannet::dataplane::kTimersWaitTurns;
  Appliance appliance(with_tcp(1));
  TcpClient client(appliance);
  const auto id = client.connect(40012);
  REQUIRE(client.ask(id, set("k", pattern(200)).bytes())[0].status == 0);
  client.send(id, get("k").bytes());
  for (int i = 0; i < 10 && payloads(client.heard()).first == 0; ++i) client.turn();
  REQUIRE(payloads(client.heard()).first == 1);
  const Frame noise(64);
  for (std::uint32_t i = 0; i < 20 * kReceiveBurst; ++i) appliance.deliver(noise);
  appliance.pause(200'000'000);
  client.send(id, get("k").bytes());  // It acknowledges the first answer, behind all that noise.
  std::size_t answers = payloads(client.heard()).first;
  for (std::uint32_t i = 0; i < 40; ++i) {
    client.turn();
    answers += payloads(client.heard()).first;
  }
  REQUIRE(answers == 1);
  // But a device that never runs dry does not stop time.
  appliance.pause(200'000'000);
  std::uint32_t turns = 0;
  for (answers = 0; answers == 0 && turns < 2 * kTimersWaitTurns; ++turns) {
    for (std::uint32_t i = 0; i < kReceiveBurst; ++i) appliance.deliver(noise);
    appliance.turn();
    answers += payloads(appliance.sent()).first;
  }
  REQUIRE(answers == 1);
  REQUIRE(turns > 1);
}

TEST_CASE("an ICMP error about nobody's connection goes round once and is counted", "[dataplane][tcp][icmp]") {
  Appliance appliance(with_tcp(4));
  TcpClient client(appliance);
  const auto id = client.connect(40011);
  const Frame ours = ip_packet("10.77.0.2", "10.77.0.1", 6).payload(std::string(40, 'x'));
  constexpr int kErrors = 100;  // More than may travel at once.
  for (int i = 0; i < kErrors; ++i)
    appliance.deliver(port_unreachable("10.77.0.99", "10.77.0.2", ours).icmp_type(3, 4).icmp_rest(1000).frame(), 1);
  appliance.settle();
  REQUIRE(appliance.sum(&gannet::abi::WorkerCounters::handed_over) == 0);
  REQUIRE(client.ask(id, set("k", "v").bytes() + get("k").bytes())[1].value == "v");
}

TEST_CASE("STAT over TCP tells the connections and knows every group", "[dataplane][tcp]") {
  Appliance appliance(with_tcp(2));
  TcpClient client(appliance);
  const auto id = client.connect(40002);
  std::map<std::string, std::string> stats;
  for (const Response& one : client.ask(id, stat().bytes())) stats[one.key] = one.value;
  REQUIRE(stats["curr_connections"] == "1");
  REQUIRE(stats["total_connections"] == "1");
  for (const char* group : {"settings", "items", "slabs", "sizes", "workers", "routing", "gannet"})
    REQUIRE(client.ask(id, stat(group).bytes()).back().status == 0);
  REQUIRE(client.ask(id, stat("reset").bytes()).size() == 1);
}

TEST_CASE("what is left of connections at the end is given back", "[dataplane][tcp]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  Appliance appliance(with_tcp(workers));
  TcpClient client(appliance);
  const std::string value = pattern(200'000);
  for (const char* key : {"a", "b", "c", "d"}) {
    const auto id = client.connect(static_cast<std::uint16_t>(42000 + key[0]));
    REQUIRE(client.ask(id, set(key, value).bytes())[0].status == 0);
    // Half a value, and answers that nobody takes.
    client.send(id, get(key).bytes() + get("d").bytes() + set(key, value).bytes().substr(0, 100'000));
  }
  REQUIRE(appliance.close() == "");
}

TEST_CASE("with SASL a datagram is not answered, and a connection after its password", "[dataplane][tcp][sasl]") {
  gannet::dataplane::SaslUsers users;
  REQUIRE(users.parse("ada:lovelace\n").empty());
  ApplianceOptions options = with_tcp(1);
  options.users = &users;
  Appliance appliance(options);
  TcpClient client(appliance);
  const auto id = client.connect(40003);
  REQUIRE(appliance.silent(get("k")));
  REQUIRE(appliance.sum(&gannet::abi::WorkerCounters::drop_auth) == 1);
  Request auth = noop().with_opcode(0x21);
  auth.key = "PLAIN";
  auth.value = std::string("\0ada\0lovelace", 13);
  REQUIRE(client.ask(id, auth.bytes() + set("k", "v").bytes())[1].status == 0);
}

}  // namespace
