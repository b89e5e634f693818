/// The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words. Sums are kept unfolded and in this
/// machine's byte order, which the ones' complement sum allows (section 2 (B)): load and store checksum fields with
/// load_raw/store_raw, never with the _be twins.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

#include "nicpipe/address.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// A sum in progress. Room for 2^32 words of 32 bits: no packet reaches that.
using Sum = std::uint64_t;

/// Down to 16 bits, carries added back in.
[[nodiscard]] constexpr std::uint16_t fold(Sum sum) noexcept {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

/// What goes into a checksum field (store_raw).
[[nodiscard]] constexpr std::uint16_t checksum_of(Sum sum) noexcept {
  return static_cast<std::uint16_t>(~fold(sum));
}

/// As checksum_of, for UDP: a computed 0 is sent as 0xffff, because 0 means "no checksum" (RFC 768).
[[nodiscard]] constexpr std::uint16_t udp_checksum_of(Sum sum) noexcept {
  const std::uint16_t checksum = checksum_of(sum);
  return checksum == 0 ? 0xffff : checksum;
}

/// True when the bytes summed, checksum field included, are intact.
[[nodiscard]] constexpr bool is_intact(Sum sum) noexcept {
  return fold(sum) == 0xffff;
}

/// Sum of `count` bytes at `at`, which must start at an even offset of what is summed. Any alignment. An odd last byte
/// counts as if a zero followed.
[[nodiscard]] inline Sum sum_bytes(const std::byte* at, std::size_t count) noexcept {
  Sum sum = 0;
  if (count >= 64) {
    // 32-bit words are widened to 64-bit lanes, so that no carry is ever lost; two pairs of lanes hide the add's
    // latency.
    const __m128i low_half = _mm_set1_epi64x(0xffff'ffff);
    __m128i even_a = _mm_setzero_si128(), odd_a = even_a, even_b = even_a, odd_b = even_a;
    do {
      const __m128i a = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16));
      even_a = _mm_add_epi64(even_a, _mm_and_si128(a, low_half));
      odd_a = _mm_add_epi64(odd_a, _mm_srli_epi64(a, 32));
      even_b = _mm_add_epi64(even_b, _mm_and_si128(b, low_half));
      odd_b = _mm_add_epi64(odd_b, _mm_srli_epi64(b, 32));
      at += 32;
      count -= 32;
    } while (count >= 32);
    const __m128i all = _mm_add_epi64(_mm_add_epi64(even_a, odd_a), _mm_add_epi64(even_b, odd_b));
    sum = static_cast<Sum>(_mm_cvtsi128_si64(all)) + static_cast<Sum>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(all, all)));
  }
  for (; count >= 8; at += 8, count -= 8) {
    const auto word = load_raw<std::uint64_t>(at);
    sum += (word & 0xffff'ffff) + (word >> 32);
  }
  if (count >= 4) {
    sum += load_raw<std::uint32_t>(at);
    at += 4;
    count -= 4;
  }
  if (count >= 2) {
    sum += load_raw<std::uint16_t>(at);
    at += 2;
    count -= 2;
  }
  if (count != 0) sum += static_cast<std::uint8_t>(*at);
  return sum;
}

[[nodiscard]] inline Sum sum_bytes(Bytes bytes) noexcept {
  return sum_bytes(bytes.data(), bytes.size());
}

/// The sum of bytes that begin at an odd offset of what is summed: the same with both bytes of the word exchanged (RFC
/// 1071 section 2 (B)).
[[nodiscard]] inline Sum at_odd_offset(Sum sum) noexcept {
  return byte_swap(fold(sum));
}

/// The pseudo-header of UDP and TCP (RFC 768): addresses, protocol, length of header and payload.
[[nodiscard]] inline Sum sum_pseudo_header(Ipv4 source, Ipv4 destination, std::uint8_t protocol,
                                           std::uint16_t bytes) noexcept {
  return Sum{byte_swap(source.value)} + byte_swap(destination.value) + byte_swap(std::uint16_t{protocol}) +
         byte_swap(bytes);
}

/// The checksum field after one aligned 16-bit word under it changed from `before` to `after` (RFC 1624, equation 3).
/// All three as they lie in memory (load_raw).
[[nodiscard]] constexpr std::uint16_t updated_checksum(std::uint16_t checksum, std::uint16_t before,
                                                       std::uint16_t after) noexcept {
  return checksum_of(Sum{static_cast<std::uint16_t>(~checksum)} + static_cast<std::uint16_t>(~before) + after);
}

}  // namespace gannet::nicpipe
