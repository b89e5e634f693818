/// How live configuration crosses from control to the workers: one writer, any readers, nobody waits, either may die in
/// between.
///
/// The newest generation g lies in slot g & 1; the other slot still holds g - 1 whole. The writer closes the older slot
/// (generation 0), writes its words, opens it with g + 1. A reader copies the words of the newest slot and looks at its
/// generation again: unchanged means the copy is whole, since every word is stored with release and loaded with
/// acquire, so a word of a newer generation cannot be seen without also seeing that the slot was closed. A control that
/// dies half-way leaves one closed slot and one good one.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "control/abi/shared.h"

namespace gannet::abi {

/// Generation that a worker should run with; 0: nothing was ever published.
[[nodiscard]] inline std::uint64_t newest_generation(const std::array<ConfigSlot, 2>& slots) noexcept {
  const std::uint64_t even = slots[0].generation.load(std::memory_order_acquire);
  const std::uint64_t odd = slots[1].generation.load(std::memory_order_acquire);
  return even > odd ? even : odd;
}

/// Publishes `config` and gives its generation, from 1. One writer at a time: control.
inline std::uint64_t publish_config(std::array<ConfigSlot, 2>& slots, const LiveConfig& config) noexcept {
  const std::uint64_t next = newest_generation(slots) + 1;
  ConfigSlot& slot = slots[next & 1];
  slot.generation.store(0, std::memory_order_release);
  const auto words = std::bit_cast<std::array<std::uint64_t, kLiveConfigWords>>(config);
  for (std::size_t i = 0; i < kLiveConfigWords; ++i) slot.words[i].store(words[i], std::memory_order_release);
  slot.generation.store(next, std::memory_order_release);
  return next;
}

/// Copies the newest configuration into `out` if it is newer than `generation`, and moves `generation` on. False:
/// nothing newer, or the writer was faster than this copy; `out` and `generation` are as before, ask again next turn.
/// Costs two loads when nothing is new.
[[nodiscard]] inline bool adopt_config(const std::array<ConfigSlot, 2>& slots, std::uint64_t& generation,
                                       LiveConfig& out) noexcept {
  const std::uint64_t newest = newest_generation(slots);
  if (newest <= generation) [[likely]]
    return false;
  const ConfigSlot& slot = slots[newest & 1];
  std::array<std::uint64_t, kLiveConfigWords> words{};
  for (std::size_t i = 0; i < kLiveConfigWords; ++i) words[i] = slot.words[i].load(std::memory_order_acquire);
  if (slot.generation.load(std::memory_order_acquire) != newest) return false;
  out = std::bit_cast<LiveConfig>(words);
  generation = newest;
  return true;
}

}  // namespace gannet::abi
