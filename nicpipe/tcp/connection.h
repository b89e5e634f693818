/// One connection, and the small things it holds by index: bytes to send, segments in flight, bytes received.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "nicpipe/packet.h"
#include "nicpipe/tcp/config.h"
#include "nicpipe/tcp/pool.h"
#include "nicpipe/tcp/rtt.h"
#include "nicpipe/tcp/segment.h"
#include "nicpipe/tcp/seq.h"

namespace gannet::nicpipe::tcp {

/// RFC 9293 section 3.3.2. LISTEN is no connection, TIME-WAIT is remembered in a table of its own.
enum class State : std::uint8_t {
  kFree,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kDead,  ///< Ended; waits for the application to take the event that says so.
};

/// Bytes to send that lie in one piece. In the order of sequence numbers, from the first not acknowledged.
struct Chunk {
  const std::byte* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t next = kNone;
  std::uint32_t block = kNone;  ///< Ours, which holds the bytes; kNone: pinned.
  std::uint32_t pin = 0;
};

/// A segment sent and not acknowledged, in the order of sequence numbers; with TSO one for the whole frame.
struct Flight {
  MonotonicNs sent_ns = 0;  ///< The last time.
  Seq seq = 0;
  std::uint32_t bytes = 0;      ///< Sequence numbers: payload, and 1 for a FIN.
  std::uint32_t chunk = kNone;  ///< Where the payload begins; kNone without payload.
  std::uint32_t chunk_offset = 0;
  std::uint32_t next = kNone;
  bool sacked = false, lost = false;
  bool retransmitted = false;  ///< Ever.
  bool fin = false;

  [[nodiscard]] Seq end() const noexcept { return seq + bytes; }
};

/// Received bytes that lie in one piece: in a frame (packet.buffer set), or in a block of ours.
struct Span {
  Packet packet;
  std::byte* data = nullptr;
  std::uint32_t bytes = 0;
  Seq seq = 0;
  std::uint32_t next = kNone;
  std::uint32_t block = kNone;
};

struct Block {
  std::array<std::byte, kBlockBytes> bytes;
  std::uint32_t next = kNone;
};

enum class Recovery : std::uint8_t {
  kOpen,      ///< Nothing is known lost.
  kFast,      ///< RFC 5681 section 3.2, RFC 6675: until recovery_point is acknowledged.
  kTimedOut,  ///< RFC 5681 section 3.1: slow start again.
};

/// What deadline_send means.
enum class SendTimer : std::uint8_t { kOff, kHandshake, kRetransmit, kTailProbe, kReorder, kPersist };

struct Connection {
  // Who, and where in the lists of the engine.
  Route route;
  std::uint32_t generation = 0;  ///< Odd numbers never; see Core::id_of.
  std::uint32_t next = kNone;    ///< Of the pool while free, of the hash chain while in the table.
  std::uint32_t output_next = kNone, event_next = kNone, starved_next = kNone;
  State state = State::kFree;
  std::uint8_t events = 0;  ///< EventBit, not yet taken.
  Close reason = Close::kNone;
  bool in_output = false, in_events = false, in_starved = false, in_table = false;
  bool counted_half_open = false;
  bool is_orphan = false;    ///< The application is done with it.
  bool is_active = false;    ///< We opened it.
  bool closed_held = false;  ///< kClosed waits until everything readable was consumed.
  std::uint64_t user = 0;

  // Agreed in the handshake.
  bool timestamps = false, sack = false, scaled = false, ecn = false;
  bool syn_retried = false;  ///< Ours had to be sent again (RFC 5681 section 3.1, RFC 6298 section 5.7).
  std::uint8_t send_shift = 0, receive_shift = 0;  ///< RFC 7323 section 2.
  std::uint32_t ts_offset = 0;
  std::uint16_t mss = 536;           ///< Payload with the options of every segment taken off: what we send at most.
  std::uint16_t mss_received = 536;  ///< Largest payload seen; what "full-sized" means for acknowledgements.
  std::uint16_t path_mtu = 1500;

  // Receiving. RFC 9293 section 3.3.1.
  Seq irs = 0, rcv_nxt = 0;
  Seq rcv_edge = 0;   ///< rcv_nxt plus the window last announced: never goes back.
  Seq rcv_acked = 0;  ///< Last acknowledgement sent (RFC 7323's Last.ACK.sent).
  std::uint32_t ts_recent = 0;
  MonotonicNs ts_recent_ns = 0;
  std::uint32_t unread = 0;    ///< Bytes in order, not consumed.
  std::uint32_t ack_owed = 0;  ///< Payload bytes received since the last acknowledgement sent.
  std::uint32_t read_head = kNone, read_tail = kNone;
  std::uint32_t gap_tail = kNone;
  std::uint32_t gap_head = kNone;  ///< Out of order, by sequence number, never touching each other's bytes.
  std::uint32_t gap_count = 0;
  std::array<SackBlock, 4> recent;  ///< What the next SACK option tells, latest first (RFC 2018 section 4).
  std::uint8_t recent_count = 0;
  bool has_dsack = false;
  SackBlock dsack;             ///< RFC 2883: told once.
  bool ack_now = false;        ///< Acknowledge with the next flush, whatever else there is.
  bool window_update = false;  ///< The window opened enough to say so.
  bool fin_received = false;
  bool fin_known = false;  ///< A FIN beyond a gap was seen; it lies at fin_seq.
  Seq fin_seq = 0;
  bool ecn_echo = false;       ///< The path marked what we received, and the peer has not said yet that it knows.
  MonotonicNs refused_ns = 0;  ///< When we last answered a segment outside the window.

  // Sending.
  Seq iss = 0, snd_una = 0, snd_nxt = 0;
  Seq write_end = 0;  ///< Behind the last byte written.
  std::uint32_t snd_wnd = 0, snd_wnd_max = 0;
  Seq snd_wl1 = 0, snd_wl2 = 0;
  std::uint32_t chunk_head = kNone, chunk_tail = kNone;
  std::uint32_t head_done = 0;                        ///< Bytes of the first chunk acknowledged already.
  std::uint32_t next_chunk = kNone, next_offset = 0;  ///< Where snd_nxt lies; kNone: at the end.
  std::uint32_t blocks_held = 0, pins_held = 0;
  std::uint32_t source = kNone;  ///< In Core::sources.
  std::uint32_t flight_head = kNone, flight_tail = kNone;
  std::uint32_t flight_count = 0;
  bool fin_wanted = false, fin_sent = false;
  bool wants_writable = false;  ///< write() took too little.
  bool probe_sent = false;      ///< One byte behind snd_nxt was sent as a window probe, unrecorded.
  bool pins_copied = false;     ///< The peer stalled; no more pins until it moves.

  // Congestion and loss. Bytes unless said otherwise.
  std::uint32_t cwnd = 0, ssthresh = ~std::uint32_t{0};
  std::uint32_t cwnd_credit = 0;  ///< NewReno: bytes acknowledged since cwnd last grew.
  std::uint32_t sacked_bytes = 0, lost_bytes = 0;
  std::uint32_t sacked_count = 0;  ///< Flights.
  std::uint32_t reno_bytes = 0;    ///< Without SACK: bytes that duplicate acknowledgements speak for.
  std::uint16_t duplicate_acks = 0;
  Recovery recovery = Recovery::kOpen;
  bool cwr_due = false;  ///< The next new segment tells that the window was reduced (RFC 3168).
  Seq ecn_point = 0;     ///< Marks on what was sent before it were heeded already.
  Seq recovery_point = 0;
  std::uint32_t prr_delivered = 0, prr_out = 0, prr_flight = 0;  ///< RFC 6937.
  std::uint32_t lost_hint = kNone;                               ///< No lost segment lies before this one.
  // RFC 9438, in segments and seconds.
  double cubic_max = 0, cubic_k = 0, cubic_reno = 0, cubic_rest = 0, cubic_cwnd = 0;
  MonotonicNs cubic_epoch_ns = 0;
  // RFC 8985.
  MonotonicNs rack_sent_ns = 0, rack_rtt_ns = 0;
  Seq rack_end = 0, rack_fack = 0;
  Seq rack_round = 0;  ///< D-SACK counts once a round trip.
  std::uint8_t rack_multiplier = 1, rack_persist = 0;
  bool rack_reordering = false, rack_dsack_seen = false;
  bool tlp_out = false, tlp_is_retransmit = false;
  bool tlp_patient = false;  ///< The peer was seen to delay its acknowledgement of several segments.
  Seq tlp_end = 0;
  Rtt rtt;
  std::uint8_t backoff = 0;  ///< Times the timeout is doubled.
  std::uint8_t retries = 0;  ///< Since the peer last said anything that counts.
  std::uint8_t keepalives = 0;

  // Time.
  SendTimer send_timer = SendTimer::kOff;
  MonotonicNs timeout_from_ns = 0;  ///< When the retransmission timer was last started (RFC 6298 section 5).
  MonotonicNs reorder_ns = 0;       ///< When RACK looks again; 0: nothing to look for.
  MonotonicNs fin_wait_2_ns = 0;    ///< Since when.
  MonotonicNs deadline_send = ~MonotonicNs{0};
  MonotonicNs deadline_ack = ~MonotonicNs{0};
  MonotonicNs deadline_life = ~MonotonicNs{0};  ///< Keepalive, idle, FIN-WAIT-2.
  MonotonicNs heard_ns = 0;                     ///< The last acceptable segment.
  MonotonicNs payload_ns = 0;                   ///< The last payload either way.
  MonotonicNs sent_ns = 0;                      ///< The last payload sent.

  /// Everything written is sent and acknowledged, FIN included if wanted.
  [[nodiscard]] std::uint32_t flight_bytes() const noexcept { return snd_nxt - snd_una; }
  /// RFC 6675's pipe: what is believed to be under way.
  [[nodiscard]] std::uint32_t pipe() const noexcept {
    const std::uint32_t gone = sacked_bytes + lost_bytes + reno_bytes;
    const std::uint32_t all = flight_bytes();
    return gone < all ? all - gone : 0;
  }
  [[nodiscard]] std::uint32_t unsent() const noexcept { return fin_sent ? 0 : write_end - snd_nxt; }
  [[nodiscard]] bool is_synchronized() const noexcept { return state >= State::kEstablished && state != State::kDead; }
};
static_assert(std::is_trivially_copyable_v<Connection>);
static_assert(sizeof(Connection) <= 1024);

}  // namespace gannet::nicpipe::tcp
