#include "control/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace gannet::control {
namespace {

constexpr std::uint32_t kMappedBits = 96;  ///< In front of an IPv4 address in the sixteen bytes.

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// IFNAMSIZ without its NUL; no slash, blank or colon, as the kernel wants it.
bool is_interface(std::string_view text) {
  return !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':'; });
}

/// A comma would end the argument inside DPDK's device string.
bool is_path(std::string_view text) {
  return text.size() > 1 && text.size() < 108 && text[0] == '/' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != ','; });
}

/// DDDD:BB:DD.F
bool is_pci(std::string_view text) {
  constexpr std::string_view kShape = "hhhh:hh:hh.o";
  if (text.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool fits = kShape[i] == 'h'   ? is_hex(text[i])
                      : kShape[i] == 'o' ? text[i] >= '0' && text[i] <= '7'
                                         : text[i] == kShape[i];
    if (!fits) return false;
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 20) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (!is_digit(c)) return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  const std::optional<std::uint64_t> number = parse_number(text.substr(0, digits));
  if (!number) return std::nullopt;
  std::string unit;
  for (const char c : text.substr(digits)) unit += lower(c);
  if (unit.empty() || unit == "b") return number;
  constexpr std::string_view kLetters = "kmgt";
  const std::size_t rank = kLetters.find(unit[0]);
  if (rank == std::string_view::npos || (unit.size() > 1 && unit.substr(1) != "ib")) return std::nullopt;
  const unsigned shift = 10 * (static_cast<unsigned>(rank) + 1);
  if (*number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
  return *number << shift;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array kUnits = {"TiB", "GiB", "MiB", "KiB"};
  for (std::size_t i = 0; i < kUnits.size(); ++i) {
    const std::uint64_t unit = std::uint64_t{1} << (40 - 10 * i);
    if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, kUnits[i]);
  }
  return fmt::format("{}", bytes);
}

std::optional<std::uint32_t> parse_ipv4(std::string_view text) {
  std::uint32_t address = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t end = part < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos || end > 3) return std::nullopt;
    const std::string_view digits = text.substr(0, end);
    const std::optional<std::uint64_t> value = parse_number(digits);
    if (!value || *value > 255 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
    address = address << 8 | static_cast<std::uint32_t>(*value);
    text.remove_prefix(part < 3 ? end + 1 : end);
  }
  return address;
}

std::string format_ipv4(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::optional<Cidr> parse_cidr(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::optional<std::uint32_t> address = parse_ipv4(text.substr(0, slash));
  const std::optional<std::uint64_t> bits = parse_number(text.substr(slash + 1));
  if (!address || !bits || *bits > 32) return std::nullopt;
  return Cidr{*address, static_cast<std::uint32_t>(*bits)};
}

std::string format_cidr(std::uint32_t address, std::uint32_t bits) {
  return fmt::format("{}/{}", format_ipv4(address), bits);
}

std::optional<abi::Address> parse_ipv6(std::string_view text) {
  abi::Address address{};
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) return std::nullopt;
  if (inet_pton(AF_INET6, std::string(text).c_str(), address.data()) != 1) return std::nullopt;
  return address;
}

std::optional<Cidr6> parse_cidr6(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::optional<abi::Address> address = parse_ipv6(text.substr(0, slash));
  const std::optional<std::uint64_t> bits = parse_number(text.substr(slash + 1));
  if (!address || !bits || *bits > 128) return std::nullopt;
  return Cidr6{*address, static_cast<std::uint32_t>(*bits)};
}

std::string format_cidr6(const abi::Address& address, std::uint32_t bits) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  return fmt::format("{}/{}", inet_ntop(AF_INET6, address.data(), text.data(), text.size()), bits);
}

std::optional<abi::Prefix> parse_prefix(std::string_view text) {
  if (const std::optional<Cidr> cidr = parse_cidr(text)) {
    abi::Prefix prefix{.address = {}, .bits = static_cast<std::uint8_t>(kMappedBits + cidr->bits), .reserved = {}};
    prefix.address[10] = prefix.address[11] = 0xff;
    for (unsigned i = 0; i < 4; ++i) prefix.address[12 + i] = static_cast<std::uint8_t>(cidr->address >> (24 - 8 * i));
    return prefix;
  }
  const std::optional<Cidr6> cidr = parse_cidr6(text);
  if (!cidr) return std::nullopt;
  return abi::Prefix{.address = cidr->address, .bits = static_cast<std::uint8_t>(cidr->bits), .reserved = {}};
}

std::string format_prefix(const abi::Prefix& prefix) {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (prefix.bits < kMappedBits || !std::equal(kMapped.begin(), kMapped.end(), prefix.address.begin()))
    return format_cidr6(prefix.address, prefix.bits);
  std::uint32_t address = 0;
  for (std::size_t i = kMapped.size(); i < prefix.address.size(); ++i) address = address << 8 | prefix.address[i];
  return format_cidr(address, prefix.bits - kMappedBits);
}

abi::Prefix masked(abi::Prefix prefix) {
  for (std::size_t i = 0; i < prefix.address.size(); ++i) {
    const std::size_t kept = prefix.bits <= 8 * i ? 0 : std::min<std::size_t>(prefix.bits - 8 * i, 8);
    prefix.address[i] &= static_cast<std::uint8_t>(0xff00 >> kept);
  }
  return prefix;
}

std::optional<Device> parse_device(std::string_view text) {
  if (text == "tap") return Device{abi::DeviceKind::kTap, ""};
  if (text == "ring") return Device{abi::DeviceKind::kRing, ""};
  if (is_pci(text)) return Device{abi::DeviceKind::kPci, std::string(text)};
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view kind = text.substr(0, colon), argument = text.substr(colon + 1);
  struct Named {
    std::string_view name;
    abi::DeviceKind kind;
    bool path;
  };
  constexpr std::array kNamed = {
      Named{"tap", abi::DeviceKind::kTap, false}, Named{"af_packet", abi::DeviceKind::kAfPacket, false},
      Named{"af_xdp", abi::DeviceKind::kAfXdp, false}, Named{"vhost", abi::DeviceKind::kVhost, true},
      Named{"memif", abi::DeviceKind::kMemif, true}};
  for (const Named& named : kNamed)
    if (kind == named.name && (named.path ? is_path(argument) : is_interface(argument)))
      return Device{named.kind, std::string(argument)};
  return std::nullopt;
}

std::string format_device(abi::DeviceKind kind, std::string_view argument) {
  switch (kind) {
    case abi::DeviceKind::kPci:
      return std::string(argument);
    case abi::DeviceKind::kRing:
      return "ring";
    case abi::DeviceKind::kTap:
      return argument.empty() ? "tap" : fmt::format("tap:{}", argument);
    case abi::DeviceKind::kAfPacket:
      return fmt::format("af_packet:{}", argument);
    case abi::DeviceKind::kAfXdp:
      return fmt::format("af_xdp:{}", argument);
    case abi::DeviceKind::kVhost:
      return fmt::format("vhost:{}", argument);
    case abi::DeviceKind::kMemif:
      return fmt::format("memif:{}", argument);
  }
  return "unknown";
}

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<std::uint64_t> port = parse_number(text.substr(colon + 1));
  if (!parse_ipv4(text.substr(0, colon)) || !port || *port == 0 || *port > 65535) return std::nullopt;
  return HostPort{std::string(text.substr(0, colon)), static_cast<std::uint16_t>(*port)};
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, 64);  // No known name is longer; a hostile file must not buy a large table.
  b = b.substr(0, 64);
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] =
          std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace gannet::control
