// The engine against what a device does for it: frames that it segments and checksums it writes, over either family.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "nicpipe/checksum.h"
#include "nicpipe/headers.h"
#include "nicpipe/memory_endpoint.h"
#include "nicpipe/tcp/engine.h"
#include "nicpipe/tcp/segment.h"

using namespace gannet;
using namespace gannet::nicpipe;
using namespace gannet::nicpipe::tcp;

namespace {

constexpr Mac kMacA{{2, 0, 0, 0, 0, 1}}, kMacB{{2, 0, 0, 0, 0, 2}};
constexpr Capabilities kPlain{};
constexpr Capabilities kAll{
    .tx_ip_checksum = true, .tx_tcp_checksum = true, .tcp_segmentation = true, .multi_segment = true};

/// One engine and its port.
struct Side {
  Side(Mac mac, const IpAddress& address, const Capabilities& capabilities)
      : pool({.buffers = 512}),
        endpoint(pool, {.capabilities = capabilities}, {&released, this}),
        sink(256, 128, 2048),
        engine(config_of(mac, address, capabilities)) {
    refill();
  }
  ~Side() {
    while (sink.spares_wanted() < 128) {
      Packet packet = sink.take_packet();
      endpoint.free({&packet, 1});
    }
  }

  Config config_of(Mac mac, const IpAddress& address, const Capabilities& capabilities) {
    Config config;
    config.interfaces[0].mac = mac;
    (address.is_v4() ? config.interfaces[0].address : config.interfaces[0].address6) = address;
    config.interfaces[0].capabilities = capabilities;
    config.listen_ports[0] = 7;
    config.listen_port_count = 1;
    config.connections_max = 8;
    config.pins.context = this;
    config.pins.again = [](void* self, std::uint32_t) {
      ++static_cast<Side*>(self)->pins;
      return true;
    };
    config.pins.release = &released;
    return config;
  }
  static void released(void* self, std::uint32_t) { --static_cast<Side*>(self)->pins; }

  void refill() {
    while (sink.spares_wanted() > 0) {
      Packet packet;
      REQUIRE(endpoint.alloc({&packet, 1}) == 1);
      sink.put_spare(packet);
    }
  }
  /// Sends what waits to the other side; counts the frames the wire saw and the packets they were.
  void exchange(Side& other) {
    for (const Packet& packet : sink.to_send()) most = std::max(most, packet.bytes + packet.tail_bytes);
    packets += sink.to_send().size();
    const auto count = static_cast<std::uint32_t>(sink.to_send().size());
    REQUIRE(endpoint.tx_burst(sink.to_send()) == count);
    sink.sent(count);
    endpoint.free(sink.to_free());
    sink.freed();
    refill();
    for (const auto& frame : endpoint.take_sent()) {
      ++frames;
      REQUIRE(frame.size() <= 1514);
      if (loses_one_in != 0 && random() % loses_one_in == 0) continue;
      other.endpoint.deliver(frame);
    }
  }
  void turn(Now now) {
    std::array<Packet, 32> burst;
    while (const std::uint32_t count = endpoint.rx_burst(burst, now.mono_ns)) {
      for (std::uint32_t i = 0; i < count; ++i) {
        burst[i].l2_bytes = 14;
        burst[i].l3_bytes = (burst[i].data[14] & std::byte{0xf0}) == std::byte{0x40} ? 20 : 40;
        if (burst[i].l3_bytes == 20) REQUIRE(is_intact(sum_ipv4_header(burst[i].data + 14)));
        engine.receive(burst[i], now, sink);
      }
    }
    engine.tick(now, sink);
    std::array<Event, 8> events;
    while (const std::uint32_t count = engine.take_events(events)) {
      for (std::uint32_t i = 0; i < count; ++i) {
        id = events[i].id;
        while (reads && !engine.readable(id).empty()) {
          const Bytes bytes = engine.readable(id);
          read.insert(read.end(), bytes.begin(), bytes.end());
          engine.consume(id, static_cast<std::uint32_t>(bytes.size()), sink);
        }
      }
    }
    engine.flush(now, sink);
    engine.check();
  }

  MemoryPool pool;
  MemoryEndpoint endpoint;
  Sink sink;
  Engine engine;
  ConnectionId id;
  std::vector<std::byte> read;
  std::uint64_t packets = 0, frames = 0;
  std::uint32_t most = 0;
  std::uint32_t loses_one_in = 0;  ///< Frames on their way out; 0: none.
  std::mt19937 random{7};
  bool reads = true;
  int pins = 0;
};

std::vector<std::byte> pattern(std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; ++i) made[i] = static_cast<std::byte>(i * 7 + i / 251);
  return made;
}

/// A pinned value and some written bytes from one side to the other, all of them checked.
void transfer(Side& from, Side& to, const IpAddress& peer) {
  Now now{1'700'000'000, 1'000'000'000};
  from.id = from.engine.connect(0, 999, peer, 7, kMacB, now, from.sink);
  REQUIRE(from.engine.is_live(from.id));
  const std::vector<std::byte> value = pattern(300'001), head = pattern(29);
  bool written = false;
  for (int round = 0; round < 5000 && to.read.size() < value.size() + 2 * head.size(); ++round) {
    now.mono_ns += 50'000;
    if (from.endpoint.waiting() == 0 && to.endpoint.waiting() == 0)
      now.mono_ns = std::max(now.mono_ns, std::min(from.engine.next_timer(), to.engine.next_timer()));
    from.turn(now);
    if (!written && from.engine.writable_bytes(from.id) > 0 && from.engine.stats().connected == 1) {
      written = true;
      REQUIRE(from.engine.write(from.id, head) == head.size());
      ++from.pins;
      REQUIRE(from.engine.write_pinned(from.id, value, 1));
      REQUIRE(from.engine.write(from.id, head) == head.size());
      from.engine.flush(now, from.sink);
    }
    from.exchange(to);
    to.turn(now);
    to.exchange(from);
  }
  std::vector<std::byte> expected = head;
  expected.insert(expected.end(), value.begin(), value.end());
  expected.insert(expected.end(), head.begin(), head.end());
  REQUIRE(to.read == expected);
  REQUIRE(to.engine.stats().drop_checksum == 0);
  if (from.loses_one_in != 0) {
    REQUIRE(from.engine.stats().retransmits > 0);
    return;
  }
  REQUIRE(from.engine.stats().retransmits == 0);
  now.mono_ns += 100'000'000;  // The last acknowledgement may be a delayed one.
  to.turn(now);
  to.exchange(from);
  from.turn(now);
  from.exchange(to);
  REQUIRE(from.engine.unacknowledged(from.id) == 0);
  REQUIRE(from.pins == 0);
}

}  // namespace

TEST_CASE("a device that segments gets frames of many segments, and the peer every byte once", "[tcp][offload]") {
  Side from(kMacA, Ipv4{0x0a4d0001}, kAll), to(kMacB, Ipv4{0x0a4d0002}, kPlain);
  transfer(from, to, Ipv4{0x0a4d0002});
  REQUIRE(from.most > 20'000);
  REQUIRE(from.most < 65'536);
  REQUIRE(from.frames > 4 * from.packets);
}

TEST_CASE("a device that writes checksums and gathers gets one packet a segment", "[tcp][offload]") {
  Capabilities some = kAll;
  some.tcp_segmentation = false;
  Side from(kMacA, Ipv4{0x0a4d0001}, some), to(kMacB, Ipv4{0x0a4d0002}, kPlain);
  transfer(from, to, Ipv4{0x0a4d0002});
  REQUIRE(from.frames == from.packets);
  REQUIRE(from.endpoint.tails_sent() > 200);
}

TEST_CASE("a device that can nothing gets whole frames", "[tcp][offload]") {
  Side from(kMacA, Ipv4{0x0a4d0001}, kPlain), to(kMacB, Ipv4{0x0a4d0002}, kPlain);
  transfer(from, to, Ipv4{0x0a4d0002});
  REQUIRE(from.endpoint.tails_sent() == 0);
}

TEST_CASE("segments of one frame are lost and told one by one", "[tcp][offload]") {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Side from(kMacA, Ipv4{0x0a4d0001}, kAll), to(kMacB, Ipv4{0x0a4d0002}, kPlain);
    from.random.seed(seed);
    from.loses_one_in = 3 + seed % 40;
    transfer(from, to, Ipv4{0x0a4d0002});
    REQUIRE(from.most > 10'000);
  }
}

TEST_CASE("a peer that stops reading gets copies: the pins come back, and no byte is lost or twice", "[tcp][offload]") {
  for (const bool acknowledges_some : {false, true}) {
    Side from(kMacA, Ipv4{0x0a4d0001}, kAll), to(kMacB, Ipv4{0x0a4d0002}, kPlain);
    Now now{1'700'000'000, 1'000'000'000};
    from.id = from.engine.connect(0, 999, Ipv4{0x0a4d0002}, 7, kMacB, now, from.sink);
    const auto run = [&](int rounds) {
      for (int round = 0; round < rounds; ++round) {
        now.mono_ns += 50'000;
        if (from.endpoint.waiting() == 0 && to.endpoint.waiting() == 0)
          now.mono_ns = std::max(now.mono_ns, std::min(from.engine.next_timer(), to.engine.next_timer()));
        from.turn(now);
        from.exchange(to);
        to.turn(now);
        to.exchange(from);
      }
    };
    run(4);
    // So much is read that the first value is acknowledged in part when the peer stops.
    to.reads = acknowledges_some;
    const std::vector<std::byte> first = pattern(100'003), second = pattern(250'001), small = pattern(77);
    std::vector<std::byte> expected;
    for (const auto* piece : {&first, &small, &second, &small}) {
      expected.insert(expected.end(), piece->begin(), piece->end());
      if (piece == &small) {
        REQUIRE(from.engine.write(from.id, *piece) == piece->size());
        continue;
      }
      ++from.pins;
      REQUIRE(from.engine.write_pinned(from.id, *piece, 1));
    }
    run(acknowledges_some ? 3 : 1);
    to.reads = false;
    run(400);
    REQUIRE(from.engine.stats().pins_copied >= 1);
    REQUIRE(from.pins == 0);
    REQUIRE(from.engine.stats().window_probes > 0);
    REQUIRE_FALSE(from.engine.write_pinned(from.id, first, 1));
    to.reads = true;
    while (!to.engine.readable(to.id).empty()) {
      const Bytes bytes = to.engine.readable(to.id);
      to.read.insert(to.read.end(), bytes.begin(), bytes.end());
      to.engine.consume(to.id, static_cast<std::uint32_t>(bytes.size()), to.sink);
    }
    run(400);
    REQUIRE(to.read == expected);
    REQUIRE(from.engine.stats().blocks_used == 0);
  }
}

TEST_CASE("the same over IPv6, with and without the device's help", "[tcp][offload]") {
  const IpAddress a{0xfd77000000000000, 1}, b{0xfd77000000000000, 2};
  for (const Capabilities& device : {kPlain, kAll}) {
    Side from(kMacA, a, device), to(kMacB, b, device);
    transfer(from, to, b);
    REQUIRE((from.most > 20'000) == device.tcp_segmentation);
  }
}
