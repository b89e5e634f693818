/// What does this machine's memory allow? Two dependent random cache lines an operation, prefetched in batches: batch 1
/// hides nothing, 1 MiB lies in L2, 4096 MiB in DRAM. Unit: operations (of two lines) a second.
#include <benchmark/benchmark.h>

#include <memory>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::kMiB;
using gannet::bench::MemoryLimit;
using gannet::bench::UniformNumbers;

void BM_MemoryLimit(benchmark::State& state) {
  static std::unique_ptr<MemoryLimit> memory;
  static std::int64_t memory_mib = 0;
  const auto batch = static_cast<std::size_t>(state.range(0));
  if (memory_mib != state.range(1)) {
    memory.reset();
    memory = std::make_unique<MemoryLimit>(static_cast<std::uint64_t>(state.range(1)) * kMiB);
    memory_mib = state.range(1);
  }
  constexpr std::uint64_t kOperations = 64 * 256;
  UniformNumbers numbers(memory->count());
  for (auto _ : state) memory->run(numbers, kOperations, batch);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kOperations));
  state.SetLabel(gannet::bench::pages_of(memory->arena()));
}
BENCHMARK(BM_MemoryLimit)
    ->ArgsProduct({{1, 8, 16, 32, 64}, {1, 64, 1024, 4096}})
    ->ArgNames({"batch", "MiB"})
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
