/// What a shard does with what another process left: clocks, flushes, other divisions, other formats.
#include <catch2/catch.hpp>
#include <cstring>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

std::unique_ptr<Shard> attach(const TestShard& left, AttachReport& report, UnixSeconds now = kStart,
                              ShardOptions options = {.segment_bytes = 16 * 1024}) {
  options.now = now;
  return Shard::attach(left.memory(), options, report);
}

std::optional<std::string> get(Shard& shard, std::string_view key, UnixSeconds now = kStart) {
  ItemView view;
  if (shard.find(shard.hash(as_bytes(key)), as_bytes(key), now, view) == FindStatus::kMiss) return std::nullopt;
  return std::string(as_text(view.value));
}

void restore(Shard& shard, UnixSeconds now = kStart) {
  for (int i = 0; shard.restoring() && i < 1000; ++i) shard.tick(now, 64 * 1024);
  REQUIRE_FALSE(shard.restoring());
}

TEST_CASE("what a process left is served again with flags, expiry, CAS and value", "[storage][attach]") {
  TestShard left;
  REQUIRE(left.put("a", "one", kStart, kStart + 50, 7) == StoreStatus::kStored);
  const std::uint64_t cas = left.cas;
  REQUIRE(left.put("b", "old") == StoreStatus::kStored);
  REQUIRE(left.put("b", "two") == StoreStatus::kStored);
  REQUIRE(left.put("c", "gone") == StoreStatus::kStored);
  REQUIRE(left.erase("c") == StoreStatus::kStored);
  AttachReport report;
  const auto shard = attach(left, report);
  REQUIRE(report.status == AttachStatus::kAttached);
  REQUIRE_FALSE(report.clean);
  restore(*shard);
  ItemView view;
  REQUIRE(shard->find(shard->hash(as_bytes("a")), as_bytes("a"), kStart, view) == FindStatus::kHit);
  CHECK(as_text(view.value) == "one");
  CHECK(view.flags == 7);
  CHECK(view.expires_at == kStart + 50);
  CHECK(view.cas == cas);
  CHECK(get(*shard, "b") == "two");
  CHECK(get(*shard, "c") == std::nullopt);
  CHECK(shard->stats().restored_items == 2);
  const AuditReport audit = shard->audit(kStart);
  CHECK(std::string(audit.first_fault).empty());
}

TEST_CASE("what is found before the last item of its segment has been entered can be pinned",
          "[storage][attach][pin]") {
  TestShard left;
  const std::string value(60, 'v');  // Items by the hundred in a segment: they are entered batch by batch.
  for (int i = 0; i < 600; ++i) REQUIRE(left.put("k" + std::to_string(i), value) == StoreStatus::kStored);
  AttachReport report;
  const auto shard = attach(left, report);
  REQUIRE(report.status == AttachStatus::kAttached);
  std::vector<std::uint32_t> pins;
  std::vector<bool> pinned(600);
  while (shard->restoring()) {
    shard->tick(kStart, 64);
    for (int i = 0; i < 600; ++i) {
      const std::string key = "k" + std::to_string(i);
      ItemView view;
      if (pinned[i] || shard->find(shard->hash(as_bytes(key)), as_bytes(key), kStart, view) != FindStatus::kHit)
        continue;
      pinned[i] = true;
      REQUIRE(shard->pin(view.segment));
      pins.push_back(view.segment);
      REQUIRE(std::string(shard->audit(kStart).first_fault).empty());
    }
  }
  REQUIRE(pins.size() > 500);
  for (const std::uint32_t segment : pins) shard->unpin(segment);
  for (int i = 0; i < 600; ++i) CHECK(get(*shard, "k" + std::to_string(i)) == value);
  CHECK(std::string(shard->audit(kStart).first_fault).empty());
}

TEST_CASE("a clock set back between two processes brings no expired item back and ends none early",
          "[storage][attach][ttl]") {
  TestShard left;
  REQUIRE(left.put("short", "v", kStart, kStart + 10) == StoreStatus::kStored);
  REQUIRE(left.put("long", "v", kStart, kStart + 100) == StoreStatus::kStored);
  REQUIRE(left.get("short", kStart + 20) == std::nullopt);
  AttachReport report;
  const auto shard = attach(left, report, kStart - 5000);
  restore(*shard, kStart - 5000);
  CHECK(get(*shard, "short", kStart - 5000) == std::nullopt);
  CHECK(get(*shard, "long", kStart - 5000) == "v");
  CHECK(get(*shard, "long", kStart + 99) == "v");
  CHECK(get(*shard, "long", kStart + 100) == std::nullopt);
}

TEST_CASE("a flush outlives its process, a delayed one that fell due meanwhile too", "[storage][attach][flush]") {
  TestShard left, later;
  for (TestShard* each : {&left, &later}) REQUIRE(each->put("k", "v") == StoreStatus::kStored);
  left->flush(0, kStart);
  REQUIRE(left.put("new", "v") == StoreStatus::kStored);
  later->flush(kStart + 30, kStart);
  AttachReport report;
  auto shard = attach(left, report);
  restore(*shard);
  CHECK(get(*shard, "k") == std::nullopt);
  CHECK(get(*shard, "new") == "v");
  shard = attach(later, report, kStart + 29);
  restore(*shard, kStart + 29);
  CHECK(get(*shard, "k", kStart + 29) == "v");
  shard = attach(later, report, kStart + 31);
  restore(*shard, kStart + 31);
  CHECK(get(*shard, "k", kStart + 31) == std::nullopt);
}

TEST_CASE("a clean stop seals everything and is told apart from a death", "[storage][attach]") {
  TestShard left;
  for (int i = 0; i < 100; ++i) REQUIRE(left.put("k" + std::to_string(i), "v") == StoreStatus::kStored);
  left->close();
  CHECK(left.audit() == "");
  AttachReport report;
  auto shard = attach(left, report);
  CHECK(report.clean);
  restore(*shard);
  CHECK(shard->stats().items == 100);
  shard = attach(left, report);
  CHECK_FALSE(report.clean);
}

TEST_CASE("new memory, another format and another division are not attached to, and each says so",
          "[storage][attach]") {
  TestShard left;
  REQUIRE(left.put("k", "v") == StoreStatus::kStored);
  AttachReport report;
  CHECK(attach(left, report, kStart, {.segment_bytes = 8 * 1024}) == nullptr);
  CHECK(report.status == AttachStatus::kDivided);
  CHECK(attach(left, report, kStart, {.segment_bytes = 16 * 1024, .regions = 2}) == nullptr);
  CHECK(report.status == AttachStatus::kDivided);
  CHECK(report.why.find("1 workers and now there are 2") != std::string::npos);
  CHECK(Shard::attach(left.memory().first(left.memory().size() - 4096), {.segment_bytes = 16 * 1024}, report) ==
        nullptr);
  CHECK(report.status == AttachStatus::kDivided);
  auto& header = *reinterpret_cast<ShardHeader*>(left.memory().data());
  ++header.format;
  CHECK(attach(left, report) == nullptr);
  CHECK(report.status == AttachStatus::kOtherFormat);
  CHECK(report.why.find("this program writes format") != std::string::npos);
  --header.format;
  header.magic = 0;
  CHECK(attach(left, report) == nullptr);
  CHECK(report.status == AttachStatus::kFresh);
}

TEST_CASE("items move into shards of another size and number with all that belongs to them", "[storage][attach]") {
  TestShard left(512 * 1024);
  std::vector<std::uint64_t> cas(500);
  for (int i = 0; i < 500; ++i) {
    const std::string key = "k" + std::to_string(i);
    REQUIRE(left.put(key, "value of " + key, kStart, i % 2 == 0 ? kNever : kStart + 100,
                     static_cast<std::uint32_t>(i)) == StoreStatus::kStored);
    cas[static_cast<std::size_t>(i)] = left.cas;
  }
  REQUIRE(left.erase("k7") == StoreStatus::kStored);
  for (int i = 0; i < 5; ++i) REQUIRE(left.get("k8").has_value());
  TestShard young[] = {TestShard(256 * 1024, {.segment_bytes = 4096}),
                       TestShard(1 << 20, {.segment_bytes = 32 * 1024})};
  const auto owner = [](Bytes key) { return static_cast<std::size_t>(key[key.size() - 1]) % 2; };
  std::uint64_t taken = 0;
  for (std::size_t n = 0; n < 2; ++n) taken += young[n]->take_items(*left, [&](Bytes key) { return owner(key) == n; });
  REQUIRE(taken == 499);
  for (int i = 0; i < 500; ++i) {
    const std::string key = "k" + std::to_string(i);
    TestShard& there = young[owner(as_bytes(key))];
    INFO(key);
    REQUIRE(there.get(key) == (i == 7 ? std::nullopt : std::optional("value of " + key)));
    if (i == 7) continue;
    REQUIRE(there.view.cas == cas[static_cast<std::size_t>(i)]);
    REQUIRE(there.view.flags == static_cast<std::uint32_t>(i));
    REQUIRE(there.view.expires_at == (i % 2 == 0 ? kNever : kStart + 100));
  }
  for (TestShard& each : young) {
    REQUIRE(each.audit() == "");
    REQUIRE(each.put("next", "v") == StoreStatus::kStored);
    REQUIRE(each.cas > cas.back());
  }
}

}  // namespace
}  // namespace gannet::storage
