/// Streams: answers in the order they were asked. One that can be written at once goes straight into the engine; one
/// that is behind another, or finds no room, waits in a parcel.
#pragma once

#include <cstring>

#include "dataplane/core/executor.h"
#include "dataplane/core/stream.h"
#include "storage/base/copy.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

namespace detail {

/// A pin as the engine knows it: a segment of our own shard, or one of another worker's.
inline constexpr std::uint32_t kPinSegmentBits = 25;

[[nodiscard]] inline std::uint32_t pin_word(std::uint32_t keeper, std::uint32_t own, std::uint32_t segment) noexcept {
  return keeper == own ? segment : (keeper + 1) << kPinSegmentBits | segment;
}

}  // namespace detail

/// `answer` is the newest of the session: everything before it was delivered or is owed.
template <class S, class E>
void Streams<S, E>::deliver(Session& session, Answer& answer) noexcept {
  if (!answer.speaks) return abi::bump(counters_.quiet_silences);
  abi::bump(counters_.answers);
  const bool points = answer.in_segment && answer.value.size() >= kStreamPointBytesMin;
  const std::uint32_t head = answer.head_bytes();
  if (session.first == nullptr && answer.message_bytes() <= nicpipe::tcp::kBlockBytes) [[likely]] {
    // Laid out where it leaves from.
    const MutableBytes room = engine_->extend(session.id, static_cast<std::uint32_t>(answer.message_bytes()));
    if (!room.empty()) [[likely]] {
      write_head(room.data(), answer);
      if (!answer.value.empty()) copy_value(room.data() + head, answer.value.data(), answer.value.size());
      return;
    }
  }
  if (session.first != nullptr || points || answer.message_bytes() > engine_->writable_bytes(session.id)) [[unlikely]]
    return park(session, answer);
  std::array<std::byte, kAnswerHeadBytesMax> message;
  write_head(message.data(), answer);
  MUST_EQ(engine_->write(session.id, Bytes{message}.first(head)), head);
  MUST_EQ(engine_->write(session.id, answer.value), answer.value.size());
}

/// A parcel for an answer that cannot go now, or goes from where it lies.
template <class S, class E>
void Streams<S, E>::park(Session& session, Answer& answer) noexcept {
  const bool large = answer.message_bytes() > kParcelBytes;
  Parcel* parcel = parcels_.take(&session, large);
  if (parcel == nullptr && large) {
    answer.refuse(memcache::Status::kNoMemory);
    detail::count_refusal(counters_, answer.status);
    parcel = parcels_.take(&session, false);
  }
  if (parcel == nullptr) {  // may_take() leaves one for each job; only values that ended meanwhile can come here.
    session.mode = Mode::kEnding;
    return;
  }
  pack(*parcel, answer);
  parcel->done = true;
  owe(session, *parcel);
  drain(session);
}

/// Lays an answer out in a parcel; a value that does not fit stays in its segment, pinned. The request may lie in the
/// parcel: nothing of it is needed any more.
template <class S, class E>
void Streams<S, E>::pack(Parcel& parcel, Answer& answer) noexcept {
  if (parcel.home != index_) abi::bump(answer.speaks ? counters_.answers : counters_.quiet_silences);
  parcel.speaks = answer.speaks;
  if (!answer.speaks) return;
  const bool points =
      answer.in_segment && (answer.value.size() >= kStreamPointBytesMin || answer.message_bytes() > kParcelBytes);
  if (points && !shard_.pin(answer.segment)) {
    answer.refuse(memcache::Status::kNoMemory);
    detail::count_refusal(counters_, answer.status);
  } else if (points) {
    parcel.source = Parcel::Source::kSegment;
    parcel.keeper = static_cast<std::uint8_t>(index_);
    parcel.pinned = answer.segment;
    parcel.value = answer.value;
  }
  write_head(parcel.bytes.data(), answer);
  parcel.head_bytes = answer.head_bytes();
  if (parcel.source == Parcel::Source::kSegment || answer.value.empty()) return;
  MUST_LE(parcel.head_bytes + answer.value.size(), parcel.bytes.size());
  copy_value(parcel.bytes.data() + parcel.head_bytes, answer.value.data(), answer.value.size());
  parcel.head_bytes += static_cast<std::uint32_t>(answer.value.size());
}

/// The parcel takes its place behind what is owed already.
template <class S, class E>
void Streams<S, E>::owe(Session& session, Parcel& parcel) noexcept {
  parcel.next = nullptr;
  (session.first == nullptr ? session.first : session.last->next) = &parcel;
  session.last = &parcel;
  ++session.owed;
}

/// Writes what is owed, as far as it is there and there is room. False: room is what is missing.
template <class S, class E>
bool Streams<S, E>::drain(Session& session) noexcept {
  while (session.first != nullptr && session.first->done) {
    Parcel& parcel = *session.first;
    if (parcel.speaks) {
      if (parcel.sent < parcel.head_bytes) {
        const Bytes left = Bytes{parcel.bytes}.first(parcel.head_bytes).subspan(parcel.sent);
        parcel.sent += engine_->write(session.id, left);
        if (parcel.sent < parcel.head_bytes) return false;
      }
      const std::size_t offset = parcel.sent - parcel.head_bytes;
      if (parcel.source == Parcel::Source::kSegment && offset == 0 && parcel.value.size() >= kStreamPointBytesMin &&
          engine_->write_pinned(session.id, parcel.value, detail::pin_word(parcel.keeper, index_, parcel.pinned))) {
        abi::bump(counters_.answers_zero_copy);
        parcel.source = Parcel::Source::kNone;  // The engine's now.
      } else if (offset < parcel.value.size()) {
        const Bytes left = parcel.value.subspan(offset);
        const std::uint32_t taken = engine_->write(session.id, left);
        parcel.sent += taken;
        if (taken < left.size()) return false;
      }
    }
    session.first = parcel.next;
    if (session.first == nullptr) session.last = nullptr;
    --session.owed;
    release(parcel);
    parcels_.give(parcel);
    moved_ = true;
  }
  return true;
}

/// What an answer holds on to.
template <class S, class E>
void Streams<S, E>::release(Parcel& parcel) noexcept {
  if (parcel.source == Parcel::Source::kSegment) unpin_at(parcel.keeper, parcel.pinned);
  if (parcel.source == Parcel::Source::kStat) stat_used_[parcel.pinned] = false;
  parcel.source = Parcel::Source::kNone;
}

template <class S, class E>
nicpipe::tcp::PinHooks Streams<S, E>::pin_hooks() noexcept {
  return {.again = &Streams::pin_again, .release = &Streams::unpin, .context = this};
}

/// For a frame on its way. Another worker's segment cannot be pinned from here: its bytes are copied into the frame.
template <class S, class E>
bool Streams<S, E>::pin_again(void* self, std::uint32_t pin) {
  return pin >> detail::kPinSegmentBits == 0 && static_cast<Streams*>(self)->shard_.pin(pin);
}

template <class S, class E>
void Streams<S, E>::unpin(void* self, std::uint32_t pin) {
  auto& streams = *static_cast<Streams*>(self);
  const std::uint32_t keeper = pin >> detail::kPinSegmentBits;
  streams.unpin_at(keeper == 0 ? streams.index_ : keeper - 1, pin & ((1u << detail::kPinSegmentBits) - 1));
}

template <class S, class E>
void Streams<S, E>::unpin_at(std::uint32_t keeper, std::uint32_t segment) noexcept {
  if (keeper == index_) return shard_.unpin(segment);
  unpins_[keeper].push_back(segment);
}

}  // namespace gannet::dataplane
