// Timers, hashes and tables of nicpipe/tcp, each against a plain model.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <vector>

#include "nicpipe/tcp/keyed_hash.h"
#include "nicpipe/tcp/rtt.h"
#include "nicpipe/tcp/segment.h"
#include "nicpipe/tcp/seq.h"
#include "nicpipe/tcp/source_table.h"
#include "nicpipe/tcp/time_wait.h"
#include "nicpipe/tcp/timer_wheel.h"

using namespace gannet;
using namespace gannet::nicpipe;
using namespace gannet::nicpipe::tcp;

namespace {

constexpr MonotonicNs kTick = MonotonicNs{1} << TimerWheel::kTickShift;

Tuple tuple_of(std::uint32_t peer, std::uint16_t port) {
  return {Ipv4{peer}, Ipv4{0x0a4d0002}, port, 11211};
}

}  // namespace

TEST_CASE("a timer fires at its tick, never early and at most a tick late", "[tcp][timers]") {
  TimerWheel wheel(4);
  for (const MonotonicNs deadline :
       {MonotonicNs{1}, 5 * kTick, 300 * kTick + 17, 70'000 * kTick, MonotonicNs{7} << 45}) {
    CAPTURE(deadline);
    wheel.set(2, deadline);
    const MonotonicNs due = wheel.deadline(2);
    REQUIRE(due >= deadline);
    REQUIRE(due <= deadline + kTick);
    REQUIRE(wheel.next() <= due);
    REQUIRE(wheel.expire(due - 1) == kNone);
    REQUIRE(wheel.expire(due) == 2);
    REQUIRE(wheel.expire(due) == kNone);
    REQUIRE(wheel.deadline(2) == TimerWheel::kNever);
  }
  REQUIRE(wheel.next() == TimerWheel::kNever);
}

TEST_CASE("random timers fire as in a plain map", "[tcp][timers]") {
  const std::uint32_t seed = 4711;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  constexpr std::uint32_t kThings = 200;
  TimerWheel wheel(kThings);
  std::map<std::uint32_t, MonotonicNs> model;
  MonotonicNs now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto thing = static_cast<std::uint32_t>(random() % kThings);
    switch (random() % 4) {
      case 0:
        wheel.clear(thing);
        model.erase(thing);
        break;
      case 1: {
        const MonotonicNs deadline = now + (random() >> (24 + random() % 40));
        wheel.set(thing, deadline);
        model[thing] = wheel.deadline(thing);
        REQUIRE(model[thing] >= deadline);
        break;
      }
      case 2: {
        const MonotonicNs deadline = now + (random() >> (24 + random() % 40));
        wheel.set_earlier(thing, deadline);
        if (model.count(thing) == 0 || model[thing] > deadline + kTick) model[thing] = wheel.deadline(thing);
        REQUIRE(wheel.deadline(thing) == model[thing]);
        break;
      }
      default: {
        now += random() >> (28 + random() % 36);
        MonotonicNs least = TimerWheel::kNever;
        for (const auto& [name, due] : model) least = std::min(least, due);
        REQUIRE(wheel.next() <= least);
        std::vector<std::uint32_t> fired, expected;
        for (std::uint32_t it = wheel.expire(now); it != kNone; it = wheel.expire(now)) fired.push_back(it);
        for (const auto& [name, due] : model)
          if (due >> TimerWheel::kTickShift <= now >> TimerWheel::kTickShift) expected.push_back(name);
        for (const std::uint32_t name : expected) model.erase(name);
        std::sort(fired.begin(), fired.end());
        REQUIRE(fired == expected);
      }
    }
  }
}

TEST_CASE("SipHash-2-4 gives its authors' numbers", "[tcp][hash]") {
  const Key key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  REQUIRE(sip_hash(key, std::initializer_list<std::uint64_t>{}) == 0x726fdb47dd0e0e31);
  REQUIRE(sip_hash(key, {0x0706050403020100}) == 0x93f5f5799a932462);
  REQUIRE(sip_hash(key, {0x0706050403020100, 0x0f0e0d0c0b0a0908}) == 0x3f2acc7f57c29bdb);
}

TEST_CASE("every part of a tuple and of the key moves the table's hash", "[tcp][hash]") {
  const Key key{11, 22};
  const Tuple base = tuple_of(0x0a4d0001, 4000);
  std::vector<std::uint32_t> hashes{table_hash(key, base), table_hash({11, 24}, base), table_hash({14, 22}, base)};
  for (int i = 0; i < 6; ++i) {
    Tuple other = base;
    if (i == 0) other.peer_port = 4001;
    if (i == 1) other.own_port = 11212;
    if (i == 2) other.peer.low ^= 1;
    if (i == 3) other.own.low ^= 1;
    if (i == 4) other.peer.high ^= 1;
    if (i == 5) other.own.high ^= 1;
    hashes.push_back(table_hash(key, other));
  }
  std::sort(hashes.begin(), hashes.end());
  REQUIRE(std::adjacent_find(hashes.begin(), hashes.end()) == hashes.end());
  // Ports that count up, as clients use them, spread over a small table.
  std::array<int, 64> buckets{};
  for (std::uint16_t port = 1024; port < 1024 + 6400; ++port) ++buckets[table_hash(key, tuple_of(1, port)) % 64];
  for (const int count : buckets) REQUIRE((count > 50 && count < 160));
}

TEST_CASE("sequence numbers compare across the wrap", "[tcp][seq]") {
  REQUIRE(seq_lt(0xffff'fff0, 0x10));
  REQUIRE(seq_gt(0x10, 0xffff'fff0));
  REQUIRE(seq_le(7, 7));
  REQUIRE(seq_max(0xffff'ffff, 0) == 0);
  REQUIRE(seq_min(0xffff'ffff, 0) == 0xffff'ffff);
}

TEST_CASE("sources are counted as in a plain map, whatever comes and goes", "[tcp][source]") {
  const std::uint32_t seed = 99;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  constexpr std::uint32_t kConnections = 64, kLimit = 3;
  SourceTable table(kConnections, kLimit, {5, 6});
  std::map<std::uint32_t, std::uint32_t> model, names;
  std::uint32_t all = 0;
  for (int step = 0; step < 50'000; ++step) {
    const std::uint32_t who = 0x0a000000 + random() % 100;
    if (random() % 2 == 0 && all < kConnections) {
      const bool fits = model[who] < kLimit;
      const std::uint32_t index = table.add(Ipv4{who});
      REQUIRE((index != kNone) == fits);
      if (!fits) continue;
      if (model[who]++ == 0) names[who] = index;
      REQUIRE(index == names[who]);  // It keeps its place, whoever comes and goes.
      REQUIRE(table[index].connections == model[who]);
      ++all;
    } else if (model[who] > 0) {
      table.remove(names[who]);
      --model[who], --all;
    }
  }
  REQUIRE(all > 0);
}

TEST_CASE("addresses of one IPv6 /64 are one source", "[tcp][source]") {
  SourceTable table(16, 2, {5, 6});
  const std::uint32_t first = table.add(IpAddress{0x20010db800000001, 1});
  REQUIRE(first != kNone);
  REQUIRE(table.add(IpAddress{0x20010db800000001, 2}) == first);
  REQUIRE(table.add(IpAddress{0x20010db800000001, 3}) == kNone);
  REQUIRE(table.add(IpAddress{0x20010db800000002, 1}) != first);
  table.remove(first);
  REQUIRE(table.add(IpAddress{0x20010db800000001, 4}) == first);
}

TEST_CASE("TIME-WAIT forgets in the order of age, and the oldest when it is full", "[tcp][timewait]") {
  TimeWaitTable table(3);
  const auto add = [&](std::uint16_t port, MonotonicNs until) {
    TimeWait entry;
    entry.tuple = tuple_of(1, port);
    entry.until_ns = until;
    return table.add(entry, port % 2u);  // Two chains for all.
  };
  const auto there = [&](std::uint16_t port) { return table.find(tuple_of(1, port), port % 2u) != kNone; };
  REQUIRE(table.next_due() == ~MonotonicNs{0});
  REQUIRE_FALSE(add(1, 100));
  REQUIRE_FALSE(add(2, 110));
  REQUIRE_FALSE(add(3, 120));
  REQUIRE(table.next_due() == 100);
  REQUIRE(add(5, 130));
  REQUIRE_FALSE(there(1));
  table.renew(table.find(tuple_of(1, 2), 0), 140);
  REQUIRE(table.next_due() == 120);
  table.expire(130, 1);
  REQUIRE((!there(3) && there(5) && there(2)));
  table.expire(130, 10);
  REQUIRE((!there(5) && there(2)));
  table.remove(table.find(tuple_of(1, 2), 0));
  REQUIRE(table.used() == 0);
  REQUIRE(table.next_due() == ~MonotonicNs{0});
}

TEST_CASE("the retransmission timeout follows RFC 6298", "[tcp][rtt]") {
  Rtt rtt;
  constexpr MonotonicNs kMs = 1'000'000;
  REQUIRE(rtt.timeout(1000 * kMs, 200 * kMs, 60'000 * kMs) == 1000 * kMs);
  rtt.sample(100 * kMs);  // SRTT 100, RTTVAR 50.
  REQUIRE(rtt.timeout(1000 * kMs, 200 * kMs, 60'000 * kMs) == 300 * kMs);
  rtt.sample(100 * kMs);  // RTTVAR 37.5.
  REQUIRE(rtt.timeout(1000 * kMs, 20 * kMs, 60'000 * kMs) == 250 * kMs);
  for (int i = 0; i < 50; ++i) rtt.sample(100 * kMs);
  REQUIRE(rtt.timeout(1000 * kMs, 200 * kMs, 60'000 * kMs) == 300 * kMs);
  REQUIRE(rtt.timeout(1000 * kMs, 1 * kMs, 150 * kMs) == 101 * kMs);
  REQUIRE(rtt.least_ns == 100 * kMs);
}

TEST_CASE("the first sample takes the place of a first idea", "[tcp][rtt]") {
  Rtt rtt;
  constexpr MonotonicNs kMs = 1'000'000;
  rtt.sample_coarse(10'000 * kMs);  // As if many acknowledgements had been lost before this one.
  REQUIRE(rtt.timeout(1000 * kMs, 200 * kMs, 60'000 * kMs) == 30'000 * kMs);
  rtt.sample(100 * kMs);
  REQUIRE(rtt.timeout(1000 * kMs, 200 * kMs, 60'000 * kMs) == 300 * kMs);
  rtt.sample(100 * kMs);
  REQUIRE(rtt.timeout(1000 * kMs, 20 * kMs, 60'000 * kMs) == 250 * kMs);
}

TEST_CASE("any option bytes are read without going beyond them", "[tcp][options]") {
  const std::uint32_t seed = 31;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const auto bytes = std::make_unique<std::byte[]>(random() % 41);
    const std::size_t count = i % 41;
    const auto exact = std::make_unique<std::byte[]>(count);
    for (std::size_t k = 0; k < count; ++k)
      exact[k] = static_cast<std::byte>(random() % 3 == 0 ? random() : random() % 11);
    Options options;
    parse_options({exact.get(), count}, options);
    REQUIRE(options.sack_count <= 4);
    REQUIRE((options.window_scale <= 14 || options.window_scale == Options::kNoScale));
  }
}
