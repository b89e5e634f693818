/// How many connections each source has: a bounded open table, keyed like the connections' own.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>

#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/keyed_hash.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

class SourceTable {
 public:
  /// `connections`: most that can be counted at once; `limit` each source may have, 0: nothing is counted.
  SourceTable(std::uint32_t connections, std::uint32_t limit, const Key& key)
      : limit_(limit),
        mask_(limit == 0 ? 0 : std::bit_ceil(2 * std::max(connections, 8u)) - 1),
        key_(key),
        slots_(std::make_unique<Slot[]>(mask_ + 1)) {}

  /// False: it has its limit already, and is not counted.
  [[nodiscard]] bool add(const IpAddress& source) noexcept {
    if (limit_ == 0) return true;
    const IpAddress who = group_of(source);
    std::uint32_t at = home(who);
    while (slots_[at].count != 0 && slots_[at].who != who) at = (at + 1) & mask_;
    if (slots_[at].count >= limit_) return false;
    slots_[at].who = who;
    ++slots_[at].count;
    return true;
  }
  /// Needs: counted by add().
  void remove(const IpAddress& source) noexcept {
    if (limit_ == 0) return;
    const IpAddress who = group_of(source);
    std::uint32_t at = home(who);
    while (slots_[at].who != who || slots_[at].count == 0) {
      MUST_NE(slots_[at].count, 0u);
      at = (at + 1) & mask_;
    }
    if (--slots_[at].count != 0) return;
    // Close the hole: whoever was pushed past it moves up (linear probing without tombstones).
    std::uint32_t hole = at;
    for (std::uint32_t next = (hole + 1) & mask_; slots_[next].count != 0; next = (next + 1) & mask_) {
      if (((next - home(slots_[next].who)) & mask_) < ((next - hole) & mask_)) continue;
      slots_[hole] = slots_[next];
      slots_[next].count = 0;
      hole = next;
    }
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{mask_ + 1} * sizeof(Slot); }

 private:
  struct Slot {
    IpAddress who;
    std::uint32_t count = 0;
  };
  /// An IPv6 host has a /64 to choose addresses from.
  [[nodiscard]] static IpAddress group_of(const IpAddress& source) noexcept {
    return source.is_v4() ? source : IpAddress{source.high, 0};
  }
  [[nodiscard]] std::uint32_t home(const IpAddress& who) const noexcept {
    return static_cast<std::uint32_t>(sip_hash(key_, {who.high, who.low})) & mask_;
  }

  const std::uint32_t limit_, mask_;
  const Key key_;
  const std::unique_ptr<Slot[]> slots_;
};

}  // namespace gannet::nicpipe::tcp
