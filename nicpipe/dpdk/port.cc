#include "nicpipe/dpdk/port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include <algorithm>
#include <utility>

#include "nicpipe/dpdk/log.h"
#include "nicpipe/dpdk/port_inside.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::dpdk {

Port::Port(std::unique_ptr<Inside> inside) : in_(std::move(inside)) {}
Port::~Port() {
  (void)close();
}

Outcome Port::open(const Eal& eal, const PortOptions& options, std::unique_ptr<Port>& out) {
  Outcome outcome = check_before_open(eal, options);
  if (!outcome.ok()) return outcome;
  // From here on the destructor undoes whatever was reached.
  std::unique_ptr<Port> port(new Port(std::make_unique<Inside>(eal, options)));
  Inside& in = *port->in_;
  outcome = in.make_devices();
  if (!outcome.ok()) return outcome;
  in.read_abilities();
  outcome = in.make_pools();
  if (!outcome.ok()) return outcome;
  outcome = in.start_devices();
  if (!outcome.ok()) return outcome;
  in.make_endpoints();
  if (in.capabilities.mtu < options.mtu) {
    in.warnings.push_back(in.device + ": MTU " + std::to_string(in.capabilities.mtu) + " instead of " +
                          std::to_string(options.mtu) + ": it is all the device allows");
  }
  rte_ether_addr address{};
  (void)rte_eth_macaddr_get(in.ethdevs.front(), &address);
  std::copy(std::begin(address.addr_bytes), std::end(address.addr_bytes), in.mac.begin());
  if (rte_is_zero_ether_addr(&address)) in.mac = {0x02, 'g', 'n', 't', 0, options.index};  // A ring has none.
  // The kernel's end of a tap reports this very address as its own; two neighbours need two.
  if (options.kind == DeviceKind::kTap) in.mac[5] ^= 1;
  (void)port->link_up();
  out = std::move(port);
  return {};
}

Endpoint& Port::endpoint(std::uint16_t worker) {
  MUST_LT(worker, in_->options.workers);
  return in_->endpoints[worker];
}

std::uint16_t Port::workers() const noexcept {
  return in_->options.workers;
}
std::uint16_t Port::rx_queues() const noexcept {
  return in_->queues;
}
std::uint16_t Port::tx_queues() const noexcept {
  return in_->queues;
}
const Capabilities& Port::capabilities() const noexcept {
  return in_->capabilities;
}
std::array<std::uint8_t, 6> Port::mac() const noexcept {
  return in_->mac;
}
int Port::numa_node() const noexcept {
  return in_->numa_node;
}
const std::string& Port::device() const noexcept {
  return in_->device;
}
const std::vector<std::string>& Port::warnings() const noexcept {
  return in_->warnings;
}

std::string Port::describe() const {
  const Capabilities& can = in_->capabilities;
  std::string text = std::string(to_text(in_->options.kind)) + " " + in_->device + " (" + in_->driver + "): ";
  text += std::to_string(in_->queues) + (in_->queues == 1 ? " queue for " : " queues for ");
  text += std::to_string(in_->options.workers) + (in_->options.workers == 1 ? " worker" : " workers");
  if (dispatch_in_software()) text += ", frames spread in software";
  text += ", MTU " + std::to_string(can.mtu);
  text += can.rx_checksum ? ", device checks checksums" : ", checksums checked in software";
  text += can.tx_udp_checksum ? ", device writes UDP checksums" : ", UDP checksums written in software";
  text += can.multi_segment ? ", large values leave without a copy" : ", large values are copied";
  if (in_->steered) text += ", UDP ports steered to workers by the device";
  return text;
}

bool Port::link_up() noexcept {
  bool up = true;
  for (const std::uint16_t ethdev : in_->ethdevs) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(ethdev, &link) < 0 || link.link_status != RTE_ETH_LINK_UP) up = false;
  }
  in_->link_up.store(up, std::memory_order_relaxed);
  return up;
}

DeviceCounters Port::counters() const noexcept {
  DeviceCounters sum;
  for (const std::uint16_t ethdev : in_->ethdevs) {
    rte_eth_stats stats{};
    if (rte_eth_stats_get(ethdev, &stats) != 0) continue;
    sum.rx_frames += stats.ipackets;
    sum.tx_frames += stats.opackets;
    sum.rx_missed += stats.imissed;
    sum.rx_errors += stats.ierrors;
    sum.rx_no_buffer += stats.rx_nombuf;
    sum.tx_errors += stats.oerrors;
  }
  return sum;
}

bool Port::Inside::steer(rte_flow_item_type ip, std::uint16_t first_port) {
  for (std::uint16_t worker = 0; worker < options.workers; ++worker) {
    rte_flow_attr attributes{};
    attributes.ingress = 1;
    rte_flow_item_udp wanted{}, mask{};
    wanted.hdr.dst_port = rte_cpu_to_be_16(static_cast<std::uint16_t>(first_port + worker));
    mask.hdr.dst_port = 0xffff;
    const rte_flow_item pattern[] = {{RTE_FLOW_ITEM_TYPE_ETH, nullptr, nullptr, nullptr},
                                     {ip, nullptr, nullptr, nullptr},
                                     {RTE_FLOW_ITEM_TYPE_UDP, &wanted, nullptr, &mask},
                                     {RTE_FLOW_ITEM_TYPE_END, nullptr, nullptr, nullptr}};
    const rte_flow_action_queue queue{worker};
    const rte_flow_action actions[] = {{RTE_FLOW_ACTION_TYPE_QUEUE, &queue}, {RTE_FLOW_ACTION_TYPE_END, nullptr}};
    rte_flow_error error{};
    rte_flow* rule = rte_flow_create(ethdevs.front(), &attributes, pattern, actions, &error);
    if (rule == nullptr) return false;
    rules.push_back(rule);
  }
  return true;
}

bool Port::steer_udp(std::uint16_t first_port, bool ipv6) {
  Inside& in = *in_;
  // Virtual devices either cannot or, like tap, would do it by traffic-control rules in the kernel: no gain.
  if (in.options.kind != DeviceKind::kPci || in.queues < in.options.workers || in.steered) return in.steered;
  in.steered =
      in.steer(RTE_FLOW_ITEM_TYPE_IPV4, first_port) && (!ipv6 || in.steer(RTE_FLOW_ITEM_TYPE_IPV6, first_port));
  if (!in.steered) {
    rte_flow_error error{};
    for (rte_flow* made : in.rules) (void)rte_flow_destroy(in.ethdevs.front(), made, &error);
    in.rules.clear();
  }
  return in.steered;
}

bool Port::accept_groups(std::span<const Mac> groups) {
  std::vector<rte_ether_addr> list(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) std::ranges::copy(groups[i].bytes, list[i].addr_bytes);
  return std::ranges::all_of(in_->ethdevs, [&list](std::uint16_t ethdev) {
    return rte_eth_dev_set_mc_addr_list(ethdev, list.data(), static_cast<std::uint32_t>(list.size())) == 0 ||
           rte_eth_allmulticast_enable(ethdev) == 0;
  });
}

Outcome Port::register_memory(std::byte* at, std::size_t bytes, std::size_t page_bytes) {
  Inside& in = *in_;
  if (in.traits().tail_is_read_by_cpu || !in.traits().tail_may_be_given || !in.options.allow_offload) return {};
  rte_eth_dev_info info{};
  (void)rte_eth_dev_info_get(in.ethdevs.front(), &info);
  if ((info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0) return {};
  if (!in.eal.addresses_are_virtual()) {
    return {Status::kDeviceRefused,
            in.device + ": without an IOMMU the item memory cannot be shown to the device: large values are copied"};
  }
  std::vector<rte_iova_t> pages;
  for (std::size_t offset = 0; offset < bytes; offset += page_bytes)
    pages.push_back(reinterpret_cast<rte_iova_t>(at + offset));
  const int known = rte_extmem_register(at, bytes, pages.data(), static_cast<unsigned>(pages.size()), page_bytes);
  if (known != 0 && rte_errno != EEXIST) return in.refused("learn of the item memory", rte_errno);
  if (rte_dev_dma_map(info.device, at, reinterpret_cast<rte_iova_t>(at), bytes) != 0 && rte_errno != ENOTSUP) {
    return in.refused("map the item memory; large values are copied", rte_errno);
  }
  in.lent.push_back({at, bytes});
  in.capabilities.multi_segment = true;
  for (std::uint16_t worker = 0; worker < in.queues; ++worker) in.endpoints[worker].capabilities_.multi_segment = true;
  return {};
}

void Port::Inside::remove_device(std::uint16_t ethdev) {
  rte_eth_dev_info info{};
  (void)rte_eth_dev_info_get(ethdev, &info);
  (void)rte_eth_dev_callback_unregister(ethdev, RTE_ETH_EVENT_INTR_LSC, &on_event, this);
  (void)rte_eth_dev_callback_unregister(ethdev, RTE_ETH_EVENT_QUEUE_STATE, &on_event, this);
  (void)rte_eth_dev_stop(ethdev);
  for (const LentMemory& memory : lent) {
    (void)rte_dev_dma_unmap(info.device, memory.at, reinterpret_cast<rte_iova_t>(memory.at), memory.bytes);
    (void)rte_extmem_unregister(memory.at, memory.bytes);
  }
  lent.clear();
  (void)rte_eth_dev_close(ethdev);
  if (info.device != nullptr) (void)rte_dev_remove(info.device);
}

std::uint64_t Port::Inside::close() {
  if (std::exchange(closed, true)) return 0;
  std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
  for (const auto& forward : forwards) {
    while (const std::uint32_t count = forward->pop(mbufs)) rte_pktmbuf_free_bulk(mbufs.data(), count);
  }
  for (const std::uint16_t ethdev : ethdevs) remove_device(ethdev);
  ethdevs.clear();
  for (rte_ring* ring : rings) {
    void* frame = nullptr;
    while (rte_ring_dequeue(ring, &frame) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
  }
  std::int64_t packets = 0;
  for (std::uint16_t worker = 0; endpoints != nullptr && worker < options.workers; ++worker)
    packets += endpoints[worker].packets_out();
  std::uint64_t missing = static_cast<std::uint64_t>(std::max<std::int64_t>(packets, 0));
  for (auto* list : {&pools, &tail_pools}) {
    for (rte_mempool* pool : *list) {
      if (pool == nullptr) continue;
      const unsigned out = traits().driver_keeps_buffers ? 0 : rte_mempool_in_use_count(pool);
      missing = std::max<std::uint64_t>(missing, out);
      if (missing == 0)
        rte_mempool_free(pool);  // Somebody still points into it otherwise; the memory goes with the process.
    }
    list->clear();
  }
  return missing;
}

std::uint64_t Port::close() {
  return in_->close();
}

}  // namespace gannet::nicpipe::dpdk
