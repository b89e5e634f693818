/// What a load is: everything the command line of gannet-load can say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/load/distribution.h"
#include "tools/load/keyspace.h"

namespace gannet::load {

enum class Protocol : std::uint8_t { kUdp, kTcp };
enum class Arrival : std::uint8_t { kPoisson, kEven };
enum class Route : std::uint8_t {
  kBase,    ///< Every request to the base port; the appliance finds the owner.
  kOwner,   ///< Each key to its owner's port, base + 1 + worker.
  kSpread,  ///< Flow k to port base + 1 + k % workers, whatever the key.
};

inline constexpr std::uint32_t kBatchMax = 32, kDepthMax = 4096, kFlowsMax = 1024, kThreadsMax = 64;

struct Options {
  // Where to.
  std::uint32_t target = 0;  ///< IPv4, host byte order.
  std::uint16_t port = 11211;
  Protocol protocol = Protocol::kUdp;
  Route route = Route::kBase;
  std::uint32_t workers = 1;  ///< Of the appliance; for kOwner and kSpread.
  std::uint16_t mtu = 1500;   ///< IP bytes a datagram may have; a request never exceeds it.
  std::string dpdk;           ///< Device of our own end; empty: the kernel's sockets.
  std::uint32_t source = 0;   ///< Our address on that device, host byte order.
  std::uint32_t source_bits = 24;
  std::uint32_t queues = 1;  ///< Of that device.
  int core = -1;             ///< CPU of the first thread; -1: wherever the kernel likes.

  // How.
  std::uint32_t threads = 1;
  std::uint32_t flows = 8;  ///< Sockets (UDP source ports, TCP connections) of each thread.
  std::uint32_t depth = 8;  ///< Messages in flight on each flow.
  std::uint32_t batch = 1;  ///< Requests in one message.
  double rate = 0;          ///< Requests a second of all threads, open loop; 0: closed loop.
  Arrival arrival = Arrival::kPoisson;
  double seconds = 10;  ///< Measured.
  double warmup_seconds = 0;
  std::uint64_t requests = 0;  ///< Stop after so many; 0: no such limit.
  std::uint32_t timeout_ms = 500;
  std::uint64_t seed = 1;

  // What.
  std::uint64_t keys = 100'000;
  Distribution key_bytes, value_bytes, ttl;
  bool varying = false;
  double zipf = 0.99;  ///< Exponent; 0: uniform.
  double gets = 0.9;   ///< Share of GETs; the rest are SETs.
  bool fill = false;   ///< A GET that misses is followed by a SET of that key.
  bool preload = true;
  bool verify = true;

  // What is said.
  bool json = false;
  bool progress = false;

  [[nodiscard]] Keyspace::Options keyspace() const { return {keys, key_bytes, value_bytes, varying, seed}; }
  /// Of the longest message, for users of the links whose requests are not the engine's; 0: as follows from the above.
  std::uint32_t message_bytes = 0;

  /// Bytes of the longest message a request of ours makes, UDP frame header included.
  [[nodiscard]] std::uint32_t message_bytes_max() const;
};

struct ParseOutcome {
  bool run = false;   ///< Go on with the options.
  int exit_code = 0;  ///< Otherwise: leave with this...
  std::string text;   ///< ...after printing this (help to stdout when exit_code is 0, else one sentence to stderr).
};

/// `arguments` without the program's name. `tty`: stdout is a terminal, so progress is shown unless refused.
[[nodiscard]] ParseOutcome parse_options(const std::vector<std::string>& arguments, bool tty, Options& out);

}  // namespace gannet::load
