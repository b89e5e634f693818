/// One thread's load: makes requests, paces them, matches answers to them, counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "tools/load/keyspace.h"
#include "tools/load/link.h"
#include "tools/load/options.h"
#include "tools/load/outstanding.h"
#include "tools/load/pacer.h"
#include "tools/load/tally.h"
#include "tools/load/wire.h"
#include "tools/load/zipf.h"

namespace gannet::load {

/// Latency counts from the moment a request should have been sent, also when the wire or the answers before it held it
/// up: a stall of the appliance shows in every request it delayed (no coordinated omission). In a closed loop that
/// moment is the send itself.
class Engine {
 public:
  using Clock = MonotonicNs (*)();

  /// All references outlive the engine. `thread` of `options.threads` tells the engine its share of keys, rate and
  /// requests.
  Engine(const Options& options, const Keyspace& keyspace, Link& link, Tally& tally, std::uint32_t thread, Clock clock);

  /// SETs this thread's share of the keys, lost ones again. Gives an empty text, or why it gave up.
  [[nodiscard]] std::string preload(const std::atomic<bool>& stop);
  /// Sends the load until `stop`, or until this thread's share of the requests is sent.
  void run(const std::atomic<bool>& stop);
  /// Waits for what is still in flight; afterwards every request has an answer or is lost.
  void drain();

  /// Requests that were due when the open loop ended but had not been sent.
  [[nodiscard]] std::uint64_t not_sent() const noexcept { return not_sent_; }

 private:
  enum class Mode : std::uint8_t { kPreload, kRun, kDrain };

  bool turn();  ///< One receive, one round of sending; false when there was nothing to do.
  void receive();
  void on_datagram(std::uint32_t flow, Bytes datagram);
  Bytes assemble(Slot& slot, const Frame& frame, Bytes piece);
  void on_answers(std::uint32_t flow, Slot& slot, std::uint16_t id, Bytes bytes);
  void settle(const Operation& operation, const Slot& slot, const Answer& answer);
  void lose(Slot& slot);
  void expire();
  bool send_some();
  bool next_intended(std::uint64_t& intended_ns);
  bool next_operation(Operation& operation);
  bool send_message(std::uint32_t flow, std::uint64_t intended_ns, std::uint32_t operations);
  std::uint32_t write_request(const Operation& operation, std::uint32_t opaque, std::byte* out);
  [[nodiscard]] std::uint16_t port_of(std::uint32_t flow, std::uint32_t key) const;
  [[nodiscard]] std::uint64_t in_flight() const;
  [[nodiscard]] std::uint64_t idle_ns() const;

  const Options& options_;
  const Keyspace& keyspace_;
  Link& link_;
  Tally& tally_;
  Clock clock_;
  Random random_;
  std::optional<Zipf> zipf_;
  std::vector<Outstanding> flows_;
  std::vector<Inbound> inbound_;
  std::optional<Pacer> pacer_;

  Mode mode_ = Mode::kPreload;
  std::uint32_t flow_ = 0;  // Where sending goes on.
  std::uint32_t preload_next_, preload_end_of_thread_;
  bool preload_all_sent_ = false;    // preload_next_ may wrap at 2^32 keys.
  std::deque<std::uint32_t> again_;  // Preload: keys whose SET was lost. Run: keys to fill after a miss.
  std::uint64_t requests_left_;
  std::uint64_t now_ns_ = 0, next_expiry_ns_ = 0;
  std::uint64_t preload_refused_ = 0;
  std::uint64_t not_sent_ = 0;
};

/// The worker that owns `key`, by the rule the appliance publishes: CRC32C of the key, scaled to the number of workers.
[[nodiscard]] std::uint32_t owner_of(Bytes key, std::uint32_t workers) noexcept;

}  // namespace gannet::load
