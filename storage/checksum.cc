#include "storage/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace gannet::storage {

std::uint32_t crc32c_extend(std::uint32_t crc_of_before, Bytes bytes) noexcept {
  // ISA-L computes the bare register: the caller gives the start value and gets no final XOR. Its length is an int and
  // its buffer is not const, though it only reads.
  constexpr std::size_t kPieceBytesMax = std::size_t{1} << 30;
  std::uint32_t reg = ~crc_of_before;
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kPieceBytesMax);
    auto* at = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
    reg = crc32_iscsi(at, static_cast<int>(piece), reg);
    bytes = bytes.subspan(piece);
  }
  return ~reg;
}

}  // namespace gannet::storage
