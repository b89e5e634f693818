/// Datagrams that wait for their requests to be executed, oldest first. A packet stays at its place until it leaves, so
/// pointers into it hold.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/core/limits.h"
#include "nicpipe/packet.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

class Backlog {
 public:
  Backlog() : packets_(std::make_unique<nicpipe::Packet[]>(kBacklogPackets)) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return tail_ - head_; }
  [[nodiscard]] std::uint32_t room() const noexcept { return kBacklogPackets - size(); }
  /// Needs room(). A frame is judged where it is put, not copied once its fields are filled in: see Outbox::send.
  nicpipe::Packet& push(const nicpipe::Packet& packet) noexcept {
    MUST_LT(size(), kBacklogPackets);
    return packets_[tail_++ % kBacklogPackets] = packet;
  }
  /// The packet pushed last does not stay. It is there to be read until the next push.
  void take_back() noexcept {
    MUST_GT(size(), 0u);
    --tail_;
  }
  /// The `nth` oldest; nth < size().
  [[nodiscard]] nicpipe::Packet& at(std::uint32_t nth) noexcept { return packets_[(head_ + nth) % kBacklogPackets]; }
  void pop(std::uint32_t count) noexcept {
    MUST_LE(count, size());
    head_ += count;
  }

 private:
  std::unique_ptr<nicpipe::Packet[]> packets_;
  std::uint32_t head_ = 0, tail_ = 0;
};

}  // namespace gannet::dataplane
