// A gannetd for the supervisor's tests: maps the shared file, beats, serves nothing. What it shall do stands in the
// file that the environment's FAKE_GANNETD names, read anew at each start, one word and its milliseconds a line:
//   slow MS        serves only after MS
//   hopeless       says why and exits with 2
//   crash MS       aborts after MS of serving
//   leave MS       exits with 0 after MS though nobody asked
//   stick MS       worker 0 stops beating after MS of serving
//   deaf           ignores SIGTERM and stop_requested
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <string>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"

using namespace gannet::abi;

namespace {

volatile std::sig_atomic_t asked = 0;

std::uint64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

std::map<std::string, std::uint64_t> read_orders() {
  std::map<std::string, std::uint64_t> orders;
  const char* path = std::getenv("FAKE_GANNETD");
  std::ifstream file(path == nullptr ? "" : path);
  std::string word;
  while (file >> word) {
    std::uint64_t ms = 0;
    if (word != "hopeless" && word != "deaf") file >> ms;
    orders[word] = ms;
  }
  return orders;
}

void serve_once(Shared& shared, std::uint64_t now, bool stuck) {
  for (std::size_t w = 0; w < shared.start.workers; ++w) {
    WorkerBlock& block = shared.worker[w];
    if (w == 0 && stuck) continue;
    std::uint64_t generation = block.gauges.config_generation.load();
    LiveConfig live;
    if (adopt_config(shared.config, generation, live)) {
      block.gauges.config_generation.store(generation);
      block.gauges.items.store(live.idle_sleep_us_max);  // The test sees which configuration arrived.
    }
    bump(block.counters.requests, 100);
    bump(block.counters.cmd_get, 80);
    bump(block.counters.get_hits, 60);
    bump(block.counters.get_misses, 20);
    bump(block.counters.cmd_set, 20);
    bump(block.counters.drop_udp_checksum);
    bump(block.latency.buckets[0][latency_bucket(2'000)], 99);
    bump(block.latency.buckets[0][latency_bucket(65'536)], 1);
    block.gauges.heartbeat_ns.store(now);
  }
  shared.dataplane.heartbeat_ns.store(now);
}

}  // namespace

int main(int argc, char** argv) {
  // As gannet-control starts it: --shared 3 --memory-fd 4, with --former-fd 5 where the memory changed, and nothing
  // else open.
  const bool moves = argc == 7 && std::string(argv[5]) == "--former-fd";
  if ((argc != 5 && !moves) || std::string(argv[1]) != "--shared" || std::string(argv[3]) != "--memory-fd") return 90;
  if (::fcntl(std::atoi(argv[4]), F_GETFD) < 0 || (moves && ::fcntl(std::atoi(argv[6]), F_GETFD) < 0)) return 91;
  if (::fcntl(moves ? 6 : 5, F_GETFD) >= 0) return 92;
  if (std::getenv("NOTIFY_SOCKET") != nullptr) return 93;
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, std::atoi(argv[2]), 0);
  if (memory == MAP_FAILED) return 94;
  Shared& shared = *static_cast<Shared*>(memory);
  if (shared_fault(&shared.header, sizeof(Shared)) != nullptr) return 95;

  if (moves) set_text(shared.dataplane.story, "former memory was given");
  const rlimit no_core{0, 0};  // It crashes on purpose.
  ::setrlimit(RLIMIT_CORE, &no_core);
  const auto orders = read_orders();
  const auto order_ms = [&orders](const char* word) {
    return orders.contains(word) ? orders.at(word) : ~std::uint64_t{0};
  };
  struct sigaction action {};
  action.sa_handler = [](int) { asked = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  shared.dataplane.pid.store(static_cast<std::uint64_t>(::getpid()));
  shared.dataplane.started_unix_s.store(static_cast<std::uint64_t>(::time(nullptr)));
  shared.dataplane.phase.store(static_cast<std::uint64_t>(Phase::kStarting));
  if (orders.contains("hopeless")) {
    set_text(shared.dataplane.message[0],
             "needs 512 hugepages of 2MiB, 0 are free: run `echo 512 > /proc/sys/vm/nr_hugepages`");
    shared.dataplane.phase.store(static_cast<std::uint64_t>(Phase::kFailed));
    return 2;
  }
  const std::uint64_t born = now_ns();
  const auto age_ms = [&born] { return (now_ns() - born) / 1'000'000; };
  if (orders.contains("slow"))
    while (age_ms() < order_ms("slow") && asked == 0) ::usleep(5'000);
  shared.dataplane.workers.store(shared.start.workers);
  shared.dataplane.ports.store(shared.start.ports);
  set_text(shared.dataplane.port[0].device, "fake0");
  shared.dataplane.port[0].capabilities.store(5);
  set_text(shared.dataplane.message[1], "two workers share CPU 0");
  serve_once(shared, now_ns(), false);
  shared.dataplane.phase.store(static_cast<std::uint64_t>(Phase::kServing), std::memory_order_release);
  const bool deaf = orders.contains("deaf");
  constexpr std::uint64_t kLifeMs = 60'000;  // A test that lost sight of it shall not leave it behind for good.
  while (deaf || (asked == 0 && shared.dataplane.stop_requested.load() == 0)) {
    if (age_ms() >= kLifeMs) return 96;
    if (age_ms() >= order_ms("crash")) std::abort();
    if (age_ms() >= order_ms("leave")) return 0;
    serve_once(shared, now_ns(), age_ms() >= order_ms("stick"));
    ::usleep(10'000);
  }
  shared.dataplane.phase.store(static_cast<std::uint64_t>(Phase::kStopped));
  return 0;
}
