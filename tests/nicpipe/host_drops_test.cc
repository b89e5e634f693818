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
      {"IPv6", Drop::kEthertype, request().ethertype(0x86dd)},
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

TEST_CASE("every reason to drop is met by a frame, tagged or not, and by its own frames alone",
          "[nicpipe][host][drop]") {
  auto config = host_config();
  config.unreachables_per_s = 0;
  TestHost us(config);
  std::set<Drop> seen;
  for (const Case& c : cases()) {
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
