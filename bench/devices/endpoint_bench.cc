// What does a Packet cost on top of an mbuf? The same 32 frames go round an in-process ring: once through
// dpdk::Endpoint (describe, prepare, count), once by DPDK's own calls. The difference is this room's price; items are
// frames.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"

namespace gannet::nicpipe::dpdk {
namespace {

constexpr std::uint32_t kBurst = 32;

void must(const Outcome& outcome) {
  if (outcome.ok()) return;
  std::fprintf(stderr, "%s\n", outcome.error.c_str());
  std::exit(2);
}

/// One EAL and a pair of ring ports for the program's life.
struct Bench {
  Bench() {
    EalOptions environment;
    environment.hugepages = false;
    environment.memory_mib = 128;
    must(Eal::start(environment, eal));
    PortOptions options{
        .kind = DeviceKind::kRing, .device = "b", .rx_slots = 256, .tx_slots = 256, .buffers_held = 512};
    must(Port::open(*eal, options, near));
    options.device = "b:peer";
    must(Port::open(*eal, options, far));
  }
  std::unique_ptr<Eal> eal;
  std::unique_ptr<Port> near, far;
};

Bench& bench() {
  static Bench shared;
  return shared;
}

void BM_RingByEndpoint(benchmark::State& state) {
  Endpoint &near = bench().near->endpoint(0), &far = bench().far->endpoint(0);
  std::array<Packet, kBurst> packets;
  if (near.alloc(packets) != kBurst) std::abort();
  for (Packet& packet : packets) packet.bytes = 100;
  for (auto _ : state) {
    if (near.tx_burst(packets) != kBurst || far.rx_burst(packets, 1) != kBurst) std::abort();
    benchmark::DoNotOptimize(packets);
  }
  near.free(packets);
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(BM_RingByEndpoint)->UseRealTime();

void BM_RingByDpdk(benchmark::State& state) {
  Endpoint& near = bench().near->endpoint(0);
  std::uint16_t out = 0, in = 0;
  if (rte_eth_dev_get_port_by_name("net_ring_b", &out) != 0 ||
      rte_eth_dev_get_port_by_name("net_ring_b:peer", &in) != 0)
    std::abort();
  std::array<Packet, kBurst> packets;
  if (near.alloc(packets) != kBurst) std::abort();
  std::array<rte_mbuf*, kBurst> mbufs;
  for (std::uint32_t i = 0; i < kBurst; ++i) mbufs[i] = static_cast<rte_mbuf*>(packets[i].buffer);
  for (auto _ : state) {
    if (rte_eth_tx_burst(out, 0, mbufs.data(), kBurst) != kBurst) std::abort();
    if (rte_eth_rx_burst(in, 0, mbufs.data(), kBurst) != kBurst) std::abort();
    benchmark::DoNotOptimize(mbufs);
  }
  near.free(packets);
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(BM_RingByDpdk)->UseRealTime();

}  // namespace
}  // namespace gannet::nicpipe::dpdk

BENCHMARK_MAIN();
