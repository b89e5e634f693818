/// A Host at 10.77.0.2/24, and at fd77::2/64 if wanted, and one frame at a time, in a heap block of exactly its size,
/// so that the sanitizer sees a byte too far.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "nicpipe/host.h"
#include "tests/support/packets.h"

namespace gannet::test {

inline constexpr std::string_view kUs = "10.77.0.2", kPeer = "10.77.0.1";
inline constexpr std::string_view kUsPort = "10.77.0.2:11211", kPeerPort = "10.77.0.1:4000";

inline constexpr std::string_view kUs6 = "fd77::2", kPeer6 = "fd77::1", kUsLocal = "fe80::aff:fe4d:2",
                                  kPeerLocal = "fe80::1";
inline constexpr std::string_view kUsPort6 = "[fd77::2]:11211", kPeerPort6 = "[fd77::1]:4000";

inline nicpipe::HostConfig host_config() {
  nicpipe::HostConfig config;
  config.mac = mac_of(ipv4(kUs));
  config.address = ipv4(kUs);
  config.udp_ports = 3;
  return config;
}

/// With IPv6 as well. Frames to us over IPv6 need .to_mac(kOurMac): tests give every address a MAC of its own.
inline nicpipe::HostConfig host6_config() {
  nicpipe::HostConfig config = host_config();
  config.address6 = ip(kUs6);
  return config;
}
inline const nicpipe::Mac kOurMac = mac_of(ipv4(kUs));

/// What became of a frame, taken out of its buffer.
struct Fate {
  nicpipe::Verdict verdict{};
  std::optional<nicpipe::Drop> drop;  ///< Only with kDrop.
  Frame frame;             ///< What lies at data..data + bytes afterwards: the reply, or the trimmed datagram.
  Frame payload;           ///< Of kUdp.
  nicpipe::UdpFlow flow;   ///< Of kUdp.
  nicpipe::Packet packet;  ///< The books; pointers are dead.
};

class TestHost {
 public:
  explicit TestHost(const nicpipe::HostConfig& config = host_config()) : host(config) {}

  /// Judges `frame`, checking on the way that the packet's books stay right.
  Fate receive(const Frame& frame, std::uint16_t flags = 0) {
    const std::size_t bytes = headroom + frame.size() + tailroom;
    const auto memory = std::make_unique<std::byte[]>(bytes);
    std::memset(memory.get(), 0xdd, bytes);
    std::copy(frame.begin(), frame.end(), memory.get() + headroom);
    nicpipe::Packet packet;
    packet.data = memory.get() + headroom;
    packet.bytes = static_cast<std::uint16_t>(frame.size());
    packet.headroom = headroom;
    packet.tailroom = tailroom;
    packet.flags = flags;

    Fate fate;
    nicpipe::UdpView view;
    constexpr auto kUntouched = static_cast<nicpipe::Drop>(0xee);
    nicpipe::Drop why = kUntouched;
    fate.verdict = host.receive(packet, now, view, why);
    books_right = packet.data - memory.get() == packet.headroom &&
                  std::size_t{packet.headroom} + packet.bytes + packet.tailroom == bytes &&
                  (why == kUntouched) == (fate.verdict != nicpipe::Verdict::kDrop);
    if (fate.verdict == nicpipe::Verdict::kDrop) fate.drop = why;
    if (fate.verdict == nicpipe::Verdict::kUdp) {
      books_right = books_right && view.payload.data() + view.payload.size() == packet.data + packet.bytes &&
                    view.payload.data() == packet.data + udp_headers_bytes(view.flow) &&
                    view.flow == udp_flow(packet) && view.payload.data() == udp_payload(packet).data();
      fate.payload.assign(view.payload.begin(), view.payload.end());
      fate.flow = view.flow;
    }
    fate.frame.assign(packet.data, packet.data + packet.bytes);
    fate.packet = packet;
    return fate;
  }

  nicpipe::Host host;
  Now now{1'700'000'000, 1'000'000'000};
  std::uint16_t headroom = 128, tailroom = 64;
  bool books_right =
      true;  ///< Of the last receive: data, bytes, headroom, tailroom, view and `why` agree with each other.
};

/// Of UDP or ICMPv6 right behind the fixed header.
inline void repair_checksums6(Frame& frame, std::size_t l2) {
  if (frame.size() < l2 + 48) return;
  const std::size_t bytes = load_be<std::uint16_t>(frame.data() + l2 + 4);
  const auto next = static_cast<std::uint8_t>(frame[l2 + 6]);
  if ((next != 17 && next != 58) || bytes < 8 || l2 + 40 + bytes > frame.size()) return;
  std::byte* at = frame.data() + l2 + 40 + (next == 17 ? 6 : 2);
  store_be<std::uint16_t>(at, 0);
  Frame summed(frame.begin() + static_cast<std::ptrdiff_t>(l2) + 8,
               frame.begin() + static_cast<std::ptrdiff_t>(l2 + 40 + bytes));
  summed.resize(summed.size() + 4 + bytes % 2);
  store_be(summed.data() + summed.size() - 4, static_cast<std::uint16_t>(bytes));
  store_be(summed.data() + summed.size() - 2, std::uint16_t{next});
  store_be(at, naive_checksum(summed));
}

/// Makes the checksums right again as far as the frame still has such headers (UDP: none), because damage behind a
/// wrong checksum is never looked at.
inline void repair_checksums(Frame& frame) {
  const std::size_t l2 = frame.size() > 18 && frame[12] == std::byte{0x81} && frame[13] == std::byte{0} ? 18 : 14;
  if (frame.size() < l2 + 28) return;
  if (static_cast<std::uint8_t>(frame[l2]) >> 4 == 6) return repair_checksums6(frame, l2);
  const std::size_t header = (static_cast<std::size_t>(frame[l2]) & 15) * 4;
  if (header < 20 || l2 + header + 8 > frame.size()) return;
  store_be<std::uint16_t>(frame.data() + l2 + 10, 0);
  store_be(frame.data() + l2 + 10, naive_checksum(Bytes(frame).subspan(l2, header)));
  std::byte* inner = frame.data() + l2 + header;
  if (frame[l2 + 9] == std::byte{17}) store_be<std::uint16_t>(inner + 6, 0);
  const std::size_t total = load_be<std::uint16_t>(frame.data() + l2 + 2);
  if (frame[l2 + 9] != std::byte{1} || total < header + 8 || l2 + total > frame.size()) return;
  store_be<std::uint16_t>(inner + 2, 0);
  store_be(inner + 2, naive_checksum(Bytes(frame).subspan(l2 + header, total - header)));
}

}  // namespace gannet::test
