/// One frame in one buffer, as the rooms above the device see it. The device's own descriptor (an mbuf, a pool slot)
/// stays behind `buffer`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "storage/base/clock.h"

namespace gannet::nicpipe {

/// What the device said on receive, and what is asked of it on transmit.
enum PacketFlag : std::uint16_t {
  kRxIpChecksumGood = 1 << 0,  ///< The device verified the IPv4 header checksum.
  kRxIpChecksumBad = 1 << 1,   ///< The device found it wrong.
  kRxL4ChecksumGood =
      1 << 2,  ///< The device verified the UDP/TCP checksum (or vouches for a local, never transmitted frame).
  kRxL4ChecksumBad = 1 << 3,  ///< The device found it wrong.
  kRxFlowHash = 1 << 4,       ///< `flow_hash` was filled by the device.
  kTxIpChecksum = 1 << 8,     ///< The device shall write the IPv4 header checksum; the field holds 0.
  kTxUdpChecksum = 1 << 9,    ///< The device shall write the UDP checksum; the field holds the pseudo-header sum.
  kTxTcpChecksum = 1 << 10,   ///< The same for TCP.
  kTxTcpSegment = 1 << 11,    ///< The device shall cut the payload into segments of `segment_bytes` (TSO). Comes with
                              ///< kTxTcpChecksum, and the pseudo-header sum is without the length.
};

/// Ownership: exactly one holder at a time. rx_burst/alloc hand it out; tx_burst (for the packets it took) and free
/// take it back; a hand-over ring moves it to another worker. Trivially copyable, one cache line; copying the struct
/// does not copy the right to it.
struct alignas(64) Packet {
  std::byte* data = nullptr;  ///< First byte of the Ethernet header.
  void* buffer = nullptr;     ///< The device's descriptor. Opaque above nicpipe/dpdk.
  const std::byte* tail =
      nullptr;  ///< Bytes sent after `data` without a copy; nullptr for none. Lives until `pin` is released.
  std::uint32_t tail_bytes = 0;  ///< 0 without tail.
  std::uint32_t pin = 0;    ///< Token given back through the endpoint's release hook once the device has read `tail`.
  std::uint16_t bytes = 0;  ///< Frame bytes at `data` (without tail).
  std::uint16_t headroom = 0;   ///< Free bytes before `data`.
  std::uint16_t tailroom = 0;   ///< Free bytes after `data + bytes`.
  std::uint16_t flags = 0;      ///< PacketFlag.
  std::uint32_t flow_hash = 0;  ///< Of the 4-tuple; valid with kRxFlowHash or after software dispatch.
  std::uint16_t l2_bytes = 0;   ///< Ethernet header with VLAN tag; set by whoever parsed or wrote the headers.
  std::uint16_t l3_bytes = 0;   ///< IP header with options; in frames of ours 20 for IPv4, 40 for IPv6.
  MonotonicNs received_ns = 0;  ///< When rx_burst returned it.
  std::uint16_t cursor = 0;  ///< For the application; 0 from rx_burst: where in the payload work goes on, or how many
                             ///< workers a frame has been to, when a packet travels between them.
  std::uint8_t mark = 0;     ///< For the application; 0 from rx_burst: travel state.
  std::uint8_t port = 0;     ///< Index of the port it came in by.
  std::uint16_t segment_bytes = 0;  ///< With kTxTcpSegment: payload of each segment but the last.
  std::uint8_t l4_bytes = 0;        ///< TCP header with options; set with kTxTcpSegment.
  std::uint8_t reserved = 0;
};
static_assert(sizeof(Packet) == 64 && std::is_trivially_copyable_v<Packet>);

}  // namespace gannet::nicpipe
