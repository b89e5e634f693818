// The door: names become connections, everything else is Core's.
#include "nicpipe/tcp/engine.h"

#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {

Engine::Engine(const Config& config) : core_(std::make_unique<Core>(config)) {}
Engine::~Engine() = default;

void Engine::receive(const Packet& packet, Now now, Sink& sink) {
  core_->receive(packet, now, sink);
}
void Engine::receive_icmp(const Packet& packet, Now now, Sink& sink) {
  core_->receive_icmp(packet, now, sink);
}
bool Engine::is_about_ours(const Packet& packet) const noexcept {
  return core_->is_about_ours(packet);
}
void Engine::tick(Now now, Sink& sink) {
  core_->tick(now, sink);
}
void Engine::flush(Now now, Sink& sink) {
  core_->flush(now, sink);
}
MonotonicNs Engine::next_timer() const noexcept {
  const MonotonicNs wheel = core_->wheel.next(), table = core_->time_waits.next_due();
  return wheel < table ? wheel : table;
}
std::uint32_t Engine::take_events(std::span<Event> events) noexcept {
  return core_->take_events(events);
}

MutableBytes Engine::readable(ConnectionId id) noexcept {
  const Connection* const c = core_->find(id);
  if (c == nullptr || c->read_head == kNone) return {};
  const Span& span = core_->spans[c->read_head];
  return {span.data, span.bytes};
}
std::uint32_t Engine::readable_bytes(ConnectionId id) const noexcept {
  const Connection* const c = core_->find(id);
  return c == nullptr ? 0 : c->unread;
}
void Engine::consume(ConnectionId id, std::uint32_t bytes, Sink& sink) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) core_->consume(*c, bytes, sink);
}
std::uint32_t Engine::write(ConnectionId id, Bytes bytes) noexcept {
  Connection* const c = core_->find(id);
  return c == nullptr ? 0 : core_->write(*c, bytes);
}
MutableBytes Engine::extend(ConnectionId id, std::uint32_t bytes) noexcept {
  Connection* const c = core_->find(id);
  return c == nullptr ? MutableBytes{} : core_->extend(*c, bytes);
}
bool Engine::can_write(ConnectionId id, std::uint32_t bytes) const noexcept {
  const Connection* const c = core_->find(id);
  return c != nullptr && core_->can_write(*c, bytes);
}
std::uint32_t Engine::writable_bytes(ConnectionId id) const noexcept {
  const Connection* const c = core_->find(id);
  return c == nullptr ? 0 : core_->write_room(*c);
}
bool Engine::write_pinned(ConnectionId id, Bytes bytes, std::uint32_t pin) noexcept {
  Connection* const c = core_->find(id);
  return c != nullptr && core_->write_pinned(*c, bytes, pin);
}
void Engine::want_writable(ConnectionId id) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) core_->want_writable(*c);
}
std::uint32_t Engine::unacknowledged(ConnectionId id) const noexcept {
  const Connection* const c = core_->find(id);
  return c == nullptr || !c->is_synchronized() ? 0 : c->write_end - c->snd_una + (c->fin_sent ? 1 : 0);
}
void Engine::shutdown(ConnectionId id) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) core_->shutdown(*c);
}
void Engine::close(ConnectionId id, Now now, Sink& sink) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) core_->close(*c, now, sink);
}
void Engine::abort(ConnectionId id, Now, Sink& sink) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) core_->abort(*c, sink);
}
void Engine::end_all(Sink& sink) noexcept {
  core_->end_all(sink);
}
void Engine::set_user(ConnectionId id, std::uint64_t user) noexcept {
  if (Connection* const c = core_->find(id); c != nullptr) c->user = user;
}
std::uint64_t Engine::user(ConnectionId id) const noexcept {
  const Connection* const c = core_->find(id);
  return c == nullptr ? 0 : c->user;
}
bool Engine::is_live(ConnectionId id) const noexcept {
  return core_->find(id) != nullptr;
}
bool Engine::tuple(ConnectionId id, Tuple& out) const noexcept {
  const Connection* const c = core_->find(id);
  if (c != nullptr) out = c->route.tuple;
  return c != nullptr;
}

ConnectionId Engine::connect(std::uint8_t port, std::uint16_t own_port, const IpAddress& peer, std::uint16_t peer_port,
                             Mac peer_mac, Now now, Sink& sink) {
  return core_->connect(port, own_port, peer, peer_port, peer_mac, now, sink);
}

const Stats& Engine::stats() const noexcept {
  Stats& stats = core_->stats;
  stats.open = core_->connections.used();
  stats.time_wait = core_->time_waits.used();
  stats.blocks_used = core_->blocks.used();
  stats.receive_packets_used = core_->packets_kept;
  return stats;
}
std::uint64_t Engine::memory_bytes() const noexcept {
  return core_->memory_bytes();
}
std::uint64_t Engine::memory_bytes(ConnectionId id) const noexcept {
  const Connection* const c = core_->find(id);
  return c == nullptr ? 0 : core_->memory_bytes(*c);
}
void Engine::check() const {
  core_->check();
}

}  // namespace gannet::nicpipe::tcp
