#include "storage/checksum.h"

#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace {

using gannet::as_bytes;
using gannet::Bytes;
using gannet::storage::crc32c;
using gannet::storage::crc32c_extend;
using gannet::storage::fold_crc;

/// Bit by bit from the definition; the oracle.
std::uint32_t crc32c_by_definition(Bytes bytes) {
  std::uint32_t reg = 0xffffffff;
  for (const std::byte byte : bytes) {
    reg ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) reg = (reg >> 1) ^ ((reg & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~reg;
}

TEST_CASE("the vectors of RFC 3720 B.4 come out", "[storage][checksum]") {
  std::array<std::byte, 32> zeros{}, ones{}, rising{}, falling{};
  ones.fill(std::byte{0xff});
  for (unsigned i = 0; i < 32; ++i) {
    rising[i] = static_cast<std::byte>(i);
    falling[i] = static_cast<std::byte>(31 - i);
  }
  // The RFC lists the bytes as they go on the wire, lowest first: "aa 36 91 8a" is 0x8a9136aa.
  REQUIRE(crc32c(zeros) == 0x8a9136aa);
  REQUIRE(crc32c(ones) == 0x62a8ab43);
  REQUIRE(crc32c(rising) == 0x46dd794e);
  REQUIRE(crc32c(falling) == 0x113fdb5c);
  const std::array<unsigned char, 48> read_command{0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 0,
                                                   0x14, 0,    0, 0, 0, 0, 4, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                                   0x28, 0,    0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0,    0, 0, 0, 0};
  REQUIRE(crc32c(std::as_bytes(std::span(read_command))) == 0xd9963a56);
  REQUIRE(crc32c(as_bytes("123456789")) == 0xe3069283);
  REQUIRE(crc32c({}) == 0);
}

TEST_CASE("a checksum taken in pieces is the checksum of the whole, at every length and alignment",
          "[storage][checksum]") {
  const std::uint32_t seed = 20261122;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(1200);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t length = 0; length <= 600; ++length) {
    const std::size_t start = random() % 64, cut = length == 0 ? 0 : random() % length;
    const Bytes whole(bytes.data() + start, length);
    const std::uint32_t expected = crc32c_by_definition(whole);
    REQUIRE(crc32c(whole) == expected);
    REQUIRE(crc32c_extend(crc32c(whole.first(cut)), whole.subspan(cut)) == expected);
  }
}

TEST_CASE("the short check changes with every single flipped bit", "[storage][checksum]") {
  std::array<std::byte, 96> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37);
  const std::uint16_t before = fold_crc(crc32c(bytes));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    REQUIRE(fold_crc(crc32c(bytes)) != before);
    bytes[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
  }
  REQUIRE(fold_crc(0xffff0000) == 0xffff);
  REQUIRE(fold_crc(0x12345678) == (0x1234 ^ 0x5678));
}

}  // namespace
