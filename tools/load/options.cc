#include "tools/load/options.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <sstream>

#include "tools/load/wire.h"

namespace gannet::load {
namespace {

constexpr std::uint32_t kIpUdpBytes = 28;
constexpr std::uint32_t kSetExtrasBytes = 8;

bool parse_address(const std::string& text, std::uint32_t& out) {
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return false;
  out = ntohl(address.s_addr);
  return true;
}

// "10.77.0.2" or "10.77.0.2:11211".
std::string parse_target(const std::string& text, Options& out) {
  const std::size_t colon = text.find(':');
  if (colon != std::string::npos) {
    const std::string port = text.substr(colon + 1);
    if (port.empty() || port.size() > 5 ||
        !std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; }) || std::stoul(port) == 0 ||
        std::stoul(port) > 65535) {
      return fmt::format("--target {}: the port must be 1..65535, for instance 10.77.0.2:11211", text);
    }
    out.port = static_cast<std::uint16_t>(std::stoul(port));
  }
  if (!parse_address(text.substr(0, colon), out.target)) {
    return fmt::format("--target {}: write an IPv4 address with or without a port, for instance 10.77.0.2:11211", text);
  }
  return {};
}

std::string parse_source(const std::string& text, Options& out) {
  const std::size_t slash = text.find('/');
  if (slash != std::string::npos) {
    const std::string bits = text.substr(slash + 1);
    if (bits.empty() || bits.size() > 2 ||
        !std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; }) || std::stoul(bits) > 32) {
      return fmt::format("--source {}: the prefix must be 0..32 bits, for instance 10.77.0.1/24", text);
    }
    out.source_bits = static_cast<std::uint32_t>(std::stoul(bits));
  }
  if (!parse_address(text.substr(0, slash), out.source)) {
    return fmt::format("--source {}: write an IPv4 address with its prefix, for instance 10.77.0.1/24", text);
  }
  return {};
}

// What only the options together can get wrong.
std::string contradiction_of(const Options& o) {
  const std::uint32_t shortest = Keyspace::key_bytes_min(o.keys);
  if (o.key_bytes.min() < shortest)
    return fmt::format("--key-bytes: {} keys need at least {} bytes to differ", o.keys, shortest);
  if (o.key_bytes.max() > kKeyBytesMax)
    return fmt::format("--key-bytes: memcache keys have at most {} bytes", kKeyBytesMax);
  if (o.value_bytes.max() > 1u << 30) return "--value-bytes: at most 1073741824";
  if (o.protocol == Protocol::kUdp && o.message_bytes_max() + kIpUdpBytes > o.mtu) {
    return fmt::format(
        "--value-bytes: a message of {} bytes does not fit one datagram at MTU {}; use smaller values, a smaller "
        "--batch, a larger "
        "--mtu or --protocol tcp",
        o.message_bytes_max(), o.mtu);
  }
  if (o.batch > 1 && o.protocol == Protocol::kUdp && kHeaderBytes + 4 + o.value_bytes.max() > 1392) {
    return "--batch: answers to a batch must fit one datagram each; --value-bytes may reach 1364";
  }
  if (o.batch > 1 && o.route == Route::kOwner)
    return "--batch: with --route owner a message can carry one request only";
  if (o.protocol == Protocol::kTcp && o.route != Route::kBase) return "--route: only UDP has a port for each worker";
  if (!o.dpdk.empty() && o.source == 0)
    return "--dpdk: say which address our end has, for instance --source 10.77.0.1/24";
  if (!o.dpdk.empty() && o.threads != 1) return "--dpdk: one thread drives the device; leave --threads out";
  if (o.requests == 0 && o.seconds <= 0) return "--seconds: 0 needs --requests, or the load never ends";
  return {};
}

struct Texts {
  std::string target = "10.77.0.2:11211", source, key_bytes = "32", value_bytes = "64", ttl = "0",
              popularity = "zipf:0.99";
};

std::string read_texts(const Texts& texts, Options& out) {
  if (std::string wrong = parse_target(texts.target, out); !wrong.empty()) return wrong;
  if (!texts.source.empty()) {
    if (std::string wrong = parse_source(texts.source, out); !wrong.empty()) return wrong;
  }
  for (const auto& [name, text, distribution] :
       {std::tuple{"--key-bytes", &texts.key_bytes, &out.key_bytes},
        std::tuple{"--value-bytes", &texts.value_bytes, &out.value_bytes}, std::tuple{"--ttl", &texts.ttl, &out.ttl}}) {
    if (const std::string wrong = Distribution::parse(*text, *distribution); !wrong.empty())
      return fmt::format("{}: {}", name, wrong);
  }
  if (texts.popularity == "uniform") {
    out.zipf = 0;
  } else if (texts.popularity.starts_with("zipf:")) {
    const std::string number = texts.popularity.substr(5);
    std::size_t end = 0;
    try {
      out.zipf = std::stod(number, &end);
    } catch (const std::exception&) {
      end = std::string::npos;
    }
    if (end != number.size() || !(out.zipf > 0 && out.zipf <= 8)) {
      return fmt::format("--popularity {}: the exponent must be above 0 and at most 8, for instance zipf:0.99",
                         texts.popularity);
    }
  } else {
    return fmt::format("--popularity {}: write uniform or zipf:EXPONENT, for instance zipf:0.99", texts.popularity);
  }
  return {};
}

void declare(CLI::App& app, Options& out, Texts& texts, bool& no_preload, bool& no_verify, bool& no_progress) {
  const std::map<std::string, Protocol> protocols{{"udp", Protocol::kUdp}, {"tcp", Protocol::kTcp}};
  const std::map<std::string, Arrival> arrivals{{"poisson", Arrival::kPoisson}, {"even", Arrival::kEven}};
  const std::map<std::string, Route> routes{
      {"base", Route::kBase}, {"owner", Route::kOwner}, {"spread", Route::kSpread}};
  app.get_formatter()->column_width(34);

  auto* where = app.add_option_group("Where to");
  where->add_option("--target", texts.target, "IPV4[:PORT] of the appliance (10.77.0.2:11211)");
  where->add_option("--protocol", out.protocol, "udp or tcp (udp)")
      ->transform(CLI::CheckedTransformer(protocols).description(""));
  where
      ->add_option("--route", out.route,
                   "base port, owner's port by key, or spread flows over the workers' ports (base)")
      ->transform(CLI::CheckedTransformer(routes).description(""));
  where->add_option("--workers", out.workers, "workers of the appliance, for --route owner and spread (1)")
      ->check(CLI::Range(1, 64));
  where->add_option("--mtu", out.mtu, "IP bytes of a datagram; requests never exceed it (1500)")
      ->check(CLI::Range(576, 65535));
  where->add_option(
      "--dpdk", out.dpdk,
      "drive this DPDK device instead of kernel sockets, for instance virtio-user:/run/gannet/vhost.sock");
  where->add_option("--queues", out.queues, "of that device; flow k uses queue k % queues (1)")
      ->check(CLI::Range(1, 64));
  where->add_option("--source", texts.source, "our ADDRESS/BITS on that device, for instance 10.77.0.1/24");
  where->add_option("--core", out.core, "CPU of the first thread; the others follow")->check(CLI::Range(0, 1023));

  auto* how = app.add_option_group("How");
  how->add_option("--rate", out.rate, "open loop: requests a second of all threads together; without it, closed loop")
      ->check(CLI::PositiveNumber);
  how->add_option("--arrival", out.arrival, "of an open loop: poisson or even (poisson)")
      ->transform(CLI::CheckedTransformer(arrivals).description(""));
  how->add_option("--threads", out.threads, "threads (1)")->check(CLI::Range(1u, kThreadsMax));
  how->add_option("--connections", out.flows, "sockets of each thread: UDP source ports or TCP connections (8)")
      ->check(CLI::Range(1u, kFlowsMax));
  how->add_option("--depth", out.depth, "messages in flight on each socket (8)")->check(CLI::Range(1u, kDepthMax));
  how->add_option("--batch", out.batch, "requests in one message (1)")->check(CLI::Range(1u, kBatchMax));
  how->add_option("--seconds", out.seconds, "measured time (10)")->check(CLI::Range(0.0, 1e6));
  how->add_option("--requests", out.requests, "stop after so many");
  how->add_option("--warmup", out.warmup_seconds, "seconds of load before measuring (0)")->check(CLI::Range(0.0, 1e6));
  how->add_option("--timeout-ms", out.timeout_ms, "an answer later than this is lost (500)")
      ->check(CLI::Range(1, 60000));
  how->add_option("--seed", out.seed, "the same seed makes the same load (1)");

  auto* what = app.add_option_group("What");
  what->add_option("--keys", out.keys, "number of keys (100000)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 32));
  what->add_option("--key-bytes", texts.key_bytes, "N, uniform:MIN-MAX or lognormal:MEDIAN,SIGMA[,MAX] (32)");
  what->add_option("--value-bytes", texts.value_bytes, "the same, of values (64)");
  what->add_flag("--varying", out.varying, "each SET draws its size anew");
  what->add_option("--popularity", texts.popularity, "uniform or zipf:EXPONENT (zipf:0.99)");
  what->add_option("--gets", out.gets, "share of GETs, 0..1; the rest are SETs (0.9)")->check(CLI::Range(0.0, 1.0));
  what->add_option("--ttl", texts.ttl, "time to live of a SET in seconds, a number or a distribution; 0: never (0)");
  what->add_flag("--fill", out.fill, "SET a key whose GET missed");
  what->add_flag("--no-preload", no_preload, "do not SET every key first");
  what->add_flag("--no-verify", no_verify, "do not compare values");

  auto* said = app.add_option_group("What is said");
  said->add_flag("--json", out.json, "the result as one JSON object");
  said->add_flag("--progress", out.progress, "a line each second also where stdout is no terminal");
  said->add_flag("--no-progress", no_progress, "no such line");
}

}  // namespace

std::uint32_t Options::message_bytes_max() const {
  if (message_bytes != 0) return message_bytes;
  const std::uint32_t get = kHeaderBytes + key_bytes.max();
  const std::uint32_t set = get + kSetExtrasBytes + value_bytes.max();
  return (protocol == Protocol::kUdp ? kFrameBytes : 0) + batch * (gets < 1 || preload || fill ? set : get);
}

ParseOutcome parse_options(const std::vector<std::string>& arguments, bool tty, Options& out) {
  CLI::App app{"gannet-load: memcache binary requests from kernel sockets or a DPDK device, every answer checked",
               "gannet-load"};
  Texts texts;
  bool no_preload = false, no_verify = false, no_progress = false;
  Options made;
  declare(app, made, texts, no_preload, no_verify, no_progress);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    return {false, 0, app.help()};
  } catch (const CLI::ParseError& error) {
    return {false, 2, fmt::format("{} (see gannet-load --help)", error.what())};
  }
  made.preload = !no_preload;
  made.verify = !no_verify;
  made.progress = (made.progress || (tty && !made.json)) && !no_progress;
  std::string wrong = read_texts(texts, made);
  if (wrong.empty()) wrong = contradiction_of(made);
  if (!wrong.empty()) return {false, 2, wrong};
  out = std::move(made);
  return {true, 0, {}};
}

}  // namespace gannet::load
