#include "dataplane/program/log.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <string>

namespace gannet::dataplane {
namespace {

[[nodiscard]] bool is_plain(std::string_view text) noexcept {
  for (const char c : text)
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  return !text.empty();
}

void append(std::string& line, std::string_view key, std::string_view value) {
  line += ' ';
  line += key;
  line += '=';
  if (is_plain(value)) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  line += '"';
}

}  // namespace

void log(LogLevel level, std::string_view message,
         std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  constexpr std::array<std::string_view, 3> kNames = {"info", "warn", "error"};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 120> stamp{};
  std::snprintf(stamp.data(), stamp.size(), "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1'000'000);
  std::string line = stamp.data();
  append(line, "level", kNames[static_cast<std::size_t>(level)]);
  append(line, "msg", message);
  for (const auto& [key, value] : fields) append(line, key, value);
  line += '\n';
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace gannet::dataplane
