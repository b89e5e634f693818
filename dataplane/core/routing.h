/// Which worker owns a key. Public and unkeyed on purpose: a client that computes the same number may send to UDP port
/// base + 1 + worker and save the hand-over. The store's index uses a keyed hash of its own.
#pragma once

#include <nmmintrin.h>

#include <cstdint>
#include <cstring>

#include "storage/base/bytes.h"

namespace gannet::dataplane {

/// CRC-32C (Castagnoli; initial value and final inversion as in RFC 3720 B.4) of the key's bytes.
[[nodiscard]] inline std::uint32_t routing_hash(Bytes key) noexcept {
  const std::byte* at = key.data();
  std::size_t left = key.size();
  std::uint64_t crc = 0xffffffff;
  for (; left >= 8; left -= 8, at += 8) crc = _mm_crc32_u64(crc, load_raw<std::uint64_t>(at));
  auto narrow = static_cast<std::uint32_t>(crc);
  if (left >= 4) {
    narrow = _mm_crc32_u32(narrow, load_raw<std::uint32_t>(at));
    at += 4;
    left -= 4;
  }
  for (; left > 0; --left, ++at) narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(*at));
  return ~narrow;
}

/// The owner of `key` among `workers` (>= 1): the hash scaled to 0..workers-1 by its top bits.
[[nodiscard]] inline std::uint32_t worker_of(Bytes key, std::uint32_t workers) noexcept {
  if (workers == 1) return 0;
  return static_cast<std::uint32_t>(std::uint64_t{routing_hash(key)} * workers >> 32);
}

}  // namespace gannet::dataplane
