#include "nicpipe/tcp/segment.h"

#include <cstddef>
#include <cstring>

#include "nicpipe/checksum.h"
#include "nicpipe/frame_write.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {
namespace {

constexpr std::uint8_t kScaleMax = 14;
constexpr std::size_t kIpv6HeaderBytes = 40, kIpv6Source = 8, kIpv6Destination = 24;
constexpr std::uint16_t kTypeIpv6 = 0x86dd;
/// NOP, NOP, timestamps, length 10: how everybody sends them.
constexpr std::uint32_t kAlignedTimestamps = 0x0101'080a;

[[nodiscard]] Sum sum_address(const IpAddress& address) noexcept {
  if (address.is_v4()) return byte_swap(address.v4().value);
  const std::uint64_t high = byte_swap(address.high), low = byte_swap(address.low);
  return (high >> 32) + (high & 0xffff'ffff) + (low >> 32) + (low & 0xffff'ffff);
}

/// RFC 9293 section 3.1, RFC 8200 section 8.1: the 32-bit length of IPv6 adds up to the same.
[[nodiscard]] Sum sum_pseudo(const Tuple& tuple, std::uint32_t tcp_bytes) noexcept {
  return sum_address(tuple.peer) + sum_address(tuple.own) + byte_swap(std::uint16_t{wire::ipv4::kProtocolTcp}) +
         byte_swap(static_cast<std::uint16_t>(tcp_bytes)) + byte_swap(static_cast<std::uint16_t>(tcp_bytes >> 16));
}

}  // namespace

void parse_options(Bytes bytes, Options& out) noexcept {
  const std::byte* at = bytes.data();
  if (bytes.size() == kTimestampsBytes && load_be<std::uint32_t>(at) == kAlignedTimestamps) [[likely]] {
    out.has_timestamps = true;
    out.ts_value = load_be<std::uint32_t>(at + 4);
    out.ts_echo = load_be<std::uint32_t>(at + 8);
    return;
  }
  std::size_t left = bytes.size();
  while (left > 0) {
    const auto kind = static_cast<std::uint8_t>(at[0]);
    if (kind == wire::tcp::kOptionEnd) return;
    if (kind == wire::tcp::kOptionNop) {
      ++at;
      --left;
      continue;
    }
    if (left < 2) return;
    const auto length = static_cast<std::uint8_t>(at[1]);
    if (length < 2 || length > left) return;
    switch (kind) {
      case wire::tcp::kOptionMss:
        if (length == 4) out.mss = load_be<std::uint16_t>(at + 2);
        break;
      case wire::tcp::kOptionWindowScale:
        if (length == 3) out.window_scale = static_cast<std::uint8_t>(at[2]);
        if (length == 3 && out.window_scale > kScaleMax) out.window_scale = kScaleMax;
        break;
      case wire::tcp::kOptionSackPermitted:
        if (length == 2) out.sack_permitted = true;
        break;
      case wire::tcp::kOptionTimestamps:
        if (length == 10) {
          out.has_timestamps = true;
          out.ts_value = load_be<std::uint32_t>(at + 2);
          out.ts_echo = load_be<std::uint32_t>(at + 6);
        }
        break;
      case wire::tcp::kOptionSack:
        if (length >= 10 && (length - 2) % 8 == 0) {
          out.sack_count = 0;
          for (std::uint8_t offset = 2; offset + 8 <= length && out.sack_count < out.sacks.size(); offset += 8)
            out.sacks[out.sack_count++] = {load_be<std::uint32_t>(at + offset),
                                           load_be<std::uint32_t>(at + offset + 4)};
        }
        break;
      default:
        break;
    }
    at += length;
    left -= length;
  }
}

ParseStatus parse_segment(const Packet& packet, Segment& out) noexcept {
  const std::byte* ip = packet.data + packet.l2_bytes;
  const std::size_t headers = std::size_t{packet.l2_bytes} + packet.l3_bytes;
  if (packet.bytes < headers + wire::tcp::kHeaderBytes) return ParseStatus::kHeader;
  const std::byte* tcp = packet.data + headers;
  const std::size_t tcp_bytes = packet.bytes - headers;
  const std::size_t header_bytes = std::size_t{static_cast<std::uint8_t>(tcp[wire::tcp::kOffset])} / 16 * 4;
  if (header_bytes < wire::tcp::kHeaderBytes || header_bytes > tcp_bytes) return ParseStatus::kHeader;
  if (static_cast<std::uint8_t>(ip[0]) >> 4 == 4) {
    out.tuple.peer = load_ipv4(ip + wire::ipv4::kSource);
    out.tuple.own = load_ipv4(ip + wire::ipv4::kDestination);
    out.ecn = static_cast<Ecn>(static_cast<std::uint8_t>(ip[wire::ipv4::kTos]) & 3u);
  } else {
    out.tuple.peer = load_ipv6(ip + kIpv6Source);
    out.tuple.own = load_ipv6(ip + kIpv6Destination);
    out.ecn = static_cast<Ecn>(static_cast<std::uint8_t>(ip[1]) >> 4 & 3u);
  }
  if ((packet.flags & (kRxL4ChecksumGood | kRxL4ChecksumBad)) != kRxL4ChecksumGood) {
    if ((packet.flags & kRxL4ChecksumBad) != 0) return ParseStatus::kChecksum;
    if (!is_intact(sum_pseudo(out.tuple, static_cast<std::uint32_t>(tcp_bytes)) + sum_bytes(tcp, tcp_bytes)))
      return ParseStatus::kChecksum;
  }
  out.tuple.peer_port = load_be<std::uint16_t>(tcp + wire::tcp::kSourcePort);
  out.tuple.own_port = load_be<std::uint16_t>(tcp + wire::tcp::kDestinationPort);
  if (out.tuple.peer_port == 0 || out.tuple.own_port == 0) return ParseStatus::kHeader;
  out.seq = load_be<std::uint32_t>(tcp + wire::tcp::kSequence);
  out.ack = load_be<std::uint32_t>(tcp + wire::tcp::kAcknowledgement);
  out.flags = static_cast<std::uint8_t>(tcp[wire::tcp::kFlags]);
  out.window = load_be<std::uint16_t>(tcp + wire::tcp::kWindow);
  out.payload_offset = static_cast<std::uint16_t>(headers + header_bytes);
  out.payload_bytes = static_cast<std::uint32_t>(tcp_bytes - header_bytes);
  if (header_bytes > wire::tcp::kHeaderBytes)
    parse_options({tcp + wire::tcp::kHeaderBytes, header_bytes - wire::tcp::kHeaderBytes}, out.options);
  return ParseStatus::kOk;
}

Route route_back(const Packet& packet, const Tuple& tuple) noexcept {
  Route route;
  route.tuple = tuple;
  route.peer_mac = load_mac(packet.data + wire::ethernet::kSource);
  route.own_mac = load_mac(packet.data + wire::ethernet::kDestination);
  route.has_vlan = packet.l2_bytes == wire::vlan::kHeaderBytes;
  if (route.has_vlan) route.vlan_tci = load_be<std::uint16_t>(packet.data + wire::vlan::kTci);
  route.port = packet.port;
  return route;
}

void Outgoing::add_mss(std::uint16_t mss) noexcept {
  store_be(options.data() + option_bytes, std::uint32_t{wire::tcp::kOptionMss} << 24 | 4u << 16 | mss);
  option_bytes = static_cast<std::uint8_t>(option_bytes + 4);
}
void Outgoing::add_window_scale(std::uint8_t shift) noexcept {
  store_be(options.data() + option_bytes, std::uint32_t{wire::tcp::kOptionNop} << 24 |
                                              std::uint32_t{wire::tcp::kOptionWindowScale} << 16 | 3u << 8 | shift);
  option_bytes = static_cast<std::uint8_t>(option_bytes + 4);
}
void Outgoing::add_sack_permitted() noexcept {
  store_be(options.data() + option_bytes, 0x0101'0002u | std::uint32_t{wire::tcp::kOptionSackPermitted} << 8);
  option_bytes = static_cast<std::uint8_t>(option_bytes + 4);
}
void Outgoing::add_timestamps(std::uint32_t value, std::uint32_t echo) noexcept {
  std::byte* at = options.data() + option_bytes;
  store_be(at, kAlignedTimestamps);
  store_be(at + 4, value);
  store_be(at + 8, echo);
  option_bytes = static_cast<std::uint8_t>(option_bytes + kTimestampsBytes);
}
void Outgoing::add_sacks(const SackBlock* blocks, std::uint32_t count) noexcept {
  const std::uint32_t fit = static_cast<std::uint32_t>(options.size() - option_bytes - 4) / 8;
  if (count > fit) count = fit;
  if (count == 0) return;
  std::byte* at = options.data() + option_bytes;
  store_be(at, 0x0101'0000u | std::uint32_t{wire::tcp::kOptionSack} << 8 | (2 + 8 * count));
  for (std::uint32_t i = 0; i < count; ++i) {
    store_be(at + 4 + 8 * i, blocks[i].start);
    store_be(at + 8 + 8 * i, blocks[i].end);
  }
  option_bytes = static_cast<std::uint8_t>(option_bytes + 4 + 8 * count);
}

std::size_t below_bytes(const Route& route) noexcept {
  return link_bytes(route.has_vlan) + (route.tuple.peer.is_v4() ? wire::ipv4::kHeaderBytes : kIpv6HeaderBytes);
}

void write_plain_segment(Packet& packet, const Route& route, const PlainSegment& what, std::uint32_t bytes,
                         const Capabilities& device) noexcept {
  static_assert(offsetof(Route, own_mac) == offsetof(Route, peer_mac) + sizeof(Mac), "as they stand in a frame");
  const std::uint32_t header_bytes = wire::tcp::kHeaderBytes + (what.timestamps ? kTimestampsBytes : 0);
  const std::uint32_t tcp_bytes = header_bytes + bytes;
  set_bytes(packet, wire::ethernet::kHeaderBytes + wire::ipv4::kHeaderBytes + tcp_bytes);
  packet.l2_bytes = wire::ethernet::kHeaderBytes;
  packet.l3_bytes = wire::ipv4::kHeaderBytes;
  packet.port = route.port;
  packet.segment_bytes = 0;
  packet.l4_bytes = static_cast<std::uint8_t>(header_bytes);
  packet.flags = static_cast<std::uint16_t>((device.tx_ip_checksum ? kTxIpChecksum : 0) |
                                            (device.tx_tcp_checksum ? kTxTcpChecksum : 0));

  std::byte* const frame = packet.data;
  const auto* const macs = reinterpret_cast<const std::byte*>(&route.peer_mac);
  store_raw(frame, load_raw<std::uint64_t>(macs));
  store_raw(frame + 8, load_raw<std::uint32_t>(macs + 8));
  store_be(frame + wire::ethernet::kType, wire::ethernet::kTypeIpv4);
  std::byte* const ip = frame + wire::ethernet::kHeaderBytes;
  const std::uint64_t addresses =
      byte_swap(std::uint64_t{route.tuple.own.v4().value} << 32 | route.tuple.peer.v4().value);
  write_ipv4_raw(ip, addresses, wire::ipv4::kProtocolTcp, 0,
                 static_cast<std::uint16_t>(wire::ipv4::kHeaderBytes + tcp_bytes), !device.tx_ip_checksum);

  std::byte* const at = ip + wire::ipv4::kHeaderBytes;
  const std::uint64_t first =
      byte_swap(std::uint64_t{route.tuple.own_port} << 48 | std::uint64_t{route.tuple.peer_port} << 32 | what.seq);
  const std::uint64_t second = byte_swap(std::uint64_t{what.ack} << 32 | std::uint64_t{header_bytes} << 26 |
                                         std::uint64_t{what.flags} << 16 | what.window);
  store_raw(at, first);
  store_raw(at + 8, second);
  Sum sum = (addresses >> 32) + (addresses & 0xffff'ffff) + byte_swap(std::uint16_t{wire::ipv4::kProtocolTcp}) +
            byte_swap(static_cast<std::uint16_t>(tcp_bytes));
  std::uint64_t times = 0;
  if (what.timestamps) {
    times = byte_swap(std::uint64_t{what.ts_value} << 32 | what.ts_echo);
    store_be(at + wire::tcp::kHeaderBytes, kAlignedTimestamps);
    store_raw(at + wire::tcp::kHeaderBytes + 4, times);
  }
  std::uint16_t checksum;
  if (device.tx_tcp_checksum) {
    checksum = fold(sum);
  } else {
    sum += (first >> 32) + (first & 0xffff'ffff) + (second >> 32) + (second & 0xffff'ffff);
    if (what.timestamps) sum += byte_swap(kAlignedTimestamps) + (times >> 32) + (times & 0xffff'ffff);
    checksum = checksum_of(sum + sum_bytes(at + header_bytes, bytes));
  }
  store_raw<std::uint32_t>(at + wire::tcp::kChecksum, checksum);  // And urgent pointer 0.
}

void write_segment(Packet& packet, const Route& route, const Outgoing& what, std::size_t payload_bytes,
                   std::uint16_t segment_bytes, const Capabilities& device) noexcept {
  const bool is_v4 = route.tuple.peer.is_v4();
  const std::size_t l2_bytes = link_bytes(route.has_vlan);
  const std::size_t l3_bytes = is_v4 ? wire::ipv4::kHeaderBytes : kIpv6HeaderBytes;
  const std::size_t header_bytes = wire::tcp::kHeaderBytes + what.option_bytes;
  const std::size_t tcp_bytes = header_bytes + payload_bytes + packet.tail_bytes;
  MUST_LE(l3_bytes + tcp_bytes, 65535u);
  set_bytes(packet, l2_bytes + l3_bytes + header_bytes + payload_bytes);
  packet.l2_bytes = static_cast<std::uint16_t>(l2_bytes);
  packet.l3_bytes = static_cast<std::uint16_t>(l3_bytes);
  packet.port = route.port;
  packet.flags = 0;
  packet.segment_bytes = segment_bytes;
  packet.l4_bytes = static_cast<std::uint8_t>(header_bytes);

  const Link link{route.peer_mac, route.own_mac, route.vlan_tci, route.has_vlan};
  std::byte* ip = packet.data + l2_bytes;
  if (is_v4) {
    write_link(packet.data, link, wire::ethernet::kTypeIpv4);
    write_ipv4(ip, route.tuple.own.v4(), route.tuple.peer.v4(), wire::ipv4::kProtocolTcp,
               static_cast<std::uint8_t>(what.ecn), static_cast<std::uint16_t>(l3_bytes + tcp_bytes),
               !device.tx_ip_checksum);
    if (device.tx_ip_checksum) packet.flags |= kTxIpChecksum;
  } else {
    write_link(packet.data, link, kTypeIpv6);
    store_be(ip, std::uint64_t{6} << 60 | std::uint64_t{static_cast<std::uint8_t>(what.ecn)} << 52 |
                     std::uint64_t{tcp_bytes} << 16 | std::uint64_t{wire::ipv4::kProtocolTcp} << 8 |
                     wire::ipv4::kTtlSent);
    store_ipv6(ip + kIpv6Source, route.tuple.own);
    store_ipv6(ip + kIpv6Destination, route.tuple.peer);
  }

  std::byte* tcp = ip + l3_bytes;
  const std::uint64_t ports_seq =
      std::uint64_t{route.tuple.own_port} << 48 | std::uint64_t{route.tuple.peer_port} << 32 | what.seq;
  const std::uint64_t ack_flags = std::uint64_t{what.ack} << 32 | std::uint64_t{header_bytes / 4} << 28 |
                                  std::uint64_t{what.flags} << 16 | what.window;
  store_be(tcp, ports_seq);
  store_be(tcp + 8, ack_flags);
  if (what.option_bytes == kTimestampsBytes) {
    std::memcpy(tcp + wire::tcp::kHeaderBytes, what.options.data(), kTimestampsBytes);
  } else {
    std::memcpy(tcp + wire::tcp::kHeaderBytes, what.options.data(), what.option_bytes);
  }
  std::uint16_t checksum;
  if (device.tx_tcp_checksum) {
    packet.flags |= kTxTcpChecksum;
    if (segment_bytes != 0) packet.flags |= kTxTcpSegment;
    checksum = fold(sum_pseudo(route.tuple, segment_bytes != 0 ? 0 : static_cast<std::uint32_t>(tcp_bytes)));
  } else {
    // Options and payload are summed where they lie, the fixed part from the values just stored.
    const std::uint64_t first = byte_swap(ports_seq), second = byte_swap(ack_flags);
    Sum sum = sum_pseudo(route.tuple, static_cast<std::uint32_t>(tcp_bytes)) + (first >> 32) + (first & 0xffff'ffff) +
              (second >> 32) + (second & 0xffff'ffff) +
              sum_bytes(tcp + wire::tcp::kHeaderBytes, what.option_bytes + payload_bytes);
    if (packet.tail_bytes != 0) {
      const Sum tail = sum_bytes(packet.tail, packet.tail_bytes);
      sum += payload_bytes % 2 == 0 ? tail : at_odd_offset(tail);
    }
    checksum = checksum_of(sum);
  }
  store_raw<std::uint32_t>(tcp + wire::tcp::kChecksum, checksum);  // And urgent pointer 0.
}

}  // namespace gannet::nicpipe::tcp
