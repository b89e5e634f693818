/// ARP: the neighbours it tells us of, and the two frames that we start ourselves.
#pragma once

#include <cstdint>

#include "nicpipe/address.h"
#include "nicpipe/neighbour_table.h"
#include "nicpipe/packet.h"

namespace gannet::nicpipe {

using ArpTable = NeighbourTable<Ipv4>;

/// Bytes of an ARP frame: 42, or 46 with a VLAN tag. Shorter than Ethernet's 60: devices pad.
[[nodiscard]] std::size_t arp_frame_bytes(bool has_vlan) noexcept;

/// Turns an empty packet (alloc) into "I am `address`, at `mac`" to everybody: sent at start so that switches and
/// neighbours forget whoever had the address before (RFC 5227 section 3, the request form). `vlan` 0: untagged. MUST:
/// the buffer has room.
void write_gratuitous_arp(Packet& packet, Mac mac, Ipv4 address, std::uint16_t vlan) noexcept;

/// Turns an empty packet into the question who has `target`. The answer comes to Host::receive and ends up in its
/// neighbours().
void write_arp_request(Packet& packet, Mac mac, Ipv4 address, Ipv4 target, std::uint16_t vlan) noexcept;

}  // namespace gannet::nicpipe
