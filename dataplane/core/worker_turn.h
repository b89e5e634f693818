/// BasicWorker: the turn, taking frames in, travel between workers, background work. Included by worker.cc and by
/// whoever instantiates the worker over another store.
#pragma once

#include <array>
#include <span>

#include "control/abi/config_slot.h"
#include "dataplane/core/drops.h"
#include "dataplane/core/udp_message.h"
#include "dataplane/core/worker.h"
#include "nicpipe/ip_address.h"
#include "storage/base/must.h"
#include "storage/base/prefetch.h"
#include "storage/store.h"

namespace gannet::dataplane {

namespace detail {

/// A store that knows more than one eviction names them in the order of LiveConfig::eviction. A store without is left
/// alone.
template <class S, class E>
void set_eviction(S& shard, void (S::*set)(E) noexcept, std::uint32_t eviction) noexcept {
  (shard.*set)(eviction <= static_cast<std::uint32_t>(E::kGreedy) ? static_cast<E>(eviction) : E::kGreedy);
}

/// A store that can take over what an earlier process left reads it in tick(), and says for how long.
template <class S>
[[nodiscard]] bool is_restoring(const S& shard) noexcept {
  if constexpr (requires { shard.restoring(); }) return shard.restoring();
  return false;
}

}  // namespace detail

template <class S>
BasicWorker<S>::BasicWorker(WorkerGroup& group, S& shard, const WorkerOptions& options)
    : group_(group),
      shard_(shard),
      index_(options.index),
      workers_(group.workers()),
      spares_max_(options.spares),
      mono_now_(options.mono_now),
      block_(group.shared().worker[options.index]),
      counters_(block_.counters),
      travellers_(group.workers()),
      travellers_count_(group.workers(), 0),
      errands_out_(group.workers()),
      errands_out_count_(group.workers(), 0),
      authenticates_(options.tcp.users != nullptr) {
  static_assert(storage::Store<S>);
  MUST_LT(index_, workers_);
  MUST_GE(spares_max_, 1u);
  MUST_LE(spares_max_, kSparePackets);
  MUST_GE(options.ports.size(), 1u);
  MUST_LE(options.ports.size(), kPortsMax);
  for (std::size_t p = 0; p < options.ports.size(); ++p) {
    const nicpipe::Dispatch* dispatch = p < options.dispatch.size() ? options.dispatch[p] : nullptr;
    nicpipe::HostConfig config = options.ports[p];
    config.tcp = options.tcp.port != 0;
    ports_.push_back(
        Port{.host = nicpipe::Host(config),
             .dispatch = dispatch,
             .chunk_bytes = chunk_bytes(nicpipe::udp_payload_bytes_max(config.mtu, !config.address6.is_zero())),
             .multi_segment = config.capabilities.multi_segment});
    MUST_GT(ports_.back().chunk_bytes, kAnswerHeadBytesMax);
    if (dispatch != nullptr && workers_ > 1) dispatches_ = true;
  }
  make_tcp(options);
}

template <class S>
std::uint32_t BasicWorker<S>::rx_room() const noexcept {
  const std::uint32_t backlog = backlog_.size();
  if (backlog >= kBacklogReceived) return 0;
  return std::min(kBacklogReceived - backlog, out_.send_room(static_cast<std::uint32_t>(ports_.size())));
}

template <class S>
bool BasicWorker<S>::turn(std::span<Packet> rx, Now now) noexcept {
  MUST_LE(rx.size(), rx_room());
  adopt_config();
  receive(rx, now);
  bool busy = !rx.empty();
  bool more_waits = rx.size() >= kReceiveBurst;
  if (workers_ > 1) {
    const std::uint32_t taken_over = take_over(now);
    more_waits |= taken_over >= kTakeoverBurst;
    busy |= taken_over + take_errands(now) > 0;
  }
  for (std::uint32_t run = 0; run < kStageRunsPerTurn && backlog_.size() > 0; ++run) {
    if (!run_stage(now)) break;
    busy = true;
  }
  if (mixed_.size() > 0) busy |= run_mixed(now);
  if (transfers_.size() > 0) busy |= continue_transfers();
  if (tcp_ != nullptr) busy |= turn_tcp(now, more_waits);
  if (workers_ > 1) {
    for (std::uint32_t target = 0; target < workers_; ++target) {
      push_travellers(target);
      push_errands(target);
    }
  }
  background(now, busy);
  return busy || detail::is_restoring(shard_);  // That is no time to sleep.
}

template <class S>
void BasicWorker<S>::sent(std::uint32_t packets, std::uint32_t port) noexcept {
  if (packets == 0) return;
  std::uint64_t bytes = 0;
  for (const Packet& packet : out_.to_send(port).first(packets)) bytes += packet.bytes + packet.tail_bytes;
  abi::bump(counters_.tx_frames, packets);
  abi::bump(counters_.tx_bytes, bytes);
  out_.sent(port, packets);
}

template <class S>
void BasicWorker<S>::give_spares(std::span<const Packet> packets) noexcept {
  for (const Packet& packet : packets) {
    if (tcp_ != nullptr && tcp_->sink.spares_wanted() > 0) {
      tcp_->sink.put_spare(packet);
    } else {
      out_.put_spare(packet);
    }
  }
}

template <class S>
nicpipe::ReleaseHook BasicWorker<S>::release_hook() noexcept {
  return {.release = &BasicWorker::release_pin, .context = this};
}

template <class S>
void BasicWorker<S>::release_pin(void* self, std::uint32_t segment) {
  static_cast<BasicWorker*>(self)->shard_.unpin(segment);
}

template <class S>
void BasicWorker<S>::adopt_config() noexcept {
  if (!abi::adopt_config(group_.shared().config, live_generation_, live_)) [[likely]]
    return;
  std::array<nicpipe::IpPrefix, nicpipe::kAllowedPrefixesMax> allowed;
  const std::uint32_t prefixes = std::min<std::uint32_t>(live_.prefixes, std::min(abi::kPrefixesMax, allowed.size()));
  for (std::uint32_t i = 0; i < prefixes; ++i) {
    const abi::Prefix& prefix = live_.allow[i];
    allowed[i] = {nicpipe::load_ipv6(std::as_bytes(std::span(prefix.address)).data()),
                  std::min<std::uint8_t>(prefix.bits, 128)};
  }
  udp_rules_ = udp_rules_of(live_);
  for (Port& port : ports_) {
    port.host.allow(std::span(allowed).first(prefixes));
    port.host.limit_sources(live_.udp_rate_per_source);
  }
  if constexpr (requires { &S::set_eviction; }) detail::set_eviction(shard_, &S::set_eviction, live_.eviction);
  block_.gauges.config_generation.store(live_generation_, std::memory_order_release);
}

template <class S>
void BasicWorker<S>::receive(std::span<Packet> rx, Now now) noexcept {
  if (rx.empty()) return;
  std::uint64_t bytes = 0;
  for (const Packet& packet : rx) {
    prefetch_line(packet.data);
    prefetch_line(packet.data + 64);
  }
  for (Packet& packet : rx) {
    bytes += packet.bytes;
    MUST_LT(packet.port, ports_.size());
    if (dispatches_ && ports_[packet.port].dispatch != nullptr) {
      if (const std::uint32_t target = ports_[packet.port].dispatch->worker_of(packet); target != index_) {
        packet.mark = kMarkRawFrame;
        travel(packet, target);
        continue;
      }
    }
    admit(packet, now);
  }
  abi::bump(counters_.rx_frames, rx.size());
  abi::bump(counters_.rx_bytes, bytes);
}

/// One received frame: answered by the host, dropped, or a datagram that stays in the backlog.
template <class S>
void BasicWorker<S>::admit(const Packet& frame, Now now) noexcept {
  using nicpipe::Verdict;
  nicpipe::Drop why{};
  Packet& packet = backlog_.push(frame);
  packet.mark = 0;
  const Verdict verdict = ports_[packet.port].host.receive(packet, now, why);
  if (verdict == Verdict::kUdp && admit_datagram(packet)) [[likely]]
    return;
  backlog_.take_back();
  switch (verdict) {
    case Verdict::kArpReply:
      abi::bump(counters_.arp_replies);
      out_.send(packet);
      return;
    case Verdict::kNdpReply:
      abi::bump(counters_.ndp_replies);
      out_.send(packet);
      return;
    case Verdict::kEchoReply:
      abi::bump(counters_.icmp_echoes);
      out_.send(packet);
      return;
    case Verdict::kUnreachable:
      abi::bump(counters_.icmp_unreachables);
      out_.send(packet);
      return;
    case Verdict::kDrop:
      abi::bump(drop_counter(counters_, why));
      break;
    case Verdict::kArpLearned:
      abi::bump(counters_.arp_learned);
      break;
    case Verdict::kNdpLearned:
      abi::bump(counters_.ndp_learned);
      break;
    case Verdict::kTcp:
    case Verdict::kTcpError:
      return admit_segment(packet, verdict, now);
    case Verdict::kUdp:
      break;
  }
  out_.free(packet);
}

/// True: it stays. False, counted: it is to be freed.
template <class S>
bool BasicWorker<S>::admit_datagram(Packet& packet) noexcept {
  if (authenticates_) [[unlikely]] {  // A datagram cannot say a password: as memcached, SASL leaves UDP off.
    abi::bump(counters_.drop_auth);
    return false;
  }
  packet.cursor = kUdpFrameBytes;
  switch (judge_udp_frame(nicpipe::udp_payload(packet), memcache::kHeaderBytes)) {
    case FrameStatus::kOk:
      return true;
    case FrameStatus::kTooShort:
      abi::bump(counters_.drop_frame_header);
      return false;
    case FrameStatus::kMultiDatagram:
      abi::bump(counters_.drop_multi_datagram);
      return false;
  }
  return false;
}

/// Packets from the other workers, a burst from each, as far as there is room. The first to be asked changes, so that
/// none starves.
template <class S>
std::uint32_t BasicWorker<S>::take_over(Now now) noexcept {
  std::array<Packet, kTakeoverBurst> taken;
  std::uint32_t total = 0;
  for (std::uint32_t step = 1; step < workers_; ++step) {
    const std::uint32_t from = (index_ + step) % workers_;
    std::uint32_t room = std::min(backlog_.room(), kTakeoverBurst);
    if (dispatches_) room = std::min(room, out_.send_room(static_cast<std::uint32_t>(ports_.size())));
    if (room == 0) break;
    const std::uint32_t count = group_.ring(from, index_).pop(std::span(taken).first(room));
    for (std::uint32_t i = 0; i < count; ++i) prefetch_line(taken[i].data + 32);
    for (std::uint32_t i = 0; i < count; ++i) {
      if (taken[i].mark == kMarkRawFrame) {
        admit(taken[i], now);
      } else {
        abi::bump(counters_.taken_over);
        backlog_.push(taken[i]);
      }
    }
    total += count;
  }
  return total;
}

template <class S>
void BasicWorker<S>::travel(Packet& packet, std::uint32_t target) noexcept {
  MUST_NE(target, index_);
  MUST_LT(target, workers_);
  if (travellers_count_[target] == kHandoverBurst) push_travellers(target);
  travellers_[target][travellers_count_[target]++] = packet;
}

/// Into the ring with what was collected; what does not fit is dropped, counted, and its buffer freed here.
template <class S>
void BasicWorker<S>::push_travellers(std::uint32_t target) noexcept {
  const std::uint32_t count = travellers_count_[target];
  if (count == 0) return;
  const std::span<const Packet> burst = std::span(travellers_[target]).first(count);
  const std::uint32_t pushed = group_.ring(index_, target).push(burst);
  for (const Packet& packet : burst.first(pushed))
    abi::bump(counters_.handed_over, packet.mark == kMarkRawFrame ? 0 : 1);
  if (pushed < count) {
    abi::bump(counters_.drop_handover_full, count - pushed);
    for (const Packet& packet : burst.subspan(pushed)) out_.free(packet);
  }
  travellers_count_[target] = 0;
}

/// The store's own work on its schedule (every idle turn as well), gauges, heartbeat.
template <class S>
void BasicWorker<S>::background(Now now, bool busy) noexcept {
  const bool restoring = detail::is_restoring(shard_);
  if (!busy || restoring || now.mono_ns - last_tick_ns_ >= kTickIntervalNs) {
    shard_.tick(now.unix_s, kTickBytes);
    last_tick_ns_ = now.mono_ns;
    if (restoring && !detail::is_restoring(shard_)) last_gauges_ns_ = 0;  // That moment is waited for.
  }
  if (now.mono_ns - last_gauges_ns_ >= kGaugeIntervalNs || last_gauges_ns_ == 0) {
    write_gauges(now);
    last_gauges_ns_ = now.mono_ns;
  }
  block_.gauges.heartbeat_ns.store(now.mono_ns, std::memory_order_relaxed);
  abi::bump(counters_.turns);
  if (!busy) abi::bump(counters_.turns_idle);
}

template <class S>
void BasicWorker<S>::write_gauges(Now) noexcept {
  const storage::Stats stats = shard_.stats();
  abi::WorkerGauges& gauges = block_.gauges;
  const auto put = [](abi::Cell& cell, std::uint64_t value) { cell.store(value, std::memory_order_relaxed); };
  put(gauges.items, stats.items);
  put(gauges.item_bytes, stats.item_bytes);
  put(gauges.memory_bytes, stats.memory_bytes);
  put(gauges.index_bytes, stats.index_bytes);
  put(gauges.segments_total, stats.segments_total);
  put(gauges.segments_free, stats.segments_free);
  put(gauges.segments_open, stats.segments_open);
  put(gauges.segments_sealed, stats.segments_sealed);
  put(gauges.segments_index, stats.segments_index);
  put(gauges.expired_items, stats.expired_items);
  put(gauges.evicted_items, stats.evicted_items);
  put(gauges.evicted_segments, stats.evicted_segments);
  put(gauges.merges, stats.merges);
  put(gauges.expired_bytes_held, stats.expired_bytes_held);
  put(gauges.segments_kept, stats.segments_kept);
  put(gauges.restored_items, stats.restored_items);
  put(gauges.restore_dropped, stats.restore_dropped);
  put(gauges.damaged_segments, stats.damaged_segments);
  put(gauges.damaged_items, stats.damaged_items);
  put(gauges.scrub_rounds, stats.scrub_rounds);
  put(gauges.pins, stats.pins);
  put(gauges.reservations, stats.reservations);
  if (tcp_ != nullptr) write_tcp_figures(tcp_->engine, tcp_->streams.parcels_used(), counters_, gauges);
}

template <class S>
bool BasicWorker<S>::drained() const noexcept {
  std::uint32_t waiting = backlog_.size() + transfers_.size() + mixed_.size() + errands_.used() + kSendPackets -
                          out_.send_room(static_cast<std::uint32_t>(ports_.size()));
  for (const std::uint32_t count : travellers_count_) waiting += count;
  for (const std::uint32_t count : errands_out_count_) waiting += count;
  return waiting == 0 && (tcp_ == nullptr || tcp_->streams.drained());
}

template <class S>
bool BasicWorker<S>::close() noexcept {
  if (!out_.to_free().empty()) return false;
  for (; transfers_.size() > 0; release_oldest()) {
    if (transfers_.oldest().has_parked) out_.free(transfers_.oldest().parked);
  }
  for (; backlog_.size() > 0; backlog_.pop(1)) out_.free(backlog_.at(0));
  while (out_.spares() > 0) out_.free(out_.take_spare());
  for (std::uint32_t i = 0; i < kMixedMax; ++i) {
    Mixed& mixed = mixed_.at(i);
    if (!mixed.used) continue;
    if (!mixed.packet_gone) out_.free(mixed.packet);
    mixed_.remove(mixed);
  }
  bool all = close_errands();
  if (tcp_ != nullptr) all &= close_tcp();
  for (std::uint32_t from = 0; from < workers_; ++from) {
    if (from == index_) continue;
    std::array<Packet, kTakeoverBurst> taken;
    const std::uint32_t count = group_.ring(from, index_).pop(taken);
    for (std::uint32_t i = 0; i < count; ++i) out_.free(taken[i]);
    all &= count < kTakeoverBurst;
  }
  for (std::uint32_t p = 0; p < ports_.size(); ++p) {
    const std::span<Packet> unsent = out_.to_send(p);
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(unsent.size(), kBacklogPackets / kPortsMax));
    for (const Packet& packet : unsent.first(count)) out_.free(packet);  // The endpoint's free() releases a tail's pin.
    all &= count == unsent.size();
    out_.sent(p, count);
  }
  return all;
}

}  // namespace gannet::dataplane
