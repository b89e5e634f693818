/// The values of the configuration as text: sizes, addresses, prefixes, devices. Pure functions over text, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/abi/shared.h"

namespace gannet::control {

/// "2GiB", "512MiB", "64KiB", "1T", "300M", "4096": bytes; units are binary, the letters of a unit in any case. Nothing
/// on anything else or beyond 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// The shortest exact form: 2147483648 -> "2GiB", 1000 -> "1000".
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// Dotted IPv4, no leading zeros, host byte order.
[[nodiscard]] std::optional<std::uint32_t> parse_ipv4(std::string_view text);
[[nodiscard]] std::string format_ipv4(std::uint32_t address);

struct Cidr {
  std::uint32_t address = 0;  ///< Host byte order, host bits kept.
  std::uint32_t bits = 0;     ///< 0..32
};
[[nodiscard]] std::optional<Cidr> parse_cidr(std::string_view text);
[[nodiscard]] std::string format_cidr(std::uint32_t address, std::uint32_t bits);
/// 24 -> 255.255.255.0, 0 -> 0.
[[nodiscard]] constexpr std::uint32_t mask_of(std::uint32_t bits) noexcept {
  return bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
}

/// The same over IPv6: an address in network byte order and the length of its prefix, 0..128.
struct Cidr6 {
  abi::Address address{};
  std::uint32_t bits = 0;
};
[[nodiscard]] std::optional<abi::Address> parse_ipv6(std::string_view text);
[[nodiscard]] std::optional<Cidr6> parse_cidr6(std::string_view text);
[[nodiscard]] std::string format_cidr6(const abi::Address& address, std::uint32_t bits);

/// A prefix of either family as the text says it, host bits kept.
[[nodiscard]] std::optional<abi::Prefix> parse_prefix(std::string_view text);
[[nodiscard]] std::string format_prefix(const abi::Prefix& prefix);
/// The prefix without its host bits.
[[nodiscard]] abi::Prefix masked(abi::Prefix prefix);

struct Device {
  abi::DeviceKind kind = abi::DeviceKind::kTap;
  std::string argument;  ///< Interface name, socket path or PCI address; "" for the kind's default.
};
/// "tap", "tap:NAME", "af_packet:IF", "af_xdp:IF", "vhost:PATH", "memif:PATH", "ring", "0000:3b:00.0".
[[nodiscard]] std::optional<Device> parse_device(std::string_view text);
[[nodiscard]] std::string format_device(abi::DeviceKind kind, std::string_view argument);

/// A whole decimal number, no sign, no blank.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text);

/// "HOST:PORT" with a dotted IPv4 host; the port 1..65535.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);

/// The member of `known` with the fewest edits to `word`, if they are few enough to be a slip of the pen; else "".
template <class Names>
[[nodiscard]] std::string nearest(std::string_view word, const Names& known);
/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

template <class Names>
std::string nearest(std::string_view word, const Names& known) {
  std::string best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const auto& name : known) {
    const std::size_t distance = edit_distance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = std::string(name);
    }
  }
  return best;
}

}  // namespace gannet::control
