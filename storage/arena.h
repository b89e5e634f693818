/// The memory of the item store: one file (an unnamed one, an inherited one, or a path on hugetlbfs or tmpfs), mapped,
/// bound to NUMA nodes, faulted in whole before anything is served, and divided into one region per shard. Nothing here
/// runs once serving. The items lie in a file and not in anonymous memory so that another process can hold them while
/// this one is replaced.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/base/bytes.h"

namespace gannet::storage {

inline constexpr std::uint64_t kSmallPageBytes = 4096;
inline constexpr std::uint64_t kHugePageBytes = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kGiantPageBytes = std::uint64_t{1} << 30;

/// An unnamed file of memory. The caller owns `fd` (close-on-exec; -1 on failure, and `error` is one sentence with the
/// fix).
struct MemoryFile {
  int fd = -1;
  std::string error;
};

/// Makes one of `bytes` (rounded up to whole pages) out of pages of `page_bytes` (one of the three above); `name` shows
/// in /proc. Its size is sealed: nobody who holds it can shrink it under a reader. Takes no page yet: Arena::open does,
/// and says if there are too few.
[[nodiscard]] MemoryFile create_memory_file(std::string_view name, std::uint64_t bytes, std::uint64_t page_bytes);

struct ArenaOptions {
  /// Of all regions together; rounded up to whole pages. For an inherited file 0 means the size it has.
  std::uint64_t bytes = 0;
  /// For a file of our own. An inherited file or a path has the pages of its filesystem.
  std::uint64_t page_bytes = kHugePageBytes;
  /// An inherited file (create_memory_file's, say). Stays the caller's; the arena works on a duplicate. -1: none.
  int fd = -1;
  /// A file on hugetlbfs or tmpfs, created if absent, resized to `bytes`, locked against a second process. Empty: none.
  std::string path;
  /// One region per shard, 1..1024.
  unsigned regions = 1;
  /// The NUMA node of each region (one entry per region; -1: anywhere). Empty: no region is bound.
  std::vector<int> nodes;
  /// Takes pages of another node when the wanted one has too few, instead of refusing.
  bool allow_remote = false;
  /// Threads that fault pages in, 1..64. Clearing pages is nearly all of the time that takes.
  unsigned threads = 1;
};

struct ArenaResult;

/// Owns the mapping. Move-only; the memory goes away with it, the file's content with the last descriptor of the file.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    Arena taken(std::move(other));
    swap(taken);
    return *this;
  }

  /// Either an arena every byte of which can be touched without a fault, or a sentence. Blocks while pages are cleared
  /// (about 0.1 to 0.3 s a GiB and thread). Raises no signal: too few pages, a full tmpfs or a lost NUMA node are
  /// `error`.
  [[nodiscard]] static ArenaResult open(const ArenaOptions& options);

  [[nodiscard]] MutableBytes bytes() const noexcept { return {base_, bytes_}; }
  [[nodiscard]] std::uint64_t page_bytes() const noexcept { return page_bytes_; }
  /// The file, the arena's to close.
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// The file held pages before this open: another life's items may lie in it. Otherwise every byte is zero.
  [[nodiscard]] bool kept() const noexcept { return kept_; }
  [[nodiscard]] unsigned regions() const noexcept { return regions_; }
  /// The memory of shard `index` < regions(). Regions are equal to within one page, start on a page (on 4 KiB where
  /// there are fewer pages than regions), do not overlap and leave nothing over.
  [[nodiscard]] MutableBytes region(unsigned index) const noexcept;

 private:
  void swap(Arena& other) noexcept;

  std::byte* base_ = nullptr;
  std::uint64_t bytes_ = 0;
  std::uint64_t page_bytes_ = 0;
  int fd_ = -1;
  unsigned regions_ = 0;
  bool kept_ = false;
};

struct ArenaResult {
  Arena arena;
  std::string error;                  ///< Empty: `arena` is open.
  std::vector<std::string> warnings;  ///< Each a sentence with the fix; the arena works all the same.
};

/// Pages of one size that a new mapping could have now, machine-wide (node -1) or of one NUMA node; 0 where the kernel
/// has none of that size. The machine-wide number leaves out pages others have reserved; the kernel does not count
/// those by node.
[[nodiscard]] std::uint64_t huge_pages_free(std::uint64_t page_bytes, int node);

}  // namespace gannet::storage
