#include "nicpipe/flow_hash.h"

#include <algorithm>

#include "nicpipe/headers.h"
#include "nicpipe/ip6_chain.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

FlowHash::FlowHash(FlowKey key) noexcept {
  // Bit i of the input (most significant first) contributes the 32 key bits that start at bit i.
  std::array<std::byte, kFlowKeyBytes + sizeof(std::uint64_t)> padded{};
  std::copy(key.begin(), key.end(), padded.begin());
  const auto key_bits = [&](std::size_t bit) {
    const auto wide = load_be<std::uint64_t>(padded.data() + bit / 8);
    return static_cast<std::uint32_t>(wide << bit % 8 >> 32);
  };
  for (std::size_t half = 0; half < tables_.size(); ++half) {
    for (std::size_t value = 0; value < 16; ++value) {
      std::uint32_t hash = 0;
      for (std::size_t bit = 0; bit < 4; ++bit)
        if ((value >> (3 - bit) & 1) != 0) hash ^= key_bits(4 * half + bit);
      tables_[half][value] = hash;
    }
  }
}

std::uint32_t FlowHash::operator()(Ipv4 source, Ipv4 destination, std::uint16_t source_port,
                                   std::uint16_t destination_port) const noexcept {
  const std::uint64_t addresses = std::uint64_t{source.value} << 32 | destination.value;
  const std::uint32_t ports = std::uint32_t{source_port} << 16 | destination_port;
  std::uint32_t hash = 0;
  for (std::size_t half = 0; half < 16; ++half) hash ^= tables_[half][addresses >> (60 - 4 * half) & 15];
  for (std::size_t half = 0; half < 8; ++half) hash ^= tables_[16 + half][ports >> (28 - 4 * half) & 15];
  return hash;
}

std::uint32_t FlowHash::operator()(const IpAddress& source, const IpAddress& destination, std::uint16_t source_port,
                                   std::uint16_t destination_port) const noexcept {
  const std::uint64_t words[] = {source.high, source.low, destination.high, destination.low};
  const std::uint32_t ports = std::uint32_t{source_port} << 16 | destination_port;
  std::uint32_t hash = 0;
  const auto* table = tables_.data();
  for (const std::uint64_t word : words)
    for (unsigned half = 0; half < 16; ++half) hash ^= (*table++)[word >> (60 - 4 * half) & 15];
  for (unsigned half = 0; half < 8; ++half) hash ^= (*table++)[ports >> (28 - 4 * half) & 15];
  return hash;
}

/// An ICMP error goes where the frames of the conversation it quotes go: the quoted segment is one of ours, so source
/// and destination change places.
std::uint32_t Dispatch::worker_of_error(Bytes icmp) const noexcept {
  if (icmp.size() < wire::icmp::kHeaderBytes + wire::ipv4::kHeaderBytes + wire::icmp::kQuotedBytes) return 0;
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp::kType]);
  if (type == wire::icmp::kEchoRequest || type == wire::icmp::kEchoReply) return 0;
  const std::byte* quoted = icmp.data() + wire::icmp::kHeaderBytes;
  const std::size_t header_bytes = (static_cast<std::size_t>(quoted[wire::ipv4::kVersionIhl]) & 15) * 4;
  if (quoted[wire::ipv4::kProtocol] != std::byte{wire::ipv4::kProtocolTcp} || header_bytes < wire::ipv4::kHeaderBytes ||
      icmp.size() < wire::icmp::kHeaderBytes + header_bytes + 4)
    return 0;
  const auto ports = load_be<std::uint32_t>(quoted + header_bytes);
  const std::uint32_t made = hash(load_ipv4(quoted + wire::ipv4::kDestination), load_ipv4(quoted + wire::ipv4::kSource),
                                  static_cast<std::uint16_t>(ports), static_cast<std::uint16_t>(ports >> 16));
  return static_cast<std::uint32_t>(std::uint64_t{made} * workers >> 32);
}

/// The same over IPv6; segments of ours have no extension headers.
std::uint32_t Dispatch::worker_of_error6(Bytes icmp) const noexcept {
  if (icmp.size() < wire::icmp6::kHeaderBytes + wire::ipv6::kHeaderBytes + wire::icmp::kQuotedBytes) return 0;
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp6::kType]);
  const std::byte* quoted = icmp.data() + wire::icmp6::kHeaderBytes;
  if (type < wire::icmp6::kUnreachable || type > wire::icmp6::kParameterProblem ||
      quoted[wire::ipv6::kNextHeader] != std::byte{wire::ipv6::kProtocolTcp})
    return 0;
  const auto ports = load_be<std::uint32_t>(quoted + wire::ipv6::kHeaderBytes);
  const std::uint32_t made = hash(load_ipv6(quoted + wire::ipv6::kDestination), load_ipv6(quoted + wire::ipv6::kSource),
                                  static_cast<std::uint16_t>(ports), static_cast<std::uint16_t>(ports >> 16));
  return static_cast<std::uint32_t>(std::uint64_t{made} * workers >> 32);
}

inline bool Dispatch::own_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t& worker) const noexcept {
  worker = static_cast<std::uint16_t>(port - udp_port_first - 1);
  return protocol == wire::ipv4::kProtocolUdp && worker < workers;
}

std::uint32_t Dispatch::worker_of(Packet& packet) const noexcept {
  const std::byte* frame = packet.data;
  std::size_t l2_bytes = wire::ethernet::kHeaderBytes;
  if (packet.bytes < wire::vlan::kHeaderBytes) return 0;
  auto type = load_be<std::uint16_t>(frame + wire::ethernet::kType);
  if (type == wire::ethernet::kTypeVlan) {
    type = load_be<std::uint16_t>(frame + wire::vlan::kInnerType);
    l2_bytes = wire::vlan::kHeaderBytes;
  }
  if (type != wire::ethernet::kTypeIpv4) [[unlikely]]
    return type == wire::ethernet::kTypeIpv6 ? worker_of6(packet, l2_bytes) : 0;
  if (packet.bytes < l2_bytes + wire::ipv4::kHeaderBytes) return 0;
  const std::byte* ip = frame + l2_bytes;
  const std::size_t header_bytes = (static_cast<std::size_t>(ip[wire::ipv4::kVersionIhl]) & 15) * 4;
  const auto protocol = static_cast<std::uint8_t>(ip[wire::ipv4::kProtocol]);
  if (protocol == wire::ipv4::kProtocolIcmp && header_bytes >= wire::ipv4::kHeaderBytes) [[unlikely]]
    return worker_of_error({ip + std::min(header_bytes, packet.bytes - l2_bytes), frame + packet.bytes});
  const bool has_ports = protocol == wire::ipv4::kProtocolUdp || protocol == wire::ipv4::kProtocolTcp;
  const bool is_fragment = (load_be<std::uint16_t>(ip + wire::ipv4::kFragment) & wire::ipv4::kAnyFragment) != 0;
  if (!has_ports || is_fragment || header_bytes < wire::ipv4::kHeaderBytes ||
      packet.bytes < l2_bytes + header_bytes + 4)
    return 0;

  const auto ports = load_be<std::uint32_t>(ip + header_bytes);  // Source, destination; the same place in UDP and TCP.
  const auto source_port = static_cast<std::uint16_t>(ports >> 16);
  const auto destination_port = static_cast<std::uint16_t>(ports);
  if (std::uint32_t own; own_port(protocol, destination_port, own)) return own;
  if ((packet.flags & kRxFlowHash) == 0) {
    packet.flow_hash = hash(load_ipv4(ip + wire::ipv4::kSource), load_ipv4(ip + wire::ipv4::kDestination), source_port,
                            destination_port);
    packet.flags |= kRxFlowHash;
  }
  return static_cast<std::uint32_t>(std::uint64_t{packet.flow_hash} * workers >> 32);
}

std::uint32_t Dispatch::worker_of6(Packet& packet, std::size_t l2_bytes) const noexcept {
  const std::byte* ip = packet.data + l2_bytes;
  Ip6Upper upper;
  if (packet.bytes < l2_bytes + wire::ipv6::kHeaderBytes ||
      find_upper({ip, packet.bytes - l2_bytes}, upper) != Ip6Chain::kOk)
    return 0;
  if (upper.protocol == wire::ipv6::kProtocolIcmp)
    return worker_of_error6({ip + upper.offset, packet.data + packet.bytes});
  if (packet.bytes < l2_bytes + upper.offset + 4 ||
      (upper.protocol != wire::ipv6::kProtocolUdp && upper.protocol != wire::ipv6::kProtocolTcp))
    return 0;
  const auto ports = load_be<std::uint32_t>(ip + upper.offset);
  const auto source_port = static_cast<std::uint16_t>(ports >> 16);
  const auto destination_port = static_cast<std::uint16_t>(ports);
  if (std::uint32_t own; own_port(upper.protocol, destination_port, own)) return own;
  if ((packet.flags & kRxFlowHash) == 0) {
    packet.flow_hash = hash(load_ipv6(ip + wire::ipv6::kSource), load_ipv6(ip + wire::ipv6::kDestination), source_port,
                            destination_port);
    packet.flags |= kRxFlowHash;
  }
  return static_cast<std::uint32_t>(std::uint64_t{packet.flow_hash} * workers >> 32);
}

}  // namespace gannet::nicpipe
