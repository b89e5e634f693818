/// An address of either family in one 16-byte value: IPv6 as it is, IPv4 mapped into ::ffff:0:0/96 (RFC 4291 section
/// 2.5.5.2). What works on conversations of both families keeps this.
#pragma once

#include <cstdint>

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

}  // namespace gannet::nicpipe
