#include "tests/support/packets.h"

#include <cstdio>
#include <cstdlib>

namespace gannet::test {
namespace {

using nicpipe::Ipv4;
using nicpipe::Mac;

[[noreturn]] void bad_word(std::string_view text) {
  std::fprintf(stderr, "packets: \"%.*s\" is not what a test may write here\n", static_cast<int>(text.size()),
               text.data());
  std::abort();
}

void put(Frame& to, Bytes bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void put8(Frame& to, unsigned value) {
  to.push_back(static_cast<std::byte>(value));
}
void put16(Frame& to, unsigned value) {
  put8(to, value >> 8);
  put8(to, value);
}
void put32(Frame& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}
void put_mac(Frame& to, Mac mac) {
  for (const std::uint8_t byte : mac.bytes) put8(to, byte);
}
unsigned at8(Bytes bytes, std::size_t at) {
  return static_cast<unsigned>(bytes[at]);
}
unsigned at16(Bytes bytes, std::size_t at) {
  return at8(bytes, at) << 8 | at8(bytes, at + 1);
}
std::uint32_t at32(Bytes bytes, std::size_t at) {
  return at16(bytes, at) << 16 | at16(bytes, at + 2);
}
void set16(Frame& in, std::size_t at, unsigned value) {
  in[at] = static_cast<std::byte>(value >> 8);
  in[at + 1] = static_cast<std::byte>(value);
}

Frame pseudo_header(Ipv4 from, Ipv4 to, unsigned protocol, std::size_t bytes) {
  Frame pseudo;
  put32(pseudo, from.value);
  put32(pseudo, to.value);
  put16(pseudo, protocol);
  put16(pseudo, static_cast<unsigned>(bytes));
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

std::string describe_ip(Bytes ip) {
  if (ip.size() < 20) return "IPv4, cut short\n" + rest_of(ip);
  const std::size_t header_bytes = std::size_t{at8(ip, 0) & 15u} * 4;
  std::string text = "IPv4 " + address_at(ip, 12) + " -> " + address_at(ip, 16);
  text += line(" version/ihl %02x tos %02x total %u id %04x fragment %04x ttl %u protocol %u checksum %04x\n",
               at8(ip, 0), at8(ip, 1), at16(ip, 2), at16(ip, 4), at16(ip, 6), at8(ip, 8), at8(ip, 9), at16(ip, 10));
  if (header_bytes < 20 || header_bytes > ip.size()) return text + rest_of(ip.subspan(20));
  if (header_bytes > 20) text += "  options" + hex(ip.subspan(20, header_bytes - 20)) + "\n";
  const Bytes body = ip.subspan(header_bytes);
  if (at8(ip, 9) == 17 && body.size() >= 8) {
    text += line("UDP %u -> %u length %u checksum %04x\n", at16(body, 0), at16(body, 2), at16(body, 4), at16(body, 6));
    return text + rest_of(body.subspan(8));
  }
  if (at8(ip, 9) == 1 && body.size() >= 8) {
    text += line("ICMP type %u code %u checksum %04x rest %08x\n", at8(body, 0), at8(body, 1), at16(body, 2),
                 at32(body, 4));
    return text + rest_of(body.subspan(8));
  }
  return text + rest_of(body);
}

}  // namespace

Mac mac_of(Ipv4 address) {
  Mac mac{{2, 0}};
  for (std::size_t i = 0; i < 4; ++i) mac.bytes[2 + i] = static_cast<std::uint8_t>(address.value >> (24 - 8 * i));
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

std::uint16_t naive_checksum(Bytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += at8(bytes, i) << 8 | (i + 1 < bytes.size() ? at8(bytes, i + 1) : 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<std::uint16_t>(~sum);
}

FrameBuilder::FrameBuilder(Kind kind, std::string_view from, std::string_view to) : kind_(kind) {
  const auto end = [&](std::string_view text, Ipv4& address, std::uint16_t& port) {
    const std::size_t colon = text.find(':');
    address = ipv4(text.substr(0, colon));
    if ((colon != std::string_view::npos) != (kind == Kind::kUdp)) bad_word(text);
    if (colon == std::string_view::npos) return;
    const unsigned long number = std::strtoul(std::string(text.substr(colon + 1)).c_str(), nullptr, 10);
    if (number > 65535) bad_word(text);
    port = static_cast<std::uint16_t>(number);
  };
  end(from, from_, from_port_);
  end(to, to_, to_port_);
  from_mac_ = mac_of(from_);
  to_mac_ = mac_of(to_);
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
    set16(bytes, 2, naive_checksum(bytes) ^ (bad_checksum_ ? 0x0100u : 0u));
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
  put32(bytes, from_.value);
  put_mac(bytes, arp_operation_ == 1 ? Mac{} : mac_of(to_));
  put32(bytes, to_.value);
  return bytes;
}

Frame FrameBuilder::frame() const {
  Frame frame;
  put_mac(frame, to_mac_);
  put_mac(frame, from_mac_);
  if (vlan_) {
    put16(frame, 0x8100);
    put16(frame, *vlan_);
  }
  put16(frame, ethertype_.value_or(kind_ == Kind::kArp ? 0x0806 : 0x0800));
  if (kind_ == Kind::kArp) {
    put(frame, arp_body());
  } else {
    const Frame body = ip_payload();
    const std::size_t header_bytes = 20 + options_.size();
    Frame ip;
    put8(ip,
         static_cast<unsigned>(version_ << 4) | header_words_.value_or(static_cast<std::uint8_t>(header_bytes / 4)));
    put8(ip, tos_);
    put16(ip, total_length_.value_or(static_cast<std::uint16_t>(header_bytes + body.size())));
    put16(ip, id_);
    put16(ip, fragment_);
    put8(ip, ttl_);
    put8(ip, protocol_);
    put16(ip, 0);
    put32(ip, from_.value);
    put32(ip, to_.value);
    put(ip, options_);
    set16(ip, 10, naive_checksum(ip) ^ (bad_ip_checksum_ ? 0x0100u : 0u));
    put(frame, ip);
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
  frame.protocol_ = 1;
  frame.icmp_type_ = 8;
  frame.icmp_rest_ = std::uint32_t{id} << 16 | sequence;
  return frame;
}

FrameBuilder echo_reply(std::string_view from, std::string_view to, std::uint16_t id, std::uint16_t sequence) {
  return echo_request(from, to, id, sequence).icmp_type(0, 0);
}

FrameBuilder port_unreachable(std::string_view from, std::string_view to, const Frame& offending) {
  const std::size_t l2_bytes = at16(offending, 12) == 0x8100 ? 18 : 14;
  const std::size_t header_bytes = std::size_t{at8(offending, l2_bytes) & 15u} * 4;
  FrameBuilder frame(FrameBuilder::Kind::kIcmp, from, to);
  frame.protocol_ = 1;
  return frame.icmp_type(3, 3).payload(Bytes(offending).subspan(l2_bytes, header_bytes + 8));
}

FrameBuilder ip_packet(std::string_view from, std::string_view to, std::uint8_t protocol) {
  FrameBuilder frame(FrameBuilder::Kind::kIpv4, from, to);
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
  return text + (type == 0x0806 ? describe_arp(rest) : type == 0x0800 ? describe_ip(rest) : rest_of(rest));
}

std::string fault_of(Bytes frame) {
  if (frame.size() < 14) return "shorter than Ethernet's header";
  const std::size_t l2_bytes = at16(frame, 12) == 0x8100 ? 18 : 14;
  if (frame.size() < l2_bytes) return "shorter than its VLAN tag";
  const unsigned type = at16(frame, l2_bytes - 2);
  const Bytes ip = frame.subspan(l2_bytes);
  if (type == 0x0806) return ip.size() == 28 ? "" : "ARP of another length than 28";
  if (type != 0x0800) return "neither ARP nor IPv4";
  if (ip.size() < 20) return "shorter than an IPv4 header";
  const std::size_t header_bytes = std::size_t{at8(ip, 0) & 15u} * 4;
  if (at8(ip, 0) >> 4 != 4 || header_bytes < 20 || header_bytes > ip.size()) return "IPv4 version or header length";
  if (at16(ip, 2) != ip.size()) return "IPv4 total length is not what there is";
  if (naive_checksum(ip.first(header_bytes)) != 0) return "IPv4 header checksum";
  const Bytes body = ip.subspan(header_bytes);
  const unsigned protocol = at8(ip, 9);
  if (protocol == 6) {
    if (body.size() < 20) return "shorter than a TCP header";
    const Frame tcp_pseudo = pseudo_header({at32(ip, 12)}, {at32(ip, 16)}, 6, body.size());
    return checksum_with(tcp_pseudo, body) == 0 ? "" : "TCP checksum";
  }
  if (protocol != 17 && protocol != 1) return "neither UDP nor TCP nor ICMP";
  if (body.size() < 8) return "shorter than a UDP or ICMP header";
  if (protocol == 1) return naive_checksum(body) == 0 ? "" : "ICMP checksum";
  if (at16(body, 4) != body.size()) return "UDP length is not what there is";
  if (at16(body, 6) == 0) return "";
  const Frame pseudo = pseudo_header({at32(ip, 12)}, {at32(ip, 16)}, 17, body.size());
  return checksum_with(pseudo, body) == 0 ? "" : "UDP checksum";
}

}  // namespace gannet::test
