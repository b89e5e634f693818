// A state directory of its own, a gannet-control in it, gannetctl beside it: for tests of the real programs with a fake
// gannetd.
#pragma once

#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/state.h"

namespace gannet::test {

struct Outcome {
  int code = -1;  ///< Exit code; 128 + signal if killed.
  std::string out, err;
  [[nodiscard]] nlohmann::json json() const;
};

/// Runs a program to its end, at most 20 s.
[[nodiscard]] Outcome run(const std::vector<std::string>& words);

/// Asks `holds` every 5 ms, at most `ms` milliseconds.
[[nodiscard]] bool eventually(const std::function<bool()>& holds, unsigned ms = 10'000);

/// A TCP port of 127.0.0.1 that was free just now.
[[nodiscard]] int free_port();

/// Body of the answer to GET `path` on 127.0.0.1; `status` 0 if nobody answers.
[[nodiscard]] std::string http_get(int port, const std::string& path, int& status);

class Rack {
 public:
  Rack();
  ~Rack();  ///< Kills whatever of it still lives, removes the directory.
  Rack(const Rack&) = delete;
  Rack& operator=(const Rack&) = delete;

  /// Orders for the next starts of the fake gannetd (fake_gannetd.cc), "" for a good one.
  void order(const std::string& words) const;
  /// Lines to add to the file, sections and all.
  void configure(const std::string& more, const std::string& workers = "count = 2") const;
  void start_control();
  /// Waits until the control that was started ends.
  [[nodiscard]] Outcome wait_control();
  void signal_control(int signal) const;
  [[nodiscard]] Outcome ctl(std::vector<std::string> words) const;
  [[nodiscard]] nlohmann::json status() const { return ctl({"--json", "status", "--sample-ms", "0"}).json(); }
  [[nodiscard]] bool reaches(const std::string& state) const;
  [[nodiscard]] pid_t dataplane_pid() const;
  [[nodiscard]] std::string log() const;

  control::StatePaths paths;
  std::string config_file;
  int http_port = 0;

 private:
  std::string directory_;
  pid_t control_ = 0;
};

}  // namespace gannet::test
