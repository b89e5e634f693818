/// The wire as frames on endpoints: a small UDP/IPv4 client of our own, without a kernel. Flow k sends from source port
/// kFlowPortFirst + k on queue k % queues; one thread drives all queues.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nicpipe/host.h"
#include "storage/base/must.h"
#include "tools/load/client_host.h"
#include "tools/load/link.h"
#include "tools/load/options.h"

namespace gannet::load {

template <nicpipe::Endpoint E>
class PacketLink final : public Link {
 public:
  using Clock = MonotonicNs (*)();

  /// `endpoints` outlive the link; `mac` is theirs. `host_mtu` at least options.mtu.
  PacketLink(const Options& options, std::vector<E*> endpoints, nicpipe::Mac mac, Clock clock)
      : message_bytes_max_(options.message_bytes_max()),
        clock_(clock),
        endpoints_(std::move(endpoints)),
        host_(config_of(options, endpoints_[0]->capabilities(), mac)),
        sending_(endpoints_.size()),
        flows_(options.flows) {
    for (std::uint32_t flow = 0; flow < options.flows; ++flow) {
      flows_[flow].own = host_.config().address;
      flows_[flow].own_mac = mac;
      flows_[flow].peer = nicpipe::Ipv4{options.target};
      flows_[flow].own_port = static_cast<std::uint16_t>(kFlowPortFirst + flow);
    }
    for (std::vector<nicpipe::Packet>& queue : sending_) queue.reserve(2 * kOutboundMax);
    received_.reserve(kInboundMax);
  }
  ~PacketLink() override {
    give_back(received_);
    endpoints_[0]->free(std::span(spares_).subspan(spares_from_, spares_to_ - spares_from_));
  }

  /// Asks who has the target's address, again each 50 ms, for `patience_ns`. False: nobody answered.
  [[nodiscard]] bool resolve(std::uint64_t patience_ns) {
    std::array<Inbound, 8> unused;
    nicpipe::Mac peer;
    const auto receive_some = [this, &unused] { static_cast<void>(receive(unused)); };
    if (!find_mac(host_, *endpoints_[0], flows_[0].peer.v4(), clock_, patience_ns, receive_some, peer)) return false;
    for (nicpipe::UdpFlow& flow : flows_) flow.peer_mac = peer;
    return true;
  }

  std::byte* open(std::uint32_t flow, std::uint16_t port) override {
    if (outbound_ == kOutboundMax) return nullptr;
    if (spares_from_ == spares_to_) {
      spares_from_ = 0;
      spares_to_ = endpoints_[0]->alloc(spares_);
      if (spares_to_ == 0) return nullptr;
    }
    flow_ = flow;
    flows_[flow].peer_port = port;
    return spares_[spares_from_].data + nicpipe::udp_headers_bytes(flows_[flow]);
  }

  void close(std::uint32_t bytes) override {
    MUST_LE(bytes, message_bytes_max_);
    nicpipe::Packet& packet = spares_[spares_from_++];
    host_.write_udp(packet, flows_[flow_], static_cast<std::uint16_t>(bytes));
    sending_[flow_ % sending_.size()].push_back(packet);
    ++outbound_;
  }

  std::uint32_t flush() override {
    std::uint32_t refused = 0;
    for (std::size_t queue = 0; queue < sending_.size(); ++queue) {
      std::span<nicpipe::Packet> left = sending_[queue];
      for (int tries = 0; !left.empty() && tries < kSendTries; ++tries)
        left = left.subspan(endpoints_[queue]->tx_burst(left));
      refused += static_cast<std::uint32_t>(left.size());
      endpoints_[queue]->free(left);
      sending_[queue].clear();
    }
    outbound_ = 0;
    return refused;
  }

  std::uint32_t receive(std::span<Inbound> out) override {
    give_back(received_);
    std::uint32_t count = 0;
    for (std::size_t queue = 0; queue < endpoints_.size(); ++queue) {
      const std::size_t room = std::min<std::size_t>({kBurst, out.size() - count, kInboundMax - received_.size()});
      const std::uint32_t there = endpoints_[queue]->rx_burst(std::span(burst_).first(room), 0);
      if (there == 0) continue;
      const Now now{0, clock_()};
      for (std::uint32_t i = 0; i < there; ++i) count += take(queue, burst_[i], now, out[count]);
    }
    return count;
  }

  void wait(std::uint64_t /*ns: a polling wire looks again at once*/) override { __builtin_ia32_pause(); }

 private:
  static constexpr std::uint32_t kOutboundMax = 64, kBurst = 32;
  static constexpr int kSendTries = 20'000;  // A millisecond or so: the other end empties the queue, or is gone.

  static nicpipe::HostConfig config_of(const Options& options, const nicpipe::Capabilities& capabilities,
                                       nicpipe::Mac mac) {
    nicpipe::HostConfig config = client_host(options, capabilities, mac);
    config.udp_ports = options.flows;
    return config;
  }

  /// One received frame: an answer (true; `out` is filled), or something the host deals with.
  bool take(std::size_t queue, nicpipe::Packet& packet, Now now, Inbound& out) {
    nicpipe::UdpView view;
    nicpipe::Drop why;
    switch (host_.receive(packet, now, view, why)) {
      case nicpipe::Verdict::kUdp:
        out = {static_cast<std::uint32_t>(view.flow.own_port - kFlowPortFirst), view.payload};
        received_.push_back(packet);
        return true;
      case nicpipe::Verdict::kArpReply:
      case nicpipe::Verdict::kNdpReply:
      case nicpipe::Verdict::kEchoReply:
      case nicpipe::Verdict::kUnreachable:
        if (endpoints_[queue]->tx_burst({&packet, 1}) == 1) return false;
        break;
      case nicpipe::Verdict::kDrop:
      case nicpipe::Verdict::kArpLearned:
      case nicpipe::Verdict::kNdpLearned:
      case nicpipe::Verdict::kTcp:
      case nicpipe::Verdict::kTcpError:
        break;
    }
    endpoints_[queue]->free({&packet, 1});
    return false;
  }

  void give_back(std::vector<nicpipe::Packet>& packets) {
    if (!packets.empty()) endpoints_[0]->free(packets);
    packets.clear();
  }

  const std::uint32_t message_bytes_max_;
  const Clock clock_;
  std::vector<E*> endpoints_;
  nicpipe::Host host_;
  std::vector<std::vector<nicpipe::Packet>> sending_;  // By queue.
  std::vector<nicpipe::UdpFlow> flows_;
  std::vector<nicpipe::Packet> received_;  // Given out as Inbound, freed by the next receive().
  std::array<nicpipe::Packet, kBurst> burst_;
  std::array<nicpipe::Packet, kOutboundMax> spares_;
  std::size_t spares_from_ = 0, spares_to_ = 0;
  std::uint32_t flow_ = 0, outbound_ = 0;
};

}  // namespace gannet::load
