/// How a region of memory is divided into header page, tables and segments.
#pragma once

#include <cstdint>
#include <string>

#include "storage/segment.h"

namespace gannet::storage {

/// The division of `region_bytes` into segments of `segment_bytes` (a power of two); segments is 0 when not even one
/// fits.
[[nodiscard]] Geometry divide(std::uint64_t region_bytes, std::uint32_t segment_bytes) noexcept;

/// The segment size for a region: 64 KiB to 1 MiB with at least 512 segments where possible; 16 KiB with at least 64;
/// smaller where fewer than 8 would fit; at least `item_bytes_max`.
[[nodiscard]] std::uint32_t choose_segment_bytes(std::uint64_t region_bytes, std::uint32_t item_bytes_max) noexcept;

/// The item_bytes_max that whoever serves clients asks for when nobody chose one: a 64th of the region, 64 KiB to
/// 1 MiB, less only in a region of less than 1 MiB. Clients of memcached expect 1 MiB, and hit ratio alone would choose
/// smaller segments.
[[nodiscard]] std::uint32_t usual_item_bytes_max(std::uint64_t region_bytes) noexcept;

/// False: `why` is one sentence that says what to change. Sizes as in ShardOptions, 0 meaning "choose".
[[nodiscard]] bool make_geometry(std::uint64_t region_bytes, std::uint32_t segment_bytes, std::uint32_t item_bytes_max,
                                 Geometry& out, std::string& why);

/// What the header page's geometry_crc has to be.
[[nodiscard]] std::uint32_t geometry_crc(const ShardHeader& header) noexcept;
/// What a sealed segment's header_crc has to be.
[[nodiscard]] std::uint32_t header_crc(const SegmentHeader& segment, const SegmentBase& base) noexcept;

}  // namespace gannet::storage
