/// Who gets how many of the blocks that wait for acknowledgements.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "nicpipe/tcp/engine.h"

using namespace gannet;                // NOLINT(google-build-using-namespace)
using namespace gannet::nicpipe;       // NOLINT(google-build-using-namespace)
using namespace gannet::nicpipe::tcp;  // NOLINT(google-build-using-namespace)

namespace {

/// An engine whose connections never get an acknowledgement: readers that do not read.
struct Crowd {
  static Config config_of(std::uint32_t connections) {
    Config config;
    config.interfaces[0].address = Ipv4{0x0a4d0002};
    config.connections_max = connections;
    config.send_blocks = 4096;
    config.send_bytes_max = 64 * 1024;
    return config;
  }

  explicit Crowd(std::uint32_t connections) : engine(config_of(connections)) {}
  ~Crowd() { engine.end_all(sink); }

  ConnectionId open(std::uint32_t address, std::uint16_t port) {
    Packet packet;  // For the SYN, which goes nowhere.
    packet.data = frame.data();
    packet.buffer = frame.data();
    packet.tailroom = static_cast<std::uint16_t>(frame.size());
    sink.put_spare(packet);
    engine.flush(now, sink);  // Slots of connections that ended are free from here on.
    const ConnectionId id = engine.connect(0, port, IpAddress{Ipv4{address}}, 11211, Mac{}, now, sink);
    sink.sent(static_cast<std::uint32_t>(sink.to_send().size()));
    REQUIRE(engine.is_live(id));
    return id;
  }
  /// Writes until nothing more is taken; gives how much was.
  std::uint32_t fill(ConnectionId id, std::uint32_t piece = 2048) {
    const std::vector<std::byte> bytes(piece);
    std::uint32_t all = 0;
    while (const std::uint32_t taken = engine.write(id, bytes)) all += taken;
    return all;
  }
  [[nodiscard]] std::uint64_t used() const { return engine.stats().blocks_used; }

  std::array<std::byte, 256> frame{};
  Sink sink{16, 16, 16};
  Engine engine;
  const Now now{0, 1'000'000'000};
};

}  // namespace

TEST_CASE("one source's readers that do not read hold a quarter of the blocks, and one each", "[tcp][share]") {
  constexpr std::uint32_t kReaders = 1000;
  Crowd crowd(kReaders + 8);
  for (std::uint32_t reader = 0; reader < kReaders; ++reader)
    REQUIRE(crowd.fill(crowd.open(0x0a4d0001, static_cast<std::uint16_t>(1000 + reader))) >= 2048);
  REQUIRE(crowd.used() <= 4096 / 4 + kReaders);
  // Somebody else has what a connection may have when half of all blocks are left.
  REQUIRE(crowd.engine.writable_bytes(crowd.open(0x0a4d0003, 1000)) >= 32 * 1024);
  crowd.engine.check();
}

TEST_CASE("readers of many sources that do not read leave blocks to others", "[tcp][share]") {
  constexpr std::uint32_t kReaders = 350;  // 128 of them would hold all blocks with 64 KiB each.
  Crowd crowd(kReaders + 8);
  for (std::uint32_t reader = 0; reader < kReaders; ++reader) {
    INFO("reader " << reader);
    REQUIRE(crowd.fill(crowd.open(0x0b000000 + reader, 1000)) >= 2048);
  }
  REQUIRE(crowd.used() < 4096);
  REQUIRE(crowd.engine.writable_bytes(crowd.open(0x0c000001, 1000)) >= 2048);
  crowd.engine.check();
}

TEST_CASE("what a source gave back is there again", "[tcp][share]") {
  Crowd crowd(128);
  std::vector<ConnectionId> readers;
  for (std::uint16_t reader = 0; reader < 100; ++reader) readers.push_back(crowd.open(0x0a4d0001, 1000 + reader));
  for (int round = 0; round < 3; ++round) {
    for (const ConnectionId id : readers) crowd.fill(id);
    const std::uint32_t before = crowd.engine.writable_bytes(crowd.open(0x0a4d0001, 2000 + round));
    REQUIRE(before == 2048);  // The first one is everybody's.
    for (ConnectionId& id : readers) {
      const auto port = static_cast<std::uint16_t>(3000 + round * 100 + (&id - readers.data()));
      crowd.engine.abort(id, crowd.now, crowd.sink);
      id = crowd.open(0x0a4d0001, port);
    }
    REQUIRE(crowd.engine.writable_bytes(readers[0]) >= 63 * 1024);
  }
}

TEST_CASE("writing makes the room smaller by what was written and no more", "[tcp][share]") {
  const std::uint32_t seed = 17;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  Crowd crowd(600);
  std::vector<ConnectionId> ids;
  for (std::uint32_t i = 0; i < 500; ++i) ids.push_back(crowd.open(0x0b000000 + i % 40, static_cast<std::uint16_t>(i)));
  const std::vector<std::byte> bytes(5000);
  std::uint64_t refused = 0;
  for (int step = 0; step < 20'000; ++step) {
    const ConnectionId id = ids[random() % ids.size()];
    const std::uint32_t room = crowd.engine.writable_bytes(id), wanted = 1 + random() % 5000;
    const std::uint32_t taken = crowd.engine.write(id, Bytes(bytes).first(wanted));
    REQUIRE(taken == std::min(room, wanted));
    REQUIRE(crowd.engine.writable_bytes(id) == room - taken);
    refused += taken < wanted;
  }
  REQUIRE(refused > 1000);  // It was about scarce blocks.
}

TEST_CASE("what a connection holds is told, grows with what it is written, and ends with it", "[tcp][share]") {
  Crowd crowd(8);
  const std::uint64_t all = crowd.engine.memory_bytes();
  const ConnectionId id = crowd.open(0x0a4d0001, 2000), other = crowd.open(0x0a4d0001, 2001);
  const std::uint64_t idle = crowd.engine.memory_bytes(id);
  REQUIRE(idle <= 1024);
  const std::uint32_t written = crowd.fill(id);
  REQUIRE(written >= 64 * 1024 - 1);  // The SYN counts as one.
  const std::uint64_t held = crowd.engine.memory_bytes(id);
  REQUIRE(held >= idle + written);
  REQUIRE(held <= idle + written + written / 2048 * 64);
  REQUIRE(crowd.engine.memory_bytes(other) == idle);
  crowd.engine.abort(id, crowd.now, crowd.sink);
  REQUIRE(crowd.engine.memory_bytes(id) == 0);
  REQUIRE(crowd.engine.memory_bytes() == all);
}

TEST_CASE("extend gives what write would take, in one piece or not at all", "[tcp][share]") {
  const std::uint32_t seed = 7;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  Crowd crowd(64);
  std::vector<ConnectionId> ids;
  for (std::uint16_t port = 3000; port < 3064; ++port) ids.push_back(crowd.open(0x0a4d0001 + port % 3, port));
  std::uint32_t given = 0, refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    const ConnectionId id = ids[random() % ids.size()];
    const std::uint32_t bytes = 1 + random() % (random() % 4 == 0 ? kBlockBytes : 200);
    const std::uint32_t room = crowd.engine.writable_bytes(id);
    REQUIRE(crowd.engine.can_write(id, bytes) == (room >= bytes));
    const MutableBytes piece = crowd.engine.extend(id, bytes);
    if (piece.empty()) {
      ++refused;
      REQUIRE(crowd.engine.writable_bytes(id) == room);
      const std::vector<std::byte> source(bytes);
      REQUIRE(crowd.engine.write(id, source) == std::min(bytes, room));
    } else {
      ++given;
      REQUIRE(piece.size() == bytes);
      REQUIRE(room >= bytes);
      REQUIRE(crowd.engine.writable_bytes(id) <= room - bytes);
      std::fill(piece.begin(), piece.end(), std::byte{1});
    }
    if (i % 500 == 0) crowd.engine.check();
  }
  REQUIRE(given > 1000);
  REQUIRE(refused > 1000);
}
