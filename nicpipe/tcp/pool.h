/// A fixed number of equal things, named by index, taken and given back in any order. T has a member `next`, which the
/// pool uses while the thing is free and its holder afterwards.
#pragma once

#include <cstdint>
#include <memory>

#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

inline constexpr std::uint32_t kNone = ~std::uint32_t{0};

template <class T>
class Pool {
 public:
  /// Allocates here and nowhere else.
  explicit Pool(std::uint32_t count) : items_(std::make_unique<T[]>(count)), count_(count), left_(count) {
    for (std::uint32_t i = 0; i < count; ++i) items_[i].next = i + 1 < count ? i + 1 : kNone;
    free_ = count > 0 ? 0 : kNone;
  }

  /// kNone when there is none left. What it holds is what its last holder left.
  [[nodiscard]] std::uint32_t take() noexcept {
    const std::uint32_t index = free_;
    if (index != kNone) {
      free_ = items_[index].next;
      --left_;
    }
    return index;
  }
  void give(std::uint32_t index) noexcept {
    MUST_LT(index, count_);
    items_[index].next = free_;
    free_ = index;
    ++left_;
    MUST_LE(left_, count_);
  }
  [[nodiscard]] T& operator[](std::uint32_t index) noexcept { return items_[index]; }
  [[nodiscard]] const T& operator[](std::uint32_t index) const noexcept { return items_[index]; }
  [[nodiscard]] std::uint32_t left() const noexcept { return left_; }
  [[nodiscard]] std::uint32_t used() const noexcept { return count_ - left_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return std::uint64_t{count_} * sizeof(T); }

 private:
  const std::unique_ptr<T[]> items_;
  const std::uint32_t count_;
  std::uint32_t left_, free_ = kNone;
};

}  // namespace gannet::nicpipe::tcp
