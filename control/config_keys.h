/// Inside of the configuration: how each key is read from TOML and written back. Only config*.cc include this.
#pragma once

#include <toml++/toml.h>

#include <string>
#include <vector>

#include "control/config.h"

namespace gannet::control {

struct Verdict {
  bool ok = true;
  std::string hint;  ///< Appended to the sentence, "" mostly.
};

struct KeySpec {
  KeyInfo info;
  /// Puts the node's value in its place. Not ok leaves config and port as they were.
  Verdict (*read)(const toml::node& node, Config& config, PortWish& port);
  /// The value as TOML text.
  std::string (*show)(const Config& config, const PortWish& port);
};

[[nodiscard]] const std::vector<KeySpec>& key_specs();
/// A TOML basic string.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace gannet::control
