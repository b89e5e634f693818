/// Needs 2 MiB hugepages: at least kPagesWanted free. `echo 64 > /proc/sys/vm/nr_hugepages` as root makes them.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "storage/arena.h"

namespace {

using Catch::Matchers::Contains;
using gannet::storage::Arena;
using gannet::storage::ArenaOptions;
using gannet::storage::ArenaResult;
using gannet::storage::huge_pages_free;
using gannet::storage::kGiantPageBytes;
using gannet::storage::kHugePageBytes;

constexpr std::uint64_t kPagesWanted = 16;

void need_huge_pages() {
  if (huge_pages_free(kHugePageBytes, -1) >= kPagesWanted) return;
  std::puts("SKIPPED: fewer than 16 hugepages of 2 MiB are free");
  std::fflush(stdout);
  std::_Exit(77);
}

/// The page size the kernel used for the mapping that starts at `at`, in KiB, as /proc/self/smaps has it.
std::string mapped_with_pages_of_kib(const void* at) {
  std::ostringstream start;
  start << std::hex << reinterpret_cast<std::uintptr_t>(at) << '-';
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with(start.str())) found = true;
    if (found && line.starts_with("KernelPageSize:")) return line.substr(line.find_first_of("0123456789"));
  }
  return "not mapped";
}

TEST_CASE("an arena of hugepages has them all from the start, without a warning", "[storage][arena]") {
  need_huge_pages();
  ArenaOptions options;
  options.bytes = 8 * kHugePageBytes;
  options.regions = 3;
  options.nodes = {0, 0, -1};
  options.threads = 2;
  const ArenaResult result = Arena::open(options);
  REQUIRE(result.error.empty());
  REQUIRE(result.warnings.empty());
  REQUIRE(result.arena.page_bytes() == kHugePageBytes);
  REQUIRE(mapped_with_pages_of_kib(result.arena.bytes().data()) == "2048 kB");
  struct stat facts {};
  REQUIRE(fstat(result.arena.fd(), &facts) == 0);
  REQUIRE(static_cast<std::uint64_t>(facts.st_blocks) * 512 == 8 * kHugePageBytes);
  for (unsigned i = 0; i < 3; ++i) {
    REQUIRE(result.arena.region(i).size() % kHugePageBytes == 0);
    result.arena.region(i).back() = std::byte{1};
  }
}

TEST_CASE("hugepages that a file already holds are not asked for again", "[storage][arena]") {
  need_huge_pages();
  const auto file = gannet::storage::create_memory_file("gannet-test", 4 * kHugePageBytes, kHugePageBytes);
  REQUIRE(file.error.empty());
  ArenaOptions options;
  options.fd = file.fd;
  {
    const ArenaResult first = Arena::open(options);
    REQUIRE(first.error.empty());
    REQUIRE_FALSE(first.arena.kept());
    first.arena.bytes()[3 * kHugePageBytes] = std::byte{9};
  }
  const ArenaResult second = Arena::open(options);
  REQUIRE(second.error.empty());
  REQUIRE(second.arena.kept());
  REQUIRE(second.arena.bytes()[3 * kHugePageBytes] == std::byte{9});
  REQUIRE(close(file.fd) == 0);
}

TEST_CASE("a few hugepages too few: the sentence says how many, and the command that makes them", "[storage][arena]") {
  need_huge_pages();
  ArenaOptions options;
  options.bytes = (huge_pages_free(kHugePageBytes, -1) + 1000) * kHugePageBytes;
  const ArenaResult result = Arena::open(options);
  REQUIRE_THAT(result.error, Contains("hugepages of 2 MiB") && Contains("are free: run `echo ") &&
                                 Contains("> /proc/sys/vm/nr_hugepages`"));
}

TEST_CASE("pages of 1 GiB work where the machine has one, and are asked for by name where not", "[storage][arena]") {
  need_huge_pages();
  ArenaOptions options;
  options.bytes = kGiantPageBytes;
  options.page_bytes = kGiantPageBytes;
  options.regions = 2;
  const bool there = huge_pages_free(kGiantPageBytes, -1) > 0;
  const ArenaResult result = Arena::open(options);
  if (there) {
    REQUIRE(result.error.empty());
    REQUIRE(mapped_with_pages_of_kib(result.arena.bytes().data()) == "1048576 kB");
    REQUIRE(result.arena.region(1).size() == kGiantPageBytes / 2);
  } else {
    REQUIRE_THAT(result.error, Contains("1 GiB"));
  }
}

}  // namespace
