/// When the requests of an open loop are due.
#pragma once

#include <cmath>
#include <cstdint>

#include "storage/base/must.h"
#include "tools/load/options.h"
#include "tools/load/random.h"

namespace gannet::load {

class Pacer {
 public:
  /// `per_second` > 0 messages from `start_ns` on.
  Pacer(double per_second, Arrival arrival, std::uint64_t seed, std::uint64_t start_ns)
      : gap_ns_(1e9 / per_second), arrival_(arrival), random_(seed), start_ns_(start_ns) {
    MUST(per_second > 0);
  }

  /// True when a message is due at `now_ns`; `intended_ns` is when, and the next one is drawn.
  bool due(std::uint64_t now_ns, std::uint64_t& intended_ns) noexcept {
    if (next_ns() > now_ns) return false;
    intended_ns = next_ns();
    offset_ns_ += arrival_ == Arrival::kEven ? gap_ns_ : -gap_ns_ * std::log(1 - random_.unit());
    return true;
  }
  [[nodiscard]] std::uint64_t next_ns() const noexcept { return start_ns_ + static_cast<std::uint64_t>(offset_ns_); }
  /// About how many messages are due and not taken.
  [[nodiscard]] std::uint64_t behind(std::uint64_t now_ns) const noexcept {
    return next_ns() >= now_ns ? 0 : static_cast<std::uint64_t>(static_cast<double>(now_ns - next_ns()) / gap_ns_);
  }

 private:
  double gap_ns_, offset_ns_ = 0;
  Arrival arrival_;
  Random random_;
  std::uint64_t start_ns_;
};

}  // namespace gannet::load
