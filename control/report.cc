#include "control/report.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

#include "control/state.h"

namespace gannet::control {
namespace {

constexpr std::uint64_t kMillion = 1'000'000;
constexpr std::array<const char*, static_cast<std::size_t>(abi::LatencyClass::kCount)> kLatencyNames = {
    "get_hit", "get_miss", "store", "other"};

std::uint64_t load(const abi::Cell& cell) noexcept {
  return cell.load(std::memory_order_relaxed);
}

/// Workers of the sample that still count as the same run.
bool same_run(const abi::Shared& shared, const Sample* before) noexcept {
  return before != nullptr && before->dataplane_pid == load(shared.dataplane.pid) &&
         before->requests.size() == abi::workers_of(shared);
}

std::uint64_t growth(std::uint64_t now, std::uint64_t then) noexcept {
  return now >= then ? now - then : 0;
}

/// The newest configuration that every worker runs with is shared.config's; whoever has an older one is named.
void warn_about_config(const abi::Shared& shared, Report& report) {
  for (std::size_t w = 0; w < report.workers.size(); ++w) {
    const std::uint64_t has = load(shared.worker[w].gauges.config_generation);
    if (has != report.config_generation && report.workers[w].beat_age_ms > 0 && report.uptime_s > 1)
      report.warnings.push_back(
          fmt::format("worker {} runs with configuration {}, not {}: it has not finished a turn since", w, has,
                      report.config_generation));
  }
}

void judge(const abi::Shared& shared, abi::Phase phase, Report& report) {
  const auto supervision = static_cast<abi::Supervision>(load(shared.control.supervision));
  const std::string message(abi::text_of(shared.dataplane.message[0]));
  const std::uint64_t last_exit = load(shared.control.last_exit);
  if (!report.alive.dataplane) {
    if (report.alive.control && supervision == abi::Supervision::kWaiting) {
      report.state = "waiting";
      report.because = fmt::format("gannetd ended ({}) and will be started again", exit_sentence(last_exit));
    } else if (supervision == abi::Supervision::kHopeless || phase == abi::Phase::kFailed) {
      report.state = "failed";
      report.because = message.empty() ? fmt::format("gannetd could not start: {}", exit_sentence(last_exit)) : message;
    } else if (supervision == abi::Supervision::kStopped || phase == abi::Phase::kStopped) {
      report.state = "stopped";
      report.because = "it was stopped; start gannet-control to have it back";
    } else if (report.alive.control &&
               (supervision == abi::Supervision::kStarting || supervision == abi::Supervision::kNone)) {
      report.state = "starting";
      report.because = "gannetd is being started";
    } else {
      report.state = "dead";
      report.because =
          report.alive.control ? "gannetd is dead" : "gannetd and gannet-control are dead; start gannet-control";
    }
    return;
  }
  switch (phase) {
    case abi::Phase::kServing: {
      std::string stuck;
      for (const WorkerReport& worker : report.workers)
        if (worker.stuck) stuck += fmt::format("{}{}", stuck.empty() ? "" : ", ", worker.worker);
      report.state = stuck.empty() ? "serving" : "stuck";
      report.healthy = report.ready = stuck.empty();
      if (!stuck.empty())
        report.because = fmt::format(
            "worker {} has not finished a turn for more than {} ms; `gannetctl restart` starts gannetd anew", stuck,
            load(shared.control.stuck_after_ms));
      break;
    }
    case abi::Phase::kDraining:
    case abi::Phase::kStopped:
      report.state = "draining";
      report.because = "it was asked to stop and finishes what is under way";
      break;
    case abi::Phase::kFailed:
      report.state = "failed";
      report.because = message.empty() ? "gannetd cannot serve and did not say why; see its log" : message;
      break;
    case abi::Phase::kNone:
    case abi::Phase::kStarting:
      report.state = "starting";
      report.because = "gannetd prepares its memory and devices";
      break;
  }
}

void read_workers(const abi::Shared& shared, MonotonicNs now, const Sample* before, Report& report) {
  const std::uint64_t limit_ms = std::max<std::uint64_t>(load(shared.control.stuck_after_ms), 1);
  const double elapsed_ns = before != nullptr ? static_cast<double>(growth(now, before->at)) : 0;
  for (std::size_t w = 0; w < abi::workers_of(shared); ++w) {
    const abi::WorkerBlock& block = shared.worker[w];
    WorkerReport worker;
    worker.worker = w;
    worker.core = static_cast<std::int64_t>(load(block.info.core));
    worker.numa_node = static_cast<std::int64_t>(load(block.info.numa_node));
    worker.udp_port = load(block.info.udp_port);
    worker.steered = load(block.info.steered) != 0;
    worker.items = load(block.gauges.items);
    worker.requests = load(block.counters.requests);
    worker.beat_age_ms = beat_age_ns(block, now) / kMillion;
    const bool never = load(block.gauges.heartbeat_ns) == 0;
    worker.stuck = never ? report.uptime_s * 1000 > limit_ms + 1000 : worker.beat_age_ms > limit_ms;
    if (elapsed_ns > 0) {
      worker.requests_per_s = static_cast<double>(growth(worker.requests, before->requests[w])) * 1e9 / elapsed_ns;
      worker.busy_share =
          std::min(1.0, static_cast<double>(growth(load(block.counters.busy_ns), before->busy_ns[w])) / elapsed_ns);
      report.requests_per_s += worker.requests_per_s;
    }
    report.workers.push_back(worker);
  }
  report.sample_s = elapsed_ns / 1e9;
}

void read_latency(const abi::Shared& shared, const Sample* before, Report& report) {
  for (std::size_t c = 0; c < kLatencyNames.size(); ++c) {
    abi::LatencyBuckets buckets = abi::latency_of(shared, static_cast<abi::LatencyClass>(c));
    if (before != nullptr) {
      abi::LatencyBuckets between{};
      std::uint64_t happened = 0;
      for (std::size_t i = 0; i < between.size(); ++i)
        happened += between[i] = growth(buckets[i], before->latency[c][i]);
      if (happened > 0) buckets = between;
    }
    LatencyReport latency;
    latency.what = kLatencyNames[c];
    for (const std::uint64_t count : buckets) latency.count += count;
    latency.p50_ns = abi::latency_percentile(buckets, 500'000);
    latency.p90_ns = abi::latency_percentile(buckets, 900'000);
    latency.p99_ns = abi::latency_percentile(buckets, 990'000);
    latency.p999_ns = abi::latency_percentile(buckets, 999'000);
    report.latency.push_back(latency);
  }
}

void read_sums(const abi::Shared& shared, Report& report) {
  using abi::WorkerCounters;
  using abi::WorkerGauges;
  report.requests = abi::sum_of(shared, &WorkerCounters::requests);
  report.connections = abi::sum_of(shared, &abi::WorkerGauges::tcp_connections);
  report.connections_ever = abi::sum_of(shared, &WorkerCounters::tcp_accepted);
  report.retransmits = abi::sum_of(shared, &WorkerCounters::tcp_retransmits);
  report.answers = abi::sum_of(shared, &WorkerCounters::answers);
  report.gets = abi::sum_of(shared, &WorkerCounters::cmd_get);
  report.hits = abi::sum_of(shared, &WorkerCounters::get_hits);
  report.sets = abi::sum_of(shared, &WorkerCounters::cmd_set);
  report.items = abi::sum_of(shared, &WorkerGauges::items);
  report.item_bytes = abi::sum_of(shared, &WorkerGauges::item_bytes);
  report.memory_bytes = abi::sum_of(shared, &WorkerGauges::memory_bytes);
  report.evicted_items = abi::sum_of(shared, &WorkerGauges::evicted_items);
  report.expired_items = abi::sum_of(shared, &WorkerGauges::expired_items);
  report.segments_kept = abi::sum_of(shared, &WorkerGauges::segments_kept);
  report.restored_items = abi::sum_of(shared, &WorkerGauges::restored_items);
  report.restore_dropped = abi::sum_of(shared, &WorkerGauges::restore_dropped);
  report.damaged_segments = abi::sum_of(shared, &WorkerGauges::damaged_segments);
  report.damaged_items = abi::sum_of(shared, &WorkerGauges::damaged_items);
  report.segments_total = abi::sum_of(shared, &WorkerGauges::segments_total);
  report.segments_free = abi::sum_of(shared, &WorkerGauges::segments_free);
  report.buffers_free = abi::sum_of(shared, &WorkerGauges::buffers_free);
  report.buffers_total = abi::sum_of(shared, &WorkerGauges::buffers_total);
  report.memory_limit_bytes = shared.start.memory_bytes;
  for (const abi::Description& what : abi::kCounterDescriptions) {
    if (std::strncmp(what.name, "drop_", 5) != 0 && std::strcmp(what.name, "tx_refused") != 0) continue;
    std::uint64_t sum = 0;
    for (std::size_t w = 0; w < abi::workers_of(shared); ++w) sum += abi::value_of(shared.worker[w].counters, what);
    if (sum > 0) report.drops.emplace_back(&what, sum);
  }
}

}  // namespace

std::uint64_t beat_age_ns(const abi::WorkerBlock& worker, MonotonicNs now) noexcept {
  const std::uint64_t beat = load(worker.gauges.heartbeat_ns);
  return beat == 0 ? 0 : growth(now, beat);
}

bool any_stuck(const abi::Shared& shared, MonotonicNs now, MonotonicNs since, std::uint64_t limit_ms) noexcept {
  for (std::size_t w = 0; w < abi::workers_of(shared); ++w) {
    const std::uint64_t beat = std::max(load(shared.worker[w].gauges.heartbeat_ns), since);
    if (growth(now, beat) > limit_ms * kMillion) return true;
  }
  return false;
}

std::string exit_sentence(std::uint64_t last_exit) {
  if (last_exit == 0) return "it has not ended yet";
  if (last_exit == kExitUnseen) return "nobody saw how";
  const int status = static_cast<int>(last_exit & 0xffff);
  if (WIFSIGNALED(status))
    return fmt::format("killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

Sample take_sample(const abi::Shared& shared, MonotonicNs now) {
  Sample sample;
  sample.at = now;
  sample.dataplane_pid = load(shared.dataplane.pid);
  for (std::size_t w = 0; w < abi::workers_of(shared); ++w) {
    sample.requests.push_back(load(shared.worker[w].counters.requests));
    sample.busy_ns.push_back(load(shared.worker[w].counters.busy_ns));
  }
  for (std::size_t c = 0; c < sample.latency.size(); ++c)
    sample.latency[c] = abi::latency_of(shared, static_cast<abi::LatencyClass>(c));
  return sample;
}

Report make_report(const abi::Shared& shared, Alive alive, MonotonicNs now, std::uint64_t unix_s,
                   const Sample* before) {
  Report report;
  // First: what gannetd wrote before it entered this phase is there, as long as everything else is read later.
  const auto phase = static_cast<abi::Phase>(shared.dataplane.phase.load(std::memory_order_acquire));
  if (!same_run(shared, before)) before = nullptr;
  report.name = abi::text_of(shared.header.name);
  report.alive = alive;
  report.control_pid = alive.control ? load(shared.control.pid) : 0;
  report.dataplane_pid = alive.dataplane ? static_cast<std::uint64_t>(dataplane_pid(shared)) : 0;
  report.starts = load(shared.control.starts);
  report.crashes = load(shared.control.crashes);
  report.start_ms = load(shared.dataplane.start_duration_ns) / kMillion;
  report.warm = load(shared.dataplane.warm) != 0;
  report.story = abi::text_of(shared.dataplane.story);
  report.restored_ms = load(shared.dataplane.restored_ns) / kMillion;
  report.restored = load(shared.dataplane.restored_ns) != 0;
  report.config_generation = abi::newest_generation(shared.config);
  report.pending_keys = load(shared.control.config_pending);
  const std::uint64_t started = load(shared.dataplane.started_unix_s);
  report.uptime_s = alive.dataplane && started > 0 ? growth(unix_s, started) : 0;
  read_workers(shared, now, before, report);
  read_latency(shared, before, report);
  read_sums(shared, report);
  judge(shared, phase, report);
  if (!alive.control)
    report.warnings.emplace_back(
        "gannet-control is dead: nobody restarts gannetd or serves /metrics; start gannet-control again, it takes "
        "over");
  for (std::size_t i = 1; i < shared.dataplane.message.size(); ++i)
    if (alive.dataplane && !abi::text_of(shared.dataplane.message[i]).empty())
      report.warnings.emplace_back(abi::text_of(shared.dataplane.message[i]));
  if (report.damaged_segments > 0)
    report.warnings.push_back(fmt::format(
        "{} segment{} of item memory failed a checksum and {} given up with {} items: test this machine's memory",
        report.damaged_segments, report.damaged_segments == 1 ? "" : "s", report.damaged_segments == 1 ? "was" : "were",
        grouped(report.damaged_items)));
  if (report.crashes > 0)
    report.warnings.push_back(fmt::format("gannetd crashed {} time{}; the last: {}", report.crashes,
                                          report.crashes == 1 ? "" : "s",
                                          exit_sentence(load(shared.control.last_exit))));
  if (report.pending_keys > 0)
    report.warnings.push_back(
        fmt::format("{} changed key{} of the configuration wait{} for a restart: see `gannetctl config show`",
                    report.pending_keys, report.pending_keys == 1 ? "" : "s", report.pending_keys == 1 ? "s" : ""));
  if (report.state == "serving") warn_about_config(shared, report);
  return report;
}

}  // namespace gannet::control
