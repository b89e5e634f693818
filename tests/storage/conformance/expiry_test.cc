/// Expiry is exact, whatever the TTL and however the clock steps: served up to an item's last second, never after,
/// never dropped by time before it.
#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "storage/shard.h"

namespace {

using gannet::as_bytes;
using gannet::UnixSeconds;
using gannet::storage::FindStatus;
using gannet::storage::ItemView;
using gannet::storage::kNever;
using gannet::storage::Shard;
using gannet::storage::ShardOptions;
using gannet::storage::StoreStatus;

constexpr UnixSeconds kStart = 1'795'000'000;
constexpr UnixSeconds kTenYears = 10u * 365 * 86400;

struct Life {
  std::string key;
  UnixSeconds expires_at;  ///< kNever, or the first second in which it is gone.
};

class ExpiryTrial {
 public:
  explicit ExpiryTrial(std::uint64_t seed) : random_(seed), memory_(kBytes / 64) {
    ShardOptions options;
    options.now = kStart;
    options.segment_bytes = 64 * 1024;
    std::string why;
    shard_ = Shard::format(std::as_writable_bytes(std::span(memory_)), options, why);
    INFO(why);
    REQUIRE(shard_ != nullptr);
  }

  /// From 1 s to ten years, each order of magnitude as likely, or never.
  UnixSeconds random_ttl() {
    if (random_() % 16 == 0) return kNever;
    const std::uint64_t top = std::uint64_t{2} << (random_() % 28);
    return static_cast<UnixSeconds>(std::min<std::uint64_t>(1 + random_() % top, kTenYears));
  }

  void store(UnixSeconds now, UnixSeconds ttl) {
    Life life{"k" + std::to_string(lives_.size()), ttl == kNever ? kNever : now + ttl};
    const std::string value(random_() % 60, 'v');
    const auto key = as_bytes(life.key);
    std::uint64_t cas = 0;
    REQUIRE(shard_->set(shard_->hash(key), {key, static_cast<std::uint32_t>(value.size()), 0, life.expires_at, 0, {}},
                        as_bytes(value), now, cas) == StoreStatus::kStored);
    lives_.push_back(std::move(life));
  }

  bool served(const Life& life, UnixSeconds now) {
    ItemView view;
    const auto key = as_bytes(life.key);
    const bool hit = shard_->find(shard_->hash(key), key, now, view) == FindStatus::kHit;
    if (hit) REQUIRE(view.expires_at == life.expires_at);
    return hit;
  }

  /// Items are looked at in their last second and in the first one after it, in the order of the clock, with whatever
  /// ticks come between.
  void run() {
    struct Look {
      UnixSeconds at;
      std::size_t life;
      bool there;
      bool operator>(const Look& other) const { return at > other.at; }
    };
    std::priority_queue<Look, std::vector<Look>, std::greater<>> looks;
    std::vector<std::size_t> immortal;
    UnixSeconds now = kStart;
    for (int i = 0; i < 6000; ++i) {
      if (random_() % 8 == 0) now += static_cast<UnixSeconds>(random_() % 4);
      store(now, random_ttl());
      const UnixSeconds expires_at = lives_.back().expires_at;
      if (expires_at == kNever) {
        immortal.push_back(lives_.size() - 1);
      } else {
        looks.push({expires_at - 1, lives_.size() - 1, true});
        looks.push({expires_at, lives_.size() - 1, false});
      }
      while (!looks.empty() && looks.top().at <= now) {
        // A step of the clock may have passed the last second over; what must be gone must be gone.
        const Look look = looks.top();
        looks.pop();
        const bool expected = lives_[look.life].expires_at > now;
        REQUIRE(served(lives_[look.life], now) == expected);
      }
    }
    while (!looks.empty()) {
      const Look look = looks.top();
      looks.pop();
      if (random_() % 4 == 0 && look.at > now)
        shard_->tick(now + static_cast<UnixSeconds>(random_() % (look.at - now)), 1 << 20);
      now = look.at;
      if (random_() % 2 == 0) shard_->tick(now, random_() % 2 == 0 ? 4096 : 1 << 20);
      INFO("key " << lives_[look.life].key << " expires " << lives_[look.life].expires_at << " clock " << now);
      REQUIRE(served(lives_[look.life], now) == look.there);
    }
    for (const std::size_t life : immortal) REQUIRE(served(lives_[life], now));
    for (int i = 0; i < 2000; ++i) shard_->tick(now, 1 << 20);
    const auto report = shard_->audit(now);
    INFO(report.first_fault);
    REQUIRE(report.faults == 0);
    REQUIRE(shard_->stats().evicted_items == 0);
    // Time, and the ticks, have given back nearly all of what the dead held.
    REQUIRE(shard_->stats().items <= immortal.size() + lives_.size() / 20);
  }

 private:
  static constexpr std::size_t kBytes = 24 << 20;
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::mt19937_64 random_;
  std::vector<Line> memory_;
  std::unique_ptr<Shard> shard_;
  std::vector<Life> lives_;
};

TEST_CASE("items of any TTL are served up to their last second and never after", "[storage][expiry]") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    INFO("seed " << seed);
    ExpiryTrial(seed).run();
  }
}

TEST_CASE("a touch moves the last second both ways, as often as it comes", "[storage][expiry]") {
  const std::uint64_t seed = 20261122;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  ExpiryTrial trial(seed);
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> memory((4 << 20) / 64);
  std::string why;
  ShardOptions options;
  options.now = kStart;
  const auto shard = Shard::format(std::as_writable_bytes(std::span(memory)), options, why);
  REQUIRE(shard != nullptr);
  UnixSeconds now = kStart;
  for (int round = 0; round < 2000; ++round) {
    const std::string name = "t" + std::to_string(round);
    const auto key = as_bytes(name);
    const auto probe = shard->hash(key);
    std::uint64_t cas = 0;
    UnixSeconds expires_at = now + trial.random_ttl() + 1;
    REQUIRE(shard->set(probe, {key, 3, 0, expires_at, 0, {}}, as_bytes("abc"), now, cas) == StoreStatus::kStored);
    ItemView view;
    for (std::uint64_t touches = random() % 4; touches > 0; --touches) {
      if (expires_at > now + 1)
        now += static_cast<UnixSeconds>(random() % std::min<UnixSeconds>(expires_at - now, 100));
      expires_at = now + trial.random_ttl() + 1;
      REQUIRE(shard->touch(probe, key, expires_at, now, view) == StoreStatus::kStored);
      REQUIRE(view.expires_at == expires_at);
      REQUIRE(view.cas == cas);
    }
    if (expires_at - now > 1000) continue;  // The clock stays near the start.
    now = expires_at - 1;
    REQUIRE(shard->find(probe, key, now, view) == FindStatus::kHit);
    now = expires_at;
    REQUIRE(shard->find(probe, key, now, view) == FindStatus::kMiss);
    REQUIRE(shard->touch(probe, key, kNever, now, view) == StoreStatus::kNotFound);
    shard->tick(now, 1 << 16);
  }
}

}  // namespace
