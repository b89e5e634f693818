/// Copying a small value without a call.
#pragma once

#include <cstddef>
#include <cstring>

namespace gannet {

/// As memcpy. Most values of a cache are small and of no size known in advance, where the C library's dispatch costs
/// more than the bytes.
[[gnu::always_inline]] inline void copy_value(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  struct Block {
    std::byte bytes[16];
  };
  if (bytes < sizeof(Block) || bytes > 16 * sizeof(Block)) {
    std::memcpy(to, from, bytes);
    return;
  }
  Block block;
  std::size_t at = 0;
  for (; at + sizeof(Block) <= bytes; at += sizeof(Block)) {
    std::memcpy(&block, from + at, sizeof(Block));
    std::memcpy(to + at, &block, sizeof(Block));
  }
  std::memcpy(&block, from + bytes - sizeof(Block), sizeof(Block));  // The rest, over the end of what is there already.
  std::memcpy(to + bytes - sizeof(Block), &block, sizeof(Block));
}

}  // namespace gannet
