#include "tools/gannetctl/session.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

namespace gannet::tools {

bool Session::open(bool writable, std::string& fault) {
  std::string wanted = name;
  if (wanted.empty()) {
    const std::vector<std::string> names = control::appliances_in(state_directory);
    if (names.empty()) {
      const bool hidden =
          ::access(state_directory.c_str(), R_OK | X_OK) != 0 && ::access(state_directory.c_str(), F_OK) == 0;
      fault =
          hidden
              ? fmt::format("{} may not be read by this user: use sudo", state_directory)
              : fmt::format(
                    "no appliance runs in {}: start gannet-control --config FILE, or name its directory with --state",
                    state_directory);
      return false;
    }
    if (names.size() > 1) {
      fault = fmt::format("there are several appliances in {}: choose one with --name {}", state_directory,
                          fmt::join(names, " or --name "));
      return false;
    }
    wanted = names[0];
  }
  paths = {state_directory, wanted};
  if (::access(paths.shared().c_str(), F_OK) != 0) {
    fault = fmt::format("no appliance \"{}\" runs in {}: start gannet-control --config FILE", wanted, state_directory);
    return false;
  }
  fault = control::SharedFile::open(paths.shared(), writable, shared);
  if (!fault.empty()) {
    if (::access(paths.shared().c_str(), writable ? R_OK | W_OK : R_OK) != 0) fault += ": use sudo";
    return false;
  }
  look();
  return true;
}

void Session::look() {
  alive.dataplane = control::dataplane_alive(*shared);
  alive.control = control::control_alive(*shared, control::monotonic_ns());
}

std::string Session::socket_path() const {
  return std::string(abi::text_of(shared->header.socket_path));
}

void Session::print(const std::string& text, const nlohmann::json& answer) const {
  const std::string out = json ? answer.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n" : text;
  std::fwrite(out.data(), 1, out.size(), stdout);
}

int Session::fail(int code, const std::string& sentence) const {
  if (json) {
    print("", {{"ok", false}, {"error", sentence}});
  } else {
    std::fprintf(stderr, "gannetctl: %s\n", sentence.c_str());
  }
  return code;
}

}  // namespace gannet::tools
