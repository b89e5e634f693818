// The other process of a vhost/virtio-user or memif pair: finds the echo by ARP, sends it UDP datagrams of every size
// on many flows and over all queues, compares every answer byte for byte. Prints one line; exit 1 on any difference or
// leak. Bounded in time.
#include <time.h>

#include <algorithm>
#include <deque>
#include <random>

#include "nicpipe/arp_table.h"
#include "nicpipe/host.h"
#include "tests/devices/support.h"

namespace gannet::testing {
namespace {

using nicpipe::Packet;
constexpr std::uint32_t kBurst = 32, kFlows = 64, kUnderWayMax = 128;
constexpr std::uint16_t kEchoPort = 11211, kFirstPort = 20'000;
constexpr MonotonicNs kPatienceNs = 2'000'000'000, kRunNs = 25'000'000'000;

MonotonicNs mono_ns() {
  timespec steady{};
  clock_gettime(CLOCK_MONOTONIC, &steady);
  return static_cast<MonotonicNs>(steady.tv_sec) * 1'000'000'000u + static_cast<MonotonicNs>(steady.tv_nsec);
}

/// One datagram that waits for its echo; its number is its payload's first four bytes (fewer when it is shorter).
struct Question {
  std::vector<std::byte> payload;
  std::uint16_t port = 0;
  MonotonicNs sent_ns = 0;
};

class Peer {
 public:
  Peer(const DeviceOptions& options, nicpipe::dpdk::Port& port)
      : options_(options), port_(port), host_(host_config()) {}

  /// Asks for the echo's address until it answers.
  bool find_echo() {
    for (MonotonicNs asked = 0; mono_ns() < deadline_ && echo_mac_.is_zero();) {
      (void)port_.link_up();
      if (mono_ns() - asked > 50'000'000) {
        asked = mono_ns();
        Packet packet;
        if (port_.endpoint(0).alloc({&packet, 1}) == 0) return false;
        if (six())
          nicpipe::write_neighbour_solicitation(packet, host_.config().mac, options_.address6, options_.peer6, 0);
        else
          nicpipe::write_arp_request(packet, host_.config().mac, options_.address, options_.peer, 0);
        if (port_.endpoint(0).tx_burst({&packet, 1}) == 0) port_.endpoint(0).free({&packet, 1});
      }
      receive();
      if (six())
        (void)host_.neighbours6().find(options_.peer6, mono_ns(), echo_mac_);
      else
        (void)host_.neighbours().find(options_.peer, mono_ns(), echo_mac_);
    }
    return !echo_mac_.is_zero();
  }

  void run() {
    std::uint32_t next = 0;
    while ((next < options_.count || !under_way_.empty()) && mono_ns() < deadline_) {
      for (std::uint16_t k = 0; k < port_.workers(); ++k) next = send_some(port_.endpoint(k), next);
      receive();
      forget_old();
    }
  }

  [[nodiscard]] bool report(std::uint64_t leaked) const {
    std::printf("echoed=%lu wrong=%lu lost=%lu stray=%lu queues=%u leaked=%lu\n", echoed_, wrong_,
                lost_ + under_way_.size(), stray_, port_.workers(), leaked);
    return echoed_ == options_.count && wrong_ == 0 && stray_ == 0 && leaked == 0;
  }

 private:
  [[nodiscard]] bool six() const { return !options_.peer6.is_zero(); }

  nicpipe::HostConfig host_config() const {
    nicpipe::HostConfig config;
    config.mac.bytes = port_.mac();
    config.address = options_.address;
    config.address6 = options_.address6;
    config.capabilities = port_.capabilities();
    config.mtu = config.capabilities.mtu;
    config.udp_port_first = kFirstPort;
    config.udp_ports = kFlows;
    return config;
  }

  std::uint32_t send_some(nicpipe::dpdk::Endpoint& endpoint, std::uint32_t next) {
    std::array<Packet, kBurst> packets;
    const auto room =
        static_cast<std::uint32_t>(std::min<std::size_t>(kUnderWayMax - under_way_.size(), options_.count - next));
    const std::uint32_t count = endpoint.alloc(std::span(packets).first(std::min(room, kBurst)));
    for (std::uint32_t i = 0; i < count; ++i) make_question(packets[i], next + i);
    const std::uint32_t sent = endpoint.tx_burst(std::span(packets).first(count));
    endpoint.free(std::span(packets).subspan(sent, count - sent));
    under_way_.resize(under_way_.size() - (count - sent));
    return next + sent;
  }

  void make_question(Packet& packet, std::uint32_t number) {
    const std::uint16_t largest = host_.udp_payload_max();
    const std::array<std::uint16_t, 8> edges = {4,      5, 18, 127, 128, 129, static_cast<std::uint16_t>(largest - 1),
                                                largest};
    const std::size_t bytes =
        number < edges.size() ? edges[number] : std::uniform_int_distribution<std::size_t>(4, largest)(random_);
    Question question;
    question.payload.resize(bytes);
    for (std::byte& byte : question.payload) byte = static_cast<std::byte>(random_());
    store_be(question.payload.data(), number);
    question.port = static_cast<std::uint16_t>(kFirstPort + number % kFlows);
    question.sent_ns = mono_ns();
    const nicpipe::UdpFlow flow{.peer = six() ? options_.peer6 : options_.peer,
                                .own = six() ? options_.address6 : options_.address,
                                .peer_port = kEchoPort,
                                .own_port = question.port,
                                .peer_mac = echo_mac_,
                                .own_mac = host_.config().mac};
    std::memcpy(packet.data + nicpipe::udp_headers_bytes(flow), question.payload.data(), bytes);
    host_.write_udp(packet, flow, static_cast<std::uint16_t>(bytes));
    under_way_.push_back(std::move(question));
  }

  void receive() {
    for (std::uint16_t k = 0; k < port_.workers(); ++k) {
      std::array<Packet, kBurst> packets;
      const MonotonicNs now = mono_ns();
      const std::uint32_t count = port_.endpoint(k).rx_burst(packets, now);
      for (std::uint32_t i = 0; i < count; ++i) {
        nicpipe::UdpView view;
        nicpipe::Drop why{};
        if (host_.receive(packets[i], {0, now}, view, why) == nicpipe::Verdict::kUdp) judge(view);
      }
      port_.endpoint(k).free(std::span(packets).first(count));
    }
  }

  void judge(const nicpipe::UdpView& view) {
    const auto found = std::find_if(under_way_.begin(), under_way_.end(), [&](const Question& question) {
      return view.payload.size() >= 4 && std::memcmp(question.payload.data(), view.payload.data(), 4) == 0;
    });
    if (found == under_way_.end()) {
      ++stray_;
      return;
    }
    const bool same =
        std::equal(found->payload.begin(), found->payload.end(), view.payload.begin(), view.payload.end());
    ++(same && view.flow.own_port == found->port && view.flow.peer_port == kEchoPort ? echoed_ : wrong_);
    under_way_.erase(found);
  }

  void forget_old() {
    while (!under_way_.empty() && mono_ns() - under_way_.front().sent_ns > kPatienceNs) {
      ++lost_;
      under_way_.pop_front();
    }
  }

  const DeviceOptions& options_;
  nicpipe::dpdk::Port& port_;
  nicpipe::Host host_;
  nicpipe::Mac echo_mac_;
  const MonotonicNs deadline_ = mono_ns() + kRunNs;
  std::deque<Question> under_way_;
  std::mt19937_64 random_{4711};
  std::uint64_t echoed_ = 0, wrong_ = 0, lost_ = 0, stray_ = 0;
};

}  // namespace
}  // namespace gannet::testing

int main(int count, char** words) {
  using namespace gannet;
  testing::DeviceOptions options;
  if (!testing::parse_options(count, words, options)) return 2;
  std::unique_ptr<nicpipe::dpdk::Eal> eal;
  std::unique_ptr<nicpipe::dpdk::Port> port;
  if (!testing::open(options, eal, port)) return 2;
  testing::Peer peer(options, *port);
  if (!peer.find_echo()) {
    std::fprintf(stderr, "no answer to ARP or neighbour discovery over %s\n", port->describe().c_str());
    return 1;
  }
  peer.run();
  const bool good = peer.report(port->close());
  return good ? 0 : 1;
}
