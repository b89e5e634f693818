#include "tests/tcp/runner_settings.h"

#include <array>
#include <functional>
#include <map>

namespace gannet::test::tcp {
namespace {

nicpipe::IpAddress ip_of(std::string_view text) {
  const Address from = address(text);
  return nicpipe::load_ipv6(reinterpret_cast<const std::byte*>(from.bytes.data()));
}

using Setter = std::function<bool(Settings&, const std::string&)>;

template <class T>
Setter number(T nic::Config::*field) {
  return [field](Settings& settings, const std::string& value) {
    std::uint32_t read = 0;
    if (!parse_number(value, read)) return false;
    settings.options.config.*field = static_cast<T>(read);
    return true;
  };
}

Setter time(MonotonicNs nic::Config::*field) {
  return [field](Settings& settings, const std::string& value) {
    return parse_time(value, settings.options.config.*field);
  };
}

Setter yes_no(bool nic::Config::*field) {
  return [field](Settings& settings, const std::string& value) {
    settings.options.config.*field = value == "yes";
    return value == "yes" || value == "no";
  };
}

template <class T>
Setter option(T RigOptions::*field) {
  return [field](Settings& settings, const std::string& value) {
    std::uint32_t read = 0;
    if (!parse_number(value, read)) return false;
    settings.options.*field = static_cast<T>(read);
    return true;
  };
}

const std::map<std::string, Setter>& setters() {
  using C = nic::Config;
  static const std::map<std::string, Setter> kSetters{
      {"connections_max", number(&C::connections_max)},
      {"half_open_max", number(&C::half_open_max)},
      {"per_source_max", number(&C::per_source_max)},
      {"time_wait_max", number(&C::time_wait_max)},
      {"send_blocks", number(&C::send_blocks)},
      {"receive_packets", number(&C::receive_packets)},
      {"send_bytes_max", number(&C::send_bytes_max)},
      {"receive_bytes_max", number(&C::receive_bytes_max)},
      {"out_of_order_max", number(&C::out_of_order_max)},
      {"mss_max", number(&C::mss_max)},
      {"mss_min", number(&C::mss_min)},
      {"initial_window_segments", number(&C::initial_window_segments)},
      {"window_scaling", yes_no(&C::window_scaling)},
      {"timestamps", yes_no(&C::timestamps)},
      {"sack", yes_no(&C::sack)},
      {"ecn", yes_no(&C::ecn)},
      {"ecn_ask", yes_no(&C::ecn_ask)},
      {"rto_min", time(&C::rto_min_ns)},
      {"rto_max", time(&C::rto_max_ns)},
      {"rto_initial", time(&C::rto_initial_ns)},
      {"delayed_ack", time(&C::delayed_ack_ns)},
      {"time_wait", time(&C::time_wait_ns)},
      {"keepalive", time(&C::keepalive_ns)},
      {"keepalive_interval", time(&C::keepalive_interval_ns)},
      {"keepalive_probes", number(&C::keepalive_probes)},
      {"idle", time(&C::idle_ns)},
      {"fin_wait_2", time(&C::fin_wait_2_ns)},
      {"syn_retries", number(&C::syn_retries)},
      {"retries", number(&C::retries)},
      {"challenge_acks_per_s", number(&C::challenge_acks_per_s)},
      {"resets_per_s", number(&C::resets_per_s)},
      {"mtu", option(&RigOptions::mtu)},
      {"vlan", option(&RigOptions::vlan)},
      {"sends", option(&RigOptions::sends)},
      {"buffers", option(&RigOptions::buffers)},
      {"buffer_bytes", option(&RigOptions::buffer_bytes)},
      {"device",
       [](Settings& settings, const std::string& value) {
         nicpipe::Capabilities& device = settings.options.capabilities;
         const bool sums = value == "checksums" || value == "segments";
         device.tx_ip_checksum = device.tx_tcp_checksum = sums;
         device.tcp_segmentation = value == "segments";
         device.multi_segment = value != "plain";
         return sums || value == "plain" || value == "gathers";
       }},
      {"peer_isn", [](Settings& settings, const std::string& value) { return parse_number(value, settings.peer_isn); }},
      {"congestion",
       [](Settings& settings, const std::string& value) {
         settings.options.config.congestion = value == "cubic" ? nic::Congestion::kCubic : nic::Congestion::kNewReno;
         return value == "cubic" || value == "newreno";
       }},
      {"ip",
       [](Settings& settings, const std::string& value) {
         settings.v6 = settings.options.v6 = value == "6";
         return value == "4" || value == "6";
       }},
  };
  return kSetters;
}

struct NamedStat {
  const char* name;
  std::uint64_t nic::Stats::*field;
};
#define GANNET_STAT(name) \
  { #name, &nic::Stats::name }
constexpr NamedStat kStats[] = {
    GANNET_STAT(accepted),
    GANNET_STAT(connected),
    GANNET_STAT(closed),
    GANNET_STAT(reset_by_peer),
    GANNET_STAT(aborted),
    GANNET_STAT(timed_out),
    GANNET_STAT(refused_full),
    GANNET_STAT(refused_source),
    GANNET_STAT(refused_port),
    GANNET_STAT(open),
    GANNET_STAT(half_open),
    GANNET_STAT(time_wait),
    GANNET_STAT(time_wait_reused),
    GANNET_STAT(time_wait_evicted),
    GANNET_STAT(cookies_sent),
    GANNET_STAT(cookies_accepted),
    GANNET_STAT(cookies_refused),
    GANNET_STAT(segments_in),
    GANNET_STAT(segments_out),
    GANNET_STAT(bytes_in),
    GANNET_STAT(bytes_out),
    GANNET_STAT(resets_out),
    GANNET_STAT(drop_header),
    GANNET_STAT(drop_checksum),
    GANNET_STAT(drop_nobody),
    GANNET_STAT(drop_window),
    GANNET_STAT(drop_paws),
    GANNET_STAT(drop_ack),
    GANNET_STAT(drop_no_memory),
    GANNET_STAT(challenge_acks),
    GANNET_STAT(challenge_acks_held),
    GANNET_STAT(out_of_order),
    GANNET_STAT(duplicates),
    GANNET_STAT(retransmits),
    GANNET_STAT(timeouts),
    GANNET_STAT(fast_recoveries),
    GANNET_STAT(tail_probes),
    GANNET_STAT(window_probes),
    GANNET_STAT(keepalives),
    GANNET_STAT(ecn_marks),
    GANNET_STAT(ecn_reductions),
    GANNET_STAT(spurious),
    GANNET_STAT(icmp_errors),
    GANNET_STAT(icmp_refused),
    GANNET_STAT(pins_copied),
    GANNET_STAT(blocks_used),
    GANNET_STAT(receive_packets_used),
};
#undef GANNET_STAT

}  // namespace

Settings settings_of(const Script& script) {
  Settings settings;
  settings.peer_ip = ip_of(kPeer);
  settings.peer_ip6 = ip_of(kPeer6);
  settings.options.config.connections_max = 64;
  settings.options.config.half_open_max = 32;
  settings.options.config.receive_packets = 256;
  settings.options.config.send_blocks = 256;
  settings.options.buffers = 768;
  settings.options.spares = 256;
  for (const Setting& setting : script.settings) {
    const auto found = setters().find(setting.key);
    if (found == setters().end() || !found->second(settings, setting.value)) {
      settings.fault = "line " + std::to_string(setting.line) + ": config " + setting.key + " " + setting.value;
      return settings;
    }
  }
  return settings;
}

std::optional<std::uint64_t> stat_of(const nic::Stats& stats, const std::string& name) {
  for (const NamedStat& stat : kStats)
    if (name == stat.name) return stats.*stat.field;
  return std::nullopt;
}

std::uint8_t event_bit(const std::string& name) {
  if (name == "opened") return nic::kOpened;
  if (name == "readable") return nic::kReadable;
  if (name == "writable") return nic::kWritable;
  if (name == "peer_closed") return nic::kPeerClosed;
  return name == "closed" ? nic::kClosed : 0;
}

std::string close_text(nic::Close reason) {
  constexpr const char* kNames[] = {"none", "done", "reset", "refused", "timeout", "keepalive", "idle", "unreachable"};
  const auto at = static_cast<std::size_t>(reason);
  return at < std::size(kNames) ? kNames[at] : "?";
}

}  // namespace gannet::test::tcp
