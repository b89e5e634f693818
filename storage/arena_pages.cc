#include "storage/arena_pages.h"

#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <limits>

#include "storage/arena.h"

namespace gannet::storage {

namespace {

std::string hugepage_folder(std::uint64_t page_bytes, int node) {
  const std::string inside = "hugepages/hugepages-" + std::to_string(page_bytes / 1024) + "kB/";
  if (node < 0) return "/sys/kernel/mm/" + inside;
  return "/sys/devices/system/node/node" + std::to_string(node) + "/" + inside;
}

std::uint64_t read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  file >> number;
  return file ? number : 0;
}

}  // namespace

std::uint64_t huge_pages_free(std::uint64_t page_bytes, int node) {
  const std::string folder = hugepage_folder(page_bytes, node);
  const std::uint64_t free = read_number(folder + "free_hugepages");
  const std::uint64_t reserved = node < 0 ? read_number(folder + "resv_hugepages") : 0;
  return free > reserved ? free - reserved : 0;
}

namespace detail {

std::string size_text(std::uint64_t bytes) {
  constexpr std::array<const char*, 4> kUnits{" B", " KiB", " MiB", " GiB"};
  std::size_t unit = 0;
  while (unit + 1 < kUnits.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

FileKind file_kind(int fd) {
  struct statfs facts {};
  if (fstatfs(fd, &facts) != 0) return {};
  if (static_cast<std::uint64_t>(facts.f_type) == HUGETLBFS_MAGIC) {
    return {FileKind::kHugetlb, static_cast<std::uint64_t>(facts.f_bsize)};
  }
  if (static_cast<std::uint64_t>(facts.f_type) == TMPFS_MAGIC) return {FileKind::kTmpfs, kSmallPageBytes};
  return {};
}

std::string too_few_pages(std::uint64_t page_bytes, std::uint64_t pages_needed, int node) {
  const std::string folder = hugepage_folder(page_bytes, node);
  const std::uint64_t free = huge_pages_free(page_bytes, node);
  const std::string where = node < 0 ? "" : " on NUMA node " + std::to_string(node);
  const std::string lack = "the item memory needs " + std::to_string(pages_needed) + " more hugepages of " +
                           size_text(page_bytes) + where + ", " + std::to_string(free) + " are free: ";
  if (access(folder.c_str(), F_OK) != 0) {
    return lack + "this kernel has no pages of that size" + where + "; use [memory] page = \"2MiB\" or \"4KiB\"";
  }
  if (free >= pages_needed) {
    return lack +
           "the kernel still refused them; look for a hugetlb limit of this cgroup or a cpuset without that node";
  }
  const std::uint64_t total = read_number(folder + "nr_hugepages") + pages_needed - free;
  const std::string file =
      node < 0 && page_bytes == kHugePageBytes ? "/proc/sys/vm/nr_hugepages" : folder + "nr_hugepages";
  std::string fix = "run `echo " + std::to_string(total) + " > " + file + "` or lower [memory] size";
  if (page_bytes == kGiantPageBytes) {
    fix += " (a machine that has run for a while may have to be booted with hugepagesz=1G hugepages=" +
           std::to_string(total) + ")";
  }
  return lack + fix;
}

std::uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  while (file >> name) {
    std::uint64_t kib = 0;
    if (name == "MemAvailable:" && file >> kib) return kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

int bind_to_node(void* at, std::uint64_t bytes, int node, bool strict) {
  std::array<unsigned long, 16> mask{};  // 1024 nodes, the kernel's own limit.
  constexpr unsigned kBits = 8 * sizeof(unsigned long);
  if (node < 0 || static_cast<unsigned>(node) >= mask.size() * kBits) return EINVAL;
  mask[static_cast<unsigned>(node) / kBits] = 1UL << (static_cast<unsigned>(node) % kBits);
  const int mode = strict ? MPOL_BIND : MPOL_PREFERRED;
  // The kernel takes the number of bits plus one.
  return syscall(SYS_mbind, at, bytes, mode, mask.data(), mask.size() * kBits + 1, 0UL) == 0 ? 0 : errno;
}

int node_of(void* at) {
  int node = -1;
  if (syscall(SYS_get_mempolicy, &node, nullptr, 0UL, at, static_cast<unsigned long>(MPOL_F_NODE | MPOL_F_ADDR)) != 0)
    return -1;
  return node;
}

}  // namespace detail
}  // namespace gannet::storage
