/// A trace replayed against a server, an appliance or a memcached, by the same look-aside client as replay.h, in the
/// binary protocol.
///
/// Trace time: the client knows until which second of the trace each object may be served, and an answer that comes
/// from that second on counts as a miss and is stored anew; so the ratio is the trace's own at any speed. The server is
/// told lifetimes as they last on its clock. At full speed that is the trace's lifetime, so that nothing goes too soon,
/// and memory that an expired object holds is the server's to take back only by eviction; with a `speed` both go at it.
#pragma once

#include <cstdint>
#include <functional>

#include "tools/gannet-replay/replay.h"
#include "tools/gannet-replay/trace.h"
#include "tools/load/link.h"

namespace gannet::replay {

struct WireRun {
  bool datagrams = false;          ///< UDP: a frame header before each message, and messages get lost.
  std::uint32_t message_max = 0;   ///< Of the link: a SET that is longer is not sent, and counts as refused.
  std::uint32_t batch = 32;        ///< Requests in flight, 1..kBatchMax; no two of one object.
  double speed = 0;                ///< Trace seconds in a second; 0: as fast as answers come.
  std::uint32_t timeout_ms = 500;  ///< After which a datagram is lost; four times, and the server is not there.
};
inline constexpr std::uint32_t kWireBatchMax = 256;

/// The longest SET of a trace, in bytes, without frame header.
[[nodiscard]] std::uint32_t longest_set(const Trace& trace);

/// One thread, flow 0 of `link`. Of Outcome, what only the store itself can say stays 0. A server that is not there, or
/// answers something else than asked, is Outcome::error.
[[nodiscard]] Outcome replay_over(load::Link& link, std::uint16_t port, const Trace& trace, const WireRun& run,
                                  const std::function<void(std::size_t)>& progress);

}  // namespace gannet::replay
