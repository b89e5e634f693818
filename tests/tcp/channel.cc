#include "tests/tcp/channel.h"

#include <algorithm>

namespace gannet::test::tcp {
namespace {

constexpr std::size_t kEthernetBytes = 14;

[[nodiscard]] bool is_after(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) > 0;
}

std::string rule(const char* what, const Segment& segment) {
  return std::string(what) + ": " + flags_text(segment.flags) + " seq " + std::to_string(segment.seq) + " ack " +
         std::to_string(segment.ack) + " win " + std::to_string(segment.window) + " data " +
         std::to_string(segment.payload.size());
}

/// Marks a frame that may be marked. False: this one may not.
bool mark(Frame& frame) {
  std::byte* ip = frame.data() + kEthernetBytes;
  if (frame[12] == std::byte{0x86}) {
    if ((ip[1] & std::byte{0x30}) == std::byte{0}) return false;
    ip[1] |= std::byte{0x30};
    return true;
  }
  if ((ip[1] & std::byte{3}) == std::byte{0}) return false;
  ip[1] |= std::byte{3};
  store_be<std::uint16_t>(ip + 10, 0);
  store_be(ip + 10, naive_checksum(Bytes(ip, std::size_t{static_cast<std::uint8_t>(ip[0])} % 16 * 4)));
  return true;
}

/// RFC 3168 section 6.1.1.
constexpr std::uint8_t kEcnFlags = kSyn | kAck | kEce | kCwr;

bool agreed(std::uint8_t asked, std::uint8_t answered) {
  return (asked & kEcnFlags) == (kSyn | kEce | kCwr) && (answered & kEcnFlags) == (kSyn | kAck | kEce);
}

}  // namespace

bool Channel::happens(double probability) {
  return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability;
}

void Channel::arrive(std::uint32_t side, MonotonicNs at, Frame frame) {
  queue_.push({at, order_++, side, std::move(frame)});
}

void Channel::send(std::uint32_t from, Frame frame, MonotonicNs now) {
  const auto wire_ns = [&](std::size_t bytes) {
    return static_cast<MonotonicNs>(static_cast<double>(bytes) * 8e9 / options_.bits_per_s);
  };
  MonotonicNs& free_at = free_at_[from];
  free_at = std::max(free_at, now);
  if (free_at - now > wire_ns(options_.queue_bytes) || happens(options_.loss)) {
    ++lost_;
    return;
  }
  free_at += wire_ns(frame.size() + 24);  // Preamble, checksum and gap.
  MonotonicNs at = free_at + options_.rtt_ns / 2;
  if (happens(options_.reorder)) at += random_() % (options_.rtt_ns / 2 + 1);
  if (happens(options_.duplicate)) arrive(1 - from, at + random_() % (options_.rtt_ns / 2 + 1), frame);
  if (happens(options_.mark) && mark(frame)) ++marked_;
  if (happens(options_.corrupt)) {
    // One bit: no checksum of 16 bits overlooks it. The Ethernet header has a checksum of its own on a real wire.
    const std::size_t bit = random_() % ((frame.size() - kEthernetBytes) * 8);
    frame[kEthernetBytes + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    ++damaged_;
  }
  arrive(1 - from, at, std::move(frame));
}

Channel::Arrival Channel::take() {
  Arrival arrival = queue_.top();
  queue_.pop();
  return arrival;
}

std::string Inspector::leaves(std::uint32_t side, Bytes frame) {
  Segment segment;
  const std::string fault = read(frame, segment);
  if (!fault.empty()) return fault;
  Side& us = sides_[side];
  Side& them = sides_[1 - side];
  if (segment.has(kSyn)) {
    if (us.syn_seen && segment.seq != us.isn) return rule("a SYN with another number", segment);
    if (!us.syn_seen) us.sent_end = segment.seq;
    us.syn_seen = true;
    us.isn = segment.seq;
    us.syn_flags = segment.flags;
    us.scales = segment.window_scale.has_value();
    us.scale = segment.window_scale.value_or(0);
    us.timestamps = segment.timestamps.has_value();
    us.mss = segment.mss.value_or(536);
  } else if (segment.has(kRst)) {
    return "";
  } else {
    if (!us.syn_seen) return rule("a segment before the SYN", segment);
    if (segment.timestamps.has_value() != (us.timestamps && them.timestamps))
      return rule("timestamps that do not keep to the handshake", segment);
    const std::size_t options = segment.timestamps ? 12 : 0;
    if (segment.payload.size() + options > them.mss) return rule("more payload than the MSS allows", segment);
  }
  const std::uint32_t end = segment.seq + segment.length();
  // A probe may put one byte into a closed window.
  if (us.allowed_known && segment.length() > 1 && is_after(end - (segment.has(kFin) ? 1 : 0), us.allowed))
    return rule("data beyond the window", segment);
  if (segment.ecn != 0) {
    if (!agreed(us.syn_flags, them.syn_flags) && !agreed(them.syn_flags, us.syn_flags))
      return rule("what may be marked without an agreement", segment);
    if (segment.payload.empty() || !is_after(end, us.sent_end))
      return rule("what may be marked and is no new payload", segment);
  }
  if (is_after(end, us.sent_end)) us.sent_end = end;
  if (segment.has(kFin)) {
    us.fin_seen = true;
    us.fin_end = end;
  }
  if (segment.has(kAck)) {
    if (is_after(segment.ack, them.sent_end)) return rule("an acknowledgement of what was not sent", segment);
    if (us.ack_seen && is_after(us.ack, segment.ack)) return rule("an acknowledgement that goes back", segment);
    us.ack_seen = true;
    us.ack = segment.ack;
    const bool scaled = us.scales && them.scales && !segment.has(kSyn);
    const std::uint32_t edge = segment.ack + (std::uint32_t{segment.window} << (scaled ? us.scale : 0));
    // Rounding to the scale may take less than one unit back.
    const bool matters = !them.fin_seen || segment.ack != them.fin_end;  // Behind a FIN nothing comes.
    if (matters && us.right_edge != 0 && is_after(us.right_edge, edge + (1u << us.scale)))
      return rule("a window that is taken back", segment);
    if (us.right_edge == 0 || is_after(edge, us.right_edge)) us.right_edge = edge;
    for (const SackBlock& block : segment.sacks)
      if (!is_after(block.last, block.first) || is_after(block.last, them.sent_end))
        return rule("a SACK block of what was not sent", segment);
  }
  return "";
}

void Inspector::reaches(std::uint32_t side, Bytes frame) {
  Segment segment;
  if (!read(frame, segment).empty() || segment.has(kRst)) return;
  Side& us = sides_[side];
  const Side& them = sides_[1 - side];
  if (!segment.has(kAck) && !segment.has(kSyn)) return;
  const bool scaled = us.scales && them.scales && !segment.has(kSyn);
  const std::uint32_t base = segment.has(kAck) ? segment.ack : us.isn + 1;
  const std::uint32_t edge = base + (std::uint32_t{segment.window} << (scaled ? them.scale : 0));
  if (!us.allowed_known || is_after(edge, us.allowed)) us.allowed = edge;
  us.allowed_known = true;
}

}  // namespace gannet::test::tcp
