#include "dataplane/core/placement.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "control/abi/shared.h"
#include "storage/base/must.h"

namespace gannet::dataplane {
namespace {

/// A physical core as the planner hands it out: its PUs ascending, given to workers from the front.
struct Core {
  std::vector<Pu> pus;
  std::uint32_t taken = 0;  ///< Workers on it so far.
  bool spare = false;       ///< Wanted for the rest of the machine.
  [[nodiscard]] const Pu& first() const noexcept { return pus.front(); }
};

[[nodiscard]] std::string number(std::int64_t value) {
  return std::to_string(value);
}

[[nodiscard]] std::string joined(const std::vector<std::int32_t>& values) {
  std::string text;
  for (const std::int32_t value : values) text += (text.empty() ? "" : ", ") + number(value);
  return text;
}

/// "1 worker", "2 workers".
[[nodiscard]] std::string counted(std::size_t count, const std::string& noun) {
  return number(static_cast<std::int64_t>(count)) + " " + noun + (count == 1 ? "" : "s");
}

class Planner {
 public:
  Planner(const Topology& topology, const PlacementWish& wish) : topology_(topology), wish_(wish) {}

  [[nodiscard]] PlanResult run() {
    if (!judge_counts()) return std::move(result_);
    collect_cores();
    if (!place_named()) return std::move(result_);
    mark_spare();
    place_others();
    fill_rest();
    (void)warn();
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool refuse(std::string sentence) {
    result_.refusal = std::move(sentence);
    return false;
  }

  [[nodiscard]] bool judge_counts() {
    if (wish_.workers < 1 || wish_.workers > abi::kWorkersMax)
      return refuse("workers.count is " + number(wish_.workers) + ": choose 1.." + number(abi::kWorkersMax) + ".");
    if (wish_.cpus.size() > wish_.workers)
      return refuse("workers.cores names " + counted(wish_.cpus.size(), "CPU") + " for " +
                    counted(wish_.workers, "worker") + ": name one CPU a worker, or raise workers.count.");
    for (const Pu& pu : topology_.pus) allowed_pus_ += pu.allowed ? 1 : 0;
    if (allowed_pus_ == 0)
      return refuse("This process may run on no CPU of the machine: widen its cpuset or its CPU affinity.");
    if (wish_.workers > allowed_pus_ * kWorkersPerPuMax)
      return refuse(counted(wish_.workers, "worker") + " on " + counted(allowed_pus_, "CPU") +
                    ": lower workers.count to " + number(std::int64_t{allowed_pus_} * kWorkersPerPuMax) + " or less, " +
                    number(allowed_pus_) + " or less for speed.");
    return true;
  }

  void collect_cores() {
    std::vector<Pu> pus = topology_.pus;
    std::ranges::sort(pus, {}, &Pu::cpu);
    std::map<std::int32_t, std::size_t> place_of;  // Core id to its place in cores_.
    for (const Pu& pu : pus) {
      if (!pu.allowed) continue;
      const auto [at, fresh] = place_of.try_emplace(pu.core, cores_.size());
      if (fresh) cores_.emplace_back();
      cores_[at->second].pus.push_back(pu);
    }
    result_.plan.worker.resize(wish_.workers);
    placed_.resize(wish_.workers, false);
  }

  void put(std::uint32_t worker, Core& core, const Pu& pu) {
    result_.plan.worker[worker] = {pu.cpu, pu.core, pu.l3, pu.node, pu.package};
    placed_[worker] = true;
    ++core.taken;
    ++on_cpu_[pu.cpu];
  }

  [[nodiscard]] bool place_named() {
    for (std::uint32_t worker = 0; worker < wish_.cpus.size(); ++worker) {
      const std::int32_t cpu = wish_.cpus[worker];
      if (cpu == kAnyCpu) continue;
      if (std::ranges::find(topology_.pus, cpu, &Pu::cpu) == topology_.pus.end())
        return refuse("workers.cores names CPU " + number(cpu) + ", which this machine does not have: choose from " +
                      joined(allowed_cpus()) + ".");
      if (on_cpu_.contains(cpu))
        return refuse("workers.cores names CPU " + number(cpu) +
                      " twice: name each CPU once, or leave workers.cores empty to let gannetd share CPUs.");
      Core* found = nullptr;
      for (Core& core : cores_)
        if (std::ranges::find(core.pus, cpu, &Pu::cpu) != core.pus.end()) found = &core;
      if (found == nullptr)
        return refuse("workers.cores names CPU " + number(cpu) + ", where this process may not run: choose from " +
                      joined(allowed_cpus()) + ", or widen the process's cpuset.");
      put(worker, *found, *std::ranges::find(found->pus, cpu, &Pu::cpu));
    }
    return true;
  }

  [[nodiscard]] std::vector<std::int32_t> allowed_cpus() const {
    std::vector<std::int32_t> cpus;
    for (const Core& core : cores_)
      for (const Pu& pu : core.pus) cpus.push_back(pu.cpu);
    std::ranges::sort(cpus);
    return cpus;
  }

  /// The cores with the lowest CPU numbers, where the kernel keeps its own work. Where CPUs are isolated, the common
  /// ones are the spare ones.
  void mark_spare() {
    const bool any_isolated = std::ranges::any_of(cores_, [](const Core& core) { return core.first().isolated; });
    std::uint32_t marked = 0;
    for (Core& core : cores_) {
      if (any_isolated) {
        core.spare = !core.first().isolated;
      } else if (marked < wish_.spare_cores && core.taken == 0) {
        core.spare = true;
        ++marked;
      }
    }
  }

  [[nodiscard]] std::uint32_t still_to_place() const {
    return static_cast<std::uint32_t>(std::ranges::count(placed_, false));
  }

  /// Free cores of one node, `spare` ones or the others, grouped by L3.
  [[nodiscard]] std::map<std::int32_t, std::vector<Core*>> free_groups(std::int32_t node, bool spare) {
    std::map<std::int32_t, std::vector<Core*>> groups;
    for (Core& core : cores_)
      if (core.taken == 0 && core.first().node == node && core.spare == spare) groups[core.first().l3].push_back(&core);
    return groups;
  }

  [[nodiscard]] std::uint32_t next_worker() const {
    return static_cast<std::uint32_t>(std::ranges::find(placed_, false) - placed_.begin());
  }

  void take_from(std::map<std::int32_t, std::vector<Core*>> groups) {
    while (!groups.empty() && still_to_place() > 0) {
      const std::size_t wanted = still_to_place();
      // The smallest group that holds all, else the largest; the lowest L3 id among equals.
      auto best = groups.begin();
      for (auto at = std::next(groups.begin()); at != groups.end(); ++at) {
        const std::size_t size = at->second.size(), best_size = best->second.size();
        const bool better = best_size >= wanted ? size >= wanted && size < best_size : size > best_size;
        if (better) best = at;
      }
      for (Core* core : best->second)
        if (still_to_place() > 0) put(next_worker(), *core, core->first());
      groups.erase(best);
    }
  }

  /// Node order: the NIC's, else the one that named workers are on, else the lowest that holds all without a spare
  /// core, else the largest.
  [[nodiscard]] std::vector<std::int32_t> nodes_in_order() {
    std::map<std::int32_t, std::size_t> free_cores;
    for (const Core& core : cores_) free_cores[core.first().node] += core.taken == 0 && !core.spare ? 1 : 0;
    std::int32_t home = wish_.nic_node;
    for (std::uint32_t worker = 0; home == kUnknownNode && worker < wish_.workers; ++worker)
      if (placed_[worker]) home = result_.plan.worker[worker].node;
    std::vector<std::int32_t> nodes;
    for (const auto& [node, count] : free_cores) nodes.push_back(node);
    const std::size_t wanted = still_to_place();
    std::ranges::stable_sort(nodes, [&](std::int32_t left, std::int32_t right) {
      if ((left == home) != (right == home)) return left == home;
      const bool left_holds = free_cores[left] >= wanted, right_holds = free_cores[right] >= wanted;
      if (left_holds != right_holds) return left_holds;
      return !left_holds && free_cores[left] > free_cores[right];
    });
    return nodes;
  }

  void place_others() {
    const std::vector<std::int32_t> nodes = nodes_in_order();
    for (const std::int32_t node : nodes) {
      take_from(free_groups(node, false));
      take_from(free_groups(node, true));
    }
    // No free core is left: SMT siblings first, then the CPUs with the fewest workers.
    while (still_to_place() > 0) {
      Core* best = nullptr;
      const Pu* best_pu = nullptr;
      for (const std::int32_t node : nodes)
        for (Core& core : cores_) {
          if (core.first().node != node) continue;
          for (const Pu& pu : core.pus)
            if (best_pu == nullptr || on_cpu_[pu.cpu] < on_cpu_[best_pu->cpu]) best = &core, best_pu = &pu;
        }
      MUST(best != nullptr);
      put(next_worker(), *best, *best_pu);
    }
  }

  void fill_rest() {
    for (const Core& core : cores_)
      if (core.taken == 0)
        for (const Pu& pu : core.pus) result_.plan.rest.push_back(pu.cpu);
    std::ranges::sort(result_.plan.rest);
  }

  void say(std::string sentence) { result_.plan.warnings.push_back(std::move(sentence)); }

  [[nodiscard]] bool warn() {
    warn_sharing();
    if (!judge_remote()) return false;
    warn_memory();
    return true;
  }

  void warn_sharing() {
    const bool shared_cpu = std::ranges::any_of(on_cpu_, [](const auto& entry) { return entry.second > 1; });
    const bool shared_core =
        std::ranges::any_of(cores_, [](const Core& core) { return core.taken > 1 && core.pus.size() > 1; });
    const std::string advice = wish_.may_sleep ? "the idle ladder sleeps between bursts, which costs latency"
                                               : "set workers.idle_sleep_us to 50..200, or they will starve each other";
    if (shared_cpu)
      say(counted(wish_.workers, "worker") + " share " + counted(allowed_pus_, "CPU") + ": " + advice +
          "; lower workers.count to " + number(allowed_pus_) + " for speed.");
    else if (shared_core)
      say("Some workers share a physical core with another (SMT siblings), each at about 60 % of a core's speed: lower "
          "workers.count to " +
          number(static_cast<std::int64_t>(cores_.size())) + ", or name CPUs of different cores in workers.cores.");
    else if (result_.plan.rest.empty())
      say("No core is left for the rest of the machine: " + advice + "; lower workers.count to " +
          number(std::max<std::int64_t>(1, static_cast<std::int64_t>(cores_.size()) - 1)) + " for speed.");
  }

  [[nodiscard]] bool judge_remote() {
    if (wish_.nic_node == kUnknownNode) {
      std::set<std::int32_t> used;
      for (const WorkerPlace& place : result_.plan.worker) used.insert(place.node);
      if (used.size() > 1)
        say("The workers are spread over " + counted(used.size(), "NUMA node") +
            ", so that handed-over requests cross between sockets: lower workers.count, or name CPUs of one node in "
            "workers.cores.");
      return true;
    }
    std::vector<std::int32_t> remote;
    for (std::uint32_t worker = 0; worker < wish_.workers; ++worker)
      if (result_.plan.worker[worker].node != wish_.nic_node) remote.push_back(static_cast<std::int32_t>(worker));
    if (remote.empty()) return true;
    const bool one = remote.size() == 1;
    const std::string what = (one ? "Worker " : "Workers ") + joined(remote) + (one ? " runs" : " run") +
                             " off the NIC's NUMA node " + number(wish_.nic_node) +
                             ", so that packets cross between sockets: ";
    const std::string fix = "lower workers.count by " + number(static_cast<std::int64_t>(remote.size())) +
                            ", name CPUs of node " + number(wish_.nic_node) + " in workers.cores, move the NIC";
    if (!wish_.allow_remote) return refuse(what + fix + ", or set memory.allow_remote = true.");
    say(what + fix + ".");
    return true;
  }

  /// Each node gives the memory of the workers on it.
  void warn_memory() {
    if (wish_.memory_bytes == 0 || wish_.page_bytes < (2U << 20)) return;
    const bool huge_1g = wish_.page_bytes >= (1U << 30);
    std::map<std::int32_t, std::uint64_t> workers_on;
    for (const WorkerPlace& place : result_.plan.worker) ++workers_on[place.node];
    for (const auto& [node, workers] : workers_on) {
      const auto at = std::ranges::find(topology_.nodes, node, &NumaNode::id);
      if (at == topology_.nodes.end()) continue;
      const std::uint64_t per_worker_pages =
          (wish_.memory_bytes / wish_.workers + wish_.page_bytes - 1) / wish_.page_bytes;
      const std::uint64_t needed = workers * per_worker_pages;
      const std::uint64_t free = (huge_1g ? at->free_1g_bytes : at->free_2m_bytes) / wish_.page_bytes;
      if (free >= needed) continue;
      const std::string folder = "/sys/devices/system/node/node" + number(node) + "/hugepages/hugepages-" +
                                 (huge_1g ? "1048576kB" : "2048kB") + "/nr_hugepages";
      say("NUMA node " + number(node) + " has " + number(static_cast<std::int64_t>(free)) + " free hugepages of " +
          (huge_1g ? "1 GiB" : "2 MiB") + " and the items need " + number(static_cast<std::int64_t>(needed)) +
          " there: add " + number(static_cast<std::int64_t>(needed - free)) + " to the number in " + folder +
          ", or lower memory.size.");
    }
  }

  const Topology& topology_;
  const PlacementWish& wish_;
  PlanResult result_;
  std::vector<Core> cores_;  // Ascending by lowest CPU.
  std::vector<bool> placed_;
  std::map<std::int32_t, std::uint32_t> on_cpu_;
  std::uint32_t allowed_pus_ = 0;
};

}  // namespace

PlanResult plan_workers(const Topology& topology, const PlacementWish& wish) {
  return Planner(topology, wish).run();
}

}  // namespace gannet::dataplane
