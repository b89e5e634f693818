/// A bounded single-producer single-consumer ring of small trivially copyable values, moved in bursts.
/// Memory order: the producer publishes with release on `tail_`, the consumer frees with release on `head_`; each side
/// keeps a stale copy of the other's counter on its own line, so that a burst costs one shared line at most.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "storage/base/must.h"

namespace gannet {

template <class T>
requires std::is_trivially_copyable_v<T>
class SpscRing {
 public:
  /// `slots`: a power of two, 2..2^31. Allocates here and nowhere else.
  explicit SpscRing(std::uint32_t slots) : mask_(slots - 1), slots_(std::make_unique<T[]>(slots)) {
    MUST(std::has_single_bit(slots) && slots >= 2);
  }

  /// Producer only. Copies as many of `values` as fit, in order; gives their number. Never waits.
  [[nodiscard]] std::uint32_t push(std::span<const T> values) noexcept {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    std::uint32_t room = slots() - (tail - head_seen_);
    if (room < values.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
      room = slots() - (tail - head_seen_);
    }
    const auto count = static_cast<std::uint32_t>(values.size() < room ? values.size() : room);
    for (std::uint32_t i = 0; i < count; ++i) slots_[(tail + i) & mask_] = values[i];
    tail_.store(tail + count, std::memory_order_release);
    return count;
  }

  /// Producer only: what push() takes for certain.
  [[nodiscard]] std::uint32_t room() noexcept {
    head_seen_ = head_.load(std::memory_order_acquire);
    return slots() - (tail_.load(std::memory_order_relaxed) - head_seen_);
  }

  /// Consumer only. Fills `out` from the front with what is there; gives the number. Never waits.
  [[nodiscard]] std::uint32_t pop(std::span<T> out) noexcept {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    std::uint32_t there = tail_seen_ - head;
    if (there < out.size()) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      there = tail_seen_ - head;
    }
    const auto count = static_cast<std::uint32_t>(out.size() < there ? out.size() : there);
    for (std::uint32_t i = 0; i < count; ++i) out[i] = slots_[(head + i) & mask_];
    head_.store(head + count, std::memory_order_release);
    return count;
  }

  /// Any thread; a moment's picture.
  [[nodiscard]] std::uint32_t size() const noexcept {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint32_t slots() const noexcept { return mask_ + 1; }

 private:
  const std::uint32_t mask_;
  const std::unique_ptr<T[]> slots_;
  alignas(128) std::atomic<std::uint32_t> tail_{0};  // Producer's lines.
  std::uint32_t head_seen_ = 0;
  alignas(128) std::atomic<std::uint32_t> head_{0};  // Consumer's lines.
  std::uint32_t tail_seen_ = 0;
};

}  // namespace gannet
