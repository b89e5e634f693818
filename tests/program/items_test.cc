// The item memory from one gannetd to the next: kept, moved, or given up with a sentence.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "dataplane/core/routing.h"
#include "dataplane/program/items.h"

using namespace gannet;
using dataplane::Items;
using dataplane::ItemsWish;
using dataplane::worker_of;

namespace {

constexpr UnixSeconds kNow = 1'000'000;
constexpr int kKeys = 2000;

/// A file of memory that outlives whoever maps it.
struct Memory {
  explicit Memory(std::uint64_t bytes) : file(storage::create_memory_file("items-test", bytes, 4096)) {
    REQUIRE(file.error.empty());
  }
  ~Memory() { ::close(file.fd); }
  storage::MemoryFile file;
};

ItemsWish wish_of(const Memory& memory, unsigned workers) {
  ItemsWish wish;
  wish.memory.fd = memory.file.fd;
  wish.memory.regions = workers;
  wish.now = kNow;
  wish.hash_key = {workers, 5};
  wish.restore_first_bytes = ~std::uint64_t{0};
  return wish;
}

std::string key_of(int key) {
  return "key:" + std::to_string(key);
}

void fill(Items& items) {
  for (int key = 0; key < kKeys; ++key) {
    const std::string text = key_of(key);
    storage::Shard& shard = *items.shards[worker_of(as_bytes(text), static_cast<std::uint32_t>(items.shards.size()))];
    storage::SetRequest request;
    request.key = as_bytes(text);
    request.value_bytes = static_cast<std::uint32_t>(text.size());
    std::uint64_t cas = 0;
    REQUIRE(shard.set(shard.hash(request.key), request, as_bytes(text), kNow, cas) == storage::StoreStatus::kStored);
  }
}

int found(Items& items) {
  int hits = 0;
  for (int key = 0; key < kKeys; ++key) {
    const std::string text = key_of(key);
    storage::Shard& shard = *items.shards[worker_of(as_bytes(text), static_cast<std::uint32_t>(items.shards.size()))];
    shard.bind_owner();
    storage::ItemView view;
    if (shard.find(shard.hash(as_bytes(text)), as_bytes(text), kNow, view) != storage::FindStatus::kHit) continue;
    REQUIRE(as_text(view.value) == text);
    ++hits;
  }
  return hits;
}

}  // namespace

TEST_CASE("items outlive the process that stored them, in the same memory", "[items]") {
  const Memory memory(8 << 20);
  {
    Items items;
    REQUIRE(open_items(wish_of(memory, 2), items).empty());
    REQUIRE_FALSE(items.warm);
    REQUIRE(items.story == "the memory is new");
    fill(items);
  }
  Items items;
  REQUIRE(open_items(wish_of(memory, 2), items).empty());
  REQUIRE(items.warm);
  REQUIRE(items.story == "the items were left by a process that died");
  REQUIRE(found(items) == kKeys);
  for (const std::string& warning : items.warnings) REQUIRE(warning.find("Started without") == std::string::npos);
}

TEST_CASE("another number of workers or size of memory moves every item to its new owner", "[items]") {
  const Memory memory(8 << 20), smaller(6 << 20);
  {
    Items items;
    REQUIRE(open_items(wish_of(memory, 2), items).empty());
    fill(items);
  }
  {
    Items items;
    ItemsWish wish = wish_of(smaller, 3);
    wish.former_fd = memory.file.fd;
    REQUIRE(open_items(wish, items).empty());
    REQUIRE(items.warm);
    REQUIRE(items.story == "2000 items were moved from memory that was divided otherwise");
    REQUIRE(found(items) == kKeys);
  }
  Items items;  // And there they stay.
  REQUIRE(open_items(wish_of(smaller, 3), items).empty());
  REQUIRE(items.warm);
  REQUIRE(found(items) == kKeys);
}

TEST_CASE("memory divided otherwise and not given to move from starts cold and says so", "[items]") {
  const Memory memory(8 << 20);
  {
    Items items;
    REQUIRE(open_items(wish_of(memory, 2), items).empty());
    fill(items);
  }
  Items items;
  REQUIRE(open_items(wish_of(memory, 1), items).empty());
  REQUIRE_FALSE(items.warm);
  REQUIRE(items.story == "the items were left to 2 workers and now there are 1");
  REQUIRE(items.warnings.back() == "Started without the items left before: " + items.story + ".");
  REQUIRE(found(items) == 0);
}
