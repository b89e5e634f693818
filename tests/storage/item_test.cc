#include "storage/item.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <set>
#include <vector>

namespace gannet::storage {
namespace {

/// Lengths, seconds and CAS values about every limit of a width.
class Fields {
 public:
  explicit Fields(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] std::uint32_t value_bytes() {
    constexpr std::array<std::uint32_t, 6> kAbout{0, 1, 255, 256, 65535, 65536};
    return below(3) == 0 ? kAbout[below(kAbout.size())] + below(2) : below(600);
  }
  [[nodiscard]] std::uint32_t flags() {
    constexpr std::array<std::uint32_t, 8> kAbout{0, 1, 0xff, 0x100, 0xffff, 0x10000, 0xffffff, 0xffffffff};
    return kAbout[below(kAbout.size())];
  }
  /// Never, or somewhere about `base`.
  [[nodiscard]] UnixSeconds expires_at(UnixSeconds base) {
    if (below(4) == 0) return 0;
    const UnixSeconds at = base + static_cast<std::uint32_t>(distance({7, 15, 23, 31}));
    return at != 0 ? at : 1;
  }
  [[nodiscard]] std::uint64_t cas(std::uint64_t base) {
    const std::uint64_t cas = base + distance({15, 23, 31, 63});
    return cas != 0 ? cas : 1;
  }
  [[nodiscard]] SegmentBase base() { return {random_(), static_cast<std::uint32_t>(random_()), 0}; }
  [[nodiscard]] std::vector<std::byte> bytes(std::size_t count) {
    std::vector<std::byte> out(count);
    for (std::byte& each : out) each = static_cast<std::byte>(random_());
    return out;
  }
  [[nodiscard]] std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(random_() % bound); }

 private:
  /// Zero, or a signed number that just fits into so many bits and a sign, or just does not, or anything smaller.
  [[nodiscard]] std::uint64_t distance(std::array<std::uint32_t, 4> bits) {
    const std::uint64_t limit = std::uint64_t{1} << bits[below(bits.size())];
    const std::array<std::uint64_t, 6> about{
        0, limit - 1, limit, std::uint64_t{0} - limit, std::uint64_t{0} - limit - 1, random_() % limit};
    return about[below(about.size())];
  }

  std::mt19937_64 random_;
};

/// Bytes of the narrowest of `widths` that holds the signed `distance`, found the slow way.
std::uint32_t narrowest(std::int64_t distance, std::array<std::uint32_t, 4> widths) {
  for (const std::uint32_t width : widths) {
    if (width == 8) return width;
    const std::uint32_t shift = 64 - width * 8;
    if (width != 0 && static_cast<std::int64_t>(static_cast<std::uint64_t>(distance) << shift) >> shift == distance)
      return width;
  }
  return widths.back();
}

/// An item in memory of exactly its size, so that a sanitizer sees whoever reads outside.
class Written {
 public:
  Written(const NewItem& from, Bytes value, const SegmentBase& base)
      : room_(item_bytes_most(from.key.size(), from.value_bytes, from.flags), std::byte{0xee}) {
    auto& item = *reinterpret_cast<ItemHeader*>(room_.data());
    const auto [header_bytes, bytes] = write_item(item, from, base);
    REQUIRE(header_bytes == item.widths().header);
    REQUIRE(bytes == item.item_bytes());
    REQUIRE(bytes <= room_.size());
    REQUIRE(bytes >= item_bytes_least(static_cast<std::uint32_t>(from.key.size()), from.value_bytes));
    std::copy(value.begin(), value.end(), item.value().begin());
    item.check = item_check(item, base);
    exact_.assign(room_.begin(), room_.begin() + bytes);
  }
  ItemHeader& operator*() { return *reinterpret_cast<ItemHeader*>(exact_.data()); }
  ItemHeader* operator->() { return &**this; }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return exact_; }

 private:
  std::vector<std::byte> room_, exact_;
};

void require_same(Written& written, const NewItem& from, Bytes value, const SegmentBase& base) {
  REQUIRE(item_fits(*written, static_cast<std::uint32_t>(written.bytes().size())));
  REQUIRE_FALSE(item_fits(*written, static_cast<std::uint32_t>(written.bytes().size()) - 1));
  REQUIRE(written->dead());
  REQUIRE(std::equal(from.key.begin(), from.key.end(), written->key().begin(), written->key().end()));
  const Bytes found = written->key_and_value().subspan(from.key.size());
  REQUIRE(std::equal(value.begin(), value.end(), found.begin(), found.end()));
  REQUIRE(written->flags() == from.flags);
  REQUIRE(written->expires_at(base) == from.expires_at);
  REQUIRE(written->cas(base) == from.cas);
}

TEST_CASE("an item of any shape gives back what was put in, in the narrowest shape that can", "[storage][item]") {
  constexpr std::uint64_t kSeed = 20261122;
  Fields fields(kSeed);
  std::set<std::uint8_t> shapes;
  for (int round = 0; round < 12'000; ++round) {
    const SegmentBase base = fields.base();
    const auto key = fields.bytes(1 + fields.below(250)), value = fields.bytes(fields.value_bytes());
    const NewItem from{key, static_cast<std::uint32_t>(value.size()), fields.flags(),
                       fields.expires_at(base.expires_at), fields.cas(base.cas)};
    INFO("seed " << kSeed << ", round " << round << ": key " << key.size() << ", value " << value.size() << ", flags "
                 << from.flags << ", expiry " << from.expires_at << " from " << base.expires_at << ", cas " << from.cas
                 << " from " << base.cas);
    Written written(from, value, base);
    require_same(written, from, value, base);
    const std::uint32_t expiry =
        from.expires_at == 0 ? 0
                             : narrowest(static_cast<std::int32_t>(from.expires_at - base.expires_at), {0, 2, 3, 4});
    const std::uint32_t lengths = (value.size() < 256     ? 1
                                   : value.size() < 65536 ? 2
                                                          : 3) +
                                  (from.flags == 0      ? 0
                                   : from.flags < 256   ? 1
                                   : from.flags < 65536 ? 2
                                                        : 4);
    const std::uint32_t cas = narrowest(static_cast<std::int64_t>(from.cas - base.cas), {2, 3, 4, 8});
    const std::size_t all = 5 + lengths + expiry + cas + key.size() + value.size();
    REQUIRE(written.bytes().size() == padded(all));
    REQUIRE(std::all_of(written.bytes().begin() + static_cast<std::ptrdiff_t>(all), written.bytes().end(),
                        [](std::byte pad) { return pad == std::byte{0}; }));
    shapes.insert(written->shape);
  }
  REQUIRE(shapes.size() == 3 * 4 * 4 * 4);
}

TEST_CASE("an item keeps its check in a segment of another base, and has it in none that is not its own",
          "[storage][item]") {
  constexpr std::uint64_t kSeed = 77;
  Fields fields(kSeed);
  int unseen = 0;
  for (int round = 0; round < 3000; ++round) {
    const SegmentBase base = fields.base(), other = fields.base();
    const auto key = fields.bytes(1 + fields.below(40)), value = fields.bytes(fields.below(300));
    const NewItem from{key, static_cast<std::uint32_t>(value.size()), fields.flags(),
                       fields.expires_at(base.expires_at), fields.cas(base.cas)};
    INFO("seed " << kSeed << ", round " << round);
    Written here(from, value, base), there(from, value, other);
    require_same(there, from, value, other);
    REQUIRE(here->check == there->check);
    unseen += item_check(*here, other) == here->check;
  }
  REQUIRE(unseen <= 3);  // One in 65,536 is to be expected.
}

TEST_CASE("a CAS that does not fit the shape is refused, and nothing is written", "[storage][item]") {
  Fields fields(5);
  const SegmentBase base{1'000'000, 0, 0};
  const auto key = fields.bytes(9), value = fields.bytes(30);
  for (const std::uint32_t bits : {15, 23, 31}) {
    INFO(bits << " bits and a sign");
    const std::uint64_t limit = std::uint64_t{1} << bits;
    Written written({key, 30, 0, 0, base.cas + limit - 1}, value, base);
    const std::vector<std::byte> before = written.bytes();
    REQUIRE_FALSE(written->set_cas(base, base.cas + limit));
    REQUIRE_FALSE(written->set_cas(base, base.cas - limit - 1));
    REQUIRE(written.bytes() == before);
    REQUIRE(written->set_cas(base, base.cas - limit));
    REQUIRE(written->cas(base) == base.cas - limit);
    REQUIRE(std::equal(value.begin(), value.end(), written->value().begin()));
  }
}

TEST_CASE("zeros and lengths beyond what was written are no item", "[storage][item]") {
  alignas(8) std::array<std::byte, 64> bytes{};
  auto& item = *reinterpret_cast<ItemHeader*>(bytes.data());
  REQUIRE_FALSE(item_fits(item, 64));
  item.key_length = 5;
  REQUIRE_FALSE(item_fits(item, 64));
  item.shape = 1;
  REQUIRE(item_fits(item, 64));
  REQUIRE(item.item_bytes() == padded(13u));
  REQUIRE_FALSE(item_fits(item, padded(13u) - 1));
  item.key_length = 251;
  REQUIRE_FALSE(item_fits(item, 1000));
}

TEST_CASE("bytes compare equal at every length, and unequal wherever one of them differs", "[storage][item]") {
  for (std::size_t length = 0; length <= 250; ++length) {
    // Arrays of their exact length on the heap: a read outside is seen by the sanitizer.
    std::vector<std::byte> left(length), right(length);
    for (std::size_t i = 0; i < length; ++i) left[i] = right[i] = static_cast<std::byte>(i * 7);
    INFO("length " << length);
    REQUIRE(equal_bytes(left.data(), right.data(), length));
    for (std::size_t i = 0; i < length; ++i) {
      right[i] ^= std::byte{0x10};
      REQUIRE_FALSE(equal_bytes(left.data(), right.data(), length));
      right[i] ^= std::byte{0x10};
    }
  }
}

}  // namespace
}  // namespace gannet::storage
