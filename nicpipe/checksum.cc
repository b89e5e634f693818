#include "nicpipe/checksum.h"

#include <tmmintrin.h>

#include <array>

namespace gannet::nicpipe {
namespace {

/// Read at 16 - n: a shuffle that moves the last n bytes of a vector to its front and fills up with zeros.
constexpr std::array<std::uint8_t, 32> kKeepLast{0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,
                                                 11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                                 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};

__m128i load(const void* at) noexcept {
  return _mm_loadu_si128(static_cast<const __m128i*>(at));
}

Sum sum_few(const std::byte* at, std::size_t count) noexcept {
  Sum sum = 0;
  if (count >= 8) {
    const auto word = load_raw<std::uint64_t>(at);
    sum = (word & 0xffff'ffff) + (word >> 32);
    at += 8;
    count -= 8;
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

}  // namespace

Sum sum_bytes(const std::byte* at, std::size_t count) noexcept {
  if (count < 16) return sum_few(at, count);
  // 32-bit words widened to 64-bit lanes: no carry is ever lost. Two pairs of lanes, so that an add need not wait for
  // the one before. The rest of under 16 bytes comes from a load that ends with the last byte; what was summed already
  // is shuffled out of it.
  const __m128i low_half = _mm_set1_epi64x(0xffff'ffff);
  __m128i even_a = _mm_setzero_si128(), odd_a = even_a, even_b = even_a, odd_b = even_a;
  const auto add = [low_half](__m128i& even, __m128i& odd, __m128i bytes) {
    even = _mm_add_epi64(even, _mm_and_si128(bytes, low_half));
    odd = _mm_add_epi64(odd, _mm_srli_epi64(bytes, 32));
  };
  const std::byte* const end = at + count;
  for (; end - at >= 32; at += 32) {
    add(even_a, odd_a, load(at));
    add(even_b, odd_b, load(at + 16));
  }
  if (end - at >= 16) {
    add(even_a, odd_a, load(at));
    at += 16;
  }
  if (end != at) add(even_b, odd_b, _mm_shuffle_epi8(load(end - 16), load(kKeepLast.data() + 16 - (end - at))));
  const __m128i all = _mm_add_epi64(_mm_add_epi64(even_a, odd_a), _mm_add_epi64(even_b, odd_b));
  return static_cast<Sum>(_mm_cvtsi128_si64(all)) + static_cast<Sum>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(all, all)));
}

}  // namespace gannet::nicpipe
