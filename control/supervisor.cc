#include "control/supervisor.h"

#include <sys/wait.h>

#include <algorithm>

namespace gannet::control {

using abi::Supervision;

void Supervisor::begin(MonotonicNs now) noexcept {
  state_ = Supervision::kWaiting;
  due_ns_ = now;
}

void Supervisor::adopt(MonotonicNs now, bool serving) noexcept {
  alive_ = true;
  killed_ = false;
  started_ns_ = now;
  state_ = serving ? Supervision::kServing : Supervision::kStarting;
  serving_since_ns_ = serving ? now : 0;
}

void Supervisor::started(MonotonicNs now) noexcept {
  alive_ = true;
  started_ns_ = now;
  killed_ = false;
  serving_since_ns_ = 0;
  if (state_ != Supervision::kStopping) state_ = Supervision::kStarting;
}

void Supervisor::start_failed(MonotonicNs now, bool hopeless) noexcept {
  alive_ = false;
  if (hopeless) {
    state_ = Supervision::kHopeless;
    return;
  }
  ++crashes_;
  wait(now);
}

void Supervisor::wait(MonotonicNs now) noexcept {
  state_ = Supervision::kWaiting;
  due_ns_ = now;
  if (failures_++ == 0) return;
  const std::uint32_t doublings = std::min<std::uint32_t>(failures_ - 2, 20);
  due_ns_ += std::min(rules_.backoff_first_ns << doublings, rules_.backoff_most_ns);
}

void Supervisor::ended(MonotonicNs now, const Ending& ending) noexcept {
  alive_ = false;
  if (serving_since_ns_ != 0 && now - serving_since_ns_ >= rules_.healthy_after_ns) failures_ = 0;
  serving_since_ns_ = 0;
  if (state_ == Supervision::kStopping) {
    state_ = again_ ? Supervision::kWaiting : Supervision::kStopped;
    due_ns_ = now;
    again_ = false;
    return;
  }
  const bool clean = !ending.seen || (WIFEXITED(ending.status) && WEXITSTATUS(ending.status) == 0);
  if (clean && ending.stop_asked) {  // gannetctl asked it while no control listened.
    state_ = Supervision::kStopped;
    return;
  }
  ++crashes_;
  if (ending.seen && WIFEXITED(ending.status) && WEXITSTATUS(ending.status) == kExitHopeless) {
    state_ = Supervision::kHopeless;
    return;
  }
  wait(now);
}

void Supervisor::observe(MonotonicNs now, abi::Phase phase, bool stuck) noexcept {
  if (!alive_ || state_ == Supervision::kStopping) return;
  if (phase != abi::Phase::kServing) return;
  if (serving_since_ns_ == 0) serving_since_ns_ = now;
  state_ = stuck ? Supervision::kStuck : Supervision::kServing;
}

void Supervisor::stop(MonotonicNs now) noexcept {
  again_ = false;
  if (state_ == Supervision::kStopping || state_ == Supervision::kHopeless || state_ == Supervision::kStopped) return;
  if (!alive_) {
    state_ = Supervision::kStopped;
    return;
  }
  state_ = Supervision::kStopping;
  asked_ = false;
  due_ns_ = now + rules_.stop_grace_ns;
}

void Supervisor::restart(MonotonicNs now) noexcept {
  if (state_ == Supervision::kStopping || state_ == Supervision::kHopeless || state_ == Supervision::kStopped) return;
  failures_ = 0;
  if (!alive_) {
    begin(now);
    return;
  }
  stop(now);
  again_ = true;
}

Action Supervisor::next(MonotonicNs now) noexcept {
  switch (state_) {
    case Supervision::kWaiting:
      if (now < due_ns_) return Action::kNone;
      state_ = Supervision::kStarting;
      return Action::kStart;
    case Supervision::kStopping:
      if (!asked_) {
        asked_ = true;
        return Action::kAskStop;
      }
      if (now < due_ns_ || killed_) return Action::kNone;
      killed_ = true;
      return Action::kKill;
    case Supervision::kStuck:
      if (!rules_.restart_when_stuck || killed_) return Action::kNone;
      killed_ = true;
      return Action::kKill;
    case Supervision::kStarting:
      if (!alive_ || killed_ || now - started_ns_ < rules_.start_limit_ns) return Action::kNone;
      killed_ = true;
      return Action::kKill;
    case Supervision::kStopped:
    case Supervision::kHopeless:
      return Action::kLeave;
    default:
      return Action::kNone;
  }
}

}  // namespace gannet::control
