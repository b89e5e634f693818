/// The wire as the engine sees it: messages out on numbered flows, messages in. Kernel UDP, kernel TCP and DPDK
/// implement it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/base/bytes.h"

namespace gannet::load {

inline constexpr std::uint32_t kInboundMax = 256;  ///< Messages one receive() gives at most.

struct Inbound {
  std::uint32_t flow;
  Bytes bytes;  ///< UDP: one datagram, frame header included. TCP: one whole answer. Valid until the next receive().
};

/// One thread drives a link. Message bytes are written straight into the link's buffers.
class Link {
 public:
  virtual ~Link() = default;
  Link() = default;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Room for one message of message_bytes_max on `flow`, to destination port `port`; nullptr when the link takes no
  /// more before flush(). One message at a time: the next call comes after close().
  virtual std::byte* open(std::uint32_t flow, std::uint16_t port) = 0;
  /// The message opened last has this many bytes and shall go out.
  virtual void close(std::uint32_t bytes) = 0;
  /// Sends everything closed. Gives how many messages could not be sent; these are dropped.
  virtual std::uint32_t flush() = 0;
  /// Gives what came in, at most kInboundMax. Never waits.
  virtual std::uint32_t receive(std::span<Inbound> out) = 0;
  /// Sleeps until something may have come in, at most `ns`; a polling link returns at once.
  virtual void wait(std::uint64_t ns) = 0;
  /// A sentence once the wire is unusable (connection closed), else empty.
  [[nodiscard]] virtual const char* trouble() const { return ""; }
};

}  // namespace gannet::load
