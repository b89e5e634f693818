/// Streams on threads of their own: what crosses between workers crosses in the rings alone. Runs under the thread
/// sanitizer.
#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/dataplane/stream_rig.h"
#include "tests/dataplane/wire.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)

/// What one worker's thread found wrong: Catch's macros are for one thread.
struct Found {
  std::string fault;
  std::uint32_t answers = 0;
};

/// Clients of worker `k`, each with keys of its own, whose owners are everywhere: small values, large ones, a FLUSH
/// from worker 0, connections that end in the middle of a value.
void drive(StreamRig& rig, std::uint32_t k, std::atomic<std::uint32_t>& done, std::uint32_t workers, Found& found) {
  rig.shard(k).bind_owner();
  gannet::nicpipe::tcp::Sink sink(1, 1, 1);
  gannet::Now now{.unix_s = 1'800'000'000, .mono_ns = 1'000'000'000};
  std::mt19937_64 random(7 + k);
  const auto turn = [&] {
    now.mono_ns += 1000;
    if (!rig.turn(k, now, sink)) std::this_thread::yield();
  };
  constexpr int kRounds = 120;
  for (int round = 0; round < kRounds && found.fault.empty(); ++round) {
    const StreamRig::Line line = rig.connect(k);
    std::string requests;
    std::vector<std::string> expected;
    for (int i = 0; i < 20; ++i) {
      const std::string key = std::to_string(k) + "-" + std::to_string(round) + "-" + std::to_string(i);
      const std::string value(random() % 7 == 0 ? 9000 : random() % 500, static_cast<char>('a' + i));
      requests += set(key, value).bytes() + get(key).bytes();
      expected.push_back(value);
    }
    rig.send(line, requests, 1 + random() % 3000);
    std::string got;
    const auto whole = [&] {
      std::size_t bytes = 0;
      for (const std::string& value : expected) bytes += 24 + 28 + value.size();
      return bytes;
    }();
    for (std::uint64_t turns = 0; got.size() < whole && turns < 5'000'000; ++turns) {
      turn();
      got += rig.engine(line).acknowledge(line.id);
    }
    if (got.size() != whole) {
      found.fault = "answers are missing";
      break;
    }
    const std::vector<Response> answers = responses_of(got);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (answers[2 * i].status != 0 || answers[2 * i + 1].value != expected[i]) found.fault = "a wrong answer";
    }
    found.answers += static_cast<std::uint32_t>(answers.size());
    rig.send(line, set("half" + std::to_string(round), std::string(50'000, 'h')).bytes().substr(0, 30'000));
    turn();
    turn();
    rig.engine(line).reset(line.id);
    turn();
  }
  // Others may still have errands here.
  for (done.fetch_add(1); done.load() < workers;) turn();
  for (int more = 0; more < 50; ++more) turn();
}

TEST_CASE("streams on threads answer every request, in order, with the right value", "[dataplane][threads][stream]") {
  const std::uint32_t workers = GENERATE(2u, 3u);
  StreamRig rig({.workers = workers, .shard_bytes = 32u << 20});
  std::atomic<std::uint32_t> done{0};
  std::vector<Found> found(workers);
  std::vector<std::thread> threads;
  for (std::uint32_t k = 0; k < workers; ++k) threads.emplace_back([&, k] { drive(rig, k, done, workers, found[k]); });
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t k = 0; k < workers; ++k) {
    rig.shard(k).bind_owner();
    REQUIRE(found[k].fault.empty());
    REQUIRE(found[k].answers == 120 * 40);
  }
}

}  // namespace
