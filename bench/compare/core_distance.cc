// How far apart two CPUs are: core_distance CPU CPU prints how many nanoseconds a cache line takes to the other one and
// back, the least of several tries. What packets cost between two polling processes hangs on it, and in a virtual
// machine it changes while one watches: the host moves virtual CPUs between real ones.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

constexpr int kTries = 100, kRounds = 2'000;  // Short ones: some of them are not interrupted.

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

struct alignas(128) Line {
  std::atomic<int> round{0};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: core_distance CPU CPU\n");
    return 2;
  }
  static Line there, back;
  std::atomic<bool> pinned{false};
  std::thread other([&] {
    pinned = pin(std::atoi(argv[2]));
    back.round.store(-1, std::memory_order_release);  // It is up.
    for (int next = 1; pinned && next <= kTries * kRounds;) {
      if (there.round.load(std::memory_order_acquire) != next) continue;
      back.round.store(next++, std::memory_order_release);
    }
  });
  while (back.round.load(std::memory_order_acquire) == 0) std::this_thread::yield();
  double least_ns = 1e9;
  const bool both = pinned && pin(std::atoi(argv[1]));
  for (int round = 1; pinned && round <= kTries * kRounds;) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kRounds; ++i, ++round) {
      there.round.store(round, std::memory_order_release);
      while (back.round.load(std::memory_order_acquire) != round) {
      }
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    least_ns = std::min(least_ns, took.count() / kRounds);
  }
  other.join();
  if (!both) {
    std::fprintf(stderr, "core_distance: there are no such two CPUs for this process\n");
    return 1;
  }
  std::printf("%.0f\n", least_ns);
}
