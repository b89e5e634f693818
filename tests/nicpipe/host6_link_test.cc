// What we say on an IPv6 link of ourselves: whose address this is (RFC 4862), what groups we hear (RFC 3810); and
// fragments that are whole packets (RFC 6946).
#include <array>
#include <catch2/catch.hpp>

#include "nicpipe/memory_endpoint.h"
#include "nicpipe/mld.h"
#include "nicpipe/ndp.h"
#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using std::string_view_literals::operator""sv;
using nicpipe::Drop;
using nicpipe::Verdict;

namespace {

constexpr std::string_view kRouterAlert = "\x05\x02\0\0\x01\0"sv;
constexpr std::string_view kQuerier = "fe80::99", kOurGroup = "ff02::1:ff00:2", kLocalGroup = "ff02::1:ff4d:2";

/// A report of our two groups; `type` 2: a state, 4: a change.
FrameBuilder report(std::uint8_t type, const std::vector<std::string_view>& groups = {kLocalGroup, kOurGroup}) {
  Frame records;
  for (const std::string_view group : groups) {
    records.resize(records.size() + 20);
    std::byte* const record = records.data() + records.size() - 20;
    record[0] = std::byte{type};
    nicpipe::store_ipv6(record + 4, ip(group));
  }
  return echo_request(kUsLocal, "ff02::16", 0, 0)
      .icmp_type(143, 0)
      .icmp_rest(static_cast<std::uint32_t>(groups.size()))
      .ttl(1)
      .extension(0, 8, as_bytes(kRouterAlert))
      .from_mac(kOurMac)
      .payload(records);
}

/// A query; version 1 without the last four bytes.
FrameBuilder query(std::string_view group = "::", std::string_view to = "ff02::1", std::size_t version = 2) {
  Frame body(version == 2 ? 20 : 16);
  nicpipe::store_ipv6(body.data(), ip(group));
  return echo_request(kQuerier, to, 10'000, 0)
      .icmp_type(130, 0)
      .ttl(1)
      .extension(0, 8, as_bytes(kRouterAlert))
      .payload(body);
}

/// A frame in words, built or received.
std::string words(const Frame& frame) {
  return describe(frame);
}

/// A fragment header: what follows, and its second half word.
Frame fragment_header(std::uint16_t field) {
  Frame body(6);
  store_be<std::uint16_t>(body.data(), field);
  body[5] = std::byte{0x42};  // Identification.
  return body;
}

template <class Write>
Frame made(Write write) {
  nicpipe::MemoryPool pool({.buffers = 1});
  nicpipe::MemoryEndpoint endpoint(pool, {});
  nicpipe::Packet packet;
  REQUIRE(endpoint.alloc({&packet, 1}) == 1);
  write(packet);
  REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
  return endpoint.take_sent().at(0);
}

TEST_CASE("who asks what groups we hear is told those of both addresses", "[nicpipe][host6][mld]") {
  TestHost us(host6_config());
  for (const FrameBuilder& asked :
       {query(), query(kOurGroup, kOurGroup), query(kLocalGroup, kLocalGroup), query("::", "ff02::1", 1)}) {
    const Fate fate = us.receive(asked);
    REQUIRE(fate.verdict == Verdict::kNdpReply);
    REQUIRE(us.books_right);
    REQUIRE(fault_of(fate.frame).empty());
    REQUIRE(words(fate.frame) == words(report(2)));
    const Fate tagged = us.receive(FrameBuilder(asked).vlan(9));
    REQUIRE(words(tagged.frame) == words(report(2).vlan(9)));
  }
}

TEST_CASE("queries that come from elsewhere or ask for others' groups are not answered", "[nicpipe][host6][mld]") {
  TestHost us(host6_config());
  REQUIRE(us.receive(query().ttl(2)).drop == Drop::kNdp);
  REQUIRE(us.receive(query("ff02::1:ff00:3", "ff02::1")).drop == Drop::kNdp);
  REQUIRE(us.receive(query().bad_checksum()).drop == Drop::kNdp);
  REQUIRE(us.receive(query().payload(Frame(15))).drop == Drop::kNdp);
  REQUIRE(us.receive(echo_request(kPeer6, "ff02::1", 0, 0).icmp_type(130, 0).ttl(1).payload(Frame(20))).drop ==
          Drop::kNdp);
  us.tailroom = 19;  // 24 bytes longer than a version 2 query with its option; the tag makes no difference.
  REQUIRE(us.receive(query()).drop == Drop::kNdp);
  us.tailroom = 20;
  REQUIRE(us.receive(query()).verdict == Verdict::kNdpReply);
}

TEST_CASE("queries are answered no faster than pings", "[nicpipe][host6][mld]") {
  auto config = host6_config();
  config.echoes_per_s = 10;
  TestHost us(config);
  int answered = 0;
  for (int i = 0; i < 500; ++i) answered += us.receive(query()).verdict == Verdict::kNdpReply;
  REQUIRE(answered == 200);
}

TEST_CASE("a report of ours names one group where both addresses have the same", "[nicpipe][host6][mld]") {
  using nicpipe::MldReport;
  for (const std::uint16_t vlan : {0, 17}) {
    const auto of = [vlan](std::string_view address, MldReport kind) {
      return words(made([&](auto& packet) {
        write_mld_report(packet, {{}, kOurMac, vlan, vlan != 0}, ip(address), kind);
      }));
    };
    FrameBuilder two = report(4), one = report(2, {kLocalGroup});
    if (vlan != 0) two.vlan(vlan), one.vlan(vlan);
    REQUIRE(of(kUs6, MldReport::kChange) == words(two));
    REQUIRE(of("fd77::4d:2", MldReport::kState) == words(one));
  }
}

TEST_CASE("we ask whether an address is free without saying who we are", "[nicpipe][host6][ndp]") {
  Frame target(16);
  nicpipe::store_ipv6(target.data(), ip(kUs6));
  for (const std::uint16_t vlan : {0, 17}) {
    FrameBuilder asked = neighbour_solicitation("::", kUs6).from_mac(kOurMac).payload(target);
    if (vlan != 0) asked.vlan(vlan);
    const Frame probe = made([&](auto& packet) { write_address_probe(packet, kOurMac, ip(kUs6), vlan); });
    REQUIRE(fault_of(probe).empty());
    REQUIRE(words(probe) == words(asked));
    // Another host that has the address answers it as we would.
    auto other = host6_config();
    other.mac = mac("02:00:00:00:00:77");
    REQUIRE(TestHost(other).receive(probe).verdict == Verdict::kNdpReply);
    REQUIRE(TestHost(host6_config()).receive(probe).drop == Drop::kNdp);  // Our own, come back.
  }
}

TEST_CASE("who claims an address of ours is a conflict, whichever family; our own words are none",
          "[nicpipe][host6][ndp]") {
  TestHost us(host6_config());
  const auto rival = mac("02:00:00:00:00:77");
  for (const std::string_view address : {kUs6, kUsLocal}) {
    const auto told = neighbour_advertisement(address, "ff02::1", address, 0x2000'0000);
    REQUIRE(us.receive(FrameBuilder(told).from_mac(rival)).drop == Drop::kAddressConflict);
    REQUIRE(us.receive(neighbour_solicitation(address, kUs6).from_mac(rival)).drop == Drop::kAddressConflict);
    REQUIRE(us.receive(neighbour_solicitation(address, kUs6).from_mac(kOurMac)).drop == Drop::kNdp);
    REQUIRE(us.receive(FrameBuilder(told).from_mac(kOurMac)).verdict == Verdict::kDrop);
    REQUIRE(us.receive(FrameBuilder(told).from_mac(kOurMac)).drop != Drop::kAddressConflict);
  }
  auto other = host6_config();
  other.mac = rival;
  REQUIRE(TestHost(other).receive(arp_request(kUs, kPeer)).drop == Drop::kAddressConflict);
  REQUIRE(TestHost(other).receive(arp_request(kUs, kUs)).drop == Drop::kAddressConflict);
  REQUIRE(us.receive(arp_request(kUs, kUs).from_mac(kOurMac)).drop == Drop::kArp);
  REQUIRE(us.receive(arp_request(kPeer, kUs)).verdict == Verdict::kArpReply);
}

TEST_CASE("a fragment that is the whole packet is taken as if it were none", "[nicpipe][host6]") {
  auto config = host6_config();
  config.tcp = true;
  TestHost us(config);
  const Frame whole = fragment_header(0), reserved = fragment_header(0x0006), more = fragment_header(1),
              later = fragment_header(0x0008);
  const auto asked = udp(kPeerPort6, kUsPort6).to_mac(kOurMac).payload("payload");
  for (const Frame& header : {whole, reserved}) {
    for (const Frame& frame : {FrameBuilder(asked).extension(44, 8, header).frame(),
                               FrameBuilder(asked).extension(0).extension(60, 16).extension(44, 8, header).frame(),
                               FrameBuilder(asked).extension(44, 8, header).extension(60, 8).frame()}) {
      const Fate fate = us.receive(frame);
      REQUIRE(fate.verdict == Verdict::kUdp);
      REQUIRE(us.books_right);
      REQUIRE(words(fate.frame) == words(asked));
    }
  }
  const auto segment = ip_packet(kPeer6, kUs6, 6).to_mac(kOurMac).payload("a segment, for all we know");
  REQUIRE(words(us.receive(FrameBuilder(segment).extension(44, 8, whole)).frame) == words(segment));
  const auto ping = echo_request(kPeer6, kUs6, 7, 9).to_mac(kOurMac).payload("ping");
  REQUIRE(us.receive(FrameBuilder(ping).extension(44, 8, whole)).verdict == Verdict::kEchoReply);
  for (const Frame& header : {more, later})
    REQUIRE(us.receive(FrameBuilder(asked).extension(44, 8, header)).drop == Drop::kIpFragment);
  REQUIRE(us.receive(FrameBuilder(asked).extension(44, 8, whole).extension(44, 8, whole)).drop == Drop::kIp6Extension);
  // RFC 6980: neighbour discovery never comes in fragments.
  REQUIRE(us.receive(neighbour_solicitation(kPeer6, kUs6).extension(44, 8, whole)).drop == Drop::kNdp);
}

}  // namespace
