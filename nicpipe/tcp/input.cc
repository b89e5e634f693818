// A received segment, step by step as RFC 9293 section 3.10.7.4 lists them.
#include "nicpipe/address.h"
#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {
namespace {

using namespace wire::tcp;

/// RFC 7323 section 5.5: a timestamp this old says nothing.
constexpr MonotonicNs kTimestampLifeNs = 24ull * 86'400 * 1'000'000'000;
/// Bare segments outside the window are answered at most so often a connection: two confused peers must not go on for
/// ever (RFC 5961 section 7 asks for a limit).
constexpr MonotonicNs kRefusedPauseNs = 10'000'000;

/// RFC 9293 section 3.10.7.4, first table; a bare segment at the right edge is let through.
[[nodiscard]] bool is_acceptable(const Connection& c, const Segment& s) noexcept {
  const std::uint32_t length = s.length();
  if (length == 0) return seq_ge(s.seq, c.rcv_nxt) && seq_le(s.seq, c.rcv_edge);
  if (c.rcv_edge == c.rcv_nxt) return false;
  return seq_lt(s.seq, c.rcv_edge) && seq_gt(s.end(), c.rcv_nxt);
}

}  // namespace

void Core::receive(const Packet& packet, Now now, Sink& sink) noexcept {
  ++stats.segments_in;
  Segment s;
  const ParseStatus status = parse_segment(packet, s);
  if (status != ParseStatus::kOk) [[unlikely]] {
    ++(status == ParseStatus::kHeader ? stats.drop_header : stats.drop_checksum);
    sink.free(packet);
    return;
  }
  Connection* c = lookup(s.tuple);
  if (c != nullptr && config.prediction && receive_expected(*c, packet, s, now)) [[likely]]
    return;
  if (c == nullptr) [[unlikely]]
    c = receive_from_stranger(packet, s, now, sink);
  if (c == nullptr || !receive_segment(*c, packet, s, now, sink)) sink.free(packet);
}

/// A segment without a connection. One that brings a cookie of ours back has one afterwards, and goes on as its first.
Connection* Core::receive_from_stranger(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  const std::uint32_t entry = time_waits.find(s.tuple, table_hash(config.cookie_key, s.tuple));
  if (entry != kNone) {
    receive_time_wait(entry, packet, s, now, sink);
    return nullptr;
  }
  const bool may_be_cookie = s.has(kAck) && !s.has(kSyn) && !s.has(kRst) && is_listening(s.tuple.own_port);
  Connection* const c = may_be_cookie ? accept_cookie(packet, s, now) : nullptr;
  if (c == nullptr) receive_for_nobody(packet, s, now, sink);
  return c;
}

bool Core::is_old_timestamp(const Connection& c, const Segment& s, Now now) const noexcept {
  return static_cast<std::int32_t>(s.options.ts_value - c.ts_recent) < 0 &&
         now.mono_ns - c.ts_recent_ns < kTimestampLifeNs;
}

bool Core::receive_segment(Connection& c, const Packet& packet, Segment& s, Now now, Sink& sink) noexcept {
  if (c.state == State::kSynSent) [[unlikely]] {
    receive_in_syn_sent(c, packet, s, now, sink);
    return false;
  }
  // Fourth, but wherever its number lies: SYN. RFC 5961 section 4.2.
  if (s.has(kSyn) && !s.has(kRst)) [[unlikely]] {
    if (c.state != State::kSynReceived || s.seq != c.irs) {
      challenge(c, now, sink);
      return false;
    }
    if (!s.has(kAck) || s.ack != c.snd_nxt) {
      c.syn_retried = true;  // Ours was lost, or late: its round trip means nothing now.
      c.ecn = c.ecn && s.has(kEce) && s.has(kCwr);
      if (c.timestamps && s.options.has_timestamps && !is_old_timestamp(c, s, now)) {
        c.ts_recent = s.options.ts_value;  // So that the peer can measure by this one, not by the first.
        c.ts_recent_ns = now.mono_ns;
      }
      send_syn(c, now, sink);
      arm(c);
      return false;
    }
    s.flags &= static_cast<std::uint8_t>(~kSyn);  // Both sides began at once: it acknowledges our SYN.
    ++s.seq;
  }
  // RFC 7323 section 5.3, R1; section 3.2 for segments that lost their timestamps.
  if (c.timestamps && !s.has(kRst)) {
    if (!s.options.has_timestamps) [[unlikely]] {
      ++stats.drop_paws;
      return false;
    }
    if (is_old_timestamp(c, s, now)) [[unlikely]] {
      ++stats.drop_paws;
      answer_refused(c, s, now, sink);
      return false;
    }
  }
  // First: the sequence number.
  if (!is_acceptable(c, s)) [[unlikely]] {
    const bool full = c.rcv_edge == c.rcv_nxt && s.seq == c.rcv_nxt;
    if (!full || s.has(kRst) || !s.has(kAck)) {
      if (s.has(kRst)) return false;
      ++stats.drop_window;
      answer_refused(c, s, now, sink);
      return false;
    }
    // The window is shut: a probe. Its acknowledgement counts, its payload does not.
    s.payload_bytes = 0;
    s.flags &= static_cast<std::uint8_t>(~kFin);
    c.ack_now = true;
  }
  // What lies outside the window is cut off; the front, which we have, in take_payload.
  if (seq_gt(s.end(), c.rcv_edge) && s.length() > 0) [[unlikely]] {
    const std::uint32_t over = s.end() - c.rcv_edge;
    const bool fin = s.has(kFin);
    s.flags &= static_cast<std::uint8_t>(~kFin);
    const std::uint32_t cut = over - (fin ? 1 : 0);
    s.payload_bytes -= cut < s.payload_bytes ? cut : s.payload_bytes;
    c.ack_now = true;
  }
  // Second: RST. RFC 5961 section 3.
  if (s.has(kRst)) [[unlikely]] {
    receive_reset(c, s, now, sink);
    return false;
  }
  // Fifth: ACK.
  if (!s.has(kAck)) return false;
  c.heard_ns = now.mono_ns;
  c.keepalives = 0;
  if (c.state == State::kSynReceived) [[unlikely]] {
    if (s.ack != c.snd_nxt) {
      ++stats.drop_ack;
      reply_reset(packet, s, now, sink);
      return false;
    }
    c.snd_una = s.ack;
    c.snd_wnd = c.snd_wnd_max = std::uint32_t{s.window} << c.send_shift;
    c.snd_wl1 = s.seq;
    c.snd_wl2 = s.ack;
    established(c, s, now);
  }
  if (!receive_ack(c, s, now, sink)) return false;
  // RFC 7323 section 4.3.
  if (c.timestamps && seq_le(s.seq, c.rcv_acked)) {
    c.ts_recent = s.options.ts_value;
    c.ts_recent_ns = now.mono_ns;
  }
  if (c.ecn) receive_mark(c, s);
  if (load_mac(packet.data + wire::ethernet::kSource) != c.route.peer_mac) [[unlikely]] {
    const Route back = route_back(packet, c.route.tuple);  // The way to the peer has changed: a router took over.
    if (back.port == c.route.port) c.route = back;
  }
  const bool fin_acked = c.fin_sent && c.snd_una == c.snd_nxt;
  if (fin_acked) {
    switch (c.state) {
      case State::kFinWait1:
        set_state(c, State::kFinWait2);
        c.fin_wait_2_ns = now.mono_ns;
        set_life_deadline(c);
        break;
      case State::kClosing:
        enter_time_wait(c, now, sink);
        return false;
      case State::kLastAck:
        ++stats.closed;
        end(c, Close::kDone, sink);
        return false;
      default:
        break;
    }
  }
  // Sixth: URG is ignored: urgent bytes are bytes. Seventh: the payload.
  bool kept = false;
  const bool takes = c.state == State::kEstablished || c.state == State::kFinWait1 || c.state == State::kFinWait2;
  if (s.payload_bytes > 0 && takes) {
    if (c.is_orphan) {  // RFC 1122 section 4.2.2.13: nobody will read it.
      ++stats.aborted;
      send_reset(c, sink);
      end(c, Close::kReset, sink);
      return false;
    }
    kept = take_payload(c, packet, s, now, sink);
  }
  // Eighth: FIN.
  if (s.has(kFin) && takes) {
    c.fin_known = true;
    c.fin_seq = s.end() - 1;
  }
  if (c.fin_known && !c.fin_received && c.rcv_nxt == c.fin_seq) {
    receive_fin(c, now, sink);
    if (c.state == State::kDead || c.state == State::kFree) return kept;
  }
  if (c.ack_now || c.window_update) want_output(c);
  arm(c);
  return kept;
}

/// RFC 3168 section 6.1.3: a mark is echoed with everything we send until the peer says that it reduced its window. The
/// first echo leaves at once: a delayed acknowledgement would be late news.
void Core::receive_mark(Connection& c, const Segment& s) noexcept {
  if (s.has(kCwr)) c.ecn_echo = false;
  if (s.ecn != Ecn::kMarked) return;
  ++stats.ecn_marks;
  c.ack_now = c.ack_now || !c.ecn_echo;
  c.ecn_echo = true;
}

/// RFC 5961 section 3.2: exactly the next number resets, any other in the window is asked about.
void Core::receive_reset(Connection& c, const Segment& s, Now now, Sink& sink) noexcept {
  if (s.seq != c.rcv_nxt) {
    challenge(c, now, sink);
    return;
  }
  ++stats.reset_by_peer;
  const bool refused = c.state == State::kSynReceived && c.is_active;
  end(c, refused ? Close::kRefused : Close::kReset, sink);
}

void Core::receive_fin(Connection& c, Now now, Sink& sink) noexcept {
  // A faulty peer's bytes from beyond its FIN may wait here: they belong to no stream.
  release_gap(c, sink);
  ++c.rcv_nxt;
  if (seq_lt(c.rcv_edge, c.rcv_nxt)) c.rcv_edge = c.rcv_nxt;
  c.fin_received = true;
  c.ack_now = true;
  event(c, kPeerClosed);
  switch (c.state) {
    case State::kEstablished:
      set_state(c, State::kCloseWait);
      break;
    case State::kFinWait1:  // Our FIN is not acknowledged: that was looked at before.
      set_state(c, State::kClosing);
      break;
    case State::kFinWait2:
      enter_time_wait(c, now, sink);
      return;
    default:
      break;
  }
  want_output(c);
}

/// RFC 9293 section 3.6: the connection proper ends here, a small memory of it stays. The acknowledgement of the peer's
/// FIN leaves at once; should the sink be full, the peer's next FIN gets it from the memory.
void Core::enter_time_wait(Connection& c, Now now, Sink& sink) noexcept {
  if (c.ack_now) send_ack(c, now, sink);
  if (time_waits.size() > 0) {
    TimeWait entry;
    entry.tuple = c.route.tuple;
    entry.snd_nxt = c.snd_nxt;
    entry.rcv_nxt = c.rcv_nxt;
    entry.ts_recent = c.ts_recent;
    entry.ts_offset = c.ts_offset;
    entry.window = c.rcv_edge - c.rcv_nxt;
    entry.timestamps = c.timestamps;
    entry.until_ns = now.mono_ns + config.time_wait_ns;
    stats.time_wait_evicted += time_waits.add(entry, table_hash(config.cookie_key, c.route.tuple));
  }
  ++stats.closed;
  end(c, Close::kDone, sink);
}

void Core::challenge(Connection& c, Now now, Sink& sink) noexcept {
  if (!challenges.take(now.mono_ns)) {
    ++stats.challenge_acks_held;
    return;
  }
  ++stats.challenge_acks;
  send_ack(c, now, sink);
}

/// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply."
void Core::answer_refused(Connection& c, const Segment& s, Now now, Sink& sink) noexcept {
  if (s.length() == 0) {
    if (c.refused_ns != 0 && now.mono_ns - c.refused_ns < kRefusedPauseNs) return;
    c.refused_ns = now.mono_ns;
  } else if (s.payload_bytes > 0 && seq_le(s.seq + s.payload_bytes, c.rcv_nxt)) {
    ++stats.duplicates;
    c.has_dsack = true;  // RFC 2883 section 4.1.
    c.dsack = {s.seq, s.seq + s.payload_bytes};
    // The last segment again, because our acknowledgement was lost: its echo must tell of this one, or the peer
    // measures all the time since the first (RFC 7323 section 4.3, as Linux reads it).
    if (c.timestamps && s.end() == c.rcv_acked) {
      c.ts_recent = s.options.ts_value;
      c.ts_recent_ns = now.mono_ns;
    }
  }
  send_ack(c, now, sink);
}

void Core::receive_time_wait(std::uint32_t entry, const Packet& packet, const Segment& s, Now now,
                             Sink& sink) noexcept {
  TimeWait& was = time_waits[entry];
  if (s.has(kRst)) return;  // RFC 1337.
  const bool newer_ts =
      was.timestamps && s.options.has_timestamps && static_cast<std::int32_t>(s.options.ts_value - was.ts_recent) > 0;
  const bool older_ts =
      was.timestamps && s.options.has_timestamps && static_cast<std::int32_t>(s.options.ts_value - was.ts_recent) < 0;
  if (s.has(kSyn) && !s.has(kAck) && !older_ts && (newer_ts || seq_gt(s.seq, was.rcv_nxt)) &&
      is_listening(s.tuple.own_port)) {
    // RFC 6191, RFC 9293 section 3.6.1: nothing of the old connection can be mistaken for the new one's.
    const Seq fresh = initial_sequence(s.tuple, now);
    const Seq iss = seq_gt(fresh, was.snd_nxt) ? fresh : was.snd_nxt + 64 * 1024;
    ++stats.time_wait_reused;
    time_waits.remove(entry);
    receive_syn(packet, s, iss, now, sink);
    return;
  }
  if (s.length() == 0 && s.seq == was.rcv_nxt && !older_ts) return;
  if (!s.has(kFin) && !challenges.take(now.mono_ns)) {
    ++stats.challenge_acks_held;
    return;
  }
  if (s.has(kFin) && s.end() == was.rcv_nxt && !older_ts) time_waits.renew(entry, now.mono_ns + config.time_wait_ns);
  Outgoing out;
  out.seq = was.snd_nxt;
  out.ack = was.rcv_nxt;
  out.flags = kAck;
  if (was.timestamps) out.add_timestamps(ts_now(was.ts_offset, now), was.ts_recent);
  reply(packet, s.tuple, out, sink);
}

}  // namespace gannet::nicpipe::tcp
