/// gannetd's log: logfmt lines on stderr, one for each change of state, from the main thread alone. Never from a
/// worker's loop.
#pragma once

#include <initializer_list>
#include <string_view>
#include <utility>

namespace gannet::dataplane {

enum class LogLevel { kInfo, kWarn, kError };

/// One line: ts=2026-01-02T03:04:05.678Z level=info msg="serving" key=value ... Values that need it are quoted. One
/// write(2).
void log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string_view>> fields = {});

}  // namespace gannet::dataplane
