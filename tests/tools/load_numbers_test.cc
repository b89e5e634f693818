// The load generator's numbers: histogram, randomness, Zipf, distributions, keys and values, pacing.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tools/load/distribution.h"
#include "tools/load/histogram.h"
#include "tools/load/keyspace.h"
#include "tools/load/pacer.h"
#include "tools/load/zipf.h"

using namespace gannet;
using namespace gannet::load;

namespace {

Distribution distribution(const std::string& text) {
  Distribution made;
  REQUIRE(Distribution::parse(text, made) == "");
  return made;
}

}  // namespace

TEST_CASE("a bucket holds every value up to its top, and none above", "[load][histogram]") {
  for (std::size_t bucket = 0; bucket + 1 < kHistogramBuckets; ++bucket) {
    REQUIRE(bucket_of(bucket_top(bucket)) == bucket);
    REQUIRE(bucket_of(bucket_top(bucket) + 1) == bucket + 1);
  }
  REQUIRE(bucket_of(~std::uint64_t{0}) == kHistogramBuckets - 1);
}

TEST_CASE("percentiles are at most 1.6 % above the sorted truth, and never below it", "[load][histogram]") {
  const std::uint64_t seed = 11;
  INFO("seed " << seed);
  Random random(seed);
  Histogram histogram;
  std::vector<std::uint64_t> truth;
  for (int i = 0; i < 20'000; ++i) {
    truth.push_back(random.next() >> (24 + random.below(32)));
    histogram.record(truth.back());
  }
  std::sort(truth.begin(), truth.end());
  const Picture picture = histogram.picture();
  REQUIRE(picture.count() == truth.size());
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto place = static_cast<std::size_t>(std::ceil(share * static_cast<double>(truth.size()))) - 1;
    INFO("share " << share);
    REQUIRE(picture.at(share) >= truth[place]);
    REQUIRE(static_cast<double>(picture.at(share)) <= 1.016 * static_cast<double>(truth[place]) + 1);
  }
}

TEST_CASE("an empty histogram says 0", "[load][histogram]") {
  const Picture empty;
  REQUIRE(empty.count() == 0);
  REQUIRE(empty.at(0.5) == 0);
  REQUIRE(empty.mean() == 0);
}

TEST_CASE("pictures subtract to what happened between them, and octaves sum to all", "[load][histogram]") {
  Histogram histogram;
  for (std::uint64_t ns : {10u, 100u, 1000u}) histogram.record(ns);
  const Picture before = histogram.picture();
  REQUIRE(before.at(0.5) >= 100);
  REQUIRE(before.at(0.5) < 110);
  for (std::uint64_t ns : {5000u, 6000u}) histogram.record(ns);
  Picture after = histogram.picture();
  after -= before;
  REQUIRE(after.count() == 2);
  REQUIRE(after.at(0.5) >= 5000);
  REQUIRE(after.between(4096, 8192) == 2);
  REQUIRE(after.between(0, 4096) == 0);
  REQUIRE(after.mean() == Approx(5500).epsilon(0.016));
}

TEST_CASE("Zipf ranks come as often as the law says, for exponents below, at and above 1", "[load][zipf]") {
  constexpr std::uint64_t kCount = 1000;
  constexpr int kDraws = 400'000;
  for (const double exponent : {0.3, 0.99, 1.0, 1.5}) {
    Random random(42);
    const Zipf zipf(kCount, exponent);
    std::vector<int> seen(kCount);
    for (int i = 0; i < kDraws; ++i) {
      const std::uint64_t rank = zipf.draw(random);
      REQUIRE(rank < kCount);
      ++seen[rank];
    }
    double all = 0;
    for (std::uint64_t rank = 0; rank < kCount; ++rank) all += std::pow(static_cast<double>(rank + 1), -exponent);
    // Chi-square over ranks grouped so that each group expects many draws: its mean is the groups - 1, its deviation
    // the root of twice that; 6 deviations never happen by chance.
    double chi = 0, expected = 0, found = 0;
    int groups = 0;
    for (std::uint64_t rank = 0; rank < kCount; ++rank) {
      expected += kDraws * std::pow(static_cast<double>(rank + 1), -exponent) / all;
      found += seen[rank];
      if (expected < 50) continue;
      chi += (found - expected) * (found - expected) / expected;
      expected = found = 0;
      ++groups;
    }
    INFO("exponent " << exponent << ", seed 42, groups " << groups);
    REQUIRE(chi < groups - 1 + 6 * std::sqrt(2.0 * groups));
  }
}

TEST_CASE("Zipf over one key and over 2^32 keys stays in range", "[load][zipf]") {
  Random random(1);
  const Zipf one(1, 0.99), many(std::uint64_t{1} << 32, 0.99);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(one.draw(random) == 0);
    REQUIRE(many.draw(random) < std::uint64_t{1} << 32);
  }
}

TEST_CASE("the same seed makes the same numbers, another seed others", "[load][random]") {
  Random a(7), b(7), c(8);
  int same = 0;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t number = a.next();
    REQUIRE(number == b.next());
    same += number == c.next();
  }
  REQUIRE(same == 0);
}

TEST_CASE("a uniform distribution reaches both its ends and its middle", "[load][distribution]") {
  const Distribution sizes = distribution("uniform:10-13");
  Random random(3);
  std::vector<int> seen(20);
  for (int i = 0; i < 40'000; ++i) ++seen[sizes.of(random.next())];
  for (std::size_t size = 0; size < seen.size(); ++size) {
    INFO("size " << size);
    if (size >= 10 && size <= 13) {
      REQUIRE(std::abs(seen[size] - 10'000) < 600);
    } else {
      REQUIRE(seen[size] == 0);
    }
  }
}

TEST_CASE("a lognormal distribution has its median, its spread and its cut", "[load][distribution]") {
  const Distribution sizes = distribution("lognormal:200,0.5,900");
  Random random(5);
  std::vector<std::uint32_t> drawn;
  for (int i = 0; i < 50'000; ++i) drawn.push_back(sizes.of(random.next()));
  std::sort(drawn.begin(), drawn.end());
  REQUIRE(drawn[25'000] == Approx(200).margin(6));
  REQUIRE(drawn[42'067] == Approx(200 * std::exp(0.5)).epsilon(0.04));  // One deviation up: 84.13 %.
  REQUIRE(drawn[7'933] == Approx(200 * std::exp(-0.5)).epsilon(0.04));
  REQUIRE(drawn.back() <= 900);
  REQUIRE(sizes.max() <= 900);
}

TEST_CASE("text that is no distribution is refused with a sentence that shows one", "[load][distribution]") {
  for (const char* text :
       {"", "x", "-1", "12x", "uniform:", "uniform:5", "uniform:9-3", "uniform:1-", "lognormal:100", "lognormal:0,1",
        "lognormal:100,1,2,3", "lognormal:100,-1", "lognormal:100,9", "lognormal:,1"}) {
    Distribution out;
    INFO("text '" << text << "'");
    REQUIRE(Distribution::parse(text, out).find("for instance uniform:16-1024") != std::string::npos);
  }
}

TEST_CASE("keys are distinct, of the sizes asked for, and the same each time", "[load][keyspace]") {
  Keyspace::Options options;
  options.keys = 40'000;
  options.key_bytes = distribution("uniform:4-60");
  const Keyspace keyspace(options);
  std::set<std::string> keys;
  for (std::uint32_t index = 0; index < options.keys; ++index) {
    std::byte bytes[kKeyBytesMax], again[kKeyBytesMax];
    const std::uint32_t length = keyspace.write_key(index, bytes);
    REQUIRE(keyspace.write_key(index, again) == length);
    REQUIRE(length >= 4);
    REQUIRE(length <= 60);
    const std::string key{as_text({bytes, length})};
    REQUIRE(key == as_text({again, length}));
    keys.insert(key);
  }
  REQUIRE(keys.size() == options.keys);
}

TEST_CASE("the shortest key still tells all keys apart", "[load][keyspace]") {
  REQUIRE(Keyspace::key_bytes_min(1) == 1);
  REQUIRE(Keyspace::key_bytes_min(32) == 1);
  REQUIRE(Keyspace::key_bytes_min(33) == 2);
  REQUIRE(Keyspace::key_bytes_min(std::uint64_t{1} << 32) == 7);
}

TEST_CASE("a value is right for its own key only, and a changed bit or length is seen", "[load][keyspace]") {
  for (const bool varying : {false, true}) {
    Keyspace::Options options;
    options.keys = 1000;
    options.key_bytes = distribution("16");
    options.value_bytes = distribution("uniform:16-300");
    options.varying = varying;
    const Keyspace keyspace(options);
    Random random(9);
    int foreign = 0;
    for (std::uint32_t index = 0; index < 500; ++index) {
      const auto nonce = static_cast<std::uint32_t>(random.next());
      std::vector<std::byte> value(keyspace.value_bytes(index, nonce));
      keyspace.write_value(index, nonce, value.data());
      INFO("index " << index << " nonce " << nonce << " varying " << varying);
      REQUIRE(keyspace.is_right(index, value));
      foreign += keyspace.is_right(index + 500, value);
      value[random.below(value.size())] ^= std::byte{4};
      REQUIRE_FALSE(keyspace.is_right(index, value));
      keyspace.write_value(index, nonce, value.data());
      REQUIRE_FALSE(keyspace.is_right(index, Bytes{value}.first(value.size() - 1)));
      value.push_back(std::byte{0});
      REQUIRE_FALSE(keyspace.is_right(index, value));
    }
    REQUIRE(foreign == 0);
  }
}

TEST_CASE("varying sizes really vary, and tiny values are checked too", "[load][keyspace]") {
  Keyspace::Options options;
  options.keys = 10;
  options.key_bytes = distribution("16");
  options.value_bytes = distribution("uniform:0-20");
  options.varying = true;
  const Keyspace keyspace(options);
  std::set<std::uint32_t> sizes;
  for (std::uint32_t nonce = 0; nonce < 500; ++nonce) {
    std::vector<std::byte> value(keyspace.value_bytes(3, nonce));
    sizes.insert(static_cast<std::uint32_t>(value.size()));
    keyspace.write_value(3, nonce, value.data());
    REQUIRE(keyspace.is_right(3, value));
  }
  REQUIRE(sizes.size() == 21);
}

TEST_CASE("an even pacer is due once a gap, however late it is asked", "[load][pacer]") {
  Pacer pacer(1000, Arrival::kEven, 1, 5'000'000);
  std::uint64_t intended = 0;
  REQUIRE_FALSE(pacer.due(4'999'999, intended));
  REQUIRE(pacer.due(5'000'000, intended));
  REQUIRE(intended == 5'000'000);
  REQUIRE_FALSE(pacer.due(5'500'000, intended));
  REQUIRE(pacer.behind(15'000'000) == 9);
  for (std::uint64_t expected = 6'000'000; expected <= 15'000'000; expected += 1'000'000) {
    REQUIRE(pacer.due(15'000'000, intended));
    REQUIRE(intended == expected);
  }
  REQUIRE_FALSE(pacer.due(15'000'000, intended));
}

TEST_CASE("a Poisson pacer keeps the rate and spreads the gaps", "[load][pacer]") {
  Pacer pacer(1'000'000, Arrival::kPoisson, 1, 0);
  std::uint64_t intended = 0, last = 0;
  int count = 0, long_gaps = 0;
  while (pacer.due(100'000'000, intended)) {
    ++count;
    long_gaps += intended - last > 1000;
    last = intended;
  }
  REQUIRE(std::abs(count - 100'000) < 1600);                      // 5 deviations.
  REQUIRE(std::abs(long_gaps / double(count) - 0.3679) < 0.012);  // e^-1.
}
