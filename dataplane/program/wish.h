/// From what is configured to what the planner is asked.
#pragma once

#include <cstdint>
#include <string>

#include "control/abi/shared.h"
#include "dataplane/core/placement.h"
#include "dataplane/program/topology.h"

namespace gannet::dataplane {

/// `memory_held`: bytes of the item memory that have their pages already (a file that another process kept).
[[nodiscard]] PlacementWish wish_of(const abi::StartConfig& start, const abi::LiveConfig& live, const Machine& machine,
                                    std::uint64_t memory_held);

/// One sentence if `start` cannot be: counts out of range, a port without address. Control judged all this before; a
/// file may be made by others.
[[nodiscard]] std::string judge_start(const abi::StartConfig& start);

}  // namespace gannet::dataplane
