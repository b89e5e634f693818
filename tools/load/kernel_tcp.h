/// The wire through the kernel's TCP sockets, one a flow, pipelined. For memcached and its like.
#pragma once

#include <poll.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/load/link.h"
#include "tools/load/options.h"

namespace gannet::load {

class KernelTcp final : public Link {
 public:
  /// Connects `options.flows` sockets. Gives nullptr and one sentence in `wrong` when that fails.
  [[nodiscard]] static std::unique_ptr<KernelTcp> make(const Options& options, std::string& wrong);
  ~KernelTcp() override;

  std::byte* open(std::uint32_t flow, std::uint16_t port) override;
  void close(std::uint32_t bytes) override;
  std::uint32_t flush() override;
  std::uint32_t receive(std::span<Inbound> out) override;
  void wait(std::uint64_t ns) override;
  [[nodiscard]] const char* trouble() const override { return trouble_; }

 private:
  struct Connection {
    std::vector<std::byte> out, in;
    std::size_t out_from = 0, out_to = 0;  // Not sent yet.
    std::size_t in_from = 0, in_to = 0;    // Not given out yet.
  };

  explicit KernelTcp(const Options& options) : message_bytes_max_(options.message_bytes_max()) {}
  void send_what_waits(std::uint32_t flow);
  bool take_answers(std::uint32_t flow, std::span<Inbound> out, std::uint32_t& count);

  const std::uint32_t message_bytes_max_;
  std::vector<pollfd> sockets_;
  std::vector<Connection> connections_;
  std::uint32_t opened_ = 0, next_ = 0;
  const char* trouble_ = "";
};

}  // namespace gannet::load
