/// One TOML file says everything. It is valid as a whole or nothing of it counts: every fault is one sentence that
/// names file, line, key, value, what is allowed and the fix. The keys are described once, in config_keys.cc: parsing,
/// errors, `gannetctl config show` and the table in README.md all come from there.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/abi/shared.h"
#include "control/values.h"

namespace gannet::control {

struct PortWish {
  Device device;
  Cidr address;              ///< Our address and the length of its subnet.
  Cidr6 address6;            ///< The same over IPv6; 0 bits: none.
  std::uint32_t queues = 0;  ///< 0: one per worker.
  std::uint32_t mtu = 1500;  ///< Bytes.
  std::uint32_t vlan = 0;    ///< 0: any or none.
  int line = 0;              ///< Of the [[port]] in the file.
};

/// What memory.eviction may be, in the order of LiveConfig::eviction.
inline constexpr std::array<std::string_view, 7> kEvictionNames{"merge", "fifo",   "random", "cte",
                                                                "util",  "s3fifo", "greedy"};
inline constexpr std::uint32_t kEvictionDefault = 6;

struct Config {
  std::string file;  ///< As named by the caller.
  std::string text;  ///< The whole file.
  std::string name = "gannet";
  std::vector<PortWish> ports;
  std::uint32_t workers = 1;
  std::vector<std::int32_t> cores;   ///< Empty: the planner chooses.
  std::uint32_t idle_sleep_us = 50;  ///< 0: spin for ever.
  std::uint64_t memory_bytes = 1ull << 30;
  std::uint64_t page_bytes = 2ull << 20;
  std::uint32_t segment_bytes = 0;            ///< 0: the store chooses.
  std::uint32_t item_bytes_max = 0;           ///< 0: what a segment holds, at most 1 MiB.
  std::string memory_path;                    ///< "": anonymous.
  bool allow_remote = false;                  ///< Memory and workers may lie off the port's NUMA node.
  std::uint32_t eviction = kEvictionDefault;  ///< Place in kEvictionNames.
  std::uint16_t udp = 11211;
  std::uint16_t tcp = 11211;  ///< 0: off.
  std::uint32_t tcp_connections_max = 8192;
  std::uint32_t tcp_source_max = 0;  ///< 0: no limit.
  std::uint32_t tcp_idle_s = 0;      ///< 0: never.
  std::string sasl_users;            ///< Path; "": everybody may speak.
  std::vector<abi::Prefix> allow;    ///< Empty: each port's own subnets.
  std::uint32_t udp_answer_max = 0;  ///< Bytes; 0: no limit but the item size.
  bool udp_admin = true;
  std::uint32_t udp_rate_per_source = 0;  ///< Datagrams a second, each worker; 0: any number.
  std::string http = "127.0.0.1:9411";    ///< "": off.
  std::string socket;                     ///< "": <state directory>/<name>.sock.
  std::uint32_t stuck_after_ms = 2000;
  bool restart_when_stuck = false;
  std::uint32_t start_limit_s = 300;

  std::set<std::string> given;        ///< Keys the file sets, "memory.size", "port[0].address".
  std::vector<std::string> warnings;  ///< Sentences: valid, but perhaps not what was meant.
};

/// What it takes to bring a changed key into force.
enum class Apply : std::uint8_t {
  kLive,     ///< `gannetctl config apply`.
  kRestart,  ///< A new gannetd: `gannetctl restart`.
  kControl,  ///< A new gannet-control.
};
[[nodiscard]] const char* apply_name(Apply apply) noexcept;

struct KeyInfo {
  const char* name;      ///< "memory.size"; keys of a [[port]] are "port.device".
  const char* type;      ///< "text", "number", "size", "true or false", "list of numbers", ...
  const char* allowed;   ///< In words, for errors and docs.
  const char* fallback;  ///< The default as TOML text; "" when the key must be given.
  Apply apply;
  const char* meaning;  ///< One sentence.
};
[[nodiscard]] const std::vector<KeyInfo>& config_keys();

struct ConfigResult {
  Config config;                    ///< Only if ok().
  std::vector<std::string> faults;  ///< One sentence each, in the order of the file.
  [[nodiscard]] bool ok() const noexcept { return faults.empty(); }
};

/// Never throws and never touches the machine: the same text gives the same result anywhere. At most 1 MiB.
[[nodiscard]] ConfigResult parse_config(std::string_view text, std::string_view file_name);
/// Reads the file, then as above.
[[nodiscard]] ConfigResult load_config(const std::string& path);

struct ShownKey {
  std::string key;    ///< "port[0].device"
  std::string value;  ///< As TOML text.
  bool given = false;
  const KeyInfo* info = nullptr;
};
/// Every key with its effective value, in the order of the table.
[[nodiscard]] std::vector<ShownKey> show_config(const Config& config);

struct Change {
  std::string key, from, to;  ///< from or to "": the key (of a port) came or went.
  Apply apply = Apply::kLive;
};
[[nodiscard]] std::vector<Change> diff_config(const Config& from, const Config& to);

/// What gannetd is told. start_count and the memory_* fields are left alone: they belong to the supervisor.
void fill_start(const Config& config, abi::StartConfig& start);
[[nodiscard]] abi::LiveConfig make_live(const Config& config);

}  // namespace gannet::control
