/// What an engine counts. Plain numbers that only grow, unless said otherwise; read on the engine's thread.
#pragma once

#include <cstdint>

namespace gannet::nicpipe::tcp {

struct Stats {
  // Connections.
  std::uint64_t accepted = 0;   ///< Handshakes done that a peer began.
  std::uint64_t connected = 0;  ///< Handshakes done that we began.
  std::uint64_t closed = 0;     ///< Ended by FINs.
  std::uint64_t reset_by_peer = 0;
  std::uint64_t aborted = 0;            ///< Reset by us: abort(), or close() with bytes unread.
  std::uint64_t timed_out = 0;          ///< Retries, keepalive and idle together.
  std::uint64_t refused_full = 0;       ///< SYNs or cookies without a free connection.
  std::uint64_t refused_source = 0;     ///< SYNs above per_source_max.
  std::uint64_t refused_port = 0;       ///< SYNs to a port nobody listens on.
  std::uint64_t open = 0;               ///< Now; half-open and closing ones included. Goes up and down.
  std::uint64_t half_open = 0;          ///< Now.
  std::uint64_t time_wait = 0;          ///< Now.
  std::uint64_t time_wait_reused = 0;   ///< SYNs that took over a TIME-WAIT (RFC 6191).
  std::uint64_t time_wait_evicted = 0;  ///< Forgotten early: the table was full.
  std::uint64_t cookies_sent = 0, cookies_accepted = 0, cookies_refused = 0;

  // Segments.
  std::uint64_t segments_in = 0, segments_out = 0;    ///< TSO frames count once.
  std::uint64_t predicted_in = 0, predicted_out = 0;  ///< Of those, the ones that went the shorter way (expected.cc).
  std::uint64_t bytes_in = 0;                         ///< Payload taken in order.
  std::uint64_t bytes_out = 0;                        ///< Payload sent the first time.
  std::uint64_t resets_out = 0;
  std::uint64_t drop_header = 0;  ///< TCP header impossible: offset, length, options cut short.
  std::uint64_t drop_checksum = 0;
  std::uint64_t drop_nobody = 0;     ///< For no connection: answered with a reset while the rate allows.
  std::uint64_t drop_window = 0;     ///< Outside the window (answered with an ACK, RFC 9293 section 3.10.7.4).
  std::uint64_t drop_paws = 0;       ///< RFC 7323 section 5.
  std::uint64_t drop_ack = 0;        ///< Acknowledges what was never sent, or is far too old (RFC 5961 section 5).
  std::uint64_t drop_no_memory = 0;  ///< Payload that found no block, no packet or too many pieces; it will come again.
  std::uint64_t challenge_acks = 0, challenge_acks_held = 0;  ///< Sent; withheld by the rate limit.
  std::uint64_t out_of_order = 0;                             ///< Payload kept behind a gap.
  std::uint64_t duplicates = 0;                               ///< Payload that we had already.

  // Recovery.
  std::uint64_t retransmits = 0;      ///< Segments sent again, for whatever reason.
  std::uint64_t timeouts = 0;         ///< RTO expired.
  std::uint64_t fast_recoveries = 0;  ///< Entered.
  std::uint64_t tail_probes = 0;      ///< RFC 8985 section 7.
  std::uint64_t window_probes = 0;    ///< Zero-window probes sent.
  std::uint64_t keepalives = 0;
  std::uint64_t ecn_marks = 0;       ///< Segments received that the path had marked, on connections with ECN.
  std::uint64_t ecn_reductions = 0;  ///< Windows reduced because the path had marked what we sent.
  std::uint64_t spurious = 0;        ///< Retransmissions that D-SACK or TLP found needless.
  std::uint64_t icmp_errors = 0;     ///< Believed.
  std::uint64_t icmp_refused = 0;    ///< Quoting nothing we have in flight (RFC 5927).
  std::uint64_t pins_copied = 0;     ///< Pinned values copied out for a stalled peer.

  // Memory, now.
  std::uint64_t blocks_used = 0, receive_packets_used = 0;
};

}  // namespace gannet::nicpipe::tcp
