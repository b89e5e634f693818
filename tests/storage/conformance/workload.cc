#include "tests/storage/conformance/workload.h"

#include <algorithm>

namespace gannet::testing {

Script::Script(const Workload& workload, std::uint64_t seed, std::uint32_t item_bytes_max)
    : workload_(workload), random_(seed), item_bytes_max_(item_bytes_max) {}

UnixSeconds Script::advance_clock() {
  if (below(1000) >= workload_.clock_per_1000) return now_;
  if (workload_.clock_runs_back && one_in(20)) return now_ -= static_cast<UnixSeconds>(1 + below(5));
  const bool leap = one_in(200);
  now_ += static_cast<UnixSeconds>(1 + (leap ? below(workload_.clock_step_max) : below(2)));
  latest_ = std::max(latest_, now_);
  return now_;
}

std::string Script::key() {
  // The number decides the length too, so that one number is always the same key. Lengths 1..250, short ones more
  // often.
  const std::uint64_t number = one_in(2) ? below(workload_.keys) : below(1 + workload_.keys / 8);
  std::string text = std::to_string(number);
  const std::uint64_t length = number % 5 == 0 ? 1 + number * 7919 % 250 : 8 + number % 32;
  if (text.size() < length) text.append(length - text.size(), static_cast<char>(number));  // Any byte may be in a key.
  return text;
}

std::string Script::value() {
  const std::uint64_t dice = below(1000);
  if (dice < workload_.too_large_per_1000) return std::string(item_bytes_max_ - below(300) + 200, 'L');
  if (dice < 150) return std::to_string(random_() >> below(64));
  if (dice < 170) return "000" + std::to_string(below(1000));
  if (dice < 180) return one_in(2) ? "18446744073709551615" : "18446744073709551616";
  if (dice < 190) return std::to_string(below(100)) + "  ";
  if (dice < 200) return one_in(2) ? "1 2" : "-1";
  if (dice < 260) return std::string(below(2), 'x');
  std::uint64_t bytes = below(one_in(10) ? workload_.value_bytes_max + 1 : 1 + workload_.value_bytes_max / 8);
  bytes = std::min<std::uint64_t>(bytes, item_bytes_max_);
  // Every value is new: one that comes back from the dead cannot pass for the present one.
  std::string text = "v" + std::to_string(++written_) + ":";
  const auto filler = static_cast<char>(random_());
  text.resize(std::max<std::uint64_t>(bytes, text.size()), filler);
  return text;
}

UnixSeconds Script::expiry() {
  if (below(1000) >= workload_.ttl_per_1000) return kNever;
  switch (below(6)) {
    case 0:
      return static_cast<UnixSeconds>(now_ + below(3));  // 0: gone before it is stored.
    case 1:
    case 2:
      return static_cast<UnixSeconds>(now_ + 1 + below(30));
    case 3:
      return static_cast<UnixSeconds>(now_ + 1 + below(3600));
    case 4:
      return static_cast<UnixSeconds>(now_ - 1 - below(100'000));  // Long past.
    default:
      return static_cast<UnixSeconds>(now_ + 1 + below(workload_.ttl_max));
  }
}

std::uint64_t Script::cas_for(const std::string& key, const Model& model) {
  if (!one_in(6)) return 0;
  const ItemSeen* const item = model.live(key, now_);
  return item != nullptr && !one_in(3) ? item->cas : 1 + below(model.last_cas() + 2);
}

Operation Script::next_set(const Model& model) {
  Operation operation;
  operation.verb = Operation::Verb::kSet;
  operation.key = key();
  operation.value = value();
  operation.flags = one_in(2) ? 0 : static_cast<std::uint32_t>(random_());
  operation.expires_at = expiry();
  operation.cas = cas_for(operation.key, model);
  operation.mode = one_in(2) ? SetMode::kSet : one_in(2) ? SetMode::kAdd : SetMode::kReplace;
  return operation;
}

Operation Script::next(const Model& model) {
  Operation operation;
  if (below(10'000) < workload_.flush_per_10000) {
    operation.verb = Operation::Verb::kFlush;
    // With a clock that ran back a store may hold a second for past that is yet to come: then only "at once" is clear.
    operation.expires_at = one_in(2) || now_ < latest_ ? 0 : static_cast<UnixSeconds>(now_ + below(4));
    return operation;
  }
  const std::uint64_t dice = below(workload_.set_weight + workload_.get_weight + workload_.other_weight);
  if (dice < workload_.set_weight) return next_set(model);
  operation.key = key();
  if (dice < workload_.set_weight + workload_.get_weight) {
    operation.verb = one_in(20) ? Operation::Verb::kTick : Operation::Verb::kGet;
    return operation;
  }
  operation.cas = cas_for(operation.key, model);
  switch (below(5)) {
    case 0:
      operation.verb = Operation::Verb::kErase;
      break;
    case 1:
      operation.verb = Operation::Verb::kTouch;
      operation.expires_at = expiry();
      break;
    case 2:
      operation.verb = Operation::Verb::kConcat;
      operation.front = one_in(2);
      operation.value = value();
      break;
    default:
      operation.verb = Operation::Verb::kArithmetic;
      operation.decrement = one_in(2);
      operation.create = one_in(2);
      operation.delta = one_in(10) ? random_() : below(2000);
      // Never what counting on from another counter gives: else the answer would not tell a created item from a counted
      // one.
      operation.initial = one_in(10) ? random_() : 1'000'000'000'000 + ++written_ * 100'000;
      operation.expires_at = expiry();
      break;
  }
  return operation;
}

}  // namespace gannet::testing
