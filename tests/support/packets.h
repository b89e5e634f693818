/// Frames spelt in words, for tests of every room:
///
///     appliance.receive(udp("10.77.0.1:4000", "10.77.0.2:11211").payload("hello").vlan(5));
///     REQUIRE(describe(appliance.sent()) == describe(udp("10.77.0.2:11211",
///     "10.77.0.1:4000").payload("hello").vlan(5)));
///
/// A frame without further words is exactly what Gannet itself would send: identification 0, don't fragment, TTL 64,
/// right checksums, no padding. MACs follow from the addresses (mac_of). Checksums are made here by a naive loop, not
/// by nicpipe's. Addresses are of either family; an IPv6 address with a port is written "[fd77::1]:4000".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nicpipe/address.h"
#include "nicpipe/ip_address.h"
#include "tests/support/frame_bytes.h"

namespace gannet::test {

/// 02:00 and the four bytes of the address; of an IPv6 unicast address 02:06 and its last four; of a group its own.
[[nodiscard]] nicpipe::Mac mac_of(nicpipe::Ipv4 address);
[[nodiscard]] nicpipe::Mac mac_of(const nicpipe::IpAddress& address);
[[nodiscard]] nicpipe::Mac mac(std::string_view text);       ///< Aborts the program on anything but a MAC.
[[nodiscard]] nicpipe::Ipv4 ipv4(std::string_view text);     ///< Likewise.
[[nodiscard]] nicpipe::IpAddress ip(std::string_view text);  ///< Likewise; either family.

/// The checksum of RFC 1071, word by word, big-endian, as one would write it from the text.
[[nodiscard]] std::uint16_t naive_checksum(Bytes bytes);

class FrameBuilder {
 public:
  enum class Kind : std::uint8_t { kUdp, kIcmp, kIp, kArp };

  // Content.
  FrameBuilder& payload(Bytes bytes) { return set(payload_, Frame(bytes.begin(), bytes.end())); }
  FrameBuilder& payload(std::string_view text) { return payload(as_bytes(text)); }
  FrameBuilder& vlan(std::uint16_t tci) { return set(vlan_, tci); }
  FrameBuilder& ip_options(std::size_t bytes) { return set(options_, Frame(bytes, std::byte{1})); }  ///< 4..40, by 4.
  /// IPv6: one more extension header of `bytes` (by 8) behind those there are, of padding options; `body` replaces what
  /// lies behind its two first bytes.
  FrameBuilder& extension(std::uint8_t type, std::size_t bytes = 8, Bytes body = {});
  FrameBuilder& tos(std::uint8_t value) { return set(tos_, value); }
  FrameBuilder& ttl(std::uint8_t value) { return set(ttl_, value); }  ///< Or hop limit.
  FrameBuilder& id(std::uint16_t value) { return set(id_, value); }
  FrameBuilder& fragment(std::uint16_t field) { return set(fragment_, field); }  ///< All 16 bits: flags and offset.
  FrameBuilder& no_checksum() { return set(no_checksum_, true); }                ///< UDP checksum 0.
  FrameBuilder& padded() { return set(bytes_min_, 60); }                         ///< With zeros to Ethernet's minimum.
  FrameBuilder& trailing(std::size_t bytes) { return set(trailing_, bytes); }    ///< Bytes 0xee behind the datagram.
  FrameBuilder& from_mac(nicpipe::Mac value) { return set(from_mac_, value); }
  FrameBuilder& to_mac(nicpipe::Mac value) { return set(to_mac_, value); }

  // Lies. Lengths and checksums that are not lied about are made to fit.
  FrameBuilder& bad_checksum() { return set(bad_checksum_, true); }  ///< Of UDP or ICMP.
  FrameBuilder& bad_ip_checksum() { return set(bad_ip_checksum_, true); }
  FrameBuilder& version(std::uint8_t value) { return set(version_, value); }
  FrameBuilder& header_words(std::uint8_t value) { return set(header_words_, value); }  ///< IHL only; the header stays.
  FrameBuilder& total_length(std::uint16_t value) { return set(total_length_, value); }
  FrameBuilder& udp_length(std::uint16_t value) { return set(udp_length_, value); }
  FrameBuilder& ethertype(std::uint16_t value) { return set(ethertype_, value); }
  FrameBuilder& icmp_type(std::uint8_t type, std::uint8_t code) { return set(icmp_type_, type).set(icmp_code_, code); }
  FrameBuilder& icmp_rest(std::uint32_t value) {
    return set(icmp_rest_, value);
  }  ///< The four bytes behind the checksum.
  FrameBuilder& arp_operation(std::uint16_t value) { return set(arp_operation_, value); }
  FrameBuilder& cut(std::size_t bytes) {
    return set(cut_, bytes);
  }  ///< Only that many first bytes of the frame arrive.

  [[nodiscard]] Frame frame() const;
  operator Frame() const { return frame(); }  // NOLINT(google-explicit-constructor): that is the point of it.

 private:
  friend FrameBuilder udp(std::string_view, std::string_view);
  friend FrameBuilder echo_request(std::string_view, std::string_view, std::uint16_t, std::uint16_t);
  friend FrameBuilder echo_reply(std::string_view, std::string_view, std::uint16_t, std::uint16_t);
  friend FrameBuilder port_unreachable(std::string_view, std::string_view, const Frame&);
  friend FrameBuilder ip_packet(std::string_view, std::string_view, std::uint8_t);
  friend FrameBuilder arp_request(std::string_view, std::string_view);
  friend FrameBuilder arp_reply(std::string_view, std::string_view);
  friend FrameBuilder neighbour_solicitation(std::string_view, std::string_view);
  friend FrameBuilder neighbour_advertisement(std::string_view, std::string_view, std::string_view, std::uint32_t);

  FrameBuilder(Kind kind, std::string_view from, std::string_view to);
  template <class T, class V>
  FrameBuilder& set(T& field, V value) {
    field = value;
    return *this;
  }
  [[nodiscard]] Frame ip_payload() const;
  [[nodiscard]] Frame arp_body() const;

  Kind kind_;
  [[nodiscard]] Frame ip_header(std::size_t body_bytes) const;
  [[nodiscard]] Frame ip6_header(std::size_t body_bytes) const;
  [[nodiscard]] bool is_v4() const { return from_.is_v4(); }

  nicpipe::IpAddress from_, to_;
  std::uint16_t from_port_ = 0, to_port_ = 0;
  nicpipe::Mac from_mac_, to_mac_;
  std::optional<std::uint16_t> vlan_, total_length_, udp_length_, ethertype_;
  std::optional<std::uint8_t> header_words_;
  std::uint32_t icmp_rest_ = 0;
  Frame options_, extensions_, payload_;
  std::vector<std::uint8_t> extension_types_;
  std::optional<std::uint8_t> version_;
  std::uint8_t tos_ = 0, ttl_ = 64, protocol_ = 17, icmp_type_ = 0, icmp_code_ = 0;
  std::uint16_t id_ = 0, fragment_ = 0x4000, arp_operation_ = 0;
  bool no_checksum_ = false, bad_checksum_ = false, bad_ip_checksum_ = false;
  std::size_t bytes_min_ = 0, trailing_ = 0, cut_ = SIZE_MAX;
};

/// "address:port" both.
[[nodiscard]] FrameBuilder udp(std::string_view from, std::string_view to);
[[nodiscard]] FrameBuilder echo_request(std::string_view from, std::string_view to, std::uint16_t id,
                                        std::uint16_t sequence);
[[nodiscard]] FrameBuilder echo_reply(std::string_view from, std::string_view to, std::uint16_t id,
                                      std::uint16_t sequence);
/// Quotes IP header and 8 bytes of `offending`; over IPv6 all of it, up to 1232 bytes.
[[nodiscard]] FrameBuilder port_unreachable(std::string_view from, std::string_view to, const Frame& offending);
/// Any IP protocol; payload() is all there is behind the IP header.
[[nodiscard]] FrameBuilder ip_packet(std::string_view from, std::string_view to, std::uint8_t protocol);
/// Broadcast: who has `target`, tell `from`.
[[nodiscard]] FrameBuilder arp_request(std::string_view from, std::string_view target);
/// Unicast: `from` is at its MAC, to `to`.
[[nodiscard]] FrameBuilder arp_reply(std::string_view from, std::string_view to);

/// Over IPv6, hop limit 255, to the solicited-node group of `target`, with the sender's MAC; from "::": a probe
/// without.
[[nodiscard]] FrameBuilder neighbour_solicitation(std::string_view from, std::string_view target);
/// `target` is at its MAC; flags as in the message: 0x60000000 is solicited and override.
[[nodiscard]] FrameBuilder neighbour_advertisement(std::string_view from, std::string_view to, std::string_view target,
                                                   std::uint32_t flags = 0x6000'0000);

/// Every header field in words, then all payload bytes in hex; two frames with the same description are the same frame.
/// Total: any bytes.
[[nodiscard]] std::string describe(Bytes frame);

/// Empty if `frame` is whole and right in every length and checksum (Ethernet with or without a tag; ARP, or IPv4 or
/// IPv6 with UDP, TCP or ICMP), else the first fault in words. Padding behind the datagram is a fault: Gannet sends
/// none.
[[nodiscard]] std::string fault_of(Bytes frame);

}  // namespace gannet::test
