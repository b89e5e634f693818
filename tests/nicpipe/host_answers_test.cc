// What the host answers by itself: ARP, ping, "no such port". Replies are compared whole.
#include <catch2/catch.hpp>

#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Drop;
using nicpipe::Mac;
using nicpipe::Verdict;

namespace {

std::string said(const Fate& fate) {
  return describe(fate.frame);
}
std::string words(const Frame& frame) {
  return describe(frame);
}

TEST_CASE("who has our address is answered to whoever asked", "[nicpipe][host][arp]") {
  TestHost us;
  const Fate fate = us.receive(arp_request(kPeer, kUs));
  REQUIRE(fate.verdict == Verdict::kArpReply);
  REQUIRE(us.books_right);
  REQUIRE(said(fate) == words(arp_reply(kUs, kPeer)));
  REQUIRE(fate.packet.flags == 0);
}

TEST_CASE("an ARP reply carries the request's VLAN tag, and none of its padding", "[nicpipe][host][arp]") {
  TestHost us;
  REQUIRE(said(us.receive(arp_request(kPeer, kUs).vlan(0x2009).padded())) == words(arp_reply(kUs, kPeer).vlan(0x2009)));
  REQUIRE(said(us.receive(arp_request(kPeer, kUs).trailing(18))) == words(arp_reply(kUs, kPeer)));
  REQUIRE(us.books_right);
}

TEST_CASE("a unicast ARP request, as a neighbour's confirmation sends it, is answered too", "[nicpipe][host][arp]") {
  TestHost us;
  const Fate fate = us.receive(arp_request(kPeer, kUs).to_mac(mac_of(ipv4(kUs))));
  REQUIRE(said(fate) == words(arp_reply(kUs, kPeer)));
}

TEST_CASE("an address probe learns that the address is taken, and is not remembered", "[nicpipe][host][arp]") {
  TestHost us;
  const Mac prober = mac("02:11:22:33:44:55");
  Frame probe = arp_request("0.0.0.0", kUs).from_mac(prober);
  nicpipe::store_mac(probe.data() + 14 + 8, prober);
  const Fate fate = us.receive(probe);
  REQUIRE(fate.verdict == Verdict::kArpReply);
  Frame expected = arp_reply(kUs, "0.0.0.0").to_mac(prober);
  nicpipe::store_mac(expected.data() + 14 + 18, prober);
  REQUIRE(said(fate) == words(expected));
  REQUIRE(us.host.neighbours().size(us.now.mono_ns) == 0);
}

TEST_CASE("whoever asks for us is remembered, and so is whoever answers us", "[nicpipe][host][arp]") {
  TestHost us;
  Mac found;
  REQUIRE(us.receive(arp_request(kPeer, kUs)).verdict == Verdict::kArpReply);
  REQUIRE(us.host.neighbours().find(ipv4(kPeer), us.now.mono_ns, found));
  REQUIRE(found == mac_of(ipv4(kPeer)));
  REQUIRE_FALSE(us.host.neighbours().find(ipv4("10.77.0.9"), us.now.mono_ns, found));
  REQUIRE(us.receive(arp_reply("10.77.0.9", kUs)).verdict == Verdict::kArpLearned);
  REQUIRE(us.host.neighbours().find(ipv4("10.77.0.9"), us.now.mono_ns, found));
  REQUIRE(found == mac_of(ipv4("10.77.0.9")));
}

TEST_CASE("ARP between others only refreshes whom we know already", "[nicpipe][host][arp]") {
  TestHost us;
  Mac found;
  REQUIRE(us.receive(arp_request("10.77.0.5", "10.77.0.6")).drop == Drop::kArp);
  REQUIRE_FALSE(us.host.neighbours().find(ipv4("10.77.0.5"), us.now.mono_ns, found));
  REQUIRE(us.receive(arp_request("10.77.0.5", kUs)).verdict == Verdict::kArpReply);
  Frame moved = arp_request("10.77.0.5", "10.77.0.6");
  const Mac other = mac("02:99:99:99:99:99");
  nicpipe::store_mac(moved.data() + 14 + 8, other);
  REQUIRE(us.receive(moved).drop == Drop::kArp);
  REQUIRE(us.host.neighbours().find(ipv4("10.77.0.5"), us.now.mono_ns, found));
  REQUIRE(found == other);
}

TEST_CASE("a neighbour outside our subnet is answered but not remembered", "[nicpipe][host][arp]") {
  TestHost us;
  REQUIRE(us.receive(arp_request("10.78.0.1", kUs)).verdict == Verdict::kArpReply);
  REQUIRE(us.host.neighbours().size(us.now.mono_ns) == 0);
}

TEST_CASE("a ping comes back whole at every size that fits", "[nicpipe][host][icmp]") {
  TestHost us;
  for (const std::size_t bytes : {0u, 1u, 17u, 18u, 19u, 56u, 57u, 999u, 1471u, 1472u, 1900u}) {
    Frame data(bytes);
    for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 7);
    INFO(bytes << " data bytes");
    us.now.mono_ns += 1'000'000;
    const Fate fate = us.receive(echo_request(kPeer, kUs, 0x1234, 7).payload(Bytes(data)).padded());
    REQUIRE(fate.verdict == Verdict::kEchoReply);
    REQUIRE(us.books_right);
    REQUIRE(said(fate) == words(echo_reply(kUs, kPeer, 0x1234, 7).payload(Bytes(data))));
    REQUIRE(fault_of(fate.frame).empty());
  }
}

TEST_CASE("a ping's reply keeps tag and type of service and starts its own TTL", "[nicpipe][host][icmp]") {
  TestHost us;
  const Fate fate =
      us.receive(echo_request(kPeer, kUs, 1, 2).payload("ping").vlan(0x4003).tos(0xb8).ttl(3).id(99).fragment(0));
  REQUIRE(said(fate) == words(echo_reply(kUs, kPeer, 1, 2).payload("ping").vlan(0x4003).tos(0xb8)));
}

TEST_CASE("a ping with IP options is answered without them", "[nicpipe][host][icmp]") {
  TestHost us;
  const Fate fate = us.receive(echo_request(kPeer, kUs, 1, 2).payload("record me").ip_options(40).vlan(3));
  REQUIRE(fate.verdict == Verdict::kEchoReply);
  REQUIRE(us.books_right);
  REQUIRE(said(fate) == words(echo_reply(kUs, kPeer, 1, 2).payload("record me").vlan(3)));
}

TEST_CASE("a ping of nothing but zeros is answered with the checksum of zeros", "[nicpipe][host][icmp]") {
  TestHost us;
  const Fate fate = us.receive(echo_request(kPeer, kUs, 0, 0));
  REQUIRE(said(fate) == words(echo_reply(kUs, kPeer, 0, 0)));
  REQUIRE(fault_of(fate.frame).empty());
}

TEST_CASE("a ping's checksum stays right when the sum is at the edge of ones' complement", "[nicpipe][host][icmp]") {
  TestHost us;
  for (unsigned rest = 0xf000; rest <= 0xffff; rest += 0x0005) {
    us.now.mono_ns += 1'000'000;
    const Fate fate = us.receive(echo_request(kPeer, kUs, static_cast<std::uint16_t>(rest), 0));
    INFO("identifier " << rest);
    REQUIRE(fate.verdict == Verdict::kEchoReply);
    REQUIRE(fault_of(fate.frame).empty());
  }
}

TEST_CASE("pings from anywhere are answered, but no faster than the limit", "[nicpipe][host][icmp]") {
  auto config = host_config();
  config.echoes_per_s = 1000;
  TestHost us(config);
  const Frame ping = echo_request("192.0.2.1", kUs, 1, 1);
  int answered = 0;
  for (int i = 0; i < 1000; ++i) answered += us.receive(ping).verdict == Verdict::kEchoReply;
  REQUIRE(answered == 200);
  REQUIRE(us.receive(ping).drop == Drop::kIcmp);
  us.now.mono_ns += 3'000'000;
  answered = 0;
  for (int i = 0; i < 10; ++i) answered += us.receive(ping).verdict == Verdict::kEchoReply;
  REQUIRE(answered == 3);
}

TEST_CASE("a port nobody serves is told so, quoting the datagram's header and first bytes", "[nicpipe][host][icmp]") {
  TestHost us;
  const Frame asked = udp(kPeerPort, "10.77.0.2:9").payload("is anybody there?").tos(0x10).id(77).ttl(9);
  const Fate fate = us.receive(asked);
  REQUIRE(fate.verdict == Verdict::kUnreachable);
  REQUIRE(us.books_right);
  REQUIRE(said(fate) == words(port_unreachable(kUs, kPeer, asked)));
  REQUIRE(fault_of(fate.frame).empty());
  REQUIRE(fate.packet.flags == 0);
}

TEST_CASE("port unreachable works with tag, options, an empty datagram, and wherever the buffer has room",
          "[nicpipe][host][icmp]") {
  const Frame plain = udp(kPeerPort, "10.77.0.2:9");
  const Frame padded = udp(kPeerPort, "10.77.0.2:9").padded();
  const Frame full = udp(kPeerPort, "10.77.0.2:9").payload("0123456789").vlan(0xa123).ip_options(40);
  struct Room {
    std::uint16_t headroom, tailroom;
  };
  for (const Room room : {Room{128, 0}, Room{28, 0}, Room{27, 28}, Room{0, 28}}) {
    TestHost us;
    us.headroom = room.headroom;
    us.tailroom = room.tailroom;
    INFO("headroom " << room.headroom << ", tailroom " << room.tailroom);
    REQUIRE(said(us.receive(plain)) == words(port_unreachable(kUs, kPeer, plain)));
    REQUIRE(us.books_right);
    REQUIRE(said(us.receive(padded)) == words(port_unreachable(kUs, kPeer, plain)));
    REQUIRE(us.books_right);
    REQUIRE(said(us.receive(full)) == words(port_unreachable(kUs, kPeer, full).vlan(0xa123)));
    REQUIRE(us.books_right);
  }
}

TEST_CASE("port unreachable messages are rate limited, and a full buffer sends none", "[nicpipe][host][icmp]") {
  TestHost us;
  const Frame asked = udp(kPeerPort, "10.77.0.2:9");
  int told = 0;
  for (int i = 0; i < 500; ++i) told += us.receive(asked).verdict == Verdict::kUnreachable;
  REQUIRE(told == 20);
  REQUIRE(us.receive(asked).drop == Drop::kUdpPort);
  us.now.mono_ns += 1'000'000'000;
  us.headroom = 0;
  us.tailroom = 27;
  REQUIRE(us.receive(asked).drop == Drop::kUdpPort);
  REQUIRE(us.books_right);
}

TEST_CASE("no ICMP error ever follows a broadcast, a multicast, a fragment or a refused source",
          "[nicpipe][host][icmp]") {
  TestHost us;
  const Mac group = mac("01:00:5e:00:00:01");
  REQUIRE(us.receive(udp(kPeerPort, "10.77.0.2:9").to_mac(nicpipe::kBroadcastMac)).drop == Drop::kNotOurs);
  REQUIRE(us.receive(udp(kPeerPort, "10.77.0.2:9").to_mac(group)).drop == Drop::kNotOurs);
  REQUIRE(us.receive(udp(kPeerPort, "10.77.0.255:9").to_mac(mac_of(ipv4(kUs)))).drop == Drop::kNotOurs);
  REQUIRE(us.receive(udp(kPeerPort, "224.0.0.1:9").to_mac(mac_of(ipv4(kUs)))).drop == Drop::kNotOurs);
  REQUIRE(us.receive(udp(kPeerPort, "10.77.0.2:9").fragment(0x2000)).drop == Drop::kIpFragment);
  REQUIRE(us.receive(udp("192.0.2.1:4000", "10.77.0.2:9")).drop == Drop::kSourceRefused);
  REQUIRE(us.receive(udp("10.77.0.1:53", "10.77.0.2:9")).drop == Drop::kSourceRefused);
  REQUIRE(us.receive(udp(kPeerPort, "10.77.0.2:9").bad_checksum()).drop == Drop::kUdpChecksum);
}

}  // namespace
