#include "nicpipe/udp.h"

#include "nicpipe/checksum.h"
#include "nicpipe/frame_write.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {
namespace {

/// The UDP header in front of its payload. `pseudo` is the sum of the pseudo-header.
void write_header(Packet& packet, std::byte* udp, const UdpFlow& flow, std::uint16_t udp_length,
                  std::uint16_t payload_bytes, Sum pseudo, bool by_device) noexcept {
  std::uint16_t checksum;
  if (by_device) {
    checksum = fold(pseudo);
  } else {
    const std::byte* payload = udp + wire::udp::kHeaderBytes;
    Sum sum = pseudo + byte_swap(flow.own_port) + byte_swap(flow.peer_port) + byte_swap(udp_length) +
              sum_bytes(payload, payload_bytes);
    if (packet.tail_bytes != 0) {
      const Sum tail = sum_bytes(packet.tail, packet.tail_bytes);
      sum += payload_bytes % 2 == 0 ? tail : at_odd_offset(tail);
    }
    checksum = udp_checksum_of(sum);
  }
  store_be(udp, std::uint64_t{flow.own_port} << 48 | std::uint64_t{flow.peer_port} << 32 |
                    std::uint64_t{udp_length} << 16 | byte_swap(checksum));
}

[[gnu::noinline]] void write_udp6(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes,
                                  const Capabilities& device) noexcept {
  const std::size_t l2_bytes = link_bytes(flow.has_vlan);
  const std::size_t udp_bytes = wire::udp::kHeaderBytes + payload_bytes + packet.tail_bytes;
  MUST_LE(udp_bytes, 65535 - wire::ipv6::kHeaderBytes);
  const auto udp_length = static_cast<std::uint16_t>(udp_bytes);
  set_bytes(packet, l2_bytes + wire::ipv6::kHeaderBytes + wire::udp::kHeaderBytes + payload_bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = wire::ipv6::kHeaderBytes;
  packet.flags = static_cast<std::uint16_t>(device.tx_udp_checksum ? kTxUdpChecksum : 0);

  write_link(packet.data, {flow.peer_mac, flow.own_mac, flow.vlan_tci, flow.has_vlan}, wire::ethernet::kTypeIpv6);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv6(ip, flow.own, flow.peer, wire::ipv6::kProtocolUdp, udp_length, wire::ipv6::kHopLimitSent);
  write_header(packet, ip + wire::ipv6::kHeaderBytes, flow, udp_length, payload_bytes,
               sum_pseudo_header6(flow.own, flow.peer, wire::ipv6::kProtocolUdp, udp_length), device.tx_udp_checksum);
}

}  // namespace

void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes, const Capabilities& device) noexcept {
  if (!flow.own.is_v4()) [[unlikely]]
    return write_udp6(packet, flow, payload_bytes, device);
  const Ipv4 own = flow.own.v4(), peer = flow.peer.v4();
  const std::size_t l2_bytes = link_bytes(flow.has_vlan);
  const std::size_t udp_bytes = wire::udp::kHeaderBytes + payload_bytes + packet.tail_bytes;
  MUST_LE(udp_bytes, 65535 - wire::ipv4::kHeaderBytes);
  const auto udp_length = static_cast<std::uint16_t>(udp_bytes);
  set_bytes(packet, l2_bytes + wire::ipv4::kHeaderBytes + wire::udp::kHeaderBytes + payload_bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = wire::ipv4::kHeaderBytes;
  packet.flags = static_cast<std::uint16_t>((device.tx_ip_checksum ? kTxIpChecksum : 0) |
                                            (device.tx_udp_checksum ? kTxUdpChecksum : 0));

  write_link(packet.data, {flow.peer_mac, flow.own_mac, flow.vlan_tci, flow.has_vlan}, wire::ethernet::kTypeIpv4);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv4(ip, own, peer, wire::ipv4::kProtocolUdp, 0,
             static_cast<std::uint16_t>(wire::ipv4::kHeaderBytes + udp_bytes), !device.tx_ip_checksum);
  write_header(packet, ip + wire::ipv4::kHeaderBytes, flow, udp_length, payload_bytes,
               sum_pseudo_header(own, peer, wire::ipv4::kProtocolUdp, udp_length), device.tx_udp_checksum);
}

}  // namespace gannet::nicpipe
