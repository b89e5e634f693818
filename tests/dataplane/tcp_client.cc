#include "tests/dataplane/tcp_client.h"

#include <array>
#include <stdexcept>

#include "nicpipe/headers.h"

namespace gannet::test {

namespace {

constexpr std::uint32_t kTurnsMax = 300'000;

nicpipe::HostConfig host_of(std::string_view address) {
  nicpipe::HostConfig host;
  host.address = ipv4("10.77.0.1");
  host.mac = mac_of(ip(address));
  if (ip(address).is_v4())
    host.address = ipv4(address);
  else
    host.address6 = ip(address);
  host.tcp = true;
  return host;
}

nicpipe::tcp::Config config_of(std::string_view address) {
  nicpipe::tcp::Config config;
  (ip(address).is_v4() ? config.interfaces[0].address : config.interfaces[0].address6) = ip(address);
  config.interfaces[0].mac = mac_of(ip(address));
  config.connections_max = 64;
  config.send_blocks = 2048;
  config.delayed_ack_ns = 10'000;  // The clock of these tests goes a microsecond a turn.
  config.isn_key = {1, 2};
  config.cookie_key = {3, 4};
  return config;
}

}  // namespace

TcpClient::TcpClient(Appliance& appliance, std::string_view address, std::uint32_t at)
    : appliance_(appliance),
      at_(at),
      pool_({.buffers = 8192}),
      endpoint_(pool_, {}),
      host_(host_of(address)),
      sink_(1024, 512, 8192),
      engine_(std::make_unique<nicpipe::tcp::Engine>(config_of(address))),
      now_{.unix_s = appliance.now(), .mono_ns = 1'000'000'000} {}

TcpClient::~TcpClient() {
  engine_->end_all(sink_);
  while (sink_.room() > 0) sink_.free(sink_.take_packet());
  endpoint_.free(sink_.to_send());
  endpoint_.free(sink_.to_free());
}

void TcpClient::turn() {
  now_.mono_ns += 1'000;
  std::array<nicpipe::Packet, 64> packets;
  while (sink_.spares_wanted() > 0) {
    const std::uint32_t count = pool_.alloc(std::span(packets).first(std::min(64u, sink_.spares_wanted())));
    if (count == 0) break;
    for (std::uint32_t i = 0; i < count; ++i) sink_.put_spare(packets[i]);
  }
  engine_->tick(now_, sink_);
  engine_->flush(now_, sink_);
  for (;;) {
    const std::span<nicpipe::Packet> sends = sink_.to_send();
    if (sends.empty()) break;
    const std::uint32_t count = endpoint_.tx_burst(sends);
    sink_.sent(count);
    for (const Frame& frame : endpoint_.take_sent()) appliance_.deliver(frame, at_);
  }
  appliance_.turn();
  heard_ = appliance_.sent();
  for (const Frame& frame : heard_) endpoint_.deliver(frame);
  while (const std::uint32_t count = endpoint_.rx_burst(packets, now_.mono_ns)) {
    for (std::uint32_t i = 0; i < count; ++i) {
      nicpipe::Drop why{};
      if (host_.receive(packets[i], now_, why) == nicpipe::Verdict::kTcp) {
        engine_->receive(packets[i], now_, sink_);
      } else {
        sink_.free(packets[i]);
      }
    }
    endpoint_.free(sink_.to_free());
    sink_.freed();
  }
  endpoint_.free(sink_.to_free());
  sink_.freed();
  take_events();
}

void TcpClient::take_events() {
  std::array<nicpipe::tcp::Event, 16> events;
  while (const std::uint32_t count = engine_->take_events(events)) {
    for (std::uint32_t i = 0; i < count; ++i) what_[events[i].id.slot] |= events[i].what;
  }
}

TcpClient::ConnectionId TcpClient::connect(std::uint16_t own_port) {
  turn();  // The engine gets empty packets.
  const nicpipe::IpAddress peer = ip(host_.has6() ? Appliance::kAddress6 : Appliance::kAddress);
  const nicpipe::Mac peer_mac = mac_of(ipv4(Appliance::kAddress));
  const ConnectionId id = engine_->connect(0, own_port, peer, 11211, peer_mac, now_, sink_);
  what_[id.slot] = 0;
  for (std::uint32_t turns = 0; (what_[id.slot] & nicpipe::tcp::kOpened) == 0; ++turns) {
    if (turns == kTurnsMax || (what_[id.slot] & nicpipe::tcp::kClosed) != 0)
      throw std::runtime_error("the appliance does not take the connection");
    turn();
  }
  return id;
}

void TcpClient::send(ConnectionId id, std::string_view bytes) {
  for (std::uint32_t turns = 0; !bytes.empty(); ++turns) {
    bytes.remove_prefix(engine_->write(id, as_bytes(bytes)));
    if (turns == kTurnsMax) throw std::runtime_error("the appliance does not take what is sent");
    turn();
  }
}

std::string TcpClient::take(ConnectionId id) {
  std::string bytes;
  for (;;) {
    const Bytes piece = engine_->readable(id);
    if (piece.empty()) break;
    bytes += as_text(piece);
    engine_->consume(id, static_cast<std::uint32_t>(piece.size()), sink_);
  }
  return bytes;
}

std::string TcpClient::receive(ConnectionId id, std::size_t bytes) {
  std::string got = take(id);
  for (std::uint32_t turns = 0; got.size() < bytes; ++turns) {
    if (turns == kTurnsMax) throw std::runtime_error("the appliance does not answer");
    turn();
    got += take(id);
    if ((what_[id.slot] & (nicpipe::tcp::kClosed | nicpipe::tcp::kPeerClosed)) != 0) break;
  }
  return got;
}

std::vector<Response> TcpClient::ask(ConnectionId id, std::string_view requests) {
  constexpr std::uint32_t kBarrier = 0x7e577e57;
  const std::string barrier = noop().with_opaque(kBarrier).bytes();
  send(id, std::string(requests) + barrier);
  std::string got;
  std::string last = barrier;
  last[0] = '\x81';
  for (std::uint32_t turns = 0; got.size() < 24 || got.compare(got.size() - 24, 24, last) != 0; ++turns) {
    if (turns == kTurnsMax) throw std::runtime_error("the barrier is not answered");
    got += take(id);
    if (got.size() < 24 || got.compare(got.size() - 24, 24, last) != 0) turn();
  }
  got.resize(got.size() - 24);
  return responses_of(got);
}

bool TcpClient::closes(ConnectionId id) {
  for (std::uint32_t turns = 0; turns < 10'000; ++turns) {
    if ((what_[id.slot] & (nicpipe::tcp::kClosed | nicpipe::tcp::kPeerClosed)) != 0) return true;
    turn();
    (void)take(id);
  }
  return false;
}

void TcpClient::abort(ConnectionId id) {
  engine_->abort(id, now_, sink_);
  for (int turns = 0; turns < 5; ++turns) turn();
}

}  // namespace gannet::test
