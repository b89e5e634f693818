#include "storage/item.h"

#include <catch2/catch.hpp>
#include <vector>

namespace {

TEST_CASE("bytes compare equal at every length, and unequal wherever one of them differs", "[storage][item]") {
  for (std::size_t length = 0; length <= 250; ++length) {
    // Arrays of their exact length on the heap: a read outside is seen by the sanitizer.
    std::vector<std::byte> left(length), right(length);
    for (std::size_t i = 0; i < length; ++i) left[i] = right[i] = static_cast<std::byte>(i * 7);
    INFO("length " << length);
    REQUIRE(gannet::storage::equal_bytes(left.data(), right.data(), length));
    for (std::size_t i = 0; i < length; ++i) {
      right[i] ^= std::byte{0x10};
      REQUIRE_FALSE(gannet::storage::equal_bytes(left.data(), right.data(), length));
      right[i] ^= std::byte{0x10};
    }
  }
}

}  // namespace
