#include "nicpipe/mld.h"

#include <array>

#include "nicpipe/checksum.h"
#include "nicpipe/headers.h"

namespace gannet::nicpipe {

void write_mld_report(Packet& packet, Link link, const IpAddress& address, MldReport kind) noexcept {
  const IpAddress own = link_local_of(link.source);
  const std::array groups{solicited_node_of(own), solicited_node_of(address)};
  const std::size_t count = groups[0] == groups[1] ? 1 : 2;
  const std::size_t icmp_bytes = wire::mld::kReportHeaderBytes + count * wire::mld::kRecordBytes;
  const std::size_t l2_bytes = link_bytes(link.has_vlan);
  constexpr std::size_t kOptionBytes = wire::ipv6::kExtensionUnit;
  set_bytes(packet, l2_bytes + wire::ipv6::kHeaderBytes + kOptionBytes + icmp_bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = wire::ipv6::kHeaderBytes + kOptionBytes;
  packet.flags = 0;
  link.destination = group_mac_of(kMldRouters);
  write_link(packet.data, link, wire::ethernet::kTypeIpv6);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv6(ip, own, kMldRouters, wire::ipv6::kHopByHop, static_cast<std::uint16_t>(kOptionBytes + icmp_bytes),
             wire::mld::kHopLimit);
  // Router alert (RFC 2711): type 5, two bytes, 0 for MLD; then two bytes of padding.
  store_be(ip + wire::ipv6::kHeaderBytes, std::uint64_t{wire::ipv6::kProtocolIcmp} << 56 | 0x0000'0502'0000'0100);
  std::byte* icmp = ip + wire::ipv6::kHeaderBytes + kOptionBytes;
  store_be(icmp, std::uint64_t{wire::mld::kReport} << 56 | count);
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* record = icmp + wire::mld::kReportHeaderBytes + i * wire::mld::kRecordBytes;
    store_be(record, std::uint32_t{static_cast<std::uint8_t>(kind)} << 24);  // No auxiliary data, no sources.
    store_ipv6(record + wire::mld::kRecordGroup, groups[i]);
  }
  const Sum pseudo =
      sum_pseudo_header6(own, kMldRouters, wire::ipv6::kProtocolIcmp, static_cast<std::uint16_t>(icmp_bytes));
  store_raw(icmp + wire::icmp6::kChecksum, checksum_of(pseudo + sum_bytes(icmp, icmp_bytes)));
}

}  // namespace gannet::nicpipe
