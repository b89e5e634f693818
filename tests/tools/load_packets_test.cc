// The load generator's own UDP client: frames to a server behind another Host, both in memory.
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "nicpipe/host.h"
#include "nicpipe/memory_endpoint.h"
#include "tests/tools/map_items.h"
#include "tools/load/engine.h"
#include "tools/load/packet_link.h"

using namespace gannet;
using namespace gannet::load;

namespace {

std::uint64_t g_now_ns = 1'000'000;
MonotonicNs test_clock() {
  return g_now_ns += 100;
}

constexpr nicpipe::Mac kClientMac{{2, 0, 0, 0, 0, 1}}, kServerMac{{2, 0, 0, 0, 0, 2}};

/// One queue of the client with a server at the other end of its wire: each rx_burst first lets the server see what was
/// sent.
class WiredEndpoint {
 public:
  explicit WiredEndpoint(nicpipe::Capabilities capabilities)
      : pool_({.buffers = 512}),
        client_(pool_, {.capabilities = capabilities}),
        server_pool_({.buffers = 256}),
        server_(server_pool_, {}),
        host_(server()) {}

  std::uint32_t rx_burst(std::span<nicpipe::Packet> packets, MonotonicNs now) {
    serve();
    return client_.rx_burst(packets, now);
  }
  std::uint32_t tx_burst(std::span<nicpipe::Packet> packets) { return client_.tx_burst(packets); }
  std::uint32_t alloc(std::span<nicpipe::Packet> packets) { return client_.alloc(packets); }
  void free(std::span<nicpipe::Packet> packets) { client_.free(packets); }
  const nicpipe::Capabilities& capabilities() const { return client_.capabilities(); }

  MapItems items;
  bool silent = false;
  std::set<std::uint16_t> client_ports;
  std::uint32_t buffers_out() const { return pool_.buffers_out(); }
  nicpipe::MemoryEndpoint& client() { return client_; }

 private:
  static nicpipe::HostConfig server() {
    nicpipe::HostConfig config;
    config.mac = kServerMac;
    config.address = {0x0a4d0002};
    return config;
  }
  void serve() {
    for (const nicpipe::MemoryEndpoint::Frame& frame : client_.take_sent()) server_.deliver(frame);
    std::array<nicpipe::Packet, 64> packets;
    for (std::uint32_t count; (count = server_.rx_burst(packets, g_now_ns)) != 0;) {
      for (nicpipe::Packet& packet : std::span(packets).first(count)) answer(packet);
    }
    for (const nicpipe::MemoryEndpoint::Frame& frame : server_.take_sent()) client_.deliver(frame);
  }
  void answer(nicpipe::Packet& packet) {
    nicpipe::UdpView view;
    nicpipe::Drop why{};
    const nicpipe::Verdict verdict = host_.receive(packet, {0, g_now_ns}, view, why);
    INFO("the server dropped a frame: " << nicpipe::to_text(why));
    REQUIRE(verdict != nicpipe::Verdict::kDrop);
    if (silent || verdict == nicpipe::Verdict::kArpLearned) {
      server_.free({&packet, 1});
      return;
    }
    if (verdict == nicpipe::Verdict::kUdp) {
      client_ports.insert(view.flow.peer_port);
      const Bytes request = first_request(view.payload.subspan(kFrameBytes));
      const std::vector<std::byte> bytes = items.answer(request);
      std::copy(bytes.begin(), bytes.end(), view.payload.data() + kFrameBytes);
      host_.write_udp(packet, view.flow, static_cast<std::uint16_t>(kFrameBytes + bytes.size()));
    }
    REQUIRE(server_.tx_burst({&packet, 1}) == 1);
  }

  nicpipe::MemoryPool pool_;
  nicpipe::MemoryEndpoint client_;
  nicpipe::MemoryPool server_pool_;
  nicpipe::MemoryEndpoint server_;
  nicpipe::Host host_;
};

Options options_of(std::vector<std::string> arguments) {
  Options options;
  arguments.insert(arguments.end(), {"--dpdk", "memory:", "--source", "10.77.0.1/24"});
  const ParseOutcome outcome = parse_options(arguments, false, options);
  INFO(outcome.text);
  REQUIRE(outcome.run);
  return options;
}

}  // namespace

TEST_CASE("the client finds the server by ARP, and every answer over frames is right", "[load][packets]") {
  const bool offload = GENERATE(false, true);
  const Options options = options_of({"--keys", "300", "--requests", "3000", "--seconds", "0", "--connections", "3",
                                      "--value-bytes", "uniform:1-1000"});
  WiredEndpoint endpoint({.tx_ip_checksum = offload, .tx_udp_checksum = offload});
  {
    PacketLink<WiredEndpoint> link(options, {&endpoint}, kClientMac, test_clock);
    REQUIRE(link.resolve(1'000'000'000));
    const Keyspace keyspace(options.keyspace());
    Tally tally;
    std::atomic<bool> stop{false};
    Engine engine(options, keyspace, link, tally, 0, test_clock);
    REQUIRE(engine.preload(stop) == "");
    engine.run(stop);
    engine.drain();
    const TallyPicture picture = tally.picture();
    REQUIRE(picture[Count::kSent] == 3300);
    REQUIRE(picture.answers() == 3300);
    REQUIRE(picture[Count::kWrong] == 0);
    REQUIRE(picture[Count::kMiss] == 0);
    REQUIRE(endpoint.client_ports == std::set<std::uint16_t>{40'000, 40'001, 40'002});
  }
  REQUIRE(endpoint.buffers_out() == 0);
}

TEST_CASE("with nobody at the other end the client says so after its patience", "[load][packets]") {
  const Options options = options_of({"--keys", "10"});
  WiredEndpoint endpoint({});
  endpoint.silent = true;
  {
    PacketLink<WiredEndpoint> link(options, {&endpoint}, kClientMac, test_clock);
    REQUIRE_FALSE(link.resolve(200'000'000));
  }
  REQUIRE(endpoint.buffers_out() == 0);
}

TEST_CASE("what the device does not take is told and freed", "[load][packets]") {
  const Options options = options_of({"--keys", "10"});
  WiredEndpoint endpoint({});
  {
    PacketLink<WiredEndpoint> link(options, {&endpoint}, kClientMac, test_clock);
    REQUIRE(link.resolve(1'000'000'000));
    endpoint.client().tx_limit(2);
    for (int i = 0; i < 5; ++i) {
      REQUIRE(link.open(0, 11211) != nullptr);
      link.close(40);
    }
    REQUIRE(link.flush() == 3);
    endpoint.silent = true;
    std::array<Inbound, 8> inbound;
    REQUIRE(link.receive(inbound) == 0);
  }
  REQUIRE(endpoint.buffers_out() == 0);
}
