#include "tools/load/kernel_udp.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/base/must.h"

namespace gannet::load {
namespace {

constexpr int kSocketBufferBytes = 4 << 20;
constexpr int kSendPatienceMs = 20;  // A full socket buffer empties within this, or the messages are dropped.

}  // namespace

KernelUdp::KernelUdp(const Options& options)
    : target_(options.target),
      message_bytes_max_(options.message_bytes_max()),
      datagram_bytes_max_(std::max<std::uint32_t>(2048, options.mtu)),
      out_bytes_(std::size_t{kOutboundMax} * message_bytes_max_),
      in_bytes_(std::size_t{kInboundMax} * datagram_bytes_max_),
      outbound_(kOutboundMax),
      headers_(std::max(kOutboundMax, kInboundMax)),
      in_vectors_(kInboundMax) {
  for (std::uint32_t i = 0; i < kOutboundMax; ++i)
    outbound_[i].bytes.iov_base = out_bytes_.data() + std::size_t{i} * message_bytes_max_;
  for (std::uint32_t i = 0; i < kInboundMax; ++i) {
    in_vectors_[i] = {in_bytes_.data() + std::size_t{i} * datagram_bytes_max_, datagram_bytes_max_};
  }
}

KernelUdp::~KernelUdp() {
  for (const pollfd& socket : sockets_) ::close(socket.fd);
}

sockaddr_in KernelUdp::address_of(std::uint16_t port) const {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(target_);
  address.sin_port = htons(port);
  return address;
}

std::unique_ptr<KernelUdp> KernelUdp::make(const Options& options, std::string& wrong) {
  std::unique_ptr<KernelUdp> link(new KernelUdp(options));
  for (std::uint32_t flow = 0; flow < options.flows; ++flow) {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      wrong = fmt::format("socket {} of {}: {}; raise `ulimit -n` or lower --connections", flow + 1, options.flows,
                          std::strerror(errno));
      return nullptr;
    }
    link->sockets_.push_back({fd, POLLIN, 0});
    for (const int which :
         {SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_RCVBUF, SO_SNDBUF}) {  // The first two need root; the others are capped.
      if ((which == SO_RCVBUF || which == SO_SNDBUF) && ::geteuid() == 0) continue;
      static_cast<void>(::setsockopt(fd, SOL_SOCKET, which, &kSocketBufferBytes, sizeof kSocketBufferBytes));
    }
    // Connected where the destination never changes: quicker, and only the target can answer.
    if (options.route == Route::kOwner) continue;
    const auto port = options.route == Route::kBase
                          ? options.port
                          : static_cast<std::uint16_t>(options.port + 1 + flow % options.workers);
    const sockaddr_in to = link->address_of(port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      wrong = fmt::format("no way to the target: {}; is its address right, and are we in its network namespace?",
                          std::strerror(errno));
      return nullptr;
    }
  }
  return link;
}

std::byte* KernelUdp::open(std::uint32_t flow, std::uint16_t port) {
  if (outbound_count_ == kOutboundMax) return nullptr;
  Outbound& message = outbound_[outbound_count_];
  message.flow = flow;
  message.to = address_of(port);
  return static_cast<std::byte*>(message.bytes.iov_base);
}

void KernelUdp::close(std::uint32_t bytes) {
  MUST_LE(bytes, message_bytes_max_);
  outbound_[outbound_count_++].bytes.iov_len = bytes;
}

std::uint32_t KernelUdp::flush() {
  std::uint32_t refused = 0;
  for (std::uint32_t from = 0; from < outbound_count_;) {
    const std::uint32_t flow = outbound_[from].flow;
    std::uint32_t count = 0;
    for (; from + count < outbound_count_ && outbound_[from + count].flow == flow; ++count) {
      Outbound& message = outbound_[from + count];
      headers_[count].msg_hdr = {};
      headers_[count].msg_hdr.msg_name = &message.to;
      headers_[count].msg_hdr.msg_namelen = sizeof message.to;
      headers_[count].msg_hdr.msg_iov = &message.bytes;
      headers_[count].msg_hdr.msg_iovlen = 1;
    }
    std::uint32_t done = 0;
    int errors = 0;
    while (done < count && errors < 4) {
      const int sent = ::sendmmsg(sockets_[flow].fd, headers_.data() + done, count - done, MSG_DONTWAIT);
      if (sent > 0) {
        done += static_cast<std::uint32_t>(sent);
        continue;
      }
      ++errors;
      // ECONNREFUSED reports an earlier datagram, not this one. A full buffer is given a moment.
      if (errno == EAGAIN || errno == ENOBUFS) {
        pollfd one{sockets_[flow].fd, POLLOUT, 0};
        static_cast<void>(::poll(&one, 1, kSendPatienceMs));
      }
    }
    refused += count - done;
    from += count;
  }
  outbound_count_ = 0;
  return refused;
}

std::uint32_t KernelUdp::receive(std::span<Inbound> out) {
  const timespec none{};
  if (::ppoll(sockets_.data(), sockets_.size(), &none, nullptr) <= 0) return 0;
  const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), kInboundMax));
  const auto sockets = static_cast<std::uint32_t>(sockets_.size());
  std::uint32_t count = 0;
  for (std::uint32_t looked = 0; looked < sockets && count < room; ++looked) {
    const std::uint32_t flow = next_socket_;
    next_socket_ = next_socket_ + 1 == sockets ? 0 : next_socket_ + 1;
    if (sockets_[flow].revents == 0) continue;
    for (std::uint32_t i = count; i < room; ++i) {
      headers_[i].msg_hdr = {};
      headers_[i].msg_hdr.msg_iov = &in_vectors_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = ::recvmmsg(sockets_[flow].fd, headers_.data() + count, room - count, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < got; ++i, ++count) {
      out[count] = {flow, {static_cast<const std::byte*>(in_vectors_[count].iov_base), headers_[count].msg_len}};
    }
  }
  return count;
}

void KernelUdp::wait(std::uint64_t ns) {
  const timespec most{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  static_cast<void>(::ppoll(sockets_.data(), sockets_.size(), &most, nullptr));
}

}  // namespace gannet::load
