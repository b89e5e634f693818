/// What STAT answers: one packet for each statistic, an empty one at the end, over all workers. Names are memcached's
/// where memcached has them.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/core/group.h"
#include "storage/base/bytes.h"
#include "storage/base/clock.h"

namespace gannet::dataplane {

/// What a STAT answer is made of.
struct StatSource {
  const WorkerGroup& group;
  std::uint32_t item_bytes_max = 0;
  UnixSeconds now = 0;
  std::uint8_t opcode = 0;     ///< Repeated in every packet.
  std::uint32_t opaque = 0;    ///< As it lay in the request.
  bool authenticated = false;  ///< SASL is demanded.
};

/// Writes the packets of `stat_group` into `out` and gives their bytes; 0: there is no such group, or it does not fit.
/// `out` is best kStatBytes.
///   ""         the general statistics
///   settings   how this appliance is set up
///   items      what the store holds, with memcached's names for slab class 1
///   segments   the store's memory
///   sizes, detail   not kept: one line says so / nothing
///   workers    for each worker: core, node, UDP port, whether the device steers that port, requests, hand-overs, items
///   routing    how a client finds the worker that owns a key
///   gannet     every counter and gauge by its own name, summed
[[nodiscard]] std::size_t write_stats(const StatSource& source, std::string_view stat_group, MutableBytes out) noexcept;

}  // namespace gannet::dataplane
