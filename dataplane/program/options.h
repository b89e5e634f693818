/// gannetd's command line: either the shared file that gannet-control made, or a developer's words from which one is
/// built.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/abi/shared.h"

namespace gannet::dataplane {

struct Options {
  enum class Action { kServe, kPlan, kHelp, kVersion };
  Action action = Action::kServe;
  bool json = false;       ///< kPlan: for machines.
  bool developer = false;  ///< --dev: `start` and `live` below count, and the shared file is our own.
  std::string
      shared;  ///< Descriptor number or path; with `developer` the path of a file to make, empty for an unnamed one.
  int memory_fd = -1;    ///< The item memory, inherited; -1: gannetd makes its own.
  int former_fd = -1;    ///< Memory whose items are moved into that; -1: none.
  std::string topology;  ///< kPlan: a synthetic machine instead of this one.
  abi::StartConfig start{};
  abi::LiveConfig live{};
};

struct ParsedOptions {
  Options options;
  std::string error;  ///< Empty, or one sentence with the fix.
};

/// `words` without the program's name.
[[nodiscard]] ParsedOptions parse_options(const std::vector<std::string_view>& words);

/// "256M", "2GiB", "1G", "4096": bytes. False: not one.
[[nodiscard]] bool parse_size(std::string_view text, std::uint64_t& bytes) noexcept;
/// "10.77.0.2/24"; without "/n" it is /32. `address` keeps its host bits.
[[nodiscard]] bool parse_address(std::string_view text, std::uint32_t& address, std::uint32_t& bits) noexcept;
/// "tap", "tap:NAME", "af_packet:IF", "af_xdp:IF", "vhost:PATH", "memif:PATH", "ring", or a PCI address.
[[nodiscard]] bool parse_device(std::string_view text, abi::PortConfig& port) noexcept;

/// What --help prints.
[[nodiscard]] const char* usage() noexcept;

}  // namespace gannet::dataplane
