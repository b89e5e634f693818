// What the peer says about our bytes: RFC 9293 section 3.10.7.4, fifth.
#include <algorithm>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

bool Core::receive_ack(Connection& c, const Segment& s, Now now, Sink& sink) noexcept {
  if (seq_gt(s.ack, c.snd_nxt)) [[unlikely]] {
    if (!c.probe_sent || s.ack != c.snd_nxt + 1) {
      ++stats.drop_ack;
      challenge(c, now, sink);
      return false;
    }
    // The byte of a window probe was taken: it is sent now, and acknowledged below.
    drop_acknowledged_bytes(c, 1);
    ++c.snd_nxt;
    ++c.snd_una;
    ++stats.bytes_out;
  }
  // RFC 5961 section 5.2: an acknowledgement far too old is somebody else's.
  if (seq_lt(s.ack, c.snd_una - std::max(c.snd_wnd_max, 65'535u))) [[unlikely]] {
    ++stats.drop_ack;
    challenge(c, now, sink);
    return false;
  }
  AckInfo info;
  info.una_before = c.snd_una;
  info.flight_before = c.flight_bytes();
  info.lost_before = c.lost_bytes;
  info.has_payload = s.length() > 0;
  info.marked = c.ecn && s.has(wire::tcp::kEce);
  // A newer acknowledgement brings a newer window whatever its number: a hole filled late would else move the old
  // window on, beyond what was ever offered.
  const bool newer =
      seq_gt(s.ack, c.snd_una) || seq_lt(c.snd_wl1, s.seq) || (c.snd_wl1 == s.seq && seq_le(c.snd_wl2, s.ack));
  if (newer && seq_ge(s.ack, c.snd_una)) {
    const std::uint32_t window = std::uint32_t{s.window} << c.send_shift;
    info.window_changed = window != c.snd_wnd;
    if (c.snd_wnd == 0 && window > 0 && info.flight_before == 0) c.backoff = 0;  // The probes' waiting is over.
    c.snd_wnd = window;
    c.snd_wnd_max = std::max(c.snd_wnd_max, window);
    c.snd_wl1 = s.seq;
    c.snd_wl2 = s.ack;
  }
  // RFC 9293 section 3.8.6.1: as long as it answers, it lives; but not for ever when nobody here waits for it any more.
  if (c.snd_wnd == 0 && !c.is_orphan) c.retries = 0;
  if (seq_gt(s.ack, c.snd_una)) acknowledge(c, s.ack, info, now);
  if (info.is_ambiguous && c.timestamps && c.rtt.smoothed_ns == 0) measure_by_echo(c, s, now);
  if (c.probe_sent && (c.snd_wnd > 0 || info.acked > 0)) c.probe_sent = false;
  if (c.sack && s.options.sack_count > 0) read_sacks(c, s, info, now);
  const bool idle = info.flight_before == 0 && info.acked == 0;
  if (!idle || c.sacked_bytes > 0) after_ack(c, s, info, now);
  if (c.unsent() > 0 || c.lost_bytes > 0 || (c.fin_wanted && !c.fin_sent)) want_output(c);
  if (!idle || info.window_changed) arm_send_timer(c, now);
  return true;
}

/// Of two segments with the same number the echo tells which one is answered (RFC 7323 section 4.1); in whole
/// milliseconds, so only for a start. And the peer's timer may have sent it, echoing what came long before: the timeout
/// gets no longer than the 3 s of RFC 6298 section 5.7.
void Core::measure_by_echo(Connection& c, const Segment& s, Now now) noexcept {
  const std::uint32_t ms = ts_now(c.ts_offset, now) - s.options.ts_echo;
  if (ms < 60'000) c.rtt.sample_coarse(std::min((MonotonicNs{ms} + 1) * 1'000'000, config.rto_initial_ns));
}

/// Everything before `ack` has arrived. Needs snd_una < ack <= snd_nxt.
void Core::acknowledge(Connection& c, Seq ack, AckInfo& info, Now now) noexcept {
  info.acked = ack - c.snd_una;
  MonotonicNs sample = 0;
  while (c.flight_head != kNone) {
    const std::uint32_t index = c.flight_head;
    Flight& f = flights[index];
    const bool whole = seq_le(f.end(), ack);
    if (!whole && seq_ge(f.seq, ack)) break;
    const std::uint32_t bytes = whole ? f.bytes : ack - f.seq;
    if (f.sacked) {
      c.sacked_bytes -= bytes;
      if (whole) --c.sacked_count;
    } else {
      info.delivered += bytes;
      delivered(c, f, now);
      if (!f.retransmitted) sample = now.mono_ns - f.sent_ns;
    }
    if (f.retransmitted) info.is_ambiguous = true;
    if (f.lost) c.lost_bytes -= bytes;
    if (!whole) {  // Part of a TSO frame, or of one sent before the path shrank.
      f.seq += bytes;
      f.bytes -= bytes;
      f.chunk_offset += bytes;
      while (f.chunk != kNone && f.chunk_offset >= chunks[f.chunk].bytes && chunks[f.chunk].next != kNone) {
        f.chunk_offset -= chunks[f.chunk].bytes;
        f.chunk = chunks[f.chunk].next;
      }
      break;
    }
    if (f.fin) info.fin_acked = true;
    c.flight_head = f.next;
    if (c.flight_head == kNone) c.flight_tail = kNone;
    if (c.lost_hint == index) c.lost_hint = f.next;
    --c.flight_count;
    flights.give(index);
  }
  // Karn: what a retransmission made the peer say measures nothing, not even for data above it that was sent once.
  if (sample != 0 && !info.is_ambiguous) c.rtt.sample(sample);
  drop_acknowledged_bytes(c, info.acked - (info.fin_acked ? 1 : 0));
  c.snd_una = ack;
  c.timeout_from_ns = now.mono_ns;  // RFC 6298 section 5.3.
  c.backoff = 0;
  c.retries = 0;
  c.pins_copied = false;
  announce_room(c);
}

void Core::drop_acknowledged_bytes(Connection& c, std::uint32_t bytes) noexcept {
  while (bytes > 0) {
    const std::uint32_t index = c.chunk_head;
    MUST_NE(index, kNone);
    const Chunk& chunk = chunks[index];
    const std::uint32_t left = chunk.bytes - c.head_done;
    if (c.next_chunk == index && c.next_offset < chunk.bytes && bytes + c.head_done > c.next_offset)
      c.next_offset = std::min(c.head_done + bytes, chunk.bytes);  // Only a window probe's byte gets ahead of snd_nxt.
    if (bytes < left) {
      c.head_done += bytes;
      return;
    }
    bytes -= left;
    c.head_done = 0;
    c.chunk_head = chunk.next;
    if (c.chunk_head == kNone) c.chunk_tail = kNone;
    if (c.next_chunk == index) {
      c.next_chunk = chunk.next;
      c.next_offset = 0;
    }
    free_chunk(c, index);
  }
}

void Core::free_chunk(Connection& c, std::uint32_t index) noexcept {
  const Chunk& chunk = chunks[index];
  if (chunk.block != kNone) {
    blocks.give(chunk.block);
    if (--c.blocks_held > 0) --sources[c.source].blocks;
  } else {
    --c.pins_held;
    if (config.pins.release != nullptr) config.pins.release(config.pins.context, chunk.pin);
  }
  chunks.give(index);
}

}  // namespace gannet::nicpipe::tcp
