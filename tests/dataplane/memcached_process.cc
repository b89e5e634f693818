#include "tests/dataplane/memcached_process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace gannet::test {

namespace {

constexpr const char* kPath = "/usr/bin/memcached";

[[nodiscard]] sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[nodiscard]] std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = loopback(0);
  socklen_t bytes = sizeof address;
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
                     ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
  ::close(fd);
  if (!bound) throw std::runtime_error("no free TCP port on loopback");
  return ntohs(address.sin_port);
}

[[nodiscard]] int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

bool MemcachedProcess::installed() {
  return ::access(kPath, X_OK) == 0;
}

MemcachedProcess::MemcachedProcess() : port_(free_port()) {
  const std::string port = std::to_string(port_);
  pid_ = ::fork();
  if (pid_ == 0) {
    // Without its background threads: while one holds a counter, DECR makes a new item and does not pad with blanks.
    ::execl(kPath, kPath, "-l", "127.0.0.1", "-p", port.c_str(), "-U", "0", "-B", "binary", "-u", "nobody", "-t", "1",
            "-o", "no_modern", nullptr);
    ::_exit(127);
  }
  for (int attempt = 0; attempt < 300; ++attempt) {
    if (const int fd = connect_to(port_); fd >= 0) {
      ::close(fd);
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  throw std::runtime_error("memcached did not listen within 6 s");
}

MemcachedProcess::~MemcachedProcess() {
  ::kill(pid_, SIGTERM);
  ::waitpid(pid_, nullptr, 0);
}

Connection::Connection(std::uint16_t port) : fd_(connect_to(port)) {
  if (fd_ < 0) throw std::runtime_error("cannot connect to memcached");
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

Connection::~Connection() {
  ::close(fd_);
}

void Connection::send(const std::string& bytes) const {
  if (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
    throw std::runtime_error("memcached took only part of a request");
}

bool Connection::receive_exactly(char* at, std::size_t bytes) const {
  while (bytes > 0) {
    const ssize_t got = ::recv(fd_, at, bytes, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) return false;
    if (got < 0) throw std::runtime_error("memcached was silent for two seconds");
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<std::string> Connection::receive() const {
  std::array<char, 24> header{};
  if (!receive_exactly(header.data(), header.size())) return std::nullopt;
  std::uint32_t body = 0;
  std::memcpy(&body, header.data() + 8, 4);
  std::string answer(header.data(), header.size());
  answer.resize(header.size() + ntohl(body));
  if (!receive_exactly(answer.data() + header.size(), ntohl(body))) return std::nullopt;
  return answer;
}

}  // namespace gannet::test
