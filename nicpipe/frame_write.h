/// Writing the headers every frame of ours begins with. Inside nicpipe only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "nicpipe/address.h"
#include "nicpipe/checksum.h"
#include "nicpipe/headers.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"
#include "storage/base/bytes.h"
#include "storage/base/must.h"

namespace gannet::nicpipe {

/// Of a frame's first eight bytes as load_raw gives them, those of the MAC; all ones: broadcast.
inline constexpr std::uint64_t kMacMask = 0xffff'ffff'ffff;

/// Where a frame goes on the wire.
struct Link {
  Mac destination, source;
  std::uint16_t vlan_tci = 0;
  bool has_vlan = false;
};

[[nodiscard]] constexpr std::size_t link_bytes(bool has_vlan) noexcept {
  return has_vlan ? wire::vlan::kHeaderBytes : wire::ethernet::kHeaderBytes;
}

/// Writes link_bytes(link.has_vlan) bytes.
inline void write_link(std::byte* frame, const Link& link, std::uint16_t type) noexcept {
  store_mac(frame + wire::ethernet::kDestination, link.destination);
  store_mac(frame + wire::ethernet::kSource, link.source);
  if (link.has_vlan) {
    store_be(frame + wire::ethernet::kType, wire::ethernet::kTypeVlan);
    store_be(frame + wire::vlan::kTci, link.vlan_tci);
    store_be(frame + wire::vlan::kInnerType, type);
  } else {
    store_be(frame + wire::ethernet::kType, type);
  }
}

/// Source and destination change places; type and VLAN tag stay. Reads and writes 14 bytes.
inline void turn_link(std::byte* frame) noexcept {
  const auto first = load_raw<std::uint64_t>(frame), second = load_raw<std::uint64_t>(frame + wire::ethernet::kSource);
  store_raw(frame, second);
  store_raw(frame + wire::ethernet::kSource, (first & kMacMask) | (second & ~kMacMask));
}

/// Writes the 20 bytes of a header whose addresses, as they lie in the frame, are `addresses`, the source in the lower
/// half: no options, identification 0, don't fragment, TTL 64. `with_checksum` false leaves the field 0 for the device.
/// The checksum is summed from the values: reading back fields just stored in smaller pieces would stall on every
/// packet.
inline void write_ipv4_raw(std::byte* ip, std::uint64_t addresses, std::uint8_t protocol, std::uint8_t tos,
                           std::uint16_t total_bytes, bool with_checksum) noexcept {
  const std::uint64_t first = byte_swap(std::uint64_t{wire::ipv4::kVersion4Ihl5} << 56 | std::uint64_t{tos} << 48 |
                                        std::uint64_t{total_bytes} << 32 | wire::ipv4::kDontFragment);
  const std::uint32_t second = byte_swap(std::uint32_t{wire::ipv4::kTtlSent} << 24 | std::uint32_t{protocol} << 16);
  std::uint32_t checksum = 0;
  if (with_checksum) {
    const Sum sum = (first >> 32) + (first & 0xffff'ffff) + second + (addresses >> 32) + (addresses & 0xffff'ffff);
    checksum = checksum_of(sum);
  }
  store_raw(ip, first);
  store_raw(ip + wire::ipv4::kTtl, second | checksum << 16);
  store_raw(ip + wire::ipv4::kSource, addresses);
}

/// The same for addresses by value.
inline void write_ipv4(std::byte* ip, Ipv4 source, Ipv4 destination, std::uint8_t protocol, std::uint8_t tos,
                       std::uint16_t total_bytes, bool with_checksum) noexcept {
  const std::uint64_t addresses = byte_swap(std::uint64_t{source.value} << 32 | destination.value);
  write_ipv4_raw(ip, addresses, protocol, tos, total_bytes, with_checksum);
}

/// A received header of 20 bytes becomes that of the answer. Gives the addresses as they lie there now.
inline std::uint64_t turn_ipv4(std::byte* ip, std::uint8_t protocol, std::uint8_t tos, std::uint16_t total_bytes,
                               bool with_checksum) noexcept {
  const std::uint64_t addresses = std::rotl(load_raw<std::uint64_t>(ip + wire::ipv4::kSource), 32);
  write_ipv4_raw(ip, addresses, protocol, tos, total_bytes, with_checksum);
  return addresses;
}

/// Writes 40 bytes: traffic class and flow label 0.
inline void write_ipv6(std::byte* ip, const IpAddress& source, const IpAddress& destination, std::uint8_t next_header,
                       std::uint16_t payload_bytes, std::uint8_t hop_limit) noexcept {
  store_be(ip,
           std::uint64_t{6} << 60 | std::uint64_t{payload_bytes} << 16 | std::uint64_t{next_header} << 8 | hop_limit);
  store_ipv6(ip + wire::ipv6::kSource, source);
  store_ipv6(ip + wire::ipv6::kDestination, destination);
}

/// Moves the packet's first byte by `by` (towards the end if positive), keeping the books.
inline void move_front(Packet& packet, std::ptrdiff_t by) noexcept {
  packet.data += by;
  packet.headroom = static_cast<std::uint16_t>(packet.headroom + by);
  packet.bytes = static_cast<std::uint16_t>(packet.bytes - by);
}

/// Sets the packet's length, keeping the books. MUST: the buffer is long enough.
inline void set_bytes(Packet& packet, std::size_t bytes) noexcept {
  const std::size_t room = std::size_t{packet.bytes} + packet.tailroom;
  MUST_LE(bytes, room);
  packet.bytes = static_cast<std::uint16_t>(bytes);
  packet.tailroom = static_cast<std::uint16_t>(room - bytes);
}

}  // namespace gannet::nicpipe
