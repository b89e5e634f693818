/// gannetd from an agreed configuration to its end: memory, DPDK, ports, workers, and back down in the opposite order.
/// Everything here is the main thread's.
#pragma once

#include <memory>
#include <string>

#include "control/abi/shared.h"

namespace gannet::dataplane {

/// How a step ended. Exit codes: 1 something failed that may work the next time; 2 the configuration or the machine has
/// to change first, so that starting again is of no use.
struct Ending {
  int exit_code = 0;
  std::string sentence;  ///< Empty with exit code 0.
  [[nodiscard]] bool ok() const noexcept { return exit_code == 0; }
};

class Appliance {
 public:
  /// `shared` outlives the appliance. `memory_fd`: the item memory, inherited; -1: it makes its own. `former_fd`:
  /// memory whose items are to be moved into it; -1: none.
  Appliance(abi::Shared& shared, int memory_fd, int former_fd);
  ~Appliance();  ///< Whatever still stands is taken down.
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;

  /// Up to serving: publishes phase, ports, places, warnings. `started_ns`: monotonic, when main() began.
  [[nodiscard]] Ending start(std::uint64_t started_ns);
  /// Watches devices and requests to stop; returns when asked to (signal or DataplaneStatus::stop_requested).
  void serve();
  /// Drains, stops workers, closes ports. The devices are gone after it.
  [[nodiscard]] Ending stop();

 private:
  struct Inside;
  std::unique_ptr<Inside> in_;
};

/// Blocks the signals that ask for a stop, so that serve() can wait for them, and those by which devices announce
/// frames, so that they interrupt workers and not us. Call before any thread is made.
void block_signals();

}  // namespace gannet::dataplane
