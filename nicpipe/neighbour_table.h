/// Who has which MAC on our subnet: a small bounded table, for IPv4 addresses (fed by ARP) and for IPv6 ones (fed by
/// neighbour discovery).
#pragma once

#include <array>
#include <cstdint>

#include "nicpipe/address.h"
#include "nicpipe/ip_address.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe {

inline constexpr MonotonicNs kNeighbourLifeNs =
    300'000'000'000;  ///< An entry that nobody confirmed for five minutes is not believed.

/// A fixed table of kSets sets of kWays entries, the set chosen by the address. A full set gives up the entry confirmed
/// longest ago, so that a flood of invented neighbours can push out at most the entries it shares sets with, and memory
/// never grows. One thread.
template <class Address>
class NeighbourTable {
 public:
  static constexpr std::size_t kSets = 64, kWays = 4;

  /// `address` has `mac` now. `add` false: only if the address is known already (RFC 826's merge step, for ARP that is
  /// not for us; RFC 4861 section 7.2.5, for advertisements nobody asked for).
  void learn(const Address& address, Mac mac, MonotonicNs now, bool add) noexcept {
    auto& set = sets_[set_of(address)];
    Entry* victim = nullptr;
    for (Entry& entry : set) {
      if (entry.address == address) {
        entry.mac = mac;
        entry.confirmed_ns = now;
        return;
      }
      if (victim == nullptr || entry.confirmed_ns < victim->confirmed_ns) victim = &entry;
    }
    if (add) *victim = {address, mac, now};
  }

  /// False, `out` untouched: not known, or not confirmed for kNeighbourLifeNs.
  [[nodiscard]] bool find(const Address& address, MonotonicNs now, Mac& out) const noexcept {
    for (const Entry& entry : sets_[set_of(address)]) {
      if (entry.address != address || address.is_zero() || now - entry.confirmed_ns >= kNeighbourLifeNs) continue;
      out = entry.mac;
      return true;
    }
    return false;
  }

  /// Entries still believed; walks the table.
  [[nodiscard]] std::size_t size(MonotonicNs now) const noexcept {
    std::size_t count = 0;
    for (const auto& set : sets_)
      for (const Entry& entry : set) count += !entry.address.is_zero() && now - entry.confirmed_ns < kNeighbourLifeNs;
    return count;
  }

 private:
  struct Entry {
    Address address;  ///< 0: empty.
    Mac mac;
    MonotonicNs confirmed_ns = 0;
  };

  [[nodiscard]] static std::size_t set_of(Ipv4 address) noexcept {
    return static_cast<std::size_t>(address.value * 0x9e3779b1u >> 26) % kSets;
  }
  [[nodiscard]] static std::size_t set_of(const IpAddress& address) noexcept {
    return static_cast<std::size_t>((address.high * 0xff51afd7ed558ccdu ^ address.low) * 0x9e3779b97f4a7c15u >> 58) %
           kSets;
  }

  std::array<std::array<Entry, kWays>, kSets> sets_{};
};

}  // namespace gannet::nicpipe
