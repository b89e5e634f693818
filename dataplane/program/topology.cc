#include "dataplane/program/topology.h"

#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>

namespace gannet::dataplane {
namespace {

/// The first line of a small file of /sys; empty if it is not there.
[[nodiscard]] std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

[[nodiscard]] std::uint64_t read_number(const std::string& path) {
  const std::string line = read_line(path);
  std::uint64_t value = 0;
  (void)std::from_chars(line.data(), line.data() + line.size(), value);
  return value;
}

[[nodiscard]] std::int32_t index_of(hwloc_obj_t object, std::int32_t otherwise) {
  return object == nullptr ? otherwise : static_cast<std::int32_t>(object->logical_index);
}

/// The lowest node whose memory is near; node 0 where hwloc knows of none.
[[nodiscard]] std::int32_t node_of(hwloc_obj_t object) {
  const int node = object->nodeset == nullptr ? -1 : hwloc_bitmap_first(object->nodeset);
  return node < 0 ? 0 : node;
}

[[nodiscard]] std::uint64_t free_huge_bytes(std::int32_t node, std::uint64_t page_kib) {
  return read_number("/sys/devices/system/node/node" + std::to_string(node) + "/hugepages/hugepages-" +
                     std::to_string(page_kib) + "kB/free_hugepages") *
         page_kib * 1024;
}

}  // namespace

struct Machine::Inside {
  hwloc_topology_t handle = nullptr;
  Inside() = default;
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    if (handle != nullptr) hwloc_topology_destroy(handle);
  }
};

Machine::Machine() = default;
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

std::string Machine::load(std::string_view synthetic) {
  topology_ = {};
  inside_ = std::make_unique<Inside>();
  if (hwloc_topology_init(&inside_->handle) != 0)
    return "The machine's topology cannot be read: hwloc ran out of memory.";
  hwloc_topology_t handle = inside_->handle;
  const bool real = synthetic.empty();
  if (!real && hwloc_topology_set_synthetic(handle, std::string(synthetic).c_str()) != 0)
    return "The topology \"" + std::string(synthetic) +
           "\" is not understood: write for example \"pack:2 core:8 pu:2\".";
  hwloc_topology_set_io_types_filter(handle, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  hwloc_topology_set_flags(handle, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  if (hwloc_topology_load(handle) != 0)
    return "The machine's topology cannot be read: check that /sys and /proc are mounted.";

  // Isolated CPUs are missing from the affinity a process inherits, and they are just what we want.
  cpu_set_t affinity;
  const bool bound = real && sched_getaffinity(0, sizeof affinity, &affinity) == 0;
  const std::vector<std::int32_t> isolated =
      real ? parse_cpu_list(read_line("/sys/devices/system/cpu/isolated")) : std::vector<std::int32_t>{};
  const hwloc_const_cpuset_t allowed = hwloc_topology_get_allowed_cpuset(handle);

  for (hwloc_obj_t pu = nullptr; (pu = hwloc_get_next_obj_by_type(handle, HWLOC_OBJ_PU, pu)) != nullptr;) {
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(handle, HWLOC_OBJ_CORE, pu);
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(handle, HWLOC_OBJ_PACKAGE, pu);
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(handle, HWLOC_OBJ_L3CACHE, pu);
    Pu out;
    out.cpu = static_cast<std::int32_t>(pu->os_index);
    out.core = index_of(core, index_of(pu, 0));
    out.package = index_of(package, 0);
    out.node = node_of(pu);
    out.l3 = index_of(l3, out.package);
    out.isolated = std::ranges::find(isolated, out.cpu) != isolated.end();
    out.allowed = hwloc_bitmap_isset(allowed, pu->os_index) != 0 &&
                  (!bound || out.isolated || out.cpu >= CPU_SETSIZE || CPU_ISSET(out.cpu, &affinity));
    topology_.pus.push_back(out);
  }
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(handle, HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    NumaNode out{.id = static_cast<std::int32_t>(node->os_index), .memory_bytes = node->attr->numanode.local_memory};
    if (real) {
      out.free_2m_bytes = free_huge_bytes(out.id, 2048);
      out.free_1g_bytes = free_huge_bytes(out.id, 1048576);
    } else {
      out.free_2m_bytes = out.free_1g_bytes = out.memory_bytes;  // Nothing is known to be taken.
    }
    topology_.nodes.push_back(out);
  }
  return {};
}

std::int32_t Machine::node_of_device(const std::string& device) const {
  if (!inside_ || device.empty()) return kUnknownNode;
  hwloc_topology_t handle = inside_->handle;
  hwloc_obj_t found =
      device.find(':') == std::string::npos ? nullptr : hwloc_get_pcidev_by_busidstring(handle, device.c_str());
  for (hwloc_obj_t os = nullptr; found == nullptr && (os = hwloc_get_next_osdev(handle, os)) != nullptr;)
    if (os->name != nullptr && device == os->name) found = os;
  if (found == nullptr) return kUnknownNode;
  // A device bound to vfio has no OS device any more, but its PCI object stays; the first ancestor that is no I/O
  // object has the nodes.
  const hwloc_obj_t near = hwloc_get_non_io_ancestor_obj(handle, found);
  if (near == nullptr || near->nodeset == nullptr || hwloc_bitmap_weight(near->nodeset) != 1) return kUnknownNode;
  return hwloc_bitmap_first(near->nodeset);
}

std::vector<std::int32_t> parse_cpu_list(std::string_view text) {
  constexpr std::int32_t kCpuTop = 1 << 16;
  std::vector<std::int32_t> cpus;
  const auto number = [](std::string_view part, std::int32_t& out) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), out);
    return error == std::errc{} && end == part.data() + part.size() && out >= 0 && out < kCpuTop;
  };
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    const std::size_t dash = part.find('-');
    std::int32_t first = 0, last = 0;
    if (dash == std::string_view::npos ? !number(part, first) : !number(part.substr(0, dash), first)) continue;
    last = first;
    if (dash != std::string_view::npos && !number(part.substr(dash + 1), last)) continue;
    for (std::int32_t cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace gannet::dataplane
