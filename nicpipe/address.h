/// Addresses as values: a MAC, an IPv4 address, an IPv4 prefix. Small, comparable, made from text and back.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// A MAC address, bytes in wire order.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  friend constexpr auto operator<=>(const Mac&, const Mac&) = default;
  /// Multicast or broadcast: never a sender, never somebody to answer.
  [[nodiscard]] constexpr bool is_group() const noexcept { return (bytes[0] & 1) != 0; }
  [[nodiscard]] constexpr bool is_zero() const noexcept { return *this == Mac{}; }
};
static_assert(sizeof(Mac) == 6);

inline constexpr Mac kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/// Needs 6 readable bytes.
[[nodiscard]] inline Mac load_mac(const std::byte* at) noexcept {
  Mac mac;
  std::memcpy(mac.bytes.data(), at, sizeof mac.bytes);
  return mac;
}
/// Needs 6 writable bytes.
inline void store_mac(std::byte* at, Mac mac) noexcept {
  std::memcpy(at, mac.bytes.data(), sizeof mac.bytes);
}

/// An IPv4 address in host byte order: 10.77.0.2 is 0x0a4d0002.
struct Ipv4 {
  std::uint32_t value = 0;

  friend constexpr auto operator<=>(Ipv4, Ipv4) = default;
  [[nodiscard]] constexpr bool is_zero() const noexcept { return value == 0; }
  /// 0/8 (this network), 127/8 (loopback), 224/4 (multicast), 240/4 (reserved, limited broadcast): no unicast host on a
  /// wire may have such an address (RFC 1122 section 3.2.1.3).
  [[nodiscard]] constexpr bool is_unicast() const noexcept {
    const std::uint32_t top = value >> 24;
    return top - 1 < 223 && top != 127;
  }
};
static_assert(sizeof(Ipv4) == 4);

/// Needs 4 readable bytes in network order.
[[nodiscard]] inline Ipv4 load_ipv4(const std::byte* at) noexcept {
  return {load_be<std::uint32_t>(at)};
}
/// Needs 4 writable bytes.
inline void store_ipv4(std::byte* at, Ipv4 address) noexcept {
  store_be(at, address.value);
}

/// An IPv4 prefix. `bits` 0..32; host bits of `address` are ignored.
struct Ipv4Prefix {
  Ipv4 address;
  std::uint8_t bits = 32;

  friend constexpr auto operator<=>(const Ipv4Prefix&, const Ipv4Prefix&) = default;
  [[nodiscard]] constexpr std::uint32_t mask() const noexcept {
    return bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  }
  [[nodiscard]] constexpr bool contains(Ipv4 other) const noexcept {
    return ((other.value ^ address.value) & mask()) == 0;
  }
  /// The subnet's directed broadcast or its all-zeros form. A /31 and a /32 have neither (RFC 3021).
  [[nodiscard]] constexpr bool is_broadcast(Ipv4 other) const noexcept {
    const std::uint32_t host = other.value & ~mask();
    return bits < 31 && contains(other) && (host == 0 || host == ~mask());
  }
};

/// "02:00:0a:4d:00:02", hex digits of either case; exactly that form. False leaves `out` untouched.
[[nodiscard]] bool parse(std::string_view text, Mac& out) noexcept;
/// "10.77.0.2": four decimal numbers 0..255 without leading zeros. False leaves `out` untouched.
[[nodiscard]] bool parse(std::string_view text, Ipv4& out) noexcept;
/// "10.77.0.0/24", or a lone address for /32. False leaves `out` untouched.
[[nodiscard]] bool parse(std::string_view text, Ipv4Prefix& out) noexcept;

[[nodiscard]] std::string to_text(Mac mac);
[[nodiscard]] std::string to_text(Ipv4 address);
[[nodiscard]] std::string to_text(Ipv4Prefix prefix);

}  // namespace gannet::nicpipe
