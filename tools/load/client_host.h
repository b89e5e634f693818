/// What both wires of frames share: who we are, and how the target's MAC is found.
#pragma once

#include <cstdint>

#include "nicpipe/host.h"
#include "tools/load/options.h"

namespace gannet::load {

/// Flow k sends from source port kFlowPortFirst + k.
inline constexpr std::uint16_t kFlowPortFirst = 40'000;

/// A host at the address that the options give us, without what only one transport needs.
[[nodiscard]] inline nicpipe::HostConfig client_host(const Options& options, const nicpipe::Capabilities& capabilities,
                                                     nicpipe::Mac mac) {
  nicpipe::HostConfig config;
  config.mac = mac;
  config.address = {options.source};
  config.prefix_bits = static_cast<std::uint8_t>(options.source_bits);
  config.mtu = options.mtu;
  config.capabilities = capabilities;
  config.udp_port_first = kFlowPortFirst;
  return config;
}

/// Asks `endpoint`'s wire who has `target`, again each 50 ms, for `patience_ns`; `receive()` hands the host what came.
/// False: nobody answered.
template <nicpipe::Endpoint E, class Clock, class Receive>
[[nodiscard]] bool find_mac(nicpipe::Host& host, E& endpoint, nicpipe::Ipv4 target, Clock clock,
                            std::uint64_t patience_ns, Receive receive, nicpipe::Mac& mac) {
  constexpr MonotonicNs kAgainNs = 50'000'000;
  const MonotonicNs start = clock();
  for (MonotonicNs asked = 0; !host.neighbours().find(target, clock(), mac);) {
    const MonotonicNs now = clock();
    if (now - start > patience_ns) return false;
    if (asked == 0 || now - asked > kAgainNs) {
      asked = now;
      nicpipe::Packet packet;
      if (endpoint.alloc({&packet, 1}) == 1) {
        nicpipe::write_arp_request(packet, host.config().mac, host.config().address, target, 0);
        if (endpoint.tx_burst({&packet, 1}) == 0) endpoint.free({&packet, 1});
      }
    }
    receive();
  }
  return true;
}

}  // namespace gannet::load
