#include "tools/load/keyspace.h"

#include <cstring>

#include "storage/base/must.h"

namespace gannet::load {
namespace {

constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuv";  // Base 32: five bits a digit.
constexpr std::uint32_t kNonceBytes = 8;                        // Of a varying value that is long enough to carry one.

bool same(Bytes value, const std::byte* expected) noexcept {
  return value.empty() || std::memcmp(value.data(), expected, value.size()) == 0;
}

}  // namespace

std::uint32_t Keyspace::key_bytes_min(std::uint64_t keys) noexcept {
  std::uint32_t digits = 1;
  for (std::uint64_t left = (keys - 1) >> 5; left != 0; left >>= 5) ++digits;
  return digits;
}

Keyspace::Keyspace(const Options& options)
    : options_(options), seed_(mix(options.seed ^ 0xbb67ae8584caa73b)), digits_(key_bytes_min(options.keys)) {
  MUST(options.keys >= 1 && options.keys <= std::uint64_t{1} << 32);
  MUST_LE(digits_, options.key_bytes.min());
  MUST_LE(options.key_bytes.max(), kKeyBytesMax);
  pattern_.resize(0x10000 + options.value_bytes.max() + 8);
  Random random(options.seed ^ 0x3c6ef372fe94f82b);
  for (std::size_t at = 0; at + 8 <= pattern_.size(); at += 8) store_raw(pattern_.data() + at, random.next());
}

std::uint32_t Keyspace::write_key(std::uint32_t index, std::byte* out) const noexcept {
  const std::uint32_t bytes = options_.key_bytes.of(mix(seed_ + index));
  std::uint32_t left = index;
  for (std::uint32_t digit = digits_; digit-- > 0; left >>= 5) out[digit] = static_cast<std::byte>(kDigits[left & 31]);
  std::memset(out + digits_, '.', bytes - digits_);
  return bytes;
}

std::uint32_t Keyspace::value_bytes(std::uint32_t index, std::uint32_t nonce) const noexcept {
  return options_.value_bytes.of(bits(index, options_.varying ? nonce : 0));
}

void Keyspace::write_value(std::uint32_t index, std::uint32_t nonce, std::byte* out) const noexcept {
  const std::uint32_t bytes = value_bytes(index, nonce);
  if (bytes == 0) return;
  if (!options_.varying || bytes < kNonceBytes) {
    std::memcpy(out, pattern(bits(index, 0)), bytes);
    return;
  }
  store_raw(out, std::uint64_t{nonce});
  std::memcpy(out + kNonceBytes, pattern(bits(index, nonce)), bytes - kNonceBytes);
}

bool Keyspace::is_right(std::uint32_t index, Bytes value) const noexcept {
  if (!options_.varying) {
    return value.size() == value_bytes(index, 0) && same(value, pattern(bits(index, 0)));
  }
  if (value.size() < kNonceBytes) {
    return value.size() >= options_.value_bytes.min() && same(value, pattern(bits(index, 0)));
  }
  const auto nonce = load_raw<std::uint64_t>(value.data());
  if (nonce > 0xffffffff) return false;
  const auto short_nonce = static_cast<std::uint32_t>(nonce);
  return value.size() == value_bytes(index, short_nonce) &&
         same(value.subspan(kNonceBytes), pattern(bits(index, short_nonce)));
}

}  // namespace gannet::load
