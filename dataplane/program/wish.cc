#include "dataplane/program/wish.h"

#include <algorithm>
#include <span>

#include "control/abi/reader.h"
#include "nicpipe/ip_address.h"

namespace gannet::dataplane {

PlacementWish wish_of(const abi::StartConfig& start, const abi::LiveConfig& live, const Machine& machine,
                      std::uint64_t memory_held) {
  PlacementWish wish;
  wish.workers = start.workers;
  const std::size_t workers = std::min<std::size_t>(start.workers, abi::kWorkersMax);
  wish.cpus.assign(start.cores.begin(), start.cores.begin() + static_cast<std::ptrdiff_t>(workers));
  for (std::size_t port = 0; port < std::min<std::size_t>(start.ports, abi::kPortsMax) && wish.nic_node == kUnknownNode;
       ++port)
    wish.nic_node = machine.node_of_device(std::string(abi::text_of(start.port[port].device)));
  wish.allow_remote = start.allow_remote != 0;
  wish.may_sleep = live.idle_sleep_us_max > 0;
  wish.memory_bytes = start.memory_bytes > memory_held ? start.memory_bytes - memory_held : 0;
  wish.page_bytes = start.page_bytes;
  return wish;
}

std::string judge_start(const abi::StartConfig& start) {
  if (start.workers < 1 || start.workers > abi::kWorkersMax)
    return "workers.count is " + std::to_string(start.workers) + ": choose 1.." + std::to_string(abi::kWorkersMax) +
           ".";
  if (start.ports < 1 || start.ports > abi::kPortsMax)
    return std::to_string(start.ports) + " ports are configured: write 1.." + std::to_string(abi::kPortsMax) +
           " [[port]] sections.";
  for (std::uint32_t port = 0; port < start.ports; ++port) {
    const abi::PortConfig& config = start.port[port];
    const std::string name = "[[port]] " + std::to_string(port + 1);
    if (config.kind > abi::DeviceKind::kRing)
      return name + " has a device of an unknown kind: install gannetd and gannet-control of one release.";
    const std::uint32_t top = config.address >> 24;
    if (top == 0 || top == 127 || top >= 224)
      return name + " has no unicast address: write for example address = \"10.77.0.2/24\".";
    if (config.prefix_bits < 1 || config.prefix_bits > 32)
      return name + " has a prefix length out of 1..32: write for example address = \"10.77.0.2/24\".";
    const nicpipe::IpAddress address6 = nicpipe::load_ipv6(std::as_bytes(std::span(config.address6)).data());
    const bool has6 = !address6.is_zero();
    if (has6 && (!address6.is_unicast6() || config.prefix6_bits < 1 || config.prefix6_bits > 128))
      return name + " has no unicast IPv6 address: write for example address6 = \"fd77::2/64\", or leave it out.";
    if (config.mtu < (has6 ? 1280 : 576) || config.mtu > 9000)
      return name + " has mtu " + std::to_string(config.mtu) + ": choose " + (has6 ? "1280" : "576") + "..9000.";
    if (config.vlan > 4094) return name + " has vlan " + std::to_string(config.vlan) + ": choose 0..4094.";
  }
  if (start.udp_port < 1 || start.udp_port + start.workers > 65'535)
    return "listen.udp is " + std::to_string(start.udp_port) + ": choose a port so that " +
           std::to_string(start.workers) + " more fit behind it.";
  return {};
}

}  // namespace gannet::dataplane
