/// The machine as the planner wants it (dataplane/core/placement.h), read by hwloc: the only file of the tree that
/// knows it is topology.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/core/placement.h"

namespace gannet::dataplane {

class Machine {
 public:
  Machine();
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  /// Reads this machine, or, if `synthetic` is not empty, builds the one it describes (hwloc's synthetic syntax, e.g.
  /// "pack:2 core:8 pu:2"). Empty text on success, else one sentence with the fix.
  [[nodiscard]] std::string load(std::string_view synthetic);

  [[nodiscard]] const Topology& topology() const noexcept { return topology_; }

  /// NUMA node of a NIC given by PCI address ("0000:3b:00.0") or network interface name; kUnknownNode for virtual
  /// devices, unknown names and machines whose firmware does not say.
  [[nodiscard]] std::int32_t node_of_device(const std::string& device) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
  Topology topology_;
};

/// A list of CPUs as the kernel writes it ("0-3,8,10-11"); malformed parts are left out. Pure.
[[nodiscard]] std::vector<std::int32_t> parse_cpu_list(std::string_view text);

}  // namespace gannet::dataplane
