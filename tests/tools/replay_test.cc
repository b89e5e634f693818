// gannet-replay counts what a look-aside client sees: misses, exact expiry, deletes; in a shard of its own and over the
// wire.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tools/gannet-replay/reference.h"
#include "tools/gannet-replay/replay.h"
#include "tools/gannet-replay/wire_replay.h"
#include "tools/load/wire.h"

namespace gannet::replay {
namespace {

/// A trace file of its own, gone at the end.
class TraceFile {
 public:
  void add(std::uint32_t second, std::uint64_t id, Operation operation, std::uint32_t lifetime_s,
           std::uint32_t value_bytes = 100) {
    std::byte record[Trace::kRecordBytes];
    store_raw(record, second);
    store_raw(record + 4, id);
    store_raw(record + 12, std::uint32_t{16} << 22 | value_bytes);
    store_raw(record + 16, static_cast<std::uint32_t>(operation) << 24 | lifetime_s);
    bytes_.append(reinterpret_cast<const char*>(record), sizeof record);
  }
  [[nodiscard]] bool open(Trace& trace, std::string& why) const {
    std::FILE* const file = std::fopen(path_.c_str(), "wb");
    REQUIRE(file != nullptr);
    REQUIRE(std::fwrite(bytes_.data(), 1, bytes_.size(), file) == bytes_.size());
    REQUIRE(std::fclose(file) == 0);
    const bool opened = trace.open(path_, why);
    std::remove(path_.c_str());
    return opened;
  }
  std::string bytes_;

 private:
  std::string path_ = "replay_test." + std::to_string(getpid()) + ".bin";
};

TEST_CASE("a replay counts first gets, gets from the second of expiry on, and gets after a delete as misses",
          "[replay]") {
  TraceFile file;
  file.add(0, 1, Operation::kGet, 5);
  file.add(4, 1, Operation::kGet, 5);
  file.add(5, 1, Operation::kGet, 5);
  file.add(6, 1, Operation::kDelete, 5);
  file.add(6, 1, Operation::kGet, 5);
  file.add(7, 2, Operation::kSet, 5);
  file.add(8, 2, Operation::kGet, 5);
  Trace trace;
  std::string why;
  REQUIRE(file.open(trace, why));
  const Outcome outcome = replay(trace, {.memory_bytes = 1 << 20}, {});
  REQUIRE(outcome.error == "");
  REQUIRE(outcome.gets == 5);
  REQUIRE(outcome.misses == 3);
  REQUIRE(outcome.wrong == 0);
  REQUIRE(outcome.stats.memory_bytes <= 1 << 20);
}

TEST_CASE("with more objects than memory what is asked for again and again stays", "[replay]") {
  TraceFile file;
  for (std::uint32_t i = 0; i < 40'000; ++i) {
    file.add(i / 100, 1'000'000 + i, Operation::kGet, 1000);
    file.add(i / 100, i % 100, Operation::kGet, 1000);
  }
  Trace trace;
  std::string why;
  REQUIRE(file.open(trace, why));
  const Outcome outcome = replay(trace, {.memory_bytes = 1 << 20}, {});
  REQUIRE(outcome.error == "");
  REQUIRE(outcome.wrong == 0);
  REQUIRE(outcome.misses >= 40'100);
  REQUIRE(outcome.misses < 41'000);
}

/// A server at the other end of a link: it keeps everything for ever, up to what the test makes it do.
class Server final : public load::Link {
 public:
  explicit Server(bool datagrams) : frame_(datagrams ? load::kFrameBytes : 0), message_(4096) {}
  std::byte* open(std::uint32_t, std::uint16_t) override { return message_.data(); }
  void close(std::uint32_t bytes) override {
    const std::byte* const in = message_.data() + frame_;
    const std::uint32_t extras = std::to_integer<std::uint32_t>(in[4]), key_bytes = load_be<std::uint16_t>(in + 2);
    REQUIRE(frame_ + load::kHeaderBytes + load_be<std::uint32_t>(in + 8) == bytes);
    ++asked;
    if (drop_every != 0 && asked % drop_every == 0) return;
    const std::byte* const key_at = in + load::kHeaderBytes + extras;
    const std::string key(reinterpret_cast<const char*>(key_at), key_bytes);
    const std::string value(reinterpret_cast<const char*>(key_at + key_bytes),
                            load_be<std::uint32_t>(in + 8) - extras - key_bytes);
    std::uint16_t status = load::kStatusOk;
    std::string body;
    switch (static_cast<load::Opcode>(in[1])) {
      case load::Opcode::kGet:
        if (const auto found = items.find(key); found != items.end()) {
          body.assign(4, '\0').append(found->second);
        } else {
          status = load::kStatusNotFound;
        }
        break;
      case load::Opcode::kSet:
        lifetime_s = load_be<std::uint32_t>(in + load::kHeaderBytes + 4);
        items[key] = value;
        break;
      case load::Opcode::kDelete:
        items.erase(key);
        break;
    }
    std::vector<std::byte> out(frame_ + load::kHeaderBytes + body.size());
    if (frame_ != 0) load::write_frame(out.data(), load_be<std::uint16_t>(message_.data()));
    std::byte* const head = out.data() + frame_;
    head[0] = std::byte{0x81};
    head[1] = in[1];
    head[4] = std::byte{status == load::kStatusOk && !body.empty() ? std::uint8_t{4} : std::uint8_t{0}};
    store_be(head + 6, status);
    store_be(head + 8, static_cast<std::uint32_t>(body.size()));
    std::memcpy(head + 12, in + 12, 4);
    std::memcpy(head + load::kHeaderBytes, body.data(), body.size());
    if (frame_ != 0 && out.size() > datagram_max) return divide(out);
    answers_.push_back(std::move(out));
  }
  std::uint32_t flush() override { return 0; }
  std::uint32_t receive(std::span<load::Inbound> out) override {
    given_.swap(answers_);
    answers_.clear();
    REQUIRE(given_.size() <= out.size());
    for (std::size_t i = 0; i < given_.size(); ++i) out[i] = {0, given_[i]};
    return static_cast<std::uint32_t>(given_.size());
  }
  void wait(std::uint64_t) override {}

  std::map<std::string, std::string> items;
  std::uint64_t asked = 0, drop_every = 0;
  std::size_t datagram_max = 4096;
  std::uint32_t lifetime_s = 0;

 private:
  /// The last datagram first, and each twice.
  void divide(const std::vector<std::byte>& answer) {
    const std::size_t room = datagram_max - load::kFrameBytes, bytes = answer.size() - load::kFrameBytes;
    const std::size_t count = (bytes + room - 1) / room;
    for (std::size_t i = count; i-- > 0;) {
      const std::size_t from = load::kFrameBytes + i * room, part = std::min(room, answer.size() - from);
      std::vector<std::byte> out(load::kFrameBytes + part);
      std::memcpy(out.data(), answer.data(), load::kFrameBytes);
      store_be(out.data() + 2, static_cast<std::uint16_t>(i));
      store_be(out.data() + 4, static_cast<std::uint16_t>(count));
      std::memcpy(out.data() + load::kFrameBytes, answer.data() + from, part);
      answers_.insert(answers_.end(), 2, out);
    }
  }

  const std::uint32_t frame_;
  std::vector<std::byte> message_;
  std::vector<std::vector<std::byte>> answers_, given_;
};

TEST_CASE("over the wire the same gets miss as in a shard, by the trace's own time", "[replay][wire]") {
  const bool datagrams = GENERATE(false, true);
  TraceFile file;
  file.add(0, 1, Operation::kGet, 5);
  file.add(4, 1, Operation::kGet, 5);
  file.add(5, 1, Operation::kGet, 5);  // The server still has it.
  file.add(6, 1, Operation::kDelete, 5);
  file.add(6, 1, Operation::kGet, 5);
  file.add(7, 2, Operation::kSet, 5);
  file.add(8, 2, Operation::kGet, 5);
  file.add(9, 3, Operation::kGet, 5);  // Stored by somebody before.
  file.add(9, 4, Operation::kGet, 5, 2000);
  Trace trace;
  std::string why;
  REQUIRE(file.open(trace, why));
  Server server(datagrams);
  server.items["0000000000000003"] = "another's";
  const WireRun run{.datagrams = datagrams, .message_max = datagrams ? 1400u : longest_set(trace)};
  const Outcome outcome = replay_over(server, 11211, trace, run, {});
  REQUIRE(outcome.error == "");
  CHECK(outcome.requests == trace.size());
  CHECK(outcome.gets == 7);
  CHECK(outcome.misses == 5);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.lost == 0);
  CHECK(outcome.refused == (datagrams ? 1 : 0));
  CHECK(server.lifetime_s == 5);
  CHECK(server.items.size() == (datagrams ? 3 : 4));
}

TEST_CASE("answers of several datagrams are put together, whatever order they come in", "[replay][wire]") {
  TraceFile file;
  for (std::uint32_t i = 0; i < 60; ++i) file.add(0, i % 6, Operation::kGet, 5, 300 + i % 6 * 500);
  Trace trace;
  std::string why;
  REQUIRE(file.open(trace, why));
  Server server(true);
  server.datagram_max = GENERATE(128, 500, 1400);
  INFO("datagrams of " << server.datagram_max);
  const WireRun run{.datagrams = true, .message_max = 4096, .batch = 6, .timeout_ms = 1};
  const Outcome outcome = replay_over(server, 11211, trace, run, {});
  REQUIRE(outcome.error == "");
  CHECK(outcome.misses == 6);
  CHECK(outcome.wrong == 0);
  CHECK(outcome.lost == 0);
  CHECK(outcome.refused == 0);
}

TEST_CASE("over the wire a wrong value is counted, a lost datagram too, and a silent server is an error",
          "[replay][wire]") {
  TraceFile file;
  for (std::uint32_t i = 0; i < 100; ++i) file.add(0, i % 50, Operation::kGet, 5);
  Trace trace;
  std::string why;
  REQUIRE(file.open(trace, why));
  WireRun run{.datagrams = true, .message_max = 1400, .batch = 25, .timeout_ms = 1};
  Server lossy(true);
  lossy.drop_every = 10;
  const Outcome outcome = replay_over(lossy, 11211, trace, run, {});
  REQUIRE(outcome.error == "");
  CHECK(outcome.lost == lossy.asked / 10);
  CHECK(outcome.misses > 50);
  CHECK(outcome.misses < 70);

  Server liar(true);
  liar.drop_every = 1'000'000;
  TraceFile twice;
  twice.add(0, 7, Operation::kGet, 5);
  twice.add(0, 7, Operation::kGet, 5, 99);
  Trace short_trace;
  REQUIRE(twice.open(short_trace, why));
  CHECK(replay_over(liar, 11211, short_trace, run, {}).wrong == 1);

  Server silent(true);
  silent.drop_every = 1;
  CHECK(replay_over(silent, 11211, trace, run, {}).error == "the server does not answer.");
}

TEST_CASE("what is no trace is refused with a sentence", "[replay]") {
  TraceFile file;
  file.add(5, 1, Operation::kGet, 5);
  file.add(4, 1, Operation::kGet, 5);
  Trace trace;
  std::string why;
  REQUIRE_FALSE(file.open(trace, why));
  REQUIRE(why.find("record 1 is not one of a trace") != std::string::npos);
}

}  // namespace
}  // namespace gannet::replay
