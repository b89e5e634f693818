/// What gannetd gives up once its devices are open.
#pragma once

#include <string>
#include <vector>

#include "control/abi/shared.h"

namespace gannet::dataplane {

/// Capabilities of the kernel (CAP_*) that a device of `kind` still needs after its start, to work and to be closed.
[[nodiscard]] std::vector<int> capabilities_kept(abi::DeviceKind kind);

/// Drops all other capabilities of the calling thread and of the threads it will make, and the right to gain any by
/// executing a file. Threads that exist already (DPDK's own) keep theirs. Empty text on success or where there was
/// nothing to drop, else one sentence.
[[nodiscard]] std::string drop_capabilities(const std::vector<int>& keep);

}  // namespace gannet::dataplane
