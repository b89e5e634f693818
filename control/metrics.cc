#include "control/metrics.h"

#include <fmt/format.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <string_view>
#include <vector>

#include "control/version.h"

namespace gannet::control {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

MetricFamily& family(std::vector<MetricFamily>& page, std::string name, std::string help, MetricType type) {
  MetricFamily& made = page.emplace_back();
  made.name = std::move(name);
  made.help = std::move(help);
  made.type = type;
  return made;
}

void add(MetricFamily& to, double value, Labels labels = {}) {
  ClientMetric& metric = to.metric.emplace_back();
  metric.label = std::move(labels);
  if (to.type == MetricType::Counter) metric.counter.value = value;
  if (to.type == MetricType::Gauge) metric.gauge.value = value;
}

double sum(const abi::Shared& shared, abi::Cell abi::WorkerCounters::*member) {
  return static_cast<double>(abi::sum_of(shared, member));
}
double sum(const abi::Shared& shared, abi::Cell abi::WorkerGauges::*member) {
  return static_cast<double>(abi::sum_of(shared, member));
}

void add_memcached(std::vector<MetricFamily>& page, const abi::Shared& shared, const Report& report) {
  using W = abi::WorkerCounters;
  using G = abi::WorkerGauges;
  const auto gauge = [&page](const char* name, const char* help, double value) {
    add(family(page, name, help, MetricType::Gauge), value);
  };
  const auto counter = [&page](const char* name, const char* help, double value) {
    add(family(page, name, help, MetricType::Counter), value);
  };
  gauge("memcached_up", "Whether requests are answered.", report.ready ? 1 : 0);
  counter("memcached_uptime_seconds", "Since gannetd started.", static_cast<double>(report.uptime_s));
  add(family(page, "memcached_version", "Of gannet-control.", MetricType::Gauge), 1, {{"version", version()}});
  MetricFamily& commands =
      family(page, "memcached_commands_total", "Requests by command and outcome.", MetricType::Counter);
  struct Outcome {
    const char *command, *status;
    abi::Cell W::*cell;
  };
  for (const Outcome& outcome :
       {Outcome{"get", "hit", &W::get_hits}, Outcome{"get", "miss", &W::get_misses}, Outcome{"set", "hit", &W::cmd_set},
        Outcome{"flush", "hit", &W::cmd_flush}, Outcome{"delete", "hit", &W::delete_hits},
        Outcome{"delete", "miss", &W::delete_misses}, Outcome{"incr", "hit", &W::incr_hits},
        Outcome{"incr", "miss", &W::incr_misses}, Outcome{"decr", "hit", &W::decr_hits},
        Outcome{"decr", "miss", &W::decr_misses}, Outcome{"cas", "hit", &W::cas_hits},
        Outcome{"cas", "miss", &W::cas_misses}, Outcome{"cas", "badval", &W::cas_badval},
        Outcome{"touch", "hit", &W::touch_hits}, Outcome{"touch", "miss", &W::touch_misses}})
    add(commands, sum(shared, outcome.cell), {{"command", outcome.command}, {"status", outcome.status}});
  counter("memcached_read_bytes_total", "Received, Ethernet headers included.", sum(shared, &W::rx_bytes));
  counter("memcached_written_bytes_total", "Sent, Ethernet headers included.", sum(shared, &W::tx_bytes));
  gauge("memcached_current_bytes", "Held by items: header, key, value, padding.", sum(shared, &G::item_bytes));
  gauge("memcached_limit_bytes", "Memory of the item store.", static_cast<double>(report.memory_limit_bytes));
  gauge("memcached_malloced_bytes", "Of the shards: segments, index, headers.", sum(shared, &G::memory_bytes));
  gauge("memcached_current_items", "Reachable items.", sum(shared, &G::items));
  counter("memcached_items_total", "Stores since gannetd started.", sum(shared, &W::cmd_set));
  counter("memcached_items_evicted_total", "Dropped alive to make room.", sum(shared, &G::evicted_items));
  counter("memcached_items_reclaimed_total", "Collected after their expiry.", sum(shared, &G::expired_items));
}

/// Powers of two from 1 us to about 1 s: every eighth bucket of ours, so that cumulative counts are exact.
void add_latency(std::vector<MetricFamily>& page, const abi::Shared& shared) {
  MetricFamily& latency = family(
      page, "gannet_request_latency_seconds",
      "From the burst that brought the request to its answer made, by kind. The sum is taken from bucket middles.",
      MetricType::Histogram);
  constexpr const char* kNames[] = {"get_hit", "get_miss", "store", "other"};
  for (std::size_t c = 0; c < static_cast<std::size_t>(abi::LatencyClass::kCount); ++c) {
    const abi::LatencyBuckets buckets = abi::latency_of(shared, static_cast<abi::LatencyClass>(c));
    ClientMetric& metric = latency.metric.emplace_back();
    metric.label = {{"kind", kNames[c]}};
    std::uint64_t seen = 0;
    double total_ns = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      const std::uint64_t floor = abi::latency_bucket_floor(i);
      if (floor >= 1024 && (floor & (floor - 1)) == 0 && floor <= 1u << 30) {
        // Values are whole nanoseconds, so "less than the floor" is "at most floor - 1", which the label rounds to.
        metric.histogram.bucket.push_back({seen, static_cast<double>(floor) * 1e-9});
      }
      seen += buckets[i];
      total_ns += static_cast<double>(buckets[i]) *
                  (static_cast<double>(floor) + static_cast<double>(abi::latency_bucket_last(i))) / 2;
    }
    metric.histogram.bucket.push_back({seen, std::numeric_limits<double>::infinity()});
    metric.histogram.sample_count = seen;
    metric.histogram.sample_sum = total_ns * 1e-9;
  }
}

template <class Descriptions, class Part>
void add_figures(std::vector<MetricFamily>& page, const abi::Shared& shared, const Descriptions& descriptions,
                 MetricType type, Part&& part) {
  for (const abi::Description& what : descriptions) {
    MetricFamily& figure =
        family(page, fmt::format("gannet_{}{}", what.name, type == MetricType::Counter ? "_total" : ""),
               fmt::format("{}, {}", what.unit, what.meaning), type);
    for (std::size_t w = 0; w < abi::workers_of(shared); ++w)
      add(figure, static_cast<double>(abi::value_of(part(shared.worker[w]), what)), {{"worker", fmt::format("{}", w)}});
  }
}

void add_process(std::vector<MetricFamily>& page, const Report& report) {
  MetricFamily& state = family(page, "gannet_state", "1 for the state the appliance is in.", MetricType::Gauge);
  for (const char* name : {"starting", "serving", "stuck", "draining", "waiting", "stopped", "failed", "dead"})
    add(state, report.state == name ? 1 : 0, {{"state", name}});
  add(family(page, "gannet_healthy", "Whether gannetd serves and every worker's heart beats.", MetricType::Gauge),
      report.healthy ? 1 : 0);
  add(family(page, "gannet_starts_total", "Of gannetd.", MetricType::Counter), static_cast<double>(report.starts));
  add(family(page, "gannet_crashes_total", "Ends of gannetd that nobody asked for.", MetricType::Counter),
      static_cast<double>(report.crashes));
  add(family(page, "gannet_published_config_generation", "Newest live configuration that was published.",
             MetricType::Gauge),
      static_cast<double>(report.config_generation));
  add(family(page, "gannet_start_duration_seconds", "From gannetd's start until it served.", MetricType::Gauge),
      static_cast<double>(report.start_ms) / 1e3);
}

}  // namespace

std::string metrics_text(const abi::Shared& shared, const Report& report) {
  std::vector<MetricFamily> page;
  page.reserve(160);  // family() hands out references that are used before the next one is made; reserved all the same.
  add_memcached(page, shared, report);
  add_process(page, report);
  add_latency(page, shared);
  add_figures(page, shared, abi::kCounterDescriptions, MetricType::Counter,
              [](const abi::WorkerBlock& block) -> const abi::WorkerCounters& { return block.counters; });
  add_figures(page, shared, abi::kGaugeDescriptions, MetricType::Gauge,
              [](const abi::WorkerBlock& block) -> const abi::WorkerGauges& { return block.gauges; });
  return prometheus::TextSerializer().Serialize(page);
}

}  // namespace gannet::control
