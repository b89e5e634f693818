#include "tools/load/kernel_tcp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/base/must.h"
#include "tools/load/wire.h"

namespace gannet::load {
namespace {

constexpr std::size_t kInBytes = 64 << 10;        // Grows to the longest answer.
constexpr std::size_t kAnswerBytesMax = 1 << 30;  // Above this it is no answer.

}  // namespace

std::unique_ptr<KernelTcp> KernelTcp::make(const Options& options, std::string& wrong) {
  std::unique_ptr<KernelTcp> link(new KernelTcp(options));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(options.target);
  to.sin_port = htons(options.port);
  for (std::uint32_t flow = 0; flow < options.flows; ++flow) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      wrong = fmt::format("connection {} of {}: {}; is a server listening there?", flow + 1, options.flows,
                          std::strerror(errno));
      if (fd >= 0) ::close(fd);
      return nullptr;
    }
    link->sockets_.push_back({fd, POLLIN, 0});
    const int on = 1;
    static_cast<void>(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  }
  link->connections_.resize(options.flows);
  for (Connection& connection : link->connections_) connection.in.resize(kInBytes);
  return link;
}

KernelTcp::~KernelTcp() {
  for (const pollfd& socket : sockets_) ::close(socket.fd);
}

std::byte* KernelTcp::open(std::uint32_t flow, std::uint16_t /*port: a connection has one*/) {
  opened_ = flow;
  Connection& connection = connections_[flow];
  if (connection.out_from == connection.out_to) connection.out_from = connection.out_to = 0;
  if (connection.out.size() < connection.out_to + message_bytes_max_)
    connection.out.resize(2 * connection.out_to + message_bytes_max_);
  return connection.out.data() + connection.out_to;
}

void KernelTcp::close(std::uint32_t bytes) {
  MUST_LE(bytes, message_bytes_max_);
  connections_[opened_].out_to += bytes;
}

void KernelTcp::send_what_waits(std::uint32_t flow) {
  Connection& connection = connections_[flow];
  while (connection.out_from != connection.out_to) {
    const ssize_t sent = ::send(sockets_[flow].fd, connection.out.data() + connection.out_from,
                                connection.out_to - connection.out_from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN && errno != EINTR) trouble_ = "the server closed a connection";
      return;
    }
    connection.out_from += static_cast<std::size_t>(sent);
  }
}

std::uint32_t KernelTcp::flush() {
  for (std::uint32_t flow = 0; flow < connections_.size(); ++flow) send_what_waits(flow);
  return 0;
}

/// Gives out the whole answers a connection's buffer holds; false when there is no room in `out` for all of them.
bool KernelTcp::take_answers(std::uint32_t flow, std::span<Inbound> out, std::uint32_t& count) {
  Connection& connection = connections_[flow];
  while (connection.in_to - connection.in_from >= kHeaderBytes) {
    const Bytes there{connection.in.data() + connection.in_from, connection.in_to - connection.in_from};
    const std::size_t length = answer_bytes(there);
    if (length == 0 || length > kAnswerBytesMax) {
      trouble_ = "the server sent something that is no binary answer";
      return true;
    }
    if (length > there.size()) return true;
    if (count == out.size()) return false;
    out[count++] = {flow, there.first(length)};
    connection.in_from += length;
  }
  return true;
}

std::uint32_t KernelTcp::receive(std::span<Inbound> out) {
  std::uint32_t count = 0;
  const auto connections = static_cast<std::uint32_t>(connections_.size());
  const timespec none{};
  static_cast<void>(::ppoll(sockets_.data(), sockets_.size(), &none, nullptr));
  for (std::uint32_t looked = 0; looked < connections && count < out.size(); ++looked) {
    const std::uint32_t flow = next_;
    next_ = next_ + 1 == connections ? 0 : next_ + 1;
    Connection& connection = connections_[flow];
    // Buffers move here, before anything of this connection is given out again.
    std::memmove(connection.in.data(), connection.in.data() + connection.in_from,
                 connection.in_to - connection.in_from);
    connection.in_to -= connection.in_from;
    connection.in_from = 0;
    const std::size_t wanted = answer_bytes(Bytes{connection.in}.first(connection.in_to));
    if (wanted > connection.in.size() && wanted <= kAnswerBytesMax) connection.in.resize(wanted);
    if (sockets_[flow].revents != 0 && connection.in_to < connection.in.size()) {
      const ssize_t got = ::recv(sockets_[flow].fd, connection.in.data() + connection.in_to,
                                 connection.in.size() - connection.in_to, MSG_DONTWAIT);
      if (got > 0) connection.in_to += static_cast<std::size_t>(got);
      if (got == 0) trouble_ = "the server closed a connection";
    }
    if (!take_answers(flow, out, count)) break;
  }
  return count;
}

void KernelTcp::wait(std::uint64_t ns) {
  for (std::size_t flow = 0; flow < sockets_.size(); ++flow) {
    const bool waits = connections_[flow].out_from != connections_[flow].out_to;
    sockets_[flow].events = static_cast<short>(waits ? POLLIN | POLLOUT : POLLIN);
  }
  const timespec most{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  static_cast<void>(::ppoll(sockets_.data(), sockets_.size(), &most, nullptr));
  for (std::uint32_t flow = 0; flow < sockets_.size(); ++flow) {
    sockets_[flow].events = POLLIN;
    send_what_waits(flow);
  }
}

}  // namespace gannet::load
