/// The file that gannet-control and gannetd share: fixed width, offsets only, one writer per field. Either side may die
/// at any instruction; the other goes on with what is there. Sizes and offsets are pinned by tests/control/abi_test.cc:
/// change one, bump kAbiVersion.
///
///   SharedHeader | StartConfig | ConfigSlot[2] | ControlStatus | DataplaneStatus | WorkerBlock[kWorkersMax]
///
/// Writers: control writes SharedHeader, StartConfig, ConfigSlot and ControlStatus; gannetd's main thread
/// DataplaneStatus; each worker its WorkerBlock. Before it starts a gannetd, and only while none runs, control zeroes
/// DataplaneStatus and every WorkerBlock.
///
/// How to read it: control/abi/reader.h (sums, percentiles, faults). How to pass live configuration:
/// control/abi/config_slot.h.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "control/abi/counters.h"

namespace gannet::abi {

inline constexpr std::uint64_t kSharedMagic = 0x54454e4e4147'0001;  // "GANNET", layout family 1.
inline constexpr std::uint32_t kAbiVersion = 6;
inline constexpr std::size_t kWorkersMax = 64;
inline constexpr std::size_t kPortsMax = 4;
inline constexpr std::size_t kPrefixesMax = 32;
inline constexpr std::size_t kTextMax = 128;

/// A NUL-terminated text of at most kTextMax - 1 bytes.
using Text = std::array<char, kTextMax>;
/// The same for whole sentences.
using Sentence = std::array<char, 2 * kTextMax>;

/// An address of either family in network byte order: IPv6 as it is, IPv4 in the last four bytes behind ::ffff:0:0/96.
using Address = std::array<std::uint8_t, 16>;

/// A prefix of either family, host bits zero.
struct Prefix {
  Address address{};
  std::uint8_t bits = 0;  ///< 0..128 of all sixteen bytes: an IPv4 /24 is 120.
  std::uint8_t reserved[7] = {};
};
static_assert(sizeof(Prefix) == 24);

/// Changes with every name, order or place in the lists of counters.h, so that two builds never misread each other's
/// figures even if somebody forgot to bump kAbiVersion. FNV-1a, 32 bits.
[[nodiscard]] constexpr std::uint32_t layout_hash() noexcept {
  std::uint32_t hash = 2166136261u;
  const auto mix = [&hash](std::uint32_t byte) { hash = (hash ^ (byte & 0xff)) * 16777619u; };
  const auto mix_list = [&mix](const auto& list) {
    for (const Description& what : list) {
      for (const char* at = what.name; *at != '\0'; ++at) mix(static_cast<unsigned char>(*at));
      mix(static_cast<std::uint32_t>(what.offset));
      mix(static_cast<std::uint32_t>(what.offset >> 8));
    }
  };
  mix_list(kCounterDescriptions);
  mix_list(kGaugeDescriptions);
  return hash;
}
inline constexpr std::uint32_t kLayoutHash = layout_hash();

struct SharedHeader {
  std::uint64_t magic = kSharedMagic;
  std::uint32_t version = kAbiVersion;
  std::uint32_t bytes = 0;  ///< Of the whole file.
  std::uint32_t workers_max = kWorkersMax;
  std::uint32_t layout = kLayoutHash;
  std::uint64_t created_unix_s = 0;
  std::uint64_t instance_id = 0;   ///< Random, per file: tells one appliance's file from its successor's.
  std::array<char, 40> boot_id{};  ///< Kernel's boot id, text: a file of an earlier boot is dead whatever pid it names.
  Text name{};                     ///< [appliance] name
  Text config_path{};              ///< The TOML file, absolute.
  Text socket_path{};              ///< Control's admin socket.
  Text http_address{};             ///< "127.0.0.1:9411", or "" when off.
};

enum class DeviceKind : std::uint32_t { kTap, kAfPacket, kAfXdp, kVhost, kMemif, kPci, kRing };

struct PortConfig {
  DeviceKind kind = DeviceKind::kTap;
  std::uint32_t queues = 1;   ///< Asked for; gannetd adapts downward and says so.
  Text device{};              ///< Interface name, PCI address, socket path, or "" for the kind's default.
  std::uint32_t address = 0;  ///< Our IPv4 address, host byte order.
  std::uint32_t prefix_bits = 24;
  std::uint32_t mtu = 1500;
  std::uint32_t vlan = 0;  ///< 0: untagged and any tag alike; else only this tag.
  Address address6{};      ///< Our IPv6 address; all zeros: none, IPv6 is not spoken.
  std::uint32_t prefix6_bits = 64;
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
  std::uint32_t item_bytes_max = 0;     ///< Header, key and padding included. 0: what a segment holds, at most 1 MiB.
  std::uint16_t udp_port = 11211;       ///< Worker k is also reached at udp_port + 1 + k.
  std::uint16_t tcp_port = 11211;       ///< 0: no TCP.
  std::uint32_t allow_remote = 0;       ///< Workers and memory may lie off the port's NUMA node.
  std::uint32_t start_count = 0;        ///< Which start of gannetd this is since the file was made, from 1.
  std::uint64_t memory_id =
      0;  ///< Of the memory file handed over: the same id is the same memory, with what was left in it.
  std::uint64_t memory_starts = 0;           ///< Starts that were given this memory before; 0: it is fresh, all zeros.
  std::uint32_t tcp_connections_max = 8192;  ///< Of each worker.
  std::uint32_t tcp_source_max = 0;          ///< Of one address, on each worker; 0: no limit.
  std::uint32_t tcp_idle_s = 0;              ///< A connection without a byte for so long is reset; 0: never.
  std::uint32_t reserved32 = 0;
  Text sasl_users{};  ///< File of users and passwords, absolute; "": everybody may speak.
};

/// What may change while serving. No hidden padding: it travels as 64-bit words.
struct LiveConfig {
  std::uint32_t prefixes = 0;  ///< Sources that are answered; 0: each port's own subnets.
  std::uint32_t udp_answer_bytes_max =
      0;  ///< Largest value answered over UDP; larger gets 0x03. 0: no limit but the item size.
  std::array<Prefix, kPrefixesMax> allow{};
  std::uint32_t idle_sleep_us_max = 0;    ///< Top rung of the idle ladder; 0: spin for ever.
  std::uint32_t eviction = 0;             ///< 0 merge, 1 fifo, 2 random, 3 cte, 4 util, 5 s3fifo, 6 greedy.
  std::uint32_t udp_admin = 1;            ///< STAT, FLUSH, VERSION are served over UDP.
  std::uint32_t udp_rate_per_source = 0;  ///< Datagrams a second that a worker takes from one source; 0: any number.
  std::uint64_t reserved[8] = {};
};
inline constexpr std::size_t kLiveConfigWords = sizeof(LiveConfig) / sizeof(std::uint64_t);
static_assert(sizeof(LiveConfig) % sizeof(std::uint64_t) == 0 && std::is_trivially_copyable_v<LiveConfig>);

/// Two slots; the newest generation counts, it lies in slot generation & 1. Never touch them by hand: publish_config()
/// writes them, adopt_config() reads them (control/abi/config_slot.h).
struct alignas(128) ConfigSlot {
  Cell generation{0};  ///< 0: never written, or being written.
  std::array<Cell, kLiveConfigWords> words{};
};

/// What the supervisor does about gannetd.
enum class Supervision : std::uint64_t {
  kNone,      ///< No control has looked after this file yet.
  kStarting,  ///< gannetd was started and does not serve yet.
  kServing,   ///< It serves and every worker's heart beats.
  kStuck,     ///< It serves, but a worker's heart has not beaten for longer than control.stuck_after_ms.
  kWaiting,   ///< It died; the next start is at next_start_ns.
  kStopping,  ///< It was asked to stop.
  kStopped,   ///< It stopped because it was asked to.
  kHopeless,  ///< It said that starting it again is of no use; see DataplaneStatus::message[0].
};

/// Written by control alone. Old once control is dead: see heartbeat_ns.
struct alignas(128) ControlStatus {
  Cell pid{0};
  Cell heartbeat_ns{0};  ///< Monotonic, about every 0.2 s; older than 2 s means control is dead or stuck.
  Cell started_unix_s{0};
  Cell supervision{0};  ///< Supervision.
  Cell child_pid{0};    ///< gannetd's pid as control started or adopted it; 0: none.
  Cell child_start_ticks{
      0};             ///< Its start time (field 22 of /proc/PID/stat): with the pid it names one process for good.
  Cell starts{0};     ///< Of gannetd since the file was made.
  Cell crashes{0};    ///< Of those, ended in any way nobody asked for.
  Cell last_exit{0};  ///< 0: none yet; else 0x10000 | waitpid status, or 0x20000: ended while no control watched.
  Cell last_exit_unix_s{0};
  Cell next_start_ns{0};  ///< Monotonic, in kWaiting.
  Cell config_applied_unix_s{0};
  Cell config_pending{0};  ///< Keys of the file that wait for a restart.
  Cell stuck_after_ms{0};  ///< [control] stuck_after_ms, for readers without the file.
};

enum class Phase : std::uint64_t { kNone, kStarting, kServing, kDraining, kStopped, kFailed };

struct alignas(128) DataplaneStatus {
  Cell phase{0};  ///< Phase.
  Cell pid{0};
  Cell started_unix_s{0};
  Cell start_duration_ns{0};  ///< From main() to serving.
  Cell stop_requested{0};     ///< Written by control or gannetctl: 1 asks gannetd to stop cleanly.
  Cell ports{0};
  Cell workers{0};
  Cell heartbeat_ns{0};  ///< Of the main thread, monotonic; also beats while it starts.
  std::array<Sentence, 4>
      message{};  ///< [0] why kFailed; others: warnings of the start. Written before `phase`, then constant.
  struct Port {
    Cell rx_queues{0}, tx_queues{0}, mtu{0},
        capabilities{0};  ///< capabilities: bit 0 rx checksum, 1 tx ip, 2 tx udp, 3 multi-segment, 4 flow hash.
    std::array<std::uint8_t, 6> mac{};
    std::uint8_t link_up = 0, dispatch_in_software = 0;
    Text device{};
  };
  std::array<Port, kPortsMax> port{};
  Cell warm{0};         ///< 1: it serves items that an earlier gannetd left, 0: it began empty.
  Cell restored_ns{0};  ///< From main() until all of those were read; 0 while that goes on.
  Sentence story{};     ///< Why it is warm or cold. Written before `phase`, then constant.
};

/// Log-linear: 8 buckets an octave. Bucket of v: v < 8 → v; else 8 * (log2(v) - 2) + the three bits below the top one.
inline constexpr std::size_t kLatencyBuckets = 8 * 34;
enum class LatencyClass : std::uint8_t { kGetHit, kGetMiss, kStore, kOther, kCount };

struct alignas(128) Latency {
  std::array<std::array<Cell, kLatencyBuckets>, static_cast<std::size_t>(LatencyClass::kCount)>
      buckets{};  ///< Nanoseconds, rx_burst to answer made.
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
  ControlStatus control;
  DataplaneStatus dataplane;
  alignas(4096) std::array<WorkerBlock, kWorkersMax> worker;
};

static_assert(std::is_standard_layout_v<WorkerBlock>);
static_assert(latency_bucket(latency_bucket_floor(100)) == 100 && latency_bucket(7) == 7 && latency_bucket(8) == 8);

}  // namespace gannet::abi
