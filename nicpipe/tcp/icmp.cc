// ICMP errors about our segments: believed only when they quote something under way (RFC 5927 section 4).
#include <algorithm>

#include "nicpipe/tcp/core.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr std::size_t kIpv6HeaderBytes = 40, kIpv6Source = 8, kIpv6Destination = 24;
constexpr std::uint32_t kMtuLeast4 = 68, kMtuLeast6 = 1280;

/// What the error says, whichever family it came by.
struct Error {
  Tuple tuple;
  Seq seq = 0;
  std::uint32_t mtu = 0;  ///< 0: not about size.
  bool is_hard = false;   ///< Port or protocol unreachable (RFC 1122 section 4.2.3.9).
};

/// RFC 1191 section 7.1: a router that does not say what would fit.
[[nodiscard]] std::uint32_t plateau_below(std::uint32_t bytes) noexcept {
  for (const std::uint32_t plateau : {32'000u, 17'914u, 8'166u, 4'352u, 2'002u, 1'492u, 1'006u, 508u, 296u})
    if (plateau < bytes) return plateau;
  return kMtuLeast4;
}

[[nodiscard]] bool read_error(const Packet& packet, Error& out) noexcept {
  const std::byte* ip = packet.data + packet.l2_bytes;
  const std::size_t offset = std::size_t{packet.l2_bytes} + packet.l3_bytes;
  const bool is_v4 = static_cast<std::uint8_t>(ip[0]) >> 4 == 4;
  const std::size_t quoted_ip = is_v4 ? wire::ipv4::kHeaderBytes : kIpv6HeaderBytes;
  if (packet.bytes < offset + wire::icmp::kHeaderBytes + quoted_ip + wire::icmp::kQuotedBytes) return false;
  const std::byte* icmp = packet.data + offset;
  const std::byte* quoted = icmp + wire::icmp::kHeaderBytes;
  const auto type = static_cast<std::uint8_t>(icmp[wire::icmp::kType]);
  const auto code = static_cast<std::uint8_t>(icmp[wire::icmp::kCode]);
  const std::byte* tcp = quoted + quoted_ip;
  if (is_v4) {
    const std::size_t header = (static_cast<std::uint8_t>(quoted[wire::ipv4::kVersionIhl]) & 15u) * 4;
    if (header < wire::ipv4::kHeaderBytes ||
        packet.bytes < offset + wire::icmp::kHeaderBytes + header + wire::icmp::kQuotedBytes)
      return false;
    tcp = quoted + header;
    out.tuple.own = load_ipv4(quoted + wire::ipv4::kSource);
    out.tuple.peer = load_ipv4(quoted + wire::ipv4::kDestination);
    if (type == wire::icmp::kUnreachable && code == wire::icmp::kFragmentationNeeded) {
      out.mtu = load_be<std::uint16_t>(icmp + wire::icmp::kRest + 2);
      if (out.mtu == 0) out.mtu = plateau_below(load_be<std::uint16_t>(quoted + wire::ipv4::kTotalLength));
      out.mtu = std::max(out.mtu, kMtuLeast4);
    }
    out.is_hard = type == wire::icmp::kUnreachable && (code == 2 || code == wire::icmp::kPortUnreachable);
  } else {
    constexpr std::uint8_t kTooBig = 2, kUnreachable6 = 1, kPort6 = 4;
    out.tuple.own = load_ipv6(quoted + kIpv6Source);
    out.tuple.peer = load_ipv6(quoted + kIpv6Destination);
    if (type == kTooBig) out.mtu = std::max(load_be<std::uint32_t>(icmp + wire::icmp::kRest), kMtuLeast6);
    out.is_hard = type == kUnreachable6 && code == kPort6;
  }
  out.tuple.own_port = load_be<std::uint16_t>(tcp + wire::tcp::kSourcePort);
  out.tuple.peer_port = load_be<std::uint16_t>(tcp + wire::tcp::kDestinationPort);
  out.seq = load_be<std::uint32_t>(tcp + wire::tcp::kSequence);
  return true;
}

}  // namespace

bool Core::is_about_ours(const Packet& packet) noexcept {
  Error error;
  return read_error(packet, error) && lookup(error.tuple) != nullptr;
}

void Core::receive_icmp(const Packet& packet, Now now, Sink& sink) noexcept {
  Error error;
  Connection* const c = read_error(packet, error) ? lookup(error.tuple) : nullptr;
  sink.free(packet);
  if (c == nullptr || c->state == State::kDead || seq_lt(error.seq, c->snd_una) || seq_ge(error.seq, c->snd_nxt)) {
    ++stats.icmp_refused;
    return;
  }
  ++stats.icmp_errors;
  if (error.mtu != 0) {
    path_mtu_is(*c, error.mtu, now);
  } else if (error.is_hard && (c->state == State::kSynSent || c->state == State::kSynReceived)) {
    end(*c, Close::kUnreachable, sink);  // RFC 5461 section 4.1: only before there is a connection to lose.
  }
}

/// RFC 1191 section 3, RFC 8201 section 5.2: never upwards here. What does not fit was dropped on the way and goes
/// again in smaller pieces, without blaming congestion.
void Core::path_mtu_is(Connection& c, std::uint32_t mtu, Now now) noexcept {
  if (mtu >= c.path_mtu || !c.is_synchronized()) return;
  c.path_mtu = static_cast<std::uint16_t>(mtu);
  const std::uint16_t before = c.mss;
  set_send_mss(c, std::uint32_t{c.mss} + (c.timestamps ? kTimestampsBytes : 0));
  if (c.mss >= before) return;
  for (std::uint32_t index = c.flight_head; index != kNone; index = flights[index].next)
    if (flights[index].bytes > c.mss) mark_lost(c, index);
  c.cwnd = std::max(c.cwnd, std::uint32_t{c.mss});
  want_output(c);
  arm_send_timer(c, now);
}

}  // namespace gannet::nicpipe::tcp
