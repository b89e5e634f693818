#include "nicpipe/checksum.h"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "tests/support/packets.h"

using namespace gannet;
using namespace gannet::nicpipe;
using gannet::test::naive_checksum;

namespace {

std::uint16_t ours(Bytes bytes) {
  return byte_swap(checksum_of(sum_bytes(bytes)));
}

/// Zero has two spellings in ones' complement; as sums they are the same.
bool same_sum(std::uint16_t a, std::uint16_t b) {
  return a == b || (a % 0xffff == 0 && b % 0xffff == 0);
}

TEST_CASE("the example of RFC 1071 section 3 sums to ddf2", "[nicpipe][checksum]") {
  const std::array<std::uint8_t, 8> bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  REQUIRE(byte_swap(fold(sum_bytes(std::as_bytes(std::span(bytes))))) == 0xddf2);
}

TEST_CASE("the fast sum equals the naive one at every length and alignment", "[nicpipe][checksum]") {
  std::mt19937 random(3);
  std::vector<std::byte> memory(70'000);
  for (std::byte& byte : memory) byte = static_cast<std::byte>(random());
  for (std::size_t bytes = 0; bytes < 300; ++bytes)
    for (std::size_t at = 0; at < 17; ++at) {
      const Bytes part = Bytes(memory).subspan(at, bytes);
      if (ours(part) != naive_checksum(part)) FAIL(bytes << " bytes at " << at);
    }
  for (int i = 0; i < 500; ++i) {
    const std::size_t at = random() % 64, bytes = random() % 65'536;
    const Bytes part = Bytes(memory).subspan(at, bytes);
    if (ours(part) != naive_checksum(part)) FAIL(bytes << " bytes at " << at);
  }
  SUCCEED();
}

TEST_CASE("no carry is lost in bytes of all ones", "[nicpipe][checksum]") {
  const std::vector<std::byte> memory(65'536, std::byte{0xff});
  for (const std::size_t bytes : {1u, 2u, 63u, 64u, 65u, 1500u, 65'535u, 65'536u}) {
    INFO(bytes << " bytes");
    REQUIRE(ours(Bytes(memory).first(bytes)) == naive_checksum(Bytes(memory).first(bytes)));
  }
}

TEST_CASE("folding adds back every carry", "[nicpipe][checksum]") {
  REQUIRE(fold(0) == 0);
  REQUIRE(fold(0x1'ffff) == 1);
  REQUIRE(fold(0xffff'ffff) == 0xffff);
  REQUIRE(fold(0x1'ffff'ffff) == 1);
  REQUIRE(fold(0xffff'ffff'ffff'ffff) == 0xffff);
  std::mt19937_64 random(6);
  for (int i = 0; i < 5000; ++i) {
    const Sum sum = random() >> random() % 64;
    if (!same_sum(fold(sum), static_cast<std::uint16_t>(sum % 0xffff))) FAIL(sum);
  }
}

TEST_CASE("a sum may be made in pieces, also when a piece begins at an odd offset", "[nicpipe][checksum]") {
  std::mt19937 random(4);
  std::vector<std::byte> memory(2000);
  for (std::byte& byte : memory) byte = static_cast<std::byte>(random());
  for (int i = 0; i < 2000; ++i) {
    const std::size_t bytes = random() % memory.size(), cut = bytes == 0 ? 0 : random() % bytes;
    const Bytes all = Bytes(memory).first(bytes);
    const Sum tail = sum_bytes(all.subspan(cut));
    const Sum sum = sum_bytes(all.first(cut)) + (cut % 2 == 0 ? tail : at_odd_offset(tail));
    if (!same_sum(fold(sum), fold(sum_bytes(all)))) FAIL(bytes << " bytes cut at " << cut);
  }
  SUCCEED();
}

TEST_CASE("a checksum updated for one changed word equals one made anew", "[nicpipe][checksum]") {
  std::mt19937 random(5);
  std::vector<std::byte> memory(64);
  for (int i = 0; i < 5000; ++i) {
    for (std::byte& byte : memory) byte = static_cast<std::byte>(random() % 3 == 0 ? 0xff : random());
    const std::uint16_t before_checksum = checksum_of(sum_bytes(memory));
    const std::size_t at = random() % 32 * 2;
    const auto before = load_raw<std::uint16_t>(memory.data() + at);
    const auto after = static_cast<std::uint16_t>(random() % 4 == 0 ? 0 : random());
    store_raw(memory.data() + at, after);
    if (!same_sum(updated_checksum(before_checksum, before, after), checksum_of(sum_bytes(memory)))) FAIL("step " << i);
  }
  SUCCEED();
}

TEST_CASE("the pseudo-header is addresses, protocol and length", "[nicpipe][checksum]") {
  const std::array<std::uint8_t, 12> bytes{10, 77, 0, 1, 10, 77, 0, 2, 0, 17, 0x12, 0x34};
  REQUIRE(fold(sum_pseudo_header({0x0a4d0001}, {0x0a4d0002}, 17, 0x1234)) ==
          fold(sum_bytes(std::as_bytes(std::span(bytes)))));
}

TEST_CASE("UDP never sends a computed zero", "[nicpipe][checksum]") {
  REQUIRE(checksum_of(0xffff) == 0);
  REQUIRE(udp_checksum_of(0xffff) == 0xffff);
  REQUIRE(udp_checksum_of(0xfffe) == 1);
  REQUIRE(is_intact(0xffff));
  REQUIRE_FALSE(is_intact(0xfffe));
}

}  // namespace
