/// Two engines, one wire, one clock: a client that connects, a server that accepts, and bytes both ways under the
/// wire's conditions. Whatever goes wrong is told in words.
#pragma once

#include <string>

#include "tests/tcp/channel.h"
#include "tests/tcp/rig.h"

namespace gannet::test::tcp {

struct SimulatorOptions {
  ChannelOptions channel;
  nic::Config engine;                          ///< Of both sides.
  std::uint64_t up_bytes = 0, down_bytes = 0;  ///< Client to server, and back: all of it must arrive.
  std::uint32_t round_bytes = 0;  ///< Not 0: the server answers each so many bytes with as many, and the client waits.
  std::uint32_t read_bytes_max = 1 << 30;  ///< An application reads no more in one turn.
  nicpipe::Capabilities device{.multi_segment = true};
  bool pinned = false;  ///< The server sends without copying.
  std::uint64_t seed = 1;
  bool trace = false;                      ///< Every frame is printed as it leaves.
  MonotonicNs limit_ns = 600'000'000'000;  ///< Of the clock; not done by then is a fault.
};

struct SimulatorResult {
  std::string fault;        ///< Empty: every byte arrived, both sides closed, nothing is left.
  MonotonicNs took_ns = 0;  ///< From the end of the handshake to the last byte.
  double bits_per_s = 0;    ///< Of the bytes of both directions in that time.
  std::uint64_t frames = 0, retransmits = 0, timeouts = 0, fast_recoveries = 0, tail_probes = 0, spurious = 0;
  std::uint64_t lost = 0, marked = 0, ecn_reductions = 0;
  std::uint64_t predicted_in = 0, predicted_out = 0;
  std::uint64_t digest = 0;  ///< Of every frame that left either side, and when.
};

[[nodiscard]] SimulatorResult simulate(const SimulatorOptions& options);

/// Bits a second that a TCP must reach at least under these conditions: a share of what the window, the rate and the
/// loss allow (for the loss: Mathis et al., "The macroscopic behavior of the TCP congestion avoidance algorithm", 1997;
/// above 10 % the time out rules and the floor is one segment in so many of them).
[[nodiscard]] double floor_bits_per_s(const SimulatorOptions& options);

}  // namespace gannet::test::tcp
