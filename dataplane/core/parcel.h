/// A request or an answer of a stream that cannot be handled where it lies: it belongs to another worker, came in
/// pieces, or waits for room towards its reader. A parcel belongs to the worker of the connection for good; it is lent
/// to one other worker at a time, which touches it between taking it from the ring and putting it back.
#pragma once

#include <array>
#include <cstdint>
#include <new>
#include <type_traits>

#include "dataplane/core/answer.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/memcache/binary.h"
#include "storage/base/bytes.h"
#include "storage/base/must.h"
#include "storage/store.h"

namespace gannet::dataplane {

struct Session;

/// What another worker is asked to do with a parcel.
enum class ParcelStep : std::uint8_t {
  kExecute,  ///< The whole request lies in `bytes`.
  kBegin,    ///< Header, extras and key lie in `bytes`: make room for the value.
  kFinish,   ///< The value lies in the room: store it.
  kAbandon,  ///< Give the room back. No answer.
  kFlush,    ///< A FLUSH on its round.
};

struct alignas(64) Parcel {
  enum class Source : std::uint8_t { kNone, kSegment, kStat };

  Parcel* next = nullptr;      ///< Behind it among its session's answers, or in the free list.
  Parcel* next_out = nullptr;  ///< Behind it in a queue of parcels going somewhere.
  Session* session = nullptr;  ///< Whose it is; nullptr: the connection is gone.
  std::uint8_t home = 0;       ///< The worker it belongs to.
  std::uint8_t keeper = 0;     ///< The worker that owns the key, and the segment or room named below.
  ParcelStep step = ParcelStep::kExecute;
  Source source = Source::kNone;
  bool away = false;   ///< Lent out. Read and written at home only.
  bool done = false;   ///< The answer is complete. Read and written at home only.
  bool held = false;   ///< Counts against kParcelsHeldMax. Read and written at home only.
  bool speaks = true;  ///< The answer is told.
  bool roomy = false;  ///< `room` is open in the keeper's shard.
  std::uint8_t latency_class = 0;
  std::uint32_t head_bytes = 0;  ///< Of the answer in `bytes`.
  std::uint32_t sent = 0;        ///< Of head and value together.
  std::uint32_t arrived = 0;     ///< Of the request in `bytes`, or of the value in the room.
  std::uint32_t pinned = 0;      ///< With kSegment the segment, with kStat the buffer.
  std::uint64_t received_ns = 0;
  Bytes value;                    ///< Of the answer, behind its head; empty when it lies in `bytes`.
  memcache::RequestView request;  ///< Points into `bytes`.
  storage::Reservation room;
  std::array<std::byte, kParcelBytes> bytes;
};

static_assert(std::is_trivially_destructible_v<Parcel>);

/// All parcels of one worker. Takes address space in the constructor; a parcel's pages are touched when it is first
/// used.
class ParcelPool {
 public:
  explicit ParcelPool(std::uint8_t home)
      : memory_(static_cast<std::byte*>(::operator new(sizeof(Parcel) * kParcels, kAlignment))), home_(home) {}
  ~ParcelPool() { ::operator delete(memory_, kAlignment); }
  ParcelPool(const ParcelPool&) = delete;
  ParcelPool& operator=(const ParcelPool&) = delete;

  [[nodiscard]] std::uint32_t free() const noexcept { return kParcels - used_; }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }
  [[nodiscard]] std::uint32_t held() const noexcept { return held_; }

  /// A clean parcel; nullptr when there is none. `held`: it will wait for a peer, and only so many may.
  [[nodiscard]] Parcel* take(Session* session, bool held) noexcept {
    if (free() == 0 || (held && held_ == kParcelsHeldMax)) return nullptr;
    Parcel* parcel = free_;
    if (parcel != nullptr) {
      free_ = parcel->next;
    } else {
      parcel = new (memory_ + sizeof(Parcel) * fresh_++) Parcel;
    }
    ++used_;
    if (held) ++held_;
    parcel->next = parcel->next_out = nullptr;
    parcel->session = session;
    parcel->home = home_;
    parcel->keeper = home_;
    parcel->step = ParcelStep::kExecute;
    parcel->source = Parcel::Source::kNone;
    parcel->away = parcel->done = parcel->roomy = false;
    parcel->held = held;
    parcel->speaks = true;
    parcel->latency_class = 0;
    parcel->head_bytes = parcel->sent = parcel->arrived = parcel->pinned = 0;
    parcel->value = {};
    return parcel;
  }
  /// What a travelling parcel became: one that waits for its reader. False: too many do.
  [[nodiscard]] bool hold(Parcel& parcel) noexcept {
    if (parcel.held) return true;
    if (held_ == kParcelsHeldMax) return false;
    parcel.held = true;
    ++held_;
    return true;
  }
  void give(Parcel& parcel) noexcept {
    MUST_EQ(parcel.home, home_);
    MUST(!parcel.away && !parcel.roomy && parcel.source == Parcel::Source::kNone);
    MUST_GT(used_, 0u);
    --used_;
    if (parcel.held) --held_;
    parcel.next = free_;
    free_ = &parcel;
  }

 private:
  static constexpr std::align_val_t kAlignment{alignof(Parcel)};
  std::byte* const memory_;
  Parcel* free_ = nullptr;
  std::uint32_t fresh_ = 0;  ///< Never used yet from here on.
  std::uint32_t used_ = 0, held_ = 0;
  const std::uint8_t home_;
};

/// A first-in first-out queue of parcels through next_out.
class ParcelQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] Parcel* first() const noexcept { return first_; }
  void push(Parcel& parcel) noexcept {
    parcel.next_out = nullptr;
    (first_ == nullptr ? first_ : last_->next_out) = &parcel;
    last_ = &parcel;
  }
  /// Needs: not empty.
  [[nodiscard]] Parcel& pop() noexcept {
    Parcel& parcel = *first_;
    first_ = parcel.next_out;
    return parcel;
  }

 private:
  Parcel *first_ = nullptr, *last_ = nullptr;
};

/// What goes through the ring between two workers: a parcel, or a pin of the receiver's shard that its borrower gives
/// back. One word: parcels lie at multiples of 64.
class StreamMessage {
 public:
  StreamMessage() = default;
  [[nodiscard]] static StreamMessage of(Parcel& parcel) noexcept {
    return StreamMessage(reinterpret_cast<std::uintptr_t>(&parcel));
  }
  [[nodiscard]] static StreamMessage unpin(std::uint32_t segment) noexcept {
    return StreamMessage(std::uint64_t{segment} << 1 | 1);
  }
  [[nodiscard]] bool is_unpin() const noexcept { return (word_ & 1) != 0; }
  [[nodiscard]] std::uint32_t segment() const noexcept { return static_cast<std::uint32_t>(word_ >> 1); }
  [[nodiscard]] Parcel& parcel() const noexcept { return *reinterpret_cast<Parcel*>(word_); }

 private:
  explicit StreamMessage(std::uint64_t word) noexcept : word_(word) {}
  std::uint64_t word_ = 0;
};
static_assert(sizeof(StreamMessage) == 8 && alignof(Parcel) == 64);

}  // namespace gannet::dataplane
