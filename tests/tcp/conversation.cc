#include "tests/tcp/conversation.h"

#include <algorithm>

namespace gannet::test::tcp {

Peer& Conversation::peer(std::uint32_t number) {
  const auto [found, is_new] = peers_.try_emplace(number);
  Peer& peer = found->second;
  if (is_new) {
    peer.isn = settings_.peer_isn + (number - 1) * 1'000'000;
    peer.way.from = {address(settings_.v6 ? kPeer6 : kPeer), static_cast<std::uint16_t>(3999 + number)};
    peer.way.to = {address(settings_.v6 ? kUs6 : kUs), kPort};
    if (settings_.options.vlan != 0) peer.way.vlan = settings_.options.vlan;
  }
  return peer;
}

Segment read_sent(const Frame& frame) {
  Segment segment;
  const std::string fault = read(frame, segment);
  if (!fault.empty()) throw Fault{"a malformed frame was sent: " + fault + "\n" + describe(frame)};
  return segment;
}

std::string Conversation::text_of(const Segment& segment) const {
  for (const auto& [number, peer] : peers_) {
    if (peer.way.from != segment.to) continue;
    const bool first = !peer.knows_us && segment.has(kSyn);
    const std::uint32_t ours = first ? segment.seq : peer.our_isn;
    std::string text = "> " + (number == 1 ? "" : "@" + std::to_string(number) + " ") + flags_text(segment.flags);
    text += " seq " + std::to_string(segment.seq - ours);
    if (segment.has(kAck)) text += " ack " + std::to_string(segment.ack - peer.isn);
    text += " win " + std::to_string(segment.window);
    if (!segment.payload.empty()) text += " data " + std::to_string(segment.payload.size());
    if (segment.ecn != 0) text += " ecn " + std::to_string(segment.ecn);
    std::string options;
    if (segment.mss) options += ", mss " + std::to_string(*segment.mss);
    if (segment.sack_permitted) options += ", sackOK";
    if (segment.timestamps)
      options += ", ts " + std::to_string(segment.timestamps->value) + " " + std::to_string(segment.timestamps->echo);
    if (segment.window_scale) options += ", ws " + std::to_string(*segment.window_scale);
    if (!segment.sacks.empty()) options += ", sack";
    for (const SackBlock& block : segment.sacks)
      options += " " + std::to_string(block.first - peer.isn) + ":" + std::to_string(block.last - peer.isn);
    return text + (options.empty() ? "" : " <" + options.substr(2) + ">");
  }
  return "> to nobody of the script: " + flags_text(segment.flags);
}

void Conversation::compare(const char* what, const Number& expected, std::uint32_t got, std::string& faults) {
  bool right = true;
  switch (expected.kind) {
    case Number::Kind::kValue:
      right = got == expected.value;
      break;
    case Number::Kind::kAtLeast:
      right = got >= expected.value;
      break;
    case Number::Kind::kAtMost:
      right = got <= expected.value;
      break;
    case Number::Kind::kName: {
      const auto [found, is_new] = names_.try_emplace(expected.name, got);
      right = is_new || found->second == got;
      break;
    }
    case Number::Kind::kAny:
    case Number::Kind::kLast:
      break;
  }
  if (!right) faults += std::string("  ") + what + " " + std::to_string(got);
}

void Conversation::compare_options(const OptionWords& expected, const Segment& got, const Peer& peer,
                                   std::string& faults) {
  const auto field = [&](const char* what, const std::optional<Number>& number, const auto& value) {
    if (number.has_value() != value.has_value()) {
      faults += std::string("  ") + what + (value ? " is there" : " is missing");
    } else if (number) {
      compare(what, *number, *value, faults);
    }
  };
  field("mss", expected.mss, got.mss);
  field("ws", expected.window_scale, got.window_scale);
  if (expected.sack_permitted != got.sack_permitted) faults += "  sackOK";
  field("ts", expected.ts_value,
        got.timestamps ? std::optional(got.timestamps->value) : std::optional<std::uint32_t>());
  if (expected.ts_echo && got.timestamps) compare("ts echo", *expected.ts_echo, got.timestamps->echo, faults);
  std::vector<SackBlock> blocks = got.sacks;
  for (SackBlock& block : blocks) block = {block.first - peer.isn, block.last - peer.isn};
  if (blocks != expected.sacks) faults += "  sack";
}

void Conversation::match(const SegmentWords& expected, const Segment& got) {
  Peer& to = peer(expected.peer);
  std::string faults;
  if (got.to != to.way.from || got.from != to.way.to) throw Fault{"sent to somebody else:\n    " + text_of(got)};
  if (got.has(kSyn) && !to.knows_us) {
    to.our_isn = got.seq;
    to.knows_us = true;
  }
  const std::uint8_t compared = expected.any_psh ? static_cast<std::uint8_t>(~kPsh) : std::uint8_t{0xff};
  if ((got.flags & compared) != (expected.flags & compared)) faults += "  flags " + flags_text(got.flags);
  compare("seq", *expected.seq, got.seq - to.our_isn, faults);
  if (expected.ack) compare("ack", *expected.ack, got.ack - to.isn, faults);
  if (expected.window) compare("win", *expected.window, got.window, faults);
  if (got.payload.size() != expected.data.value_or(0)) faults += "  data " + std::to_string(got.payload.size());
  const std::uint64_t at = expected.data_at.value_or(got.seq - to.our_isn - 1);
  if (pattern_fault(got.payload, at, kOurSalt) != got.payload.size()) faults += "  the payload's bytes are wrong";
  if (expected.ecn && *expected.ecn != got.ecn) faults += "  ecn " + std::to_string(got.ecn);
  if (got.vlan != to.way.vlan) faults += "  VLAN tag";
  if (expected.options) {
    compare_options(*expected.options, got, to, faults);
  } else if (!got.has(kRst)) {
    if (got.timestamps.has_value() != to.timestamps) faults += to.timestamps ? "  ts is missing" : "  ts is there";
    if (!got.sacks.empty()) faults += "  sack is there";
  }
  if (!faults.empty()) throw Fault{"came\n    " + text_of(got) + "\n  which differs in:" + faults};
  if (got.timestamps) to.last_ts = got.timestamps->value;
}

std::uint32_t Conversation::value_of(const Number& number, std::uint32_t last) const {
  if (number.kind == Number::Kind::kLast) return last;
  if (number.kind == Number::Kind::kName) {
    const auto found = names_.find(number.name);
    if (found == names_.end()) throw Fault{"nothing was called $" + number.name};
    return found->second;
  }
  return number.value;
}

Segment Conversation::segment_of(const SegmentWords& words, std::uint32_t clock_ms) {
  Peer& from = peer(words.peer);
  Segment segment = from.way;
  segment.flags = words.flags;
  segment.seq = value_of(*words.seq, 0) + from.isn;
  if (words.ack) segment.ack = value_of(*words.ack, 0) + from.our_isn;
  if (words.window) from.window = static_cast<std::uint16_t>(value_of(*words.window, 0));
  segment.window = from.window;
  segment.urgent = words.urgent;
  segment.ecn = words.ecn.value_or(0);
  segment.bad_checksum = words.bad_checksum;
  segment.header_words = words.header_words;
  if (words.data) {
    const std::uint64_t at = words.data_at.value_or(segment.seq - from.isn - (segment.has(kSyn) ? 0 : 1));
    segment.payload = pattern_bytes(at, *words.data, static_cast<std::uint8_t>(kPeerSalt + words.salt));
  }
  if (words.options) {
    put_options(*words.options, from, clock_ms, segment);
  } else if (from.timestamps) {
    segment.timestamps = Timestamps{clock_ms, from.last_ts};
  }
  return segment;
}

void Conversation::put_options(const OptionWords& words, const Peer& from, std::uint32_t clock_ms,
                               Segment& segment) const {
  if (words.mss) segment.mss = static_cast<std::uint16_t>(words.mss->value);
  if (words.window_scale) segment.window_scale = static_cast<std::uint8_t>(words.window_scale->value);
  segment.sack_permitted = words.sack_permitted;
  if (words.ts_value) {
    segment.timestamps = Timestamps{value_of(*words.ts_value, clock_ms), value_of(*words.ts_echo, from.last_ts)};
    if (words.ts_value->kind == Number::Kind::kAny) segment.timestamps->value = clock_ms;
  }
  for (const SackBlock& block : words.sacks)
    segment.sacks.push_back({block.first + from.our_isn, block.last + from.our_isn});
  segment.raw_options = words.raw;
}

bool Conversation::is_strangers(const Segment& segment) const {
  return std::none_of(peers_.begin(), peers_.end(),
                      [&](const auto& peer) { return peer.second.way.from == segment.to; });
}

}  // namespace gannet::test::tcp
