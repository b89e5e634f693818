/// How long may one call take? Times every call, and prints p50 to p99.99 and the longest, eviction and the index's
/// growth included: SETs and ticks with memory full, evicting by merge; SETs and ticks while the index grows from a
/// thousand items; GETs. Arguments: MiB of memory (default 1024), millions of items that the index grows to (default
/// 4). 100 million items of 45 B need 9 GiB of memory. Time in which the kernel ran somebody else is taken off.
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

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

void full(std::uint64_t mib) {
  ItemSet items(mib * kMiB, Room::kFull);
  UniformNumbers numbers(items.count());
  for (std::uint64_t done = 0; done < 2 * items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0);
  CallTimer sets, ticks;
  for (std::uint64_t done = 0; done < 2 * items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0, sets, ticks);
  sets.print("SET, memory full, merging");
  ticks.print("tick of 64 KiB between them");
  CallTimer bare;
  // The store alone: no tick looks ahead, every byte that eviction moves is moved by a SET.
  for (std::uint64_t done = 0; done < items.count(); done += 64 * kBurst)
    items.run_mix(numbers, 64 * kBurst, kBurst, 0, bare, [](auto&&) {});
  bare.print("SET, the same, and never a tick");
  const auto audit = items.shard().audit(kBenchClock);
  if (audit.faults != 0) std::fprintf(stderr, "%s\n", audit.first_fault);
  MUST_EQ(audit.faults, 0u);
}

/// An item of 45 bytes of key and value, 68 in memory.
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
  // 68 B an item and 15 B of index, and what open and free segments take.
  const gannet::storage::Arena arena = gannet::bench::open_memory(items * 85 + items / 20 * 85 + 16 * kMiB);
  gannet::storage::ShardOptions options;
  options.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
  options.now = kBenchClock;
  std::string why;
  const auto shard = Shard::format(arena.bytes(), options, why);
  MUST(shard != nullptr);
  CallTimer sets, ticks;
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
