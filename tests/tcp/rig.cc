#include "tests/tcp/rig.h"

#include <array>
#include <utility>

#include "storage/base/must.h"

namespace gannet::test::tcp {
namespace {

constexpr int kTicksMax = 1000;

nicpipe::Mac own_mac(const RigOptions& options) {
  return options.v6 ? tcp::mac_of(tcp::address(kUs6)) : test::mac_of(ipv4(options.address));
}

nicpipe::HostConfig host_config(const RigOptions& options) {
  nicpipe::HostConfig config;
  config.address = ipv4(options.address);
  config.mac = own_mac(options);
  if (options.v6) config.address6 = ip(kUs6);
  config.prefix_bits = 16;
  config.mtu = options.mtu;
  config.vlan = options.vlan;
  config.capabilities = options.capabilities;
  config.tcp = true;
  return config;
}

nic::Config engine_config(const RigOptions& options, nic::PinHooks pins) {
  nic::Config config = options.config;
  config.interface_count = 1;
  nic::Interface& interface = config.interfaces[0];
  interface.address = ipv4(options.address);
  if (options.v6) interface.address6 = ip(kUs6);
  interface.mac = own_mac(options);
  interface.mtu = options.mtu;
  interface.capabilities = options.capabilities;
  if (config.listen_port_count == 0) {
    config.listen_port_count = 1;
    config.listen_ports[0] = kPort;
  }
  if (config.isn_key.low == 0) config.isn_key = {0x0706'0504'0302'0100, 0x0f0e'0d0c'0b0a'0908};
  if (config.cookie_key.low == 0) config.cookie_key = {0x1716'1514'1312'1110, 0x1f1e'1d1c'1b1a'1918};
  config.pins = pins;
  return config;
}

nicpipe::MemoryPool::Options pool_options(const RigOptions& options) {
  nicpipe::MemoryPool::Options pool;
  pool.buffers = options.buffers;
  pool.data_bytes = options.buffer_bytes;
  pool.scribble = options.scribble;
  return pool;
}

}  // namespace

Rig::Rig(const RigOptions& options)
    : pool_(pool_options(options)),
      port_(pool_, {.capabilities = options.capabilities}, {pin_release, this}),
      host_(host_config(options)),
      sink_(options.sends, options.spares, options.buffers + options.sends + options.spares),
      engine_(std::make_unique<nic::Engine>(engine_config(options, {pin_again, pin_release, this}))),
      checks_(options.checks) {
  refill();
}

Rig::~Rig() {
  // What the engine keeps (unread payload) goes with it; the spares are ours.
  starve(true);
}

bool Rig::pin_again(void* context, std::uint32_t) {
  ++static_cast<Rig*>(context)->pins_held_;
  return true;
}

void Rig::pin_release(void* context, std::uint32_t) {
  MUST_GT(static_cast<Rig*>(context)->pins_held_, 0u);
  --static_cast<Rig*>(context)->pins_held_;
}

bool Rig::write_pinned(nic::ConnectionId id, Bytes bytes) {
  ++pins_held_;  // The pin that the engine takes over.
  if (engine_->write_pinned(id, bytes, 7)) return true;
  --pins_held_;
  return false;
}

void Rig::take_in(nicpipe::Packet& packet) {
  nicpipe::Drop why{};
  const nicpipe::Verdict verdict = host_.receive(packet, now_, why);
  if (verdict == nicpipe::Verdict::kTcp) {
    engine_->receive(packet, now_, sink_);
  } else if (verdict == nicpipe::Verdict::kTcpError) {
    engine_->receive_icmp(packet, now_, sink_);
  } else if (verdict == nicpipe::Verdict::kDrop || verdict == nicpipe::Verdict::kArpLearned) {
    ++refused_by_host_;
    port_.free({&packet, 1});
  } else {
    MUST_EQ(port_.tx_burst({&packet, 1}), 1u);  // Host's own answer.
  }
}

void Rig::receive(Bytes frame) {
  port_.deliver(frame);
  nicpipe::Packet packet;
  if (port_.rx_burst({&packet, 1}, now_.mono_ns) == 1) take_in(packet);
  finish_turn();
}

void Rig::receive_burst(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames) port_.deliver(frame);
  std::array<nicpipe::Packet, 32> packets;
  while (const std::uint32_t count = port_.rx_burst(packets, now_.mono_ns)) {
    for (std::uint32_t i = 0; i < count; ++i) take_in(packets[i]);
    finish_turn();
  }
}

void Rig::refill() {
  nicpipe::Packet packet;
  while (!starving_ && sink_.spares_wanted() > 0 && port_.alloc({&packet, 1}) == 1) sink_.put_spare(packet);
}

void Rig::starve(bool starving) {
  starving_ = starving;
  while (starving_ && sink_.room() > 0) {
    nicpipe::Packet packet = sink_.take_packet();
    port_.free({&packet, 1});
  }
  refill();
}

void Rig::finish_turn() {
  std::array<nic::Event, 16> events;
  while (const std::uint32_t count = engine_->take_events(events)) {
    for (std::uint32_t i = 0; i < count; ++i) {
      if (on_event) {
        on_event(events[i]);
      } else {
        events_.push_back(events[i]);
      }
    }
  }
  // A sink too small for all there is to say is emptied as often as it takes: a device that keeps up.
  while (true) {
    engine_->flush(now_, sink_);
    const auto sends = sink_.to_send();
    const auto count = static_cast<std::uint32_t>(sends.size());
    MUST_EQ(port_.tx_burst(sends), count);
    sink_.sent(count);
    for (auto& frame : port_.take_sent()) sent_.push_back({now_.mono_ns, std::move(frame)});
    refill();
    if (count == 0 || starving_) break;
  }
  port_.free(sink_.to_free());
  sink_.freed();
  if (checks_) engine_->check();
}

bool Rig::step(MonotonicNs limit) {
  const MonotonicNs next = engine_->next_timer();
  if (next > limit) return false;
  const MonotonicNs to = next > now_.mono_ns ? next : now_.mono_ns;
  now_.unix_s += static_cast<UnixSeconds>(to / 1'000'000'000 - now_.mono_ns / 1'000'000'000);
  now_.mono_ns = to;
  // A tick is bounded, so it may take some. One that is due for ever has no packets to send with, and stays late.
  for (int tries = 0; tries < kTicksMax; ++tries) {
    engine_->tick(now_, sink_);
    finish_turn();
    if (engine_->next_timer() > now_.mono_ns) return true;
  }
  MUST(starving_);
  return false;
}

void Rig::advance(MonotonicNs to) {
  while (step(to)) {
  }
  if (to > now_.mono_ns) {
    now_.unix_s += static_cast<UnixSeconds>(to / 1'000'000'000 - now_.mono_ns / 1'000'000'000);
    now_.mono_ns = to;
  }
}

bool Rig::advance_until_sent(MonotonicNs to) {
  while (sent_.empty()) {
    if (!step(to)) {
      advance(to);
      return false;
    }
  }
  return true;
}

std::vector<nic::Event> Rig::take_events() {
  return std::exchange(events_, {});
}

}  // namespace gannet::test::tcp
