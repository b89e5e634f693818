/// What each source has of us: connections, and blocks that wait for its acknowledgements. A bounded open table, keyed
/// like the connections' own.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>

#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/keyed_hash.h"
#include "nicpipe/tcp/pool.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

/// One address; of IPv6 one /64, because a host has that to choose from.
struct Source {
  IpAddress who;
  std::uint32_t connections = 0;
  std::uint32_t blocks = 0;  ///< Held by its connections, the first of each not counted.
  std::uint32_t next = kNone;
};

class SourceTable {
 public:
  /// `connections`: most that can be counted at once; `limit` each source may have, 0: any number.
  SourceTable(std::uint32_t connections, std::uint32_t limit, const Key& key)
      : limit_(limit),
        mask_(std::bit_ceil(2 * std::max(connections, 8u)) - 1),
        key_(key),
        sources_(connections),
        slots_(std::make_unique<std::uint32_t[]>(mask_ + 1)) {
    std::fill_n(slots_.get(), mask_ + 1, kNone);
  }

  /// The connection's source, to be named until remove(). kNone: it has its limit already, or there is no room for one
  /// more; not counted.
  [[nodiscard]] std::uint32_t add(const IpAddress& address) noexcept {
    const IpAddress who = group_of(address);
    std::uint32_t at = home(who);
    while (slots_[at] != kNone && sources_[slots_[at]].who != who) at = (at + 1) & mask_;
    if (slots_[at] == kNone) {
      const std::uint32_t fresh = sources_.take();
      if (fresh == kNone) return kNone;
      slots_[at] = fresh;
      sources_[fresh] = Source{};
      sources_[fresh].who = who;
    }
    Source& source = sources_[slots_[at]];
    if (limit_ != 0 && source.connections >= limit_) return kNone;
    ++source.connections;
    return slots_[at];
  }
  /// Needs: given by add(), and no block of the connection's is counted any more.
  void remove(std::uint32_t index) noexcept {
    Source& source = sources_[index];
    MUST_GT(source.connections, 0u);
    if (--source.connections != 0) return;
    MUST_EQ(source.blocks, 0u);
    std::uint32_t hole = home(source.who);
    while (slots_[hole] != index) hole = (hole + 1) & mask_;
    sources_.give(index);
    slots_[hole] = kNone;
    // Whoever was pushed past the hole moves up (linear probing without tombstones).
    for (std::uint32_t next = (hole + 1) & mask_; slots_[next] != kNone; next = (next + 1) & mask_) {
      if (((next - home(sources_[slots_[next]].who)) & mask_) < ((next - hole) & mask_)) continue;
      slots_[hole] = slots_[next];
      slots_[next] = kNone;
      hole = next;
    }
  }
  [[nodiscard]] Source& operator[](std::uint32_t index) noexcept { return sources_[index]; }
  [[nodiscard]] const Source& operator[](std::uint32_t index) const noexcept { return sources_[index]; }
  [[nodiscard]] std::uint32_t used() const noexcept { return sources_.used(); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return sources_.bytes() + std::uint64_t{mask_ + 1} * 4; }

 private:
  [[nodiscard]] static IpAddress group_of(const IpAddress& source) noexcept {
    return source.is_v4() ? source : IpAddress{source.high, 0};
  }
  [[nodiscard]] std::uint32_t home(const IpAddress& who) const noexcept {
    return static_cast<std::uint32_t>(sip_hash(key_, {who.high, who.low})) & mask_;
  }

  const std::uint32_t limit_, mask_;
  const Key key_;
  Pool<Source> sources_;
  const std::unique_ptr<std::uint32_t[]> slots_;
};

}  // namespace gannet::nicpipe::tcp
