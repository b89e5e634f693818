/// The Prometheus page, made from the shared file alone. Series that prometheus/memcached_exporter has keep its names,
/// so that its dashboards and alerts work; everything else is gannet_<figure>, from the descriptions of
/// control/abi/counters.h.
#pragma once

#include <string>

#include "control/report.h"

namespace gannet::control {

/// Text format 0.0.4. Any thread.
[[nodiscard]] std::string metrics_text(const abi::Shared& shared, const Report& report);

}  // namespace gannet::control
