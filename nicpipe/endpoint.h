/// An endpoint is one queue of one port: where a worker's frames come from and go to. This is the contract every kind
/// of endpoint keeps; MemoryEndpoint (tests, benchmarks) and dpdk::Endpoint (real devices) are checked against it at
/// compile time.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include "nicpipe/packet.h"

namespace gannet::nicpipe {

/// What a port can do for us; probed at start, never required.
struct Capabilities {
  bool rx_checksum = false;       ///< kRx*Checksum* flags are filled.
  bool tx_ip_checksum = false;    ///< kTxIpChecksum is honoured.
  bool tx_udp_checksum = false;   ///< kTxUdpChecksum is honoured.
  bool tx_tcp_checksum = false;   ///< kTxTcpChecksum is honoured.
  bool tcp_segmentation = false;  ///< kTxTcpSegment is honoured, for IPv4 and IPv6, up to 65535 IP bytes a frame.
  bool multi_segment = false;  ///< Packet::tail is honoured without a copy. Otherwise the application must not set it.
  bool flow_hash = false;      ///< kRxFlowHash is filled.
  std::uint16_t mtu = 1500;    ///< IP bytes a frame may carry, both ways.
  std::uint16_t queues = 1;    ///< Endpoints of the port.
};

/// Called on the worker that owns the endpoint when the device has read a packet's tail. `context` was given with the
/// hook.
struct ReleaseHook {
  void (*release)(void* context, std::uint32_t pin) = nullptr;
  void* context = nullptr;
};

template <class E>
concept Endpoint = requires(E endpoint, std::span<Packet> packets, MonotonicNs now) {
  /// Fills packets from the front; gives how many. Single-buffer frames only. Never waits.
  { endpoint.rx_burst(packets, now) } -> std::same_as<std::uint32_t>;
  /// Takes packets from the front; gives how many. The rest stay the caller's. Never waits.
  { endpoint.tx_burst(packets) } -> std::same_as<std::uint32_t>;
  /// Fills packets with empty buffers (data at the default headroom, bytes 0); gives how many.
  { endpoint.alloc(packets) } -> std::same_as<std::uint32_t>;
  /// Takes all of them back. A tail still set is released through the hook.
  { endpoint.free(packets) } -> std::same_as<void>;
  { endpoint.capabilities() } -> std::convertible_to<const Capabilities&>;
};

}  // namespace gannet::nicpipe
