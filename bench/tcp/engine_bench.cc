// What TCP costs alone, in memory: one engine, and clients that are no more than frames with numbers put in. Every
// answer is checked. Items are ping-pongs, or bytes.
//   BM_PingPong    24 bytes asked, 24 answered, one segment each way, the acknowledgement on the next request.
//                  connections: how many take turns; software: our checksums both ways (else the device's)
//   BM_Large       1 MiB answers from memory that is not copied, acknowledged every second segment. mss: payload of a
//                  segment (64 KiB: the device segments)
//   BM_Idle        100,000 connections that have asked once and stay: what they hold (the counters), what a turn costs
#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "nicpipe/headers.h"
#include "nicpipe/tcp/engine.h"
#include "tests/tcp/segment.h"

namespace {

using namespace gannet;
using nicpipe::Packet;
using namespace nicpipe::tcp;
namespace tcp = test::tcp;

constexpr std::uint32_t kBurst = 32;
constexpr std::size_t kRequestBytes = 24, kLargeBytes = 1 << 20;
constexpr std::uint16_t kPort = 11211;
constexpr std::size_t kL2Bytes = 14, kL3Bytes = 20;

void require(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "engine_bench: %s\n", what);
  std::abort();
}

/// Buffers of one size, last in first out.
class Buffers {
 public:
  static constexpr std::size_t kHeadroom = 128;
  Buffers(std::uint32_t count, std::size_t bytes) : stride_(kHeadroom + bytes), memory_(stride_ * count) {
    for (std::uint32_t i = count; i-- > 0;) free_.push_back(memory_.data() + stride_ * i);
  }
  Packet take() {
    require(!free_.empty(), "out of buffers");
    Packet packet;
    packet.buffer = free_.back();
    free_.pop_back();
    packet.data = static_cast<std::byte*>(packet.buffer) + kHeadroom;
    packet.headroom = kHeadroom;
    packet.tailroom = static_cast<std::uint16_t>(stride_ - kHeadroom);
    return packet;
  }
  void give(const Packet& packet) { free_.push_back(static_cast<std::byte*>(packet.buffer)); }

 private:
  const std::size_t stride_;
  std::vector<std::byte> memory_;
  std::vector<std::byte*> free_;
};

struct Client {
  std::uint32_t seq = 0, ack = 0;  ///< Next to send; next expected.
};

struct BenchOptions {
  std::uint32_t connections = 64;
  bool software = false;
  std::uint16_t mtu = 1500;
  bool segmentation = false;
  std::uint32_t send_blocks = 8192;
  bool acknowledges = false;  ///< Each answer by a segment of its own, or with the next request.
};

/// The engine, its sink, and as many clients as asked for.
class Bench {
 public:
  explicit Bench(const BenchOptions& options)
      : options_(options),
        buffers_(8192, 2048),
        sink_(2048, 1024, 8192),
        engine_(config_of(options)),
        clients_(options.connections) {
    refill();
    for (std::uint32_t i = 0; i < options.connections; ++i) {
      open(i);
      if (i % kBurst == 0) turn();
    }
    turn();
    require(engine_.stats().accepted == options.connections, "a handshake failed");
  }

  /// One request of each of `count` clients from `first` on, and its answer.
  void ping_pong(std::uint32_t first, std::uint32_t count) {
    for (std::uint32_t i = first; i < first + count; ++i) ask(i);
    serve();
  }

  /// Asks for nothing, acknowledges what has come; gives payload bytes that were sent in answer.
  std::size_t large_round(Bytes value) {
    answer_ = value;
    received_ = 0;
    static_cast<void>(engine_.write_pinned(id_of_[0], value, 1));
    while (received_ < value.size()) turn();
    return received_;
  }

  void turn() {
    now_.mono_ns += 1000;
    if (engine_.next_timer() <= now_.mono_ns) engine_.tick(now_, sink_);
    serve();
  }

  [[nodiscard]] Engine& engine() { return engine_; }
  [[nodiscard]] std::uint64_t answers() const { return answers_; }

 private:
  static Config config_of(const BenchOptions& options) {
    Config config;
    config.interfaces[0].address = test::ipv4("10.77.0.2");
    config.interfaces[0].mac = test::mac_of(test::ipv4("10.77.0.2"));
    config.interfaces[0].mtu = options.mtu;
    nicpipe::Capabilities& device = config.interfaces[0].capabilities;
    device.multi_segment = true;
    device.tx_ip_checksum = device.tx_tcp_checksum = device.rx_checksum = !options.software;
    device.tcp_segmentation = options.segmentation;
    config.listen_port_count = 1;
    config.listen_ports[0] = kPort;
    config.connections_max = options.connections + 16;
    config.half_open_max = 4096;
    config.send_blocks = options.send_blocks;
    config.send_bytes_max = 4 << 20;
    config.isn_key = {1, 2};
    config.cookie_key = {3, 4};
    config.pins.again = [](void*, std::uint32_t) { return true; };
    config.pins.release = [](void*, std::uint32_t) {};
    return config;
  }

  [[nodiscard]] tcp::Segment way(std::uint32_t client) const {
    tcp::Segment segment;
    segment.from = {tcp::address("10.77.1." + std::to_string(1 + client / 50'000)),
                    static_cast<std::uint16_t>(2000 + client % 50'000)};
    segment.to = {tcp::address("10.77.0.2"), kPort};
    segment.window = 65'535;
    return segment;
  }

  void receive(const tcp::Segment& segment) { receive(tcp::to_frame(segment)); }

  void receive(const test::Frame& frame) {
    Packet packet = buffers_.take();
    std::copy(frame.begin(), frame.end(), packet.data);
    receive(packet, frame.size());
  }

  void receive(Packet& packet, std::size_t bytes) {
    packet.bytes = static_cast<std::uint16_t>(bytes);
    packet.tailroom = static_cast<std::uint16_t>(packet.tailroom - bytes);
    packet.l2_bytes = kL2Bytes;
    packet.l3_bytes = kL3Bytes;
    if (!options_.software) packet.flags = nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood;
    engine_.receive(packet, now_, sink_);
  }

  void open(std::uint32_t client) {
    tcp::Segment syn = way(client);
    syn.flags = tcp::kSyn;
    syn.seq = clients_[client].seq = client * 977;
    syn.mss = 65'000;
    syn.window_scale = 14;
    receive(syn);
    require(sink_.to_send().size() == 1, "a SYN was not answered");
    tcp::Segment answer;
    const Packet& sent = sink_.to_send()[0];
    require(tcp::read({sent.data, sent.bytes}, answer, options_.software).empty(), "a SYN-ACK is malformed");
    clients_[client].ack = answer.seq + 1;
    ++clients_[client].seq;
    drop_sent();
    tcp::Segment ack = way(client);
    ack.flags = tcp::kAck;
    ack.seq = clients_[client].seq;
    ack.ack = clients_[client].ack;
    receive(ack);
    // The template of all requests to come.
    ack.flags = tcp::kAck | tcp::kPsh;
    ack.payload = tcp::pattern_bytes(client, kRequestBytes, 1);
    templates_.push_back(tcp::to_frame(ack));
    // What its checksum is without the two numbers that change.
    bases_.push_back(base_of(templates_.back()));
    serve();
  }

  static std::uint64_t base_of(const test::Frame& frame) {
    const std::byte* header = frame.data() + kL2Bytes + kL3Bytes;
    std::uint64_t sum = static_cast<std::uint16_t>(~load_be<std::uint16_t>(header + 16));
    for (const std::size_t at : {4, 6, 8, 10}) sum += static_cast<std::uint16_t>(~load_be<std::uint16_t>(header + at));
    return sum;
  }

  void put_numbers(std::byte* header, std::uint32_t client) {
    const Client& of = clients_[client];
    store_be(header + 4, of.seq);
    store_be(header + 8, of.ack);
    if (!options_.software) return;
    std::uint64_t sum = bases_[client] + (of.seq >> 16) + (of.seq & 0xffff) + (of.ack >> 16) + (of.ack & 0xffff);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    store_be(header + 16, static_cast<std::uint16_t>(~sum));
  }

  void ask(std::uint32_t client) {
    const test::Frame& frame = templates_[client];
    Packet packet = buffers_.take();
    std::memcpy(packet.data, frame.data(), frame.size());
    put_numbers(packet.data + kL2Bytes + kL3Bytes, client);
    clients_[client].seq += kRequestBytes;
    receive(packet, frame.size());
  }

  void serve() {
    std::array<Event, 64> events;
    while (const std::uint32_t count = engine_.take_events(events)) {
      for (std::uint32_t i = 0; i < count; ++i) {
        if ((events[i].what & kOpened) != 0) id_of_.push_back(events[i].id);
        if ((events[i].what & kReadable) != 0) answer(events[i].id);
      }
    }
    engine_.flush(now_, sink_);
    hear();
    for (const Packet& packet : sink_.to_free()) buffers_.give(packet);
    sink_.freed();
    refill();
  }

  void answer(ConnectionId id) {
    const Bytes request = engine_.readable(id);
    require(request.size() == kRequestBytes, "a request came in pieces");
    std::array<std::byte, kRequestBytes> reply;
    std::memcpy(reply.data(), request.data(), kRequestBytes);
    engine_.consume(id, kRequestBytes, sink_);
    require(engine_.write(id, reply) == kRequestBytes, "an answer was refused");
  }

  /// The clients' side of what was sent.
  void hear() {
    std::uint32_t unacknowledged = 0;
    for (const Packet& packet : sink_.to_send()) {
      const std::byte* header = packet.data + kL2Bytes + kL3Bytes;
      const std::size_t offset = static_cast<std::size_t>(header[12]) / 16 * 4;
      const std::byte* payload = header + offset;
      const std::size_t copied = packet.bytes - kL2Bytes - kL3Bytes - offset;
      const std::uint32_t client = (static_cast<std::uint32_t>(packet.data[kL2Bytes + 19]) - 1) * 50'000 +
                                   load_be<std::uint16_t>(header + 2) - 2000;
      Client& of = clients_[client];
      const std::size_t bytes = copied + packet.tail_bytes;
      if (bytes > 0) {
        require(load_be<std::uint32_t>(header + 4) == of.ack, "a segment out of order");
        check_payload(client, payload, copied, packet);
        of.ack += static_cast<std::uint32_t>(bytes);
      }
      buffers_.give(packet);
      // A client acknowledges every second segment, and what a device joined or cut at once.
      const bool due = answer_.empty()
                           ? options_.acknowledges
                           : ++unacknowledged % 2 == 0 || bytes > options_.mtu || received_ == answer_.size();
      if (bytes > 0 && due) acks_.push_back(client);
    }
    sink_.sent(static_cast<std::uint32_t>(sink_.to_send().size()));
    for (const std::uint32_t client : acks_) acknowledge(client);
    acks_.clear();
  }

  void check_payload(std::uint32_t client, const std::byte* payload, std::size_t copied, const Packet& packet) {
    if (answer_.empty()) {
      require(copied == kRequestBytes && std::memcmp(payload, templates_[client].data() + 54, kRequestBytes) == 0,
              "a wrong answer");
      ++answers_;
      return;
    }
    // Not copied: the frame points into the very value.
    require(copied == 0 || std::memcmp(payload, answer_.data() + received_, copied) == 0, "wrong copied bytes");
    received_ += copied;
    require(packet.tail_bytes == 0 || packet.tail == answer_.data() + received_, "a wrong tail");
    received_ += packet.tail_bytes;
  }

  void acknowledge(std::uint32_t client) {
    if (client != 0 || ack_frame_.empty()) {
      tcp::Segment ack = way(client);
      ack.flags = tcp::kAck;
      ack_frame_ = tcp::to_frame(ack);
    }
    Packet packet = buffers_.take();
    std::memcpy(packet.data, ack_frame_.data(), ack_frame_.size());
    std::byte* header = packet.data + kL2Bytes + kL3Bytes;
    store_be(header + 4, clients_[client].seq);
    store_be(header + 8, clients_[client].ack);
    receive(packet, ack_frame_.size());
  }

  void drop_sent() {
    for (const Packet& packet : sink_.to_send()) buffers_.give(packet);
    sink_.sent(static_cast<std::uint32_t>(sink_.to_send().size()));
    refill();
  }

  void refill() {
    while (sink_.spares_wanted() > 0) sink_.put_spare(buffers_.take());
  }

  const BenchOptions options_;
  Buffers buffers_;
  Sink sink_;
  Engine engine_;
  std::vector<Client> clients_;
  std::vector<test::Frame> templates_;
  std::vector<std::uint64_t> bases_;
  std::vector<ConnectionId> id_of_;
  std::vector<std::uint32_t> acks_;
  test::Frame ack_frame_;
  Now now_{1'700'000'000, 1'000'000'000};
  Bytes answer_;
  std::size_t received_ = 0;
  std::uint64_t answers_ = 0;
};

void BM_PingPong(benchmark::State& state) {
  BenchOptions options;
  options.connections = static_cast<std::uint32_t>(state.range(0));
  options.software = state.range(1) != 0;
  options.send_blocks = 2 * options.connections + 1024;
  Bench bench(options);
  std::uint64_t asked = 0;
  const std::uint32_t burst = std::min(kBurst, options.connections);
  for (auto _ : state) {
    for (std::uint32_t first = 0; first + burst <= options.connections; first += burst) {
      bench.ping_pong(first, burst);
      asked += burst;
    }
    bench.turn();
  }
  require(bench.answers() == asked, "answers are missing");
  state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(BM_PingPong)->ArgsProduct({{1, 64, 1024, 16384}, {0, 1}})->ArgNames({"connections", "software"});

void BM_Large(benchmark::State& state) {
  BenchOptions options;
  options.connections = 1;
  const std::int64_t mss = state.range(0);
  options.segmentation = mss > 9000;
  options.mtu = static_cast<std::uint16_t>(options.segmentation ? 1500 : mss + 40);
  Bench bench(options);
  const test::Frame value = tcp::pattern_bytes(0, kLargeBytes, 5);
  std::size_t bytes = 0;
  for (auto _ : state) bytes += bench.large_round(value);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.counters["Gbit/s"] = benchmark::Counter(static_cast<double>(bytes) * 8e-9, benchmark::Counter::kIsRate);
}
BENCHMARK(BM_Large)->Arg(1460)->Arg(8960)->Arg(65'000)->ArgName("mss");

void BM_Idle(benchmark::State& state) {
  BenchOptions options;
  options.connections = static_cast<std::uint32_t>(state.range(0));
  options.acknowledges = true;
  Bench bench(options);
  for (std::uint32_t i = 0; i + kBurst <= options.connections; i += kBurst) bench.ping_pong(i, kBurst);
  const std::uint64_t bytes = bench.engine().memory_bytes();
  require(options.connections < 100'000 || bytes <= std::uint64_t{400} << 20, "more than 400 MiB");
  for (auto _ : state) bench.turn();
  state.counters["MiB"] = static_cast<double>(bytes) / (1 << 20);
  state.counters["bytes/connection"] = static_cast<double>(bytes) / options.connections;
}
BENCHMARK(BM_Idle)->Arg(1000)->Arg(100'000)->ArgName("connections");

}  // namespace

BENCHMARK_MAIN();
