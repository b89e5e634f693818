/// An address of either family in one 16-byte value: IPv6 as it is, IPv4 mapped into ::ffff:0:0/96 (RFC 4291 section
/// 2.5.5.2). What works on conversations of both families keeps this.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "nicpipe/address.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

struct IpAddress {
  std::uint64_t high = 0;  ///< First eight bytes, as a big-endian number.
  std::uint64_t low = 0;   ///< Last eight.

  static constexpr std::uint64_t kMapped = 0xffff'0000'0000;

  constexpr IpAddress() = default;
  constexpr IpAddress(std::uint64_t first, std::uint64_t second) : high(first), low(second) {}
  constexpr IpAddress(Ipv4 address) : low(kMapped | address.value) {}  // NOLINT: meant to convert.

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
  [[nodiscard]] constexpr bool is_v4() const noexcept { return high == 0 && low >> 32 == kMapped >> 32; }
  /// Needs is_v4().
  [[nodiscard]] constexpr Ipv4 v4() const noexcept { return {static_cast<std::uint32_t>(low)}; }
  /// :: , which no conversation has.
  [[nodiscard]] constexpr bool is_zero() const noexcept { return (high | low) == 0; }
  /// ff00::/8.
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return high >> 56 == 0xff; }
  /// An address that one host of an IPv6 wire may have: not multicast, nor in ::/96 or ::ffff:0:0/96, where ::,
  /// loopback and embedded IPv4 addresses lie (RFC 4291 section 2.5).
  [[nodiscard]] constexpr bool is_unicast6() const noexcept {
    return !is_multicast() && !(high == 0 && (low >> 32 == 0 || low >> 32 == kMapped >> 32));
  }
};
static_assert(sizeof(IpAddress) == 16);

/// Needs 16 readable bytes in network order.
[[nodiscard]] inline IpAddress load_ipv6(const std::byte* at) noexcept {
  return {load_be<std::uint64_t>(at), load_be<std::uint64_t>(at + 8)};
}
/// Needs 16 writable bytes.
inline void store_ipv6(std::byte* at, const IpAddress& address) noexcept {
  store_be(at, address.high);
  store_be(at + 8, address.low);
}

/// Everybody on the link (RFC 4291 section 2.7.1).
inline constexpr IpAddress kAllNodes{0xff02'0000'0000'0000, 1};
/// Routers and switches that listen to multicast listener reports (RFC 3810 section 5.2.14).
inline constexpr IpAddress kMldRouters{0xff02'0000'0000'0000, 0x16};
/// The group that is asked for `address` by neighbour discovery: ff02::1:ff00:0/104 and its last 24 bits.
[[nodiscard]] constexpr IpAddress solicited_node_of(const IpAddress& address) noexcept {
  return {0xff02'0000'0000'0000, 0x1'ff00'0000 | (address.low & 0xff'ffff)};
}
/// Where a multicast group's frames go: 33:33 and its last four bytes (RFC 2464 section 7).
[[nodiscard]] constexpr Mac group_mac_of(const IpAddress& group) noexcept {
  return {{0x33, 0x33, static_cast<std::uint8_t>(group.low >> 24), static_cast<std::uint8_t>(group.low >> 16),
           static_cast<std::uint8_t>(group.low >> 8), static_cast<std::uint8_t>(group.low)}};
}
/// fe80:: and the interface identifier made from the MAC (RFC 4291 appendix A).
[[nodiscard]] constexpr IpAddress link_local_of(const Mac& mac) noexcept {
  const auto byte = [&mac](std::size_t i, unsigned shift) { return std::uint64_t{mac.bytes[i]} << shift; };
  return {0xfe80'0000'0000'0000, (byte(0, 56) ^ std::uint64_t{2} << 56) | byte(1, 48) | byte(2, 40) |
                                     std::uint64_t{0xfffe} << 24 | byte(3, 16) | byte(4, 8) | byte(5, 0)};
}

/// The groups that a host with `mac` and `address` must hear for neighbour discovery: those that are asked for its two
/// addresses, and all nodes.
[[nodiscard]] constexpr std::array<Mac, 3> group_macs_of(const Mac& mac, const IpAddress& address) noexcept {
  return {group_mac_of(solicited_node_of(address)), group_mac_of(solicited_node_of(link_local_of(mac))),
          group_mac_of(kAllNodes)};
}

/// A prefix of either family. `bits` 0..128 of the 16-byte form: an IPv4 /24 is 120. Host bits of `address` are
/// ignored.
struct IpPrefix {
  IpAddress address;
  std::uint8_t bits = 128;

  constexpr IpPrefix() = default;
  constexpr IpPrefix(const IpAddress& of, std::uint8_t length) : address(of), bits(length) {}
  constexpr IpPrefix(const Ipv4Prefix& prefix)  // NOLINT: meant to convert.
      : address(prefix.address), bits(static_cast<std::uint8_t>(96 + prefix.bits)) {}

  friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
  [[nodiscard]] constexpr bool is_v4() const noexcept { return bits >= 96 && address.is_v4(); }
  [[nodiscard]] constexpr IpAddress mask() const noexcept {
    constexpr std::uint64_t kAll = ~std::uint64_t{0};
    return {bits >= 64  ? kAll
            : bits == 0 ? 0
                        : kAll << (64 - bits),
            bits >= 128  ? kAll
            : bits <= 64 ? 0
                         : kAll << (128 - bits)};
  }
  [[nodiscard]] constexpr bool contains(const IpAddress& other) const noexcept {
    const IpAddress wanted = mask();
    return (((other.high ^ address.high) & wanted.high) | ((other.low ^ address.low) & wanted.low)) == 0;
  }
};

/// fe80::/10: valid on one link.
inline constexpr IpPrefix kLinkLocal{{0xfe80'0000'0000'0000, 0}, 10};

/// "fd77::2" (RFC 4291 section 2.2), or an IPv4 address as parse(Ipv4) takes it. False leaves `out` untouched.
[[nodiscard]] bool parse(std::string_view text, IpAddress& out) noexcept;
/// "fd77::/64", a lone address for all its bits, or an IPv4 prefix. False leaves `out` untouched.
[[nodiscard]] bool parse(std::string_view text, IpPrefix& out) noexcept;

/// The shortest form (RFC 5952); of a mapped address IPv4's.
[[nodiscard]] std::string to_text(const IpAddress& address);
[[nodiscard]] std::string to_text(const IpPrefix& prefix);

}  // namespace gannet::nicpipe
