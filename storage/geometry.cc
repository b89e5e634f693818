#include "storage/geometry.h"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "storage/checksum.h"

namespace gannet::storage {

Geometry divide(std::uint64_t region_bytes, std::uint32_t segment_bytes) noexcept {
  constexpr std::uint64_t kTableBytes =
      sizeof(SegmentHeader) + sizeof(SegmentBase) + kPagesPerSegment * sizeof(std::uint32_t);
  constexpr std::uint64_t kDataAlign = 4096;
  Geometry out;
  out.region_bytes = region_bytes;
  out.segment_bytes = segment_bytes;
  out.segment_shift = static_cast<std::uint32_t>(std::countr_zero(segment_bytes));
  out.page_bytes = segment_bytes / kPagesPerSegment;
  out.page_shift = static_cast<std::uint32_t>(std::countr_zero(out.page_bytes));
  const std::uint64_t around = kShardHeaderBytes + kDataAlign;
  if (region_bytes < around) return out;
  const std::uint64_t fit = (region_bytes - around) / (segment_bytes + kTableBytes);
  out.segments = static_cast<std::uint32_t>(std::min<std::uint64_t>(fit, kSegmentsMax));
  out.bases_offset = kShardHeaderBytes + std::uint64_t{out.segments} * sizeof(SegmentHeader);
  out.directory_offset = out.bases_offset + std::uint64_t{out.segments} * sizeof(SegmentBase);
  const std::uint64_t end = kShardHeaderBytes + out.segments * kTableBytes;
  out.data_offset = (end + kDataAlign - 1) & ~(kDataAlign - 1);
  return out;
}

std::uint32_t choose_segment_bytes(std::uint64_t region_bytes, std::uint32_t item_bytes_max) noexcept {
  constexpr std::uint32_t kUsualMin = 128 * 1024, kUsualMax = 1024 * 1024, kSmallMin = 16 * 1024;
  constexpr std::uint32_t kSegmentsWanted = 512, kSegmentsMany = 200, kSegmentsEnough = 64, kSegmentsFew = 8;
  std::uint32_t bytes = kUsualMin;
  if (divide(region_bytes, bytes).segments < kSegmentsMany) bytes /= 2;
  while (bytes < kUsualMax && region_bytes / (bytes * 2) >= kSegmentsWanted) bytes *= 2;
  while (bytes > kSmallMin && divide(region_bytes, bytes).segments < kSegmentsEnough) bytes /= 2;
  while (bytes > kSegmentBytesMin && divide(region_bytes, bytes).segments < kSegmentsFew) bytes /= 2;
  return std::max(bytes, std::bit_ceil(item_bytes_max));
}

std::uint32_t usual_item_bytes_max(std::uint64_t region_bytes) noexcept {
  constexpr std::uint64_t kLeast = 64 * 1024, kMost = 1024 * 1024;
  const std::uint64_t share = std::clamp(std::bit_floor(region_bytes / 64), kLeast, kMost);
  return static_cast<std::uint32_t>(std::min(share, std::bit_floor(region_bytes / 16)));
}

std::uint32_t geometry_crc(const ShardHeader& header) noexcept {
  constexpr std::size_t kFrom = offsetof(ShardHeader, region_bytes);
  constexpr std::size_t kTo = offsetof(ShardHeader, hash_key_b) + sizeof(header.hash_key_b);
  return crc32c({reinterpret_cast<const std::byte*>(&header) + kFrom, kTo - kFrom});
}

std::uint32_t header_crc(const SegmentHeader& segment, const SegmentBase& base) noexcept {
  const std::uint32_t crc = crc32c({reinterpret_cast<const std::byte*>(&segment), offsetof(SegmentHeader, header_crc)});
  return crc32c_extend(crc, {reinterpret_cast<const std::byte*>(&base), sizeof base});
}

bool make_geometry(std::uint64_t region_bytes, std::uint32_t segment_bytes, std::uint32_t item_bytes_max, Geometry& out,
                   std::string& why) {
  if (item_bytes_max > kSegmentBytesMax) {
    why = "the largest item is " + std::to_string(item_bytes_max) + " bytes; choose at most " +
          std::to_string(kSegmentBytesMax);
    return false;
  }
  if (region_bytes > kRegionBytesMax) {
    why = "a shard of " + std::to_string(region_bytes) + " bytes is larger than " + std::to_string(kRegionBytesMax) +
          "; divide the memory among more workers";
    return false;
  }
  if (segment_bytes == 0) segment_bytes = choose_segment_bytes(region_bytes, item_bytes_max);
  if (!std::has_single_bit(segment_bytes) || segment_bytes < kSegmentBytesMin || segment_bytes > kSegmentBytesMax) {
    why = "a segment of " + std::to_string(segment_bytes) + " bytes is not possible; choose a power of two from " +
          std::to_string(kSegmentBytesMin) + " to " + std::to_string(kSegmentBytesMax);
    return false;
  }
  if (item_bytes_max > segment_bytes) {
    why = "the largest item is " + std::to_string(item_bytes_max) + " bytes, but a segment holds " +
          std::to_string(segment_bytes) + "; choose larger segments or smaller items";
    return false;
  }
  out = divide(region_bytes, segment_bytes);
  if (out.segments < kSegmentsMin) {
    why = "a shard of " + std::to_string(region_bytes) + " bytes holds " + std::to_string(out.segments) +
          " segments of " + std::to_string(segment_bytes) + " bytes; give it memory for " +
          std::to_string(kSegmentsMin) + ", or choose smaller segments or items";
    return false;
  }
  return true;
}

}  // namespace gannet::storage
