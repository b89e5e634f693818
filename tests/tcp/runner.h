/// Plays a script against an engine and tells the first difference.
#pragma once

#include <map>
#include <string>

#include "tests/tcp/rig.h"
#include "tests/tcp/script.h"

namespace gannet::test::tcp {

/// Empty, or what differs: the script's line, what was expected, what came, and the conversation up to there.
[[nodiscard]] std::string run_script(const Script& script);

}  // namespace gannet::test::tcp
