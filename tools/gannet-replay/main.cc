/// gannet-replay: replays request traces into the store and says what it remembered. See --help and README.md.
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/gannet-replay/reference.h"
#include "tools/gannet-replay/replay.h"
#include "tools/gannet-replay/svg.h"
#include "tools/gannet-replay/trace.h"
#include "tools/gannet-replay/wire_replay.h"
#include "tools/load/kernel_tcp.h"
#include "tools/load/kernel_udp.h"

namespace {

using gannet::replay::Outcome;
using gannet::replay::Reference;
using gannet::replay::Trace;
using gannet::storage::Eviction;

struct Options {
  std::vector<std::string> traces;
  std::vector<double> sizes;
  std::vector<std::string> policies{"greedy"};
  std::uint32_t segment_bytes = 0;
  bool json = false, table = false, quiet = false;
  std::string svg;
  std::string to;  ///< HOST:PORT; empty: into a shard of our own.
  bool udp = false;
  /// MTU: memcached divides answers of more than 1400 bytes, and no longer SET leads to no longer answer.
  std::uint32_t batch = 32, mtu = 1500;
  double speed = 0;
};

struct Row {
  std::string trace;
  double mib = 0;
  Eviction eviction = Eviction::kGreedy;
  Outcome outcome;
  const Reference* reference = nullptr;
};

const Reference* reference_of(const std::string& trace, double mib) {
  for (const Reference& row : gannet::replay::references()) {
    if (row.trace == trace && row.mib == mib) return &row;
  }
  return nullptr;
}

std::vector<double> sizes_for(const Options& options, const std::string& trace) {
  if (!options.sizes.empty()) return options.sizes;
  std::vector<double> sizes;
  for (const Reference& row : gannet::replay::references()) {
    if (row.trace == trace) sizes.push_back(row.mib);
  }
  return sizes;
}

/// One line on a terminal, rewritten a few times a second; a line every ten seconds elsewhere.
class Progress {
 public:
  Progress(std::string what, std::size_t all) : what_(std::move(what)), all_(all) {}
  void operator()(std::size_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    fmt::print(stderr, "{}{}: {:3.0f} %, {:.1f} M requests/s{}", terminal_ ? "\r" : "", what_,
               100.0 * static_cast<double>(done) / static_cast<double>(all_), rate / 1e6, terminal_ ? "  " : "\n");
    std::fflush(stderr);
    next_ = now + (terminal_ ? std::chrono::milliseconds(250) : std::chrono::seconds(10));
  }
  void end() const {
    if (terminal_) fmt::print(stderr, "\r{:70}\r", "");
  }

 private:
  std::string what_;
  std::size_t all_;
  bool terminal_ = isatty(STDERR_FILENO) != 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(),
                                        next_ = begin_ + std::chrono::seconds(terminal_ ? 0 : 10);
};

nlohmann::json to_json(const Row& row) {
  const Outcome& o = row.outcome;
  nlohmann::json out{{"trace", row.trace},
                     {"mib", row.mib},
                     {"policy", eviction_name(row.eviction)},
                     {"requests", o.requests},
                     {"object_miss_ratio", o.object_miss_ratio()},
                     {"byte_miss_ratio", o.byte_miss_ratio()},
                     {"requests_per_second", o.seconds > 0 ? static_cast<double>(o.requests) / o.seconds : 0},
                     {"items", o.stats.items},
                     {"bytes_per_item", o.bytes_per_item()},
                     {"copied_per_stored", o.copied_per_stored()},
                     {"refused", o.refused},
                     {"wrong", o.wrong},
                     {"memory_bytes", o.stats.memory_bytes},
                     {"index_bytes", o.stats.index_bytes}};
  if (row.reference != nullptr) out["goal"] = row.reference->goal();
  return out;
}

void print_rows(const std::vector<Row>& rows) {
  fmt::print("{:8} {:>6} {:7} {:>8} {:>8} {:>8} {:>8} {:>6} {:>7} {:>6}\n", "trace", "MiB", "policy", "objects",
             "bytes", "Mreq/s", "B/item", "copied", "expired", "wrong");
  for (const Row& row : rows) {
    const Outcome& o = row.outcome;
    const double held = o.expired_held_samples == 0
                            ? 0
                            : static_cast<double>(o.expired_held_sum) / static_cast<double>(o.expired_held_samples) /
                                  static_cast<double>(o.stats.memory_bytes);
    fmt::print("{:8} {:>6g} {:7} {:>8.4f} {:>8.4f} {:>8.2f} {:>8.1f} {:>6.2f} {:>6.1f}% {:>6}\n", row.trace, row.mib,
               eviction_name(row.eviction), o.object_miss_ratio(), o.byte_miss_ratio(),
               static_cast<double>(o.requests) / o.seconds / 1e6, o.bytes_per_item(), o.copied_per_stored(), 100 * held,
               o.wrong);
  }
}

/// Beside what others reach, as the documentation's table.
void print_table(const std::vector<Row>& rows) {
  fmt::print("| trace | MiB | policy | objects | bytes | Segcache | LRU | best of ARC, S3-FIFO, LHD | GDSF | goal |\n");
  fmt::print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Row& row : rows) {
    if (row.reference == nullptr) continue;
    const Reference& r = *row.reference;
    const double ours = row.outcome.object_miss_ratio();
    const std::string verdict =
        ours <= r.goal() ? "met" : fmt::format("missed by {:.1f} %", 100 * (ours / r.goal() - 1));
    fmt::print("| {} | {:g} | {} | {:.4f} | {:.4f} | {:.4f} | {:.4f} | {:.4f} | {:.4f} | {} |\n", row.trace, row.mib,
               eviction_name(row.eviction), ours, row.outcome.byte_miss_ratio(), r.segcache, r.lru, r.best_adaptive(),
               r.gdsf, verdict);
  }
}

/// One curve a policy, and what is known of others.
std::vector<gannet::replay::Curve> curves_of(const std::vector<Row>& rows, const std::string& trace) {
  std::vector<gannet::replay::Curve> curves;
  const auto add = [&](const std::string& name, double mib, double ratio) {
    for (auto& curve : curves) {
      if (curve.name == name) return curve.points.emplace_back(mib, ratio), void();
    }
    curves.push_back({name, {{mib, ratio}}});
  };
  for (const Row& row : rows) {
    if (row.trace != trace) continue;
    add(std::string("Gannet ") + std::string(eviction_name(row.eviction)), row.mib, row.outcome.object_miss_ratio());
  }
  for (const Reference& r : gannet::replay::references()) {
    if (r.trace != trace) continue;
    add("Segcache", r.mib, r.segcache);
    add("LRU", r.mib, r.lru);
    add("GDSF", r.mib, r.gdsf);
  }
  for (auto& curve : curves) std::sort(curve.points.begin(), curve.points.end());
  return curves;
}

/// FILE for one trace; FILE-trace.svg for each of several.
bool write_plots(const Options& options, const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) {
    if (std::find(names.begin(), names.end(), row.trace) == names.end()) names.push_back(row.trace);
  }
  for (const std::string& name : names) {
    std::filesystem::path path(options.svg);
    if (names.size() > 1) path.replace_filename(path.stem().string() + "-" + name + ".svg");
    std::ofstream out(path);
    out << gannet::replay::plot(name, curves_of(rows, name));
    if (out.flush()) continue;
    fmt::print(stderr, "gannet-replay: {} cannot be written.\n", path.string());
    return false;
  }
  return true;
}

/// An IPv4 address, or a name that has one. False: `why` is one sentence.
bool resolve(const std::string& to, gannet::load::Options& out, std::string& why) {
  const std::size_t colon = to.rfind(':');
  const std::string host = to.substr(0, colon), port = colon == std::string::npos ? "11211" : to.substr(colon + 1);
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_INET;
  if (const int wrong = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); wrong != 0) {
    why = fmt::format("--to {}: {}; say HOST:PORT.", to, ::gai_strerror(wrong));
    return false;
  }
  const auto* const address = reinterpret_cast<const sockaddr_in*>(found->ai_addr);
  out.target = ntohl(address->sin_addr.s_addr);
  out.port = ntohs(address->sin_port);
  ::freeaddrinfo(found);
  return true;
}

/// One trace against a server; the link is made for the longest message the trace has.
Outcome over_the_wire(const Options& options, const Trace& trace, const std::function<void(std::size_t)>& tell) {
  Outcome out;
  gannet::load::Options wire;
  if (!resolve(options.to, wire, out.error)) return out;
  constexpr std::uint32_t kIpUdpBytes = 28;
  const std::uint32_t most = options.udp ? options.mtu - kIpUdpBytes : gannet::replay::longest_set(trace);
  wire.protocol = options.udp ? gannet::load::Protocol::kUdp : gannet::load::Protocol::kTcp;
  wire.mtu = static_cast<std::uint16_t>(options.mtu);
  wire.flows = 1;
  wire.message_bytes = most;
  std::unique_ptr<gannet::load::Link> link;
  if (options.udp) {
    link = gannet::load::KernelUdp::make(wire, out.error);
  } else {
    link = gannet::load::KernelTcp::make(wire, out.error);
  }
  if (link == nullptr) return out;
  return gannet::replay::replay_over(*link, wire.port, trace, {options.udp, most, options.batch, options.speed}, tell);
}

int run_over_the_wire(const Options& options) {
  nlohmann::json all = nlohmann::json::array();
  bool whole = true, head = false;
  for (const std::string& path : options.traces) {
    Trace trace;
    std::string why;
    if (!trace.open(path, why)) {
      fmt::print(stderr, "gannet-replay: {}\n", why);
      return 1;
    }
    Progress progress(fmt::format("{} to {}", trace.name(), options.to), trace.size());
    const std::function<void(std::size_t)> tell = [&](std::size_t done) { progress(done); };
    const Outcome o = over_the_wire(options, trace, options.quiet ? std::function<void(std::size_t)>() : tell);
    if (!options.quiet) progress.end();
    if (!o.error.empty() || o.wrong != 0) {
      fmt::print(stderr, "gannet-replay: {} to {}: {} {} answers were wrong.\n", trace.name(), options.to, o.error,
                 o.wrong);
      whole = false;
    }
    if (options.json) {
      all.push_back({{"trace", trace.name()},
                     {"to", options.to},
                     {"requests", o.requests},
                     {"object_miss_ratio", o.object_miss_ratio()},
                     {"byte_miss_ratio", o.byte_miss_ratio()},
                     {"requests_per_second", o.seconds > 0 ? static_cast<double>(o.requests) / o.seconds : 0},
                     {"refused", o.refused},
                     {"lost", o.lost},
                     {"wrong", o.wrong}});
      continue;
    }
    if (!std::exchange(head, true)) {
      fmt::print("{:8} {:21} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}\n", "trace", "to", "objects", "bytes", "Mreq/s",
                 "refused", "lost", "wrong");
    }
    fmt::print("{:8} {:21} {:>8.4f} {:>8.4f} {:>8.3f} {:>8} {:>6} {:>6}\n", trace.name(), options.to,
               o.object_miss_ratio(), o.byte_miss_ratio(),
               o.seconds > 0 ? static_cast<double>(o.requests) / o.seconds / 1e6 : 0, o.refused, o.lost, o.wrong);
  }
  if (options.json) fmt::print("{}\n", all.dump(2));
  return whole ? 0 : 1;
}

int run(const Options& options) {
  std::vector<Row> rows;
  bool whole = true;
  for (const std::string& path : options.traces) {
    Trace trace;
    std::string why;
    if (!trace.open(path, why)) {
      fmt::print(stderr, "gannet-replay: {}\n", why);
      return 1;
    }
    const std::vector<double> sizes = sizes_for(options, trace.name());
    if (sizes.empty()) {
      fmt::print(stderr, "gannet-replay: nothing is known of a trace named {}: say --sizes.\n", trace.name());
      return 1;
    }
    for (const double mib : sizes) {
      for (const std::string& policy : options.policies) {
        Row row{trace.name(), mib, *gannet::storage::eviction_named(policy), {}, reference_of(trace.name(), mib)};
        Progress progress(fmt::format("{} {:g} MiB {}", row.trace, mib, policy), trace.size());
        const std::function<void(std::size_t)> tell = [&](std::size_t done) { progress(done); };
        row.outcome = gannet::replay::replay(
            trace, {static_cast<std::uint64_t>(mib * 1048576), row.eviction, options.segment_bytes},
            options.quiet ? std::function<void(std::size_t)>() : tell);
        if (!options.quiet) progress.end();
        if (!row.outcome.error.empty() || row.outcome.wrong != 0) {
          fmt::print(stderr, "gannet-replay: {} at {:g} MiB: {} {} answers were wrong.\n", row.trace, mib,
                     row.outcome.error, row.outcome.wrong);
          whole = false;
        }
        rows.push_back(std::move(row));
      }
    }
  }
  if (options.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const Row& row : rows) all.push_back(to_json(row));
    fmt::print("{}\n", all.dump(2));
  } else if (options.table) {
    print_table(rows);
  } else {
    print_rows(rows);
  }
  if (!options.svg.empty() && !write_plots(options, rows)) return 1;
  return whole ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Replays request traces into the store of Gannet, with the trace's own time, and prints miss ratios."};
  app.name("gannet-replay");
  app.footer(
      "A trace is a file of 20-byte records (second, id, lengths, operation and lifetime). A get that misses stores "
      "the "
      "object.\nAll memory is counted: segments, index, headers, and what lies beside them.\n"
      "Columns: objects and bytes are miss ratios; copied is bytes copied by eviction per byte stored; expired is the "
      "mean share of memory\nheld by expired items; wrong counts hits with other bytes than were stored and must be "
      "0.\n"
      "Exit code 1: a trace cannot be read, an answer was wrong, or the audit found a fault.");
  app.add_option("traces", options.traces, "trace files")->required();
  app.add_option("-s,--sizes", options.sizes, "memory in MiB; without it, those of the reference table")
      ->delimiter(',')
      ->check(CLI::Range(0.25, 1048576.0));
  const std::vector<std::string> names(gannet::storage::kEvictionNames.begin(), gannet::storage::kEvictionNames.end());
  app.add_option("-p,--policy", options.policies, "eviction policies")->delimiter(',')->check(CLI::IsMember(names));
  app.add_option("--segment", options.segment_bytes, "segment bytes, a power of two; without it, the store chooses");
  app.add_flag("--json", options.json, "print JSON");
  app.add_flag("--table", options.table, "print a table beside what other caches reach on the shared traces");
  app.add_option("--svg", options.svg, "write miss ratio against memory to this file");
  auto* const to = app.add_option("--to", options.to, "HOST:PORT of a server (an appliance, a memcached) to replay to");
  app.add_flag("--udp", options.udp, "over UDP; without it, over TCP")->needs(to);
  app.add_option("--mtu", options.mtu, "UDP: IP bytes of a datagram; a SET that does not fit one is refused")
      ->needs(to)
      ->check(CLI::Range(576, 9000));
  app.add_option("--batch", options.batch, "requests in flight")
      ->needs(to)
      ->check(CLI::Range(1u, gannet::replay::kWireBatchMax));
  app.add_option("--speed", options.speed, "trace seconds in a second; without it, as fast as answers come")
      ->needs(to)
      ->check(CLI::Range(0.001, 1e9));
  app.add_flag("-q,--quiet", options.quiet, "no progress");
  CLI11_PARSE(app, argc, argv);
  return options.to.empty() ? run(options) : run_over_the_wire(options);
}
