/// What an operator wants to know, taken from the shared file alone: the same report whether control answers, the page
/// is polled, or control is dead and gannetctl reads the file.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"
#include "storage/base/clock.h"

namespace gannet::control {

/// Who lives, found out by the caller: the only thing the file cannot say.
struct Alive {
  bool control = false;
  bool dataplane = false;
};

struct WorkerReport {
  std::size_t worker = 0;
  std::int64_t core = 0, numa_node = 0;
  std::uint64_t udp_port = 0, items = 0, requests = 0;
  std::uint64_t beat_age_ms = 0;  ///< Since its last turn that was counted.
  bool stuck = false, steered = false;
  double busy_share = 0;  ///< Of the sample's time, 0..1; 0 without a sample.
  double requests_per_s = 0;
};

struct LatencyReport {
  const char* what = "";  ///< "get_hit", "get_miss", "store", "other"
  std::uint64_t count = 0, p50_ns = 0, p90_ns = 0, p99_ns = 0, p999_ns = 0;
};

struct Report {
  std::string name;
  std::string state;     ///< One word: starting, serving, stuck, draining, waiting, stopped, failed, dead.
  std::string because;   ///< One sentence when the state is not serving.
  bool healthy = false;  ///< gannetd serves and every heart beats.
  bool ready = false;    ///< Requests are answered now.
  Alive alive;
  std::uint64_t control_pid = 0, dataplane_pid = 0, uptime_s = 0, start_ms = 0, starts = 0, crashes = 0,
                config_generation = 0;
  std::uint64_t pending_keys = 0;
  bool warm = false;                ///< It serves what an earlier gannetd left.
  std::string story;                ///< Why it is warm or cold.
  bool restored = false;            ///< All of that was read...
  std::uint64_t restored_ms = 0;    ///< ...so long after main().
  std::uint64_t segments_kept = 0;  ///< Still to be read.
  std::uint64_t restored_items = 0, restore_dropped = 0, damaged_segments = 0, damaged_items = 0;
  std::vector<WorkerReport> workers;
  std::vector<LatencyReport> latency;
  std::vector<std::string> warnings;
  std::uint64_t requests = 0, answers = 0, gets = 0, hits = 0, sets = 0;
  std::uint64_t connections = 0, connections_ever = 0, retransmits = 0;  ///< TCP.
  double requests_per_s = 0, sample_s = 0;
  std::uint64_t items = 0, item_bytes = 0, memory_bytes = 0, memory_limit_bytes = 0, evicted_items = 0,
                expired_items = 0;
  std::uint64_t segments_total = 0, segments_free = 0, buffers_free = 0, buffers_total = 0;
  std::vector<std::pair<const abi::Description*, std::uint64_t>> drops;  ///< Reasons that occurred.
};

/// Figures of one instant: two of them give rates and the latency of what happened in between.
struct Sample {
  MonotonicNs at = 0;
  std::uint64_t dataplane_pid = 0;
  std::vector<std::uint64_t> requests, busy_ns;  ///< Per worker.
  std::array<abi::LatencyBuckets, static_cast<std::size_t>(abi::LatencyClass::kCount)> latency{};
};
[[nodiscard]] Sample take_sample(const abi::Shared& shared, MonotonicNs now);

/// Reads everything once. With `before` of the same gannetd there are rates, and latency is that of the time in between
/// (of the whole run if nothing happened in between).
[[nodiscard]] Report make_report(const abi::Shared& shared, Alive alive, MonotonicNs now, std::uint64_t unix_s,
                                 const Sample* before = nullptr);

/// A worker's last counted turn lies this far back; 0 if in the future or never.
[[nodiscard]] std::uint64_t beat_age_ns(const abi::WorkerBlock& worker, MonotonicNs now) noexcept;
/// Whether any worker has been silent for longer than `limit_ms`. A worker that never beat is silent since `since`.
[[nodiscard]] bool any_stuck(const abi::Shared& shared, MonotonicNs now, MonotonicNs since,
                             std::uint64_t limit_ms) noexcept;

/// "exit code 1", "killed by signal 9 (Killed)", ...; from ControlStatus::last_exit.
[[nodiscard]] std::string exit_sentence(std::uint64_t last_exit);
[[nodiscard]] constexpr std::uint64_t exit_of_status(int status) noexcept {
  return 0x10000u | static_cast<std::uint64_t>(status & 0xffff);
}
inline constexpr std::uint64_t kExitUnseen = 0x20000;

[[nodiscard]] nlohmann::json report_json(const Report& report);
[[nodiscard]] std::string report_text(const Report& report);
/// Counters and gauges; of one worker, or of all summed (worker < 0). Figures that cannot be summed give their largest.
[[nodiscard]] nlohmann::json stats_json(const abi::Shared& shared, int worker);
[[nodiscard]] std::string stats_text(const abi::Shared& shared, int worker);
/// What a figure means, or "" for an unknown name.
[[nodiscard]] std::string explain(std::string_view name);
/// Every name that stats shows.
[[nodiscard]] std::vector<std::string> stat_names();

/// The placement that gannetd published: ports, workers, memory.
[[nodiscard]] nlohmann::json topo_json(const abi::Shared& shared);
[[nodiscard]] std::string topo_text(const abi::Shared& shared);

/// 1234567 -> "1,234,567"
[[nodiscard]] std::string grouped(std::uint64_t number);
/// 1536 MiB -> "1.5 GiB"
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
/// 90061 -> "1 d 1 h 1 min"
[[nodiscard]] std::string human_duration(std::uint64_t seconds);
/// 1500 -> "1.5 us"
[[nodiscard]] std::string human_ns(std::uint64_t ns);

}  // namespace gannet::control
