/// What does a SET cost while memory is full and every new item drives an old one out? 32 B keys, 64 B values, a tick
/// of 64 KiB every 32 SETs as a worker does. "New": keys never seen before. "Overwrite": keys of a set that fills a
/// quarter of the memory, so that what is reclaimed is mostly dead. Unit: SETs a second; the audit must be clean at the
/// end.
#include <benchmark/benchmark.h>

#include <memory>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::ItemSet;
using gannet::bench::kBenchClock;
using gannet::bench::kMiB;
using gannet::bench::UniformNumbers;

constexpr std::uint64_t kOperations = 32 * 512;

/// Numbers that no item had before.
class NewNumbers {
 public:
  [[nodiscard]] std::uint64_t next() noexcept { return --last_; }

 private:
  std::uint64_t last_ = 0;
};

template <class Numbers>
void set(benchmark::State& state, ItemSet& items, Numbers numbers) {
  items.shard().set_eviction(static_cast<gannet::storage::Eviction>(state.range(1)));
  const auto turn = [&] {
    for (std::uint64_t i = 0; i < kOperations; ++i) {
      items.set(numbers.next());
      if (i % 32 == 31) items.shard().tick(kBenchClock, 64 * 1024);
    }
  };
  // What was roomy at first is written full before anything is measured.
  for (std::uint64_t written = 0; written < items.count(); written += kOperations) turn();
  for (auto _ : state) turn();
  const auto stats = items.shard().stats();
  const auto audit = items.shard().audit(kBenchClock);
  if (audit.faults != 0) std::fprintf(stderr, "%s\n", audit.first_fault);
  MUST_EQ(audit.faults, 0u);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kOperations));
  state.counters["evicted"] = static_cast<double>(stats.evicted_items);
  state.counters["live_share"] = static_cast<double>(stats.item_bytes) / static_cast<double>(stats.memory_bytes);
  state.SetLabel(gannet::bench::pages_of(items.arena()));
}

void BM_SetNew(benchmark::State& state) {
  ItemSet items(static_cast<std::uint64_t>(state.range(0)) * kMiB);
  set(state, items, NewNumbers());
}

void BM_SetOverwrite(benchmark::State& state) {
  ItemSet items(static_cast<std::uint64_t>(state.range(0)) * kMiB);
  set(state, items, UniformNumbers(items.count() / 4));
}

BENCHMARK(BM_SetNew)->ArgsProduct({{16, 256, 1024}, {0, 1}})->ArgNames({"MiB", "fifo"})->UseRealTime();
BENCHMARK(BM_SetOverwrite)->ArgsProduct({{16, 256, 1024}, {0, 1}})->ArgNames({"MiB", "fifo"})->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
