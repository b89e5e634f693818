/// BasicWorker: datagrams whose keys have several owners. This worker asks the owners, in the requests' order, and
/// writes every answer itself, in the same order; a large answer's datagrams are all sent before the next answer. See
/// mixed.h.
#pragma once

#include "dataplane/core/latency.h"
#include "dataplane/core/mixed.h"
#include "dataplane/core/routing.h"
#include "dataplane/core/worker.h"
#include "nicpipe/udp.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

/// Errand::note of one whose answer is nobody's: a FLUSH at all workers but ours.
inline constexpr std::uint64_t kNoteMute = 1;
/// And of a request that could not be parsed: its answer was written at home.
inline constexpr std::uint64_t kNoteRefused = 2;

/// True: something moved.
template <class S>
bool BasicWorker<S>::run_mixed(Now now) noexcept {
  bool moved = false;
  std::uint32_t budget = kMixedRequestsPerTurn;
  for (std::uint32_t i = 0, left = mixed_.size(); left > 0; ++i) {
    Mixed& mixed = mixed_.at(i);
    if (!mixed.used) continue;
    --left;
    moved |= ask_for(mixed, budget, now);
    moved |= answer_mixed(mixed, now);
    if (!mixed.all_asked || mixed.first != nullptr || mixed.waits) continue;
    if (!mixed.packet_gone) out_.free(mixed.packet);
    mixed_.remove(mixed);
  }
  return moved;
}

/// Sends out what is left of the datagram's requests, as far as there are errands.
template <class S>
bool BasicWorker<S>::ask_for(Mixed& mixed, std::uint32_t& budget, Now now) noexcept {
  bool moved = false;
  for (; !mixed.all_asked && budget > 0; --budget, moved = true) {
    Errand* const errand = errands_.take();
    if (errand == nullptr) break;
    if (!ask_for_one(mixed, *errand, now)) finish_errand(*errand);
  }
  return moved;
}

/// False: there was no request; the rest of the datagram is garbage, counted.
template <class S>
bool BasicWorker<S>::ask_for_one(Mixed& mixed, Errand& errand, Now now) noexcept {
  const Bytes payload = nicpipe::udp_payload(mixed.packet);
  memcache::RequestView& request = errand.request;
  const memcache::ParseStatus parsed = memcache::parse(payload.subspan(mixed.packet.cursor), request);
  if (parsed == memcache::ParseStatus::kNeedMore || parsed == memcache::ParseStatus::kBadMagic) {
    abi::bump(parsed == memcache::ParseStatus::kBadMagic ? counters_.drop_bad_magic : counters_.drop_truncated);
    mixed.all_asked = true;
    return false;
  }
  mixed.append(errand);
  if (parsed != memcache::ParseStatus::kOk) {
    errand.answer = Answer{};
    errand.answer.opcode = request.opcode;
    errand.answer.opaque = request.opaque;
    errand.answer.refuse(memcache::status_of(parsed));
    detail::count_refusal(counters_, errand.answer.status);
    errand.state = ErrandState::kDone;
    errand.note = kNoteRefused;
    mixed.all_asked = true;
    return true;
  }
  const memcache::OpcodeRule& rule = request.rule();
  std::uint32_t owner = index_;
  if (rule.key == memcache::KeyRule::kNeeded) owner = worker_of(request.key_span(), workers_);
  if (rule.action == memcache::Action::kFlush) {
    // Every worker, ourselves last; the rings keep it before what follows it.
    owner = (index_ + 1 + mixed.flushed) % workers_;
    mixed.flushed = (mixed.flushed + 1) % workers_;
    if (owner != index_) errand.note = kNoteMute;
  }
  if (rule.action == memcache::Action::kStat) {
    errand.state = ErrandState::kDone;  // Ours, and told when its turn has come: what is before it counts.
  } else {
    send_errand(errand, owner, now);
  }
  if (mixed.flushed != 0) return true;
  const std::uint32_t end = mixed.packet.cursor + request.wire_bytes;
  mixed.packet.cursor = static_cast<std::uint16_t>(end);
  mixed.all_asked = end == payload.size() || rule.action == memcache::Action::kQuit;
  return true;
}

/// Writes the answers that are there, from the first on.
template <class S>
bool BasicWorker<S>::answer_mixed(Mixed& mixed, Now now) noexcept {
  bool moved = false;
  while (mixed.first != nullptr && !mixed.waits && mixed.first->state == ErrandState::kDone) {
    Errand& errand = *mixed.first;
    const bool last = mixed.all_asked && errand.next == nullptr;
    if (errand.note != kNoteMute) {
      if (out_.send_room(static_cast<std::uint32_t>(ports_.size())) == 0) break;
      if (!last && out_.spares() == 0 && ++mixed.starved_turns < kStarvedTurnsMax) break;
      mixed.starved_turns = 0;
    }
    mixed.drop_first();
    moved = true;
    if (errand.note == kNoteMute) {
      finish_errand(errand);
    } else {
      answer_errand(mixed, errand, last, now);
    }
  }
  return moved;
}

template <class S>
void BasicWorker<S>::answer_errand(Mixed& mixed, Errand& errand, bool last, Now now) noexcept {
  Job job;
  job.request = errand.request;
  job.packet = &mixed.packet;
  job.last = last;
  job.mixed = &mixed;
  job.errand = &errand;
  const memcache::Action action = errand.request.rule().action;
  const bool refused = errand.note == kNoteRefused;
  abi::bump(counters_.requests);
  if (!refused && action == memcache::Action::kFlush) abi::bump(counters_.cmd_flush);
  const auto latency_class = static_cast<std::uint8_t>(latency_class_of(action, errand.answer.status));
  if (!refused && action == memcache::Action::kStat) {
    errand.answer = Answer{};
    errand.answer.opcode = errand.request.opcode;
    errand.answer.opaque = errand.request.opaque;
    reply_stat(job, errand.answer, now);
  } else {
    reply(job, errand.answer);
  }
  mixed.packet_gone = last && !mixed.waits;
  if (job.errand != nullptr) finish_errand(*job.errand);
  if (mono_now_ == nullptr) return;
  const MonotonicNs done = mono_now_(), received = mixed.packet.received_ns;
  abi::bump(block_.latency.buckets[latency_class][abi::latency_bucket(done > received ? done - received : 0)]);
}

}  // namespace gannet::dataplane
