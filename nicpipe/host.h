/// Our presence on one port: whose frames we take, what we answer ourselves (ARP, neighbour discovery, ping, "no such
/// port"), and what reaches the application as a UDP datagram or goes to the TCP engine. A pure machine: frame and time
/// in, verdict out. One instance per worker and port; no thread safety, no allocation after the constructor, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "nicpipe/address.h"
#include "nicpipe/arp_table.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/ndp.h"
#include "nicpipe/packet.h"
#include "nicpipe/source_limiter.h"
#include "nicpipe/token_bucket.h"
#include "nicpipe/udp.h"

namespace gannet::nicpipe {

inline constexpr std::size_t kAllowedPrefixesMax = 32;

struct HostConfig {
  Mac mac;                         ///< The port's; not zero, not a group address.
  Ipv4 address;                    ///< Ours; unicast.
  std::uint8_t prefix_bits = 24;   ///< Of our subnet, 1..32.
  IpAddress address6;              ///< Ours over IPv6, unicast; zero: IPv6 is not spoken. Beside it we have the
                                   ///< link-local address that follows from the MAC.
  std::uint8_t prefix6_bits = 64;  ///< Of our subnet there, 1..128.
  std::uint16_t mtu = 1500;        ///< Largest IP datagram we may send, 576..65535; with IPv6 from 1280.
  std::uint16_t vlan = 0;          ///< 1..4094: only frames with this tag are ours. 0: untagged and any tag alike.
  Capabilities capabilities;       ///< Of the port: which checksums the device makes.
  std::uint16_t udp_port_first = 11211;
  std::uint16_t udp_ports =
      1;             ///< Served: udp_port_first .. udp_port_first + udp_ports - 1. A served port may be below 1024.
  bool tcp = false;  ///< Somebody takes TCP segments and ICMP errors about them; else they are dropped.
  std::uint32_t echoes_per_s = 10'000;     ///< Ping replies of this instance; 0: none.
  std::uint32_t unreachables_per_s = 100;  ///< ICMP port-unreachable messages of this instance; 0: none.
};

/// What became of a frame. Exactly one of these, always.
enum class Verdict : std::uint8_t {
  kUdp,          ///< A datagram for a served port from an allowed source: the application's now.
  kDrop,         ///< Not for us or not right; `why` says which. Free the packet.
  kArpLearned,   ///< An ARP reply to us; its sender is in neighbours(). Free the packet.
  kArpReply,     ///< The packet has become our ARP reply: send it.
  kNdpLearned,   ///< A neighbour advertisement to us; its sender is in neighbours6(). Free the packet.
  kNdpReply,     ///< The packet has become our neighbour advertisement or multicast listener report: send it.
  kEchoReply,    ///< The packet has become our ping reply: send it.
  kUnreachable,  ///< The packet has become our ICMP port-unreachable message: send it.
  kTcp,          ///< A TCP segment to us from an allowed source, unread beyond its IP header: for tcp::Engine::receive.
  kTcpError,     ///< An ICMP error quoting a TCP segment from us: for tcp::Engine::receive_icmp.
};
inline constexpr std::size_t kVerdicts = 10;

/// Why a frame was dropped. Checked in about this order; the first that holds is told.
enum class Drop : std::uint8_t {
  kRunt,        ///< Shorter than the headers it announces.
  kNotOurs,     ///< Another MAC, VLAN or IP address; or broadcast or multicast that is neither ARP nor neighbour
                ///< discovery.
  kEthertype,   ///< None of ARP, IPv4 and, where we have an address, IPv6 (802.3 lengths, a second VLAN tag, ...).
  kIpHeader,    ///< IPv4 version, header length, total length or source address is impossible (RFC 1122 section 3.2.1).
  kIpChecksum,  ///< IPv4 header checksum is wrong.
  kIpFragment,  ///< A fragment of either family: a request must fit one frame.
  kIpProtocol,  ///< Neither UDP nor ICMP, nor TCP where it is served.
  kUdpHeader,   ///< UDP length is under 8 or beyond the IP datagram.
  kSourceRefused,  ///< Source outside the allowed prefixes, a source port below 1024, or a group address as source MAC.
  kSourceRate,     ///< The source sends more datagrams than limit_sources() allows.
  kUdpChecksum,    ///< UDP checksum is there and wrong, or is not there over IPv6 (RFC 8200 section 8.1).
  kUdpPort,  ///< A UDP port that is not served, and the rate limit (or the buffer's room) forbids the ICMP message.
  kArp,      ///< ARP: malformed, or not for our address.
  kAddressConflict,  ///< ARP or neighbour discovery of somebody else who claims an address of ours.
  kIcmp,             ///< ICMP of either family: malformed, wrong checksum, no echo request, or above the rate limit.
  kIp6Header,        ///< IPv6 version, payload length or source address is impossible.
  kIp6Extension,     ///< A routing header, or options that are malformed, too long, or forbid who does not know them.
  kNdp,  ///< Neighbour or listener discovery: malformed, not from our link, or not about our address; also router
         ///< discovery and redirects, which we take no part in.
};
inline constexpr std::size_t kDrops = 18;

/// "runt", "not_ours" ... The statistics' names are these behind "drop_".
[[nodiscard]] std::string_view to_text(Drop drop) noexcept;
[[nodiscard]] std::string_view to_text(Verdict verdict) noexcept;

/// A datagram as the application gets it.
struct UdpView {
  UdpFlow flow;          ///< A copy; answer with write_udp(packet, flow, ...).
  MutableBytes payload;  ///< Inside the packet's buffer; valid as long as the packet. May be empty.
};

class Host {
 public:
  explicit Host(const HostConfig& config);

  /// Judges one received frame. Needs: packet.data, bytes, headroom, tailroom and flags as rx_burst filled them.
  /// On kUdp `out` is filled, padding behind the datagram and IP options are cut off (data, bytes, headroom, tailroom
  /// follow), l2_bytes and l3_bytes are set. On a reply the packet is ready for tx_burst: its flags ask the device for
  /// nothing. On kDrop `why` is filled, on all else it is untouched; the packet is to be freed and its bytes mean
  /// nothing. Checksums: the device's word is taken where it gives one (flags), else they are verified here. A UDP
  /// checksum of 0 is "none" and accepted over IPv4 (RFC 768), whatever the device thinks of it. The source of a
  /// datagram must lie in an allowed prefix and use a port of 1024 or above, or it gets no answer of any kind. On kTcp
  /// and kTcpError padding, IP options and extension headers are cut off in the same way; ports and TCP checksum are
  /// the engine's to judge.
  [[nodiscard]] Verdict receive(Packet& packet, Now now, UdpView& out, Drop& why) noexcept {
    const Verdict verdict = receive(packet, now, why);
    if (verdict == Verdict::kUdp) out = {udp_flow(packet), udp_payload(packet)};
    return verdict;
  }

  /// The same for a caller that reads udp_flow(packet) and udp_payload(packet) when it needs them.
  [[nodiscard]] Verdict receive(Packet& packet, Now now, Drop& why) noexcept;

  /// Headers for an answer on this port; see udp.h. MUST: the datagram fits the MTU.
  void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes) const noexcept;
  /// The same for an answer that lies over its request.
  void turn_udp(Packet& packet, std::uint16_t payload_bytes) const noexcept;

  /// Sources of either family that get UDP and TCP answered, from now on. Empty: our own subnets and link-local
  /// addresses, as at the start. At most kAllowedPrefixesMax.
  void allow(std::span<const IpPrefix> prefixes) noexcept;

  /// Datagrams a second that this instance takes from one source address, from now on; 0: any number, as at the start.
  void limit_sources(std::uint32_t per_s) noexcept { sources_.set(per_s); }

  /// Payload bytes one answer datagram can hold, of whichever family.
  [[nodiscard]] std::uint16_t udp_payload_max() const noexcept { return udp_payload_bytes_max(config_.mtu, has6()); }
  [[nodiscard]] const HostConfig& config() const noexcept { return config_; }
  /// Whom we have heard of by ARP; for frames that we start ourselves (an answer needs no table: it goes back where the
  /// request came from).
  [[nodiscard]] const ArpTable& neighbours() const noexcept { return neighbours_; }
  /// The same by neighbour discovery.
  [[nodiscard]] const NdpTable& neighbours6() const noexcept { return neighbours6_; }
  [[nodiscard]] bool has6() const noexcept { return !config_.address6.is_zero(); }

 private:
  struct Allowed {
    std::uint32_t mask, value;
  };
  struct Ip6Packet;  // What host6.cc knows of the packet it judges.

  [[nodiscard]] bool is_allowed(Ipv4 source) const noexcept;
  [[nodiscard]] bool is_possible_source(Ipv4 source) const noexcept;
  Verdict receive_arp(Packet& packet, Now now, Drop& why) noexcept;
  Verdict receive_tcp(Packet& packet, std::size_t ip_bytes, Ipv4 source, Drop& why) noexcept;
  Verdict receive_icmp(Packet& packet, std::size_t ip_bytes, Now now, Drop& why) noexcept;
  Verdict refuse_port(Packet& packet, Now now, Drop& why) noexcept;

  // host6.cc
  void start6() noexcept;
  [[nodiscard]] bool is_allowed6(const IpAddress& source) const noexcept;
  [[nodiscard]] bool is_ours6(const IpAddress& address) const noexcept {
    return address == config_.address6 || address == link_local_;
  }
  [[nodiscard]] bool is_our_group_mac(std::uint64_t mac_raw) const noexcept;
  Verdict receive_ip6(Packet& packet, Now now, Drop& why) noexcept;
  Verdict receive_udp6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;
  Verdict receive_tcp6(Packet& packet, const Ip6Packet& ip, Drop& why) noexcept;
  Verdict receive_icmp6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;
  Verdict receive_echo6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;
  Verdict receive_ndp(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;
  Verdict receive_advertisement(const Packet& packet, const Ip6Packet& ip, Bytes message, Now now, Drop& why) noexcept;
  Verdict receive_mld_query(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;
  Verdict refuse_port6(Packet& packet, const Ip6Packet& ip, Now now, Drop& why) noexcept;

  HostConfig config_;
  std::uint64_t mac_raw_ = 0;      ///< Our MAC in the low 48 bits, as a frame's first eight bytes load.
  std::uint32_t address_raw_ = 0;  ///< Our address as it lies in a frame.
  Ipv4Prefix subnet_;
  Ipv4 subnet_first_, subnet_last_;  ///< No host's addresses; 0.0.0.0 where the subnet has none (/31, /32).
  std::uint32_t allowed_count_ = 0;
  std::array<Allowed, kAllowedPrefixesMax> allowed_{};
  TokenBucket echoes_, unreachables_;
  SourceLimiter sources_;
  ArpTable neighbours_;

  IpAddress link_local_;
  std::array<std::uint64_t, 3>
      group_macs_raw_{};  ///< Of the solicited-node groups of our two addresses, and of all nodes.
  IpPrefix subnet6_;
  std::uint32_t allowed6_count_ = 0;
  std::array<IpPrefix, kAllowedPrefixesMax> allowed6_{};
  NdpTable neighbours6_;
};

}  // namespace gannet::nicpipe
