#include "dataplane/core/stat.h"

#include <array>
#include <charconv>
#include <cstring>

#include "control/abi/reader.h"
#include "dataplane/core/executor.h"
#include "dataplane/core/memcache/binary.h"

namespace gannet::dataplane {

namespace {

/// Packet after packet into a bounded buffer. Once one did not fit nothing more is written, and bytes() is 0.
class StatWriter {
 public:
  StatWriter(const StatSource& source, MutableBytes out) noexcept : source_(source), out_(out) {}

  void text(std::string_view name, std::string_view value) noexcept {
    const std::size_t bytes = memcache::kHeaderBytes + name.size() + value.size();
    if (overflow_ || bytes > out_.size() - used_) {
      overflow_ = true;
      return;
    }
    std::byte* at = out_.data() + used_;
    memcache::write_header(at, {.opcode = source_.opcode,
                                .key_bytes = static_cast<std::uint16_t>(name.size()),
                                .body_bytes = static_cast<std::uint32_t>(name.size() + value.size()),
                                .opaque = source_.opaque});
    at += memcache::kHeaderBytes;
    if (!name.empty()) std::memcpy(at, name.data(), name.size());
    if (!value.empty()) std::memcpy(at + name.size(), value.data(), value.size());
    used_ += bytes;
  }
  void number(std::string_view name, std::uint64_t value) noexcept {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    text(name, {digits.data(), static_cast<std::size_t>(end - digits.data())});
  }
  /// "prefix:index:name".
  void number_of(std::string_view prefix, std::uint64_t index, std::string_view name, std::uint64_t value) noexcept {
    std::array<char, 96> line;
    char* at = std::copy(prefix.begin(), prefix.end(), line.data());
    *at++ = ':';
    at = std::to_chars(at, at + 20, index).ptr;
    *at++ = ':';
    at = std::copy(name.begin(), name.end(), at);
    number({line.data(), static_cast<std::size_t>(at - line.data())}, value);
  }
  /// The packet without key and value that ends the answer.
  void end() noexcept { text({}, {}); }
  [[nodiscard]] std::size_t bytes() const noexcept { return overflow_ ? 0 : used_; }

 private:
  const StatSource& source_;
  const MutableBytes out_;
  std::size_t used_ = 0;
  bool overflow_ = false;
};

/// Sums over the workers under short names, since the last reset.
struct Sums {
  const WorkerGroup& group;
  [[nodiscard]] std::uint64_t counter(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < abi::kCounterDescriptions.size(); ++i) {
      if (name == abi::kCounterDescriptions[i].name) return group.counter(i);
    }
    return 0;
  }
  [[nodiscard]] std::uint64_t gauge(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < abi::kGaugeDescriptions.size(); ++i) {
      if (name == abi::kGaugeDescriptions[i].name) return group.gauge(i);
    }
    return 0;
  }
};

void write_general(const StatSource& source, StatWriter& writer) noexcept {
  const abi::Shared& shared = source.group.shared();
  const Sums sums{source.group};
  const std::uint64_t started = shared.dataplane.started_unix_s.load(std::memory_order_relaxed);
  writer.number("pid", shared.dataplane.pid.load(std::memory_order_relaxed));
  writer.number("uptime", started != 0 && source.now > started ? source.now - started : 0);
  writer.number("time", source.now);
  writer.text("version", kVersionText);
  writer.number("pointer_size", 64);
  writer.number("curr_connections", sums.gauge("tcp_connections"));
  writer.number("total_connections", sums.counter("tcp_accepted"));
  writer.number("rejected_connections", sums.counter("tcp_refused_full") + sums.counter("tcp_refused_source"));
  for (const std::string_view name :
       {"cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "get_hits", "get_misses", "delete_misses", "delete_hits",
        "incr_misses", "incr_hits", "decr_misses", "decr_hits", "cas_misses", "cas_hits", "cas_badval", "touch_hits",
        "touch_misses", "auth_cmds", "auth_errors"}) {
    writer.number(name, sums.counter(name));
  }
  writer.number("bytes_read", sums.counter("rx_bytes"));
  writer.number("bytes_written", sums.counter("tx_bytes"));
  writer.number("limit_maxbytes", shared.start.memory_bytes);
  writer.number("threads", source.group.workers());
  writer.number("hash_bytes", sums.gauge("index_bytes"));
  writer.number("bytes", sums.gauge("item_bytes"));
  writer.number("curr_items", sums.gauge("items"));
  writer.number("total_items", sums.counter("cmd_set"));
  writer.number("evictions", sums.gauge("evicted_items"));
  writer.number("reclaimed", sums.gauge("expired_items"));
}

void write_settings(const StatSource& source, StatWriter& writer) noexcept {
  const abi::Shared& shared = source.group.shared();
  writer.number("maxbytes", shared.start.memory_bytes);
  writer.number("tcpport", shared.start.tcp_port);
  writer.number("udpport", shared.start.udp_port);
  writer.text("evictions", "on");
  writer.number("num_threads", source.group.workers());
  writer.text("cas_enabled", "yes");
  writer.text("auth_enabled_sasl", source.authenticated ? "yes" : "no");
  writer.text("binding_protocol", "binary");
  writer.number("item_size_max", source.item_bytes_max);
  writer.number("segment_size", shared.start.segment_bytes);
  writer.number("page_size", shared.start.page_bytes);
  writer.text("flush_enabled", "yes");
}

/// memcached speaks of slab classes; there is one kind of segment, shown as class 1.
void write_items(const StatSource& source, StatWriter& writer) noexcept {
  const Sums sums{source.group};
  writer.number("items:1:number", sums.gauge("items"));
  writer.number("items:1:mem_requested", sums.gauge("item_bytes"));
  writer.number("items:1:evicted", sums.gauge("evicted_items"));
  writer.number("items:1:reclaimed", sums.gauge("expired_items"));
  writer.number("items:1:outofmemory", sums.counter("error_no_memory"));
}

void write_segments(const StatSource& source, StatWriter& writer) noexcept {
  const Sums sums{source.group};
  for (const std::string_view name :
       {"memory_bytes", "index_bytes", "segments_total", "segments_free", "segments_open", "segments_sealed",
        "segments_index", "evicted_segments", "merges", "expired_bytes_held", "pins", "reservations"}) {
    writer.number(name, sums.gauge(name));
  }
}

void write_workers(const StatSource& source, StatWriter& writer) noexcept {
  writer.number("workers", source.group.workers());
  for (std::uint32_t k = 0; k < source.group.workers(); ++k) {
    const abi::WorkerBlock& block = source.group.shared().worker[k];
    const auto cell = [&](std::string_view name, const abi::Cell& value) {
      writer.number_of("worker", k, name, value.load(std::memory_order_relaxed));
    };
    writer.number_of("worker", k, "udp_port", std::uint64_t{source.group.shared().start.udp_port} + 1 + k);
    cell("steered", block.info.steered);
    cell("core", block.info.core);
    cell("numa_node", block.info.numa_node);
    cell("requests", block.counters.requests);
    cell("handed_over", block.counters.handed_over);
    cell("taken_over", block.counters.taken_over);
    cell("items", block.gauges.items);
  }
}

void write_routing(const StatSource& source, StatWriter& writer) noexcept {
  writer.text("hash", "crc32c");
  writer.text("hash_of", "key bytes; initial value 0xffffffff, final inversion (RFC 3720 B.4)");
  writer.text("worker", "hash * workers / 2^32");
  writer.text("port", "udp_port + 1 + worker");
  writer.number("workers", source.group.workers());
  writer.number("udp_port", source.group.shared().start.udp_port);
}

void write_own(const StatSource& source, StatWriter& writer) noexcept {
  for (std::size_t i = 0; i < abi::kCounterDescriptions.size(); ++i)
    writer.number(abi::kCounterDescriptions[i].name, source.group.counter(i));
  for (std::size_t i = 0; i < abi::kGaugeDescriptions.size(); ++i) {
    const std::string_view name = abi::kGaugeDescriptions[i].name;
    if (name != "config_generation" && name != "heartbeat_ns")
      writer.number(name, source.group.gauge(i));  // A sum of these says nothing.
  }
}

struct StatGroup {
  std::string_view name;
  void (*write)(const StatSource&, StatWriter&) noexcept;
};

constexpr std::array<StatGroup, 9> kStatGroups = {{
    {"", write_general},
    {"settings", write_settings},
    {"items", write_items},
    {"slabs", write_segments},
    {"segments", write_segments},
    {"sizes", [](const StatSource&, StatWriter& writer) noexcept { writer.text("sizes_status", "disabled"); }},
    {"workers", write_workers},
    {"routing", write_routing},
    {"gannet", write_own},
}};

}  // namespace

std::size_t write_stats(const StatSource& source, std::string_view stat_group, MutableBytes out) noexcept {
  for (const StatGroup& known : kStatGroups) {
    if (known.name != stat_group) continue;
    StatWriter writer(source, out);
    known.write(source, writer);
    writer.end();
    return writer.bytes();
  }
  return 0;
}

}  // namespace gannet::dataplane
