/// The inside of an engine: all its state and the functions that work on it, spread over the .cc files named at each
/// group. Included by nicpipe/tcp alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/connection.h"
#include "nicpipe/tcp/keyed_hash.h"
#include "nicpipe/tcp/pool.h"
#include "nicpipe/tcp/segment.h"
#include "nicpipe/tcp/sink.h"
#include "nicpipe/tcp/source_table.h"
#include "nicpipe/tcp/stats.h"
#include "nicpipe/tcp/time_wait.h"
#include "nicpipe/tcp/timer_wheel.h"
#include "nicpipe/token_bucket.h"
#include "storage/base/clock.h"

namespace gannet::nicpipe::tcp {

inline constexpr MonotonicNs kNever = TimerWheel::kNever;
inline constexpr std::uint32_t kTimersPerTick = 256;    ///< Connections one tick() looks at.
inline constexpr std::uint32_t kPacketsPerTurn = 64;    ///< Of one connection before others get their chance.
inline constexpr std::uint32_t kSinkReserve = 4;        ///< tick() stops when fewer packets could be sent.
inline constexpr std::uint32_t kKeepWholeBytes = 1024;  ///< A payload under this that must wait is copied.
inline constexpr std::uint32_t kTailBytesMin = 512;     ///< A pinned piece under this is copied into the frame.
/// Segments of one connection under way: what a peer can make us walk through with each acknowledgement.
inline constexpr std::uint32_t kFlightsMax = 4096;
inline constexpr std::uint32_t kDuplicateAcks = 3;  ///< RFC 5681 section 3.2.

class Core {
 public:
  explicit Core(const Config& settings);

  // table.cc: slots, names, lists.
  [[nodiscard]] Connection* find(ConnectionId id) noexcept {  ///< Null: stale.
    if (id.slot >= connections.size()) return nullptr;
    Connection& c = connections[id.slot];
    return c.generation == id.generation && c.state != State::kFree && !c.is_orphan ? &c : nullptr;
  }
  [[nodiscard]] std::uint32_t slot_of(const Connection& c) const noexcept {
    return static_cast<std::uint32_t>(&c - &connections[0]);
  }
  [[nodiscard]] ConnectionId id_of(const Connection& c) const noexcept { return {slot_of(c), c.generation}; }
  [[nodiscard]] Connection* lookup(const Tuple& tuple) noexcept;
  /// Null when there is none left, or its source has too many; counted. In the table, state still kFree.
  [[nodiscard]] Connection* open(const Route& route, Now now) noexcept;
  /// Gives back all it holds and takes it out of the table; the application learns kClosed unless it is done with it.
  void end(Connection& c, Close reason, Sink& sink) noexcept;
  void end_all(Sink& sink) noexcept;
  void release_slot(Connection& c, Sink* sink) noexcept;
  void release_received(Connection& c, Sink& sink) noexcept;
  void event(Connection& c, std::uint8_t bits) noexcept {
    if (c.is_orphan) return;
    c.events = static_cast<std::uint8_t>(c.events | bits);
    if (!c.in_events) announce(c);
  }
  void announce(Connection& c) noexcept;
  void want_output(Connection& c) noexcept {
    if (!c.in_output) queue_output(c);
  }
  void queue_output(Connection& c) noexcept;
  [[nodiscard]] std::uint32_t take_events(std::span<Event> events) noexcept;
  void set_state(Connection& c, State state) noexcept;

  // expected.cc: what nearly all segments of a busy connection are. False: nothing was done, the long way has to be
  // gone.
  [[nodiscard]] static bool is_undisturbed(const Connection& c) noexcept;
  [[nodiscard]] bool receive_expected(Connection& c, const Packet& packet, const Segment& s, Now now) noexcept;
  [[nodiscard]] bool send_expected(Connection& c, Now now, Sink& sink) noexcept;

  // listen.cc, cookies.cc: how connections begin.
  [[nodiscard]] bool is_listening(std::uint16_t port) const noexcept;
  void receive_for_nobody(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  void receive_syn(const Packet& packet, const Segment& s, Seq iss, Now now, Sink& sink) noexcept;
  void receive_in_syn_sent(Connection& c, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  [[nodiscard]] ConnectionId connect(std::uint8_t port, std::uint16_t own_port, const IpAddress& peer,
                                     std::uint16_t peer_port, Mac peer_mac, Now now, Sink& sink) noexcept;
  void learn_options(Connection& c, const Segment& s, Now now) noexcept;
  void receive_mark(Connection& c, const Segment& s) noexcept;
  void established(Connection& c, const Segment& s, Now now) noexcept;
  void send_syn(Connection& c, Now now, Sink& sink) noexcept;  ///< SYN or SYN-ACK, by state.
  void add_syn_options(Connection& c, Outgoing& out, Now now) const noexcept;
  void begin_windows(Connection& c) noexcept;
  [[nodiscard]] Seq initial_sequence(const Tuple& tuple, Now now) const noexcept;
  [[nodiscard]] std::uint32_t ts_offset_of(const Tuple& tuple) const noexcept;
  [[nodiscard]] std::uint16_t mss_announced(const Route& route) const noexcept;
  void set_send_mss(Connection& c, std::uint32_t mss) noexcept;  ///< Payload without options, as the option tells it.
  void send_cookie(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  /// Null: no cookie of ours, or no room (counted).
  [[nodiscard]] Connection* accept_cookie(const Packet& packet, const Segment& s, Now now) noexcept;

  // input.cc: a segment of a connection, in the order of RFC 9293 section 3.10.7.4.
  void receive(const Packet& packet, Now now, Sink& sink) noexcept;
  [[nodiscard]] Connection* receive_from_stranger(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  /// True: the packet was kept.
  [[nodiscard]] bool receive_segment(Connection& c, const Packet& packet, Segment& s, Now now, Sink& sink) noexcept;
  [[nodiscard]] bool is_old_timestamp(const Connection& c, const Segment& s, Now now) const noexcept;
  void receive_reset(Connection& c, const Segment& s, Now now, Sink& sink) noexcept;
  void receive_fin(Connection& c, Now now, Sink& sink) noexcept;
  void enter_time_wait(Connection& c, Now now, Sink& sink) noexcept;
  void challenge(Connection& c, Now now, Sink& sink) noexcept;
  void answer_refused(Connection& c, const Segment& s, Now now, Sink& sink) noexcept;
  void receive_time_wait(std::uint32_t entry, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;

  // reassembly.cc: payload.
  [[nodiscard]] bool take_payload(Connection& c, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  [[nodiscard]] bool keep_behind_gap(Connection& c, const Packet& packet, const Segment& s, Now now,
                                     Sink& sink) noexcept;
  [[nodiscard]] std::uint32_t make_span(const Packet& packet, const Segment& s, std::uint32_t offset,
                                        std::uint32_t bytes, bool whole) noexcept;
  [[nodiscard]] std::uint32_t extend_span(Span& span, const std::byte* at, std::uint32_t bytes) noexcept;
  [[nodiscard]] bool is_short_of_memory() const noexcept;
  void tell_sack(Connection& c, Seq start, Seq end) noexcept;
  void join_gap(Connection& c, Sink& sink) noexcept;
  void consume(Connection& c, std::uint32_t bytes, Sink& sink) noexcept;
  void free_span(std::uint32_t span, Sink& sink) noexcept;
  void free_spans(std::uint32_t& head, Sink& sink) noexcept;
  void release_gap(Connection& c,
                   Sink& sink) noexcept;  ///< Forgets what waits beyond rcv_nxt, told or not (RFC 2018 section 8).
  [[nodiscard]] std::uint32_t window_max(const Connection& c) const noexcept;
  [[nodiscard]] Seq window_edge(const Connection& c) const noexcept;

  /// What one acknowledgement told.
  struct AckInfo {
    Seq una_before = 0;
    std::uint32_t acked = 0;      ///< Sequence numbers newly acknowledged cumulatively.
    std::uint32_t sacked = 0;     ///< Bytes newly selectively acknowledged.
    std::uint32_t delivered = 0;  ///< Bytes newly known to have arrived, either way.
    std::uint32_t flight_before = 0, lost_before = 0;
    MonotonicNs sack_sample_ns = 0;  ///< A round trip that a SACK tells; 0: none.
    bool fin_acked = false;
    bool is_ambiguous = false;  ///< Among what was acknowledged cumulatively is something sent twice.
    bool dsack = false;
    SackBlock dsack_block;
    bool window_changed = false, has_payload = false;
    bool marked = false;  ///< It echoes a mark of the path.
  };

  // ack.cc: what the peer says about our bytes.
  /// False: the segment is not to be looked at any further.
  [[nodiscard]] bool receive_ack(Connection& c, const Segment& s, Now now, Sink& sink) noexcept;
  void acknowledge(Connection& c, Seq ack, AckInfo& info, Now now) noexcept;
  void measure_by_echo(Connection& c, const Segment& s, Now now) noexcept;
  void drop_acknowledged_bytes(Connection& c, std::uint32_t bytes) noexcept;
  void free_chunk(Connection& c, std::uint32_t chunk) noexcept;

  // recovery.cc: RFC 8985, 6675, 6582, 6937.
  void delivered(Connection& c, const Flight& f, Now now) noexcept;
  void read_sacks(Connection& c, const Segment& s, AckInfo& info, Now now) noexcept;
  void after_ack(Connection& c, const Segment& s, AckInfo& info, Now now) noexcept;
  void detect_losses(Connection& c, Now now) noexcept;
  void mark_lost(Connection& c, std::uint32_t flight) noexcept;
  void enter_recovery(Connection& c) noexcept;
  void run_prr(Connection& c, const AckInfo& info) noexcept;
  void tail_probe_acknowledged(Connection& c, const Segment& s, const AckInfo& info) noexcept;
  void count_duplicates(Connection& c, const Segment& s, AckInfo& info) noexcept;
  [[nodiscard]] bool split_flight(Connection& c, std::uint32_t flight, std::uint32_t bytes) noexcept;
  void timed_out(Connection& c, Now now, Sink& sink) noexcept;
  void send_tail_probe(Connection& c, Now now, Sink& sink) noexcept;
  void arm_send_timer(Connection& c, Now now) noexcept;
  [[nodiscard]] MonotonicNs timeout_of(const Connection& c) const noexcept;
  [[nodiscard]] MonotonicNs reorder_window(const Connection& c) const noexcept;

  // congestion.cc: how large the window is.
  void begin_congestion(Connection& c) noexcept;
  void grow_window(Connection& c, std::uint32_t acked, std::uint32_t flight_before, Now now) noexcept;
  void reduce_window(Connection& c) noexcept;  ///< Sets ssthresh for a loss; cwnd is the caller's.
  void reduce_window(Connection& c, std::uint32_t flight, double reno_beta, double cubic_beta) noexcept;
  void heed_mark(Connection& c, std::uint32_t flight_before) noexcept;

  // output.cc: segments out.
  void flush(Now now, Sink& sink) noexcept;
  /// True: it has more to send than it may now.
  bool send_pending(Connection& c, Now now, Sink& sink) noexcept;
  [[nodiscard]] bool send_new(Connection& c, std::uint32_t bytes_max, bool with_fin, Now now, Sink& sink) noexcept;
  void retransmit(Connection& c, std::uint32_t flight, Now now, Sink& sink) noexcept;
  void send_ack(Connection& c, Now now, Sink& sink) noexcept;
  void send_window_probe(Connection& c, Now now, Sink& sink) noexcept;
  void send_keepalive(Connection& c, Now now, Sink& sink) noexcept;
  void send_reset(Connection& c, Sink& sink) noexcept;
  /// A segment that belongs to no connection, back where `packet` came from.
  void reply(const Packet& packet, const Tuple& tuple, const Outgoing& out, Sink& sink) noexcept;
  void reply_reset(const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept;
  [[nodiscard]] Outgoing header_of(Connection& c, Seq seq, std::uint8_t flags, Now now) noexcept;
  void acknowledged_by(Connection& c) noexcept;
  [[nodiscard]] std::uint32_t segment_bytes_max(const Connection& c) const noexcept;
  /// Collects `bytes` from (chunk, offset) on behind the packet's headers; gives how many: fewer where a pinned piece
  /// was pointed at, which ends a frame, or where the buffer is full. `copied` lie in the buffer, the rest is the tail.
  [[nodiscard]] std::uint32_t gather(Packet& packet, std::size_t payload_at, std::uint32_t chunk, std::uint32_t offset,
                                     std::uint32_t bytes, bool may_point, std::uint32_t& copied) noexcept;
  [[nodiscard]] std::uint32_t sendable_now(const Connection& c) const noexcept;

  // write.cc: bytes in.
  [[nodiscard]] std::uint32_t write(Connection& c, Bytes bytes) noexcept;
  [[nodiscard]] MutableBytes extend(Connection& c, std::uint32_t bytes) noexcept;
  [[nodiscard]] bool can_write(const Connection& c, std::uint32_t bytes) const noexcept;
  [[nodiscard]] static bool may_write(const Connection& c) noexcept;
  [[nodiscard]] bool add_block(Connection& c) noexcept;
  void count_block(Connection& c) noexcept;
  [[nodiscard]] std::uint32_t blocks_for(const Connection& c) const noexcept;
  [[nodiscard]] std::uint32_t write_room(const Connection& c) const noexcept;
  [[nodiscard]] bool write_pinned(Connection& c, Bytes bytes, std::uint32_t pin) noexcept;
  void want_writable(Connection& c) noexcept;
  void feed_starved() noexcept;
  void announce_room(Connection& c) noexcept;  ///< kWritable, if that is waited for and enough.
  void append_chunk(Connection& c, std::uint32_t chunk) noexcept;
  void copy_out_pins(Connection& c) noexcept;
  void shutdown(Connection& c) noexcept;
  void close(Connection& c, Now now, Sink& sink) noexcept;
  void abort(Connection& c, Sink& sink) noexcept;

  // timers.cc.
  void tick(Now now, Sink& sink) noexcept;
  void fire(Connection& c, Now now, Sink& sink) noexcept;
  void fire_send(Connection& c, Now now, Sink& sink) noexcept;
  void fire_persist(Connection& c, Now now, Sink& sink) noexcept;
  void fire_life(Connection& c, Now now, Sink& sink) noexcept;
  void arm(Connection& c) noexcept;  ///< The wheel follows the connection's deadlines.
  void set_life_deadline(Connection& c) noexcept;

  // icmp.cc.
  [[nodiscard]] bool is_about_ours(const Packet& packet) noexcept;
  void receive_icmp(const Packet& packet, Now now, Sink& sink) noexcept;
  void path_mtu_is(Connection& c, std::uint32_t mtu, Now now) noexcept;

  // check.cc.
  void check() const;
  void check_sending(const Connection& c) const;
  void check_receiving(const Connection& c) const;
  [[nodiscard]] std::uint64_t memory_bytes() const noexcept;
  [[nodiscard]] std::uint64_t memory_bytes(const Connection& c) const noexcept;

  [[nodiscard]] std::uint32_t ts_now(std::uint32_t offset, Now now) const noexcept {
    return static_cast<std::uint32_t>(now.mono_ns / 1'000'000) + offset;
  }
  [[nodiscard]] const Interface& interface_of(const Connection& c) const noexcept {
    return config.interfaces[c.route.port];
  }

  const Config config;
  Stats stats;
  Pool<Connection> connections;
  Pool<Chunk> chunks;
  Pool<Flight> flights;
  Pool<Block> blocks;
  Pool<Span> spans;
  TimerWheel wheel;
  TimeWaitTable time_waits;
  SourceTable sources;
  const std::uint32_t heads_mask;
  const std::unique_ptr<std::uint32_t[]> heads;
  std::uint32_t starved_head = kNone;  ///< Connections that found no block at all and hold none.
  std::uint32_t output_head = kNone, output_tail = kNone;
  std::uint32_t event_head = kNone, event_tail = kNone;
  std::uint32_t packets_kept = 0;
  std::uint8_t receive_shift;
  TokenBucket challenges, resets;
  MonotonicNs cookie_sent_ns = 0;
};

}  // namespace gannet::nicpipe::tcp
