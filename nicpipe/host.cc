#include "nicpipe/host.h"

#include <cstring>

#include "nicpipe/checksum.h"
#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"
#include "nicpipe/host_inside.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {
namespace {

constexpr std::uint32_t kUnreachablesBurst = 20;
constexpr std::uint32_t kEchoesBurst = 200;

/// Cuts the options out: link header and fixed part move up to the IP payload. The header is valid again afterwards.
[[gnu::cold, gnu::noinline]] void cut_options(Packet& packet) noexcept {
  const std::size_t extra = packet.l3_bytes - wire::ipv4::kHeaderBytes;
  std::memmove(packet.data + extra, packet.data, packet.l2_bytes + wire::ipv4::kHeaderBytes);
  move_front(packet, static_cast<std::ptrdiff_t>(extra));
  packet.l3_bytes = wire::ipv4::kHeaderBytes;
  std::byte* ip = packet.data + packet.l2_bytes;
  const auto total = static_cast<std::uint16_t>(load_be<std::uint16_t>(ip + wire::ipv4::kTotalLength) - extra);
  ip[wire::ipv4::kVersionIhl] = std::byte{wire::ipv4::kVersion4Ihl5};
  store_be(ip + wire::ipv4::kTotalLength, total);
  store_raw<std::uint16_t>(ip + wire::ipv4::kChecksum, 0);
  store_raw(ip + wire::ipv4::kChecksum, checksum_of(sum_ipv4_header(ip)));
}

}  // namespace

std::string_view to_text(Drop drop) noexcept {
  switch (drop) {
    case Drop::kRunt:
      return "runt";
    case Drop::kNotOurs:
      return "not_ours";
    case Drop::kEthertype:
      return "ethertype";
    case Drop::kIpHeader:
      return "ip_header";
    case Drop::kIpChecksum:
      return "ip_checksum";
    case Drop::kIpFragment:
      return "ip_fragment";
    case Drop::kIpProtocol:
      return "ip_protocol";
    case Drop::kUdpHeader:
      return "udp_header";
    case Drop::kSourceRefused:
      return "source_refused";
    case Drop::kSourceRate:
      return "source_rate";
    case Drop::kUdpChecksum:
      return "udp_checksum";
    case Drop::kUdpPort:
      return "udp_port";
    case Drop::kArp:
      return "arp";
    case Drop::kAddressConflict:
      return "address_conflict";
    case Drop::kIcmp:
      return "icmp";
    case Drop::kIp6Header:
      return "ip6_header";
    case Drop::kIp6Extension:
      return "ip6_extension";
    case Drop::kNdp:
      return "ndp";
  }
  return "?";
}

std::string_view to_text(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kUdp:
      return "udp";
    case Verdict::kDrop:
      return "drop";
    case Verdict::kArpLearned:
      return "arp_learned";
    case Verdict::kArpReply:
      return "arp_reply";
    case Verdict::kNdpLearned:
      return "ndp_learned";
    case Verdict::kNdpReply:
      return "ndp_reply";
    case Verdict::kEchoReply:
      return "echo_reply";
    case Verdict::kUnreachable:
      return "unreachable";
    case Verdict::kTcp:
      return "tcp";
    case Verdict::kTcpError:
      return "tcp_error";
  }
  return "?";
}

Host::Host(const HostConfig& config)
    : config_(config),
      subnet_{config.address, config.prefix_bits},
      echoes_(config.echoes_per_s, kEchoesBurst),
      unreachables_(config.unreachables_per_s, kUnreachablesBurst) {
  MUST(!config.mac.is_zero() && !config.mac.is_group());
  MUST(config.address.is_unicast());
  MUST(config.prefix_bits >= 1 && config.prefix_bits <= 32);
  MUST(!subnet_.is_broadcast(config.address));
  MUST_GE(config.mtu, 576);
  MUST_LE(config.vlan, 4094);
  MUST_LE(std::uint32_t{config.udp_port_first} + config.udp_ports, 65536u);
  std::byte bytes[8]{};
  store_mac(bytes, config.mac);
  mac_raw_ = load_raw<std::uint64_t>(bytes);
  address_raw_ = byte_swap(config.address.value);
  if (config.prefix_bits < 31) {
    subnet_first_ = {config.address.value & subnet_.mask()};
    subnet_last_ = {config.address.value | ~subnet_.mask()};
  }
  if (has6()) start6();
  allow({});
}

void Host::allow(std::span<const IpPrefix> prefixes) noexcept {
  MUST_LE(prefixes.size(), kAllowedPrefixesMax);
  const std::array own{IpPrefix(subnet_), subnet6_, kLinkLocal};
  if (prefixes.empty()) prefixes = std::span(own).first(has6() ? 3 : 1);
  allowed_count_ = allowed6_count_ = 0;
  for (const IpPrefix& prefix : prefixes) {
    MUST_LE(prefix.bits, 128);
    if (prefix.is_v4()) {
      const auto mask = static_cast<std::uint32_t>(prefix.mask().low);
      allowed_[allowed_count_++] = {mask, prefix.address.v4().value & mask};
    } else {
      allowed6_[allowed6_count_++] = prefix;
    }
  }
}

inline bool Host::is_allowed(Ipv4 source) const noexcept {
  for (std::uint32_t i = 0; i < allowed_count_; ++i)
    if ((source.value & allowed_[i].mask) == allowed_[i].value) return true;
  return false;
}

/// RFC 1122 section 3.2.1.3: a host's own unicast address, and here not ours either.
inline bool Host::is_possible_source(Ipv4 source) const noexcept {
  return source.is_unicast() && source != config_.address && source != subnet_first_ && source != subnet_last_;
}

Verdict Host::receive(Packet& packet, Now now, Drop& why) noexcept {
  // Ethernet. Our unicast, or broadcast for ARP.
  const std::byte* frame = packet.data;
  if (packet.bytes < wire::ethernet::kHeaderBytes) [[unlikely]]
    return drop(Drop::kRunt, why);
  std::size_t l2_bytes = wire::ethernet::kHeaderBytes;
  auto type = load_raw<std::uint16_t>(frame + wire::ethernet::kType);
  if (type != raw(wire::ethernet::kTypeIpv4) || config_.vlan != 0) [[unlikely]] {
    std::uint16_t tci = 0;
    if (type == raw(wire::ethernet::kTypeVlan)) {
      l2_bytes = wire::vlan::kHeaderBytes;
      if (packet.bytes < l2_bytes) return drop(Drop::kRunt, why);
      tci = load_be<std::uint16_t>(frame + wire::vlan::kTci);
      type = load_raw<std::uint16_t>(frame + wire::vlan::kInnerType);
    }
    if (config_.vlan != 0 && (tci & wire::vlan::kIdMask) != config_.vlan) return drop(Drop::kNotOurs, why);
  }
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  const std::uint64_t destination_mac = load_raw<std::uint64_t>(frame) & kMacMask;
  if (destination_mac != mac_raw_) [[unlikely]] {
    const bool is_group = type == raw(wire::ethernet::kTypeArp)    ? destination_mac == kMacMask
                          : type == raw(wire::ethernet::kTypeIpv6) ? is_our_group_mac(destination_mac)
                                                                   : false;
    if (!is_group) return drop(Drop::kNotOurs, why);
  }
  if ((frame[wire::ethernet::kSource] & std::byte{1}) != std::byte{0}) [[unlikely]]
    return drop(Drop::kSourceRefused, why);
  if (type != raw(wire::ethernet::kTypeIpv4)) [[unlikely]] {
    if (type == raw(wire::ethernet::kTypeArp)) return receive_arp(packet, now, why);
    return type == raw(wire::ethernet::kTypeIpv6) && has6() ? receive_ip6(packet, now, why)
                                                            : drop(Drop::kEthertype, why);
  }

  // IPv4.
  const std::size_t ip_room = packet.bytes - l2_bytes;
  const std::byte* ip = frame + l2_bytes;
  if (ip_room < wire::ipv4::kHeaderBytes) [[unlikely]]
    return drop(Drop::kRunt, why);
  std::size_t header_bytes = wire::ipv4::kHeaderBytes;
  if (ip[wire::ipv4::kVersionIhl] != std::byte{wire::ipv4::kVersion4Ihl5}) [[unlikely]] {
    const auto version_ihl = static_cast<std::uint8_t>(ip[wire::ipv4::kVersionIhl]);
    header_bytes = std::size_t{version_ihl & 15u} * 4;
    if (version_ihl >> 4 != 4 || header_bytes < wire::ipv4::kHeaderBytes) return drop(Drop::kIpHeader, why);
    if (ip_room < header_bytes) return drop(Drop::kRunt, why);
  }
  packet.l3_bytes = static_cast<std::uint16_t>(header_bytes);
  const std::size_t total_bytes = load_be<std::uint16_t>(ip + wire::ipv4::kTotalLength);
  if (total_bytes < header_bytes || total_bytes > ip_room) [[unlikely]]
    return drop(Drop::kIpHeader, why);
  if ((packet.flags & (kRxIpChecksumGood | kRxIpChecksumBad)) != kRxIpChecksumGood) {
    if ((packet.flags & kRxIpChecksumBad) != 0) return drop(Drop::kIpChecksum, why);
    const Sum sum = header_bytes == wire::ipv4::kHeaderBytes ? sum_ipv4_header(ip) : sum_bytes(ip, header_bytes);
    if (!is_intact(sum)) [[unlikely]]
      return drop(Drop::kIpChecksum, why);
  }
  const Ipv4 source = load_ipv4(ip + wire::ipv4::kSource);
  if (!is_possible_source(source)) [[unlikely]]
    return drop(Drop::kIpHeader, why);
  if (load_raw<std::uint32_t>(ip + wire::ipv4::kDestination) != address_raw_) [[unlikely]]
    return drop(Drop::kNotOurs, why);
  if ((load_raw<std::uint16_t>(ip + wire::ipv4::kFragment) & raw(wire::ipv4::kAnyFragment)) != 0) [[unlikely]]
    return drop(Drop::kIpFragment, why);
  if (ip[wire::ipv4::kProtocol] != std::byte{wire::ipv4::kProtocolUdp}) [[unlikely]] {
    if (ip[wire::ipv4::kProtocol] == std::byte{wire::ipv4::kProtocolTcp} && config_.tcp)
      return receive_tcp(packet, total_bytes, source, why);
    if (ip[wire::ipv4::kProtocol] != std::byte{wire::ipv4::kProtocolIcmp}) return drop(Drop::kIpProtocol, why);
    return receive_icmp(packet, total_bytes, now, why);
  }

  // UDP. Who asks is judged before the checksum is computed: a flood from elsewhere shall cost little.
  const std::byte* udp = ip + header_bytes;
  const std::size_t udp_room = total_bytes - header_bytes;
  if (udp_room < wire::udp::kHeaderBytes) [[unlikely]]
    return drop(Drop::kUdpHeader, why);
  const std::size_t udp_bytes = load_be<std::uint16_t>(udp + wire::udp::kLength);
  if (udp_bytes < wire::udp::kHeaderBytes || udp_bytes > udp_room) [[unlikely]]
    return drop(Drop::kUdpHeader, why);
  const auto peer_port = load_be<std::uint16_t>(udp + wire::udp::kSourcePort);
  if (peer_port < kPrivilegedPorts || !is_allowed(source)) [[unlikely]]
    return drop(Drop::kSourceRefused, why);
  if (sources_.limits() && !sources_.take(source.value, now.mono_ns)) [[unlikely]]
    return drop(Drop::kSourceRate, why);
  if (load_raw<std::uint16_t>(udp + wire::udp::kChecksum) != 0 &&
      (packet.flags & (kRxL4ChecksumGood | kRxL4ChecksumBad)) != kRxL4ChecksumGood) {
    if ((packet.flags & kRxL4ChecksumBad) != 0) return drop(Drop::kUdpChecksum, why);
    const Sum pseudo = Sum{load_raw<std::uint32_t>(ip + wire::ipv4::kSource)} + address_raw_ +
                       raw(wire::ipv4::kProtocolUdp) + byte_swap(static_cast<std::uint16_t>(udp_bytes));
    if (!is_intact(pseudo + sum_bytes(udp, udp_bytes))) [[unlikely]]
      return drop(Drop::kUdpChecksum, why);
  }
  const auto own_port = load_be<std::uint16_t>(udp + wire::udp::kDestinationPort);
  if (static_cast<std::uint16_t>(own_port - config_.udp_port_first) >= config_.udp_ports) [[unlikely]]
    return refuse_port(packet, now, why);

  const std::size_t bytes = l2_bytes + header_bytes + udp_bytes;
  if (bytes != packet.bytes) set_bytes(packet, bytes);
  if (header_bytes != wire::ipv4::kHeaderBytes) [[unlikely]]
    cut_options(packet);
  return Verdict::kUdp;
}

void Host::write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes) const noexcept {
  const std::size_t ip_bytes = flow.own.is_v4() ? wire::ipv4::kHeaderBytes : wire::ipv6::kHeaderBytes;
  MUST_LE(ip_bytes + wire::udp::kHeaderBytes + payload_bytes + packet.tail_bytes, std::size_t{config_.mtu});
  nicpipe::write_udp(packet, flow, payload_bytes, config_.capabilities);
}

void Host::turn_udp(Packet& packet, std::uint16_t payload_bytes) const noexcept {
  MUST_LE(packet.l3_bytes + wire::udp::kHeaderBytes + payload_bytes + packet.tail_bytes, std::size_t{config_.mtu});
  nicpipe::turn_udp(packet, payload_bytes, config_.capabilities);
}

Verdict Host::receive_arp(Packet& packet, Now now, Drop& why) noexcept {
  if (packet.bytes < packet.l2_bytes + wire::arp::kBytes) return drop(Drop::kRunt, why);
  std::byte* arp = packet.data + packet.l2_bytes;
  if (load_be<std::uint64_t>(arp) >> 16 != wire::arp::kFixedPart) return drop(Drop::kArp, why);
  const auto operation = load_be<std::uint16_t>(arp + wire::arp::kOperation);
  const Mac sender_mac = load_mac(arp + wire::arp::kSenderMac);
  const Ipv4 sender = load_ipv4(arp + wire::arp::kSenderAddress);
  // A sender of 0.0.0.0 is a probe (RFC 5227 section 2.1): somebody asks whether our address is taken. It is.
  const bool is_probe = sender.is_zero();
  if (sender_mac.is_group() || sender_mac.is_zero()) return drop(Drop::kArp, why);
  if (sender == config_.address) return drop(sender_mac == config_.mac ? Drop::kArp : Drop::kAddressConflict, why);
  if (!is_probe && (!sender.is_unicast() || subnet_.is_broadcast(sender))) return drop(Drop::kArp, why);
  const bool for_us = load_ipv4(arp + wire::arp::kTargetAddress) == config_.address;
  const bool to_our_mac = (load_raw<std::uint64_t>(packet.data) & kMacMask) == mac_raw_;
  const bool is_request = operation == wire::arp::kRequest;
  const bool is_reply_to_us = operation == wire::arp::kReply && for_us && to_our_mac;
  if (!is_probe && subnet_.contains(sender))
    neighbours_.learn(sender, sender_mac, now.mono_ns, for_us && (is_request || is_reply_to_us));
  if (is_reply_to_us) return Verdict::kArpLearned;
  if (!for_us || !is_request) return drop(Drop::kArp, why);

  write_link(packet.data, link_back(packet, config_.mac, sender_mac), wire::ethernet::kTypeArp);
  store_be(arp + wire::arp::kOperation, wire::arp::kReply);
  store_mac(arp + wire::arp::kSenderMac, config_.mac);
  store_ipv4(arp + wire::arp::kSenderAddress, config_.address);
  store_mac(arp + wire::arp::kTargetMac, sender_mac);
  store_ipv4(arp + wire::arp::kTargetAddress, sender);
  set_bytes(packet, packet.l2_bytes + wire::arp::kBytes);  // Padding is not ours to send back.
  packet.flags = 0;
  return Verdict::kArpReply;
}

Verdict Host::receive_tcp(Packet& packet, std::size_t ip_bytes, Ipv4 source, Drop& why) noexcept {
  if (!is_allowed(source)) return drop(Drop::kSourceRefused, why);
  const std::size_t bytes = packet.l2_bytes + ip_bytes;
  if (bytes != packet.bytes) set_bytes(packet, bytes);
  if (packet.l3_bytes != wire::ipv4::kHeaderBytes) cut_options(packet);
  return Verdict::kTcp;
}

/// Whether a whole ICMP message of `bytes` is an error about a TCP segment that `own` sent: type, quoted IP header, and
/// the 8 bytes behind it (RFC 792).
static bool is_tcp_error(const std::byte* icmp, std::size_t bytes, Ipv4 own) noexcept {
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp::kType]);
  if (type != wire::icmp::kUnreachable && type != wire::icmp::kTimeExceeded && type != wire::icmp::kParameterProblem)
    return false;
  if (bytes < wire::icmp::kHeaderBytes + wire::ipv4::kHeaderBytes + wire::icmp::kQuotedBytes) return false;
  const std::byte* quoted = icmp + wire::icmp::kHeaderBytes;
  const auto version_ihl = static_cast<std::uint8_t>(quoted[wire::ipv4::kVersionIhl]);
  const std::size_t header_bytes = std::size_t{version_ihl & 15u} * 4;
  return version_ihl >> 4 == 4 && header_bytes >= wire::ipv4::kHeaderBytes &&
         bytes >= wire::icmp::kHeaderBytes + header_bytes + wire::icmp::kQuotedBytes &&
         quoted[wire::ipv4::kProtocol] == std::byte{wire::ipv4::kProtocolTcp} &&
         load_ipv4(quoted + wire::ipv4::kSource) == own;
}

Verdict Host::receive_icmp(Packet& packet, std::size_t ip_bytes, Now now, Drop& why) noexcept {
  const std::size_t icmp_bytes = ip_bytes - packet.l3_bytes;
  const std::byte* received = packet.data + packet.l2_bytes + packet.l3_bytes;
  if (icmp_bytes < wire::icmp::kHeaderBytes) return drop(Drop::kIcmp, why);
  if (config_.tcp && is_tcp_error(received, icmp_bytes, config_.address)) {
    if (!is_intact(sum_bytes(received, icmp_bytes))) return drop(Drop::kIcmp, why);
    set_bytes(packet, packet.l2_bytes + ip_bytes);
    if (packet.l3_bytes != wire::ipv4::kHeaderBytes) cut_options(packet);
    return Verdict::kTcpError;
  }
  constexpr std::uint16_t kEchoRequestRaw = raw(std::uint16_t{wire::icmp::kEchoRequest} << 8);  // Type, then code 0.
  if (load_raw<std::uint16_t>(received + wire::icmp::kType) != kEchoRequestRaw) return drop(Drop::kIcmp, why);
  if (!is_intact(sum_bytes(received, icmp_bytes))) return drop(Drop::kIcmp, why);
  if (!echoes_.take(now.mono_ns)) return drop(Drop::kIcmp, why);

  set_bytes(packet, packet.l2_bytes + ip_bytes);
  if (packet.l3_bytes != wire::ipv4::kHeaderBytes) cut_options(packet);
  std::byte* ip = packet.data + packet.l2_bytes;
  std::byte* icmp = ip + wire::ipv4::kHeaderBytes;
  const Mac peer_mac = load_mac(packet.data + wire::ethernet::kSource);
  write_link(packet.data, link_back(packet, config_.mac, peer_mac), wire::ethernet::kTypeIpv4);
  const auto tos = static_cast<std::uint8_t>(ip[wire::ipv4::kTos]);  // Kept, as RFC 1122 section 3.2.2.6 asks.
  write_ipv4(ip, config_.address, load_ipv4(ip + wire::ipv4::kSource), wire::ipv4::kProtocolIcmp, tos,
             static_cast<std::uint16_t>(wire::ipv4::kHeaderBytes + icmp_bytes), true);
  constexpr std::uint16_t kEchoReplyRaw = raw(std::uint16_t{wire::icmp::kEchoReply} << 8);
  store_raw(icmp + wire::icmp::kType, kEchoReplyRaw);
  std::uint16_t checksum =
      updated_checksum(load_raw<std::uint16_t>(icmp + wire::icmp::kChecksum), kEchoRequestRaw, kEchoReplyRaw);
  if (checksum == 0) [[unlikely]] {
    // Minus zero or zero: the update cannot tell them apart (RFC 1624 section 3), and a message of nothing but zeros
    // has the other one.
    store_raw<std::uint16_t>(icmp + wire::icmp::kChecksum, 0);
    checksum = checksum_of(sum_bytes(icmp, icmp_bytes));
  }
  store_raw(icmp + wire::icmp::kChecksum, checksum);
  packet.flags = 0;
  return Verdict::kEchoReply;
}

Verdict Host::refuse_port(Packet& packet, Now now, Drop& why) noexcept {
  // The message quotes the datagram's IP header and its first 8 bytes; they stay where they are if the headroom holds
  // the new headers, else they move back. Broadcasts, fragments and refused sources never come here (RFC 1122
  // section 3.2.2).
  constexpr std::size_t kNewBytes = wire::ipv4::kHeaderBytes + wire::icmp::kHeaderBytes;
  const std::size_t l2_bytes = packet.l2_bytes;
  const std::size_t quoted_bytes = packet.l3_bytes + wire::icmp::kQuotedBytes;
  const bool in_front = packet.headroom >= kNewBytes;
  const std::size_t room = std::size_t{packet.bytes} + packet.tailroom;
  if (!in_front && room < l2_bytes + kNewBytes + quoted_bytes) return drop(Drop::kUdpPort, why);
  if (!unreachables_.take(now.mono_ns)) return drop(Drop::kUdpPort, why);

  const Link link = link_back(packet, config_.mac, load_mac(packet.data + wire::ethernet::kSource));
  const Ipv4 peer = load_ipv4(packet.data + l2_bytes + wire::ipv4::kSource);
  if (in_front) {
    move_front(packet, -static_cast<std::ptrdiff_t>(kNewBytes));
  } else {
    std::memmove(packet.data + l2_bytes + kNewBytes, packet.data + l2_bytes, quoted_bytes);
  }
  write_link(packet.data, link, wire::ethernet::kTypeIpv4);
  std::byte* ip = packet.data + l2_bytes;
  write_ipv4(ip, config_.address, peer, wire::ipv4::kProtocolIcmp, 0,
             static_cast<std::uint16_t>(kNewBytes + quoted_bytes), true);
  std::byte* icmp = ip + wire::ipv4::kHeaderBytes;
  icmp[wire::icmp::kType] = std::byte{wire::icmp::kUnreachable};
  icmp[wire::icmp::kCode] = std::byte{wire::icmp::kPortUnreachable};
  store_raw<std::uint16_t>(icmp + wire::icmp::kChecksum, 0);
  store_raw<std::uint32_t>(icmp + wire::icmp::kRest, 0);
  store_raw(icmp + wire::icmp::kChecksum, checksum_of(sum_bytes(icmp, wire::icmp::kHeaderBytes + quoted_bytes)));
  set_bytes(packet, l2_bytes + kNewBytes + quoted_bytes);
  packet.l3_bytes = wire::ipv4::kHeaderBytes;
  packet.flags = 0;
  return Verdict::kUnreachable;
}

}  // namespace gannet::nicpipe
