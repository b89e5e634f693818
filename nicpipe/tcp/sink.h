/// Where an engine puts packets: to be sent, to be freed; and where it gets empty ones. Plain bounded arrays that the
/// caller fills before and empties after each call or each turn.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "nicpipe/packet.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

class Sink {
 public:
  /// Allocates here and nowhere else. `sends`: packets that may wait to be sent, 4 at least or no timer ever finds
  /// room; `spares`: empty ones kept; `frees`:
  /// at least what one turn takes in plus what receive_packets of the engine allow to come free at once.
  Sink(std::uint32_t sends, std::uint32_t spares, std::uint32_t frees)
      : sends_max_(sends),
        spares_max_(spares),
        frees_max_(frees),
        packets_(std::make_unique<Packet[]>(std::size_t{sends} + spares + frees)),
        sends_(packets_.get()),
        spares_(sends_ + sends),
        frees_(spares_ + spares) {}

  // The engine's side.
  /// Packets that could be sent now: the lesser of empty ones and room to send.
  [[nodiscard]] std::uint32_t room() const noexcept {
    const std::uint32_t left = sends_max_ - send_count_;
    return spare_count_ < left ? spare_count_ : left;
  }
  /// An empty packet (data at the headroom, bytes 0). Needs room() > 0.
  [[nodiscard]] Packet take_packet() noexcept {
    MUST_GT(spare_count_, 0u);
    return spares_[--spare_count_];
  }
  /// To the device of packet.port. The packet is the caller's now.
  void send(const Packet& packet) noexcept {
    MUST_LT(send_count_, sends_max_);
    sends_[send_count_++] = packet;
  }
  /// take_packet() and send() in one: the packet is finished where it will be read. Until finish_send() nothing has
  /// happened. Needs room() > 0.
  [[nodiscard]] Packet& begin_send() noexcept {
    MUST_GT(spare_count_, 0u);
    MUST_LT(send_count_, sends_max_);
    return sends_[send_count_] = spares_[spare_count_ - 1];
  }
  void finish_send() noexcept {
    --spare_count_;
    ++send_count_;
  }
  /// Back to its pool.
  void free(const Packet& packet) noexcept {
    MUST_LT(free_count_, frees_max_);
    frees_[free_count_++] = packet;
  }
  [[nodiscard]] std::uint32_t free_room() const noexcept { return frees_max_ - free_count_; }

  // The caller's side.
  [[nodiscard]] std::uint32_t spares_wanted() const noexcept { return spares_max_ - spare_count_; }
  /// Needs spares_wanted() > 0. Multi-port machines share one pool, or the packet could not leave by any port.
  void put_spare(const Packet& packet) noexcept {
    MUST_LT(spare_count_, spares_max_);
    spares_[spare_count_++] = packet;
  }
  [[nodiscard]] std::span<Packet> to_send() noexcept { return {sends_, send_count_}; }
  /// The first `count` of to_send() are gone; the others move up.
  void sent(std::uint32_t count) noexcept {
    MUST_LE(count, send_count_);
    send_count_ -= count;
    if (count > 0)
      for (std::uint32_t i = 0; i < send_count_; ++i) sends_[i] = sends_[i + count];
  }
  [[nodiscard]] std::span<Packet> to_free() noexcept { return {frees_, free_count_}; }
  void freed() noexcept { free_count_ = 0; }

 private:
  const std::uint32_t sends_max_, spares_max_, frees_max_;
  const std::unique_ptr<Packet[]> packets_;
  Packet *const sends_, *const spares_, *const frees_;
  std::uint32_t send_count_ = 0, spare_count_ = 0, free_count_ = 0;
};

}  // namespace gannet::nicpipe::tcp
