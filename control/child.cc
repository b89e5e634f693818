#include "control/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

extern char** environ;

namespace gannet::control {
namespace {

constexpr int kSharedFd = 3, kMemoryFd = 4, kFormerFd = 5;

std::string reason() {
  return std::strerror(errno);
}

/// The environment without what speaks to this service alone.
std::vector<char*> child_environment() {
  std::vector<char*> kept;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry = *at;
    if (entry.starts_with("NOTIFY_SOCKET=") || entry.starts_with("WATCHDOG_") || entry.starts_with("LISTEN_")) continue;
    kept.push_back(*at);
  }
  kept.push_back(nullptr);
  return kept;
}

}  // namespace

namespace {

std::string make_anonymous(const Config& config, Fd& out) {
  unsigned flags = MFD_CLOEXEC;
  if (config.page_bytes == 2u << 20) flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  if (config.page_bytes == 1u << 30) flags |= MFD_HUGETLB | MFD_HUGE_1GB;
  out = Fd(static_cast<int>(::syscall(SYS_memfd_create, ("gannet-" + config.name).c_str(), flags)));
  if (out) return "";
  return fmt::format("this machine has no pages of {} ({}): choose another memory.page, or boot with hugepagesz={}",
                     format_size(config.page_bytes), reason(), config.page_bytes == 1u << 30 ? "1G" : "2M");
}

}  // namespace

std::string open_memory(const Config& config, bool fresh, Fd& out, Fd& former) {
  Fd fd;
  const char* const path = config.memory_path.c_str();
  if (config.memory_path.empty()) {
    if (std::string fault = make_anonymous(config, fd); !fault.empty()) return fault;
  } else {
    fd = Fd(::open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat found {};
    const auto wanted = static_cast<off_t>(config.memory_bytes);
    if (fd && ::fstat(fd.get(), &found) == 0 && found.st_size != 0 && (fresh || found.st_size != wanted)) {
      former = std::move(fd);
      ::unlink(path);
      fd = Fd(::open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    }
    if (!fd)
      return fmt::format("memory.path = \"{}\" cannot be opened: {}; name a file on hugetlbfs or tmpfs",
                         config.memory_path, reason());
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return fmt::format("the memory file cannot be looked at: {}", reason());
  if (static_cast<std::uint64_t>(status.st_size) != config.memory_bytes &&
      ::ftruncate(fd.get(), static_cast<off_t>(config.memory_bytes)) != 0)
    return fmt::format("the memory file cannot be made {} large: {}; choose a smaller memory.size",
                       format_size(config.memory_bytes), reason());
  out = std::move(fd);
  return "";
}

bool reserve_memory(const Fd& memory, std::uint64_t bytes) {
  // A shared mapping sets hugepages aside for the file, and they stay its own.
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (at == MAP_FAILED) return false;
  ::munmap(at, bytes);
  return true;
}

std::string spawn_dataplane(const std::string& program, int shared_fd, int memory_fd, int former_fd, pid_t& pid) {
  // Out of the way of the numbers they shall have: dup2 onto itself would keep close-on-exec, and one could overwrite
  // the other.
  const bool moves = former_fd >= 0;
  const Fd shared(::fcntl(shared_fd, F_DUPFD_CLOEXEC, 16)), memory(::fcntl(memory_fd, F_DUPFD_CLOEXEC, 16)),
      former(moves ? ::fcntl(former_fd, F_DUPFD_CLOEXEC, 16) : -1);
  if (!shared || !memory || (moves && !former)) return fmt::format("cannot duplicate descriptors: {}", reason());
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, shared.get(), kSharedFd);
  ::posix_spawn_file_actions_adddup2(&files, memory.get(), kMemoryFd);
  if (moves) ::posix_spawn_file_actions_adddup2(&files, former.get(), kFormerFd);
  ::posix_spawn_file_actions_addclosefrom_np(&files, moves ? kFormerFd + 1 : kFormerFd);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> words = {program, "--shared", std::to_string(kSharedFd), "--memory-fd",
                                    std::to_string(kMemoryFd)};
  if (moves) words.insert(words.end(), {"--former-fd", std::to_string(kFormerFd)});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment = child_environment();
  const int error = ::posix_spawnp(&pid, program.c_str(), &files, &attributes, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return fmt::format("gannetd cannot be started as {}: {}; name the program with --gannetd", program,
                       std::strerror(error));
  return "";
}

Fd watch_process(pid_t pid) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool signal_process(const Fd& watch, int signal) {
  return ::syscall(SYS_pidfd_send_signal, watch.get(), signal, nullptr, 0) == 0;
}

Fd take_memory_of(const Fd& watch) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, watch.get(), kMemoryFd, 0)));
}

std::string default_dataplane_program() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return "gannetd";
  const std::filesystem::path beside = self.parent_path() / "gannetd";
  return std::filesystem::exists(beside, error) ? beside.string() : "gannetd";
}

}  // namespace gannet::control
