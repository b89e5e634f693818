/// Deadlines of many things, each named by an index and with one deadline at a time. Six levels of 256 slots; a tick is
/// 2^16 ns (65.5 us). Setting and clearing is O(1); a thing moves down at most once a level. No allocation after the
/// constructor.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>

#include "nicpipe/tcp/pool.h"
#include "storage/base/clock.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

class TimerWheel {
 public:
  static constexpr unsigned kTickShift = 16;
  static constexpr MonotonicNs kNever = ~MonotonicNs{0};

  explicit TimerWheel(std::uint32_t things) : links_(std::make_unique<Link[]>(things)) {
    for (auto& level : heads_) level.fill(kNone);
  }

  /// `thing` is due at `deadline` instead of whatever was set before; rounded up to the tick, so never early. A
  /// deadline in the past is due at the next expire().
  void set(std::uint32_t thing, MonotonicNs deadline) noexcept {
    clear(thing);
    std::uint64_t at = (deadline >> kTickShift) + 1;
    if (at < now_) at = now_;
    links_[thing].at = at;
    insert(thing);
  }
  /// The same, unless it is due earlier already: whoever is told too early looks at its own clock.
  void set_earlier(std::uint32_t thing, MonotonicNs deadline) noexcept {
    if (links_[thing].slot == kNoSlot || links_[thing].at > (deadline >> kTickShift) + 1) set(thing, deadline);
  }
  void clear(std::uint32_t thing) noexcept {
    if (links_[thing].slot != kNoSlot) remove(thing);
  }
  /// kNever: not set.
  [[nodiscard]] MonotonicNs deadline(std::uint32_t thing) const noexcept {
    return links_[thing].slot == kNoSlot ? kNever : links_[thing].at << kTickShift;
  }

  /// A thing that is due at `now`, no longer set; kNone when there is none left. `now` never runs backwards.
  [[nodiscard]] std::uint32_t expire(MonotonicNs now) noexcept {
    const std::uint64_t target = now >> kTickShift;
    while (now_ <= target) {
      unsigned level = 0;
      std::uint64_t start = 0;
      if (!first_used(level, start) || start > target) {
        now_ = target;
        return kNone;
      }
      now_ = start > now_ ? start : now_;
      const std::uint32_t slot = static_cast<std::uint32_t>(start >> 8 * level) & 255;
      if (level == 0) {
        const std::uint32_t thing = heads_[0][slot];
        remove(thing);
        return thing;
      }
      for (std::uint32_t thing = heads_[level][slot]; thing != kNone; thing = heads_[level][slot]) {
        remove(thing);
        insert(thing);  // Now lower: it shares this level's digit with now_.
      }
    }
    return kNone;
  }

  /// When expire() has work at the latest; may be early, never late. kNever: nothing is set.
  [[nodiscard]] MonotonicNs next() const noexcept {
    unsigned level = 0;
    std::uint64_t start = 0;
    return first_used(level, start) ? start << kTickShift : kNever;
  }

  static constexpr std::uint64_t bytes_each() noexcept { return sizeof(Link); }

 private:
  static constexpr unsigned kLevels = 6;  // 48 bits of ticks: all of a MonotonicNs.
  static constexpr std::uint16_t kNoSlot = 0xffff;
  struct Link {
    std::uint64_t at = 0;  ///< Tick.
    std::uint32_t next = kNone, previous = kNone;
    std::uint16_t slot = kNoSlot;  ///< level * 256 + slot.
  };

  /// The level is the highest digit in which `at` differs from now: that slot lies ahead of now's on its level.
  void insert(std::uint32_t thing) noexcept {
    Link& link = links_[thing];
    const std::uint64_t differs = link.at ^ now_;
    const unsigned level = differs == 0 ? 0 : static_cast<unsigned>(63 - std::countl_zero(differs)) / 8;
    MUST_LT(level, kLevels);
    const std::uint32_t slot = static_cast<std::uint32_t>(link.at >> 8 * level) & 255;
    link.slot = static_cast<std::uint16_t>(level * 256 + slot);
    link.previous = kNone;
    link.next = heads_[level][slot];
    if (link.next != kNone) links_[link.next].previous = thing;
    heads_[level][slot] = thing;
    used_[level][slot / 64] |= std::uint64_t{1} << slot % 64;
  }
  void remove(std::uint32_t thing) noexcept {
    Link& link = links_[thing];
    const unsigned level = link.slot / 256, slot = link.slot % 256;
    if (link.next != kNone) links_[link.next].previous = link.previous;
    if (link.previous != kNone) {
      links_[link.previous].next = link.next;
    } else {
      heads_[level][slot] = link.next;
      if (link.next == kNone) used_[level][slot / 64] &= ~(std::uint64_t{1} << slot % 64);
    }
    link.slot = kNoSlot;
  }
  /// The used slot that comes first, and the tick it begins at. Lower levels come before higher ones.
  [[nodiscard]] bool first_used(unsigned& level, std::uint64_t& start) const noexcept {
    for (level = 0; level < kLevels; ++level) {
      const std::uint32_t from = static_cast<std::uint32_t>(now_ >> 8 * level) & 255;
      for (std::uint32_t word = from / 64; word < 4; ++word) {
        std::uint64_t bits = used_[level][word];
        if (word == from / 64) bits &= ~std::uint64_t{0} << from % 64;
        if (bits == 0) continue;
        const std::uint64_t slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        const std::uint64_t above = now_ >> 8 * (level + 1) << 8 * (level + 1);
        start = above | slot << 8 * level;
        return true;
      }
    }
    return false;
  }

  std::uint64_t now_ = 0;  ///< Tick.
  std::array<std::array<std::uint32_t, 256>, kLevels> heads_;
  std::array<std::array<std::uint64_t, 4>, kLevels> used_{};
  const std::unique_ptr<Link[]> links_;
};

}  // namespace gannet::nicpipe::tcp
