/// What memcached's rules allow a store to answer: the oracle of the conformance suite. It knows nothing of segments,
/// only of keys, values and the clock. It does not predict; it judges an answer that was given, because a cache may
/// forget: where forgetting is allowed, an item that was missed once is gone for good and may not come back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "storage/store.h"

namespace gannet::testing {

using storage::kNever;
using storage::SetMode;
using storage::StoreStatus;

struct Operation {
  enum class Verb : std::uint8_t { kGet, kSet, kErase, kTouch, kArithmetic, kConcat, kFlush, kTick };
  Verb verb = Verb::kGet;
  std::string key;
  std::string value;  ///< What is set, or joined on.
  std::uint32_t flags = 0;
  UnixSeconds expires_at = kNever;  ///< Of set, touch and a created counter; of flush its second (0: at once).
  std::uint64_t cas = 0;
  SetMode mode = SetMode::kSet;
  bool front = false, decrement = false, create = false;
  std::uint64_t delta = 0, initial = 0;
};

/// One line that shows an operation to whoever reads a failure.
[[nodiscard]] std::string to_text(const Operation& operation);
[[nodiscard]] const char* to_text(StoreStatus status);

struct ItemSeen {
  std::string value;
  std::uint32_t flags = 0;
  UnixSeconds expires_at = kNever;
  std::uint64_t cas = 0;
  bool operator==(const ItemSeen&) const = default;
};

/// A store's answer, the same for all verbs. A get that hits says kStored, one that misses kNotFound.
struct Answer {
  StoreStatus status = StoreStatus::kStored;
  std::optional<ItemSeen> item;  ///< Of get and touch.
  std::uint64_t cas = 0;         ///< Of what stores.
  std::uint64_t number = 0;      ///< Of arithmetic.
};

/// The decimal number a counter's bytes stand for: digits, then blanks. Nothing for all else.
[[nodiscard]] std::optional<std::uint64_t> counter_value(std::string_view text);

class Model {
 public:
  struct Rules {
    bool may_forget = false;       ///< Memory can be full: a live item may be missing.
    bool may_lack_memory = false;  ///< Pins and reservations can hold everything: kNoMemory is an answer.
    std::uint32_t item_bytes_max = 0;
    std::uint32_t overhead_bytes_max = 64;  ///< The most a store may add to key and value when it judges kTooLarge.
  };
  explicit Model(Rules rules) : rules_(rules) {}

  /// Empty if `answer` is allowed; else what is wrong with it. Takes over what the answer says has happened.
  [[nodiscard]] std::string judge(const Operation& operation, UnixSeconds now, const Answer& answer);

  /// The same for a set in two halves. `reserved` is what reserve() said; nothing is stored yet.
  [[nodiscard]] std::string judge_reserve(const Operation& operation, UnixSeconds now, StoreStatus reserved);

  /// What a get right now has to find if it finds anything; nothing if it has to miss.
  [[nodiscard]] const ItemSeen* live(const std::string& key, UnixSeconds now) const;
  /// ... and whether it has to find it.
  [[nodiscard]] bool certain(const ItemSeen& item) const { return !rules_.may_forget && not_expired_ever(item); }
  /// ... and whether it has to find it in the instant it was stored.
  [[nodiscard]] bool certain_now(const ItemSeen& item) const { return not_expired_ever(item); }

  /// Items that are there at `now` whatever the clock did before, if none was forgotten.
  [[nodiscard]] std::size_t live_items(UnixSeconds now) const;
  [[nodiscard]] std::uint64_t last_cas() const { return last_cas_; }

 private:
  enum class Fit : std::uint8_t { kFits, kTooLarge, kEither };

  [[nodiscard]] Fit fit(std::size_t key_bytes, std::size_t value_bytes) const;
  void observe(UnixSeconds now);
  /// After a clock that ran backwards, what had expired may be gone or not.
  [[nodiscard]] bool not_expired_ever(const ItemSeen& item) const {
    return item.expires_at == kNever || item.expires_at > latest_;
  }
  [[nodiscard]] std::string judge_as(const Operation& operation, const ItemSeen* item, const Answer& answer,
                                     bool commits);
  [[nodiscard]] std::string judge_set(const Operation& operation, const ItemSeen* item, const Answer& answer,
                                      bool commits);
  [[nodiscard]] std::string judge_arithmetic(const Operation& operation, const ItemSeen* item, const Answer& answer);
  [[nodiscard]] std::string judge_concat(const Operation& operation, const ItemSeen* item, const Answer& answer);
  [[nodiscard]] std::string judge_item(const ItemSeen& expected, const Answer& answer) const;
  [[nodiscard]] std::string put(const std::string& key, ItemSeen item, std::uint64_t cas);
  [[nodiscard]] std::string judge_with_presence(const Operation& operation, UnixSeconds now, const Answer& answer,
                                                bool commits);

  Rules rules_;
  std::unordered_map<std::string, ItemSeen> items_;
  UnixSeconds latest_ = 0;  ///< The highest clock seen.
  UnixSeconds flush_at_ = 0;
  std::uint64_t last_cas_ = 0;
};

}  // namespace gannet::testing
