/// The one table from nicpipe's reasons for dropping a frame to the counters of the shared file.
#pragma once

#include <array>
#include <cstddef>

#include "control/abi/counters.h"
#include "nicpipe/host.h"

namespace gannet::dataplane {

[[nodiscard]] inline abi::Cell& drop_counter(abi::WorkerCounters& counters, nicpipe::Drop why) noexcept {
  using Counters = abi::WorkerCounters;
  // In the order of nicpipe::Drop.
  static constexpr std::array<abi::Cell Counters::*, nicpipe::kDrops> kCells = {
      &Counters::drop_runt,        &Counters::drop_not_ours,       &Counters::drop_ethertype,
      &Counters::drop_ip_header,   &Counters::drop_ip_checksum,    &Counters::drop_ip_fragment,
      &Counters::drop_ip_protocol, &Counters::drop_udp_header,     &Counters::drop_udp_checksum,
      &Counters::drop_udp_port,    &Counters::drop_source_refused, &Counters::drop_arp,
      &Counters::drop_icmp};
  static_assert(static_cast<std::size_t>(nicpipe::Drop::kIcmp) + 1 == nicpipe::kDrops &&
                kCells.back() == &Counters::drop_icmp);
  return counters.*kCells[static_cast<std::size_t>(why)];
}

}  // namespace gannet::dataplane
