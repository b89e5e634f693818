/// CRC32C (Castagnoli, RFC 3720 section 12.1: reflected polynomial 0x82f63b78, start and final XOR of all ones),
/// through ISA-L.
#pragma once

#include <nmmintrin.h>

#include <cstdint>

#include "storage/base/bytes.h"

namespace gannet::storage {

/// The finished CRC32C of A followed by B, from the finished CRC32C of A. Any length; reads nothing outside `bytes`.
/// Any thread.
[[nodiscard]] std::uint32_t crc32c_extend(std::uint32_t crc_of_before, Bytes bytes) noexcept;

/// The same, quickest for the few hundred bytes an item usually has.
[[gnu::always_inline]] [[nodiscard]] inline std::uint32_t crc32c_of_item(std::uint32_t crc_of_before,
                                                                         Bytes bytes) noexcept {
  constexpr std::size_t kShort = 512;  // From here on ISA-L's three streams pay for the call.
  if (bytes.size() > kShort) return crc32c_extend(crc_of_before, bytes);
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t wide = static_cast<std::uint32_t>(~crc_of_before);
  const auto eight = [&](std::size_t offset) { wide = _mm_crc32_u64(wide, load_raw<std::uint64_t>(at + offset)); };
  for (; left >= 64; left -= 64, at += 64) {
    eight(0);
    eight(8);
    eight(16);
    eight(24);
    eight(32);
    eight(40);
    eight(48);
    eight(56);
  }
  if (left >= 32) {
    eight(0);
    eight(8);
    eight(16);
    eight(24);
    left -= 32;
    at += 32;
  }
  for (; left >= 8; left -= 8, at += 8) eight(0);
  auto crc = static_cast<std::uint32_t>(wide);
  if ((left & 4) != 0) {
    crc = _mm_crc32_u32(crc, load_raw<std::uint32_t>(at));
    at += 4;
  }
  if ((left & 2) != 0) {
    crc = _mm_crc32_u16(crc, load_raw<std::uint16_t>(at));
    at += 2;
  }
  if ((left & 1) != 0) crc = _mm_crc32_u8(crc, std::to_integer<std::uint8_t>(*at));
  return ~crc;
}

/// The CRC32C as RFC 3720 and iSCSI, ext4 and others write it: crc32c("123456789") == 0xe3069283, of nothing 0.
[[nodiscard]] inline std::uint32_t crc32c(Bytes bytes) noexcept {
  return crc32c_extend(0, bytes);
}

/// A CRC folded to the 16 bits an item header has room for. Any burst error of up to 16 bits that crosses no half of
/// the CRC still shows; one random corruption in 65,536 does not: the segment's full CRC is what vouches for bytes.
[[nodiscard]] constexpr std::uint16_t fold_crc(std::uint32_t crc) noexcept {
  return static_cast<std::uint16_t>(crc ^ (crc >> 16));
}

}  // namespace gannet::storage
