/// Round-trip time and what follows from it: RFC 6298, and the minimum RFC 8985 asks for.
#pragma once

#include <algorithm>
#include <cstdint>

#include "storage/base/clock.h"

namespace gannet::nicpipe::tcp {

struct Rtt {
  MonotonicNs smoothed_ns = 0;  ///< 0: no sample yet.
  MonotonicNs varies_ns = 0;
  MonotonicNs least_ns = ~MonotonicNs{0};
  bool coarse = false;  ///< What is known is a first idea, until the first sample.

  /// Of a segment that was sent once (Karn). Section 2.
  void sample(MonotonicNs ns) noexcept {
    ns = std::max<MonotonicNs>(ns, 1);
    least_ns = std::min(least_ns, ns);
    if (smoothed_ns == 0 || coarse) {
      coarse = false;
      smoothed_ns = ns;
      varies_ns = ns / 2;
      return;
    }
    const MonotonicNs off = ns > smoothed_ns ? ns - smoothed_ns : smoothed_ns - ns;
    varies_ns = varies_ns - varies_ns / 4 + off / 4;
    smoothed_ns = smoothed_ns - smoothed_ns / 8 + ns / 8;
  }
  /// A first idea, too coarse to be the least there ever was, and too long by all the acknowledgements that were lost
  /// before: the first sample takes its place instead of being mixed into it.
  void sample_coarse(MonotonicNs ns) noexcept {
    coarse = true;
    smoothed_ns = ns;
    varies_ns = ns / 2;
  }
  /// `least` stands where RFC 6298 section 2 has the clock's granularity: what the minimum is for, an acknowledgement
  /// that the peer delays, comes on top of the round trip, however long that is. Once a steady round trip has brought
  /// the variance down, nothing else would leave room for it.
  [[nodiscard]] MonotonicNs timeout(MonotonicNs initial, MonotonicNs least, MonotonicNs most) const noexcept {
    if (smoothed_ns == 0) return std::clamp(initial, least, most);
    return std::min(smoothed_ns + std::max(least, 4 * varies_ns), most);
  }
};

}  // namespace gannet::nicpipe::tcp
