/// gannet-control itself: one thread that waits for signals, gannetd's end, admin requests and time, and does what the
/// Supervisor says. The HTTP threads only read.
#pragma once

#include <string>

namespace gannet::control {

struct ControlOptions {
  std::string config_file;
  std::string dataplane_program;  ///< "": gannetd next to this program.
  std::string state_directory;    ///< "/run/gannet"
};

/// Runs until the appliance is stopped. Gives the exit code: 0 stopped because it was asked to; 1 could not do its own
/// work; 2 configuration or machine do not allow it: starting again is of no use. Sentences for 1 and 2 go to stderr.
[[nodiscard]] int run_control(const ControlOptions& options);

}  // namespace gannet::control
