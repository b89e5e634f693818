/// What Port hides from its users. Only port*.cc include this.
#pragma once

#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "nicpipe/dpdk/devices.h"
#include "nicpipe/dpdk/port.h"

namespace gannet::nicpipe::dpdk {

/// A region the item arena lent to the device.
struct LentMemory {
  std::byte* at;
  std::size_t bytes;
};

struct Port::Inside {
  explicit Inside(const Eal& environment, PortOptions wanted) : eal(environment), options(std::move(wanted)) {}

  const Eal& eal;
  const PortOptions options;
  std::string device;
  std::string driver;
  std::vector<std::uint16_t> ethdevs;    ///< DPDK's port ids; one, or one a queue.
  std::vector<rte_ring*> rings;          ///< kRing: all rings of both directions.
  std::vector<rte_mempool*> pools;       ///< One a worker.
  std::vector<rte_mempool*> tail_pools;  ///< One a worker, or none.
  std::vector<LentMemory> lent;
  std::vector<rte_flow*> rules;
  std::vector<std::string> warnings;
  std::unique_ptr<Endpoint[]> endpoints;
  std::vector<std::unique_ptr<SpscRing<rte_mbuf*>>> forwards;
  std::array<std::atomic<bool>, 64> tx_live{};  ///< Per queue: the peer reads it. Written by the driver's thread.
  std::atomic<bool> link_up{false};
  Capabilities capabilities;
  std::array<std::uint8_t, 6> mac{};
  int numa_node = -1;
  std::uint16_t queues = 0;
  bool steered = false;
  bool closed = false;

  [[nodiscard]] const KindTraits& traits() const noexcept { return traits_of(options.kind); }

  // The steps of open(), in order; port_setup.cc.
  Outcome make_devices();
  Outcome make_ring_device();
  void read_abilities();
  Outcome make_pools();
  Outcome start_devices();
  Outcome start_device(std::uint16_t ethdev, std::uint16_t queue_count, std::uint16_t first_worker);
  void settle_mtu(std::uint16_t ethdev);
  void make_endpoints();
  void watch_events();

  bool steer(rte_flow_item_type ip, std::uint16_t first_port);  ///< One rule a worker; those made stay in `rules`.

  // The way back; port.cc.
  void remove_device(std::uint16_t ethdev);
  std::uint64_t close();

  [[nodiscard]] Outcome refused(const std::string& step, int error) const;
  static int on_event(std::uint16_t ethdev, rte_eth_event_type type, void* inside, void* details);
};

}  // namespace gannet::nicpipe::dpdk
