// What one frame costs on the way in and on the way out, in cache. Items are frames. Working set: 32 frames of one
// burst, in L1.
//   BM_Checksum        how fast the sum is, by bytes
//   BM_Receive         Host::receive of a UDP frame; software 1: our checksums, 0: the device vouches
//   BM_WriteUdp        write_udp of an answer of that many payload bytes
//   BM_ReceiveAnswer   both, in place, as the appliance does it; the answer is checked once
//                      ... each over IPv4, and over IPv6 with six 1
//   BM_Dispatch        the software rule from frame to worker
#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "nicpipe/checksum.h"
#include "nicpipe/flow_hash.h"
#include "nicpipe/host.h"
#include "tests/support/packets.h"

namespace {

using namespace gannet;
using nicpipe::Host;
using nicpipe::Packet;
using nicpipe::Verdict;

constexpr std::size_t kBurst = 32, kRoom = 2048, kHeadroom = 128;

void require(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "frame_bench: %s\n", what);
  std::abort();
}

nicpipe::HostConfig config(bool software) {
  nicpipe::HostConfig config;
  config.address = test::ipv4("10.77.0.2");
  config.mac = test::mac_of(config.address);
  config.address6 = test::ip("fd77::2");
  config.udp_ports = 3;
  config.capabilities.tx_ip_checksum = config.capabilities.tx_udp_checksum = !software;
  return config;
}

/// A burst of requests of 32 peers, made ready again and again as rx_burst would.
class Burst {
 public:
  Burst(std::size_t payload_bytes, bool software, bool six = false)
      : memory_(kBurst * kRoom), flags_(flags_of(software)) {
    const std::vector<std::byte> payload(payload_bytes, std::byte{0x5a});
    for (std::size_t i = 0; i < kBurst; ++i) {
      const std::string port = std::to_string(4000 + i);
      const test::Frame frame =
          test::udp(six ? "[fd77::1]:" + port : "10.77.0.1:" + port, six ? "[fd77::2]:11211" : "10.77.0.2:11211")
              .to_mac(test::mac_of(test::ipv4("10.77.0.2")))
              .payload(Bytes(payload));
      bytes_ = frame.size();
      std::copy(frame.begin(), frame.end(), memory_.data() + i * kRoom + kHeadroom);
    }
    refill();
  }

  void refill() {
    for (std::size_t i = 0; i < kBurst; ++i) {
      Packet& packet = packets[i];
      packet.data = memory_.data() + i * kRoom + kHeadroom;
      packet.bytes = static_cast<std::uint16_t>(bytes_);
      packet.headroom = kHeadroom;
      packet.tailroom = static_cast<std::uint16_t>(kRoom - kHeadroom - bytes_);
      packet.flags = flags_;
    }
  }

  std::array<Packet, kBurst> packets;

 private:
  static std::uint16_t flags_of(bool software) {
    return software ? std::uint16_t{0}
                    : static_cast<std::uint16_t>(nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood);
  }
  std::vector<std::byte> memory_;
  std::uint16_t flags_;
  std::size_t bytes_ = 0;
};

void BM_Checksum(benchmark::State& state) {
  std::vector<std::byte> memory(static_cast<std::size_t>(state.range(0)), std::byte{0x77});
  require(byte_swap(nicpipe::checksum_of(nicpipe::sum_bytes(memory))) == test::naive_checksum(memory), "checksum");
  for (auto _ : state) {
    benchmark::DoNotOptimize(memory.data());
    benchmark::DoNotOptimize(nicpipe::fold(nicpipe::sum_bytes(memory)));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Checksum)->Arg(20)->Arg(64)->Arg(128)->Arg(512)->Arg(1480)->Arg(8192);

void BM_Receive(benchmark::State& state) {
  const bool software = state.range(1) != 0;
  Host host(config(software));
  Burst burst(static_cast<std::size_t>(state.range(0)), software, state.range(2) != 0);
  nicpipe::Drop why{};
  for (auto _ : state) {
    burst.refill();
    for (Packet& packet : burst.packets)
      require(host.receive(packet, {}, why) == Verdict::kUdp, "a request was refused");
  }
  require(udp_payload(burst.packets[0]).size() == static_cast<std::size_t>(state.range(0)), "payload");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
}
BENCHMARK(BM_Receive)->ArgsProduct({{64, 100, 1400}, {0, 1}, {0, 1}})->ArgNames({"payload", "software", "six"});

void BM_WriteUdp(benchmark::State& state) {
  const bool software = state.range(1) != 0;
  const Host host(config(software));
  Burst burst(static_cast<std::size_t>(state.range(0)), software, state.range(2) != 0);
  burst.packets[0].l2_bytes = 14;
  burst.packets[0].l3_bytes = state.range(2) != 0 ? 40 : 20;
  const nicpipe::UdpFlow flow = udp_flow(burst.packets[0]);
  for (auto _ : state) {
    burst.refill();
    for (Packet& packet : burst.packets) host.write_udp(packet, flow, static_cast<std::uint16_t>(state.range(0)));
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
}
BENCHMARK(BM_WriteUdp)->ArgsProduct({{64, 100, 1400}, {0, 1}, {0, 1}})->ArgNames({"payload", "software", "six"});

void BM_ReceiveAnswer(benchmark::State& state) {
  const bool software = state.range(1) != 0;
  const auto bytes = static_cast<std::uint16_t>(state.range(0));
  Host host(config(software));
  Burst burst(bytes, software, state.range(2) != 0);
  nicpipe::Drop why{};
  // The answer turns the request round; here it is turned round once more, so that the next round finds a request
  // again.
  for (auto _ : state) {
    burst.refill();
    for (Packet& packet : burst.packets) {
      require(host.receive(packet, {}, why) == Verdict::kUdp, "a request was refused");
      nicpipe::UdpFlow back = udp_flow(packet);
      std::swap(back.own, back.peer);
      std::swap(back.own_port, back.peer_port);
      std::swap(back.own_mac, back.peer_mac);
      host.write_udp(packet, back, bytes);
    }
    benchmark::ClobberMemory();
  }
  const Packet& last = burst.packets[0];
  if (software) require(test::fault_of({last.data, last.bytes}).empty(), "an answer is malformed");
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
}
BENCHMARK(BM_ReceiveAnswer)->ArgsProduct({{64, 100, 1400}, {0, 1}, {0, 1}})->ArgNames({"payload", "software", "six"});

void BM_Dispatch(benchmark::State& state) {
  std::array<std::byte, nicpipe::kFlowKeyBytes> key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(0x6d + 31 * i);
  const nicpipe::Dispatch dispatch{nicpipe::FlowHash(key), 4, 11211};
  Burst burst(64, true);
  for (auto _ : state) {
    burst.refill();
    for (Packet& packet : burst.packets) benchmark::DoNotOptimize(dispatch.worker_of(packet));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
}
BENCHMARK(BM_Dispatch);

}  // namespace

BENCHMARK_MAIN();
