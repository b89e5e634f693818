#include "nicpipe/source_limiter.h"

#include <catch2/catch.hpp>
#include <random>

namespace {

using gannet::MonotonicNs;
using gannet::nicpipe::SourceLimiter;

constexpr MonotonicNs kSecond = 1'000'000'000;

/// How many of `tries` evenly over a second from `start` are heard.
[[nodiscard]] std::uint32_t heard(SourceLimiter& limiter, std::uint64_t source, MonotonicNs start,
                                  std::uint32_t tries) {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < tries; ++i) count += limiter.take(source, start + kSecond / tries * i) ? 1 : 0;
  return count;
}

TEST_CASE("a source is heard as often as the rate says, with a burst of a tenth of a second", "[nicpipe][limiter]") {
  const std::uint32_t per_s = GENERATE(1u, 100u, 1'000u, 250'000u);
  SourceLimiter limiter;
  limiter.set(per_s);
  REQUIRE(limiter.limits());
  const std::uint32_t burst = std::max(per_s / 10, SourceLimiter::kBurstMin);
  std::uint32_t at_once = 0;
  while (limiter.take(7, kSecond)) ++at_once;
  REQUIRE(at_once == burst);
  // In the long run the rate; what is allowed at once only once.
  const std::uint32_t later = heard(limiter, 7, kSecond, 1'000'000);
  REQUIRE(later >= per_s - 1);
  REQUIRE(later <= per_s + 1);
  // Long silence gives the burst back, not more.
  std::uint32_t again = 0;
  while (limiter.take(7, 1000 * kSecond)) ++again;
  REQUIRE(again == burst);
}

TEST_CASE("one source's flood costs another nothing", "[nicpipe][limiter]") {
  SourceLimiter limiter;
  limiter.set(1000);
  MonotonicNs now = kSecond;
  std::uint32_t flood = 0, calm = 0;
  for (int i = 0; i < 100'000; ++i, now += 10'000) {  // One second, 100,000 a second against 500.
    flood += limiter.take(1, now) ? 1 : 0;
    if (i % 200 == 0) calm += limiter.take(2, now) ? 1 : 0;
  }
  REQUIRE(calm == 500);
  REQUIRE(flood >= 1000);
  REQUIRE(flood <= 1102);
}

TEST_CASE("more sources than places: those that keep the rate are all heard", "[nicpipe][limiter]") {
  SourceLimiter limiter;
  limiter.set(100);
  std::mt19937_64 random(11);
  MonotonicNs now = kSecond;
  for (int i = 0; i < 100'000; ++i, now += 10'000)
    REQUIRE(limiter.take(0x0a00'0000 + random() % (4 * SourceLimiter::kSources), now));
}

TEST_CASE("a thousand flooding sources are each held to the rate", "[nicpipe][limiter]") {
  SourceLimiter limiter;
  limiter.set(50);
  std::uint32_t heard_all = 0;
  for (std::uint32_t round = 0; round < 100; ++round) {  // Each source 100 times in a second.
    for (std::uint32_t source = 0; source < 1000; ++source)
      heard_all += limiter.take(0x0a4d'0000 + source, kSecond + round * 10'000'000) ? 1 : 0;
  }
  REQUIRE(heard_all <= 1000 * (50 + SourceLimiter::kBurstMin));
  REQUIRE(heard_all >= 1000 * 50);
}

TEST_CASE("a rate changed or taken away counts at once", "[nicpipe][limiter]") {
  SourceLimiter limiter;
  REQUIRE(!limiter.limits());
  limiter.set(10);
  while (limiter.take(5, kSecond)) {
  }
  limiter.set(10);
  REQUIRE(!limiter.take(5, kSecond));
  limiter.set(SourceLimiter::kPerSecondMax);
  REQUIRE(limiter.take(5, kSecond));
  limiter.set(0);
  REQUIRE(!limiter.limits());
}

}  // namespace
