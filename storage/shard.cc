// Finding, reserving, committing, erasing: the paths every request takes. shard_format.cc makes shards; shard_update.cc
// rewrites items.
#include "storage/shard.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace gannet::storage {

UnixSeconds Shard::advance(UnixSeconds now) noexcept {
  if (now > now_) [[unlikely]] {
    now_ = now;
    header().clock_s = now;
    if (flush_at_ != 0 && now >= flush_at_) flush_now();
  }
  return now_;
}

Location Shard::locate(std::uint64_t hash, Bytes key) const noexcept {
  return locate_entry(hash, key).place;
}

Location Shard::locate_visible(std::uint64_t hash, Bytes key) const noexcept {
  const Location at = locate(hash, key);
  return at != 0 && visible(at) ? at : 0;
}

ItemView Shard::describe(Location at) const noexcept {
  const ItemHeader& item = item_at(at);
  const std::uint32_t segment = pool_.segment_of(at);
  const SegmentBase& base = pool_.base_of(segment);
  return {item.value(), item.flags(), item.expires_at(base), item.cas(base), segment};
}

[[gnu::always_inline]] inline FindStatus Shard::serve(Location at, ItemView& out) noexcept {
  ItemHeader& item = item_at(at);
  const std::uint32_t segment = pool_.segment_of(at);
  const SegmentBase& base = pool_.base_of(segment);
  const std::uint64_t cas = item.cas(base);
  const UnixSeconds expires_at = item.expires_at(base);
  if (expired(expires_at) || cas < flush_cas_) [[unlikely]]
    return FindStatus::kMiss;
  // All is read before anything is written: what is written might be what is read, for all the compiler knows.
  const std::byte* const value = item.value().data();
  const std::uint32_t value_bytes = item.value_bytes(), flags = item.flags();
  out.value = {value, value_bytes};
  out.flags = flags;
  out.expires_at = expires_at;
  out.cas = cas;
  out.segment = segment;
  count_use(item);
  return FindStatus::kHit;
}

void Shard::prefetch_burst(std::span<Probe* const> probes) const noexcept {
  while (!probes.empty()) {
    const std::size_t count = std::min<std::size_t>(probes.size(), Index::kPrefetchBurstMax);
    index_.prefetch_burst(probes.first(count));
    probes = probes.subspan(count);
  }
}

FindStatus Shard::find(const Probe& probe, Bytes key, UnixSeconds now, ItemView& out) noexcept {
  // What the burst's prefetch found is still an entry if none was withdrawn since; then the index need not be read
  // again. All else is a tail call, so that nothing has to be saved here.
  const Location at = probe.place;
  if (!owned() || now > now_ || at == 0 || probe.seen != index_.withdrawals() || !has_key(item_at(at), key)) {
    return find_in_index(probe, key, now, out);
  }
  return serve(at, out);
}

[[gnu::noinline]] FindStatus Shard::find_in_index(const Probe& probe, Bytes key, UnixSeconds now,
                                                  ItemView& out) noexcept {
  check_owner();
  advance(now);
  const Location at = locate(probe.hash, key);
  return at != 0 ? serve(at, out) : FindStatus::kMiss;
}

bool Shard::pin(std::uint32_t segment) noexcept {
  check_owner();
  MUST_LT(segment, pool_.segments());
  if (pins_ >= pins_max_) return false;
  SegmentHeader& pinned = pool_.header(segment);
  MUST(pinned.state == SegmentState::kOpen || pinned.state == SegmentState::kClosed ||
       pinned.state == SegmentState::kSealed || pinned.state == SegmentState::kDraining ||
       being_entered(segment));  // After an attach, items are found before the last of their segment is.
  ++pinned.pins;
  ++pins_;
  return true;
}

void Shard::unpin(std::uint32_t segment) noexcept {
  check_owner();
  MUST_LT(segment, pool_.segments());
  MUST_GT(pool_.header(segment).pins, 0);
  --pool_.header(segment).pins;
  --pins_;
  release_if_empty(segment);
}

StoreStatus Shard::judge(Location at, SetMode mode, std::uint64_t cas) const noexcept {
  if (cas != 0) {
    if (at == 0) return StoreStatus::kNotFound;
    return cas_at(at) == cas ? StoreStatus::kStored : StoreStatus::kExists;
  }
  if (mode == SetMode::kAdd && at != 0) return StoreStatus::kExists;
  if (mode == SetMode::kReplace && at == 0) return StoreStatus::kNotFound;
  return StoreStatus::kStored;
}

void Shard::take_room(std::uint32_t segment, std::uint32_t bytes, UnixSeconds expires_at) noexcept {
  SegmentHeader& into = pool_.header(segment);
  const std::uint32_t expiry = expires_at == kNever ? kNeverExpires : expires_at;
  if (expiry < into.expiry_min_s) into.expiry_min_s = expiry;
  if (expiry > into.expiry_max_s) into.expiry_max_s = expiry;
  MUST_LE(bytes, pool_.geometry().segment_bytes - into.used_bytes);
  ordered_store(into.used_bytes, into.used_bytes + bytes);
}

Shard::Made Shard::make_item(NewItem& item) noexcept {
  // Which shape it gets is known with the segment: until then, room is asked for the widest.
  const auto most = static_cast<std::uint32_t>(item_bytes_most(item.key.size(), item.value_bytes, item.flags));
  pace(most);
  const std::uint64_t worth =
      worth_of(1, item_bytes_least(static_cast<std::uint32_t>(item.key.size()), item.value_bytes));
  const std::uint32_t segment = tail_for(item.expires_at, most, rank_of(worth), true);
  if (segment == kNoSegment) {
    ++counts_.set_no_memory;
    return {};
  }
  const SegmentBase& base = pool_.base_of(segment);
  if (item.cas == kNextCas) item.cas = header().next_cas;
  if (item.cas == kAnyCas) item.cas = base.cas ^ std::uint64_t{1} << 63;  // As far away as can be.
  const Location at = pool_.location(segment, pool_.header(segment).used_bytes);
  const WrittenItem written = write_item(item_at(at), item, base);
  take_room(segment, written.item_bytes, item.expires_at);
  work_.bytes_copied += written.item_bytes;
  work_.lines_touched += lines_of(written.item_bytes);
  note_written(segment, written.item_bytes, worth, item.expires_at);
  return {at, segment, written};
}

void Shard::bury(Location at) noexcept {
  ItemHeader& item = item_at(at);
  const std::uint32_t id = pool_.segment_of(at);
  if (id == scrub_.damaged) [[unlikely]] {  // Its sums are settled, and the item's length is nothing to go by.
    ordered_store(item.state, static_cast<std::uint8_t>(item.state | kItemDead));
    return;
  }
  bury(item, pool_.header(id), item.item_bytes());
  release_if_empty(id);
}

void Shard::forget(std::uint64_t hash, Location at) noexcept {
  index_.remove(hash, at);
  bury(at);
}

void Shard::discard(Location at) noexcept {
  const ItemHeader& item = item_at(at);
  const std::uint32_t bytes = item.item_bytes(), id = pool_.segment_of(at);
  SegmentHeader& segment = pool_.header(id);
  // The last item of an open segment gives its room back; elsewhere it stays behind, dead.
  if (segment.state == SegmentState::kOpen && at + bytes / kItemAlign == pool_.location(id, segment.used_bytes)) {
    ordered_store(segment.used_bytes, segment.used_bytes - bytes);
  }
  release_if_empty(id);
}

[[gnu::always_inline]] inline bool Shard::enter(std::uint64_t hash, Location at, std::uint32_t segment,
                                                std::uint32_t bytes, const Index::Entry& old) noexcept {
  // A new value under a known key inherits what is known about the key.
  std::uint8_t state = state_of(epoch_, kLevelNew);
  if (old.place != 0) {
    count_use(item_at(old.place));
    state = item_at(old.place).state;
  }
  go_live(at, segment, bytes, state, old.place);
  if (old.place != 0) {
    index_.replace(old, hash, at);
    bury(old.place);
    ordered_store(header().replaced, Location{0});
    return true;
  }
  if (index_.insert(hash, at)) return true;
  bury(at);
  ++counts_.set_no_memory;
  return false;
}

bool Shard::publish(std::uint64_t hash, Location at, std::uint64_t cas, const Index::Entry& old) noexcept {
  ItemHeader& item = item_at(at);
  const SegmentBase& base = base_at(at);
  MUST(item.set_cas(base, cas));
  item.check = item_check(item, base);
  return enter(hash, at, pool_.segment_of(at), item.item_bytes(), old);
}

Shard::OpenReservation& Shard::reservation_of(const Reservation& reservation) noexcept {
  OpenReservation& open = reservations_[reservation.ticket % kReservationsMax];
  MUST_EQ(open.turn, static_cast<std::uint16_t>(reservation.ticket / kReservationsMax));
  MUST_NE(open.at, 0u);
  return open;
}

void Shard::end_reservation(OpenReservation& open) noexcept {
  const std::uint32_t id = pool_.segment_of(open.at);
  MUST_GT(pool_.header(id).reservations, 0);
  --pool_.header(id).reservations;
  open.at = 0;
  ++open.turn;
  open.next = reservation_free_;
  reservation_free_ = static_cast<std::uint32_t>(&open - reservations_.get());
  --reservations_open_;
  release_if_empty(id);
}

StoreStatus Shard::too_large(Probe probe, const SetRequest& request) noexcept {
  if (request.mode == SetMode::kSet) {
    remove(probe.hash, request.key, locate(probe.hash, request.key));
  }
  return StoreStatus::kTooLarge;
}

StoreStatus Shard::reserve(Probe probe, const SetRequest& request, UnixSeconds now, Reservation& out) noexcept {
  check_owner();
  advance(now);
  MUST(!request.key.empty() && request.key.size() <= kKeyBytesMax);
  if (!fits(request)) return too_large(probe, request);
  const StoreStatus judged = judge(locate_visible(probe.hash, request.key), request.mode, request.cas);
  if (judged != StoreStatus::kStored) return judged;
  if (reservations_open_ == kReservationsMax) {
    ++counts_.set_no_memory;
    return StoreStatus::kNoMemory;
  }
  NewItem item{request.key, request.value_bytes, request.flags, request.expires_at, kAnyCas};
  const Location at = make_item(item).at;
  if (at == 0) return StoreStatus::kNoMemory;
  ++pool_.header(pool_.segment_of(at)).reservations;
  const std::uint32_t slot = reservation_free_;
  OpenReservation& open = reservations_[slot];
  reservation_free_ = open.next;
  ++reservations_open_;
  open.hash = probe.hash;
  open.at = at;
  open.cas = request.cas;
  open.mode = request.mode;
  out.value = item_at(at).value();
  out.ticket = open.turn * kReservationsMax + slot;
  return StoreStatus::kStored;
}

StoreStatus Shard::commit(const Reservation& reservation, UnixSeconds now, std::uint64_t& cas_out) noexcept {
  check_owner();
  advance(now);
  OpenReservation& open = reservation_of(reservation);
  const Bytes key = item_at(open.at).key();
  StoreStatus status = ready_index() ? StoreStatus::kStored : StoreStatus::kNoMemory;
  if (status == StoreStatus::kStored) status = judge(locate_visible(open.hash, key), open.mode, open.cas);
  if (status == StoreStatus::kStored) status = finish(open.hash, open.at, key, cas_out);
  if (status != StoreStatus::kStored) discard(open.at);
  end_reservation(open);
  grow_index(kGrowStepsPerSet);
  return status;
}

void Shard::abandon(const Reservation& reservation) noexcept {
  check_owner();
  OpenReservation& open = reservation_of(reservation);
  discard(open.at);
  end_reservation(open);
}

StoreStatus Shard::finish(std::uint64_t hash, Location at, Bytes key, std::uint64_t& cas_out) noexcept {
  const Index::Entry old = locate_entry(hash, key);
  const std::uint64_t cas = header().next_cas++;
  if (expired(expiry_at(at)) && !restoring()) {  // Stored, and gone at once: nothing is left to be seen.
    if (old.place != 0) forget(hash, old.place);
    discard(at);
  } else if (!publish(hash, at, cas, old)) {
    return StoreStatus::kNoMemory;
  }
  cas_out = cas;
  return StoreStatus::kStored;
}

StoreStatus Shard::set(Probe probe, const SetRequest& request, Bytes value, UnixSeconds now,
                       std::uint64_t& cas_out) noexcept {
  check_owner();
  advance(now);
  MUST(!request.key.empty() && request.key.size() <= kKeyBytesMax);
  MUST_EQ(value.size(), request.value_bytes);
  if (!fits(request)) return too_large(probe, request);
  const bool conditional = request.mode != SetMode::kSet || request.cas != 0;
  StoreStatus status = StoreStatus::kStored;
  if (conditional) status = judge(locate_visible(probe.hash, request.key), request.mode, request.cas);
  if (status != StoreStatus::kStored) return status;
  // First what may evict, then the item: nothing between make_item and publish may move it.
  if (!ready_index()) return StoreStatus::kNoMemory;
  NewItem item{request.key, request.value_bytes, request.flags, request.expires_at, kNextCas};
  const Made made = make_item(item);
  if (made.at == 0) return StoreStatus::kNoMemory;
  ItemHeader& written = item_at(made.at);
  std::byte* const key_and_value = written.bytes() + made.written.header_bytes;
  copy_item_bytes(key_and_value + request.key.size(), value.data(), value.size());
  if (conditional) status = judge(locate_visible(probe.hash, request.key), request.mode, request.cas);
  if (status == StoreStatus::kStored && expired(request.expires_at)) [[unlikely]] {
    status = finish(probe.hash, made.at, request.key, cas_out);
  } else if (status == StoreStatus::kStored) {  // What finish() does, and nothing read back.
    const Index::Entry old = locate_entry(probe.hash, request.key);
    MUST_EQ(header().next_cas, item.cas);
    ++header().next_cas;
    written.check = item_check(item, {key_and_value, request.key.size() + value.size()});
    if (enter(probe.hash, made.at, made.segment, made.written.item_bytes, old)) {
      cas_out = item.cas;
    } else {
      status = StoreStatus::kNoMemory;
    }
  }
  if (status != StoreStatus::kStored) discard(made.at);
  grow_index(kGrowStepsPerSet);
  return status;
}

StoreStatus Shard::erase(Probe probe, Bytes key, std::uint64_t cas, UnixSeconds now) noexcept {
  check_owner();
  advance(now);
  const Location at = locate_visible(probe.hash, key);
  if (at != 0 && cas != 0 && cas_at(at) != cas) return StoreStatus::kExists;
  remove(probe.hash, key, at);
  return at != 0 ? StoreStatus::kStored : StoreStatus::kNotFound;
}

}  // namespace gannet::storage
