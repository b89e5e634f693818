#include "storage/arena.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <thread>

#include "storage/arena_pages.h"
#include "storage/base/must.h"

namespace gannet::storage {

namespace {

using detail::FileKind;
using detail::size_text;

constexpr unsigned kRegionsMax = 1024;
constexpr unsigned kThreadsMax = 64;
/// What one thread faults in at a time: large enough to cost nothing, small enough to share out evenly.
constexpr std::uint64_t kFaultStepBytes = std::uint64_t{64} << 20;
/// Where the memory is mapped if that is free, 384 GiB. A device behind an IOMMU sends values from it under the same
/// addresses, and an IOMMU may know 39 bits of them only, where mmap's own choice has 47. DPDK's memory lies from
/// 4 GiB on.
constexpr std::uintptr_t kWishedAddress = 0x60'0000'0000;

std::string errno_text(int error) {
  return std::strerror(error);
}

constexpr std::uint64_t round_up(std::uint64_t bytes, std::uint64_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

bool known_page_size(std::uint64_t page_bytes) {
  return page_bytes == kSmallPageBytes || page_bytes == kHugePageBytes || page_bytes == kGiantPageBytes;
}

/// The file the arena will map, before it is mapped.
struct Source {
  int fd = -1;
  std::uint64_t bytes = 0;
  FileKind kind;
  std::uint64_t present_bytes = 0;  ///< Pages it already holds.
  std::string error;
};

Source failed(std::string error) {
  Source source;
  source.error = std::move(error);
  return source;
}

Source open_path(const std::string& path, std::uint64_t bytes) {
  const std::string named = "the item memory file \"" + path + "\" ";
  Source source;
  source.fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (source.fd < 0)
    return failed(named + "cannot be opened (" + errno_text(errno) +
                  "): name a file on a mounted hugetlbfs or tmpfs in [memory] path");
  source.kind = detail::file_kind(source.fd);
  if (source.kind.where == FileKind::kElsewhere) {
    source.error = named + "lies on a disk: name a file on a mounted hugetlbfs or tmpfs in [memory] path";
    return source;
  }
  // The lock belongs to the open file and dies with its process.
  if (flock(source.fd, LOCK_EX | LOCK_NB) != 0) {
    source.error = named + "is in use by another process: stop that one or give this one another [memory] path";
    return source;
  }
  source.bytes = round_up(bytes, source.kind.page_bytes);
  if (ftruncate(source.fd, static_cast<off_t>(source.bytes)) != 0) {
    source.error =
        named + "cannot be made " + size_text(source.bytes) + " long (" + errno_text(errno) + "): lower [memory] size";
  }
  return source;
}

Source open_inherited(int fd, std::uint64_t bytes) {
  Source source;
  source.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  struct stat facts {};
  if (source.fd < 0 || fstat(source.fd, &facts) != 0) {
    source.error = "the inherited item memory (descriptor " + std::to_string(fd) + ") is not open (" +
                   errno_text(errno) + "): start gannetd through gannet-control";
    return source;
  }
  source.kind = detail::file_kind(source.fd);
  if (source.kind.where == FileKind::kElsewhere) {
    source.error = "the inherited item memory (descriptor " + std::to_string(fd) +
                   ") is no memory file: pass a memfd, or a file on hugetlbfs or tmpfs";
    return source;
  }
  source.bytes = static_cast<std::uint64_t>(facts.st_size);
  if (source.bytes == 0 || (bytes != 0 && round_up(bytes, source.kind.page_bytes) != source.bytes)) {
    source.error = "the inherited item memory holds " + size_text(source.bytes) + " and not the " + size_text(bytes) +
                   " asked for: restart gannet-control so that it makes a new one";
  }
  return source;
}

Source open_source(const ArenaOptions& options) {
  Source source;
  if (options.fd >= 0) {
    source = open_inherited(options.fd, options.bytes);
  } else if (!options.path.empty()) {
    source = open_path(options.path, options.bytes);
  } else {
    MemoryFile file = create_memory_file("gannet-items", options.bytes, options.page_bytes);
    if (file.fd < 0) return failed(std::move(file.error));
    source = open_inherited(file.fd, 0);
    ::close(file.fd);
  }
  struct stat facts {};
  if (source.error.empty() && fstat(source.fd, &facts) == 0)
    source.present_bytes = static_cast<std::uint64_t>(facts.st_blocks) * 512;
  return source;
}

/// Why the whole of a source could not be mapped or faulted in.
std::string no_room(const Source& source, int node, int error) {
  const std::uint64_t missing = source.bytes - std::min(source.bytes, source.present_bytes);
  if (source.kind.where == FileKind::kHugetlb)
    return detail::too_few_pages(source.kind.page_bytes, missing / source.kind.page_bytes, node);
  const std::string why = error == EFAULT ? "no room is left" : errno_text(error);
  return "the item memory of " + size_text(source.bytes) + " could not be filled with pages (" + why +
         "): lower [memory] size, or enlarge the tmpfs it lies on";
}

/// Touches every page of [base, base + bytes) for writing, on `threads` threads, without changing a byte. 0 or the
/// first errno.
int fault_in(std::byte* base, std::uint64_t bytes, unsigned threads) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<int> first_error{0};
  const auto work = [&] {
    while (first_error.load(std::memory_order_relaxed) == 0) {
      const std::uint64_t at = next.fetch_add(kFaultStepBytes, std::memory_order_relaxed);
      if (at >= bytes) return;
      const std::uint64_t step = std::min(kFaultStepBytes, bytes - at);
      while (madvise(base + at, step, MADV_POPULATE_WRITE) != 0) {
        if (errno == EINTR || errno == EAGAIN) continue;
        int none = 0;
        first_error.compare_exchange_strong(none, errno, std::memory_order_relaxed);
        return;
      }
    }
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < threads; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  return first_error.load(std::memory_order_relaxed);
}

std::string judge(const ArenaOptions& options) {
  if (options.bytes == 0 && options.fd < 0) return "the item memory has no size: set [memory] size";
  if (!known_page_size(options.page_bytes)) {
    return "item memory cannot be made of pages of " + size_text(options.page_bytes) +
           ": use 4 KiB, 2 MiB or 1 GiB in [memory] page";
  }
  if (options.regions == 0 || options.regions > kRegionsMax) {
    return "the item memory cannot be divided into " + std::to_string(options.regions) + " regions: 1 to " +
           std::to_string(kRegionsMax);
  }
  if (!options.nodes.empty() && options.nodes.size() != options.regions) {
    return std::to_string(options.nodes.size()) + " NUMA nodes were given for " + std::to_string(options.regions) +
           " regions of item memory";
  }
  return {};
}

}  // namespace

MemoryFile create_memory_file(std::string_view name, std::uint64_t bytes, std::uint64_t page_bytes) {
  if (!known_page_size(page_bytes)) {
    return {-1, "item memory cannot be made of pages of " + size_text(page_bytes) +
                    ": use 4 KiB, 2 MiB or 1 GiB in [memory] page"};
  }
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (page_bytes != kSmallPageBytes) {
    flags |= MFD_HUGETLB | static_cast<unsigned>(std::countr_zero(page_bytes)) << MFD_HUGE_SHIFT;
  }
  const int fd = memfd_create(std::string(name).c_str(), flags);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENODEV || errno == EINVAL || errno == ENOMEM) {
      return {-1, "this kernel has no pages of " + size_text(page_bytes) +
                      ": use another [memory] page (\"2MiB\" or \"4KiB\")"};
    }
    return {-1, "a memory file could not be made (" + errno_text(errno) + ")"};
  }
  const std::uint64_t whole = round_up(bytes, page_bytes);
  if (ftruncate(fd, static_cast<off_t>(whole)) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    const int error = errno;
    ::close(fd);
    return {-1, "a memory file of " + size_text(whole) + " could not be made (" + errno_text(error) +
                    "): lower [memory] size"};
  }
  return {fd, {}};
}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, bytes_);
  if (fd_ >= 0) ::close(fd_);
}

void Arena::swap(Arena& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(bytes_, other.bytes_);
  std::swap(page_bytes_, other.page_bytes_);
  std::swap(fd_, other.fd_);
  std::swap(regions_, other.regions_);
  std::swap(kept_, other.kept_);
}

MutableBytes Arena::region(unsigned index) const noexcept {
  MUST_LT(index, regions_);
  const std::uint64_t grain = bytes_ / page_bytes_ >= regions_ ? page_bytes_ : kSmallPageBytes;
  const std::uint64_t grains = bytes_ / grain;
  const std::uint64_t begin = grains * index / regions_ * grain, end = grains * (index + 1) / regions_ * grain;
  return {base_ + begin, end - begin};
}

ArenaResult Arena::open(const ArenaOptions& options) {
  ArenaResult result;
  result.error = judge(options);
  if (!result.error.empty()) return result;
  const Source source = open_source(options);
  Arena arena;  // Closes what is open on every way out.
  arena.fd_ = source.fd;
  if (!source.error.empty()) {
    result.error = source.error;
    return result;
  }
  arena.page_bytes_ = source.kind.page_bytes;
  arena.regions_ = options.regions;
  arena.kept_ = source.present_bytes != 0;
  if (source.bytes / kSmallPageBytes < options.regions) {
    result.error = "item memory of " + size_text(source.bytes) + " is too small for " +
                   std::to_string(options.regions) + " regions: raise [memory] size";
    return result;
  }
  if (source.kind.where == FileKind::kTmpfs) {
    // Small pages come from all of the machine's memory, and the kernel rather kills a process than refuse one.
    const std::uint64_t missing = source.bytes - std::min(source.bytes, source.present_bytes),
                        free = detail::memory_available();
    if (free != 0 && missing > free) {
      result.error = "the item memory needs " + size_text(round_up(missing, 1 << 20)) + " more and the machine has " +
                     size_text(free >> 20 << 20) + " available: lower [memory] size";
      return result;
    }
    result.warnings.push_back(
        "item memory is made of 4 KiB pages, which costs a third or more of the speed: use [memory] page = \"2MiB\" "
        "and reserve hugepages");
  }

  // Mapping reserves hugepages (of the machine, not of a node), so that too few of them is refused here and not by a
  // signal later.
  void* const wished = reinterpret_cast<void*>(kWishedAddress);  // NOLINT(performance-no-int-to-ptr)
  void* const base = mmap(wished, source.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, source.fd, 0);
  if (base == MAP_FAILED) {
    result.error = no_room(source, -1, errno);
    return result;
  }
  arena.base_ = static_cast<std::byte*>(base);
  arena.bytes_ = source.bytes;
  madvise(base, source.bytes,
          MADV_DONTDUMP);  // Clients' data has no place in a core file, and gigabytes delay the restart.
  if (source.kind.where == FileKind::kTmpfs) madvise(base, source.bytes, MADV_HUGEPAGE);

  for (unsigned i = 0; i < options.nodes.size(); ++i) {
    if (options.nodes[i] < 0) continue;
    const MutableBytes part = arena.region(i);
    const int error = detail::bind_to_node(part.data(), part.size(), options.nodes[i], !options.allow_remote);
    // A kernel without NUMA has one node, and that is where the memory is.
    if (error != 0 && !(error == ENOSYS && options.nodes[i] == 0)) {
      result.warnings.push_back("region " + std::to_string(i) + " of the item memory could not be bound to NUMA node " +
                                std::to_string(options.nodes[i]) + " (" + errno_text(error) +
                                "): its pages lie where the kernel puts them");
    }
  }
  const unsigned threads = std::clamp(options.threads, 1u, kThreadsMax);
  for (unsigned i = 0; i < options.regions; ++i) {
    const MutableBytes part = arena.region(i);
    const int node = options.nodes.empty() || options.allow_remote ? -1 : options.nodes[i];
    if (const int error = fault_in(part.data(), part.size(), threads); error != 0) {
      result.error = no_room(source, node, error);
      return result;
    }
    // Pages a file kept from before lie where they lay; one look at either end tells.
    if (node < 0) continue;
    for (std::byte* const at : {part.data(), part.data() + part.size() - 1}) {
      const int found = detail::node_of(at);
      if (found < 0 || found == node) continue;
      result.warnings.push_back("region " + std::to_string(i) + " of the item memory lies on NUMA node " +
                                std::to_string(found) + " and not on " + std::to_string(node) +
                                ": restart with new item memory to move it");
      break;
    }
  }
  result.arena = std::move(arena);
  return result;
}

}  // namespace gannet::storage
