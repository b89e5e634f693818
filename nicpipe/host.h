/// Our presence on one port: whose frames we take, what we answer ourselves (ARP, ping, "no such port"), and what
/// reaches the application as a UDP datagram. A pure machine: frame and time in, verdict out. One instance per worker
/// and port; no thread safety, no allocation after the constructor, no clock.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "nicpipe/address.h"
#include "nicpipe/arp_table.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/packet.h"
#include "nicpipe/source_limiter.h"
#include "nicpipe/token_bucket.h"
#include "nicpipe/udp.h"

namespace gannet::nicpipe {

inline constexpr std::size_t kAllowedPrefixesMax = 32;

struct HostConfig {
  Mac mac;                        ///< The port's; not zero, not a group address.
  Ipv4 address;                   ///< Ours; unicast.
  std::uint8_t prefix_bits = 24;  ///< Of our subnet, 1..32.
  std::uint16_t mtu = 1500;       ///< Largest IP datagram we may send, 576..65535.
  std::uint16_t vlan = 0;         ///< 1..4094: only frames with this tag are ours. 0: untagged and any tag alike.
  Capabilities capabilities;      ///< Of the port: which checksums the device makes.
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
  kEchoReply,    ///< The packet has become our ping reply: send it.
  kUnreachable,  ///< The packet has become our ICMP port-unreachable message: send it.
  kTcp,          ///< A TCP segment to us from an allowed source, unread beyond its IP header: for tcp::Engine::receive.
  kTcpError,     ///< An ICMP error quoting a TCP segment from us: for tcp::Engine::receive_icmp.
};
inline constexpr std::size_t kVerdicts = 8;

/// Why a frame was dropped. Checked in about this order; the first that holds is told.
enum class Drop : std::uint8_t {
  kRunt,        ///< Shorter than the headers it announces.
  kNotOurs,     ///< Another MAC, VLAN or IP address; or broadcast or multicast that is not ARP.
  kEthertype,   ///< Neither IPv4 nor ARP (IPv6, 802.3 lengths and a second VLAN tag are here).
  kIpHeader,    ///< IPv4 version, header length, total length or source address is impossible (RFC 1122 section 3.2.1).
  kIpChecksum,  ///< IPv4 header checksum is wrong.
  kIpFragment,  ///< A fragment: a request must fit one frame.
  kIpProtocol,  ///< Neither UDP nor ICMP, nor TCP where it is served.
  kUdpHeader,   ///< UDP length is under 8 or beyond the IP datagram.
  kSourceRefused,  ///< Source outside the allowed prefixes, a source port below 1024, or a group address as source MAC.
  kSourceRate,     ///< The source sends more datagrams than limit_sources() allows.
  kUdpChecksum,    ///< UDP checksum is there and wrong.
  kUdpPort,  ///< A UDP port that is not served, and the rate limit (or the buffer's room) forbids the ICMP message.
  kArp,      ///< ARP: malformed, not for our address, or its sender claims our address.
  kIcmp,     ///< ICMP: malformed, wrong checksum, no echo request, or above the rate limit.
};
inline constexpr std::size_t kDrops = 14;

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
  /// checksum of 0 is "none" and accepted (RFC 768), whatever the device thinks of it. The source of a datagram must
  /// lie in an allowed prefix and use a port of 1024 or above, or it gets no answer of any kind. On kTcp and kTcpError
  /// padding and IP options are cut off in the same way; ports and TCP checksum are the engine's to judge.
  [[nodiscard]] Verdict receive(Packet& packet, Now now, UdpView& out, Drop& why) noexcept {
    const Verdict verdict = receive(packet, now, why);
    if (verdict == Verdict::kUdp) out = {udp_flow(packet), udp_payload(packet)};
    return verdict;
  }

  /// The same for a caller that reads udp_flow(packet) and udp_payload(packet) when it needs them.
  [[nodiscard]] Verdict receive(Packet& packet, Now now, Drop& why) noexcept;

  /// Headers for an answer on this port; see udp.h. MUST: the datagram fits the MTU.
  void write_udp(Packet& packet, const UdpFlow& flow, std::uint16_t payload_bytes) const noexcept;

  /// Sources that get UDP answered, from now on. Empty: our own subnet, as at the start. At most kAllowedPrefixesMax.
  void allow(std::span<const Ipv4Prefix> prefixes) noexcept;

  /// Datagrams a second that this instance takes from one source address, from now on; 0: any number, as at the start.
  void limit_sources(std::uint32_t per_s) noexcept { sources_.set(per_s); }

  /// Payload bytes one answer datagram can hold.
  [[nodiscard]] std::uint16_t udp_payload_max() const noexcept { return udp_payload_bytes_max(config_.mtu); }
  [[nodiscard]] const HostConfig& config() const noexcept { return config_; }
  /// Whom we have heard of by ARP; for frames that we start ourselves (an answer needs no table: it goes back where the
  /// request came from).
  [[nodiscard]] const ArpTable& neighbours() const noexcept { return neighbours_; }

 private:
  struct Allowed {
    std::uint32_t mask, value;
  };

  [[nodiscard]] bool is_allowed(Ipv4 source) const noexcept;
  [[nodiscard]] bool is_possible_source(Ipv4 source) const noexcept;
  Verdict receive_arp(Packet& packet, Now now, Drop& why) noexcept;
  Verdict receive_tcp(Packet& packet, std::size_t ip_bytes, Ipv4 source, Drop& why) noexcept;
  Verdict receive_icmp(Packet& packet, std::size_t ip_bytes, Now now, Drop& why) noexcept;
  Verdict refuse_port(Packet& packet, Now now, Drop& why) noexcept;

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
};

}  // namespace gannet::nicpipe
