/// What an appliance consists of. Included by appliance.cc, which makes it and takes it down, and by
/// appliance_watch.cc, which tells about it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/group.h"
#include "dataplane/core/placement.h"
#include "dataplane/core/sasl.h"
#include "dataplane/core/worker.h"
#include "dataplane/program/appliance.h"
#include "dataplane/program/items.h"
#include "dataplane/program/log.h"
#include "dataplane/program/topology.h"
#include "dataplane/program/worker_loop.h"
#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"
#include "nicpipe/flow_hash.h"

namespace gannet::dataplane {

namespace dpdk = nicpipe::dpdk;

inline constexpr MonotonicNs kNsPerMs = 1'000'000;

struct Appliance::Inside {
  Inside(abi::Shared& file, int memory, int former)
      : shared(file), start(file.start), memory_fd(memory), former_fd(former) {}

  abi::Shared& shared;
  const abi::StartConfig start;  ///< A copy: nobody may change it under us.
  const int memory_fd, former_fd;
  Machine machine;
  Plan plan;
  std::vector<std::string> warnings;

  // In the order of their making; taken down the other way round.
  Items items;
  std::unique_ptr<dpdk::Eal> eal;
  std::vector<std::unique_ptr<dpdk::Port>> ports;
  std::vector<std::unique_ptr<nicpipe::Dispatch>> dispatch;  ///< One a port; nullptr: the device decides.
  std::unique_ptr<SaslUsers> users;                          ///< nullptr: everybody may speak.
  nicpipe::tcp::Key isn_key, cookie_key;
  std::unique_ptr<WorkerGroup> group;
  std::vector<std::unique_ptr<Worker>> workers;
  LoopSignals signals;
  std::vector<LoopReport> reports;
  std::vector<std::thread> threads;
  std::vector<bool> link_was_up;
  bool steered = false;  ///< Every device brings udp_port + 1 + k to worker k by itself.
  std::uint64_t device_drops = 0;
  std::uint64_t started_ns = 0;  ///< When main() began.
  bool restored = false;
  std::uint64_t damage_told = 0, conflicts_told = 0;

  [[nodiscard]] abi::DataplaneStatus& status() const noexcept { return shared.dataplane; }
  void beat() const noexcept { status().heartbeat_ns.store(LoopClock::mono_now(), std::memory_order_relaxed); }
  void warn(std::string sentence) {
    log(LogLevel::kWarn, sentence);
    warnings.push_back(std::move(sentence));
  }

  [[nodiscard]] Ending place();
  [[nodiscard]] Ending open_memory();
  [[nodiscard]] Ending open_ports();
  [[nodiscard]] Ending read_users();
  [[nodiscard]] Ending make_workers();
  void run_worker(std::uint32_t index);
  void publish();
  void watch_restore();
  void watch_damage();
  void watch_conflicts();
  void publish_port(std::size_t index);
  void look_at_ports();
  [[nodiscard]] bool all(std::atomic<bool> LoopReport::*what) const;
  void wait_for(std::atomic<bool> LoopReport::*what) const;
  [[nodiscard]] std::uint64_t audit();
};

}  // namespace gannet::dataplane
