#include "nicpipe/udp.h"

#include <bit>

#include "nicpipe/checksum.h"
#include "nicpipe/frame_write.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {
namespace {

/// Everything of the packet but its bytes: as long as the headers and the payload, its checksums left to the device as
/// far as that makes them.
void describe(Packet& packet, std::size_t l2_bytes, std::size_t l3_bytes, std::uint16_t payload_bytes,
              std::uint16_t flags) noexcept {
  set_bytes(packet, l2_bytes + l3_bytes + wire::udp::kHeaderBytes + payload_bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = static_cast<std::uint16_t>(l3_bytes);
  packet.flags = flags;
}

[[nodiscard]] std::uint16_t flags4(const Capabilities& device) noexcept {
  return static_cast<std::uint16_t>((device.tx_ip_checksum ? kTxIpChecksum : 0) |
                                    (device.tx_udp_checksum ? kTxUdpChecksum : 0));
}

/// What UDP's length field says. MUST: an IP datagram can be that long.
[[nodiscard]] std::uint16_t udp_length_of(const Packet& packet, std::uint16_t payload_bytes,
                                          std::size_t ip_bytes) noexcept {
  const std::size_t bytes = wire::udp::kHeaderBytes + payload_bytes + packet.tail_bytes;
  MUST_LE(bytes, 65535 - ip_bytes);
  return static_cast<std::uint16_t>(bytes);
}

/// The UDP header in front of its payload. `ports` as they lie in a frame, own first; `pseudo` is the sum of the
/// pseudo-header.
void write_header(const Packet& packet, std::byte* udp, std::uint32_t ports, std::uint16_t udp_length,
                  std::uint16_t payload_bytes, Sum pseudo, bool by_device) noexcept {
  const std::uint32_t length = byte_swap(udp_length);
  std::uint32_t checksum;
  if (by_device) {
    checksum = fold(pseudo);
  } else {
    Sum sum = pseudo + ports + length + sum_bytes(udp + wire::udp::kHeaderBytes, payload_bytes);
    if (packet.tail_bytes != 0) {
      const Sum tail = sum_bytes(packet.tail, packet.tail_bytes);
      sum += payload_bytes % 2 == 0 ? tail : at_odd_offset(tail);
    }
    checksum = udp_checksum_of(sum);
  }
  store_raw(udp, ports | std::uint64_t{length | checksum << 16} << 32);
}

[[nodiscard]] std::uint32_t ports_raw(const UdpFlow& flow) noexcept {
  return byte_swap(std::uint32_t{flow.own_port} << 16 | flow.peer_port);
}

[[gnu::noinline]] void write_udp6(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes,
                                  const Capabilities& device) noexcept {
  const std::size_t l2_bytes = link_bytes(flow.has_vlan);
  const std::uint16_t udp_length = udp_length_of(packet, payload_bytes, wire::ipv6::kHeaderBytes);
  describe(packet, l2_bytes, wire::ipv6::kHeaderBytes, payload_bytes, device.tx_udp_checksum ? kTxUdpChecksum : 0);
  write_link(packet.data, {flow.peer_mac, flow.own_mac, flow.vlan_tci, flow.has_vlan}, wire::ethernet::kTypeIpv6);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv6(ip, flow.own, flow.peer, wire::ipv6::kProtocolUdp, udp_length, wire::ipv6::kHopLimitSent);
  write_header(packet, ip + wire::ipv6::kHeaderBytes, ports_raw(flow), udp_length, payload_bytes,
               sum_pseudo_header6(flow.own, flow.peer, wire::ipv6::kProtocolUdp, udp_length), device.tx_udp_checksum);
}

}  // namespace

void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes, const Capabilities& device) noexcept {
  if (!flow.own.is_v4()) [[unlikely]]
    return write_udp6(packet, flow, payload_bytes, device);
  const Ipv4 own = flow.own.v4(), peer = flow.peer.v4();
  const std::size_t l2_bytes = link_bytes(flow.has_vlan);
  const std::uint16_t udp_length = udp_length_of(packet, payload_bytes, wire::ipv4::kHeaderBytes);
  describe(packet, l2_bytes, wire::ipv4::kHeaderBytes, payload_bytes, flags4(device));
  write_link(packet.data, {flow.peer_mac, flow.own_mac, flow.vlan_tci, flow.has_vlan}, wire::ethernet::kTypeIpv4);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv4(ip, own, peer, wire::ipv4::kProtocolUdp, 0,
             static_cast<std::uint16_t>(wire::ipv4::kHeaderBytes + udp_length), !device.tx_ip_checksum);
  write_header(packet, ip + wire::ipv4::kHeaderBytes, ports_raw(flow), udp_length, payload_bytes,
               sum_pseudo_header(own, peer, wire::ipv4::kProtocolUdp, udp_length), device.tx_udp_checksum);
}

void turn_udp(Packet& packet, std::uint16_t payload_bytes, const Capabilities& device) noexcept {
  if (packet.l3_bytes != wire::ipv4::kHeaderBytes) [[unlikely]]
    return write_udp6(packet, udp_flow(packet), payload_bytes, device);
  const std::uint16_t udp_length = udp_length_of(packet, payload_bytes, wire::ipv4::kHeaderBytes);
  describe(packet, packet.l2_bytes, wire::ipv4::kHeaderBytes, payload_bytes, flags4(device));
  turn_link(packet.data);
  std::byte* ip = packet.data + packet.l2_bytes;
  const std::uint64_t addresses =
      turn_ipv4(ip, wire::ipv4::kProtocolUdp, 0, static_cast<std::uint16_t>(wire::ipv4::kHeaderBytes + udp_length),
                !device.tx_ip_checksum);
  std::byte* udp = ip + wire::ipv4::kHeaderBytes;
  const Sum pseudo = (addresses & 0xffff'ffff) + (addresses >> 32) +
                     byte_swap(std::uint16_t{wire::ipv4::kProtocolUdp}) + byte_swap(udp_length);
  write_header(packet, udp, std::rotl(load_raw<std::uint32_t>(udp), 16), udp_length, payload_bytes, pseudo,
               device.tx_udp_checksum);
}

}  // namespace gannet::nicpipe
