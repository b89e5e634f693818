// write_udp, turn_udp: answers over requests, in every shape.
#include <algorithm>
#include <array>
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

TEST_CASE("headers turned around are those that would be written anew", "[nicpipe][udp]") {
  std::mt19937 random(2);
  MemoryPool pool({.buffers = 2});
  MemoryEndpoint endpoint(pool, {});
  const Frame payload = noise(1200, random);
  for (const bool six : {false, true}) {
    for (const bool tagged : {false, true}) {
      for (unsigned device = 0; device < 4; ++device) {
        for (const std::size_t head : {0u, 1u, 57u, 1000u}) {
          for (const std::size_t tail_bytes : {0u, 1u, 200u}) {
            INFO("IPv6 " << six << " tagged " << tagged << " device " << device << " head " << head << " tail "
                         << tail_bytes);
            Capabilities capabilities;
            capabilities.tx_ip_checksum = (device & 1) != 0;
            capabilities.tx_udp_checksum = (device & 2) != 0;
            UdpFlow flow = flow_to_peer();
            if (six) {
              flow.peer = nicpipe::IpAddress{0xfd77'0000'0000'0000, 0x1234'5678'9abc'def1};
              flow.own = nicpipe::IpAddress{0xfd77'0000'0000'0000, 2};
            }
            flow.has_vlan = tagged;
            flow.vlan_tci = tagged ? 0xa00f : 0;
            UdpFlow to_us = flow;
            std::swap(to_us.peer, to_us.own);
            std::swap(to_us.peer_port, to_us.own_port);
            std::swap(to_us.peer_mac, to_us.own_mac);
            std::array<Packet, 2> answers;
            REQUIRE(endpoint.alloc(answers) == 2);
            for (Packet& answer : answers) {
              std::copy_n(payload.begin(), head, answer.data + udp_headers_bytes(flow));
              nicpipe::write_udp(answer, to_us, 300, {});  // The request, where its answer's head already lies.
              REQUIRE(nicpipe::udp_flow(answer) == flow);
              if (tail_bytes != 0) {
                answer.tail = payload.data() + head;
                answer.tail_bytes = static_cast<std::uint32_t>(tail_bytes);
              }
            }
            write_udp(answers[0], flow, static_cast<std::uint16_t>(head), capabilities);
            turn_udp(answers[1], static_cast<std::uint16_t>(head), capabilities);
            REQUIRE(std::equal(answers[0].data, answers[0].data + answers[0].bytes, answers[1].data));
            REQUIRE(answers[1].bytes == answers[0].bytes);
            REQUIRE(answers[1].tailroom == answers[0].tailroom);
            REQUIRE(answers[1].flags == answers[0].flags);
            REQUIRE(answers[1].l2_bytes == answers[0].l2_bytes);
            REQUIRE(answers[1].l3_bytes == answers[0].l3_bytes);
            endpoint.free(answers);
          }
        }
      }
    }
  }
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
