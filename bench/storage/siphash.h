/// SipHash-1-3 and SipHash-2-4 (Aumasson and Bernstein, 2012), written from the paper, to measure the store's hash
/// against.
#pragma once

#include <bit>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/hash.h"

namespace gannet::bench {

template <int kCompress, int kFinish>
[[nodiscard]] inline std::uint64_t siphash(storage::HashKey key, Bytes text) noexcept {
  std::uint64_t v0 = key.a ^ 0x736f6d6570736575, v1 = key.b ^ 0x646f72616e646f6d;
  std::uint64_t v2 = key.a ^ 0x6c7967656e657261, v3 = key.b ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1, v2 += v3;
    v1 = std::rotl(v1, 13) ^ v0, v3 = std::rotl(v3, 16) ^ v2;
    v0 = std::rotl(v0, 32);
    v2 += v1, v0 += v3;
    v1 = std::rotl(v1, 17) ^ v2, v3 = std::rotl(v3, 21) ^ v0;
    v2 = std::rotl(v2, 32);
  };
  const std::byte* at = text.data();
  const auto take = [&](std::uint64_t word) {
    v3 ^= word;
    for (int i = 0; i < kCompress; ++i) round();
    v0 ^= word;
  };
  for (const std::byte* const end = at + text.size() / 8 * 8; at != end; at += 8) take(load_raw<std::uint64_t>(at));
  std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
  for (std::size_t i = 0; i < text.size() % 8; ++i) last |= std::to_integer<std::uint64_t>(at[i]) << (8 * i);
  take(last);
  v2 ^= 0xff;
  for (int i = 0; i < kFinish; ++i) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace gannet::bench
