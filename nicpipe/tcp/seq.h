/// Sequence numbers: 32 bits that wrap (RFC 9293 section 3.4). Two numbers compare rightly while they are less than
/// 2^31 apart, which windows of at most 2^30 ensure.
#pragma once

#include <cstdint>

namespace gannet::nicpipe::tcp {

using Seq = std::uint32_t;

[[nodiscard]] constexpr bool seq_lt(Seq a, Seq b) noexcept {
  return static_cast<std::int32_t>(a - b) < 0;
}
[[nodiscard]] constexpr bool seq_le(Seq a, Seq b) noexcept {
  return static_cast<std::int32_t>(a - b) <= 0;
}
[[nodiscard]] constexpr bool seq_gt(Seq a, Seq b) noexcept {
  return seq_lt(b, a);
}
[[nodiscard]] constexpr bool seq_ge(Seq a, Seq b) noexcept {
  return seq_le(b, a);
}
[[nodiscard]] constexpr Seq seq_max(Seq a, Seq b) noexcept {
  return seq_lt(a, b) ? b : a;
}
[[nodiscard]] constexpr Seq seq_min(Seq a, Seq b) noexcept {
  return seq_lt(a, b) ? a : b;
}

}  // namespace gannet::nicpipe::tcp
