/// CRC32C (Castagnoli, RFC 3720 section 12.1: reflected polynomial 0x82f63b78, start and final XOR of all ones),
/// through ISA-L.
#pragma once

#include <cstdint>

#include "storage/base/bytes.h"

namespace gannet::storage {

/// The finished CRC32C of A followed by B, from the finished CRC32C of A. Any length; reads nothing outside `bytes`.
/// Any thread.
[[nodiscard]] std::uint32_t crc32c_extend(std::uint32_t crc_of_before, Bytes bytes) noexcept;

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
