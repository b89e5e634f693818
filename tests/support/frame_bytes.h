/// Writing and reading the bytes of a frame in network order, naively: for tests that must not share code with nicpipe.
#pragma once

#include <cstdint>
#include <vector>

#include "storage/base/bytes.h"

namespace gannet::test {

using Frame = std::vector<std::byte>;

inline void put(Frame& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
inline void put8(Frame& to, unsigned value) {
  to.push_back(static_cast<std::byte>(value));
}
inline void put16(Frame& to, unsigned value) {
  put8(to, value >> 8);
  put8(to, value);
}
inline void put32(Frame& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}
[[nodiscard]] inline unsigned at8(Bytes bytes, std::size_t at) {
  return static_cast<unsigned>(bytes[at]);
}
[[nodiscard]] inline unsigned at16(Bytes bytes, std::size_t at) {
  return at8(bytes, at) << 8 | at8(bytes, at + 1);
}
[[nodiscard]] inline std::uint32_t at32(Bytes bytes, std::size_t at) {
  return at16(bytes, at) << 16 | at16(bytes, at + 2);
}

}  // namespace gannet::test
