// Slots, names and lists: how a connection is found, announced to the application, and given back.
#include <algorithm>
#include <bit>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {
namespace {

/// The least shift with which a 16-bit window can tell `bytes`.
[[nodiscard]] std::uint8_t shift_for(std::uint32_t bytes) noexcept {
  std::uint8_t shift = 0;
  while (shift < 14 && bytes >> shift > 0xffff) ++shift;
  return shift;
}

}  // namespace

Core::Core(const Config& settings)
    : config(settings),
      connections(settings.connections_max),
      chunks(settings.send_blocks + settings.connections_max),
      flights(2 * settings.send_blocks + settings.connections_max),
      blocks(settings.send_blocks),
      spans(settings.receive_packets + settings.send_blocks),
      wheel(settings.connections_max),
      time_waits(settings.time_wait_max),
      sources(settings.connections_max, settings.per_source_max, settings.cookie_key),
      heads_mask(std::bit_ceil(std::max(settings.connections_max, 16u)) - 1),
      heads(std::make_unique<std::uint32_t[]>(heads_mask + 1)),
      receive_shift(shift_for(settings.receive_bytes_max)),
      challenges(settings.challenge_acks_per_s, std::max(settings.challenge_acks_per_s / 10, 10u)),
      resets(settings.resets_per_s, std::max(settings.resets_per_s / 10, 10u)) {
  MUST(settings.interface_count >= 1 && settings.interface_count <= kInterfacesMax);
  MUST_LE(settings.listen_port_count, kListenPortsMax);
  MUST(settings.connections_max >= 1 && settings.connections_max <= 1u << 20);
  MUST_GE(settings.send_blocks, 16u);
  MUST_GE(settings.receive_packets, 16u);
  MUST(settings.receive_bytes_max >= 2048 && settings.receive_bytes_max <= 1u << 30);
  MUST(settings.send_bytes_max >= 2048 && settings.send_bytes_max <= 1u << 30);
  MUST_GE(settings.mss_min, 64);
  MUST_GE(settings.mss_max, settings.mss_min);
  MUST_GE(settings.initial_window_segments, 1u);
  MUST(settings.rto_min_ns > 0 && settings.rto_min_ns <= settings.rto_max_ns);
  for (std::uint32_t i = 0; i < settings.interface_count; ++i) MUST_GE(settings.interfaces[i].mtu, 576);
  std::fill_n(heads.get(), heads_mask + 1, kNone);
}

Connection* Core::lookup(const Tuple& tuple) noexcept {
  std::uint32_t slot = heads[table_hash(config.cookie_key, tuple) & heads_mask];
  while (slot != kNone && connections[slot].route.tuple != tuple) slot = connections[slot].next;
  return slot == kNone ? nullptr : &connections[slot];
}

Connection* Core::open(const Route& route, Now now) noexcept {
  if (connections.left() == 0) {
    ++stats.refused_full;
    return nullptr;
  }
  const std::uint32_t source = sources.add(route.tuple.peer);
  if (source == kNone) {
    ++stats.refused_source;
    return nullptr;
  }
  const std::uint32_t slot = connections.take();
  Connection& c = connections[slot];
  const std::uint32_t generation = std::max(c.generation, 1u);
  c = Connection{};
  c.generation = generation;
  c.route = route;
  c.source = source;
  c.path_mtu = config.interfaces[route.port].mtu;
  c.ts_offset = ts_offset_of(route.tuple);
  c.receive_shift = receive_shift;
  c.heard_ns = c.payload_ns = now.mono_ns;
  std::uint32_t& head = heads[table_hash(config.cookie_key, route.tuple) & heads_mask];
  c.next = head;
  head = slot;
  c.in_table = true;
  return &c;
}

void Core::set_state(Connection& c, State state) noexcept {
  const bool half_open = state == State::kSynReceived;
  if (half_open && !c.counted_half_open) ++stats.half_open;
  if (!half_open && c.counted_half_open) --stats.half_open;
  c.counted_half_open = half_open;
  c.state = state;
}

void Core::end(Connection& c, Close reason, Sink& sink) noexcept {
  const bool unknown = c.state == State::kSynReceived && !c.is_active;  // The application never heard of it.
  const std::uint32_t slot = slot_of(c);
  wheel.clear(slot);
  c.send_timer = SendTimer::kOff;
  c.deadline_send = c.deadline_ack = c.deadline_life = kNever;
  std::uint32_t* link = &heads[table_hash(config.cookie_key, c.route.tuple) & heads_mask];
  while (*link != slot) link = &connections[*link].next;
  *link = c.next;
  c.in_table = false;
  while (c.chunk_head != kNone) {
    const std::uint32_t chunk = c.chunk_head;
    c.chunk_head = chunks[chunk].next;
    free_chunk(c, chunk);
  }
  c.chunk_tail = c.next_chunk = kNone;
  sources.remove(c.source);
  while (c.flight_head != kNone) {
    const std::uint32_t flight = c.flight_head;
    c.flight_head = flights[flight].next;
    flights.give(flight);
  }
  c.flight_tail = c.lost_hint = kNone;
  c.flight_count = 0;
  set_state(c, State::kDead);
  c.reason = reason;
  if (c.is_orphan || unknown) {
    release_slot(c, &sink);
    return;
  }
  if (reason == Close::kDone && c.unread > 0) {
    c.closed_held = true;
    return;
  }
  release_received(c, sink);
  event(c, kClosed);
}

void Core::end_all(Sink& sink) noexcept {
  for (std::uint32_t slot = 0; slot < connections.size(); ++slot) {
    Connection& c = connections[slot];
    if (c.state == State::kFree) continue;
    release_received(c, sink);
    c.is_orphan = true;
    c.events = 0;
    if (c.state != State::kDead) end(c, Close::kReset, sink);
  }
}

void Core::free_spans(std::uint32_t& head, Sink& sink) noexcept {
  while (head != kNone) {
    const std::uint32_t span = head;
    head = spans[span].next;
    free_span(span, sink);
  }
}

void Core::release_received(Connection& c, Sink& sink) noexcept {
  free_spans(c.read_head, sink);
  c.read_tail = kNone;
  c.unread = 0;
  release_gap(c, sink);
}

/// Needs kDead. While it is in a list it is only marked; whoever takes it out of the last one gives it back.
void Core::release_slot(Connection& c, Sink* sink) noexcept {
  MUST(c.state == State::kDead);
  if (sink != nullptr) release_received(c, *sink);
  if (!c.is_orphan) {
    c.is_orphan = true;
    c.events = 0;
  }
  if (c.in_output || c.in_events || c.in_starved) return;
  MUST(c.read_head == kNone && c.gap_head == kNone);
  c.state = State::kFree;
  if (++c.generation == 0) c.generation = 1;
  connections.give(slot_of(c));
}

void Core::announce(Connection& c) noexcept {
  c.in_events = true;
  c.event_next = kNone;
  const std::uint32_t slot = slot_of(c);
  (event_tail == kNone ? event_head : connections[event_tail].event_next) = slot;
  event_tail = slot;
}

std::uint32_t Core::take_events(std::span<Event> events) noexcept {
  std::uint32_t count = 0;
  while (count < events.size() && event_head != kNone) {
    Connection& c = connections[event_head];
    event_head = c.event_next;
    if (event_head == kNone) event_tail = kNone;
    c.in_events = false;
    if (c.is_orphan) {
      if (c.state == State::kDead) release_slot(c, nullptr);
      continue;
    }
    Event& out = events[count++];
    out = {id_of(c), c.user, c.events, c.reason, c.route.tuple.own_port};
    const bool closed = (c.events & kClosed) != 0;
    if (!closed) out.reason = Close::kNone;
    c.events = 0;
    if (closed) release_slot(c, nullptr);
  }
  return count;
}

void Core::queue_output(Connection& c) noexcept {
  c.in_output = true;
  c.output_next = kNone;
  const std::uint32_t slot = slot_of(c);
  (output_tail == kNone ? output_head : connections[output_tail].output_next) = slot;
  output_tail = slot;
}

}  // namespace gannet::nicpipe::tcp
