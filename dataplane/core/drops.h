/// The one table from nicpipe's reasons for dropping a frame to the counters of the shared file.
#pragma once

#include "control/abi/counters.h"
#include "nicpipe/host.h"

namespace gannet::dataplane {

[[nodiscard]] inline abi::Cell& drop_counter(abi::WorkerCounters& counters, nicpipe::Drop why) noexcept {
  using enum nicpipe::Drop;
  switch (why) {
    case kRunt:
      return counters.drop_runt;
    case kNotOurs:
      return counters.drop_not_ours;
    case kEthertype:
      return counters.drop_ethertype;
    case kIpHeader:
      return counters.drop_ip_header;
    case kIpChecksum:
      return counters.drop_ip_checksum;
    case kIpFragment:
      return counters.drop_ip_fragment;
    case kIpProtocol:
      return counters.drop_ip_protocol;
    case kUdpHeader:
      return counters.drop_udp_header;
    case kSourceRefused:
      return counters.drop_source_refused;
    case kSourceRate:
      return counters.drop_source_rate;
    case kUdpChecksum:
      return counters.drop_udp_checksum;
    case kUdpPort:
      return counters.drop_udp_port;
    case kArp:
      return counters.drop_arp;
    case kAddressConflict:
      return counters.drop_address_conflict;
    case kIp6Header:
      return counters.drop_ip6_header;
    case kIp6Extension:
      return counters.drop_ip6_extension;
    case kNdp:
      return counters.drop_ndp;
    case kIcmp:
      break;
  }
  return counters.drop_icmp;
}

}  // namespace gannet::dataplane
