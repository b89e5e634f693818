/// One turn of a worker with its I/O: what gannetd's loop, the tests and the benchmarks have in common.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "dataplane/core/limits.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/packet.h"
#include "storage/base/clock.h"

namespace gannet::dataplane {

/// Receives from `endpoints` (endpoint p is this worker's queue of port p), runs one turn, sends, frees and refills the
/// spares. True: something was done. `receives` false: the worker has no receive queue of its own and lives on what
/// others hand over.
template <class W, nicpipe::Endpoint E>
bool pump(W& worker, std::span<E* const> endpoints, Now now, bool receives = true) noexcept {
  constexpr std::uint32_t kBurst = kReceiveBurst;
  std::array<nicpipe::Packet, kBurst> packets;
  std::uint32_t received = 0;
  if (receives) {
    const std::uint32_t room = worker.rx_room();
    for (std::uint32_t port = 0; port < endpoints.size(); ++port) {
      const std::uint32_t most = std::min(room, kBurst) - received;
      if (most == 0) break;
      const std::uint32_t count = endpoints[port]->rx_burst(std::span(packets).subspan(received, most), now.mono_ns);
      for (std::uint32_t i = received; i < received + count; ++i) packets[i].port = static_cast<std::uint8_t>(port);
      received += count;
    }
  }
  const bool busy = worker.turn(std::span(packets).first(received), now);
  for (std::uint32_t port = 0; port < endpoints.size(); ++port) {
    if (const auto waiting = worker.to_send(port); !waiting.empty())
      worker.sent(endpoints[port]->tx_burst(waiting), port);
  }
  if (const auto gone = worker.to_free(); !gone.empty()) {
    endpoints[0]->free(gone);
    worker.freed();
  }
  constexpr int kRefills = 4;
  for (int refill = 0; refill < kRefills; ++refill) {
    const std::uint32_t wanted = std::min(worker.spares_wanted(), kBurst);
    if (wanted == 0) break;
    const std::uint32_t given = endpoints[0]->alloc(std::span(packets).first(wanted));
    worker.give_spares(std::span(packets).first(given));
    if (given < wanted) break;
  }
  return busy;
}

}  // namespace gannet::dataplane
