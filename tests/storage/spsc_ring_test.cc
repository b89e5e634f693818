#include "storage/base/spsc_ring.h"

#include <array>
#include <catch2/catch.hpp>
#include <thread>

namespace {

TEST_CASE("a full ring refuses what does not fit and keeps the order of what does", "[base][ring]") {
  gannet::SpscRing<int> ring(4);
  const std::array<int, 6> values{1, 2, 3, 4, 5, 6};
  REQUIRE(ring.push(values) == 4);
  REQUIRE(ring.push(values) == 0);
  std::array<int, 8> out{};
  REQUIRE(ring.pop(std::span(out).first(3)) == 3);
  REQUIRE(out[0] == 1);
  REQUIRE(out[2] == 3);
  REQUIRE(ring.push(std::span(values).subspan(4)) == 2);
  REQUIRE(ring.pop(out) == 3);
  REQUIRE(out[0] == 4);
  REQUIRE(out[2] == 6);
  REQUIRE(ring.pop(out) == 0);
}

TEST_CASE("two threads pass every value once and in order", "[base][ring]") {
  constexpr std::uint32_t kValues = 200'000;
  gannet::SpscRing<std::uint32_t> ring(64);
  std::thread producer([&] {
    for (std::uint32_t next = 0; next < kValues;) {
      std::array<std::uint32_t, 7> burst{};
      const std::uint32_t count = std::min<std::uint32_t>(7, kValues - next);
      for (std::uint32_t i = 0; i < count; ++i) burst[i] = next + i;
      const std::uint32_t pushed = ring.push(std::span(burst).first(count));
      if (pushed == 0) std::this_thread::yield();
      next += pushed;
    }
  });
  std::uint32_t expected = 0;
  bool in_order = true;
  while (expected < kValues) {
    std::array<std::uint32_t, 5> out{};
    const std::uint32_t count = ring.pop(out);
    if (count == 0) std::this_thread::yield();
    for (std::uint32_t i = 0; i < count; ++i) in_order = in_order && out[i] == expected++;
  }
  producer.join();
  REQUIRE(in_order);
  REQUIRE(ring.size() == 0);
}

}  // namespace
