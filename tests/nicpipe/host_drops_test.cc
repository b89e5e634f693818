// Every reason to drop a frame: at least one frame that meets it, and nothing else.
#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Drop;
using nicpipe::Verdict;

namespace {

struct Case {
  std::string what;
  Drop why;
  Frame frame;
};

FrameBuilder request() {
  return udp(kPeerPort, kUsPort).payload("payload");
}

Frame with(Frame frame, std::size_t at, std::uint8_t value) {
  frame.at(at) = std::byte{value};
  return frame;
}

Frame without_sender_mac(Frame frame) {
  std::fill_n(frame.begin() + 22, 6, std::byte{0});
  return frame;
}

/// An address in the IPv4 source field, the header checksum made to fit (udp() refuses nothing, but its MAC follows the
/// address).
Frame from(std::string_view address) {
  return udp(std::string(address) + ":4000", kUsPort).from_mac(mac_of(ipv4(kPeer))).payload("x");
}

std::vector<Case> cases() {
  const nicpipe::Mac us = mac_of(ipv4(kUs));
  return {
      {"no bytes at all", Drop::kRunt, {}},
      {"13 bytes", Drop::kRunt, request().cut(13)},
      {"an Ethernet header alone", Drop::kRunt, request().cut(14)},
      {"a tag cut short", Drop::kRunt, request().vlan(1).cut(17)},
      {"a tagged Ethernet header alone", Drop::kRunt, request().vlan(1).cut(18)},
      {"an IPv4 header cut short", Drop::kRunt, request().cut(33)},
      {"IP options that go beyond the frame", Drop::kRunt, request().ip_options(40).cut(14 + 59)},
      {"ARP cut short", Drop::kRunt, arp_request(kPeer, kUs).cut(41)},
      {"another MAC", Drop::kNotOurs, request().to_mac(mac("02:00:0a:4d:00:03"))},
      {"IPv4 to the broadcast MAC", Drop::kNotOurs, request().to_mac(nicpipe::kBroadcastMac)},
      {"a multicast MAC", Drop::kNotOurs, request().to_mac(mac("33:33:00:00:00:01"))},
      {"another address at our MAC", Drop::kNotOurs, udp(kPeerPort, "10.77.0.3:11211").to_mac(us)},
      {"the subnet's broadcast at our MAC", Drop::kNotOurs, udp(kPeerPort, "10.77.0.255:11211").to_mac(us)},
      {"LLDP", Drop::kEthertype, request().ethertype(0x88cc)},
      {"an 802.3 length", Drop::kEthertype, request().ethertype(46)},
      {"a second VLAN tag", Drop::kEthertype, request().vlan(5).ethertype(0x8100)},
      {"IP version 6 under IPv4's type", Drop::kIpHeader, request().version(6)},
      {"IP version 0", Drop::kIpHeader, request().version(0)},
      {"an IP header of 16 bytes", Drop::kIpHeader, request().header_words(4)},
      {"a total length under the header's", Drop::kIpHeader, request().total_length(19)},
      {"a total length under a header with options", Drop::kIpHeader, request().ip_options(8).total_length(27)},
      {"a total length beyond the frame", Drop::kIpHeader, request().total_length(36)},
      {"source 0.0.0.0", Drop::kIpHeader, from("0.0.0.0")},
      {"source in 0/8", Drop::kIpHeader, from("0.1.2.3")},
      {"source loopback", Drop::kIpHeader, from("127.0.0.1")},
      {"source multicast", Drop::kIpHeader, from("224.0.0.1")},
      {"source reserved", Drop::kIpHeader, from("240.0.0.1")},
      {"source limited broadcast", Drop::kIpHeader, from("255.255.255.255")},
      {"source our subnet's broadcast", Drop::kIpHeader, from("10.77.0.255")},
      {"source our subnet itself", Drop::kIpHeader, from("10.77.0.0")},
      {"source our own address", Drop::kIpHeader, from("10.77.0.2")},
      {"IPv4 checksum", Drop::kIpChecksum, request().bad_ip_checksum()},
      {"IPv4 checksum under options", Drop::kIpChecksum, request().ip_options(4).bad_ip_checksum()},
      {"a first fragment", Drop::kIpFragment, request().fragment(0x2000)},
      {"a last fragment", Drop::kIpFragment, request().fragment(0x0001)},
      {"a fragment that forbids fragments", Drop::kIpFragment, request().fragment(0x6000)},
      {"a fragment of a ping", Drop::kIpFragment, echo_request(kPeer, kUs, 1, 1).fragment(0x2000)},
      {"TCP", Drop::kIpProtocol, ip_packet(kPeer, kUs, 6).payload("01234567890123456789")},
      {"protocol 255", Drop::kIpProtocol, ip_packet(kPeer, kUs, 255)},
      {"an IP datagram too short for UDP", Drop::kUdpHeader, ip_packet(kPeer, kUs, 17).payload("1234567").padded()},
      {"UDP length 7", Drop::kUdpHeader, request().udp_length(7)},
      {"UDP length 0", Drop::kUdpHeader, request().udp_length(0)},
      {"UDP length beyond the datagram", Drop::kUdpHeader, request().udp_length(16).trailing(20)},
      {"a source outside our subnet", Drop::kSourceRefused, from("10.77.1.1")},
      {"source port 1023", Drop::kSourceRefused, udp("10.77.0.1:1023", kUsPort)},
      {"source port 0", Drop::kSourceRefused, udp("10.77.0.1:0", kUsPort)},
      {"a group source MAC", Drop::kSourceRefused, request().from_mac(mac("01:00:5e:00:00:01"))},
      {"ARP from a broadcast MAC", Drop::kSourceRefused, arp_request(kPeer, kUs).from_mac(nicpipe::kBroadcastMac)},
      {"UDP checksum", Drop::kUdpChecksum, request().bad_checksum()},
      {"a port that is not served, limit used up", Drop::kUdpPort, udp(kPeerPort, "10.77.0.2:11214")},
      {"port 0, limit used up", Drop::kUdpPort, udp(kPeerPort, "10.77.0.2:0")},
      {"ARP for another address", Drop::kArp, arp_request(kPeer, "10.77.0.9")},
      {"ARP that announces its sender", Drop::kArp, arp_request(kPeer, kPeer)},
      {"ARP of another hardware", Drop::kArp, with(arp_request(kPeer, kUs), 15, 6)},
      {"ARP for another protocol", Drop::kArp, with(arp_request(kPeer, kUs), 16, 9)},
      {"ARP with other address lengths", Drop::kArp, with(arp_request(kPeer, kUs), 18, 8)},
      {"ARP operation 3", Drop::kArp, arp_request(kPeer, kUs).arp_operation(3)},
      {"ARP operation 0", Drop::kArp, arp_request(kPeer, kUs).arp_operation(0)},
      {"an ARP reply to everybody", Drop::kArp, arp_reply(kPeer, kUs).to_mac(nicpipe::kBroadcastMac)},
      {"ARP whose sender claims our address", Drop::kArp, arp_request(kUs, kUs).from_mac(mac_of(ipv4(kPeer)))},
      {"ARP whose sender has a group MAC", Drop::kArp, with(arp_request(kPeer, kUs), 22, 1)},
      {"ARP whose sender has no MAC", Drop::kArp, without_sender_mac(arp_request(kPeer, kUs))},
      {"ARP whose sender address is multicast", Drop::kArp, with(arp_request(kPeer, kUs), 28, 224)},
      {"ARP whose sender is the subnet's broadcast", Drop::kArp, with(arp_request(kPeer, kUs), 31, 255)},
      {"an IP datagram too short for ICMP", Drop::kIcmp, ip_packet(kPeer, kUs, 1).payload("1234567").padded()},
      {"a ping of seven bytes", Drop::kIcmp, ip_packet(kPeer, kUs, 1).payload(as_bytes({"\x08\0\xf7\xff\0\0\0", 7}))},
      {"a ping's reply", Drop::kIcmp, echo_reply(kPeer, kUs, 1, 1)},
      {"a timestamp request", Drop::kIcmp, echo_request(kPeer, kUs, 1, 1).icmp_type(13, 0)},
      {"a ping with a code", Drop::kIcmp, echo_request(kPeer, kUs, 1, 1).icmp_type(8, 1)},
      {"an unreachable message", Drop::kIcmp, port_unreachable(kPeer, kUs, request())},
      {"a ping's checksum", Drop::kIcmp, echo_request(kPeer, kUs, 1, 1).payload("x").bad_checksum()},
  };
}

FrameBuilder request6() {
  return udp(kPeerPort6, kUsPort6).to_mac(kOurMac).payload("payload");
}
FrameBuilder ping6() {
  return echo_request(kPeer6, kUs6, 1, 1).to_mac(kOurMac).payload("x");
}
FrameBuilder from6(std::string_view port) {
  return udp(port, kUsPort6).to_mac(kOurMac).from_mac(mac_of(ip(kPeer6))).payload("x");
}
FrameBuilder asks() {
  return neighbour_solicitation(kPeer6, kUs6);
}
FrameBuilder tells(std::string_view target = kPeer6) {
  return neighbour_advertisement(kPeer6, kUs6, target).to_mac(kOurMac);
}
/// The message's options replaced.
Frame asks_with(std::string_view options, std::string_view source = kPeer6) {
  Frame body(16);
  nicpipe::store_ipv6(body.data(), ip(kUs6));
  for (const char byte : options) body.push_back(static_cast<std::byte>(byte));
  return neighbour_solicitation(source, kUs6).payload(body);
}

/// RFC 8200, 4861 and 4443.
std::vector<Case> cases6() {
  using std::string_view_literals::operator""sv;
  const Bytes jumbo = as_bytes("\xc2\x04\0\x01\0\0"sv), too_long = as_bytes("\x01\x05\0\0\0\0"sv);
  const auto group = mac("33:33:ff:00:00:02");
  return {
      {"an IPv6 header cut short", Drop::kRunt, request6().cut(14 + 39)},
      {"IP version 4 under IPv6's type", Drop::kIp6Header, request6().version(4)},
      {"a payload beyond the frame", Drop::kIp6Header, request6().total_length(16)},
      {"source ::1", Drop::kIp6Header, from6("[::1]:4000")},
      {"a multicast source", Drop::kIp6Header, from6("[ff02::1]:4000")},
      {"no source at all", Drop::kIp6Header, from6("[::]:4000")},
      {"a ping from nobody", Drop::kIp6Header, echo_request("::", kUs6, 1, 1).to_mac(kOurMac)},
      {"our own address as source", Drop::kIp6Header, from6("[fd77::2]:4000")},
      {"our own link-local address as source", Drop::kIp6Header, from6("[fe80::aff:fe4d:2]:4000")},
      {"an IPv4 address in IPv6's clothes", Drop::kIp6Header,
       with(with(with(with(with(request6(), 22, 0), 23, 0), 32, 0xff), 33, 0xff), 37, 9)},
      {"IPv6 to another address at our MAC", Drop::kNotOurs, udp(kPeerPort6, "[fd77::3]:11211").to_mac(kOurMac)},
      {"our address at a group's MAC", Drop::kNotOurs, request6().to_mac(group)},
      {"our address at the broadcast MAC", Drop::kNotOurs, request6().to_mac(nicpipe::kBroadcastMac)},
      {"another group's MAC", Drop::kNotOurs, neighbour_solicitation(kPeer6, "fd77::3")},
      {"all routers", Drop::kNotOurs, echo_request(kPeer6, "ff02::2", 1, 1)},
      {"UDP to all nodes", Drop::kNotOurs, udp(kPeerPort6, "[ff02::1]:11211").payload("x")},
      {"a ping to all nodes", Drop::kNotOurs, echo_request(kPeer6, "ff02::1", 1, 1)},
      {"a fragment over IPv6", Drop::kIpFragment, request6().extension(44)},
      {"a fragment behind options", Drop::kIpFragment, request6().extension(60).extension(44)},
      {"a routing header", Drop::kIp6Extension, request6().extension(43)},
      {"hop-by-hop options behind others", Drop::kIp6Extension, request6().extension(60).extension(0)},
      {"hop-by-hop options twice", Drop::kIp6Extension, request6().extension(0).extension(0)},
      {"more options than we read", Drop::kIp6Extension, request6().extension(60, 136)},
      {"more options than we read, in two headers", Drop::kIp6Extension,
       request6().extension(60, 72).extension(60, 64)},
      {"an unknown option that forbids us", Drop::kIp6Extension, request6().extension(0, 8, jumbo)},
      {"an option beyond its header", Drop::kIp6Extension, request6().extension(60, 8, too_long)},
      {"an extension header cut short", Drop::kIp6Extension, request6().extension(60).total_length(4)},
      {"an extension header beyond the packet", Drop::kIp6Extension, with(request6().extension(60), 55, 9)},
      {"no next header", Drop::kIpProtocol, ip_packet(kPeer6, kUs6, 59).to_mac(kOurMac)},
      {"IPv4's ICMP over IPv6", Drop::kIpProtocol, ip_packet(kPeer6, kUs6, 1).to_mac(kOurMac).payload("12345678")},
      {"TCP over IPv6 where nobody takes it", Drop::kIpProtocol, ip_packet(kPeer6, kUs6, 6).to_mac(kOurMac)},
      {"seven bytes of UDP", Drop::kUdpHeader, request6().total_length(7)},
      {"a UDP length under 8 over IPv6", Drop::kUdpHeader, request6().udp_length(7)},
      {"a UDP length beyond the packet over IPv6", Drop::kUdpHeader, request6().udp_length(16)},
      {"another subnet over IPv6", Drop::kSourceRefused, from6("[fd78::1]:4000")},
      {"source port 1023 over IPv6", Drop::kSourceRefused, from6("[fd77::1]:1023")},
      {"no UDP checksum over IPv6", Drop::kUdpChecksum, request6().no_checksum()},
      {"UDP checksum over IPv6", Drop::kUdpChecksum, request6().bad_checksum()},
      {"a port that is not served over IPv6, limit used up", Drop::kUdpPort,
       udp(kPeerPort6, "[fd77::2]:11214").to_mac(kOurMac)},
      {"seven bytes of ICMPv6", Drop::kIcmp, ping6().total_length(7)},
      {"an ICMPv6 checksum", Drop::kIcmp, ping6().bad_checksum()},
      {"a ping's reply over IPv6", Drop::kIcmp, echo_reply(kPeer6, kUs6, 1, 1).to_mac(kOurMac)},
      {"a ping with a code over IPv6", Drop::kIcmp, ping6().icmp_type(128, 1)},
      {"packet too big where nobody takes TCP", Drop::kIcmp, ping6().icmp_type(2, 0)},
      {"a question passed on by a router", Drop::kNdp, asks().ttl(254)},
      {"a question with a code", Drop::kNdp, asks().icmp_type(135, 1)},
      {"a question cut short", Drop::kNdp, asks().payload(Frame(15))},
      {"a question's checksum", Drop::kNdp, asks().bad_checksum()},
      {"a question for another of our group", Drop::kNdp, neighbour_solicitation(kPeer6, "fd77::aa:0:2").to_mac(group)},
      {"an option without length", Drop::kNdp, asks_with("\x01\0\x02\x06\0\0\0\x01"sv)},
      {"an option beyond the message", Drop::kNdp, asks_with("\x01\x02\x02\x06\0\0\0\x01"sv)},
      {"a MAC of another length", Drop::kNdp, asks_with("\x01\x02\x02\x06\0\0\0\x01\0\0\0\0\0\0\0\0"sv)},
      {"half an option", Drop::kNdp, asks_with("\x01"sv)},
      {"a group's MAC as the asker's", Drop::kNdp, asks_with("\x01\x01\x33\x33\0\0\0\x01"sv)},
      {"a probe that names a MAC", Drop::kNdp, asks_with("\x01\x01\x02\x06\0\0\0\x01"sv, "::")},
      {"a probe to our address alone", Drop::kNdp,
       echo_request("::", kUs6, 0, 0).icmp_type(135, 0).ttl(255).to_mac(kOurMac).payload([] {
         Frame target(16);
         nicpipe::store_ipv6(target.data(), ip(kUs6));
         return target;
       }())},
      {"an answer that claims our address", Drop::kAddressConflict, tells(kUs6)},
      {"an answer passed on by a router", Drop::kNdp, tells().ttl(64)},
      {"an answer about a group", Drop::kNdp, tells("ff02::1")},
      {"an answer about another subnet", Drop::kNdp, tells("fd78::1")},
      {"an answer from nobody", Drop::kNdp, neighbour_advertisement("::", kUs6, kPeer6).to_mac(kOurMac)},
      {"an answer to everybody that says it was asked", Drop::kNdp, neighbour_advertisement(kPeer6, "ff02::1", kPeer6)},
      {"news nobody asked for", Drop::kNdp, neighbour_advertisement(kPeer6, "ff02::1", kPeer6, 0x2000'0000)},
      {"an answer without a MAC", Drop::kNdp, tells().payload(Frame(16))},
      {"a router's advertisement", Drop::kNdp, tells().icmp_type(134, 0)},
      {"a redirect", Drop::kNdp, tells().icmp_type(137, 0)},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> all = cases();
  for (Case& c : cases6()) all.push_back(std::move(c));
  return all;
}

TEST_CASE("every reason to drop is met by a frame, tagged or not, and by its own frames alone",
          "[nicpipe][host][drop]") {
  auto config = host6_config();
  config.unreachables_per_s = 0;
  TestHost us(config);
  std::set<Drop> seen;
  for (const Case& c : all_cases()) {
    INFO(c.what << "\n" << describe(c.frame));
    const Fate fate = us.receive(c.frame);
    REQUIRE(fate.verdict == Verdict::kDrop);
    REQUIRE(to_text(*fate.drop) == to_text(c.why));
    REQUIRE(us.books_right);
    seen.insert(c.why);
  }
  us.host.limit_sources(1);
  Fate fate = us.receive(request());
  for (int i = 0; i < 100 && fate.verdict == Verdict::kUdp; ++i) fate = us.receive(request());
  REQUIRE(fate.drop == Drop::kSourceRate);
  REQUIRE(us.receive(udp("10.77.0.9:4000", kUsPort).payload("another source")).verdict == Verdict::kUdp);
  fate = us.receive(request6());
  for (int i = 0; i < 100 && fate.verdict == Verdict::kUdp; ++i)
    fate = us.receive(udp("[fd77::" + std::to_string(i + 10) + "]:4000", kUsPort6).to_mac(kOurMac));
  REQUIRE(fate.drop == Drop::kSourceRate);  // All of a /64 are one source,
  REQUIRE(us.receive(udp("[fe80::7]:4000", kUsPort6).to_mac(kOurMac)).verdict == Verdict::kUdp);  // but on the link.
  us.host.limit_sources(0);
  REQUIRE(us.receive(request()).verdict == Verdict::kUdp);
  seen.insert(Drop::kSourceRate);
  REQUIRE(seen.size() == nicpipe::kDrops);
}

TEST_CASE("every reason to drop and every verdict has a name of its own", "[nicpipe][host][drop]") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < nicpipe::kDrops; ++i) names.insert(to_text(static_cast<Drop>(i)));
  REQUIRE(names.size() == nicpipe::kDrops);
  REQUIRE(names.count("?") == 0);
  names.clear();
  for (std::size_t i = 0; i < nicpipe::kVerdicts; ++i) names.insert(to_text(static_cast<Verdict>(i)));
  REQUIRE(names.size() == nicpipe::kVerdicts);
  REQUIRE(names.count("?") == 0);
}

}  // namespace
