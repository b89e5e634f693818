/// What does a SET cost while memory is full and each drives an old item out? 32 B keys, 64 B values, bursts of 32
/// staged as a worker does it, and its tick. "Over": new values over old ones, of keys whose items would fill memory to
/// the last byte, index not counted: most SETs find an old value, and something live has to go all the time.
/// "Quarter": the keys' items fill a quarter, so that what is reclaimed is mostly dead. "New": keys never seen before.
/// Unit: SETs a second; the audit must be clean at the end.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::ItemSet;
using gannet::bench::kBenchClock;
using gannet::bench::kMiB;
using gannet::bench::Room;
using gannet::bench::UniformNumbers;
using gannet::storage::Eviction;
using gannet::storage::eviction_name;

constexpr std::uint64_t kOperations = 64 * 256;

/// Numbers that no item had before.
class NewNumbers {
 public:
  [[nodiscard]] std::uint64_t next() noexcept { return --last_; }

 private:
  std::uint64_t last_ = 0;
};

template <class Numbers>
void set(benchmark::State& state, ItemSet& items, Numbers numbers) {
  const auto eviction = static_cast<Eviction>(state.range(1));
  items.shard().set_eviction(eviction);
  const auto batch = static_cast<std::size_t>(state.range(2));
  // Twice over, so that memory has the mixture of old and new that it will keep.
  for (std::uint64_t written = 0; written < 2 * items.count(); written += kOperations)
    items.run_mix(numbers, kOperations, batch, 0);
  const auto before = items.shard().stats();
  for (auto _ : state) items.run_mix(numbers, kOperations, batch, 0);
  const auto stats = items.shard().stats();
  const auto audit = items.shard().audit(kBenchClock);
  if (audit.faults != 0) std::fprintf(stderr, "%s\n", audit.first_fault);
  MUST_EQ(audit.faults, 0u);
  const auto sets = static_cast<double>(state.iterations()) * static_cast<double>(kOperations);
  state.SetItemsProcessed(static_cast<std::int64_t>(sets));
  state.counters["evicted_per_set"] = static_cast<double>(stats.evicted_items - before.evicted_items) / sets;
  state.counters["moved_per_set"] = static_cast<double>(stats.merged_items_kept - before.merged_items_kept) / sets;
  state.counters["live_share"] = static_cast<double>(stats.item_bytes) / static_cast<double>(stats.memory_bytes);
  state.SetLabel(std::string(eviction_name(eviction)) + ", " + gannet::bench::pages_of(items.arena()));
}

void BM_SetOver(benchmark::State& state) {
  ItemSet items(static_cast<std::uint64_t>(state.range(0)) * kMiB, Room::kFull);
  set(state, items, UniformNumbers(items.count()));
}

void BM_SetQuarter(benchmark::State& state) {
  ItemSet items(static_cast<std::uint64_t>(state.range(0)) * kMiB, Room::kFull);
  set(state, items, UniformNumbers(items.count() / 4));
}

void BM_SetNew(benchmark::State& state) {
  ItemSet items(static_cast<std::uint64_t>(state.range(0)) * kMiB, Room::kFull);
  set(state, items, NewNumbers());
}

void each(benchmark::internal::Benchmark* bench) {
  constexpr auto kMerge = static_cast<std::int64_t>(Eviction::kMerge);
  constexpr auto kFifo = static_cast<std::int64_t>(Eviction::kFifo);
  constexpr auto kGreedy = static_cast<std::int64_t>(Eviction::kGreedy);
  bench->ArgsProduct({{16, 256, 1024}, {kMerge, kFifo, kGreedy}, {32}})
      ->ArgNames({"MiB", "eviction", "batch"})
      ->UseRealTime();
}
BENCHMARK(BM_SetOver)->Apply(each);
BENCHMARK(BM_SetQuarter)->Apply(each);
BENCHMARK(BM_SetNew)->Apply(each);

}  // namespace

BENCHMARK_MAIN();
