/// A store made of a std::unordered_map: the plainest thing that satisfies the contract. It shows that the conformance
/// suite can be passed, and, with one fault planted at a time, that it can be failed.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>

#include "storage/store.h"
#include "tests/storage/conformance/model.h"

namespace gannet::testing {

/// What BrokenStore does wrong. Each is a mistake a real store has made somewhere.
enum class Fault : std::uint8_t {
  kNone,
  kServesInTheSecondOfExpiry,
  kDropsASecondEarly,
  kKeepsOldExpiryOnTouch,
  kNewCasOnTouch,
  kSameCasTwice,
  kIgnoresCasOfErase,
  kAddOverwrites,
  kReplaceCreates,
  kCasSetCreates,
  kForgetsFlags,
  kDecrementsBelowZero,
  kShortensCounters,
  kPrependsBehind,
  kConcatResetsExpiry,
  kFlushTakesLaterStores,
  kFlushForgetsDelay,
  kDelayedFlushSparesLateStores,
  kTooLargeKeepsOldItem,
  kCommitForgetsTheCas,
  kOldValueComesBack,
  kForgetsOneInAThousand,
  kPinnedBytesChange,
  kCount,
};

class ReferenceStore {
 public:
  ReferenceStore(std::size_t items_max, std::uint32_t item_bytes_max, Fault fault = Fault::kNone)
      : items_max_(items_max), item_bytes_max_(item_bytes_max), fault_(fault) {}

  [[nodiscard]] storage::Probe hash(Bytes key) const { return {std::hash<std::string_view>{}(as_text(key))}; }
  void prefetch_bucket(storage::Probe) const {}
  void prefetch_item(storage::Probe) const {}
  void prefetch_burst(std::span<storage::Probe* const>) const {}

  [[nodiscard]] storage::FindStatus find(storage::Probe, Bytes key, UnixSeconds now, storage::ItemView& view) {
    Item* const item = look(key, now);
    if (item == nullptr) return storage::FindStatus::kMiss;
    if (fault_ == Fault::kForgetsOneInAThousand && ++finds_ % 1000 == 0) return storage::FindStatus::kMiss;
    fill(*item, view);
    return storage::FindStatus::kHit;
  }
  /// A pinned item is kept alive whole, by its number.
  [[nodiscard]] bool pin(std::uint32_t number) {
    for (const auto& [key, item] : items_) {
      if (item.number == number) {
        pinned_.emplace(number, item.bytes);
        return true;
      }
    }
    return pinned_.contains(number) && (pinned_.emplace(number, pinned_.find(number)->second), true);
  }
  void unpin(std::uint32_t number) { pinned_.erase(pinned_.find(number)); }

  [[nodiscard]] StoreStatus reserve(storage::Probe, const storage::SetRequest& set, UnixSeconds now,
                                    storage::Reservation& reservation) {
    if (set.key.size() + set.value_bytes > item_bytes_max_) {
      if (set.mode == SetMode::kSet && fault_ != Fault::kTooLargeKeepsOldItem)
        items_.erase(std::string(as_text(set.key)));
      return StoreStatus::kTooLarge;
    }
    if (const StoreStatus status = judge(set, now); status != StoreStatus::kStored) return status;
    Open& open = open_[++tickets_];
    open.key = as_text(set.key);
    open.set = set;
    open.bytes = std::make_shared<std::string>(set.value_bytes, '\0');
    reservation = {{reinterpret_cast<std::byte*>(open.bytes->data()), open.bytes->size()}, tickets_};
    return StoreStatus::kStored;
  }
  [[nodiscard]] StoreStatus commit(storage::Reservation& reservation, UnixSeconds now, std::uint64_t& cas) {
    Open open = std::move(open_.at(reservation.ticket));
    open_.erase(reservation.ticket);
    open.set.key = as_bytes(open.key);
    if (fault_ == Fault::kCommitForgetsTheCas) open.set.cas = 0;
    if (const StoreStatus status = judge(open.set, now); status != StoreStatus::kStored) return status;
    put(open.key, open.bytes, open.set.flags, open.set.expires_at, now, cas);
    return StoreStatus::kStored;
  }
  void abandon(storage::Reservation& reservation) { open_.erase(reservation.ticket); }

  [[nodiscard]] StoreStatus set(storage::Probe probe, const storage::SetRequest& set, Bytes value, UnixSeconds now,
                                std::uint64_t& cas) {
    storage::Reservation reservation;
    if (const StoreStatus status = reserve(probe, set, now, reservation); status != StoreStatus::kStored) return status;
    std::copy(value.begin(), value.end(), reservation.value.begin());
    return commit(reservation, now, cas);
  }

  [[nodiscard]] StoreStatus erase(storage::Probe, Bytes key, std::uint64_t cas, UnixSeconds now) {
    const Item* const item = look(key, now);
    if (item == nullptr) return StoreStatus::kNotFound;
    if (cas != 0 && cas != item->cas && fault_ != Fault::kIgnoresCasOfErase) return StoreStatus::kExists;
    if (fault_ == Fault::kOldValueComesBack && ++erases_ % 8 == 0) return StoreStatus::kStored;
    items_.erase(std::string(as_text(key)));
    return StoreStatus::kStored;
  }
  [[nodiscard]] StoreStatus touch(storage::Probe, Bytes key, UnixSeconds expires_at, UnixSeconds now,
                                  storage::ItemView& view) {
    Item* const item = look(key, now);
    if (item == nullptr) return StoreStatus::kNotFound;
    if (fault_ == Fault::kNewCasOnTouch) item->cas = ++cas_;
    const UnixSeconds before = item->expires_at;
    item->expires_at = expires_at;
    fill(*item, view);
    if (fault_ == Fault::kKeepsOldExpiryOnTouch) item->expires_at = before;
    return StoreStatus::kStored;
  }
  [[nodiscard]] StoreStatus arithmetic(storage::Probe, const storage::ArithmeticRequest& r, UnixSeconds now,
                                       std::uint64_t& number, std::uint64_t& cas) {
    const Item* const item = look(r.key, now);
    const std::string key(as_text(r.key));
    if (item == nullptr) {
      if (!r.create) return StoreStatus::kNotFound;
      number = r.initial;
      put(key, std::make_shared<std::string>(std::to_string(number)), 0, r.expires_at, now, cas);
      return StoreStatus::kStored;
    }
    const auto value = counter_value(*item->bytes);
    if (!value) return StoreStatus::kNotNumeric;
    if (r.cas != 0 && r.cas != item->cas) return StoreStatus::kExists;
    const bool below = r.delta > *value && fault_ != Fault::kDecrementsBelowZero;
    number = !r.decrement ? *value + r.delta : below ? 0 : *value - r.delta;
    std::string text = std::to_string(number);
    if (text.size() < item->bytes->size() && fault_ != Fault::kShortensCounters) text.resize(item->bytes->size(), ' ');
    put(key, std::make_shared<std::string>(std::move(text)), item->flags, item->expires_at, now, cas);
    return StoreStatus::kStored;
  }
  [[nodiscard]] StoreStatus concat(storage::Probe, Bytes key, Bytes more, bool front, std::uint64_t cas,
                                   UnixSeconds now, std::uint64_t& cas_out) {
    const Item* const item = look(key, now);
    if (item == nullptr) return StoreStatus::kNotFound;
    if (cas != 0 && cas != item->cas) return StoreStatus::kExists;
    if (key.size() + item->bytes->size() + more.size() > item_bytes_max_) return StoreStatus::kNotStored;
    const std::string tail(as_text(more));
    if (fault_ == Fault::kPrependsBehind) front = false;
    put(std::string(as_text(key)), std::make_shared<std::string>(front ? tail + *item->bytes : *item->bytes + tail),
        item->flags, fault_ == Fault::kConcatResetsExpiry ? kNever : item->expires_at, now, cas_out);
    return StoreStatus::kStored;
  }
  void flush(UnixSeconds at, UnixSeconds now) {
    if (fault_ == Fault::kFlushForgetsDelay) at = 0;
    flush_at_ = at <= now ? 0 : at;
    if (flush_at_ != 0) return;
    items_.clear();
    hidden_until_ = fault_ == Fault::kFlushTakesLaterStores ? cas_ + 2 : 0;
  }

  void tick(UnixSeconds now, std::uint32_t) { advance(now); }
  [[nodiscard]] storage::Stats stats() const {
    storage::Stats stats;
    stats.items = items_.size();
    stats.pins = pinned_.size();
    stats.reservations = open_.size();
    return stats;
  }
  [[nodiscard]] storage::AuditReport audit(UnixSeconds) const {
    storage::AuditReport report;
    report.items = items_.size();
    return report;
  }
  [[nodiscard]] std::uint32_t item_bytes_max() const { return item_bytes_max_; }

 private:
  struct Item {
    std::shared_ptr<std::string> bytes;
    std::uint32_t flags = 0;
    UnixSeconds expires_at = kNever, stored_at = 0;
    std::uint64_t cas = 0;
    std::uint32_t number = 0;
  };
  struct Open {
    std::string key;
    storage::SetRequest set;
    std::shared_ptr<std::string> bytes;
  };

  void advance(UnixSeconds now) {
    if (flush_at_ == 0 || now < flush_at_) return;
    const UnixSeconds spared_from = fault_ == Fault::kDelayedFlushSparesLateStores ? flush_at_ - 1 : UINT32_MAX;
    std::erase_if(items_, [&](const auto& entry) { return entry.second.stored_at < spared_from; });
    flush_at_ = 0;
  }
  Item* look(Bytes key, UnixSeconds now) {
    advance(now);
    const auto found = items_.find(std::string(as_text(key)));
    if (found == items_.end() || found->second.cas <= hidden_until_) return nullptr;
    UnixSeconds gone_at = found->second.expires_at;
    if (gone_at == kNever) return &found->second;
    if (fault_ == Fault::kServesInTheSecondOfExpiry) ++gone_at;
    if (fault_ == Fault::kDropsASecondEarly) --gone_at;
    return gone_at <= now ? nullptr : &found->second;
  }
  static void fill(const Item& item, storage::ItemView& view) {
    view = {as_bytes(*item.bytes), item.flags, item.expires_at, item.cas, item.number};
  }
  StoreStatus judge(const storage::SetRequest& set, UnixSeconds now) {
    const Item* const item = look(set.key, now);
    if (set.cas != 0) {
      if (item == nullptr) return fault_ == Fault::kCasSetCreates ? StoreStatus::kStored : StoreStatus::kNotFound;
      return item->cas == set.cas ? StoreStatus::kStored : StoreStatus::kExists;
    }
    if (set.mode == SetMode::kAdd && item != nullptr && fault_ != Fault::kAddOverwrites) return StoreStatus::kExists;
    if (set.mode == SetMode::kReplace && item == nullptr && fault_ != Fault::kReplaceCreates)
      return StoreStatus::kNotFound;
    return StoreStatus::kStored;
  }
  void put(const std::string& key, std::shared_ptr<std::string> bytes, std::uint32_t flags, UnixSeconds expires_at,
           UnixSeconds now, std::uint64_t& cas) {
    if (items_.size() >= items_max_ && !items_.contains(key)) items_.erase(items_.begin());
    if (fault_ == Fault::kForgetsFlags) flags = 0;
    if (fault_ != Fault::kSameCasTwice || cas_ % 64 != 63) ++cas_;
    cas = cas_;
    if (fault_ == Fault::kPinnedBytesChange && !pinned_.empty() && !pinned_.begin()->second->empty())
      ++pinned_.begin()->second->front();
    items_[key] = {std::move(bytes), flags, expires_at, now, cas, ++numbers_};
  }

  std::size_t items_max_;
  std::uint32_t item_bytes_max_;
  Fault fault_;
  std::unordered_map<std::string, Item> items_;
  std::unordered_map<std::uint32_t, Open> open_;
  std::unordered_multimap<std::uint32_t, std::shared_ptr<std::string>> pinned_;
  UnixSeconds flush_at_ = 0;
  std::uint64_t cas_ = 0, hidden_until_ = 0;
  std::uint32_t tickets_ = 0, numbers_ = 0;
  std::uint64_t finds_ = 0, erases_ = 0;
};

static_assert(storage::Store<ReferenceStore>);

}  // namespace gannet::testing
