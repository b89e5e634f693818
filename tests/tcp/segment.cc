#include "tests/tcp/segment.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace gannet::test::tcp {
namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void put_address(Frame& to, const Address& address) {
  const auto bytes = as_bytes({reinterpret_cast<const char*>(address.bytes.data()), 16});
  put(to, address.is_v4() ? bytes.subspan(12) : bytes);
}

/// Sum over the words of the pseudo-header and `bytes`; even lengths first, so that folding can wait.
std::uint16_t checksum(const Address& from, const Address& to, unsigned protocol, Bytes bytes) {
  std::uint64_t sum = protocol + (bytes.size() & 0xffff) + (bytes.size() >> 16);
  for (std::size_t i = from.is_v4() ? 12 : 0; i < 16; i += 2) {
    sum += static_cast<unsigned>(from.bytes[i] << 8 | from.bytes[i + 1]);
    sum += static_cast<unsigned>(to.bytes[i] << 8 | to.bytes[i + 1]);
  }
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += at16(bytes, i);
  if (i < bytes.size()) sum += at8(bytes, i) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put_link(Frame& frame, const Address& from, const Address& to, std::optional<std::uint16_t> vlan) {
  for (const std::uint8_t byte : mac_of(to).bytes) put8(frame, byte);
  for (const std::uint8_t byte : mac_of(from).bytes) put8(frame, byte);
  if (vlan) {
    put16(frame, 0x8100);
    put16(frame, *vlan);
  }
  put16(frame, from.is_v4() ? 0x0800 : 0x86dd);
}

/// An IP header for `body`, then `body`.
void put_ip(Frame& frame, const Address& from, const Address& to, unsigned protocol, unsigned ecn, unsigned ttl,
            Bytes body) {
  const std::size_t at = frame.size();
  if (from.is_v4()) {
    put8(frame, 0x45);
    put8(frame, ecn);
    put16(frame, static_cast<unsigned>(20 + body.size()));
    put16(frame, 0);
    put16(frame, 0x4000);
    put8(frame, ttl);
    put8(frame, protocol);
    put16(frame, 0);
    put_address(frame, from);
    put_address(frame, to);
    store_be(frame.data() + at + 10, naive_checksum(Bytes(frame).subspan(at)));
  } else {
    put32(frame, 6u << 28 | ecn << 20);
    put16(frame, static_cast<unsigned>(body.size()));
    put8(frame, protocol);
    put8(frame, ttl);
    put_address(frame, from);
    put_address(frame, to);
  }
  put(frame, body);
}

void put_options(Frame& to, const Segment& segment) {
  put(to, segment.raw_options);
  if (segment.mss) {
    put16(to, 0x0204);
    put16(to, *segment.mss);
  }
  if (segment.sack_permitted) put16(to, 0x0402);
  if (segment.timestamps) {
    put16(to, 0x080a);
    put32(to, segment.timestamps->value);
    put32(to, segment.timestamps->echo);
  }
  if (segment.window_scale) {
    put16(to, 0x0303);
    put8(to, *segment.window_scale);
  }
  if (!segment.sacks.empty()) {
    put8(to, 5);
    put8(to, static_cast<unsigned>(2 + 8 * segment.sacks.size()));
    for (const SackBlock& block : segment.sacks) {
      put32(to, block.first);
      put32(to, block.last);
    }
  }
  while (to.size() % 4 != 0) put8(to, 1);
}

Frame tcp_bytes(const Segment& segment) {
  Frame options;
  put_options(options, segment);
  Frame bytes;
  put16(bytes, segment.from.port);
  put16(bytes, segment.to.port);
  put32(bytes, segment.seq);
  put32(bytes, segment.ack);
  const std::size_t words = segment.header_words != 0 ? segment.header_words : 5 + options.size() / 4;
  put8(bytes, static_cast<unsigned>(words << 4));
  put8(bytes, segment.flags);
  put16(bytes, segment.window);
  put16(bytes, 0);
  put16(bytes, segment.urgent);
  put(bytes, options);
  put(bytes, segment.payload);
  const std::uint16_t sum = checksum(segment.from.address, segment.to.address, 6, bytes);
  store_be(bytes.data() + 16, static_cast<std::uint16_t>(segment.bad_checksum ? sum ^ 0x0100 : sum));
  return bytes;
}

Address mapped(Bytes four) {
  Address address;
  std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
  for (std::size_t i = 0; i < 4; ++i) address.bytes[12 + i] = static_cast<std::uint8_t>(four[i]);
  return address;
}

std::string read_ip(Bytes ip, unsigned type, Segment& out, Bytes& body) {
  if (type == 0x0800) {
    if (ip.size() < 20) return "shorter than an IPv4 header";
    if (at8(ip, 0) != 0x45) return "IPv4 version or header length";
    if (at16(ip, 2) != ip.size()) return "IPv4 total length is not what there is";
    if ((at16(ip, 6) & 0x3fff) != 0) return "an IPv4 fragment";
    if (at8(ip, 9) != 6) return "protocol is not TCP";
    out.from.address = mapped(ip.subspan(12, 4));
    out.to.address = mapped(ip.subspan(16, 4));
    out.ecn = static_cast<std::uint8_t>(at8(ip, 1) & 3);
    out.ttl = static_cast<std::uint8_t>(ip[8]);
    body = ip.subspan(20);
    return "";
  }
  if (type != 0x86dd) return "neither IPv4 nor IPv6";
  if (ip.size() < 40) return "shorter than an IPv6 header";
  if (at8(ip, 0) >> 4 != 6) return "IPv6 version";
  if (at16(ip, 4) != ip.size() - 40) return "IPv6 payload length is not what there is";
  if (at8(ip, 6) != 6) return "next header is not TCP";
  for (std::size_t i = 0; i < 16; ++i) {
    out.from.address.bytes[i] = static_cast<std::uint8_t>(ip[8 + i]);
    out.to.address.bytes[i] = static_cast<std::uint8_t>(ip[24 + i]);
  }
  out.ecn = static_cast<std::uint8_t>(at16(ip, 0) >> 4 & 3);
  out.ttl = static_cast<std::uint8_t>(ip[7]);
  body = ip.subspan(40);
  return "";
}

}  // namespace

bool Address::is_v4() const {
  return std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
}

Address address(std::string_view text) {
  Address address;
  const std::string name(text);
  std::byte four[4];
  if (inet_pton(AF_INET, name.c_str(), four) == 1) return mapped(four);
  if (inet_pton(AF_INET6, name.c_str(), address.bytes.data()) == 1) return address;
  std::fprintf(stderr, "segment: \"%s\" is no address\n", name.c_str());
  std::abort();
}

std::string to_text(const Address& address) {
  char text[INET6_ADDRSTRLEN];
  const bool v4 = address.is_v4();
  return inet_ntop(v4 ? AF_INET : AF_INET6, address.bytes.data() + (v4 ? 12 : 0), text, sizeof text);
}

nicpipe::Mac mac_of(const Address& address) {
  nicpipe::Mac mac{{2, 0}};
  std::copy_n(address.bytes.begin() + 12, 4, mac.bytes.begin() + 2);
  return mac;
}

Frame to_frame(const Segment& segment) {
  Frame frame;
  frame.reserve(kEthernetBytes + 4 + 40 + 60 + segment.payload.size());
  put_link(frame, segment.from.address, segment.to.address, segment.vlan);
  put_ip(frame, segment.from.address, segment.to.address, 6, segment.ecn, segment.ttl, tcp_bytes(segment));
  return frame;
}

std::string read_options(Bytes options, Segment& out) {
  for (std::size_t at = 0; at < options.size();) {
    const unsigned kind = at8(options, at);
    if (kind == 0) return "";
    if (kind == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size()) return "an option without its length";
    const std::size_t bytes = at8(options, at + 1);
    if (bytes < 2 || at + bytes > options.size()) return "an option longer than the header";
    const Bytes value = options.subspan(at + 2, bytes - 2);
    if (kind == 2 && bytes == 4) {
      out.mss = static_cast<std::uint16_t>(at16(value, 0));
    } else if (kind == 3 && bytes == 3) {
      out.window_scale = static_cast<std::uint8_t>(value[0]);
    } else if (kind == 4 && bytes == 2) {
      out.sack_permitted = true;
    } else if (kind == 5 && bytes % 8 == 2 && bytes > 2) {
      for (std::size_t i = 0; i < value.size(); i += 8) out.sacks.push_back({at32(value, i), at32(value, i + 4)});
    } else if (kind == 8 && bytes == 10) {
      out.timestamps = Timestamps{at32(value, 0), at32(value, 4)};
    } else {
      return "an option of kind " + std::to_string(kind) + " and " + std::to_string(bytes) + " bytes";
    }
    at += bytes;
  }
  return "";
}

std::string read(Bytes frame, Segment& out, bool checksums) {
  out = {};
  if (frame.size() < kEthernetBytes) return "shorter than Ethernet's header";
  std::size_t l2_bytes = kEthernetBytes;
  if (at16(frame, 12) == 0x8100) {
    l2_bytes += 4;
    if (frame.size() < l2_bytes) return "shorter than its VLAN tag";
    out.vlan = static_cast<std::uint16_t>(at16(frame, 14));
  }
  Bytes body;
  const Bytes ip = frame.subspan(l2_bytes);
  std::string fault = read_ip(ip, at16(frame, l2_bytes - 2), out, body);
  if (!fault.empty()) return fault;
  const bool v4 = out.from.address.is_v4();
  if (checksums && v4 && naive_checksum(ip.first(20)) != 0) return "IPv4 header checksum";
  if (body.size() < 20) return "shorter than a TCP header";
  const std::size_t header_bytes = std::size_t{at8(body, 12) >> 4} * 4;
  if (header_bytes < 20 || header_bytes > body.size()) return "TCP header length";
  if ((at8(body, 12) & 15) != 0) return "reserved TCP bits are set";
  if (checksums && checksum(out.from.address, out.to.address, 6, body) != 0) return "TCP checksum";
  out.from.port = static_cast<std::uint16_t>(at16(body, 0));
  out.to.port = static_cast<std::uint16_t>(at16(body, 2));
  out.seq = at32(body, 4);
  out.ack = at32(body, 8);
  out.flags = static_cast<std::uint8_t>(body[13]);
  out.window = static_cast<std::uint16_t>(at16(body, 14));
  out.urgent = static_cast<std::uint16_t>(at16(body, 18));
  fault = read_options(body.subspan(20, header_bytes - 20), out);
  if (!fault.empty()) return fault;
  const Bytes payload = body.subspan(header_bytes);
  out.payload.assign(payload.begin(), payload.end());
  return "";
}

std::string flags_text(std::uint8_t flags) {
  constexpr std::string_view kLetters = "SFRPAUEW";
  constexpr std::uint8_t kBits[] = {kSyn, kFin, kRst, kPsh, kAck, kUrg, kEce, kCwr};
  std::string text;
  for (std::size_t i = 0; i < kLetters.size(); ++i)
    if ((flags & kBits[i]) != 0) text += kLetters[i];
  return text.empty() ? "." : text;
}

Frame pattern_bytes(std::uint64_t at, std::size_t count, std::uint8_t salt) {
  Frame bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = pattern(at + i, salt);
  return bytes;
}

std::size_t pattern_fault(Bytes bytes, std::uint64_t at, std::uint8_t salt) {
  std::size_t i = 0;
  while (i < bytes.size() && bytes[i] == pattern(at + i, salt)) ++i;
  return i;
}

Frame icmp_error(const Address& from, const Segment& offending, std::uint8_t type, std::uint8_t code,
                 std::uint32_t rest, std::size_t quoted) {
  const bool v4 = from.is_v4();
  const Frame whole = to_frame(offending);
  const std::size_t l2_bytes = kEthernetBytes + (offending.vlan ? 4 : 0);
  const std::size_t bytes = std::min(whole.size() - l2_bytes, (v4 ? 20 : 40) + quoted);
  Frame icmp;
  put8(icmp, type);
  put8(icmp, code);
  put16(icmp, 0);
  put32(icmp, rest);
  put(icmp, Bytes(whole).subspan(l2_bytes, bytes));
  const Address& to = offending.from.address;
  const std::uint16_t sum = v4 ? naive_checksum(icmp) : checksum(from, to, 58, icmp);
  store_be(icmp.data() + 2, sum);
  Frame frame;
  put_link(frame, from, to, offending.vlan);
  put_ip(frame, from, to, v4 ? 1 : 58, 0, 64, icmp);
  return frame;
}

}  // namespace gannet::test::tcp
