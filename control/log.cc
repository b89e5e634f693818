#include "control/log.h"

#include <unistd.h>

#include <ctime>
#include <mutex>

namespace gannet::control {

bool LineBudget::take(std::uint64_t second, std::uint64_t& suppressed) noexcept {
  if (second != second_) {
    second_ = second;
    used_ = 0;
  }
  if (used_ == kLinesPerSecond) {
    ++suppressed_;
    return false;
  }
  ++used_;
  suppressed = suppressed_;
  suppressed_ = 0;
  return true;
}

std::string logfmt_value(std::string_view text) {
  bool plain = !text.empty();
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f || c == '"' || c == '=' || c == '\\') plain = false;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < ' ' || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return plain ? out : "\"" + out + "\"";
}

void log_line(Level level, std::string_view event, std::initializer_list<Field> fields) {
  static std::mutex mutex;
  static LineBudget budget;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::lock_guard lock(mutex);
  std::uint64_t suppressed = 0;
  if (!budget.take(static_cast<std::uint64_t>(now.tv_sec), suppressed)) return;
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
  constexpr const char* kLevels[] = {"info", "warn", "error"};
  std::string line = fmt::format("ts={}.{:03}Z level={} program=gannet-control msg={}", stamp, now.tv_nsec / 1'000'000,
                                 kLevels[static_cast<std::size_t>(level)], logfmt_value(event));
  for (const auto& [key, value] : fields) line += fmt::format(" {}={}", key, logfmt_value(value));
  if (suppressed > 0) line += fmt::format(" lines_suppressed={}", suppressed);
  line += '\n';
  // A log that cannot be written is lost; there is nobody left to tell.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace gannet::control
