/// What a worker does with a turn that found nothing: spin, then pause, then sleep a little longer each time. Pure
/// logic with the time handed in; the program does the pausing and sleeping. One ladder a worker, used by its thread
/// alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "storage/base/clock.h"

namespace gannet::dataplane {

enum class IdleAction : std::uint8_t {
  kSpin,   ///< Look again at once.
  kPause,  ///< Give the sibling hyper-thread and the power budget a moment (x86 `pause`), then look again.
  kSleep,  ///< Leave the core to others for `sleep_ns`.
};

struct IdleStep {
  IdleAction action = IdleAction::kSpin;
  std::uint32_t sleep_ns = 0;  ///< Only with kSleep: 1..sleep_us_max * 1000.
};

struct IdleRungs {
  std::uint32_t spin_ns =
      10'000;  ///< Idle for less than this: spin. A request that follows an answer closely finds us awake.
  std::uint32_t pause_ns = 50'000;  ///< Idle for less than this: pause. 0 with spin_ns 0: sleep at the first idle turn.
  std::uint32_t sleep_ns_first = 2'000;  ///< The first sleep; each further one is twice as long, up to the cap.
};

class IdleLadder {
 public:
  /// Top of LiveConfig::idle_sleep_us_max that is obeyed: a longer sleep would overflow a device queue at modest rates.
  static constexpr std::uint32_t kSleepUsTop = 10'000;

  /// `sleep_us_max` 0: never sleep (a rack's machine). Larger than kSleepUsTop counts as kSleepUsTop.
  explicit IdleLadder(std::uint32_t sleep_us_max, IdleRungs rungs = {}) noexcept : rungs_(rungs) {
    set_sleep_us_max(sleep_us_max);
  }

  /// Live change of the cap; a longer sleep under way in the growth is cut down to it.
  void set_sleep_us_max(std::uint32_t sleep_us_max) noexcept {
    sleep_ns_max_ = std::min(sleep_us_max, kSleepUsTop) * 1'000;
    next_sleep_ns_ = std::min(next_sleep_ns_, sleep_ns_max_);
  }

  /// The turn did something: back to the lowest rung.
  void worked() noexcept {
    idle_ = false;
    next_sleep_ns_ = 0;
  }

  /// The turn found nothing at `now`. A clock that went backwards starts the ladder anew; it never makes a sleep
  /// longer.
  [[nodiscard]] IdleStep idle(MonotonicNs now) noexcept {
    if (!idle_ || now < idle_since_) {
      idle_ = true;
      idle_since_ = now;
      next_sleep_ns_ = 0;
    }
    const MonotonicNs idle_ns = now - idle_since_;
    if (idle_ns < rungs_.spin_ns) return {IdleAction::kSpin, 0};
    if (idle_ns < rungs_.pause_ns || sleep_ns_max_ == 0) return {IdleAction::kPause, 0};
    if (next_sleep_ns_ == 0) next_sleep_ns_ = std::min(std::max(rungs_.sleep_ns_first, 1U), sleep_ns_max_);
    const std::uint32_t sleep_ns = next_sleep_ns_;
    next_sleep_ns_ = std::min(2 * sleep_ns, sleep_ns_max_);
    return {IdleAction::kSleep, sleep_ns};
  }

 private:
  IdleRungs rungs_;
  std::uint32_t sleep_ns_max_ = 0;
  std::uint32_t next_sleep_ns_ = 0;  // 0: the next sleep is the first.
  MonotonicNs idle_since_ = 0;
  bool idle_ = false;
};

}  // namespace gannet::dataplane
