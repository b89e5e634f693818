/// From what is configured to what DPDK's room is asked, and from what a port turned out to be to what the workers and
/// the shared file are told. Pure.
#pragma once

#include <cstdint>

#include "control/abi/shared.h"
#include "nicpipe/address.h"
#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"
#include "nicpipe/host.h"

namespace gannet::dataplane {

[[nodiscard]] nicpipe::dpdk::EalOptions eal_options(const abi::StartConfig& start);
[[nodiscard]] nicpipe::dpdk::PortOptions port_options(const abi::StartConfig& start, std::uint32_t port);
/// The port's MAC; for devices that have none (net_ring) a locally administered one made from our address.
[[nodiscard]] nicpipe::Mac mac_of(const abi::PortConfig& config, const nicpipe::dpdk::Port& open);
/// Our presence on an open port, for one worker.
[[nodiscard]] nicpipe::HostConfig host_config(const abi::StartConfig& start, std::uint32_t port,
                                              const nicpipe::dpdk::Port& open);

/// DataplaneStatus::Port::capabilities.
[[nodiscard]] std::uint64_t capability_bits(const nicpipe::Capabilities& capabilities) noexcept;

/// 2 where only people can mend it, 1 where the next start may work. A missing device is a typing error at the first
/// start and may be a driver that comes back later at the next ones.
[[nodiscard]] int exit_code_of(nicpipe::dpdk::Status status, std::uint32_t start_count) noexcept;

}  // namespace gannet::dataplane
