// The steps of Port::open: device, abilities, pools, queues, endpoints.
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_eth_vhost.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "nicpipe/dpdk/log.h"
#include "nicpipe/dpdk/port_inside.h"

namespace gannet::nicpipe::dpdk {
namespace {

constexpr unsigned kPoolCache = 128;  // Of each thread. A pool must allow for every worker keeping 1.5 caches of it.
constexpr std::uint32_t kTailBuffers = 4096;
constexpr std::uint64_t kRxSums =
    RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

/// Bytes of a packet buffer: the headroom and a whole frame, so that no frame is spread over two.
std::uint16_t data_room(const PortOptions& options) {
  std::uint32_t room = std::max(2048u, (frame_bytes_max(options.mtu) + 63) / 64 * 64);
  if (options.kind == DeviceKind::kAfPacket) room = std::max(room, packet_socket_slot_bytes(options.mtu));
  return static_cast<std::uint16_t>(room + RTE_PKTMBUF_HEADROOM);
}

std::uint32_t buffers_of_a_worker(const PortOptions& options) {
  const std::uint32_t cached = options.workers * kPoolCache * 3 / 2;
  return options.rx_slots + options.tx_slots + options.buffers_held + cached;
}

/// Bytes of a packet pool: padded objects, its ring, and a cache for every lcore there may be.
std::uint64_t pool_bytes(std::uint32_t objects, std::size_t room, bool hugepages) {
  constexpr std::uint64_t kPage = 4096;
  std::uint64_t object = rte_mempool_calc_obj_size(static_cast<std::uint32_t>(sizeof(rte_mbuf) + room), 0, nullptr);
  // No object may cross a page whose neighbour could lie elsewhere: on small pages that wastes the rest of each.
  if (!hugepages) object = object < kPage ? kPage / (kPage / object) : (object + kPage - 1) / kPage * kPage;
  return objects * object + std::bit_ceil(objects + 1) * sizeof(void*) + RTE_MAX_LCORE * sizeof(rte_mempool_cache) +
         64 * 1024;
}

}  // namespace

std::uint32_t Port::memory_mib(const PortOptions& options, bool hugepages) {
  const std::uint64_t frames = pool_bytes(buffers_of_a_worker(options), data_room(options), hugepages);
  const std::uint64_t tails = pool_bytes(kTailBuffers, sizeof(Endpoint::TailState), hugepages);
  constexpr std::uint64_t kSpareMib = 16;  // Queues, names, and what allocation cannot use at the ends of pages.
  return static_cast<std::uint32_t>((options.workers * (frames + tails) >> 20) + kSpareMib);
}

Outcome Port::Inside::refused(const std::string& step, int error) const {
  const std::string said = kept_log();
  std::string sentence = std::string(traits().name) + " " + device + ": the driver refused to " + step + ": ";
  sentence += std::strerror(std::abs(error));
  if (!said.empty()) sentence += " (DPDK says: " + said + ")";
  return {Status::kDeviceRefused, sentence};
}

Outcome Port::Inside::make_ring_device() {
  // "name" sends on the rings a and receives from the rings b; "name:peer" the other way round. Whoever comes first
  // makes the rings.
  const std::size_t colon = options.device.find(':');
  const std::string base = options.device.substr(0, colon);
  std::vector<rte_ring*> ways[2];
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    for (int way = 0; way < 2; ++way) {
      const std::string name = "g" + base + (way == 0 ? ".a" : ".b") + std::to_string(queue);
      rte_ring* ring = rte_ring_lookup(name.c_str());
      if (ring == nullptr) ring = rte_ring_create(name.c_str(), options.rx_slots, SOCKET_ID_ANY, 0);
      if (ring == nullptr) return refused("make a ring", rte_errno);
      ways[way].push_back(ring);
      rings.push_back(ring);
    }
  }
  const int out = colon == std::string::npos ? 0 : 1;
  const int made =
      rte_eth_from_rings(options.device.c_str(), ways[1 - out].data(), queues, ways[out].data(), queues, 0);
  if (made < 0) return refused("make the ring device", rte_errno);
  ethdevs.push_back(static_cast<std::uint16_t>(made));
  return {};
}

Outcome Port::Inside::make_devices() {
  device = device_name(options);
  queues = std::min({options.queues == 0 ? options.workers : options.queues, options.workers, traits().queues_max});
  if (options.queues > queues) {
    warnings.push_back(device + ": " + std::to_string(options.queues) + " queues were asked for, " +
                       std::to_string(queues) + " are used");
  }
  forget_log();
  if (options.kind == DeviceKind::kRing) return make_ring_device();
  for (const DeviceRequest& request : requests_for(options, queues)) {
    if (options.kind != DeviceKind::kPci) {
      const int error = rte_eal_hotplug_add("vdev", request.name.c_str(), request.arguments.c_str());
      if (error < 0) return refused("start", error);
    }
    std::uint16_t ethdev = 0;
    const int error = rte_eth_dev_get_port_by_name(request.name.c_str(), &ethdev);
    if (error < 0 && options.kind == DeviceKind::kPci) {  // It was there to be taken when DPDK started.
      return {Status::kDeviceRefused,
              device + ": no driver of DPDK took the device" +
                  (eal.complaints().empty() ? "" : " (DPDK says: " + eal.complaints() + ")") +
                  ": see what the kernel says of it (dmesg), and whether DPDK knows this device"};
    }
    if (error < 0) return refused("show the device", error);
    ethdevs.push_back(ethdev);
  }
  return {};
}

void Port::Inside::read_abilities() {
  rte_eth_dev_info info{};
  (void)rte_eth_dev_info_get(ethdevs.front(), &info);
  driver = info.driver_name;
  numa_node = rte_eth_dev_socket_id(ethdevs.front());
  if (options.kind != DeviceKind::kPci) numa_node = -1;  // A virtual device has no place, whatever its vdev says.
  if (!traits().queue_per_device) queues = std::min({queues, info.max_rx_queues, info.max_tx_queues});

  const bool offload = options.allow_offload && traits().checksum_offload;
  // Virtio knows no IP header checksum; the flags of each packet say what was checked, the rest is done in software.
  capabilities.rx_checksum = offload && (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_UDP_CKSUM) != 0;
  capabilities.tx_ip_checksum = offload && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  capabilities.tx_udp_checksum = offload && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM) != 0;
  capabilities.tx_tcp_checksum = offload && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
  // Virtual devices would cut frames in software, or hand whole ones to a peer whose buffers are smaller.
  capabilities.tcp_segmentation = options.kind == DeviceKind::kPci && capabilities.tx_ip_checksum &&
                                  capabilities.tx_tcp_checksum &&
                                  (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0;
  // Only drivers that say so may be given a chain: net_af_xdp sends stale bytes of the second buffer in place of the
  // tail.
  const bool chains = options.allow_offload && (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
  // A device with DMA may have tails once register_memory() has shown it where they lie.
  capabilities.multi_segment = chains && traits().tail_may_be_given && traits().tail_is_read_by_cpu;
  capabilities.flow_hash =
      options.kind == DeviceKind::kPci && (info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH) != 0;

  std::uint32_t mtu = options.mtu;
  if (traits().kernel_interface) mtu = std::min<std::uint32_t>(mtu, interface_mtu(options.device));
  if (info.max_mtu != 0) mtu = std::min<std::uint32_t>(mtu, info.max_mtu);
  capabilities.mtu = static_cast<std::uint16_t>(mtu);
}

Outcome Port::Inside::make_pools() {
  const std::uint32_t buffers = buffers_of_a_worker(options);
  const int node = numa_node < 0 ? SOCKET_ID_ANY : numa_node;
  for (std::uint16_t worker = 0; worker < options.workers; ++worker) {
    // A name of its own even if an earlier port leaked its pools.
    static std::atomic<std::uint32_t> serial{0};
    const std::string suffix = std::to_string(serial++);
    pools.push_back(
        rte_pktmbuf_pool_create(("frames" + suffix).c_str(), buffers, kPoolCache, 0, data_room(options), node));
    if (pools.back() != nullptr && options.allow_offload) {
      tail_pools.push_back(rte_pktmbuf_pool_create(("tails" + suffix).c_str(), kTailBuffers, kPoolCache,
                                                   sizeof(Endpoint::TailState), 0, node));
    }
    if (pools.back() == nullptr || (options.allow_offload && tail_pools.back() == nullptr)) {
      const std::string need = std::to_string(Port::memory_mib(options, eal.hugepages()));
      return {Status::kNoHugepages, device + ": no memory for packet buffers: this port needs " + need +
                                        " MiB of DPDK's memory" +
                                        (numa_node < 0 ? "" : " on NUMA node " + std::to_string(numa_node)) +
                                        ": reserve more hugepages, or have fewer workers"};
    }
  }
  return {};
}

void Port::Inside::settle_mtu(std::uint16_t ethdev) {
  // On these the device is ours, so its MTU is as well; a kernel interface keeps the one its owner gave it.
  if (options.kind != DeviceKind::kTap && options.kind != DeviceKind::kPci) return;
  if (rte_eth_dev_set_mtu(ethdev, capabilities.mtu) == 0) return;
  (void)rte_eth_dev_get_mtu(ethdev, &capabilities.mtu);
}

Outcome Port::Inside::start_device(std::uint16_t ethdev, std::uint16_t queue_count, std::uint16_t first_worker) {
  rte_eth_dev_info info{};
  int error = rte_eth_dev_info_get(ethdev, &info);
  if (error < 0) return refused("describe itself", error);
  rte_eth_conf conf{};
  if (capabilities.rx_checksum) conf.rxmode.offloads |= kRxSums & info.rx_offload_capa;
  if (capabilities.tx_ip_checksum) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
  if (capabilities.tx_udp_checksum) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
  if (capabilities.tx_tcp_checksum) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
  if (capabilities.tcp_segmentation) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
  if (options.allow_offload) conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (options.kind == DeviceKind::kPci) {
    conf.rxmode.mtu = capabilities.mtu;
    // UDP by name: a device's default RSS often hashes addresses alone. What it cannot do is masked, not demanded.
    const std::uint64_t wanted = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
                                 RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
    conf.rx_adv_conf.rss_conf.rss_hf = wanted & info.flow_type_rss_offloads;
    if (queue_count > 1 && conf.rx_adv_conf.rss_conf.rss_hf != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    if (queue_count > 1 && (conf.rx_adv_conf.rss_conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP) == 0) {
      warnings.push_back(device +
                         ": the device spreads UDP by address alone; clients on few hosts will load few workers");
    }
    if (capabilities.flow_hash && conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS)
      conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_RSS_HASH;
  }
  const bool tells_link = options.kind != DeviceKind::kPci && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
  conf.intr_conf.lsc = tells_link ? 1 : 0;
  error = rte_eth_dev_configure(ethdev, queue_count, queue_count, &conf);
  if (error < 0) return refused("be configured with " + std::to_string(queue_count) + " queues", error);
  settle_mtu(ethdev);

  std::uint16_t rx_slots = options.rx_slots, tx_slots = options.tx_slots;
  (void)rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &rx_slots, &tx_slots);
  const unsigned node = numa_node < 0 ? static_cast<unsigned>(SOCKET_ID_ANY) : static_cast<unsigned>(numa_node);
  for (std::uint16_t queue = 0; queue < queue_count; ++queue) {
    rte_eth_rxconf rx = info.default_rxconf;
    rx.offloads = conf.rxmode.offloads;
    error = rte_eth_rx_queue_setup(ethdev, queue, rx_slots, node, &rx, pools[first_worker + queue]);
    if (error < 0) return refused("set up receive queue " + std::to_string(queue), error);
    rte_eth_txconf tx = info.default_txconf;
    tx.offloads = conf.txmode.offloads;  // Never fast free: it forbids external buffers and several pools on one queue.
    error = rte_eth_tx_queue_setup(ethdev, queue, tx_slots, node, &tx);
    if (error < 0) return refused("set up transmit queue " + std::to_string(queue), error);
  }
  error = rte_eth_dev_start(ethdev);
  if (error < 0) return refused("start its queues", error);
  return {};
}

Outcome Port::Inside::start_devices() {
  watch_events();
  if (!traits().queue_per_device) return start_device(ethdevs.front(), queues, 0);
  for (std::uint16_t queue = 0; queue < queues; ++queue) {
    Outcome outcome = start_device(ethdevs[queue], 1, queue);
    if (outcome.ok()) continue;
    if (queue == 0) return outcome;
    warnings.push_back(device + ": works with " + std::to_string(queue) + " of " + std::to_string(queues) +
                       " queues: " + outcome.error);
    while (ethdevs.size() > queue) {
      remove_device(ethdevs.back());
      ethdevs.pop_back();
    }
    queues = queue;
  }
  return {};
}

int Port::Inside::on_event(std::uint16_t ethdev, rte_eth_event_type type, void* inside, void* /*details*/) {
  auto& port = *static_cast<Inside*>(inside);
  if (type == RTE_ETH_EVENT_INTR_LSC) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(ethdev, &link) == 0) port.link_up.store(link.link_status == RTE_ETH_LINK_UP);
  } else if (type == RTE_ETH_EVENT_QUEUE_STATE) {
    rte_eth_vhost_queue_event event{};
    while (rte_eth_vhost_get_queue_event(ethdev, &event) == 0) {
      if (!event.rx && event.queue_id < port.tx_live.size()) port.tx_live[event.queue_id].store(event.enable);
    }
  }
  return 0;
}

void Port::Inside::watch_events() {
  const bool peer_picks = options.kind == DeviceKind::kVhost;  // It may use fewer queues than we offer.
  for (auto& live : tx_live) live.store(!peer_picks);
  for (const std::uint16_t ethdev : ethdevs) {
    (void)rte_eth_dev_callback_register(ethdev, RTE_ETH_EVENT_INTR_LSC, &on_event, this);
    if (peer_picks) (void)rte_eth_dev_callback_register(ethdev, RTE_ETH_EVENT_QUEUE_STATE, &on_event, this);
  }
}

void Port::Inside::make_endpoints() {
  capabilities.queues = queues;
  endpoints = std::make_unique<Endpoint[]>(options.workers);
  for (std::uint16_t worker = 0; worker < options.workers; ++worker) {
    Endpoint& endpoint = endpoints[worker];
    const std::uint16_t queue = worker % queues;
    endpoint.device_ = traits().queue_per_device ? ethdevs[queue] : ethdevs.front();
    endpoint.queue_ = traits().queue_per_device ? 0 : queue;
    endpoint.port_index_ = options.index;
    endpoint.receives_ = worker < queues;
    endpoint.pool_ = pools[worker];
    endpoint.tail_pool_ = tail_pools.empty() ? nullptr : tail_pools[worker];
    endpoint.link_up_ = &link_up;
    endpoint.capabilities_ = capabilities;
    const bool peer_picks = options.kind == DeviceKind::kVhost && worker > 0;
    if (endpoint.receives_ && !peer_picks) continue;
    // No transmit queue of its own, or one the peer may leave unread: its frames go through the queue's owner, or
    // through worker 0.
    endpoint.tx_live_ = endpoint.receives_ ? &tx_live[queue] : nullptr;
    if (!endpoint.receives_) endpoint.capabilities_.multi_segment = endpoint.capabilities_.tcp_segmentation = false;
    forwards.push_back(std::make_unique<SpscRing<rte_mbuf*>>(kForwardSlots));
    endpoint.forward_ = forwards.back().get();
    Endpoint& through = endpoints[endpoint.receives_ || peer_picks ? 0 : queue];
    through.inbound_[through.inbound_count_++] = endpoint.forward_;
  }
}

}  // namespace gannet::nicpipe::dpdk
