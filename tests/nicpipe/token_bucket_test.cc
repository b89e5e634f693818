#include "nicpipe/token_bucket.h"

#include <catch2/catch.hpp>

using gannet::nicpipe::TokenBucket;

namespace {

int taken(TokenBucket& bucket, std::uint64_t now, int tries) {
  int count = 0;
  for (int i = 0; i < tries; ++i) count += bucket.take(now);
  return count;
}

TEST_CASE("a bucket gives its burst at once and its rate ever after", "[nicpipe][rate]") {
  TokenBucket bucket(100, 20);
  constexpr std::uint64_t kStart = 5'000'000'000;
  REQUIRE(taken(bucket, kStart, 1000) == 20);
  REQUIRE(taken(bucket, kStart + 9'999'999, 1000) == 0);
  REQUIRE(taken(bucket, kStart + 10'000'000, 1000) == 1);
  int total = 0;
  for (std::uint64_t ms = 11; ms <= 1010; ++ms) total += taken(bucket, kStart + ms * 1'000'000, 3);
  REQUIRE(total == 100);
}

TEST_CASE("a bucket never saves more than its burst, however long it rests", "[nicpipe][rate]") {
  TokenBucket bucket(1000, 5);
  REQUIRE(taken(bucket, 1, 100) == 5);
  REQUIRE(taken(bucket, ~std::uint64_t{0} - 1, 100) == 5);
}

TEST_CASE("a rate of zero gives nothing", "[nicpipe][rate]") {
  TokenBucket bucket(0, 5);
  REQUIRE(taken(bucket, 1'000'000'000'000, 100) == 0);
}

}  // namespace
