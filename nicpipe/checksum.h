/// The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words. Sums are kept unfolded and in this
/// machine's byte order, which the ones' complement sum allows (section 2 (B)): load and store checksum fields with
/// load_raw/store_raw, never with the _be twins.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "nicpipe/address.h"
#include "nicpipe/ip_address.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// A sum in progress. Room for 2^32 words of 32 bits: no packet reaches that.
using Sum = std::uint64_t;

/// Down to 16 bits, carries added back in: both halves meet in the upper one, carry included.
[[nodiscard]] constexpr std::uint16_t fold(Sum sum) noexcept {
  sum += std::rotr(sum, 32);
  auto half = static_cast<std::uint32_t>(sum >> 32);
  half += std::rotr(half, 16);
  return static_cast<std::uint16_t>(half >> 16);
}

/// What goes into a checksum field (store_raw).
[[nodiscard]] constexpr std::uint16_t checksum_of(Sum sum) noexcept {
  return static_cast<std::uint16_t>(~fold(sum));
}

/// As checksum_of, for UDP: a computed 0 is sent as 0xffff, because 0 means "no checksum" (RFC 768).
[[nodiscard]] constexpr std::uint16_t udp_checksum_of(Sum sum) noexcept {
  const std::uint16_t checksum = checksum_of(sum);
  return checksum == 0 ? 0xffff : checksum;
}

/// True when the bytes summed, checksum field included, are intact.
[[nodiscard]] constexpr bool is_intact(Sum sum) noexcept {
  return fold(sum) == 0xffff;
}

/// Sum of `count` bytes at `at`, which must start at an even offset of what is summed. Any alignment. An odd last byte
/// counts as if a zero followed.
[[nodiscard]] Sum sum_bytes(const std::byte* at, std::size_t count) noexcept;

[[nodiscard]] inline Sum sum_bytes(Bytes bytes) noexcept {
  return sum_bytes(bytes.data(), bytes.size());
}

/// Sum of the 20 bytes of an IPv4 header without options.
[[nodiscard]] inline Sum sum_ipv4_header(const std::byte* ip) noexcept {
  const auto first = load_raw<std::uint64_t>(ip), second = load_raw<std::uint64_t>(ip + 8);
  return (first & 0xffff'ffff) + (first >> 32) + (second & 0xffff'ffff) + (second >> 32) +
         load_raw<std::uint32_t>(ip + 16);
}

/// The sum of bytes that begin at an odd offset of what is summed: the same with both bytes of the word exchanged (RFC
/// 1071 section 2 (B)).
[[nodiscard]] inline Sum at_odd_offset(Sum sum) noexcept {
  return byte_swap(fold(sum));
}

/// The pseudo-header of UDP and TCP (RFC 768): addresses, protocol, length of header and payload.
[[nodiscard]] inline Sum sum_pseudo_header(Ipv4 source, Ipv4 destination, std::uint8_t protocol,
                                           std::uint16_t bytes) noexcept {
  return Sum{byte_swap(source.value)} + byte_swap(destination.value) + byte_swap(std::uint16_t{protocol}) +
         byte_swap(bytes);
}

/// Sum of an IPv6 address' 16 bytes.
[[nodiscard]] inline Sum sum_address6(const IpAddress& address) noexcept {
  const std::uint64_t first = byte_swap(address.high), second = byte_swap(address.low);
  return (first & 0xffff'ffff) + (first >> 32) + (second & 0xffff'ffff) + (second >> 32);
}

/// The pseudo-header of UDP, TCP and ICMPv6 over IPv6 (RFC 8200 section 8.1). Needs: bytes < 65536, as without
/// jumbograms they are, so that the 32-bit length adds up to the same.
[[nodiscard]] inline Sum sum_pseudo_header6(const IpAddress& source, const IpAddress& destination,
                                            std::uint8_t protocol, std::uint16_t bytes) noexcept {
  return sum_address6(source) + sum_address6(destination) + byte_swap(std::uint16_t{protocol}) + byte_swap(bytes);
}

/// The checksum field after one aligned 16-bit word under it changed from `before` to `after` (RFC 1624, equation 3).
/// All three as they lie in memory (load_raw).
[[nodiscard]] constexpr std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t before,
                                                       std::uint16_t after) noexcept {
  return checksum_of(Sum{static_cast<std::uint16_t>(~checksum)} + static_cast<std::uint16_t>(~before) + after);
}

}  // namespace gannet::nicpipe
