/// A port: one device, or several that look like one (AF_XDP on veth: one per queue), with an Endpoint for each worker.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nicpipe/address.h"
#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/endpoint.h"
#include "nicpipe/endpoint.h"

namespace gannet::nicpipe::dpdk {

/// What is behind a port. `device` of PortOptions means, in turn:
enum class DeviceKind : std::uint8_t {
  kTap,  ///< Name the kernel's interface gets ("" = gannet0). It appears in this process's network namespace and goes
         ///< with it.
  kAfPacket,     ///< Existing interface; give it no address.
  kAfXdp,        ///< Existing interface, usually one end of a veth pair; as many channels as queues.
  kVhost,        ///< Socket path we create and serve; the peer is a virtio-user process or a virtual machine.
  kVirtioUser,   ///< Socket path somebody serves as vhost; we are its client. What gannet-load uses.
  kMemif,        ///< Socket path we create and serve.
  kMemifClient,  ///< Socket path somebody serves.
  kPci,          ///< PCI address, bound to vfio-pci (or a driver that shares, like mlx5).
  kRing,         ///< Any name. "name" is one end, "name:peer" the other, in the same process.
};

struct PortOptions {
  DeviceKind kind = DeviceKind::kTap;
  std::string device;
  std::uint16_t workers = 1;      ///< 1..64: endpoints made, whatever the device's queues.
  std::uint16_t queues = 0;       ///< Asked of the device; 0: as many as workers. Adapted downward.
  std::uint16_t mtu = 1500;       ///< 576..9000. Adapted downward when the device cannot; see Capabilities::mtu.
  std::uint16_t rx_slots = 1024;  ///< A power of two.
  std::uint16_t tx_slots = 1024;  ///< A power of two.
  std::uint32_t buffers_held =
      4096;  ///< Buffers of one worker that backlogs and hand-over rings may hold at a time, beyond the device's rings.
  std::uint8_t index = 0;     ///< Packet::port, 0..3; also keeps names of several ports apart.
  bool allow_offload = true;  ///< false: checksums and multi-segment sending stay in software whatever the device says.
};

/// Sums over the device's life, from the device itself.
struct DeviceCounters {
  std::uint64_t rx_frames = 0, tx_frames = 0;
  std::uint64_t rx_missed = 0;  ///< No descriptor was free: the worker was too slow.
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_no_buffer = 0;  ///< The packet pool was empty.
  std::uint64_t tx_errors = 0;
  [[nodiscard]] std::uint64_t dropped() const noexcept { return rx_missed + rx_errors + rx_no_buffer + tx_errors; }
};

/// Threads: everything here is the main thread's; each Endpoint is its worker's alone.
class Port {
 public:
  /// DPDK's memory one such port takes, MiB; the sum over ports is EalOptions::memory_mib. On 4 KiB pages it takes up
  /// to twice as much.
  [[nodiscard]] static std::uint32_t memory_mib(const PortOptions& options, bool hugepages);

  /// Creates or attaches the device, configures queues and pools on its NUMA node, starts it. On failure nothing is
  /// left behind.
  [[nodiscard]] static Outcome open(const Eal& eal, const PortOptions& options, std::unique_ptr<Port>& out);
  ~Port();  ///< close().
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// The queue of worker k, k < workers(). Lives as long as the port; usable until close().
  [[nodiscard]] Endpoint& endpoint(std::uint16_t worker);
  [[nodiscard]] std::uint16_t workers() const noexcept;
  /// Workers 0..rx_queues()-1 receive. Fewer than workers(): the application spreads frames itself
  /// (nicpipe/flow_hash.h).
  [[nodiscard]] std::uint16_t rx_queues() const noexcept;
  [[nodiscard]] std::uint16_t tx_queues() const noexcept;
  [[nodiscard]] bool dispatch_in_software() const noexcept { return rx_queues() < workers(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept;
  /// The address to answer ARP with. On kTap it differs from the kernel's side of the same interface.
  [[nodiscard]] std::array<std::uint8_t, 6> mac() const noexcept;
  [[nodiscard]] int numa_node() const noexcept;              ///< -1: none, as for virtual devices.
  [[nodiscard]] const std::string& device() const noexcept;  ///< Interface name, path or PCI address in use.
  /// One sentence for people: kind, driver, queues, what is done by the device and what in software, and what was asked
  /// for but refused.
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept;

  /// Asks the device. Call about once a second: endpoints drop instead of queueing while the link is down.
  bool link_up() noexcept;
  [[nodiscard]] DeviceCounters counters() const noexcept;

  /// Has the device bring UDP destination port first_port + k to the queue of worker k, for every worker; with `ipv6`
  /// over both families. All or nothing. Gives whether it does; false changes nothing.
  bool steer_udp(std::uint16_t first_port, bool ipv6 = false);

  /// Has the device pass on frames to these multicast MACs (those of neighbour discovery), or to all where it cannot
  /// choose. False: it does neither. That means nothing on tap and socket devices, which filter nothing; a kernel
  /// interface under af_packet or af_xdp keeps its own filter.
  bool accept_groups(std::span<const Mac> groups);

  /// Makes memory that is not DPDK's (the item arena) known to DPDK and the device, so that a tail may point there.
  /// Needs: page-aligned, alive until close(). Devices without DMA need nothing and get kOk. On failure multi_segment
  /// is switched off for the port: replies are copied.
  [[nodiscard]] Outcome register_memory(std::byte* at, std::size_t bytes, std::size_t page_bytes);

  /// Stops and closes the device; a tap's interface vanishes. Needs: no worker uses its endpoint any more, packets held
  /// by workers given back. Tails still with the device are released here, on the calling thread. Gives the number of
  /// packets and buffers that never came back: 0, or somebody leaks.
  std::uint64_t close();

 private:
  struct Inside;
  explicit Port(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> in_;
};

[[nodiscard]] const char* to_text(DeviceKind kind) noexcept;

}  // namespace gannet::nicpipe::dpdk
