/// Which keyed hash? Hashes a second over batches of 32 keys that lie in L1, as parsed requests do; independent, so
/// that several are in flight. "Latency" chains them: each key holds the hash before.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>

#include "bench/storage/siphash.h"
#include "storage/base/must.h"
#include "storage/checksum.h"
#include "storage/hash.h"

namespace {

using gannet::Bytes;
using gannet::storage::HashKey;

constexpr HashKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr std::size_t kKeys = 32;

struct Aes {
  static std::uint64_t hash(Bytes text) { return gannet::storage::keyed_hash(kKey, text); }
};
struct Sip13 {
  static std::uint64_t hash(Bytes text) { return gannet::bench::siphash<1, 3>(kKey, text); }
};
struct Sip24 {
  static std::uint64_t hash(Bytes text) { return gannet::bench::siphash<2, 4>(kKey, text); }
};

/// The vector of the paper's appendix: what is measured is SipHash.
void check_siphash() {
  std::array<std::byte, 15> text;
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>(i);
  MUST(Sip24::hash(text) == 0xa129ca6149be45e5);
}

template <class Hash>
void BM_Hash(benchmark::State& state) {
  check_siphash();
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::array<std::array<std::byte, 256>, kKeys> keys{};
  for (std::size_t i = 0; i < kKeys; ++i) keys[i][0] = static_cast<std::byte>(i);
  std::uint64_t sum = 0;
  for (auto _ : state) {
    for (const auto& key : keys) sum += Hash::hash(Bytes(key).first(bytes));
    benchmark::DoNotOptimize(sum);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kKeys));
}

template <class Hash>
void BM_HashLatency(benchmark::State& state) {
  std::array<std::byte, 256> key{};
  for (auto _ : state) {
    const std::uint64_t hash = Hash::hash(Bytes(key).first(static_cast<std::size_t>(state.range(0))));
    std::memcpy(key.data(), &hash, 8);
  }
  benchmark::DoNotOptimize(key);
  state.SetItemsProcessed(state.iterations());
}

void BM_Crc32c(benchmark::State& state) {
  std::array<std::byte, 4096> bytes{};
  std::uint32_t crc = 0;
  for (auto _ : state)
    crc = gannet::storage::crc32c_extend(crc, Bytes(bytes).first(static_cast<std::size_t>(state.range(0))));
  benchmark::DoNotOptimize(crc);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

BENCHMARK(BM_Hash<Aes>)->Arg(8)->Arg(16)->Arg(32)->Arg(64)->Arg(250)->ArgName("bytes");
BENCHMARK(BM_Hash<Sip13>)->Arg(8)->Arg(16)->Arg(32)->Arg(64)->Arg(250)->ArgName("bytes");
BENCHMARK(BM_Hash<Sip24>)->Arg(32)->ArgName("bytes");
BENCHMARK(BM_HashLatency<Aes>)->Arg(16)->Arg(32)->ArgName("bytes");
BENCHMARK(BM_HashLatency<Sip13>)->Arg(16)->Arg(32)->ArgName("bytes");
BENCHMARK(BM_Crc32c)->Arg(32)->Arg(112)->Arg(1024)->Arg(4096)->ArgName("bytes");

}  // namespace

BENCHMARK_MAIN();
