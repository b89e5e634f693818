// Time passes.
#include <algorithm>

#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {

/// The wheel wakes a connection at its earliest deadline or before: a deadline that moved away is found out when the
/// wheel comes by, so moving it costs nothing.
void Core::arm(Connection& c) noexcept {
  const MonotonicNs first = std::min({c.deadline_send, c.deadline_ack, c.deadline_life});
  if (first != kNever) wheel.set_earlier(slot_of(c), first);
}

void Core::tick(Now now, Sink& sink) noexcept {
  time_waits.expire(now.mono_ns, kTimersPerTick);
  for (std::uint32_t i = 0; i < kTimersPerTick && sink.room() >= kSinkReserve; ++i) {
    const std::uint32_t slot = wheel.expire(now.mono_ns);
    if (slot == kNone) return;
    fire(connections[slot], now, sink);
  }
}

void Core::fire(Connection& c, Now now, Sink& sink) noexcept {
  if (c.state == State::kFree || c.state == State::kDead) return;
  const std::uint32_t generation = c.generation;
  const auto alive = [&] { return c.generation == generation && c.state != State::kFree && c.state != State::kDead; };
  if (c.deadline_ack <= now.mono_ns) send_ack(c, now, sink);
  if (c.deadline_send <= now.mono_ns) fire_send(c, now, sink);
  if (alive() && c.deadline_life <= now.mono_ns) fire_life(c, now, sink);
  if (alive()) arm(c);
}

void Core::fire_send(Connection& c, Now now, Sink& sink) noexcept {
  switch (c.send_timer) {
    case SendTimer::kOff:
      c.deadline_send = kNever;
      return;
    case SendTimer::kHandshake:
      c.syn_retried = true;
      if (++c.retries > config.syn_retries) {
        ++stats.timed_out;
        end(c, Close::kTimeout, sink);
        return;
      }
      ++stats.retransmits;
      send_syn(c, now, sink);
      return;
    case SendTimer::kRetransmit:
      if (c.flight_head == kNone) break;
      timed_out(c, now, sink);
      return;
    case SendTimer::kTailProbe:
      if (c.flight_head == kNone) break;
      send_tail_probe(c, now, sink);
      break;
    case SendTimer::kReorder: {
      AckInfo nothing;
      nothing.lost_before = c.lost_bytes;
      detect_losses(c, now);
      if (c.lost_bytes > 0 && c.recovery == Recovery::kOpen) enter_recovery(c);
      if (c.recovery == Recovery::kFast) run_prr(c, nothing);
      if (send_pending(c, now, sink)) want_output(c);
      break;
    }
    case SendTimer::kPersist:
      if (c.flight_head != kNone || c.unsent() == 0) break;
      if (++c.retries > config.retries) {
        ++stats.timed_out;
        end(c, Close::kTimeout, sink);
        return;
      }
      if (c.backoff < 16) ++c.backoff;
      if (c.backoff >= 2) copy_out_pins(c);
      fire_persist(c, now, sink);
      break;
  }
  if (c.send_timer == SendTimer::kPersist) c.send_timer = SendTimer::kOff;
  arm_send_timer(c, now);
}

/// RFC 9293 section 3.8.6.1; and section 3.8.6.2.1's override for a window that is open but small.
void Core::fire_persist(Connection& c, Now now, Sink& sink) noexcept {
  const std::uint8_t backoff = c.backoff;
  const std::uint32_t fits = std::min({c.unsent(), c.snd_wnd, segment_bytes_max(c)});
  if (fits == 0) {
    send_window_probe(c, now, sink);
  } else if (flights.left() > 0) {
    (void)send_new(c, fits, c.fin_wanted && fits == c.unsent(), now, sink);
  }
  c.backoff = backoff;
}

/// The next moment at which silence could matter.
void Core::set_life_deadline(Connection& c) noexcept {
  MonotonicNs first = kNever;
  if (config.keepalive_ns != 0) first = c.heard_ns + config.keepalive_ns + c.keepalives * config.keepalive_interval_ns;
  if (config.idle_ns != 0) first = std::min(first, c.payload_ns + config.idle_ns);
  if (c.is_orphan && c.state == State::kFinWait2) first = std::min(first, c.fin_wait_2_ns + config.fin_wait_2_ns);
  c.deadline_life = first;
}

void Core::fire_life(Connection& c, Now now, Sink& sink) noexcept {
  set_life_deadline(c);
  if (c.deadline_life > now.mono_ns) return;  // Something was heard since.
  const bool waited =
      c.is_orphan && c.state == State::kFinWait2 && now.mono_ns - c.fin_wait_2_ns >= config.fin_wait_2_ns;
  const bool idle = config.idle_ns != 0 && now.mono_ns - c.payload_ns >= config.idle_ns;
  if (waited || idle) {
    ++stats.timed_out;
    if (idle) send_reset(c, sink);
    end(c, Close::kIdle, sink);
    return;
  }
  if (c.keepalives >= config.keepalive_probes) {
    ++stats.timed_out;
    send_reset(c, sink);
    end(c, Close::kKeepalive, sink);
    return;
  }
  ++c.keepalives;
  if (c.flight_head == kNone) send_keepalive(c, now, sink);  // Else what is under way asks the same question.
  set_life_deadline(c);
}

}  // namespace gannet::nicpipe::tcp
