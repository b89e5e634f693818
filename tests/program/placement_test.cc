#include "dataplane/core/placement.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <set>

#include "control/abi/shared.h"

using gannet::dataplane::kAnyCpu;
using gannet::dataplane::kUnknownNode;
using gannet::dataplane::PlacementWish;
using gannet::dataplane::Plan;
using gannet::dataplane::plan_workers;
using gannet::dataplane::PlanResult;
using gannet::dataplane::Pu;
using gannet::dataplane::Topology;

namespace {

struct Machine {
  std::int32_t packages = 1, nodes_a_package = 1, l3s_a_node = 1, cores_an_l3 = 4, threads = 1;
};

/// Numbered as Linux does: first all cores' first threads, then all second threads.
Topology make(const Machine& machine) {
  Topology topology;
  const std::int32_t cores = machine.packages * machine.nodes_a_package * machine.l3s_a_node * machine.cores_an_l3;
  for (std::int32_t thread = 0; thread < machine.threads; ++thread)
    for (std::int32_t core = 0; core < cores; ++core) {
      const std::int32_t l3 = core / machine.cores_an_l3;
      const std::int32_t node = l3 / machine.l3s_a_node;
      topology.pus.push_back({.cpu = thread * cores + core,
                              .core = core,
                              .l3 = l3,
                              .node = node,
                              .package = node / machine.nodes_a_package});
    }
  for (std::int32_t node = 0; node < machine.packages * machine.nodes_a_package; ++node)
    topology.nodes.push_back({.id = node, .memory_bytes = 64ULL << 30, .free_2m_bytes = 8ULL << 30});
  return topology;
}

std::vector<std::int32_t> cpus(const PlanResult& result) {
  std::vector<std::int32_t> out;
  for (const auto& place : result.plan.worker) out.push_back(place.cpu);
  return out;
}

bool warns(const PlanResult& result, const std::string& words) {
  return std::ranges::any_of(result.plan.warnings,
                             [&](const std::string& text) { return text.find(words) != std::string::npos; });
}

using Cpus = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("one socket: the lowest core is left to the rest of the machine", "[placement]") {
  const PlanResult result = plan_workers(make({.cores_an_l3 = 8}), {.workers = 4});
  REQUIRE(result.ok());
  REQUIRE(cpus(result) == Cpus{1, 2, 3, 4});
  REQUIRE(result.plan.rest == Cpus{0, 5, 6, 7});
  REQUIRE(result.plan.warnings.empty());
}

TEST_CASE("SMT: one worker a physical core, its sibling stays idle", "[placement]") {
  const PlanResult result = plan_workers(make({.cores_an_l3 = 4, .threads = 2}), {.workers = 3});
  REQUIRE(cpus(result) == Cpus{1, 2, 3});
  REQUIRE(result.plan.rest == Cpus{0, 4});
  REQUIRE(result.plan.warnings.empty());
}

TEST_CASE("two sockets: the NIC's node is filled first, its spare core before the other socket", "[placement]") {
  const Topology machine = make({.packages = 2, .cores_an_l3 = 4, .threads = 2});
  REQUIRE(cpus(plan_workers(machine, {.workers = 3, .nic_node = 1})) == Cpus{4, 5, 6});
  REQUIRE(cpus(plan_workers(machine, {.workers = 3, .nic_node = 0})) == Cpus{1, 2, 3});
  REQUIRE(cpus(plan_workers(machine, {.workers = 4, .nic_node = 0})) == Cpus{1, 2, 3, 0});
  const PlanResult six = plan_workers(machine, {.workers = 6, .nic_node = 0, .allow_remote = true});
  REQUIRE(cpus(six) == Cpus{1, 2, 3, 0, 4, 5});
  REQUIRE(warns(six, "Workers 4, 5 run off the NIC's NUMA node 0"));
  REQUIRE(six.plan.worker[4].node == 1);
  REQUIRE(six.plan.worker[4].package == 1);
}

TEST_CASE("workers off the NIC's node are refused unless the operator allows them", "[placement]") {
  const Topology machine = make({.packages = 2, .cores_an_l3 = 4, .threads = 2});
  const std::string fix =
      "so that packets cross between sockets: lower workers.count by 2, name CPUs of node 0 in workers.cores, move the "
      "NIC, or set memory.allow_remote = true.";
  REQUIRE(plan_workers(machine, {.workers = 6, .nic_node = 0}).refusal ==
          "Workers 4, 5 run off the NIC's NUMA node 0, " + fix);
  REQUIRE(plan_workers(machine, {.workers = 4, .nic_node = 0}).ok());
  REQUIRE_FALSE(plan_workers(machine, {.workers = 1, .cpus = {5}, .nic_node = 0}).ok());
  REQUIRE(plan_workers(machine, {.workers = 6}).ok());  // A virtual port is nowhere, so nothing is far from it.
}

TEST_CASE("a virtual NIC: the lowest node that holds all the workers without a spare core", "[placement]") {
  const Topology machine = make({.packages = 2, .cores_an_l3 = 4});
  REQUIRE(cpus(plan_workers(machine, {.workers = 3})) == Cpus{1, 2, 3});
  REQUIRE(cpus(plan_workers(machine, {.workers = 4})) == Cpus{4, 5, 6, 7});
  const PlanResult seven = plan_workers(machine, {.workers = 7});
  REQUIRE(cpus(seven) == Cpus{4, 5, 6, 7, 1, 2, 3});
  REQUIRE(warns(seven, "spread over 2 NUMA nodes"));
}

TEST_CASE("split L3: one cache group is filled before the next, the smallest that holds all first", "[placement]") {
  const Topology machine = make({.l3s_a_node = 4, .cores_an_l3 = 4});
  REQUIRE(cpus(plan_workers(machine, {.workers = 3})) == Cpus{1, 2, 3});
  REQUIRE(cpus(plan_workers(machine, {.workers = 4})) == Cpus{4, 5, 6, 7});
  REQUIRE(cpus(plan_workers(machine, {.workers = 6})) == Cpus{4, 5, 6, 7, 1, 2});
  REQUIRE(cpus(plan_workers(machine, {.workers = 8})) == Cpus{4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("two workers on a two-core machine are allowed, with a warning", "[placement]") {
  const PlanResult result = plan_workers(make({.cores_an_l3 = 2}), {.workers = 2});
  REQUIRE(result.ok());
  REQUIRE(cpus(result) == Cpus{1, 0});
  REQUIRE(result.plan.rest.empty());
  REQUIRE(warns(result, "No core is left for the rest of the machine: the idle ladder sleeps"));
  const PlanResult spinning = plan_workers(make({.cores_an_l3 = 2}), {.workers = 2, .may_sleep = false});
  REQUIRE(warns(spinning, "set workers.idle_sleep_us to 50..200"));
}

TEST_CASE("more workers than cores use SMT siblings, then share CPUs evenly, and say so", "[placement]") {
  const PlanResult siblings = plan_workers(make({.cores_an_l3 = 2, .threads = 2}), {.workers = 4});
  REQUIRE(cpus(siblings) == Cpus{1, 0, 2, 3});
  REQUIRE(warns(siblings, "SMT siblings"));
  const PlanResult shared = plan_workers(make({.cores_an_l3 = 2}), {.workers = 5});
  REQUIRE(cpus(shared) == Cpus{1, 0, 0, 1, 0});
  REQUIRE(warns(shared, "5 workers share 2 CPUs"));
}

TEST_CASE("isolated CPUs are taken first and the common ones are left", "[placement]") {
  Topology machine = make({.cores_an_l3 = 8});
  for (Pu& pu : machine.pus) pu.isolated = pu.cpu >= 5;
  REQUIRE(cpus(plan_workers(machine, {.workers = 2})) == Cpus{5, 6});
  REQUIRE(cpus(plan_workers(machine, {.workers = 4})) == Cpus{5, 6, 7, 0});
}

TEST_CASE("CPUs outside the process's cpuset are never used", "[placement]") {
  Topology machine = make({.cores_an_l3 = 8, .threads = 2});
  for (Pu& pu : machine.pus) pu.allowed = pu.cpu == 2 || pu.cpu == 11 || pu.cpu == 12;
  const PlanResult result = plan_workers(machine, {.workers = 2});
  REQUIRE(cpus(result) == Cpus{11, 12});
  REQUIRE(result.plan.rest == Cpus{2});
  for (Pu& pu : machine.pus) pu.allowed = false;
  REQUIRE(plan_workers(machine, {.workers = 1}).refusal.find("no CPU of the machine") != std::string::npos);
}

TEST_CASE("named CPUs are obeyed and the planner places the rest near them", "[placement]") {
  const Topology machine = make({.packages = 2, .cores_an_l3 = 4, .threads = 2});
  const PlanResult result = plan_workers(machine, {.workers = 4, .cpus = {6, kAnyCpu, 5}});
  REQUIRE(cpus(result) == Cpus{6, 4, 5, 7});
  const PlanResult siblings = plan_workers(machine, {.workers = 2, .cpus = {1, 9}});
  REQUIRE(cpus(siblings) == Cpus{1, 9});
  REQUIRE(warns(siblings, "SMT siblings"));
  REQUIRE(warns(plan_workers(machine, {.workers = 1, .cpus = {5}, .nic_node = 0, .allow_remote = true}),
                "Worker 0 runs off the NIC's NUMA node 0"));
}

TEST_CASE("a wish that cannot be met is refused with one sentence that says the fix", "[placement]") {
  Topology machine = make({.cores_an_l3 = 2});
  const auto refusal = [&](const PlacementWish& wish) { return plan_workers(machine, wish).refusal; };
  REQUIRE(refusal({.workers = 0}) == "workers.count is 0: choose 1..64.");
  REQUIRE(refusal({.workers = 65}) == "workers.count is 65: choose 1..64.");
  REQUIRE(refusal({.workers = 1, .cpus = {0, 1}}) ==
          "workers.cores names 2 CPUs for 1 worker: name one CPU a worker, or raise workers.count.");
  REQUIRE(refusal({.workers = 2, .cpus = {7}}) ==
          "workers.cores names CPU 7, which this machine does not have: choose from 0, 1.");
  REQUIRE(
      refusal({.workers = 2, .cpus = {1, 1}}) ==
      "workers.cores names CPU 1 twice: name each CPU once, or leave workers.cores empty to let gannetd share CPUs.");
  REQUIRE(refusal({.workers = 17}) == "17 workers on 2 CPUs: lower workers.count to 16 or less, 2 or less for speed.");
  machine.pus[1].allowed = false;
  REQUIRE(refusal({.workers = 2, .cpus = {1}}) ==
          "workers.cores names CPU 1, where this process may not run: choose from 0, or widen the process's cpuset.");
}

TEST_CASE("missing hugepages of a node are named with the file that mends it", "[placement]") {
  Topology machine = make({.packages = 2, .cores_an_l3 = 4});
  machine.nodes[0].free_2m_bytes = 100 * (2ULL << 20);
  const PlanResult result = plan_workers(machine, {.workers = 2, .nic_node = 0, .memory_bytes = 1ULL << 30});
  REQUIRE(result.plan.warnings ==
          std::vector<std::string>{
              "NUMA node 0 has 100 free hugepages of 2 MiB and the items need 512 there: add 412 to the number in "
              "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages, or lower memory.size."});
  REQUIRE(plan_workers(machine, {.workers = 2, .nic_node = 1, .memory_bytes = 1ULL << 30}).plan.warnings.empty());
  REQUIRE(
      warns(plan_workers(machine, {.workers = 2, .nic_node = 1, .memory_bytes = 4ULL << 30, .page_bytes = 1ULL << 30}),
            "NUMA node 1 has 0 free hugepages of 1 GiB and the items need 4 there"));
  REQUIRE(plan_workers(machine, {.workers = 2, .nic_node = 0, .memory_bytes = 1ULL << 30, .page_bytes = 4096})
              .plan.warnings.empty());
}

TEST_CASE("on random machines every plan keeps the rules", "[placement]") {
  const std::uint32_t seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto draw = [&](std::int32_t low, std::int32_t high) {
    return std::uniform_int_distribution<std::int32_t>(low, high)(random);
  };
  for (int round = 0; round < 2'000; ++round) {
    Topology machine = make({.packages = draw(1, 2),
                             .nodes_a_package = draw(1, 2),
                             .l3s_a_node = draw(1, 3),
                             .cores_an_l3 = draw(1, 6),
                             .threads = draw(1, 2)});
    std::ranges::shuffle(machine.pus, random);
    if (draw(0, 3) == 0)
      for (Pu& pu : machine.pus) pu.allowed = draw(0, 3) != 0;
    PlacementWish wish{.workers = static_cast<std::uint32_t>(draw(1, 20)),
                       .spare_cores = static_cast<std::uint32_t>(draw(0, 2)),
                       .allow_remote = true};
    wish.nic_node = draw(-1, static_cast<std::int32_t>(machine.nodes.size()) - 1);
    const PlanResult result = plan_workers(machine, wish);
    std::set<std::int32_t> allowed_cores, home_cores;
    for (const Pu& pu : machine.pus)
      if (pu.allowed) {
        allowed_cores.insert(pu.core);
        if (pu.node == wish.nic_node) home_cores.insert(pu.core);
      }
    if (!result.ok()) {
      const auto pus = std::ranges::count(machine.pus, true, &Pu::allowed);
      REQUIRE(static_cast<std::uint32_t>(pus) * gannet::dataplane::kWorkersPerPuMax < wish.workers);
      continue;
    }
    REQUIRE(result.plan.worker.size() == wish.workers);
    std::map<std::int32_t, int> on_core;
    std::size_t at_home = 0;
    for (const auto& place : result.plan.worker) {
      const auto pu = std::ranges::find(machine.pus, place.cpu, &Pu::cpu);
      REQUIRE(pu != machine.pus.end());
      REQUIRE(pu->allowed);
      REQUIRE(pu->core == place.core);
      ++on_core[place.core];
      at_home += place.node == wish.nic_node;
    }
    if (wish.workers <= allowed_cores.size()) {
      REQUIRE(on_core.size() == wish.workers);
      if (wish.nic_node != kUnknownNode) REQUIRE(at_home == std::min<std::size_t>(home_cores.size(), wish.workers));
    } else {
      REQUIRE(on_core.size() == allowed_cores.size());
      REQUIRE_FALSE(result.plan.warnings.empty());
    }
    for (const std::int32_t cpu : result.plan.rest) {
      const auto pu = std::ranges::find(machine.pus, cpu, &Pu::cpu);
      REQUIRE_FALSE(on_core.contains(pu->core));
    }
  }
}
