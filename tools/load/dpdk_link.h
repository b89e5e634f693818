/// The wire on a DPDK device of our own. A program of the release preset only.
#pragma once

#include <memory>
#include <string>

#include "tools/load/link.h"
#include "tools/load/options.h"

namespace gannet::load {

/// Starts DPDK, opens options.dpdk with options.queues queues and finds the target by ARP. Once a process; the thread
/// that calls it drives the link. Gives nullptr and one sentence in `wrong` when that fails.
[[nodiscard]] std::unique_ptr<Link> make_dpdk_link(const Options& options, std::string& wrong);

}  // namespace gannet::load
