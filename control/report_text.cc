#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "control/report.h"
#include "control/values.h"

namespace gannet::control {
namespace {

using nlohmann::json;

std::string percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? "-" : fmt::format("{:.2f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string plain(double number) {
  return grouped(static_cast<std::uint64_t>(std::llround(number)));
}

/// Gauges that are no amounts: over all workers the largest is told, not the sum.
bool is_summable(const abi::Description& what) {
  return std::strcmp(what.name, "heartbeat_ns") != 0 && std::strcmp(what.name, "config_generation") != 0;
}

/// Calls visit(description, value) for every counter and gauge, of one worker or of all.
template <class Visit>
void each_stat(const abi::Shared& shared, int worker, Visit&& visit) {
  const std::size_t count = abi::workers_of(shared);
  const auto fold = [&](const abi::Description& what, auto&& part) {
    std::uint64_t value = 0;
    for (std::size_t w = 0; w < count; ++w) {
      if (worker >= 0 && w != static_cast<std::size_t>(worker)) continue;
      const std::uint64_t mine = abi::value_of(part(shared.worker[w]), what);
      value = is_summable(what) ? value + mine : std::max(value, mine);
    }
    visit(what, value);
  };
  for (const abi::Description& what : abi::kCounterDescriptions)
    fold(what, [](const abi::WorkerBlock& block) -> const abi::WorkerCounters& { return block.counters; });
  for (const abi::Description& what : abi::kGaugeDescriptions)
    fold(what, [](const abi::WorkerBlock& block) -> const abi::WorkerGauges& { return block.gauges; });
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string digits = fmt::format("{}", number), out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string human_duration(std::uint64_t seconds) {
  const std::uint64_t days = seconds / 86400, hours = seconds / 3600 % 24, minutes = seconds / 60 % 60;
  if (days > 0) return fmt::format("{} d {} h {} min", days, hours, minutes);
  if (hours > 0) return fmt::format("{} h {} min", hours, minutes);
  if (minutes > 0) return fmt::format("{} min {} s", minutes, seconds % 60);
  return fmt::format("{} s", seconds);
}

std::string human_ns(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns < 1'000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", value / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.1f} ms", value / 1e6);
  return fmt::format("{:.1f} s", value / 1e9);
}

json report_json(const Report& r) {
  json workers = json::array(), latency = json::object(), drops = json::object();
  for (const WorkerReport& w : r.workers)
    workers.push_back({{"worker", w.worker},
                       {"core", w.core},
                       {"numa_node", w.numa_node},
                       {"udp_port", w.udp_port},
                       {"steered", w.steered},
                       {"items", w.items},
                       {"requests", w.requests},
                       {"requests_per_s", w.requests_per_s},
                       {"busy_share", w.busy_share},
                       {"heartbeat_age_ms", w.beat_age_ms},
                       {"stuck", w.stuck}});
  for (const LatencyReport& l : r.latency)
    latency[l.what] = {
        {"count", l.count}, {"p50_ns", l.p50_ns}, {"p90_ns", l.p90_ns}, {"p99_ns", l.p99_ns}, {"p999_ns", l.p999_ns}};
  for (const auto& [what, count] : r.drops) drops[what->name] = count;
  return {{"name", r.name},
          {"state", r.state},
          {"because", r.because},
          {"healthy", r.healthy},
          {"ready", r.ready},
          {"control", {{"alive", r.alive.control}, {"pid", r.control_pid}}},
          {"dataplane",
           {{"alive", r.alive.dataplane},
            {"pid", r.dataplane_pid},
            {"uptime_s", r.uptime_s},
            {"start_ms", r.start_ms},
            {"warm", r.warm},
            {"story", r.story},
            {"restored_ms", r.restored ? json(r.restored_ms) : json(nullptr)},
            {"restored_items", r.restored_items},
            {"restore_dropped", r.restore_dropped},
            {"segments_kept", r.segments_kept},
            {"damaged_segments", r.damaged_segments},
            {"damaged_items", r.damaged_items},
            {"starts", r.starts},
            {"crashes", r.crashes}}},
          {"config", {{"generation", r.config_generation}, {"keys_waiting_for_restart", r.pending_keys}}},
          {"requests", r.requests},
          {"connections", r.connections},
          {"connections_ever", r.connections_ever},
          {"tcp_retransmits", r.retransmits},
          {"answers", r.answers},
          {"requests_per_s", r.requests_per_s},
          {"sample_s", r.sample_s},
          {"gets", r.gets},
          {"get_hits", r.hits},
          {"hit_ratio", r.gets == 0 ? json(nullptr) : json(static_cast<double>(r.hits) / static_cast<double>(r.gets))},
          {"sets", r.sets},
          {"memory",
           {{"limit_bytes", r.memory_limit_bytes},
            {"used_bytes", r.memory_bytes},
            {"item_bytes", r.item_bytes},
            {"items", r.items},
            {"evicted_items", r.evicted_items},
            {"expired_items", r.expired_items},
            {"segments_total", r.segments_total},
            {"segments_free", r.segments_free}}},
          {"buffers", {{"free", r.buffers_free}, {"total", r.buffers_total}}},
          {"latency", latency},
          {"drops", drops},
          {"workers", workers},
          {"warnings", r.warnings}};
}

std::string report_text(const Report& r) {
  std::string out = fmt::format("{}: {}", r.name, r.state);
  if (!r.because.empty()) out += fmt::format(": {}", r.because);
  out += '\n';
  const auto line = [&out](std::string_view label, const std::string& text) {
    out += fmt::format("  {:<12} {}\n", label, text);
  };
  line("gannetd", r.alive.dataplane ? fmt::format("pid {}, up {}, started in {} ms, start {} with {} crash{}",
                                                  r.dataplane_pid, human_duration(r.uptime_s), r.start_ms, r.starts,
                                                  r.crashes, r.crashes == 1 ? "" : "es")
                                    : "not running");
  if (r.alive.dataplane && !r.story.empty()) {
    line("items kept", !r.warm
                           ? fmt::format("none, a cold start: {}", r.story)
                           : fmt::format("{}; {} served again, {} had gone meanwhile; first answer after {} ms, {}",
                                         r.story, grouped(r.restored_items), grouped(r.restore_dropped), r.start_ms,
                                         r.restored ? fmt::format("all of them after {} ms", r.restored_ms)
                                                    : fmt::format("{} segments still to be read", r.segments_kept)));
  }
  line("control",
       r.alive.control ? fmt::format("pid {}, configuration {}", r.control_pid, r.config_generation) : "not running");
  line("requests", fmt::format("{}{}, {} in all", r.sample_s > 0 ? plain(r.requests_per_s) + "/s" : "-",
                               r.sample_s > 0 ? fmt::format(" over {:.1f} s", r.sample_s) : "", grouped(r.requests)));
  if (r.connections_ever > 0)
    line("connections", fmt::format("{} over TCP, {} in all, {} segments sent again", grouped(r.connections),
                                    grouped(r.connections_ever), grouped(r.retransmits)));
  line("hit ratio", fmt::format("{} of {} gets; {} stores", percent(r.hits, r.gets), grouped(r.gets), grouped(r.sets)));
  line("memory", fmt::format("{} of items in {}; {} items, {} evicted, {} expired; {} of {} segments free",
                             human_bytes(r.item_bytes), human_bytes(r.memory_limit_bytes), grouped(r.items),
                             grouped(r.evicted_items), grouped(r.expired_items), grouped(r.segments_free),
                             grouped(r.segments_total)));
  for (const LatencyReport& l : r.latency)
    if (l.count > 0)
      line(fmt::format("{}", l.what), fmt::format("p50 {}, p90 {}, p99 {}, p99.9 {}", human_ns(l.p50_ns),
                                                  human_ns(l.p90_ns), human_ns(l.p99_ns), human_ns(l.p999_ns)));
  for (const WorkerReport& w : r.workers)
    line(fmt::format("worker {}", w.worker),
         fmt::format("cpu {}, udp port {}{}, {} items, {}/s, busy {:.0f} %{}", w.core, w.udp_port,
                     w.steered ? " (steered)" : "", grouped(w.items), plain(w.requests_per_s), 100 * w.busy_share,
                     w.stuck ? fmt::format(", STUCK for {} ms", w.beat_age_ms) : ""));
  if (!r.drops.empty()) out += "  drops\n";
  for (const auto& [what, count] : r.drops)
    out += fmt::format("    {:<24} {:>14}  {}\n", what->name, grouped(count), what->meaning);
  for (const std::string& warning : r.warnings) line("warning", warning);
  return out;
}

json stats_json(const abi::Shared& shared, int worker) {
  json out = json::object();
  each_stat(shared, worker, [&out](const abi::Description& what, std::uint64_t value) { out[what.name] = value; });
  return out;
}

std::string stats_text(const abi::Shared& shared, int worker) {
  std::string out;
  each_stat(shared, worker, [&out](const abi::Description& what, std::uint64_t value) {
    out += fmt::format("{:<24} {:>20} {}\n", what.name, grouped(value), what.unit);
  });
  return out;
}

std::string explain(std::string_view name) {
  for (const abi::Description& what : abi::kCounterDescriptions)
    if (name == what.name)
      return fmt::format("{}: {} {}. Counted by each worker since gannetd started.", what.name, what.unit,
                         what.meaning);
  for (const abi::Description& what : abi::kGaugeDescriptions)
    if (name == what.name)
      return fmt::format("{}: {} {}. As it is now, told by each worker.", what.name, what.unit, what.meaning);
  return "";
}

std::vector<std::string> stat_names() {
  std::vector<std::string> names;
  for (const abi::Description& what : abi::kCounterDescriptions) names.emplace_back(what.name);
  for (const abi::Description& what : abi::kGaugeDescriptions) names.emplace_back(what.name);
  return names;
}

json topo_json(const abi::Shared& shared) {
  json ports = json::array(), workers = json::array();
  const std::size_t count =
      std::min<std::size_t>(shared.dataplane.ports.load(std::memory_order_acquire), abi::kPortsMax);
  for (std::size_t i = 0; i < count; ++i) {
    const abi::DataplaneStatus::Port& port = shared.dataplane.port[i];
    const abi::PortConfig& wish = shared.start.port[i];
    const std::uint64_t can = port.capabilities.load(std::memory_order_relaxed);
    json capabilities = json::array();
    constexpr std::array kNames = {"rx_checksum", "tx_ip_checksum", "tx_udp_checksum", "multi_segment", "flow_hash"};
    for (std::size_t bit = 0; bit < kNames.size(); ++bit)
      if ((can >> bit & 1) != 0) capabilities.push_back(kNames[bit]);
    ports.push_back(
        {{"port", i},
         {"device", abi::text_of(port.device)},
         {"kind", abi::device_kind_name(wish.kind)},
         {"address", format_cidr(wish.address, wish.prefix_bits)},
         {"address6", wish.address6 == abi::Address{} ? "" : format_cidr6(wish.address6, wish.prefix6_bits)},
         {"mac", fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", port.mac[0], port.mac[1], port.mac[2],
                             port.mac[3], port.mac[4], port.mac[5])},
         {"link_up", port.link_up != 0},
         {"mtu", port.mtu.load(std::memory_order_relaxed)},
         {"rx_queues", port.rx_queues.load(std::memory_order_relaxed)},
         {"tx_queues", port.tx_queues.load(std::memory_order_relaxed)},
         {"dispatch_in_software", port.dispatch_in_software != 0},
         {"capabilities", capabilities}});
  }
  for (std::size_t w = 0; w < abi::workers_of(shared); ++w) {
    const abi::WorkerBlock& block = shared.worker[w];
    workers.push_back({{"worker", w},
                       {"core", static_cast<std::int64_t>(block.info.core.load(std::memory_order_relaxed))},
                       {"numa_node", static_cast<std::int64_t>(block.info.numa_node.load(std::memory_order_relaxed))},
                       {"udp_port", block.info.udp_port.load(std::memory_order_relaxed)},
                       {"steered", block.info.steered.load(std::memory_order_relaxed) != 0},
                       {"tid", block.info.tid.load(std::memory_order_relaxed)},
                       {"segments", block.gauges.segments_total.load(std::memory_order_relaxed)},
                       {"memory_bytes", block.gauges.memory_bytes.load(std::memory_order_relaxed)}});
  }
  json warnings = json::array();
  for (std::size_t i = 1; i < shared.dataplane.message.size(); ++i)
    if (!abi::text_of(shared.dataplane.message[i]).empty())
      warnings.push_back(abi::text_of(shared.dataplane.message[i]));
  return {{"source", "gannetd"},
          {"memory", {{"bytes", shared.start.memory_bytes}, {"page_bytes", shared.start.page_bytes}}},
          {"ports", ports},
          {"workers", workers},
          {"warnings", warnings}};
}

std::string topo_text(const abi::Shared& shared) {
  const json topo = topo_json(shared);
  std::string out = fmt::format("memory    {} in pages of {}\n", human_bytes(shared.start.memory_bytes),
                                human_bytes(shared.start.page_bytes));
  for (const json& port : topo["ports"]) {
    std::string can;
    for (const json& name : port["capabilities"])
      can += fmt::format("{}{}", can.empty() ? "" : " ", name.get<std::string>());
    const std::string address6 = port["address6"].get<std::string>();
    out += fmt::format("port {}    {} ({}), {}{}{}, mac {}, link {}, mtu {}, {} rx and {} tx queues{}; can: {}\n",
                       port["port"].get<int>(), port["device"].get<std::string>(), port["kind"].get<std::string>(),
                       port["address"].get<std::string>(), address6.empty() ? "" : ", ", address6,
                       port["mac"].get<std::string>(), port["link_up"].get<bool>() ? "up" : "down",
                       port["mtu"].get<std::uint64_t>(), port["rx_queues"].get<std::uint64_t>(),
                       port["tx_queues"].get<std::uint64_t>(),
                       port["dispatch_in_software"].get<bool>() ? ", frames dispatched in software" : "",
                       can.empty() ? "nothing" : can);
  }
  for (const json& worker : topo["workers"])
    out += fmt::format(
        "worker {}  cpu {}, NUMA node {}, udp port {}{}, {} segments, {}\n", worker["worker"].get<int>(),
        worker["core"].get<std::int64_t>(), worker["numa_node"].get<std::int64_t>(),
        worker["udp_port"].get<std::uint64_t>(), worker["steered"].get<bool>() ? " (steered by the device)" : "",
        worker["segments"].get<std::uint64_t>(), human_bytes(worker["memory_bytes"].get<std::uint64_t>()));
  for (const json& warning : topo["warnings"]) out += fmt::format("warning   {}\n", warning.get<std::string>());
  return out;
}

}  // namespace gannet::control
