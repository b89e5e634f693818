/// Streams: requests through the stages, as worker_stage.h does it for datagrams. A stage is up to kStageJobsMax
/// requests of as many connections as it takes, and of other workers' connections whose keys are ours.
#pragma once

#include <algorithm>

#include "dataplane/core/latency.h"
#include "dataplane/core/stat.h"
#include "dataplane/core/stream.h"
#include "dataplane/core/stream_answer.h"
#include "dataplane/core/stream_frame.h"
#include "dataplane/core/stream_travel.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"

namespace gannet::dataplane {

template <class S, class E>
Streams<S, E>::Streams(WorkerGroup& group, S& shard, const StreamOptions& options)
    : group_(group),
      shard_(shard),
      index_(options.index),
      workers_(group.workers()),
      users_(options.users),
      mono_now_(options.mono_now),
      refresh_(options.refresh),
      refresh_context_(options.context),
      block_(group.shared().worker[options.index]),
      counters_(block_.counters),
      sessions_(options.connections_max),
      parcels_(static_cast<std::uint8_t>(options.index)),
      outbound_(group.workers()),
      unpins_(group.workers()),
      lingering_(std::make_unique<Lingering[]>(options.connections_max)),
      stat_bytes_(std::make_unique_for_overwrite<std::byte[]>(kStatBuffers * kStatBytes)) {
  static_assert(storage::Store<S>);
  MUST_GE(options.connections_max, 1u);
  MUST_LE(shard_.stats().segments_total, std::uint64_t{1} << detail::kPinSegmentBits);
  for (std::uint32_t worker = 0; worker < workers_; ++worker) {
    if (worker != index_) unpins_[worker].reserve(kPinsMax);
  }
}

template <class S, class E>
bool Streams<S, E>::turn(Now now, nicpipe::tcp::Sink& sink) noexcept {
  now_ = now;
  sink_ = &sink;
  bool busy = take_events();
  if (workers_ > 1) busy |= take_messages();
  if (lingering_count_ > 0) linger();
  for (std::uint32_t run = 0; run < kStageRunsPerTurn; ++run) {
    if (serve_.empty() && sessions_.queued() == 0) break;
    if (!run_stage()) break;
    busy = true;
  }
  if (workers_ > 1) busy |= push_messages();
  return busy;
}

/// True: something moved.
template <class S, class E>
bool Streams<S, E>::run_stage() noexcept {
  jobs_count_ = 0;
  moved_ = false;
  // Others' requests first, but they may not keep our own connections waiting.
  const std::uint32_t serve_max = sessions_.queued() > 0 ? kStageJobsMax / 2 : kStageJobsMax;
  while (!serve_.empty() && jobs_count_ < serve_max) {
    Parcel& parcel = serve_.pop();
    StreamJob& job = add_job(nullptr, Kind::kServe, parcel.request);
    job.parcel = &parcel;
    if (job.request.rule().key == memcache::KeyRule::kNeeded) job.probe = shard_.hash(job.request.key_span());
  }
  std::uint32_t visited = 0;
  for (std::uint32_t left = std::min(sessions_.queued(), kStageJobsMax); left > 0; --left) {
    Session& session = sessions_.next();
    if (!session.open) continue;
    if (attend(session) || session.jobs > 0) visited_[visited++] = &session;
  }
  for (std::uint32_t i = 0; i < visited; ++i) {
    // What was gathered comes first, and what is behind an AUTH may depend on it.
    if (visited_[i]->mode == Mode::kHead && visited_[i]->jobs == 0) frame(*visited_[i]);
  }
  if (jobs_count_ > 0) execute();
  for (std::uint32_t i = 0; i < visited; ++i) settle(*visited_[i]);
  return moved_ || jobs_count_ > 0;
}

template <class S, class E>
void Streams<S, E>::execute() noexcept {
  std::array<storage::Probe*, kStageJobsMax> probes;
  std::uint32_t keys = 0;
  for (std::uint32_t i = 0; i < jobs_count_; ++i) {
    if (jobs_[i].target == index_ && jobs_[i].request.key_bytes != 0) probes[keys++] = &jobs_[i].probe;
  }
  shard_.prefetch_burst(std::span(probes).first(keys));
  Executor<S> executor(shard_, counters_, now_.unix_s, rules_);
  for (std::uint32_t next = 0; next < jobs_count_;) {
    const std::uint32_t first = next;
    next = find_values(first, executor);
    for (std::uint32_t i = first; i < next; ++i) {
      StreamJob& job = jobs_[i];
      if (job.kind == Kind::kForward) {
        forward(job);
      } else if (job.kind == Kind::kServe) {
        pack(*job.parcel, answers_[i]);
        send(*job.parcel, job.parcel->home);
      } else {
        deliver(*job.session, answers_[i]);
        if (job.parcel != nullptr) parcels_.give(*job.parcel);
      }
    }
    if (next == first) execute_one(jobs_[next++], executor);
  }
  std::uint32_t requests = 0;
  for (std::uint32_t i = 0; i < jobs_count_; ++i) requests += jobs_[i].executed ? 1 : 0;
  abi::bump(counters_.requests, requests);
  if (mono_now_ != nullptr) record_latency();
}

/// Executes the GETs from `first` on up to the first request that may change the store, and asks for the values' lines;
/// what travels may stand between them. Gives where it stopped.
template <class S, class E>
std::uint32_t Streams<S, E>::find_values(std::uint32_t first, Executor<S>& executor) noexcept {
  std::uint32_t next = first;
  for (; next < jobs_count_; ++next) {
    StreamJob& job = jobs_[next];
    if (job.kind == Kind::kForward) continue;
    const bool get =
        (job.kind == Kind::kOwn || (job.kind == Kind::kServe && job.parcel->step == ParcelStep::kExecute)) &&
        job.request.rule().action == memcache::Action::kGet;
    if (!get) break;
    Answer& answer = answers_[next];
    answer = Answer{};
    answer.opcode = job.request.opcode;
    answer.opaque = job.request.opaque;
    executor.get(job.request, job.probe, answer);
    job.executed = true;
    job.latency_class = static_cast<std::uint8_t>(latency_class_of(memcache::Action::kGet, answer.status));
    if (answer.in_segment && answer.value.size() < kStreamPointBytesMin) {
      const std::size_t ahead = std::min<std::size_t>(answer.value.size(), 4 * kLineBytes);
      for (std::size_t at = 0; at < ahead; at += kLineBytes) prefetch_line(answer.value.data() + at);
      if (ahead > 0) prefetch_line(answer.value.data() + ahead - 1);
    }
  }
  return next;
}

/// Any job but a GET or one that travels.
template <class S, class E>
void Streams<S, E>::execute_one(StreamJob& job, Executor<S>& executor) noexcept {
  switch (job.kind) {
    case Kind::kServe:
      return serve(job, executor);
    case Kind::kBegin:
      return begin_value(job, executor);
    case Kind::kRefusal: {
      Answer answer;
      answer.opcode = job.request.opcode;
      answer.opaque = job.request.opaque;
      answer.refuse(job.refusal);
      detail::count_refusal(counters_, job.refusal);
      job.executed = true;
      job.latency_class = static_cast<std::uint8_t>(abi::LatencyClass::kOther);
      return deliver(*job.session, answer);
    }
    case Kind::kOwn:
    case Kind::kForward:
      return execute_own(job, executor);
  }
}

template <class S, class E>
void Streams<S, E>::execute_own(StreamJob& job, Executor<S>& executor) noexcept {
  using memcache::Action;
  const memcache::OpcodeRule& rule = job.request.rule();
  job.executed = true;
  Answer answer;
  answer.opcode = job.request.opcode;
  answer.opaque = job.request.opaque;
  if (rule.action == Action::kStat) {
    job.latency_class = static_cast<std::uint8_t>(abi::LatencyClass::kOther);
    return tell_stats(job, answer);
  }
  if (rule.action == Action::kFlush && workers_ > 1) return flush_all(job, executor);
  if (rule.is_sasl() && users_ != nullptr) {
    authenticate(*job.session, job.request, answer);
  } else {
    if (rule.action == Action::kFlush) abi::bump(counters_.cmd_flush);
    executor.run(job.request, job.probe, answer);
  }
  job.latency_class = static_cast<std::uint8_t>(latency_class_of(rule.action, answer.status));
  deliver(*job.session, answer);
  if (job.parcel != nullptr) parcels_.give(*job.parcel);
}

/// A large value is announced: room for it, here or at the worker that owns the key, or a refusal and the value goes
/// by.
template <class S, class E>
void Streams<S, E>::begin_value(StreamJob& job, Executor<S>& executor) noexcept {
  Session& session = *job.session;
  const memcache::RequestView& request = job.request;
  Answer answer;
  answer.opcode = request.opcode;
  answer.opaque = request.opaque;
  Parcel* const parcel = parcels_.take(&session, true);
  if (parcel == nullptr) {
    answer.refuse(memcache::Status::kNoMemory);
    detail::count_refusal(counters_, answer.status);
  } else {
    std::memcpy(parcel->bytes.data(), request.extras - memcache::kHeaderBytes, request.head_bytes());
    parcel->request = request;
    memcache::point_into(parcel->bytes.data(), parcel->request);
    parcel->received_ns = now_.mono_ns;
    if (job.target != index_) {
      parcel->step = ParcelStep::kBegin;
      session.receiving = parcel;
      session.mode = Mode::kAway;
      owe(session, *parcel);
      abi::bump(counters_.handed_over);
      return send(*parcel, job.target);
    }
    if (executor.begin_store(parcel->request, job.probe, parcel->room, answer)) {
      parcel->roomy = true;
      session.receiving = parcel;
      session.mode = Mode::kValue;
      return;
    }
    parcels_.give(*parcel);
  }
  job.executed = true;
  job.latency_class = static_cast<std::uint8_t>(abi::LatencyClass::kStore);
  session.skip = request.value_bytes;
  session.mode = Mode::kSkip;
  deliver(session, answer);
}

/// The last byte of a large value is in its room.
template <class S, class E>
void Streams<S, E>::finish_value(Session& session) noexcept {
  Parcel& parcel = *session.receiving;
  session.receiving = nullptr;
  session.mode = Mode::kHead;
  if (parcel.keeper != index_) {
    parcel.step = ParcelStep::kFinish;
    return send(parcel, parcel.keeper);
  }
  Answer answer;
  answer.opcode = parcel.request.opcode;
  answer.opaque = parcel.request.opaque;
  Executor<S> executor(shard_, counters_, now_.unix_s, rules_);
  executor.finish_store(parcel.request, shard_.hash(parcel.request.key_span()), parcel.room, answer);
  abi::bump(counters_.requests);
  parcel.roomy = false;
  parcels_.give(parcel);
  deliver(session, answer);
}

/// FLUSH with more than one worker: here at once, then the parcel goes round; until it is back nothing more of the
/// connection is read, so that a store behind it survives everywhere.
template <class S, class E>
void Streams<S, E>::flush_all(StreamJob& job, Executor<S>& executor) noexcept {
  Session& session = *job.session;
  Answer answer;
  executor.run(job.request, job.probe, answer);
  abi::bump(counters_.cmd_flush);
  job.latency_class = static_cast<std::uint8_t>(abi::LatencyClass::kOther);
  Parcel* const parcel = parcels_.take(&session, false);
  MUST(parcel != nullptr);  // may_take() left one for each job.
  std::memcpy(parcel->bytes.data(), job.request.extras - memcache::kHeaderBytes, job.request.wire_bytes);
  parcel->request = job.request;
  memcache::point_into(parcel->bytes.data(), parcel->request);
  parcel->step = ParcelStep::kFlush;
  if (job.parcel != nullptr) parcels_.give(*job.parcel);
  session.mode = Mode::kAway;
  owe(session, *parcel);
  send(*parcel, (index_ + 1) % workers_);
}

/// Another worker's errand, anything but a GET.
template <class S, class E>
void Streams<S, E>::serve(StreamJob& job, Executor<S>& executor) noexcept {
  Parcel& parcel = *job.parcel;
  const memcache::Action action = job.request.rule().action;
  Answer answer;
  answer.opcode = job.request.opcode;
  answer.opaque = job.request.opaque;
  switch (parcel.step) {
    case ParcelStep::kExecute:
      executor.run(job.request, job.probe, answer);
      job.executed = true;
      break;
    case ParcelStep::kBegin:
      parcel.roomy = executor.begin_store(job.request, job.probe, parcel.room, answer);
      if (parcel.roomy) return send(parcel, parcel.home);
      job.executed = true;
      break;
    case ParcelStep::kFinish:
      executor.finish_store(job.request, job.probe, parcel.room, answer);
      parcel.roomy = false;
      job.executed = true;
      break;
    case ParcelStep::kAbandon:
      shard_.abandon(parcel.room);
      parcel.roomy = false;
      return send(parcel, parcel.home);
    case ParcelStep::kFlush:
      executor.run(job.request, job.probe, answer);
      return send(parcel, (index_ + 1) % workers_);
  }
  job.latency_class = static_cast<std::uint8_t>(latency_class_of(action, answer.status));
  pack(parcel, answer);
  send(parcel, parcel.home);
}

/// SASL LIST, AUTH and STEP where the operator demands it. PLAIN takes one message; STEP has nothing to continue.
template <class S, class E>
void Streams<S, E>::authenticate(Session& session, const memcache::RequestView& request, Answer& answer) noexcept {
  const memcache::Action action = request.rule().action;
  const bool list = action == memcache::Action::kSaslList;
  abi::bump(counters_.auth_cmds, list ? 0 : 1);
  if (request.extras_bytes != 0 || request.key_bytes > (list ? 0 : kSaslMechanismBytesMax) ||
      (list && request.value_bytes != 0)) {
    answer.refuse(memcache::Status::kInvalid);
    return detail::count_refusal(counters_, answer.status);
  }
  if (list) {
    answer.value = as_bytes(kSaslMechanisms);
    return;
  }
  session.authenticated = action == memcache::Action::kSaslAuth && as_text(request.key_span()) == "PLAIN" &&
                          users_->accepts(request.value_span());
  if (session.authenticated) {
    answer.value = as_bytes("Authenticated");
    return;
  }
  abi::bump(counters_.auth_errors);
  answer.refuse(memcache::Status::kAuth);
}

/// A STAT answer is many packets: made in a buffer, which the connection empties as it can.
template <class S, class E>
void Streams<S, E>::tell_stats(StreamJob& job, Answer& answer) noexcept {
  Session& session = *job.session;
  const auto refuse_it = [&](memcache::Status why) {
    answer.refuse(why);
    detail::count_refusal(counters_, why);
    deliver(session, answer);
  };
  const std::string_view stat_group = as_text(job.request.key_span());
  const std::uint32_t buffer =
      static_cast<std::uint32_t>(std::find(stat_used_.begin(), stat_used_.end(), false) - stat_used_.begin());
  Parcel* const parcel = stat_group == "reset" || buffer == kStatBuffers ? nullptr : parcels_.take(&session, true);
  if (stat_group == "reset") {
    group_.reset_counters();
    deliver(session, answer);  // The packet without a key, which ends every STAT answer.
  } else if (parcel == nullptr) {
    refuse_it(memcache::Status::kNoMemory);
  } else {
    if (refresh_ != nullptr) refresh_(refresh_context_, now_);
    const StatSource source{.group = group_,
                            .item_bytes_max = shard_.item_bytes_max(),
                            .now = now_.unix_s,
                            .opcode = job.request.opcode,
                            .opaque = job.request.opaque,
                            .authenticated = users_ != nullptr};
    const MutableBytes out{stat_bytes_.get() + std::size_t{buffer} * kStatBytes, kStatBytes};
    const std::size_t bytes = write_stats(source, stat_group, out);
    if (bytes == 0) {
      parcels_.give(*parcel);
      refuse_it(memcache::Status::kNotFound);
    } else {
      abi::bump(counters_.answers);
      stat_used_[buffer] = true;
      parcel->source = Parcel::Source::kStat;
      parcel->pinned = buffer;
      parcel->value = out.first(bytes);
      parcel->done = true;
      owe(session, *parcel);
      drain(session);
    }
  }
  if (job.parcel != nullptr) parcels_.give(*job.parcel);
}

template <class S, class E>
void Streams<S, E>::record_latency() noexcept {
  const MonotonicNs done = mono_now_();
  for (std::uint32_t i = 0; i < jobs_count_; ++i) {
    const StreamJob& job = jobs_[i];
    if (!job.executed) continue;
    abi::bump(
        block_.latency.buckets[job.latency_class][abi::latency_bucket(done > now_.mono_ns ? done - now_.mono_ns : 0)]);
  }
}

}  // namespace gannet::dataplane
