/// BasicWorker: what other workers execute for this one, and this one for them. See errand.h.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/core/executor.h"
#include "dataplane/core/worker.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"

namespace gannet::dataplane {

/// Home: asks `owner`. Our own shard answers at once: the errand is done on return.
template <class S>
void BasicWorker<S>::send_errand(Errand& errand, std::uint32_t owner, Now now) noexcept {
  MUST(errand.state == ErrandState::kHome || errand.state == ErrandState::kDone);
  MUST_LT(owner, workers_);
  errand.home = static_cast<std::uint8_t>(index_);
  errand.owner = static_cast<std::uint8_t>(owner);
  if (owner == index_) {
    if (errand.request.key_bytes != 0) errand.probe = shard_.hash(errand.request.key_span());
    execute_errand(errand, now);
    errand.state = ErrandState::kDone;
    return;
  }
  errand.state = ErrandState::kAway;
  queue_errand(errand, owner);
}

/// Home: through with the answer. A pinned value is released by its owner first; the slot comes free by itself.
template <class S>
void BasicWorker<S>::finish_errand(Errand& errand) noexcept {
  MUST(errand.state == ErrandState::kDone || errand.state == ErrandState::kHome);
  if (!errand.pinned) return errand.pool->give(errand);
  if (errand.owner == index_) {
    shard_.unpin(errand.answer.segment);
    return errand.pool->give(errand);
  }
  errand.step = ErrandStep::kRelease;
  errand.state = ErrandState::kAway;
  queue_errand(errand, errand.owner);
}

/// Takes what came over the rings: our own errands back, others' to execute. Gives their number.
template <class S>
std::uint32_t BasicWorker<S>::take_errands(Now now) noexcept {
  std::array<Errand*, kErrandBurst> taken;
  std::uint32_t total = 0;
  for (std::uint32_t step = 1; step < workers_; ++step) {
    const std::uint32_t from = (index_ + step) % workers_;
    const std::uint32_t count = group_.errands(from, index_).pop(taken);
    for (std::uint32_t i = 0; i < count; ++i) prefetch_line(taken[i]);
    std::uint32_t asked = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      if (taken[i]->home == index_) {
        come_back(*taken[i]);
      } else {
        taken[asked++] = taken[i];
      }
    }
    execute_errands(std::span(taken).first(asked), now);
    for (std::uint32_t i = 0; i < asked; ++i) queue_errand(*taken[i], from);
    total += count;
  }
  return total;
}

template <class S>
void BasicWorker<S>::come_back(Errand& errand) noexcept {
  if (errand.step == ErrandStep::kRelease) return errand.pool->give(errand);
  errand.state = ErrandState::kDone;
}

/// Owner: in stages, as a worker's own requests, so that one miss hides behind the others' work.
template <class S>
void BasicWorker<S>::execute_errands(std::span<Errand* const> asked, Now now) noexcept {
  MUST_LE(asked.size(), kErrandBurst);
  std::array<storage::Probe*, kErrandBurst> probes;
  std::uint32_t keys = 0;
  for (Errand* const errand : asked) {
    if (errand->step != ErrandStep::kExecute || errand->request.key_bytes == 0) continue;
    errand->probe = shard_.hash(errand->request.key_span());
    probes[keys++] = &errand->probe;
  }
  shard_.prefetch_burst(std::span(probes).first(keys));
  for (Errand* const errand : asked) execute_errand(*errand, now);
}

template <class S>
void BasicWorker<S>::execute_errand(Errand& errand, Now now) noexcept {
  Answer& answer = errand.answer;
  if (errand.step == ErrandStep::kRelease) {
    shard_.unpin(answer.segment);
    errand.pinned = false;
    return;
  }
  answer = Answer{};
  answer.opcode = errand.request.opcode;
  answer.opaque = errand.request.opaque;
  Executor<S> executor(shard_, counters_, now.unix_s, udp_rules_);
  executor.run(errand.request, errand.probe, answer);
  if (!answer.in_segment) return;
  // Home is another core and answers later: the value must stay, or be there.
  answer.in_segment = false;
  if (answer.value.size() <= kErrandValueBytes) {
    std::memcpy(errand.value_bytes.data(), answer.value.data(), answer.value.size());
    answer.value = std::span(errand.value_bytes).first(answer.value.size());
  } else if (shard_.pin(answer.segment)) {
    errand.pinned = true;
  } else {
    answer.refuse(memcache::Status::kNoMemory);
    detail::count_refusal(counters_, answer.status);
  }
}

template <class S>
void BasicWorker<S>::queue_errand(Errand& errand, std::uint32_t target) noexcept {
  if (errands_out_count_[target] == kErrandBurst) push_errands(target);
  errands_out_[target][errands_out_count_[target]++] = &errand;
}

template <class S>
void BasicWorker<S>::push_errands(std::uint32_t target) noexcept {
  const std::uint32_t count = std::exchange(errands_out_count_[target], 0);
  if (count == 0) return;
  MUST_EQ(group_.errands(index_, target).push(std::span(errands_out_[target]).first(count)), count);
}

/// At the end, when nobody executes any more: pins are released, ours by their owners and theirs by us. True: nothing
/// moved.
template <class S>
bool BasicWorker<S>::close_errands() noexcept {
  bool still = true;
  for (std::uint32_t from = 0; from < workers_; ++from) {
    if (from == index_) continue;
    std::array<Errand*, kErrandBurst> taken;
    const std::uint32_t count = group_.errands(from, index_).pop(taken);
    still &= count == 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      Errand& errand = *taken[i];
      if (errand.home == index_) {
        come_back(errand);
      } else if (errand.step == ErrandStep::kRelease) {
        execute_errand(errand, {});
        queue_errand(errand, from);
      }
    }
  }
  for (std::uint32_t i = 0; i < errands_.slots(); ++i) {
    if (errands_.at(i).state == ErrandState::kDone) finish_errand(errands_.at(i));
  }
  for (std::uint32_t target = 0; target < workers_; ++target) {
    still &= errands_out_count_[target] == 0;
    push_errands(target);
  }
  return still;
}

}  // namespace gannet::dataplane
