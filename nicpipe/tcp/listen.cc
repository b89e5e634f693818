// How connections begin: SYNs to a listener, our own SYNs, and segments that belong to nobody.
#include <algorithm>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr std::uint16_t kMssDefault = 536, kMssDefault6 = 1220;  // RFC 9293 section 3.7.1.
constexpr std::uint32_t kIpv6HeaderBytes = 40;

[[nodiscard]] std::uint32_t headers_of(const Route& route) noexcept {
  const std::uint32_t ip = route.tuple.peer.is_v4() ? wire::ipv4::kHeaderBytes : kIpv6HeaderBytes;
  return ip + wire::tcp::kHeaderBytes;
}

}  // namespace

bool Core::is_listening(std::uint16_t port) const noexcept {
  for (std::uint32_t i = 0; i < config.listen_port_count; ++i)
    if (config.listen_ports[i] == port) return true;
  return false;
}

/// RFC 6528: a clock of 4 us plus a keyed hash of who talks to whom.
Seq Core::initial_sequence(const Tuple& tuple, Now now) const noexcept {
  return static_cast<Seq>(now.mono_ns / 4000) + static_cast<Seq>(sip_hash(config.isn_key, tuple, 0));
}

/// The same for one tuple for ever, so that timestamps of a successor are later than its predecessor's (RFC 6191), and
/// a cookie's can be made again.
std::uint32_t Core::ts_offset_of(const Tuple& tuple) const noexcept {
  return static_cast<std::uint32_t>(sip_hash(config.cookie_key, tuple, 1));
}

std::uint16_t Core::mss_announced(const Route& route) const noexcept {
  const std::uint32_t fits = config.interfaces[route.port].mtu - headers_of(route);
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(fits, config.mss_max));
}

void Core::set_send_mss(Connection& c, std::uint32_t mss) noexcept {
  mss = std::min<std::uint32_t>(mss, config.mss_max);
  mss = std::min(mss, c.path_mtu - headers_of(c.route));
  mss = std::max<std::uint32_t>(mss, config.mss_min);
  c.mss = static_cast<std::uint16_t>(mss - (c.timestamps ? kTimestampsBytes : 0));
}

void Core::receive_for_nobody(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  const bool listening = is_listening(s.tuple.own_port);
  if (s.has(wire::tcp::kRst)) {
    ++stats.drop_nobody;
    return;
  }
  // RFC 9293 section 3.10.7.2: LISTEN. A SYN with FIN is nobody's honest SYN.
  if (listening && s.has(wire::tcp::kSyn) && !s.has(wire::tcp::kAck) && !s.has(wire::tcp::kFin)) {
    receive_syn(packet, s, initial_sequence(s.tuple, now), now, sink);
    return;
  }
  ++stats.drop_nobody;
  if (!listening && s.has(wire::tcp::kSyn)) ++stats.refused_port;
  if (listening && !s.has(wire::tcp::kAck)) return;
  reply_reset(packet, s, now, sink);
}

void Core::receive_syn(const Packet& packet, const Segment& s, Seq iss, Now now, Sink& sink) noexcept {
  if (stats.half_open >= config.half_open_max) {
    send_cookie(packet, s, now, sink);
    return;
  }
  Connection* const c = open(route_back(packet, s.tuple), now);
  if (c == nullptr) return;
  c->iss = iss;
  c->irs = s.seq;
  c->rcv_nxt = s.seq + 1;
  learn_options(*c, s, now);
  c->snd_wnd = c->snd_wnd_max = s.window;  // Of a SYN: never scaled.
  c->snd_wl1 = s.seq;
  begin_windows(*c);
  set_state(*c, State::kSynReceived);
  send_syn(*c, now, sink);
  arm(*c);
}

/// What the peer's SYN offers and we want: RFC 7323 sections 2 and 3, RFC 2018 section 2.
void Core::learn_options(Connection& c, const Segment& s, Now now) noexcept {
  const Options& offered = s.options;
  c.timestamps = config.timestamps && offered.has_timestamps;
  if (c.timestamps) {
    c.ts_recent = offered.ts_value;
    c.ts_recent_ns = now.mono_ns;
  }
  c.sack = config.sack && offered.sack_permitted;
  c.scaled = config.window_scaling && offered.window_scale != Options::kNoScale;
  c.send_shift = c.scaled ? offered.window_scale : 0;
  c.receive_shift = c.scaled ? receive_shift : 0;
  // RFC 3168 section 6.1.1: a SYN asks with both flags, a SYN-ACK agrees with one; where both sides ask at once there
  // is none. A SYN of ours that was sent again did not ask (section 6.1.1.1: boxes that drop such SYNs).
  const int said = s.flags & (wire::tcp::kAck | wire::tcp::kEce | wire::tcp::kCwr);
  c.ecn = c.state == State::kSynSent ? config.ecn_ask && !c.syn_retried && said == (wire::tcp::kAck | wire::tcp::kEce)
                                     : config.ecn && said == (wire::tcp::kEce | wire::tcp::kCwr);
  const std::uint16_t otherwise = c.route.tuple.peer.is_v4() ? kMssDefault : kMssDefault6;
  set_send_mss(c, offered.mss != 0 ? offered.mss : otherwise);
}

/// Everything sequence numbers need before the first segment of ours. Needs iss; rcv_nxt where known.
void Core::begin_windows(Connection& c) noexcept {
  c.snd_una = c.iss;
  c.snd_nxt = c.write_end = c.iss + 1;
  c.recovery_point = c.ecn_point = c.rack_round = c.rack_fack = c.rack_end = c.iss;
  c.snd_wl2 = c.iss;
  c.rcv_acked = c.rcv_nxt;
  c.rcv_edge = c.rcv_nxt + std::min<std::uint32_t>(config.receive_bytes_max, 0xffff);
}

void Core::add_syn_options(Connection& c, Outgoing& out, Now now) const noexcept {
  out.add_mss(mss_announced(c.route));
  const bool offers = c.state == State::kSynSent;
  if (offers ? config.sack : c.sack) out.add_sack_permitted();
  if (offers ? config.timestamps : c.timestamps) out.add_timestamps(ts_now(c.ts_offset, now), c.ts_recent);
  if (offers ? config.window_scaling : c.scaled) out.add_window_scale(receive_shift);
}

/// Sends SYN or SYN-ACK and sets the timer for the next try. Without room in the sink the timer is all.
void Core::send_syn(Connection& c, Now now, Sink& sink) noexcept {
  c.send_timer = SendTimer::kHandshake;
  c.deadline_send =
      now.mono_ns + std::min(config.rto_initial_ns << std::min<unsigned>(c.retries, 16), config.rto_max_ns);
  if (sink.room() == 0) return;
  Outgoing out;
  out.seq = c.iss;
  out.flags = wire::tcp::kSyn;
  out.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(config.receive_bytes_max, 0xffff));
  if (c.state != State::kSynSent) {
    out.flags |= wire::tcp::kAck;
    out.ack = c.rcv_nxt;
    if (c.ecn) out.flags |= wire::tcp::kEce;
  } else if (config.ecn_ask && !c.syn_retried) {
    out.flags |= wire::tcp::kEce | wire::tcp::kCwr;
  }
  add_syn_options(c, out, now);
  Packet packet = sink.take_packet();
  write_segment(packet, c.route, out, 0, 0, interface_of(c).capabilities);
  sink.send(packet);
  c.sent_ns = now.mono_ns;
  ++stats.segments_out;
}

ConnectionId Core::connect(std::uint8_t port, std::uint16_t own_port, const IpAddress& peer, std::uint16_t peer_port,
                           Mac peer_mac, Now now, Sink& sink) noexcept {
  MUST_LT(port, config.interface_count);
  const Interface& by = config.interfaces[port];
  Route route;
  route.tuple = {peer, peer.is_v4() ? by.address : by.address6, peer_port, own_port};
  route.peer_mac = peer_mac;
  route.own_mac = by.mac;
  route.vlan_tci = by.vlan;
  route.has_vlan = by.vlan != 0;
  route.port = port;
  const bool taken = lookup(route.tuple) != nullptr ||
                     time_waits.find(route.tuple, table_hash(config.cookie_key, route.tuple)) != kNone;
  if (taken || route.tuple.own.is_zero() || sink.room() == 0) return {};
  Connection* const c = open(route, now);
  if (c == nullptr) return {};
  c->is_active = true;
  c->iss = initial_sequence(route.tuple, now);
  begin_windows(*c);
  set_state(*c, State::kSynSent);
  send_syn(*c, now, sink);
  arm(*c);
  return id_of(*c);
}

void Core::established(Connection& c, const Segment& s, Now now) noexcept {
  ++(c.is_active ? stats.connected : stats.accepted);
  set_state(c, State::kEstablished);
  if (!c.syn_retried && c.sent_ns != 0) {
    c.rtt.sample(now.mono_ns - c.sent_ns);
  } else if (c.syn_retried && c.timestamps && s.options.has_timestamps) {
    measure_by_echo(c, s, now);
  }
  c.retries = 0;
  c.send_timer = SendTimer::kOff;
  c.deadline_send = kNever;
  begin_congestion(c);
  set_life_deadline(c);
  event(c, kOpened);
}

/// RFC 9293 section 3.10.7.3.
void Core::receive_in_syn_sent(Connection& c, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  const bool acked = s.has(wire::tcp::kAck);
  if (acked && s.ack != c.iss + 1) {
    ++stats.drop_ack;
    if (!s.has(wire::tcp::kRst)) reply_reset(packet, s, now, sink);
    return;
  }
  if (s.has(wire::tcp::kRst)) {
    if (!acked) return;
    ++stats.reset_by_peer;
    end(c, Close::kRefused, sink);
    return;
  }
  if (!s.has(wire::tcp::kSyn)) return;
  c.irs = s.seq;
  c.rcv_nxt = c.rcv_acked = s.seq + 1;
  c.rcv_edge = c.rcv_nxt + std::min<std::uint32_t>(config.receive_bytes_max, 0xffff);
  learn_options(c, s, now);
  c.snd_wnd = c.snd_wnd_max = s.window;
  c.snd_wl1 = s.seq;
  c.snd_wl2 = s.ack;
  c.heard_ns = now.mono_ns;
  if (acked) {
    c.snd_una = s.ack;
    established(c, s, now);
    c.ack_now = true;
    want_output(c);
  } else {  // Both sides began at once (RFC 9293 section 3.5).
    set_state(c, State::kSynReceived);
    c.syn_retried = true;  // Our SYN's round trip can no longer be told.
    send_syn(c, now, sink);
  }
  arm(c);
}

}  // namespace gannet::nicpipe::tcp
