/// BasicWorker: requests through the stages. A stage is up to kStageJobsMax requests from as many datagrams as it
/// takes.
///   1  parse, find the owner, hash, ask for the bucket line     (build_stage)
///   2  the bucket line is there: ask for the item's lines       (execute_stage)
///   3  compare, execute, ask for the value's lines              (find_values; other requests: execute_one)
///   4  write the answer                                         (reply)
///   5  the datagrams go where their next request is             (settle_stage)
#pragma once

#include <algorithm>

#include "dataplane/core/executor.h"
#include "dataplane/core/latency.h"
#include "dataplane/core/routing.h"
#include "dataplane/core/worker.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"

namespace gannet::dataplane {

/// True: something moved.
template <class S>
bool BasicWorker<S>::run_stage(Now now) noexcept {
  build_stage(starved_turns_ >= kStarvedTurnsMax);
  if (runs_count_ ==
      0) {  // The oldest datagram needs a spare packet, or the device has not taken the answers there are.
    ++starved_turns_;
    return false;
  }
  starved_turns_ = 0;
  execute_stage(now);
  settle_stage();
  return true;
}

template <class S>
void BasicWorker<S>::build_stage(bool starved) noexcept {
  jobs_count_ = runs_count_ = spares_needed_ = mixes_planned_ = 0;
  const std::uint32_t jobs_max = std::min(kStageJobsMax, out_.send_room(static_cast<std::uint32_t>(ports_.size())));
  if (jobs_max == 0) return;
  for (std::uint32_t nth = 0; nth < backlog_.size() && jobs_count_ < jobs_max; ++nth) {
    Run& run = runs_[runs_count_];
    const std::uint32_t jobs_before = jobs_count_;
    const bool whole = build_run(backlog_.at(nth), jobs_max, starved, run);
    run.jobs = jobs_count_ - jobs_before;
    if (whole || run.jobs > 0) ++runs_count_;
    if (!whole) return;
  }
}

/// The requests of one datagram from its cursor on, as far as they are ours and there is room. False: it is not
/// finished.
template <class S>
bool BasicWorker<S>::build_run(Packet& packet, std::uint32_t jobs_max, bool starved, Run& run) noexcept {
  run.packet = &packet;
  run.fate = Fate::kDone;
  const Bytes payload = nicpipe::udp_payload(packet);
  const std::uint32_t jobs_before = jobs_count_;
  const auto stay = [&run] {
    run.fate = Fate::kStay;
    return false;
  };
  for (;;) {
    if (jobs_count_ == jobs_max) return stay();
    Job& job = jobs_[jobs_count_];
    job.parsed = memcache::parse(payload.subspan(packet.cursor), job.request);
    if (job.parsed == memcache::ParseStatus::kNeedMore || job.parsed == memcache::ParseStatus::kBadMagic) {
      abi::bump(job.parsed == memcache::ParseStatus::kBadMagic ? counters_.drop_bad_magic : counters_.drop_truncated);
      if (jobs_count_ > jobs_before) jobs_[jobs_count_ - 1].last = true;
      return true;
    }
    job.packet = &packet;
    job.last = true;
    if (job.parsed != memcache::ParseStatus::kOk) {
      ++jobs_count_;
      return true;
    }
    const memcache::OpcodeRule& rule = job.request.rule();
    const std::uint32_t end = packet.cursor + job.request.wire_bytes;
    const bool flush = rule.action == memcache::Action::kFlush;
    if (workers_ > 1 && packet.mark == 0 && (flush || end != payload.size())) {
      std::uint32_t owner = index_;
      if (flush || !one_owner(payload.subspan(packet.cursor), owner)) {
        if (mixed_.room() == mixes_planned_) return stay();
        ++mixes_planned_;
        run.fate = Fate::kMix;
        return true;
      }
      packet.mark = kMarkOneOwner;
      if (owner != index_) {  // Even when it begins with a request that has no key.
        run.fate = Fate::kTravel;
        run.target = owner;
        return true;
      }
    }
    if (rule.key == memcache::KeyRule::kNeeded) {
      const Bytes key = job.request.key_span();
      if (const std::uint32_t owner = worker_of(key, workers_); owner != index_) {
        run.fate = Fate::kTravel;
        run.target = owner;
        return true;
      }
      job.probe = shard_.hash(key);
    }
    job.last = end == payload.size() || rule.action == memcache::Action::kQuit;
    if (!job.last) {  // Its answer needs a packet of its own.
      if (spares_needed_ == out_.spares() && !starved) return stay();
      ++spares_needed_;
    }
    ++jobs_count_;
    if (job.last) return true;
    packet.cursor = static_cast<std::uint16_t>(end);
  }
}

/// Whether all keys of a datagram's requests belong to one worker, and to whom; without a key `owner` is left as it is.
/// A FLUSH is everybody's.
template <class S>
bool BasicWorker<S>::one_owner(Bytes requests, std::uint32_t& owner) const noexcept {
  bool found = false;
  memcache::RequestView request;
  for (; memcache::parse(requests, request) == memcache::ParseStatus::kOk;
       requests = requests.subspan(request.wire_bytes)) {
    const memcache::OpcodeRule& rule = request.rule();
    if (rule.action == memcache::Action::kFlush) return false;
    if (rule.action == memcache::Action::kQuit) break;
    if (rule.key != memcache::KeyRule::kNeeded) continue;
    const std::uint32_t one = worker_of(request.key_span(), workers_);
    if (found && one != owner) return false;
    owner = one;
    found = true;
  }
  return true;
}

template <class S>
void BasicWorker<S>::execute_stage(Now now) noexcept {
  std::array<storage::Probe*, kStageJobsMax> probes;
  std::uint32_t keys = 0;
  for (std::uint32_t i = 0; i < jobs_count_; ++i) {
    if (jobs_[i].parsed == memcache::ParseStatus::kOk && jobs_[i].request.key_bytes != 0)
      probes[keys++] = &jobs_[i].probe;
  }
  shard_.prefetch_burst(std::span(probes).first(keys));
  Executor<S> executor(shard_, counters_, now.unix_s, udp_rules_);
  std::uint32_t requests = 0;
  for (std::uint32_t next = 0; next < jobs_count_;) {
    const std::uint32_t first = next;
    next = find_values(first, executor);
    for (std::uint32_t i = first; i < next; ++i) reply(jobs_[i], answers_[i]);
    requests += next - first;
    if (next == jobs_count_ || next != first) continue;
    if (execute_one(jobs_[next], executor, now)) ++requests;
    ++next;
  }
  abi::bump(counters_.requests, requests);
  if (mono_now_ != nullptr && jobs_count_ > 0) record_latency(mono_now_());
}

/// Executes the GETs from `first` on up to the first other request, and asks for the values' lines, so that writing the
/// answers finds them in cache. Nothing changes the store in between, so the views stay good. Gives where it stopped.
template <class S>
std::uint32_t BasicWorker<S>::find_values(std::uint32_t first, Executor<S>& executor) noexcept {
  std::uint32_t next = first;
  for (bool parks = false; next < jobs_count_ && !parks; ++next) {
    Job& job = jobs_[next];
    if (job.parsed != memcache::ParseStatus::kOk || job.request.rule().action != memcache::Action::kGet ||
        job.packet->mark == kMarkParked)
      break;
    Answer& answer = answers_[next];
    answer = Answer{};
    answer.opcode = job.request.opcode;
    answer.opaque = job.request.opaque;
    executor.get(job.request, job.probe, answer);
    job.answered = true;
    job.latency_class = static_cast<std::uint8_t>(latency_class_of(memcache::Action::kGet, answer.status));
    // The two lines from the item's first byte were asked for with the item; of a long value the hardware fetches the
    // rest once it sees the direction.
    const std::size_t ahead = std::min<std::size_t>(answer.value.size(), 4 * kLineBytes);
    for (std::size_t at = 0; at < ahead; at += kLineBytes) prefetch_line(answer.value.data() + at);
    if (ahead > 0) prefetch_line(answer.value.data() + ahead - 1);
    parks = !job.last && answer.message_bytes() > ports_[job.packet->port].chunk_bytes;
  }
  return next;
}

/// Any request but a GET. True: it counts as executed here.
template <class S>
bool BasicWorker<S>::execute_one(Job& job, Executor<S>& executor, Now now) noexcept {
  job.answered = job.packet->mark != kMarkParked;
  if (!job.answered) return false;  // Parsed again when the large answer before it has gone.
  Answer answer;
  answer.opcode = job.request.opcode;
  answer.opaque = job.request.opaque;
  const memcache::Action action = job.request.rule().action;
  if (job.parsed != memcache::ParseStatus::kOk) [[unlikely]] {
    answer.refuse(memcache::status_of(job.parsed));
    detail::count_refusal(counters_, answer.status);
  } else if (action == memcache::Action::kStat) [[unlikely]] {
    job.latency_class = static_cast<std::uint8_t>(abi::LatencyClass::kOther);
    reply_stat(job, answer, now);
    return true;
  } else {
    if (action == memcache::Action::kFlush) abi::bump(counters_.cmd_flush);
    executor.run(job.request, job.probe, answer);
  }
  job.latency_class = static_cast<std::uint8_t>(latency_class_of(action, answer.status));
  reply(job, answer);
  return true;
}

template <class S>
void BasicWorker<S>::record_latency(MonotonicNs done) noexcept {
  // Neighbours mostly came with one burst and ended alike: they are told as one.
  std::uint32_t same = 0;
  for (std::uint32_t i = 0; i < jobs_count_; i += same) {
    const Job& job = jobs_[i];
    const MonotonicNs received = job.packet->received_ns;
    same = 1;
    if (!job.answered) continue;
    while (i + same < jobs_count_ && jobs_[i + same].answered && jobs_[i + same].latency_class == job.latency_class &&
           jobs_[i + same].packet->received_ns == received)
      ++same;
    abi::bump(block_.latency.buckets[job.latency_class][abi::latency_bucket(done > received ? done - received : 0)],
              same);
  }
}

/// Finished datagrams leave the backlog in their order; the one that is not stays at its head.
template <class S>
void BasicWorker<S>::settle_stage() noexcept {
  std::uint32_t gone = 0;
  for (std::uint32_t i = 0; i < runs_count_; ++i) {
    Run& run = runs_[i];
    if (run.packet->mark == kMarkParked) {
      ++gone;
      continue;
    }
    if (run.fate == Fate::kStay) break;
    if (run.fate == Fate::kTravel) {
      travel(*run.packet, run.target);
    } else if (run.fate == Fate::kMix) {
      mixed_.add(*run.packet);
    } else if (run.jobs == 0) {
      out_.free(*run.packet);
    }
    ++gone;
  }
  backlog_.pop(gone);
}

}  // namespace gannet::dataplane
