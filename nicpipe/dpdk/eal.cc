#include "nicpipe/dpdk/eal.h"

#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <sched.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <utility>

#include "nicpipe/dpdk/log.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::dpdk {
namespace {

std::atomic<bool> started{false};  // DPDK cannot be started twice in a process, not even after rte_eal_cleanup.

std::uint64_t free_hugepage_mib() {
  std::uint64_t mib = 0;
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    const std::string name = size.path().filename().string();  // hugepages-2048kB
    const std::uint64_t page_kib = std::strtoull(name.c_str() + name.find('-') + 1, nullptr, 10);
    std::uint64_t pages = 0;
    std::ifstream(size.path() / "free_hugepages") >> pages;
    mib += pages * page_kib / 1024;
  }
  return mib;
}

std::string cpu_list(const cpu_set_t& cpus) {
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &cpus)) continue;
    if (!list.empty()) list += ',';
    list += std::to_string(cpu);
  }
  return list;
}

std::vector<std::string> arguments_of(const EalOptions& options, const std::string& cpus) {
  std::vector<std::string> words = {"gannet", "--no-telemetry", "--lcores", "0@(" + cpus + ")"};
  words.emplace_back(options.verbose ? "--log-level=*:info" : "--log-level=*:error");
  // Neither form leaves a file behind, not even after a crash, and instances cannot meet. Both keep the memory behind a
  // file descriptor, which vhost passes to the peer; one file instead of one a page keeps those descriptors few.
  if (options.hugepages) {
    words.insert(words.end(), {"--in-memory", "--single-file-segments"});
    words.push_back("--socket-limit=" + std::to_string(options.memory_mib));
  } else {
    words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(options.memory_mib)});
  }
  if (options.pci_allow.empty()) {
    words.insert(words.end(), {"--no-pci", "--iova-mode=va"});
  }
  for (const std::string& address : options.pci_allow) words.insert(words.end(), {"-a", address});
  return words;
}

Outcome explain_start(const EalOptions& options) {
  const std::string said = kept_log();
  const std::string reason = said.empty() ? "" : " (DPDK says: " + said + ")";
  if (options.hugepages && free_hugepage_mib() < options.memory_mib) {
    return {Status::kNoHugepages, "DPDK could not start for want of hugepages" + reason};
  }
  if (rte_errno == EACCES || rte_errno == EPERM) {
    return {Status::kNoPermission,
            "DPDK was refused access: start as root or give the process its capabilities" + reason};
  }
  return {Status::kInternal, "DPDK could not start" + reason};
}

}  // namespace

Outcome Eal::start(const EalOptions& options, std::unique_ptr<Eal>& out) {
  if (options.memory_mib < 16 || options.memory_mib > 64 * 1024) {
    return {Status::kBadOption, "DPDK's memory must be 16 to 65536 MiB, not " + std::to_string(options.memory_mib)};
  }
  if (!options.hugepages && !options.pci_allow.empty()) {
    return {Status::kBadOption, "a PCI device needs hugepages: reserve some, or use a virtual device"};
  }
  if (options.hugepages && free_hugepage_mib() < options.memory_mib) {
    const std::string need = std::to_string(options.memory_mib);
    return {Status::kNoHugepages, "packet buffers need " + need + " MiB of free hugepages and " +
                                      std::to_string(free_hugepage_mib()) +
                                      " MiB are free: raise /proc/sys/vm/nr_hugepages by " +
                                      std::to_string((options.memory_mib - free_hugepage_mib() + 1) / 2)};
  }
  if (started.exchange(true)) return {Status::kInternal, "DPDK can be started once in a process"};

  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (options.main_core >= 0) {
    CPU_SET(options.main_core, &cpus);
  } else {
    MUST_EQ(pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus), 0);
  }
  std::vector<std::string> words = arguments_of(options, cpu_list(cpus));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  capture_log(options.verbose);
  forget_log();
  if (rte_eal_init(static_cast<int>(arguments.size()), arguments.data()) < 0) return explain_start(options);
  hush_libraries();
  out.reset(new Eal(options, kept_log()));
  forget_log();
  return {};
}

Eal::~Eal() {
  (void)rte_eal_cleanup();
}

bool Eal::addresses_are_virtual() const noexcept {
  return rte_eal_iova_mode() == RTE_IOVA_VA;
}

WorkerRegistration::WorkerRegistration() {
  if (rte_lcore_id() != LCORE_ID_ANY) return;  // The main thread has its place already.
  registered_ = rte_thread_register() == 0;
}

WorkerRegistration::~WorkerRegistration() {
  if (registered_) rte_thread_unregister();
}

}  // namespace gannet::nicpipe::dpdk
