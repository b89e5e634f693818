// What the command line accepts, and the sentences it refuses with.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tools/load/options.h"

using namespace gannet::load;

namespace {

std::string refusal(std::vector<std::string> arguments) {
  Options options;
  const ParseOutcome outcome = parse_options(arguments, false, options);
  REQUIRE_FALSE(outcome.run);
  REQUIRE(outcome.exit_code == 2);
  return outcome.text;
}

Options accepted(std::vector<std::string> arguments, bool tty = false) {
  Options options;
  const ParseOutcome outcome = parse_options(arguments, tty, options);
  INFO(outcome.text);
  REQUIRE(outcome.run);
  return options;
}

}  // namespace

TEST_CASE("without options the load is the quickstart's", "[load][options]") {
  const Options options = accepted({});
  REQUIRE(options.target == 0x0a4d0002);
  REQUIRE(options.port == 11211);
  REQUIRE(options.protocol == Protocol::kUdp);
  REQUIRE(options.preload);
  REQUIRE(options.verify);
  REQUIRE_FALSE(options.progress);
}

TEST_CASE("every option reaches its field", "[load][options]") {
  const Options options = accepted({"--target",
                                    "127.0.0.1:99",
                                    "--protocol",
                                    "udp",
                                    "--route",
                                    "spread",
                                    "--workers",
                                    "2",
                                    "--rate",
                                    "1e5",
                                    "--arrival",
                                    "even",
                                    "--threads",
                                    "2",
                                    "--connections",
                                    "3",
                                    "--depth",
                                    "5",
                                    "--batch",
                                    "4",
                                    "--seconds",
                                    "1.5",
                                    "--requests",
                                    "77",
                                    "--warmup",
                                    "0.5",
                                    "--timeout-ms",
                                    "20",
                                    "--seed",
                                    "9",
                                    "--keys",
                                    "1000",
                                    "--key-bytes",
                                    "20",
                                    "--value-bytes",
                                    "uniform:1-100",
                                    "--varying",
                                    "--popularity",
                                    "uniform",
                                    "--gets",
                                    "0.5",
                                    "--ttl",
                                    "uniform:1-9",
                                    "--fill",
                                    "--no-preload",
                                    "--no-verify",
                                    "--json",
                                    "--mtu",
                                    "1400",
                                    "--core",
                                    "1"});
  REQUIRE(options.target == 0x7f000001);
  REQUIRE(options.port == 99);
  REQUIRE(options.route == Route::kSpread);
  REQUIRE(options.workers == 2);
  REQUIRE(options.rate == 1e5);
  REQUIRE(options.arrival == Arrival::kEven);
  REQUIRE(options.threads == 2);
  REQUIRE(options.flows == 3);
  REQUIRE(options.depth == 5);
  REQUIRE(options.batch == 4);
  REQUIRE(options.seconds == 1.5);
  REQUIRE(options.requests == 77);
  REQUIRE(options.warmup_seconds == 0.5);
  REQUIRE(options.timeout_ms == 20);
  REQUIRE(options.seed == 9);
  REQUIRE(options.keys == 1000);
  REQUIRE(options.key_bytes.max() == 20);
  REQUIRE(options.value_bytes.max() == 100);
  REQUIRE(options.varying);
  REQUIRE(options.zipf == 0);
  REQUIRE(options.gets == 0.5);
  REQUIRE(options.ttl.min() == 1);
  REQUIRE(options.fill);
  REQUIRE_FALSE(options.preload);
  REQUIRE_FALSE(options.verify);
  REQUIRE(options.json);
  REQUIRE(options.mtu == 1400);
  REQUIRE(options.core == 1);
}

TEST_CASE("progress is shown on a terminal, unless JSON or the user says no", "[load][options]") {
  REQUIRE(accepted({}, true).progress);
  REQUIRE_FALSE(accepted({"--json"}, true).progress);
  REQUIRE_FALSE(accepted({"--no-progress"}, true).progress);
  REQUIRE(accepted({"--progress"}, false).progress);
}

TEST_CASE("help is no error and names every group", "[load][options]") {
  Options options;
  const ParseOutcome outcome = parse_options({"--help"}, false, options);
  REQUIRE_FALSE(outcome.run);
  REQUIRE(outcome.exit_code == 0);
  for (const char* word : {"--target", "--rate", "--value-bytes", "--json"})
    REQUIRE(outcome.text.find(word) != std::string::npos);
}

TEST_CASE("a wrong option is refused with one sentence that names it and the way out", "[load][options]") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--target", "10.0.0"}, "--target 10.0.0: write an IPv4 address"},
      {{"--target", "10.0.0.1:0"}, "the port must be 1..65535"},
      {{"--target", "10.0.0.1:70000"}, "the port must be 1..65535"},
      {{"--nonsense"}, "--nonsense"},
      {{"--gets", "1.5"}, "--gets"},
      {{"--depth", "0"}, "--depth"},
      {{"--rate", "-5"}, "--rate"},
      {{"--protocol", "sctp"}, "--protocol"},
      {{"--popularity", "pareto"}, "write uniform or zipf:EXPONENT"},
      {{"--popularity", "zipf:0"}, "the exponent must be above 0"},
      {{"--popularity", "zipf:x"}, "the exponent must be above 0"},
      {{"--value-bytes", "many"}, "--value-bytes: 'many' is no distribution"},
      {{"--keys", "100000", "--key-bytes", "3"}, "100000 keys need at least 4 bytes"},
      {{"--key-bytes", "251"}, "at most 250 bytes"},
      {{"--value-bytes", "1500"}, "does not fit one datagram at MTU 1500"},
      {{"--batch", "32"}, "does not fit one datagram"},
      {{"--batch", "2", "--mtu", "9000", "--value-bytes", "2000"}, "answers to a batch must fit"},
      {{"--batch", "2", "--route", "owner"}, "one request only"},
      {{"--protocol", "tcp", "--route", "spread"}, "only UDP"},
      {{"--dpdk", "virtio-user:/x"}, "--source 10.77.0.1/24"},
      {{"--dpdk", "virtio-user:/x", "--source", "10.77.0.1/40"}, "the prefix must be 0..32"},
      {{"--dpdk", "virtio-user:/x", "--source", "10.77.0.1/24", "--threads", "2"}, "one thread drives the device"},
      {{"--seconds", "0"}, "the load never ends"},
  };
  for (const auto& [arguments, sentence] : cases) {
    const std::string said = refusal(arguments);
    INFO("said: " << said);
    REQUIRE(said.find(sentence) != std::string::npos);
    REQUIRE(said.find('\n') == std::string::npos);
  }
}

TEST_CASE("the longest message counts frame header, header, extras, key and value", "[load][options]") {
  REQUIRE(accepted({}).message_bytes_max() == 8 + 24 + 8 + 32 + 64);
  REQUIRE(accepted({"--gets", "1", "--no-preload"}).message_bytes_max() == 8 + 24 + 32);
  REQUIRE(accepted({"--batch", "3"}).message_bytes_max() == 8 + 3 * (24 + 8 + 32 + 64));
  REQUIRE(accepted({"--protocol", "tcp", "--value-bytes", "100000"}).message_bytes_max() == 24 + 8 + 32 + 100000);
}
