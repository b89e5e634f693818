/// SipHash-2-4 over 64-bit words (Aumasson and Bernstein, 2012): the keyed function behind initial sequence numbers,
/// cookies and timestamp offsets; and a cheaper keyed mix for the connection table.
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>

#include "nicpipe/tcp/config.h"

namespace gannet::nicpipe::tcp {

/// The message is the words' bytes, little-endian, so its length is a multiple of 8.
[[nodiscard]] inline std::uint64_t sip_hash(const Key& key, std::initializer_list<std::uint64_t> words) noexcept {
  std::uint64_t a = key.low ^ 0x736f6d6570736575, b = key.high ^ 0x646f72616e646f6d;
  std::uint64_t c = key.low ^ 0x6c7967656e657261, d = key.high ^ 0x7465646279746573;
  const auto round = [&] {
    a += b;
    b = std::rotl(b, 13) ^ a;
    a = std::rotl(a, 32);
    c += d;
    d = std::rotl(d, 16) ^ c;
    a += d;
    d = std::rotl(d, 21) ^ a;
    c += b;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  };
  const auto take = [&](std::uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  };
  for (const std::uint64_t word : words) take(word);
  take(std::uint64_t{words.size() * 8 & 0xff} << 56);
  c ^= 0xff;
  for (int i = 0; i < 4; ++i) round();
  return a ^ b ^ c ^ d;
}

[[nodiscard]] constexpr std::uint64_t ports_word(const Tuple& tuple) noexcept {
  return std::uint64_t{tuple.peer_port} << 16 | tuple.own_port;
}

/// A keyed hash of who talks to whom, for secrets.
[[nodiscard]] inline std::uint64_t sip_hash(const Key& key, const Tuple& tuple, std::uint64_t extra) noexcept {
  return sip_hash(key, {tuple.peer.high, tuple.peer.low, tuple.own.high, tuple.own.low, ports_word(tuple), extra});
}

/// For the table: two keyed 64 x 64 multiplications, folded. A peer who does not know the key cannot aim at a chain;
/// one who found out would still only lengthen the chains of one worker, which half-open and per-source caps bound.
[[nodiscard]] inline std::uint32_t table_hash(const Key& key, const Tuple& tuple) noexcept {
  const auto fold = [](std::uint64_t x, std::uint64_t y) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide{x} * y;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  std::uint64_t first = fold(tuple.peer.low ^ key.low, ports_word(tuple) ^ key.high);
  if (tuple.peer.high != 0) first = fold(first ^ tuple.peer.high, key.high | 1);
  const std::uint64_t second = fold(first ^ tuple.own.low, key.low | 1);
  return static_cast<std::uint32_t>(second ^ second >> 32 ^ tuple.own.high);
}

}  // namespace gannet::nicpipe::tcp
