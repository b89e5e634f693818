#include "nicpipe/flow_hash.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "tests/support/packets.h"

using namespace gannet;
using namespace gannet::nicpipe;
using gannet::test::arp_request;
using gannet::test::echo_request;
using gannet::test::Frame;
using gannet::test::ip;
using gannet::test::ip_packet;
using gannet::test::ipv4;

namespace {

// The key and the figures that Microsoft published for verifying receive-side scaling, as NIC vendors use them.
constexpr std::array<std::uint8_t, kFlowKeyBytes> kPublishedKey{
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

FlowHash published() {
  return FlowHash(std::as_bytes(std::span(kPublishedKey)));
}

Dispatch dispatch_to(std::uint32_t workers) {
  return {published(), workers, 11211};
}

/// The worker of a frame in a block of exactly its size.
std::uint32_t worker_of(const Dispatch& dispatch, const Frame& frame, std::uint32_t device_hash = 0,
                        std::uint16_t flags = 0) {
  const auto memory = std::make_unique<std::byte[]>(frame.size());
  std::copy(frame.begin(), frame.end(), memory.get());
  Packet packet;
  packet.data = memory.get();
  packet.bytes = static_cast<std::uint16_t>(frame.size());
  packet.flow_hash = device_hash;
  packet.flags = flags;
  return dispatch.worker_of(packet);
}

TEST_CASE("the software hash gives the published values", "[nicpipe][flow]") {
  const FlowHash hash = published();
  REQUIRE(hash(ipv4("66.9.149.187"), ipv4("161.142.100.80"), 2794, 1766) == 0x51ccc178);
  REQUIRE(hash(ipv4("199.92.111.2"), ipv4("65.69.140.83"), 14230, 4739) == 0xc626b0ea);
  REQUIRE(hash(ipv4("24.19.198.95"), ipv4("12.22.207.184"), 12898, 38024) == 0x5c2b394a);
  REQUIRE(hash(ipv4("38.27.205.30"), ipv4("209.142.163.6"), 48228, 2217) == 0xafc7327f);
  REQUIRE(hash(ipv4("153.39.163.191"), ipv4("202.188.127.2"), 44251, 1303) == 0x10e828a2);
}

TEST_CASE("the software hash gives the published values over IPv6", "[nicpipe][flow]") {
  const FlowHash hash = published();
  REQUIRE(hash(ip("3ffe:2501:200:1fff::7"), ip("3ffe:2501:200:3::1"), 2794, 1766) == 0x40207d3d);
  REQUIRE(hash(ip("3ffe:501:8::260:97ff:fe40:efab"), ip("ff02::1"), 14230, 4739) == 0xdde51bbf);
  REQUIRE(hash(ip("3ffe:1900:4545:3:200:f8ff:fe21:67cf"), ip("fe80::200:f8ff:fe21:67cf"), 44251, 38024) == 0x02d1feef);
}

TEST_CASE("over IPv6 the rule is the same, extension headers or not", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  std::array<int, 4> flows{};
  for (int port = 1024; port < 3072; ++port) {
    const std::string peer = "[fd77::1]:" + std::to_string(port);
    const std::uint32_t worker = worker_of(dispatch, gannet::test::udp(peer, "[fd77::2]:11211"));
    REQUIRE(worker ==
            worker_of(dispatch, gannet::test::udp(peer, "[fd77::2]:11211").payload("x").vlan(9).extension(60)));
    ++flows.at(worker);
    REQUIRE(worker_of(dispatch, gannet::test::udp(peer, "[fd77::2]:11214").extension(0)) == 2);
  }
  for (const int count : flows) REQUIRE(count > 2048 / 4 * 3 / 4);
  for (const Frame& frame : {gannet::test::udp("[fd77::1]:4000", "[fd77::2]:11214").extension(44).frame(),
                             gannet::test::udp("[fd77::1]:4000", "[fd77::2]:11214").extension(43).frame(),
                             gannet::test::udp("[fd77::1]:4000", "[fd77::2]:11214").cut(14 + 43).frame(),
                             gannet::test::neighbour_solicitation("fd77::1", "fd77::2").frame(),
                             ip_packet("fd77::1", "fd77::2", 47).payload("0123456789").frame()})
    REQUIRE(worker_of(dispatch, frame) == 0);
}

TEST_CASE("an ICMPv6 error about a TCP segment goes where its connection's frames go", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  for (int port = 1024; port < 1088; ++port) {
    Frame ports(8);
    gannet::store_be(ports.data(), static_cast<std::uint16_t>(port));
    gannet::store_be(ports.data() + 2, std::uint16_t{11211});
    const Frame received = ip_packet("fd77::1", "fd77::2", 6).payload(ports);
    std::rotate(ports.begin(), ports.begin() + 2, ports.begin() + 4);
    const Frame ours = ip_packet("fd77::2", "fd77::1", 6).payload(ports);
    const auto error = echo_request("fd77::99", "fd77::2", 0, 1280).payload(gannet::Bytes(ours).subspan(14));
    for (const std::uint8_t type : {1, 2, 3, 4})
      REQUIRE(worker_of(dispatch, gannet::test::FrameBuilder(error).icmp_type(type, 0).extension(60)) ==
              worker_of(dispatch, received));
    REQUIRE(worker_of(dispatch, error) == 0);  // A ping.
  }
}

TEST_CASE("a worker's own port goes to that worker, whatever the flow", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  for (std::uint32_t worker = 0; worker < 4; ++worker)
    for (const char* peer : {"10.77.0.1:4000", "10.77.0.9:65535", "10.77.0.3:1"}) {
      const std::string own = "10.77.0.2:" + std::to_string(11212 + worker);
      REQUIRE(worker_of(dispatch, gannet::test::udp(peer, own)) == worker);
      REQUIRE(worker_of(dispatch, gannet::test::udp(peer, own).vlan(3).ip_options(8)) == worker);
    }
}

TEST_CASE("flows to the common port spread over the workers and each stays where it is", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  std::array<int, 4> flows{};
  for (int port = 1024; port < 9216; ++port) {
    const std::string peer = "10.77.0.1:" + std::to_string(port);
    const std::uint32_t worker = worker_of(dispatch, gannet::test::udp(peer, "10.77.0.2:11211"));
    REQUIRE(worker ==
            worker_of(dispatch, gannet::test::udp(peer, "10.77.0.2:11211").payload("more").vlan(9).ip_options(12)));
    ++flows.at(worker);
  }
  for (const int count : flows) {
    REQUIRE(count > 8192 / 4 * 3 / 4);
    REQUIRE(count < 8192 / 4 * 5 / 4);
  }
}

TEST_CASE("the device's hash is used where it gives one", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  const Frame frame = gannet::test::udp("10.77.0.1:4000", "10.77.0.2:11211");
  REQUIRE(worker_of(dispatch, frame, 0x00000000, kRxFlowHash) == 0);
  REQUIRE(worker_of(dispatch, frame, 0x40000000, kRxFlowHash) == 1);
  REQUIRE(worker_of(dispatch, frame, 0xffffffff, kRxFlowHash) == 3);
}

TEST_CASE("what has no flow goes to worker 0", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(4);
  REQUIRE(worker_of(dispatch, arp_request("10.77.0.1", "10.77.0.2")) == 0);
  REQUIRE(worker_of(dispatch, echo_request("10.77.0.1", "10.77.0.2", 1, 1)) == 0);
  REQUIRE(worker_of(dispatch, ip_packet("10.77.0.1", "10.77.0.2", 47).payload("0123456789")) == 0);
  for (int port = 11212; port < 11216; ++port) {
    const std::string own = "10.77.0.2:" + std::to_string(port);
    REQUIRE(worker_of(dispatch, gannet::test::udp("10.77.0.1:4000", own).fragment(0x2000)) == 0);
    REQUIRE(worker_of(dispatch, gannet::test::udp("10.77.0.1:4000", own).ethertype(0x86dd)) == 0);
    REQUIRE(worker_of(dispatch, gannet::test::udp("10.77.0.1:4000", own).cut(37)) == 0);
  }
}

TEST_CASE("an ICMP error goes to the worker of the conversation it quotes", "[nicpipe][flow]") {
  const Dispatch dispatch = dispatch_to(16);
  std::set<std::uint32_t> workers;
  for (int port = 4000; port < 4100; ++port) {
    const std::string peer = "10.77.0.1:" + std::to_string(port), us = "10.77.0.2:11211";
    // Ports lie in the same place in UDP and TCP; only the protocol is another.
    const auto as_tcp = [](Frame frame) {
      frame[14 + 9] = std::byte{6};
      return frame;
    };
    const Frame ours = as_tcp(gannet::test::udp(us, peer).payload("quoted"));
    const Frame theirs = as_tcp(gannet::test::udp(peer, us).payload("theirs"));
    const std::uint32_t owner = worker_of(dispatch, theirs);
    REQUIRE(worker_of(dispatch, gannet::test::port_unreachable("10.77.9.9", "10.77.0.2", ours)) == owner);
    REQUIRE(worker_of(dispatch, gannet::test::port_unreachable("10.77.9.9", "10.77.0.2", ours).ip_options(12)) ==
            owner);
    const Frame error = gannet::test::port_unreachable("10.77.9.9", "10.77.0.2", ours);
    REQUIRE(worker_of(dispatch, Frame(error.begin(), error.end() - 6)) == 0);
    workers.insert(owner);
  }
  REQUIRE(workers.size() > 10);
}

TEST_CASE("the rule answers for any bytes at all", "[nicpipe][flow]") {
  std::mt19937 random(11);
  const Dispatch three = dispatch_to(3);
  for (int i = 0; i < 20'000; ++i) {
    Frame frame =
        random() % 2 == 0
            ? gannet::test::udp("10.77.0.1:4000", "10.77.0.2:11211").payload("x").ip_options(random() % 2 * 12)
            : gannet::test::udp("[fd77::1]:4000", "[fd77::2]:11211").payload("x").extension(60, 16);
    for (int damage = 0; damage < 3; ++damage) frame[random() % frame.size()] = static_cast<std::byte>(random());
    frame.resize(random() % (frame.size() + 1));
    if (worker_of(three, frame) >= 3) FAIL("frame " << i << " belongs to nobody");
  }
  SUCCEED();
}

}  // namespace
