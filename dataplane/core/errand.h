/// The way back between workers for datagrams. An errand is one request that the owner of its key executes for another
/// worker, its home, which then answers. Whole datagrams of one owner travel instead and never come back; errands serve
/// datagrams whose keys have several owners. (Streams have parcels, which also carry values on their way: parcel.h.)
///
///   home: take() -> fill `request`, `step` -> send_errand(owner) ... kDone -> read `answer` -> finish_errand()
///   owner: takes it from its ring, executes, puts it back. It needs nothing of its own for that, so every errand
///   comes back, and a ring has room for every slot there is, so none is ever dropped.
///
/// Errands of one home to one owner are executed in the order sent. So a pipeline need not wait for one answer to ask
/// for the next; home puts the answers in order.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/core/answer.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/memcache/binary.h"
#include "storage/base/must.h"
#include "storage/store.h"

namespace gannet::dataplane {

enum class ErrandStep : std::uint8_t {
  kExecute,  ///< Run `request`; its value, if it has one, is all there.
  kRelease,  ///< Home has read the pinned value. Not home's to set: finish_errand() does.
};

/// Whose turn it is to touch the errand. Written by home alone.
enum class ErrandState : std::uint8_t {
  kFree,  ///< In its pool.
  kHome,  ///< Taken, not sent.
  kAway,  ///< The owner's, or in a ring: home keeps its hands off everything but its own notes.
  kDone,  ///< Back, `answer` is good.
};

class ErrandPool;

/// Lies in home's memory, is never copied. Home writes what is asked, the owner what came of it; between the two stand
/// the release and acquire of the ring.
struct alignas(64) Errand {
  // Asked by home.
  /// Its pointers lead into a packet that home holds until the errand is back.
  memcache::RequestView request;
  ErrandStep step = ErrandStep::kExecute;
  std::uint8_t home = 0, owner = 0;

  // Answered by the owner.
  bool pinned =
      false;  ///< `answer.value` lies in the owner's segment `answer.segment`, and stays until it is finished.
  storage::Probe probe;
  /// Never `in_segment`: a value up to kErrandValueBytes was copied into `value_bytes`, a longer one is `pinned`.
  Answer answer;

  // Home's notes.
  ErrandState state = ErrandState::kFree;
  ErrandPool* pool = nullptr;
  Errand* next = nullptr;  ///< In a list of home's.
  std::uint64_t note = 0;

  std::array<std::byte, kErrandValueBytes> value_bytes;
};

/// The slots of one front end of one worker. One thread's.
class ErrandPool {
 public:
  /// Allocates here and nowhere else.
  explicit ErrandPool(std::uint32_t slots) : slots_(slots), used_(slots), errands_(std::make_unique<Errand[]>(slots)) {
    for (std::uint32_t i = slots; i > 0; --i) give(errands_[i - 1]);
  }

  /// Fresh notes, nothing else; nullptr: all are under way.
  [[nodiscard]] Errand* take() noexcept {
    Errand* const errand = free_;
    if (errand == nullptr) return nullptr;
    free_ = errand->next;
    ++used_;
    errand->state = ErrandState::kHome;
    errand->step = ErrandStep::kExecute;
    errand->pinned = false;
    errand->next = nullptr;
    errand->note = 0;
    return errand;
  }
  /// Not for front ends: finish_errand() knows when.
  void give(Errand& errand) noexcept {
    errand.state = ErrandState::kFree;
    errand.pool = this;
    errand.next = free_;
    free_ = &errand;
    --used_;
  }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }
  [[nodiscard]] std::uint32_t slots() const noexcept { return slots_; }
  [[nodiscard]] Errand& at(std::uint32_t index) noexcept { return errands_[index]; }

 private:
  const std::uint32_t slots_;
  std::uint32_t used_;
  std::unique_ptr<Errand[]> errands_;
  Errand* free_ = nullptr;
};

}  // namespace gannet::dataplane
