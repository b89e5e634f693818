// Items into another shard: when the memory's size, the segments' size or the number of workers has changed.
#include <algorithm>
#include <cstring>
#include <vector>

#include "storage/shard.h"

namespace gannet::storage {

std::uint64_t Shard::take_items(const Shard& from, const std::function<bool(Bytes key)>& mine) {
  constexpr std::uint64_t kTickEvery = 256;
  constexpr std::uint32_t kTickBytes = 1u << 20;
  MUST(!from.restoring() && !restoring());
  std::vector<std::uint32_t> order;
  for (std::uint32_t id = 0; id < from.pool_.segments(); ++id) {
    if (from.pool_.header(id).live_items > 0) order.push_back(id);
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return from.pool_.header(a).sequence < from.pool_.header(b).sequence;
  });
  advance(from.now_);
  header().next_cas = std::max(header().next_cas, from.header().next_cas);
  header().clock_lead_ns = std::max(header().clock_lead_ns, from.header().clock_lead_ns);
  if (from.flush_at_ != 0) flush(from.flush_at_, now_);
  std::uint64_t taken = 0;
  for (const std::uint32_t id : order) {
    const std::uint32_t used = from.pool_.header(id).used_bytes;
    const SegmentBase& base = from.pool_.base_of(id);
    for (std::uint32_t offset = 0; offset < used;) {
      const auto& item = *reinterpret_cast<const ItemHeader*>(from.pool_.data(id) + offset);
      offset += item.item_bytes();
      if (item.dead() || !from.visible(item, base) || !mine(item.key()) || !adopt(item, base)) continue;
      if (++taken % kTickEvery == 0) tick(now_, kTickBytes);
    }
  }
  return taken;
}

bool Shard::adopt(const ItemHeader& item, const SegmentBase& base) noexcept {
  const std::uint64_t most = item_bytes_most(item.key_bytes(), item.value_bytes(), item.flags());
  if (most > item_bytes_max_ || !ready_index()) return false;
  const Bytes key = item.key(), value = item.value();
  const std::uint64_t hash = keyed_hash(hash_key_, key);
  const std::uint64_t cas = item.cas(base);
  NewItem copy{key, item.value_bytes(), item.flags(), item.expires_at(base), cas};
  const Location at = make_item(copy).at;
  if (at == 0) return false;
  if (!value.empty()) std::memcpy(item_at(at).value().data(), value.data(), value.size());
  if (!publish(hash, at, cas, locate_entry(hash, key))) return false;
  ordered_store(item_at(at).state, static_cast<std::uint8_t>(item.state & kItemUsesMask));
  tend_index(kGrowStepsPerSet);
  return true;
}

}  // namespace gannet::storage
