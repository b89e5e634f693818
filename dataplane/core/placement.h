/// Where the workers run: a pure function from a machine's description and a wish to a plan. It knows no hwloc and
/// reads nothing; the program fills the Topology (dataplane/program/topology.h), tests write theirs by hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gannet::dataplane {

/// A hardware thread as the operating system numbers it. Ids of core, l3, node and package are opaque and unique in the
/// machine.
struct Pu {
  std::int32_t cpu = 0;      ///< Logical CPU number: what pinning takes.
  std::int32_t core = 0;     ///< Physical core; SMT siblings share it.
  std::int32_t l3 = 0;       ///< Last-level cache group.
  std::int32_t node = 0;     ///< NUMA node number, as /sys/devices/system/node counts.
  std::int32_t package = 0;  ///< Socket.
  bool allowed = true;       ///< This process may run there (cgroup, affinity).
  bool isolated = false;     ///< Kept free of other work by the kernel (isolcpus); workers go there first.
};

struct NumaNode {
  std::int32_t id = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t free_2m_bytes = 0;  ///< In free hugepages of 2 MiB.
  std::uint64_t free_1g_bytes = 0;  ///< In free hugepages of 1 GiB.
};

struct Topology {
  std::vector<Pu> pus;          ///< Any order.
  std::vector<NumaNode> nodes;  ///< Any order; at least the nodes that `pus` name.
};

inline constexpr std::int32_t kAnyCpu = -1;
inline constexpr std::int32_t kUnknownNode = -1;
/// More workers than this on one hardware thread are refused: they would only wait for each other.
inline constexpr std::uint32_t kWorkersPerPuMax = 8;

struct PlacementWish {
  std::uint32_t workers = 1;  ///< 1..abi::kWorkersMax.
  /// Per worker, as far as given: a CPU number, or kAnyCpu. Shorter than `workers`: the rest is kAnyCpu.
  std::vector<std::int32_t> cpus = {};
  std::uint32_t spare_cores = 1;         ///< Physical cores to leave to the rest of the machine where there are enough.
  std::int32_t nic_node = kUnknownNode;  ///< NUMA node of the (first) NIC; kUnknownNode for virtual devices.
  bool allow_remote = false;             ///< Workers may run off the NIC's node; else that is refused.
  bool may_sleep = true;                 ///< The idle ladder has a sleeping rung (idle_sleep_us > 0).
  std::uint64_t memory_bytes = 0;        ///< To be taken from the nodes' free pages; 0 if the memory exists already.
  std::uint64_t page_bytes = 2U << 20;   ///< 4 KiB, 2 MiB or 1 GiB.
};

struct WorkerPlace {
  std::int32_t cpu = 0, core = 0, l3 = 0, node = 0, package = 0;
};

struct Plan {
  std::vector<WorkerPlace> worker;  ///< One per worker, in order.
  std::vector<std::int32_t>
      rest;  ///< Allowed CPUs on no worker's core, ascending: for the main thread, control, the kernel. May be empty.
  std::vector<std::string> warnings;  ///< Whole sentences, each with what to do about it.
};

struct PlanResult {
  Plan plan;            ///< Valid if `refusal` is empty.
  std::string refusal;  ///< One sentence: what cannot be, and the fix.
  [[nodiscard]] bool ok() const noexcept { return refusal.empty(); }
};

/// Rules, in this order of weight: the CPUs the operator named; the NIC's NUMA node before others; isolated CPUs before
/// common ones; one worker a physical core; the lowest `spare_cores` cores of the machine last in their node; one L3
/// group filled before the next, the smallest that holds all the workers still to place. Too few cores: SMT siblings,
/// then shared CPUs, with a warning. Deterministic: the same arguments give the same plan.
[[nodiscard]] PlanResult plan_workers(const Topology& topology, const PlacementWish& wish);

}  // namespace gannet::dataplane
