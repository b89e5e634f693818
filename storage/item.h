/// An item as it lies in a segment: a header of 8 to 24 bytes (most often 8 to 11), key, value, zeros up to a multiple
/// of kItemAlign. The shape byte says how wide each field is that need not be wide.
///
///   offset  0       1       2       4       5
///          +-------+-------+-------+-------+-------------+---------+---------+---------+-----+-------+-----+
///          | state | shape | check | key   | value bytes | flags   | expiry  | cas     | key | value | pad |
///          |       |       |       | bytes | 1 2 3       | 0 1 2 4 | 0 2 3 4 | 2 3 4 8 |     |       |     |
///          +-------+-------+-------+-------+-------------+---------+---------+---------+-----+-------+-----+
///   shape  bits 0..1: value bytes, 1..3 (0: no item)    2..3: flags    4..5: expiry, 0 is never    6..7: cas
///
/// Expiry and CAS are signed distances from the segment's base (SegmentBase, storage/segment.h), in whatever width they
/// fit; the widest fits any. So an item that is moved to another segment may change its shape, but not its check.
///
/// Only `state` ever changes after commit, by one-byte stores of the owner core; no checksum covers it. Everything else
/// is immutable. Part of the arena format: bump kArenaFormat (storage/segment.h) on change.
#pragma once

#include <nmmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/checksum.h"
#include "storage/segment.h"

namespace gannet::storage {

/// State byte: bit 7 set means no index entry points here (not yet committed, replaced, deleted, moved or evicted);
/// bits 0..6 remember uses, see storage/priority.h.
inline constexpr std::uint8_t kItemDead = 0x80, kItemUsesMask = 0x7f;

/// `bytes` and the padding behind them.
template <class T>
[[nodiscard]] constexpr T padded(T bytes) noexcept {
  return (bytes + kItemAlign - 1) & ~T{kItemAlign - 1};
}

/// 24 bits of value length.
inline constexpr std::uint32_t kValueBytesMax = (1u << 24) - 1;
/// State to key length, and one byte of each field that is never absent but for the CAS's two.
inline constexpr std::uint32_t kItemHeaderFixed = 5, kItemHeaderLeast = 8;
/// A header, and a key of one byte.
inline constexpr std::uint32_t kItemBytesMin = padded(kItemHeaderLeast + 1u);

/// What a shape byte means: widths in bytes, and how each field is read. It is read by a load that ends where the field
/// does, at `.._at` bytes from the item's start, so that what lies before it is shifted out, the sign comes with the
/// shift, no width needs a branch, and nothing outside the item is read.
struct alignas(16) ItemShape {
  std::uint8_t header = 0;  ///< All of the header; 0: not the shape of an item.
  std::uint8_t flags = 0, expires = 0, cas = 0;
  std::uint8_t flags_at = 0, flags_shift = 0;      ///< 32 bits, shifted as 64: nothing is left of a field of no bytes.
  std::uint8_t expires_at = 0, expires_shift = 0;  ///< 32 bits; expires_mask says whether it is there at all.
  std::uint8_t cas_at = 0, cas_shift = 0;          ///< 64 bits.
  std::uint32_t expires_mask = 0;
};

namespace detail {

inline constexpr std::array<std::uint8_t, 4> kFlagsWidths{0, 1, 2, 4}, kExpiryWidths{0, 2, 3, 4},
    kCasWidths{2, 3, 4, 8};

[[nodiscard]] constexpr std::array<ItemShape, 256> make_shapes() noexcept {
  std::array<ItemShape, 256> out{};
  for (std::uint32_t shape = 0; shape < out.size(); ++shape) {
    const std::uint32_t value = shape & 3;
    if (value == 0) continue;
    ItemShape& is = out[shape];
    is.flags = kFlagsWidths[shape >> 2 & 3];
    is.expires = kExpiryWidths[shape >> 4 & 3];
    is.cas = kCasWidths[shape >> 6];
    is.header = static_cast<std::uint8_t>(kItemHeaderFixed + value + is.flags + is.expires + is.cas);
    is.flags_at = static_cast<std::uint8_t>(is.header - is.cas - is.expires - 4);
    is.flags_shift = static_cast<std::uint8_t>(32 - is.flags * 8);
    is.expires_at = static_cast<std::uint8_t>(is.header - is.cas - 4);
    is.expires_shift = static_cast<std::uint8_t>(is.expires != 0 ? 32 - is.expires * 8 : 0);
    is.expires_mask = is.expires != 0 ? ~0u : 0;
    is.cas_at = static_cast<std::uint8_t>(is.header - 8);
    is.cas_shift = static_cast<std::uint8_t>(64 - is.cas * 8);
  }
  return out;
}

/// Whether a signed `distance` needs more than `bits`.
[[nodiscard]] constexpr std::uint32_t wider(std::uint64_t distance, std::uint32_t bits) noexcept {
  return distance + (std::uint64_t{1} << (bits - 1)) >= std::uint64_t{1} << bits ? 1 : 0;
}
/// The first of their widths in which a signed distance fits; the last one fits any. Which one is chance, so no
/// branches.
[[nodiscard]] constexpr std::uint32_t expiry_code(std::int32_t distance) noexcept {
  const auto wide = static_cast<std::uint64_t>(std::int64_t{distance});
  return 1 + wider(wide, 16) + wider(wide, 24);
}
[[nodiscard]] constexpr std::uint32_t cas_code(std::uint64_t distance) noexcept {
  return wider(distance, 16) + wider(distance, 24) + wider(distance, 32);
}
[[nodiscard]] constexpr std::uint32_t length_code(std::uint32_t length) noexcept {
  return 1 + (length >> 8 != 0 ? 1 : 0) + (length >> 16 != 0 ? 1 : 0);
}

}  // namespace detail

inline constexpr std::array<ItemShape, 256> kItemShapes = detail::make_shapes();
/// Of a shape's value bytes.
inline constexpr std::array<std::uint32_t, 4> kValueMasks{0, 0xff, 0xffff, 0xffffff};

/// What is to be written. `cas` decides how many bytes it gets; one that is not known yet is written by set_cas()
/// later.
struct NewItem {
  Bytes key;
  std::uint32_t value_bytes = 0, flags = 0;
  UnixSeconds expires_at = 0;  ///< 0: never.
  std::uint64_t cas = 0;
};

/// The narrowest shape of an item in a segment of that base.
[[nodiscard]] constexpr std::uint8_t shape_of(const NewItem& item, const SegmentBase& base) noexcept {
  const std::uint32_t value = detail::length_code(item.value_bytes);
  const std::uint32_t flags = item.flags != 0 ? detail::length_code(item.flags) : 0;
  const auto until = static_cast<std::int32_t>(item.expires_at - base.expires_at);
  const std::uint32_t expiry = item.expires_at != 0 ? detail::expiry_code(until) : 0;
  return static_cast<std::uint8_t>(value | flags << 2 | expiry << 4 | detail::cas_code(item.cas - base.cas) << 6);
}

struct alignas(2) ItemHeader {
  std::uint8_t state;       ///< kItemDead | uses.
  std::uint8_t shape;       ///< Of kItemShapes.
  std::uint16_t check;      ///< item_check(): vouches for what the client gets, not for how it is written.
  std::uint8_t key_length;  ///< 1..250.
  std::uint8_t fields[3];   ///< Value bytes, and what follows them: up to kItemShapes[shape].header.

  [[nodiscard]] const ItemShape& widths() const noexcept { return kItemShapes[shape]; }
  [[nodiscard]] std::uint32_t key_bytes() const noexcept { return key_length; }
  [[nodiscard]] std::uint32_t value_bytes() const noexcept {
    return load_raw<std::uint32_t>(bytes() + kItemHeaderFixed - 1) >> 8 & kValueMasks[shape & 3];
  }
  [[nodiscard]] bool dead() const noexcept { return (state & kItemDead) != 0; }

  [[nodiscard]] std::uint32_t flags() const noexcept {
    const ItemShape& is = widths();
    return static_cast<std::uint32_t>(std::uint64_t{load_raw<std::uint32_t>(bytes() + is.flags_at)} >> is.flags_shift);
  }
  /// First unix second in which it is gone; 0: never.
  [[nodiscard]] UnixSeconds expires_at(const SegmentBase& base) const noexcept {
    const ItemShape& is = widths();
    const auto raw = static_cast<std::int32_t>(load_raw<std::uint32_t>(bytes() + is.expires_at));
    return (base.expires_at + static_cast<std::uint32_t>(raw >> is.expires_shift)) & is.expires_mask;
  }
  [[nodiscard]] std::uint64_t cas(const SegmentBase& base) const noexcept {
    const ItemShape& is = widths();
    const auto raw = static_cast<std::int64_t>(load_raw<std::uint64_t>(bytes() + is.cas_at));
    return base.cas + static_cast<std::uint64_t>(raw >> is.cas_shift);
  }
  /// False: it does not fit the shape; nothing was changed. Written as it is read: eight bytes that end where it does,
  /// those before it as they were.
  [[nodiscard]] bool set_cas(const SegmentBase& base, std::uint64_t cas) noexcept {
    const ItemShape& is = widths();
    const std::uint64_t distance = cas - base.cas;
    if (detail::cas_code(distance) > shape >> 6u) return false;
    std::byte* const at = bytes() + is.cas_at;
    const std::uint64_t before = load_raw<std::uint64_t>(at) & ~(~std::uint64_t{0} << is.cas_shift);
    store_raw(at, before | distance << is.cas_shift);
    return true;
  }

  [[nodiscard]] const std::byte* bytes() const noexcept { return reinterpret_cast<const std::byte*>(this); }
  [[nodiscard]] std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] Bytes key() const noexcept { return {bytes() + widths().header, key_bytes()}; }
  [[nodiscard]] Bytes value() const noexcept { return {bytes() + widths().header + key_bytes(), value_bytes()}; }
  [[nodiscard]] MutableBytes value() noexcept { return {bytes() + widths().header + key_bytes(), value_bytes()}; }
  [[nodiscard]] Bytes key_and_value() const noexcept {
    return {bytes() + widths().header, std::size_t{key_bytes()} + value_bytes()};
  }
  /// All of it, padding included: the distance to the next item.
  [[nodiscard]] std::uint32_t item_bytes() const noexcept {
    return padded(widths().header + key_bytes() + value_bytes());
  }
};
static_assert(sizeof(ItemHeader) == kItemHeaderLeast && offsetof(ItemHeader, check) == 2 &&
              offsetof(ItemHeader, key_length) == 4 && offsetof(ItemHeader, fields) == kItemHeaderFixed);
static_assert(kItemAlign % alignof(ItemHeader) == 0 && sizeof(ItemHeader) < kItemBytesMin);
static_assert(kItemShapes[0x01].header == kItemHeaderLeast && kItemShapes[0xff].header == 24);

/// Bytes an item takes in a segment at most, whichever it comes to lie in. In 64 bits, so that no length a client can
/// state overflows.
[[nodiscard]] constexpr std::uint64_t item_bytes_most(std::uint64_t key_bytes, std::uint64_t value_bytes,
                                                      std::uint32_t flags) noexcept {
  return padded(20 + (flags != 0 ? 4 : 0) + key_bytes + value_bytes);
}
/// The same at least: an item without flags, soon after its segment was opened.
[[nodiscard]] constexpr std::uint32_t item_bytes_least(std::uint32_t key_bytes, std::uint32_t value_bytes) noexcept {
  return padded(kItemHeaderLeast - 1 + detail::length_code(value_bytes) + key_bytes + value_bytes);
}

/// Whether an item can lie at `item` with `room` bytes (readable, whatever they hold) up to the end of what was
/// written.
[[nodiscard]] inline bool item_fits(const ItemHeader& item, std::uint32_t room) noexcept {
  return room >= kItemBytesMin && item.widths().header != 0 && item.key_bytes() >= 1 && item.key_bytes() <= 250 &&
         item.item_bytes() <= room;
}

/// Copies `count` bytes. Inline: for keys, and other short runs. Writes nothing outside: the last step overlaps the one
/// before it.
inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t count) noexcept {
  if (count >= 16) {
    const auto copy = [&](std::size_t at) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at)));
    };
    std::size_t at = 0;
    for (; at + 32 < count; at += 32) {
      copy(at);
      copy(at + 16);
    }
    if (at + 16 < count) copy(at);
    return copy(count - 16);
  }
  if (count >= 8) {
    const auto first = load_raw<std::uint64_t>(from), last = load_raw<std::uint64_t>(from + count - 8);
    store_raw(to, first);
    return store_raw(to + count - 8, last);
  }
  for (std::size_t at = 0; at < count; ++at) to[at] = from[at];
}

/// The same for what may be long.
inline void copy_item_bytes(std::byte* to, const std::byte* from, std::size_t count) noexcept {
  constexpr std::size_t kShort = 256;
  if (count <= kShort) return copy_bytes(to, from, count);
  std::memcpy(to, from, count);
}

/// Where what follows the header goes, and all of the item: what would otherwise be read back from what was written.
struct WrittenItem {
  std::uint32_t header_bytes, item_bytes;
};

/// Writes a dead item's header and padding; key and value are the caller's. Needs room for item_bytes_most(), all of
/// which it may overwrite.
[[gnu::always_inline]] inline WrittenItem write_header(ItemHeader& item, const NewItem& from, const SegmentBase& base,
                                                       std::uint16_t check) noexcept {
  const std::uint8_t shape = shape_of(from, base);
  const ItemShape& is = kItemShapes[shape];
  const std::uint64_t key_bytes = from.key.size();
  const auto bytes = padded(static_cast<std::uint32_t>(is.header + key_bytes + from.value_bytes));
  // Each field in full width, front to back: what is too much of one goes under what is written next.
  store_raw(item.bytes(), kItemDead | std::uint64_t{shape} << 8 | std::uint64_t{check} << 16 | key_bytes << 32 |
                              std::uint64_t{from.value_bytes} << 8 * kItemHeaderFixed);
  std::byte* at = item.bytes() + kItemHeaderFixed + (shape & 3);
  store_raw(at, from.flags);
  at += is.flags;
  store_raw(at, from.expires_at - base.expires_at);
  at += is.expires;
  store_raw(at, from.cas - base.cas);
  static_assert(kItemAlign == 2);
  item.bytes()[bytes - 1] = std::byte{0};  // Padding, or the last byte of key or value, which are still to come.
  return {is.header, bytes};
}
/// The same and the key; the value is the caller's, and the check.
inline WrittenItem write_item(ItemHeader& item, const NewItem& from, const SegmentBase& base) noexcept {
  const WrittenItem written = write_header(item, from, base, 0);
  copy_bytes(item.bytes() + written.header_bytes, from.key.data(), from.key.size());
  return written;
}

/// Whether two runs of `count` bytes are the same. Inline and without a branch on the content: for keys, which are
/// short. Reads nothing outside the runs: the last step overlaps the one before it.
[[nodiscard]] inline bool equal_bytes(const std::byte* left, const std::byte* right, std::size_t count) noexcept {
  if (count >= 16) {
    const auto differing = [&](std::size_t at) {
      return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + at)),
                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + at)));
    };
    __m128i different = _mm_or_si128(differing(0), differing(count - 16));
    for (std::size_t at = 16; at + 16 < count; at += 16) different = _mm_or_si128(different, differing(at));
    return _mm_testz_si128(different, different) != 0;
  }
  if (count >= 8) {
    return ((load_raw<std::uint64_t>(left) ^ load_raw<std::uint64_t>(right)) |
            (load_raw<std::uint64_t>(left + count - 8) ^ load_raw<std::uint64_t>(right + count - 8))) == 0;
  }
  if (count >= 4) {
    return ((load_raw<std::uint32_t>(left) ^ load_raw<std::uint32_t>(right)) |
            (load_raw<std::uint32_t>(left + count - 4) ^ load_raw<std::uint32_t>(right + count - 4))) == 0;
  }
  if (count == 0) return true;
  const std::size_t middle = count / 2, last = count - 1;
  return ((left[0] ^ right[0]) | (left[middle] ^ right[middle]) | (left[last] ^ right[last])) == std::byte{0};
}

/// The CRC32C of all of an item but its state byte.
[[gnu::always_inline]] [[nodiscard]] inline std::uint32_t item_crc(const ItemHeader& item) noexcept {
  return crc32c_of_item(0, {item.bytes() + 1, item.item_bytes() - 1});
}

/// A segment's body CRC one item further: the CRC32C of its items' CRC32Cs. Not of the bytes in one run, because then
/// each item would have to wait for the one before it; so the processor works on several at once.
[[gnu::always_inline]] [[nodiscard]] inline std::uint32_t body_crc_extend(std::uint32_t crc,
                                                                          const ItemHeader& item) noexcept {
  return _mm_crc32_u32(crc, item_crc(item));
}

/// The short check of a committed item, and what replay of an open segment goes by: of the lengths, flags, expiry and
/// CAS it stands for, then key and value. It is the same wherever the item is moved to, so moving does not renew it,
/// and in a segment whose base was damaged no item has it.
[[nodiscard]] inline std::uint16_t item_check(const NewItem& item, Bytes key_and_value) noexcept {
  std::uint64_t crc = 0xffffffff;
  crc = _mm_crc32_u64(crc, item.key.size() | std::uint64_t{item.value_bytes} << 32);
  crc = _mm_crc32_u64(crc, item.flags | std::uint64_t{item.expires_at} << 32);
  crc = _mm_crc32_u64(crc, item.cas);
  return fold_crc(crc32c_of_item(~static_cast<std::uint32_t>(crc), key_and_value));
}
[[nodiscard]] inline std::uint16_t item_check(const ItemHeader& item, const SegmentBase& base) noexcept {
  return item_check({item.key(), item.value_bytes(), item.flags(), item.expires_at(base), item.cas(base)},
                    item.key_and_value());
}

}  // namespace gannet::storage
