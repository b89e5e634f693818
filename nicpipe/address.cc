#include "nicpipe/address.h"

#include <optional>

namespace gannet::nicpipe {
namespace {

/// Takes a decimal number 0..max, at most three digits, no leading zero, off the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text, std::uint32_t max) noexcept {
  std::uint32_t value = 0;
  std::size_t digits = 0;
  while (digits < text.size() && digits < 3 && text[digits] >= '0' && text[digits] <= '9') {
    value = value * 10 + static_cast<std::uint32_t>(text[digits] - '0');
    ++digits;
  }
  if (digits == 0 || value > max || (digits > 1 && text[0] == '0')) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

std::optional<std::uint8_t> hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

bool take_address(std::string_view& text, Ipv4& out) noexcept {
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (text.empty() || text[0] != '.') return false;
      text.remove_prefix(1);
    }
    const auto number = take_number(text, 255);
    if (!number) return false;
    value = value << 8 | *number;
  }
  out = {value};
  return true;
}

}  // namespace

bool parse(std::string_view text, Mac& out) noexcept {
  if (text.size() != 17) return false;
  Mac mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const auto high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
    if (!high || !low || (i < 5 && text[3 * i + 2] != ':')) return false;
    mac.bytes[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  out = mac;
  return true;
}

bool parse(std::string_view text, Ipv4& out) noexcept {
  Ipv4 address;
  if (!take_address(text, address) || !text.empty()) return false;
  out = address;
  return true;
}

bool parse(std::string_view text, Ipv4Prefix& out) noexcept {
  Ipv4Prefix prefix;
  if (!take_address(text, prefix.address)) return false;
  if (!text.empty()) {
    if (text[0] != '/') return false;
    text.remove_prefix(1);
    const auto bits = take_number(text, 32);
    if (!bits || !text.empty()) return false;
    prefix.bits = static_cast<std::uint8_t>(*bits);
  }
  out = prefix;
  return true;
}

std::string to_text(Mac mac) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : mac.bytes) {
    if (!text.empty()) text += ':';
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::string to_text(Ipv4 address) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += std::to_string(address.value >> shift & 255);
    if (shift > 0) text += '.';
  }
  return text;
}

std::string to_text(Ipv4Prefix prefix) {
  return to_text(prefix.address) + '/' + std::to_string(prefix.bits);
}

}  // namespace gannet::nicpipe
