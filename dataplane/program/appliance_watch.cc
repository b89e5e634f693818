// What is told of a running appliance: to control and operators by the shared file, by the log, and to the supervisor.
#include "control/abi/reader.h"
#include "dataplane/program/appliance_inside.h"
#include "dataplane/program/notify.h"
#include "dataplane/program/ports.h"

namespace gannet::dataplane {

void Appliance::Inside::publish_port(std::size_t index) {
  const dpdk::Port& port = *ports[index];
  const nicpipe::Capabilities& can = port.capabilities();
  abi::DataplaneStatus::Port& out = status().port[index];
  out.rx_queues.store(port.rx_queues(), std::memory_order_relaxed);
  out.tx_queues.store(port.tx_queues(), std::memory_order_relaxed);
  out.mtu.store(can.mtu, std::memory_order_relaxed);
  out.capabilities.store(capability_bits(can), std::memory_order_relaxed);
  out.mac = mac_of(start.port[index], port).bytes;
  out.link_up = link_was_up[index] ? 1 : 0;
  out.dispatch_in_software = dispatch[index] != nullptr ? 1 : 0;
  abi::set_text(out.device, port.device());
}

void Appliance::Inside::publish() {
  for (std::size_t index = 0; index < ports.size(); ++index) publish_port(index);
  for (std::size_t i = 0; i < warnings.size() && i + 1 < status().message.size(); ++i)
    abi::set_text(status().message[i + 1], warnings[i]);
  const std::uint64_t duration_ns = LoopClock::mono_now() - started_ns;
  status().ports.store(ports.size(), std::memory_order_relaxed);
  status().workers.store(start.workers, std::memory_order_release);
  status().start_duration_ns.store(duration_ns, std::memory_order_relaxed);
  status().warm.store(items.warm ? 1 : 0, std::memory_order_relaxed);
  abi::set_text(status().story, items.story);
  status().phase.store(static_cast<std::uint64_t>(abi::Phase::kServing), std::memory_order_release);
  notify_supervisor("READY=1\nSTATUS=serving\n");
  log(LogLevel::kInfo, "serving",
      {{"workers", std::to_string(start.workers)},
       {"udp_port", std::to_string(start.udp_port)},
       {"tcp_port", std::to_string(start.tcp_port)},
       {"memory_bytes", std::to_string(items.arena.bytes().size())},
       {"start_ms", std::to_string(duration_ns / kNsPerMs)},
       {"start", items.warm ? "warm" : "cold"},
       {"because", items.story}});
}

/// Once every worker has read what was left, says so and how long it took.
void Appliance::Inside::watch_restore() {
  if (restored || group->gauge_of(&abi::WorkerGauges::segments_kept) != 0) return;
  restored = true;
  const std::uint64_t took_ns = LoopClock::mono_now() - started_ns;
  status().restored_ns.store(took_ns, std::memory_order_release);
  if (!items.warm) return;
  log(LogLevel::kInfo, "the items left behind are served again",
      {{"items", std::to_string(group->gauge_of(&abi::WorkerGauges::restored_items))},
       {"dropped", std::to_string(group->gauge_of(&abi::WorkerGauges::restore_dropped))},
       {"damaged_segments", std::to_string(group->gauge_of(&abi::WorkerGauges::damaged_segments))},
       {"took_ms", std::to_string(took_ns / kNsPerMs)}});
}

/// A damaged segment is worth a line each time; whoever reads it has to look at the memory of the machine.
void Appliance::Inside::watch_damage() {
  const std::uint64_t now = group->gauge_of(&abi::WorkerGauges::damaged_segments);
  if (now <= damage_told) return;
  damage_told = now;
  log(LogLevel::kError,
      "item memory was damaged; what a checksum did not vouch for is not served: test this machine's memory",
      {{"segments", std::to_string(now)},
       {"items", std::to_string(group->gauge_of(&abi::WorkerGauges::damaged_items))}});
}

/// Somebody else answers for our address: clients reach him or us, by chance. At most a line each time we look.
void Appliance::Inside::watch_conflicts() {
  const std::uint64_t now = abi::sum_of(shared, &abi::WorkerCounters::drop_address_conflict);
  if (now <= conflicts_told) return;
  log(LogLevel::kError, "another machine on the wire claims our address: give one of the two another one",
      {{"frames", std::to_string(now - conflicts_told)}});
  conflicts_told = now;
}

/// Links that came up are told our addresses; what devices dropped is counted on worker 0, whose block has that one
/// cell written from here.
void Appliance::Inside::look_at_ports() {
  std::uint64_t drops = 0;
  for (std::size_t index = 0; index < ports.size(); ++index) {
    const bool up = ports[index]->link_up();
    if (up != link_was_up[index]) {
      log(LogLevel::kInfo, up ? "link up" : "link down",
          {{"port", std::to_string(index)}, {"device", ports[index]->device()}});
      link_was_up[index] = up;
      status().port[index].link_up = up ? 1 : 0;
      if (up) signals.announcements[index].fetch_add(1, std::memory_order_release);
    }
    drops += ports[index]->counters().dropped();
  }
  if (drops > device_drops) abi::bump(shared.worker[0].counters.drop_device, drops - device_drops);
  device_drops = drops;
}

}  // namespace gannet::dataplane
