/// An item as it lies in a segment: 20 bytes of header, the client's flags if they are not 0, key, value, zeros up to a
/// multiple of 4.
///
///   offset  0        1       2         4            8             12       20
///          +--------+-------+---------+------------+-------------+--------+------------+-----+-------+-----+
///          | state  | kind  | check   | lengths    | expires_at  | cas    | flags 0|4  | key | value | pad |
///          +--------+-------+---------+------------+-------------+--------+------------+-----+-------+-----+
///
/// Only `state` ever changes after commit, by one-byte stores of the owner core; no checksum covers it. Everything else
/// is immutable. Part of the arena format: bump kArenaFormat (storage/segment.h) on change.
#pragma once

#include <nmmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/checksum.h"

namespace gannet::storage {

/// State byte: bit 7 set means no index entry points here (not yet committed, replaced, deleted, moved or evicted);
/// bits 0..6 remember uses, see storage/priority.h.
inline constexpr std::uint8_t kItemDead = 0x80, kItemUsesMask = 0x7f;
/// Kind byte: four bytes of client flags follow the header.
inline constexpr std::uint8_t kItemHasFlags = 0x01;

inline constexpr std::uint32_t kItemAlign = 4;
/// 24 bits of value length.
inline constexpr std::uint32_t kValueBytesMax = (1u << 24) - 1;

struct alignas(4) ItemHeader {
  std::uint8_t state;        ///< kItemDead | uses.
  std::uint8_t kind;         ///< kItemHasFlags; other bits 0.
  std::uint16_t check;       ///< item_check(): from offset 4 to the end, seeded with `kind`.
  std::uint32_t lengths;     ///< Key bytes in bits 0..7 (1..250), value bytes in bits 8..31.
  std::uint32_t expires_at;  ///< First unix second in which it is gone; 0: never.
  std::uint32_t cas_low;     ///< The 64-bit CAS in two halves, so that 4-byte alignment is enough.
  std::uint32_t cas_high;

  [[nodiscard]] std::uint32_t key_bytes() const noexcept { return lengths & 0xff; }
  [[nodiscard]] std::uint32_t value_bytes() const noexcept { return lengths >> 8; }
  [[nodiscard]] std::uint32_t flags_bytes() const noexcept { return (kind & kItemHasFlags) != 0 ? 4 : 0; }
  [[nodiscard]] std::uint64_t cas() const noexcept { return cas_low | static_cast<std::uint64_t>(cas_high) << 32; }
  void set_cas(std::uint64_t cas) noexcept {
    cas_low = static_cast<std::uint32_t>(cas);
    cas_high = static_cast<std::uint32_t>(cas >> 32);
  }
  [[nodiscard]] bool dead() const noexcept { return (state & kItemDead) != 0; }
  [[nodiscard]] bool expired(UnixSeconds now) const noexcept { return expires_at != 0 && expires_at <= now; }

  [[nodiscard]] const std::byte* bytes() const noexcept { return reinterpret_cast<const std::byte*>(this); }
  [[nodiscard]] std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] std::uint32_t flags() const noexcept {
    return flags_bytes() != 0 ? load_raw<std::uint32_t>(bytes() + 20) : 0;
  }
  [[nodiscard]] Bytes key() const noexcept { return {bytes() + 20 + flags_bytes(), key_bytes()}; }
  [[nodiscard]] Bytes value() const noexcept { return {bytes() + 20 + flags_bytes() + key_bytes(), value_bytes()}; }
  [[nodiscard]] MutableBytes value() noexcept { return {bytes() + 20 + flags_bytes() + key_bytes(), value_bytes()}; }
  /// All of it, padding included: the distance to the next item.
  [[nodiscard]] std::uint32_t item_bytes() const noexcept {
    return (20 + flags_bytes() + key_bytes() + value_bytes() + kItemAlign - 1) & ~(kItemAlign - 1);
  }
};
static_assert(sizeof(ItemHeader) == 20 && offsetof(ItemHeader, check) == 2 && offsetof(ItemHeader, lengths) == 4 &&
              offsetof(ItemHeader, expires_at) == 8 && offsetof(ItemHeader, cas_low) == 12);

/// Whether two runs of `count` bytes are the same. Inline and without a branch on the content: for keys, which are
/// short. Reads nothing outside the runs: the last step overlaps the one before it.
[[nodiscard]] inline bool equal_bytes(const std::byte* left, const std::byte* right, std::size_t count) noexcept {
  if (count >= 16) {
    const auto differing = [&](std::size_t at) {
      return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + at)),
                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + at)));
    };
    __m128i different = differing(count - 16);
    for (std::size_t at = 0; at + 16 < count; at += 16) different = _mm_or_si128(different, differing(at));
    return _mm_testz_si128(different, different) != 0;
  }
  if (count >= 8) {
    return ((load_raw<std::uint64_t>(left) ^ load_raw<std::uint64_t>(right)) |
            (load_raw<std::uint64_t>(left + count - 8) ^ load_raw<std::uint64_t>(right + count - 8))) == 0;
  }
  std::byte different{0};
  for (std::size_t at = 0; at < count; ++at) different |= left[at] ^ right[at];
  return different == std::byte{0};
}

/// Bytes an item takes in a segment. In 64 bits, so that no length a client can state overflows.
[[nodiscard]] constexpr std::uint64_t item_bytes_for(std::uint64_t key_bytes, std::uint64_t value_bytes,
                                                     std::uint32_t flags) noexcept {
  return (20 + (flags != 0 ? 4 : 0) + key_bytes + value_bytes + kItemAlign - 1) & ~std::uint64_t{kItemAlign - 1};
}

/// The CRC32C of all of an item but its state byte.
[[nodiscard]] inline std::uint32_t item_crc(const ItemHeader& item) noexcept {
  return crc32c_of_item({item.bytes() + 1, item.item_bytes() - 1});
}

/// A segment's body CRC one item further: the CRC32C of its items' CRC32Cs. Not of the bytes in one run, because then
/// each item would have to wait for the one before it; so the processor works on several at once.
[[nodiscard]] inline std::uint32_t body_crc_extend(std::uint32_t crc, const ItemHeader& item) noexcept {
  return _mm_crc32_u32(crc, item_crc(item));
}

/// The short check of a committed item: what replay of an open segment goes by.
[[nodiscard]] inline std::uint16_t item_check(const ItemHeader& item) noexcept {
  return fold_crc(crc32c_extend(item.kind, {item.bytes() + 4, item.item_bytes() - 4}));
}

}  // namespace gannet::storage
