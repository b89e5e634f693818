#include "dataplane/program/ports.h"

#include <algorithm>
#include <span>
#include <string>

#include "control/abi/reader.h"
#include "dataplane/core/limits.h"
#include "nicpipe/ip_address.h"

namespace gannet::dataplane {
namespace {

namespace dpdk = nicpipe::dpdk;

constexpr std::uint32_t kEalBaseMib = 32;  ///< DPDK's own, before any packet pool.

[[nodiscard]] dpdk::DeviceKind kind_of(abi::DeviceKind kind) noexcept {
  switch (kind) {
    case abi::DeviceKind::kTap:
      return dpdk::DeviceKind::kTap;
    case abi::DeviceKind::kAfPacket:
      return dpdk::DeviceKind::kAfPacket;
    case abi::DeviceKind::kAfXdp:
      return dpdk::DeviceKind::kAfXdp;
    case abi::DeviceKind::kVhost:
      return dpdk::DeviceKind::kVhost;
    case abi::DeviceKind::kMemif:
      return dpdk::DeviceKind::kMemif;
    case abi::DeviceKind::kPci:
      return dpdk::DeviceKind::kPci;
    case abi::DeviceKind::kRing:
      return dpdk::DeviceKind::kRing;
  }
  return dpdk::DeviceKind::kTap;
}

}  // namespace

dpdk::EalOptions eal_options(const abi::StartConfig& start) {
  dpdk::EalOptions options;
  options.hugepages = start.page_bytes >= (2U << 20);
  options.memory_mib = kEalBaseMib;
  for (std::uint32_t port = 0; port < start.ports; ++port) {
    if (start.port[port].kind != abi::DeviceKind::kPci) continue;
    options.hugepages = true;  // DMA needs memory that stays where it is.
    options.pci_allow.emplace_back(abi::text_of(start.port[port].device));
  }
  for (std::uint32_t port = 0; port < start.ports; ++port)
    options.memory_mib += dpdk::Port::memory_mib(port_options(start, port), options.hugepages);
  return options;
}

dpdk::PortOptions port_options(const abi::StartConfig& start, std::uint32_t port) {
  const abi::PortConfig& config = start.port[port];
  dpdk::PortOptions options;
  options.kind = kind_of(config.kind);
  options.device = abi::text_of(config.device);
  if (config.kind == abi::DeviceKind::kRing && options.device.empty()) options.device = "gannet" + std::to_string(port);
  options.workers = static_cast<std::uint16_t>(start.workers);
  options.queues = static_cast<std::uint16_t>(std::min(config.queues, start.workers));
  options.mtu = static_cast<std::uint16_t>(config.mtu);
  options.index = static_cast<std::uint8_t>(port);
  if (start.tcp_port != 0) options.buffers_held += kTcpReceivePackets + kTcpSparePackets + kTcpSendPackets;
  return options;
}

nicpipe::Mac mac_of(const abi::PortConfig& config, const dpdk::Port& open) {
  nicpipe::Mac mac{open.mac()};
  if (!mac.is_zero()) return mac;
  constexpr std::uint8_t kLocallyAdministered = 0x02;
  mac.bytes = {kLocallyAdministered, 0, 0, 0, 0, 0};
  for (unsigned i = 0; i < 4; ++i) mac.bytes[2 + i] = static_cast<std::uint8_t>(config.address >> (24 - 8 * i));
  return mac;
}

nicpipe::HostConfig host_config(const abi::StartConfig& start, std::uint32_t port, const dpdk::Port& open) {
  const abi::PortConfig& config = start.port[port];
  nicpipe::HostConfig host;
  host.mac = mac_of(config, open);
  host.address = {config.address};
  host.prefix_bits = static_cast<std::uint8_t>(config.prefix_bits);
  host.address6 = nicpipe::load_ipv6(std::as_bytes(std::span(config.address6)).data());
  host.prefix6_bits = static_cast<std::uint8_t>(config.prefix6_bits);
  host.mtu = open.capabilities().mtu;
  host.vlan = static_cast<std::uint16_t>(config.vlan);
  host.capabilities = open.capabilities();
  host.udp_port_first = start.udp_port;
  host.udp_ports = 1 + start.workers;
  return host;
}

std::uint64_t capability_bits(const nicpipe::Capabilities& can) noexcept {
  return (can.rx_checksum ? 1U : 0U) | (can.tx_ip_checksum ? 2U : 0U) | (can.tx_udp_checksum ? 4U : 0U) |
         (can.multi_segment ? 8U : 0U) | (can.flow_hash ? 16U : 0U);
}

int exit_code_of(dpdk::Status status, std::uint32_t start_count) noexcept {
  switch (status) {
    case dpdk::Status::kOk:
      return 0;
    case dpdk::Status::kBadOption:
    case dpdk::Status::kNoHugepages:
    case dpdk::Status::kNoPermission:
      return 2;
    case dpdk::Status::kNoDevice:
      return start_count <= 1 ? 2 : 1;
    case dpdk::Status::kDeviceRefused:
    case dpdk::Status::kInternal:
      return 1;
  }
  return 1;
}

}  // namespace gannet::dataplane
