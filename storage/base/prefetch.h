/// Asking for a cache line ahead of its use.
#pragma once

#include <cstddef>

namespace gannet {

/// Asks for the line at `at` for reading; any address will do. Not __builtin_prefetch: g++ 12 takes a function that
/// only prefetches for pure, and drops the calls of it whole where it did not inline them early. It did so to the
/// second stage of a lookup, and that one was four times slower in memory than it is.
[[gnu::always_inline]] inline void prefetch_line(const void* at) noexcept {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(at)));
}

/// For a walk through memory: asks for its lines some distance ahead of it. The machine's own prefetchers stop at each
/// page of 4 KiB, and where the next item is follows from the one before.
class PrefetchAhead {
 public:
  static constexpr std::size_t kBytes = 1024;
  explicit PrefetchAhead(const std::byte* from) noexcept : next_(from) {}
  /// The walk is at `at`.
  [[gnu::always_inline]] void reach(const std::byte* at) noexcept {
    for (; next_ < at + kBytes; next_ += 64) prefetch_line(next_);
  }

 private:
  const std::byte* next_;
};

}  // namespace gannet
