/// Neighbour discovery over IPv6 (RFC 4861): the neighbours it tells us of, and the two frames that we start ourselves.
#pragma once

#include <cstdint>

#include "nicpipe/ip_address.h"
#include "nicpipe/neighbour_table.h"
#include "nicpipe/packet.h"

namespace gannet::nicpipe {

using NdpTable = NeighbourTable<IpAddress>;

/// Turns an empty packet (alloc) into "I am `address`, at `mac`" to everybody: sent at start so that neighbours forget
/// whoever had the address before (section 7.2.6). 86 bytes, 90 with a VLAN tag; `vlan` 0: untagged. MUST: the buffer
/// has room.
void write_neighbour_announcement(Packet& packet, Mac mac, const IpAddress& address, std::uint16_t vlan) noexcept;

/// Turns an empty packet into the question whether somebody has `address` already (RFC 4862 section 5.4.2): asked by
/// nobody, so that nobody learns us. Whoever has it says so to everybody, and Host drops that as kAddressConflict.
void write_address_probe(Packet& packet, Mac mac, const IpAddress& address, std::uint16_t vlan) noexcept;

/// Turns an empty packet into the question who has `target` (section 7.2.2). The answer comes to Host::receive and ends
/// up in its neighbours6().
void write_neighbour_solicitation(Packet& packet, Mac mac, const IpAddress& address, const IpAddress& target,
                                  std::uint16_t vlan) noexcept;

}  // namespace gannet::nicpipe
