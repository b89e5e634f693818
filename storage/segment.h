/// The arena format of one shard: what lies where in its region, and the two headers that describe it. Everything a
/// shard keeps lies in the region; places are offsets from its start, so that another process can map it anywhere.
///
///   +--------------+------------------+----------------+--------------------+-----------+-----------+ ...
///   +-----------+ | ShardHeader  | SegmentHeader[n] | SegmentBase[n] | index directory    | segment 0 | segment 1 | |
///   segment   | | 4096 B       | 64 B each        | 16 B each      | u32 per index page |           |           | | n
///   - 1     |
///   +--------------+------------------+----------------+--------------------+-----------+-----------+ ...
///   +-----------+
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"

namespace gannet::storage {

/// Version of everything in this file and in storage/item.h.
inline constexpr std::uint32_t kArenaFormat = 3;
inline constexpr std::uint64_t kShardMagic = 0x3164726168736e67;  // "gnshard1"
inline constexpr std::uint32_t kSegmentMagic = 0x67657367;        // "gseg"

inline constexpr std::uint32_t kShardHeaderBytes = 4096;
inline constexpr std::uint32_t kSegmentBytesMin = 4096, kSegmentBytesMax = 1u << 24;
/// One for the index, one open, one to evict, one to copy survivors into.
inline constexpr std::uint32_t kSegmentsMin = 4;
inline constexpr std::uint32_t kSegmentsMax = 1u << 24;
/// Index pages per segment: what the index grows by, so that a small arena need not give it whole segments.
inline constexpr std::uint32_t kPagesPerSegment = 8;
inline constexpr std::uint32_t kNoSegment = 0xffffffff;
/// Items begin at multiples of it, and places are counted in it.
inline constexpr std::uint32_t kItemAlign = 2;

/// kFree -> kOpen -> kClosed -> kSealed -> kDraining -> kFree; a closed segment may drain unsealed; kFree <-> kIndex;
/// kDraining -> kClosed, empty, when it is pinned at the end.
/// After an attach: whatever held items -> kKept -> kSealed or kClosed, once it was read.
enum class SegmentState : std::uint8_t {
  kFree,      ///< On the free list; its bytes mean nothing.
  kOpen,      ///< The tail of a TTL bucket: items are appended.
  kClosed,    ///< Full or left behind; the body's CRC is still to be made. Reservations may still stand open.
  kSealed,    ///< body_crc and header_crc hold.
  kDraining,  ///< The collector takes items out. Pinned when it has, it is kClosed, empty, until the last pin goes.
  kIndex,     ///< Carved into pages of the index.
  kKept,      ///< Left by an earlier process and not read yet: the index knows nothing of its items.
};

/// One per segment, in a table apart from the data. Written by the shard's owner core only.
struct alignas(64) SegmentHeader {
  std::uint32_t magic;      ///< kSegmentMagic.
  std::uint32_t id;         ///< Place in the table, fixed when the arena is formatted.
  std::uint64_t sequence;   ///< Given at opening, never reused in this shard: the order in which segments were opened.
  std::uint32_t created_s;  ///< Shard clock at opening.
  std::uint32_t expiry_min_s;  ///< Smallest expires_at ever put in; kNeverExpires when none expires.
  std::uint32_t expiry_max_s;  ///< Largest expires_at ever put in, kNeverExpires with an item that never expires. At or
                               ///< after it, all is gone.
  std::uint32_t used_bytes;    ///< Next free byte, from the segment's start.
  std::uint32_t body_crc;      ///< From sealing on: chained over the items, see body_crc_extend() in storage/item.h.
  std::uint32_t header_crc;    ///< From sealing on: CRC32C of the bytes before it and of the base. Written last.
  std::uint32_t live_bytes;    ///< Bytes of items whose dead bit is clear. live_bytes <= used_bytes <= segment size.
  std::uint32_t live_items;    ///< Raised before a dead bit is cleared, lowered after one is set: never too small.
  /// Neighbours in the TTL bucket's list, older towards `previous`; `next` also links the free list, and of a segment
  /// of the index `previous` counts its pages in store.
  std::uint32_t previous;
  std::uint32_t next;
  std::uint16_t pins;          ///< Readers outside (replies on the wire). Reuse only at 0.
  std::uint16_t reservations;  ///< Items being written. Sealed, drained and reused only at 0.
  SegmentState state;
  std::uint8_t ttl_bucket;   ///< Placement hint; every item carries its own expiry.
  std::uint8_t reserved[2];  ///< 0.
};
inline constexpr std::uint32_t kNeverExpires = 0xffffffff;
static_assert(sizeof(SegmentHeader) == 64 && offsetof(SegmentHeader, header_crc) == 36 &&
              offsetof(SegmentHeader, reserved) == 62);

/// What the items of a segment count their CAS and their expiry from. Given before the segment is opened, never changed
/// while an item lies in it. Apart from the header, because every hit reads it: 4 GiB of segments have 64 KiB of it.
struct alignas(16) SegmentBase {
  std::uint64_t cas;         ///< An item's distance from it is signed, modulo 2^64.
  std::uint32_t expires_at;  ///< Unix seconds; the distance is signed, modulo 2^32.
  std::uint32_t reserved;    ///< 0.
};
static_assert(sizeof(SegmentBase) == 16 && offsetof(SegmentBase, expires_at) == 8);

/// First page of the region. The first two lines are written once, at format; the others by the owner core while
/// serving.
struct alignas(64) ShardHeader {
  std::uint64_t magic;         ///< kShardMagic, written last at format.
  std::uint32_t format;        ///< kArenaFormat.
  std::uint32_t geometry_crc;  ///< CRC32C of the fields from region_bytes to hash_key_b.
  std::uint64_t region_bytes;
  std::uint64_t directory_offset;  ///< From the region's start, as data_offset.
  std::uint64_t data_offset;       ///< Segment 0.
  std::uint32_t segment_bytes;     ///< A power of two.
  std::uint32_t segments;
  std::uint32_t item_bytes_max;
  std::uint16_t regions;  ///< Shards the keys were divided among when it was formatted,
  std::uint16_t region;   ///< and which of them this is.
  std::uint64_t hash_key_a, hash_key_b;

  alignas(64) std::uint64_t next_cas;  ///< The CAS the next change gets.
  std::uint64_t next_sequence;         ///< The sequence the next opened segment gets.
  std::uint64_t flush_cas;             ///< Items with a smaller CAS are flushed.
  std::uint32_t flush_at_s;            ///< Pending delayed flush, 0 for none.
  std::uint32_t clock_s;               ///< Largest second the shard was handed.
  /// A replacement under way: as long as replaced is not 0, the item there is to die as soon as the one at
  /// `replacement` lives. The order of both is part of the write path (storage/shard.h).
  std::uint64_t replacement, replaced;
  std::uint64_t restore_sequence;  ///< While items of an earlier process are being read: next_sequence at its start.
                                   ///< 0: the index knows every live item.
  std::int64_t clock_lead_ns;      ///< The caller's own note, see Shard::note_clock_lead().

  alignas(64) std::uint64_t stopped;  ///< 1: the owner said goodbye (Shard::close) and changed nothing since.
};
static_assert(sizeof(ShardHeader) == 256 && offsetof(ShardHeader, region_bytes) == 16 &&
              offsetof(ShardHeader, next_cas) == 128 && offsetof(ShardHeader, stopped) == 192);

/// What follows from the region's size and the segment size; the same sum is done at format and at attach.
struct Geometry {
  std::uint64_t region_bytes = 0, bases_offset = 0, directory_offset = 0, data_offset = 0;
  std::uint32_t segment_bytes = 0, segment_shift = 0, segments = 0, page_bytes = 0, page_shift = 0;
};

/// Place of an item in the region, in units of kItemAlign; 0 is nowhere (the header page lies there).
using Location = std::uint64_t;
/// A place of 36 bits leaves 4 of the index's slots to tell keys by (storage/index.h).
inline constexpr std::uint64_t kRegionBytesMax = std::uint64_t{kItemAlign} << 36;

/// A store that the compiler leaves where it stands among all other stores. x86 makes stores visible in program order,
/// so that whoever finds the memory after this process died sees a prefix of them.
template <class T>
inline void ordered_store(T& at, T value) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::atomic_ref<T>(at).store(value, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace gannet::storage
