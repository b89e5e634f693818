/// What the kernel says about pages, and the sentences made of it. Inside of the arena; not for others.
#pragma once

#include <cstdint>
#include <string>

namespace gannet::storage::detail {

/// "2 MiB", "1 GiB", "4 KiB"; other sizes in the largest unit that divides them.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// What the filesystem of an open file is made of.
struct FileKind {
  enum Where : std::uint8_t { kHugetlb, kTmpfs, kElsewhere } where = kElsewhere;
  std::uint64_t page_bytes = 0;
};
[[nodiscard]] FileKind file_kind(int fd);

/// Why `pages_needed` more hugepages could not be had, and the command that helps. `node` -1: machine-wide.
[[nodiscard]] std::string too_few_pages(std::uint64_t page_bytes, std::uint64_t pages_needed, int node);

/// MemAvailable of this machine in bytes; 0 if the kernel does not say.
[[nodiscard]] std::uint64_t memory_available();

/// Asks that pages of [at, at + bytes) come from `node` (only from it if `strict`). 0 or an errno.
[[nodiscard]] int bind_to_node(void* at, std::uint64_t bytes, int node, bool strict);

/// The node of the page at `at`, which is mapped and present; -1 where the kernel does not tell.
[[nodiscard]] int node_of(void* at);

}  // namespace gannet::storage::detail
