#include "dataplane/program/options.h"

#include <catch2/catch.hpp>

#include "control/abi/reader.h"

using gannet::abi::DeviceKind;
using gannet::abi::text_of;
using gannet::dataplane::Options;
using gannet::dataplane::parse_address;
using gannet::dataplane::parse_device;
using gannet::dataplane::parse_options;
using gannet::dataplane::parse_size;

namespace {
std::string error_of(std::vector<std::string_view> words) {
  return parse_options(words).error;
}
}  // namespace

TEST_CASE("a size is a number with K, M, G or T, with or without iB", "[options]") {
  std::uint64_t bytes = 7;
  const auto size = [&](std::string_view text) { return parse_size(text, bytes) ? bytes : 0; };
  REQUIRE(size("4096") == 4096);
  REQUIRE(size("64K") == 64 << 10);
  REQUIRE(size("256M") == 256 << 20);
  REQUIRE(size("2GiB") == 2ULL << 30);
  REQUIRE(size("1TiB") == 1ULL << 40);
  for (const char* bad :
       {"", "0", "G", "12Q", "12iB", "1.5G", "-1", "99999999999999999999", "99999999T", "1GB", " 1G"}) {
    INFO(bad);
    REQUIRE(size(bad) == 0);
  }
}

TEST_CASE("an address keeps its host bits and has four parts", "[options]") {
  std::uint32_t address = 0, bits = 0;
  REQUIRE(parse_address("10.77.0.2/24", address, bits));
  REQUIRE(address == 0x0a4d0002);
  REQUIRE(bits == 24);
  REQUIRE(parse_address("255.0.0.1", address, bits));
  REQUIRE(bits == 32);
  for (const char* bad : {"", "10.77.0", "10.77.0.2.1", "10.77.0.256", "10.77.0.2/33", "10.77..2", "a.b.c.d",
                          "10.77.0.2/", "10.77.0.2x"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_address(bad, address, bits));
  }
}

TEST_CASE("devices are named by kind, name or PCI address", "[options]") {
  const auto check = [](const char* text, DeviceKind kind, std::string_view name) {
    INFO(text);
    gannet::abi::PortConfig port;
    REQUIRE(parse_device(text, port));
    REQUIRE(port.kind == kind);
    REQUIRE(text_of(port.device) == name);
  };
  check("tap", DeviceKind::kTap, "");
  check("tap:gan0", DeviceKind::kTap, "gan0");
  check("af_packet:veth1", DeviceKind::kAfPacket, "veth1");
  check("af_xdp:veth1", DeviceKind::kAfXdp, "veth1");
  check("vhost:/run/v.sock", DeviceKind::kVhost, "/run/v.sock");
  check("memif:/run/m.sock", DeviceKind::kMemif, "/run/m.sock");
  check("ring", DeviceKind::kRing, "");
  check("0000:3b:00.0", DeviceKind::kPci, "0000:3b:00.0");
  gannet::abi::PortConfig port;
  const std::string long_name = "tap:" + std::string(200, 'x');
  for (const char* bad :
       {"", "tap:", "af_packet", "af_packet:", "eth0", "0000:3b:00", "0000:3g:00.0", long_name.c_str()}) {
    INFO(bad);
    REQUIRE_FALSE(parse_device(bad, port));
  }
}

TEST_CASE("developer's words make a whole configuration", "[options]") {
  const auto parsed = parse_options(
      {"--dev",           "tap:t0",    "--address",    "10.77.0.2/24", "--mtu",      "9000",       "--dev",
       "af_packet:v1",    "--address", "10.78.0.2/16", "--queues",     "2",          "--workers",  "3",
       "--cores",         "1,-1,0",    "--memory",     "512M",         "--no-huge",  "--udp",      "2000",
       "--idle-sleep-us", "50",        "--allow",      "10.1.2.3/8",   "--address6", "fd77::2/48", "--allow",
       "fd77:1::5/32"});
  REQUIRE(parsed.error.empty());
  const Options& o = parsed.options;
  REQUIRE(o.developer);
  REQUIRE(o.start.workers == 3);
  REQUIRE(o.start.ports == 2);
  REQUIRE(o.start.port[0].address == 0x0a4d0002);
  REQUIRE(o.start.port[0].mtu == 9000);
  REQUIRE(o.start.port[0].queues == 0);
  REQUIRE(o.start.port[1].prefix_bits == 16);
  REQUIRE(o.start.port[1].queues == 2);
  REQUIRE(o.start.cores[0] == 1);
  REQUIRE(o.start.cores[1] == -1);
  REQUIRE(o.start.cores[2] == 0);
  REQUIRE(o.start.cores[3] == -1);
  REQUIRE(o.start.memory_bytes == 512ULL << 20);
  REQUIRE(o.start.page_bytes == 4096);
  REQUIRE(o.start.udp_port == 2000);
  REQUIRE(o.live.idle_sleep_us_max == 50);
  REQUIRE(o.start.port[0].address6 == gannet::abi::Address{});
  REQUIRE(o.start.port[1].address6 == gannet::abi::Address{0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});
  REQUIRE(o.start.port[1].prefix6_bits == 48);
  REQUIRE(o.live.prefixes == 2);
  REQUIRE(o.live.allow[0].address == gannet::abi::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0});
  REQUIRE(o.live.allow[0].bits == 96 + 8);
  REQUIRE(o.live.allow[1].address == gannet::abi::Address{0xfd, 0x77, 0, 1});
  REQUIRE(o.live.allow[1].bits == 32);
}

TEST_CASE("a wrong word is told with one sentence that says the fix", "[options]") {
  REQUIRE(error_of({}) ==
          "Nothing to serve: gannet-control starts gannetd with --shared, a developer with --dev; see gannetd --help.");
  REQUIRE(error_of({"--frobnicate"}) == "The option --frobnicate is unknown: see gannetd --help.");
  REQUIRE(error_of({"--dev", "tap", "--address6", "10.77.0.2/24"}) ==
          "--address6 10.77.0.2/24 is not understood: write for example fd77::2/64.");
  REQUIRE(error_of({"--shared"}) == "--shared needs a value: see gannetd --help.");
  REQUIRE(error_of({"--dev", "tap", "--workers", "65"}) == "--workers 65: choose a number in 1..64.");
  REQUIRE(error_of({"--dev", "tap", "--memory", "lots"}) ==
          "--memory lots is not understood: write for example 256MiB.");
  REQUIRE(error_of({"--dev", "tap", "--page", "8K"}) ==
          "--page 8K is not understood: write for example 4KiB, 2MiB or 1GiB.");
  REQUIRE(error_of({"--dev", "tap"}) == "--dev without --address: write for example --dev tap --address 10.77.0.2/24.");
  REQUIRE(error_of({"--address", "10.0.0.1/8"}) == "--address comes before any --dev: name the device first.");
  REQUIRE(error_of({"--plan", "--cores", "1,2"}) == "--cores names more CPUs than --workers 1: name one CPU a worker.");
  REQUIRE(error_of({"--dev", "eth0"}).starts_with("--dev eth0 is not understood: write tap, "));
}

TEST_CASE("--shared alone serves, --help and --version need nothing else", "[options]") {
  const auto serve = parse_options({"--shared", "5", "--memory-fd", "6"});
  REQUIRE(serve.error.empty());
  REQUIRE_FALSE(serve.options.developer);
  REQUIRE(serve.options.shared == "5");
  REQUIRE(serve.options.memory_fd == 6);
  REQUIRE(parse_options({"--help"}).options.action == Options::Action::kHelp);
  REQUIRE(parse_options({"--version"}).options.action == Options::Action::kVersion);
  REQUIRE(parse_options({"--plan", "--json", "--workers", "4"}).options.action == Options::Action::kPlan);
}
