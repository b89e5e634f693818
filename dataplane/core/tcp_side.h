/// What TCP adds to a worker: an engine, the sessions over it, and the packets between the engine and the worker's
/// outbox.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "control/abi/counters.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/outbox.h"
#include "dataplane/core/stream.h"
#include "nicpipe/host.h"
#include "nicpipe/tcp/engine.h"

namespace gannet::dataplane {

/// How a worker serves TCP.
struct TcpOptions {
  std::uint16_t port = 0;                 ///< 0: no TCP.
  std::uint32_t connections_max = 1024;   ///< 1..2^20.
  std::uint32_t source_max = 0;           ///< Of one address; 0: no limit.
  std::uint32_t idle_s = 0;               ///< A connection without a byte for so long is reset; 0: never.
  nicpipe::tcp::Key isn_key, cookie_key;  ///< Random at every start, the same for all workers.
  const SaslUsers* users = nullptr;       ///< Outlives the worker; nullptr: everybody may speak.
};

template <class S>
struct TcpSide {
  using Engine = nicpipe::tcp::Engine;

  TcpSide(WorkerGroup& group, S& shard, const StreamOptions& options, nicpipe::tcp::Config config)
      : sink(kTcpSendPackets, kTcpSparePackets, kTcpFreePackets),
        streams(group, shard, options),
        engine(with_hooks(config, streams.pin_hooks())) {
    streams.attach(engine);
  }

  [[nodiscard]] static nicpipe::tcp::Config with_hooks(nicpipe::tcp::Config config,
                                                       const nicpipe::tcp::PinHooks& hooks) noexcept {
    config.pins = hooks;
    return config;
  }

  /// What the engine made goes where the worker's own packets go. True: there was something.
  bool hand_over(Outbox& out, std::uint32_t ports) noexcept {
    const std::span<nicpipe::Packet> sends = sink.to_send();
    const auto count = std::min(static_cast<std::uint32_t>(sends.size()), out.send_room(ports));
    for (const nicpipe::Packet& packet : sends.first(count)) out.send(packet);
    sink.sent(count);
    for (const nicpipe::Packet& packet : sink.to_free()) out.free(packet);
    const bool any = count > 0 || !sink.to_free().empty();
    sink.freed();
    return any;
  }

  nicpipe::tcp::Sink sink;
  Streams<S, Engine> streams;
  Engine engine;  ///< Dies first: it gives pins back to the streams.
};

/// The engine's part of a worker's configuration.
[[nodiscard]] inline nicpipe::tcp::Config engine_config(const TcpOptions& options,
                                                        std::span<const nicpipe::HostConfig> ports) noexcept {
  constexpr std::uint64_t kNsPerS = 1'000'000'000;
  nicpipe::tcp::Config config;
  config.interface_count = static_cast<std::uint32_t>(ports.size());
  for (std::size_t i = 0; i < ports.size(); ++i) {
    nicpipe::tcp::Interface& interface = config.interfaces[i];
    interface.mac = ports[i].mac;
    interface.address = ports[i].address;
    interface.address6 = ports[i].address6;
    interface.mtu = ports[i].mtu;
    interface.capabilities = ports[i].capabilities;
  }
  config.listen_ports[0] = options.port;
  config.listen_port_count = 1;
  config.connections_max = options.connections_max;
  config.half_open_max = std::min(options.connections_max / 2, kTcpHalfOpenMax);
  config.per_source_max = options.source_max;
  config.send_blocks = kTcpSendBlocks;
  config.receive_packets = kTcpReceivePackets;
  config.send_bytes_max = kTcpSendBytesMax;
  config.receive_bytes_max = kTcpReceiveBytesMax;
  config.rto_min_ns = kTcpRtoMinNs;
  config.idle_ns = options.idle_s * kNsPerS;
  config.isn_key = options.isn_key;
  config.cookie_key = options.cookie_key;
  return config;
}

/// The engine's figures go where everybody can read them.
void write_tcp_figures(const nicpipe::tcp::Engine& engine, std::uint32_t parcels, abi::WorkerCounters& counters,
                       abi::WorkerGauges& gauges) noexcept;

}  // namespace gannet::dataplane
