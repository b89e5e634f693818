/// The messages of one flow that wait for answers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "storage/base/must.h"
#include "tools/load/options.h"

namespace gannet::load {

struct Operation {
  std::uint32_t key = 0;
  bool get = true;
};

/// What is known about one message in flight.
struct Slot {
  std::uint64_t intended_ns = 0;  ///< When it should have been sent; latency counts from here.
  std::uint64_t sent_ns = 0;      ///< When it was; the timeout counts from here.
  std::uint32_t open = 0;         ///< Bit i: operation i is not answered yet. 0: the slot is free.
  std::uint16_t generation = 0;
  std::array<Operation, kBatchMax> operations;
  // An answer of several datagrams, put together as they come; only for messages of one request.
  std::vector<std::byte> assembly;
  std::uint64_t pieces = 0;  ///< Bit i: datagram i is there.
  std::uint32_t piece_bytes = 0, answer_bytes = 0;
};

/// An id names a slot and which use of it; it travels as the UDP request id, and in the opaque together with the
/// operation's place.
class Outstanding {
 public:
  explicit Outstanding(std::uint32_t depth) : bits_(static_cast<unsigned>(std::bit_width(depth - 1))), slots_(depth) {
    MUST(depth >= 1 && depth <= kDepthMax);
    free_.reserve(depth);
    for (std::uint32_t i = depth; i-- > 0;) free_.push_back(static_cast<std::uint16_t>(i));
  }

  [[nodiscard]] bool full() const noexcept { return free_.empty(); }
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(slots_.size() - free_.size());
  }

  /// Needs: !full(). The caller fills the operations and sets `open`.
  Slot& take(std::uint16_t& id) noexcept {
    const std::uint16_t index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[index];
    ++slot.generation;
    slot.pieces = 0;
    id = static_cast<std::uint16_t>(index | slot.generation << bits_);
    return slot;
  }

  /// The open slot with this id, or nullptr.
  [[nodiscard]] Slot* find(std::uint16_t id) noexcept {
    const std::uint32_t index = id & ((1u << bits_) - 1);
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    const auto expected = static_cast<std::uint16_t>(index | slot.generation << bits_);
    return slot.open != 0 && expected == id ? &slot : nullptr;
  }

  void release(Slot& slot) noexcept {
    slot.open = 0;
    free_.push_back(static_cast<std::uint16_t>(&slot - slots_.data()));
  }

  [[nodiscard]] std::vector<Slot>& slots() noexcept { return slots_; }

 private:
  unsigned bits_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;
};

}  // namespace gannet::load
