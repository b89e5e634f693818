/// UDP over IPv4 over Ethernet: who talks to whom, and the headers in front of a payload.
///
/// After Host::receive said kUdp, and before and after write_udp, a packet has one shape:
///     data: Ethernet 14 (+ VLAN tag 4) | IPv4 20 | UDP 8 | payload ... data + bytes
/// IP options are cut out on receive, so the payload always begins at data + udp_headers_bytes: a reply is written over
/// its request without moving anything.
#pragma once

#include <cstdint>
#include <type_traits>

#include "nicpipe/address.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/headers.h"
#include "nicpipe/packet.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// One UDP conversation seen from our side: all that is needed to send the next datagram of it.
struct UdpFlow {
  Ipv4 peer, own;
  std::uint16_t peer_port = 0, own_port = 0;  ///< Host order.
  std::uint16_t vlan_tci = 0;                 ///< As received, priority included; meaningful with has_vlan.
  bool has_vlan = false;
  std::uint8_t reserved = 0;
  Mac peer_mac, own_mac;

  friend constexpr bool operator==(const UdpFlow&, const UdpFlow&) = default;
};
static_assert(sizeof(UdpFlow) == 28 && std::is_trivially_copyable_v<UdpFlow>);

inline constexpr std::size_t kUdpHeadersBytesMax =
    wire::vlan::kHeaderBytes + wire::ipv4::kHeaderBytes + wire::udp::kHeaderBytes;

/// Bytes in front of the payload: 42, or 46 with a VLAN tag.
[[nodiscard]] constexpr std::size_t udp_headers_bytes(const UdpFlow& flow) noexcept {
  return kUdpHeadersBytesMax - (flow.has_vlan ? 0 : wire::vlan::kHeaderBytes - wire::ethernet::kHeaderBytes);
}

/// Payload bytes that one datagram can carry without fragmentation: 1472 for an MTU of 1500.
[[nodiscard]] constexpr std::uint16_t udp_payload_bytes_max(std::uint16_t mtu) noexcept {
  return static_cast<std::uint16_t>(mtu - wire::ipv4::kHeaderBytes - wire::udp::kHeaderBytes);
}

/// The flow of a frame that Host::receive found to be kUdp, read again from its headers (a packet that travels to
/// another worker carries its flow with it this way). Needs: the headers are as receive left them.
[[nodiscard]] inline UdpFlow udp_flow(const Packet& packet) noexcept {
  const std::byte* frame = packet.data;
  const std::byte* ip = frame + packet.l2_bytes;
  const std::byte* udp = ip + packet.l3_bytes;
  UdpFlow flow;
  flow.peer = load_ipv4(ip + wire::ipv4::kSource);
  flow.own = load_ipv4(ip + wire::ipv4::kDestination);
  flow.peer_port = load_be<std::uint16_t>(udp + wire::udp::kSourcePort);
  flow.own_port = load_be<std::uint16_t>(udp + wire::udp::kDestinationPort);
  flow.has_vlan = packet.l2_bytes == wire::vlan::kHeaderBytes;
  if (flow.has_vlan) flow.vlan_tci = load_be<std::uint16_t>(frame + wire::vlan::kTci);
  flow.peer_mac = load_mac(frame + wire::ethernet::kSource);
  flow.own_mac = load_mac(frame + wire::ethernet::kDestination);
  return flow;
}

/// The payload of such a frame. Lives as long as the packet.
[[nodiscard]] inline MutableBytes udp_payload(Packet& packet) noexcept {
  const std::size_t headers = std::size_t{packet.l2_bytes} + packet.l3_bytes + wire::udp::kHeaderBytes;
  return {packet.data + headers, packet.bytes - headers};
}

/// Writes all headers in front of `payload_bytes` bytes of payload that already lie at data + udp_headers_bytes(flow),
/// for sending from `own` to `peer`. A payload may go on in packet.tail: lengths and the checksum cover it. Needs:
/// payload_bytes <= bytes + tailroom - udp_headers_bytes(flow); header, payload and tail together at most 65535 IP
/// bytes. Sets bytes, tailroom, l2_bytes, l3_bytes; replaces the flags by what is asked of the device: checksums it can
/// make are left to it, the others are made here. Don't-fragment is set, the identification is 0 (RFC 6864: such
/// datagrams are atomic), TTL 64.
void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes, const Capabilities& device) noexcept;

}  // namespace gannet::nicpipe
