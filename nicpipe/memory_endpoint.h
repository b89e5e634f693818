/// An endpoint in plain memory, for tests and benchmarks: a pool of fixed buffers, a wire in, a wire out.
/// Deterministic: same calls, same frames. It keeps the books a device would not: buffers out, pins released, and with
/// the address sanitizer a freed buffer cannot be touched.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <vector>

#include "nicpipe/endpoint.h"
#include "nicpipe/packet.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe {

/// For vectors of packets. clang 14 takes libstdc++'s allocator for constant-evaluated in C++23, where it forgets about
/// alignment beyond 16.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) noexcept {}  // NOLINT: rebinding converts.

  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{alignof(T)}));
  }
  void deallocate(T* at, std::size_t) noexcept { ::operator delete (at, std::align_val_t{alignof(T)}); }
  friend bool operator==(const AlignedAllocator&, const AlignedAllocator&) = default;
};

/// Buffers of one size. Like a device's pool it may be given back to from any thread (a packet handed over is freed by
/// its new worker), so it locks: once per burst. Outlives every packet made from it.
class MemoryPool {
 public:
  struct Options {
    std::uint32_t buffers = 1024;
    std::uint16_t headroom = 128;     ///< Free bytes before data in a fresh buffer.
    std::uint16_t data_bytes = 2048;  ///< Bytes behind the headroom.
    bool scribble = true;             ///< Overwrite a buffer when it is given back, so that a late reader sees rubbish.
  };

  explicit MemoryPool(const Options& options);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// Fills packets from the front with empty buffers; gives how many.
  [[nodiscard]] std::uint32_t alloc(std::span<Packet> packets) noexcept;
  /// Takes packets of whichever pool back to their own pool. MUST: each is out, once. Their tails are the caller's
  /// affair.
  static void free(std::span<const Packet> packets) noexcept;

  [[nodiscard]] std::uint32_t buffers() const noexcept { return options_.buffers; }
  /// Buffers somebody holds. 0 at the end of every test.
  [[nodiscard]] std::uint32_t buffers_out() const noexcept;

 private:
  friend class MemoryEndpoint;
  struct Slot {
    MemoryPool* pool = nullptr;
    std::uint32_t index = 0;
    bool out = false;  ///< Changed under mutex_; its holder may read it.
  };

  const Options options_;
  const std::size_t stride_;  ///< From one buffer to the next, bytes.
  std::unique_ptr<std::byte[]> memory_;
  std::vector<Slot> slots_;
  mutable std::mutex mutex_;
  std::vector<std::uint32_t> free_;  ///< Guarded by mutex_. Last in, first out, as a warm pool is.
};

/// One queue. Driven by one thread, but for its pool.
class MemoryEndpoint {
 public:
  struct Options {
    Capabilities capabilities{.multi_segment = true};
    bool release_at_once =
        true;  ///< A tail is read, and its pin released, in tx_burst; else when complete_tx() is called.
  };

  /// A frame as the wire saw it: tail joined, checksums asked of the device filled in.
  using Frame = std::vector<std::byte>;

  MemoryEndpoint(MemoryPool& pool, const Options& options, ReleaseHook hook = {});
  ~MemoryEndpoint();
  MemoryEndpoint(const MemoryEndpoint&) = delete;
  MemoryEndpoint& operator=(const MemoryEndpoint&) = delete;

  // The contract (endpoint.h).
  [[nodiscard]] std::uint32_t rx_burst(std::span<Packet> packets, MonotonicNs now) noexcept;
  [[nodiscard]] std::uint32_t tx_burst(std::span<Packet> packets) noexcept;
  [[nodiscard]] std::uint32_t alloc(std::span<Packet> packets) noexcept { return pool_.alloc(packets); }
  void free(std::span<Packet> packets) noexcept;
  [[nodiscard]] const Capabilities& capabilities() const noexcept { return options_.capabilities; }

  // The other end of the wire.
  /// The frame will be received; `flags` is what the device says of it. Longer than a buffer: lost and counted in
  /// rx_lost(), as on a device.
  void deliver(Bytes frame, std::uint16_t flags = 0);
  /// Frames sent since the last call, oldest first.
  [[nodiscard]] std::vector<Frame> take_sent();
  /// tx_burst takes this many packets more, then none; kNoLimit again after the constructor.
  void tx_limit(std::uint32_t packets) noexcept { tx_limit_ = packets; }
  static constexpr std::uint32_t kNoLimit = ~std::uint32_t{0};
  /// With release_at_once off: the device reads and releases everything that was sent until now.
  void complete_tx();

  // The books.
  [[nodiscard]] std::uint64_t rx_frames() const noexcept { return rx_frames_; }
  [[nodiscard]] std::uint64_t rx_lost() const noexcept { return rx_lost_; }  ///< No buffer, or too long.
  [[nodiscard]] std::uint64_t tx_frames() const noexcept { return tx_frames_; }
  [[nodiscard]] std::uint64_t tails_sent() const noexcept { return tails_sent_; }
  [[nodiscard]] std::uint64_t pins_released() const noexcept { return pins_released_; }
  [[nodiscard]] std::size_t waiting() const noexcept { return wire_in_.size(); }  ///< Delivered, not yet received.

 private:
  struct Delivered {
    Frame bytes;
    std::uint16_t flags;
  };
  void release(const Packet& packet) noexcept;

  MemoryPool& pool_;
  const Options options_;
  const ReleaseHook hook_;
  std::deque<Delivered> wire_in_;
  std::vector<Frame> wire_out_;
  std::vector<Packet, AlignedAllocator<Packet>> sending_;  ///< Taken, not completed.
  std::uint32_t tx_limit_ = kNoLimit;
  std::uint64_t rx_frames_ = 0, rx_lost_ = 0, tx_frames_ = 0, tails_sent_ = 0, pins_released_ = 0;
};
static_assert(Endpoint<MemoryEndpoint>);

}  // namespace gannet::nicpipe
