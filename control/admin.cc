#include "control/admin.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/base/must.h"

namespace gannet::control {
namespace {

using nlohmann::json;

constexpr std::size_t kConnectionsMax = 16, kLineBytesMax = 4096;
constexpr MonotonicNs kPatienceNs = 5'000'000'000;

bool fill_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return true;
}

bool send_line(int fd, const json& answer) {
  // Bytes from outside may be echoed in an answer: never throw over bad UTF-8.
  const std::string line = answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  std::size_t sent = 0;
  while (sent < line.size()) {
    const ssize_t took = ::send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (took <= 0) return false;
    sent += static_cast<std::size_t>(took);
  }
  return true;
}

}  // namespace

AdminServer::~AdminServer() {
  if (listening_) ::unlink(path_.c_str());
}

std::string AdminServer::open(const std::string& path) {
  sockaddr_un address;
  if (!fill_address(path, address))
    return fmt::format("the admin socket's path {} is too long: set control.socket to one of at most 107 bytes", path);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  struct stat status {};
  // Only a socket is taken over: the caller holds the appliance's lock, so whoever bound it is dead.
  if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(0117);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0 || ::listen(fd.get(), kConnectionsMax) != 0)
    return fmt::format("the admin socket {} cannot be made: {}; set control.socket to a writable place", path,
                       std::strerror(bound != 0 ? error : errno));
  listening_ = std::move(fd);
  path_ = path;
  return "";
}

void AdminServer::add_to(std::vector<pollfd>& polls) const {
  polls.push_back({listening_.get(), POLLIN, 0});
  for (const Connection& connection : connections_) polls.push_back({connection.fd.get(), POLLIN, 0});
}

void AdminServer::serve(const std::vector<pollfd>& polls, MonotonicNs now, const Handler& handler) {
  MUST_LE(connections_.size() + 1, polls.size());
  const std::size_t first = polls.size() - connections_.size();
  std::vector<Connection> kept;
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    const bool open =
        polls[first + i].revents == 0 ? now - connection.since < kPatienceNs : read_from(connection, handler);
    if (open) kept.push_back(std::move(connection));
  }
  connections_ = std::move(kept);
  if (polls[first - 1].revents != 0) accept_one(now);
}

void AdminServer::accept_one(MonotonicNs now) {
  Connection connection;
  connection.fd = Fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.fd || connections_.size() == kConnectionsMax) return;
  ucred who{};
  socklen_t bytes = sizeof who;
  if (::getsockopt(connection.fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &bytes) != 0) return;
  connection.peer = {who.pid, who.uid, who.gid};
  // An answer fits the socket's buffer; a peer that does not read it loses it after this, and must not hold up the
  // supervisor.
  const timeval patience{0, 200'000};
  ::setsockopt(connection.fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  connection.since = now;
  connections_.push_back(std::move(connection));
}

bool AdminServer::read_from(Connection& connection, const Handler& handler) {
  char bytes[kLineBytesMax];
  const ssize_t got = ::recv(connection.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  connection.received.append(bytes, static_cast<std::size_t>(got));
  for (std::size_t end = connection.received.find('\n'); end != std::string::npos;
       end = connection.received.find('\n')) {
    const json request = json::parse(connection.received.substr(0, end), nullptr, false);
    connection.received.erase(0, end + 1);
    const bool usable = request.is_object() && request.contains("do") && request["do"].is_string();
    const json answer = usable ? handler(request, connection.peer)
                               : json{{"ok", false}, {"error", "send one JSON object a line, with \"do\" as text"}};
    if (!send_line(connection.fd.get(), answer)) return false;
  }
  if (connection.received.size() <= kLineBytesMax) return true;
  send_line(connection.fd.get(), {{"ok", false}, {"error", "a request has at most 4096 bytes"}});
  return false;
}

json ask_control(const std::string& path, const json& request, int timeout_ms) {
  const auto failure = [&path](const char* what) {
    return json{{"ok", false},
                {"reached", false},
                {"error", fmt::format("gannet-control does not answer at {}: {}", path, what)}};
  };
  sockaddr_un address;
  if (!fill_address(path, address)) return failure("the path is too long");
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{timeout_ms / 1000, timeout_ms % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failure(std::strerror(errno));
  if (!send_line(fd.get(), request)) return failure("it closed the connection");
  std::string line;
  char bytes[4096];
  while (line.find('\n') == std::string::npos) {
    const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, 0);
    if (got <= 0) return failure(got == 0 ? "it closed the connection" : "it took too long");
    line.append(bytes, static_cast<std::size_t>(got));
  }
  json answer = json::parse(line.substr(0, line.find('\n')), nullptr, false);
  if (!answer.is_object()) return failure("it sent no JSON");
  return answer;
}

}  // namespace gannet::control
