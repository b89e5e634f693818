/// The life of one worker's thread: serve, drain, halt, close. A template over the worker and the endpoint, so that
/// gannetd runs it on real devices and the tests in plain memory.
#pragma once

#include <immintrin.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <functional>
#include <span>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/idle.h"
#include "dataplane/core/pump.h"
#include "nicpipe/address.h"
#include "nicpipe/arp_table.h"
#include "nicpipe/endpoint.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/mld.h"
#include "nicpipe/ndp.h"
#include "storage/base/clock.h"

namespace gannet::dataplane {

/// What the main thread asks of all workers; only ever raised.
enum class Order : std::uint32_t {
  kServe,
  kDrain,  ///< Receive nothing more, finish what is under way.
  kHalt,   ///< No further turn. Once all have halted nothing moves between workers any more.
  kClose,  ///< Give every buffer back and end.
};

/// Written by the main thread, read by every loop.
struct LoopSignals {
  std::atomic<Order> order{Order::kServe};
  /// For each port, how often its link came up until now; each time our address there is announced.
  std::array<std::atomic<std::uint32_t>, abi::kPortsMax> announcements{};
};

/// Written by one loop, read by the main thread.
struct alignas(128) LoopReport {
  std::atomic<bool> serving{false}, drained{false}, halted{false};
};

/// Our addresses on one port, to be told to everybody there.
struct Announcement {
  nicpipe::Mac mac;
  nicpipe::Ipv4 address;
  nicpipe::IpAddress address6;  ///< Zero: no IPv6. The link-local address is told beside it.
  std::uint16_t vlan = 0;
};

/// Unix time that passes as the monotonic clock does and never runs backwards, whatever is done to the system's: how
/// far unix time leads the monotonic clock only grows. So an item lives exactly as long as it was given, after a step
/// back of the system's clock too. Pure: both clocks are handed in.
class UnixClock {
 public:
  explicit UnixClock(std::int64_t lead_ns) noexcept : lead_ns_(lead_ns) {}

  void look(std::uint64_t unix_ns, MonotonicNs mono_ns) noexcept {
    const auto lead = static_cast<std::int64_t>(unix_ns - mono_ns);
    if (lead > lead_ns_) lead_ns_ = lead;
  }
  [[nodiscard]] UnixSeconds at(MonotonicNs mono_ns) const noexcept {
    return static_cast<UnixSeconds>((mono_ns + static_cast<std::uint64_t>(lead_ns_)) / 1'000'000'000);
  }
  /// To be kept with the items: a successor goes on from there. Means nothing after the machine has been booted.
  [[nodiscard]] std::int64_t lead_ns() const noexcept { return lead_ns_; }

 private:
  std::int64_t lead_ns_;
};

/// CLOCK_MONOTONIC, and unix seconds made from it: the system's clock is looked at once a millisecond.
class LoopClock {
 public:
  static constexpr std::int64_t kNoLead = INT64_MIN;
  /// `lead_ns`: what an earlier process kept, or kNoLead.
  explicit LoopClock(std::int64_t lead_ns = kNoLead) noexcept : unix_(lead_ns) {}

  [[nodiscard]] static MonotonicNs mono_now() noexcept { return read(CLOCK_MONOTONIC); }

  [[nodiscard]] Now now() noexcept {
    const MonotonicNs mono = mono_now();
    if (mono - looked_up_ns_ >= kLookUpEveryNs) [[unlikely]] {
      looked_up_ns_ = mono;
      unix_.look(read(CLOCK_REALTIME), mono);
    }
    return {.unix_s = unix_.at(mono), .mono_ns = mono};
  }
  [[nodiscard]] std::int64_t lead_ns() const noexcept { return unix_.lead_ns(); }

 private:
  static constexpr MonotonicNs kNsPerS = 1'000'000'000, kLookUpEveryNs = 1'000'000;

  [[nodiscard]] static std::uint64_t read(clockid_t clock) noexcept {
    timespec at{};
    clock_gettime(clock, &at);
    return static_cast<std::uint64_t>(at.tv_sec) * kNsPerS + static_cast<std::uint64_t>(at.tv_nsec);
  }

  MonotonicNs looked_up_ns_ = 0;
  UnixClock unix_;
};

/// One thread's, from its constructor to the end of run().
template <class W, nicpipe::Endpoint E>
class WorkerLoop {
 public:
  struct Parts {
    W& worker;
    std::vector<E*> endpoints;  ///< This worker's queue of each port.
    abi::WorkerBlock& block;
    const LoopSignals& signals;
    LoopReport& report;
    IdleRungs rungs;
    std::vector<Announcement>
        announcements;  ///< One a port for the worker that speaks for the appliance; empty for the others.
    std::int64_t clock_lead_ns = LoopClock::kNoLead;
    std::function<void(std::int64_t lead_ns)> keep_clock_lead = {};  ///< Called now and then; may be empty.
  };

  explicit WorkerLoop(Parts parts)
      : p_(std::move(parts)), clock_(p_.clock_lead_ns), ladder_(0, p_.rungs), counted_(p_.endpoints.size()) {
    if constexpr (requires(E e) { e.set_release_hook(p_.worker.release_hook()); })
      for (E* endpoint : p_.endpoints) endpoint->set_release_hook(p_.worker.release_hook());
  }

  /// Returns after Order::kClose, with every buffer given back.
  void run() noexcept {
    p_.report.serving.store(true, std::memory_order_release);
    Now now = clock_.now();
    Order order;
    while ((order = p_.signals.order.load(std::memory_order_acquire)) < Order::kHalt) {
      const bool receives = order == Order::kServe;
      const bool busy = pump(p_.worker, std::span<E* const>(p_.endpoints), now, receives);
      if (!receives) drain(now);
      Now after = clock_.now();
      if (busy) {
        abi::bump(p_.block.counters.busy_ns, after.mono_ns - now.mono_ns);
        ladder_.worked();
      } else if (idle(after.mono_ns)) {
        after = clock_.now();
      }
      if (after.mono_ns - slow_ns_ >= kSlowEveryNs) slow(after);
      now = after;
    }
    p_.report.halted.store(true, std::memory_order_release);
    while (p_.signals.order.load(std::memory_order_acquire) != Order::kClose) sleep(kHaltSleepNs);
    close();
  }

 private:
  static constexpr MonotonicNs kSlowEveryNs =
      200'000'000;  ///< Buffer gauges, device drops, announcements: what costs more than a turn should.
  static constexpr MonotonicNs kProbeNs =
      1'000'000'000;  ///< RETRANS_TIMER of RFC 4861: who has our address answers in it.
  static constexpr std::uint32_t kHaltSleepNs = 100'000;

  /// May return early: a device that announces frames by a signal (net_tap) ends it, which is just what is wanted.
  static void sleep(std::uint32_t ns) noexcept {
    const timespec wait{.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, nullptr);
  }

  /// True: it slept, the time is another.
  bool idle(MonotonicNs now) noexcept {
    if constexpr (requires(E e) { e.reclaim(); })
      for (E* endpoint : p_.endpoints) endpoint->reclaim();
    if (const std::uint32_t cap = p_.worker.live().idle_sleep_us_max; cap != sleep_us_max_) {
      sleep_us_max_ = cap;
      ladder_.set_sleep_us_max(cap);
    }
    const IdleStep step = ladder_.idle(now);
    switch (step.action) {
      case IdleAction::kSpin:
        return false;
      case IdleAction::kPause:
        _mm_pause();
        return false;
      case IdleAction::kSleep:
        abi::bump(p_.block.counters.sleeps);
        sleep(step.sleep_ns);
        return true;
    }
    return false;
  }

  /// Without receiving, an endpoint still sends what workers without a queue of their own passed to it.
  void drain(Now now) noexcept {
    if constexpr (requires(W w) { w.hang_up(now); }) p_.worker.hang_up(now);
    for (E* endpoint : p_.endpoints) (void)endpoint->rx_burst(std::span<nicpipe::Packet>{}, now.mono_ns);
    p_.report.drained.store(p_.worker.drained(), std::memory_order_release);
  }

  void slow(Now now) noexcept {
    slow_ns_ = now.mono_ns;
    count_buffers();
    if (p_.keep_clock_lead) p_.keep_clock_lead(clock_.lead_ns());
    for (std::size_t port = 0; port < p_.announcements.size(); ++port) {
      const std::uint32_t wanted = p_.signals.announcements[port].load(std::memory_order_acquire);
      if (wanted != announced_[port]) {
        announce(port);
        probed_ns_[port] = now.mono_ns;
        conflicts_[port] = conflicts();
      } else if (probed_ns_[port] != 0 && now.mono_ns - probed_ns_[port] >= kProbeNs) {
        probed_ns_[port] = 0;
        if (conflicts() == conflicts_[port]) announce6(port);
      }
      announced_[port] = wanted;
    }
  }

  void count_buffers() noexcept {
    std::uint64_t free = 0, total = 0;
    for (std::size_t port = 0; port < p_.endpoints.size(); ++port) {
      E& endpoint = *p_.endpoints[port];
      if constexpr (requires { endpoint.buffers_free(); }) {
        free += endpoint.buffers_free();
        total += endpoint.buffers_total();
      }
      if constexpr (requires { endpoint.counters().rx_multi_buffer_dropped; }) {
        const auto& is = endpoint.counters();
        const std::uint64_t refused = is.tx_link_down_dropped + is.tx_forward_dropped;
        Counted& was = counted_[port];
        abi::bump(p_.block.counters.drop_multi_buffer, is.rx_multi_buffer_dropped - was.multi_buffer);
        abi::bump(p_.block.counters.tx_refused, refused - was.refused);
        was = {is.rx_multi_buffer_dropped, refused};
      }
    }
    p_.block.gauges.buffers_free.store(free, std::memory_order_relaxed);
    p_.block.gauges.buffers_total.store(total, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t conflicts() const noexcept {
    return p_.block.counters.drop_address_conflict.load(std::memory_order_relaxed);
  }

  /// Best effort: who misses it asks by ARP or neighbour discovery. Over IPv6 we tell switches what groups we hear and
  /// ask whether somebody has our addresses (RFC 4862 section 5.4); we serve meanwhile, but do not take them from him.
  void announce(std::size_t port) noexcept {
    const Announcement& what = p_.announcements[port];
    announce(port, [&what](nicpipe::Packet& packet) {
      nicpipe::write_gratuitous_arp(packet, what.mac, what.address, what.vlan);
    });
    if (what.address6.is_zero()) return;
    announce(port, [&what](nicpipe::Packet& packet) {
      const nicpipe::Link link{{}, what.mac, what.vlan, what.vlan != 0};
      nicpipe::write_mld_report(packet, link, what.address6, nicpipe::MldReport::kChange);
    });
    for (const nicpipe::IpAddress& address : {what.address6, nicpipe::link_local_of(what.mac)}) {
      announce(port, [&what, &address](nicpipe::Packet& packet) {
        nicpipe::write_address_probe(packet, what.mac, address, what.vlan);
      });
    }
  }

  /// Nobody objected.
  void announce6(std::size_t port) noexcept {
    const Announcement& what = p_.announcements[port];
    if (what.address6.is_zero()) return;
    for (const nicpipe::IpAddress& address : {what.address6, nicpipe::link_local_of(what.mac)}) {
      announce(port, [&what, &address](nicpipe::Packet& packet) {
        nicpipe::write_neighbour_announcement(packet, what.mac, address, what.vlan);
      });
    }
  }

  template <class Write>
  void announce(std::size_t port, Write write) noexcept {
    E& endpoint = *p_.endpoints[port];
    std::array<nicpipe::Packet, 1> packet;
    if (endpoint.alloc(packet) == 0) return;
    write(packet[0]);
    packet[0].port = static_cast<std::uint8_t>(port);
    if (endpoint.tx_burst(packet) == 0) endpoint.free(packet);
  }

  void close() noexcept {
    bool empty = false;
    while (!empty) {
      empty = p_.worker.close();
      if (const auto gone = p_.worker.to_free(); !gone.empty()) {
        p_.endpoints[0]->free(gone);
        p_.worker.freed();
      }
    }
    count_buffers();
  }

  struct Counted {
    std::uint64_t multi_buffer = 0, refused = 0;
  };

  Parts p_;
  LoopClock clock_;
  IdleLadder ladder_;
  std::uint32_t sleep_us_max_ = 0;
  std::array<std::uint32_t, abi::kPortsMax> announced_{};
  std::array<MonotonicNs, abi::kPortsMax> probed_ns_{};    ///< When our addresses were asked about; 0: done with.
  std::array<std::uint64_t, abi::kPortsMax> conflicts_{};  ///< Counted until then.
  MonotonicNs slow_ns_ = 0;
  std::vector<Counted> counted_;
};

}  // namespace gannet::dataplane
