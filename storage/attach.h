/// What Shard::attach found in a region that an earlier process left behind.
#pragma once

#include <cstdint>
#include <string>

#include "storage/base/bytes.h"
#include "storage/segment.h"

namespace gannet::storage {

enum class AttachStatus : std::uint8_t {
  kAttached,
  kFresh,        ///< No shard was ever made here.
  kOtherFormat,  ///< Made by a program with another kArenaFormat.
  kDamaged,      ///< The header page contradicts itself, or what was damaged cannot be told from what was overwritten.
  kDivided,      ///< Whole, but of another size, segment size or number of shards: Migration can move the items.
};

struct AttachReport {
  AttachStatus status = AttachStatus::kFresh;
  std::string why;             ///< One sentence; also with kAttached: what was found.
  bool clean = false;          ///< The earlier owner closed the shard.
  bool twice = false;          ///< The earlier process died before it had read everything itself.
  std::uint32_t segments = 0;  ///< That hold items, not read yet when attach() returns those of Stats::segments_kept.
  std::uint32_t segments_bad = 0;  ///< Headers that were no headers.
};

/// Whether `region` holds a shard of this program's format, and how it is divided. kAttached: `geometry` and the header
/// page can be trusted.
[[nodiscard]] AttachStatus judge_region(Bytes region, Geometry& geometry, std::string& why);

}  // namespace gannet::storage
