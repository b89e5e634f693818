/// A crash at every store: a script runs on a region whose stores are written down one by one (store_log.h), and for
/// each prefix of them the memory is built as a process that died there would leave it, attached to, and everything in
/// it looked at. An instruction that wrote more than eight bytes is also tried half done.
#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/storage/crash_script.h"
#include "tests/storage/store_log.h"

namespace gannet::storage {
namespace {

using namespace testing;

/// A region of its own pages.
class Pages {
 public:
  explicit Pages(std::size_t bytes)
      : bytes_{
            static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
            bytes} {
    MUST(bytes_.data() != MAP_FAILED);
  }
  ~Pages() { munmap(bytes_.data(), bytes_.size()); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  [[nodiscard]] MutableBytes bytes() const { return bytes_; }

 private:
  const MutableBytes bytes_;
};

class CrashRun {
 public:
  explicit CrashRun(std::uint64_t seed) : seed_(seed), script_(seed), log_(region_.bytes()) {
    std::string why;
    shard_ = Shard::format(region_.bytes(), crash_options(CrashScript::kStart), why);
    MUST(shard_ != nullptr);
  }

  std::uint64_t crashes = 0, restarts = 0, while_restoring = 0, misses_that_came_back = 0;

  void go(int operations, int look_at_one_in) {
    std::mt19937_64 choice(seed_ ^ 0x5eed);
    for (int i = 0; i < operations; ++i) {
      op_ = script_.next();
      const std::uint64_t evicted = shard_->stats().evicted_items;
      const bool looked_at = choice() % static_cast<unsigned>(look_at_one_in) == 0;
      if (looked_at) std::memcpy(start_.data(), region_.bytes().data(), kBytes);
      if (looked_at) log_.begin();
      const StoreStatus status = run(shard_, region_.bytes(), op_);
      if (looked_at) log_.end();
      restarts += op_.verb == CrashOp::Verb::kRestart || op_.verb == CrashOp::Verb::kStop;
      may_evict_ = shard_->stats().evicted_items != evicted;
      model_before_ = model_after_;
      apply(model_after_, op_, status);
      if (const AuditReport report = shard_->audit(op_.now); report.faults != 0) FAIL(report.first_fault << text());
      std::memcpy(copy_.bytes().data(), region_.bytes().data(), kBytes);
      after_ = found_in_copy();
      compare_at_rest();
      while_restoring += shard_->restoring() && looked_at;
      if (looked_at) replay();
      before_ = after_;
    }
  }

 private:
  static constexpr std::size_t kBytes = 80 * 1024;

  [[nodiscard]] std::string text() const {
    return "; seed " + std::to_string(seed_) + ", operation " + std::to_string(op_.version) + " (verb " +
           std::to_string(static_cast<int>(op_.verb)) + ", key " + std::to_string(op_.key) + ")";
  }
  [[nodiscard]] std::string differs(const Contents& found, std::size_t key) const {
    const auto show = [&](const Contents& from) {
      return from[key] ? from[key]->value.substr(0, 24) + " until " + std::to_string(from[key]->expires_at) +
                             " flags " + std::to_string(from[key]->flags) + " cas " + std::to_string(from[key]->cas)
                       : "nothing";
    };
    return ": found " + show(found) + ", before the operation " + show(before_) + " of " + show(model_before_) +
           ", after it " + show(after_) + " of " + show(model_after_) + text();
  }

  /// Between operations nothing is open: what would be found is what is served, and the last value of its key.
  void compare_at_rest() {
    const Contents served = survey(*shard_, op_.now);
    for (std::size_t key = 0; key < served.size(); ++key) {
      if (after_[key] && without_cas(after_[key]) != model_after_[key])
        FAIL("key " << key << " is stale" << differs(after_, key));
      if (served[key] == after_[key]) continue;
      if (!served[key] && shard_->restoring()) {
        ++misses_that_came_back;
        continue;
      }
      FAIL("key " << key << " is served otherwise" << differs(served, key));
    }
  }

  void replay() {
    std::vector<std::byte> image = start_;
    for (std::size_t i = 0; i < log_.count(); ++i) {
      const StoreLog::Entry& entry = log_[i];
      store_raw(image.data() + std::size_t{entry.word} * 8, entry.value);
      const bool first = i == 0 || log_[i - 1].last;
      if (!entry.last && !first) continue;
      std::memcpy(copy_.bytes().data(), image.data(), kBytes);
      ++crashes;
      const Contents found = found_in_copy();
      for (std::size_t key = 0; key < found.size(); ++key) {
        if (found[key] == before_[key] || found[key] == after_[key]) continue;
        // What expires in the very second of the operation, or was evicted to make room for its own successor.
        const bool ends = before_[key] && before_[key]->expires_at != kNever && before_[key]->expires_at <= op_.now;
        if (!found[key] && (ends || (may_evict_ && static_cast<int>(key) == op_.key))) continue;
        FAIL("killed at store " << i << " of " << log_.count() << ", key " << key << differs(found, key));
      }
    }
  }

  /// What a process serves that finds the copy, once it has read all of it.
  [[nodiscard]] Contents found_in_copy() {
    AttachReport report;
    const std::unique_ptr<Shard> shard = Shard::attach(copy_.bytes(), crash_options(op_.now), report);
    if (shard == nullptr) FAIL("not attached: " << report.why << text());
    // Whatever is served before all is read has to be what is served then.
    std::vector<Contents> early;
    while (shard->restoring() && early.size() < 1000) {
      early.push_back(survey(*shard, op_.now));
      shard->tick(op_.now, 8192);
    }
    if (shard->stats().damaged_segments != 0) FAIL("a crash looks like damage" << text());
    const AuditReport audit = shard->audit(op_.now);
    if (audit.faults != 0) FAIL(audit.first_fault << text());
    const Contents all = survey(*shard, op_.now);
    for (const Contents& part : early) {
      for (std::size_t key = 0; key < all.size(); ++key) {
        if (part[key] && part[key] != all[key]) FAIL("key " << key << " changed while restoring" << differs(part, key));
      }
    }
    return all;
  }

  const std::uint64_t seed_;
  CrashScript script_;
  const Pages region_{kBytes}, copy_{kBytes};
  std::vector<std::byte> start_ = std::vector<std::byte>(kBytes);
  StoreLog log_;
  std::unique_ptr<Shard> shard_;
  CrashOp op_;
  Contents before_, after_, model_before_, model_after_;
  bool may_evict_ = false;
};

[[nodiscard]] std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST_CASE("killed at any store, a shard comes back with what was there before or after the operation, and nothing else",
          "[storage][crash]") {
  const std::uint64_t first = from_environment("GANNET_CRASH_SEED", 1),
                      seeds = from_environment("GANNET_CRASH_SEEDS", 4);
  const auto operations = static_cast<int>(from_environment("GANNET_CRASH_OPERATIONS", 1000));
  std::uint64_t crashes = 0, restarts = 0, while_restoring = 0, came_back = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    CrashRun run(seed);
    run.go(operations, 10);
    crashes += run.crashes;
    restarts += run.restarts;
    while_restoring += run.while_restoring;
    came_back += run.misses_that_came_back;
  }
  std::printf("%llu crashes, %llu restarts, %llu operations looked at while restoring, %llu misses that came back\n",
              static_cast<unsigned long long>(crashes), static_cast<unsigned long long>(restarts),
              static_cast<unsigned long long>(while_restoring), static_cast<unsigned long long>(came_back));
  if (seeds >= 4) {
    CHECK(crashes > 5000);
    CHECK(while_restoring > 10);
    CHECK(came_back > 10);
  }
}

}  // namespace
}  // namespace gannet::storage
