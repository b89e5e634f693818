// Initial sequence numbers (RFC 6528): a clock for one tuple, a secret between tuples.
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "tests/tcp/rig.h"

using namespace gannet;
using namespace gannet::test::tcp;

namespace {

/// The numbers that SYNs of ports 2000, 2001 ... are answered with.
std::vector<std::uint32_t> numbers_of(std::uint64_t secret, MonotonicNs at, std::uint32_t count) {
  RigOptions options;
  options.config.isn_key = {secret, secret * 3};
  options.buffers = 512;
  options.spares = 128;
  Rig rig(options);
  rig.advance(rig.now().mono_ns + at);
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t i = 0; i < count; ++i) {
    Segment syn;
    syn.from = {address(kPeer), static_cast<std::uint16_t>(2000 + i)};
    syn.to = {address(kUs), kPort};
    syn.flags = kSyn;
    syn.window = 65535;
    rig.sent().clear();
    rig.receive(to_frame(syn));
    Segment answer;
    REQUIRE(rig.sent().size() == 1);
    REQUIRE(read(rig.sent().front().frame, answer) == "");
    numbers.push_back(answer.seq);
  }
  return numbers;
}

TEST_CASE("who does not know the secret cannot tell one tuple's first number from another's", "[tcp][isn]") {
  constexpr std::uint32_t kTuples = 128;
  const auto numbers = numbers_of(0x1234'5678'9abc'def1, 0, kTuples);
  std::set<std::uint32_t> tops, steps;
  for (std::uint32_t i = 0; i < kTuples; ++i) {
    tops.insert(numbers[i] >> 24);
    if (i > 0) steps.insert((numbers[i] - numbers[i - 1]) >> 24);
  }
  REQUIRE(tops.size() > 80);  // 101 of 256 on the average.
  REQUIRE(steps.size() > 80);
  const auto others = numbers_of(0x1234'5678'9abc'def2, 0, kTuples);
  std::uint32_t same = 0;
  for (std::uint32_t i = 0; i < kTuples; ++i) same += (numbers[i] ^ others[i]) >> 16 == 0;
  REQUIRE(same <= 1);
}

TEST_CASE("one tuple's first number follows a clock of 4 us, so that a successor's lies behind", "[tcp][isn]") {
  const auto before = numbers_of(7, 0, 8), after = numbers_of(7, 1'000'000'000, 8);
  for (std::size_t i = 0; i < before.size(); ++i) REQUIRE(after[i] - before[i] == 250'000);
}

}  // namespace
