/// The state directory: the file shared with gannetd, and what tells a live process from a dead one. Used by
/// gannet-control, gannetctl, tests.
///
///   DIR/NAME.shared         the shared file (control/abi/shared.h), 0640
///   DIR/NAME.sock           control's admin socket, 0660
///   DIR/NAME.lock           held by the one gannet-control that looks after NAME
///   DIR/NAME.started.toml   the configuration that the running gannetd was started with
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/abi/shared.h"
#include "storage/base/clock.h"

namespace gannet::control {

inline constexpr const char* kStateDirectory = "/run/gannet";

struct StatePaths {
  std::string directory, name;
  [[nodiscard]] std::string shared() const { return directory + "/" + name + ".shared"; }
  [[nodiscard]] std::string socket() const { return directory + "/" + name + ".sock"; }
  [[nodiscard]] std::string lock() const { return directory + "/" + name + ".lock"; }
  [[nodiscard]] std::string started() const { return directory + "/" + name + ".started.toml"; }
};

/// A file descriptor with one owner.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { reset(); }
  void reset() noexcept;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// The shared file, mapped. Stays mapped until destroyed, whatever becomes of the file's name.
class SharedFile {
 public:
  SharedFile() = default;
  SharedFile(SharedFile&& other) noexcept;
  SharedFile& operator=(SharedFile&& other) noexcept;
  ~SharedFile();

  /// Makes a fresh file under a temporary name, fills its header, then moves it to `paths.shared()`: nobody ever sees
  /// half a file, and whoever maps the former one keeps it. "" or the sentence why not.
  [[nodiscard]] static std::string create(const StatePaths& paths, SharedFile& out);
  /// Maps an existing file, after shared_fault(). "" or the sentence why not.
  [[nodiscard]] static std::string open(const std::string& path, bool writable, SharedFile& out);

  [[nodiscard]] explicit operator bool() const noexcept { return shared_ != nullptr; }
  [[nodiscard]] const abi::Shared& operator*() const noexcept { return *shared_; }
  [[nodiscard]] const abi::Shared* operator->() const noexcept { return shared_; }
  /// Needs: created, or opened writable.
  [[nodiscard]] abi::Shared& writable() noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  Fd fd_;
  abi::Shared* shared_ = nullptr;
  bool writable_ = false;
};

/// Zeroes what a gannetd writes. Needs: no gannetd lives that has this file mapped.
void clear_dataplane(abi::Shared& shared) noexcept;

/// Names of the appliances whose shared file lies in `directory`, sorted.
[[nodiscard]] std::vector<std::string> appliances_in(const std::string& directory);

/// Field 22 of /proc/PID/stat: when the process started, in ticks since boot. 0: no such process, or a zombie.
[[nodiscard]] std::uint64_t process_start_ticks(pid_t pid);
/// Whether the very process that had this start time still lives. `start_ticks` 0 accepts any process of that pid.
[[nodiscard]] bool process_alive(pid_t pid, std::uint64_t start_ticks);

/// This boot's id; "" where the kernel does not tell.
[[nodiscard]] std::string boot_id();

/// gannetd's pid, 0 if there is none. Control notes it right after the start; should control die just in between,
/// gannetd's own note counts.
[[nodiscard]] pid_t dataplane_pid(const abi::Shared& shared) noexcept;
/// Whether the file was made in this boot and its gannetd lives.
[[nodiscard]] bool dataplane_alive(const abi::Shared& shared);
/// Whether the gannet-control that looks after the file lives and beats.
[[nodiscard]] bool control_alive(const abi::Shared& shared, MonotonicNs now);

[[nodiscard]] MonotonicNs monotonic_ns() noexcept;
[[nodiscard]] std::uint64_t unix_seconds() noexcept;

}  // namespace gannet::control
