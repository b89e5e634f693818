/// How many GETs a second does one worker answer over TCP when the device costs nothing? 32 B keys, 64 B values, every
/// answer checked. The clients are an engine of our own in the same thread; only the processor time of the worker's
/// turns is counted (two readings of the thread's clock a turn included). Arguments: MiB of items (default 256),
/// thousands of GETs a case (default 2000), then connections and depth of a single case instead of all.
#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/storage/workset.h"
#include "dataplane/core/worker.h"

namespace {

using namespace gannet;  // NOLINT(google-build-using-namespace)
using bench::ItemSet;
using bench::Key;
using nicpipe::Packet;

constexpr std::size_t kBufferBytes = 2048, kHeadroom = 128, kBuffers = 16384;
constexpr std::uint32_t kConnectionsMax = 2048;
constexpr std::size_t kRequestBytes = 24 + bench::kKeyBytes, kAnswerBytes = 24 + 4 + bench::kValueBytes;
constexpr nicpipe::Mac kServerMac{{2, 0, 10, 77, 0, 2}}, kClientMac{{2, 0, 10, 77, 0, 1}};
constexpr nicpipe::Ipv4 kServer{0x0a4d0002}, kClient{0x0a4d0001};

/// The clock of both ends: it stands for what the turns would take, so that counted instructions are the same each
/// time.
constexpr MonotonicNs kTurnNs = 30'000;
MonotonicNs clock_ns = 1'000'000'000;

double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

/// Buffers both ends take from and give back to.
class Pool {
 public:
  Pool() : memory_(std::make_unique<Buffer[]>(kBuffers)) {
    for (std::size_t i = 0; i < kBuffers; ++i) free_.push_back(&memory_[i]);
  }
  Packet take() {
    MUST(!free_.empty());
    Packet packet;
    packet.buffer = free_.back();
    packet.data = static_cast<Buffer*>(packet.buffer)->bytes + kHeadroom;
    packet.headroom = kHeadroom;
    packet.tailroom = kBufferBytes - kHeadroom;
    free_.pop_back();
    return packet;
  }
  void give(std::span<const Packet> packets) {
    for (const Packet& packet : packets) free_.push_back(static_cast<Buffer*>(packet.buffer));
  }

 private:
  struct alignas(64) Buffer {
    std::byte bytes[kBufferBytes + 192 + 64];
  };
  std::unique_ptr<Buffer[]> memory_;
  std::vector<Buffer*> free_;
};

nicpipe::Capabilities offloads() {
  nicpipe::Capabilities can;
  can.rx_checksum = can.tx_ip_checksum = can.tx_udp_checksum = can.tx_tcp_checksum = true;
  return can;
}

struct Line {
  nicpipe::tcp::ConnectionId id;
  std::uint32_t waiting = 0;           ///< Answers due.
  std::vector<std::uint64_t> numbers;  ///< Asked for, in order.
  std::size_t answered = 0;
};

void run(ItemSet& items, std::uint32_t connections, std::uint32_t depth, std::uint64_t gets) {
  Pool pool;
  auto shared = std::make_unique<abi::Shared>();
  dataplane::WorkerGroup group(*shared, 1);
  dataplane::WorkerOptions options;
  nicpipe::HostConfig host;
  host.mac = kServerMac;
  host.address = kServer;
  host.capabilities = offloads();
  options.ports = {host};
  options.tcp = {.port = 11211, .connections_max = kConnectionsMax, .isn_key = {1, 2}, .cookie_key = {3, 4}};
  options.mono_now = [] { return clock_ns; };
  const auto worker = std::make_unique<dataplane::Worker>(group, items.shard(), options);

  nicpipe::tcp::Config config;
  config.interfaces[0].mac = kClientMac;
  config.interfaces[0].address = kClient;
  config.interfaces[0].capabilities = offloads();
  config.connections_max = connections;
  nicpipe::tcp::Engine client(config);
  nicpipe::tcp::Sink sink(4096, 2048, 16384);
  std::vector<Packet> to_server, to_client;
  double server_ns = 0;
  std::uint64_t turns = 0;

  const auto now = [&] { return Now{.unix_s = bench::kBenchClock, .mono_ns = clock_ns}; };
  const auto client_turn = [&] {
    while (sink.spares_wanted() > 0) sink.put_spare(pool.take());
    for (const Packet& packet : to_client) client.receive(packet, now(), sink);
    to_client.clear();
    client.tick(now(), sink);
  };
  const auto client_flush = [&] {
    client.flush(now(), sink);
    to_server.insert(to_server.end(), sink.to_send().begin(), sink.to_send().end());
    sink.sent(static_cast<std::uint32_t>(sink.to_send().size()));
    pool.give(sink.to_free());
    sink.freed();
  };
  const auto server_turn = [&] {
    std::array<Packet, 256> spares;
    const std::uint32_t wanted = std::min<std::uint32_t>(worker->spares_wanted(), spares.size());
    for (std::uint32_t i = 0; i < wanted; ++i) spares[i] = pool.take();
    worker->give_spares(std::span(spares).first(wanted));
    const std::size_t burst = std::min<std::size_t>({64, worker->rx_room(), to_server.size()});
    for (std::size_t i = 0; i < burst; ++i) {
      to_server[i].flags = nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood;
      to_server[i].l2_bytes = to_server[i].l3_bytes = 0;
    }
    clock_ns += kTurnNs;
    const Now at = now();
    const double begin = thread_ns();
    (void)worker->turn(std::span(to_server).first(burst), at);
    server_ns += thread_ns() - begin;
    ++turns;
    to_server.erase(to_server.begin(), to_server.begin() + static_cast<std::ptrdiff_t>(burst));
    for (const Packet& packet : worker->to_send()) {
      to_client.push_back(packet);
      to_client.back().flags = nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood;
      to_client.back().l2_bytes = 14;
      to_client.back().l3_bytes = 20;
    }
    worker->sent(static_cast<std::uint32_t>(worker->to_send().size()));
    pool.give(worker->to_free());
    worker->freed();
  };

  std::vector<Line> lines(connections);
  client_turn();
  for (std::uint32_t i = 0; i < connections; ++i) {
    lines[i].id = client.connect(0, static_cast<std::uint16_t>(20000 + i), kServer, 11211, kServerMac, now(), sink);
    client_flush();
    while (!to_server.empty()) server_turn();
    client_turn();
    client_flush();
  }
  while (!to_server.empty()) server_turn();
  std::array<nicpipe::tcp::Event, 256> events;
  while (client.take_events(events) != 0) {
  }

  bench::UniformNumbers numbers(items.count());
  Key key;
  std::array<std::byte, kRequestBytes> request{};
  request[0] = std::byte{0x80};
  store_be(request.data() + 2, static_cast<std::uint16_t>(bench::kKeyBytes));
  store_be(request.data() + 8, static_cast<std::uint32_t>(bench::kKeyBytes));
  std::uint64_t done = 0, wrong = 0, warm = gets / 10;
  while (done < gets + warm) {
    if (done < warm) server_ns = 0, turns = 0;
    for (Line& line : lines) {
      if (line.waiting != 0) continue;
      line.numbers.clear();
      line.answered = 0;
      for (; line.waiting < depth; ++line.waiting) {
        line.numbers.push_back(numbers.next());
        key.set(line.numbers.back());
        std::memcpy(request.data() + 24, key.bytes.data(), bench::kKeyBytes);
        MUST_EQ(client.write(line.id, request), kRequestBytes);
      }
    }
    client_flush();
    do server_turn();
    while (!to_server.empty());
    client_turn();
    for (Line& line : lines) {
      while (client.readable_bytes(line.id) >= kAnswerBytes) {
        std::array<std::byte, kAnswerBytes> answer;
        for (std::size_t have = 0; have < kAnswerBytes;) {
          const Bytes piece = client.readable(line.id);
          const std::size_t bytes = std::min(piece.size(), kAnswerBytes - have);
          std::memcpy(answer.data() + have, piece.data(), bytes);
          client.consume(line.id, static_cast<std::uint32_t>(bytes), sink);
          have += bytes;
        }
        wrong += load_raw<std::uint64_t>(answer.data() + 28) != bench::mix(line.numbers[line.answered++]);
        --line.waiting;
        ++done;
      }
    }
  }
  MUST_EQ(wrong, 0u);
  const double counted = static_cast<double>(done - warm);
  std::printf("%11u %6u %12.2f %12.1f %16.1f\n", connections, depth, counted / server_ns * 1e3, server_ns / counted,
              counted / static_cast<double>(turns));
  client.end_all(sink);
}

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::array<std::uint64_t, 4> given{256, 2000, 0, 0};  // MiB, thousands, connections, depth.
  bool right = argc <= 5 && argc != 4;
  for (int i = 1; right && i < argc; ++i) right = number_of(argv[i], given[static_cast<std::size_t>(i) - 1]);
  const auto [mib, thousands, connections_asked, depth_asked] = given;
  if (!right || connections_asked > kConnectionsMax) {
    std::fprintf(stderr, "usage: streams_bench [MiB of items] [thousands of GETs] [connections depth]\n");
    return 2;
  }
  ItemSet items(mib * bench::kMiB);
  std::printf(
      "%llu MiB of items (32 B keys, 64 B values), checksums by the device, processor time of the worker's turns\n",
      static_cast<unsigned long long>(mib));
  std::printf("%11s %6s %12s %12s %16s\n", "connections", "depth", "M GET/s", "ns a GET", "GETs a turn");
  if (argc == 5) {
    run(items, static_cast<std::uint32_t>(connections_asked), static_cast<std::uint32_t>(depth_asked),
        thousands * 1000);
    return 0;
  }
  for (const auto& [connections, depth] :
       {std::pair{64u, 1u}, {256u, 1u}, {1024u, 1u}, {64u, 4u}, {64u, 16u}, {16u, 64u}})
    run(items, connections, depth, thousands * 1000);
  return 0;
}
