/// DPDK's log, kept back: errors become part of our sentences instead of noise on stderr. Any thread.
#pragma once

#include <string>

namespace gannet::nicpipe::dpdk {

/// Takes over DPDK's log stream. `verbose`: every line also goes to stderr as it is.
void capture_log(bool verbose);

/// Silences libraries under the drivers that print by themselves. After the drivers are loaded.
void hush_libraries();

/// Forgets what was kept. Call before a step whose failure shall be explained.
void forget_log();

/// The first lines DPDK logged since forget_log(), joined by "; ", without level and newline; empty when it said
/// nothing.
[[nodiscard]] std::string kept_log();

}  // namespace gannet::nicpipe::dpdk
