// A shard in plain memory of its own, spoken to in words.
#pragma once

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/base/must.h"
#include "storage/shard.h"

namespace gannet::storage::testing {

class TestShard {
 public:
  explicit TestShard(std::size_t bytes = 1 << 20, ShardOptions options = {.segment_bytes = 16 * 1024})
      : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)), &std::free),
        bytes_(bytes) {
    if (options.now == 0) options.now = kStart;
    std::string why;
    shard_ = Shard::format({memory_.get(), bytes}, options, why);
    if (shard_ == nullptr) gannet::detail::must_failed(__FILE__, __LINE__, why.c_str());
  }
  Shard* operator->() noexcept { return shard_.get(); }
  Shard& operator*() noexcept { return *shard_; }
  [[nodiscard]] MutableBytes memory() const noexcept { return {memory_.get(), bytes_}; }

  StoreStatus put(std::string_view key, std::string_view value, UnixSeconds now = kStart,
                  UnixSeconds expires_at = kNever, std::uint32_t flags = 0) {
    SetRequest request;
    request.key = as_bytes(key);
    request.value_bytes = static_cast<std::uint32_t>(value.size());
    request.flags = flags;
    request.expires_at = expires_at;
    return shard_->set(shard_->hash(request.key), request, as_bytes(value), now, cas);
  }
  std::optional<std::string> get(std::string_view key, UnixSeconds now = kStart) {
    const Bytes bytes = as_bytes(key);
    if (shard_->find(shard_->hash(bytes), bytes, now, view) == FindStatus::kMiss) return std::nullopt;
    return std::string(as_text(view.value));
  }
  StoreStatus erase(std::string_view key, UnixSeconds now = kStart, std::uint64_t with_cas = 0) {
    return shard_->erase(shard_->hash(as_bytes(key)), as_bytes(key), with_cas, now);
  }
  /// Empty when every invariant holds.
  std::string audit(UnixSeconds now = kStart) const {
    const AuditReport report = shard_->audit(now);
    return report.faults == 0 ? std::string() : std::string(report.first_fault);
  }

  static constexpr UnixSeconds kStart = 1'000'000;
  std::uint64_t cas = 0;  ///< Of the last store.
  ItemView view;          ///< Of the last hit.

 private:
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  std::size_t bytes_;
  std::unique_ptr<Shard> shard_;
};

}  // namespace gannet::storage::testing
