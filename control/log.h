/// Log lines of gannet-control: logfmt on stderr, one line each, never more than kLinesPerSecond of them. Any thread.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace gannet::control {

enum class Level : std::uint8_t { kInfo, kWarn, kError };

using Field = std::pair<std::string_view, std::string>;

/// ts=2026-11-22T16:00:00.123Z level=info program=gannet-control msg="started gannetd" pid=4711
void log_line(Level level, std::string_view event, std::initializer_list<Field> fields = {});

/// The value as logfmt: quoted where it must be, control characters escaped.
[[nodiscard]] std::string logfmt_value(std::string_view text);

/// Decides whether a line may go out now; `suppressed` counts those that did not since the last that did. Pure: time is
/// handed in.
class LineBudget {
 public:
  static constexpr unsigned kLinesPerSecond = 20;
  [[nodiscard]] bool take(std::uint64_t second, std::uint64_t& suppressed) noexcept;

 private:
  std::uint64_t second_ = 0, suppressed_ = 0;
  unsigned used_ = 0;
};

}  // namespace gannet::control
