#include "storage/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

using Catch::Matchers::Contains;
using gannet::MutableBytes;
using gannet::storage::Arena;
using gannet::storage::ArenaOptions;
using gannet::storage::ArenaResult;
using gannet::storage::create_memory_file;
using gannet::storage::kHugePageBytes;
using gannet::storage::kSmallPageBytes;

constexpr std::uint64_t kMiB = 1 << 20;

ArenaOptions small_pages(std::uint64_t bytes) {
  ArenaOptions options;
  options.bytes = bytes;
  options.page_bytes = kSmallPageBytes;
  return options;
}

bool all_are(MutableBytes bytes, std::byte value) {
  return std::all_of(bytes.begin(), bytes.end(), [value](std::byte byte) { return byte == value; });
}

/// A folder on tmpfs of this test's own.
struct TmpfsFolder {
  TmpfsFolder() { REQUIRE(mkdtemp(name.data()) != nullptr); }
  ~TmpfsFolder() { std::filesystem::remove_all(name); }
  std::string name = "/dev/shm/gannet-arena-XXXXXX";
};

TEST_CASE("an arena of small pages is zero, writable to its last byte, and warns that it is slow", "[storage][arena]") {
  const ArenaResult result = Arena::open(small_pages(3 * kMiB));
  REQUIRE(result.error.empty());
  REQUIRE(result.warnings.size() == 1);
  REQUIRE_THAT(result.warnings.front(), Contains("4 KiB pages"));
  const MutableBytes bytes = result.arena.bytes();
  REQUIRE(bytes.size() == 3 * kMiB);
  REQUIRE(result.arena.page_bytes() == kSmallPageBytes);
  REQUIRE_FALSE(result.arena.kept());
  REQUIRE(all_are(bytes, std::byte{0}));
  std::fill(bytes.begin(), bytes.end(), std::byte{0xa5});
  REQUIRE(all_are(bytes, std::byte{0xa5}));
}

#ifndef __SANITIZE_ADDRESS__  // Whose shadow lies there.
TEST_CASE("an arena lies where a device behind an IOMMU of 39 address bits reaches it", "[storage][arena]") {
  const ArenaResult result = Arena::open(small_pages(4 * kMiB));
  REQUIRE(result.error.empty());
  const auto last = reinterpret_cast<std::uintptr_t>(result.arena.bytes().data() + result.arena.bytes().size() - 1);
  REQUIRE(last >> 39 == 0);
}
#endif

TEST_CASE("every page is there before open gives the arena out", "[storage][arena]") {
  ArenaOptions options = small_pages(200 * kMiB);  // More than one step of the helpers, and no multiple of it.
  options.threads = 3;
  const ArenaResult result = Arena::open(options);
  REQUIRE(result.error.empty());
  struct stat facts {};
  REQUIRE(fstat(result.arena.fd(), &facts) == 0);
  REQUIRE(static_cast<std::uint64_t>(facts.st_blocks) * 512 == 200 * kMiB);
}

TEST_CASE("regions start on pages, follow each other without gap or overlap, and are equal to within a page",
          "[storage][arena]") {
  for (const unsigned regions : {1u, 2u, 3u, 7u, 64u}) {
    ArenaOptions options = small_pages(1 * kMiB + 1);
    options.regions = regions;
    const ArenaResult result = Arena::open(options);
    REQUIRE(result.error.empty());
    const MutableBytes whole = result.arena.bytes();
    REQUIRE(whole.size() == 1 * kMiB + kSmallPageBytes);
    const std::byte* next = whole.data();
    for (unsigned i = 0; i < regions; ++i) {
      const MutableBytes part = result.arena.region(i);
      REQUIRE(part.data() == next);
      REQUIRE(part.size() % kSmallPageBytes == 0);
      REQUIRE(part.size() >= whole.size() / regions - kSmallPageBytes);
      REQUIRE(part.size() <= whole.size() / regions + kSmallPageBytes);
      next += part.size();
    }
    REQUIRE(next == whole.data() + whole.size());
  }
}

TEST_CASE("an inherited file keeps its bytes from one arena to the next", "[storage][arena]") {
  const auto file = create_memory_file("gannet-test", 2 * kMiB, kSmallPageBytes);
  REQUIRE(file.error.empty());
  ArenaOptions options;
  options.fd = file.fd;
  {
    const ArenaResult first = Arena::open(options);
    REQUIRE(first.error.empty());
    REQUIRE_FALSE(first.arena.kept());
    first.arena.bytes()[kMiB] = std::byte{42};
  }
  const ArenaResult second = Arena::open(options);
  REQUIRE(second.error.empty());
  REQUIRE(second.arena.kept());
  REQUIRE(second.arena.bytes().size() == 2 * kMiB);
  REQUIRE(second.arena.bytes()[kMiB] == std::byte{42});
  REQUIRE(second.arena.fd() != file.fd);
  REQUIRE(close(file.fd) == 0);
}

TEST_CASE("nobody can shrink a memory file under its readers", "[storage][arena]") {
  const auto file = create_memory_file("gannet-test", kMiB, kSmallPageBytes);
  REQUIRE(file.error.empty());
  REQUIRE(ftruncate(file.fd, 4096) != 0);
  REQUIRE(errno == EPERM);
  REQUIRE((fcntl(file.fd, F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(close(file.fd) == 0);
}

TEST_CASE("what was inherited and is not the memory asked for is refused in a sentence", "[storage][arena]") {
  ArenaOptions options;
  const auto file = create_memory_file("gannet-test", kMiB, kSmallPageBytes);
  options.fd = file.fd;
  options.bytes = 4 * kMiB;
  CHECK_THAT(Arena::open(options).error, Contains("holds 1 MiB and not the 4 MiB"));
  REQUIRE(close(file.fd) == 0);
  CHECK_THAT(Arena::open(options).error, Contains("is not open"));
  const int null_device = open("/dev/null", O_RDWR | O_CLOEXEC);
  options.fd = null_device;
  const std::string error = Arena::open(options).error;
  CHECK_FALSE(error.empty());
  REQUIRE(close(null_device) == 0);
}

TEST_CASE("a path on tmpfs is made, kept over a restart, resized, and never shared by two", "[storage][arena]") {
  const TmpfsFolder folder;
  ArenaOptions options = small_pages(kMiB);
  options.path = folder.name + "/items";
  {
    const ArenaResult first = Arena::open(options);
    REQUIRE(first.error.empty());
    REQUIRE_FALSE(first.arena.kept());
    first.arena.bytes()[7] = std::byte{7};
    REQUIRE_THAT(Arena::open(options).error, Contains("in use by another process"));
  }
  options.bytes = 2 * kMiB;
  const ArenaResult second = Arena::open(options);
  REQUIRE(second.error.empty());
  REQUIRE(second.arena.kept());
  REQUIRE(second.arena.bytes().size() == 2 * kMiB);
  REQUIRE(second.arena.bytes()[7] == std::byte{7});
  REQUIRE(second.arena.bytes()[2 * kMiB - 1] == std::byte{0});
}

TEST_CASE("a path that cannot hold memory is refused in a sentence that names the key", "[storage][arena]") {
  ArenaOptions options = small_pages(kMiB);
  options.path = "/dev/shm/gannet-no-such-folder/items";
  CHECK_THAT(Arena::open(options).error, Contains("cannot be opened") && Contains("[memory] path"));
  options.path = "/dev/shm";
  CHECK_THAT(Arena::open(options).error, Contains("cannot be opened"));
  options.path = "/dev/null";
  CHECK_FALSE(Arena::open(options).error.empty());
}

TEST_CASE("wishes that make no sense are refused before anything is opened", "[storage][arena]") {
  CHECK_THAT(Arena::open({}).error, Contains("[memory] size"));
  ArenaOptions options = small_pages(kMiB);
  options.page_bytes = 3 * kMiB;
  CHECK_THAT(Arena::open(options).error, Contains("3 MiB") && Contains("[memory] page"));
  CHECK_THAT(create_memory_file("gannet-test", kMiB, 8192).error, Contains("8 KiB"));
  options = small_pages(kMiB);
  options.regions = 0;
  CHECK_THAT(Arena::open(options).error, Contains("0 regions"));
  options.regions = 300;
  CHECK_THAT(Arena::open(options).error, Contains("too small for 300 regions"));
  options.regions = 2;
  options.nodes = {0};
  CHECK_THAT(Arena::open(options).error, Contains("1 NUMA nodes were given for 2 regions"));
}

TEST_CASE("more memory than the machine has is an answer, not a signal", "[storage][arena]") {
  CHECK_THAT(Arena::open(small_pages(std::uint64_t{1} << 45)).error, Contains("lower [memory] size"));
  ArenaOptions options;
  options.bytes = std::uint64_t{1} << 45;
  options.page_bytes = kHugePageBytes;
  CHECK_THAT(Arena::open(options).error, Contains("2 MiB") && (Contains("echo") || Contains("no pages")));
}

TEST_CASE("a NUMA node that is not there costs a warning, node 0 costs none", "[storage][arena]") {
  ArenaOptions options = small_pages(kMiB);
  options.regions = 2;
  options.nodes = {0, -1};
  const ArenaResult here = Arena::open(options);
  REQUIRE(here.error.empty());
  REQUIRE(here.warnings.size() == 1);  // The small pages.
  options.nodes = {0, 1000};
  const ArenaResult nowhere = Arena::open(options);
  REQUIRE(nowhere.error.empty());
  REQUIRE(nowhere.warnings.size() >= 2);
  REQUIRE_THAT(nowhere.warnings[1], Contains("region 1") && Contains("NUMA node 1000"));
}

TEST_CASE("an arena moves without moving its bytes, and closes what it held", "[storage][arena]") {
  ArenaResult first = Arena::open(small_pages(kMiB));
  ArenaResult second = Arena::open(small_pages(2 * kMiB));
  REQUIRE(first.error.empty());
  REQUIRE(second.error.empty());
  const std::byte* const where = second.arena.bytes().data();
  const int fd = first.arena.fd();
  first.arena = std::move(second.arena);
  REQUIRE(first.arena.bytes().data() == where);
  REQUIRE(first.arena.bytes().size() == 2 * kMiB);
  REQUIRE(second.arena.bytes().empty());
  REQUIRE(fcntl(fd, F_GETFD) == -1);
}

}  // namespace
