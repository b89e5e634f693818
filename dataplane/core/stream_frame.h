/// Streams: from a connection's bytes to requests, across any segmentation.
///
/// A request is parsed where it lies. What does not lie in one piece is put together: a head (at most kCarryBytes) in
/// the session's carry; a small request in a parcel; a large value goes straight into the room its shard made for it.
/// Nothing is consumed while a job of the stage may point at the engine's bytes: first every session absorbs what is to
/// be copied (attend), then requests are framed in place (frame), and after they are executed the bytes go (settle).
#pragma once

#include <algorithm>
#include <cstring>

#include "dataplane/core/executor.h"
#include "dataplane/core/routing.h"
#include "dataplane/core/stream.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

namespace detail {

/// What must lie together before a request can be looked at. Of an unknown one the header says all, and the rest is
/// skipped.
[[nodiscard]] inline std::uint32_t head_needed(const memcache::RequestView& request) noexcept {
  return request.rule().action == memcache::Action::kUnknown ? memcache::kHeaderBytes : request.head_bytes();
}

}  // namespace detail

/// What happened to connections since the last turn. True: something did.
template <class S, class E>
bool Streams<S, E>::take_events() noexcept {
  std::uint32_t total = 0;
  for (;;) {
    const std::uint32_t count = engine_->take_events(events_);
    for (std::uint32_t i = 0; i < count; ++i) {
      const nicpipe::tcp::Event& event = events_[i];
      if ((event.what & nicpipe::tcp::kOpened) != 0) {
        Session& session = sessions_.open(event.id);
        session.authenticated = users_ == nullptr;
      }
      Session* const session = sessions_.find(event.id);
      if (session == nullptr) continue;
      if ((event.what & nicpipe::tcp::kPeerClosed) != 0) session->peer_closed = true;
      if ((event.what & nicpipe::tcp::kClosed) != 0) {
        drop(*session);
      } else {
        sessions_.queue(*session);
      }
    }
    total += count;
    if (count < events_.size() || total >= sessions_.slots()) return total > 0;
  }
}

/// Everything about a session that leaves no pointer into the engine's bytes. True: requests may be framed.
template <class S, class E>
bool Streams<S, E>::attend(Session& session) noexcept {
  const bool sent = session.first == nullptr || drain(session);
  switch (session.mode) {
    case Mode::kEnding:
    case Mode::kEnded:
      wind_up(session);
      return false;
    case Mode::kAway:
    case Mode::kBegin:
      return false;
    case Mode::kHead:
    case Mode::kGather:
    case Mode::kValue:
    case Mode::kSkip:
      break;
  }
  if (!sent) return false;  // Its peer reads too slowly: kWritable wakes it.
  if (session.mode != Mode::kHead) absorb(session);
  if (session.mode == Mode::kHead && session.carry > 0) fill_carry(session);
  if (session.peer_closed) end_of_input(session);
  return session.mode == Mode::kHead;
}

/// Bytes that only have to be copied or thrown away.
template <class S, class E>
void Streams<S, E>::absorb(Session& session) noexcept {
  const nicpipe::tcp::ConnectionId id = session.id;
  for (std::uint32_t budget = kAbsorbBytesMax; session.mode != Mode::kHead;) {
    const MutableBytes there = engine_->readable(id);
    if (there.empty()) return;
    if (budget == 0) return sessions_.queue(session);
    std::uint32_t bytes = std::min(static_cast<std::uint32_t>(there.size()), budget);
    if (session.mode == Mode::kSkip) {
      bytes = std::min(bytes, session.skip);
      session.skip -= bytes;
      engine_->consume(id, bytes, *sink_);
      if (session.skip == 0) session.mode = Mode::kHead;
    } else if (session.mode == Mode::kGather) {
      if (jobs_count_ == kStageJobsMax) return sessions_.queue(session);  // It may become one.
      Parcel& parcel = *session.receiving;
      bytes = std::min(bytes, parcel.request.wire_bytes - parcel.arrived);
      std::memcpy(parcel.bytes.data() + parcel.arrived, there.data(), bytes);
      parcel.arrived += bytes;
      engine_->consume(id, bytes, *sink_);
      if (parcel.arrived == parcel.request.wire_bytes) {
        memcache::point_into(parcel.bytes.data(), parcel.request);
        session.receiving = nullptr;
        session.mode = Mode::kHead;
        StreamJob& job = add_job(&session, Kind::kOwn, parcel.request);
        job.parcel = &parcel;
        aim(job);
      }
    } else {
      Parcel& parcel = *session.receiving;
      bytes = std::min(bytes, parcel.request.value_bytes - parcel.arrived);
      std::memcpy(parcel.room.value.data() + parcel.arrived, there.data(), bytes);
      parcel.arrived += bytes;
      engine_->consume(id, bytes, *sink_);
      if (parcel.arrived == parcel.request.value_bytes) finish_value(session);
    }
    budget -= bytes;
    moved_ = true;
  }
}

/// More of a head that came in pieces, up to its end.
template <class S, class E>
void Streams<S, E>::fill_carry(Session& session) noexcept {
  std::byte* const carry = sessions_.carry_of(session);
  for (;;) {
    std::uint32_t needed = memcache::kHeaderBytes;
    if (session.carry >= memcache::kHeaderBytes) {
      memcache::RequestView request;
      if (memcache::judge_header(carry, request) != memcache::ParseStatus::kOk) return;
      needed = detail::head_needed(request);
    }
    if (session.carry >= needed) return;
    const MutableBytes there = engine_->readable(session.id);
    if (there.empty()) return;
    const auto bytes = std::min<std::uint32_t>(needed - session.carry, static_cast<std::uint32_t>(there.size()));
    std::memcpy(carry + session.carry, there.data(), bytes);
    session.carry = static_cast<std::uint16_t>(session.carry + bytes);
    engine_->consume(session.id, bytes, *sink_);
    moved_ = true;
  }
}

/// Requests in the first piece of what is readable become jobs.
template <class S, class E>
void Streams<S, E>::frame(Session& session) noexcept {
  // Of the first request it is enough to know that there is room for it.
  std::uint32_t room = engine_->can_write(session.id, kParcelBytes) ? 1 : 0;
  Bytes rest = engine_->readable(session.id);
  if (session.carry > 0) {
    memcache::RequestView request;
    std::byte* const carry = sessions_.carry_of(session);
    if (session.carry < memcache::kHeaderBytes) return;
    const memcache::ParseStatus judged = memcache::judge_header(carry, request);
    if (judged == memcache::ParseStatus::kOk) {
      if (session.carry < detail::head_needed(request)) return;
      memcache::point_into(carry, request);
    }
    if (may_take(session, room)) session.carry_whole = take_request(session, judged, request, rest) != Take::kNot;
    return;
  }
  while (!rest.empty()) {
    if (rest[0] != std::byte{memcache::kMagicRequest}) {
      abi::bump(counters_.stream_bad_magic);
      session.mode = Mode::kEnding;
      return;
    }
    if (rest.size() < memcache::kHeaderBytes) return keep_carry(session, rest);
    memcache::RequestView& request = jobs_[jobs_count_].request;  // Where it stays if it is taken.
    const memcache::ParseStatus judged = memcache::judge_header(rest.data(), request);
    std::uint32_t head = memcache::kHeaderBytes;
    if (judged == memcache::ParseStatus::kOk) {
      head = detail::head_needed(request);
      if (rest.size() < head) return keep_carry(session, rest);
      memcache::point_into(rest.data(), request);
    }
    if (!may_take(session, room)) return;
    const std::uint32_t before = session.taken;
    const Take take = take_request(session, judged, request, rest.subspan(head));
    if (take == Take::kNot) return;
    session.taken += head;
    if (take == Take::kStop) return;
    rest = rest.subspan(session.taken - before);
  }
}

template <class S, class E>
void Streams<S, E>::keep_carry(Session& session, Bytes bytes) noexcept {
  MUST_LE(bytes.size(), std::size_t{kCarryBytes});
  std::memcpy(sessions_.carry_of(session), bytes.data(), bytes.size());
  session.carry = static_cast<std::uint16_t>(bytes.size());
  session.taken += session.carry;
}

/// Whether there is room for one request more: in the stage, for its answer towards the peer, for a parcel should it
/// need one. Each answer counts as a whole parcel; a longer one waits in its segment. `room`: in answers, as far as is
/// known; not 0 may be less than there is.
template <class S, class E>
bool Streams<S, E>::may_take(Session& session, std::uint32_t& room) noexcept {
  if (session.owed + session.jobs >= room && room > 0) room = engine_->writable_bytes(session.id) / kParcelBytes;
  if (session.owed + session.jobs >= room) {
    engine_->want_writable(session.id);
    session.starved = true;
    return false;
  }
  return jobs_count_ < kStageJobsMax && parcels_.free() > 2 * kStageJobsMax;
}

/// One request whose head lies together and whose value begins in `behind`. Adds what it takes of `behind` to
/// session.taken.
template <class S, class E>
auto Streams<S, E>::take_request(Session& session, memcache::ParseStatus judged, memcache::RequestView& request,
                                 Bytes behind) noexcept -> Take {
  using memcache::Action;
  const memcache::OpcodeRule& rule = request.rule();
  if (!session.authenticated && !rule.is_sasl() && rule.action != Action::kVersion &&
      judged != memcache::ParseStatus::kBadLength && judged != memcache::ParseStatus::kBodyTooLarge)
    return refuse(session, request, memcache::Status::kAuth);
  if (judged != memcache::ParseStatus::kOk) return refuse(session, request, memcache::status_of(judged));
  if (rule.action == Action::kUnknown)
    return refuse_and_skip(session, request, memcache::Status::kUnknownCommand,
                           request.wire_bytes - static_cast<std::uint32_t>(memcache::kHeaderBytes), behind.size());
  if (rule.action == Action::kFlush && workers_ > 1 && session.owed + session.jobs > 0) return Take::kNot;

  const std::uint32_t value = request.value_bytes;
  if (value <= behind.size()) {
    request.value = behind.data();  // Behind a carried head the value lies apart from it.
    if (request.wire_bytes > kParcelBytes && rule.key == memcache::KeyRule::kNeeded &&
        worker_of(request.key_span(), workers_) != index_) {
      session.mode = Mode::kBegin;  // Too long to travel.
      aim(add_job(&session, Kind::kBegin, request));
      return Take::kStop;
    }
    session.taken += value;
    aim(add_job(&session, Kind::kOwn, request));
    if (rule.action == Action::kQuit) session.mode = Mode::kEnding;
    // What is behind it depends on its outcome, or must not be executed before it is through.
    const bool alone = rule.action == Action::kQuit || (rule.action == Action::kFlush && workers_ > 1) ||
                       (rule.is_sasl() && users_ != nullptr);
    return alone ? Take::kStop : Take::kNext;
  }
  if (request.wire_bytes <= kParcelBytes) return gather(session, request, behind);
  if (rule.is_sasl()) return refuse_and_skip(session, request, memcache::Status::kAuth, value, behind.size());
  session.mode = Mode::kBegin;
  aim(add_job(&session, Kind::kBegin, request));
  return Take::kStop;
}

/// Answered with `status`, and nothing is executed any more.
template <class S, class E>
auto Streams<S, E>::refuse(Session& session, const memcache::RequestView& request, memcache::Status status) noexcept
    -> Take {
  add_job(&session, Kind::kRefusal, request).refusal = status;
  session.mode = Mode::kEnding;
  return Take::kStop;
}

/// Answered with `status`; the stream stays in step. `there`: bytes of the body that lie behind the head.
template <class S, class E>
auto Streams<S, E>::refuse_and_skip(Session& session, const memcache::RequestView& request, memcache::Status status,
                                    std::uint32_t body_bytes, std::size_t there) noexcept -> Take {
  add_job(&session, Kind::kRefusal, request).refusal = status;
  const auto bytes = static_cast<std::uint32_t>(std::min<std::size_t>(body_bytes, there));
  session.taken += bytes;
  session.skip = body_bytes - bytes;
  if (session.skip == 0) return Take::kNext;
  session.mode = Mode::kSkip;
  return Take::kStop;
}

/// A small request whose value is split: copied together in a parcel.
template <class S, class E>
auto Streams<S, E>::gather(Session& session, const memcache::RequestView& request, Bytes behind) noexcept -> Take {
  Parcel* const parcel = parcels_.take(&session, true);
  if (parcel == nullptr)
    return refuse_and_skip(session, request, memcache::Status::kNoMemory, request.value_bytes, behind.size());
  const std::uint32_t head = request.head_bytes();
  std::memcpy(parcel->bytes.data(), request.extras - memcache::kHeaderBytes, head);
  if (!behind.empty()) std::memcpy(parcel->bytes.data() + head, behind.data(), behind.size());
  parcel->arrived = head + static_cast<std::uint32_t>(behind.size());
  parcel->request = request;
  session.receiving = parcel;
  session.mode = Mode::kGather;
  session.taken += static_cast<std::uint32_t>(behind.size());
  return Take::kStop;
}

template <class S, class E>
StreamJob& Streams<S, E>::add_job(Session* session, Kind kind, const memcache::RequestView& request) noexcept {
  MUST_LT(jobs_count_, kStageJobsMax);
  StreamJob& job = jobs_[jobs_count_++];
  if (&job.request != &request) job.request = request;
  job.probe = {};
  job.session = session;
  job.parcel = nullptr;
  job.target = index_;
  job.kind = kind;
  job.executed = false;
  if (session != nullptr) ++session->jobs;
  return job;
}

/// Whose it is: ours is hashed, another's will travel.
template <class S, class E>
void Streams<S, E>::aim(StreamJob& job) noexcept {
  if (job.request.rule().key != memcache::KeyRule::kNeeded) return;
  const Bytes key = job.request.key_span();
  job.target = worker_of(key, workers_);
  if (job.target == index_) {
    job.probe = shard_.hash(key);
  } else if (job.kind == Kind::kOwn) {
    job.kind = Kind::kForward;
  }
}

/// The stage is executed: what it took goes, and the session comes again if there is more.
template <class S, class E>
void Streams<S, E>::settle(Session& session) noexcept {
  session.jobs = 0;
  if (session.carry_whole) session.carry = 0;
  session.carry_whole = false;
  if (session.taken > 0) engine_->consume(session.id, session.taken, *sink_);
  if (session.taken > 0) moved_ = true;
  session.taken = 0;
  if (session.peer_closed) end_of_input(session);
  const bool starved = session.starved;
  session.starved = false;
  switch (session.mode) {
    case Mode::kAway:
    case Mode::kBegin:
      return;
    case Mode::kEnding:
    case Mode::kEnded:
      return sessions_.queue(session);
    case Mode::kHead:
    case Mode::kGather:
    case Mode::kValue:
    case Mode::kSkip:
      // A whole carried head that was not taken waits as well, for an answer or for the next stage.
      if (!starved && (engine_->readable_bytes(session.id) > 0 || session.carry >= memcache::kHeaderBytes))
        sessions_.queue(session);
      return;
  }
}

/// After the peer's FIN: once all that came is taken, nothing will complete what is begun.
template <class S, class E>
void Streams<S, E>::end_of_input(Session& session) noexcept {
  if (session.mode == Mode::kAway || session.mode >= Mode::kEnding) return;
  if (session.jobs > 0 || engine_->readable_bytes(session.id) > 0) return;
  if (session.mode == Mode::kHead && session.carry >= memcache::kHeaderBytes) {
    memcache::RequestView request;  // A whole request that could not be taken yet is still executed.
    const auto judged = memcache::judge_header(sessions_.carry_of(session), request);
    if (judged != memcache::ParseStatus::kOk || session.carry >= detail::head_needed(request)) return;
  }
  abandon(session);
  session.mode = Mode::kEnding;
  sessions_.queue(session);
}

/// An ending connection: its input is thrown away; once nothing is owed our FIN goes, and after a while its slot.
template <class S, class E>
void Streams<S, E>::wind_up(Session& session) noexcept {
  if (const std::uint32_t bytes = engine_->readable_bytes(session.id); bytes > 0)
    engine_->consume(session.id, bytes, *sink_);
  if (session.mode == Mode::kEnded || session.first != nullptr) return;
  session.mode = Mode::kEnded;
  engine_->shutdown(session.id);
  if (lingering_count_ == sessions_.slots()) end_oldest();
  lingering_[(lingering_first_ + lingering_count_++) % sessions_.slots()] = {session.id, now_.mono_ns + kLingerNs};
  moved_ = true;
}

/// Connections that we ended and whose peer has not, a moment later: we are done with them.
template <class S, class E>
void Streams<S, E>::linger() noexcept {
  while (lingering_count_ > 0) {
    const Lingering& oldest = lingering_[lingering_first_];
    if (now_.mono_ns < oldest.until && sessions_.find(oldest.id) != nullptr) return;
    end_oldest();
  }
}

/// The one that lingers longest, if it is still there.
template <class S, class E>
void Streams<S, E>::end_oldest() noexcept {
  const nicpipe::tcp::ConnectionId id = lingering_[lingering_first_].id;
  lingering_first_ = lingering_first_ + 1 == sessions_.slots() ? 0 : lingering_first_ + 1;
  --lingering_count_;
  if (Session* const session = sessions_.find(id); session != nullptr) {
    drop(*session);
    engine_->close(id, now_, *sink_);
  }
}

/// What is begun for a session and will not be completed.
template <class S, class E>
void Streams<S, E>::abandon(Session& session) noexcept {
  Parcel* const parcel = session.receiving;
  if (parcel == nullptr) return;
  session.receiving = nullptr;
  if (parcel->away) return;  // Its keeper was asked for room; when it comes back nobody wants it.
  if (parcel->roomy && parcel->keeper != index_) {
    parcel->step = ParcelStep::kAbandon;  // It stands among the answers owed and goes from there.
    parcel->speaks = false;
    return send(*parcel, parcel->keeper);
  }
  if (parcel->roomy) shard_.abandon(parcel->room);
  parcel->roomy = false;
  parcels_.give(*parcel);
}

/// The connection is gone: what was begun for it is given back.
template <class S, class E>
void Streams<S, E>::drop(Session& session) noexcept {
  abandon(session);
  for (Parcel* parcel = session.first; parcel != nullptr;) {
    Parcel* const next = parcel->next;
    parcel->session = nullptr;
    if (!parcel->away) {
      release(*parcel);
      parcels_.give(*parcel);
    }
    parcel = next;
  }
  session.first = session.last = nullptr;
  session.owed = 0;
  sessions_.close(session);
}

}  // namespace gannet::dataplane
