/// TCP for one worker: frames and time in, frames out, bytes in order for the application. A deterministic object: no
/// clock, no I/O, no thread, no allocation after the constructor. RFC 9293 and what README.md lists.
///
/// A turn of its caller:
///   1. receive() for every frame Host found to be TCP (kTcp), receive_icmp() for kTcpError;
///   2. tick(): timers;
///   3. take_events() until none; readable(), consume(), write(), ... for each;
///   4. flush(): everything written goes out as full segments; acknowledgements owed ride on them.
/// The sink's packets to send and to free are the caller's after each call.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "nicpipe/packet.h"
#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/sink.h"
#include "nicpipe/tcp/stats.h"
#include "storage/base/bytes.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe::tcp {

class Core;

class Engine {
 public:
  /// MUST: the bounds of Config hold. Takes all its memory here.
  explicit Engine(const Config& config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Frames and time. `now.mono_ns` never runs backwards.

  /// A frame that Host::receive found to be kTcp: l2_bytes and l3_bytes set, IP header right, addressed to us,
  /// `packet.port` the interface it came by. Takes the packet over: it is kept while its payload waits to be read, else
  /// given to sink.free(). May send a few segments at once (resets, handshakes, acknowledgements of gaps,
  /// retransmissions); with sink.room() 0 what had to be sent is left to a timer or to the peer.
  void receive(const Packet& packet, Now now, Sink& sink);
  /// A frame that Host::receive found to be kTcpError: an ICMP error about a segment of ours. Takes the packet over.
  void receive_icmp(const Packet& packet, Now now, Sink& sink);
  /// Whether such a frame quotes a connection of this engine; another worker's has to get it where not.
  [[nodiscard]] bool is_about_ours(const Packet& packet) const noexcept;
  /// Timers that are due; at most a bounded number of connections a call, the rest with the next.
  void tick(Now now, Sink& sink);
  /// Sends what was written and acknowledgements that are due. Whatever the sink has no room for stays for the next.
  void flush(Now now, Sink& sink);
  /// When tick() has something to do at the latest; ~0 when never. May be early, never late.
  [[nodiscard]] MonotonicNs next_timer() const noexcept;

  // The application's side. A stale id: nothing happens, 0 or empty is given.

  /// Fills `events` from the front; gives how many. A connection appears once with all its bits. With kClosed in it the
  /// id is stale from then on.
  [[nodiscard]] std::uint32_t take_events(std::span<Event> events) noexcept;

  /// The first received bytes not yet consumed that lie in one piece; empty when there are none. Valid until consume()
  /// on the connection, or the next call that takes a sink.
  [[nodiscard]] MutableBytes readable(ConnectionId id) noexcept;
  /// All bytes received in order and not consumed.
  [[nodiscard]] std::uint32_t readable_bytes(ConnectionId id) const noexcept;
  /// The first `bytes` of what is readable are done with; may reach over several pieces. The window opens again. MUST:
  /// bytes <= readable_bytes().
  void consume(ConnectionId id, std::uint32_t bytes, Sink& sink) noexcept;

  /// Copies from the front of `bytes` into the connection's send blocks; gives how many bytes were taken. Fewer than
  /// all: kWritable comes when there is room again. 0 after shutdown().
  [[nodiscard]] std::uint32_t write(ConnectionId id, Bytes bytes) noexcept;
  /// write() without a source: `bytes` more are written, as the caller leaves them in what is given before it calls
  /// anything else here. Empty, and nothing happened: the connection has no room for them, or not in one piece, and
  /// write() has to say how far they go. Needs bytes <= kBlockBytes.
  [[nodiscard]] MutableBytes extend(ConnectionId id, std::uint32_t bytes) noexcept;
  /// Whether writable_bytes() is at least `bytes`, more cheaply where nothing is unacknowledged.
  [[nodiscard]] bool can_write(ConnectionId id, std::uint32_t bytes) const noexcept;
  /// Room for write(): bytes that would be taken now.
  [[nodiscard]] std::uint32_t writable_bytes(ConnectionId id) const noexcept;
  /// The same without a copy: all of `bytes` or nothing (false). They must stay as they are until
  /// PinHooks::release(pin), which comes exactly once, on acknowledgement, on the connection's end, or when the bytes
  /// were copied out because the peer stalls. May exceed send_bytes_max by one value: taken while less is
  /// unacknowledged.
  [[nodiscard]] bool write_pinned(ConnectionId id, Bytes bytes, std::uint32_t pin) noexcept;
  /// kWritable comes as after a write() that took too little: when a good part of the room is there again, or at once
  /// if it is. For an application that stops before a write can fall short.
  void want_writable(ConnectionId id) noexcept;
  /// Written and not yet acknowledged.
  [[nodiscard]] std::uint32_t unacknowledged(ConnectionId id) const noexcept;

  /// FIN behind what was written; reading goes on. kClosed follows when both sides are done.
  void shutdown(ConnectionId id) noexcept;
  /// The application is done with it: what was written is still delivered, then FIN; no more events, the id is stale at
  /// once. Bytes received and not consumed, or coming later, make it a reset (RFC 1122 section 4.2.2.13).
  void close(ConnectionId id, Now now, Sink& sink) noexcept;
  /// Reset at once. No more events, the id is stale at once.
  void abort(ConnectionId id, Now now, Sink& sink) noexcept;
  /// At the end of the process: forgets every connection without a word to anybody. Pins are released, kept packets
  /// freed; no event follows.
  void end_all(Sink& sink) noexcept;

  void set_user(ConnectionId id, std::uint64_t user) noexcept;
  [[nodiscard]] std::uint64_t user(ConnectionId id) const noexcept;
  [[nodiscard]] bool is_live(ConnectionId id) const noexcept;
  /// False, `out` untouched: stale.
  [[nodiscard]] bool tuple(ConnectionId id, Tuple& out) const noexcept;

  /// Opens a connection by interface `port` from its address and `own_port` to the peer, whose frames go to `peer_mac`.
  /// A stale id (default) is given when there is no slot, no packet, or the tuple is taken. kOpened or kClosed follows.
  [[nodiscard]] ConnectionId connect(std::uint8_t port, std::uint16_t own_port, const IpAddress& peer,
                                     std::uint16_t peer_port, Mac peer_mac, Now now, Sink& sink);

  // Books.
  [[nodiscard]] const Stats& stats() const noexcept;
  /// Bytes taken in the constructor, all together: never changes.
  [[nodiscard]] std::uint64_t memory_bytes() const noexcept;
  /// What one connection holds now: its state, its send blocks, kept packets (counted with their buffers).
  [[nodiscard]] std::uint64_t memory_bytes(ConnectionId id) const noexcept;
  /// MUST: every list, count and sequence number agrees with the others. Walks everything; for tests.
  void check() const;

 private:
  std::unique_ptr<Core> core_;
};

}  // namespace gannet::nicpipe::tcp
