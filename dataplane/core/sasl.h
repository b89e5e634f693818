/// Who may speak to the appliance over TCP: users and passwords of a file, asked by SASL PLAIN (RFC 4616).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/base/bytes.h"

namespace gannet::dataplane {

inline constexpr std::string_view kSaslMechanisms = "PLAIN";
/// As memcached's.
inline constexpr std::size_t kSaslMechanismBytesMax = 32;

/// Immutable once made; shared by all workers.
class SaslUsers {
 public:
  static constexpr std::size_t kFieldBytes = 128;  ///< Of a name or a password, at most.
  static constexpr std::size_t kUsersMax = 1024;

  /// From the text of a users file: one "name:password" a line; empty lines and lines that begin with # do not count.
  /// Gives an empty text, or one sentence with the line and the fix.
  [[nodiscard]] std::string parse(std::string_view text);

  [[nodiscard]] std::size_t size() const noexcept { return users_.size(); }

  /// A PLAIN message: [authorization identity] NUL name NUL password. True: a user with that password. An authorization
  /// identity must be empty or the name itself. The time depends on the number of users and the lengths alone, not on
  /// how much of a name or a password is right.
  [[nodiscard]] bool accepts(Bytes message) const noexcept;

 private:
  using Field = std::array<std::uint8_t, kFieldBytes + 1>;  ///< The length, then the text, zeros behind.
  struct User {
    Field name{}, password{};
  };
  std::vector<User> users_;
};

}  // namespace gannet::dataplane
