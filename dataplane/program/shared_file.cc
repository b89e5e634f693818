#include "dataplane/program/shared_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>

#include "control/abi/reader.h"

namespace gannet::dataplane {
namespace {

[[nodiscard]] std::string why() {
  return std::strerror(errno);
}

/// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

[[nodiscard]] void* map(int fd) {
  void* at = ::mmap(nullptr, sizeof(abi::Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

SharedMapping map_shared(std::string_view where) {
  const std::string name = "The shared file " + std::string(where);
  int number = -1;
  const auto [end, error] = std::from_chars(where.data(), where.data() + where.size(), number);
  const bool inherited = error == std::errc{} && end == where.data() + where.size();
  const Fd fd(inherited ? number : ::open(std::string(where).c_str(), O_RDWR | O_CLOEXEC));
  struct stat state {};
  if (fd.get() < 0 || ::fstat(fd.get(), &state) != 0)
    return {nullptr, name + " cannot be opened (" + why() + "): start gannetd through gannet-control, or use --dev."};
  if (static_cast<std::uint64_t>(state.st_size) < sizeof(abi::Shared))
    return {nullptr,
            name + " cannot be used: " + abi::shared_fault(nullptr, static_cast<std::size_t>(state.st_size)) + "."};
  void* at = map(fd.get());
  if (at == nullptr)
    return {nullptr, name + " cannot be mapped (" + why() + "): check the memory limit of the process."};
  auto* shared = std::launder(static_cast<abi::Shared*>(at));
  if (const char* fault = abi::shared_fault(&shared->header, static_cast<std::size_t>(state.st_size));
      fault != nullptr) {
    ::munmap(at, sizeof(abi::Shared));
    return {nullptr, name + " cannot be used: " + fault + "."};
  }
  return {shared, {}};
}

SharedMapping create_shared(const std::string& path) {
  const std::string name = path.empty() ? "An unnamed shared file" : "The shared file " + path;
  if (!path.empty()) ::unlink(path.c_str());
  const Fd fd(path.empty() ? ::memfd_create("gannet.shared", MFD_CLOEXEC)
                           : ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (fd.get() < 0) return {nullptr, name + " cannot be made (" + why() + "): choose a folder this user may write to."};
  if (::ftruncate(fd.get(), sizeof(abi::Shared)) != 0)
    return {nullptr, name + " cannot get its size (" + why() + "): free some space there."};
  void* at = map(fd.get());
  if (at == nullptr)
    return {nullptr, name + " cannot be mapped (" + why() + "): check the memory limit of the process."};
  auto* shared = ::new (at) abi::Shared{};
  shared->header.bytes = sizeof(abi::Shared);
  return {shared, {}};
}

}  // namespace gannet::dataplane
