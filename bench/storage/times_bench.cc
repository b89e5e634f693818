/// How long may one call take? Times every call, eviction and the index's growth included: SETs and ticks with memory
/// full, evicting as a shard does by default; SETs and ticks while the index grows from nothing; GETs. Prints p50 to
/// p99.99 and the longest, and what one call copied and touched at most. Time in which the kernel ran somebody else is
/// taken off. Arguments: MiB of memory (default 1024), thousands of items that the index grows to (default 4000). 100
/// million items of 45 B need 9 GiB of memory.
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "bench/storage/histogram.h"
#include "bench/storage/workset.h"

namespace {

using gannet::bench::CallTimer;
using gannet::bench::ItemSet;
using gannet::bench::kBenchClock;
using gannet::bench::kMiB;
using gannet::bench::mix;
using gannet::bench::Room;
using gannet::bench::UniformNumbers;
using gannet::storage::Shard;

constexpr std::uint64_t kBurst = 32;

/// A CallTimer that also keeps the most that one call copied and touched.
class WorkTimer {
 public:
  explicit WorkTimer(const Shard& shard) : shard_(shard) {}
  template <class Call>
  void operator()(Call&& call) {
    const gannet::storage::Work before = shard_.work();
    timer_(call);
    const gannet::storage::Work after = shard_.work();
    copied_ = std::max(copied_, after.bytes_copied - before.bytes_copied);
    touched_ = std::max(touched_, after.lines_touched - before.lines_touched);
  }
  void print(const char* what) const {
    timer_.print(what);
    std::printf("%-34s at most %llu bytes copied, %llu lines touched in one call\n", "",
                static_cast<unsigned long long>(copied_), static_cast<unsigned long long>(touched_));
  }

 private:
  const Shard& shard_;
  CallTimer timer_;
  std::uint64_t copied_ = 0, touched_ = 0;
};

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

void full(std::uint64_t mib) {
  ItemSet items(mib * kMiB, Room::kFull);
  UniformNumbers numbers(items.count());
  for (std::uint64_t done = 0; done < 2 * items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0);
  WorkTimer sets(items.shard()), ticks(items.shard());
  for (std::uint64_t done = 0; done < 2 * items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0, sets, ticks);
  sets.print("SET, memory full, evicting");
  ticks.print("tick of 64 KiB between them");
  WorkTimer bare(items.shard());
  // The store alone: no tick looks ahead, every byte that eviction moves is moved by a SET.
  for (std::uint64_t done = 0; done < items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0, bare, [](auto&&) {});
  bare.print("SET, the same, and never a tick");
  const auto audit = items.shard().audit(kBenchClock);
  if (audit.faults != 0) std::fprintf(stderr, "%s\n", audit.first_fault);
  MUST_EQ(audit.faults, 0u);
}

/// An item of 45 bytes of key and value, 54 in memory.
struct Small {
  std::array<std::byte, 16> key;
  std::array<std::byte, 29> value;
  explicit Small(std::uint64_t number) {
    gannet::store_raw(key.data(), number);
    gannet::store_raw(key.data() + 8, mix(number));
    value.fill(static_cast<std::byte>(number));
  }
};

void grow(std::uint64_t items) {
  // 54 B an item and 9 B of index, and what open and free segments take.
  const gannet::storage::Arena arena = gannet::bench::open_memory(items * 65 + items / 20 * 65 + 16 * kMiB);
  gannet::storage::ShardOptions options;
  options.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
  options.now = kBenchClock;
  std::string why;
  const auto shard = Shard::format(arena.bytes(), options, why);
  MUST(shard != nullptr);
  WorkTimer sets(*shard), ticks(*shard);
  for (std::uint64_t number = 0; number < items; ++number) {
    const Small item(number);
    gannet::storage::SetRequest request;
    request.key = item.key;
    request.value_bytes = static_cast<std::uint32_t>(item.value.size());
    std::uint64_t cas = 0;
    const gannet::storage::Probe probe = shard->hash(request.key);
    sets([&] {
      MUST_EQ(shard->set(probe, request, item.value, kBenchClock, cas), gannet::storage::StoreStatus::kStored);
    });
    if (number % kBurst == 0) ticks([&] { shard->tick(kBenchClock, 64 * 1024); });
  }
  const auto stats = shard->stats();
  MUST_EQ(stats.items, items);
  sets.print("SET, new, the index growing");
  ticks.print("tick of 64 KiB between them");
  CallTimer gets;
  std::uint64_t wrong = 0;
  for (std::uint64_t turn = 0; turn < std::min<std::uint64_t>(items, 4'000'000); ++turn) {
    const Small item(gannet::bench::spread(mix(turn), items));
    const gannet::storage::Probe probe = shard->hash(item.key);
    gannet::storage::ItemView view;
    gets([&] { wrong += shard->find(probe, item.key, kBenchClock, view) != gannet::storage::FindStatus::kHit; });
    wrong += gannet::as_text(view.value) != gannet::as_text(item.value);
  }
  MUST_EQ(wrong, 0u);
  gets.print("GET, one at a time, not staged");
  std::printf("%llu items, index %.1f B an item, %.1f B of memory an item in use\n",
              static_cast<unsigned long long>(items),
              static_cast<double>(stats.index_bytes) / static_cast<double>(items),
              static_cast<double>(stats.index_bytes + stats.item_bytes) / static_cast<double>(items));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 1024, thousands = 4000;
  if (argc > 3 || (argc > 1 && !number_of(argv[1], mib)) || (argc > 2 && !number_of(argv[2], thousands))) {
    std::fprintf(stderr, "usage: times_bench [MiB of memory] [thousands of items to grow to]\n");
    return 2;
  }
  CallTimer::print_head();
  full(mib);
  grow(thousands * 1000);
  return 0;
}
