/// Who talks to whom in a script, and how its relative numbers become segments and back.
#pragma once

#include <map>
#include <string>

#include "tests/tcp/rig.h"
#include "tests/tcp/runner_settings.h"
#include "tests/tcp/script.h"

namespace gannet::test::tcp {

/// Thrown where a script and the engine part; caught in run_script.
struct Fault {
  std::string text;
};

/// What the peers' streams and ours are made of.
inline constexpr std::uint8_t kPeerSalt = 0x11, kOurSalt = 0x77;

/// The two ends of a conversation as the script counts: numbers relative to each side's first.
struct Peer {
  Segment way;  ///< from: the peer, to: us.
  std::uint32_t isn = 0;
  std::uint32_t our_isn = 0;
  bool knows_us = false;
  bool timestamps = false;    ///< Negotiated.
  std::uint32_t last_ts = 0;  ///< Of ours.
  std::uint16_t window = 65535;
  std::uint64_t app_read = 0, app_written = 0;
  std::optional<nic::ConnectionId> id;
  std::uint8_t events = 0;
  nic::Close reason = nic::Close::kNone;
};

/// MUST-free: whatever is malformed is a Fault.
[[nodiscard]] Segment read_sent(const Frame& frame);

class Conversation {
 public:
  explicit Conversation(const Settings& settings) : settings_(settings) {}

  /// Made on first sight: 10.77.0.1, port 3999 + number.
  Peer& peer(std::uint32_t number);
  [[nodiscard]] std::map<std::uint32_t, Peer>& peers() { return peers_; }
  /// In the script's own language.
  [[nodiscard]] std::string text_of(const Segment& segment) const;
  /// Throws what differs.
  void match(const SegmentWords& expected, const Segment& got);
  /// `clock_ms`: the peer's timestamp clock.
  [[nodiscard]] Segment segment_of(const SegmentWords& words, std::uint32_t clock_ms);
  /// To nobody the script knows: an answer to a flood.
  [[nodiscard]] bool is_strangers(const Segment& segment) const;

 private:
  void compare(const char* what, const Number& expected, std::uint32_t got, std::string& faults);
  void compare_options(const OptionWords& expected, const Segment& got, const Peer& peer, std::string& faults);
  [[nodiscard]] std::uint32_t value_of(const Number& number, std::uint32_t last) const;
  void put_options(const OptionWords& words, const Peer& from, std::uint32_t clock_ms, Segment& segment) const;

  const Settings& settings_;
  std::map<std::uint32_t, Peer> peers_;
  std::map<std::string, std::uint32_t> names_;
};

}  // namespace gannet::test::tcp
