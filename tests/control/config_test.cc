#include "control/config.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "control/abi/reader.h"

using namespace gannet;
using namespace gannet::control;

namespace {

constexpr const char* kPort = "[[port]]\ndevice = \"tap\"\naddress = \"10.77.0.2/24\"\n";

Config good(const std::string& text) {
  ConfigResult read = parse_config(kPort + text, "g.toml");
  INFO(text << (read.faults.empty() ? "" : read.faults[0]));
  REQUIRE(read.ok());
  return read.config;
}

/// The one fault of a file that starts with three lines of a good port.
std::string fault(const std::string& text) {
  const ConfigResult read = parse_config(kPort + text, "g.toml");
  INFO(text);
  REQUIRE(read.faults.size() == 1);
  return read.faults[0];
}

std::string whole_fault(const std::string& text) {
  const ConfigResult read = parse_config(text, "g.toml");
  INFO(text);
  REQUIRE(read.faults.size() == 1);
  return read.faults[0];
}

}  // namespace

TEST_CASE("sizes are read in binary units and written in the shortest exact form", "[control][config]") {
  REQUIRE(parse_size("2GiB") == 2ull << 30);
  REQUIRE(parse_size("64k") == 64ull << 10);
  REQUIRE(parse_size("300M") == 300ull << 20);
  REQUIRE(parse_size("1TiB") == 1ull << 40);
  REQUIRE(parse_size("4096") == 4096);
  REQUIRE(parse_size("17B") == 17);
  for (const char* bad :
       {"", "G", "-1", "1.5GiB", "1 GiB", "1GB", "99999999999999999999", "18446744073709551615K", "0x10"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_size(bad).has_value());
  }
  for (const std::uint64_t bytes : {0ull, 1ull, 1023ull, 1024ull, 1536ull << 20, 1ull << 40, 12345ull})
    REQUIRE(parse_size(format_size(bytes)) == bytes);
  REQUIRE(format_size(2ull << 30) == "2GiB");
}

TEST_CASE("addresses are dotted IPv4 and nothing else", "[control][config]") {
  REQUIRE(parse_ipv4("10.77.0.2") == 0x0a4d0002u);
  REQUIRE(parse_ipv4("255.255.255.255") == 0xffffffffu);
  for (const char* bad :
       {"", "10.77.0", "10.77.0.2.3", "256.0.0.1", "10.77.0.02", "10..0.2", "10.77.0.2 ", "a.b.c.d", "::1"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_ipv4(bad).has_value());
  }
  REQUIRE(parse_cidr("10.0.0.0/8")->bits == 8);
  REQUIRE_FALSE(parse_cidr("10.0.0.0").has_value());
  REQUIRE_FALSE(parse_cidr("10.0.0.0/33").has_value());
  REQUIRE(mask_of(0) == 0);
  REQUIRE(mask_of(24) == 0xffffff00u);
  REQUIRE(mask_of(32) == 0xffffffffu);
  for (const char* good : {"fd77::2/64", "::/0", "2001:db8::/32", "10.0.0.0/8", "0.0.0.0/0", "10.77.0.7/32"}) {
    INFO(good);
    REQUIRE(parse_prefix(good).has_value());
    REQUIRE(format_prefix(*parse_prefix(good)) == good);
  }
  for (const char* bad : {"fd77::2", "fd77::/129", "fd77::/", "fd77:::/64", "fd77::%eth0/64", "/64", "10.0.0.0/33"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_prefix(bad).has_value());
  }
  REQUIRE(parse_prefix("10.0.0.0/8")->bits == 104);
  REQUIRE(format_prefix(masked(*parse_prefix("fd77:1:2:3:ffff::1/66"))) == "fd77:1:2:3:c000::/66");
  REQUIRE(format_prefix(masked(*parse_prefix("10.1.2.3/15"))) == "10.0.0.0/15");
  REQUIRE(parse_host_port("127.0.0.1:9411")->port == 9411);
  for (const char* bad : {"127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "localhost:80", ":80"})
    REQUIRE_FALSE(parse_host_port(bad).has_value());
}

TEST_CASE("every kind of device has one spelling and comes back as it was written", "[control][config]") {
  for (const char* text : {"tap", "tap:gannet0", "af_packet:eth1", "af_xdp:veth-a", "vhost:/run/g/p0",
                           "memif:/run/g/m0", "ring", "0000:3b:00.0"}) {
    INFO(text);
    const std::optional<Device> device = parse_device(text);
    REQUIRE(device.has_value());
    REQUIRE(format_device(device->kind, device->argument) == text);
  }
  for (const char* bad : {"", "tap:", "tap:a/b", "tap:name-longer-than-15", "af_packet", "af_xdp:", "vhost:relative",
                          "vhost:/a,b=1", "3b:00.0", "0000:3b:00.8", "e1000", "tap:a,mac=1:2"}) {
    INFO(bad);
    REQUIRE_FALSE(parse_device(bad).has_value());
  }
}

TEST_CASE("a file with one port and nothing else has every default", "[control][config]") {
  const Config config = good("");
  REQUIRE(config.name == "gannet");
  REQUIRE(config.workers == 1);
  REQUIRE(config.memory_bytes == 1ull << 30);
  REQUIRE(config.page_bytes == 2ull << 20);
  REQUIRE(config.udp == 11211);
  REQUIRE(config.http == "127.0.0.1:9411");
  REQUIRE(config.ports.at(0).mtu == 1500);
  REQUIRE(config.warnings.empty());
  // The table's defaults are the struct's: each key shows what the table promises.
  for (const ShownKey& shown : show_config(config)) {
    INFO(shown.key);
    if (*shown.info->fallback != '\0') REQUIRE(shown.value == shown.info->fallback);
    REQUIRE(shown.given == (shown.key == "port[0].device" || shown.key == "port[0].address"));
  }
}

TEST_CASE("a full file says what gannetd is told", "[control][config]") {
  const ConfigResult read = parse_config(R"(
[appliance]
name = "rack-7"
[[port]]
device = "0000:3b:00.0"
address = "10.1.2.3/20"
address6 = "fd77::2/48"
queues = 4
mtu = 9000
vlan = 12
[[port]]
device = "tap:g1"
address = "10.77.0.2/24"
[workers]
count = 4
cores = [2, 3, 4, 5]
idle_sleep_us = 0
[memory]
size = "4GiB"
page = "1GiB"
segment = "2MiB"
item_max = "512KiB"
eviction = "fifo"
allow_remote = true
[listen]
udp = 11311
allow = ["10.0.0.0/8", "192.168.1.7/32", "2001:db8::/32"]
udp_answer_max = "64KiB"
udp_admin = false
udp_rate_per_source = 25000
[control]
http = "off"
socket = "/run/x.sock"
stuck_after_ms = 500
restart_when_stuck = true
start_limit_s = 600
)",
                                         "full.toml");
  INFO((read.ok() ? "" : read.faults[0]));
  REQUIRE(read.ok());
  abi::StartConfig start;
  start.memory_id = 7;
  fill_start(read.config, start);
  REQUIRE(start.workers == 4);
  REQUIRE(start.ports == 2);
  REQUIRE(start.cores[0] == 2);
  REQUIRE(start.cores[3] == 5);
  REQUIRE(start.cores[4] == -1);
  REQUIRE(start.port[0].kind == abi::DeviceKind::kPci);
  REQUIRE(abi::text_of(start.port[0].device) == "0000:3b:00.0");
  REQUIRE(start.port[0].address == 0x0a010203u);
  REQUIRE(start.port[0].prefix_bits == 20);
  REQUIRE(start.port[0].address6 == abi::Address{0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});
  REQUIRE(start.port[0].prefix6_bits == 48);
  REQUIRE(start.port[1].address6 == abi::Address{});
  REQUIRE(start.port[0].queues == 4);
  REQUIRE(start.port[0].mtu == 9000);
  REQUIRE(start.port[0].vlan == 12);
  REQUIRE(start.port[1].queues == 4);  // 0: as many as workers.
  REQUIRE(start.memory_bytes == 4ull << 30);
  REQUIRE(start.page_bytes == 1ull << 30);
  REQUIRE(start.segment_bytes == 2u << 20);
  REQUIRE(start.item_bytes_max == 512u << 10);
  REQUIRE(start.udp_port == 11311);
  REQUIRE(start.memory_id == 7);  // The supervisor's, not the file's.
  const abi::LiveConfig live = make_live(read.config);
  REQUIRE(live.prefixes == 3);
  REQUIRE(live.allow[1].address == abi::Address{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 7});
  REQUIRE(live.allow[1].bits == 128);
  REQUIRE(live.allow[2].address == abi::Address{0x20, 0x01, 0x0d, 0xb8});
  REQUIRE(live.allow[2].bits == 32);
  REQUIRE(live.udp_answer_bytes_max == 64u << 10);
  REQUIRE(live.eviction == 1);
  REQUIRE(live.udp_admin == 0);
  REQUIRE(live.idle_sleep_us_max == 0);
  REQUIRE(read.config.http.empty());
  REQUIRE(live.udp_rate_per_source == 25'000);
  REQUIRE(start.allow_remote == 1);
  REQUIRE(read.config.restart_when_stuck);
  REQUIRE(read.config.start_limit_s == 600);
}

TEST_CASE("every bad value is answered with file, line, key, value and what is allowed", "[control][config]") {
  struct Bad {
    const char* text;
    const char* sentence;
  };
  const Bad cases[] = {
      {"[appliance]\nname = \"Rack 7\"",
       "g.toml:5: appliance.name = \"Rack 7\" is not allowed; it must be 1 to 32 of a-z, 0-9 and -, not starting with "
       "-"},
      {"[workers]\ncount = 0", "g.toml:5: workers.count = 0 is not allowed; it must be 1 to 64"},
      {"[workers]\ncount = 65", "g.toml:5: workers.count = 65 is not allowed; it must be 1 to 64"},
      {"[workers]\ncount = \"two\"", "g.toml:5: workers.count = \"two\" is not allowed; it must be 1 to 64"},
      {"[workers]\ncount = 1.5", "g.toml:5: workers.count = 1.5 is not allowed; it must be 1 to 64"},
      {"[workers]\ncount = 2\ncores = [1, 1]",
       "g.toml:6: workers.cores = [ 1, 1 ] is not allowed; it must be a list of different logical CPUs, 0 to 4095, one "
       "per worker; [] lets the planner "
       "choose; core 1 is there twice"},
      {"[workers]\ncount = 2\ncores = [1]",
       "g.toml:6: workers.cores = [1] is not allowed; it must name one CPU for each of workers.count = 2, or be []"},
      {"[workers]\nidle_sleep_us = 10001",
       "g.toml:5: workers.idle_sleep_us = 10001 is not allowed; it must be 0 to 10000; 0 spins for ever"},
      {"[memory]\nsize = \"2GB\"",
       "g.toml:5: memory.size = \"2GB\" is not allowed; it must be \"16MiB\" to \"64TiB\", a multiple of memory.page"},
      {"[memory]\nsize = \"1MiB\"",
       "g.toml:5: memory.size = \"1MiB\" is not allowed; it must be \"16MiB\" to \"64TiB\", a multiple of memory.page"},
      {"[memory]\nsize = \"33MiB\"",
       "g.toml:5: memory.size = \"33MiB\" is not allowed; it must be a multiple of memory.page = \"2MiB\"; write "
       "\"34MiB\""},
      {"[memory]\npage = \"1GiB\"\nsize = \"1536MiB\"",
       "g.toml:6: memory.size = \"1536MiB\" is not allowed; it must be a multiple of memory.page = \"1GiB\"; write "
       "\"2GiB\""},
      {"[memory]\npage = \"3MiB\"",
       "g.toml:5: memory.page = \"3MiB\" is not allowed; it must be \"4KiB\", \"2MiB\" or \"1GiB\""},
      {"[memory]\nsegment = \"3MiB\"",
       "g.toml:5: memory.segment = \"3MiB\" is not allowed; it must be \"auto\" or a power of two from \"64KiB\" to "
       "\"16MiB\""},
      {"[memory]\nsegment = \"16MiB\"\nsize = \"64MiB\"",
       "g.toml:5: memory.segment = \"16MiB\" is not allowed; every one of 1 workers needs 8 segments, so memory.size "
       "must be at least \"128MiB\"; write a "
       "smaller segment or \"auto\""},
      {"[workers]\ncount = 8\n[memory]\nsize = \"16MiB\"",
       "g.toml:7: memory.size = \"16MiB\" is not allowed; every one of 8 workers needs 4MiB; write at least \"32MiB\""},
      {"[memory]\nsegment = \"64KiB\"\nitem_max = \"65KiB\"",
       "g.toml:6: memory.item_max = \"65KiB\" is not allowed; it must be at most memory.segment = \"64KiB\"; "
       "write \"64KiB\" or \"auto\""},
      {"[memory]\npath = \"relative\"",
       "g.toml:5: memory.path = \"relative\" is not allowed; it must be \"\" or an absolute path of at most 127 bytes "
       "on hugetlbfs or tmpfs"},
      {"[memory]\neviction = \"lru\"",
       "g.toml:5: memory.eviction = \"lru\" is not allowed; it must be \"greedy\", \"merge\", \"s3fifo\", \"fifo\", "
       "\"random\", \"cte\" or \"util\""},
      {"[listen]\nudp = 0", "g.toml:5: listen.udp = 0 is not allowed; it must be 1 to 65535 less workers.count"},
      {"[listen]\nudp = 65535", "g.toml:5: listen.udp = 65535 is not allowed; with 1 workers it must be 1 to 65534"},
      {"[listen]\nallow = \"10.0.0.0/8\"",
       "g.toml:5: listen.allow = \"10.0.0.0/8\" is not allowed; it must be a list of at most 32 prefixes like "
       "[\"10.0.0.0/8\", \"fd77::/48\"]; [] is each port's own "
       "subnets"},
      {"[listen]\nallow = [\"10.0.0.1/8\"]",
       "g.toml:5: listen.allow = [ '10.0.0.1/8' ] is not allowed; it must be a list of at most 32 prefixes like "
       "[\"10.0.0.0/8\", \"fd77::/48\"]; [] is each port's own "
       "subnets; \"10.0.0.1/8\" has bits beyond its length, write \"10.0.0.0/8\""},
      {"[listen]\nallow = [\"fd77::1/64\"]",
       "g.toml:5: listen.allow = [ 'fd77::1/64' ] is not allowed; it must be a list of at most 32 prefixes like "
       "[\"10.0.0.0/8\", \"fd77::/48\"]; [] is each port's own "
       "subnets; \"fd77::1/64\" has bits beyond its length, write \"fd77::/64\""},
      {"[listen]\nallow = [\"fd77::1\"]",
       "g.toml:5: listen.allow = [ 'fd77::1' ] is not allowed; it must be a list of at most 32 prefixes like "
       "[\"10.0.0.0/8\", \"fd77::/48\"]; [] is each port's own "
       "subnets; write \"fd77::1/128\" for one host"},
      {"[listen]\nudp_admin = 1", "g.toml:5: listen.udp_admin = 1 is not allowed; it must be true or false"},
      {"[control]\nhttp = \"9411\"",
       "g.toml:5: control.http = \"9411\" is not allowed; it must be \"off\" or an IPv4 address and port like "
       "\"127.0.0.1:9411\""},
      {"[control]\nstuck_after_ms = 99",
       "g.toml:5: control.stuck_after_ms = 99 is not allowed; it must be 100 to 60000"},
      {"[control]\nsocket = \"\\u0007\"",
       "g.toml:5: control.socket = \"\\u0007\" is not allowed; it must be \"\" or an absolute path of at most 107 "
       "bytes"},
  };
  for (const Bad& bad : cases) REQUIRE(fault(bad.text) == bad.sentence);
}

TEST_CASE("a faulty port is named by its place and line", "[control][config]") {
  REQUIRE(whole_fault("[[port]]\ndevice = \"tap\"\n") ==
          "g.toml:1: port[0].address is missing; it must be an IPv4 host address with its subnet's length 8 to 32, "
          "like \"10.77.0.2/24\"");
  REQUIRE(whole_fault("[[port]]\naddress = \"10.77.0.2\"\ndevice = \"tap\"") ==
          "g.toml:2: port[0].address = \"10.77.0.2\" is not allowed; it must be an IPv4 host address with its subnet's "
          "length 8 to 32, like "
          "\"10.77.0.2/24\"; write \"10.77.0.2/24\" for a subnet of 256");
  REQUIRE(whole_fault("[[port]]\naddress = \"10.77.0.255/24\"\ndevice = \"tap\"")
              .ends_with("that is the subnet's network or broadcast address: choose one between them"));
  REQUIRE(
      whole_fault("[[port]]\naddress = \"224.0.0.1/24\"\ndevice = \"tap\"").starts_with("g.toml:2: port[0].address"));
  REQUIRE(
      whole_fault("[[port]]\naddress = \"127.0.0.1/8\"\ndevice = \"tap\"").starts_with("g.toml:2: port[0].address"));
  REQUIRE(fault("[[port]]\ndevice = \"eth0\"\naddress = \"10.78.0.2/24\"")
              .starts_with("g.toml:5: port[1].device = \"eth0\" is not allowed; it must be \"tap\", "));
  REQUIRE(fault("[[port]]\ndevice = \"tap\"\naddress = \"10.78.0.2/24\"") ==
          "g.toml:5: port[1].device = \"tap\" is not allowed; port[0] uses that device already");
  REQUIRE(fault("[[port]]\ndevice = \"tap:b\"\naddress = \"10.77.0.2/24\"") ==
          "g.toml:6: port[1].address = \"10.77.0.2/24\" is not allowed; port[0] has that address already");
  REQUIRE(fault("[[port]]\ndevice = \"tap:b\"\naddress = \"10.78.0.2/24\"\nmtu = 500") ==
          "g.toml:7: port[1].mtu = 500 is not allowed; it must be 576 to 9000");
  REQUIRE(whole_fault("") ==
          "g.toml: there is no [[port]]: add one with device = \"tap\" and address = \"10.77.0.2/24\"");
  REQUIRE(whole_fault("port = 3") == "g.toml:1: port must be written as [[port]], once per port");
  REQUIRE(whole_fault("[port]\ndevice = \"tap\"") == "g.toml:1: port must be written as [[port]], once per port");
  std::string five;
  for (int i = 0; i < 5; ++i)
    five +=
        "[[port]]\ndevice = \"tap:t" + std::to_string(i) + "\"\naddress = \"10.7" + std::to_string(i) + ".0.2/24\"\n";
  REQUIRE(whole_fault(five) == "g.toml:13: there are 5 [[port]]; at most 4 are allowed");
}

TEST_CASE("an IPv6 address of a port is one that a host may have", "[control][config]") {
  const auto told = [](const std::string& value) { return fault("address6 = \"" + value + "\"\n"); };
  const std::string rule =
      " is not allowed; it must be \"\" or an IPv6 host address with its subnet's length 8 to 128, like \"fd77::2/64\"";
  for (const char* bad : {"fd77::2/7", "fd77::2/129", "ff02::1/64", "::/64", "::1/128", "::ffff:10.77.0.2/120",
                          "::7/64", "10.77.0.2/24", "fd77:::2/64"})
    REQUIRE(told(bad) == "g.toml:4: port[0].address6 = \"" + std::string(bad) + "\"" + rule);
  REQUIRE(told("fd77::2") ==
          "g.toml:4: port[0].address6 = \"fd77::2\"" + rule + "; write \"fd77::2/64\" for a subnet of 64 bits");
  REQUIRE(told("fd77::/64").find("the subnet's routers") != std::string::npos);
  for (const char* right : {"fd77::2/64", "fe80::2/10", "fd77::/128", "fd77::/127", "::1:0:0:1/8"}) {
    INFO(right);
    REQUIRE(good("address6 = \"" + std::string(right) + "\"\n").ports[0].address6.bits != 0);
  }
  REQUIRE(good("address6 = \"\"\n").ports[0].address6.bits == 0);
  REQUIRE(fault("address6 = \"fd77::2/64\"\nmtu = 1279\n") ==
          "g.toml:5: port[0].mtu = 1279 is not allowed; with address6 it must be at least 1280 (RFC 8200 section 5)");
  REQUIRE(whole_fault("[[port]]\ndevice = \"tap:a\"\naddress = \"10.1.0.2/24\"\naddress6 = \"fd77::2/64\"\n"
                      "[[port]]\ndevice = \"tap:b\"\naddress = \"10.2.0.2/24\"\naddress6 = \"fd77:0::2/48\"\n") ==
          "g.toml:8: port[1].address6 = \"fd77::2/48\" is not allowed; port[0] has that address already");
}

TEST_CASE("an unknown name is answered with the nearest known one", "[control][config]") {
  REQUIRE(fault("[memory]\nsise = \"1GiB\"") == "g.toml:5: memory.sise is no key; did you mean memory.size?");
  REQUIRE(fault("[workers]\ncoutn = 2") == "g.toml:5: workers.coutn is no key; did you mean workers.count?");
  REQUIRE(fault("[workers]\nsize = 2") == "g.toml:5: workers.size is no key; did you mean memory.size?");
  REQUIRE(fault("[listen]\nzzzzzzzzzz = 2") ==
          "g.toml:5: listen.zzzzzzzzzz is no key; the keys here are udp, tcp, tcp_connections_max, "
          "tcp_source_max, tcp_idle_s, sasl_users, allow, udp_answer_max, udp_admin, "
          "udp_rate_per_source");
  REQUIRE(fault("[memori]\nsize = 2").find("memori is no section; did you mean [memory]?") != std::string::npos);
  REQUIRE(fault("[\"a\\nb\"]\nsize = 2").find("\"a\\u000Ab\" is no section") != std::string::npos);
  REQUIRE(fault("[frobnicate]\n").find("the sections are appliance, [[port]]") != std::string::npos);
  REQUIRE(whole_fault("memory = 3").find("memory = 3 is not allowed; it must be a section, [memory]") !=
          std::string::npos);
}

TEST_CASE("what is no TOML is told with its line", "[control][config]") {
  REQUIRE(fault("[memory\nsize = 1").starts_with("g.toml:4: this is not TOML: "));
  REQUIRE(fault("[memory]\nsize = \"1GiB\"\nsize = \"2GiB\"").starts_with("g.toml:6: this is not TOML: "));
  REQUIRE(fault(std::string("a = \"\0\"", 7)).starts_with("g.toml:4: this is not TOML: "));
  REQUIRE(whole_fault(std::string((1u << 20) + 1, '#')) ==
          "g.toml: the file is larger than 1MiB; that is no configuration of Gannet");
  const ConfigResult missing = load_config("/nonexistent/g.toml");
  REQUIRE(missing.faults == std::vector<std::string>{
                                "/nonexistent/g.toml: cannot be read: name an existing file that this user may read"});
  REQUIRE_FALSE(load_config("/").ok());
}

TEST_CASE("all faults of a file are told, in the order of its lines", "[control][config]") {
  const ConfigResult read = parse_config("[workers]\ncount = 99\n[memory]\npage = \"1MiB\"\nsise = 1\n", "g.toml");
  REQUIRE(read.faults.size() == 3);
  REQUIRE(read.faults[0].starts_with("g.toml:2:"));
  REQUIRE(read.faults[1].starts_with("g.toml:4:"));
  REQUIRE(read.faults[2].starts_with("g.toml:5:"));
  std::string many = "[memory]\n";
  for (int i = 0; i < 200; ++i) many += "k" + std::to_string(i) + " = 1\n";
  const ConfigResult flood = parse_config(many, "g.toml");
  REQUIRE(flood.faults.size() == 51);
  REQUIRE(flood.faults.back() == "g.toml: and 150 more");
}

TEST_CASE("a long value is cut in its sentence", "[control][config]") {
  const std::string sentence = fault("[memory]\neviction = \"" + std::string(5000, 'x') + "\"");
  REQUIRE(sentence.size() < 200);
  REQUIRE(sentence.find("xxx... is not allowed") != std::string::npos);
}

TEST_CASE("what is valid but perhaps not meant is a warning", "[control][config]") {
  REQUIRE(good("[listen]\ntcp = 11211").warnings.empty());
  REQUIRE(good("[listen]\nsasl_users = \"/etc/gannet/users\"").warnings ==
          std::vector<std::string>{
              "listen.sasl_users demands a password, which a datagram cannot give: UDP is not answered"});
  REQUIRE(fault("[listen]\ntcp = 0\nsasl_users = \"/etc/gannet/users\"").find("passwords are asked over TCP alone") !=
          std::string::npos);
  REQUIRE(good("[memory]\npage = \"4KiB\"").warnings.size() == 1);
  REQUIRE(good("[listen]\nallow = [\"0.0.0.0/0\"]").warnings.size() == 1);
  REQUIRE(good("[listen]\nallow = [\"::/0\", \"fd77::/64\"]").warnings.size() == 1);
}

TEST_CASE("a change is told with what it takes to bring it into force", "[control][config]") {
  const Config before = good("[workers]\nidle_sleep_us = 5\n[memory]\nsize = \"64MiB\"\n");
  REQUIRE(diff_config(before, before).empty());
  const Config after =
      good("mtu = 9000\n[workers]\nidle_sleep_us = 6\n[memory]\nsize = \"128MiB\"\n[control]\nhttp = \"off\"\n");
  const std::vector<Change> changes = diff_config(before, after);
  REQUIRE(changes.size() == 4);
  REQUIRE(changes[0].key == "port[0].mtu");
  REQUIRE(changes[0].apply == Apply::kRestart);
  REQUIRE(changes[1].key == "workers.idle_sleep_us");
  REQUIRE(changes[1].from == "5");
  REQUIRE(changes[1].to == "6");
  REQUIRE(changes[1].apply == Apply::kLive);
  REQUIRE(changes[2].key == "memory.size");
  REQUIRE(changes[3].key == "control.http");
  REQUIRE(changes[3].apply == Apply::kControl);
  const Config two = good(
      "[[port]]\ndevice = \"ring\"\naddress = \"10.78.0.2/24\"\n[workers]\nidle_sleep_us = 5\n[memory]\nsize = "
      "\"64MiB\"\n");
  const std::vector<Change> added = diff_config(before, two);
  REQUIRE(added.size() == 6);
  REQUIRE(added[0].key == "port[1].device");
  REQUIRE(added[0].from.empty());
  REQUIRE(diff_config(two, before).size() == 6);
}

TEST_CASE("the shown configuration, written as a file, is the same configuration", "[control][config]") {
  const Config config = good(
      "vlan = 7\naddress6 = \"fd77::2/64\"\n[workers]\ncount = 2\ncores = [4, 5]\n[listen]\n"
      "allow = [\"10.0.0.0/8\", \"fd77::/48\"]\n[memory]\nsegment = "
      "\"1MiB\"\n");
  std::ostringstream file;
  std::string section;
  for (const ShownKey& shown : show_config(config)) {
    const std::size_t dot = shown.key.rfind('.');
    const std::string mine = shown.key.substr(0, dot);
    if (mine != section) file << (mine.starts_with("port[") ? "[[port]]" : "[" + mine + "]") << "\n";
    section = mine;
    file << shown.key.substr(dot + 1) << " = " << shown.value << "\n";
  }
  const ConfigResult again = parse_config(file.str(), "again.toml");
  INFO(file.str() << (again.ok() ? "" : again.faults[0]));
  REQUIRE(again.ok());
  REQUIRE(diff_config(config, again.config).empty());
}

TEST_CASE("the example file is good", "[control][config]") {
  const ConfigResult read = load_config(GANNET_EXAMPLE_CONFIG);
  INFO((read.ok() ? "" : read.faults[0]));
  REQUIRE(read.ok());
  REQUIRE(read.config.warnings.empty());
}

TEST_CASE("the README's table of keys is the table of the program", "[control][config]") {
  std::ifstream file(GANNET_CONTROL_README);
  std::stringstream text;
  text << file.rdbuf();
  const std::string readme = text.str();
  for (const KeyInfo& info : config_keys()) {
    const std::string fallback = *info.fallback == '\0' ? "must be given" : "`" + std::string(info.fallback) + "`";
    const std::string row = "| `" + std::string(info.name) + "` | " + info.type + " | " + info.allowed + " | " +
                            fallback + " | " + apply_name(info.apply) + " | " + info.meaning + " |";
    INFO(row << "\nwrite it anew with: gannetctl config keys --markdown");
    REQUIRE(readme.find(row) != std::string::npos);
  }
}
