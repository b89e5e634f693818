/// A wire that loses, delays, reorders, doubles and damages frames, by a seed: the same seed, the same fate of every
/// frame. And an inspector that reads every frame on its way for rules no endpoint may break.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "tests/tcp/segment.h"

namespace gannet::test::tcp {

struct ChannelOptions {
  MonotonicNs rtt_ns = 1'000'000;
  double loss = 0, reorder = 0, duplicate = 0, corrupt = 0;  ///< Probabilities, each way.
  double mark = 0;  ///< Of frames that may be marked (RFC 3168 section 5), each way.
  double bits_per_s = 10e9;
  std::uint32_t queue_bytes = 1 << 20;  ///< Waiting for the rate; more is lost.
};

/// Both directions of a wire between side 0 and side 1.
class Channel {
 public:
  struct Arrival {
    MonotonicNs at = 0;
    std::uint64_t order = 0;  ///< Of equal times the first sent is first.
    std::uint32_t side = 0;   ///< Whom it reaches.
    Frame frame;
  };

  Channel(const ChannelOptions& options, std::uint64_t seed) : options_(options), random_(seed) {}

  void send(std::uint32_t from, Frame frame, MonotonicNs now);
  /// ~0: nothing is under way.
  [[nodiscard]] MonotonicNs next() const { return queue_.empty() ? ~MonotonicNs{0} : queue_.top().at; }
  [[nodiscard]] Arrival take();
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::uint64_t damaged() const { return damaged_; }
  [[nodiscard]] std::uint64_t marked() const { return marked_; }

 private:
  struct Later {
    bool operator()(const Arrival& a, const Arrival& b) const { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };
  [[nodiscard]] bool happens(double probability);
  void arrive(std::uint32_t side, MonotonicNs at, Frame frame);

  const ChannelOptions options_;
  std::mt19937_64 random_;
  std::array<MonotonicNs, 2> free_at_{};  ///< When the direction's transmitter is idle again.
  std::priority_queue<Arrival, std::vector<Arrival>, Later> queue_;
  std::uint64_t order_ = 0, lost_ = 0, damaged_ = 0, marked_ = 0;
};

/// One connection as the wire sees it. Rules: every frame is well formed; payload fits the MSS told; nothing is sent
/// beyond the window told; nothing is acknowledged that was not sent; acknowledgements and the window's right edge
/// never go back; timestamps are on all segments or on none; what may be marked is new payload, once both agreed.
class Inspector {
 public:
  /// A frame leaves side 0 or 1. Empty, or the rule it breaks.
  [[nodiscard]] std::string leaves(std::uint32_t side, Bytes frame);
  /// A frame has reached `side` unharmed: what it says is known there now.
  void reaches(std::uint32_t side, Bytes frame);

 private:
  struct Side {
    bool syn_seen = false, fin_seen = false;
    std::uint32_t fin_end = 0;            ///< Behind our FIN.
    std::uint32_t isn = 0, sent_end = 0;  ///< sent_end: highest sequence number sent, exclusive.
    bool ack_seen = false;
    std::uint32_t ack = 0, right_edge = 0;  ///< Highest told by this side.
    std::uint8_t scale = 0;
    bool scales = false, timestamps = false;
    std::uint8_t syn_flags = 0;
    std::uint32_t mss = 536;
    std::uint32_t allowed = 0;  ///< Right edge that has reached this side (told by the other).
    bool allowed_known = false;
  };
  std::array<Side, 2> sides_;
};

}  // namespace gannet::test::tcp
