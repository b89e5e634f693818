// write_udp: answers over requests, in every shape.
#include <catch2/catch.hpp>
#include <memory>
#include <random>

#include "nicpipe/memory_endpoint.h"
#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Capabilities;
using nicpipe::MemoryEndpoint;
using nicpipe::MemoryPool;
using nicpipe::Packet;
using nicpipe::UdpFlow;

namespace {

UdpFlow flow_to_peer() {
  UdpFlow flow;
  flow.peer = ipv4(kPeer);
  flow.own = ipv4(kUs);
  flow.peer_port = 4000;
  flow.own_port = 11211;
  flow.peer_mac = mac_of(flow.peer);
  flow.own_mac = mac_of(flow.own);
  return flow;
}

Frame noise(std::size_t bytes, std::mt19937& random) {
  Frame frame(bytes);
  for (std::byte& byte : frame) byte = static_cast<std::byte>(random());
  return frame;
}

TEST_CASE("an answer of any size, from buffer and tail, by device or software checksum, is the same on the wire",
          "[nicpipe][udp]") {
  std::mt19937 random(1);
  for (const bool device_ip : {false, true}) {
    for (const bool device_udp : {false, true}) {
      MemoryPool pool({.buffers = 4});
      MemoryEndpoint::Options options;
      options.capabilities.tx_ip_checksum = device_ip;
      options.capabilities.tx_udp_checksum = device_udp;
      MemoryEndpoint endpoint(pool, options);
      for (const std::size_t head : {0u, 1u, 2u, 31u, 32u, 65u, 1000u}) {
        for (const std::size_t tail_bytes : {0u, 1u, 2u, 63u, 400u}) {
          for (const bool tagged : {false, true}) {
            INFO("head " << head << " tail " << tail_bytes << " tagged " << tagged << " device " << device_ip
                         << device_udp);
            UdpFlow flow = flow_to_peer();
            flow.has_vlan = tagged;
            flow.vlan_tci = 0xa00f;
            const Frame payload = noise(head + tail_bytes, random);
            Packet packet;
            REQUIRE(endpoint.alloc({&packet, 1}) == 1);
            std::copy_n(payload.begin(), head, packet.data + udp_headers_bytes(flow));
            if (tail_bytes != 0) {
              packet.tail = payload.data() + head;
              packet.tail_bytes = static_cast<std::uint32_t>(tail_bytes);
            }
            const int room = packet.bytes + packet.tailroom;
            write_udp(packet, flow, static_cast<std::uint16_t>(head), options.capabilities);
            REQUIRE(packet.bytes == udp_headers_bytes(flow) + head);
            REQUIRE(packet.bytes + packet.tailroom == room);
            REQUIRE(packet.l2_bytes == (tagged ? 18 : 14));
            REQUIRE(packet.l3_bytes == 20);
            REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
            auto expected = udp(kUsPort, kPeerPort).payload(Bytes(payload));
            if (tagged) expected.vlan(0xa00f);
            const auto sent = endpoint.take_sent();
            REQUIRE(sent.size() == 1);
            REQUIRE(fault_of(sent[0]).empty());
            REQUIRE(describe(sent[0]) == describe(expected.frame()));
          }
        }
      }
      REQUIRE(pool.buffers_out() == 0);
    }
  }
}

TEST_CASE("a request with options and a tag is answered over itself", "[nicpipe][udp]") {
  MemoryPool pool({.buffers = 2});
  MemoryEndpoint endpoint(pool, {});
  nicpipe::Host host(host_config());
  endpoint.deliver(udp(kPeerPort, kUsPort).payload("question").ip_options(12).vlan(9).frame());
  Packet packet;
  REQUIRE(endpoint.rx_burst({&packet, 1}, 5) == 1);
  nicpipe::UdpView view;
  nicpipe::Drop why{};
  REQUIRE(host.receive(packet, {}, view, why) == nicpipe::Verdict::kUdp);
  const auto answer = as_bytes("and a longer answer");
  std::copy(answer.begin(), answer.end(), view.payload.data());
  host.write_udp(packet, view.flow, static_cast<std::uint16_t>(answer.size()));
  REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
  REQUIRE(describe(endpoint.take_sent().at(0)) ==
          describe(udp(kUsPort, kPeerPort).payload("and a longer answer").vlan(9).frame()));
  REQUIRE(pool.buffers_out() == 0);
}

TEST_CASE("a checksum that comes out as zero is sent as ffff", "[nicpipe][udp]") {
  // Search the two payload bytes that bring the sum to ffff: one of 65536 values must.
  MemoryPool pool({.buffers = 1});
  MemoryEndpoint endpoint(pool, {});
  Packet packet;
  REQUIRE(endpoint.alloc({&packet, 1}) == 1);
  const UdpFlow flow = flow_to_peer();
  int all_ones = 0;
  for (unsigned value = 0; value <= 0xffff; ++value) {
    store_be(packet.data + 42, static_cast<std::uint16_t>(value));
    write_udp(packet, flow, 2, {});
    const auto checksum = load_be<std::uint16_t>(packet.data + 40);
    if (checksum == 0) FAIL("a checksum of 0 for payload " << value);
    all_ones += checksum == 0xffff;
  }
  REQUIRE(all_ones == 1);
  endpoint.free({&packet, 1});
}

TEST_CASE("a datagram fits the MTU to the byte", "[nicpipe][udp]") {
  REQUIRE(nicpipe::udp_payload_bytes_max(1500) == 1472);
  REQUIRE(nicpipe::Host(host_config()).udp_payload_max() == 1472);
}

}  // namespace
