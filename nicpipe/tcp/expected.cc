// The common case in one piece: a request that comes in order with the acknowledgement of the whole last answer, and an
// answer that fits one segment when nothing is under way ("header prediction", V. Jacobson, 1990). Both functions look
// whether nothing else is going on; if so they do what the long way (input.cc, ack.cc, reassembly.cc; output.cc) would
// come to, and not a bit else: tests/tcp/simulator_test.cc holds the two against each other, frame by frame.
#include <algorithm>

#include "nicpipe/address.h"
#include "nicpipe/tcp/core.h"
#include "storage/base/copy.h"

namespace gannet::nicpipe::tcp {

using namespace wire::tcp;

namespace {

/// The six bytes of the frame's sender.
[[nodiscard]] bool is_from(const std::byte* frame, const Mac& mac) noexcept {
  const auto* const other = reinterpret_cast<const std::byte*>(mac.bytes.data());
  return load_raw<std::uint32_t>(frame + wire::ethernet::kSource) == load_raw<std::uint32_t>(other) &&
         load_raw<std::uint16_t>(frame + wire::ethernet::kSource + 4) == load_raw<std::uint16_t>(other + 4);
}

}  // namespace

/// Nothing of ours is lost, selectively acknowledged, being recovered or about to end.
bool Core::is_undisturbed(const Connection& c) noexcept {
  const std::uint32_t counts = c.sacked_bytes | c.lost_bytes | c.reno_bytes | c.duplicate_acks;
  const bool flags = c.fin_wanted | c.probe_sent | c.tlp_out | c.ecn | c.is_orphan;
  return counts == 0 && !flags && c.recovery == Recovery::kOpen && c.state == State::kEstablished;
}

bool Core::receive_expected(Connection& c, const Packet& packet, const Segment& s, Now now) noexcept {
  if ((s.flags & ~kPsh) != kAck || s.seq != c.rcv_nxt || s.payload_bytes == 0 || s.window == 0) return false;
  if (!is_undisturbed(c) || s.payload_bytes > c.rcv_edge - c.rcv_nxt || s.options.sack_count != 0) return false;
  if (c.timestamps && (!s.options.has_timestamps || static_cast<std::int32_t>(s.options.ts_value - c.ts_recent) < 0))
    return false;
  if (c.fin_known || c.gap_head != kNone || c.read_head != kNone || c.wants_writable || c.reorder_ns != 0) return false;
  if (c.snd_wnd == 0 || packets_kept >= config.receive_packets || spans.left() == 0) return false;
  if (!is_from(packet.data, c.route.peer_mac)) [[unlikely]]
    return false;
  const std::uint32_t window = std::uint32_t{s.window} << c.send_shift;
  const bool answers = c.flight_count == 1 && s.ack == c.snd_nxt;
  if (answers) {
    const Flight& f = flights[c.flight_head];
    const Chunk& chunk = chunks[c.chunk_head];
    if (f.retransmitted || c.chunk_head != c.chunk_tail || chunk.block == kNone || chunk.bytes - c.head_done != f.bytes)
      return false;
  } else if (c.flight_count != 0 || s.ack != c.snd_una || c.snd_nxt != c.write_end || window != c.snd_wnd) {
    return false;
  }

  ++stats.predicted_in;
  // The acknowledgement. One of new bytes brings a newer window whatever its number.
  c.heard_ns = now.mono_ns;
  c.keepalives = 0;
  if (answers || seq_lt(c.snd_wl1, s.seq) || (c.snd_wl1 == s.seq && seq_le(c.snd_wl2, s.ack))) {
    c.snd_wnd = window;
    c.snd_wnd_max = std::max(c.snd_wnd_max, window);
    c.snd_wl1 = s.seq;
    c.snd_wl2 = s.ack;
  }
  if (answers) {
    const std::uint32_t acked = s.ack - c.snd_una;
    const Flight& f = flights[c.flight_head];
    delivered(c, f, now);
    if (now.mono_ns != f.sent_ns) c.rtt.sample(now.mono_ns - f.sent_ns);
    flights.give(c.flight_head);
    c.flight_head = c.flight_tail = c.lost_hint = kNone;
    c.flight_count = 0;
    const std::uint32_t chunk = c.chunk_head;
    c.chunk_head = c.chunk_tail = c.next_chunk = kNone;
    c.head_done = c.next_offset = 0;
    free_chunk(c, chunk);
    c.snd_una = s.ack;
    c.timeout_from_ns = now.mono_ns;
    c.backoff = c.retries = 0;
    c.pins_copied = false;
    grow_window(c, acked, acked, now);
    c.send_timer = SendTimer::kOff;
    c.deadline_send = kNever;
  }

  // The payload, which stays where it lies.
  if (c.timestamps && seq_le(s.seq, c.rcv_acked)) {
    c.ts_recent = s.options.ts_value;
    c.ts_recent_ns = now.mono_ns;
  }
  const std::uint32_t index = spans.take();
  Span& span = spans[index];
  span.packet = packet;
  span.data = packet.data + s.payload_offset;
  span.bytes = s.payload_bytes;
  span.seq = s.seq;
  span.next = span.block = kNone;
  ++packets_kept;
  c.read_head = c.read_tail = index;
  c.payload_ns = now.mono_ns;
  c.mss_received = std::max(c.mss_received, static_cast<std::uint16_t>(s.payload_bytes));
  c.rcv_nxt += s.payload_bytes;
  c.unread += s.payload_bytes;
  c.ack_owed += s.payload_bytes;
  stats.bytes_in += s.payload_bytes;
  event(c, kReadable);
  if (c.ack_owed >= 2u * c.mss_received) {
    c.ack_now = true;
  } else if (c.deadline_ack == kNever) {
    c.deadline_ack = now.mono_ns + config.delayed_ack_ns;
    wheel.set_earlier(slot_of(c), c.deadline_ack);  // The other deadlines are no earlier than they were.
  }
  if (c.ack_now || c.window_update) want_output(c);
  return true;
}

bool Core::send_expected(Connection& c, Now now, Sink& sink) noexcept {
  const std::uint32_t bytes = c.write_end - c.snd_nxt;
  if (bytes == 0 || !is_undisturbed(c) || c.flight_count != 0 || c.recent_count != 0 || c.has_dsack) return false;
  if (bytes > c.mss || bytes > c.snd_wnd || bytes > c.cwnd || c.reorder_ns != 0) return false;
  // After a pause the window may have to begin anew.
  const MonotonicNs pause = c.sent_ns != 0 ? now.mono_ns - c.sent_ns : 0;
  if (pause > config.rto_min_ns && pause > timeout_of(c)) return false;
  const std::uint32_t index = c.next_chunk;
  if (index == kNone || index != c.chunk_tail || flights.left() == 0 || sink.room() == 0) return false;
  const Chunk& chunk = chunks[index];
  if (chunk.block == kNone || chunk.bytes - c.next_offset != bytes) return false;
  if (c.route.has_vlan || !c.route.tuple.peer.is_v4()) return false;
  Packet& packet = sink.begin_send();
  constexpr std::size_t kBelowBytes = wire::ethernet::kHeaderBytes + wire::ipv4::kHeaderBytes;
  const std::size_t payload_at = kBelowBytes + kHeaderBytes + (c.timestamps ? kTimestampsBytes : 0);
  if (packet.tailroom < payload_at + bytes) return false;

  c.rcv_edge = window_edge(c);
  const std::uint32_t window = std::min<std::uint32_t>((c.rcv_edge - c.rcv_nxt) >> c.receive_shift, 0xffff);
  const PlainSegment plain{.seq = c.snd_nxt,
                           .ack = c.rcv_nxt,
                           .ts_value = c.timestamps ? ts_now(c.ts_offset, now) : 0,
                           .ts_echo = c.ts_recent,
                           .window = static_cast<std::uint16_t>(window),
                           .flags = kAck | kPsh,
                           .timestamps = c.timestamps};
  copy_value(packet.data + payload_at, chunk.data + c.next_offset, bytes);
  write_plain_segment(packet, c.route, plain, bytes, interface_of(c).capabilities);
  sink.finish_send();
  ++stats.segments_out;
  ++stats.predicted_out;
  stats.bytes_out += bytes;

  const std::uint32_t flight = flights.take();
  Flight& f = flights[flight];
  f.sent_ns = now.mono_ns;
  f.seq = c.snd_nxt;
  f.bytes = bytes;
  f.chunk = index;
  f.chunk_offset = c.next_offset;
  f.next = kNone;
  f.sacked = f.lost = f.retransmitted = f.fin = false;
  c.flight_head = c.flight_tail = flight;
  c.flight_count = 1;
  c.timeout_from_ns = c.sent_ns = c.payload_ns = now.mono_ns;
  c.backoff = 0;
  c.snd_nxt += bytes;
  c.next_offset = chunk.bytes;
  c.probe_sent = false;
  acknowledged_by(c);
  arm_send_timer(c, now);
  wheel.set_earlier(slot_of(c), c.deadline_send);  // The other deadlines are no earlier than they were.
  return true;
}

}  // namespace gannet::nicpipe::tcp
