/// How fast does a shard take over what a process that died left behind? 32 B keys, 128 B values. "All": until every
/// item is known again (segments verified, index made anew), in items a second on one core. "First": until it can
/// answer, everything still to be read. "Page in": what the same memory costs that is new, one thread clearing it.
/// A sample of the items is asked for at the end, and the audit must be clean.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "bench/storage/workset.h"

namespace {

using namespace gannet;
using bench::kBenchClock;
using bench::kMiB;

constexpr std::uint32_t kValueBytes = 128;
constexpr std::uint64_t kItemBytes = storage::item_bytes_least(bench::kKeyBytes, kValueBytes);

storage::ShardOptions options(std::uint64_t restore_first) {
  storage::ShardOptions out;
  out.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
  out.now = kBenchClock;
  out.restore_first_bytes = restore_first;
  return out;
}

/// Memory full to four fifths, left behind without a goodbye.
class Left {
 public:
  explicit Left(std::uint64_t bytes) : arena_(bench::open_memory(bytes)), count_(bytes / kItemBytes * 4 / 5) {
    std::string why;
    const std::unique_ptr<storage::Shard> shard = storage::Shard::format(arena_.bytes(), options(0), why);
    MUST(shard != nullptr);
    std::array<std::byte, kValueBytes> value{};
    bench::Key key;
    for (std::uint64_t i = 0; i < count_; ++i) {
      key.set(i);
      storage::SetRequest request;
      request.key = key.view();
      request.value_bytes = kValueBytes;
      store_raw(value.data(), i);
      std::uint64_t cas = 0;
      MUST(shard->set(shard->hash(request.key), request, value, kBenchClock, cas) == storage::StoreStatus::kStored);
      if (i % 32 == 0) shard->tick(kBenchClock, 64 * 1024);
    }
    for (int i = 0; i < 64; ++i) shard->tick(kBenchClock, 1 << 20);
    MUST_EQ(shard->stats().evicted_items, 0u);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::unique_ptr<storage::Shard> attach(std::uint64_t restore_first) const {
    storage::AttachReport report;
    std::unique_ptr<storage::Shard> shard = storage::Shard::attach(arena_.bytes(), options(restore_first), report);
    MUST(shard != nullptr);
    return shard;
  }
  void check(storage::Shard& shard) const {
    while (shard.restoring()) shard.tick(kBenchClock, 1 << 20);
    MUST_EQ(shard.stats().restored_items, count_);
    bench::Key key;
    for (std::uint64_t i = 0; i < count_; i += count_ / 1000 + 1) {
      key.set(i);
      storage::ItemView view;
      MUST(shard.find(shard.hash(key.view()), key.view(), kBenchClock, view) == storage::FindStatus::kHit);
      MUST_EQ(load_raw<std::uint64_t>(view.value.data()), i);
    }
    const auto audit = shard.audit(kBenchClock);
    if (audit.faults != 0) std::fprintf(stderr, "%s\n", audit.first_fault);
    MUST_EQ(audit.faults, 0u);
  }
  [[nodiscard]] const storage::Arena& arena() const { return arena_; }

 private:
  storage::Arena arena_;
  std::uint64_t count_;
};

void attach(benchmark::State& state, std::uint64_t restore_first) {
  const Left left(static_cast<std::uint64_t>(state.range(0)) * kMiB);
  std::unique_ptr<storage::Shard> shard;
  for (auto _ : state) shard = left.attach(restore_first);
  left.check(*shard);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(left.count()));
  state.SetLabel(bench::pages_of(left.arena()));
}

void BM_AttachAll(benchmark::State& state) {
  attach(state, ~std::uint64_t{0});
}
void BM_AttachFirst(benchmark::State& state) {
  attach(state, 0);
}
void BM_PageIn(benchmark::State& state) {
  for (auto _ : state) {
    storage::ArenaOptions wish;
    wish.bytes = static_cast<std::uint64_t>(state.range(0)) * kMiB;
    storage::ArenaResult result = storage::Arena::open(wish);
    if (!result.error.empty()) {
      wish.page_bytes = storage::kSmallPageBytes;
      result = storage::Arena::open(wish);
    }
    MUST(result.error.empty());
    state.SetLabel(bench::pages_of(result.arena));
  }
}

BENCHMARK(BM_AttachAll)->Arg(16)->Arg(256)->Arg(1024)->ArgName("MiB")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_AttachFirst)->Arg(16)->Arg(1024)->ArgName("MiB")->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(BM_PageIn)->Arg(16)->Arg(1024)->ArgName("MiB")->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
