/// Memcache over IPv6: the same bytes behind a longer header, over UDP and TCP.
#include <catch2/catch.hpp>

#include "tests/dataplane/tcp_client.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using Counters = gannet::abi::WorkerCounters;

ApplianceOptions with_ip6(std::uint32_t workers, std::uint32_t queues = 0) {
  ApplianceOptions options;
  options.workers = workers;
  options.queues = queues;
  options.ip6 = true;
  options.shard_bytes = 16u << 20;
  return options;
}

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 41 + (i >> 8)) & 0xff);
  return text;
}

TEST_CASE("datagrams over IPv6 are answered over IPv6, and both families see the same items", "[dataplane][ip6]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 3u);
  const std::uint32_t queues = GENERATE(0u, 1u);
  Appliance appliance(with_ip6(workers, queues));
  const Client six{.address = "[fd77::1]:40000"}, four;
  REQUIRE(appliance.one(set("from six", "ada"), six).status == 0);
  REQUIRE(appliance.one(get("from six"), four).value == "ada");
  REQUIRE(appliance.one(set("from four", "lovelace"), four).status == 0);
  REQUIRE(appliance.one(get("from four"), six).value == "lovelace");
  // Several requests in one datagram, whose keys belong to different workers.
  std::string many;
  for (int i = 0; i < 8; ++i) many += set("key" + std::to_string(i), std::to_string(i)).bytes();
  for (int i = 0; i < 8; ++i) many += get("key" + std::to_string(i)).bytes();
  const auto answers = appliance.ask(many, six);
  REQUIRE(answers.size() == 16);
  for (std::size_t i = 0; i < 8; ++i) REQUIRE(answers[8 + i].value == std::to_string(i));
}

TEST_CASE("an answer longer than a datagram is cut for the longer header where the MTU is small", "[dataplane][ip6]") {
  ApplianceOptions options = with_ip6(2);
  options.mtu = GENERATE(std::uint16_t{1280}, std::uint16_t{1500});
  options.multi_segment = GENERATE(true, false);
  Appliance appliance(options);
  for (const std::size_t bytes : {100u, 1190u, 1191u, 1192u, 1193u, 1224u, 1400u, 5000u, 70'000u}) {
    const std::string key = "value of " + std::to_string(bytes);
    appliance.put(key, pattern(bytes));
    for (const char* address : {"[fd77::1]:40000", "10.77.0.1:40000"}) {
      INFO(bytes << " bytes to " << address);
      REQUIRE((appliance.one(get(key), {.address = address}).value == pattern(bytes)));
    }
  }
}

TEST_CASE("IPv6 sources are refused and allowed by the live configuration", "[dataplane][ip6]") {
  Appliance appliance(with_ip6(1));
  const Client stranger{.address = "[fd78::1]:40000"}, neighbour{.address = "[fd77::1]:40000"};
  REQUIRE(appliance.ask(noop(), stranger).empty());
  REQUIRE(appliance.ask(noop(), neighbour).size() == 1);
  gannet::abi::LiveConfig live;
  live.prefixes = 1;
  live.allow[0] = {.address = {0xfd, 0x78}, .bits = 64};
  appliance.configure(live);
  REQUIRE(appliance.ask(noop(), stranger).size() == 1);
  REQUIRE(appliance.ask(noop(), neighbour).empty());
  REQUIRE(appliance.ask(noop()).empty());
  REQUIRE(appliance.sum(&Counters::drop_source_refused) == 3);
}

TEST_CASE("neighbours that ask who we are are answered and counted", "[dataplane][ip6]") {
  Appliance appliance(with_ip6(1));
  appliance.deliver(neighbour_solicitation("fd77::1", Appliance::kAddress6).frame());
  appliance.deliver(neighbour_solicitation("fd77::1", Appliance::kAddress6).ttl(254).frame());
  appliance.deliver(neighbour_advertisement("fd77::1", Appliance::kAddress6, "fd77::1")
                        .to_mac(mac_of(ipv4(Appliance::kAddress)))
                        .frame());
  appliance.settle();
  REQUIRE(appliance.sent().size() == 1);
  REQUIRE(appliance.sum(&Counters::ndp_replies) == 1);
  REQUIRE(appliance.sum(&Counters::ndp_learned) == 1);
  REQUIRE(appliance.sum(&Counters::drop_ndp) == 1);
}

TEST_CASE("a TCP connection over IPv6 is served, small and large, beside one over IPv4", "[dataplane][ip6][tcp]") {
  ApplianceOptions options = with_ip6(GENERATE(1u, 2u), GENERATE(0u, 1u));
  options.tcp = true;
  options.buffers = 16384;
  Appliance appliance(options);
  TcpClient six(appliance, "fd77::1"), four(appliance, "10.77.0.9");
  const auto id6 = six.connect(40000);
  REQUIRE(six.ask(id6, set("k", "v").bytes() + get("k").bytes())[1].value == "v");
  const auto id4 = four.connect(40000);
  REQUIRE(four.ask(id4, get("k").bytes())[0].value == "v");
  for (const std::size_t bytes : {1000u, 5000u, 200'000u}) {
    for (const char* key : {"one", "two", "three"}) {
      const std::string value = pattern(bytes);
      const auto answers = six.ask(id6, set(key, value).bytes() + get(key).bytes());
      REQUIRE(answers.size() == 2);
      REQUIRE((answers[1].value == value));
    }
  }
  six.send(id6, quit().bytes());
  REQUIRE(six.closes(id6));
}

}  // namespace
