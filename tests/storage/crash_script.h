/// A seeded run of a shard that a crash may cut anywhere: the operations, what a model says of them, and how they are
/// done. The process that runs them and the one that judges make the same script from the same seed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "storage/shard.h"

namespace gannet::storage::testing {

struct CrashOp {
  enum class Verb : std::uint8_t {
    kSet,
    kReserved,
    kAbandoned,
    kErase,
    kTouch,
    kAdd,
    kAppend,
    kFlush,
    kTick,
    kRestart,
    kStop
  };
  Verb verb = Verb::kSet;
  int key = 0;
  std::uint32_t bytes = 0;  ///< Of the value; of a tick its budget.
  std::uint32_t version = 0;
  std::uint32_t flags = 0;
  std::uint64_t cas_jump = 0;  ///< So many changes come and go first: an item's CAS is kept as a distance.
  UnixSeconds expires_at = kNever, now = 0;
};

class CrashScript {
 public:
  static constexpr int kKeys = 32;
  static constexpr UnixSeconds kStart = 1'000'000;

  explicit CrashScript(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] CrashOp next() {
    using Verb = CrashOp::Verb;
    CrashOp op;
    if (below(8) == 0) now_ += static_cast<UnixSeconds>(below(4));
    op.now = now_;
    op.version = ++version_;
    op.key = static_cast<int>(below(kKeys));
    constexpr std::array<UnixSeconds, 6> kLives{0, 3, 30, 3000, 300'000, 30'000'000};
    constexpr std::array<std::uint32_t, 4> kFlags{0, 7, 700, 0x70000000};
    op.flags = kFlags[below(2) * below(kFlags.size())];
    if (below(12) == 0) op.cas_jump = std::uint64_t{1} << below(38);
    const UnixSeconds life = kLives[below(kLives.size())];
    op.expires_at = life == 0 ? kNever : now_ + life;
    op.bytes = below(6) == 0 ? 600 + below(900) : 10 + below(150);
    const std::uint32_t dice = below(200);
    op.verb = dice < 86    ? Verb::kSet
              : dice < 100 ? Verb::kReserved
              : dice < 104 ? Verb::kAbandoned
              : dice < 124 ? Verb::kErase
              : dice < 134 ? Verb::kTouch
              : dice < 142 ? Verb::kAdd
              : dice < 152 ? Verb::kAppend
              : dice < 153 ? Verb::kFlush
              : dice < 192 ? Verb::kTick
              : dice < 198 ? Verb::kRestart
                           : Verb::kStop;
    if (op.verb == Verb::kTick) op.bytes = 256u << below(6);
    return op;
  }

 private:
  [[nodiscard]] std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(random_() % bound); }

  std::mt19937_64 random_;
  UnixSeconds now_ = kStart;
  std::uint32_t version_ = 0;
};

[[nodiscard]] inline std::string crash_key(int key) {
  return "key:" + std::string(static_cast<std::size_t>(key % 5), 'x') + std::to_string(key);
}
/// The bytes of a version: told by its first characters, checked by all of them.
[[nodiscard]] inline std::string crash_value(const CrashOp& op) {
  std::string value = std::to_string(op.key) + "." + std::to_string(op.version) + ".";
  while (value.size() < op.bytes) value.push_back(static_cast<char>('a' + (value.size() * 7 + op.version) % 26));
  return value;
}

struct Kept {
  std::string value;
  UnixSeconds expires_at = kNever;
  std::uint32_t flags = 0;
  std::uint64_t cas = 0;  ///< A model does not know it: 0 there.
  bool operator==(const Kept&) const = default;
};
using Contents = std::array<std::optional<Kept>, CrashScript::kKeys>;

/// What is there after `op` was answered with `status`; `op` is the next one of `model`'s script.
inline void apply(Contents& model, const CrashOp& op, StoreStatus status) {
  using Verb = CrashOp::Verb;
  std::optional<Kept>& item = model[static_cast<std::size_t>(op.key)];
  const bool stored = status == StoreStatus::kStored;
  switch (op.verb) {
    case Verb::kSet:
    case Verb::kReserved:
    case Verb::kAdd:
      if (stored) item = Kept{crash_value(op), op.expires_at, op.flags};
      break;
    case Verb::kErase:
      item.reset();
      break;
    case Verb::kTouch:
      if (stored && item) item->expires_at = op.expires_at;
      break;
    case Verb::kAppend:
      if (stored && item) item->value += "+" + std::to_string(op.version);
      break;
    case Verb::kFlush:
      model.fill(std::nullopt);
      break;
    case Verb::kAbandoned:
    case Verb::kTick:
    case Verb::kRestart:
    case Verb::kStop:
      break;
  }
  for (std::optional<Kept>& kept : model) {
    if (kept && kept->expires_at != kNever && kept->expires_at <= op.now) kept.reset();
  }
}

[[nodiscard]] inline ShardOptions crash_options(UnixSeconds now) {
  ShardOptions options;
  options.segment_bytes = 4096;
  options.item_bytes_max = 2048;
  options.hash_key = {7, 9};
  options.now = now;
  return options;
}

/// Does `op` to `shard`, which a restart replaces.
inline StoreStatus run(std::unique_ptr<Shard>& shard, MutableBytes region, const CrashOp& op) {
  using Verb = CrashOp::Verb;
  const std::string key_text = crash_key(op.key), value = crash_value(op);
  const Bytes key = as_bytes(key_text);
  const Probe probe = shard->hash(key);
  SetRequest set;
  set.key = key;
  set.value_bytes = static_cast<std::uint32_t>(value.size());
  set.expires_at = op.expires_at;
  set.flags = op.flags;
  if (op.cas_jump != 0) reinterpret_cast<ShardHeader*>(region.data())->next_cas += op.cas_jump;
  std::uint64_t cas = 0;
  ItemView view;
  switch (op.verb) {
    case Verb::kAdd:
      set.mode = SetMode::kAdd;
      [[fallthrough]];
    case Verb::kSet:
      return shard->set(probe, set, as_bytes(value), op.now, cas);
    case Verb::kReserved:
    case Verb::kAbandoned: {
      Reservation reservation;
      const StoreStatus status = shard->reserve(probe, set, op.now, reservation);
      if (status != StoreStatus::kStored) return status;
      std::copy_n(as_bytes(value).data(), value.size() / (op.verb == Verb::kAbandoned ? 2 : 1),
                  reservation.value.data());
      if (op.verb == Verb::kReserved) return shard->commit(reservation, op.now, cas);
      shard->abandon(reservation);
      return StoreStatus::kNotStored;
    }
    case Verb::kErase:
      return shard->erase(probe, key, 0, op.now);
    case Verb::kTouch:
      return shard->touch(probe, key, op.expires_at, op.now, view);
    case Verb::kAppend: {
      const std::string tail = "+" + std::to_string(op.version);
      return shard->concat(probe, key, as_bytes(tail), false, 0, op.now, cas);
    }
    case Verb::kFlush:
      shard->flush(0, op.now);
      break;
    case Verb::kTick:
      shard->tick(op.now, op.bytes);
      break;
    case Verb::kStop:
      shard->close();
      [[fallthrough]];
    case Verb::kRestart: {
      AttachReport report;
      std::unique_ptr<Shard> next = Shard::attach(region, crash_options(op.now), report);
      if (next == nullptr) return StoreStatus::kNoMemory;
      shard = std::move(next);
      break;
    }
  }
  return StoreStatus::kStored;
}

/// As a model would know it.
[[nodiscard]] inline std::optional<Kept> without_cas(std::optional<Kept> kept) {
  if (kept) kept->cas = 0;
  return kept;
}

/// Every key's item as `shard` serves it.
[[nodiscard]] inline Contents survey(Shard& shard, UnixSeconds now) {
  Contents out;
  for (int key = 0; key < CrashScript::kKeys; ++key) {
    const std::string text = crash_key(key);
    ItemView view;
    if (shard.find(shard.hash(as_bytes(text)), as_bytes(text), now, view) != FindStatus::kHit) continue;
    out[static_cast<std::size_t>(key)] = Kept{std::string(as_text(view.value)), view.expires_at, view.flags, view.cas};
  }
  return out;
}

}  // namespace gannet::storage::testing
