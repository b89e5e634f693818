/// The segment store of one core: items in append-only segments, found through an index, gone at their second, evicted
/// by the segment. Satisfies storage::Store (storage/store.h), where each operation's meaning is written; here is what
/// is special to segments.
///
/// Owner: one thread. The first call binds it (or bind_owner()), and every call checks it. Time: `now` is unix seconds;
/// a `now` smaller than one seen before is taken as the largest seen.
///
/// Order of stores on the write path, so that whoever finds the memory after this process died at any instruction sees
/// a prefix of them (x86 total store order; ordered_store() keeps the compiler to it). An item whose dead bit is clear
/// is the truth about its key; attach.cc relies on every line of this list.
///   1. reserve: item header, dead bit set, lengths whole          (Shard::make_item, shard.cc)
///   2. reserve: the segment's expiry range, then its used_bytes   (Shard::take_room, shard.cc)
///   3. caller: value bytes
///   4. commit: next_cas, then CAS and check into the header       (Shard::set, publish, shard.cc)
///   5. commit: over an old item: replacement, then replaced       (Shard::go_live, shard.h)
///   6. commit: the segment's live_bytes and live_items, raised    (Shard::go_live, shard.h)
///   7. commit: state byte = live                                  (Shard::go_live, shard.h)
///   8. commit: the index slot, new or replaced: the one store that lookups see  (Index::insert, Index::replace)
///   9. commit: dead bit of the item replaced, then its segment's live_items and live_bytes, lowered  (Shard::bury)
///  10. commit: replaced = 0                                       (Shard::enter, shard.cc)
///  11. only then is the answer sent. Between 7 and 9 two items of one key live; `replaced` says which one is to go.
/// Erase, expiry and eviction: index slot emptied, then 9. Moving (collector.cc): the copy goes through 1, 2, 5 to 10
/// with its CAS. A segment is released only when every item in it is dead; it is opened (header whole, used_bytes 0)
/// before step 1 writes into it. The index is never read after a crash: it is made anew from what lives.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "storage/attach.h"
#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/base/must.h"
#include "storage/eviction.h"
#include "storage/hash.h"
#include "storage/index.h"
#include "storage/item.h"
#include "storage/priority.h"
#include "storage/segment.h"
#include "storage/segment_pool.h"
#include "storage/store.h"

namespace gannet::storage {

struct ShardOptions {
  /// A power of two from kSegmentBytesMin to kSegmentBytesMax; 0: chosen from the region's size, 64 KiB to 1 MiB, at
  /// least 64 segments where that is possible, more only where item_bytes_max wants it.
  std::uint32_t segment_bytes = 0;
  /// Largest item, header and padding included; 0: 1 MiB or what a segment holds. Never more than a segment.
  std::uint32_t item_bytes_max = 0;
  HashKey hash_key = {};
  Eviction eviction = Eviction::kGreedy;
  /// 1..65535. Above it pin() refuses and the caller copies.
  std::uint32_t pins_max = 4096;
  UnixSeconds now = 0;
  /// The keys are divided among `regions` shards, and this is number `region` of them: a shard of another division is
  /// not attached to.
  std::uint16_t regions = 1, region = 0;
  /// attach(): how much of what was left is read before it returns. The rest is read by tick().
  std::uint64_t restore_first_bytes = 0;
};

class Shard {
 public:
  static constexpr std::uint32_t kReservationsMax = 1024;

  /// Makes an empty shard in `region`, whose bytes it overwrites and which must outlive it; 64-byte aligned. nullptr:
  /// `why` is one sentence that says what to change. The only call that allocates.
  [[nodiscard]] static std::unique_ptr<Shard> format(MutableBytes region, const ShardOptions& options,
                                                     std::string& why);
  /// Takes over what an earlier process left in `region`, at whatever instruction it died: what had been committed and
  /// not overwritten, deleted, expired or evicted is served again. Every segment is verified before an item of it can
  /// be found; a damaged one is given up whole. `options.hash_key` is not used (the region has its own), nor is a clock
  /// trusted that lies behind the one the items were served by. nullptr: `report` says why not, and but for kDamaged
  /// the region is as it was. Takes time for the segments' headers, the index's empty buckets and restore_first_bytes;
  /// any thread.
  [[nodiscard]] static std::unique_ptr<Shard> attach(MutableBytes region, const ShardOptions& options,
                                                     AttachReport& report);
  /// Items left by an earlier process are still to be read: tick() does, and a lookup may miss what comes back later.
  [[nodiscard]] bool restoring() const noexcept { return restore_.count != 0; }
  /// Stores every item that `from` serves and whose key `mine` wants, with its CAS, flags, expiry and uses; oldest
  /// segment first, so that the youngest stay where this memory is the smaller one. Nothing uses either shard meanwhile
  /// (several shards may take from one at a time). Gives the number of items taken; what is too large here is left out.
  std::uint64_t take_items(const Shard& from, const std::function<bool(Bytes key)>& mine);
  /// Before a clean end: seals everything, and says in the header page that it did.
  void close() noexcept;
  /// A number that outlives the process beside the items: how far the clock that feeds `now` runs ahead of the
  /// machine's monotonic one. Not used here.
  void note_clock_lead(std::int64_t ns) noexcept { header().clock_lead_ns = ns; }
  [[nodiscard]] std::int64_t clock_lead() const noexcept { return header().clock_lead_ns; }
  [[nodiscard]] HashKey hash_key() const noexcept { return hash_key_; }

  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard() = default;

  /// The calling thread is the owner from here on. For a shard made on one thread and served on another.
  void bind_owner() noexcept { owner_ = this_thread_mark(); }
  void set_eviction(Eviction eviction) noexcept { eviction_ = eviction; }

  [[nodiscard]] Probe hash(Bytes key) const noexcept { return {keyed_hash(hash_key_, key)}; }
  void prefetch_bucket(Probe probe) const noexcept { index_.prefetch(probe.hash); }
  void prefetch_item(Probe& probe) const noexcept {
    probe.place = index_.prefetch_items(probe.hash);
    probe.seen = index_.withdrawals();
  }
  void prefetch_burst(std::span<Probe* const> probes) const noexcept;
  [[nodiscard]] FindStatus find(const Probe& probe, Bytes key, UnixSeconds now, ItemView& out) noexcept;
  [[nodiscard]] bool pin(std::uint32_t segment) noexcept;
  void unpin(std::uint32_t segment) noexcept;

  [[nodiscard]] StoreStatus reserve(Probe probe, const SetRequest& request, UnixSeconds now, Reservation& out) noexcept;
  [[nodiscard]] StoreStatus commit(const Reservation& reservation, UnixSeconds now, std::uint64_t& cas_out) noexcept;
  void abandon(const Reservation& reservation) noexcept;
  [[nodiscard]] StoreStatus set(Probe probe, const SetRequest& request, Bytes value, UnixSeconds now,
                                std::uint64_t& cas_out) noexcept;

  [[nodiscard]] StoreStatus erase(Probe probe, Bytes key, std::uint64_t cas, UnixSeconds now) noexcept;
  [[nodiscard]] StoreStatus touch(Probe probe, Bytes key, UnixSeconds expires_at, UnixSeconds now,
                                  ItemView& out) noexcept;
  [[nodiscard]] StoreStatus arithmetic(Probe probe, const ArithmeticRequest& request, UnixSeconds now,
                                       std::uint64_t& number_out, std::uint64_t& cas_out) noexcept;
  [[nodiscard]] StoreStatus concat(Probe probe, Bytes key, Bytes tail, bool front, std::uint64_t cas, UnixSeconds now,
                                   std::uint64_t& cas_out) noexcept;
  void flush(UnixSeconds at, UnixSeconds now) noexcept;

  void tick(UnixSeconds now, std::uint32_t budget_bytes) noexcept;
  [[nodiscard]] Stats stats() const noexcept;
  [[nodiscard]] Work work() const noexcept {
    Work all = work_;
    all.lines_touched += index_.lines_touched();
    return all;
  }
  [[nodiscard]] AuditReport audit(UnixSeconds now) const noexcept;
  [[nodiscard]] std::uint32_t item_bytes_max() const noexcept { return item_bytes_max_; }
  [[nodiscard]] const Geometry& geometry() const noexcept { return pool_.geometry(); }

 private:
  struct OpenReservation {
    std::uint64_t hash = 0;
    Location at = 0;  ///< 0: the slot is free.
    std::uint64_t cas = 0;
    std::uint32_t next = 0;  ///< Free list.
    std::uint16_t turn = 0;  ///< Upper half of the ticket: a stale ticket is our own mistake, and found.
    SetMode mode = SetMode::kSet;
  };
  /// The tail of a TTL bucket.
  struct Tail {
    std::uint32_t segment = kNoSegment;
    std::uint32_t bucket = 0;
    std::uint8_t rank = 0;  ///< See rank_of().
  };
  static constexpr std::uint32_t kGrowStepsPerSet = 2, kGrowStepsPerTick = 16;
  static constexpr std::uint32_t kTailsMax = 32;
  static constexpr std::uint32_t kWindowUsual = 4, kWindowMax = 8;
  static constexpr std::uint32_t kFinishedMax = 16;
  /// Segment headers that oldest_evictable() reads at most beside the old ends of the lists.
  static constexpr std::uint32_t kHeadersPerCall = 512;
  static constexpr std::uint32_t kRanks = 2;
  /// Epochs in which memory is written over once.
  static constexpr std::uint32_t kEpochsPerTurn = 1;
  /// In epochs. An item's epoch is told modulo kEpochs: one that is moved is made no older than this. An item that
  /// nobody has moved or used for longer is taken for a younger one. Its segment has then outlived most of memory
  /// several times, which says as much for it; and the clock overtakes what was written to the segment whatever it
  /// holds.
  static constexpr std::uint32_t kEpochsKept = 12;
  static_assert(kEpochsKept < kEpochs);
  /// What the collector is at: a window of segments is scanned for its scores, then drained one after the other.
  struct Collector {
    enum class Phase : std::uint8_t { kIdle, kScan, kDrain };
    Phase phase = Phase::kIdle;
    bool evicting = false;       ///< Otherwise the window held nothing visible.
    bool ageing = false;         ///< Items kept pay for it: they lose uses, or their lead over the clock.
    std::uint32_t segments = 0;  ///< In the window.
    std::uint32_t at = 0, offset = 0;
    std::uint32_t cutoff = 0;      ///< Score classes below it go; 0 keeps all that is visible.
    std::uint64_t keep_bytes = 0;  ///< What may still be kept.
    std::array<std::uint32_t, kWindowMax> window{};
    std::array<std::uint64_t, kScoreClasses> histogram{};  ///< Visible bytes of the window, by score.
    std::array<std::uint64_t, kScoreClasses> usual{};  ///< The same of past windows, fading; of `usual_bytes` in all.
    std::uint64_t usual_bytes = 0;
    std::array<std::uint64_t, kRanks> rank_from{};  ///< Worths from which a rank begins.
  };

  /// What is left to read of an earlier process's items (restore.cc).
  struct Restore {
    std::unique_ptr<std::uint32_t[]> order;  ///< The kept segments, oldest first.
    std::uint32_t count = 0, next = 0;       ///< count 0: nothing to do.
    std::uint64_t sequence = 0;              ///< Segments from here on are this process's own.
    bool careful = false;                    ///< Two live items of one key are possible.
    bool failed = false;                     ///< careful, and something was lost: nothing of it may be served.
    bool busy = false;
    // Of the segment order[next]:
    bool verified = false;  ///< Its items are being entered; otherwise it is being checked.
    bool sealed = false;
    std::uint32_t offset = 0, crc = 0, live_items = 0, live_bytes = 0;
    std::uint64_t cas_max = 0;
  };

  /// Where the background verification is (scrub.cc).
  struct Scrub {
    std::uint32_t segment = 0, offset = 0, crc = 0;
    std::uint64_t sequence = 0;  ///< Of the segment when it was begun: it may have been emptied and opened since.
    UnixSeconds second = 0;
    std::uint32_t budget = 0;            ///< Bytes left in that second.
    std::uint32_t damaged = kNoSegment;  ///< Given up; its slots are being swept out of the index...
    std::uint64_t bucket = 0;            ///< ...from this bucket on.
  };

  Shard() = default;

  [[nodiscard]] static const void* this_thread_mark() noexcept {
    static thread_local const char mark = 0;
    return &mark;
  }
  [[nodiscard]] bool owned() const noexcept { return owner_ == this_thread_mark(); }
  void check_owner() noexcept {
    if (owned()) [[likely]]
      return;
    MUST(owner_ == nullptr);
    owner_ = this_thread_mark();
  }

  [[nodiscard]] ShardHeader& header() noexcept { return *reinterpret_cast<ShardHeader*>(pool_.base()); }
  [[nodiscard]] const ShardHeader& header() const noexcept {
    return *reinterpret_cast<const ShardHeader*>(pool_.base());
  }
  [[nodiscard]] ItemHeader& item_at(Location at) const noexcept {
    return *reinterpret_cast<ItemHeader*>(pool_.base() + at * kItemAlign);
  }
  [[nodiscard]] const SegmentBase& base_at(Location at) const noexcept { return pool_.base_of(pool_.segment_of(at)); }
  [[nodiscard]] std::uint64_t cas_at(Location at) const noexcept { return item_at(at).cas(base_at(at)); }
  [[nodiscard]] UnixSeconds expiry_at(Location at) const noexcept { return item_at(at).expires_at(base_at(at)); }
  [[nodiscard]] std::uint64_t hash_at(Location at) const noexcept { return keyed_hash(hash_key_, item_at(at).key()); }
  /// Cache lines that `bytes` in a row lie in, at most.
  [[nodiscard]] static constexpr std::uint32_t lines_of(std::uint32_t bytes) noexcept { return bytes / 64 + 2; }

  // shard.cc
  /// Takes `now` in: never backwards; a delayed flush whose second has come is done.
  UnixSeconds advance(UnixSeconds now) noexcept;
  [[nodiscard]] bool expired(UnixSeconds expires_at) const noexcept {
    static_assert(kNever == 0);  // One less is the largest there is, and never behind any clock.
    return expires_at - 1 < now_;
  }
  [[nodiscard]] bool visible(const ItemHeader& item, const SegmentBase& base) const noexcept {
    return !expired(item.expires_at(base)) && item.cas(base) >= flush_cas_;
  }
  [[nodiscard]] bool visible(Location at) const noexcept { return visible(item_at(at), base_at(at)); }
  [[nodiscard]] static bool has_key(const ItemHeader& item, Bytes key) noexcept {
    return item.key_bytes() == key.size() && equal_bytes(item.key().data(), key.data(), key.size());
  }
  /// The place of the key's item, visible or not; 0 for none.
  [[nodiscard]] Index::Entry locate_entry(std::uint64_t hash, Bytes key) const noexcept {
    return index_.find_entry(hash, [&](Location at) { return has_key(item_at(at), key); });
  }
  [[nodiscard]] Location locate(std::uint64_t hash, Bytes key) const noexcept;
  [[nodiscard]] Location locate_visible(std::uint64_t hash, Bytes key) const noexcept;
  [[nodiscard]] StoreStatus judge(Location at, SetMode mode, std::uint64_t cas) const noexcept;
  /// What make_item() takes for a CAS: of the very next change, or of one that comes who knows when.
  static constexpr std::uint64_t kNextCas = 0, kAnyCas = ~std::uint64_t{0};
  /// An item that was made: what would otherwise have to be found out from `at` again.
  struct Made {
    Location at = 0;  ///< 0: no room, and nothing can be evicted.
    std::uint32_t segment = 0;
    WrittenItem written{};
  };
  /// Room for an item of which it writes all but check and value. May evict and move items, but not those in segments
  /// with a reservation. Turns kNextCas and kAnyCas in `item` into what was written.
  [[nodiscard]] Made make_item(NewItem& item) noexcept;
  /// The next `bytes` of a segment, whose item header is already written there, become used.
  void take_room(std::uint32_t segment, std::uint32_t bytes, UnixSeconds expires_at) noexcept;
  /// Makes a written item live under `cas` and visible in place of `old` (0: new to the index). kNoMemory: the index is
  /// full.
  [[nodiscard]] bool publish(std::uint64_t hash, Location at, std::uint64_t cas, const Index::Entry& old) noexcept;
  /// publish() of an item whose header is whole, its check included.
  [[nodiscard]] bool enter(std::uint64_t hash, Location at, std::uint32_t segment, std::uint32_t bytes,
                           const Index::Entry& old) noexcept;
  /// Publishes over whatever the key has now, under the next CAS; an item already past its second only removes what is
  /// there.
  [[nodiscard]] StoreStatus finish(std::uint64_t hash, Location at, Bytes key, std::uint64_t& cas_out) noexcept;
  [[nodiscard]] bool fits(const SetRequest& request) const noexcept {
    return item_bytes_most(request.key.size(), request.value_bytes, request.flags) <= item_bytes_max_;
  }
  [[nodiscard]] StoreStatus too_large(Probe probe, const SetRequest& request) noexcept;
  /// Steps 5 to 7 of the write path: the item at `at` lives, and `old` (0: none) is to die next.
  void go_live(Location at, std::uint32_t segment, std::uint32_t bytes, std::uint8_t uses, Location old) noexcept {
    if (old != 0) {
      ordered_store(header().replacement, at);
      ordered_store(header().replaced, old);
    }
    SegmentHeader& into = pool_.header(segment);
    into.live_bytes += bytes;
    ++into.live_items;
    live_bytes_ += bytes;
    MUST_LE(into.live_bytes, into.used_bytes);
    ordered_store(item_at(at).state, uses);
  }
  /// An item no index entry points at any more: its dead bit, and its segment's sums.
  void bury(Location at) noexcept;
  void bury(ItemHeader& item, SegmentHeader& segment, std::uint32_t bytes) noexcept {
    ordered_store(item.state, static_cast<std::uint8_t>(item.state | kItemDead));
    MUST_GE(segment.live_bytes, bytes);
    MUST_GT(segment.live_items, 0u);
    work_.lines_touched += 2;
    segment.live_bytes -= bytes;
    --segment.live_items;
    live_bytes_ -= bytes;
  }
  void forget(std::uint64_t hash, Location at) noexcept;
  /// An item that never became live: its room is given back where that is possible.
  void discard(Location at) noexcept;
  void count_use(ItemHeader& item) noexcept {
    // By chance from level to level, so that a hot item's line stays clean but for once an epoch.
    std::uint32_t level = use_level(item.state);
    const std::uint32_t step = kUseSteps[level];
    if (step <= 1) {
      level += step;
    } else if (std::uint64_t{random()} * step >> 32 == 0) {
      ++level;
    }
    const std::uint8_t state = state_of(epoch_, level);
    if (item.state != state) item.state = state;
  }
  [[nodiscard]] ItemView describe(Location at) const noexcept;
  /// The answer to a lookup that found `at` under its key.
  [[nodiscard]] FindStatus serve(Location at, ItemView& out) noexcept;
  /// find() from the bucket on.
  [[nodiscard]] FindStatus find_in_index(const Probe& probe, Bytes key, UnixSeconds now, ItemView& out) noexcept;
  [[nodiscard]] OpenReservation& reservation_of(const Reservation& reservation) noexcept;
  void end_reservation(OpenReservation& open) noexcept;

  // attach.cc
  /// What format() and attach() have in common; needs no region.
  void prepare(const ShardOptions& options, const Geometry& geometry, HashKey hash_key);
  /// False: report.why says why this cannot be served.
  [[nodiscard]] bool take_over(MutableBytes region, const Geometry& geometry, AttachReport& report);
  /// Of a replacement that was under way the old item dies, if the new one lives.
  void settle_replacement() noexcept;
  [[nodiscard]] bool may_hold_item(Location at) const noexcept;
  void presize_index(std::uint64_t items) noexcept;

  // restore.cc
  void restore(std::uint64_t& budget) noexcept;
  void restore_all() noexcept;
  void end_restore() noexcept;
  void verify_kept(std::uint32_t id, std::uint64_t& budget) noexcept;
  void enter_kept(std::uint32_t id, std::uint64_t& budget) noexcept;
  void enter_item(Location at, std::uint64_t hash) noexcept;
  /// An item of which the index holds another one of the same key, or (0) for which it has no room.
  void settle_twice(Location at, std::uint64_t hash, Location other) noexcept;
  /// The segment has been verified, and its items are on their way into the index.
  [[nodiscard]] bool being_entered(std::uint32_t id) const noexcept {
    return restoring() && restore_.verified && restore_.order[restore_.next] == id;
  }
  void retire_kept(std::uint32_t id) noexcept;
  void next_kept() noexcept;
  /// The key is to be found no more. `at` is its item, 0 for none that is known; while restoring, that says little.
  void remove(std::uint64_t hash, Bytes key, Location at) noexcept;
  [[nodiscard]] bool mark_removed(std::uint64_t hash, Bytes key) noexcept;

  // migrate.cc
  [[nodiscard]] bool adopt(const ItemHeader& item, const SegmentBase& base) noexcept;

  // scrub.cc
  void scrub() noexcept;
  /// Goes on with job's segment for up to `left` bytes. False: it is damaged.
  [[nodiscard]] bool scrub_segment(const SegmentHeader& segment, std::uint32_t& left) noexcept;
  void next_to_scrub() noexcept;
  void give_up(std::uint32_t id) noexcept;
  void sweep() noexcept;

  // shard_update.cc
  /// Room for `item`, which is to replace the visible one at `from`; `from` follows that one if making room moved it.
  /// 0: no memory, or making room evicted it (then `from` is 0 too).
  [[nodiscard]] Location make_successor(std::uint64_t hash, NewItem item, Location& from) noexcept;

  // tails.cc
  /// An open segment with room for `bytes`, of the bucket that fits `expires_at` or the nearest one; kNoSegment when no
  /// segment is left.
  [[nodiscard]] std::uint32_t tail_for(UnixSeconds expires_at, std::uint32_t bytes, std::uint32_t rank,
                                       bool may_evict) noexcept;
  [[nodiscard]] std::uint32_t own_tail(std::uint32_t bucket, std::uint32_t rank, std::uint32_t bytes) noexcept;
  [[nodiscard]] std::uint32_t nearest_tail(std::uint32_t bucket, std::uint32_t rank,
                                           std::uint32_t bytes) const noexcept;
  [[nodiscard]] std::uint32_t room_in(std::uint32_t segment) const noexcept;
  /// Needs a free segment and an item of `bytes` that fits no tail it might use.
  [[nodiscard]] std::uint32_t open_tail(std::uint32_t bucket, std::uint32_t rank, std::uint32_t bytes,
                                        UnixSeconds expires_at) noexcept;
  void close_tail(std::uint32_t tail) noexcept;
  void close_segment(std::uint32_t id) noexcept;
  /// For the collector, when nothing else is left to take. False: all of them are pinned or reserved.
  [[nodiscard]] bool close_some_tail() noexcept;
  void close_finished_tails() noexcept;

  // collector.cc: takes segments back
  /// Makes free segments until there are more than `spare`, evicting if need be. False: nothing can be evicted.
  [[nodiscard]] bool make_free(std::uint32_t spare) noexcept;
  /// Goes on with the job at hand, or begins the next that is due, until `budget` is used up.
  void collect(std::uint64_t& budget) noexcept;
  [[nodiscard]] bool begin_eviction(bool drop_all) noexcept;
  [[nodiscard]] bool begin_expired() noexcept;
  /// When expired items hold too much of memory: the segment that holds most of them, of which nothing is evicted.
  [[nodiscard]] bool begin_compaction() noexcept;
  void step(std::uint64_t& budget) noexcept;
  void scan(std::uint64_t& budget) noexcept;
  /// The window is scanned: widens it, or says what of it stays and goes on to drain it.
  void judge_window() noexcept;
  /// What kGreedy would keep of `sample` bytes of windows, this one included, of which `visible_bytes` are visible.
  [[nodiscard]] std::uint64_t greedy_keeps(std::uint64_t sample, std::uint64_t visible_bytes) const noexcept;
  [[nodiscard]] bool widen_window() noexcept;
  /// What of the window and of the windows before it may stay together, in bytes.
  [[nodiscard]] std::uint32_t cutoff_for(std::uint64_t wanted) const noexcept;
  void remember_scores(std::uint64_t window_bytes) noexcept;
  void drain(std::uint64_t& budget) noexcept;
  void drain_item(SegmentHeader& from, Location at, std::uint64_t hash, bool all_visible,
                  std::uint64_t cutoff) noexcept;
  /// Gives the bytes of the copy, which may have another shape; 0: there is no room for it.
  [[nodiscard]] std::uint32_t move_item(SegmentHeader& from, Location at, std::uint64_t hash) noexcept;
  /// Nothing in the segment has expired or been flushed.
  [[nodiscard]] bool all_visible(const SegmentHeader& segment) const noexcept {
    return segment.expiry_min_s > now_ && flush_cas_ == 0;
  }

  // policy.cc: what items are worth, and which segments go
  /// The worth left of an item whose state byte and size are these, above the clock.
  [[nodiscard]] std::uint64_t lead_of(std::uint8_t state, std::uint32_t item_bytes) const noexcept {
    const std::uint64_t worth = clock_at_epoch_[epoch_of(state)] + worth_of(uses_of(state), item_bytes);
    return worth > clock_ ? worth - clock_ : 0;
  }
  /// What the policy judges an item by: its class is its score.
  [[nodiscard]] std::uint64_t merit_of(std::uint8_t state, std::uint32_t item_bytes) const noexcept {
    if (eviction_ == Eviction::kGreedy) return lead_of(state, item_bytes);
    if (eviction_ == Eviction::kS3Fifo) return use_level(state) > kLevelNew ? 1 : 0;
    return worth_of(uses_of(state), item_bytes);
  }
  /// Tails are kept apart by it, so that what goes soon lies together. kGreedy: by the third of the usual scores;
  /// kS3Fifo: 0 the small queue, 1 the large one.
  [[nodiscard]] std::uint32_t rank_of(std::uint64_t worth) const noexcept {
    if (eviction_ != Eviction::kGreedy) return 0;
    std::uint32_t rank = 0;
    while (rank + 1 < kRanks && worth >= collector_.rank_from[rank + 1]) ++rank;
    return rank;
  }
  /// The state byte of an item that is kept: its uses aged, its epoch one that still can be told apart.
  [[nodiscard]] std::uint8_t aged(std::uint8_t state, std::uint32_t item_bytes) noexcept {
    if (eviction_ == Eviction::kGreedy && ((epoch_ - epoch_of(state)) & (kEpochs - 1)) <= kEpochsKept)
      return state & kItemUsesMask;
    return aged_slowly(state, item_bytes);
  }
  [[nodiscard]] std::uint8_t aged_slowly(std::uint8_t state, std::uint32_t item_bytes) noexcept;
  [[nodiscard]] std::uint32_t level_of(std::uint32_t uses_256) noexcept;
  [[nodiscard]] std::uint32_t random() noexcept {
    random_ = random_ * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
    return static_cast<std::uint32_t>(random_ >> 32);
  }
  void begin_rank(std::uint32_t segment, std::uint32_t rank) noexcept;
  /// `bytes` worth `worth` that end at `expires_at` were written to the segment.
  void note_written(std::uint32_t segment, std::uint32_t bytes, std::uint64_t worth, UnixSeconds expires_at) noexcept;
  /// The clock after a window whose items below `cutoff` go.
  void advance_clock(std::uint32_t cutoff) noexcept;
  [[nodiscard]] bool drops_whole() const noexcept;
  /// Puts segments into the window, as the policy wants them.
  void choose_window(bool drop_all) noexcept;
  [[nodiscard]] std::uint64_t gain_of(const SegmentHeader& segment) const noexcept;
  void choose_by_gain(std::uint32_t more) noexcept;
  [[nodiscard]] std::uint32_t victim_by_chance() noexcept;
  [[nodiscard]] std::uint32_t victim_of_queue() noexcept;
  template <class Cost>
  [[nodiscard]] std::uint32_t cheapest(Cost&& cost) noexcept;

  // victims.cc: which segments
  /// Full, and nobody holds on to it.
  [[nodiscard]] static bool releasable(const SegmentHeader& segment) noexcept;
  /// ... and its items may leave the index.
  [[nodiscard]] bool evictable(const SegmentHeader& segment) const noexcept;
  [[nodiscard]] bool finished(const SegmentHeader& segment) const noexcept;
  /// The oldest of what one call looks at; kNoSegment: ask again until all headers have been looked at.
  [[nodiscard]] std::uint32_t oldest_evictable() noexcept;
  void add_to_window(std::uint32_t id) noexcept;
  void release_if_empty(std::uint32_t id) noexcept;
  /// A drained segment: free, or, if it is pinned, closed and empty until the last pin goes.
  void set_free(std::uint32_t id) noexcept;
  void note_finished(std::uint32_t id) noexcept;
  /// Bytes of its items that have expired, estimated from what is known of when they end; of a segment taken over, as
  /// if their seconds lay evenly over its range (up to twice its age where one never comes).
  [[nodiscard]] std::uint64_t expired_of(const SegmentHeader& segment) const noexcept;
  /// Of the headers looked at, whose expired bytes are the most and worth copying the rest; kNoSegment for none.
  [[nodiscard]] std::uint32_t most_expired() noexcept;
  void look_at_oldest() noexcept;
  void look_at_next_segments() noexcept;

  // tick.cc
  /// Eviction ahead of need, in proportion to what is stored.
  void pace(std::uint32_t item_bytes) noexcept;
  /// Three quarters of the room that eviction ahead of need keeps are used up.
  [[nodiscard]] bool late() const noexcept;
  /// Makes the next insert into the index possible. False: it would need a segment, and nothing can be evicted.
  [[nodiscard]] bool ready_index() noexcept { return index_.overflow_ready() || ready_index_slowly(); }
  [[nodiscard]] bool ready_index_slowly() noexcept;
  /// More than the smallest items need: they are larger than their index.
  [[nodiscard]] std::uint32_t index_segments_max() const noexcept { return pool_.segments() / 2; }
  [[nodiscard]] bool give_index_segment(Index::Use use) noexcept;
  void take_back_segment(Index::Use use) noexcept;
  void tend_index(std::uint32_t steps) noexcept;
  /// Splits up to `steps` buckets, as far as that is due and there is room.
  void grow_index(std::uint32_t steps) noexcept {
    if (index_.wants_growth()) [[unlikely]]
      grow_index_now(steps);
  }
  void grow_index_now(std::uint32_t steps) noexcept;
  void seal_some(std::uint64_t& budget) noexcept;
  void seal(std::uint32_t id) noexcept;
  void flush_now() noexcept;

  // audit.cc
  void audit_segment(std::uint32_t id, AuditReport& report) const noexcept;

  SegmentPool pool_;
  Index index_;
  HashKey hash_key_;
  const void* owner_ = nullptr;
  UnixSeconds now_ = 0, flush_at_ = 0;
  std::uint64_t flush_cas_ = 0;
  std::uint64_t random_ = 0;
  std::uint32_t item_bytes_max_ = 0, pins_max_ = 0;
  std::uint32_t pins_ = 0, reservations_open_ = 0, reservation_free_ = 0;
  std::uint32_t spare_ = 0;        ///< Free segments that only the collector and the index may take.
  std::uint32_t free_wanted_ = 0;  ///< Eviction ahead of need starts below this.
  std::uint32_t tails_ = 0;
  std::uint32_t tails_max_ = 0, tails_usual_ = 0;  ///< More than usual only for lifetimes far from all others.
  std::array<Tail, kTailsMax> tail_{};
  Eviction eviction_ = Eviction::kGreedy;
  Collector collector_;
  std::uint64_t clock_ = 0;  ///< Rises to the worth of what is evicted, see storage/priority.h.
  std::uint32_t epoch_ = 0;
  std::uint64_t epoch_bytes_ = 0;                        ///< Written in this epoch.
  std::array<std::uint64_t, kEpochs> clock_at_epoch_{};  ///< When each of the last epochs began.
  std::unique_ptr<SegmentRank[]> ranks_;                 ///< One a segment.
  std::uint32_t look_cursor_ = 0;                        ///< Where choose_by_gain() goes on.
  std::array<std::uint32_t, kFinishedMax>
      finished_{};  ///< Seen to hold nothing visible; judged again when their turn comes.
  std::uint32_t finished_count_ = 0;
  std::uint32_t watch_cursor_ = 0;  ///< Next segment header that look_at_next_segments() reads.
  UnixSeconds watched_s_ = 0;       ///< Last second in which the oldest segment of every bucket was looked at.
  std::uint64_t held_sum_ = 0, held_ = 0;
  std::uint64_t flush_sequence_ = 0;  ///< Segments opened before it hold nothing but flushed items (and late commits).
  std::uint32_t closed_ = 0;          ///< Segments in state kClosed.
  std::uint32_t seal_segment_ = kNoSegment, seal_offset_ = 0, seal_crc_ = 0, seal_cursor_ = 0;
  Restore restore_;
  Scrub scrub_;
  std::uint64_t live_bytes_ = 0;
  Stats counts_;  ///< The counters among them; gauges are filled in by stats().
  Work work_;     ///< But for the index's.
  std::unique_ptr<OpenReservation[]> reservations_;
};

static_assert(Store<Shard>);

}  // namespace gannet::storage
