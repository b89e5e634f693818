/// How each kind of device is asked for: driver arguments, and what can be known to be wrong before DPDK is asked. No
/// DPDK call in here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"

namespace gannet::nicpipe::dpdk {

/// One ethdev to be made: DPDK's name and arguments. PCI and ring devices have no arguments: they are found or built
/// otherwise.
struct DeviceRequest {
  std::string name;
  std::string arguments;
};

/// What is different about a kind, in one place.
struct KindTraits {
  const char* name = "";          ///< As an operator writes it.
  std::uint16_t queues_max = 1;   ///< Of one port.
  bool queue_per_device = false;  ///< Several ethdevs of one queue each make the port.
  bool kernel_interface = false;  ///< `device` is an interface that exists already and whose MTU is not ours to change.
  bool checksum_offload = false;  ///< The device's checksum abilities are real; else the driver would do in software
                                  ///< what we do ourselves.
  bool tail_is_read_by_cpu = false;  ///< The driver copies frames inside tx_burst: a tail needs no DMA mapping and is
                                     ///< released at once.
  bool driver_keeps_buffers =
      false;  ///< What was in the driver's rings at close is not given back to the pool, though no longer used.
  bool tail_may_be_given = false;  ///< A tail outside DPDK's memory reaches the peer at all.
};
[[nodiscard]] const KindTraits& traits_of(DeviceKind kind) noexcept;

/// Bytes of the largest frame at an MTU: Ethernet header and one VLAN tag; without the checksum, which software never
/// sees.
[[nodiscard]] constexpr std::uint32_t frame_bytes_max(std::uint32_t mtu) noexcept {
  return mtu + 14 + 4;
}

/// Bytes of one slot of an AF_PACKET ring: the frame and up to 128 bytes the kernel puts before it. A frame that does
/// not fit is dropped without a word, and the driver wants a packet buffer to hold a whole slot. 2048, or a multiple of
/// the page.
[[nodiscard]] std::uint32_t packet_socket_slot_bytes(std::uint32_t mtu) noexcept;

/// The interface, path or address in use: options.device or the kind's default.
[[nodiscard]] std::string device_name(const PortOptions& options);

/// Ethdevs to make for `queues` queues, in the order of their queues.
[[nodiscard]] std::vector<DeviceRequest> requests_for(const PortOptions& options, std::uint16_t queues);

/// Judges options and machine: ranges, /dev/net/tun, capabilities, interface, socket path (a dead socket is removed),
/// PCI binding.
[[nodiscard]] Outcome check_before_open(const Eal& eal, const PortOptions& options);

/// MTU the kernel gives the interface; 0 when there is none of that name in this namespace.
[[nodiscard]] std::uint16_t interface_mtu(const std::string& name);

}  // namespace gannet::nicpipe::dpdk
