// gannet-replay counts what a look-aside client sees: misses, exact expiry, deletes.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "tools/gannet-replay/reference.h"
#include "tools/gannet-replay/replay.h"

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
