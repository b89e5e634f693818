/// Ports and endpoints in one process, without root or hugepages: what the tests of them share.
#pragma once

#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nicpipe/dpdk/devices.h"
#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"

namespace gannet::nicpipe::dpdk::test {

/// DPDK starts once in a process; every test shares it.
inline Eal& eal() {
  static std::unique_ptr<Eal> shared = [] {
    EalOptions options;
    options.hugepages = false;
    options.memory_mib = 192;
    std::unique_ptr<Eal> started;
    const Outcome outcome = Eal::start(options, started);
    INFO(outcome.error);
    REQUIRE(outcome.ok());
    return started;
  }();
  return *shared;
}

inline PortOptions small(DeviceKind kind, std::string device, std::uint16_t workers = 1) {
  PortOptions options;
  options.kind = kind;
  options.device = std::move(device);
  options.workers = workers;
  options.rx_slots = options.tx_slots = 256;
  options.buffers_held = 512;
  return options;
}

inline std::unique_ptr<Port> open(const PortOptions& options) {
  std::unique_ptr<Port> port;
  const Outcome outcome = Port::open(eal(), options, port);
  INFO(outcome.error);
  REQUIRE(outcome.ok());
  return port;
}

struct RingPair {
  explicit RingPair(std::uint16_t workers = 1, std::uint16_t queues = 0) {
    PortOptions options = small(DeviceKind::kRing, "t", workers);
    options.queues = queues;
    near = open(options);
    options.device = "t:peer";
    options.workers = queues == 0 ? workers : queues;
    far = open(options);
  }
  ~RingPair() {
    const std::uint64_t near_leaked = near->close(), far_leaked = far->close();
    CHECK(near_leaked == 0);
    CHECK(far_leaked == 0);
  }
  std::unique_ptr<Port> near, far;
};

/// A frame of `bytes` bytes that can be told from others by `seed`.
inline void fill(Packet& packet, std::uint16_t bytes, unsigned seed) {
  for (std::uint16_t i = 0; i < bytes; ++i) packet.data[i] = static_cast<std::byte>(seed * 31 + i);
  packet.bytes = bytes;
  packet.tailroom = static_cast<std::uint16_t>(packet.tailroom - bytes);
}

inline bool is_filled(const Packet& packet, std::uint16_t bytes, unsigned seed) {
  if (packet.bytes != bytes) return false;
  for (std::uint16_t i = 0; i < bytes; ++i) {
    if (packet.data[i] != static_cast<std::byte>(seed * 31 + i)) return false;
  }
  return true;
}

/// Polls until a frame came, for at most a second: virtual devices of one process still have threads of their own.
inline std::uint32_t receive(Endpoint& endpoint, std::span<Packet> packets, Endpoint* also_polled = nullptr) {
  for (int i = 0; i < 1000; ++i) {
    if (also_polled != nullptr) REQUIRE(also_polled->rx_burst({}, 0) == 0);
    if (const std::uint32_t count = endpoint.rx_burst(packets, 7)) return count;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return 0;
}

struct Pins {
  std::vector<std::uint32_t> released;
  ReleaseHook hook() {
    return {[](void* pins, std::uint32_t pin) { static_cast<Pins*>(pins)->released.push_back(pin); }, this};
  }
};

inline std::string scratch_path(const char* name) {
  return (std::filesystem::temp_directory_path() / ("g-devices-" + std::to_string(getpid()) + name)).string();
}

struct VhostPair {
  VhostPair(std::uint16_t workers, std::uint16_t peer_queues) : path(scratch_path(".vhost")) {
    near = open(small(DeviceKind::kVhost, path, workers));
    far = open(small(DeviceKind::kVirtioUser, path, peer_queues));
    for (int i = 0; i < 1000 && !(near->link_up() && far->link_up()); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE(near->link_up());
  }
  ~VhostPair() {
    CHECK(far->close() == 0);
    CHECK(near->close() == 0);
  }
  std::string path;
  std::unique_ptr<Port> near, far;
};

}  // namespace gannet::nicpipe::dpdk::test
