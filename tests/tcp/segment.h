/// A TCP segment as a test sees it: every field a value, made into a frame and read back from one by code that shares
/// nothing with the engine. Reading is strict: what the engine sends must be right in every length, checksum and
/// option.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"
#include "tests/support/packets.h"

namespace gannet::test::tcp {

enum Flag : std::uint8_t {
  kFin = 1 << 0,
  kSyn = 1 << 1,
  kRst = 1 << 2,
  kPsh = 1 << 3,
  kAck = 1 << 4,
  kUrg = 1 << 5,
  kEce = 1 << 6,
  kCwr = 1 << 7,
};

/// An address of either family; IPv4 as ::ffff:a.b.c.d.
struct Address {
  std::array<std::uint8_t, 16> bytes{};

  friend constexpr auto operator<=>(const Address&, const Address&) = default;
  [[nodiscard]] bool is_v4() const;
};
/// "10.77.0.1" or "fd77::1". Aborts the program on anything else.
[[nodiscard]] Address address(std::string_view text);
[[nodiscard]] std::string to_text(const Address& address);
/// 02:00 and the last four bytes of the address.
[[nodiscard]] nicpipe::Mac mac_of(const Address& address);

struct Endpoint {
  Address address;
  std::uint16_t port = 0;

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

struct Timestamps {
  std::uint32_t value = 0, echo = 0;
};
/// [first, last): both as on the wire.
struct SackBlock {
  std::uint32_t first = 0, last = 0;

  friend constexpr bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct Segment {
  Endpoint from, to;
  std::uint32_t seq = 0, ack = 0;
  std::uint16_t window = 0;  ///< As on the wire, unscaled.
  std::uint16_t urgent = 0;
  std::uint8_t flags = 0;
  std::uint8_t ecn = 0;   ///< The two bits of the IP header.
  std::uint8_t ttl = 64;  ///< Or hop limit.
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;
  bool sack_permitted = false;
  std::optional<Timestamps> timestamps;
  std::vector<SackBlock> sacks;
  Frame raw_options;  ///< Written in front of the others; never filled by read().
  Frame payload;
  std::optional<std::uint16_t> vlan;
  bool bad_checksum = false;
  std::uint8_t header_words = 0;  ///< A lie about the header's length; 0: the truth.

  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
  /// Sequence numbers it takes.
  [[nodiscard]] std::uint32_t length() const {
    return static_cast<std::uint32_t>(payload.size()) + (has(kSyn) ? 1 : 0) + (has(kFin) ? 1 : 0);
  }
};

/// The whole Ethernet frame.
[[nodiscard]] Frame to_frame(const Segment& segment);

/// Empty and `out` filled if `frame` is a right TCP segment over IPv4 or IPv6, else the first fault in words.
/// `checksums` false: the sums are not looked at (a frame for a device that makes them).
[[nodiscard]] std::string read(Bytes frame, Segment& out, bool checksums = true);
/// The bytes of an option list, as they stand in a header. Empty and `out` filled, or the fault.
[[nodiscard]] std::string read_options(Bytes options, Segment& out);

/// "SA", "." for no flag at all, in the order SFRPAUEW.
[[nodiscard]] std::string flags_text(std::uint8_t flags);

/// The bytes streams are made of: any two places differ soon.
[[nodiscard]] constexpr std::byte pattern(std::uint64_t at, std::uint8_t salt) {
  return static_cast<std::byte>(at * 167 + (at >> 8) * 13 + (at >> 16) * 7 + salt);
}
[[nodiscard]] Frame pattern_bytes(std::uint64_t at, std::size_t count, std::uint8_t salt);
/// Where `bytes` differs from the pattern first, or bytes.size().
[[nodiscard]] std::size_t pattern_fault(Bytes bytes, std::uint64_t at, std::uint8_t salt);

/// An ICMP error (IPv4: unreachable or any type; IPv6 likewise) from `from` to the sender of `offending`, quoting its
/// IP header and `quoted` bytes behind it. `rest`: the second word of the ICMP header (the next hop's MTU for "too
/// big").
[[nodiscard]] Frame icmp_error(const Address& from, const Segment& offending, std::uint8_t type, std::uint8_t code,
                               std::uint32_t rest, std::size_t quoted = 8);

}  // namespace gannet::test::tcp
