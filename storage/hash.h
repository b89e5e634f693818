/// The keyed hash of keys. Its job is flood resistance: whoever does not know the 128-bit key cannot choose keys that
/// meet in one bucket (or on one worker) more often than chance has it.
///
/// Construction, after Pelican MAC (Daemen and Rijmen, ePrint 2005/088): a 128-bit state starts as the secret; each
/// 16-byte block is XORed in and followed by four AES rounds; at the end the length goes in and two more rounds follow;
/// the low 64 bits are the answer. Two keys collide when a difference put in by one block is cancelled by a later one,
/// and four AES rounds have at least 25 active S-boxes: no difference of the attacker's choice survives them
/// predictably (at most 2^-113). One or two rounds, as faster AES hashes have them, would leave cancellations of 2^-6
/// and 2^-30. Its limits: not a MAC for anything that leaves the process, not a content fingerprint (64 bits: 2^32 keys
/// hold a chance collision, so a match is always confirmed by comparing keys), and different under every pool's key:
/// never compare or store it across pools. Why not SipHash-1-3: storage/README.md, "Decisions".
#pragma once

#include <emmintrin.h>
#include <wmmintrin.h>

#include <cstdint>

#include "storage/base/bytes.h"

namespace gannet::storage {

/// The secret: 128 uniformly random bits, one per pool, kept in the pool's header page. All-zero works, and resists
/// nobody.
struct HashKey {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  bool operator==(const HashKey&) const = default;
};

namespace detail {

inline constexpr std::uint64_t kHashRoundKeyLow = 0x243f6a8885a308d3;  // Digits of pi: nothing up the sleeve.
inline constexpr std::uint64_t kHashRoundKeyHigh = 0x13198a2e03707344;

/// A block of fewer than 16 bytes without reading past either end: overlapping halves, so every byte lands at a place
/// fixed by the length.
[[nodiscard]] inline __m128i load_short_block(const std::byte* at, std::size_t bytes) noexcept {
  if (bytes >= 8) {
    return _mm_set_epi64x(static_cast<long long>(load_raw<std::uint64_t>(at + bytes - 8)),
                          static_cast<long long>(load_raw<std::uint64_t>(at)));
  }
  if (bytes >= 4) {
    const std::uint64_t low = load_raw<std::uint32_t>(at), high = load_raw<std::uint32_t>(at + bytes - 4);
    return _mm_cvtsi64_si128(static_cast<long long>(low | high << 32));
  }
  if (bytes == 0) return _mm_setzero_si128();
  const auto first = std::to_integer<std::uint64_t>(at[0]), middle = std::to_integer<std::uint64_t>(at[bytes / 2]),
             last = std::to_integer<std::uint64_t>(at[bytes - 1]);
  return _mm_cvtsi64_si128(static_cast<long long>(first | middle << 8 | last << 16));
}

[[nodiscard]] inline __m128i load_block(const std::byte* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

[[nodiscard]] inline __m128i absorb(__m128i state, __m128i block, __m128i round_key) noexcept {
  state = _mm_xor_si128(state, block);
  for (int round = 0; round < 4; ++round) state = _mm_aesenc_si128(state, round_key);
  return state;
}

}  // namespace detail

/// Hashes `text` under `key`. Any length (0 included) up to 2^32 bytes; meant for 1..250. Reads no byte outside `text`,
/// branches only on the length. Pure: any thread.
[[nodiscard]] inline std::uint64_t keyed_hash(HashKey key, Bytes text) noexcept {
  const __m128i secret = _mm_set_epi64x(static_cast<long long>(key.b), static_cast<long long>(key.a));
  const __m128i round_key = _mm_xor_si128(_mm_shuffle_epi32(secret, _MM_SHUFFLE(1, 0, 3, 2)),
                                          _mm_set_epi64x(static_cast<long long>(detail::kHashRoundKeyHigh),
                                                         static_cast<long long>(detail::kHashRoundKeyLow)));
  const std::byte* at = text.data();
  const std::size_t bytes = text.size();
  __m128i state = secret;
  if (bytes < 16) {
    state = detail::absorb(state, detail::load_short_block(at, bytes), round_key);
  } else {
    // The last block overlaps the one before it when the length is no multiple of 16; the length, mixed in below, keeps
    // that unambiguous.
    const std::byte* const last = at + bytes - 16;
    for (; at < last; at += 16) state = detail::absorb(state, detail::load_block(at), round_key);
    state = detail::absorb(state, detail::load_block(last), round_key);
  }
  state = _mm_xor_si128(state, _mm_cvtsi64_si128(static_cast<long long>(bytes)));
  state = _mm_aesenc_si128(_mm_aesenc_si128(state, secret), round_key);
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(state));
}

}  // namespace gannet::storage
