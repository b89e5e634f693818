/// What every verb of gannetctl shares: which appliance is meant, its shared file, how to answer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control/report.h"
#include "control/state.h"

namespace gannet::tools {

/// Exit codes of gannetctl.
enum ExitCode : int {
  kExitOk = 0,
  kExitNotHealthy = 1,  ///< Running, but not serving as it should; or the request was refused.
  kExitUsage = 2,       ///< Wrong words on the command line, or a faulty configuration.
  kExitNotRunning = 3,  ///< No gannetd.
};

struct Session {
  std::string state_directory = control::kStateDirectory;
  std::string name;  ///< "": the only one there is.
  bool json = false;

  control::StatePaths paths;
  control::SharedFile shared;
  control::Alive alive;

  /// Finds the appliance and maps its shared file. False: `fault` has the sentence.
  [[nodiscard]] bool open(bool writable, std::string& fault);
  /// After open(): asks who lives, again.
  void look();
  [[nodiscard]] std::string socket_path() const;

  /// Prints the answer in the form that was asked for.
  void print(const std::string& text, const nlohmann::json& answer) const;
  /// Prints a failure: a sentence on stderr, or {"ok": false, "error": ...} on stdout. Gives `code`.
  int fail(int code, const std::string& sentence) const;
};

}  // namespace gannet::tools
