/// Who has which MAC on our subnet: a small bounded table, fed by ARP seen, and the two ARP frames that we start
/// ourselves.
#pragma once

#include <array>
#include <cstdint>

#include "nicpipe/address.h"
#include "nicpipe/packet.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe {

inline constexpr MonotonicNs kNeighbourLifeNs =
    300'000'000'000;  ///< An entry that nobody confirmed for five minutes is not believed.

/// A fixed table of kSets sets of kWays entries, the set chosen by the address. A full set gives up the entry confirmed
/// longest ago, so that a flood of invented neighbours can push out at most the entries it shares sets with, and memory
/// never grows. One thread.
class ArpTable {
 public:
  static constexpr std::size_t kSets = 64, kWays = 4;

  /// `address` has `mac` now. `add` false: only if the address is known already (RFC 826's merge step, for ARP that is
  /// not for us).
  void learn(Ipv4 address, Mac mac, MonotonicNs now, bool add) noexcept;

  /// False, `out` untouched: not known, or not confirmed for kNeighbourLifeNs.
  [[nodiscard]] bool find(Ipv4 address, MonotonicNs now, Mac& out) const noexcept;

  /// Entries still believed; walks the table.
  [[nodiscard]] std::size_t size(MonotonicNs now) const noexcept;

 private:
  struct Entry {
    Ipv4 address;  ///< 0: empty.
    Mac mac;
    MonotonicNs confirmed_ns = 0;
  };
  [[nodiscard]] static std::size_t set_of(Ipv4 address) noexcept;

  std::array<std::array<Entry, kWays>, kSets> sets_{};
};

/// Bytes of an ARP frame: 42, or 46 with a VLAN tag. Shorter than Ethernet's 60: devices pad.
[[nodiscard]] std::size_t arp_frame_bytes(bool has_vlan) noexcept;

/// Turns an empty packet (alloc) into "I am `address`, at `mac`" to everybody: sent at start so that switches and
/// neighbours forget whoever had the address before (RFC 5227 section 3, the request form). `vlan` 0: untagged. MUST:
/// the buffer has room.
void write_gratuitous_arp(Packet& packet, Mac mac, Ipv4 address, std::uint16_t vlan) noexcept;

/// Turns an empty packet into the question who has `target`. The answer comes to Host::receive and ends up in its
/// neighbours().
void write_arp_request(Packet& packet, Mac mac, Ipv4 address, Ipv4 target, std::uint16_t vlan) noexcept;

}  // namespace gannet::nicpipe
