#include "tools/gannet-replay/trace.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace gannet::replay {
namespace {

constexpr std::uint32_t kKeyBytesMax = 250;

std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

bool Trace::open(const std::string& path, std::string& why) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    why = path + " cannot be read: " + std::strerror(errno) + ".";
    if (fd >= 0) ::close(fd);
    return false;
  }
  bytes_ = static_cast<std::size_t>(status.st_size);
  if (bytes_ == 0 || bytes_ % kRecordBytes != 0) {
    why = path + " is no trace: its size is no multiple of 20 bytes (unpack it with zstd -d first?).";
    ::close(fd);
    return false;
  }
  void* const at = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) {
    why = path + " cannot be mapped: " + std::strerror(errno) + ".";
    return false;
  }
  data_ = static_cast<const std::byte*>(at);
  (void)::madvise(at, bytes_, MADV_SEQUENTIAL);
  name_ = std::filesystem::path(path).stem().string();
  std::uint32_t second = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    const Request request = (*this)[i];
    const bool known = request.operation == Operation::kGet || request.operation == Operation::kSet ||
                       request.operation == Operation::kDelete;
    if (known && request.second >= second && request.key_bytes >= 1 && request.key_bytes <= kKeyBytesMax) {
      second = request.second;
      continue;
    }
    why = path + ": record " + std::to_string(i) + " is not one of a trace (operation " +
          std::to_string(static_cast<int>(request.operation)) + ", key of " + std::to_string(request.key_bytes) +
          " bytes, second " + std::to_string(request.second) + " after " + std::to_string(second) + ").";
    return false;
  }
  return true;
}

Trace::~Trace() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), bytes_);
}

void write_key(std::uint64_t id, std::byte* out, std::uint32_t bytes) noexcept {
  for (std::uint32_t i = bytes; i-- > 0; id >>= 4) out[i] = static_cast<std::byte>("0123456789abcdef"[id & 15]);
}

void write_value(std::uint64_t id, std::byte* out, std::uint32_t bytes) noexcept {
  const std::uint64_t pattern[2] = {mix(id), mix(~id)};
  std::uint32_t done = 0;
  for (; done + sizeof pattern <= bytes; done += sizeof pattern) std::memcpy(out + done, pattern, sizeof pattern);
  std::memcpy(out + done, pattern, bytes - done);
}

bool is_value(std::uint64_t id, Bytes value, std::uint32_t bytes) noexcept {
  if (value.size() != bytes) return false;
  const std::uint64_t pattern[2] = {mix(id), mix(~id)};
  const std::uint32_t head = bytes < sizeof pattern ? bytes : static_cast<std::uint32_t>(sizeof pattern);
  const std::uint32_t tail = bytes % sizeof pattern;
  return std::memcmp(value.data(), pattern, head) == 0 &&
         std::memcmp(value.data() + (bytes - tail), pattern, tail) == 0;
}

}  // namespace gannet::replay
