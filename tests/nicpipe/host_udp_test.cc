// Datagrams that reach the application, and the answers written over them.
#include <catch2/catch.hpp>
#include <random>

#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Drop;
using nicpipe::UdpFlow;
using nicpipe::Verdict;

namespace {

std::string text_of(const Frame& bytes) {
  return std::string(as_text(bytes));
}

TEST_CASE("a datagram for a served port reaches the application with its flow and payload", "[nicpipe][host]") {
  TestHost us;
  const Fate fate = us.receive(udp("10.77.0.1:4000", "10.77.0.2:11212").payload("hello"));
  REQUIRE(fate.verdict == Verdict::kUdp);
  REQUIRE(us.books_right);
  REQUIRE(text_of(fate.payload) == "hello");
  REQUIRE(fate.flow.peer == ipv4("10.77.0.1"));
  REQUIRE(fate.flow.own == ipv4("10.77.0.2"));
  REQUIRE(fate.flow.peer_port == 4000);
  REQUIRE(fate.flow.own_port == 11212);
  REQUIRE(fate.flow.peer_mac == mac_of(ipv4("10.77.0.1")));
  REQUIRE(fate.flow.own_mac == mac_of(ipv4("10.77.0.2")));
  REQUIRE_FALSE(fate.flow.has_vlan);
  REQUIRE(fate.packet.l2_bytes == 14);
  REQUIRE(fate.packet.l3_bytes == 20);
}

TEST_CASE("an empty datagram is a datagram", "[nicpipe][host]") {
  TestHost us;
  const Fate fate = us.receive(udp(kPeerPort, kUsPort).padded());
  REQUIRE(fate.verdict == Verdict::kUdp);
  REQUIRE(fate.payload.empty());
  REQUIRE(fate.frame.size() == 42);
}

TEST_CASE("every served port is served, and no other", "[nicpipe][host]") {
  TestHost us;
  for (const int port : {11210, 11211, 11212, 11213, 11214}) {
    const Fate fate = us.receive(udp(kPeerPort, "10.77.0.2:" + std::to_string(port)).payload("x"));
    INFO("port " << port);
    REQUIRE((fate.verdict == Verdict::kUdp) == (port >= 11211 && port <= 11213));
  }
}

TEST_CASE("Ethernet's padding and bytes behind the UDP length are cut off", "[nicpipe][host]") {
  TestHost us;
  REQUIRE(text_of(us.receive(udp(kPeerPort, kUsPort).payload("ab").padded()).payload) == "ab");
  REQUIRE(text_of(us.receive(udp(kPeerPort, kUsPort).payload("ab").trailing(400)).payload) == "ab");
  const Fate shorter = us.receive(udp(kPeerPort, kUsPort).payload("abcdef").udp_length(8 + 4).no_checksum());
  REQUIRE(shorter.verdict == Verdict::kUdp);
  REQUIRE(text_of(shorter.payload) == "abcd");
  REQUIRE(us.books_right);
}

TEST_CASE("a VLAN tag is tolerated and goes back with the answer, priority included", "[nicpipe][host]") {
  TestHost us;
  const Fate fate = us.receive(udp(kPeerPort, kUsPort).payload("tagged").vlan(0x6005));
  REQUIRE(fate.verdict == Verdict::kUdp);
  REQUIRE(us.books_right);
  REQUIRE(fate.flow.has_vlan);
  REQUIRE(fate.flow.vlan_tci == 0x6005);
  REQUIRE(udp_headers_bytes(fate.flow) == 46);
  REQUIRE(text_of(fate.payload) == "tagged");
}

TEST_CASE("a port on a VLAN takes its own tag only", "[nicpipe][host]") {
  auto config = host_config();
  config.vlan = 5;
  TestHost us(config);
  REQUIRE(us.receive(udp(kPeerPort, kUsPort).vlan(0xe005)).verdict == Verdict::kUdp);
  REQUIRE(us.receive(udp(kPeerPort, kUsPort).vlan(6)).drop == Drop::kNotOurs);
  REQUIRE(us.receive(udp(kPeerPort, kUsPort)).drop == Drop::kNotOurs);
  REQUIRE(us.receive(arp_request(kPeer, kUs).vlan(6)).drop == Drop::kNotOurs);
}

TEST_CASE("IP options are skipped, and the payload then lies where it always lies", "[nicpipe][host]") {
  TestHost us;
  for (const std::size_t options : {4u, 12u, 40u}) {
    for (const bool tagged : {false, true}) {
      INFO(options << " bytes of options, tagged " << tagged);
      auto frame = udp(kPeerPort, kUsPort).payload("behind options").ip_options(options);
      auto without = udp(kPeerPort, kUsPort).payload("behind options");
      if (tagged) {
        frame.vlan(7);
        without.vlan(7);
      }
      const Fate fate = us.receive(frame);
      REQUIRE(fate.verdict == Verdict::kUdp);
      REQUIRE(us.books_right);
      REQUIRE(describe(fate.frame) == describe(without.frame()));
    }
  }
}

TEST_CASE("a UDP checksum of zero means none, whatever the device thinks of it", "[nicpipe][host]") {
  TestHost us;
  const Frame frame = udp(kPeerPort, kUsPort).payload("unchecked").no_checksum();
  for (const int flags : {0, int{nicpipe::kRxL4ChecksumGood}, int{nicpipe::kRxL4ChecksumBad}})
    REQUIRE(us.receive(frame, static_cast<std::uint16_t>(flags)).verdict == Verdict::kUdp);
}

TEST_CASE("the device's word on checksums is taken where it gives one", "[nicpipe][host]") {
  TestHost us;
  const Frame good = udp(kPeerPort, kUsPort).payload("good");
  const Frame bad_udp = udp(kPeerPort, kUsPort).payload("bad").bad_checksum();
  const Frame bad_ip = udp(kPeerPort, kUsPort).payload("bad").bad_ip_checksum();
  REQUIRE(us.receive(bad_udp).drop == Drop::kUdpChecksum);
  REQUIRE(us.receive(bad_ip).drop == Drop::kIpChecksum);
  REQUIRE(us.receive(bad_udp, nicpipe::kRxL4ChecksumGood).verdict == Verdict::kUdp);
  REQUIRE(us.receive(bad_udp, nicpipe::kRxIpChecksumGood).drop == Drop::kUdpChecksum);
  REQUIRE(us.receive(bad_ip, nicpipe::kRxIpChecksumGood).verdict == Verdict::kUdp);
  REQUIRE(us.receive(good, nicpipe::kRxL4ChecksumBad).drop == Drop::kUdpChecksum);
  REQUIRE(us.receive(good, nicpipe::kRxIpChecksumBad).drop == Drop::kIpChecksum);
}

TEST_CASE("a checksum is right at every payload length and wrong after any flipped bit", "[nicpipe][host]") {
  TestHost us;
  std::mt19937 random(20);
  for (std::size_t bytes = 0; bytes <= 1472; bytes += bytes < 130 ? 1 : 61) {
    Frame payload(bytes);
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
    Frame frame = udp(kPeerPort, kUsPort).payload(Bytes(payload));
    INFO(bytes << " payload bytes");
    const Fate fate = us.receive(frame);
    REQUIRE(fate.verdict == Verdict::kUdp);
    REQUIRE(fate.payload == payload);
    if (bytes == 0) continue;
    frame[42 + random() % bytes] ^= static_cast<std::byte>(1u << random() % 8);
    REQUIRE(us.receive(frame).drop == Drop::kUdpChecksum);
  }
}

TEST_CASE("sources outside the allowed prefixes get no answer, and the list changes while serving", "[nicpipe][host]") {
  TestHost us;
  const Frame near = udp("10.77.0.200:4000", kUsPort), far = udp("192.168.7.9:4000", kUsPort);
  REQUIRE(us.receive(near).verdict == Verdict::kUdp);
  REQUIRE(us.receive(far).drop == Drop::kSourceRefused);
  const std::array<nicpipe::IpPrefix, 2> allowed{nicpipe::Ipv4Prefix{ipv4("192.168.0.0"), 16},
                                                 nicpipe::Ipv4Prefix{ipv4("10.77.0.7"), 32}};
  us.host.allow(allowed);
  REQUIRE(us.receive(far).verdict == Verdict::kUdp);
  REQUIRE(us.receive(near).drop == Drop::kSourceRefused);
  REQUIRE(us.receive(udp("10.77.0.7:4000", kUsPort)).verdict == Verdict::kUdp);
  us.host.allow(std::array{nicpipe::IpPrefix(nicpipe::Ipv4Prefix{{}, 0})});
  REQUIRE(us.receive(udp("8.8.8.8:4000", kUsPort)).verdict == Verdict::kUdp);
  us.host.allow({});
  REQUIRE(us.receive(near).verdict == Verdict::kUdp);
  REQUIRE(us.receive(far).drop == Drop::kSourceRefused);
}

}  // namespace
