#include "dataplane/program/items.h"

#include <algorithm>
#include <thread>

#include "dataplane/core/routing.h"
#include "storage/attach.h"
#include "storage/geometry.h"

namespace gannet::dataplane {
namespace {

using storage::AttachReport;
using storage::AttachStatus;
using storage::Shard;

/// Runs `work(i)` for 0..count-1, each on a thread of its own: where the caller runs stays the caller's business.
template <class Work>
void on_threads(std::uint32_t count, const Work& work) {
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

/// What to say of all shards' reports: the first that was refused although something was there, or the first.
[[nodiscard]] const AttachReport& telling(const std::vector<AttachReport>& reports) {
  const auto refused = std::find_if(reports.begin(), reports.end(), [](const AttachReport& report) {
    return report.status != AttachStatus::kAttached && report.status != AttachStatus::kFresh;
  });
  return refused != reports.end() ? *refused : reports.front();
}

/// The shards in other memory, every item of them known; empty, and `why` says so, if there is nothing to take.
struct Former {
  storage::Arena arena;
  std::vector<std::unique_ptr<Shard>> shards;
  std::string why;
};

[[nodiscard]] Former open_former(const ItemsWish& wish) {
  Former former;
  storage::ArenaOptions memory;
  memory.fd = wish.former_fd;
  memory.threads = wish.memory.threads;
  storage::ArenaResult opened = storage::Arena::open(memory);
  if (opened.error.empty()) {
    // How it is divided stands in its first page.
    storage::Geometry geometry;
    const AttachStatus status = storage::judge_region(opened.arena.bytes(), geometry, former.why);
    if (status != AttachStatus::kAttached && status != AttachStatus::kDivided) return former;
    const auto& page = *reinterpret_cast<const storage::ShardHeader*>(opened.arena.bytes().data());
    memory.regions = page.regions;
    storage::ShardOptions options;
    options.segment_bytes = page.segment_bytes;
    options.item_bytes_max = page.item_bytes_max;
    options.now = wish.now;
    options.regions = page.regions;
    options.restore_first_bytes = ~std::uint64_t{0};
    opened = storage::Arena::open(memory);
    if (opened.error.empty()) {
      former.arena = std::move(opened.arena);
      former.shards.resize(memory.regions);
      std::vector<AttachReport> reports(memory.regions);
      on_threads(memory.regions, [&](std::uint32_t index) {
        storage::ShardOptions mine = options;
        mine.region = static_cast<std::uint16_t>(index);
        former.shards[index] = Shard::attach(former.arena.region(index), mine, reports[index]);
      });
      former.why = telling(reports).why;
      return former;
    }
  }
  former.why = std::move(opened.error);
  return former;
}

}  // namespace

std::string open_items(const ItemsWish& wish, Items& out) {
  storage::ArenaResult opened = storage::Arena::open(wish.memory);
  if (!opened.error.empty()) return std::move(opened.error);
  out.arena = std::move(opened.arena);
  out.warnings = std::move(opened.warnings);

  const std::uint32_t count = wish.memory.regions;
  out.shards.resize(count);
  std::vector<AttachReport> reports(count);
  std::vector<std::string> refusals(count);
  const auto options_of = [&](std::uint32_t index) {
    storage::ShardOptions options;
    options.segment_bytes = wish.segment_bytes;
    options.item_bytes_max = wish.item_bytes_max != 0 || wish.segment_bytes != 0
                                 ? wish.item_bytes_max
                                 : storage::usual_item_bytes_max(out.arena.region(index).size());
    options.hash_key = wish.hash_key;
    options.now = wish.now;
    options.regions = static_cast<std::uint16_t>(count);
    options.region = static_cast<std::uint16_t>(index);
    options.restore_first_bytes = wish.restore_first_bytes;
    return options;
  };
  on_threads(count, [&](std::uint32_t index) {
    if (wish.place_thread) wish.place_thread(index);
    const storage::ShardOptions options = options_of(index);
    if (out.arena.kept() && wish.former_fd < 0)
      out.shards[index] = Shard::attach(out.arena.region(index), options, reports[index]);
    if (out.shards[index] == nullptr)
      out.shards[index] = Shard::format(out.arena.region(index), options, refusals[index]);
  });
  for (std::uint32_t index = 0; index < count; ++index)
    if (out.shards[index] == nullptr)
      return "The item memory of worker " + std::to_string(index) + " cannot be laid out: " + refusals[index];

  if (wish.former_fd >= 0) {
    const Former former = open_former(wish);
    std::vector<std::uint64_t> taken(count);
    on_threads(count, [&](std::uint32_t index) {
      if (wish.place_thread) wish.place_thread(index);
      const auto mine = [&](Bytes key) { return worker_of(key, count) == index; };
      for (const auto& shard : former.shards)
        if (shard != nullptr) taken[index] += out.shards[index]->take_items(*shard, mine);
    });
    std::uint64_t items = 0;
    for (const std::uint64_t of_one : taken) items += of_one;
    out.warm =
        std::any_of(former.shards.begin(), former.shards.end(), [](const auto& shard) { return shard != nullptr; });
    out.story =
        out.warm ? std::to_string(items) + " items were moved from memory that was divided otherwise" : former.why;
    if (!out.warm) out.warnings.push_back("Started without the items left before: " + former.why + ".");
    return {};
  }
  const auto warm = std::count_if(reports.begin(), reports.end(),
                                  [](const AttachReport& report) { return report.status == AttachStatus::kAttached; });
  out.warm = warm > 0;
  out.story = out.arena.kept() ? telling(reports).why : "the memory is new";
  const AttachReport& report = telling(reports);
  if (report.status != AttachStatus::kAttached && report.status != AttachStatus::kFresh) {
    out.warnings.push_back((warm == 0 ? std::string("Started without the items left before: ")
                                      : "Started without the items of " + std::to_string(count - warm) + " workers: ") +
                           report.why + ".");
  }
  return {};
}

}  // namespace gannet::dataplane
