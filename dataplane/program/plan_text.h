/// The plan of the workers' places in words and in JSON. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/core/placement.h"

namespace gannet::dataplane {

struct PlanView {
  const Topology& topology;
  const PlanResult& result;
  std::int32_t nic_node = kUnknownNode;
  std::uint16_t udp_port = 0;  ///< Worker k is also reached at udp_port + 1 + k.
};

/// Aligned lines for people.
[[nodiscard]] std::string plan_as_text(const PlanView& view);

/// One object: {"machine": {"packages", "numa_nodes", "cores", "cpus", "allowed_cpus"}, "nic_node", "workers":
/// [{"worker", "cpu", "core", "l3", "numa_node", "package", "udp_port"}], "rest_cpus": [], "warnings": []}; a refusal
/// is {"refusal": "..."} beside "machine".
[[nodiscard]] std::string plan_as_json(const PlanView& view);

}  // namespace gannet::dataplane
