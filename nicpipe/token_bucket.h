/// A rate limit: at most `burst` at once, `per_s` a second in the long run. Time is handed in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "storage/base/clock.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {

class TokenBucket {
 public:
  /// `per_s` 0 refuses everything; at most 10^9. Starts full. `burst` at least 1.
  TokenBucket(std::uint32_t per_s, std::uint32_t burst) noexcept
      : token_ns_(per_s == 0 ? 0 : 1'000'000'000 / per_s), full_ns_(token_ns_ * burst), credit_ns_(full_ns_) {
    MUST_LE(per_s, 1'000'000'000u);
    MUST_GE(burst, 1u);
  }

  /// True and one token fewer, or false. `now` never runs backwards.
  [[nodiscard]] bool take(MonotonicNs now) noexcept {
    if (now > seen_ns_) {
      credit_ns_ = std::min(full_ns_, credit_ns_ + std::min(now - seen_ns_, full_ns_));
      seen_ns_ = now;
    }
    if (token_ns_ == 0 || credit_ns_ < token_ns_) return false;
    credit_ns_ -= token_ns_;
    return true;
  }

 private:
  std::uint64_t token_ns_;  ///< What one token costs; 0: nothing is ever given.
  std::uint64_t full_ns_;   ///< Most credit that can be saved up.
  std::uint64_t credit_ns_;
  MonotonicNs seen_ns_ = 0;
};

}  // namespace gannet::nicpipe
