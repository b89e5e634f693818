/// The keys and values of a load: both pure functions of a key's number, so that every answer can be checked without
/// remembering anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"
#include "tools/load/distribution.h"
#include "tools/load/random.h"

namespace gannet::load {

inline constexpr std::uint32_t kKeyBytesMax = 250;  // memcache's limit.

class Keyspace {
 public:
  struct Options {
    std::uint64_t keys = 1;  ///< 1..2^32.
    Distribution key_bytes;  ///< At least key_bytes_min(keys), at most kKeyBytesMax.
    Distribution value_bytes;
    bool varying = false;  ///< Each SET draws its size anew; the value then carries its own nonce.
    std::uint64_t seed = 1;
  };

  explicit Keyspace(const Options& options);

  /// Shortest keys that keep `keys` of them apart.
  [[nodiscard]] static std::uint32_t key_bytes_min(std::uint64_t keys) noexcept;

  [[nodiscard]] std::uint64_t keys() const noexcept { return options_.keys; }
  [[nodiscard]] std::uint32_t value_bytes_max() const noexcept { return options_.value_bytes.max(); }
  [[nodiscard]] std::uint32_t key_bytes_max() const noexcept { return options_.key_bytes.max(); }
  [[nodiscard]] bool varying() const noexcept { return options_.varying; }

  /// Writes key `index` at `out` (room for kKeyBytesMax); gives its length.
  std::uint32_t write_key(std::uint32_t index, std::byte* out) const noexcept;

  /// Size of the value of key `index`; `nonce` counts only where sizes vary.
  [[nodiscard]] std::uint32_t value_bytes(std::uint32_t index, std::uint32_t nonce) const noexcept;
  /// Writes that value at `out` (room for value_bytes()).
  void write_value(std::uint32_t index, std::uint32_t nonce, std::byte* out) const noexcept;
  /// Could `value` have been written for key `index` by write_value with any nonce?
  [[nodiscard]] bool is_right(std::uint32_t index, Bytes value) const noexcept;

 private:
  [[nodiscard]] std::uint64_t bits(std::uint32_t index, std::uint32_t nonce) const noexcept {
    return mix(seed_ ^ (std::uint64_t{nonce} << 32 | index));
  }
  [[nodiscard]] const std::byte* pattern(std::uint64_t bits) const noexcept {
    return pattern_.data() + (bits & 0xffff);
  }

  Options options_;
  std::uint64_t seed_;
  std::uint32_t digits_;            // Of the number at the front of a key.
  std::vector<std::byte> pattern_;  // Values are windows into this; where one begins depends on key and nonce.
};

}  // namespace gannet::load
