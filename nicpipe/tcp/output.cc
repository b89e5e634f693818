// Segments out: what was written, acknowledgements, probes, resets.
#include <algorithm>
#include <cstring>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

using namespace wire::tcp;

void Core::flush(Now now, Sink& sink) noexcept {
  feed_starved();
  while (output_head != kNone && sink.room() > 0) {
    Connection& c = connections[output_head];
    output_head = c.output_next;
    if (output_head == kNone) output_tail = kNone;
    c.in_output = false;
    if (c.state == State::kDead) {
      if (c.is_orphan) release_slot(c, &sink);
      continue;
    }
    if (config.prediction && send_expected(c, now, sink)) [[likely]]
      continue;
    if (send_pending(c, now, sink)) want_output(c);
  }
}

/// Payload of a segment sent now: the options of this very segment count (RFC 6691).
std::uint32_t Core::segment_bytes_max(const Connection& c) const noexcept {
  const std::uint32_t told = c.sack ? std::min(c.recent_count + (c.has_dsack ? 1u : 0u), c.timestamps ? 3u : 4u) : 0;
  return c.mss - (told > 0 ? 4 + 8 * told : 0);
}

/// How many of the unsent bytes may go out in one frame now; 0: they have to wait. RFC 9293 section 3.8.6.2.1: a short
/// segment only if it is all there is, or half the largest window the peer ever had.
std::uint32_t Core::sendable_now(const Connection& c) const noexcept {
  const std::uint32_t unsent = c.unsent();
  const auto window = static_cast<std::int32_t>(c.snd_una + c.snd_wnd - c.snd_nxt);
  const std::uint32_t pipe = c.pipe();
  if (window <= 0 || pipe >= c.cwnd) return 0;
  const std::uint32_t open = std::min(static_cast<std::uint32_t>(window), c.cwnd - pipe);
  const std::uint32_t full = segment_bytes_max(c);
  const std::uint32_t fits = std::min(unsent, open);
  if (fits < full) {
    const bool all = fits == unsent;
    const bool half = fits == static_cast<std::uint32_t>(window) && fits >= c.snd_wnd_max / 2;
    return all || half ? fits : 0;
  }
  const Capabilities& device = interface_of(c).capabilities;
  // A device that cuts would copy the CWR flag to every piece; it belongs to one (RFC 3168 section 6.1.2).
  if (!device.tcp_segmentation || !device.tx_tcp_checksum || c.cwr_due) return full;
  constexpr std::uint32_t kFrameBytesMax = 65'000;  // Headers and options of 65535 IP bytes taken off.
  const std::uint32_t most = std::min(fits, kFrameBytesMax);
  return most == unsent ? most : most / full * full;
}

bool Core::send_pending(Connection& c, Now now, Sink& sink) noexcept {
  std::uint32_t budget = kPacketsPerTurn;
  // What was lost goes first.
  while (c.lost_bytes > 0) {
    std::uint32_t index = c.lost_hint == kNone ? c.flight_head : c.lost_hint;
    while (index != kNone && !flights[index].lost) index = flights[index].next;
    MUST_NE(index, kNone);
    c.lost_hint = index;
    const std::uint32_t pipe = c.pipe();
    const std::uint32_t bytes = std::min<std::uint32_t>(flights[index].bytes, c.mss);
    if (pipe > 0 && pipe + bytes > c.cwnd) break;
    if (budget == 0 || sink.room() == 0) return true;
    if (flights[index].bytes > segment_bytes_max(c) + (flights[index].fin ? 1 : 0) &&
        !split_flight(c, index, segment_bytes_max(c)))
      break;
    --budget;
    retransmit(c, index, now, sink);
  }
  if (c.is_synchronized()) {
    // RFC 5681 section 4.1: after a pause longer than the timeout, what the window was worth is not known any more.
    if (c.flight_head == kNone && c.sent_ns != 0 && now.mono_ns - c.sent_ns > timeout_of(c)) {
      c.cwnd = std::min(c.cwnd, config.initial_window_segments * c.mss);
      c.cubic_epoch_ns = 0;
    }
    while (c.unsent() > 0) {
      const std::uint32_t bytes = sendable_now(c);
      if (bytes == 0 || flights.left() == 0 || c.flight_count >= kFlightsMax) break;
      if (budget == 0 || sink.room() == 0) return true;
      --budget;
      if (!send_new(c, bytes, c.fin_wanted && bytes == c.unsent(), now, sink)) break;
    }
    if (c.fin_wanted && !c.fin_sent && c.unsent() == 0 && flights.left() > 0) {
      if (sink.room() == 0) return true;
      (void)send_new(c, 0, true, now, sink);
    }
  }
  if (c.ack_now || c.window_update) {
    if (sink.room() == 0) return true;
    send_ack(c, now, sink);
  }
  arm_send_timer(c, now);
  arm(c);
  return false;
}

/// Header of any segment of the connection: it acknowledges, and tells window, timestamps and gaps.
Outgoing Core::header_of(Connection& c, Seq seq, std::uint8_t flags, Now now) noexcept {
  Outgoing out;
  out.seq = seq;
  out.ack = c.rcv_nxt;
  out.flags = static_cast<std::uint8_t>(flags | kAck | (c.ecn_echo ? kEce : 0));
  c.rcv_edge = window_edge(c);
  out.window = static_cast<std::uint16_t>(std::min<std::uint32_t>((c.rcv_edge - c.rcv_nxt) >> c.receive_shift, 0xffff));
  if (c.timestamps) out.add_timestamps(ts_now(c.ts_offset, now), c.ts_recent);
  if (c.sack && (c.recent_count > 0 || c.has_dsack)) [[unlikely]] {
    std::array<SackBlock, 5> told;
    std::uint32_t count = 0;
    if (c.has_dsack) told[count++] = c.dsack;
    for (std::uint8_t i = 0; i < c.recent_count; ++i) told[count++] = c.recent[i];
    out.add_sacks(told.data(), count);
    c.has_dsack = false;
  }
  return out;
}

/// A segment that acknowledges everything has left.
void Core::acknowledged_by(Connection& c) noexcept {
  c.rcv_acked = c.rcv_nxt;
  c.ack_owed = 0;
  c.ack_now = c.window_update = false;
  c.deadline_ack = kNever;
}

std::uint32_t Core::gather(Packet& packet, std::size_t payload_at, std::uint32_t index, std::uint32_t offset,
                           std::uint32_t bytes, bool may_point, std::uint32_t& copied) noexcept {
  std::byte* const to = packet.data + payload_at;
  const std::uint32_t room = packet.tailroom - static_cast<std::uint32_t>(payload_at);
  std::uint32_t done = 0;
  copied = 0;
  while (done < bytes && index != kNone) {
    const Chunk& chunk = chunks[index];
    const std::uint32_t piece = std::min(bytes - done, chunk.bytes - offset);
    if (chunk.block == kNone && may_point && piece >= kTailBytesMin && config.pins.again != nullptr &&
        config.pins.again(config.pins.context, chunk.pin)) {
      packet.tail = chunk.data + offset;
      packet.tail_bytes = piece;
      packet.pin = chunk.pin;
      return done + piece;
    }
    const std::uint32_t now_copied = std::min(piece, room - copied);
    std::memcpy(to + copied, chunk.data + offset, now_copied);
    copied += now_copied;
    done += now_copied;
    if (now_copied < piece) return done;
    offset += piece;
    if (offset == chunk.bytes) {
      index = chunk.next;
      offset = 0;
    }
  }
  return done;
}

bool Core::send_new(Connection& c, std::uint32_t bytes, bool with_fin, Now now, Sink& sink) noexcept {
  if (sink.room() == 0) return false;
  const std::uint32_t full = segment_bytes_max(c);
  Outgoing out = header_of(c, c.snd_nxt, 0, now);
  Packet packet = sink.take_packet();
  if (c.next_chunk != kNone && c.next_offset == chunks[c.next_chunk].bytes) {
    c.next_chunk = chunks[c.next_chunk].next;
    c.next_offset = 0;
  }
  const std::uint32_t chunk = c.next_chunk, chunk_offset = c.next_offset;
  const Capabilities& device = interface_of(c).capabilities;
  std::uint32_t copied = 0;
  std::uint32_t sent = gather(packet, payload_offset(c.route, out.option_bytes), chunk, chunk_offset, bytes,
                              device.multi_segment, copied);
  if (sent < bytes) with_fin = false;
  // A frame that the device cuts ends where a segment ends, or every buffer would begin with a small one.
  if (sent < bytes && sent > full && packet.tail == nullptr) copied = sent -= sent % full;
  if (sent == c.unsent() && sent > 0) out.flags |= kPsh;
  if (with_fin) out.flags |= kFin;
  if (c.ecn && sent > 0) {  // New data alone may be marked (RFC 3168 section 6.1.5).
    out.ecn = Ecn::kEct0;
    if (c.cwr_due) out.flags |= kCwr;
    c.cwr_due = false;
  }
  write_segment(packet, c.route, out, copied, sent > full ? static_cast<std::uint16_t>(full) : 0, device);
  sink.send(packet);
  ++stats.segments_out;
  stats.bytes_out += sent;

  const std::uint32_t index = flights.take();
  MUST_NE(index, kNone);
  Flight& f = flights[index];
  f = Flight{};
  f.sent_ns = now.mono_ns;
  f.seq = c.snd_nxt;
  f.bytes = sent + (with_fin ? 1 : 0);
  f.chunk = sent > 0 ? chunk : kNone;
  f.chunk_offset = chunk_offset;
  f.fin = with_fin;
  if (c.flight_head == kNone) {
    c.flight_head = index;
    c.timeout_from_ns = now.mono_ns;  // RFC 6298 section 5.1.
    c.backoff = 0;
  } else {
    flights[c.flight_tail].next = index;
  }
  c.flight_tail = index;
  ++c.flight_count;
  c.snd_nxt += f.bytes;
  for (std::uint32_t left = sent; left > 0;) {
    const std::uint32_t piece = std::min(left, chunks[c.next_chunk].bytes - c.next_offset);
    c.next_offset += piece;
    left -= piece;
    if (c.next_offset == chunks[c.next_chunk].bytes && chunks[c.next_chunk].next != kNone) {
      c.next_chunk = chunks[c.next_chunk].next;
      c.next_offset = 0;
    }
  }
  c.sent_ns = now.mono_ns;
  if (sent > 0) c.payload_ns = now.mono_ns;
  c.probe_sent = false;
  if (c.recovery == Recovery::kFast) c.prr_out += f.bytes;
  acknowledged_by(c);
  if (with_fin) {
    c.fin_sent = true;
    set_state(c, c.state == State::kCloseWait ? State::kLastAck : State::kFinWait1);
  }
  return true;
}

/// Needs room in the sink, and at most a segment in the flight.
void Core::retransmit(Connection& c, std::uint32_t index, Now now, Sink& sink) noexcept {
  if (sink.room() == 0) return;
  Flight& f = flights[index];
  Outgoing out = header_of(c, f.seq, 0, now);
  Packet packet = sink.take_packet();
  const Capabilities& device = interface_of(c).capabilities;
  const std::uint32_t bytes = f.bytes - (f.fin ? 1 : 0);
  std::uint32_t copied = 0;
  const std::uint32_t sent = gather(packet, payload_offset(c.route, out.option_bytes), f.chunk, f.chunk_offset, bytes,
                                    device.multi_segment && flights.left() > 0, copied);
  if (sent < bytes) {
    const bool split = split_flight(c, index, sent);
    MUST(split);
  }
  if (f.fin) out.flags |= kFin;
  if (f.end() == c.snd_nxt && bytes > 0) out.flags |= kPsh;
  write_segment(packet, c.route, out, copied, 0, device);
  sink.send(packet);
  ++stats.segments_out;
  ++stats.retransmits;
  f.sent_ns = now.mono_ns;
  f.retransmitted = true;
  if (f.lost) {
    f.lost = false;
    c.lost_bytes -= f.bytes;
    if (c.lost_hint == index) c.lost_hint = f.next;
  }
  if (c.recovery == Recovery::kFast) c.prr_out += f.bytes;
  if (index == c.flight_head) c.timeout_from_ns = now.mono_ns;  // Its answer is a round trip away from here.
  c.sent_ns = now.mono_ns;
  acknowledged_by(c);
}

void Core::send_ack(Connection& c, Now now, Sink& sink) noexcept {
  if (sink.room() == 0) {
    c.ack_now = true;
    want_output(c);
    return;
  }
  const Outgoing out = header_of(c, c.snd_nxt, 0, now);
  Packet packet = sink.take_packet();
  write_segment(packet, c.route, out, 0, 0, interface_of(c).capabilities);
  sink.send(packet);
  ++stats.segments_out;
  acknowledged_by(c);
}

/// RFC 9293 section 3.8.6.1: one byte beyond the window. It is not recorded as sent: taken or not, the answer tells.
void Core::send_window_probe(Connection& c, Now now, Sink& sink) noexcept {
  Outgoing out = header_of(c, c.snd_nxt, 0, now);
  Packet packet = sink.take_packet();
  std::uint32_t copied = 0;
  const std::uint32_t offset = c.next_chunk != kNone ? c.next_offset : 0;
  (void)gather(packet, payload_offset(c.route, out.option_bytes), c.next_chunk, offset, 1, false, copied);
  write_segment(packet, c.route, out, copied, 0, interface_of(c).capabilities);
  sink.send(packet);
  ++stats.segments_out;
  ++stats.window_probes;
  c.probe_sent = copied == 1;
  acknowledged_by(c);
}

/// RFC 9293 section 3.8.4: an old number and nothing else.
void Core::send_keepalive(Connection& c, Now now, Sink& sink) noexcept {
  const Outgoing out = header_of(c, c.snd_nxt - 1, 0, now);
  Packet packet = sink.take_packet();
  write_segment(packet, c.route, out, 0, 0, interface_of(c).capabilities);
  sink.send(packet);
  ++stats.segments_out;
  ++stats.keepalives;
}

void Core::send_reset(Connection& c, Sink& sink) noexcept {
  if (sink.room() == 0) return;  // The peer will learn it with its next segment.
  Outgoing out;
  out.seq = c.snd_nxt;
  out.ack = c.rcv_nxt;
  out.flags = kRst | kAck;
  Packet packet = sink.take_packet();
  write_segment(packet, c.route, out, 0, 0, interface_of(c).capabilities);
  sink.send(packet);
  ++stats.segments_out;
  ++stats.resets_out;
}

void Core::reply(const Packet& packet, const Tuple& tuple, const Outgoing& out, Sink& sink) noexcept {
  if (sink.room() == 0) return;
  Packet answer = sink.take_packet();
  write_segment(answer, route_back(packet, tuple), out, 0, 0, config.interfaces[packet.port].capabilities);
  sink.send(answer);
  ++stats.segments_out;
}

/// RFC 9293 section 3.10.7.1. Never an answer to a reset.
void Core::reply_reset(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  if (s.has(kRst) || !resets.take(now.mono_ns)) return;
  Outgoing out;
  if (s.has(kAck)) {
    out.seq = s.ack;
    out.flags = kRst;
  } else {
    out.ack = s.end();
    out.flags = kRst | kAck;
  }
  ++stats.resets_out;
  reply(packet, s.tuple, out, sink);
}

}  // namespace gannet::nicpipe::tcp
