#include "dataplane/core/memcache/binary.h"

#include <catch2/catch.hpp>
#include <random>

#include "dataplane/core/answer.h"
#include "dataplane/core/memcache/expiry.h"
#include "dataplane/core/routing.h"
#include "tests/dataplane/wire.h"

namespace {

using namespace gannet;                       // NOLINT(google-build-using-namespace)
using namespace gannet::dataplane;            // NOLINT(google-build-using-namespace)
using namespace gannet::dataplane::memcache;  // NOLINT(google-build-using-namespace)
using test::Request;

[[nodiscard]] ParseStatus parse_bytes(const std::string& bytes, RequestView& view) {
  // A copy of exactly this size: the address sanitizer sees a read beyond it.
  const std::vector<char> exact(bytes.begin(), bytes.end());
  return parse(as_bytes(std::string_view(exact.data(), exact.size())), view);
}
[[nodiscard]] ParseStatus parse_of(const Request& request) {
  RequestView view;
  return parse_bytes(request.bytes(), view);
}

struct Rule {
  int opcode;
  int extras;         // Bytes; -1: 0 or 4.
  bool key, key_may;  // Needed; allowed.
  bool value;
};

// Spelt out by hand from the protocol page, not from the product's table.
constexpr Rule kRules[] = {
    {0x00, 0, true, true, false},    {0x01, 8, true, true, true},    {0x02, 8, true, true, true},
    {0x03, 8, true, true, true},     {0x04, 0, true, true, false},   {0x05, 20, true, true, false},
    {0x06, 20, true, true, false},   {0x07, 0, false, false, false}, {0x08, -1, false, false, false},
    {0x09, 0, true, true, false},    {0x0a, 0, false, false, false}, {0x0b, 0, false, false, false},
    {0x0c, 0, true, true, false},    {0x0d, 0, true, true, false},   {0x0e, 0, true, true, true},
    {0x0f, 0, true, true, true},     {0x10, 0, false, true, false},  {0x11, 8, true, true, true},
    {0x12, 8, true, true, true},     {0x13, 8, true, true, true},    {0x14, 0, true, true, false},
    {0x15, 20, true, true, false},   {0x16, 20, true, true, false},  {0x17, 0, false, false, false},
    {0x18, -1, false, false, false}, {0x19, 0, true, true, true},    {0x1a, 0, true, true, true},
    {0x1b, -1, false, false, false}, {0x1c, 4, true, true, false},   {0x1d, 4, true, true, false},
    {0x1e, 4, true, true, false},    {0x23, 4, true, true, false},   {0x24, 4, true, true, false},
};

TEST_CASE("every opcode takes exactly the extras, key and value of its rule", "[dataplane][parse]") {
  std::size_t accepted = 0;
  for (const Rule& rule : kRules) {
    for (int extras = 0; extras <= 24; ++extras) {
      for (const std::size_t key : {std::size_t{0}, std::size_t{1}, std::size_t{250}}) {
        for (const std::size_t value : {std::size_t{0}, std::size_t{1}, std::size_t{90}}) {
          Request request;
          request.opcode = static_cast<std::uint8_t>(rule.opcode);
          request.extras = std::string(static_cast<std::size_t>(extras), 'e');
          request.key = std::string(key, 'k');
          request.value = std::string(value, 'v');
          const bool extras_good = rule.extras == -1 ? extras == 0 || extras == 4 : extras == rule.extras;
          const bool key_good = key == 0 ? !rule.key : rule.key_may;
          const bool good = extras_good && key_good && (value == 0 || rule.value);
          INFO("opcode " << rule.opcode << " extras " << extras << " key " << key << " value " << value);
          REQUIRE(parse_of(request) == (good ? ParseStatus::kOk : ParseStatus::kBadArguments));
          accepted += good ? 1 : 0;
        }
      }
    }
  }
  REQUIRE(accepted > 100);
}

TEST_CASE("an opcode that is not known is taken whole, whatever it carries", "[dataplane][parse]") {
  for (int opcode = 0; opcode < 256; ++opcode) {
    bool known = false;
    for (const Rule& rule : kRules) known = known || rule.opcode == opcode;
    if (kOpcodeRules[static_cast<std::size_t>(opcode)].is_sasl()) {  // Judged where SASL is on, by the streams.
      REQUIRE((opcode >= 0x20 && opcode <= 0x22));
      continue;
    }
    REQUIRE((kOpcodeRules[static_cast<std::size_t>(opcode)].action == Action::kUnknown) == !known);
    if (known) continue;
    Request request;
    request.opcode = static_cast<std::uint8_t>(opcode);
    request.extras = "1234567";
    request.key = "some key";
    request.value = "some value";
    RequestView view;
    const std::string bytes = request.bytes();
    REQUIRE(parse(as_bytes(bytes), view) == ParseStatus::kOk);
    REQUIRE(view.wire_bytes == bytes.size());
  }
}

TEST_CASE("a request is read in place and field by field", "[dataplane][parse]") {
  Request request = test::set("user:7", "ada", 0xdeadbeef, 77);
  request.opaque = 0x01020304;
  request.cas = 0x1122334455667788;
  request.data_type = 9;   // Ignored.
  request.vbucket = 4711;  // Ignored.
  const std::string bytes = request.bytes() + "the next one";
  RequestView view;
  REQUIRE(parse(as_bytes(bytes), view) == ParseStatus::kOk);
  const auto* at = reinterpret_cast<const std::byte*>(bytes.data());
  REQUIRE(view.extras == at + 24);
  REQUIRE(view.key == at + 32);
  REQUIRE(view.value == at + 38);
  REQUIRE(view.end() == at + 41);
  REQUIRE(view.wire_bytes == 41);
  REQUIRE(as_text(view.key_span()) == "user:7");
  REQUIRE(as_text(view.value_span()) == "ada");
  REQUIRE(view.cas == 0x1122334455667788);
  REQUIRE(std::memcmp(&view.opaque, "\x01\x02\x03\x04", 4) == 0);
}

TEST_CASE("refusals come in the order of the checks", "[dataplane][parse]") {
  const auto with = [](auto change) {
    Request request = test::set("key", "value");
    change(request);
    return request;
  };
  // Magic before anything else, even before the header is whole.
  RequestView view;
  REQUIRE(parse_bytes("\x81", view) == ParseStatus::kBadMagic);
  REQUIRE(parse_bytes("get a\r\n", view) == ParseStatus::kBadMagic);
  REQUIRE(parse_of(with([](Request& r) { r.magic = 0x81; })) == ParseStatus::kBadMagic);
  // Presence of header, extras and key before their sum is compared with the body.
  REQUIRE(parse_bytes("", view) == ParseStatus::kNeedMore);
  const Request announces_more = with([](Request& r) {
    r.value.clear();
    r.key_bytes = 200;
    r.body_bytes = 10;
  });
  REQUIRE(parse_of(announces_more) == ParseStatus::kNeedMore);
  // Sum before the body limit and the key limit.
  REQUIRE(parse_of(with([](Request& r) { r.body_bytes = 10; })) == ParseStatus::kBadLength);
  REQUIRE(parse_of(with([](Request& r) {
            r.key = std::string(300, 'k');
            r.value.clear();
            r.body_bytes = 100;
          })) == ParseStatus::kBadLength);
  // Body limit before the key limit.
  REQUIRE(parse_of(with([](Request& r) {
            r.key = std::string(300, 'k');
            r.body_bytes = 0x80000000;
          })) == ParseStatus::kBodyTooLarge);
  REQUIRE(parse_of(with([](Request& r) { r.body_bytes = (1u << 30) + 1; })) == ParseStatus::kBodyTooLarge);
  REQUIRE(parse_of(with([](Request& r) { r.body_bytes = 1u << 30; })) == ParseStatus::kNeedMore);
  REQUIRE(parse_of(with([](Request& r) { r.body_bytes = 0xffffffff; })) == ParseStatus::kBodyTooLarge);
  // Key limit before the opcode's rule, for unknown opcodes too.
  REQUIRE(parse_of(with([](Request& r) {
            r.key = std::string(251, 'k');
            r.extras = "x";
          })) == ParseStatus::kBadKey);
  REQUIRE(parse_of(with([](Request& r) {
            r.opcode = 0xee;
            r.key = std::string(251, 'k');
          })) == ParseStatus::kBadKey);
  // The rule before the presence of the value.
  REQUIRE(parse_of(with([](Request& r) {
            r.opcode = 0x00;
            r.body_bytes = 1000;
          })) == ParseStatus::kBadArguments);
  REQUIRE(parse_of(with([](Request& r) { r.body_bytes = 1000; })) == ParseStatus::kNeedMore);
}

TEST_CASE("a refusal that is answered knows opcode and opaque, the others touch nothing", "[dataplane][parse]") {
  Request request = test::get("k").with_opaque(0x0a0b0c0d);
  request.extras = "x";
  RequestView view;
  REQUIRE(parse_bytes(request.bytes(), view) == ParseStatus::kBadArguments);
  REQUIRE(view.opcode == 0x00);
  REQUIRE(view.opaque == 0x0d0c0b0a);
  view.opcode = 0x55;
  REQUIRE(parse_bytes("\x80\x00\x00", view) == ParseStatus::kNeedMore);
  REQUIRE(parse_bytes("x", view) == ParseStatus::kBadMagic);
  REQUIRE(view.opcode == 0x55);
}

TEST_CASE("every prefix of a request needs more, and no byte beyond it is read", "[dataplane][parse]") {
  const std::string whole = test::increment("counter", 1, 2, 3).bytes();
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    RequestView view;
    REQUIRE(parse_bytes(whole.substr(0, bytes), view) == ParseStatus::kNeedMore);
  }
  RequestView view;
  REQUIRE(parse_bytes(whole, view) == ParseStatus::kOk);
}

TEST_CASE("random bytes behind a good magic get one of the statuses and stay inside", "[dataplane][parse]") {
  const std::uint64_t seed = 20260;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::size_t good = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes(random() % 80, '\0');
    for (char& c : bytes) c = static_cast<char>(random() % 3 == 0 ? random() : random() % 12);
    if (!bytes.empty()) bytes[0] = static_cast<char>(0x80);
    if (bytes.size() > 12) bytes[2] = bytes[8] = bytes[9] = bytes[10] = '\0';
    RequestView view;
    if (parse(as_bytes(bytes), view) != ParseStatus::kOk) continue;
    ++good;
    REQUIRE(view.wire_bytes <= bytes.size());
    REQUIRE(view.end() <= reinterpret_cast<const std::byte*>(bytes.data() + bytes.size()));
  }
  REQUIRE(good > 100);
}

TEST_CASE("an answer's header is 24 bytes in the order of the protocol", "[dataplane][reply]") {
  std::array<std::byte, 24> bytes{};
  std::uint32_t opaque = 0;
  std::memcpy(&opaque, "\xa1\xb2\xc3\xd4", 4);
  write_header(bytes.data(), {.opcode = 0x0c,
                              .extras_bytes = 4,
                              .key_bytes = 0x0102,
                              .status = Status::kUnknownCommand,
                              .body_bytes = 0x01020304,
                              .opaque = opaque,
                              .cas = 0x1112131415161718});
  constexpr std::string_view kExpected(
      "\x81\x0c\x01\x02\x04\x00\x00\x81\x01\x02\x03\x04\xa1\xb2\xc3\xd4\x11\x12\x13\x14\x15\x16\x17\x18", 24);
  REQUIRE(as_text(bytes) == kExpected);
}

TEST_CASE("an echoed key survives being overwritten by its own answer", "[dataplane][reply]") {
  // The key lies at 24 in the request and belongs at 28 in the answer, in the same bytes.
  std::array<std::byte, 64> bytes{};
  const std::string_view key = "0123456789abcdef";
  std::memcpy(bytes.data() + 24, key.data(), key.size());
  Answer answer;
  answer.has_flags = true;
  answer.flags = 0x61626364;
  answer.key = bytes.data() + 24;
  answer.key_bytes = 16;
  write_head(bytes.data(), answer);
  REQUIRE(as_text(bytes).substr(24, 20) == "abcd0123456789abcdef");
}

TEST_CASE("an expiry up to 30 days counts from now, above it is a date, and a date gone by is past",
          "[dataplane][expiry]") {
  constexpr UnixSeconds kNow = 1'800'000'000;
  REQUIRE(expiry_second(0, kNow) == 0);
  REQUIRE(expiry_second(1, kNow) == kNow + 1);
  REQUIRE(expiry_second(2'592'000, kNow) == kNow + 2'592'000);
  REQUIRE(expiry_second(2'592'001, kNow) == kLongGone);
  REQUIRE(expiry_second(kNow, kNow) == kLongGone);
  REQUIRE(expiry_second(kNow + 1, kNow) == kNow + 1);
  REQUIRE(expiry_second(0x80000000, kNow) == 0x80000000);
  REQUIRE(expiry_second(0xffffffff, kNow) == 0xffffffff);
  REQUIRE(expiry_second(10, 0xfffffffa) == 0xffffffff);
  REQUIRE(flush_second(0, kNow) == 0);
  REQUIRE(flush_second(5, kNow) == kNow + 5);
  REQUIRE(flush_second(2'592'001, kNow) == 0);
}

TEST_CASE("the routing hash is CRC-32C as others compute it", "[dataplane][routing]") {
  REQUIRE(routing_hash(as_bytes("123456789")) == 0xe3069283);            // The check value of CRC-32C.
  REQUIRE(routing_hash(as_bytes(std::string(32, '\0'))) == 0x8a9136aa);  // RFC 3720 B.4.
  REQUIRE(routing_hash(as_bytes(std::string(32, '\xff'))) == 0x62a8ab43);
  // Every length from 1 byte, against one bit at a time.
  std::string key;
  for (int length = 1; length <= 250; ++length) {
    key += static_cast<char>(length * 7);
    std::uint32_t crc = 0xffffffff;
    for (const char c : key) {
      crc ^= static_cast<unsigned char>(c);
      for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    REQUIRE(routing_hash(as_bytes(key)) == ~crc);
  }
}

TEST_CASE("keys spread evenly over the workers and always name one of them", "[dataplane][routing]") {
  for (const std::uint32_t workers : {1u, 2u, 3u, 4u, 7u, 64u}) {
    std::vector<std::uint32_t> count(workers);
    constexpr std::uint32_t kKeys = 64'000;
    for (std::uint32_t i = 0; i < kKeys; ++i) ++count.at(worker_of(as_bytes("key:" + std::to_string(i)), workers));
    for (const std::uint32_t mine : count) {
      REQUIRE(mine > kKeys / workers * 8 / 10);
      REQUIRE(mine < kKeys / workers * 12 / 10 + 1);
    }
  }
}

}  // namespace
