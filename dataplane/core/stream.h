/// Memcache over TCP for one worker: bytes in order from the TCP engine become requests, requests become answers in the
/// order they were asked, whichever worker owns their keys. Knows no frame and no clock. See README.md, "Streams".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/answer.h"
#include "dataplane/core/executor.h"
#include "dataplane/core/group.h"
#include "dataplane/core/limits.h"
#include "dataplane/core/parcel.h"
#include "dataplane/core/sasl.h"
#include "dataplane/core/session.h"
#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/sink.h"
#include "storage/base/clock.h"
#include "storage/store.h"

namespace gannet::dataplane {

struct StreamOptions {
  std::uint32_t index = 0;            ///< Of the worker.
  std::uint32_t connections_max = 0;  ///< As the engine's.
  const SaslUsers* users = nullptr;   ///< Who may speak; nullptr: everybody. Outlives the worker.
  /// Read once a stage, for the latency histogram. nullptr: latency is not recorded.
  MonotonicNs (*mono_now)() = nullptr;
  /// Brings this worker's gauges up to date before STAT tells them; may be nullptr.
  void (*refresh)(void* context, Now now) = nullptr;
  void* context = nullptr;
};

/// One request of a stage.
struct StreamJob {
  enum class Kind : std::uint8_t {
    kOwn,      ///< Ours to execute and to answer.
    kRefusal,  ///< Answered with `refusal`, not executed.
    kForward,  ///< Another worker's: a parcel goes there.
    kBegin,    ///< A value too large or too split to be at hand: asks for room.
    kServe,    ///< Another worker's connection, our key: `parcel`.
  };
  memcache::RequestView request;
  storage::Probe probe;
  Session* session = nullptr;  ///< nullptr with kServe.
  Parcel* parcel = nullptr;    ///< The request lies in it whole; else in the engine's bytes or the carry.
  std::uint32_t target = 0;    ///< Whose the key is.
  Kind kind = Kind::kOwn;
  memcache::Status refusal = memcache::Status::kOk;
  std::uint8_t latency_class = 0;
  bool executed = false;
};

/// One core's alone, except the constructor. `S` satisfies storage::Store; `E` is nicpipe::tcp::Engine, or in tests
/// something with the same application's side. Allocates in the constructor and nowhere else.
template <class S, class E>
class Streams {
 public:
  /// `group` and `shard` outlive it.
  Streams(WorkerGroup& group, S& shard, const StreamOptions& options);
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  /// For the engine's configuration.
  [[nodiscard]] nicpipe::tcp::PinHooks pin_hooks() noexcept;
  /// Before the first turn; the engine outlives it, its last close() included.
  void attach(E& engine) noexcept { engine_ = &engine; }

  /// One turn, between the engine's tick() and flush(): takes events and what other workers sent, executes, writes
  /// answers into the engine. True: something was done.
  bool turn(Now now, nicpipe::tcp::Sink& sink) noexcept;

  /// Ends connections, when the worker is to stop: those that nothing is owed to, or `at_once` all of them. Until
  /// drained(), turns must go on here and at every other worker.
  void hang_up(Now now, nicpipe::tcp::Sink& sink, bool at_once) noexcept;
  /// At the very end, after hang_up() at once, when no turn comes any more: what other workers asked is given back
  /// unanswered. True: nothing moved; call it again until all workers say so.
  [[nodiscard]] bool close() noexcept;
  /// No parcel of ours is in use, and nothing waits to go to another worker.
  [[nodiscard]] bool drained() const noexcept;

  [[nodiscard]] std::uint32_t sessions() const noexcept { return sessions_.open_count(); }
  [[nodiscard]] std::uint32_t parcels_used() const noexcept { return parcels_.used(); }

 private:
  using Mode = Session::Mode;
  using Kind = StreamJob::Kind;
  enum class Take : std::uint8_t {
    kNext,  ///< Taken; the next request may begin behind it.
    kStop,  ///< Taken, and nothing more of this connection in this stage.
    kNot,   ///< Not taken: it stays where it is.
  };

  // stream_frame.h: from bytes to requests.
  bool take_events() noexcept;
  [[nodiscard]] bool attend(Session& session) noexcept;
  void absorb(Session& session) noexcept;
  void fill_carry(Session& session) noexcept;
  void frame(Session& session) noexcept;
  [[nodiscard]] Take take_request(Session& session, memcache::ParseStatus judged, memcache::RequestView& request,
                                  Bytes behind) noexcept;
  [[nodiscard]] Take refuse(Session& session, const memcache::RequestView& request, memcache::Status status) noexcept;
  [[nodiscard]] Take refuse_and_skip(Session& session, const memcache::RequestView& request, memcache::Status status,
                                     std::uint32_t body_bytes, std::size_t there) noexcept;
  [[nodiscard]] Take gather(Session& session, const memcache::RequestView& request, Bytes behind) noexcept;
  StreamJob& add_job(Session* session, Kind kind, const memcache::RequestView& request) noexcept;
  void aim(StreamJob& job) noexcept;
  [[nodiscard]] bool may_take(Session& session, std::uint32_t& room) noexcept;
  void keep_carry(Session& session, Bytes bytes) noexcept;
  void settle(Session& session) noexcept;
  void end_of_input(Session& session) noexcept;
  void wind_up(Session& session) noexcept;
  void drop(Session& session) noexcept;
  void abandon(Session& session) noexcept;
  void linger() noexcept;
  void end_oldest() noexcept;

  // stream_stage.h: executing.
  [[nodiscard]] bool run_stage() noexcept;
  void execute() noexcept;
  [[nodiscard]] std::uint32_t find_values(std::uint32_t first, Executor<S>& executor) noexcept;
  void execute_one(StreamJob& job, Executor<S>& executor) noexcept;
  void execute_own(StreamJob& job, Executor<S>& executor) noexcept;
  void begin_value(StreamJob& job, Executor<S>& executor) noexcept;
  void finish_value(Session& session) noexcept;
  void flush_all(StreamJob& job, Executor<S>& executor) noexcept;
  void serve(StreamJob& job, Executor<S>& executor) noexcept;
  void authenticate(Session& session, const memcache::RequestView& request, Answer& answer) noexcept;
  void tell_stats(StreamJob& job, Answer& answer) noexcept;
  void record_latency() noexcept;

  // stream_answer.h: answers in order.
  void deliver(Session& session, Answer& answer) noexcept;
  void park(Session& session, Answer& answer) noexcept;
  void pack(Parcel& parcel, Answer& answer) noexcept;
  void owe(Session& session, Parcel& parcel) noexcept;
  bool drain(Session& session) noexcept;
  void release(Parcel& parcel) noexcept;
  static bool pin_again(void* self, std::uint32_t pin);
  static void unpin(void* self, std::uint32_t pin);
  void unpin_at(std::uint32_t keeper, std::uint32_t segment) noexcept;

  // stream_travel.h: between workers.
  bool take_messages() noexcept;
  void returned(Parcel& parcel) noexcept;
  void send(Parcel& parcel, std::uint32_t target) noexcept;
  void forward(StreamJob& job) noexcept;
  bool push_messages() noexcept;

  WorkerGroup& group_;
  S& shard_;
  E* engine_ = nullptr;
  const std::uint32_t index_, workers_;
  const SaslUsers* const users_;
  MonotonicNs (*const mono_now_)();
  void (*const refresh_)(void*, Now);
  void* const refresh_context_;
  abi::WorkerBlock& block_;
  abi::WorkerCounters& counters_;
  const ServeRules rules_{};  ///< What datagrams are forbidden is allowed here.
  SessionTable sessions_;
  ParcelPool parcels_;

  Now now_;                             ///< Of this turn.
  nicpipe::tcp::Sink* sink_ = nullptr;  ///< Of this turn.

  std::array<nicpipe::tcp::Event, 64> events_;
  std::array<StreamJob, kStageJobsMax + 1> jobs_;  ///< The last is never used: where the framer parses when all are.
  std::array<Answer, kStageJobsMax> answers_;
  std::array<Session*, kStageJobsMax> visited_{};
  std::uint32_t jobs_count_ = 0;
  bool moved_ = false;  ///< This stage did something beside jobs.

  ParcelQueue serve_;                               ///< From other workers, to be executed here.
  std::vector<ParcelQueue> outbound_;               ///< To each worker.
  std::vector<std::vector<std::uint32_t>> unpins_;  ///< For each worker, pins of its shard to give back; never grows.

  struct Lingering {
    nicpipe::tcp::ConnectionId id;
    MonotonicNs until = 0;
  };
  std::unique_ptr<Lingering[]> lingering_;  ///< A ring, oldest first.
  std::uint32_t lingering_first_ = 0, lingering_count_ = 0;

  std::unique_ptr<std::byte[]> stat_bytes_;
  std::array<bool, kStatBuffers> stat_used_{};
};

}  // namespace gannet::dataplane
