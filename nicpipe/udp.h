/// UDP over IP over Ethernet: who talks to whom, and the headers in front of a payload.
///
/// After Host::receive said kUdp, and before and after write_udp, a packet has one shape:
///     data: Ethernet 14 (+ VLAN tag 4) | IPv4 20 or IPv6 40 | UDP 8 | payload ... data + bytes
/// IP options and extension headers are cut out on receive, so the payload always begins at data + udp_headers_bytes: a
/// reply is written over its request without moving anything.
#pragma once

#include <cstdint>
#include <type_traits>

#include "nicpipe/address.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/headers.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// One UDP conversation seen from our side: all that is needed to send the next datagram of it.
struct UdpFlow {
  IpAddress peer, own;                        ///< Both of one family.
  std::uint16_t peer_port = 0, own_port = 0;  ///< Host order.
  std::uint16_t vlan_tci = 0;                 ///< As received, priority included; meaningful with has_vlan.
  bool has_vlan = false;
  std::uint8_t reserved = 0;
  Mac peer_mac, own_mac;

  friend constexpr bool operator==(const UdpFlow&, const UdpFlow&) = default;
};
static_assert(sizeof(UdpFlow) == 56 && std::is_trivially_copyable_v<UdpFlow>);

inline constexpr std::size_t kUdpHeadersBytesMax =
    wire::vlan::kHeaderBytes + wire::ipv6::kHeaderBytes + wire::udp::kHeaderBytes;

/// Bytes in front of the payload: 42 over IPv4, 62 over IPv6, 4 more with a VLAN tag.
[[nodiscard]] constexpr std::size_t udp_headers_bytes(const UdpFlow& flow) noexcept {
  return kUdpHeadersBytesMax - (flow.has_vlan ? 0 : wire::vlan::kHeaderBytes - wire::ethernet::kHeaderBytes) -
         (flow.own.is_v4() ? wire::ipv6::kHeaderBytes - wire::ipv4::kHeaderBytes : 0);
}

/// Payload bytes that one datagram can carry without fragmentation: 1472 for an MTU of 1500; 1452 where it must do for
/// both families.
[[nodiscard]] constexpr std::uint16_t udp_payload_bytes_max(std::uint16_t mtu, bool ipv6 = false) noexcept {
  const std::size_t ip_bytes = ipv6 ? wire::ipv6::kHeaderBytes : wire::ipv4::kHeaderBytes;
  return static_cast<std::uint16_t>(mtu - ip_bytes - wire::udp::kHeaderBytes);
}

/// The flow of a frame that Host::receive found to be kUdp, read again from its headers (a packet that travels to
/// another worker carries its flow with it this way). Needs: the headers are as receive left them.
[[nodiscard]] inline UdpFlow udp_flow(const Packet& packet) noexcept {
  const std::byte* frame = packet.data;
  const std::byte* ip = frame + packet.l2_bytes;
  const std::byte* udp = ip + packet.l3_bytes;
  UdpFlow flow;
  if (packet.l3_bytes == wire::ipv4::kHeaderBytes) [[likely]] {
    flow.peer = load_ipv4(ip + wire::ipv4::kSource);
    flow.own = load_ipv4(ip + wire::ipv4::kDestination);
  } else {
    flow.peer = load_ipv6(ip + wire::ipv6::kSource);
    flow.own = load_ipv6(ip + wire::ipv6::kDestination);
  }
  flow.peer_port = load_be<std::uint16_t>(udp + wire::udp::kSourcePort);
  flow.own_port = load_be<std::uint16_t>(udp + wire::udp::kDestinationPort);
  flow.has_vlan = packet.l2_bytes == wire::vlan::kHeaderBytes;
  if (flow.has_vlan) flow.vlan_tci = load_be<std::uint16_t>(frame + wire::vlan::kTci);
  flow.peer_mac = load_mac(frame + wire::ethernet::kSource);
  flow.own_mac = load_mac(frame + wire::ethernet::kDestination);
  return flow;
}

/// Bytes in front of the payload of such a frame.
[[nodiscard]] inline std::size_t udp_headers_bytes(const Packet& packet) noexcept {
  return std::size_t{packet.l2_bytes} + packet.l3_bytes + wire::udp::kHeaderBytes;
}

/// The payload of such a frame. Lives as long as the packet.
[[nodiscard]] inline MutableBytes udp_payload(Packet& packet) noexcept {
  const std::size_t headers = udp_headers_bytes(packet);
  return {packet.data + headers, packet.bytes - headers};
}

/// Writes all headers in front of `payload_bytes` bytes of payload that already lie at data + udp_headers_bytes(flow),
/// for sending from `own` to `peer`, over the family of `own`. A payload may go on in packet.tail: lengths and the
/// checksum cover it. Needs: payload_bytes <= bytes + tailroom - udp_headers_bytes(flow); header, payload and tail
/// together at most 65535 IP bytes. Sets bytes, tailroom, l2_bytes, l3_bytes; replaces the flags by what is asked of
/// the device: checksums it can make are left to it, the others are made here. Don't-fragment is set, the
/// identification is 0 (RFC 6864: such datagrams are atomic), TTL or hop limit 64; over IPv6 traffic class and flow
/// label are 0.
void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes, const Capabilities& device) noexcept;

/// The same for an answer that lies over its request: the headers at `packet.data` are as Host::receive left them, and
/// are turned around where they are. Writes what write_udp(packet, udp_flow(packet), ...) would.
void turn_udp(Packet& packet, std::uint16_t payload_bytes, const Capabilities& device) noexcept;

}  // namespace gannet::nicpipe
