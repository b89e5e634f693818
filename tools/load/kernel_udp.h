/// The wire through the kernel's UDP sockets, one a flow.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/load/link.h"
#include "tools/load/options.h"

namespace gannet::load {

class KernelUdp final : public Link {
 public:
  /// Opens `options.flows` sockets. Gives nullptr and one sentence in `wrong` when the machine refuses.
  [[nodiscard]] static std::unique_ptr<KernelUdp> make(const Options& options, std::string& wrong);
  ~KernelUdp() override;

  std::byte* open(std::uint32_t flow, std::uint16_t port) override;
  void close(std::uint32_t bytes) override;
  std::uint32_t flush() override;
  std::uint32_t receive(std::span<Inbound> out) override;
  void wait(std::uint64_t ns) override;

 private:
  explicit KernelUdp(const Options& options);
  [[nodiscard]] sockaddr_in address_of(std::uint16_t port) const;

  static constexpr std::uint32_t kOutboundMax = 64;

  struct Outbound {
    std::uint32_t flow = 0;
    sockaddr_in to{};
    iovec bytes{};
  };

  const std::uint32_t target_;
  const std::uint32_t message_bytes_max_, datagram_bytes_max_;
  std::vector<pollfd> sockets_;
  std::uint32_t next_socket_ = 0;  // Where receive() goes on, so that no flow starves.
  std::vector<std::byte> out_bytes_, in_bytes_;
  std::vector<Outbound> outbound_;
  std::uint32_t outbound_count_ = 0;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> in_vectors_;
};

}  // namespace gannet::load
