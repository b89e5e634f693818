/// The file that gannet-control and gannetd share: fixed width, offsets only, one writer per field. Either side may die at any instruction;
/// the other goes on with what is there. Sizes and offsets are pinned by tests/control/abi_test.cc: change one, bump kAbiVersion.
///
///   SharedHeader | StartConfig | ConfigSlot[2] | DataplaneStatus | WorkerBlock[kWorkersMax]
///
/// Writers: control writes SharedHeader, StartConfig and ConfigSlot; gannetd's main thread DataplaneStatus; each worker its WorkerBlock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "control/abi/counters.h"

namespace gannet::abi {

inline constexpr std::uint64_t kSharedMagic = 0x54454e4e4147'0001;  // "GANNET", layout family 1.
inline constexpr std::uint32_t kAbiVersion = 1;
inline constexpr std::size_t kWorkersMax = 64;
inline constexpr std::size_t kPortsMax = 4;
inline constexpr std::size_t kPrefixesMax = 32;
inline constexpr std::size_t kTextMax = 128;

/// A NUL-terminated text of at most kTextMax - 1 bytes.
using Text = std::array<char, kTextMax>;

/// An IPv4 prefix; address in host byte order, host bits zero.
struct Prefix {
  std::uint32_t address = 0;
  std::uint8_t bits = 0;  ///< 0..32
  std::uint8_t reserved[3] = {};
};
static_assert(sizeof(Prefix) == 8);

struct SharedHeader {
  std::uint64_t magic = kSharedMagic;
  std::uint32_t version = kAbiVersion;
  std::uint32_t bytes = 0;           ///< Of the whole file.
  std::uint32_t workers_max = kWorkersMax;
  std::uint32_t control_pid = 0;
  Cell control_heartbeat_ns{0};      ///< Monotonic; old means control is dead.
  Text name{};                       ///< [appliance] name
};

enum class DeviceKind : std::uint32_t { kTap, kAfPacket, kAfXdp, kVhost, kMemif, kPci, kRing };

struct PortConfig {
  DeviceKind kind = DeviceKind::kTap;
  std::uint32_t queues = 1;          ///< Asked for; gannetd adapts downward and says so.
  Text device{};                     ///< Interface name, PCI address, socket path, or "" for the kind's default.
  std::uint32_t address = 0;         ///< Our IPv4 address, host byte order.
  std::uint32_t prefix_bits = 24;
  std::uint32_t mtu = 1500;
  std::uint32_t vlan = 0;            ///< 0: untagged and any tag alike; else only this tag.
};

/// What gannetd needs to start. Read once; a change needs a restart of gannetd.
struct StartConfig {
  std::uint32_t workers = 1;
  std::uint32_t ports = 0;
  std::array<std::int32_t, kWorkersMax> cores{};  ///< Logical CPU per worker; -1: let the planner choose.
  std::array<PortConfig, kPortsMax> port{};
  std::uint64_t memory_bytes = 0;       ///< Of the item store, all workers together.
  std::uint64_t page_bytes = 2u << 20;  ///< 4 KiB, 2 MiB or 1 GiB.
  std::uint32_t segment_bytes = 0;      ///< 0: chosen by the store from its memory.
  std::uint32_t item_bytes_max = 0;     ///< 0: what a segment can hold, at most 1 MiB.
  std::uint16_t udp_port = 11211;       ///< Worker k is also reached at udp_port + 1 + k.
  std::uint16_t tcp_port = 0;           ///< 0: no TCP.
  std::uint32_t reserved = 0;
};

/// What may change while serving.
struct LiveConfig {
  std::uint32_t prefixes = 0;               ///< Sources that are answered; 0: each port's own subnet.
  std::array<Prefix, kPrefixesMax> allow{};
  std::uint32_t udp_answer_bytes_max = 0;   ///< Largest value answered over UDP; larger gets 0x03. 0: no limit but the item size.
  std::uint32_t idle_sleep_us_max = 0;      ///< Top rung of the idle ladder; 0: spin for ever.
  std::uint32_t eviction = 0;               ///< 0 merge, 1 fifo.
  std::uint32_t udp_admin = 1;              ///< STAT, FLUSH, VERSION are served over UDP.
  std::uint64_t reserved[8] = {};
};

/// Two slots; the newest valid generation counts. Control fills the slot of (generation & 1) and then stores `generation` with release.
/// Workers load with acquire, copy, and re-load: unchanged means the copy is whole.
struct alignas(128) ConfigSlot {
  Cell generation{0};  ///< 0: never written.
  LiveConfig config{};
};

enum class Phase : std::uint64_t { kNone, kStarting, kServing, kDraining, kStopped, kFailed };

struct alignas(128) DataplaneStatus {
  Cell phase{0};              ///< Phase.
  Cell pid{0};
  Cell started_unix_s{0};
  Cell start_duration_ns{0};  ///< From main() to serving.
  Cell stop_requested{0};     ///< Written by control or gannetctl: 1 asks gannetd to stop cleanly.
  Cell ports{0};
  Cell workers{0};
  std::array<Text, 4> message{};  ///< [0] why kFailed; others: warnings of the start. Written before `phase`, then constant.
  struct Port {
    Cell rx_queues{0}, tx_queues{0}, mtu{0}, capabilities{0};  ///< capabilities: bit 0 rx checksum, 1 tx ip, 2 tx udp, 3 multi-segment, 4 flow hash.
    std::array<std::uint8_t, 6> mac{};
    std::uint8_t link_up = 0, dispatch_in_software = 0;
    Text device{};
  };
  std::array<Port, kPortsMax> port{};
};

/// Log-linear: 8 buckets an octave. Bucket of v: v < 8 → v; else 8 * (log2(v) - 2) + the three bits below the top one.
inline constexpr std::size_t kLatencyBuckets = 8 * 34;
enum class LatencyClass : std::uint8_t { kGetHit, kGetMiss, kStore, kOther, kCount };

struct alignas(128) Latency {
  std::array<std::array<Cell, kLatencyBuckets>, static_cast<std::size_t>(LatencyClass::kCount)> buckets{};  ///< Nanoseconds, rx_burst to answer made.
};

[[nodiscard]] constexpr std::size_t latency_bucket(std::uint64_t ns) noexcept {
  if (ns < 8) return static_cast<std::size_t>(ns);
  const int top = 63 - __builtin_clzll(ns);
  const std::size_t bucket = 8 * static_cast<std::size_t>(top - 2) + static_cast<std::size_t>((ns >> (top - 3)) & 7);
  return bucket < kLatencyBuckets ? bucket : kLatencyBuckets - 1;
}

/// Smallest value that falls into `bucket`.
[[nodiscard]] constexpr std::uint64_t latency_bucket_floor(std::size_t bucket) noexcept {
  if (bucket < 8) return bucket;
  const std::size_t octave = bucket / 8 + 2;
  return (std::uint64_t{8} + bucket % 8) << (octave - 3);
}

struct alignas(128) WorkerInfo {
  Cell core{0}, numa_node{0}, udp_port{0}, tid{0};
  Cell steered{0};  ///< 1: the device itself brings udp_port to this worker's queue; 0: software hands over.
};

struct alignas(128) WorkerBlock {
  WorkerInfo info;
  WorkerCounters counters;
  WorkerGauges gauges;
  Latency latency;
};

struct alignas(4096) Shared {
  SharedHeader header;
  alignas(128) StartConfig start;
  std::array<ConfigSlot, 2> config;
  DataplaneStatus dataplane;
  alignas(4096) std::array<WorkerBlock, kWorkersMax> worker;
};

static_assert(latency_bucket(latency_bucket_floor(100)) == 100 && latency_bucket(7) == 7 && latency_bucket(8) == 8);

}  // namespace gannet::abi
