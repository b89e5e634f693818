#include "storage/hash.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

namespace {

using gannet::Bytes;
using gannet::storage::HashKey;
using gannet::storage::keyed_hash;

constexpr std::uint32_t kSeed = 20261122;

using Block = std::array<std::uint8_t, 16>;

std::uint8_t times_two(std::uint8_t x) {
  return static_cast<std::uint8_t>((x << 1) ^ ((x >> 7) * 0x1b));
}

std::uint8_t times(std::uint8_t x, std::uint8_t y) {
  std::uint8_t product = 0;
  for (; y != 0; y >>= 1, x = times_two(x)) {
    if ((y & 1) != 0) product ^= x;
  }
  return product;
}

/// The S-box from its definition (FIPS 197 section 5.1.1): inverse in GF(2^8), then the affine map.
std::uint8_t sub_byte(std::uint8_t x) {
  std::uint8_t inverse = 0;
  for (unsigned y = 1; y < 256; ++y) {
    if (times(x, static_cast<std::uint8_t>(y)) == 1) inverse = static_cast<std::uint8_t>(y);
  }
  return static_cast<std::uint8_t>(inverse ^ std::rotl(inverse, 1) ^ std::rotl(inverse, 2) ^ std::rotl(inverse, 3) ^
                                   std::rotl(inverse, 4) ^ 0x63);
}

/// One AES round in plain arithmetic: SubBytes, ShiftRows, MixColumns, AddRoundKey. The oracle for the instruction.
Block aes_round(const Block& state, const Block& round_key) {
  static const auto kBox = [] {
    std::array<std::uint8_t, 256> box{};
    for (unsigned x = 0; x < 256; ++x) box[x] = sub_byte(static_cast<std::uint8_t>(x));
    return box;
  }();
  Block shifted{}, out{};
  for (unsigned column = 0; column < 4; ++column) {
    for (unsigned row = 0; row < 4; ++row) shifted[4 * column + row] = kBox[state[4 * ((column + row) % 4) + row]];
  }
  for (unsigned column = 0; column < 4; ++column) {
    const std::uint8_t* in = &shifted[4 * column];
    for (unsigned row = 0; row < 4; ++row) {
      out[4 * column + row] =
          static_cast<std::uint8_t>(times_two(in[row]) ^ times_two(in[(row + 1) % 4]) ^ in[(row + 1) % 4] ^
                                    in[(row + 2) % 4] ^ in[(row + 3) % 4] ^ round_key[4 * column + row]);
    }
  }
  return out;
}

/// The header's construction, written a second time and without its tricks.
std::uint64_t hash_by_definition(HashKey key, Bytes text) {
  Block secret{}, round_key{};
  std::memcpy(&secret[0], &key.a, 8);
  std::memcpy(&secret[8], &key.b, 8);
  const std::uint64_t low = key.b ^ 0x243f6a8885a308d3, high = key.a ^ 0x13198a2e03707344;
  std::memcpy(&round_key[0], &low, 8);
  std::memcpy(&round_key[8], &high, 8);
  std::vector<Block> blocks;
  const std::size_t n = text.size();
  const auto* raw = reinterpret_cast<const std::uint8_t*>(text.data());
  if (n < 16) {
    Block block{};
    if (n >= 4) {
      const std::size_t half = n >= 8 ? 8 : 4;
      std::copy_n(raw, half, &block[0]);
      std::copy_n(raw + n - half, half, &block[half]);
    } else if (n >= 1) {
      block = {raw[0], raw[n / 2], raw[n - 1]};
    }
    blocks.push_back(block);
  } else {
    for (std::size_t at = 0; at + 16 < n; at += 16) std::copy_n(raw + at, 16, blocks.emplace_back().begin());
    std::copy_n(raw + n - 16, 16, blocks.emplace_back().begin());
  }
  Block state = secret;
  for (const Block& block : blocks) {
    for (unsigned i = 0; i < 16; ++i) state[i] ^= block[i];
    for (int round = 0; round < 4; ++round) state = aes_round(state, round_key);
  }
  for (unsigned i = 0; i < 8; ++i) state[i] ^= static_cast<std::uint8_t>(n >> (8 * i));
  state = aes_round(aes_round(state, secret), round_key);
  std::uint64_t answer = 0;
  std::memcpy(&answer, &state[0], 8);
  return answer;
}

std::vector<std::byte> random_bytes(std::mt19937_64& random, std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST_CASE("the round used as oracle is the round of FIPS 197", "[storage][hash]") {
  // FIPS 197 appendix B, round 1: state at its start, round key 1, state at the start of round 2.
  const Block start{0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b, 0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08};
  const Block round_key{0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1, 0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05};
  const Block next{0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b, 0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49};
  REQUIRE(aes_round(start, round_key) == next);
}

TEST_CASE("the hash is its written construction at every length from 0 to 300", "[storage][hash]") {
  INFO("seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (std::size_t length = 0; length <= 300; ++length) {
    const auto text = random_bytes(random, length);
    const HashKey key{random(), random()};
    INFO("length " << length);
    REQUIRE(keyed_hash(key, text) == hash_by_definition(key, text));
  }
}

TEST_CASE("the hash is frozen: pools on disk carry its key", "[storage][hash]") {
  const HashKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  REQUIRE(keyed_hash(key, gannet::as_bytes("")) == 0x2b21bb49521f0f92);
  REQUIRE(keyed_hash(key, gannet::as_bytes("user:7")) == 0x23a2118f4f658d3a);
  REQUIRE(keyed_hash(key, gannet::as_bytes("0123456789abcdef0123456789abcdef!")) == 0xfeec4f0e9a4829b5);
}

TEST_CASE("no byte outside the key is read", "[storage][hash]") {
  // A page that may not be touched lies right behind, then right before the text: a read too far is a fault in every
  // preset.
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const area = mmap(nullptr, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(area != MAP_FAILED);
  auto* const middle = static_cast<std::byte*>(area) + page;
  REQUIRE(mprotect(middle, page, PROT_READ | PROT_WRITE) == 0);
  std::uint64_t sum = 0;
  for (std::size_t length = 0; length <= 250; ++length) {
    const std::uint64_t at_end = keyed_hash({1, 2}, {middle + page - length, length});
    const std::uint64_t at_start = keyed_hash({1, 2}, {middle, length});
    REQUIRE(at_end == at_start);
    sum += at_end;
  }
  REQUIRE(sum != 0);
  REQUIRE(munmap(area, 3 * page) == 0);
}

TEST_CASE("every bit of the key text and of the secret flips half of the answer", "[storage][hash]") {
  INFO("seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (const std::size_t length : {1, 3, 7, 8, 15, 16, 17, 32, 33, 250}) {
    constexpr int kTrials = 64;
    const std::size_t bits = length * 8;
    double worst = 0;
    for (std::size_t bit = 0; bit < bits + 128; bit += 1 + bits / 64) {
      int flipped = 0;
      for (int trial = 0; trial < kTrials; ++trial) {
        auto text = random_bytes(random, length);
        HashKey key{random(), random()};
        const std::uint64_t before = keyed_hash(key, text);
        if (bit < bits) {
          text[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
        } else {
          (bit - bits < 64 ? key.a : key.b) ^= std::uint64_t{1} << ((bit - bits) % 64);
        }
        flipped += std::popcount(before ^ keyed_hash(key, text));
      }
      worst = std::max(worst, std::abs(flipped / (64.0 * kTrials) - 0.5));
    }
    INFO("length " << length);
    REQUIRE(worst < 0.05);  // 4096 fair coins stray this far (6.4 sigma) once in ten thousand million.
  }
}

TEST_CASE("keys that differ only in length, order or trailing zeros have different hashes", "[storage][hash]") {
  std::unordered_set<std::uint64_t> seen;
  const std::vector<std::byte> zeros(250);
  for (std::size_t length = 0; length <= 250; ++length)
    REQUIRE(seen.insert(keyed_hash({3, 4}, Bytes(zeros).first(length))).second);
  for (int i = 0; i < 100'000; ++i)
    REQUIRE(seen.insert(keyed_hash({3, 4}, gannet::as_bytes("user:" + std::to_string(i)))).second);
}

TEST_CASE("two secrets share nothing: what meets under one does not meet under the other", "[storage][hash]") {
  // Keys chosen to share the low 12 bits under one secret, as a flood would, spread evenly under another.
  std::vector<std::string> flood;
  for (int i = 0; flood.size() < 1000; ++i) {
    std::string key = "flood:" + std::to_string(i);
    if ((keyed_hash({5, 6}, gannet::as_bytes(key)) & 0x3ff) == 0) flood.push_back(std::move(key));
  }
  for (const HashKey other : {HashKey{6, 5}, HashKey{5, 7}, HashKey{0, 0}}) {
    std::array<int, 1024> bucket{};
    for (const auto& key : flood) ++bucket[keyed_hash(other, gannet::as_bytes(key)) & 0x3ff];
    REQUIRE(*std::max_element(bucket.begin(), bucket.end()) <= 10);
  }
}

TEST_CASE("low, middle and high bits each spread numbered keys evenly", "[storage][hash]") {
  constexpr int kKeys = 1 << 17, kBuckets = 1 << 10;
  for (const int shift : {0, 20, 44, 54}) {
    std::vector<int> count(kBuckets);
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "k" + std::to_string(i);
      ++count[(keyed_hash({7, 8}, gannet::as_bytes(key)) >> shift) % kBuckets];
    }
    double chi_squared = 0;
    constexpr double kExpected = double{kKeys} / kBuckets;
    for (const int n : count) chi_squared += (n - kExpected) * (n - kExpected) / kExpected;
    INFO("shift " << shift);
    REQUIRE(chi_squared < kBuckets + 6 * std::sqrt(2.0 * kBuckets));
  }
}

}  // namespace
