/// What do GETs and SETs cost together, as the share of each, the popularity of the keys, the burst and the working set
/// vary? 32 B keys, 64 B values, staged as a worker does it, every hit's value checked. GETs alone: all items have
/// room, every GET hits. With SETs: the keys' items would fill memory to the last byte, index not counted, so that
/// memory is full and merging all the time, and some GETs miss. Unit: operations a second.
///   mix_bench                                                     a short table: 1 GiB, bursts of 32
///   mix_bench --sizes=1,64,1024,4096,8192 --batches=1,8,16,32,64  the long run; 8192 MiB need 10.5 GiB of memory
/// and the options of Google Benchmark.
#include <benchmark/benchmark.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::ItemSet;
using gannet::bench::kBenchClock;
using gannet::bench::kMiB;
using gannet::bench::Room;
using gannet::bench::UniformNumbers;
using gannet::bench::ZipfNumbers;

constexpr std::uint64_t kOperations = 64 * 256;

/// One working set at a time: the benchmarks run in the order in which they were registered.
ItemSet& items_of(std::uint64_t mib, Room room) {
  static std::unique_ptr<ItemSet> items;
  static std::uint64_t items_mib = 0;
  static Room items_room = Room::kAmple;
  if (items == nullptr || items_mib != mib || items_room != room) {
    items.reset();
    items = std::make_unique<ItemSet>(mib * kMiB, room);
    items_mib = mib;
    items_room = room;
  }
  return *items;
}

template <class Numbers>
void mix(benchmark::State& state, std::uint64_t mib, std::uint32_t get_percent, std::size_t batch, Numbers& numbers,
         ItemSet& items) {
  // Once over, so that memory has the mixture of this benchmark and not of the one before.
  if (get_percent < 100) {
    for (std::uint64_t written = 0; written < items.count(); written += kOperations)
      items.run_mix(numbers, kOperations, batch, 0);
  }
  std::uint64_t hits = 0;
  for (auto _ : state) hits += items.run_mix(numbers, kOperations, batch, get_percent);
  const auto operations = static_cast<double>(state.iterations()) * static_cast<double>(kOperations);
  state.SetItemsProcessed(static_cast<std::int64_t>(operations));
  if (get_percent > 0) state.counters["hit_share"] = static_cast<double>(hits) * 100 / (operations * get_percent);
  if (mib <= 64) MUST_EQ(items.shard().audit(kBenchClock).faults, 0u);
  state.SetLabel(gannet::bench::pages_of(items.arena()));
}

void add(std::uint64_t mib, std::uint32_t get_percent, bool zipf, std::size_t batch) {
  const std::string name = std::string(zipf ? "Zipf" : "Uniform") + "/get:" + std::to_string(get_percent) +
                           "/MiB:" + std::to_string(mib) + "/batch:" + std::to_string(batch);
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    ItemSet& items = items_of(mib, get_percent == 100 ? Room::kAmple : Room::kFull);
    if (zipf) {
      ZipfNumbers numbers(items.count(), 0.99);
      mix(state, mib, get_percent, batch, numbers, items);
    } else {
      UniformNumbers numbers(items.count());
      mix(state, mib, get_percent, batch, numbers, items);
    }
  })->UseRealTime();
}

/// Takes `--name=1,2,3` out of the arguments. False: it is there and not a list of numbers from 1 to `most`.
bool list_of(int& argc, char** argv, std::string_view name, std::uint64_t most, std::vector<std::uint64_t>& out) {
  for (int i = 1; i < argc; ++i) {
    std::string_view text = argv[i];
    if (!text.starts_with(name)) continue;
    text.remove_prefix(name.size());
    out.clear();
    while (!text.empty()) {
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc{} || number == 0 || number > most) return false;
      out.push_back(number);
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      if (text.starts_with(',')) text.remove_prefix(1);
    }
    std::memmove(argv + i, argv + i + 1, static_cast<std::size_t>(argc - i) * sizeof(*argv));
    --argc;
    return !out.empty();
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint64_t> sizes{1024}, batches{32};
  if (!list_of(argc, argv, "--sizes=", 1 << 20, sizes) ||
      !list_of(argc, argv, "--batches=", gannet::bench::kBatchMax, batches)) {
    std::fprintf(stderr, "usage: mix_bench [--sizes=MiB,...] [--batches=1..64,...] [options of Google Benchmark]\n");
    return 2;
  }
  for (const std::uint64_t mib : sizes) {
    for (const std::uint32_t get_percent : {100, 90, 50, 0}) {
      for (const bool zipf : {false, true}) {
        for (const std::uint64_t batch : batches) add(mib, get_percent, zipf, batch);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
