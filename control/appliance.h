/// One appliance as control sees it: its configurations (running, wanted), its shared file, its memory, its gannetd.
/// The main loop in process.cc calls it; one thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control/child.h"
#include "control/config.h"
#include "control/http.h"
#include "control/state.h"
#include "control/supervisor.h"

namespace gannet::control {

class Appliance {
 public:
  Appliance(Config config, std::string dataplane_program, StatePaths paths);

  /// Finds a living gannetd and adopts it, or makes a fresh shared file. "" or the sentence why not.
  [[nodiscard]] std::string open();

  /// One turn: notices an end, observes, acts, beats. False: nothing is left to do, leave with exit_code().
  [[nodiscard]] bool turn(MonotonicNs now);
  /// Polls readable at gannetd's end; -1 while there is none.
  [[nodiscard]] int watch_fd() const noexcept { return watch_.get(); }

  void stop(MonotonicNs now) { supervisor_.stop(now); }
  void restart(MonotonicNs now) { supervisor_.restart(now); }
  /// Leave gannetd as it is: the next turn() gives false, and the next control adopts it. "" or why not.
  [[nodiscard]] std::string detach();

  /// Reads the file again; publishes what is live, tells what waits for a restart. Nothing changes if the file has a
  /// fault.
  [[nodiscard]] nlohmann::json apply();
  /// Every key: its value in force, the one that waits for a restart, its default.
  [[nodiscard]] nlohmann::json show() const;

  [[nodiscard]] Report report() const;
  [[nodiscard]] abi::Supervision state() const noexcept { return supervisor_.state(); }
  [[nodiscard]] int exit_code() const noexcept { return supervisor_.exit_code(); }
  [[nodiscard]] const abi::Shared& shared() const noexcept { return *shared_; }
  [[nodiscard]] const Sampler& sampler() const noexcept { return sampler_; }
  /// Takes the files of a cleanly stopped appliance away; keeps them after a failure, for gannetctl to read.
  void tidy();

 private:
  void start(MonotonicNs now);
  void fail_start(MonotonicNs now, const std::string& sentence);
  void notice_end(MonotonicNs now);
  void publish_live();
  void note_status(MonotonicNs now);
  [[nodiscard]] std::vector<Change> pending() const;
  [[nodiscard]] bool same_memory() const;
  /// Makes memory_ what wanted_ asks for; where that is another file, former_ has the items. "" or why not.
  [[nodiscard]] std::string prepare_memory();
  /// Once gannetd has served, what it was given to take items from is old.
  void drop_former_if_served();

  Config booted_;   ///< As control read it first: its own keys are in force from here.
  Config started_;  ///< As gannetd was started with: its restart keys are in force from here.
  Config wanted_;   ///< The newest valid file: its live keys are in force.
  std::string program_;
  StatePaths paths_;
  SharedFile shared_;
  Fd memory_;
  Fd former_;               ///< Other memory that the items are being moved from.
  Config memory_made_for_;  ///< Whose size, page, path and division memory_ has.
  Supervisor supervisor_;
  Sampler sampler_;
  Fd watch_;
  pid_t child_ = 0;
  bool adopted_ = false;
  bool detached_ = false;
  std::uint64_t crashes_before_ = 0;  ///< That former controls of this file saw.
};

}  // namespace gannet::control
