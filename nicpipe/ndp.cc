#include "nicpipe/ndp.h"

#include "nicpipe/checksum.h"
#include "nicpipe/ndp_write.h"

namespace gannet::nicpipe {

void write_ndp(Packet& packet, const Link& link, const NdpMessage& message) noexcept {
  const std::size_t l2_bytes = link_bytes(link.has_vlan);
  const std::uint16_t bytes = message.option != 0 ? wire::ndp::kBytes : wire::ndp::kOptions;
  set_bytes(packet, l2_bytes + wire::ipv6::kHeaderBytes + bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = wire::ipv6::kHeaderBytes;
  packet.flags = 0;
  write_link(packet.data, link, wire::ethernet::kTypeIpv6);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv6(ip, message.source, message.destination, wire::ipv6::kProtocolIcmp, bytes, wire::ndp::kHopLimit);
  std::byte* icmp = ip + wire::ipv6::kHeaderBytes;
  store_be(icmp, std::uint64_t{message.type} << 56 | message.flags);  // Code and checksum 0.
  store_ipv6(icmp + wire::ndp::kTarget, message.target);
  if (message.option != 0) {
    icmp[wire::ndp::kOptions] = std::byte{message.option};
    icmp[wire::ndp::kOptions + 1] = std::byte{1};
    store_mac(icmp + wire::ndp::kOptions + 2, link.source);
  }
  const Sum pseudo = sum_pseudo_header6(message.source, message.destination, wire::ipv6::kProtocolIcmp, bytes);
  store_raw(icmp + wire::icmp6::kChecksum, checksum_of(pseudo + sum_bytes(icmp, bytes)));
}

void write_neighbour_announcement(Packet& packet, Mac mac, const IpAddress& address, std::uint16_t vlan) noexcept {
  write_ndp(packet, {group_mac_of(kAllNodes), mac, vlan, vlan != 0},
            {.type = wire::ndp::kAdvertisement,
             .flags = wire::ndp::kOverride,
             .source = address,
             .destination = kAllNodes,
             .target = address,
             .option = wire::ndp::kTargetMac});
}

void write_address_probe(Packet& packet, Mac mac, const IpAddress& address, std::uint16_t vlan) noexcept {
  const IpAddress group = solicited_node_of(address);
  write_ndp(packet, {group_mac_of(group), mac, vlan, vlan != 0},
            {.type = wire::ndp::kSolicitation, .source = {}, .destination = group, .target = address});
}

void write_neighbour_solicitation(Packet& packet, Mac mac, const IpAddress& address, const IpAddress& target,
                                  std::uint16_t vlan) noexcept {
  const IpAddress group = solicited_node_of(target);
  write_ndp(packet, {group_mac_of(group), mac, vlan, vlan != 0},
            {.type = wire::ndp::kSolicitation,
             .source = address,
             .destination = group,
             .target = target,
             .option = wire::ndp::kSourceMac});
}

}  // namespace gannet::nicpipe
