#include "tools/load/dpdk_link.h"

#include <fmt/format.h>
#include <time.h>

#include <optional>

#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"
#include "tools/load/packet_link.h"
#include "tools/load/tcp_link.h"

namespace gannet::load {
namespace {

using nicpipe::dpdk::DeviceKind;

constexpr std::uint64_t kArpPatienceNs = 10'000'000'000;
constexpr std::uint32_t kDpdkMemoryMib = 128;
constexpr std::uint16_t kVirtioSlots = 256;

MonotonicNs monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<MonotonicNs>(now.tv_sec) * 1'000'000'000 + static_cast<MonotonicNs>(now.tv_nsec);
}

/// "virtio-user:PATH", "memif:PATH", "tap:NAME", "af_packet:IF", "af_xdp:IF", or a PCI address.
bool device_of(const std::string& text, DeviceKind& kind, std::string& device) {
  const std::pair<const char*, DeviceKind> kinds[] = {
      {"virtio-user:", DeviceKind::kVirtioUser}, {"memif:", DeviceKind::kMemifClient}, {"tap:", DeviceKind::kTap},
      {"af_packet:", DeviceKind::kAfPacket},     {"af_xdp:", DeviceKind::kAfXdp},      {"pci:", DeviceKind::kPci}};
  for (const auto& [prefix, is] : kinds) {
    if (!text.starts_with(prefix)) continue;
    kind = is;
    device = text.substr(std::string(prefix).size());
    return !device.empty();
  }
  return false;
}

/// Owns what the frames go through; members end in the right order: link, port, registration, environment.
class DpdkLink final : public Link {
 public:
  static std::unique_ptr<DpdkLink> make(const Options& options, std::string& wrong) {
    nicpipe::dpdk::PortOptions port;
    if (!device_of(options.dpdk, port.kind, port.device)) {
      wrong =
          fmt::format("--dpdk {}: write virtio-user:PATH, memif:PATH, tap:NAME, af_packet:IF, af_xdp:IF or pci:ADDRESS",
                      options.dpdk);
      return nullptr;
    }
    port.workers = static_cast<std::uint16_t>(options.queues);
    port.mtu = options.mtu;
    // Each slot is a buffer that both cores touch in turn: few enough of them stay in the cores' caches.
    if (port.kind == DeviceKind::kVirtioUser) port.rx_slots = port.tx_slots = kVirtioSlots;
    nicpipe::dpdk::EalOptions eal;
    eal.memory_mib = kDpdkMemoryMib;
    if (port.kind == DeviceKind::kPci) eal.pci_allow.push_back(port.device);
    std::unique_ptr<DpdkLink> made(new DpdkLink);
    nicpipe::dpdk::Outcome outcome = nicpipe::dpdk::Eal::start(eal, made->eal_);
    if (outcome.ok()) {
      made->registration_.emplace();
      outcome = nicpipe::dpdk::Port::open(*made->eal_, port, made->port_);
    }
    if (!outcome.ok()) {
      wrong = outcome.error;
      return nullptr;
    }
    return made->connect(options, wrong) ? std::move(made) : nullptr;
  }

  std::byte* open(std::uint32_t flow, std::uint16_t port) override { return link_->open(flow, port); }
  [[nodiscard]] const char* trouble() const override { return link_->trouble(); }
  void close(std::uint32_t bytes) override { link_->close(bytes); }
  std::uint32_t flush() override { return link_->flush(); }
  std::uint32_t receive(std::span<Inbound> out) override { return link_->receive(out); }
  void wait(std::uint64_t ns) override { link_->wait(ns); }

 private:
  DpdkLink() = default;

  bool connect(const Options& options, std::string& wrong) {
    if (port_->rx_queues() < options.queues) {
      wrong = fmt::format("{} has {} receive queues; lower --queues", options.dpdk, port_->rx_queues());
      return false;
    }
    // A socket's other end may still be starting; frames sent before the link is up would be dropped.
    for (const MonotonicNs start = monotonic_ns(); !port_->link_up() && monotonic_ns() - start < kArpPatienceNs;) {
      const timespec moment{0, 10'000'000};
      nanosleep(&moment, nullptr);
    }
    std::vector<nicpipe::dpdk::Endpoint*> endpoints;
    for (std::uint16_t queue = 0; queue < port_->workers(); ++queue) endpoints.push_back(&port_->endpoint(queue));
    if (options.protocol == Protocol::kTcp) {
      auto tcp = std::make_unique<TcpLink<nicpipe::dpdk::Endpoint>>(options, std::move(endpoints),
                                                                    nicpipe::Mac{port_->mac()}, &monotonic_ns);
      wrong = tcp->connect(kArpPatienceNs);
      link_ = std::move(tcp);
      return wrong.empty();
    }
    auto udp = std::make_unique<PacketLink<nicpipe::dpdk::Endpoint>>(options, std::move(endpoints),
                                                                     nicpipe::Mac{port_->mac()}, &monotonic_ns);
    const bool found = udp->resolve(kArpPatienceNs);
    link_ = std::move(udp);
    if (found) return true;
    wrong = fmt::format(
        "nobody on {} answers ARP for the target: is the appliance up, with that address, at the other end?",
        options.dpdk);
    return false;
  }

  std::unique_ptr<nicpipe::dpdk::Eal> eal_;
  std::optional<nicpipe::dpdk::WorkerRegistration> registration_;
  std::unique_ptr<nicpipe::dpdk::Port> port_;
  std::unique_ptr<Link> link_;
};

}  // namespace

std::unique_ptr<Link> make_dpdk_link(const Options& options, std::string& wrong) {
  return DpdkLink::make(options, wrong);
}

}  // namespace gannet::load
