#include "dataplane/program/appliance.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <thread>
#include <vector>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"
#include "dataplane/program/appliance_inside.h"
#include "dataplane/program/notify.h"
#include "dataplane/program/ports.h"
#include "dataplane/program/privileges.h"
#include "dataplane/program/wish.h"
#include "storage/shard.h"

namespace gannet::dataplane {
namespace {

using Loop = WorkerLoop<Worker, dpdk::Endpoint>;

constexpr MonotonicNs kDrainNs = 2'000 * kNsPerMs;  ///< Longest wait for answers under way when stopping.
constexpr long kWatchEveryNs = 100'000'000;
constexpr long kWatchRestoreEveryNs = 2'000'000;  ///< While items left behind are read: how long that takes is told.
/// Of each worker, read before it serves: some 20 ms, and a small memory is whole again with the first answer.
constexpr std::uint64_t kRestoreFirstBytes = std::uint64_t{64} << 20;
constexpr unsigned kPortsLookedAtEvery = 5;  ///< Of those.

/// Random bytes for keys; the kernel gives up to 256 without a signal interrupting.
template <class T>
[[nodiscard]] T random_value() {
  T value;
  MUST_EQ(static_cast<std::size_t>(::getrandom(&value, sizeof value, 0)), sizeof value);
  return value;
}

void pin_this_thread(const std::vector<std::int32_t>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const std::int32_t cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
    log(LogLevel::kWarn, "a thread could not be pinned to its core", {{"core", std::to_string(cpus.front())}});
}

[[nodiscard]] sigset_t device_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) sigaddset(&set, signal);
  return set;
}

[[nodiscard]] sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// Bytes of a file that have their pages.
[[nodiscard]] std::uint64_t bytes_held(int fd) {
  struct stat state {};
  return fd >= 0 && ::fstat(fd, &state) == 0 ? static_cast<std::uint64_t>(state.st_blocks) * 512 : 0;
}

}  // namespace

Ending Appliance::Inside::place() {
  if (std::string sentence = judge_start(start); !sentence.empty()) return {2, std::move(sentence)};
  if (std::string sentence = machine.load({}); !sentence.empty()) return {1, std::move(sentence)};
  abi::LiveConfig live;
  std::uint64_t generation = 0;
  (void)abi::adopt_config(shared.config, generation, live);
  PlanResult result = plan_workers(machine.topology(), wish_of(start, live, machine, bytes_held(memory_fd)));
  if (!result.ok()) return {2, std::move(result.refusal)};
  plan = std::move(result.plan);
  for (std::string& warning : plan.warnings) warn(std::move(warning));
  pin_this_thread(plan.rest);
  return {};
}

Ending Appliance::Inside::open_memory() {
  const char* const first = std::getenv("GANNET_RESTORE_FIRST");
  ItemsWish wish{.memory = {.bytes = start.memory_bytes,
                            .page_bytes = start.page_bytes,
                            .fd = memory_fd,
                            .path = {},
                            .regions = start.workers,
                            .nodes = {},
                            .allow_remote = start.allow_remote != 0,
                            .threads = std::clamp(std::thread::hardware_concurrency(), 1U, 16U)},
                 .former_fd = former_fd,
                 .segment_bytes = start.segment_bytes,
                 .item_bytes_max = start.item_bytes_max,
                 .now = LoopClock{}.now().unix_s,
                 .hash_key = random_value<storage::HashKey>(),
                 .restore_first_bytes = first != nullptr ? std::strtoull(first, nullptr, 10) : kRestoreFirstBytes,
                 .place_thread = [this](std::uint32_t index) { pin_this_thread({plan.worker[index].cpu}); }};
  if (machine.topology().nodes.size() > 1)
    for (const WorkerPlace& place : plan.worker) wish.memory.nodes.push_back(place.node);
  if (std::string sentence = open_items(wish, items); !sentence.empty()) return {2, std::move(sentence)};
  for (std::string& warning : items.warnings) warn(std::move(warning));
  if (former_fd >= 0) ::close(former_fd);  // Its pages are wanted back.
  return {};
}

Ending Appliance::Inside::open_ports() {
  const auto ending_of = [&](dpdk::Outcome outcome) {
    return Ending{exit_code_of(outcome.status, start.start_count), std::move(outcome.error)};
  };
  if (dpdk::Outcome outcome = dpdk::Eal::start(eal_options(start), eal); !outcome.ok())
    return ending_of(std::move(outcome));
  const auto flow_key = random_value<std::array<std::byte, nicpipe::kFlowKeyBytes>>();
  for (std::uint32_t index = 0; index < start.ports; ++index) {
    beat();
    std::unique_ptr<dpdk::Port> port;
    if (dpdk::Outcome outcome = dpdk::Port::open(*eal, port_options(start, index), port); !outcome.ok())
      return ending_of(std::move(outcome));
    for (const std::string& warning : port->warnings()) warn(warning);
    if (dpdk::Outcome outcome =
            port->register_memory(items.arena.bytes().data(), items.arena.bytes().size(), items.arena.page_bytes());
        !outcome.ok())
      warn(std::move(outcome.error));
    const nicpipe::HostConfig host = host_config(start, index, *port);
    const bool has6 = !host.address6.is_zero();
    if (has6 && !port->accept_groups(nicpipe::group_macs_of(host.mac, host.address6)) &&
        start.port[index].kind == abi::DeviceKind::kPci)
      warn(port->device() + ": the device passes on no multicast: neighbours will not find " +
           nicpipe::to_text(host.address6) + "; give them its MAC by hand");
    const bool software = port->dispatch_in_software() && start.workers > 1;
    dispatch.push_back(
        software ? std::make_unique<nicpipe::Dispatch>(nicpipe::Dispatch{
                       .hash = nicpipe::FlowHash(flow_key), .workers = start.workers, .udp_port_first = start.udp_port})
                 : nullptr);
    steered = (index == 0 || steered) && start.workers > 1 &&
              port->steer_udp(static_cast<std::uint16_t>(start.udp_port + 1), has6);
    link_was_up.push_back(port->link_up());
    signals.announcements[index].store(link_was_up.back() ? 1 : 0, std::memory_order_release);
    log(LogLevel::kInfo, "port open", {{"port", std::to_string(index)}, {"is", port->describe()}});
    ports.push_back(std::move(port));
  }
  return {};
}

/// While we may still read what only root may.
Ending Appliance::Inside::read_users() {
  const std::string path(abi::text_of(start.sasl_users));
  if (path.empty()) return {};
  if (start.tcp_port == 0)
    return {2, "listen.sasl_users needs TCP, and listen.tcp is 0: write listen.tcp = 11211, or no users file."};
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad())
    return {2, "The users file " + path + " cannot be read: name a file that gannetd may read."};
  users = std::make_unique<SaslUsers>();
  if (std::string sentence = users->parse(text); !sentence.empty()) return {2, path + ": " + sentence + "."};
  return {};
}

Ending Appliance::Inside::make_workers() {
  isn_key = random_value<nicpipe::tcp::Key>();
  cookie_key = random_value<nicpipe::tcp::Key>();
  group = std::make_unique<WorkerGroup>(shared, start.workers);
  workers.resize(start.workers);
  reports = std::vector<LoopReport>(start.workers);
  std::vector<int> keep;
  for (std::uint32_t port = 0; port < start.ports; ++port)
    for (const int capability : capabilities_kept(start.port[port].kind)) keep.push_back(capability);
  if (std::string sentence = drop_capabilities(keep); !sentence.empty()) warn(std::move(sentence));
  for (std::uint32_t index = 0; index < start.workers; ++index)
    threads.emplace_back([this, index] { run_worker(index); });
  wait_for(&LoopReport::serving);
  return {};
}

/// A worker's thread, from pinning to the last buffer given back.
void Appliance::Inside::run_worker(std::uint32_t index) {
  pthread_setname_np(pthread_self(), ("gannet/w" + std::to_string(index)).c_str());
  const sigset_t wake = device_signals();
  pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
  pin_this_thread({plan.worker[index].cpu});
  const dpdk::WorkerRegistration registration;
  storage::Shard& shard = *items.shards[index];
  shard.bind_owner();

  WorkerOptions options{.index = index,
                        .ports = {},
                        .dispatch = {},
                        .mono_now = &LoopClock::mono_now,
                        .tcp = {.port = start.tcp_port,
                                .connections_max = start.tcp_connections_max,
                                .source_max = start.tcp_source_max,
                                .idle_s = start.tcp_idle_s,
                                .isn_key = isn_key,
                                .cookie_key = cookie_key,
                                .users = users.get()}};
  std::vector<dpdk::Endpoint*> endpoints;
  std::vector<Announcement> announcements;
  for (std::uint32_t port = 0; port < start.ports; ++port) {
    options.ports.push_back(host_config(start, port, *ports[port]));
    options.dispatch.push_back(dispatch[port].get());
    endpoints.push_back(&ports[port]->endpoint(static_cast<std::uint16_t>(index)));
    const nicpipe::HostConfig& host = options.ports.back();
    if (index == 0) announcements.push_back({host.mac, host.address, host.address6, host.vlan});
  }
  workers[index] = std::make_unique<Worker>(*group, shard, options);

  // Workers on one CPU must not wait for each other awake.
  const std::int32_t cpu = plan.worker[index].cpu;
  const bool alone = std::ranges::count(plan.worker, cpu, &WorkerPlace::cpu) == 1;
  const IdleRungs rungs = alone ? IdleRungs{} : IdleRungs{.spin_ns = 0, .pause_ns = 0};

  abi::WorkerInfo& info = shared.worker[index].info;
  info.core.store(static_cast<std::uint64_t>(cpu), std::memory_order_relaxed);
  info.numa_node.store(static_cast<std::uint64_t>(plan.worker[index].node), std::memory_order_relaxed);
  info.udp_port.store(start.udp_port + 1 + index, std::memory_order_relaxed);
  info.tid.store(static_cast<std::uint64_t>(::syscall(SYS_gettid)), std::memory_order_relaxed);
  info.steered.store(steered ? 1 : 0, std::memory_order_relaxed);
  shared.worker[index].gauges.segments_kept.store(shard.stats().segments_kept, std::memory_order_relaxed);

  Loop loop({.worker = *workers[index],
             .endpoints = std::move(endpoints),
             .block = shared.worker[index],
             .signals = signals,
             .report = reports[index],
             .rungs = rungs,
             .announcements = std::move(announcements),
             .clock_lead_ns = shard.clock_lead() != 0 ? shard.clock_lead() : LoopClock::kNoLead,
             .keep_clock_lead = [&shard](std::int64_t lead_ns) { shard.note_clock_lead(lead_ns); }});
  loop.run();
}

bool Appliance::Inside::all(std::atomic<bool> LoopReport::*what) const {
  return std::ranges::all_of(reports,
                             [&](const LoopReport& report) { return (report.*what).load(std::memory_order_acquire); });
}

void Appliance::Inside::wait_for(std::atomic<bool> LoopReport::*what) const {
  while (!all(what)) {
    beat();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// Walks every shard; slow. Gives the number of broken invariants.
std::uint64_t Appliance::Inside::audit() {
  std::uint64_t faults = 0;
  for (std::size_t index = 0; index < items.shards.size(); ++index) {
    const storage::AuditReport report = items.shards[index]->audit(LoopClock{}.now().unix_s);
    const storage::Stats stats = items.shards[index]->stats();
    faults += report.faults + stats.pins + stats.reservations;
    log(report.faults + stats.pins + stats.reservations == 0 ? LogLevel::kInfo : LogLevel::kError, "audit",
        {{"worker", std::to_string(index)},
         {"items", std::to_string(report.items)},
         {"segments", std::to_string(report.segments)},
         {"faults", std::to_string(report.faults)},
         {"pins", std::to_string(stats.pins)},
         {"reservations", std::to_string(stats.reservations)},
         {"first_fault", report.first_fault}});
  }
  return faults;
}

Appliance::Appliance(abi::Shared& shared, int memory_fd, int former_fd)
    : in_(std::make_unique<Inside>(shared, memory_fd, former_fd)) {}

Appliance::~Appliance() {
  if (!in_->threads.empty()) (void)stop();
}

Ending Appliance::start(std::uint64_t started_ns) {
  in_->started_ns = started_ns;
  abi::DataplaneStatus& status = in_->status();
  status.pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
  status.started_unix_s.store(LoopClock{}.now().unix_s, std::memory_order_relaxed);
  in_->beat();
  status.phase.store(static_cast<std::uint64_t>(abi::Phase::kStarting), std::memory_order_release);
  for (const auto step :
       {&Inside::place, &Inside::open_memory, &Inside::read_users, &Inside::open_ports, &Inside::make_workers}) {
    if (Ending ending = (*in_.*step)(); !ending.ok()) return ending;
    in_->beat();
  }
  in_->publish();
  return {};
}

void Appliance::serve() {
  const sigset_t stops = stop_signals();
  for (unsigned round = 0;; ++round) {
    const timespec wait{.tv_sec = 0, .tv_nsec = in_->restored ? kWatchEveryNs : kWatchRestoreEveryNs};
    if (const int signal = sigtimedwait(&stops, nullptr, &wait); signal > 0) {
      log(LogLevel::kInfo, "stopping", {{"why", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
      return;
    }
    in_->beat();
    if (in_->status().stop_requested.load(std::memory_order_acquire) != 0) {
      log(LogLevel::kInfo, "stopping", {{"why", "stop_requested"}});
      return;
    }
    in_->watch_restore();
    if (round % kPortsLookedAtEvery != 0) continue;
    in_->look_at_ports();
    in_->watch_damage();
    in_->watch_conflicts();
  }
}

Ending Appliance::stop() {
  Inside& in = *in_;
  notify_supervisor("STOPPING=1\nSTATUS=draining\n");
  in.status().phase.store(static_cast<std::uint64_t>(abi::Phase::kDraining), std::memory_order_release);
  in.signals.order.store(Order::kDrain, std::memory_order_release);
  // Twice in a row: a packet just popped from a ring is in no ring and not yet in its worker's backlog.
  const MonotonicNs until = LoopClock::mono_now() + kDrainNs;
  for (int quiet = 0; quiet < 3 && LoopClock::mono_now() < until;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    in.beat();
    quiet = in.all(&LoopReport::drained) && in.group->packets_travelling() == 0 ? quiet + 1 : 0;
  }
  in.signals.order.store(Order::kHalt, std::memory_order_release);
  in.wait_for(&LoopReport::halted);
  in.signals.order.store(Order::kClose, std::memory_order_release);
  for (std::thread& thread : in.threads) thread.join();
  in.threads.clear();
  in.look_at_ports();
  // From here on the shards are this thread's: closing a port releases the last pins.
  for (const auto& shard : in.items.shards) shard->bind_owner();
  std::uint64_t leaked = 0;
  for (const auto& port : in.ports) leaked += port->close();
  if (leaked > 0) log(LogLevel::kError, "packet buffers never came back", {{"buffers", std::to_string(leaked)}});
  const char* wanted = std::getenv("GANNET_AUDIT_ON_STOP");
  const std::uint64_t faults = wanted != nullptr && wanted[0] == '1' ? in.audit() : 0;
  in.workers.clear();
  for (const auto& shard : in.items.shards) shard->close();
  in.ports.clear();
  in.eal.reset();
  if (faults > 0)
    return {1, "The audit of the item store found " + std::to_string(faults) +
                   " faults: please report them with the lines above."};
  return {};
}

void block_signals() {
  const sigset_t devices = device_signals(), stops = stop_signals();
  pthread_sigmask(SIG_BLOCK, &devices, nullptr);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
}

}  // namespace gannet::dataplane
