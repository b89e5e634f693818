/// Streams: parcels between workers. Nothing is ever dropped: every parcel has one home, so the queues are bounded by
/// what all homes together have, and what does not fit a ring waits for the next turn.
#pragma once

#include <array>
#include <cstring>

#include "dataplane/core/stream.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"

namespace gannet::dataplane {

/// What other workers sent. True: something came.
template <class S, class E>
bool Streams<S, E>::take_messages() noexcept {
  std::array<StreamMessage, kStreamBurst> taken;
  std::uint32_t total = 0;
  for (std::uint32_t from = 0; from < workers_; ++from) {
    if (from == index_) continue;
    const std::uint32_t count = group_.stream_ring(from, index_).pop(taken);
    for (std::uint32_t i = 0; i < count; ++i) {
      if (taken[i].is_unpin()) continue;
      prefetch_line(&taken[i].parcel());
      prefetch_line(taken[i].parcel().bytes.data());
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      if (taken[i].is_unpin()) {
        shard_.unpin(taken[i].segment());
      } else if (Parcel& parcel = taken[i].parcel(); parcel.home == index_) {
        returned(parcel);
      } else {
        if (parcel.step != ParcelStep::kFlush) abi::bump(counters_.taken_over);
        serve_.push(parcel);
      }
    }
    total += count;
  }
  return total > 0;
}

/// A parcel of ours is back from its errand.
template <class S, class E>
void Streams<S, E>::returned(Parcel& parcel) noexcept {
  parcel.away = false;
  if (parcel.session == nullptr) {  // The connection is gone meanwhile.
    if (parcel.roomy) {
      parcel.step = ParcelStep::kAbandon;
      return send(parcel, parcel.keeper);
    }
    release(parcel);
    return parcels_.give(parcel);
  }
  Session& session = *parcel.session;
  sessions_.queue(session);
  switch (parcel.step) {
    case ParcelStep::kBegin:
      if (parcel.roomy) {
        session.mode = Mode::kValue;
        return;
      }
      session.receiving = nullptr;
      session.skip = parcel.request.value_bytes;
      session.mode = Mode::kSkip;
      break;
    case ParcelStep::kFlush: {
      Answer answer;
      answer.opcode = parcel.request.opcode;
      answer.opaque = parcel.request.opaque;
      answer.speaks = !parcel.request.rule().quiet;
      abi::bump(answer.speaks ? counters_.answers : counters_.quiet_silences);
      pack(parcel, answer);
      session.mode = Mode::kHead;
      break;
    }
    case ParcelStep::kExecute:
    case ParcelStep::kFinish:
    case ParcelStep::kAbandon:
      break;
  }
  parcel.done = true;
}

/// To its home, or to the worker it has an errand at.
template <class S, class E>
void Streams<S, E>::send(Parcel& parcel, std::uint32_t target) noexcept {
  MUST_NE(target, index_);
  if (parcel.home == index_) {
    parcel.away = true;
    parcel.keeper = static_cast<std::uint8_t>(target);
  }
  outbound_[target].push(parcel);
}

/// A request whose key is another worker's. Its answer's place is taken at once.
template <class S, class E>
void Streams<S, E>::forward(StreamJob& job) noexcept {
  Parcel* parcel = job.parcel;
  if (parcel == nullptr) {
    parcel = parcels_.take(job.session, false);
    MUST(parcel != nullptr);  // may_take() left one for each job.
    const std::uint32_t head = job.request.head_bytes();
    std::memcpy(parcel->bytes.data(), job.request.extras - memcache::kHeaderBytes, head);
    if (job.request.value_bytes > 0)
      std::memcpy(parcel->bytes.data() + head, job.request.value, job.request.value_bytes);
    parcel->request = job.request;
    memcache::point_into(parcel->bytes.data(), parcel->request);
  }
  abi::bump(counters_.handed_over);
  owe(*job.session, *parcel);
  send(*parcel, job.target);
}

/// Into the rings with what waits for other workers. True: something went.
template <class S, class E>
bool Streams<S, E>::push_messages() noexcept {
  bool any = false;
  for (std::uint32_t target = 0; target < workers_; ++target) {
    if (target == index_) continue;
    ParcelQueue& waiting = outbound_[target];
    std::vector<std::uint32_t>& unpins = unpins_[target];
    while (!waiting.empty() || !unpins.empty()) {
      std::array<StreamMessage, kStreamBurst> burst;
      const std::uint32_t room = group_.stream_ring(index_, target).room();
      std::uint32_t count = 0;
      while (count < std::min(room, kStreamBurst) && !waiting.empty())
        burst[count++] = StreamMessage::of(waiting.pop());
      while (count < std::min(room, kStreamBurst) && !unpins.empty()) {
        burst[count++] = StreamMessage::unpin(unpins.back());
        unpins.pop_back();
      }
      if (count == 0) break;
      MUST_EQ(group_.stream_ring(index_, target).push(std::span(burst).first(count)), count);
      any = true;
    }
  }
  return any;
}

template <class S, class E>
bool Streams<S, E>::close() noexcept {
  if (workers_ == 1) return true;
  bool still = !take_messages();
  while (!serve_.empty()) {
    Parcel& parcel = serve_.pop();
    if (parcel.roomy) shard_.abandon(parcel.room);
    parcel.roomy = false;
    parcel.speaks = false;
    parcel.step = ParcelStep::kExecute;  // A FLUSH does not go on its round any more.
    send(parcel, parcel.home);
  }
  still &= !push_messages();
  return still;
}

template <class S, class E>
bool Streams<S, E>::drained() const noexcept {
  for (std::uint32_t target = 0; target < workers_; ++target) {
    if (!outbound_[target].empty() || !unpins_[target].empty()) return false;
  }
  return serve_.empty() && parcels_.used() == 0;
}

template <class S, class E>
void Streams<S, E>::hang_up(Now now, nicpipe::tcp::Sink& sink, bool at_once) noexcept {
  now_ = now;
  sink_ = &sink;
  for (std::uint32_t slot = 0; slot < sessions_.slots(); ++slot) {
    Session& session = sessions_.at(slot);
    if (!session.open || (session.first != nullptr && !at_once)) continue;
    const nicpipe::tcp::ConnectionId id = session.id;
    drop(session);
    if (at_once) {
      engine_->abort(id, now, sink);
    } else {
      engine_->close(id, now, sink);
    }
  }
}

}  // namespace gannet::dataplane
