/// The admin socket: one JSON object a line each way. {"do": "status"} -> {"ok": true, ...}; a failure is {"ok": false,
/// "error": "sentence"}. Who may speak is decided by the socket file's mode (0660); who spoke is in the log.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/state.h"

namespace gannet::control {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Server side; lives in the main loop's poll(). A peer may send 4 KiB a line and has 5 s for it; at most 16 at a time.
class AdminServer {
 public:
  using Handler = std::function<nlohmann::json(const nlohmann::json& request, const Peer& peer)>;

  ~AdminServer();
  /// Takes the path over from a dead predecessor. "" or the sentence why not.
  [[nodiscard]] std::string open(const std::string& path);
  /// Appends the descriptors to wait for.
  void add_to(std::vector<pollfd>& polls) const;
  /// Accepts, reads, answers, drops the slow. Needs: `polls` as add_to() left it, after poll().
  void serve(const std::vector<pollfd>& polls, MonotonicNs now, const Handler& handler);

 private:
  struct Connection {
    Fd fd;
    Peer peer;
    std::string received;
    MonotonicNs since = 0;
  };
  void accept_one(MonotonicNs now);
  /// False: close it.
  bool read_from(Connection& connection, const Handler& handler);

  Fd listening_;
  std::string path_;
  std::vector<Connection> connections_;
};

/// Client side: sends one request and waits at most `timeout_ms` for its answer. Without a control there, gives {"ok":
/// false, "error": ..., "reached": false}.
[[nodiscard]] nlohmann::json ask_control(const std::string& path, const nlohmann::json& request, int timeout_ms);

}  // namespace gannet::control
