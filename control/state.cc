#include "control/state.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <new>
#include <sstream>

#include "control/abi/reader.h"
#include "storage/base/must.h"

namespace gannet::control {
namespace {

constexpr std::uint64_t kControlSilentNs = 2'000'000'000;
constexpr std::string_view kSharedSuffix = ".shared";

std::string reason() {
  return std::strerror(errno);
}

}  // namespace

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

SharedFile::SharedFile(SharedFile&& other) noexcept
    : fd_(std::move(other.fd_)), shared_(std::exchange(other.shared_, nullptr)), writable_(other.writable_) {}

SharedFile& SharedFile::operator=(SharedFile&& other) noexcept {
  if (this != &other) {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(abi::Shared));
    fd_ = std::move(other.fd_);
    shared_ = std::exchange(other.shared_, nullptr);
    writable_ = other.writable_;
  }
  return *this;
}

SharedFile::~SharedFile() {
  if (shared_ != nullptr) ::munmap(shared_, sizeof(abi::Shared));
}

abi::Shared& SharedFile::writable() noexcept {
  MUST(shared_ != nullptr && writable_);
  return *shared_;
}

std::string SharedFile::create(const StatePaths& paths, SharedFile& out) {
  const std::string temporary = paths.shared() + ".new";
  ::unlink(temporary.c_str());
  Fd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!fd) return fmt::format("cannot create {}: {}; name a writable directory with --state", temporary, reason());
  if (::posix_fallocate(fd.get(), 0, sizeof(abi::Shared)) != 0)
    return fmt::format("cannot make {} {} bytes large: free some room in {}", temporary, sizeof(abi::Shared),
                       paths.directory);
  void* memory = ::mmap(nullptr, sizeof(abi::Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return fmt::format("cannot map {}: {}", temporary, reason());
  SharedFile made;
  made.shared_ = new (memory) abi::Shared{};
  made.writable_ = true;
  made.fd_ = std::move(fd);
  abi::SharedHeader& header = made.shared_->header;
  header.bytes = sizeof(abi::Shared);
  header.created_unix_s = unix_seconds();
  if (::getrandom(&header.instance_id, sizeof header.instance_id, 0) != sizeof header.instance_id)
    header.instance_id = monotonic_ns();
  const std::string boot = boot_id();
  std::copy_n(boot.begin(), std::min(boot.size(), header.boot_id.size() - 1), header.boot_id.begin());
  abi::set_text(header.name, paths.name);
  abi::set_text(header.socket_path, paths.socket());
  if (::rename(temporary.c_str(), paths.shared().c_str()) != 0)
    return fmt::format("cannot move {} to {}: {}", temporary, paths.shared(), reason());
  out = std::move(made);
  return "";
}

std::string SharedFile::open(const std::string& path, bool writable, SharedFile& out) {
  SharedFile opened;
  opened.fd_ = Fd(::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!opened.fd_) return fmt::format("cannot open {}: {}", path, reason());
  struct stat status {};
  if (::fstat(opened.fd_.get(), &status) != 0) return fmt::format("cannot look at {}: {}", path, reason());
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < sizeof(abi::Shared)) return fmt::format("{}: {}", path, abi::shared_fault(nullptr, bytes));
  void* memory = ::mmap(nullptr, sizeof(abi::Shared), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                        opened.fd_.get(), 0);
  if (memory == MAP_FAILED) return fmt::format("cannot map {}: {}", path, reason());
  opened.shared_ = static_cast<abi::Shared*>(memory);
  opened.writable_ = writable;
  if (const char* fault = abi::shared_fault(&opened.shared_->header, bytes)) return fmt::format("{}: {}", path, fault);
  out = std::move(opened);
  return "";
}

void clear_dataplane(abi::Shared& shared) noexcept {
  new (&shared.dataplane) abi::DataplaneStatus{};
  for (abi::WorkerBlock& worker : shared.worker) new (&worker) abi::WorkerBlock{};
}

std::vector<std::string> appliances_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* listing = ::opendir(directory.c_str());
  if (listing == nullptr) return names;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view file = entry->d_name;
    if (file.size() > kSharedSuffix.size() && file.ends_with(kSharedSuffix))
      names.emplace_back(file.substr(0, file.size() - kSharedSuffix.size()));
  }
  ::closedir(listing);
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t process_start_ticks(pid_t pid) {
  if (pid <= 0) return 0;
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return 0;
  const std::size_t end_of_name = line.rfind(')');  // The name may hold anything, parentheses and blanks too.
  if (end_of_name == std::string::npos) return 0;
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string field;
  fields >> field;  // Field 3: the state.
  if (field == "Z" || field == "X") return 0;
  for (int number = 4; number <= 22; ++number) fields >> field;
  return fields ? std::strtoull(field.c_str(), nullptr, 10) : 0;
}

bool process_alive(pid_t pid, std::uint64_t start_ticks) {
  const std::uint64_t ticks = process_start_ticks(pid);
  return ticks != 0 && (start_ticks == 0 || ticks == start_ticks);
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

bool dataplane_alive(const abi::Shared& shared) {
  if (abi::text_of(shared.header.boot_id) != boot_id()) return false;
  const pid_t pid = dataplane_pid(shared);
  return pid != 0 && process_alive(pid, shared.control.child_start_ticks.load(std::memory_order_acquire));
}

pid_t dataplane_pid(const abi::Shared& shared) noexcept {
  const auto child = static_cast<pid_t>(shared.control.child_pid.load(std::memory_order_acquire));
  if (child != 0) return child;
  const auto supervision = static_cast<abi::Supervision>(shared.control.supervision.load(std::memory_order_acquire));
  return supervision == abi::Supervision::kStarting
             ? static_cast<pid_t>(shared.dataplane.pid.load(std::memory_order_acquire))
             : 0;
}

bool control_alive(const abi::Shared& shared, MonotonicNs now) {
  if (abi::text_of(shared.header.boot_id) != boot_id()) return false;
  const std::uint64_t beat = shared.control.heartbeat_ns.load(std::memory_order_relaxed);
  const auto pid = static_cast<pid_t>(shared.control.pid.load(std::memory_order_relaxed));
  return pid != 0 && process_alive(pid, 0) && (beat >= now || now - beat < kControlSilentNs);
}

MonotonicNs monotonic_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<MonotonicNs>(now.tv_sec) * 1'000'000'000 + static_cast<MonotonicNs>(now.tv_nsec);
}

std::uint64_t unix_seconds() noexcept {
  return static_cast<std::uint64_t>(::time(nullptr));
}

}  // namespace gannet::control
