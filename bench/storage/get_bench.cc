/// Does staging the burst hide the misses of a GET? hash -> prefetch bucket -> prefetch item -> find, over items of 32
/// B keys and 64 B values. Batch 1 overlaps nothing; 1 MiB of items lies in L2, 4096 MiB in DRAM. Unit: GETs a second,
/// every answer checked.
#include <benchmark/benchmark.h>

#include <memory>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::ItemSet;
using gannet::bench::kMiB;
using gannet::bench::UniformNumbers;
using gannet::bench::ZipfNumbers;

constexpr std::uint64_t kOperations = 64 * 256;

ItemSet& items_of(std::int64_t mib) {
  static std::unique_ptr<ItemSet> items;
  static std::int64_t items_mib = 0;
  if (items_mib != mib) {
    items.reset();
    items = std::make_unique<ItemSet>(static_cast<std::uint64_t>(mib) * kMiB);
    items_mib = mib;
  }
  return *items;
}

template <class Numbers>
void get(benchmark::State& state, ItemSet& items, Numbers& numbers) {
  for (auto _ : state) items.run(numbers, kOperations, static_cast<std::size_t>(state.range(0)));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kOperations));
  state.SetLabel(gannet::bench::pages_of(items.arena()));
}

void BM_GetUniform(benchmark::State& state) {
  ItemSet& items = items_of(state.range(1));
  UniformNumbers numbers(items.count());
  get(state, items, numbers);
}

void BM_GetZipf(benchmark::State& state) {
  ItemSet& items = items_of(state.range(1));
  ZipfNumbers numbers(items.count(), 0.99);
  get(state, items, numbers);
}

void each_size(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t mib : {1, 64, 1024, 4096}) {
    for (const std::int64_t batch : {1, 8, 16, 32, 64}) bench->Args({batch, mib});
  }
  bench->ArgNames({"batch", "MiB"})->UseRealTime();
}
BENCHMARK(BM_GetUniform)->Apply(each_size);
BENCHMARK(BM_GetZipf)->Apply(each_size);

}  // namespace

BENCHMARK_MAIN();
