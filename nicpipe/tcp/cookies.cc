// SYN cookies (RFC 4987 section 3.6): when too many handshakes are half done, a SYN costs no memory. What must be known
// later travels in our initial sequence number and, for peers with timestamps, in the last bits of ours:
//     sequence number = (time slot 5 bits | MSS class 3 | keyed hash 24) + keyed hash of the tuple
//     timestamp       = ... | window scale 4 bits (15: none) | SACK permitted 1 | 0
#include <algorithm>
#include <array>

#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr std::array<std::uint16_t, 8> kMssClasses{64, 536, 1024, 1220, 1360, 1440, 1460, 8960};
constexpr MonotonicNs kSlotNs = 64'000'000'000;
constexpr std::uint32_t kTsBits = 63, kNoScale = 15;

[[nodiscard]] Seq base_of(const Key& key, const Tuple& tuple) noexcept {
  return static_cast<Seq>(sip_hash(key, tuple, 2));
}
[[nodiscard]] std::uint32_t proof_of(const Key& key, const Tuple& tuple, Seq irs, std::uint64_t slot,
                                     std::uint32_t mss_class) noexcept {
  const std::uint64_t who = sip_hash(key, tuple, std::uint64_t{mss_class} << 32 | irs);
  return static_cast<std::uint32_t>(sip_hash(key, {who, slot})) & 0xff'ffff;
}

}  // namespace

void Core::send_cookie(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  const std::uint16_t offered = s.options.mss != 0 ? s.options.mss : std::uint16_t{536};
  std::uint32_t mss_class = kMssClasses.size() - 1;
  while (mss_class > 0 && kMssClasses[mss_class] > offered) --mss_class;
  const std::uint64_t slot = now.mono_ns / kSlotNs;
  const std::uint32_t proof = proof_of(config.cookie_key, s.tuple, s.seq, slot, mss_class);
  Outgoing out;
  out.seq =
      base_of(config.cookie_key, s.tuple) + (static_cast<std::uint32_t>(slot & 31) << 27 | mss_class << 24 | proof);
  out.ack = s.seq + 1;
  out.flags = wire::tcp::kSyn | wire::tcp::kAck;
  out.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(config.receive_bytes_max, 0xffff));
  out.add_mss(mss_announced(route_back(packet, s.tuple)));
  if (config.timestamps && s.options.has_timestamps) {
    const bool sack = config.sack && s.options.sack_permitted;
    const bool scaled = config.window_scaling && s.options.window_scale != Options::kNoScale;
    const bool ecn = config.ecn && s.has(wire::tcp::kEce) && s.has(wire::tcp::kCwr);
    const std::uint32_t bits = (scaled ? s.options.window_scale : kNoScale) << 2 | (sack ? 2u : 0u) | (ecn ? 1u : 0u);
    const std::uint32_t clock = ts_now(ts_offset_of(s.tuple), now);
    std::uint32_t value = (clock & ~kTsBits) | bits;
    if (static_cast<std::int32_t>(value - clock) > 0) value -= kTsBits + 1;  // Never from the future.
    if (ecn) out.flags |= wire::tcp::kEce;
    if (sack) out.add_sack_permitted();
    out.add_timestamps(value, s.options.ts_value);
    if (scaled) out.add_window_scale(receive_shift);
  }
  cookie_sent_ns = now.mono_ns;
  ++stats.cookies_sent;
  reply(packet, s.tuple, out, sink);
}

Connection* Core::accept_cookie(const Packet& packet, const Segment& s, Now now) noexcept {
  if (stats.cookies_sent == 0 || now.mono_ns - cookie_sent_ns > 2 * kSlotNs) return nullptr;
  const Seq cookie = s.ack - 1, irs = s.seq - 1;
  const std::uint32_t fields = cookie - base_of(config.cookie_key, s.tuple);
  const std::uint32_t mss_class = fields >> 24 & 7;
  const std::uint64_t slot_now = now.mono_ns / kSlotNs;
  const std::uint64_t age = (slot_now - (fields >> 27)) & 31;
  if (age > 1 || age > slot_now ||
      proof_of(config.cookie_key, s.tuple, irs, slot_now - age, mss_class) != (fields & 0xff'ffff)) {
    ++stats.cookies_refused;
    return nullptr;
  }
  Connection* const c = open(route_back(packet, s.tuple), now);
  if (c == nullptr) return nullptr;
  ++stats.cookies_accepted;
  c->iss = cookie;
  c->irs = irs;
  c->rcv_nxt = s.seq;
  Segment syn;  // As far as we remember it.
  syn.options.mss = kMssClasses[mss_class];
  if (config.timestamps && s.options.has_timestamps) {
    syn.options.has_timestamps = true;
    syn.options.ts_value = s.options.ts_value;
    const std::uint32_t bits = s.options.ts_echo & kTsBits;
    syn.options.sack_permitted = (bits & 2) != 0;
    if ((bits & 1) != 0) syn.flags = wire::tcp::kEce | wire::tcp::kCwr;
    if (bits >> 2 != kNoScale) syn.options.window_scale = static_cast<std::uint8_t>(bits >> 2);
  }
  learn_options(*c, syn, now);
  begin_windows(*c);
  c->snd_wl1 = s.seq - 1;
  set_state(*c, State::kSynReceived);
  return c;
}

}  // namespace gannet::nicpipe::tcp
