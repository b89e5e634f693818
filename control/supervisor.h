/// What to do about gannetd, as a pure state machine: the caller tells the time and what happened, and does what next()
/// says. No system call, no clock; one thread.
#pragma once

#include <cstdint>
#include <string>

#include "control/abi/shared.h"
#include "storage/base/clock.h"

namespace gannet::control {

struct SupervisorRules {
  /// After the first crash it is started at once: its clients wait. From the second on this long, then twice as long...
  MonotonicNs backoff_first_ns = 200'000'000;
  MonotonicNs backoff_most_ns = 30'000'000'000;   ///< ...up to this.
  MonotonicNs healthy_after_ns = 30'000'000'000;  ///< Served for so long, a crash counts as the first again.
  MonotonicNs stop_grace_ns = 10'000'000'000;     ///< Asked to stop and still alive: killed.
  MonotonicNs start_limit_ns = 300'000'000'000;   ///< Started and still not serving: killed, which counts as a crash.
  bool restart_when_stuck = false;
};

/// How gannetd ended.
struct Ending {
  bool seen = true;         ///< False: it was adopted, so its exit status went to somebody else.
  int status = 0;           ///< waitpid's.
  bool stop_asked = false;  ///< DataplaneStatus::stop_requested was set.
};

/// gannetd exits with this when starting it again cannot help: bad configuration, missing hugepages, missing device.
inline constexpr int kExitHopeless = 2;

enum class Action : std::uint8_t {
  kNone,
  kStart,    ///< Start gannetd, then call started() or start_failed().
  kAskStop,  ///< Set stop_requested and send SIGTERM.
  kKill,     ///< Send SIGKILL.
  kLeave,    ///< Nothing is left to supervise: end with exit_code().
};

class Supervisor {
 public:
  explicit Supervisor(SupervisorRules rules) noexcept : rules_(rules) {}

  void set_restart_when_stuck(bool restart) noexcept { rules_.restart_when_stuck = restart; }
  void set_start_limit(MonotonicNs limit) noexcept { rules_.start_limit_ns = limit; }

  /// The first start is due now.
  void begin(MonotonicNs now) noexcept;
  /// A live gannetd was found: it is ours without a start.
  void adopt(MonotonicNs now, bool serving) noexcept;

  void started(MonotonicNs now) noexcept;
  /// It could not even be executed; `hopeless`: nor will it ever.
  void start_failed(MonotonicNs now, bool hopeless) noexcept;
  void ended(MonotonicNs now, const Ending& ending) noexcept;
  /// What the shared file says while it lives.
  void observe(MonotonicNs now, abi::Phase phase, bool stuck) noexcept;

  /// Stop for good.
  void stop(MonotonicNs now) noexcept;
  /// Stop, then start with the newest configuration.
  void restart(MonotonicNs now) noexcept;

  /// What is due. Each action is told once; ask until kNone.
  [[nodiscard]] Action next(MonotonicNs now) noexcept;

  [[nodiscard]] abi::Supervision state() const noexcept { return state_; }
  [[nodiscard]] MonotonicNs next_start_ns() const noexcept {
    return state_ == abi::Supervision::kWaiting ? due_ns_ : 0;
  }
  [[nodiscard]] MonotonicNs serving_since_ns() const noexcept { return serving_since_ns_; }
  [[nodiscard]] std::uint64_t crashes() const noexcept { return crashes_; }
  [[nodiscard]] int exit_code() const noexcept { return state_ == abi::Supervision::kHopeless ? kExitHopeless : 0; }
  [[nodiscard]] bool alive() const noexcept { return alive_; }

 private:
  void wait(MonotonicNs now) noexcept;

  SupervisorRules rules_;
  abi::Supervision state_ = abi::Supervision::kNone;
  bool alive_ = false;
  bool again_ = false;          ///< In kStopping: start once it is gone.
  bool asked_ = false;          ///< In kStopping: kAskStop was told.
  bool killed_ = false;         ///< SIGKILL was told for this process.
  std::uint32_t failures_ = 0;  ///< In a row.
  std::uint64_t crashes_ = 0;
  MonotonicNs due_ns_ = 0;  ///< kWaiting: of the start. kStopping: of the kill.
  MonotonicNs started_ns_ = 0;
  MonotonicNs serving_since_ns_ = 0;
};

}  // namespace gannet::control
