/// Do two shards on two cores do twice the work of one? Each has memory and a thread of its own, bound to its core. By
/// turns one works alone while the other sleeps, and both work side by side, in short slices; slices in which a thread
/// lost its core to somebody else are left out and counted. Medians, million operations a second, bursts of 32; GETs
/// with room for all, SETs with memory full and merging. Arguments: MiB of items a shard (default 512), slices (200).
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/storage/histogram.h"
#include "bench/storage/workset.h"

namespace {

using gannet::bench::cycles;
using gannet::bench::cycles_per_us;
using gannet::bench::ItemSet;
using gannet::bench::kMiB;
using gannet::bench::own_cycles;
using gannet::bench::Room;
using gannet::bench::UniformNumbers;

constexpr std::uint64_t kOperations = 512 * 32;
constexpr std::size_t kBatch = 32;
constexpr std::uint32_t kSlicesPerTurn = 8;

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

/// A shard, its numbers, and what its last slice took.
struct Side {
  Side(std::uint64_t mib, bool sets)
      : items(mib * kMiB, sets ? Room::kFull : Room::kAmple), numbers(items.count()), is_set(sets) {}

  void work() {
    const std::uint64_t own = own_cycles(), begin = cycles();
    if (is_set) {
      items.run_mix(numbers, kOperations, kBatch, 0);
    } else {
      items.run(numbers, kOperations, kBatch);
    }
    const std::uint64_t took = cycles() - begin, had = own_cycles() - own;
    rate = static_cast<double>(kOperations) * cycles_per_us() / static_cast<double>(took);
    whole = static_cast<double>(had) > 0.98 * static_cast<double>(took);
  }

  ItemSet items;
  UniformNumbers numbers;
  bool is_set;
  double rate = 0;     ///< Million operations a second.
  bool whole = false;  ///< The core was its own all the time.
};

/// The cores of this process's own set, the first two.
std::vector<int> two_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> out;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return out;
  for (int cpu = 0; cpu < CPU_SETSIZE && out.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) out.push_back(cpu);
  }
  return out;
}

void bind_to(int cpu) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  MUST_EQ(pthread_setaffinity_np(pthread_self(), sizeof(only), &only), 0);
}

double median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void compare(const char* what, bool sets, std::uint64_t mib, std::uint64_t slices, const std::vector<int>& cores) {
  Side first(mib, sets), second(mib, sets);
  std::atomic<std::uint32_t> asked{0};                      // Turns; the other thread sleeps in between.
  std::atomic<std::uint32_t> there{0}, begun{0}, ended{0};  // Slices: the other is there, go, the other has ended.
  std::atomic<bool> stop{false};
  std::thread other([&] {
    bind_to(cores[1]);
    second.items.shard().bind_owner();
    for (std::uint32_t turn = 1;; ++turn) {
      asked.wait(turn - 1);
      if (stop) return;
      for (std::uint32_t i = 0; i < kSlicesPerTurn; ++i) {
        const std::uint32_t slice = (turn - 1) * kSlicesPerTurn + i + 1;
        there = slice;
        while (begun.load() < slice) __builtin_ia32_pause();
        second.work();
        ended = slice;
      }
    }
  });
  bind_to(cores[0]);
  first.items.shard().bind_owner();
  std::vector<double> alone, together;
  std::uint64_t left_out = 0;
  std::uint32_t turns = 0;
  for (std::uint64_t made = 0; made < slices; made += kSlicesPerTurn) {
    for (std::uint32_t i = 0; i < kSlicesPerTurn; ++i) {
      first.work();
      if (first.whole) alone.push_back(first.rate);
      left_out += !first.whole;
    }
    asked = ++turns;
    asked.notify_one();
    for (std::uint32_t i = 0; i < kSlicesPerTurn; ++i) {
      const std::uint32_t slice = (turns - 1) * kSlicesPerTurn + i + 1;
      while (there.load() < slice) __builtin_ia32_pause();
      begun = slice;
      first.work();
      while (ended.load() < slice) __builtin_ia32_pause();
      if (first.whole && second.whole) together.push_back(first.rate + second.rate);
      left_out += !(first.whole && second.whole);
    }
  }
  stop = true;
  asked = turns + 1;
  asked.notify_one();
  other.join();
  const double one = median(alone), two = median(together);
  std::printf("%-5s %10.2f %11.2f %8.2f %10llu of %llu\n", what, one, two, one > 0 ? two / one : 0,
              static_cast<unsigned long long>(left_out),
              static_cast<unsigned long long>(alone.size() + together.size() + left_out));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 512, slices = 200;
  if (argc > 3 || (argc > 1 && !number_of(argv[1], mib)) || (argc > 2 && !number_of(argv[2], slices))) {
    std::fprintf(stderr, "usage: shards_bench [MiB of items a shard] [slices]\n");
    return 2;
  }
  const std::vector<int> cores = two_cores();
  if (cores.size() < 2) {
    std::printf("SKIPPED: this process may use one core only\n");
    return 0;
  }
  std::printf("%llu MiB of items a shard, million operations a second\n%-5s %10s %11s %8s %10s\n",
              static_cast<unsigned long long>(mib), "", "one shard", "two shards", "factor", "left out");
  compare("GET", false, mib, slices, cores);
  compare("SET", true, mib, slices, cores);
  return 0;
}
