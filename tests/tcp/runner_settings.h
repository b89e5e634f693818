/// What "config KEY VALUE" lines and names in scripts mean.
#pragma once

#include <optional>
#include <string>

#include "tests/tcp/rig.h"
#include "tests/tcp/script.h"

namespace gannet::test::tcp {

struct Settings {
  std::string fault;  ///< Not empty: a line that means nothing.
  RigOptions options;
  std::uint32_t peer_isn = 1'000'000;
  bool v6 = false;
  nicpipe::IpAddress peer_ip, peer_ip6;  ///< Of peer 1.
};
[[nodiscard]] Settings settings_of(const Script& script);

/// The counter of that name; none: there is no such.
[[nodiscard]] std::optional<std::uint64_t> stat_of(const nic::Stats& stats, const std::string& name);
/// "opened", "readable", "writable", "peer_closed", "closed"; 0: none of these.
[[nodiscard]] std::uint8_t event_bit(const std::string& name);
[[nodiscard]] std::string close_text(nic::Close reason);

}  // namespace gannet::test::tcp
