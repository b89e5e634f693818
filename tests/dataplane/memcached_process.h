/// A real memcached 1.6 on loopback, started and ended by its own pid, spoken to in binary over TCP.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace gannet::test {

class MemcachedProcess {
 public:
  /// Throws a sentence when memcached does not come up.
  MemcachedProcess();
  ~MemcachedProcess();
  MemcachedProcess(const MemcachedProcess&) = delete;
  MemcachedProcess& operator=(const MemcachedProcess&) = delete;

  [[nodiscard]] static bool installed();
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

/// One binary connection. Blocking, with a time limit of two seconds for each read.
class Connection {
 public:
  explicit Connection(std::uint16_t port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(const std::string& bytes) const;
  /// The next whole answer's bytes; nothing when the peer closed.
  [[nodiscard]] std::optional<std::string> receive() const;

 private:
  [[nodiscard]] bool receive_exactly(char* at, std::size_t bytes) const;
  int fd_ = -1;
};

}  // namespace gannet::test
