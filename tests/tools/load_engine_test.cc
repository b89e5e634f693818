// One thread's load against a server made of a map, over a wire made of a queue, in a time that only the test moves.
#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/tools/map_items.h"
#include "tools/load/engine.h"

using namespace gannet;
using namespace gannet::load;

namespace {

std::uint64_t g_now_ns = 1'000'000;
MonotonicNs test_clock() {
  return g_now_ns;
}

/// Answers at once unless told otherwise. Time moves when the engine waits, and a little with every receive.
class MapServer final : public Link {
 public:
  MapItems items;
  std::function<bool(std::uint64_t number)> loses = [](std::uint64_t) { return false; };  ///< Of request datagrams.
  std::function<void(std::vector<std::byte>&)> spoil = [](std::vector<std::byte>&) {};    ///< Of answer datagrams.
  std::uint64_t answers_from_ns = 0;                                                      ///< Until then it is stalled.
  std::uint64_t step_ns = 1000;
  std::size_t piece_bytes = 1392;
  bool last_piece_first = false, doubles = false;
  std::atomic<bool>* stop = nullptr;
  std::uint64_t stop_at_ns = 0;
  std::map<std::uint16_t, int> ports;
  std::uint64_t requests = 0;

  std::byte* open(std::uint32_t flow, std::uint16_t port) override {
    flow_ = flow;
    ++ports[port];
    buffer_.resize(70'000);
    return buffer_.data();
  }
  void close(std::uint32_t bytes) override { serve({buffer_.data(), bytes}); }
  std::uint32_t flush() override { return 0; }
  std::uint32_t receive(std::span<Inbound> out) override {
    move_time(step_ns);
    given_.clear();
    if (g_now_ns < answers_from_ns) return 0;
    std::uint32_t count = 0;
    while (count < out.size() && !waiting_.empty()) {
      given_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
      out[count++] = {given_.back().first, given_.back().second};
    }
    return count;
  }
  void wait(std::uint64_t ns) override { move_time(ns); }

 private:
  void move_time(std::uint64_t ns) {
    g_now_ns += ns;
    if (stop != nullptr && g_now_ns >= stop_at_ns) stop->store(true);
  }
  void serve(Bytes datagram) {
    const std::uint64_t number = requests++;
    if (loses(number)) return;
    const Frame frame = read_frame(datagram.data());
    REQUIRE(frame.datagrams == 1);
    Bytes rest = datagram.subspan(kFrameBytes);
    while (!rest.empty()) {
      const Bytes request = first_request(rest);
      answer(frame.request_id, request);
      rest = rest.subspan(request.size());
    }
  }
  void answer(std::uint16_t id, Bytes request) { split(id, items.answer(request)); }
  void split(std::uint16_t id, const std::vector<std::byte>& answer) {
    const std::size_t pieces = (answer.size() + piece_bytes - 1) / piece_bytes;
    for (std::size_t i = 0; i < pieces; ++i) {
      const std::size_t piece = last_piece_first ? pieces - 1 - i : i;
      std::vector<std::byte> datagram(kFrameBytes);
      write_frame(datagram.data(), id);
      store_be(datagram.data() + 2, static_cast<std::uint16_t>(piece));
      store_be(datagram.data() + 4, static_cast<std::uint16_t>(pieces));
      const Bytes bytes =
          Bytes{answer}.subspan(piece * piece_bytes, std::min(piece_bytes, answer.size() - piece * piece_bytes));
      datagram.insert(datagram.end(), bytes.begin(), bytes.end());
      spoil(datagram);
      waiting_.emplace_back(flow_, datagram);
      if (doubles) waiting_.emplace_back(flow_, datagram);
    }
  }

  std::uint32_t flow_ = 0;
  std::vector<std::byte> buffer_;
  std::deque<std::pair<std::uint32_t, std::vector<std::byte>>> waiting_, given_;
};

struct Bench {
  explicit Bench(std::vector<std::string> arguments) {
    const ParseOutcome outcome = parse_options(arguments, false, options);
    INFO(outcome.text);
    REQUIRE(outcome.run);
    keyspace.emplace(options.keyspace());
    engine.emplace(options, *keyspace, server, tally, 0, test_clock);
  }
  TallyPicture run() {
    engine->run(stop);
    engine->drain();
    TallyPicture picture = tally.picture();
    REQUIRE(picture[Count::kSent] == picture.answers() + picture[Count::kLost]);
    return picture;
  }

  Options options;
  MapServer server;
  Tally tally;
  std::optional<Keyspace> keyspace;
  std::optional<Engine> engine;
  std::atomic<bool> stop{false};
};

}  // namespace

TEST_CASE("after a preload every GET hits and every value is right", "[load][engine]") {
  Bench bench({"--keys", "500", "--requests", "2000", "--value-bytes", "uniform:1-900", "--seconds", "0"});
  REQUIRE(bench.engine->preload(bench.stop) == "");
  REQUIRE(bench.server.items.values.size() == 500);
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kSent] == 2500);
  REQUIRE(picture[Count::kMiss] == 0);
  REQUIRE(picture[Count::kWrong] == 0);
  REQUIRE(picture[Count::kLost] == 0);
  REQUIRE(picture[Count::kHit] > 1700);
  REQUIRE(picture.gets.count() == picture[Count::kHit]);
  REQUIRE(picture.sets.count() == picture[Count::kStored]);
}

TEST_CASE("a preload repeats what was lost until every key is stored", "[load][engine]") {
  Bench bench({"--keys", "300", "--timeout-ms", "10"});
  bench.server.loses = [](std::uint64_t number) { return number % 3 == 0; };
  REQUIRE(bench.engine->preload(bench.stop) == "");
  REQUIRE(bench.server.items.values.size() == 300);
  REQUIRE(bench.tally.value(Count::kLost) >= 100);
}

TEST_CASE("a preload that nobody answers gives up with a sentence", "[load][engine]") {
  Bench bench({"--keys", "10", "--timeout-ms", "10"});
  bench.server.loses = [](std::uint64_t) { return true; };
  REQUIRE(bench.engine->preload(bench.stop).find("is the appliance up") != std::string::npos);
}

TEST_CASE("lost requests are counted as lost, doubled answers as late", "[load][engine]") {
  Bench bench({"--keys", "10", "--requests", "1000", "--no-preload", "--timeout-ms", "10", "--seconds", "0"});
  bench.server.loses = [](std::uint64_t number) { return number % 10 == 0; };
  bench.server.doubles = true;
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kLost] == 100);
  REQUIRE(picture[Count::kLate] == 900);
}

TEST_CASE("an answer after the timeout is late, and does not settle the request that took its place",
          "[load][engine]") {
  Bench bench({"--keys", "50", "--requests", "64", "--gets", "1", "--popularity", "uniform", "--timeout-ms", "10",
               "--connections", "1", "--depth", "4", "--seconds", "0"});
  REQUIRE(bench.engine->preload(bench.stop) == "");
  bench.server.answers_from_ns = g_now_ns + 35'000'000;
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kLost] >= 4);
  REQUIRE(picture[Count::kLate] == picture[Count::kLost]);
  REQUIRE(picture.answers() + picture[Count::kLost] == 50 + 64);
  REQUIRE(picture[Count::kWrong] == 0);  // A stale answer taken for a new one would carry another key's value.
}

TEST_CASE("a value of another key is told as wrong", "[load][engine]") {
  Bench bench({"--keys", "50", "--requests", "500", "--gets", "1", "--seconds", "0"});
  REQUIRE(bench.engine->preload(bench.stop) == "");
  const std::string foreign = bench.server.items.values.rbegin()->second;
  bench.server.items.values.begin()->second = foreign;
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kWrong] > 0);
  REQUIRE(picture[Count::kWrong] < picture[Count::kHit]);
}

TEST_CASE("rubbish in place of an answer is malformed, and its request lost", "[load][engine]") {
  Bench bench({"--keys", "10", "--requests", "100", "--no-preload", "--timeout-ms", "5", "--seconds", "0"});
  bench.server.spoil = [&](std::vector<std::byte>& datagram) { datagram[8] = std::byte{0x42}; };
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kMalformed] == 100);
  REQUIRE(picture[Count::kLost] == 100);
}

TEST_CASE("answers of several datagrams are put together in any order", "[load][engine]") {
  const bool last_first = GENERATE(false, true);
  Bench bench(
      {"--keys", "20", "--requests", "400", "--value-bytes", "uniform:1-8000", "--mtu", "9000", "--seconds", "0"});
  bench.server.last_piece_first = last_first;
  REQUIRE(bench.engine->preload(bench.stop) == "");
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kWrong] == 0);
  REQUIRE(picture[Count::kMalformed] == 0);
  REQUIRE(picture[Count::kLost] == 0);
  REQUIRE(picture[Count::kHit] > 300);
}

TEST_CASE("a batch is one datagram, and each of its requests is counted", "[load][engine]") {
  Bench bench({"--keys", "100", "--requests", "803", "--batch", "8", "--no-preload", "--seconds", "0"});
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kSent] == 803);
  REQUIRE(picture.answers() == 803);
  REQUIRE(bench.server.requests == 101);
}

TEST_CASE("fill stores what was missed", "[load][engine]") {
  Bench bench({"--keys", "50", "--requests", "2000", "--no-preload", "--gets", "1", "--fill", "--seconds", "0"});
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kMiss] > 0);
  REQUIRE(picture[Count::kStored] > 0);
  REQUIRE(picture[Count::kHit] > 1500);
  REQUIRE(picture[Count::kWrong] == 0);
}

TEST_CASE("a stall shows in every request it delayed: latency counts from the intended moment", "[load][engine]") {
  // 1000 requests a second, a stall of 100 ms: the 100 requests that were due meanwhile waited 50 ms on average,
  // although only the 4 in flight were on the wire.
  Bench bench({"--keys", "10", "--requests", "1000", "--rate", "1000", "--arrival", "even", "--no-preload",
               "--connections", "1", "--depth", "4", "--timeout-ms", "1000", "--seconds", "0"});
  bench.server.answers_from_ns = g_now_ns + 100'000'000;
  const TallyPicture picture = bench.run();
  Picture all = picture.gets;
  all += picture.sets;
  REQUIRE(all.count() == 1000);
  REQUIRE(all.at(0.905) > 1'000'000);
  REQUIRE(all.at(0.95) > 40'000'000);
  REQUIRE(all.at(0.95) < 60'000'000);
  REQUIRE(all.max() > 95'000'000);
  REQUIRE(all.at(0.85) < 100'000);
}

TEST_CASE("an open loop that cannot keep up says how much it did not send", "[load][engine]") {
  Bench bench({"--keys", "10", "--rate", "100000", "--arrival", "even", "--no-preload", "--connections", "1", "--depth",
               "1", "--seconds", "1"});
  bench.server.step_ns = 100'000;  // One answer each 100 us or so: 10,000 a second.
  bench.server.stop = &bench.stop;
  bench.server.stop_at_ns = g_now_ns + 100'000'000;
  const TallyPicture picture = bench.run();
  REQUIRE(picture[Count::kSent] < 2500);
  REQUIRE(bench.engine->not_sent() + picture[Count::kSent] == Approx(10'000).margin(50));
}

TEST_CASE("the owner's port follows the key, spread ports follow the flow", "[load][engine]") {
  Bench owner({"--keys", "400", "--requests", "400", "--no-preload", "--route", "owner", "--workers", "4",
               "--popularity", "uniform", "--seconds", "0"});
  static_cast<void>(owner.run());
  REQUIRE(owner.server.ports.size() == 4);
  for (const auto& [port, count] : owner.server.ports) {
    REQUIRE(port >= 11212);
    REQUIRE(port <= 11215);
    REQUIRE(count > 50);
  }
  Bench spread({"--keys", "400", "--requests", "400", "--no-preload", "--route", "spread", "--workers", "2",
                "--connections", "4", "--seconds", "0"});
  static_cast<void>(spread.run());
  REQUIRE(spread.server.ports.size() == 2);
}

TEST_CASE("the routing rule is CRC32C of the key, scaled to the workers", "[load][engine]") {
  // CRC32C("123456789") = 0xe3069283 (RFC 3720 gives the polynomial; the check value is the usual one).
  REQUIRE(owner_of(as_bytes("123456789"), 1) == 0);
  REQUIRE(owner_of(as_bytes("123456789"), 64) == (0xe3069283u >> 26));
}

TEST_CASE("threads share the keys without gap or overlap", "[load][engine]") {
  Options options;
  REQUIRE(parse_options({"--keys", "10", "--threads", "3"}, false, options).run);
  const Keyspace keyspace(options.keyspace());
  std::map<std::string, std::string> items;
  std::uint64_t stored = 0;
  for (std::uint32_t thread = 0; thread < 3; ++thread) {
    MapServer server;
    Tally tally;
    std::atomic<bool> stop{false};
    Engine engine(options, keyspace, server, tally, thread, test_clock);
    REQUIRE(engine.preload(stop) == "");
    stored += tally.value(Count::kStored);
    items.merge(server.items.values);
  }
  REQUIRE(stored == 10);
  REQUIRE(items.size() == 10);
}
