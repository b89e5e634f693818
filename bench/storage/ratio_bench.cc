/// How much of what memory allows does a GET get? Runs both by turns in one process, in slices short enough that most
/// fall between two switches of the processor, and prints the medians and their ratio: a noisy neighbour hits both
/// sides, and the slices it hits are not the median. Arguments: MiB of items (default 4096), slices (default 1000).
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

#include "bench/storage/workset.h"

namespace {

using gannet::bench::ItemSet;
using gannet::bench::kMiB;
using gannet::bench::MemoryLimit;
using gannet::bench::UniformNumbers;

/// Millions of operations a second.
template <class Work>
double rate(Work& work, UniformNumbers& numbers, std::uint64_t operations, std::size_t batch) {
  const auto begin = std::chrono::steady_clock::now();
  work.run(numbers, operations, batch);
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(operations) / took.count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

bool number_of(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out != 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mib = 4096, slices = 1000;
  if (argc > 3 || (argc > 1 && !number_of(argv[1], mib)) || (argc > 2 && !number_of(argv[2], slices))) {
    std::fprintf(stderr, "usage: ratio_bench [MiB of items] [slices]\n");
    return 2;
  }
  MemoryLimit limit(mib * kMiB);
  ItemSet items(mib * kMiB);
  UniformNumbers lines(limit.count()), keys(items.count());
  std::printf(
      "%llu MiB of items (32 B keys, 64 B values) in %s, memory_limit in %s, medians of %llu slices, million "
      "operations a second\n",
      static_cast<unsigned long long>(mib), gannet::bench::pages_of(items.arena()),
      gannet::bench::pages_of(limit.arena()), static_cast<unsigned long long>(slices));
  std::printf("%6s %14s %12s %7s\n", "batch", "memory_limit", "GET", "ratio");
  for (const std::size_t batch : {1, 8, 16, 32, 64}) {
    constexpr std::uint64_t kOperations = 64 * 64;
    std::vector<double> limit_rates, get_rates, ratios;
    for (std::uint64_t slice = 0; slice < slices; ++slice) {
      limit_rates.push_back(rate(limit, lines, kOperations, batch));
      get_rates.push_back(rate(items, keys, kOperations, batch));
      ratios.push_back(get_rates.back() / limit_rates.back());
    }
    std::printf("%6zu %14.1f %12.1f %6.0f%%\n", batch, median(limit_rates), median(get_rates), 100 * median(ratios));
  }
  return 0;
}
