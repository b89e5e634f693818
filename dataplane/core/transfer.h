/// Answers longer than one datagram: a bounded table of messages that leave over several turns, and the buffers of STAT
/// answers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/core/answer.h"
#include "dataplane/core/limits.h"
#include "nicpipe/udp.h"
#include "storage/base/bytes.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

struct Errand;
struct Mixed;

/// One message under way: `head` then `value`, cut into datagrams. The value stays where it is until the last datagram
/// was made: a pin of the transfer's own on its segment, a STAT buffer, or an errand that is back and not finished.
struct Transfer {
  enum class Source : std::uint8_t { kSegment, kStat, kErrand };

  nicpipe::UdpFlow flow;
  std::uint16_t request_id = 0;  ///< As it lay in the request.
  std::uint16_t total = 0;       ///< Datagrams.
  std::uint16_t next = 0;        ///< Sequence of the next one.
  std::uint8_t port = 0;
  Source source = Source::kSegment;
  std::uint32_t held = 0;  ///< The segment pinned, or the index of the STAT buffer.
  std::uint32_t head_bytes = 0;
  Bytes value;
  std::array<std::byte, kAnswerHeadBytesMax> head;
  /// The datagram that holds further requests: they wait, because datagrams of two answers with one request id must not
  /// mix.
  nicpipe::Packet parked;
  bool has_parked = false;
  /// Or it is this one that waits.
  Mixed* mixed = nullptr;
  Errand* errand = nullptr;  ///< Of Source::kErrand.

  [[nodiscard]] std::uint64_t message_bytes() const noexcept { return head_bytes + value.size(); }
};

class TransferTable {
 public:
  TransferTable()
      : transfers_(std::make_unique<Transfer[]>(kTransfersMax)),
        stat_bytes_(std::make_unique_for_overwrite<std::byte[]>(kStatBuffers * kStatBytes)) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return count_; }
  [[nodiscard]] bool full() const noexcept { return count_ == kTransfersMax; }
  /// A new entry at the end. Needs: not full.
  [[nodiscard]] Transfer& add() noexcept {
    MUST(!full());
    return transfers_[(first_ + count_++) % kTransfersMax];
  }
  /// Needs size() > 0.
  [[nodiscard]] Transfer& oldest() noexcept { return transfers_[first_]; }
  void remove_oldest() noexcept {
    MUST_GT(count_, 0u);
    first_ = (first_ + 1) % kTransfersMax;
    --count_;
  }

  /// A free STAT buffer of kStatBytes; false: all are in use.
  [[nodiscard]] bool take_stat_buffer(std::uint32_t& index) noexcept {
    for (std::uint32_t i = 0; i < kStatBuffers; ++i) {
      if (stat_used_[i]) continue;
      stat_used_[i] = true;
      index = i;
      return true;
    }
    return false;
  }
  [[nodiscard]] MutableBytes stat_buffer(std::uint32_t index) noexcept {
    return {stat_bytes_.get() + index * kStatBytes, kStatBytes};
  }
  void give_stat_buffer(std::uint32_t index) noexcept {
    MUST(stat_used_[index]);
    stat_used_[index] = false;
  }

 private:
  std::unique_ptr<Transfer[]> transfers_;
  std::unique_ptr<std::byte[]> stat_bytes_;
  std::uint32_t first_ = 0, count_ = 0;  ///< A ring, oldest first.
  std::array<bool, kStatBuffers> stat_used_{};
};

}  // namespace gannet::dataplane
