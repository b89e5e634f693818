// How large the congestion window is: NewReno (RFC 5681) and CUBIC (RFC 9438). Bytes outside, segments inside CUBIC.
#include <algorithm>
#include <cmath>

#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr double kRenoBeta = 0.5;  // RFC 5681 section 3.1.
constexpr double kCubicC = 0.4, kCubicBeta = 0.7;
/// RFC 8511 section 3.1, and for CUBIC its section 4.1: who marks keeps its queue short, so less has to drain.
constexpr double kRenoMarkBeta = 0.8, kCubicMarkBeta = 0.85;
constexpr double kRenoAlpha = 3 * (1 - kCubicBeta) / (1 + kCubicBeta);

}  // namespace

/// RFC 6928; RFC 5681 section 3.1: one segment where the SYN was lost.
void Core::begin_congestion(Connection& c) noexcept {
  const std::uint32_t segments = c.syn_retried ? 1 : config.initial_window_segments;
  c.cwnd = segments * c.mss;
  c.ssthresh = ~std::uint32_t{0};
}

/// `acked` bytes arrived and nothing is being recovered fast. Only a window that was full is known to be too small
/// (RFC 9293 section 3.8.2 by way of RFC 7661's reason).
void Core::grow_window(Connection& c, std::uint32_t acked, std::uint32_t flight_before, Now now) noexcept {
  const bool slow_start = c.cwnd < c.ssthresh;
  const bool full = slow_start ? std::uint64_t{2} * flight_before >= c.cwnd : flight_before + c.mss > c.cwnd;
  if (!full || c.cwnd >= config.send_bytes_max * 2u) return;
  if (slow_start) {  // RFC 3465 section 2.3: an acknowledgement of two segments counts as two.
    const std::uint32_t step = c.recovery == Recovery::kTimedOut ? c.mss : 2u * c.mss;
    c.cwnd += std::min(acked, step);
    return;
  }
  if (config.congestion == Congestion::kNewReno) {
    c.cwnd_credit += acked;
    if (c.cwnd_credit >= c.cwnd) {
      c.cwnd_credit -= c.cwnd;
      c.cwnd += c.mss;
    }
    return;
  }
  // RFC 9438 section 4.
  const double mss = c.mss, segments = acked / mss;
  if (c.cubic_epoch_ns == 0) {
    c.cubic_epoch_ns = now.mono_ns;
    c.cubic_cwnd = c.cwnd / mss;
    if (c.cubic_max < c.cubic_cwnd) c.cubic_max = c.cubic_cwnd;
    c.cubic_k = std::cbrt((c.cubic_max - c.cubic_cwnd) / kCubicC);
    c.cubic_reno = c.cubic_cwnd;
  }
  const double window = c.cubic_cwnd > 0 ? c.cwnd / mss + c.cubic_rest : c.cwnd / mss;
  const double t = static_cast<double>(now.mono_ns - c.cubic_epoch_ns) * 1e-9;
  const auto cubic_at = [&c](double when) {
    const double from_max = when - c.cubic_k;
    return kCubicC * from_max * from_max * from_max + c.cubic_max;
  };
  c.cubic_reno += (c.cubic_reno < c.cubic_max ? kRenoAlpha : 1.0) * segments / window;
  double grown;
  if (cubic_at(t) < c.cubic_reno) {  // Section 4.3: never behind NewReno.
    grown = std::max(window, c.cubic_reno);
  } else {
    const double target = std::clamp(cubic_at(t + static_cast<double>(c.rtt.smoothed_ns) * 1e-9), window, 1.5 * window);
    grown = window + (target - window) / window * segments;
  }
  const double bytes = grown * mss;
  c.cwnd = static_cast<std::uint32_t>(std::min(bytes, 2.0 * config.send_bytes_max));
  c.cubic_rest = std::max(0.0, grown - c.cwnd / mss);
  if (c.cubic_rest > 1) c.cubic_rest = 0;
}

/// RFC 3168 section 6.1.2: a mark counts as a loss that has nothing to repair, once for all that was under way
/// together.
void Core::heed_mark(Connection& c, std::uint32_t flight_before) noexcept {
  if (seq_le(c.snd_una, c.ecn_point)) return;  // So too while a loss is recovered: that began with a reduction.
  ++stats.ecn_reductions;
  reduce_window(c, flight_before, kRenoMarkBeta, kCubicMarkBeta);
  c.cwnd = std::min(c.cwnd, c.ssthresh);
}

void Core::reduce_window(Connection& c) noexcept {
  reduce_window(c, c.flight_bytes(), kRenoBeta, kCubicBeta);
}

void Core::reduce_window(Connection& c, std::uint32_t flight, double reno_beta, double cubic_beta) noexcept {
  const std::uint32_t least = 2u * c.mss;
  c.cwr_due = c.ecn;
  c.ecn_point = c.snd_nxt;
  if (config.congestion == Congestion::kNewReno) {
    c.ssthresh = std::max(static_cast<std::uint32_t>(flight * reno_beta), least);
    c.cwnd_credit = 0;
    return;
  }
  const double window = static_cast<double>(std::min(c.cwnd, std::max(flight, least))) / c.mss;
  c.cubic_max = window < c.cubic_max ? window * (1 + kCubicBeta) / 2 : window;  // Section 4.7.
  c.ssthresh = std::max(static_cast<std::uint32_t>(window * cubic_beta * c.mss), least);
  c.cubic_epoch_ns = 0;
  c.cubic_rest = 0;
}

}  // namespace gannet::nicpipe::tcp
