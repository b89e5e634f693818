/// One worker: a function from (frames in, now) to (frames to send, buffers to free), with a shard of the store behind
/// it. It does no I/O, reads no clock, and never waits; the program around it does the first two. See README.md, "The
/// turn".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/answer.h"
#include "dataplane/core/backlog.h"
#include "dataplane/core/errand.h"
#include "dataplane/core/executor.h"
#include "dataplane/core/group.h"
#include "dataplane/core/job.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/mixed.h"
#include "dataplane/core/outbox.h"
#include "dataplane/core/tcp_side.h"
#include "dataplane/core/transfer.h"
#include "nicpipe/flow_hash.h"
#include "nicpipe/host.h"
#include "storage/base/clock.h"

namespace gannet::storage {
class Shard;
}

namespace gannet::dataplane {

struct WorkerOptions {
  std::uint32_t index = 0;  ///< 0..group.workers()-1; worker k writes shared.worker[k].
  std::vector<nicpipe::HostConfig>
      ports;  ///< 1..kPortsMax; Packet::port is the index. Served UDP ports: [base, base + 1 + workers).
  /// For a port whose device has fewer queues than there are workers: which worker a received frame belongs to.
  /// nullptr: the device decides. Indexed like `ports`; may be shorter. Outlives the worker.
  std::vector<const nicpipe::Dispatch*> dispatch;
  /// Empty packets the worker keeps for answers that cannot use their request's buffer, 1..kSparePackets; the pool
  /// needs that many beyond what the device's rings and the backlog hold.
  std::uint32_t spares = kSparePackets;
  /// Read once a stage, for the latency histogram. nullptr: latency is not recorded.
  MonotonicNs (*mono_now)() = nullptr;
  TcpOptions tcp;  ///< Of all ports.
};

/// One core's alone, except the constructor. `S` satisfies storage::Store. Allocates in the constructor and nowhere
/// else.
template <class S>
class BasicWorker {
 public:
  /// `group` and `shard` outlive the worker.
  BasicWorker(WorkerGroup& group, S& shard, const WorkerOptions& options);
  BasicWorker(const BasicWorker&) = delete;
  BasicWorker& operator=(const BasicWorker&) = delete;

  /// How many frames the next turn() takes at most; 0 under back-pressure: leave them in the device.
  [[nodiscard]] std::uint32_t rx_room() const noexcept;

  /// One turn. Takes over every packet of `rx` (MUST: no more than rx_room(); Packet::port set by whoever received it).
  /// True: something was done; false: idle. `now` never runs backwards in mono_ns.
  bool turn(std::span<nicpipe::Packet> rx, Now now) noexcept;

  /// After each turn, for each port: hand these to the device, then say how many it took. The others stay, in order,
  /// for the next time.
  [[nodiscard]] std::span<nicpipe::Packet> to_send(std::uint32_t port = 0) noexcept { return out_.to_send(port); }
  void sent(std::uint32_t packets, std::uint32_t port = 0) noexcept;

  /// After each turn: give these back to their pool (any of the pool's endpoints), then call freed().
  [[nodiscard]] std::span<nicpipe::Packet> to_free() noexcept { return out_.to_free(); }
  void freed() noexcept { out_.freed(); }

  /// Empty packets the worker would like to have for answers that cannot use their request's buffer: alloc that many
  /// and give what came.
  [[nodiscard]] std::uint32_t spares_wanted() const noexcept {
    return spares_max_ - out_.spares() + (tcp_ == nullptr ? 0 : tcp_->sink.spares_wanted());
  }
  void give_spares(std::span<const nicpipe::Packet> packets) noexcept;

  /// For the endpoints this worker sends through: unpins a segment once the device has read it. Called on this worker's
  /// thread.
  [[nodiscard]] nicpipe::ReleaseHook release_hook() noexcept;

  /// Nothing under way: no backlog, no large answer, nothing to send. With no worker busy and
  /// group.packets_travelling() 0, all is answered.
  [[nodiscard]] bool drained() const noexcept;
  /// While draining, in each turn: ends the TCP connections that nothing is owed to.
  void hang_up(Now now) noexcept;
  /// At the end: moves everything still held (backlog, spares, unsent, packets travelling to us) to to_free(),
  /// unpinning tails and transfers. May need several calls, each followed by free and freed(): true when nothing is
  /// left.
  [[nodiscard]] bool close() noexcept;

  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] const abi::LiveConfig& live() const noexcept { return live_; }

 private:
  using Packet = nicpipe::Packet;
  struct Port {
    nicpipe::Host host;
    const nicpipe::Dispatch* dispatch;
    std::uint32_t chunk_bytes;  ///< Of a message in one datagram.
    bool multi_segment;
  };

  // worker_turn.h: taking frames in.
  void adopt_config() noexcept;
  void receive(std::span<Packet> rx, Now now) noexcept;
  void admit(const Packet& frame, Now now) noexcept;
  [[nodiscard]] bool admit_datagram(Packet& packet) noexcept;
  std::uint32_t take_over(Now now) noexcept;
  void travel(Packet& packet, std::uint32_t target) noexcept;
  void push_travellers(std::uint32_t target) noexcept;
  void background(Now now, bool busy) noexcept;
  void write_gauges(Now now) noexcept;
  [[nodiscard]] static ServeRules udp_rules_of(const abi::LiveConfig& live) noexcept {
    return {.value_bytes_max = live.udp_answer_bytes_max, .admin = live.udp_admin != 0};
  }
  static void release_pin(void* self, std::uint32_t segment);

  // worker_stream.h: TCP.
  void make_tcp(const WorkerOptions& options);
  static void refresh_gauges(void* self, Now now);
  void admit_segment(Packet& packet, nicpipe::Verdict verdict, Now now) noexcept;
  bool turn_tcp(Now now, bool more_waits) noexcept;
  [[nodiscard]] bool close_tcp() noexcept;

  // worker_errand.h: what others execute for us and we for them.
  void send_errand(Errand& errand, std::uint32_t owner, Now now) noexcept;
  void finish_errand(Errand& errand) noexcept;
  std::uint32_t take_errands(Now now) noexcept;
  void come_back(Errand& errand) noexcept;
  void execute_errands(std::span<Errand* const> asked, Now now) noexcept;
  void execute_errand(Errand& errand, Now now) noexcept;
  void queue_errand(Errand& errand, std::uint32_t target) noexcept;
  void push_errands(std::uint32_t target) noexcept;
  [[nodiscard]] bool close_errands() noexcept;

  // worker_mixed.h: datagrams of several owners.
  bool run_mixed(Now now) noexcept;
  bool ask_for(Mixed& mixed, std::uint32_t& budget, Now now) noexcept;
  bool ask_for_one(Mixed& mixed, Errand& errand, Now now) noexcept;
  bool answer_mixed(Mixed& mixed, Now now) noexcept;
  void answer_errand(Mixed& mixed, Errand& errand, bool last, Now now) noexcept;

  // worker_stage.h: executing requests.
  bool run_stage(Now now) noexcept;
  void build_stage(bool starved) noexcept;
  bool build_run(Packet& packet, std::uint32_t jobs_max, bool starved, Run& run) noexcept;
  [[nodiscard]] bool one_owner(Bytes requests, std::uint32_t& owner) const noexcept;
  void execute_stage(Now now) noexcept;
  [[nodiscard]] std::uint32_t find_values(std::uint32_t first, Executor<S>& executor) noexcept;
  [[nodiscard]] bool execute_one(Job& job, Executor<S>& executor, Now now) noexcept;
  void settle_stage() noexcept;
  void record_latency(MonotonicNs done) noexcept;

  // worker_reply.h: writing answers.
  void reply(Job& job, Answer& answer) noexcept;
  void reply_single(Job& job, const Answer& answer, const Port& port) noexcept;
  void reply_long(Job& job, Answer& answer, const Port& port) noexcept;
  void reply_stat(Job& job, Answer& answer, Now now) noexcept;
  [[nodiscard]] bool take_spare_for(const Packet& request, Packet& packet) noexcept;
  [[nodiscard]] bool point_at(Packet& packet, Bytes value, std::uint32_t segment, const Port& port) noexcept;
  void begin_transfer(Transfer& transfer, Job& job, std::uint64_t message_bytes, const Port& port) noexcept;
  void finish_packet(const Job& job) noexcept;
  bool continue_transfers() noexcept;
  void send_next(Transfer& transfer) noexcept;
  void release_oldest() noexcept;

  WorkerGroup& group_;
  S& shard_;
  const std::uint32_t index_, workers_, spares_max_;
  MonotonicNs (*const mono_now_)();
  abi::WorkerBlock& block_;
  abi::WorkerCounters& counters_;
  std::vector<Port> ports_;
  bool dispatches_ = false;

  Outbox out_;
  Backlog backlog_;
  TransferTable transfers_;
  MixedTable mixed_;
  ErrandPool errands_{kDatagramErrands};                        ///< Of mixed datagrams.
  std::vector<std::array<Packet, kHandoverBurst>> travellers_;  ///< Collected for each worker.
  std::vector<std::uint32_t> travellers_count_;
  std::vector<std::array<Errand*, kErrandBurst>> errands_out_;
  std::vector<std::uint32_t> errands_out_count_;

  std::array<Job, kStageJobsMax> jobs_;
  std::array<Answer, kStageJobsMax> answers_;  ///< Of a stage's GETs, found and not yet written.
  std::array<Run, kBacklogPackets> runs_;
  std::uint32_t jobs_count_ = 0, runs_count_ = 0;
  std::uint32_t spares_needed_ = 0;  ///< By the stage being built, at most.
  std::uint32_t mixes_planned_ = 0;  ///< By the stage being built.
  std::uint32_t starved_turns_ = 0;
  std::uint32_t timers_waited_ = 0;  ///< Turns, since TCP's timers last ran.

  const bool authenticates_;         ///< SASL is demanded.
  std::unique_ptr<TcpSide<S>> tcp_;  ///< nullptr: not served.
  nicpipe::TokenBucket errors_passed_{kErrorsPassedPerS, kErrorsPassedBurst};

  abi::LiveConfig live_{};
  ServeRules udp_rules_ = udp_rules_of(live_);
  std::uint64_t live_generation_ = 0;
  MonotonicNs last_tick_ns_ = 0, last_gauges_ns_ = 0;
};

/// What gannetd runs; instantiated in worker.cc.
extern template class BasicWorker<storage::Shard>;
using Worker = BasicWorker<storage::Shard>;

}  // namespace gannet::dataplane
