/// What the parts of the dataplane cost, each alone and in cache: reading a request, handing a packet to another
/// worker, and answering a value by copying it or by pointing at it. Unit: items a second. Every result is checked.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/storage/workset.h"
#include "dataplane/core/memcache/binary.h"
#include "dataplane/core/worker.h"
#include "nicpipe/udp.h"

namespace {

using namespace gannet;  // NOLINT(google-build-using-namespace)
using nicpipe::Packet;

constexpr std::size_t kBurst = 32;

std::vector<std::byte> get_request(std::size_t key_bytes) {
  std::vector<std::byte> bytes(24 + key_bytes, std::byte{'k'});
  std::fill_n(bytes.begin(), 24, std::byte{0});
  bytes[0] = std::byte{0x80};
  store_be(bytes.data() + 2, static_cast<std::uint16_t>(key_bytes));
  store_be(bytes.data() + 8, static_cast<std::uint32_t>(key_bytes));
  return bytes;
}

void BM_Parse(benchmark::State& state) {
  const std::vector<std::byte> request = get_request(32);
  std::uint64_t good = 0;
  for (auto _ : state) {
    Bytes bytes(request);
    benchmark::DoNotOptimize(bytes);
    dataplane::memcache::RequestView view;
    good += dataplane::memcache::parse(bytes, view) == dataplane::memcache::ParseStatus::kOk && view.key_bytes == 32;
    benchmark::DoNotOptimize(view);
  }
  MUST_EQ(good, static_cast<std::uint64_t>(state.iterations()));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Parse);

/// One thread, so that what is measured is the ring and not the machine's other core: what a packet costs to put in and
/// to take out.
void BM_HandOver(benchmark::State& state) {
  SpscRing<Packet> ring(dataplane::kHandoverSlots);
  const auto burst = static_cast<std::size_t>(state.range(0));
  std::vector<Packet> in(burst), out(burst);
  for (std::size_t i = 0; i < burst; ++i) in[i].cursor = static_cast<std::uint16_t>(i);
  std::uint64_t wrong = 0;
  for (auto _ : state) {
    wrong += ring.push(in) != burst || ring.pop(out) != burst || out[burst - 1].cursor != burst - 1;
  }
  MUST_EQ(wrong, 0u);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_HandOver)->ArgName("burst")->Arg(1)->Arg(8)->Arg(32);

/// A burst of GETs of one value, answered by a whole worker; the device's part of pointing (a second descriptor) is not
/// in it, the pin and its release are.
void BM_Answer(benchmark::State& state) {
  const auto value_bytes = static_cast<std::size_t>(state.range(0));
  const bool point = state.range(1) != 0;
  storage::Arena arena = bench::open_memory(16 * bench::kMiB);
  std::string why;
  const auto shard = storage::Shard::format(arena.bytes(), {.now = bench::kBenchClock}, why);
  MUST(shard != nullptr);
  const std::vector<std::byte> request = get_request(32);
  const Bytes key = Bytes(request).subspan(24);
  const std::vector<std::byte> value(value_bytes, std::byte{'v'});
  storage::SetRequest set;
  set.key = key;
  set.value_bytes = static_cast<std::uint32_t>(value_bytes);
  std::uint64_t cas = 0;
  MUST_EQ(shard->set(shard->hash(key), set, value, bench::kBenchClock, cas), storage::StoreStatus::kStored);

  const auto shared = std::make_unique<abi::Shared>();
  dataplane::WorkerGroup group(*shared, 1);
  dataplane::WorkerOptions options;
  nicpipe::HostConfig host;
  host.mac = {{2, 0, 10, 77, 0, 2}};
  host.address = {0x0a4d0002};
  host.capabilities = {.rx_checksum = true, .tx_ip_checksum = true, .tx_udp_checksum = true, .multi_segment = point};
  options.ports = {host};
  const auto worker = std::make_unique<dataplane::Worker>(group, *shard, options);

  nicpipe::UdpFlow to_us;
  to_us.peer = host.address;
  to_us.own = nicpipe::Ipv4{0x0a4d0001};
  to_us.peer_port = 11211;
  to_us.own_port = 40000;
  to_us.peer_mac = host.mac;
  to_us.own_mac = {{2, 0, 10, 77, 0, 1}};
  struct alignas(64) Buffer {
    std::byte bytes[2048 + 192];
  };
  const auto buffers = std::make_unique<Buffer[]>(kBurst);
  std::array<std::byte, 42 + 8 + 56> frame{};
  frame[42 + 5] = std::byte{1};
  std::memcpy(frame.data() + 50, request.data(), request.size());
  Packet packet;
  packet.data = frame.data();
  packet.tailroom = frame.size();
  nicpipe::write_udp(packet, to_us, 64, {});
  std::array<Packet, kBurst> burst;
  std::uint64_t wrong = 0;
  Now now{.unix_s = bench::kBenchClock, .mono_ns = 1};
  for (auto _ : state) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      burst[i] = Packet{};
      burst[i].data = buffers[i].bytes + 128;
      std::memcpy(burst[i].data, frame.data(), frame.size());
      burst[i].bytes = frame.size();
      burst[i].headroom = 128;
      burst[i].tailroom = 1800;
      burst[i].flags = nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood;
    }
    now.mono_ns += 1000;
    (void)worker->turn(burst, now);
    for (const Packet& answer : worker->to_send()) {
      wrong += answer.bytes + answer.tail_bytes != 42 + 8 + 24 + 4 + value_bytes;
      if (answer.tail != nullptr) shard->unpin(answer.pin);
    }
    worker->sent(kBurst);
  }
  MUST_EQ(wrong, 0u);
  MUST_EQ(shared->worker[0].counters.answers_zero_copy.load() != 0, point && value_bytes >= dataplane::kPointBytesMin);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
}
BENCHMARK(BM_Answer)->ArgNames({"value", "point"})->ArgsProduct({{64, 512, 1024, 1300}, {0, 1}});

}  // namespace

BENCHMARK_MAIN();
