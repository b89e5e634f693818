#include "tests/support/packets.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace gannet::test {
namespace {

using nicpipe::IpAddress;
using nicpipe::Ipv4;
using nicpipe::Mac;

[[noreturn]] void bad_word(std::string_view text) {
  std::fprintf(stderr, "packets: \"%.*s\" is not what a test may write here\n", static_cast<int>(text.size()),
               text.data());
  std::abort();
}

void put_mac(Frame& to, Mac mac) {
  for (const std::uint8_t byte : mac.bytes) put8(to, byte);
}
void set16(Frame& in, std::size_t at, unsigned value) {
  in[at] = static_cast<std::byte>(value >> 8);
  in[at + 1] = static_cast<std::byte>(value);
}

void put_address(Frame& to, const IpAddress& address) {
  if (!address.is_v4()) {
    put32(to, static_cast<std::uint32_t>(address.high >> 32));
    put32(to, static_cast<std::uint32_t>(address.high));
    put32(to, static_cast<std::uint32_t>(address.low >> 32));
  }
  put32(to, static_cast<std::uint32_t>(address.low));
}
IpAddress ip6_at(Bytes bytes, std::size_t at) {
  return {std::uint64_t{at32(bytes, at)} << 32 | at32(bytes, at + 4),
          std::uint64_t{at32(bytes, at + 8)} << 32 | at32(bytes, at + 12)};
}

/// RFC 768, or RFC 8200 section 8.1.
Frame pseudo_header(const IpAddress& from, const IpAddress& to, unsigned protocol, std::size_t bytes) {
  Frame pseudo;
  put_address(pseudo, from);
  put_address(pseudo, to);
  if (from.is_v4()) {
    put16(pseudo, protocol);
    put16(pseudo, static_cast<unsigned>(bytes));
  } else {
    put32(pseudo, static_cast<std::uint32_t>(bytes));
    put32(pseudo, protocol);
  }
  return pseudo;
}

std::uint16_t checksum_with(Frame pseudo, Bytes bytes) {
  put(pseudo, bytes);
  return naive_checksum(pseudo);
}

std::string hex(Bytes bytes) {
  std::string text;
  char digits[4];
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::snprintf(digits, sizeof digits, "%02x", at8(bytes, i));
    text += i % 32 == 0 ? "\n    " : i % 4 == 0 ? " " : "";
    text += digits;
  }
  return text;
}

template <class... Values>
std::string line(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

std::string rest_of(Bytes bytes) {
  return line("  rest: %zu bytes", bytes.size()) + hex(bytes) + "\n";
}

std::string mac_at(Bytes frame, std::size_t at) {
  return to_text(nicpipe::load_mac(frame.data() + at));
}
std::string address_at(Bytes frame, std::size_t at) {
  return to_text(Ipv4{at32(frame, at)});
}

std::string describe_arp(Bytes arp) {
  if (arp.size() < 28) return "ARP, cut short\n" + rest_of(arp);
  std::string text = line("ARP hardware %u protocol %04x lengths %u %u operation %u\n", at16(arp, 0), at16(arp, 2),
                          at8(arp, 4), at8(arp, 5), at16(arp, 6));
  text += "  sender " + mac_at(arp, 8) + " " + address_at(arp, 14) + "\n";
  text += "  target " + mac_at(arp, 18) + " " + address_at(arp, 24) + "\n";
  return text + rest_of(arp.subspan(28));
}

std::string describe_body(unsigned protocol, Bytes body) {
  if (protocol == 17 && body.size() >= 8) {
    return line("UDP %u -> %u length %u checksum %04x\n", at16(body, 0), at16(body, 2), at16(body, 4), at16(body, 6)) +
           rest_of(body.subspan(8));
  }
  if ((protocol == 1 || protocol == 58) && body.size() >= 8) {
    return line("ICMP type %u code %u checksum %04x rest %08x\n", at8(body, 0), at8(body, 1), at16(body, 2),
                at32(body, 4)) +
           rest_of(body.subspan(8));
  }
  return rest_of(body);
}

std::string describe_ip(Bytes ip) {
  if (ip.size() < 20) return "IPv4, cut short\n" + rest_of(ip);
  const std::size_t header_bytes = std::size_t{at8(ip, 0) & 15u} * 4;
  std::string text = "IPv4 " + address_at(ip, 12) + " -> " + address_at(ip, 16);
  text += line(" version/ihl %02x tos %02x total %u id %04x fragment %04x ttl %u protocol %u checksum %04x\n",
               at8(ip, 0), at8(ip, 1), at16(ip, 2), at16(ip, 4), at16(ip, 6), at8(ip, 8), at8(ip, 9), at16(ip, 10));
  if (header_bytes < 20 || header_bytes > ip.size()) return text + rest_of(ip.subspan(20));
  if (header_bytes > 20) text += "  options" + hex(ip.subspan(20, header_bytes - 20)) + "\n";
  return text + describe_body(at8(ip, 9), ip.subspan(header_bytes));
}

std::string describe_ip6(Bytes ip) {
  if (ip.size() < 40) return "IPv6, cut short\n" + rest_of(ip);
  std::string text = "IPv6 " + to_text(ip6_at(ip, 8)) + " -> " + to_text(ip6_at(ip, 24));
  text += line(" first %08x payload %u next %u hop limit %u\n", at32(ip, 0), at16(ip, 4), at8(ip, 6), at8(ip, 7));
  return text + describe_body(at8(ip, 6), ip.subspan(40));
}

std::string fault_of_body(const IpAddress& from, const IpAddress& to, unsigned protocol, Bytes body) {
  const bool is_icmp = protocol == (from.is_v4() ? 1u : 58u);
  if (protocol != 17 && protocol != 6 && !is_icmp) return "neither UDP nor TCP nor ICMP";
  if (body.size() < (protocol == 6 ? 20 : 8)) return "shorter than its UDP, TCP or ICMP header";
  const Frame pseudo = pseudo_header(from, to, protocol, body.size());
  if (is_icmp) return checksum_with(from.is_v4() ? Frame{} : pseudo, body) == 0 ? "" : "ICMP checksum";
  if (protocol == 6) {
    const std::size_t header_bytes = (at8(body, 12) >> 4) * std::size_t{4};
    if (header_bytes < 20 || header_bytes > body.size()) return "TCP header length";
    return checksum_with(pseudo, body) == 0 ? "" : "TCP checksum";
  }
  if (at16(body, 4) != body.size()) return "UDP length is not what there is";
  if (at16(body, 6) == 0) return from.is_v4() ? "" : "no UDP checksum over IPv6";
  return checksum_with(pseudo, body) == 0 ? "" : "UDP checksum";
}

}  // namespace

Mac mac_of(Ipv4 address) {
  Mac mac{{2, 0}};
  for (std::size_t i = 0; i < 4; ++i) mac.bytes[2 + i] = static_cast<std::uint8_t>(address.value >> (24 - 8 * i));
  return mac;
}

Mac mac_of(const IpAddress& address) {
  if (address.is_v4()) return mac_of(address.v4());
  Mac mac = mac_of(Ipv4{static_cast<std::uint32_t>(address.low)});
  mac.bytes[0] = address.is_multicast() ? 0x33 : 2;
  mac.bytes[1] = address.is_multicast() ? 0x33 : 6;
  return mac;
}

Mac mac(std::string_view text) {
  Mac mac;
  if (!nicpipe::parse(text, mac)) bad_word(text);
  return mac;
}

Ipv4 ipv4(std::string_view text) {
  Ipv4 address;
  if (!nicpipe::parse(text, address)) bad_word(text);
  return address;
}

IpAddress ip(std::string_view text) {
  IpAddress address;
  if (!nicpipe::parse(text, address)) bad_word(text);
  return address;
}

std::uint16_t naive_checksum(Bytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += at8(bytes, i) << 8 | (i + 1 < bytes.size() ? at8(bytes, i + 1) : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<std::uint16_t>(~sum);
}

FrameBuilder::FrameBuilder(Kind kind, std::string_view from, std::string_view to) : kind_(kind) {
  const auto end = [&](std::string_view text, IpAddress& address, std::uint16_t& port) {
    const bool bracketed = text.starts_with('[');
    const std::size_t colon = bracketed ? text.find("]:") + 1 : text.find(':');
    const bool has_port =
        bracketed || (colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos);
    if (has_port != (kind == Kind::kUdp)) bad_word(text);
    if (!has_port) {
      address = ip(text);
      return;
    }
    address = ip(bracketed ? text.substr(1, colon - 2) : text.substr(0, colon));
    const unsigned long number = std::strtoul(std::string(text.substr(colon + 1)).c_str(), nullptr, 10);
    if (number > 65535) bad_word(text);
    port = static_cast<std::uint16_t>(number);
  };
  end(from, from_, from_port_);
  end(to, to_, to_port_);
  if (from_.is_v4() != to_.is_v4()) bad_word(to);
  from_mac_ = mac_of(from_);
  to_mac_ = mac_of(to_);
}

FrameBuilder& FrameBuilder::extension(std::uint8_t type, std::size_t bytes, Bytes body) {
  extension_types_.push_back(type);
  const std::size_t at = extensions_.size();
  put8(extensions_, 0);  // The next header: ip6_header knows it.
  put8(extensions_, static_cast<unsigned>(bytes / 8 - 1));
  put(extensions_, body);
  for (std::size_t left = bytes - 2 - body.size(); left > 0;) {  // PadN, or Pad1 where one byte is left.
    const std::size_t part = left < 250 ? left : 250;
    put8(extensions_, part == 1 ? 0 : 1);
    if (part > 1) put8(extensions_, static_cast<unsigned>(part - 2));
    extensions_.resize(extensions_.size() + (part > 2 ? part - 2 : 0));
    left -= part;
  }
  extensions_.resize(at + bytes);
  return *this;
}

Frame FrameBuilder::ip_payload() const {
  Frame bytes;
  if (kind_ == Kind::kUdp) {
    const std::size_t length = 8 + payload_.size();
    put16(bytes, from_port_);
    put16(bytes, to_port_);
    put16(bytes, udp_length_.value_or(static_cast<std::uint16_t>(length)));
    put16(bytes, 0);
    put(bytes, payload_);
    std::uint16_t checksum = checksum_with(pseudo_header(from_, to_, 17, length), bytes);
    if (checksum == 0) checksum = 0xffff;
    if (bad_checksum_) checksum = checksum == 0x1234 ? 0x4321 : 0x1234;
    set16(bytes, 6, no_checksum_ ? 0 : checksum);
  } else if (kind_ == Kind::kIcmp) {
    put8(bytes, icmp_type_);
    put8(bytes, icmp_code_);
    put16(bytes, 0);
    put32(bytes, icmp_rest_);
    put(bytes, payload_);
    const Frame pseudo = is_v4() ? Frame{} : pseudo_header(from_, to_, 58, bytes.size());
    set16(bytes, 2, checksum_with(pseudo, bytes) ^ (bad_checksum_ ? 0x0100u : 0u));
  } else {
    put(bytes, payload_);
  }
  return bytes;
}

Frame FrameBuilder::arp_body() const {
  Frame bytes;
  put16(bytes, 1);
  put16(bytes, 0x0800);
  put8(bytes, 6);
  put8(bytes, 4);
  put16(bytes, arp_operation_);
  put_mac(bytes, mac_of(from_));
  put_address(bytes, from_);
  put_mac(bytes, arp_operation_ == 1 ? Mac{} : mac_of(to_));
  put_address(bytes, to_);
  return bytes;
}

Frame FrameBuilder::ip_header(std::size_t body_bytes) const {
  const std::size_t header_bytes = 20 + options_.size();
  Frame ip;
  put8(ip, static_cast<unsigned>(version_.value_or(4) << 4) |
               header_words_.value_or(static_cast<std::uint8_t>(header_bytes / 4)));
  put8(ip, tos_);
  put16(ip, total_length_.value_or(static_cast<std::uint16_t>(header_bytes + body_bytes)));
  put16(ip, id_);
  put16(ip, fragment_);
  put8(ip, ttl_);
  put8(ip, protocol_);
  put16(ip, 0);
  put_address(ip, from_);
  put_address(ip, to_);
  put(ip, options_);
  set16(ip, 10, naive_checksum(ip) ^ (bad_ip_checksum_ ? 0x0100u : 0u));
  return ip;
}

Frame FrameBuilder::ip6_header(std::size_t body_bytes) const {
  Frame ip;
  put32(ip, std::uint32_t{version_.value_or(6)} << 28 | std::uint32_t{tos_} << 20);
  put16(ip, total_length_.value_or(static_cast<std::uint16_t>(extensions_.size() + body_bytes)));
  std::vector<std::uint8_t> types = extension_types_;
  types.push_back(protocol_);
  put8(ip, types[0]);
  put8(ip, ttl_);
  put_address(ip, from_);
  put_address(ip, to_);
  std::size_t at = ip.size();
  put(ip, extensions_);
  for (std::size_t i = 1; i < types.size(); ++i) {
    ip[at] = static_cast<std::byte>(types[i]);
    at += (at8(ip, at + 1) + 1) * std::size_t{8};
  }
  return ip;
}

Frame FrameBuilder::frame() const {
  Frame frame;
  put_mac(frame, to_mac_);
  put_mac(frame, from_mac_);
  if (vlan_) {
    put16(frame, 0x8100);
    put16(frame, *vlan_);
  }
  const unsigned type = kind_ == Kind::kArp ? 0x0806 : is_v4() ? 0x0800 : 0x86dd;
  put16(frame, ethertype_.value_or(static_cast<std::uint16_t>(type)));
  if (kind_ == Kind::kArp) {
    put(frame, arp_body());
  } else {
    const Frame body = ip_payload();
    put(frame, is_v4() ? ip_header(body.size()) : ip6_header(body.size()));
    put(frame, body);
  }
  frame.insert(frame.end(), trailing_, std::byte{0xee});
  if (frame.size() < bytes_min_) frame.resize(bytes_min_);
  if (frame.size() > cut_) frame.resize(cut_);
  return frame;
}

FrameBuilder udp(std::string_view from, std::string_view to) {
  return {FrameBuilder::Kind::kUdp, from, to};
}

FrameBuilder echo_request(std::string_view from, std::string_view to, std::uint16_t id, std::uint16_t sequence) {
  FrameBuilder frame(FrameBuilder::Kind::kIcmp, from, to);
  frame.protocol_ = frame.is_v4() ? 1 : 58;
  frame.icmp_type_ = frame.is_v4() ? 8 : 128;
  frame.icmp_rest_ = std::uint32_t{id} << 16 | sequence;
  return frame;
}

FrameBuilder echo_reply(std::string_view from, std::string_view to, std::uint16_t id, std::uint16_t sequence) {
  FrameBuilder frame = echo_request(from, to, id, sequence);
  return frame.icmp_type(frame.is_v4() ? 0 : 129, 0);
}

FrameBuilder port_unreachable(std::string_view from, std::string_view to, const Frame& offending) {
  const std::size_t l2_bytes = at16(offending, 12) == 0x8100 ? 18 : 14;
  FrameBuilder frame(FrameBuilder::Kind::kIcmp, from, to);
  if (!frame.is_v4()) {
    const Bytes packet = Bytes(offending).subspan(l2_bytes);
    frame.protocol_ = 58;
    return frame.icmp_type(1, 4).payload(packet.first(std::min<std::size_t>(40 + at16(packet, 4), 1232)));
  }
  const std::size_t header_bytes = std::size_t{at8(offending, l2_bytes) & 15u} * 4;
  frame.protocol_ = 1;
  return frame.icmp_type(3, 3).payload(Bytes(offending).subspan(l2_bytes, header_bytes + 8));
}

FrameBuilder ip_packet(std::string_view from, std::string_view to, std::uint8_t protocol) {
  FrameBuilder frame(FrameBuilder::Kind::kIp, from, to);
  frame.protocol_ = protocol;
  return frame;
}

FrameBuilder arp_request(std::string_view from, std::string_view target) {
  FrameBuilder frame(FrameBuilder::Kind::kArp, from, target);
  return frame.arp_operation(1).to_mac(nicpipe::kBroadcastMac);
}

FrameBuilder arp_reply(std::string_view from, std::string_view to) {
  FrameBuilder frame(FrameBuilder::Kind::kArp, from, to);
  return frame.arp_operation(2);
}

FrameBuilder neighbour_solicitation(std::string_view from, std::string_view target) {
  const IpAddress asked = ip(target);
  FrameBuilder frame(FrameBuilder::Kind::kIcmp, from, to_text(nicpipe::solicited_node_of(asked)));
  frame.protocol_ = 58;
  Frame body;
  put_address(body, asked);
  if (!frame.from_.is_zero()) {
    put16(body, 0x0101);
    put_mac(body, frame.from_mac_);
  }
  return frame.icmp_type(135, 0).ttl(255).payload(body);
}

FrameBuilder neighbour_advertisement(std::string_view from, std::string_view to, std::string_view target,
                                     std::uint32_t flags) {
  FrameBuilder frame(FrameBuilder::Kind::kIcmp, from, to);
  frame.protocol_ = 58;
  Frame body;
  put_address(body, ip(target));
  put16(body, 0x0201);
  put_mac(body, mac_of(ip(target)));
  return frame.icmp_type(136, 0).icmp_rest(flags).ttl(255).payload(body);
}

std::string describe(Bytes frame) {
  if (frame.size() < 14) return "cut short\n" + rest_of(frame);
  std::string text = "Ethernet " + mac_at(frame, 6) + " -> " + mac_at(frame, 0);
  std::size_t l2_bytes = 14;
  if (at16(frame, 12) == 0x8100 && frame.size() >= 18) {
    text += line(" vlan tag %04x", at16(frame, 14));
    l2_bytes = 18;
  }
  const unsigned type = at16(frame, l2_bytes - 2);
  text += line(" type %04x\n", type);
  const Bytes rest = frame.subspan(l2_bytes);
  return text + (type == 0x0806   ? describe_arp(rest)
                 : type == 0x0800 ? describe_ip(rest)
                 : type == 0x86dd ? describe_ip6(rest)
                                  : rest_of(rest));
}

std::string fault_of(Bytes frame) {
  if (frame.size() < 14) return "shorter than Ethernet's header";
  const std::size_t l2_bytes = at16(frame, 12) == 0x8100 ? 18 : 14;
  if (frame.size() < l2_bytes) return "shorter than its VLAN tag";
  const unsigned type = at16(frame, l2_bytes - 2);
  const Bytes ip = frame.subspan(l2_bytes);
  if (type == 0x0806) return ip.size() == 28 ? "" : "ARP of another length than 28";
  if (type == 0x86dd) {
    if (ip.size() < 40) return "shorter than an IPv6 header";
    if (at8(ip, 0) >> 4 != 6) return "IPv6 version";
    if (at16(ip, 4) + std::size_t{40} != ip.size()) return "IPv6 payload length is not what there is";
    if (at8(ip, 7) == 0) return "hop limit 0";
    if (at8(ip, 6) != 0) return fault_of_body(ip6_at(ip, 8), ip6_at(ip, 24), at8(ip, 6), ip.subspan(40));
    // Hop-by-hop options, which is where a listener report's router alert stands.
    if (ip.size() < 48 || ip.size() < std::size_t{48} + at8(ip, 41) * 8u) return "options beyond the packet";
    return fault_of_body(ip6_at(ip, 8), ip6_at(ip, 24), at8(ip, 40), ip.subspan(std::size_t{48} + at8(ip, 41) * 8u));
  }
  if (type != 0x0800) return "neither ARP nor IP";
  if (ip.size() < 20) return "shorter than an IPv4 header";
  const std::size_t header_bytes = std::size_t{at8(ip, 0) & 15u} * 4;
  if (at8(ip, 0) >> 4 != 4 || header_bytes < 20 || header_bytes > ip.size()) return "IPv4 version or header length";
  if (at16(ip, 2) != ip.size()) return "IPv4 total length is not what there is";
  if (naive_checksum(ip.first(header_bytes)) != 0) return "IPv4 header checksum";
  return fault_of_body(Ipv4{at32(ip, 12)}, Ipv4{at32(ip, 16)}, at8(ip, 9), ip.subspan(header_bytes));
}

}  // namespace gannet::test
