/// The item memory of an appliance: mapped, and either taken over from an earlier gannetd or laid out anew. Knows
/// storage and the routing of keys, and neither devices nor workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/abi/shared.h"
#include "storage/arena.h"
#include "storage/shard.h"

namespace gannet::dataplane {

struct ItemsWish {
  storage::ArenaOptions memory;  ///< `regions` is the number of shards.
  int former_fd = -1;            ///< Other memory that the items are to be moved from; -1: none.
  std::uint32_t segment_bytes = 0, item_bytes_max = 0;
  UnixSeconds now = 0;
  storage::HashKey hash_key;  ///< Random; for memory that has none yet.
  /// Of each shard, how much of what was left is read before anything is served.
  std::uint64_t restore_first_bytes = 0;
  /// Called on the thread that prepares shard `index`, before it does; may be empty.
  std::function<void(std::uint32_t index)> place_thread;
};

struct Items {
  storage::Arena arena;
  std::vector<std::unique_ptr<storage::Shard>> shards;  ///< One a region; the caller's, to bind to their threads.
  bool warm = false;                                    ///< At least one of them holds what was left.
  std::string story;                                    ///< Why it is warm or cold, in a few words.
  std::vector<std::string> warnings;                    ///< Sentences with the fix.
};

/// "" or one sentence with the fix. Blocks: see Arena::open and Shard::attach; one thread a shard.
[[nodiscard]] std::string open_items(const ItemsWish& wish, Items& out);

}  // namespace gannet::dataplane
