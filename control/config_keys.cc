#include "control/config_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

namespace gannet::control {
namespace {

constexpr Verdict (*kNo)() = [] { return Verdict{false, ""}; };

template <class Number>
Verdict read_number(const toml::node& node, std::int64_t low, std::int64_t high, Number& out) {
  const toml::value<std::int64_t>* value = node.as_integer();
  if (value == nullptr || value->get() < low || value->get() > high) return kNo();
  out = static_cast<Number>(value->get());
  return {};
}

Verdict read_bool(const toml::node& node, bool& out) {
  if (node.as_boolean() == nullptr) return kNo();
  out = node.as_boolean()->get();
  return {};
}

/// A size as text with a unit, or as a number of bytes.
template <class Number>
Verdict read_size(const toml::node& node, std::uint64_t low, std::uint64_t high, Number& out) {
  std::optional<std::uint64_t> bytes;
  if (node.as_string() != nullptr) bytes = parse_size(node.as_string()->get());
  if (node.as_integer() != nullptr && node.as_integer()->get() >= 0)
    bytes = static_cast<std::uint64_t>(node.as_integer()->get());
  if (!bytes || *bytes < low || *bytes > high) return kNo();
  out = static_cast<Number>(*bytes);
  return {};
}

const std::string* text_in(const toml::node& node) {
  return node.as_string() == nullptr ? nullptr : &node.as_string()->get();
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 && text[0] != '-' && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

/// A path of this machine that fits `bytes_max` with its NUL.
bool is_absolute_path(std::string_view text, std::size_t bytes_max) {
  return text.size() > 1 && text.size() < bytes_max && text[0] == '/' && text.back() != '/' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c != 0x7f; });
}

Verdict read_address(const toml::node& node, Config&, PortWish& port) {
  const std::string* text = text_in(node);
  const std::optional<Cidr> cidr = text != nullptr ? parse_cidr(*text) : std::nullopt;
  if (!cidr)
    return {false,
            text != nullptr && parse_ipv4(*text) ? fmt::format("write \"{}/24\" for a subnet of 256", *text) : ""};
  const std::uint32_t host = cidr->address & ~mask_of(cidr->bits), first = cidr->address >> 24;
  if (cidr->bits < 8 || first == 0 || first == 127 || first >= 224) return kNo();
  if (cidr->bits < 31 && (host == 0 || host == ~mask_of(cidr->bits)))
    return {false, "that is the subnet's network or broadcast address: choose one between them"};
  port.address = *cidr;
  return {};
}

/// A lone unicast address of a host: neither a group nor one with an IPv4 address inside, loopback and :: included.
bool is_host6(const abi::Address& address) {
  const bool low = std::all_of(address.begin(), address.begin() + 10, [](std::uint8_t byte) { return byte == 0; });
  return address[0] != 0xff && !(low && (address[10] == 0 || address[10] == 0xff) && address[11] == address[10]);
}

Verdict read_address6(const toml::node& node, Config&, PortWish& port) {
  const std::string* text = text_in(node);
  if (text != nullptr && text->empty()) {
    port.address6 = {};
    return {};
  }
  const std::optional<Cidr6> cidr = text != nullptr ? parse_cidr6(*text) : std::nullopt;
  if (!cidr)
    return {false,
            text != nullptr && parse_ipv6(*text) ? fmt::format("write \"{}/64\" for a subnet of 64 bits", *text) : ""};
  if (cidr->bits < 8 || !is_host6(cidr->address)) return kNo();
  const abi::Prefix prefix{.address = cidr->address, .bits = static_cast<std::uint8_t>(cidr->bits), .reserved = {}};
  if (cidr->bits < 127 && masked(prefix).address == cidr->address)
    return {false, "that is the address of the subnet's routers (RFC 4291 section 2.6.1): choose another"};
  port.address6 = *cidr;
  return {};
}

Verdict read_cores(const toml::node& node, Config& config, PortWish&) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > abi::kWorkersMax) return kNo();
  std::vector<std::int32_t> cores;
  for (const toml::node& element : *list) {
    std::int32_t core = 0;
    if (!read_number(element, 0, 4095, core).ok) return kNo();
    if (std::find(cores.begin(), cores.end(), core) != cores.end())
      return {false, fmt::format("core {} is there twice", core)};
    cores.push_back(core);
  }
  config.cores = std::move(cores);
  return {};
}

Verdict read_allow(const toml::node& node, Config& config, PortWish&) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() > abi::kPrefixesMax) return kNo();
  std::vector<abi::Prefix> allow;
  for (const toml::node& element : *list) {
    const std::string* text = text_in(element);
    const std::optional<abi::Prefix> prefix = text != nullptr ? parse_prefix(*text) : std::nullopt;
    if (!prefix) {
      if (text != nullptr && parse_ipv4(*text)) return {false, fmt::format("write \"{}/32\" for one host", *text)};
      if (text != nullptr && parse_ipv6(*text)) return {false, fmt::format("write \"{}/128\" for one host", *text)};
      return kNo();
    }
    if (masked(*prefix).address != prefix->address)
      return {false, fmt::format("{} has bits beyond its length, write \"{}\"", quoted(*text),
                                 format_prefix(masked(*prefix)))};
    allow.push_back(*prefix);
  }
  config.allow = std::move(allow);
  return {};
}

Verdict read_segment(const toml::node& node, Config& config, PortWish&) {
  if (text_in(node) != nullptr && *text_in(node) == "auto") {
    config.segment_bytes = 0;
    return {};
  }
  std::uint32_t bytes = 0;
  if (!read_size(node, 64u << 10, 16u << 20, bytes).ok || (bytes & (bytes - 1)) != 0) return kNo();
  config.segment_bytes = bytes;
  return {};
}

Verdict read_item_max(const toml::node& node, Config& config, PortWish&) {
  if (text_in(node) != nullptr && *text_in(node) == "auto") {
    config.item_bytes_max = 0;
    return {};
  }
  return read_size(node, 1u << 10, 1u << 20, config.item_bytes_max);
}

Verdict read_page(const toml::node& node, Config& config, PortWish&) {
  std::uint64_t bytes = 0;
  if (!read_size(node, 0, std::numeric_limits<std::int64_t>::max(), bytes).ok) return kNo();
  if (bytes != 4u << 10 && bytes != 2u << 20 && bytes != 1u << 30) return kNo();
  config.page_bytes = bytes;
  return {};
}

std::string size_or_auto(std::uint64_t bytes) {
  return quoted(bytes == 0 ? "auto" : format_size(bytes));
}

std::string show_allow(const Config& config, const PortWish&) {
  std::vector<std::string> texts;
  for (const abi::Prefix& prefix : config.allow) texts.push_back(quoted(format_prefix(prefix)));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

template <auto Member>
std::string show_number(const Config& config, const PortWish&) {
  return fmt::format("{}", config.*Member);
}
template <auto Member>
std::string show_port_number(const Config&, const PortWish& port) {
  return fmt::format("{}", port.*Member);
}

std::vector<KeySpec> make_specs() {
  using N = const toml::node&;
  using C = Config&;
  using P = PortWish&;
  using CC = const Config&;
  using CP = const PortWish&;
  constexpr std::uint64_t kTiB = 1ull << 40;
  return {
      {{"appliance.name", "text", "1 to 32 of a-z, 0-9 and -, not starting with -", "\"gannet\"", Apply::kControl,
        "Name of this appliance on this machine: of its files, its socket and its threads."},
       [](N n, C c, P) {
         if (text_in(n) == nullptr || !is_name(*text_in(n))) return kNo();
         c.name = *text_in(n);
         return Verdict{};
       },
       [](CC c, CP) { return quoted(c.name); }},
      {{"port.device", "text",
        "\"tap\", \"tap:NAME\", \"af_packet:INTERFACE\", \"af_xdp:INTERFACE\", \"vhost:/PATH\", \"memif:/PATH\", "
        "\"ring\" or a PCI "
        "address like \"0000:3b:00.0\"",
        "", Apply::kRestart,
        "Where frames come from: a NIC by PCI address, or a device of the kernel or of another process."},
       [](N n, C, P p) {
         const std::optional<Device> device = text_in(n) != nullptr ? parse_device(*text_in(n)) : std::nullopt;
         if (!device) return kNo();
         p.device = *device;
         return Verdict{};
       },
       [](CC, CP p) { return quoted(format_device(p.device.kind, p.device.argument)); }},
      {{"port.address", "address/length",
        "an IPv4 host address with its subnet's length 8 to 32, like \"10.77.0.2/24\"", "", Apply::kRestart,
        "The appliance's own address on this port; by default its subnet may send requests."},
       read_address,
       [](CC, CP p) { return quoted(format_cidr(p.address.address, p.address.bits)); }},
      {{"port.address6", "address/length",
        "\"\" or an IPv6 host address with its subnet's length 8 to 128, like \"fd77::2/64\"", "\"\"", Apply::kRestart,
        "The appliance's own IPv6 address on this port, beside the link-local one that follows from its MAC; \"\" is "
        "no "
        "IPv6."},
       read_address6,
       [](CC, CP p) { return quoted(p.address6.bits == 0 ? "" : format_cidr6(p.address6.address, p.address6.bits)); }},
      {{"port.queues", "number", "0 to 64; 0 is one per worker", "0", Apply::kRestart,
        "Receive and transmit queues to ask the device for; with fewer queues than workers, frames are dispatched in "
        "software."},
       [](N n, C, P p) { return read_number(n, 0, abi::kWorkersMax, p.queues); },
       show_port_number<&PortWish::queues>},
      {{"port.mtu", "number of bytes", "576 to 9000", "1500", Apply::kRestart, "Largest IP packet, both ways."},
       [](N n, C, P p) { return read_number(n, 576, 9000, p.mtu); },
       show_port_number<&PortWish::mtu>},
      {{"port.vlan", "number", "0 to 4094; 0 is any tag or none", "0", Apply::kRestart,
        "Only frames of this VLAN are ours."},
       [](N n, C, P p) { return read_number(n, 0, 4094, p.vlan); },
       show_port_number<&PortWish::vlan>},
      {{"workers.count", "number", "1 to 64", "1", Apply::kRestart,
        "Workers, each with a core, a queue of every port and a shard."},
       [](N n, C c, P) { return read_number(n, 1, abi::kWorkersMax, c.workers); },
       show_number<&Config::workers>},
      {{"workers.cores", "list of numbers",
        "a list of different logical CPUs, 0 to 4095, one per worker; [] lets the planner choose", "[]",
        Apply::kRestart, "Logical CPU of each worker."},
       read_cores,
       [](CC c, CP) { return fmt::format("[{}]", fmt::join(c.cores, ", ")); }},
      {{"workers.idle_sleep_us", "number of microseconds", "0 to 10000; 0 spins for ever", "50", Apply::kLive,
        "Longest sleep of a worker that finds nothing to do: adds that much to the latency of the first request after "
        "a pause."},
       [](N n, C c, P) { return read_number(n, 0, 10'000, c.idle_sleep_us); },
       show_number<&Config::idle_sleep_us>},
      {{"memory.size", "size", "\"16MiB\" to \"64TiB\", a multiple of memory.page", "\"1GiB\"", Apply::kRestart,
        "Memory of the item store, all workers together: items, headers and index."},
       [](N n, C c, P) { return read_size(n, 16u << 20, 64 * kTiB, c.memory_bytes); },
       [](CC c, CP) { return quoted(format_size(c.memory_bytes)); }},
      {{"memory.page", "size", "\"4KiB\", \"2MiB\" or \"1GiB\"", "\"2MiB\"", Apply::kRestart,
        "Page size of that memory; 4KiB needs no reserved hugepages and is slow."},
       read_page,
       [](CC c, CP) { return quoted(format_size(c.page_bytes)); }},
      {{"memory.segment", "size", "\"auto\" or a power of two from \"64KiB\" to \"16MiB\"", "\"auto\"", Apply::kRestart,
        "Unit in which the store fills, expires and evicts memory."},
       read_segment,
       [](CC c, CP) { return size_or_auto(c.segment_bytes); }},
      {{"memory.item_max", "size", "\"auto\" or \"1KiB\" to \"1MiB\"", "\"auto\"", Apply::kRestart,
        "Largest item that is stored, header, key and padding included; \"auto\" is what a segment holds, at most "
        "1MiB."},
       read_item_max,
       [](CC c, CP) { return size_or_auto(c.item_bytes_max); }},
      {{"memory.path", "text", "\"\" or an absolute path of at most 127 bytes on hugetlbfs or tmpfs", "\"\"",
        Apply::kRestart,
        "File that is the memory; \"\" makes an anonymous one that lives as long as gannet-control or gannetd does."},
       [](N n, C c, P) {
         if (text_in(n) == nullptr || (!text_in(n)->empty() && !is_absolute_path(*text_in(n), abi::kTextMax)))
           return kNo();
         c.memory_path = *text_in(n);
         return Verdict{};
       },
       [](CC c, CP) { return quoted(c.memory_path); }},
      {{"memory.allow_remote", "true or false", "true or false", "false", Apply::kRestart,
        "Whether workers and their memory may lie on another NUMA node than the port; otherwise gannetd refuses to "
        "start so."},
       [](N n, C c, P) { return read_bool(n, c.allow_remote); },
       show_number<&Config::allow_remote>},
      {{"memory.eviction", "text", "\"greedy\", \"merge\", \"s3fifo\", \"fifo\", \"random\", \"cte\" or \"util\"",
        "\"greedy\"", Apply::kLive,
        "What goes when memory is full: greedy, what is worth least by uses, size and age; merge, the least used of "
        "the "
        "oldest segments; s3fifo, what passes a small queue unused; or a whole segment: the oldest (fifo), any "
        "(random), "
        "the one that expires first (cte), the one with the fewest bytes in use (util)."},
       [](N n, C c, P) {
         const auto at = text_in(n) == nullptr ? kEvictionNames.end()
                                               : std::find(kEvictionNames.begin(), kEvictionNames.end(), *text_in(n));
         if (at == kEvictionNames.end()) return kNo();
         c.eviction = static_cast<std::uint32_t>(at - kEvictionNames.begin());
         return Verdict{};
       },
       [](CC c, CP) { return quoted(std::string(kEvictionNames[c.eviction])); }},
      {{"listen.udp", "number", "1 to 65535 less workers.count", "11211", Apply::kRestart,
        "UDP port of the memcache binary protocol; the ports udp + 1 + k lead straight to worker k."},
       [](N n, C c, P) { return read_number(n, 1, 65535, c.udp); },
       show_number<&Config::udp>},
      {{"listen.tcp", "number", "0 to 65535; 0 is off", "11211", Apply::kRestart, "TCP port of the same protocol."},
       [](N n, C c, P) { return read_number(n, 0, 65535, c.tcp); },
       show_number<&Config::tcp>},
      {{"listen.tcp_connections_max", "number", "1 to 262144", "8192", Apply::kRestart,
        "Connections of each worker; one more is refused. A worker needs about 1.2KiB for each and 40MiB for their "
        "buffers."},
       [](N n, C c, P) { return read_number(n, 1, 262'144, c.tcp_connections_max); },
       show_number<&Config::tcp_connections_max>},
      {{"listen.tcp_source_max", "number", "0 to 262144; 0 is no limit", "0", Apply::kRestart,
        "Connections of one address at each worker."},
       [](N n, C c, P) { return read_number(n, 0, 262'144, c.tcp_source_max); },
       show_number<&Config::tcp_source_max>},
      {{"listen.tcp_idle_s", "number of seconds", "0 to 2592000; 0 is never", "0", Apply::kRestart,
        "A connection without a byte either way for so long is reset; a client that vanished is found after two hours "
        "anyway."},
       [](N n, C c, P) { return read_number(n, 0, 2'592'000, c.tcp_idle_s); },
       show_number<&Config::tcp_idle_s>},
      {{"listen.sasl_users", "text", "\"\" or an absolute path of at most 127 bytes", "\"\"", Apply::kRestart,
        "File of users, one name:password a line; TCP clients must then authenticate by SASL PLAIN, and UDP is not "
        "answered. \"\" lets everybody speak."},
       [](N n, C c, P) {
         if (text_in(n) == nullptr || (!text_in(n)->empty() && !is_absolute_path(*text_in(n), abi::kTextMax)))
           return kNo();
         c.sasl_users = *text_in(n);
         return Verdict{};
       },
       [](CC c, CP) { return quoted(c.sasl_users); }},
      {{"listen.allow", "list of prefixes",
        "a list of at most 32 prefixes like [\"10.0.0.0/8\", \"fd77::/48\"]; [] is each port's own subnets", "[]",
        Apply::kLive,
        "Sources that are answered, of both families; everybody else is dropped and counted. [] also takes IPv6 "
        "link-local ones."},
       read_allow,
       show_allow},
      {{"listen.udp_answer_max", "size", "0 to \"1MiB\"; 0 is no limit", "\"0\"", Apply::kLive,
        "Largest value answered over UDP; a larger one gets status 0x03."},
       [](N n, C c, P) { return read_size(n, 0, 1u << 20, c.udp_answer_max); },
       [](CC c, CP) { return quoted(format_size(c.udp_answer_max)); }},
      {{"listen.udp_admin", "true or false", "true or false", "true", Apply::kLive,
        "Whether STAT, FLUSH and VERSION are served over UDP."},
       [](N n, C c, P) { return read_bool(n, c.udp_admin); },
       show_number<&Config::udp_admin>},
      {{"listen.udp_rate_per_source", "number", "0 to 100000000; 0 is any number", "0", Apply::kLive,
        "Datagrams a second that each worker takes from one source address, a tenth of it at once; more are dropped "
        "and counted."},
       [](N n, C c, P) { return read_number(n, 0, 100'000'000, c.udp_rate_per_source); },
       show_number<&Config::udp_rate_per_source>},
      {{"control.http", "address:port", "\"off\" or an IPv4 address and port like \"127.0.0.1:9411\"",
        "\"127.0.0.1:9411\"", Apply::kControl,
        "Where /healthz, /readyz, /status and /metrics are served; there is no password, so keep it on a private "
        "address."},
       [](N n, C c, P) {
         if (text_in(n) == nullptr || (*text_in(n) != "off" && !parse_host_port(*text_in(n)))) return kNo();
         c.http = *text_in(n) == "off" ? "" : *text_in(n);
         return Verdict{};
       },
       [](CC c, CP) { return quoted(c.http.empty() ? "off" : c.http); }},
      {{"control.socket", "text", "\"\" or an absolute path of at most 107 bytes", "\"\"", Apply::kControl,
        "gannetctl's socket; \"\" is NAME.sock in the state directory."},
       [](N n, C c, P) {
         if (text_in(n) == nullptr || (!text_in(n)->empty() && !is_absolute_path(*text_in(n), 108))) return kNo();
         c.socket = *text_in(n);
         return Verdict{};
       },
       [](CC c, CP) { return quoted(c.socket); }},
      {{"control.stuck_after_ms", "number of milliseconds", "100 to 60000", "2000", Apply::kLive,
        "A worker whose heart has not beaten for so long makes the appliance unhealthy."},
       [](N n, C c, P) { return read_number(n, 100, 60'000, c.stuck_after_ms); },
       show_number<&Config::stuck_after_ms>},
      {{"control.restart_when_stuck", "true or false", "true or false", "false", Apply::kLive,
        "Whether a stuck gannetd is killed and started again."},
       [](N n, C c, P) { return read_bool(n, c.restart_when_stuck); },
       show_number<&Config::restart_when_stuck>},
      {{"control.start_limit_s", "number of seconds", "1 to 86400", "300", Apply::kLive,
        "A gannetd that does not serve so long after its start is killed and started again."},
       [](N n, C c, P) { return read_number(n, 1, 86'400, c.start_limit_s); },
       show_number<&Config::start_limit_s>},
  };
}

}  // namespace

const std::vector<KeySpec>& key_specs() {
  static const std::vector<KeySpec> specs = make_specs();
  return specs;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace gannet::control
