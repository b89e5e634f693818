#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>

#include <catch2/catch.hpp>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/storage/test_shard.h"

namespace gannet::storage {
namespace {

using testing::TestShard;
constexpr UnixSeconds kStart = TestShard::kStart;

TEST_CASE("what was put is found, with its flags, expiry and CAS, until it is erased", "[storage][shard]") {
  TestShard shard;
  REQUIRE(shard.get("user:7") == std::nullopt);
  REQUIRE(shard.put("user:7", "ada", kStart, kStart + 50, 0xdeadbeef) == StoreStatus::kStored);
  const std::uint64_t cas = shard.cas;
  REQUIRE(cas != 0);
  REQUIRE(shard.get("user:7") == "ada");
  CHECK(shard.view.flags == 0xdeadbeef);
  CHECK(shard.view.expires_at == kStart + 50);
  CHECK(shard.view.cas == cas);
  REQUIRE(shard.put("user:7", "") == StoreStatus::kStored);
  REQUIRE(shard.cas > cas);
  REQUIRE(shard.get("user:7") == "");
  CHECK(shard.view.flags == 0);
  REQUIRE(shard.erase("user:7") == StoreStatus::kStored);
  REQUIRE(shard.erase("user:7") == StoreStatus::kNotFound);
  REQUIRE(shard.get("user:7") == std::nullopt);
  REQUIRE(shard->stats().items == 0);
  REQUIRE(shard->stats().item_bytes == 0);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("keys of 1 and 250 bytes and values up to the largest item are kept byte for byte", "[storage][shard]") {
  TestShard shard;
  const std::string long_key(250, '\0');
  const std::uint32_t largest = shard->item_bytes_max() - 20 - 250;
  for (const std::uint32_t bytes : {0u, 1u, 2u, 3u, 4u, 5u, 63u, 64u, 1000u, largest - 1, largest}) {
    std::string value(bytes, '\0');
    for (std::uint32_t i = 0; i < bytes; ++i) value[i] = static_cast<char>(i * 7);
    INFO("value of " << bytes);
    REQUIRE(shard.put(long_key, value) == StoreStatus::kStored);
    REQUIRE(shard.put("k", "short") == StoreStatus::kStored);
    REQUIRE(shard.get(long_key) == value);
    REQUIRE(shard.get("k") == "short");
    REQUIRE(shard.audit() == "");
  }
}

TEST_CASE("a SET above the largest item is refused and takes the old item along, an ADD or REPLACE leaves it",
          "[storage][shard]") {
  TestShard shard;
  SetRequest request;
  request.key = as_bytes("k");
  request.value_bytes = shard->item_bytes_max() - 20;
  const Probe probe = shard->hash(request.key);
  Reservation reservation;
  REQUIRE(shard.put("k", "old") == StoreStatus::kStored);
  for (const SetMode mode : {SetMode::kAdd, SetMode::kReplace}) {
    request.mode = mode;
    REQUIRE(shard->reserve(probe, request, kStart, reservation) == StoreStatus::kTooLarge);
    REQUIRE(shard.get("k") == "old");
  }
  request.mode = SetMode::kSet;
  REQUIRE(shard->reserve(probe, request, kStart, reservation) == StoreStatus::kTooLarge);
  REQUIRE(shard.get("k") == std::nullopt);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("add, replace and CAS judge the live item", "[storage][shard][cas]") {
  TestShard shard;
  SetRequest request;
  request.key = as_bytes("k");
  request.value_bytes = 1;
  const Probe probe = shard->hash(request.key);
  std::uint64_t cas = 0;
  const auto attempt = [&](SetMode mode, std::uint64_t with_cas, UnixSeconds now = kStart) {
    request.mode = mode;
    request.cas = with_cas;
    return shard->set(probe, request, as_bytes("x"), now, cas);
  };
  REQUIRE(attempt(SetMode::kReplace, 0) == StoreStatus::kNotFound);
  REQUIRE(attempt(SetMode::kSet, 5) == StoreStatus::kNotFound);
  REQUIRE(attempt(SetMode::kAdd, 5) == StoreStatus::kNotFound);
  request.expires_at = kStart + 10;
  REQUIRE(attempt(SetMode::kAdd, 0) == StoreStatus::kStored);
  const std::uint64_t first = cas;
  REQUIRE(attempt(SetMode::kAdd, 0) == StoreStatus::kExists);
  REQUIRE(attempt(SetMode::kAdd, first + 1) == StoreStatus::kExists);
  REQUIRE(attempt(SetMode::kAdd, first) == StoreStatus::kStored);
  REQUIRE(attempt(SetMode::kSet, first) == StoreStatus::kExists);
  REQUIRE(attempt(SetMode::kReplace, cas) == StoreStatus::kStored);
  REQUIRE(shard.erase("k", kStart, cas + 1) == StoreStatus::kExists);
  REQUIRE(attempt(SetMode::kAdd, 0, kStart + 10) == StoreStatus::kStored);  // The old one has expired in this second.
  REQUIRE(shard.get("k", kStart + 10) == std::nullopt);                     // As has the new one.
  REQUIRE(shard.audit() == "");
}

TEST_CASE("an item is served up to its last second and not in the next, for lifetimes from 1 s to 10 years",
          "[storage][shard][ttl]") {
  TestShard shard(4 << 20);
  std::mt19937_64 random(7);
  std::map<std::string, UnixSeconds> expiry;
  for (int i = 0; i < 1000; ++i) {
    const auto ttl = static_cast<UnixSeconds>(std::exp2(std::uniform_real_distribution<>(0, 28.2)(random)));
    const std::string key = "k" + std::to_string(i);
    expiry[key] = kStart + ttl;
    REQUIRE(shard.put(key, key, kStart, kStart + ttl) == StoreStatus::kStored);
  }
  std::vector<UnixSeconds> seconds;
  for (const auto& [key, at] : expiry) seconds.push_back(at);
  std::sort(seconds.begin(), seconds.end());
  seconds.erase(std::unique(seconds.begin(), seconds.end()), seconds.end());
  UnixSeconds last = 0;
  for (const UnixSeconds at : seconds) {
    if (at < last + 5000 && last != 0 && at - kStart > 5000) continue;  // Dense at first, then a sample.
    last = at;
    for (const UnixSeconds now : {at - 1, at}) {
      for (int i = 0; i < 20; ++i) shard->tick(now, 64 * 1024);
      for (const auto& [key, gone] : expiry) {
        if (shard.get(key, now).has_value() == (now < gone)) continue;
        FAIL(key << " expires at " << gone << ", now " << now);
      }
    }
  }
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a clock that runs backwards brings nothing back and breaks nothing", "[storage][shard][ttl]") {
  TestShard shard;
  REQUIRE(shard.put("k", "v", kStart, kStart + 10) == StoreStatus::kStored);
  REQUIRE(shard.get("k", kStart + 10) == std::nullopt);
  REQUIRE(shard.get("k", kStart + 9) == std::nullopt);
  REQUIRE(shard.put("l", "v", kStart - 100, kStart + 11) == StoreStatus::kStored);
  shard->tick(kStart - 500, 1024);
  REQUIRE(shard.get("l", kStart) == "v");
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a flush takes all that was stored before it and nothing stored behind it", "[storage][shard][flush]") {
  TestShard shard;
  for (int i = 0; i < 500; ++i) REQUIRE(shard.put("k" + std::to_string(i), "v") == StoreStatus::kStored);
  shard->flush(0, kStart);
  REQUIRE(shard.put("k1", "new") == StoreStatus::kStored);
  for (int i = 0; i < 500; ++i) {
    REQUIRE(shard.get("k" + std::to_string(i)) == (i == 1 ? std::optional<std::string>("new") : std::nullopt));
  }
  REQUIRE(shard.audit() == "");
  for (int i = 0; i < 100; ++i) shard->tick(kStart, 16 * 1024);
  REQUIRE(shard->stats().items == 1);
  REQUIRE(shard.get("k1") == "new");
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a delayed flush takes what is stored until its second, and a later flush overrides it",
          "[storage][shard][flush]") {
  TestShard shard;
  shard->flush(kStart + 10, kStart);
  REQUIRE(shard.put("k", "v", kStart + 9) == StoreStatus::kStored);
  REQUIRE(shard.get("k", kStart + 9) == "v");
  REQUIRE(shard.get("k", kStart + 10) == std::nullopt);
  REQUIRE(shard.put("k", "w", kStart + 10) == StoreStatus::kStored);
  shard->flush(kStart + 20, kStart + 10);
  shard->flush(kStart + 30, kStart + 11);
  REQUIRE(shard.get("k", kStart + 29) == "w");
  REQUIRE(shard.get("k", kStart + 31) == std::nullopt);
}

TEST_CASE("a reservation becomes an item only at commit, judged again then; abandoned, it leaves nothing",
          "[storage][shard]") {
  TestShard shard;
  SetRequest request;
  request.key = as_bytes("k");
  request.value_bytes = 3;
  request.mode = SetMode::kAdd;
  const Probe probe = shard->hash(request.key);
  Reservation first, second;
  std::uint64_t cas = 0;
  REQUIRE(shard->reserve(probe, request, kStart, first) == StoreStatus::kStored);
  REQUIRE(shard->reserve(probe, request, kStart, second) == StoreStatus::kStored);
  std::memcpy(first.value.data(), "one", 3);
  std::memcpy(second.value.data(), "two", 3);
  REQUIRE(shard.get("k") == std::nullopt);
  REQUIRE(shard->stats().reservations == 2);
  REQUIRE(shard.audit() == "");
  REQUIRE(shard->commit(second, kStart, cas) == StoreStatus::kStored);
  REQUIRE(shard.get("k") == "two");
  REQUIRE(shard->commit(first, kStart, cas) == StoreStatus::kExists);
  REQUIRE(shard.get("k") == "two");
  request.mode = SetMode::kSet;
  REQUIRE(shard->reserve(probe, request, kStart, first) == StoreStatus::kStored);
  shard->abandon(first);
  REQUIRE(shard.get("k") == "two");
  REQUIRE(shard->stats().reservations == 0);
  REQUIRE(shard.audit() == "");
}

TEST_CASE("a call from a thread that is not the owner ends the process, unless the new owner bound itself",
          "[storage][shard]") {
  TestShard shard;
  REQUIRE(shard.put("k", "v") == StoreStatus::kStored);
  const auto from_another_thread = [&](bool bind) {
    const pid_t child = fork();
    if (child == 0) {
      (void)std::freopen("/dev/null", "w", stderr);
      std::signal(SIGABRT, SIG_DFL);
      std::thread([&] {
        if (bind) shard->bind_owner();
        (void)shard.get("k");
        _exit(0);
      }).join();
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    return status;
  };
  const int refused = from_another_thread(false);
  CHECK((WIFSIGNALED(refused) && WTERMSIG(refused) == SIGABRT));
  const int bound = from_another_thread(true);
  CHECK((WIFEXITED(bound) && WEXITSTATUS(bound) == 0));
}

TEST_CASE("open reservations are capped, and the cap is a status", "[storage][shard]") {
  TestShard shard;
  SetRequest request;
  request.key = as_bytes("k");
  request.value_bytes = 1;
  std::vector<Reservation> open(Shard::kReservationsMax);
  for (Reservation& reservation : open) {
    REQUIRE(shard->reserve(shard->hash(request.key), request, kStart, reservation) == StoreStatus::kStored);
  }
  Reservation more;
  REQUIRE(shard->reserve(shard->hash(request.key), request, kStart, more) == StoreStatus::kNoMemory);
  for (const Reservation& reservation : open) shard->abandon(reservation);
  REQUIRE(shard->reserve(shard->hash(request.key), request, kStart, more) == StoreStatus::kStored);
  shard->abandon(more);
  REQUIRE(shard.audit() == "");
}

}  // namespace
}  // namespace gannet::storage
