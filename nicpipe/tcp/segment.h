/// A TCP segment in a frame: read in place, or written in front of (and behind) a payload. RFC 9293 section 3.1,
/// options of RFC 7323 (window scale, timestamps) and RFC 2018 (SACK).
#pragma once

#include <array>
#include <cstdint>

#include "nicpipe/endpoint.h"
#include "nicpipe/headers.h"
#include "nicpipe/packet.h"
#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/seq.h"
#include "storage/base/bytes.h"

namespace gannet::nicpipe::tcp {

struct SackBlock {
  Seq start, end;  ///< End: the first number not received. Not set to 0: each received segment has room for four.

  friend constexpr bool operator==(const SackBlock&, const SackBlock&) = default;
};

/// One option list, read. Unknown options are skipped; one that is cut short ends the reading (RFC 9293 section 3.2
/// asks for no more); a known one of a wrong length is passed over.
struct Options {
  static constexpr std::uint8_t kNoScale = 0xff;

  bool has_timestamps = false, sack_permitted = false;
  std::uint8_t window_scale = kNoScale;  ///< 0..14: larger ones count as 14 (RFC 7323 section 2.3).
  std::uint8_t sack_count = 0;           ///< 0..4.
  std::uint16_t mss = 0;                 ///< 0: not said.
  std::uint32_t ts_value = 0, ts_echo = 0;
  std::array<SackBlock, 4> sacks;
};

/// Any bytes are fine.
void parse_options(Bytes bytes, Options& out) noexcept;

/// The two low bits of IPv4's TOS and IPv6's traffic class (RFC 3168 section 5).
enum class Ecn : std::uint8_t { kNot = 0, kEct1 = 1, kEct0 = 2, kMarked = 3 };

/// A received segment. Spans and offsets are into its packet.
struct Segment {
  Tuple tuple;
  Seq seq = 0, ack = 0;
  std::uint32_t payload_bytes = 0;
  std::uint16_t payload_offset = 0;  ///< From packet.data.
  std::uint16_t window = 0;          ///< As sent, unscaled.
  std::uint8_t flags = 0;            ///< wire::tcp::k...
  Ecn ecn = Ecn::kNot;
  Options options;

  [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  /// Sequence numbers it takes up.
  [[nodiscard]] std::uint32_t length() const noexcept {
    return payload_bytes + (has(wire::tcp::kSyn) ? 1 : 0) + (has(wire::tcp::kFin) ? 1 : 0);
  }
  [[nodiscard]] Seq end() const noexcept { return seq + length(); }
};

enum class ParseStatus : std::uint8_t { kOk, kHeader, kChecksum };

/// Needs packet.l2_bytes and l3_bytes, and a right IP header (4 without options, or 6 without extension headers). The
/// device's word on the checksum is taken where it gives one.
[[nodiscard]] ParseStatus parse_segment(const Packet& packet, Segment& out) noexcept;

/// The addresses in front of every segment to one peer.
struct Route {
  Tuple tuple;
  Mac peer_mac, own_mac;
  std::uint16_t vlan_tci = 0;  ///< With has_vlan.
  bool has_vlan = false;
  std::uint8_t port = 0;  ///< Interface.
};

/// The way back to the sender of a received segment.
[[nodiscard]] Route route_back(const Packet& packet, const Tuple& tuple) noexcept;

/// What goes into a segment that we send.
struct Outgoing {
  Seq seq = 0, ack = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
  Ecn ecn = Ecn::kNot;
  std::uint8_t option_bytes = 0;  ///< A multiple of 4, at most 40.
  std::array<std::byte, 40> options;

  void add_mss(std::uint16_t mss) noexcept;
  void add_window_scale(std::uint8_t shift) noexcept;
  void add_sack_permitted() noexcept;
  void add_timestamps(std::uint32_t value, std::uint32_t echo) noexcept;
  /// At most as many as fit are written.
  void add_sacks(const SackBlock* blocks, std::uint32_t count) noexcept;
};

inline constexpr std::size_t kTimestampsBytes = 12;  ///< With their padding.

/// Ethernet and IP header bytes in front of TCP's.
[[nodiscard]] std::size_t below_bytes(const Route& route) noexcept;

/// Where the payload of such a segment lies, from packet.data.
[[nodiscard]] inline std::size_t payload_offset(const Route& route, std::size_t option_bytes) noexcept {
  return below_bytes(route) + wire::tcp::kHeaderBytes + option_bytes;
}

/// What goes into a segment with timestamps or without any option, and nothing else out of the ordinary.
struct PlainSegment {
  Seq seq, ack;
  std::uint32_t ts_value, ts_echo;
  std::uint16_t window;
  std::uint8_t flags;
  bool timestamps;
};

/// write_segment() for such a segment over IPv4 without a VLAN tag, `bytes` of payload and no tail.
void write_plain_segment(Packet& packet, const Route& route, const PlainSegment& what, std::uint32_t bytes,
                         const Capabilities& device) noexcept;

/// Writes all headers into an empty packet whose payload (`payload_bytes` at payload_offset, then the tail) is there
/// already. `segment_bytes` not 0: the device shall cut the payload into such pieces. Sets everything else in the
/// packet. Needs: room in the buffer; at most 65535 IP bytes.
void write_segment(Packet& packet, const Route& route, const Outgoing& what, std::size_t payload_bytes,
                   std::uint16_t segment_bytes, const Capabilities& device) noexcept;

}  // namespace gannet::nicpipe::tcp
