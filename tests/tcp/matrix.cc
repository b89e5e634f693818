#include "tests/tcp/matrix.h"

namespace gannet::test::tcp {
namespace {

struct Rtt {
  const char* name;
  MonotonicNs ns;
};
constexpr Rtt kRtts[] = {{"10us", 10'000}, {"1ms", 1'000'000}, {"20ms", 20'000'000}, {"200ms", 200'000'000}};
constexpr std::uint32_t kLosses[] = {0, 1, 5, 20};
constexpr const char* kTraffics[] = {"down", "bulk", "rounds"};

}  // namespace

std::vector<Cell> cells() {
  std::vector<Cell> cells;
  for (const auto traffic : {Cell::Traffic::kDown, Cell::Traffic::kBulk, Cell::Traffic::kRounds}) {
    for (const Rtt& rtt : kRtts) {
      for (const std::uint32_t loss : kLosses) {
        for (const bool all : {false, true}) {
          const bool is_quick = all && (loss == 5 || (loss == 20 && rtt.ns == 1'000'000));
          cells.push_back({traffic, rtt.ns, loss, all, is_quick});
        }
      }
    }
  }
  return cells;
}

std::string name_of(const Cell& cell) {
  std::string name = kTraffics[static_cast<std::size_t>(cell.traffic)];
  for (const Rtt& rtt : kRtts)
    if (rtt.ns == cell.rtt_ns) name += std::string("-") + rtt.name;
  return name + "-loss" + std::to_string(cell.loss_percent) + (cell.all ? "-all" : "");
}

std::optional<Cell> find_cell(const std::string& name) {
  for (const Cell& cell : cells())
    if (name_of(cell) == name) return cell;
  return std::nullopt;
}

SimulatorOptions options_of(const Cell& cell, std::uint64_t seed) {
  SimulatorOptions options;
  options.seed = seed;
  options.channel.rtt_ns = cell.rtt_ns;
  options.channel.loss = cell.loss_percent / 100.0;
  if (cell.all) {
    options.channel.reorder = 0.02;
    options.channel.duplicate = 0.01;
    options.channel.corrupt = 0.005;
  }
  options.engine.connections_max = 16;
  options.engine.half_open_max = 8;
  options.engine.send_blocks = 1024;
  options.engine.receive_packets = 1024;
  options.engine.rto_min_ns = 10'000'000;
  options.engine.delayed_ack_ns = 5'000'000;
  options.engine.retries = 60;
  options.engine.syn_retries = 15;
  const bool slow = cell.loss_percent == 20 || (cell.loss_percent == 5 && cell.rtt_ns == 200'000'000);
  const std::uint64_t bytes = slow ? 300'000 : 2'000'000;
  switch (cell.traffic) {
    case Cell::Traffic::kDown:
      options.up_bytes = 100;
      options.down_bytes = bytes;
      options.pinned = true;
      options.device.tx_ip_checksum = options.device.tx_tcp_checksum = options.device.tcp_segmentation = true;
      break;
    case Cell::Traffic::kBulk:
      options.up_bytes = options.down_bytes = bytes / 2;
      break;
    case Cell::Traffic::kRounds:
      options.device.multi_segment = false;
      options.round_bytes = 100;
      options.up_bytes = options.down_bytes = 100 * 200;
      break;
  }
  options.limit_ns = 3'600'000'000'000;
  return options;
}

}  // namespace gannet::test::tcp
