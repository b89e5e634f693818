// A UDP echo on a real device: nicpipe's Host on dpdk::Endpoint, nothing else of Gannet. Prints "ready ..." once it
// serves; on SIGTERM one line of figures, and exit 1 when a buffer or a tail did not come back.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <thread>

#include "nicpipe/flow_hash.h"
#include "nicpipe/host.h"
#include "tests/devices/support.h"

namespace gannet::testing {
namespace {

using nicpipe::Packet;
using Ring = SpscRing<Packet>;
constexpr std::uint32_t kBurst = 32;
constexpr std::uint16_t kPort = 11211;

std::atomic<bool> stop{false};

Now now() {
  timespec wall{}, steady{};
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_MONOTONIC, &steady);
  return {static_cast<UnixSeconds>(wall.tv_sec),
          static_cast<MonotonicNs>(steady.tv_sec) * 1'000'000'000u + static_cast<MonotonicNs>(steady.tv_nsec)};
}

nicpipe::HostConfig host_config(const DeviceOptions& options, nicpipe::dpdk::Port& port, std::uint16_t worker) {
  nicpipe::HostConfig config;
  config.mac.bytes = port.mac();
  config.address = options.address;
  config.address6 = options.address6;
  config.capabilities = port.endpoint(worker).capabilities();
  config.mtu = config.capabilities.mtu;
  config.udp_port_first = kPort;
  config.udp_ports = static_cast<std::uint16_t>(1 + port.workers());
  return config;
}

struct Worker {
  Worker(const DeviceOptions& options, nicpipe::dpdk::Port& port, std::uint16_t number)
      : endpoint(port.endpoint(number)), host(host_config(options, port, number)), inbox(4096), tails(options.tails) {
    endpoint.set_release_hook(store.hook());
  }

  void answer(Packet& packet, Now at) {
    nicpipe::UdpView view;
    nicpipe::Drop why{};
    switch (host.receive(packet, at, view, why)) {
      case nicpipe::Verdict::kUdp: {
        ++datagrams;
        const auto payload = static_cast<std::uint16_t>(view.payload.size());
        const auto headers = static_cast<std::uint16_t>(packet.bytes - payload);
        // Some bytes stay in the frame, as a memcache header would; odd, so that the checksum has to cross the joint.
        const bool lent = tails && payload >= 128 && store.lend(packet, static_cast<std::uint16_t>(headers + 33));
        host.write_udp(packet, view.flow, lent ? 33 : payload);
        out.push_back(packet);
        return;
      }
      case nicpipe::Verdict::kArpReply:
      case nicpipe::Verdict::kNdpReply:
      case nicpipe::Verdict::kEchoReply:
      case nicpipe::Verdict::kUnreachable:
        out.push_back(packet);
        return;
      case nicpipe::Verdict::kArpLearned:
      case nicpipe::Verdict::kNdpLearned:
      case nicpipe::Verdict::kTcp:
      case nicpipe::Verdict::kTcpError:
      case nicpipe::Verdict::kDrop:
        endpoint.free({&packet, 1});
        return;
    }
  }

  nicpipe::dpdk::Endpoint& endpoint;
  nicpipe::Host host;
  TailStore store;
  Ring inbox;  ///< From worker 0 alone: with fewer queues than workers only worker 0 spreads.
  bool tails;
  std::vector<Packet> out;
  std::uint64_t frames = 0, datagrams = 0, sent = 0;
};

using Workers = std::vector<std::unique_ptr<Worker>>;

/// One turn; gives whether there was work.
bool turn(Worker& self, Workers& all, const nicpipe::Dispatch* spread) {
  std::array<Packet, kBurst> packets;
  const Now at = now();
  std::uint32_t count = self.endpoint.rx_burst(packets, at.mono_ns);
  self.frames += count;
  for (std::uint32_t i = 0; i < count; ++i) {
    Worker& owner = spread == nullptr ? self : *all[spread->worker_of(packets[i])];
    if (&owner == &self) {
      self.answer(packets[i], at);
    } else if (owner.inbox.push(std::span<const Packet>(&packets[i], 1)) == 0) {
      self.endpoint.free({&packets[i], 1});
    }
  }
  const std::uint32_t passed = self.inbox.pop(packets);
  for (std::uint32_t i = 0; i < passed; ++i) self.answer(packets[i], at);
  const std::uint32_t sent = self.endpoint.tx_burst(self.out);
  self.sent += sent;
  self.out.erase(self.out.begin(), self.out.begin() + sent);
  if (count + passed == 0) self.endpoint.reclaim();
  return count + passed + sent != 0;
}

void run(Worker& self, Workers& all, const nicpipe::Dispatch* spread) {
  const nicpipe::dpdk::WorkerRegistration registration;
  std::uint32_t idle = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    idle = turn(self, all, spread) ? 0 : idle + 1;
    if (idle < 64) continue;
    const timespec nap{0, 50'000};
    nanosleep(&nap, nullptr);
  }
}

int serve(const DeviceOptions& options) {
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigaddset(&end, SIGINT);
  pthread_sigmask(SIG_BLOCK, &end, nullptr);

  std::unique_ptr<nicpipe::dpdk::Eal> eal;
  std::unique_ptr<nicpipe::dpdk::Port> port;
  if (!open(options, eal, port)) return 2;
  for (const std::string& warning : port->warnings()) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  Workers workers;
  for (std::uint16_t k = 0; k < port->workers(); ++k) workers.push_back(std::make_unique<Worker>(options, *port, k));
  const std::array<std::byte, nicpipe::kFlowKeyBytes> key{std::byte{0x6d}, std::byte{0x5a}};
  const nicpipe::Dispatch dispatch{nicpipe::FlowHash(key), port->workers(), kPort};
  std::vector<std::thread> threads;
  for (auto& worker : workers) {
    threads.emplace_back(run, std::ref(*worker), std::ref(workers), port->dispatch_in_software() ? &dispatch : nullptr);
  }
  std::printf("ready %s\n", port->describe().c_str());
  std::fflush(stdout);

  while (!options.open_only) {
    const timespec second{1, 0};
    const int signal = sigtimedwait(&end, nullptr, &second);
    (void)port->link_up();
    if (signal > 0) break;
  }
  stop = true;
  for (auto& thread : threads) thread.join();

  std::uint64_t datagrams = 0, sent = 0, lent = 0, returned = 0, twice = 0, busy = 0;
  nicpipe::dpdk::EndpointCounters sum;
  for (auto& worker : workers) {
    std::array<Packet, kBurst> left;
    while (const std::uint32_t count = worker->inbox.pop(left)) worker->endpoint.free(std::span(left).first(count));
    worker->endpoint.free(worker->out);
  }
  const nicpipe::dpdk::DeviceCounters device = port->counters();
  const std::uint64_t leaked = port->close();
  for (auto& worker : workers) {
    datagrams += worker->datagrams;
    sent += worker->sent;
    lent += worker->store.lent();
    returned += worker->store.returned();
    twice += worker->store.returned_twice();
    busy += worker->datagrams != 0 ? 1 : 0;
    sum.tails_sent += worker->endpoint.counters().tails_sent;
    sum.tails_copied += worker->endpoint.counters().tails_copied;
    sum.tx_forwarded += worker->endpoint.counters().tx_forwarded;
  }
  const bool good = leaked == 0 && lent == returned && twice == 0;
  std::printf(
      "done datagrams=%lu sent=%lu busy_workers=%lu tails_sent=%lu tails_copied=%lu forwarded=%lu dropped=%lu lent=%lu "
      "returned=%lu leaked=%lu\n",
      datagrams, sent, busy, sum.tails_sent, sum.tails_copied, sum.tx_forwarded, device.dropped(), lent, returned,
      leaked);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace gannet::testing

int main(int count, char** words) {
  gannet::testing::DeviceOptions options;
  if (!gannet::testing::parse_options(count, words, options)) return 2;
  return gannet::testing::serve(options);
}
