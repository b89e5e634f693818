// Finding out what was lost and deciding what may be sent meanwhile: RACK-TLP (RFC 8985) for peers with SACK, duplicate
// acknowledgements (RFC 5681 section 3.2, RFC 6582, RFC 3042) for others, proportional rate reduction (RFC 6937) for
// both.
#include <algorithm>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr std::uint8_t kRackPersist = 16, kRackMultiplierMax = 20;

/// RFC 8985 section 6.2, step 2: later sent, or at the same time and further on.
[[nodiscard]] bool sent_after(MonotonicNs a, Seq a_end, MonotonicNs b, Seq b_end) noexcept {
  return a > b || (a == b && seq_gt(a_end, b_end));
}

}  // namespace

/// RFC 8985 section 6.2, steps 1 to 3, for one segment newly known to have arrived.
void Core::delivered(Connection& c, const Flight& f, Now now) noexcept {
  const MonotonicNs rtt = now.mono_ns - f.sent_ns;
  if (f.retransmitted && c.rtt.least_ns != ~MonotonicNs{0} && rtt < c.rtt.least_ns) return;  // The first one arrived.
  if (c.rack_sent_ns == 0 || sent_after(f.sent_ns, f.end(), c.rack_sent_ns, c.rack_end)) {
    c.rack_sent_ns = f.sent_ns;
    c.rack_end = f.end();
    c.rack_rtt_ns = rtt;
  }
  if (seq_gt(f.end(), c.rack_fack)) {
    c.rack_fack = f.end();
  } else if (seq_lt(f.end(), c.rack_fack) && !f.retransmitted) {
    c.rack_reordering = true;
  }
}

/// Two flights of one: the first keeps `bytes`. False: no memory.
bool Core::split_flight(Connection& c, std::uint32_t index, std::uint32_t bytes) noexcept {
  const std::uint32_t second = flights.take();
  if (second == kNone) return false;
  Flight& a = flights[index];
  Flight& b = flights[second];
  MUST(bytes > 0 && bytes < a.bytes);
  b = a;
  b.seq += bytes;
  b.bytes -= bytes;
  b.chunk_offset += bytes;
  while (b.chunk != kNone && b.chunk_offset >= chunks[b.chunk].bytes && chunks[b.chunk].next != kNone) {
    b.chunk_offset -= chunks[b.chunk].bytes;
    b.chunk = chunks[b.chunk].next;
  }
  a.bytes = bytes;
  a.fin = false;
  a.next = second;
  if (c.flight_tail == index) c.flight_tail = second;
  ++c.flight_count;
  if (a.sacked) ++c.sacked_count;
  return true;
}

/// RFC 2018 section 5; D-SACK: RFC 2883 section 4.
void Core::read_sacks(Connection& c, const Segment& s, AckInfo& info, Now now) noexcept {
  for (std::uint8_t i = 0; i < s.options.sack_count; ++i) {
    const SackBlock& block = s.options.sacks[i];
    if (!seq_lt(block.start, block.end) || seq_gt(block.end, c.snd_nxt)) continue;
    const bool below = seq_le(block.end, c.snd_una);
    const bool inside = i == 0 && s.options.sack_count > 1 && seq_ge(block.start, s.options.sacks[1].start) &&
                        seq_le(block.end, s.options.sacks[1].end);
    if (i == 0 && (below || inside)) {
      info.dsack = true;
      info.dsack_block = block;
      continue;
    }
    if (below) continue;
    std::uint32_t index = c.flight_head;
    while (index != kNone && seq_lt(flights[index].seq, block.end)) {
      Flight& f = flights[index];
      if (f.sacked || seq_le(f.end(), block.start)) {
        index = f.next;
        continue;
      }
      if (seq_lt(f.seq, block.start)) {  // Begins inside: the front was not received.
        if (!split_flight(c, index, block.start - f.seq)) return;
        index = f.next;
        continue;
      }
      if (seq_gt(f.end(), block.end) && !split_flight(c, index, block.end - f.seq)) return;
      f.sacked = true;
      ++c.sacked_count;
      c.sacked_bytes += f.bytes;
      if (f.lost) {
        f.lost = false;
        c.lost_bytes -= f.bytes;
      }
      info.sacked += f.bytes;
      info.delivered += f.bytes;
      delivered(c, f, now);
      if (!f.retransmitted) info.sack_sample_ns = now.mono_ns - f.sent_ns;
      index = f.next;
    }
  }
  if (info.acked == 0 && info.sack_sample_ns != 0) c.rtt.sample(info.sack_sample_ns);
}

void Core::mark_lost(Connection& c, std::uint32_t index) noexcept {
  Flight& f = flights[index];
  if (f.lost || f.sacked) return;
  f.lost = true;
  c.lost_bytes += f.bytes;
  if (c.lost_hint == kNone || seq_lt(f.seq, flights[c.lost_hint].seq)) c.lost_hint = index;
}

/// RFC 8985 section 6.2, step 4.
MonotonicNs Core::reorder_window(const Connection& c) const noexcept {
  if (!c.rack_reordering && (c.recovery != Recovery::kOpen || c.sacked_count >= kDuplicateAcks)) return 0;
  const MonotonicNs least = c.rtt.least_ns == ~MonotonicNs{0} ? 0 : c.rtt.least_ns;
  return std::min(c.rack_multiplier * (least / 4), c.rtt.smoothed_ns);
}

/// RFC 8985 section 6.2, step 5: lost is what was sent long enough before something that arrived.
void Core::detect_losses(Connection& c, Now now) noexcept {
  c.reorder_ns = 0;
  if (c.rack_sent_ns == 0) return;
  const MonotonicNs window = reorder_window(c);
  for (std::uint32_t index = c.flight_head; index != kNone; index = flights[index].next) {
    const Flight& f = flights[index];
    if (f.sacked || f.lost) continue;
    if (!sent_after(c.rack_sent_ns, c.rack_end, f.sent_ns, f.end())) {
      if (!f.retransmitted) break;  // What follows was sent later still, or is looked at when it is retransmitted.
      continue;
    }
    const MonotonicNs due = f.sent_ns + c.rack_rtt_ns + window;
    if (due <= now.mono_ns) {
      mark_lost(c, index);
    } else {
      c.reorder_ns = c.reorder_ns == 0 ? due : std::max(c.reorder_ns, due);
    }
  }
}

void Core::enter_recovery(Connection& c) noexcept {
  c.recovery = Recovery::kFast;
  c.recovery_point = c.snd_nxt;
  c.prr_delivered = c.prr_out = 0;
  c.prr_flight = std::max(c.flight_bytes(), std::uint32_t{c.mss});
  reduce_window(c);
  c.tlp_out = false;
  ++stats.fast_recoveries;
}

/// RFC 6937 section 3 with the slow-start reduction bound where the window moves and nothing more is lost.
void Core::run_prr(Connection& c, const AckInfo& info) noexcept {
  c.prr_delivered += info.delivered;
  const std::uint32_t pipe = c.pipe();
  std::uint32_t more = 0;
  if (pipe > c.ssthresh) {
    const std::uint64_t share = (std::uint64_t{c.prr_delivered} * c.ssthresh + c.prr_flight - 1) / c.prr_flight;
    more = share > c.prr_out ? static_cast<std::uint32_t>(share - c.prr_out) : 0;
  } else {
    std::uint32_t bound = c.prr_delivered > c.prr_out ? c.prr_delivered - c.prr_out : 0;
    if (info.acked > 0 && c.lost_bytes <= info.lost_before) bound = std::max(bound, info.delivered) + c.mss;
    more = std::min(c.ssthresh - pipe, bound);
  }
  if (c.prr_out == 0) more = std::max(more, std::uint32_t{c.mss});  // The fast retransmission itself.
  c.cwnd = pipe + more;
}

/// RFC 8985 section 7.4.2.
void Core::tail_probe_acknowledged(Connection& c, const Segment& s, const AckInfo& info) noexcept {
  if (!c.tlp_out || seq_lt(s.ack, c.tlp_end)) return;
  const bool was_needless = !c.tlp_is_retransmit || (info.dsack && info.dsack_block.end == c.tlp_end);
  const bool has_repaired = !was_needless && seq_gt(s.ack, c.tlp_end);
  const bool is_duplicate = info.acked == 0 && s.options.sack_count == 0 && !info.has_payload && !info.window_changed;
  if (was_needless || has_repaired || is_duplicate) c.tlp_out = false;
  if (was_needless && c.tlp_is_retransmit) c.tlp_patient = true;
  if (has_repaired) {  // A loss that nothing else told of.
    c.tlp_patient = false;
    reduce_window(c);
    c.cwnd = std::min(c.cwnd, c.ssthresh);
  }
}

void Core::after_ack(Connection& c, const Segment& s, AckInfo& info, Now now) noexcept {
  if (info.dsack) {
    ++stats.spurious;
    c.rack_reordering = true;
    if (seq_ge(c.snd_una, c.rack_round)) {  // Section 6.2, step 4: once a round trip.
      c.rack_round = c.snd_nxt;
      c.rack_multiplier = std::min<std::uint8_t>(static_cast<std::uint8_t>(c.rack_multiplier + 1), kRackMultiplierMax);
      c.rack_persist = kRackPersist;
    }
  }
  if (c.recovery != Recovery::kOpen && seq_ge(c.snd_una, c.recovery_point)) {
    if (c.recovery == Recovery::kFast) c.cwnd = std::max(c.ssthresh, std::uint32_t{c.mss});
    if (c.rack_persist > 0 && --c.rack_persist == 0) c.rack_multiplier = 1;
    c.recovery = Recovery::kOpen;
    c.reno_bytes = 0;
    c.duplicate_acks = 0;
  }
  if (c.sack) {
    if (info.sacked > 0 || c.sacked_count > 0 || c.recovery != Recovery::kOpen || c.reorder_ns != 0)
      detect_losses(c, now);
    tail_probe_acknowledged(c, s, info);
  } else {
    count_duplicates(c, s, info);
  }
  if (c.lost_bytes > info.lost_before && c.recovery == Recovery::kOpen) enter_recovery(c);
  if (info.marked) heed_mark(c, info.flight_before);
  if (c.recovery == Recovery::kFast) {
    run_prr(c, info);
  } else if (info.acked > 0 && !info.marked) {
    grow_window(c, info.acked, info.flight_before, now);
  }
}

/// Without SACK. Each duplicate says that one segment left the network: with the pipe so much smaller new data follows
/// (limited transmit, RFC 3042), the third one means a loss, a partial acknowledgement the next (RFC 6582).
void Core::count_duplicates(Connection& c, const Segment& s, AckInfo& info) noexcept {
  if (info.acked > 0) {
    if (c.recovery == Recovery::kFast) {
      const std::uint32_t eaten = info.acked > c.mss ? info.acked - c.mss : 0;
      c.reno_bytes -= std::min(c.reno_bytes, eaten);
      if (c.flight_head != kNone) mark_lost(c, c.flight_head);
    } else {
      c.reno_bytes = 0;
      c.duplicate_acks = 0;
    }
    return;
  }
  if (info.flight_before == 0 || info.has_payload || info.window_changed || s.ack != c.snd_una) return;
  if (c.recovery == Recovery::kTimedOut) return;
  const std::uint32_t most = c.flight_bytes() - std::min(c.flight_bytes(), std::uint32_t{c.mss});
  c.reno_bytes = std::min(c.reno_bytes + c.mss, most);
  info.delivered = c.mss;
  if (++c.duplicate_acks == kDuplicateAcks && c.recovery == Recovery::kOpen && seq_ge(c.snd_una, c.recovery_point)) {
    mark_lost(c, c.flight_head);
  }
}

/// RFC 6298 section 5.4 to 5.7, RFC 5681 section 3.1, RFC 8985 section 6.3.
void Core::timed_out(Connection& c, Now now, Sink& sink) noexcept {
  ++stats.timeouts;
  if (++c.retries > config.retries) {
    ++stats.timed_out;
    end(c, Close::kTimeout, sink);
    return;
  }
  if (c.backoff == 0) reduce_window(c);
  if (c.backoff < 16) ++c.backoff;
  // A peer that still has not delivered the first one although it told to have later ones may have dropped those
  // (RFC 2018 section 8): nothing it said counts once the first itself is marked.
  const bool reneged = flights[c.flight_head].sacked;
  for (std::uint32_t index = c.flight_head; index != kNone; index = flights[index].next) {
    Flight& f = flights[index];
    if (reneged && f.sacked) {
      f.sacked = false;
      c.sacked_bytes -= f.bytes;
      --c.sacked_count;
    }
    mark_lost(c, index);
  }
  c.recovery = Recovery::kTimedOut;
  c.recovery_point = c.snd_nxt;
  c.cwnd = c.mss;
  c.cwnd_credit = 0;
  c.cubic_epoch_ns = 0;
  c.reno_bytes = 0;
  c.duplicate_acks = 0;
  c.tlp_out = c.tlp_patient = false;
  c.reorder_ns = 0;
  c.timeout_from_ns = now.mono_ns;
  if (c.backoff >= 2) copy_out_pins(c);
  (void)send_pending(c, now, sink);
}

/// RFC 8985 section 7.3: new data if there is any, else the last segment again.
void Core::send_tail_probe(Connection& c, Now now, Sink& sink) noexcept {
  ++stats.tail_probes;
  c.tlp_out = true;
  c.tlp_is_retransmit = false;
  const std::uint32_t window = c.snd_una + c.snd_wnd - c.snd_nxt;
  const std::uint32_t fresh = std::min<std::uint32_t>(c.unsent(), c.mss);
  if (fresh > 0 && static_cast<std::int32_t>(window) > 0 && fresh <= window && flights.left() > 0) {
    (void)send_new(c, fresh, false, now, sink);
  } else {
    c.tlp_is_retransmit = true;
    std::uint32_t last = c.flight_tail;
    if (flights[last].bytes > c.mss) {
      const std::uint32_t front = flights[last].bytes - c.mss;
      if (split_flight(c, last, front)) last = flights[last].next;
    }
    retransmit(c, last, now, sink);
  }
  c.tlp_end = c.snd_nxt;
  c.timeout_from_ns = now.mono_ns;
}

MonotonicNs Core::timeout_of(const Connection& c) const noexcept {
  const MonotonicNs initial = c.syn_retried ? 3 * config.rto_initial_ns : config.rto_initial_ns;
  const MonotonicNs base = c.rtt.timeout(initial, config.rto_min_ns, config.rto_max_ns);
  return std::min(base << c.backoff, config.rto_max_ns);
}

/// Chooses what the connection's send timer waits for.
void Core::arm_send_timer(Connection& c, Now now) noexcept {
  if (c.send_timer == SendTimer::kHandshake) return;
  if (c.flight_head == kNone) {
    const bool waits = c.unsent() > 0 && !c.in_output;
    if (!waits) {
      c.send_timer = SendTimer::kOff;
      c.deadline_send = kNever;
    } else if (c.send_timer != SendTimer::kPersist) {
      c.send_timer = SendTimer::kPersist;
      c.deadline_send = now.mono_ns + timeout_of(c);
    }
    return;
  }
  c.send_timer = SendTimer::kRetransmit;
  c.deadline_send = c.timeout_from_ns + timeout_of(c);
  if (c.reorder_ns != 0) {
    if (c.reorder_ns < c.deadline_send) {
      c.send_timer = SendTimer::kReorder;
      c.deadline_send = c.reorder_ns;
    }
    return;
  }
  // RFC 8985 section 7.2. A lone segment may wait for the peer's delayed acknowledgement, and several for that of a
  // peer whose application does not come to read them (Linux acknowledges at once only what opens its window).
  if (!c.sack || c.tlp_out || c.recovery != Recovery::kOpen || c.sacked_count > 0 || c.backoff > 0) return;
  MonotonicNs probe = c.rtt.smoothed_ns != 0 ? 2 * c.rtt.smoothed_ns : config.rto_initial_ns;
  if (c.flight_count == 1 || c.tlp_patient) probe += config.rto_min_ns;
  probe += std::max(c.timeout_from_ns, c.sent_ns);
  if (probe < c.deadline_send) {
    c.send_timer = SendTimer::kTailProbe;
    c.deadline_send = probe;
  }
}

}  // namespace gannet::nicpipe::tcp
