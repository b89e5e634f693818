#include "nicpipe/arp_table.h"

#include <cstring>

#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"

namespace gannet::nicpipe {
namespace {

void write_request(Packet& packet, Mac mac, Ipv4 sender, Ipv4 target, std::uint16_t vlan_id) noexcept {
  const bool has_vlan = vlan_id != 0;
  const std::size_t l2_bytes = link_bytes(has_vlan);
  set_bytes(packet, l2_bytes + wire::arp::kBytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = 0;
  packet.flags = 0;
  write_link(packet.data, {kBroadcastMac, mac, vlan_id, has_vlan}, wire::ethernet::kTypeArp);
  std::byte* arp = packet.data + l2_bytes;
  store_be(arp, wire::arp::kFixedPart << 16 | wire::arp::kRequest);
  store_mac(arp + wire::arp::kSenderMac, mac);
  store_ipv4(arp + wire::arp::kSenderAddress, sender);
  store_mac(arp + wire::arp::kTargetMac, Mac{});
  store_ipv4(arp + wire::arp::kTargetAddress, target);
}

}  // namespace

std::size_t arp_frame_bytes(bool has_vlan) noexcept {
  return link_bytes(has_vlan) + wire::arp::kBytes;
}

void write_gratuitous_arp(Packet& packet, Mac mac, Ipv4 address, std::uint16_t vlan) noexcept {
  write_request(packet, mac, address, address, vlan);
}

void write_arp_request(Packet& packet, Mac mac, Ipv4 address, Ipv4 target, std::uint16_t vlan) noexcept {
  write_request(packet, mac, address, target, vlan);
}

}  // namespace gannet::nicpipe
