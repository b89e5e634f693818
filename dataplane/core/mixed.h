/// Datagrams whose keys have more than one owner, and those with a FLUSH: they stay with the worker that received them,
/// their requests go out as errands, and this worker alone answers, in the requests' order. A bounded table.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/core/errand.h"
#include "dataplane/core/limits.h"
#include "nicpipe/packet.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

struct Mixed {
  nicpipe::Packet packet;   ///< Its cursor is at the next request to ask for.
  Errand* first = nullptr;  ///< Asked for and not answered yet, in the requests' order.
  Errand* last = nullptr;
  std::uint32_t flushed = 0;        ///< Of the FLUSH at the cursor: workers already asked.
  std::uint32_t starved_turns = 0;  ///< For want of a spare packet.
  bool used = false;
  bool all_asked = false;
  bool waits = false;        ///< For its large answer's last datagram.
  bool packet_gone = false;  ///< The last answer took its buffer.

  void append(Errand& errand) noexcept {
    (first == nullptr ? first : last->next) = &errand;
    last = &errand;
  }
  void drop_first() noexcept { first = first->next; }
};

class MixedTable {
 public:
  MixedTable() : entries_(std::make_unique<Mixed[]>(kMixedMax)) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return used_; }
  [[nodiscard]] std::uint32_t room() const noexcept { return kMixedMax - used_; }
  /// Needs room().
  void add(const nicpipe::Packet& packet) noexcept {
    MUST_LT(used_, kMixedMax);
    std::uint32_t at = 0;
    while (entries_[at].used) ++at;
    entries_[at] = Mixed{};
    entries_[at].packet = packet;
    entries_[at].used = true;
    ++used_;
  }
  void remove(Mixed& entry) noexcept {
    MUST(entry.used);
    entry.used = false;
    --used_;
  }
  /// Index 0..kMixedMax-1; look at `used`.
  [[nodiscard]] Mixed& at(std::uint32_t index) noexcept { return entries_[index]; }

 private:
  std::unique_ptr<Mixed[]> entries_;
  std::uint32_t used_ = 0;
};

}  // namespace gannet::dataplane
