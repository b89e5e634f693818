#include "nicpipe/arp_table.h"

#include <catch2/catch.hpp>
#include <memory>

#include "nicpipe/memory_endpoint.h"
#include "tests/support/packets.h"

using namespace gannet;
using namespace gannet::nicpipe;
using gannet::test::arp_request;
using gannet::test::describe;
using gannet::test::ipv4;
using gannet::test::mac_of;

namespace {

TEST_CASE("a neighbour is believed for five minutes after it was last heard", "[nicpipe][arp]") {
  ArpTable table;
  const Ipv4 address = ipv4("10.77.0.5");
  Mac found = kBroadcastMac;
  REQUIRE_FALSE(table.find(address, 1000, found));
  REQUIRE(found == kBroadcastMac);
  table.learn(address, mac_of(address), 1000, true);
  REQUIRE(table.find(address, 1000 + kNeighbourLifeNs - 1, found));
  REQUIRE(found == mac_of(address));
  REQUIRE(table.size(1000) == 1);
  REQUIRE_FALSE(table.find(address, 1000 + kNeighbourLifeNs, found));
  REQUIRE(table.size(1000 + kNeighbourLifeNs) == 0);
  table.learn(address, kBroadcastMac, 2 * kNeighbourLifeNs, false);  // Still in its place: a merge revives it.
  REQUIRE(table.find(address, 2 * kNeighbourLifeNs, found));
  REQUIRE(found == kBroadcastMac);
}

TEST_CASE("an address nobody asked for is not added by a merge", "[nicpipe][arp]") {
  ArpTable table;
  table.learn(ipv4("10.77.0.5"), Mac{{2}}, 1000, false);
  REQUIRE(table.size(1000) == 0);
}

TEST_CASE("a flood of neighbours never outgrows the table, and the newest of each set stay", "[nicpipe][arp]") {
  ArpTable table;
  constexpr std::uint32_t kFlood = 100'000;
  for (std::uint32_t i = 1; i <= kFlood; ++i) table.learn({0x0a000000 + i}, mac_of({0x0a000000 + i}), 1000 + i, true);
  REQUIRE(table.size(1000 + kFlood) == ArpTable::kSets * ArpTable::kWays);
  Mac found;
  for (std::uint32_t i = kFlood - 2; i <= kFlood; ++i) {
    REQUIRE(table.find({0x0a000000 + i}, 1000 + kFlood, found));
    REQUIRE(found == mac_of({0x0a000000 + i}));
  }
}

TEST_CASE("the addresses of one subnet spread over the sets", "[nicpipe][arp]") {
  ArpTable table;
  for (std::uint32_t host = 1; host <= 128; ++host) table.learn({0x0a4d0000 + host}, Mac{{2}}, 1000, true);
  REQUIRE(table.size(1000) == 128);
}

TEST_CASE("the frames we start ourselves are a gratuitous ARP and an ARP request", "[nicpipe][arp]") {
  MemoryPool pool({.buffers = 1});
  MemoryEndpoint endpoint(pool, {});
  const Ipv4 us = ipv4("10.77.0.2");
  Packet packet;
  REQUIRE(endpoint.alloc({&packet, 1}) == 1);
  write_gratuitous_arp(packet, mac_of(us), us, 0);
  REQUIRE(packet.bytes == arp_frame_bytes(false));
  REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
  REQUIRE(describe(endpoint.take_sent().at(0)) == describe(arp_request("10.77.0.2", "10.77.0.2").frame()));
  REQUIRE(endpoint.alloc({&packet, 1}) == 1);
  write_arp_request(packet, mac_of(us), us, ipv4("10.77.0.9"), 17);
  REQUIRE(packet.bytes == arp_frame_bytes(true));
  REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
  REQUIRE(describe(endpoint.take_sent().at(0)) == describe(arp_request("10.77.0.2", "10.77.0.9").vlan(17).frame()));
  REQUIRE(pool.buffers_out() == 0);
}

}  // namespace
