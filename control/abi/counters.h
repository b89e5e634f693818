/// Every figure a worker counts, once: name, unit, meaning. The struct, the names on the wire, `gannetctl stats` and
/// `explain` all come from this list. Counters only grow; gauges are overwritten each tick. Add a line here, nowhere
/// else: kLayoutHash follows by itself.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

// GANNET_COUNTER(name, unit, meaning)
#define GANNET_WORKER_COUNTERS(X)                                                                                   \
  /* Frames. */                                                                                                     \
  X(rx_frames, "frames", "taken from the device by this worker")                                                    \
  X(rx_bytes, "bytes", "of those frames, Ethernet header included")                                                 \
  X(tx_frames, "frames", "the device took for sending")                                                             \
  X(tx_bytes, "bytes", "of those frames")                                                                           \
  X(tx_refused, "frames", "dropped because the device's transmit queue stayed full")                                \
  X(drop_runt, "frames", "dropped: shorter than the headers they announce")                                         \
  X(drop_not_ours, "frames", "dropped: other MAC, VLAN or IP address, or a group that is not asked for neighbours") \
  X(drop_ethertype, "frames", "dropped: none of ARP, IPv4 and, where there is an address, IPv6")                    \
  X(drop_ip_header, "frames", "dropped: IPv4 version, header length, total length or source address is impossible") \
  X(drop_ip_checksum, "frames", "dropped: IPv4 header checksum is wrong")                                           \
  X(drop_ip_fragment, "frames", "dropped: IPv4 or IPv6 fragment; requests must fit one frame")                      \
  X(drop_ip_protocol, "frames", "dropped: an IP protocol that is not served")                                       \
  X(drop_udp_header, "frames", "dropped: UDP length is impossible")                                                 \
  X(drop_udp_checksum, "frames", "dropped: UDP checksum is wrong, or missing over IPv6")                            \
  X(drop_udp_port, "frames", "dropped: UDP port that is not served, and the rate limit forbade an ICMP answer")     \
  X(drop_source_refused, "frames", "dropped: source outside listen.allow, a port below 1024, or a group MAC")       \
  X(drop_source_rate, "frames", "dropped: the source sends more than listen.udp_rate_per_source")                   \
  X(drop_arp, "frames", "dropped: malformed ARP, or not for our address")                                           \
  X(drop_address_conflict, "frames", "dropped: somebody else on the wire claims an address of ours")                \
  X(drop_icmp, "frames", "dropped: ICMP that is no echo request, is malformed, or exceeds the rate limit")          \
  X(drop_ip6_header, "frames", "dropped: IPv6 version, payload length or source address is impossible")             \
  X(drop_ip6_extension, "frames",                                                                                   \
    "dropped: IPv6 routing header, or options that are malformed, too long or forbid us")                           \
  X(drop_ndp, "frames", "dropped: malformed neighbour discovery, not for our address, or router discovery")         \
  X(drop_multi_buffer, "frames", "dropped: the device spread the frame over several buffers")                       \
  X(drop_no_buffer, "frames", "answers dropped: no free packet buffer")                                             \
  X(drop_handover_full, "requests", "dropped: the ring to the owning worker was full")                              \
  X(drop_device, "frames", "dropped by the device itself (missed, errors, no mbuf); counted on worker 0")           \
  X(arp_replies, "frames", "ARP requests answered")                                                                 \
  X(arp_learned, "frames", "ARP replies to us, taken into the neighbour table")                                     \
  X(ndp_replies, "frames", "IPv6 neighbour solicitations answered")                                                 \
  X(ndp_learned, "frames", "IPv6 neighbour advertisements to us, taken into the neighbour table")                   \
  X(icmp_echoes, "frames", "ICMP echo requests answered")                                                           \
  X(icmp_unreachables, "frames", "ICMP port-unreachable messages sent")                                             \
  /* memcache over UDP. */                                                                                          \
  X(udp_datagrams, "datagrams", "with at least one whole memcache request")                                         \
  X(drop_frame_header, "datagrams", "dropped: shorter than the 8-byte UDP frame header and a request header")       \
  X(drop_multi_datagram, "datagrams", "dropped: part of a request split over several datagrams (total is not 1)")   \
  X(drop_bad_magic, "datagrams", "dropped, or their rest was: no binary request starts there")                      \
  X(drop_truncated, "datagrams", "dropped, or their rest was: the request's body ends beyond the datagram")         \
  X(requests, "requests", "executed by this worker, whatever the outcome")                                          \
  X(answers, "messages", "answer messages made, one for each request that speaks")                                  \
  X(quiet_silences, "requests", "quiet requests whose success or miss is told by silence")                          \
  X(answer_datagrams, "datagrams", "those messages took")                                                           \
  X(answers_zero_copy, "messages", "whose value left straight from a segment")                                      \
  X(answers_refused_large, "messages", "refused with 0x03 because the value exceeds listen.udp_answer_max")         \
  X(handed_over, "requests", "passed to the worker that owns the key")                                              \
  X(taken_over, "requests", "received from other workers")                                                          \
  /* memcache operations, with the names memcached's `stats` gives them. */                                         \
  X(cmd_get, "requests", "GET family")                                                                              \
  X(cmd_set, "requests", "SET, ADD, REPLACE, APPEND, PREPEND, quiet ones included")                                 \
  X(cmd_flush, "requests", "FLUSH and FLUSHQ")                                                                      \
  X(cmd_touch, "requests", "TOUCH and GAT family")                                                                  \
  X(get_hits, "requests", "GET family that found the key")                                                          \
  X(get_misses, "requests", "GET family that did not")                                                              \
  X(delete_hits, "requests", "DELETE that removed an item")                                                         \
  X(delete_misses, "requests", "DELETE of an absent key")                                                           \
  X(incr_hits, "requests", "INCREMENT of a present counter")                                                        \
  X(incr_misses, "requests", "INCREMENT of an absent key, created or not")                                          \
  X(decr_hits, "requests", "DECREMENT of a present counter")                                                        \
  X(decr_misses, "requests", "DECREMENT of an absent key, created or not")                                          \
  X(cas_hits, "requests", "writes with a CAS that matched")                                                         \
  X(cas_misses, "requests", "writes with a CAS to an absent key")                                                   \
  X(cas_badval, "requests", "writes with a CAS that did not match")                                                 \
  X(touch_hits, "requests", "TOUCH and GAT family that found the key")                                              \
  X(touch_misses, "requests", "TOUCH and GAT family that did not")                                                  \
  X(error_unknown_command, "requests", "answered 0x81")                                                             \
  X(error_invalid, "requests", "answered 0x04")                                                                     \
  X(error_too_large, "requests", "answered 0x03")                                                                   \
  X(error_no_memory, "requests", "answered 0x82")                                                                   \
  /* TCP. */                                                                                                        \
  X(tcp_accepted, "connections", "handshakes done")                                                                 \
  X(tcp_closed, "connections", "ended by both sides")                                                               \
  X(tcp_reset_by_peer, "connections", "reset by the client")                                                        \
  X(tcp_aborted, "connections", "reset by us")                                                                      \
  X(tcp_timed_out, "connections", "given up: no acknowledgement, no answer to keepalive, idle for too long")        \
  X(tcp_refused_full, "connections", "refused: every slot is taken (listen.tcp_connections_max)")                   \
  X(tcp_refused_source, "connections", "refused: one source has too many")                                          \
  X(tcp_refused_port, "connections", "refused: a port that is not served")                                          \
  X(tcp_cookies_sent, "segments", "SYNs answered from a cookie, because too many handshakes are half done")         \
  X(tcp_cookies_accepted, "connections", "made from such a cookie")                                                 \
  X(tcp_cookies_refused, "segments", "acknowledgements that are no cookie of ours")                                 \
  X(tcp_segments_in, "segments", "received from clients")                                                           \
  X(tcp_segments_out, "segments", "sent to clients")                                                                \
  X(tcp_bytes_in, "bytes", "of payload received in order")                                                          \
  X(tcp_bytes_out, "bytes", "of payload sent the first time")                                                       \
  X(tcp_retransmits, "segments", "sent again")                                                                      \
  X(tcp_timeouts, "timeouts", "of the retransmission timer")                                                        \
  X(tcp_fast_recoveries, "recoveries", "of loss without a timeout")                                                 \
  X(tcp_ecn_marks, "segments", "received that the network had marked as congested (ECN)")                           \
  X(tcp_ecn_reductions, "reductions", "of a window because the network had marked what was sent (ECN)")             \
  X(tcp_tail_probes, "segments", "sent to find a loss at the end of what was sent")                                 \
  X(tcp_window_probes, "segments", "sent to a client whose window is closed")                                       \
  X(tcp_keepalives, "segments", "sent to ask whether a silent client is still there")                               \
  X(tcp_resets_out, "segments", "resets sent")                                                                      \
  X(tcp_out_of_order, "segments", "received behind a gap and kept")                                                 \
  X(tcp_duplicates, "segments", "received again")                                                                   \
  X(tcp_challenge_acks, "segments", "sent because a segment looked forged (RFC 5961)")                              \
  X(tcp_icmp_errors, "frames", "ICMP errors about a segment of ours, believed")                                     \
  X(tcp_pins_copied, "messages", "large answers copied out of the store because their client stalled")              \
  X(drop_tcp_header, "frames", "dropped: impossible TCP header")                                                    \
  X(drop_tcp_checksum, "frames", "dropped: TCP checksum is wrong")                                                  \
  X(drop_tcp_nobody, "frames", "dropped: for no connection")                                                        \
  X(drop_tcp_window, "frames", "dropped: outside the window")                                                       \
  X(drop_tcp_paws, "frames", "dropped: an old duplicate by its timestamp (RFC 7323)")                               \
  X(drop_tcp_ack, "frames", "dropped: acknowledges what was never sent")                                            \
  X(drop_tcp_no_memory, "frames", "payload dropped for want of memory; it will come again")                         \
  X(drop_tcp_icmp, "frames", "dropped: an ICMP error that quotes nothing of ours (RFC 5927)")                       \
  X(stream_bad_magic, "connections", "ended: what came is no binary request")                                       \
  X(auth_cmds, "requests", "SASL AUTH and STEP")                                                                    \
  X(auth_errors, "requests", "of those, refused")                                                                   \
  X(drop_auth, "datagrams", "dropped: UDP while listen.sasl_users demands a password")                              \
  /* The loop. */                                                                                                   \
  X(turns, "turns", "of the worker's loop")                                                                         \
  X(turns_idle, "turns", "that found nothing to do")                                                                \
  X(sleeps, "sleeps", "the idle ladder took")                                                                       \
  X(busy_ns, "nanoseconds", "spent in turns that did work")

// Gauges: what is, not what was. Overwritten by the worker about once a second and at each tick of its store.
#define GANNET_WORKER_GAUGES(X)                                                        \
  X(items, "items", "reachable in this worker's shard")                                \
  X(item_bytes, "bytes", "header, key, value and padding of those")                    \
  X(memory_bytes, "bytes", "of the shard: segments, index, headers")                   \
  X(index_bytes, "bytes", "of that, held by the index")                                \
  X(segments_total, "segments", "in the shard")                                        \
  X(segments_free, "segments", "empty, ready to be opened")                            \
  X(segments_open, "segments", "being filled")                                         \
  X(segments_sealed, "segments", "full, checksummed")                                  \
  X(segments_index, "segments", "lent to the index")                                   \
  X(expired_items, "items", "collected after their expiry, since start")               \
  X(evicted_items, "items", "dropped alive to make room, since start")                 \
  X(evicted_segments, "segments", "given back by eviction, since start")               \
  X(merges, "merges", "merge evictions, since start")                                  \
  X(expired_bytes_held, "bytes", "of expired items not yet collected")                 \
  X(pins, "pins", "answers on the wire that still read a segment")                     \
  X(reservations, "reservations", "values being received")                             \
  X(tcp_connections, "connections", "open, half-open and closing ones included")       \
  X(tcp_half_open, "connections", "whose handshake is not done")                       \
  X(tcp_time_wait, "connections", "remembered after their end")                        \
  X(tcp_send_blocks, "blocks", "of 2 KiB with bytes not yet acknowledged")             \
  X(tcp_receive_packets, "packets", "kept while their payload waits to be read")       \
  X(tcp_memory_bytes, "bytes", "of the TCP engine, taken at the start")                \
  X(stream_parcels, "parcels", "in use: split or foreign requests, answers that wait") \
  X(buffers_free, "buffers", "in this worker's packet pool")                           \
  X(buffers_total, "buffers", "of this worker's packet pool")                          \
  X(segments_kept, "segments", "left by an earlier gannetd and still to be read")      \
  X(restored_items, "items", "left by an earlier gannetd and served again")            \
  X(restore_dropped, "items", "left, but expired, flushed or replaced since")          \
  X(damaged_segments, "segments", "given up because a checksum failed")                \
  X(damaged_items, "items", "lost with those, as far as it can be told")               \
  X(scrub_rounds, "rounds", "of verifying every sealed segment, since start")          \
  X(config_generation, "generation", "of the configuration this worker runs with")     \
  X(heartbeat_ns, "nanoseconds", "monotonic time of the last turn counted")

namespace gannet::abi {

using Cell = std::atomic<std::uint64_t>;
static_assert(sizeof(Cell) == 8 && Cell::is_always_lock_free);

/// Written by one worker, relaxed; read by anybody, relaxed. A reader may see one counter newer than another, never a
/// torn value.
struct alignas(128) WorkerCounters {
#define GANNET_FIELD(name, unit, meaning) Cell name{0};
  GANNET_WORKER_COUNTERS(GANNET_FIELD)
#undef GANNET_FIELD
};

struct alignas(128) WorkerGauges {
#define GANNET_FIELD(name, unit, meaning) Cell name{0};
  GANNET_WORKER_GAUGES(GANNET_FIELD)
#undef GANNET_FIELD
};

struct Description {
  const char* name;
  const char* unit;
  const char* meaning;
  std::size_t offset;  ///< In WorkerCounters or WorkerGauges, bytes.
};

inline constexpr std::array kCounterDescriptions = {
#define GANNET_FIELD(name, unit, meaning) Description{#name, unit, meaning, offsetof(WorkerCounters, name)},
    GANNET_WORKER_COUNTERS(GANNET_FIELD)
#undef GANNET_FIELD
};

inline constexpr std::array kGaugeDescriptions = {
#define GANNET_FIELD(name, unit, meaning) Description{#name, unit, meaning, offsetof(WorkerGauges, name)},
    GANNET_WORKER_GAUGES(GANNET_FIELD)
#undef GANNET_FIELD
};

/// The writer's increment: one core owns the cell, so no read-modify-write is needed.
inline void bump(Cell& cell, std::uint64_t by = 1) noexcept {
  cell.store(cell.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace gannet::abi
