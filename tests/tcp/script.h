/// Packet scripts: what goes in and what must come out, line by line, under a virtual clock. tests/tcp/README.md
/// describes the language for writers; this is its reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "storage/base/clock.h"
#include "tests/tcp/segment.h"

namespace gannet::test::tcp {

/// A number in a script, with what stands beside it: "7", "*" (anything), ">=5", "last", "$name".
struct Number {
  enum class Kind : std::uint8_t { kValue, kAny, kAtLeast, kAtMost, kLast, kName };
  Kind kind = Kind::kValue;
  std::uint32_t value = 0;
  std::string name;
};

struct OptionWords {
  std::optional<Number> mss, window_scale;
  bool sack_permitted = false;
  std::optional<Number> ts_value, ts_echo;
  std::vector<SackBlock> sacks;  ///< Relative to the acknowledged side's first sequence number.
  Frame raw;                     ///< "raw 0102...": only on the way in.
};

/// A segment as a script spells it: sequence numbers relative to each side's first.
struct SegmentWords {
  std::uint32_t peer = 1;  ///< "@2"
  std::uint8_t flags = 0;
  bool any_psh = true;  ///< P is not compared unless the script says P or "nopush".
  std::optional<Number> seq, ack, window;
  std::optional<std::uint32_t> data;     ///< Bytes of payload.
  std::optional<std::uint32_t> data_at;  ///< Place in the stream, if not seq - 1.
  std::uint8_t salt = 0;                 ///< "other": payload that is not the stream's.
  std::uint16_t urgent = 0;
  std::optional<std::uint8_t> ecn;
  bool bad_checksum = false;
  std::uint8_t header_words = 0;
  MonotonicNs rtt_ns = 0;              ///< Of open: between SYN-ACK and ACK.
  std::optional<OptionWords> options;  ///< None: whatever was negotiated.

  [[nodiscard]] bool has_psh() const { return (flags & kPsh) != 0; }
};

struct Step {
  enum class Kind : std::uint8_t { kIn, kOut, kSilence, kOpen, kIcmp, kApp, kEvent, kNoEvent, kFlood, kWho, kCount };
  std::size_t line = 0;
  std::string text;
  MonotonicNs from_ns = 0, to_ns = 0;  ///< After the step before. Equal: exactly then.
  bool range = false;                  ///< "+1..2"
  Kind kind{};
  SegmentWords segment;
  std::vector<std::string> words;  ///< Of all that is no segment: the line's words behind the keyword.
};

struct Setting {
  std::size_t line = 0;
  std::string key, value;
};

struct Script {
  std::string name;    ///< Of the file.
  std::string proves;  ///< The first line: "RFC 9293 section 3.5: ...".
  std::vector<Setting> settings;
  std::vector<Step> steps;
};

/// Empty, or "line 7: ..." saying what cannot be read.
[[nodiscard]] std::string parse_script(std::string_view text, Script& out);

/// "24", "1+3*1460": sums of products. False: no such number.
[[nodiscard]] bool parse_number(std::string_view text, std::uint32_t& out);
/// "1", "0.25", "40ms", "10us", "1s", "2h". Plain numbers are seconds.
[[nodiscard]] bool parse_time(std::string_view text, MonotonicNs& out);

}  // namespace gannet::test::tcp
