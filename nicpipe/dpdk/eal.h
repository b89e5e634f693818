/// DPDK's environment layer (EAL), started once a process and taken down cleanly. Main thread only, except
/// WorkerRegistration.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gannet::nicpipe::dpdk {

/// What went wrong, sorted by who can mend it. The sentence that comes with it says how.
enum class Status : std::uint8_t {
  kOk,
  kBadOption,      ///< The caller asked for something impossible: configuration.
  kNoHugepages,    ///< The machine has too few free hugepages.
  kNoPermission,   ///< A capability or a device node is missing.
  kNoDevice,       ///< The interface, PCI address or socket is not there, or is in use.
  kDeviceRefused,  ///< The driver is there but refused a step.
  kInternal,       ///< DPDK refused something that should always work.
};

/// Result of every cold call of this room.
struct Outcome {
  Status status = Status::kOk;
  std::string error;  ///< Empty on kOk; else one sentence: what failed, what to do.
  [[nodiscard]] bool ok() const noexcept { return status == Status::kOk; }
};

struct EalOptions {
  bool hugepages = true;  ///< false: 4 KiB pages (--no-huge); no PCI device, slower, for tests and first looks.
  std::uint32_t memory_mib =
      128;  ///< DPDK's own memory (packet pools, rings), all nodes together. Without hugepages it is taken at start.
  std::vector<std::string> pci_allow;  ///< PCI addresses DPDK may touch; empty: none, the bus is not even scanned.
  std::int32_t main_core = -1;         ///< CPU the calling thread keeps; -1: it keeps the affinity it has.
  bool verbose = false;  ///< DPDK's own log to stderr; else only its last error is kept, for our sentences.
};

/// The running environment. At most one at a time; after the destructor no second start is possible in the same process
/// (DPDK's rule).
class Eal {
 public:
  /// Starts DPDK. Gives kNoHugepages, kNoPermission, kBadOption or kInternal with a sentence; then nothing runs.
  [[nodiscard]] static Outcome start(const EalOptions& options, std::unique_ptr<Eal>& out);
  ~Eal();  ///< Needs: every Port closed. Gives hugepages and control threads back.
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  [[nodiscard]] bool hugepages() const noexcept { return options_.hugepages; }
  /// DMA addresses equal virtual addresses. Always so without PCI devices; with them, when an IOMMU is there.
  [[nodiscard]] bool addresses_are_virtual() const noexcept;
  /// What DPDK complained about while it started, for instance of a PCI device that it then left alone; empty: nothing.
  [[nodiscard]] const std::string& complaints() const noexcept { return complaints_; }

 private:
  Eal(EalOptions options, std::string complaints) : options_(std::move(options)), complaints_(std::move(complaints)) {}
  EalOptions options_;
  std::string complaints_;
};

/// Makes the calling thread known to DPDK for the object's life, so that packet pools give it its own cache. Each
/// worker thread holds one before it touches an Endpoint and drops it before it ends. Pinning the thread is the
/// caller's business.
class WorkerRegistration {
 public:
  WorkerRegistration();
  ~WorkerRegistration();
  WorkerRegistration(const WorkerRegistration&) = delete;
  WorkerRegistration& operator=(const WorkerRegistration&) = delete;
  /// false: the thread has a place already, or all 128 are taken and it works without a pool cache.
  [[nodiscard]] bool registered() const noexcept { return registered_; }

 private:
  bool registered_ = false;
};

}  // namespace gannet::nicpipe::dpdk
