/// The contract of a store: what every backend (segments today) gives the room above it. One conformance suite,
/// tests/storage/conformance, runs against each. A store is owned by one core; nothing here is thread safe, and the
/// segment store checks its owner.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/base/bytes.h"
#include "storage/base/clock.h"

namespace gannet::storage {

inline constexpr std::size_t kKeyBytesMax = 250;
/// Expiry of an item that lives until it is evicted.
inline constexpr UnixSeconds kNever = 0;

/// What a lookup starts from: made once per request by hash(), then carried through the stages. `hash` is keyed; do not
/// compare it across pools.
struct Probe {
  std::uint64_t hash = 0;
  /// The store's own notes from prefetch_item() to find(): where it looked, and at which state of its index. find() is
  /// right without them, and with stale ones.
  std::uint64_t place = 0;
  std::uint64_t seen = 0;
};

/// An item where it lies. Valid until the next mutating call or tick on the store, or, once pinned, until unpin.
struct ItemView {
  Bytes value;
  std::uint32_t flags = 0;     ///< The client's 32 bits, opaque.
  UnixSeconds expires_at = 0;  ///< First second in which it is gone; kNever for none.
  std::uint64_t cas = 0;       ///< Never 0.
  std::uint32_t segment = 0;   ///< What pin()/unpin() take.
};

enum class FindStatus : std::uint8_t {
  kHit,
  kMiss,  ///< Absent, expired or flushed. Nothing was written to `out`.
};

/// Answers of everything that changes an item.
enum class StoreStatus : std::uint8_t {
  kStored,
  kNotFound,    ///< No live item under the key where one is needed.
  kExists,      ///< A live item is there where none may be, or its CAS is another.
  kNotStored,   ///< concat: the joined item would be too large.
  kTooLarge,    ///< Header, flags, key and value together exceed item_bytes_max(). For a set the old item is gone (as
                ///< memcached does); nothing else changed.
  kNotNumeric,  ///< arithmetic: the value is not a decimal unsigned 64-bit number.
  kNoMemory,    ///< Nothing could be evicted (every segment pinned or reserved). Nothing changed.
};

/// Which live item must be there for a store to happen.
enum class SetMode : std::uint8_t { kSet, kAdd, kReplace };

/// A request to store. `cas` 0 means no condition; otherwise memcached's rules hold: with a CAS a live item must be
/// there and have it (absent: kNotFound, other: kExists), for kAdd too.
struct SetRequest {
  Bytes key;                      ///< 1..kKeyBytesMax bytes.
  std::uint32_t value_bytes = 0;  ///< What reserve() makes room for.
  std::uint32_t flags = 0;
  UnixSeconds expires_at = kNever;
  std::uint64_t cas = 0;
  SetMode mode = SetMode::kSet;
};

/// Room for one item's value, not yet visible to anybody. Write `value` in full, then commit or abandon exactly once.
/// A segment with a reservation is never evicted or moved; at most reservations_max() stand open at once.
struct Reservation {
  MutableBytes value;
  std::uint32_t ticket = 0;  ///< The store's own bookkeeping.
};

struct ArithmeticRequest {
  Bytes key;
  std::uint64_t delta = 0;
  bool decrement = false;  ///< Decrement stops at 0; increment wraps at 2^64.
  bool create = false;     ///< Absent: store `initial` as decimal text with `expires_at`, whatever `cas` says (as
                           ///< memcached does); otherwise absent is kNotFound.
  std::uint64_t initial = 0;
  UnixSeconds expires_at = kNever;
  std::uint64_t cas = 0;
};

struct Stats {
  std::uint64_t items = 0;         ///< Reachable through the index, expired ones not yet collected included.
  std::uint64_t item_bytes = 0;    ///< Header + key + value + padding of those.
  std::uint64_t memory_bytes = 0;  ///< All memory of the store: segments, index, headers.
  std::uint64_t index_bytes = 0;   ///< Of that, held by the index.
  std::uint64_t segments_total = 0, segments_free = 0, segments_open = 0;
  std::uint64_t segments_sealed = 0, segments_index = 0;
  std::uint64_t expired_items = 0;  ///< Collected after their expiry.
  std::uint64_t evicted_items = 0;  ///< Dropped alive to make room.
  std::uint64_t evicted_segments = 0, merges = 0, merged_items_kept = 0;
  std::uint64_t moved_bytes = 0;  ///< Copied by the collector, since start.
  std::uint64_t expired_bytes_held =
      0;  ///< Bytes of expired items not yet collected, estimated from the ranges their segments cover.
  std::uint64_t pins = 0, reservations = 0;
  std::uint64_t set_no_memory = 0;
  // Of a start with items that an earlier process left, since that start.
  std::uint64_t segments_kept = 0;     ///< Still to be read.
  std::uint64_t restored_items = 0;    ///< Found alive, and served again.
  std::uint64_t restore_dropped = 0;   ///< Found, but expired, flushed or replaced since.
  std::uint64_t damaged_segments = 0;  ///< That failed their checksum, then or since, and were given up.
  std::uint64_t damaged_items = 0;     ///< Live items lost with those, as far as it can be told.
  std::uint64_t scrub_rounds = 0;      ///< Times that every sealed segment was verified in the background.
};

/// Work done since the store was made, background work included: what tests hold each single call's share of against a
/// constant.
struct Work {
  std::uint64_t bytes_copied = 0;  ///< Of items stored and of items moved.
  std::uint64_t lines_touched =
      0;                    ///< Cache lines read or written by changes, about; those of lookups are not counted.
  std::uint64_t waits = 0;  ///< Stores for which room had to be made at once: eviction ahead of need was late.
};

/// What audit() found. `faults` 0 means every invariant holds.
struct AuditReport {
  std::uint64_t items = 0;  ///< Reachable items walked.
  std::uint64_t segments = 0;
  std::uint64_t faults = 0;
  char first_fault[160] = {};  ///< The first broken invariant in words.
};

template <class S>
concept Store = requires(S store, const S fixed, Bytes key, Probe probe, std::span<Probe* const> probes,
                         UnixSeconds now, ItemView& view, const SetRequest& set, Reservation& reservation,
                         const ArithmeticRequest& arithmetic, std::uint64_t cas, std::uint64_t& cas_out,
                         std::uint64_t& number_out, bool front) {
  /// Stages of a lookup; each touches one more cache line, prefetched by the stage before. hash() needs nothing but the
  /// key. prefetch_burst() is both prefetching stages for a burst of any size, ordered as the machine likes it best:
  /// prefer it to loops of one's own. `place` and `seen` of each probe are written.
  { fixed.hash(key) } -> std::same_as<Probe>;
  { fixed.prefetch_bucket(probe) } -> std::same_as<void>;
  { fixed.prefetch_item(probe) } -> std::same_as<void>;
  { fixed.prefetch_burst(probes) } -> std::same_as<void>;
  /// Never allocates, blocks or evicts.
  { store.find(probe, key, now, view) } -> std::same_as<FindStatus>;
  /// Keeps the bytes of a found item where they are until unpin. False: the pin cap is reached, copy instead.
  { store.pin(view.segment) } -> std::same_as<bool>;
  { store.unpin(view.segment) } -> std::same_as<void>;

  /// Judges mode and CAS, makes room (evicting if need be) and gives it out. kStored means `reservation` is open.
  /// commit judges mode and CAS once more, because time may have passed.
  { store.reserve(probe, set, now, reservation) } -> std::same_as<StoreStatus>;
  { store.commit(reservation, now, cas_out) } -> std::same_as<StoreStatus>;
  { store.abandon(reservation) } -> std::same_as<void>;
  /// reserve + copy + commit in one call.
  { store.set(probe, set, key, now, cas_out) } -> std::same_as<StoreStatus>;

  { store.erase(probe, key, cas, now) } -> std::same_as<StoreStatus>;
  /// New expiry, same CAS; `view` is the item after it.
  { store.touch(probe, key, now, now, view) } -> std::same_as<StoreStatus>;
  { store.arithmetic(probe, arithmetic, now, number_out, cas_out) } -> std::same_as<StoreStatus>;
  /// `front`: prepend. Flags and expiry of the item stay.
  { store.concat(probe, key, key, front, cas, now, cas_out) } -> std::same_as<StoreStatus>;
  /// Everything stored before this call (at_or_after_now == 0) or until second `at` (delayed) becomes invisible. A
  /// later flush overrides a pending one.
  { store.flush(now, now) } -> std::same_as<void>;

  /// Bounded background work: expiry, eviction ahead of need, index growth, sealing. `budget_bytes` bounds the bytes
  /// walked.
  { store.tick(now, std::uint32_t{}) } -> std::same_as<void>;
  { fixed.stats() } -> std::same_as<Stats>;
  /// Walks everything; slow; tests and the operator's `audit`.
  { fixed.audit(now) } -> std::same_as<AuditReport>;
  { fixed.item_bytes_max() } -> std::same_as<std::uint32_t>;
};

}  // namespace gannet::storage
