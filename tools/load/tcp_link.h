/// The wire as frames on an endpoint, with TCP of our own: Gannet's engine at the client's end, without a kernel. One
/// connection a flow; one thread drives it.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nicpipe/host.h"
#include "nicpipe/tcp/engine.h"
#include "storage/base/must.h"
#include "tools/load/client_host.h"
#include "tools/load/link.h"
#include "tools/load/options.h"
#include "tools/load/wire.h"

namespace gannet::load {

template <nicpipe::Endpoint E>
class TcpLink final : public Link {
 public:
  using Clock = MonotonicNs (*)();

  /// `endpoints` outlive the link; all of them are received from, the first one sends.
  TcpLink(const Options& options, std::vector<E*> endpoints, nicpipe::Mac mac, Clock clock)
      : options_(options),
        clock_(clock),
        endpoints_(std::move(endpoints)),
        host_(config_of(options, endpoints_[0]->capabilities(), mac)),
        sink_(kSendPackets, kSparePackets, kFreePackets),
        engine_(engine_config(options, endpoints_[0]->capabilities(), mac)),
        message_(options.message_bytes_max()),
        flows_(options.flows) {
    for (Flow& flow : flows_) flow.in.resize(kInBytes);
    readable_.reserve(options.flows);
  }
  ~TcpLink() override {
    for (const Flow& flow : flows_) engine_.abort(flow.id, now(), sink_);  // The appliance shall not wait for us.
    send_frames();
    engine_.end_all(sink_);
    while (sink_.room() > 0) sink_.free(sink_.take_packet());
    endpoints_[0]->free(sink_.to_send());
    endpoints_[0]->free(sink_.to_free());
  }

  /// Finds the target by ARP and opens every connection. Empty, or what failed.
  [[nodiscard]] std::string connect(std::uint64_t patience_ns) {
    const MonotonicNs start = clock_();
    nicpipe::Mac peer;
    if (!find_mac(
            host_, *endpoints_[0], {options_.target}, clock_, patience_ns, [this] { receive_frames(); }, peer))
      return "nobody answers ARP for the target: is the appliance up?";
    const nicpipe::IpAddress target{nicpipe::Ipv4{options_.target}};
    for (std::uint32_t flow = 0; flow < flows_.size(); ++flow) {
      receive_frames();
      flows_[flow].id = engine_.connect(0, static_cast<std::uint16_t>(kFlowPortFirst + flow), target, options_.port,
                                        peer, now(), sink_);
      engine_.set_user(flows_[flow].id, flow);
      send_frames();
    }
    while (open_ < flows_.size()) {
      receive_frames();
      take_events();
      send_frames();
      if (trouble_[0] != '\0' || clock_() - start > patience_ns)
        return "the appliance does not take the connections: is listen.tcp set, and tcp_connections_max high enough?";
    }
    return {};
  }

  std::byte* open(std::uint32_t flow, std::uint16_t /*port: a connection has one*/) override {
    flow_ = flow;
    return flows_[flow].out.size() > kBacklogBytesMax ? nullptr : message_.data();
  }
  void close(std::uint32_t bytes) override {
    MUST_LE(bytes, message_.size());
    Flow& flow = flows_[flow_];
    std::uint32_t taken = 0;
    if (flow.out.empty()) taken = engine_.write(flow.id, Bytes{message_}.first(bytes));
    if (taken < bytes) flow.out.insert(flow.out.end(), message_.begin() + taken, message_.begin() + bytes);
  }
  std::uint32_t flush() override {
    engine_.flush(now(), sink_);
    send_frames();
    return 0;
  }

  std::uint32_t receive(std::span<Inbound> out) override {
    receive_frames();
    engine_.tick(now(), sink_);
    take_events();
    std::uint32_t count = 0;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < readable_.size(); ++i) {
      const std::uint32_t flow = readable_[i];
      fill(flows_[flow]);
      const bool all = count < out.size() && take_answers(flow, out, count);
      flows_[flow].queued = !all;
      if (!all) readable_[kept++] = flow;
    }
    readable_.resize(kept);
    // Acknowledgements and windows; requests ride along when the caller writes some first.
    if (count == 0) static_cast<void>(flush());
    return count;
  }
  void wait(std::uint64_t /*ns: a polling wire looks again at once*/) override { __builtin_ia32_pause(); }
  [[nodiscard]] const char* trouble() const override { return trouble_; }

 private:
  static constexpr std::uint32_t kSendPackets = 1024, kSparePackets = 512, kFreePackets = 16384, kBurst = 64;
  static constexpr std::size_t kInBytes = 64 << 10, kBacklogBytesMax = 1 << 20, kAnswerBytesMax = 1 << 30;
  static constexpr int kSendTries = 20'000;  // A millisecond or so: the other end empties the queue, or is gone.

  struct Flow {
    nicpipe::tcp::ConnectionId id;
    bool queued = false;         ///< In readable_.
    std::vector<std::byte> out;  ///< What the engine had no room for.
    std::vector<std::byte> in;
    std::size_t in_from = 0, in_to = 0;  ///< Not given out yet.
  };

  static nicpipe::HostConfig config_of(const Options& options, const nicpipe::Capabilities& capabilities,
                                       nicpipe::Mac mac) {
    nicpipe::HostConfig config = client_host(options, capabilities, mac);
    config.tcp = true;
    return config;
  }
  static nicpipe::tcp::Config engine_config(const Options& options, const nicpipe::Capabilities& capabilities,
                                            nicpipe::Mac mac) {
    nicpipe::tcp::Config config;
    config.interfaces[0].mac = mac;
    config.interfaces[0].address = nicpipe::Ipv4{options.source};
    config.interfaces[0].mtu = options.mtu;
    config.interfaces[0].capabilities = capabilities;
    config.connections_max = options.flows + 8;
    config.isn_key = {options.seed, 0x9e3779b97f4a7c15};
    config.cookie_key = {0x2545f4914f6cdd1d, options.seed};
    return config;
  }

  [[nodiscard]] Now now() const { return {0, clock_()}; }

  void receive_frames() {
    std::array<nicpipe::Packet, kBurst> burst;
    while (sink_.spares_wanted() > 0) {
      const std::uint32_t count = endpoints_[0]->alloc(std::span(burst).first(std::min(kBurst, sink_.spares_wanted())));
      for (std::uint32_t i = 0; i < count; ++i) sink_.put_spare(burst[i]);
      if (count == 0) break;
    }
    for (E* endpoint : endpoints_) {
      const std::uint32_t count = endpoint->rx_burst(burst, 0);
      if (count == 0) continue;
      const Now at = now();
      for (std::uint32_t i = 0; i < count; ++i) {
        nicpipe::Drop why;
        burst[i].port = 0;
        switch (host_.receive(burst[i], at, why)) {
          case nicpipe::Verdict::kTcp:
            engine_.receive(burst[i], at, sink_);
            break;
          case nicpipe::Verdict::kArpReply:
          case nicpipe::Verdict::kEchoReply:
            if (endpoints_[0]->tx_burst({&burst[i], 1}) == 1) break;
            [[fallthrough]];
          default:
            endpoints_[0]->free({&burst[i], 1});
        }
      }
    }
    give_back();
  }

  void give_back() {
    if (sink_.to_free().empty()) return;
    endpoints_[0]->free(sink_.to_free());
    sink_.freed();
  }

  void send_frames() {
    for (int tries = 0; !sink_.to_send().empty() && tries < kSendTries; ++tries)
      sink_.sent(endpoints_[0]->tx_burst(sink_.to_send()));
    give_back();
  }

  void take_events() {
    std::array<nicpipe::tcp::Event, 64> events;
    while (const std::uint32_t count = engine_.take_events(events)) {
      for (const nicpipe::tcp::Event& event : std::span(events).first(count)) {
        const auto index = static_cast<std::uint32_t>(event.user);
        Flow& flow = flows_[index];
        if ((event.what & nicpipe::tcp::kOpened) != 0) ++open_;
        if ((event.what & (nicpipe::tcp::kClosed | nicpipe::tcp::kPeerClosed)) != 0)
          trouble_ = "the server closed a connection";
        if (!flow.out.empty())
          flow.out.erase(flow.out.begin(), flow.out.begin() + engine_.write(flow.id, Bytes{flow.out}));
        if ((event.what & nicpipe::tcp::kReadable) == 0 || flow.queued) continue;
        flow.queued = true;
        readable_.push_back(index);
      }
      if (count < events.size()) break;
    }
  }

  /// Moves what has come behind what is left of before.
  void fill(Flow& flow) {
    std::copy(flow.in.begin() + static_cast<std::ptrdiff_t>(flow.in_from),
              flow.in.begin() + static_cast<std::ptrdiff_t>(flow.in_to), flow.in.begin());
    flow.in_to -= flow.in_from;
    flow.in_from = 0;
    const std::size_t wanted = answer_bytes(Bytes{flow.in}.first(flow.in_to));
    if (wanted > flow.in.size() && wanted <= kAnswerBytesMax) flow.in.resize(wanted);
    for (;;) {
      const Bytes piece = engine_.readable(flow.id);
      const std::size_t bytes = std::min(piece.size(), flow.in.size() - flow.in_to);
      if (bytes == 0) return;
      std::copy_n(piece.begin(), bytes, flow.in.begin() + static_cast<std::ptrdiff_t>(flow.in_to));
      flow.in_to += bytes;
      engine_.consume(flow.id, static_cast<std::uint32_t>(bytes), sink_);
    }
  }

  /// False: more of this flow may be there already.
  bool take_answers(std::uint32_t index, std::span<Inbound> out, std::uint32_t& count) {
    Flow& flow = flows_[index];
    while (flow.in_to - flow.in_from >= kHeaderBytes) {
      const Bytes there = Bytes{flow.in}.subspan(flow.in_from, flow.in_to - flow.in_from);
      const std::size_t length = answer_bytes(there);
      if (length == 0 || length > kAnswerBytesMax) {
        trouble_ = "the server sent something that is no binary answer";
        return true;
      }
      if (length > there.size()) break;
      if (count == out.size()) return false;
      out[count++] = {index, there.first(length)};
      flow.in_from += length;
    }
    return engine_.readable_bytes(flow.id) == 0;
  }

  const Options& options_;
  const Clock clock_;
  std::vector<E*> endpoints_;
  nicpipe::Host host_;
  nicpipe::tcp::Sink sink_;
  nicpipe::tcp::Engine engine_;
  std::vector<std::byte> message_;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> readable_;
  std::uint32_t flow_ = 0, open_ = 0;
  const char* trouble_ = "";
};

}  // namespace gannet::load
