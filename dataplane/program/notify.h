/// Telling systemd (or whoever set NOTIFY_SOCKET) how far we are: sd_notify(3)'s protocol, one datagram of text.
#pragma once

#include <string_view>

namespace gannet::dataplane {

/// Sends `state` (lines of KEY=VALUE) if NOTIFY_SOCKET is set; does nothing otherwise. Never blocks, never fails:
/// whoever asked may be gone.
void notify_supervisor(std::string_view state) noexcept;

}  // namespace gannet::dataplane
