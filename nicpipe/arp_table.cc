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

std::size_t ArpTable::set_of(Ipv4 address) noexcept {
  return static_cast<std::size_t>(address.value * 0x9e3779b1u >> 26) % kSets;
}

void ArpTable::learn(Ipv4 address, Mac mac, MonotonicNs now, bool add) noexcept {
  auto& set = sets_[set_of(address)];
  Entry* victim = nullptr;
  for (Entry& entry : set) {
    if (entry.address == address) {
      entry.mac = mac;
      entry.confirmed_ns = now;
      return;
    }
    if (victim == nullptr || entry.confirmed_ns < victim->confirmed_ns) victim = &entry;
  }
  if (add) *victim = {address, mac, now};
}

bool ArpTable::find(Ipv4 address, MonotonicNs now, Mac& out) const noexcept {
  for (const Entry& entry : sets_[set_of(address)]) {
    if (entry.address != address || address.is_zero() || now - entry.confirmed_ns >= kNeighbourLifeNs) continue;
    out = entry.mac;
    return true;
  }
  return false;
}

std::size_t ArpTable::size(MonotonicNs now) const noexcept {
  std::size_t count = 0;
  for (const auto& set : sets_)
    for (const Entry& entry : set) count += !entry.address.is_zero() && now - entry.confirmed_ns < kNeighbourLifeNs;
  return count;
}

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
