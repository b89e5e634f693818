/// The status codes of the memcache binary protocol and the texts memcached puts into the bodies of its refusals, byte
/// for byte.
#pragma once

#include <cstdint>
#include <string_view>

namespace gannet::dataplane::memcache {

enum class Status : std::uint16_t {
  kOk = 0x00,
  kNotFound = 0x01,
  kExists = 0x02,
  kTooLarge = 0x03,
  kInvalid = 0x04,
  kNotStored = 0x05,
  kNotNumeric = 0x06,
  kAuth = 0x20,  ///< Also: an administrative command where the operator switched them off.
  kUnknownCommand = 0x81,
  kNoMemory = 0x82,  ///< Also: every slot for large answers is taken; the client may ask again.
};

[[nodiscard]] constexpr std::string_view text_of(Status status) noexcept {
  switch (status) {
    case Status::kOk:
      return {};
    case Status::kNotFound:
      return "Not found";
    case Status::kExists:
      return "Data exists for key.";
    case Status::kTooLarge:
      return "Too large.";
    case Status::kInvalid:
      return "Invalid arguments";
    case Status::kNotStored:
      return "Not stored.";
    case Status::kNotNumeric:
      return "Non-numeric server-side value for incr or decr";
    case Status::kAuth:
      return "Auth failure.";
    case Status::kUnknownCommand:
      return "Unknown command";
    case Status::kNoMemory:
      return "Out of memory allocating item";
  }
  return {};
}

}  // namespace gannet::dataplane::memcache
