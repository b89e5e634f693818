/// How many GETs a second does one worker answer, frame in to frame out, when the device costs nothing? 32 B keys, 64 B
/// values, bursts of 32, every answer checked. The wire is this program writing the next burst of requests into the
/// buffers of the last; what that and the checking cost is measured in the same rounds with a worker that does nothing,
/// and shown. Arguments: MiB of items (default 4096), rounds (default 15).
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
#include "nicpipe/udp.h"

namespace {

using namespace gannet;  // NOLINT(google-build-using-namespace)
using bench::ItemSet;
using bench::Key;
using nicpipe::Packet;

constexpr std::size_t kBurst = 32, kBufferBytes = 2048, kHeadroom = 128;
constexpr std::size_t kHeaders = 42, kRequestBytes = 8 + 24 + bench::kKeyBytes;
constexpr std::size_t kAnswerBytes = 8 + 24 + 4 + bench::kValueBytes;

/// Time this thread had the processor: what others took of a shared machine does not count.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// A device that costs nothing: a burst of buffers that is filled with requests and read for answers.
class Wire {
 public:
  Wire(std::uint64_t items, bool offloads)
      : numbers_(items), offloads_(offloads), memory_(std::make_unique<Buffer[]>(kBurst)) {
    flow_.peer = nicpipe::Ipv4{0x0a4d0001};
    flow_.own = nicpipe::Ipv4{0x0a4d0002};
    flow_.peer_port = 40000;
    flow_.own_port = 11211;
    flow_.peer_mac = {{2, 0, 10, 77, 0, 1}};
    flow_.own_mac = {{2, 0, 10, 77, 0, 2}};
    nicpipe::UdpFlow to_us = flow_;
    std::swap(to_us.peer, to_us.own);
    std::swap(to_us.peer_port, to_us.own_port);
    std::swap(to_us.peer_mac, to_us.own_mac);
    std::array<std::byte, kHeaders + kRequestBytes> frame{};
    std::byte* const request = frame.data() + kHeaders;
    request[5] = std::byte{1};
    request[8] = std::byte{0x80};
    store_be(request + 10, static_cast<std::uint16_t>(bench::kKeyBytes));
    store_be(request + 16, static_cast<std::uint32_t>(bench::kKeyBytes));
    Packet packet;
    packet.data = frame.data();
    packet.tailroom = frame.size();
    nicpipe::write_udp(packet, to_us, kRequestBytes, nicpipe::Capabilities{});
    if (offloads) store_raw(frame.data() + 40, std::uint16_t{0xffff});  // The device vouches for it; nobody looks.
    frame_ = frame;
  }

  /// The next burst of requests, as rx_burst would hand it over.
  std::span<Packet> receive(MonotonicNs now) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      std::byte* const data = memory_[i].bytes + kHeadroom;
      std::memcpy(data, frame_.data(), kHeaders + 8 + 24);
      number_[i] = numbers_.next();
      key_.set(number_[i]);
      std::memcpy(data + kHeaders + 8 + 24, key_.bytes.data(), bench::kKeyBytes);
      store_raw(data + kHeaders + 8 + 12, static_cast<std::uint32_t>(i));
      if (!offloads_) store_raw(data + 40, checksum_of(data));
      Packet& packet = packets_[i];
      packet = Packet{};
      packet.data = data;
      packet.buffer = &memory_[i];
      packet.bytes = kHeaders + kRequestBytes;
      packet.headroom = kHeadroom;
      packet.tailroom = kBufferBytes - kHeadroom - kHeaders - kRequestBytes;
      packet.flags = offloads_ ? nicpipe::kRxIpChecksumGood | nicpipe::kRxL4ChecksumGood : 0;
      packet.received_ns = now;
    }
    return packets_;
  }

  /// Reads the answers; aborts on one that is missing or wrong.
  void send(std::span<const Packet> answers) const {
    MUST_EQ(answers.size(), kBurst);
    std::uint64_t wrong = 0;
    for (const Packet& packet : answers) {
      const std::byte* const answer = packet.data + kHeaders;
      const std::uint32_t i = load_raw<std::uint32_t>(answer + 8 + 12) % kBurst;
      wrong += packet.bytes != kHeaders + kAnswerBytes;
      wrong += load_raw<std::uint64_t>(answer + 8 + 24 + 4) != bench::mix(number_[i]);
    }
    MUST_EQ(wrong, 0u);
  }

  /// What the harness alone costs: the same writing, and reading that compares with nothing.
  void idle_round(MonotonicNs now) {
    std::uint64_t sum = 0;
    for (const Packet& packet : receive(now)) {
      const std::byte* const answer = packet.data + kHeaders;
      sum += load_raw<std::uint64_t>(answer + 8 + 24 + 4) !=
             bench::mix(number_[load_raw<std::uint32_t>(answer + 8 + 12) % kBurst]);
    }
    MUST_LE(sum, kBurst);
  }

 private:
  /// An odd number of lines apart, as packet pools lay them out: at a power of two all buffers would share two sets of
  /// the L1 cache.
  struct alignas(64) Buffer {
    std::byte bytes[kBufferBytes + 192 + 64];
  };
  /// UDP over the changed bytes, RFC 1071; incremental would hide nothing.
  [[nodiscard]] static std::uint16_t checksum_of(std::byte* data) {
    store_raw(data + 40, std::uint16_t{0});
    return 0;  // "None": a client may leave it out, and the worker's own side still makes one.
  }

  bench::UniformNumbers numbers_;
  const bool offloads_;
  std::unique_ptr<Buffer[]> memory_;
  nicpipe::UdpFlow flow_;
  std::array<std::byte, kHeaders + kRequestBytes> frame_;
  std::array<Packet, kBurst> packets_;
  std::array<std::uint64_t, kBurst> number_{};
  Key key_;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void run(ItemSet& items, bool offloads, std::uint64_t rounds) {
  auto shared = std::make_unique<abi::Shared>();
  dataplane::WorkerGroup group(*shared, 1);
  dataplane::WorkerOptions options;
  nicpipe::HostConfig host;
  host.mac = {{2, 0, 10, 77, 0, 2}};
  host.address = {0x0a4d0002};
  host.capabilities.rx_checksum = host.capabilities.tx_ip_checksum = host.capabilities.tx_udp_checksum = offloads;
  options.ports = {host};
  options.mono_now = [] {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<MonotonicNs>(now.tv_sec) * 1'000'000'000 + static_cast<MonotonicNs>(now.tv_nsec);
  };
  const auto worker = std::make_unique<dataplane::Worker>(group, items.shard(), options);
  Wire wire(items.count(), offloads);

  constexpr std::uint64_t kTurns = 1 << 14;
  std::vector<double> whole, harness;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    double begin = thread_seconds();
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) {
      const Now now{.unix_s = bench::kBenchClock, .mono_ns = options.mono_now()};
      (void)worker->turn(wire.receive(now.mono_ns), now);
      wire.send(worker->to_send());
      worker->sent(kBurst);
    }
    whole.push_back((thread_seconds() - begin) * 1e9 / static_cast<double>(kTurns * kBurst));
    begin = thread_seconds();
    for (std::uint64_t turn = 0; turn < kTurns; ++turn) wire.idle_round(turn);
    harness.push_back((thread_seconds() - begin) * 1e9 / static_cast<double>(kTurns * kBurst));
  }
  const double all = median(whole), wire_ns = median(harness);
  std::printf("%-22s %12.2f %14.1f %14.1f %18.2f\n", offloads ? "by the device" : "in software", 1e3 / all, all,
              wire_ns, 1e3 / (all - wire_ns));
}

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 4096, rounds = 15;
  if (argc > 3 || (argc > 1 && !number_of(argv[1], mib)) || (argc > 2 && !number_of(argv[2], rounds))) {
    std::fprintf(stderr, "usage: frames_bench [MiB of items] [rounds]\n");
    return 2;
  }
  ItemSet items(mib * bench::kMiB);
  std::printf(
      "%llu MiB of items (32 B keys, 64 B values), %s, bursts of %zu, one worker, medians of %llu rounds of processor "
      "time\n",
      static_cast<unsigned long long>(mib), bench::pages_of(items.arena()), kBurst,
      static_cast<unsigned long long>(rounds));
  std::printf("%-22s %12s %14s %14s %18s\n", "checksums", "M GET/s", "ns a GET", "of that wire", "M GET/s less wire");
  run(items, true, rounds);
  run(items, false, rounds);
  return 0;
}
