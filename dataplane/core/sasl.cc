#include "dataplane/core/sasl.h"

#include <algorithm>
#include <cstring>

namespace gannet::dataplane {

namespace {

/// False: too long. The field is filled either way, so that the time does not tell.
template <class F>
bool fill(F& field, std::string_view text) noexcept {
  const std::size_t bytes = std::min(text.size(), field.size() - 1);
  field.fill(0);
  field[0] = static_cast<std::uint8_t>(bytes);
  if (bytes > 0) std::memcpy(field.data() + 1, text.data(), bytes);
  return bytes == text.size();
}

/// 0 when they are equal; looks at every byte.
template <class F>
[[nodiscard]] std::uint32_t difference(const F& a, const F& b) noexcept {
  std::uint32_t differs = 0;
  for (std::size_t i = 0; i < a.size(); ++i) differs |= static_cast<std::uint32_t>(a[i] ^ b[i]);
  asm volatile("" : "+r"(differs));  // Or the compiler may leave the loop early.
  return differs;
}

}  // namespace

std::string SaslUsers::parse(std::string_view text) {
  users_.clear();
  for (std::size_t line = 1; !text.empty(); ++line) {
    std::string_view words = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(words.size() + 1, text.size()));
    if (!words.empty() && words.back() == '\r') words.remove_suffix(1);
    if (words.empty() || words.front() == '#') continue;
    const auto refuse = [line](const char* what) {
      return "line " + std::to_string(line) + " of the users file " + what;
    };
    const std::size_t colon = words.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == words.size())
      return refuse("is no user: write name:password");
    if (words.find('\0') != std::string_view::npos) return refuse("holds a NUL byte: write name:password");
    if (users_.size() == kUsersMax) return refuse("is one user too many: at most 1024 are allowed");
    User user;
    if (!fill(user.name, words.substr(0, colon)) || !fill(user.password, words.substr(colon + 1)))
      return refuse("is too long: at most 128 bytes for the name and 128 for the password");
    users_.push_back(user);
  }
  if (users_.empty()) return "the users file names nobody: write one name:password a line";
  return {};
}

bool SaslUsers::accepts(Bytes message) const noexcept {
  const std::string_view text = as_text(message);
  const std::size_t first = text.find('\0');
  if (first == std::string_view::npos) return false;
  const std::size_t second = text.find('\0', first + 1);
  if (second == std::string_view::npos) return false;
  const std::string_view identity = text.substr(0, first), name = text.substr(first + 1, second - first - 1);
  User asked;
  bool whole = fill(asked.name, name);
  whole &= fill(asked.password, text.substr(second + 1));
  whole &= identity.empty() || identity == name;
  std::uint32_t matches = 0;
  for (const User& user : users_) {
    const std::uint32_t differs = difference(user.name, asked.name) | difference(user.password, asked.password);
    matches |= static_cast<std::uint32_t>(differs == 0);
  }
  return whole && matches != 0;
}

}  // namespace gannet::dataplane
