#include "tests/storage/conformance/model.h"

#include <algorithm>
#include <array>

namespace gannet::testing {

namespace {

std::string expected_status(StoreStatus expected, StoreStatus got) {
  return std::string("expected ") + to_text(expected) + ", got " + to_text(got);
}

std::string shorten(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, 40)) text += c >= ' ' && c <= '~' ? c : '?';
  return "\"" + text + (bytes.size() > 40 ? "\"... of " + std::to_string(bytes.size()) + " bytes" : "\"");
}

}  // namespace

const char* to_text(StoreStatus status) {
  constexpr std::array<const char*, 7> kNames{"kStored",   "kNotFound",   "kExists",  "kNotStored",
                                              "kTooLarge", "kNotNumeric", "kNoMemory"};
  return static_cast<std::size_t>(status) < kNames.size() ? kNames[static_cast<std::size_t>(status)]
                                                          : "an unknown status";
}

std::string to_text(const Operation& o) {
  constexpr std::array<const char*, 8> kVerbs{"get", "set", "erase", "touch", "arithmetic", "concat", "flush", "tick"};
  constexpr std::array<const char*, 3> kModes{" set", " add", " replace"};
  std::string text = kVerbs[static_cast<std::size_t>(o.verb)];
  if (o.verb == Operation::Verb::kSet) text += kModes[static_cast<std::size_t>(o.mode)];
  text += " key " + shorten(o.key) + " value " + shorten(o.value) + " flags " + std::to_string(o.flags) + " expires " +
          std::to_string(o.expires_at) + " cas " + std::to_string(o.cas);
  if (o.verb == Operation::Verb::kArithmetic) {
    text += (o.decrement ? " minus " : " plus ") + std::to_string(o.delta) +
            (o.create ? " or create " + std::to_string(o.initial) : "");
  }
  if (o.verb == Operation::Verb::kConcat) text += o.front ? " in front" : " behind";
  return text;
}

std::optional<std::uint64_t> counter_value(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (number > (UINT64_MAX - digit) / 10) return std::nullopt;
    number = number * 10 + digit;
  }
  return number;
}

Model::Fit Model::fit(std::size_t key_bytes, std::size_t value_bytes) const {
  const std::size_t bytes = key_bytes + value_bytes;
  if (bytes > rules_.item_bytes_max) return Fit::kTooLarge;
  return bytes + rules_.overhead_bytes_max <= rules_.item_bytes_max ? Fit::kFits : Fit::kEither;
}

void Model::observe(UnixSeconds now) {
  latest_ = std::max(latest_, now);
  if (flush_at_ != 0 && now >= flush_at_) {
    items_.clear();
    flush_at_ = 0;
  }
}

const ItemSeen* Model::live(const std::string& key, UnixSeconds now) const {
  if (flush_at_ != 0 && now >= flush_at_) return nullptr;
  const auto found = items_.find(key);
  if (found == items_.end()) return nullptr;
  const UnixSeconds expires_at = found->second.expires_at;
  return expires_at != kNever && expires_at <= now ? nullptr : &found->second;
}

std::size_t Model::live_items(UnixSeconds now) const {
  return static_cast<std::size_t>(std::count_if(items_.begin(), items_.end(), [&](const auto& entry) {
    const ItemSeen* const item = live(entry.first, now);
    return item != nullptr && certain_now(*item);
  }));
}

std::string Model::judge(const Operation& operation, UnixSeconds now, const Answer& answer) {
  observe(now);
  if (operation.verb == Operation::Verb::kTick) return {};
  if (operation.verb == Operation::Verb::kFlush) {
    flush_at_ = operation.expires_at <= now ? 0 : operation.expires_at;
    if (flush_at_ == 0) items_.clear();
    return {};
  }
  return judge_with_presence(operation, now, answer, true);
}

std::string Model::judge_reserve(const Operation& operation, UnixSeconds now, StoreStatus reserved) {
  observe(now);
  Answer answer;
  answer.status = reserved;
  return judge_with_presence(operation, now, answer, false);
}

std::string Model::judge_with_presence(const Operation& operation, UnixSeconds now, const Answer& answer,
                                       bool commits) {
  const ItemSeen* const item = live(operation.key, now);
  if (item == nullptr) return judge_as(operation, nullptr, answer, commits);
  const std::string wrong = judge_as(operation, item, answer, commits);
  if (wrong.empty() || certain(*item)) return wrong;
  // Perhaps it was forgotten. Then everything must fit an item that is not there, and it stays away.
  const std::string wrong_if_absent = judge_as(operation, nullptr, answer, commits);
  if (!wrong_if_absent.empty()) return wrong + "; and if the item was forgotten: " + wrong_if_absent;
  const bool replaced = commits && answer.status == StoreStatus::kStored && answer.cas != 0;
  if (!replaced) items_.erase(operation.key);
  return {};
}

std::string Model::judge_as(const Operation& operation, const ItemSeen* item, const Answer& answer, bool commits) {
  using Verb = Operation::Verb;
  if (answer.status == StoreStatus::kNoMemory && operation.verb != Verb::kGet && operation.verb != Verb::kErase) {
    return rules_.may_lack_memory ? "" : "kNoMemory though nothing is pinned or reserved";
  }
  const bool other_cas = item != nullptr && operation.cas != 0 && operation.cas != item->cas;
  switch (operation.verb) {
    case Verb::kSet:
      return judge_set(operation, item, answer, commits);
    case Verb::kArithmetic:
      return judge_arithmetic(operation, item, answer);
    case Verb::kConcat:
      return judge_concat(operation, item, answer);
    case Verb::kGet: {
      if (item == nullptr) return answer.status == StoreStatus::kNotFound ? "" : "a hit where there is nothing to find";
      return judge_item(*item, answer);
    }
    case Verb::kErase: {
      const StoreStatus expected = item == nullptr ? StoreStatus::kNotFound
                                   : other_cas     ? StoreStatus::kExists
                                                   : StoreStatus::kStored;
      if (answer.status != expected) return expected_status(expected, answer.status);
      if (expected == StoreStatus::kStored) items_.erase(operation.key);
      return {};
    }
    case Verb::kTouch: {
      if (item == nullptr) {
        return answer.status == StoreStatus::kNotFound ? "" : expected_status(StoreStatus::kNotFound, answer.status);
      }
      ItemSeen touched = *item;
      touched.expires_at = operation.expires_at;
      std::string wrong = judge_item(touched, answer);
      if (wrong.empty()) items_[operation.key] = std::move(touched);
      return wrong;
    }
    case Verb::kFlush:
    case Verb::kTick:
      break;
  }
  return "the model cannot judge this verb";
}

std::string Model::judge_item(const ItemSeen& expected, const Answer& answer) const {
  if (answer.status != StoreStatus::kStored) return expected_status(StoreStatus::kStored, answer.status);
  if (!answer.item.has_value()) return "no item came with the answer";
  const ItemSeen& seen = *answer.item;
  if (seen.value != expected.value)
    return "the value is " + shorten(seen.value) + " and not " + shorten(expected.value);
  if (seen.flags != expected.flags)
    return "the flags are " + std::to_string(seen.flags) + " and not " + std::to_string(expected.flags);
  if (seen.expires_at != expected.expires_at) {
    return "the expiry is " + std::to_string(seen.expires_at) + " and not " + std::to_string(expected.expires_at);
  }
  if (seen.cas != expected.cas)
    return "the cas is " + std::to_string(seen.cas) + " and not " + std::to_string(expected.cas);
  return {};
}

std::string Model::put(const std::string& key, ItemSeen item, std::uint64_t cas) {
  if (cas <= last_cas_)
    return "cas " + std::to_string(cas) + " after " + std::to_string(last_cas_) + ": a new one must be higher";
  last_cas_ = cas;
  item.cas = cas;
  items_[key] = std::move(item);
  return {};
}

std::string Model::judge_set(const Operation& operation, const ItemSeen* item, const Answer& answer, bool commits) {
  const Fit size = fit(operation.key.size(), operation.value.size());
  if (answer.status == StoreStatus::kTooLarge && size != Fit::kFits) {
    if (operation.mode == SetMode::kSet) items_.erase(operation.key);
    return {};
  }
  StoreStatus expected = StoreStatus::kStored;
  if (size == Fit::kTooLarge) {
    expected = StoreStatus::kTooLarge;
  } else if (operation.cas != 0) {
    expected = item == nullptr              ? StoreStatus::kNotFound
               : item->cas == operation.cas ? StoreStatus::kStored
                                            : StoreStatus::kExists;
  } else if (operation.mode == SetMode::kAdd && item != nullptr) {
    expected = StoreStatus::kExists;
  } else if (operation.mode == SetMode::kReplace && item == nullptr) {
    expected = StoreStatus::kNotFound;
  }
  if (answer.status != expected) return expected_status(expected, answer.status);
  if (expected != StoreStatus::kStored || !commits) return {};
  return put(operation.key, {operation.value, operation.flags, operation.expires_at, 0}, answer.cas);
}

std::string Model::judge_arithmetic(const Operation& operation, const ItemSeen* item, const Answer& answer) {
  if (item == nullptr) {
    // A condition on the CAS says nothing about an item that is not there: memcached creates it all the same.
    const StoreStatus expected = operation.create ? StoreStatus::kStored : StoreStatus::kNotFound;
    if (answer.status != expected) return expected_status(expected, answer.status);
    if (!operation.create) return {};
    if (answer.number != operation.initial) return "a created counter must answer its initial value";
    return put(operation.key, {std::to_string(operation.initial), 0, operation.expires_at, 0}, answer.cas);
  }
  const std::optional<std::uint64_t> number = counter_value(item->value);
  if (operation.cas != 0 && operation.cas != item->cas) {
    // memcached looks at the number first; either order tells the client that nothing changed.
    const bool allowed =
        answer.status == StoreStatus::kExists || (!number && answer.status == StoreStatus::kNotNumeric);
    return allowed ? "" : expected_status(StoreStatus::kExists, answer.status);
  }
  if (!number)
    return answer.status == StoreStatus::kNotNumeric ? "" : expected_status(StoreStatus::kNotNumeric, answer.status);
  if (answer.status != StoreStatus::kStored) return expected_status(StoreStatus::kStored, answer.status);
  const std::uint64_t result =
      operation.decrement ? *number - std::min(*number, operation.delta) : *number + operation.delta;
  if (answer.number != result)
    return "the number is " + std::to_string(answer.number) + " and not " + std::to_string(result);
  std::string text = std::to_string(result);
  if (text.size() < item->value.size()) text.resize(item->value.size(), ' ');
  return put(operation.key, {std::move(text), item->flags, item->expires_at, 0}, answer.cas);
}

std::string Model::judge_concat(const Operation& operation, const ItemSeen* item, const Answer& answer) {
  if (item == nullptr) {
    return answer.status == StoreStatus::kNotFound ? "" : expected_status(StoreStatus::kNotFound, answer.status);
  }
  const Fit size = fit(operation.key.size(), operation.value.size() + item->value.size());
  if (answer.status == StoreStatus::kNotStored && size != Fit::kFits) return {};
  const StoreStatus expected = operation.cas != 0 && operation.cas != item->cas ? StoreStatus::kExists
                               : size == Fit::kTooLarge                         ? StoreStatus::kNotStored
                                                                                : StoreStatus::kStored;
  if (answer.status != expected) return expected_status(expected, answer.status);
  if (expected != StoreStatus::kStored) return {};
  return put(operation.key,
             {operation.front ? operation.value + item->value : item->value + operation.value, item->flags,
              item->expires_at, 0},
             answer.cas);
}

}  // namespace gannet::testing
