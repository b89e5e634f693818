/// How many items does so much memory keep? Fills a shard with items of one size, under keys never seen before, until
/// more went in than fit, and counts what is there: every byte of the memory is charged, index, headers and
/// free segments too. Arguments: MiB (default 1024), then sizes of key and value together (default 45 100 293). One
/// line a size: bytes of key and value, items kept, bytes of memory an item, share of memory that is keys and values.
#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <vector>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::kBenchClock;
using gannet::bench::kMiB;
using gannet::bench::mix;

/// Twenty decimal digits, as in bench/compare/memory.
constexpr std::size_t kDigits = 20, kSizeMax = 4096;
/// An item costs at least its header and a share of the index: so many fit at most, and a quarter more are stored.
constexpr std::size_t kOverheadLeast = 17;

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

std::array<char, kDigits> key_of(std::uint64_t number) {
  std::array<char, kDigits> key;
  for (std::size_t i = kDigits; i-- > 0; number /= 10) key[i] = static_cast<char>('0' + number % 10);
  return key;
}

/// Two words at the value's ends that only this item's value has.
void write_value(std::vector<std::byte>& value, std::uint64_t number) {
  gannet::store_raw(value.data(), mix(number));
  gannet::store_raw(value.data() + value.size() - 8, mix(~number));
}

void fill(std::uint64_t bytes, std::uint64_t size) {
  const gannet::storage::Arena arena = gannet::bench::open_memory(bytes);
  gannet::storage::ShardOptions options;
  options.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
  options.now = kBenchClock;
  std::string why;
  const auto shard = gannet::storage::Shard::format(arena.bytes(), options, why);
  if (shard == nullptr) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
  }
  std::vector<std::byte> value(size - kDigits);
  const std::uint64_t numbers = bytes * 5 / 4 / (size + kOverheadLeast);
  for (std::uint64_t number = 0; number < numbers; ++number) {
    const auto key = key_of(number);
    write_value(value, number);
    gannet::storage::SetRequest request;
    request.key = std::as_bytes(std::span(key));
    request.value_bytes = static_cast<std::uint32_t>(value.size());
    std::uint64_t cas = 0;
    MUST_EQ(shard->set(shard->hash(request.key), request, value, kBenchClock, cas),
            gannet::storage::StoreStatus::kStored);
    if (number % 32 == 0) shard->tick(kBenchClock, 64 * 1024);
  }
  // What is said to be there is there, and right.
  std::uint64_t found = 0;
  for (std::uint64_t number = 0; number < numbers; ++number) {
    const auto key = key_of(number);
    gannet::storage::ItemView view;
    const gannet::Bytes text = std::as_bytes(std::span(key));
    if (shard->find(shard->hash(text), text, kBenchClock, view) != gannet::storage::FindStatus::kHit) continue;
    write_value(value, number);
    MUST(gannet::as_text(view.value) == gannet::as_text(value));
    ++found;
  }
  const auto stats = shard->stats();
  MUST_EQ(stats.items, found);
  std::printf("%6llu %12llu %10.1f %9.3f\n", static_cast<unsigned long long>(size),
              static_cast<unsigned long long>(found),
              static_cast<double>(stats.memory_bytes) / static_cast<double>(found),
              static_cast<double>(found * size) / static_cast<double>(stats.memory_bytes));
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 1024;
  std::vector<std::uint64_t> sizes;
  bool understood = argc < 2 || number_of(argv[1], mib);
  for (int i = 2; i < argc; ++i) {
    std::uint64_t size = 0;
    understood = understood && number_of(argv[i], size) && size >= kDigits + 16 && size <= kSizeMax;
    sizes.push_back(size);
  }
  if (!understood) {
    std::fprintf(stderr, "usage: kept_bench [MiB] [bytes of key and value, 36 to 4096] ...\n");
    return 2;
  }
  if (sizes.empty()) sizes = {45, 100, 293};
  std::printf("%6s %12s %10s %9s\n", "bytes", "items", "per item", "payload");
  for (const std::uint64_t size : sizes) fill(mib * kMiB, size);
  return 0;
}
