/// Where packets leave a worker: to the device of their port, back to its pool; and the empty ones it keeps for
/// answers. All bounded, all preallocated; the program empties it after each turn.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/core/limits.h"
#include "nicpipe/packet.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

class Outbox {
 public:
  Outbox()
      : free_(std::make_unique<nicpipe::Packet[]>(kFreePackets)),
        spares_(std::make_unique<nicpipe::Packet[]>(kSparePackets)) {
    for (auto& queue : send_) queue.packets = std::make_unique<nicpipe::Packet[]>(kSendPackets);
  }

  /// Packets that port `port` can still take; the least over all ports is what an unparsed frame may count on.
  [[nodiscard]] std::uint32_t send_room(std::uint32_t ports) const noexcept {
    std::uint32_t room = kSendPackets;
    for (std::uint32_t p = 0; p < ports; ++p) {
      const std::uint32_t left = kSendPackets - send_[p].count;
      room = left < room ? left : room;
    }
    return room;
  }
  /// Needs send_room. The packet is the device's once the program took it; until the end of the turn it can be finished
  /// where it is now. (Finished before, it would be copied while its fields are still on their way to the cache: a load
  /// wider than the stores before it waits for them.)
  nicpipe::Packet& send(const nicpipe::Packet& packet) noexcept {
    SendQueue& queue = send_[packet.port];
    MUST_LT(queue.count, kSendPackets);
    return queue.packets[queue.count++] = packet;
  }
  [[nodiscard]] std::span<nicpipe::Packet> to_send(std::uint32_t port) noexcept {
    return {send_[port].packets.get(), send_[port].count};
  }
  /// The first `count` of to_send(port) are gone; the others move up.
  void sent(std::uint32_t port, std::uint32_t count) noexcept {
    SendQueue& queue = send_[port];
    MUST_LE(count, queue.count);
    queue.count -= count;
    if (queue.count > 0 && count > 0) {
      for (std::uint32_t i = 0; i < queue.count; ++i) queue.packets[i] = queue.packets[i + count];
    }
  }

  void free(const nicpipe::Packet& packet) noexcept {
    MUST_LT(free_count_, kFreePackets);
    free_[free_count_++] = packet;
  }
  [[nodiscard]] std::span<nicpipe::Packet> to_free() noexcept { return {free_.get(), free_count_}; }
  void freed() noexcept { free_count_ = 0; }

  [[nodiscard]] std::uint32_t spares() const noexcept { return spare_count_; }
  void put_spare(const nicpipe::Packet& packet) noexcept {
    MUST_LT(spare_count_, kSparePackets);
    spares_[spare_count_++] = packet;
  }
  /// Needs spares() > 0.
  [[nodiscard]] nicpipe::Packet take_spare() noexcept {
    MUST_GT(spare_count_, 0u);
    return spares_[--spare_count_];
  }

 private:
  struct SendQueue {
    std::unique_ptr<nicpipe::Packet[]> packets;
    std::uint32_t count = 0;
  };
  /// A turn frees at most what it took in: received, taken over and the backlog; and what TCP had kept.
  static constexpr std::uint32_t kFreePackets = 2 * kBacklogPackets + kTakeoverBurst * kWorkersMax + kSparePackets +
                                                kMixedMax + kTcpFreePackets + kTcpSendPackets;

  std::array<SendQueue, kPortsMax> send_;
  std::unique_ptr<nicpipe::Packet[]> free_, spares_;
  std::uint32_t free_count_ = 0, spare_count_ = 0;
};

}  // namespace gannet::dataplane
