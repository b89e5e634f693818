// Host over IPv6: RFC 8200 (the header and its extensions), 4861 (neighbour discovery), 4443 (ICMPv6).
#include <algorithm>
#include <cstring>

#include "nicpipe/checksum.h"
#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"
#include "nicpipe/host_inside.h"
#include "nicpipe/ip6_chain.h"
#include "nicpipe/mld.h"
#include "nicpipe/ndp_write.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {

/// Lengths are as the IPv6 header says; packet.l3_bytes reaches to `protocol`'s header.
struct Host::Ip6Packet {
  IpAddress source, destination;
  std::size_t bytes = 0;  ///< Fixed header, extension headers and payload.
  std::uint8_t protocol = 0;
  bool to_group = false;  ///< Else to one of our two addresses.
  bool has_fragment_header = false;
};

namespace {

/// Cuts the extension headers out: link header and fixed header move up to the payload. The header is valid again
/// afterwards.
void cut_extensions(Packet& packet) noexcept {
  const std::size_t extra = packet.l3_bytes - wire::ipv6::kHeaderBytes;
  if (extra == 0) return;
  std::byte* ip = packet.data + packet.l2_bytes;
  Ip6Upper upper;
  MUST(find_upper({ip, packet.bytes - std::size_t{packet.l2_bytes}}, upper) == Ip6Chain::kOk);
  ip[wire::ipv6::kNextHeader] = std::byte{upper.protocol};
  const std::size_t payload = load_be<std::uint16_t>(ip + wire::ipv6::kPayloadLength) - extra;
  store_be(ip + wire::ipv6::kPayloadLength, static_cast<std::uint16_t>(payload));
  std::memmove(packet.data + extra, packet.data, packet.l2_bytes + wire::ipv6::kHeaderBytes);
  move_front(packet, static_cast<std::ptrdiff_t>(extra));
  packet.l3_bytes = wire::ipv6::kHeaderBytes;
}

/// The sum of both addresses as they lie in the header, of the protocol and of what it sums over.
[[nodiscard]] Sum pseudo_of(const std::byte* ip, std::uint8_t protocol, std::size_t bytes) noexcept {
  return sum_bytes(ip + wire::ipv6::kSource, 32) + raw(protocol) + byte_swap(static_cast<std::uint16_t>(bytes));
}

[[nodiscard]] bool is_intact_icmp6(const std::byte* ip, const std::byte* icmp, std::size_t bytes) noexcept {
  return is_intact(pseudo_of(ip, wire::ipv6::kProtocolIcmp, bytes) + sum_bytes(icmp, bytes));
}

/// Whether an ICMPv6 message is an error about a TCP segment: type, quoted IPv6 header, and the 8 bytes behind its
/// extension headers (RFC 4443 section 2.4). Gives who sent the segment.
[[nodiscard]] bool is_tcp_error6(Bytes icmp, IpAddress& sender) noexcept {
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp6::kType]);
  if (type < wire::icmp6::kUnreachable || type > wire::icmp6::kParameterProblem) return false;
  const Bytes quoted = icmp.subspan(wire::icmp6::kHeaderBytes);
  if (quoted.size() < wire::ipv6::kHeaderBytes + wire::icmp::kQuotedBytes ||
      static_cast<std::uint8_t>(quoted[wire::ipv6::kVersion]) >> 4 != 6 ||
      static_cast<std::uint8_t>(quoted[wire::ipv6::kNextHeader]) != wire::ipv6::kProtocolTcp)
    return false;  // Segments of ours have no extension headers.
  sender = load_ipv6(quoted.data() + wire::ipv6::kSource);
  return true;
}

/// The MAC in the first option of `type` (of one unit) of a neighbour discovery message; true without it as well.
/// False: an option of no length, or beyond the message (RFC 4861 section 4.6).
[[nodiscard]] bool find_mac(Bytes options, std::uint8_t type, Mac& out, bool& found) noexcept {
  found = false;
  while (!options.empty()) {
    if (options.size() < 2) return false;
    const std::size_t bytes = static_cast<std::size_t>(options[1]) * wire::ndp::kOptionUnit;
    if (bytes == 0 || bytes > options.size()) return false;
    if (!found && static_cast<std::uint8_t>(options[0]) == type) {
      if (bytes != wire::ndp::kOptionUnit) return false;
      out = load_mac(options.data() + 2);
      found = true;
    }
    options = options.subspan(bytes);
  }
  return true;
}

}  // namespace

void Host::start6() noexcept {
  MUST(config_.address6.is_unicast6());
  MUST(config_.prefix6_bits >= 1 && config_.prefix6_bits <= 128);
  MUST_GE(config_.mtu, wire::ipv6::kMtuMin);
  link_local_ = link_local_of(config_.mac);
  subnet6_ = {config_.address6, config_.prefix6_bits};
  const std::array groups = group_macs_of(config_.mac, config_.address6);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::byte bytes[8]{};
    store_mac(bytes, groups[i]);
    group_macs_raw_[i] = load_raw<std::uint64_t>(bytes);
  }
}

bool Host::is_allowed6(const IpAddress& source) const noexcept {
  for (std::uint32_t i = 0; i < allowed6_count_; ++i)
    if (allowed6_[i].contains(source)) return true;
  return false;
}

bool Host::is_our_group_mac(std::uint64_t mac_raw) const noexcept {
  return has6() && std::find(group_macs_raw_.begin(), group_macs_raw_.end(), mac_raw) != group_macs_raw_.end();
}

Verdict Host::receive_ip6(Packet& packet, Now now, Drop& why) noexcept {
  const std::size_t room = packet.bytes - std::size_t{packet.l2_bytes};
  const std::byte* header = packet.data + packet.l2_bytes;
  if (room < wire::ipv6::kHeaderBytes) return drop(Drop::kRunt, why);
  Ip6Packet ip;
  ip.bytes = wire::ipv6::kHeaderBytes + load_be<std::uint16_t>(header + wire::ipv6::kPayloadLength);
  if (static_cast<std::uint8_t>(header[wire::ipv6::kVersion]) >> 4 != 6 || ip.bytes > room)
    return drop(Drop::kIp6Header, why);
  ip.source = load_ipv6(header + wire::ipv6::kSource);
  ip.destination = load_ipv6(header + wire::ipv6::kDestination);
  // :: is a source only in duplicate address detection, which receive_ndp judges.
  // One of ours is one only in neighbour discovery of somebody else who has it.
  const bool from_ours = is_ours6(ip.source);
  if ((!ip.source.is_unicast6() && !ip.source.is_zero()) ||
      (from_ours && header[wire::ipv6::kHopLimit] != std::byte{wire::ndp::kHopLimit}))
    return drop(Drop::kIp6Header, why);
  const bool to_our_mac = (load_raw<std::uint64_t>(packet.data) & kMacMask) == mac_raw_;
  ip.to_group = ip.destination == kAllNodes || ip.destination == solicited_node_of(config_.address6) ||
                ip.destination == solicited_node_of(link_local_);
  if (!ip.to_group && !(to_our_mac && is_ours6(ip.destination))) return drop(Drop::kNotOurs, why);

  Ip6Upper upper;
  switch (find_upper({header, ip.bytes}, upper)) {
    case Ip6Chain::kOk:
      break;
    case Ip6Chain::kFragment:
      return drop(Drop::kIpFragment, why);
    case Ip6Chain::kRefused:
      return drop(Drop::kIp6Extension, why);
  }
  packet.l3_bytes = upper.offset;
  ip.protocol = upper.protocol;
  ip.has_fragment_header = upper.has_fragment_header;
  if (ip.protocol == wire::ipv6::kProtocolIcmp) return receive_icmp6(packet, ip, now, why);
  if (ip.to_group) return drop(Drop::kNotOurs, why);
  if (ip.source.is_zero() || from_ours) return drop(Drop::kIp6Header, why);
  if (ip.protocol == wire::ipv6::kProtocolUdp) return receive_udp6(packet, ip, now, why);
  if (ip.protocol == wire::ipv6::kProtocolTcp && config_.tcp) return receive_tcp6(packet, ip, why);
  return drop(Drop::kIpProtocol, why);
}

Verdict Host::receive_udp6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  const std::byte* header = packet.data + packet.l2_bytes;
  const std::byte* udp = header + packet.l3_bytes;
  const std::size_t udp_room = ip.bytes - packet.l3_bytes;
  if (udp_room < wire::udp::kHeaderBytes) return drop(Drop::kUdpHeader, why);
  const std::size_t udp_bytes = load_be<std::uint16_t>(udp + wire::udp::kLength);
  if (udp_bytes < wire::udp::kHeaderBytes || udp_bytes > udp_room) return drop(Drop::kUdpHeader, why);
  const auto peer_port = load_be<std::uint16_t>(udp + wire::udp::kSourcePort);
  if (peer_port < kPrivilegedPorts || !is_allowed6(ip.source)) return drop(Drop::kSourceRefused, why);
  // A host has a /64 to choose addresses from; on the link itself the other half tells hosts apart.
  if (sources_.limits() && !sources_.take(kLinkLocal.contains(ip.source) ? ip.source.low : ip.source.high, now.mono_ns))
    return drop(Drop::kSourceRate, why);
  if (load_raw<std::uint16_t>(udp + wire::udp::kChecksum) == 0) return drop(Drop::kUdpChecksum, why);
  if ((packet.flags & (kRxL4ChecksumGood | kRxL4ChecksumBad)) != kRxL4ChecksumGood) {
    if ((packet.flags & kRxL4ChecksumBad) != 0) return drop(Drop::kUdpChecksum, why);
    if (!is_intact(pseudo_of(header, wire::ipv6::kProtocolUdp, udp_bytes) + sum_bytes(udp, udp_bytes)))
      return drop(Drop::kUdpChecksum, why);
  }
  const auto own_port = load_be<std::uint16_t>(udp + wire::udp::kDestinationPort);
  if (static_cast<std::uint16_t>(own_port - config_.udp_port_first) >= config_.udp_ports)
    return refuse_port6(packet, ip, now, why);
  set_bytes(packet, packet.l2_bytes + packet.l3_bytes + udp_bytes);
  cut_extensions(packet);
  return Verdict::kUdp;
}

Verdict Host::receive_tcp6(Packet& packet, const Ip6Packet& ip, Drop& why) noexcept {
  if (!is_allowed6(ip.source)) return drop(Drop::kSourceRefused, why);
  set_bytes(packet, packet.l2_bytes + ip.bytes);
  cut_extensions(packet);
  return Verdict::kTcp;
}

Verdict Host::receive_icmp6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  const std::byte* header = packet.data + packet.l2_bytes;
  const Bytes icmp(header + packet.l3_bytes, ip.bytes - packet.l3_bytes);
  if (icmp.size() < wire::icmp6::kHeaderBytes) return drop(Drop::kIcmp, why);
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp6::kType]);
  if (type >= wire::ndp::kRouterSolicitation && type <= wire::ndp::kRedirect) return receive_ndp(packet, ip, now, why);
  if (is_ours6(ip.source)) return drop(Drop::kIp6Header, why);
  if (type == wire::mld::kQuery) return receive_mld_query(packet, ip, now, why);
  // Nothing else is taken from a group: what everybody answers at once is of use to attackers only.
  if (ip.to_group) return drop(Drop::kNotOurs, why);
  if (ip.source.is_zero()) return drop(Drop::kIp6Header, why);
  if (IpAddress sender; config_.tcp && is_tcp_error6(icmp, sender) && sender == ip.destination) {
    if (!is_intact_icmp6(header, icmp.data(), icmp.size())) return drop(Drop::kIcmp, why);
    set_bytes(packet, packet.l2_bytes + ip.bytes);
    cut_extensions(packet);
    return Verdict::kTcpError;
  }
  return receive_echo6(packet, ip, now, why);
}

Verdict Host::receive_echo6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  constexpr std::uint16_t kRequestRaw = raw(std::uint16_t{wire::icmp6::kEchoRequest} << 8);  // Type, then code 0.
  constexpr std::uint16_t kReplyRaw = raw(std::uint16_t{wire::icmp6::kEchoReply} << 8);
  const std::size_t bytes = ip.bytes - packet.l3_bytes;
  std::byte* header = packet.data + packet.l2_bytes;
  std::byte* icmp = header + packet.l3_bytes;
  if (load_raw<std::uint16_t>(icmp + wire::icmp6::kType) != kRequestRaw) return drop(Drop::kIcmp, why);
  if (!is_intact_icmp6(header, icmp, bytes)) return drop(Drop::kIcmp, why);
  if (!echoes_.take(now.mono_ns)) return drop(Drop::kIcmp, why);

  set_bytes(packet, packet.l2_bytes + ip.bytes);
  cut_extensions(packet);
  const Mac peer_mac = load_mac(packet.data + wire::ethernet::kSource);
  write_link(packet.data, link_back(packet, config_.mac, peer_mac), wire::ethernet::kTypeIpv6);
  write_ipv6(packet.data + packet.l2_bytes, ip.destination, ip.source, wire::ipv6::kProtocolIcmp,
             static_cast<std::uint16_t>(bytes), wire::ipv6::kHopLimitSent);
  // Addresses that change sides leave the sum as it is, so one word is all that changes.
  store_raw(icmp + wire::icmp6::kType, kReplyRaw);
  store_raw(icmp + wire::icmp6::kChecksum,
            updated_checksum(load_raw<std::uint16_t>(icmp + wire::icmp6::kChecksum), kRequestRaw, kReplyRaw));
  packet.flags = 0;
  return Verdict::kEchoReply;
}

Verdict Host::receive_ndp(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  // RFC 4861 sections 7.1.1 and 7.1.2. A hop limit of 255 shows that the sender is on our link.
  const std::byte* header = packet.data + packet.l2_bytes;
  const Bytes icmp(header + packet.l3_bytes, ip.bytes - packet.l3_bytes);
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp6::kType]);
  // Never in fragments, not even whole ones (RFC 6980).
  if ((type != wire::ndp::kSolicitation && type != wire::ndp::kAdvertisement) || ip.has_fragment_header ||
      header[wire::ipv6::kHopLimit] != std::byte{wire::ndp::kHopLimit} || icmp[wire::icmp6::kCode] != std::byte{0} ||
      icmp.size() < wire::ndp::kOptions || !is_intact_icmp6(header, icmp.data(), icmp.size()))
    return drop(Drop::kNdp, why);
  if (type == wire::ndp::kAdvertisement) return receive_advertisement(packet, ip, icmp, now, why);

  if (is_ours6(ip.source)) {
    const bool is_echo = load_mac(packet.data + wire::ethernet::kSource) == config_.mac;
    return drop(is_echo ? Drop::kNdp : Drop::kAddressConflict, why);
  }
  const IpAddress target = load_ipv6(icmp.data() + wire::ndp::kTarget);
  // A source of :: is a probe (RFC 4862 section 5.4): somebody asks whether our address is taken. It is.
  const bool is_probe = ip.source.is_zero();
  Mac peer_mac = load_mac(packet.data + wire::ethernet::kSource);
  bool has_mac = false;
  if (!is_ours6(target) || peer_mac == config_.mac ||  // Our own question, come back.
      !find_mac(icmp.subspan(wire::ndp::kOptions), wire::ndp::kSourceMac, peer_mac, has_mac) || peer_mac.is_group() ||
      peer_mac.is_zero() || (is_probe && (has_mac || ip.destination != solicited_node_of(target))))
    return drop(Drop::kNdp, why);
  if (std::size_t{packet.bytes} + packet.tailroom < packet.l2_bytes + wire::ipv6::kHeaderBytes + wire::ndp::kBytes)
    return drop(Drop::kNdp, why);
  if (has_mac && (subnet6_.contains(ip.source) || kLinkLocal.contains(ip.source)))
    neighbours6_.learn(ip.source, peer_mac, now.mono_ns, true);
  // Section 7.2.4: an answer to a probe goes to everybody, and is not solicited.
  write_ndp(packet, link_back(packet, config_.mac, is_probe ? group_mac_of(kAllNodes) : peer_mac),
            {.type = wire::ndp::kAdvertisement,
             .flags = wire::ndp::kOverride | (is_probe ? 0 : wire::ndp::kSolicited),
             .source = target,
             .destination = is_probe ? kAllNodes : ip.source,
             .target = target,
             .option = wire::ndp::kTargetMac});
  return Verdict::kNdpReply;
}

Verdict Host::receive_advertisement(const Packet& packet, const Ip6Packet& ip, Bytes message, Now now,
                                    Drop& why) noexcept {
  const IpAddress target = load_ipv6(message.data() + wire::ndp::kTarget);
  if (is_ours6(target)) {
    const bool is_echo = load_mac(packet.data + wire::ethernet::kSource) == config_.mac;
    return drop(is_echo ? Drop::kNdp : Drop::kAddressConflict, why);
  }
  const bool solicited = (load_be<std::uint32_t>(message.data() + wire::icmp6::kRest) & wire::ndp::kSolicited) != 0;
  Mac mac;
  bool has_mac = false;
  if (ip.source.is_zero() || !target.is_unicast6() || (ip.to_group && solicited) ||
      !find_mac(message.subspan(wire::ndp::kOptions), wire::ndp::kTargetMac, mac, has_mac) || !has_mac ||
      mac.is_group() || mac.is_zero() || !(subnet6_.contains(target) || kLinkLocal.contains(target)))
    return drop(Drop::kNdp, why);
  // To us and solicited: the answer to our question. Else it only refreshes what we know (section 7.2.5).
  neighbours6_.learn(target, mac, now.mono_ns, solicited);
  return solicited ? Verdict::kNdpLearned : drop(Drop::kNdp, why);
}

/// RFC 3810 section 6.2. We answer at once instead of after a random wait: one host of a machine room, and a switch
/// forgets who is late. All our groups at a time, whichever of them is asked about.
Verdict Host::receive_mld_query(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  const std::byte* header = packet.data + packet.l2_bytes;
  const Bytes icmp(header + packet.l3_bytes, ip.bytes - packet.l3_bytes);
  if (icmp.size() < wire::mld::kQueryBytesMin || header[wire::ipv6::kHopLimit] != std::byte{wire::mld::kHopLimit} ||
      !kLinkLocal.contains(ip.source) || !is_intact_icmp6(header, icmp.data(), icmp.size()))
    return drop(Drop::kNdp, why);
  const IpAddress group = load_ipv6(icmp.data() + wire::mld::kQueryGroup);
  if (!group.is_zero() && group != solicited_node_of(config_.address6) && group != solicited_node_of(link_local_))
    return drop(Drop::kNdp, why);
  if (std::size_t{packet.bytes} + packet.tailroom < packet.l2_bytes + kMldReportBytesMax || !echoes_.take(now.mono_ns))
    return drop(Drop::kNdp, why);
  write_mld_report(packet, link_back(packet, config_.mac, {}), config_.address6, MldReport::kState);
  return Verdict::kNdpReply;
}

Verdict Host::refuse_port6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept {
  // As over IPv4, but as much of the packet is quoted as fits the smallest MTU (RFC 4443 section 2.4 (c)).
  constexpr std::size_t kNewBytes = wire::ipv6::kHeaderBytes + wire::icmp6::kHeaderBytes;
  const std::size_t l2_bytes = packet.l2_bytes;
  const std::size_t quoted_bytes = std::min(ip.bytes, wire::ipv6::kMtuMin - kNewBytes);
  const bool in_front = packet.headroom >= kNewBytes;
  const std::size_t room = std::size_t{packet.bytes} + packet.tailroom;
  if (!in_front && room < l2_bytes + kNewBytes + quoted_bytes) return drop(Drop::kUdpPort, why);
  if (!unreachables_.take(now.mono_ns)) return drop(Drop::kUdpPort, why);

  const Link link = link_back(packet, config_.mac, load_mac(packet.data + wire::ethernet::kSource));
  if (in_front) {
    move_front(packet, -static_cast<std::ptrdiff_t>(kNewBytes));
  } else {
    std::memmove(packet.data + l2_bytes + kNewBytes, packet.data + l2_bytes, quoted_bytes);
  }
  write_link(packet.data, link, wire::ethernet::kTypeIpv6);
  std::byte* header = packet.data + l2_bytes;
  const auto icmp_bytes = static_cast<std::uint16_t>(wire::icmp6::kHeaderBytes + quoted_bytes);
  write_ipv6(header, ip.destination, ip.source, wire::ipv6::kProtocolIcmp, icmp_bytes, wire::ipv6::kHopLimitSent);
  std::byte* icmp = header + wire::ipv6::kHeaderBytes;
  store_be(icmp, std::uint64_t{wire::icmp6::kUnreachable} << 56 | std::uint64_t{wire::icmp6::kPortUnreachable} << 48);
  store_raw(icmp + wire::icmp6::kChecksum,
            checksum_of(pseudo_of(header, wire::ipv6::kProtocolIcmp, icmp_bytes) + sum_bytes(icmp, icmp_bytes)));
  set_bytes(packet, l2_bytes + kNewBytes + quoted_bytes);
  packet.l3_bytes = wire::ipv6::kHeaderBytes;
  packet.flags = 0;
  return Verdict::kUnreachable;
}

}  // namespace gannet::nicpipe
