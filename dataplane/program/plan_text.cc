#include "dataplane/program/plan_text.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string_view>

namespace gannet::dataplane {
namespace {

struct Sizes {
  std::size_t packages = 0, nodes = 0, cores = 0, cpus = 0, allowed = 0;
};

[[nodiscard]] Sizes sizes_of(const Topology& topology) {
  std::set<std::int32_t> packages, nodes, cores;
  Sizes sizes;
  for (const Pu& pu : topology.pus) {
    packages.insert(pu.package);
    nodes.insert(pu.node);
    cores.insert(pu.core);
    sizes.allowed += pu.allowed ? 1 : 0;
  }
  for (const NumaNode& node : topology.nodes) nodes.insert(node.id);
  sizes.packages = packages.size();
  sizes.nodes = nodes.size();
  sizes.cores = cores.size();
  sizes.cpus = topology.pus.size();
  return sizes;
}

[[nodiscard]] std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

[[nodiscard]] std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class Range, class Print>
[[nodiscard]] std::string list(const Range& range, std::string_view between, Print print) {
  std::string text;
  for (const auto& item : range) {
    if (!text.empty()) text += between;
    text += print(item);
  }
  return text;
}

}  // namespace

std::string plan_as_text(const PlanView& view) {
  const Sizes sizes = sizes_of(view.topology);
  std::string text = "machine   " + counted(sizes.packages, "package") + ", " + counted(sizes.nodes, "NUMA node") +
                     ", " + counted(sizes.cores, "core") + ", " + counted(sizes.cpus, "CPU") + " (" +
                     std::to_string(sizes.allowed) + " allowed)\n";
  if (!view.result.ok()) return text + "refused   " + view.result.refusal + "\n";
  text += "nic       " +
          (view.nic_node == kUnknownNode ? std::string("no NUMA node of its own")
                                         : "NUMA node " + std::to_string(view.nic_node)) +
          "\n";
  const Plan& plan = view.result.plan;
  for (std::size_t worker = 0; worker < plan.worker.size(); ++worker) {
    const WorkerPlace& place = plan.worker[worker];
    char line[160];
    std::snprintf(line, sizeof line, "worker %-3zuCPU %-4d core %-4d L3 %-3d node %-3d package %-2d udp %u\n", worker,
                  place.cpu, place.core, place.l3, place.node, place.package,
                  static_cast<unsigned>(view.udp_port + 1 + worker));
    text += line;
  }
  text += "rest      " +
          (plan.rest.empty() ? std::string("none")
                             : "CPU " + list(plan.rest, ", ", [](std::int32_t cpu) { return std::to_string(cpu); })) +
          "\n";
  for (const std::string& warning : plan.warnings) text += "warning   " + warning + "\n";
  return text;
}

std::string plan_as_json(const PlanView& view) {
  const Sizes sizes = sizes_of(view.topology);
  std::string text = "{\"machine\": {\"packages\": " + std::to_string(sizes.packages) +
                     ", \"numa_nodes\": " + std::to_string(sizes.nodes) +
                     ", \"cores\": " + std::to_string(sizes.cores) + ", \"cpus\": " + std::to_string(sizes.cpus) +
                     ", \"allowed_cpus\": " + std::to_string(sizes.allowed) + "}";
  if (!view.result.ok()) return text + ", \"refusal\": " + quoted(view.result.refusal) + "}\n";
  const Plan& plan = view.result.plan;
  std::size_t worker = 0;
  text += ", \"nic_node\": " + std::to_string(view.nic_node) + ", \"workers\": [" +
          list(plan.worker, ", ",
               [&](const WorkerPlace& place) {
                 const std::size_t index = worker++;
                 return "{\"worker\": " + std::to_string(index) + ", \"cpu\": " + std::to_string(place.cpu) +
                        ", \"core\": " + std::to_string(place.core) + ", \"l3\": " + std::to_string(place.l3) +
                        ", \"numa_node\": " + std::to_string(place.node) +
                        ", \"package\": " + std::to_string(place.package) +
                        ", \"udp_port\": " + std::to_string(view.udp_port + 1 + index) + "}";
               }) +
          "], \"rest_cpus\": [" + list(plan.rest, ", ", [](std::int32_t cpu) { return std::to_string(cpu); }) +
          "], \"warnings\": [" + list(plan.warnings, ", ", [](const std::string& warning) { return quoted(warning); }) +
          "]}\n";
  return text;
}

}  // namespace gannet::dataplane
