#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/load/run.h"

namespace gannet::load {
namespace {

constexpr std::pair<Count, const char*> kCountNames[] = {
    {Count::kSent, "sent"},           {Count::kHit, "hits"},
    {Count::kMiss, "misses"},         {Count::kStored, "stored"},
    {Count::kRefused, "refused"},     {Count::kLost, "lost"},
    {Count::kWrong, "wrong"},         {Count::kLate, "late"},
    {Count::kMalformed, "malformed"}, {Count::kPeerGone, "not_taken_by_wire"},
};

double us(std::uint64_t ns) {
  return static_cast<double>(ns) / 1e3;
}

double hit_ratio(const TallyPicture& tally) {
  const std::uint64_t gets = tally[Count::kHit] + tally[Count::kMiss];
  return gets == 0 ? 0 : static_cast<double>(tally[Count::kHit]) / static_cast<double>(gets);
}

std::string latency_line(const char* name, const Picture& latency) {
  return fmt::format("  {:12} {:>10} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}\n", name, latency.count(),
                     latency.mean() / 1e3, us(latency.at(0.5)), us(latency.at(0.9)), us(latency.at(0.99)),
                     us(latency.at(0.999)), us(latency.max()));
}

/// A bar for each octave that holds at least one answer in ten thousand.
std::string bars(const Picture& latency) {
  std::string text;
  const auto all = static_cast<double>(std::max<std::uint64_t>(1, latency.count()));
  double most = 0;
  for (int octave = 6; octave < kOctaveMax; ++octave) {
    most = std::max(most,
                    static_cast<double>(latency.between(std::uint64_t{1} << octave, std::uint64_t{2} << octave)) / all);
  }
  for (int octave = 6; octave < kOctaveMax; ++octave) {
    const std::uint64_t from = std::uint64_t{1} << octave;
    const double share = static_cast<double>(latency.between(from, 2 * from)) / all;
    if (share < 1e-4) continue;
    const auto length = static_cast<std::size_t>(share / most * 50);
    text += fmt::format("  {:>9.1f} .. {:>9.1f} us {:6.2f} % {}\n", us(from), us(2 * from), 100 * share,
                        std::string(length, '#'));
  }
  return text;
}

std::string describe(const Options& o) {
  const std::string how = o.rate > 0 ? fmt::format("open loop, {:.0f} requests/s", o.rate) : std::string("closed loop");
  return fmt::format("{}, {} thread{} x {} {} x {} deep{}, {}", how, o.threads, o.threads == 1 ? "" : "s", o.flows,
                     o.protocol == Protocol::kUdp ? "UDP flows" : "TCP connections", o.depth,
                     o.batch > 1 ? fmt::format(" x {} requests a message", o.batch) : "",
                     o.dpdk.empty() ? "kernel sockets" : "DPDK " + o.dpdk);
}

nlohmann::json latency_json(const Picture& latency) {
  return {{"count", latency.count()},
          {"mean_us", latency.mean() / 1e3},
          {"p50_us", us(latency.at(0.5))},
          {"p90_us", us(latency.at(0.9))},
          {"p99_us", us(latency.at(0.99))},
          {"p99.9_us", us(latency.at(0.999))},
          {"p99.99_us", us(latency.at(0.9999))},
          {"max_us", us(latency.max())}};
}

nlohmann::json counts_json(const TallyPicture& tally) {
  nlohmann::json json;
  for (const auto& [count, name] : kCountNames) json[name] = tally[count];
  return json;
}

double per_second(const Result& result, std::uint64_t count) {
  return result.seconds > 0 ? static_cast<double>(count) / result.seconds : 0;
}

}  // namespace

std::string to_text(const Options& options, const Result& result) {
  const TallyPicture& m = result.measured;
  std::string text = fmt::format("{}\n{} keys, keys of {}..{} B, values of {}..{} B, {:.0f} % GET, {}\n",
                                 describe(options), options.keys, options.key_bytes.min(), options.key_bytes.max(),
                                 options.value_bytes.min(), options.value_bytes.max(), 100 * options.gets,
                                 options.zipf > 0 ? fmt::format("Zipf {}", options.zipf) : "uniform");
  if (options.preload) {
    text += fmt::format("stored the keys in {:.2f} s\n", result.preload_seconds);
  }
  text += fmt::format("{:.2f} s: {} answers, {:.0f} requests/s, hit ratio {:.1f} %\n", result.seconds, m.answers(),
                      per_second(result, m.answers()), 100 * hit_ratio(m));
  text += fmt::format("  latency, us     answers      mean       p50       p90       p99     p99.9       max\n");
  if (m.gets.count() != 0) text += latency_line("GET", m.gets);
  if (m.sets.count() != 0) text += latency_line("SET", m.sets);
  Picture all = m.gets;
  all += m.sets;
  text += bars(all);
  const TallyPicture& t = result.total;
  text += fmt::format("sent {} = answered {} + lost {}; wrong values {}, refused {}, late {}, malformed {}\n",
                      t[Count::kSent], t.answers(), t[Count::kLost], t[Count::kWrong], t[Count::kRefused],
                      t[Count::kLate], t[Count::kMalformed]);
  if (result.not_sent != 0) {
    text += fmt::format(
        "{} requests were due at the end and not sent: the rate is more than this machine or the target can do\n",
        result.not_sent);
  }
  return text;
}

std::string to_json(const Options& options, const Result& result) {
  const TallyPicture& m = result.measured;
  nlohmann::json json = {
      {"loop", options.rate > 0 ? "open" : "closed"},
      {"rate", options.rate},
      {"protocol", options.protocol == Protocol::kUdp ? "udp" : "tcp"},
      {"wire", options.dpdk.empty() ? "kernel" : options.dpdk},
      {"threads", options.threads},
      {"connections", options.flows},
      {"depth", options.depth},
      {"batch", options.batch},
      {"keys", options.keys},
      {"seed", options.seed},
      {"preload_seconds", result.preload_seconds},
      {"seconds", result.seconds},
      {"answers", m.answers()},
      {"requests_per_second", per_second(result, m.answers())},
      {"hit_ratio", hit_ratio(m)},
      {"measured", counts_json(m)},
      {"total", counts_json(result.total)},
      {"not_sent", result.not_sent},
      {"get", latency_json(m.gets)},
      {"set", latency_json(m.sets)},
      {"trouble", result.trouble},
  };
  return json.dump(2) + "\n";
}

}  // namespace gannet::load
