/// What a TCP engine is told when it is made, and the small types of its door.
#pragma once

#include <array>
#include <cstdint>

#include "nicpipe/endpoint.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe::tcp {

inline constexpr std::uint32_t kInterfacesMax = 16;  ///< Ports of the machine that one worker serves.
inline constexpr std::uint32_t kListenPortsMax = 8;

/// A port of the machine, as Packet::port counts them.
struct Interface {
  Mac mac;                    ///< Ours: the source of every frame.
  IpAddress address;          ///< Ours, for connections that we open (those we accept take it from their SYN).
  IpAddress address6;         ///< The same over IPv6; zero: none.
  std::uint16_t vlan = 0;     ///< Tag of connections that we open; 0: none.
  std::uint16_t mtu = 1500;   ///< IP bytes a frame may carry, 576..65535 (IPv6: from 1280).
  Capabilities capabilities;  ///< Checksums, segmentation and gathering the device does.
};

enum class Congestion : std::uint8_t { kCubic, kNewReno };

/// 128 bits of secret, little-endian halves.
struct Key {
  std::uint64_t low = 0, high = 0;
};

/// Pins of values given to write_pinned. Both are called on the engine's thread, from inside its functions.
struct PinHooks {
  /// Takes `pin` once more, for a frame on its way through the device, which gives it back through the endpoint's
  /// ReleaseHook. False: not possible now; the bytes are copied instead. Null: always copied.
  bool (*again)(void* context, std::uint32_t pin) = nullptr;
  /// The engine's own hold on `pin` ends.
  void (*release)(void* context, std::uint32_t pin) = nullptr;
  void* context = nullptr;
};

struct Config {
  std::array<Interface, kInterfacesMax> interfaces{};
  std::uint32_t interface_count = 1;
  std::array<std::uint16_t, kListenPortsMax> listen_ports{};  ///< Served; others are answered with a reset.
  std::uint32_t listen_port_count = 0;

  // Bounds. All memory is taken in the constructor.
  std::uint32_t connections_max = 1024;  ///< 1..2^20, half-open ones included.
  std::uint32_t half_open_max = 256;     ///< Above it, a SYN gets a cookie and no memory (RFC 4987). 0: always.
  std::uint32_t per_source_max = 0;      ///< Connections of one address (IPv6: of one /64); 0: no limit.
  std::uint32_t time_wait_max = 4096;    ///< Remembered; the oldest gives way.
  std::uint32_t send_blocks = 8192;      ///< Of kBlockBytes, for bytes written and not yet acknowledged, all together.
  std::uint32_t receive_packets = 4096;  ///< Received frames kept while their payload waits.
  std::uint32_t send_bytes_max = 1 << 20;  ///< Per connection: written and not acknowledged. write() takes no more.
  std::uint32_t receive_bytes_max = 256 << 10;  ///< Per connection: largest window we announce, 2048..2^30.
  std::uint32_t out_of_order_max = 256;         ///< Pieces behind a gap, per connection.

  // Segments.
  std::uint16_t mss_max = 65535;  ///< Never announce or send more than this (nor than the interface's MTU allows).
  std::uint16_t mss_min = 88;     ///< A smaller MSS of a peer, or path MTU, counts as this.
  std::uint32_t initial_window_segments = 10;  ///< RFC 6928.
  bool window_scaling = true, timestamps = true, sack = true;
  bool ecn = true;       ///< RFC 3168, if a peer's SYN asks for it.
  bool ecn_ask = false;  ///< The same for connections that we open.
  Congestion congestion = Congestion::kCubic;
  bool prediction = true;  ///< The common segments go a shorter way, with the same outcome. Off: for tests of that.

  // Time.
  MonotonicNs rto_min_ns = 200'000'000;  ///< RFC 6298 says 1 s; racks want less.
  MonotonicNs rto_max_ns = 60'000'000'000;
  MonotonicNs rto_initial_ns = 1'000'000'000;
  MonotonicNs delayed_ack_ns = 40'000'000;
  MonotonicNs time_wait_ns = 60'000'000'000;
  MonotonicNs keepalive_ns = 7'200'000'000'000;  ///< Silence before the first probe; 0: no probes.
  MonotonicNs keepalive_interval_ns = 75'000'000'000;
  std::uint8_t keepalive_probes = 9;
  MonotonicNs idle_ns = 0;  ///< A connection without any payload either way for so long is reset; 0: never.
  MonotonicNs fin_wait_2_ns = 60'000'000'000;  ///< After close(), for the peer's FIN.
  std::uint8_t syn_retries = 5;                ///< SYN or SYN-ACK sent again.
  std::uint8_t retries = 15;  ///< Of data or FIN, and of window probes without any answer, before giving up.
  std::uint32_t challenge_acks_per_s = 100;  ///< RFC 5961 section 10, of the whole engine.
  std::uint32_t resets_per_s = 1000;         ///< For segments that belong to nobody.

  // Secrets: random at every start.
  Key isn_key;     ///< RFC 6528.
  Key cookie_key;  ///< SYN cookies, timestamp offsets and the connection table's hash.

  PinHooks pins;
};

inline constexpr std::uint32_t kBlockBytes = 2048;

/// Names a connection. A stale one (closed since) is refused everywhere, harmlessly.
struct ConnectionId {
  std::uint32_t slot = ~std::uint32_t{0};
  std::uint32_t generation = 0;  ///< Of a live connection never 0.

  friend constexpr auto operator<=>(const ConnectionId&, const ConnectionId&) = default;
};

/// Why a connection ended.
enum class Close : std::uint8_t {
  kNone,         ///< It has not.
  kDone,         ///< Both sides said FIN and ours was acknowledged.
  kReset,        ///< The peer reset it.
  kRefused,      ///< Our SYN was answered with a reset (connect only).
  kTimeout,      ///< No acknowledgement after all retries.
  kKeepalive,    ///< No answer to keepalive probes.
  kIdle,         ///< Config::idle_ns.
  kUnreachable,  ///< ICMP said so, and the handshake was not done yet.
};

/// Bits of Event::what.
enum EventBit : std::uint8_t {
  kOpened = 1 << 0,      ///< The handshake is done.
  kReadable = 1 << 1,    ///< readable() gives more than before.
  kWritable = 1 << 2,    ///< write() that took too little may go on.
  kPeerClosed = 1 << 3,  ///< The peer's FIN: behind what is readable nothing follows. We may still write.
  kClosed = 1 << 4,      ///< The connection is gone, `reason` says why; the id is stale from now on.
};

struct Event {
  ConnectionId id;
  std::uint64_t user = 0;       ///< The application's word (set_user), 0 at first.
  std::uint8_t what = 0;        ///< EventBit, all that happened since the last event of this connection.
  Close reason = Close::kNone;  ///< With kClosed.
  std::uint16_t port = 0;       ///< Our port: which listener.
};

/// Who talks to whom, seen from us.
struct Tuple {
  IpAddress peer, own;
  std::uint16_t peer_port = 0, own_port = 0;  ///< Host order.

  friend constexpr bool operator==(const Tuple&, const Tuple&) = default;
};

}  // namespace gannet::nicpipe::tcp
