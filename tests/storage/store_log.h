/// Every store that a piece of code makes into a region, in the order in which it makes them: the region is write
/// protected, each store faults, is let through under the trap flag, and written down behind it. The order is the
/// compiled program's own. One region at a time, one thread, x86-64 Linux.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "storage/base/bytes.h"
#include "storage/base/must.h"

namespace gannet::storage::testing {

class StoreLog {
 public:
  /// Eight bytes that a step changed. A step (one instruction, or one round of a rep) is the entries up to its `last`.
  struct Entry {
    std::uint32_t word;  ///< Of the region, in units of 8 bytes.
    bool last;
    std::uint64_t value;
  };
  static constexpr std::size_t kEntriesMax = 1 << 20;

  /// `region` is mapped memory, whole pages.
  explicit StoreLog(MutableBytes region) : region_(region), copy_(region.size()), entries_(kEntriesMax) {
    MUST(active_ == nullptr);
    active_ = this;
    install(SIGSEGV, &StoreLog::on_fault, old_fault_);
    install(SIGTRAP, &StoreLog::on_trap, old_trap_);
  }
  ~StoreLog() {
    sigaction(SIGSEGV, &old_fault_, nullptr);
    sigaction(SIGTRAP, &old_trap_, nullptr);
    active_ = nullptr;
  }
  StoreLog(const StoreLog&) = delete;
  StoreLog& operator=(const StoreLog&) = delete;

  void begin() {
    count_ = 0;
    std::memcpy(copy_.data(), region_.data(), region_.size());
    protect(PROT_READ);
  }
  void end() {
    protect(PROT_READ | PROT_WRITE);
    MUST_LT(count_, kEntriesMax);
    MUST_EQ(std::memcmp(copy_.data(), region_.data(), region_.size()), 0);  // Nothing went unseen.
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] const Entry& operator[](std::size_t i) const { return entries_[i]; }

 private:
  static constexpr greg_t kTrapFlag = 0x100;

  static void install(int signal, void (*handler)(int, siginfo_t*, void*), struct sigaction& old) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(signal, &action, &old);
  }
  void protect(int how) { MUST_EQ(mprotect(region_.data(), region_.size(), how), 0); }

  static void on_fault(int, siginfo_t* info, void* context) {
    StoreLog& self = *active_;
    const auto* const at = static_cast<const std::byte*>(info->si_addr);
    MUST(at >= self.region_.data() &&
         at < self.region_.data() + self.region_.size());  // Else a fault of the code's own.
    self.fault_at_ = static_cast<std::size_t>(at - self.region_.data());
    self.protect(PROT_READ | PROT_WRITE);
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] |= kTrapFlag;
  }
  static void on_trap(int, siginfo_t*, void* context) {
    active_->take_down();
    active_->protect(PROT_READ);
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~kTrapFlag;
  }
  void take_down() {
    constexpr std::size_t kReach = 64;  // No instruction writes further from where it faults.
    const std::size_t from = fault_at_ < kReach ? 0 : (fault_at_ - kReach) & ~std::size_t{7};
    const std::size_t to = std::min(region_.size(), fault_at_ + 2 * kReach);
    const std::size_t before = count_;
    for (std::size_t at = from; at + 8 <= to; at += 8) {
      const auto now = load_raw<std::uint64_t>(region_.data() + at);
      if (now == load_raw<std::uint64_t>(copy_.data() + at)) continue;
      store_raw(copy_.data() + at, now);
      if (count_ < kEntriesMax) entries_[count_++] = {static_cast<std::uint32_t>(at / 8), false, now};
    }
    if (count_ > before) entries_[count_ - 1].last = true;
  }

  static inline StoreLog* active_ = nullptr;
  const MutableBytes region_;
  std::vector<std::byte> copy_;
  std::vector<Entry> entries_;
  std::size_t count_ = 0, fault_at_ = 0;
  struct sigaction old_fault_ {
  }, old_trap_{};
};

}  // namespace gannet::storage::testing
