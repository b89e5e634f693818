#include "nicpipe/ip_address.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>

namespace gannet::nicpipe {

bool parse(std::string_view text, IpAddress& out) noexcept {
  if (Ipv4 v4; parse(text, v4)) {
    out = v4;
    return true;
  }
  std::array<char, INET6_ADDRSTRLEN> ended{};
  if (text.size() >= ended.size() || text.find('\0') != std::string_view::npos) return false;
  text.copy(ended.data(), text.size());
  std::array<std::byte, 16> bytes{};
  if (inet_pton(AF_INET6, ended.data(), bytes.data()) != 1) return false;
  out = load_ipv6(bytes.data());
  return true;
}

bool parse(std::string_view text, IpPrefix& out) noexcept {
  if (Ipv4Prefix v4; parse(text, v4)) {
    out = v4;
    return true;
  }
  const std::size_t slash = text.find('/');
  IpAddress address;
  if (text.find(':') == std::string_view::npos || !parse(text.substr(0, slash), address)) return false;
  unsigned bits = 128;
  if (slash != std::string_view::npos) {
    const std::string_view number = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bits);
    const bool leading_zero = number.size() > 1 && number[0] == '0';
    if (error != std::errc{} || end != number.data() + number.size() || bits > 128 || leading_zero) return false;
  }
  out = {address, static_cast<std::uint8_t>(bits)};
  return true;
}

std::string to_text(const IpAddress& address) {
  if (address.is_v4()) return to_text(address.v4());
  std::array<std::byte, 16> bytes{};
  store_ipv6(bytes.data(), address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  return inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
}

std::string to_text(const IpPrefix& prefix) {
  return to_text(prefix.address) + '/' + std::to_string(prefix.is_v4() ? prefix.bits - 96 : prefix.bits);
}

}  // namespace gannet::nicpipe
