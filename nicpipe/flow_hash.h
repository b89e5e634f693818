/// Which worker a frame belongs to when the device cannot say: the Toeplitz hash that NICs use for receive-side
/// scaling, in software, and the rule from frame to worker.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "nicpipe/address.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

inline constexpr std::size_t kFlowKeyBytes = 40;
using FlowKey = std::span<const std::byte, kFlowKeyBytes>;

/// Toeplitz over a 4-tuple of either family. 4.5 KiB of tables, made from the key, of which IPv4 reads the first third;
/// equal keys give equal hashes on every machine and device.
class FlowHash {
 public:
  /// `key`: random where peers are not trusted, so that they cannot aim at one worker.
  explicit FlowHash(FlowKey key) noexcept;

  /// Source and destination as in the frame (peer first on receive). Ports in host order.
  [[nodiscard]] std::uint32_t operator()(Ipv4 source, Ipv4 destination, std::uint16_t source_port,
                                         std::uint16_t destination_port) const noexcept;
  /// The same over IPv6.
  [[nodiscard]] std::uint32_t operator()(const IpAddress& source, const IpAddress& destination,
                                         std::uint16_t source_port, std::uint16_t destination_port) const noexcept;

 private:
  static constexpr std::size_t kInputBytes = 36;
  std::array<std::array<std::uint32_t, 16>, 2 * kInputBytes> tables_;  ///< One per half byte of the input.
};

/// The rule. Value type, the same on every worker.
struct Dispatch {
  FlowHash hash;
  std::uint32_t workers = 1;             ///< At least 1.
  std::uint16_t udp_port_first = 11211;  ///< Worker k's own port is udp_port_first + 1 + k.

  /// The worker that owns a raw received frame, 0..workers-1. Total: reads nothing beyond packet.bytes and always
  /// answers.
  ///   UDP to a worker's own port           → that worker
  ///   other unfragmented UDP or TCP        → by flow hash (the device's where kRxFlowHash says so), so a conversation
  ///                                          stays on one worker
  ///   an ICMP error about TCP              → that conversation's
  ///   all else (ARP, neighbour discovery, ping, fragments, ...) → 0
  /// Leaves the hash in packet.flow_hash, kRxFlowHash set, where it made one.
  [[nodiscard]] std::uint32_t worker_of(Packet& packet) const noexcept;

 private:
  [[nodiscard]] std::uint32_t worker_of_error(Bytes icmp) const noexcept;
  [[nodiscard]] std::uint32_t worker_of_error6(Bytes icmp) const noexcept;
  [[nodiscard]] std::uint32_t worker_of6(Packet& packet, std::size_t l2_bytes) const noexcept;
  /// Whoever has a port of his own. False: by hash.
  [[nodiscard]] bool own_port(std::uint8_t protocol, std::uint16_t port, std::uint32_t& worker) const noexcept;
};

}  // namespace gannet::nicpipe
