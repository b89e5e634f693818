#include "tools/gannet-replay/replay.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

namespace gannet::replay {
namespace {

constexpr UnixSeconds kStart = 1'000'000;
constexpr std::uint32_t kTickEvery = 32, kTickBytes = 64 * 1024, kTicksPerSecond = 4, kTicksMost = 256;
constexpr std::uint32_t kPageBytes = 4096;

/// Anonymous memory, in hugepages where the kernel has them.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    at_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at_ != MAP_FAILED) (void)::madvise(at_, bytes, MADV_HUGEPAGE);
  }
  ~Memory() {
    if (at_ != MAP_FAILED) ::munmap(at_, bytes_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] bool there() const { return at_ != MAP_FAILED; }
  [[nodiscard]] MutableBytes first(std::size_t bytes) const { return {static_cast<std::byte*>(at_), bytes}; }

 private:
  void* at_;
  std::size_t bytes_;
};

/// A shard that takes `run.memory_bytes` in all.
std::unique_ptr<storage::Shard> make_shard(const Memory& memory, const Run& run, std::string& why) {
  storage::ShardOptions options;
  options.segment_bytes = run.segment_bytes;
  options.hash_key = {0x243f6a8885a308d3, 0x13198a2e03707344};
  options.eviction = run.eviction;
  options.now = kStart;
  auto shard = storage::Shard::format(memory.first(run.memory_bytes), options, why);
  if (shard == nullptr) return nullptr;
  const std::uint64_t beside = shard->stats().memory_bytes - run.memory_bytes;
  const std::uint64_t region = (run.memory_bytes - beside) / kPageBytes * kPageBytes;
  shard.reset();
  return storage::Shard::format(memory.first(region), options, why);
}

class Client {
 public:
  Client(storage::Shard& shard, Outcome& out) : shard_(shard), out_(out), value_(std::size_t{1} << 22) {}

  void serve(const Request& request) {
    const UnixSeconds now = kStart + request.second;
    write_key(request.id, key_.data(), request.key_bytes);
    const Bytes key{key_.data(), request.key_bytes};
    const storage::Probe probe = shard_.hash(key);
    const std::uint64_t bytes = request.key_bytes + request.value_bytes;
    if (request.operation == Operation::kDelete) {
      (void)shard_.erase(probe, key, 0, now);
      return;
    }
    if (request.operation == Operation::kGet) {
      ++out_.gets;
      out_.get_bytes += bytes;
      storage::ItemView view;
      if (shard_.find(probe, key, now, view) == storage::FindStatus::kHit) {
        out_.wrong += !is_value(request.id, view.value, request.value_bytes);
        return;
      }
      ++out_.misses;
      out_.miss_bytes += bytes;
    }
    write_value(request.id, value_.data(), request.value_bytes);
    storage::SetRequest set;
    set.key = key;
    set.value_bytes = request.value_bytes;
    set.expires_at = now + request.lifetime_s;
    std::uint64_t cas = 0;
    const auto status = shard_.set(probe, set, Bytes{value_.data(), request.value_bytes}, now, cas);
    ++out_.sets;
    if (status == storage::StoreStatus::kStored) {
      out_.stored_bytes += storage::item_bytes_least(request.key_bytes, request.value_bytes);
    } else {
      ++out_.refused;
    }
  }

 private:
  storage::Shard& shard_;
  Outcome& out_;
  std::array<std::byte, 1024> key_{};
  std::vector<std::byte> value_;
};

}  // namespace

Outcome replay(const Trace& trace, const Run& run, const std::function<void(std::size_t)>& progress) {
  constexpr std::size_t kProgressEvery = 1 << 16, kSampleEvery = 1 << 12;
  Outcome out;
  const Memory memory(run.memory_bytes);
  if (!memory.there()) {
    out.error = std::string("no memory for the shard: ") + std::strerror(errno) + ".";
    return out;
  }
  const auto shard = make_shard(memory, run, out.error);
  if (shard == nullptr) return out;
  Client client(*shard, out);
  const auto begin = std::chrono::steady_clock::now();
  std::uint32_t second = trace[0].second;
  for (std::size_t i = 0; i < trace.size(); ++i) {
    const Request request = trace[i];
    client.serve(request);
    // A worker ticks all the time, also in seconds that bring no request.
    for (std::uint32_t ticks = std::min((request.second - second) * kTicksPerSecond, kTicksMost); ticks > 0; --ticks)
      shard->tick(kStart + request.second, kTickBytes);
    second = request.second;
    if (i % kTickEvery == 0) shard->tick(kStart + second, kTickBytes);
    if (i % kSampleEvery == 0) {
      out.expired_held_sum += shard->stats().expired_bytes_held;
      ++out.expired_held_samples;
    }
    if (i % kProgressEvery == 0 && progress) progress(i);
  }
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  out.requests = trace.size();
  out.stats = shard->stats();
  const storage::AuditReport audit = shard->audit(kStart + trace[trace.size() - 1].second);
  if (audit.faults != 0) out.error = std::string("the audit after the replay found: ") + audit.first_fault;
  return out;
}

}  // namespace gannet::replay
