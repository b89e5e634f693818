/// The conformance suite of storage::Store: drives any store through a seeded script and lets the model judge every
/// answer. Needs nothing of the store but the contract, so every backend runs the same.
#pragma once

#include <cstring>
#include <list>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "storage/store.h"
#include "tests/storage/conformance/model.h"
#include "tests/storage/conformance/workload.h"

namespace gannet::testing {

struct RunOptions {
  std::uint64_t seed = 1;
  std::uint32_t steps = 10'000;
  bool may_forget = false;  ///< The store's memory can fill up.
  std::uint64_t bytes_written_max =
      0;  ///< Ends the run early: what a roomy store can hold without evicting. 0: no end.
  std::uint32_t audit_every = 2'000;
  std::uint32_t tick_bytes = 64 * 1024;  ///< Budget of the tick after each 16th operation.
};

struct RunResult {
  std::string failure;  ///< Empty: every answer was allowed. Else seed, step, operation and what was wrong.
  std::uint64_t steps = 0, hits = 0, misses = 0, forgotten = 0, stored = 0, pins_checked = 0, late_commits = 0,
                no_memory = 0;
};

template <storage::Store S>
class Conformance {
 public:
  Conformance(S& store, const Workload& workload, const RunOptions& options)
      : store_(store),
        options_(options),
        workload_(workload),
        script_(workload, options.seed, store.item_bytes_max()),
        model_({options.may_forget, workload.pins || workload.reservations, store.item_bytes_max(), 64}) {}

  [[nodiscard]] RunResult run() {
    for (std::uint32_t step = 0; step < options_.steps; ++step) {
      ++result_.steps;
      const UnixSeconds now = script_.advance_clock();
      const Operation operation = script_.next(model_);
      std::string wrong = do_one(operation, now);
      if (wrong.empty() && step % 16 == 0) store_.tick(now, options_.tick_bytes);
      if (wrong.empty()) wrong = turn_staged(now);
      if (wrong.empty() && workload_.pins) wrong = turn_pins(now);
      if (wrong.empty() && workload_.reservations) wrong = turn_reservations(now);
      if (wrong.empty() && (step + 1) % options_.audit_every == 0) wrong = audit(now);
      if (!wrong.empty()) return fail(step, to_text(operation), wrong);
      if (options_.bytes_written_max != 0 && written_ > options_.bytes_written_max) break;
    }
    return finish();
  }

 private:
  struct Pinned {
    std::uint32_t segment;
    Bytes where;
    std::string copy;
  };
  struct Staged {
    std::string key;
    storage::Probe probe;
  };
  struct Open {
    Operation operation;
    storage::Reservation reservation;
    char mark;
  };

  RunResult fail(std::uint64_t step, const std::string& operation, const std::string& wrong) {
    std::ostringstream text;
    text << "seed " << options_.seed << ", step " << step << ", clock " << script_.now() << ": " << operation << ": "
         << wrong;
    result_.failure = text.str();
    return result_;
  }

  /// Everything let go, everything read once more, the last audit.
  RunResult finish() {
    const UnixSeconds now = script_.now();
    for (const Pinned& pinned : pinned_) store_.unpin(pinned.segment);
    pinned_.clear();
    for (Open& open : open_) store_.abandon(open.reservation);
    open_.clear();
    for (std::uint32_t i = 0; i < workload_.keys; ++i) {
      Operation get = script_.next(model_);
      get = Operation{Operation::Verb::kGet, get.key, {}};
      if (get.key.empty()) continue;
      if (const std::string wrong = do_one(get, now); !wrong.empty())
        return fail(result_.steps, "final " + to_text(get), wrong);
    }
    if (const std::string wrong = audit(now); !wrong.empty()) return fail(result_.steps, "final audit", wrong);
    const storage::Stats stats = store_.stats();
    if (stats.pins != 0 || stats.reservations != 0)
      return fail(result_.steps, "end", "pins or reservations are left over");
    return result_;
  }

  std::string audit(UnixSeconds now) {
    const storage::AuditReport report = store_.audit(now);
    if (report.faults != 0) return std::string("audit: ") + report.first_fault;
    const storage::Stats stats = store_.stats();
    if (!options_.may_forget && stats.items < model_.live_items(now)) return "stats count fewer items than are live";
    if (stats.pins != pinned_.size())
      return "stats count " + std::to_string(stats.pins) + " pins, held are " + std::to_string(pinned_.size());
    if (stats.reservations != open_.size()) return "stats count a wrong number of reservations";
    return {};
  }

  std::string do_one(const Operation& operation, UnixSeconds now) {
    const ItemSeen* const before = model_.live(operation.key, now);
    const bool was_live = before != nullptr && model_.certain_now(*before);
    const Answer answer = execute(operation, now);
    if (answer.status == StoreStatus::kNoMemory) ++result_.no_memory;
    std::string wrong = model_.judge(operation, now, answer);
    if (!wrong.empty()) return wrong;
    using Verb = Operation::Verb;
    if (operation.verb == Verb::kGet) {
      ++(answer.item ? result_.hits : result_.misses);
      if (was_live && !answer.item) ++result_.forgotten;
    }
    const bool stores =
        operation.verb == Verb::kSet || operation.verb == Verb::kConcat || operation.verb == Verb::kArithmetic;
    if (!stores || answer.status != StoreStatus::kStored) return {};
    ++result_.stored;
    // What was stored this instant is there, however full the memory.
    const ItemSeen* const item = model_.live(operation.key, now);
    if (item == nullptr) return {};
    written_ += item->value.size() + operation.key.size() + 64;
    const Operation get{Operation::Verb::kGet, operation.key, {}};
    const Answer back = execute(get, now);
    if (!back.item && model_.certain_now(*item)) return "stored, and not there at once";
    return model_.judge(get, now, back);
  }

  Answer execute(const Operation& o, UnixSeconds now) {
    using Verb = Operation::Verb;
    Answer answer;
    const Bytes key = as_bytes(o.key);
    storage::Probe probe = store_.hash(key);
    storage::ItemView view;
    switch (o.verb) {
      case Verb::kGet:
        store_.prefetch_bucket(probe);
        store_.prefetch_item(probe);
        if (store_.find(probe, key, now, view) == storage::FindStatus::kHit) {
          answer.item = seen(view);
        } else {
          answer.status = StoreStatus::kNotFound;
        }
        break;
      case Verb::kSet:
        answer.status = store_.set(probe, request(o), as_bytes(o.value), now, answer.cas);
        break;
      case Verb::kErase:
        answer.status = store_.erase(probe, key, o.cas, now);
        break;
      case Verb::kTouch:
        answer.status = store_.touch(probe, key, o.expires_at, now, view);
        if (answer.status == StoreStatus::kStored) answer.item = seen(view);
        break;
      case Verb::kArithmetic: {
        const storage::ArithmeticRequest arithmetic{key,       o.delta,      o.decrement, o.create,
                                                    o.initial, o.expires_at, o.cas};
        answer.status = store_.arithmetic(probe, arithmetic, now, answer.number, answer.cas);
        break;
      }
      case Verb::kConcat:
        answer.status = store_.concat(probe, key, as_bytes(o.value), o.front, o.cas, now, answer.cas);
        break;
      case Verb::kFlush:
        store_.flush(o.expires_at, now);
        break;
      case Verb::kTick:
        store_.tick(now, options_.tick_bytes);
        break;
    }
    return answer;
  }

  static storage::SetRequest request(const Operation& o) {
    return {as_bytes(o.key), static_cast<std::uint32_t>(o.value.size()), o.flags, o.expires_at, o.cas, o.mode};
  }
  static ItemSeen seen(const storage::ItemView& view) {
    return {std::string(as_text(view.value)), view.flags, view.expires_at, view.cas};
  }

  /// Gets whose stages lie far apart: prefetched now, found after other operations, as in a burst with writes in it.
  /// What the store noted in the probe has to be doubted then.
  std::string turn_staged(UnixSeconds now) {
    if (staged_.size() < 8 && script_.one_in(3)) {
      Staged staged{script_.next_set(model_).key, {}};
      staged.probe = store_.hash(as_bytes(staged.key));
      staged_.push_back(std::move(staged));
    }
    if (staged_.empty()) return {};
    if (script_.one_in(4)) {
      std::vector<storage::Probe*> probes;
      for (Staged& staged : staged_) probes.push_back(&staged.probe);
      store_.prefetch_burst(probes);
    } else if (script_.one_in(4)) {
      store_.prefetch_bucket(staged_.back().probe);
      store_.prefetch_item(staged_.back().probe);
    }
    if (!script_.one_in(4)) return {};
    const Staged staged = std::move(staged_.front());
    staged_.pop_front();
    Answer answer;
    storage::ItemView view;
    answer.status = StoreStatus::kNotFound;
    if (store_.find(staged.probe, as_bytes(staged.key), now, view) == storage::FindStatus::kHit) {
      answer.status = StoreStatus::kStored;
      answer.item = seen(view);
    }
    const Operation get{Operation::Verb::kGet, staged.key, {}};
    const std::string wrong = model_.judge(get, now, answer);
    return wrong.empty() ? "" : "staged " + to_text(get) + ": " + wrong;
  }

  /// Holds some found items by pins over many operations; their bytes may never change, whatever is evicted meanwhile.
  std::string turn_pins(UnixSeconds now) {
    if (pinned_.size() < 32 && script_.one_in(8)) {
      const Operation o = script_.next_set(model_);
      storage::ItemView view;
      const Bytes key = as_bytes(o.key);
      if (model_.live(o.key, now) != nullptr &&
          store_.find(store_.hash(key), key, now, view) == storage::FindStatus::kHit && store_.pin(view.segment)) {
        pinned_.push_back({view.segment, view.value, std::string(as_text(view.value))});
      }
    }
    if (!pinned_.empty() && script_.one_in(40)) {
      auto at = pinned_.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(script_.below(pinned_.size())));
      const std::string wrong = compare(*at);
      store_.unpin(at->segment);
      pinned_.erase(at);
      if (!wrong.empty()) return wrong;
    }
    if (!script_.one_in(64)) return {};
    for (const Pinned& pinned : pinned_) {
      if (std::string wrong = compare(pinned); !wrong.empty()) return wrong;
    }
    return {};
  }

  std::string compare(const Pinned& pinned) {
    ++result_.pins_checked;
    return as_text(pinned.where) == pinned.copy ? "" : "pinned bytes changed";
  }

  /// Sets whose value arrives late: room is reserved now, the value written and committed, or given up, many operations
  /// later.
  std::string turn_reservations(UnixSeconds now) {
    if (open_.size() < 8 && script_.one_in(15)) {
      Open open{script_.next_set(model_), {}, static_cast<char>(script_.below(256))};
      const Bytes key = as_bytes(open.operation.key);
      const StoreStatus status = store_.reserve(store_.hash(key), request(open.operation), now, open.reservation);
      if (status == StoreStatus::kNoMemory) ++result_.no_memory;
      if (std::string wrong = model_.judge_reserve(open.operation, now, status); !wrong.empty()) {
        return "reserve: " + to_text(open.operation) + ": " + wrong;
      }
      if (status != StoreStatus::kStored) return {};
      if (open.reservation.value.size() != open.operation.value.size()) return "reserve gave room of another size";
      // Half-written bytes, as a value on its way in leaves them; nobody may touch or see them.
      std::memset(open.reservation.value.data(), open.mark, open.reservation.value.size());
      open_.push_back(std::move(open));
    }
    if (open_.empty() || !script_.one_in(20)) return {};
    auto at = open_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(script_.below(open_.size())));
    Open open = std::move(*at);
    open_.erase(at);
    for (const std::byte byte : open.reservation.value) {
      if (byte != static_cast<std::byte>(open.mark)) return "somebody wrote into a reservation";
    }
    if (script_.one_in(4)) {
      store_.abandon(open.reservation);
      return {};
    }
    std::memcpy(open.reservation.value.data(), open.operation.value.data(), open.operation.value.size());
    Answer answer;
    answer.status = store_.commit(open.reservation, now, answer.cas);
    ++result_.late_commits;
    if (answer.status == StoreStatus::kStored) written_ += open.operation.value.size() + open.operation.key.size() + 64;
    if (std::string wrong = model_.judge(open.operation, now, answer); !wrong.empty()) {
      return "commit: " + to_text(open.operation) + ": " + wrong;
    }
    return {};
  }

  S& store_;
  RunOptions options_;
  Workload workload_;
  Script script_;
  Model model_;
  RunResult result_;
  std::list<Staged> staged_;
  std::list<Pinned> pinned_;
  std::list<Open> open_;
  std::uint64_t written_ = 0;
};

template <storage::Store S>
[[nodiscard]] RunResult run_conformance(S& store, const Workload& workload, const RunOptions& options) {
  return Conformance<S>(store, workload, options).run();
}

}  // namespace gannet::testing
