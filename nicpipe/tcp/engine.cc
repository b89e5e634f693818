#include "nicpipe/tcp/engine.h"

namespace gannet::nicpipe::tcp {

class Core {
 public:
  explicit Core(const Config& config) : config_(config) {}
  Config config_;
  Stats stats_;
};

Engine::Engine(const Config& config) : core_(std::make_unique<Core>(config)) {}
Engine::~Engine() = default;
void Engine::receive(const Packet& packet, Now, Sink& sink) {
  sink.free(packet);
}
void Engine::receive_icmp(const Packet& packet, Now, Sink& sink) {
  sink.free(packet);
}
void Engine::tick(Now, Sink&) {}
void Engine::flush(Now, Sink&) {}
MonotonicNs Engine::next_timer() const noexcept {
  return ~MonotonicNs{0};
}
std::uint32_t Engine::take_events(std::span<Event>) noexcept {
  return 0;
}
MutableBytes Engine::readable(ConnectionId) noexcept {
  return {};
}
std::uint32_t Engine::readable_bytes(ConnectionId) const noexcept {
  return 0;
}
void Engine::consume(ConnectionId, std::uint32_t, Sink&) noexcept {}
std::uint32_t Engine::write(ConnectionId, Bytes) noexcept {
  return 0;
}
std::uint32_t Engine::writable_bytes(ConnectionId) const noexcept {
  return 0;
}
bool Engine::write_pinned(ConnectionId, Bytes, std::uint32_t) noexcept {
  return false;
}
std::uint32_t Engine::unacknowledged(ConnectionId) const noexcept {
  return 0;
}
void Engine::shutdown(ConnectionId) noexcept {}
void Engine::close(ConnectionId, Now, Sink&) noexcept {}
void Engine::abort(ConnectionId, Now, Sink&) noexcept {}
void Engine::set_user(ConnectionId, std::uint64_t) noexcept {}
std::uint64_t Engine::user(ConnectionId) const noexcept {
  return 0;
}
bool Engine::is_live(ConnectionId) const noexcept {
  return false;
}
bool Engine::tuple(ConnectionId, Tuple&) const noexcept {
  return false;
}
ConnectionId Engine::connect(std::uint8_t, std::uint16_t, const IpAddress&, std::uint16_t, Mac, Now, Sink&) {
  return {};
}
const Stats& Engine::stats() const noexcept {
  return core_->stats_;
}
std::uint64_t Engine::memory_bytes() const noexcept {
  return sizeof(Core);
}
std::uint64_t Engine::memory_bytes(ConnectionId) const noexcept {
  return 0;
}
void Engine::check() const {}

}  // namespace gannet::nicpipe::tcp
