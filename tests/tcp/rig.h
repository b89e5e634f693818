/// One engine behind a Host on a port in memory, under a clock that the test moves. Every frame goes in through Host,
/// as in the appliance; every frame that comes out is kept with its time. The books (buffers, Engine::check) are looked
/// at after every turn.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "nicpipe/host.h"
#include "nicpipe/memory_endpoint.h"
#include "nicpipe/tcp/engine.h"
#include "tests/tcp/segment.h"

namespace gannet::test::tcp {

namespace nic = nicpipe::tcp;

inline constexpr std::string_view kUs = "10.77.0.2", kUs6 = "fd77::2", kPeer = "10.77.0.1", kPeer6 = "fd77::1";
inline constexpr std::uint16_t kPort = 11211;

struct RigOptions {
  nic::Config config;  ///< Interface, keys and listener are filled by the rig where they are empty.
  nicpipe::Capabilities capabilities{.multi_segment = true};
  std::string_view address = kUs;  ///< Ours; the MAC follows from it.
  bool v6 = false;                 ///< We have kUs6 as well, and the MAC follows from that.
  std::uint16_t mtu = 1500;
  std::uint16_t vlan = 0;
  std::uint32_t buffers = 4096;
  std::uint16_t buffer_bytes = 2048;
  std::uint32_t sends = 1024, spares = 512;
  bool checks = true;    ///< Engine::check after every turn.
  bool scribble = true;  ///< Freed buffers are overwritten.
};

class Rig {
 public:
  struct Sent {
    MonotonicNs at = 0;
    Frame frame;
  };

  explicit Rig(const RigOptions& options);
  /// Gives every buffer back first; MUST: none is missing.
  ~Rig();

  /// One frame, one turn: what it makes the engine say is in sent() afterwards.
  void receive(Bytes frame);
  /// Many frames of one turn.
  void receive_burst(const std::vector<Frame>& frames);
  /// Events out, flush, frames to the wire. After every call that may have made work.
  void finish_turn();
  /// The clock moves to `to`, stopping at every timer on the way.
  void advance(MonotonicNs to);
  /// As advance, but stops once something was sent. False: nothing was, and it is `to`.
  bool advance_until_sent(MonotonicNs to);
  /// At the next timer, or false if there is none before `limit`.
  bool step(MonotonicNs limit);

  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] nic::Engine& engine() { return *engine_; }
  [[nodiscard]] nic::Sink& sink() { return sink_; }
  [[nodiscard]] std::vector<Sent>& sent() { return sent_; }
  /// Events since the last call.
  [[nodiscard]] std::vector<nic::Event> take_events();
  /// Called for each event, inside finish_turn, before flush; take_events() stays empty then.
  std::function<void(const nic::Event&)> on_event;
  /// Frames that the Host refused.
  [[nodiscard]] std::uint32_t refused_by_host() const { return refused_by_host_; }
  [[nodiscard]] std::uint32_t buffers_out() const { return pool_.buffers_out(); }
  /// No more buffers for the engine's sending, or plenty again.
  void starve(bool starving);
  /// Everything that was written with write_pinned: pins held now.
  [[nodiscard]] std::uint32_t pins_held() const { return pins_held_; }
  bool write_pinned(nic::ConnectionId id, Bytes bytes);

 private:
  static bool pin_again(void* context, std::uint32_t pin);
  static void pin_release(void* context, std::uint32_t pin);
  void take_in(nicpipe::Packet& packet);
  void refill();

  nicpipe::MemoryPool pool_;
  nicpipe::MemoryEndpoint port_;
  nicpipe::Host host_;
  nic::Sink sink_;
  std::unique_ptr<nic::Engine> engine_;
  Now now_{1'700'000'000, 1'000'000'000};
  std::vector<Sent> sent_;
  std::vector<nic::Event> events_;
  std::uint32_t refused_by_host_ = 0, pins_held_ = 0;
  bool starving_ = false, checks_;
};

}  // namespace gannet::test::tcp
