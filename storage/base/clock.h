/// Time as the experts receive it: always an argument, never read inside.
#pragma once

#include <cstdint>

namespace gannet {

/// Unix time, whole seconds, 1970..2106. What expiry is measured in.
using UnixSeconds = std::uint32_t;

/// Nanoseconds on a clock that never runs backwards (CLOCK_MONOTONIC or the TSC scaled to it). What timers and latency
/// are measured in.
using MonotonicNs = std::uint64_t;

/// The instant of one turn of a worker's loop.
struct Now {
  UnixSeconds unix_s = 0;
  MonotonicNs mono_ns = 0;
};

}  // namespace gannet
