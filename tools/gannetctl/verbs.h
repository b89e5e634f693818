/// The verbs of gannetctl; each gives the exit code.
#pragma once

#include <string>

#include "tools/gannetctl/session.h"

namespace gannet::tools {

/// `sample_ms` 0: no rates, no waiting.
[[nodiscard]] int status(Session& session, unsigned sample_ms);
/// `worker` < 0: all summed.
[[nodiscard]] int stats(Session& session, int worker);
[[nodiscard]] int explain(const Session& session, const std::string& name);
/// What gannetd published; if none runs, what `gannetd --plan` says.
[[nodiscard]] int topo(Session& session, const std::string& dataplane_program);
/// Asks control, or gannetd itself if control is dead, and waits until all are gone.
[[nodiscard]] int stop(Session& session, unsigned timeout_s);
[[nodiscard]] int detach(Session& session, unsigned timeout_s);
int restart(Session& session, unsigned timeout_s);

[[nodiscard]] int config_check(const Session& session, const std::string& file);
/// With a file: that file. Without: what is in force.
[[nodiscard]] int config_show(Session& session, const std::string& file);
[[nodiscard]] int config_apply(Session& session);
/// Every key with type, range, default; `markdown` as the table of control/README.md.
[[nodiscard]] int config_keys(const Session& session, bool markdown);

}  // namespace gannet::tools
