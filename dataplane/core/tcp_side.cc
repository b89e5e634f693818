#include "dataplane/core/tcp_side.h"

namespace gannet::dataplane {

void write_tcp_figures(const nicpipe::tcp::Engine& engine, std::uint32_t parcels, abi::WorkerCounters& counters,
                       abi::WorkerGauges& gauges) noexcept {
  const nicpipe::tcp::Stats& is = engine.stats();
  const auto put = [](abi::Cell& cell, std::uint64_t value) { cell.store(value, std::memory_order_relaxed); };
  put(counters.tcp_accepted, is.accepted);
  put(counters.tcp_closed, is.closed);
  put(counters.tcp_reset_by_peer, is.reset_by_peer);
  put(counters.tcp_aborted, is.aborted);
  put(counters.tcp_timed_out, is.timed_out);
  put(counters.tcp_refused_full, is.refused_full);
  put(counters.tcp_refused_source, is.refused_source);
  put(counters.tcp_refused_port, is.refused_port);
  put(counters.tcp_cookies_sent, is.cookies_sent);
  put(counters.tcp_cookies_accepted, is.cookies_accepted);
  put(counters.tcp_cookies_refused, is.cookies_refused);
  put(counters.tcp_segments_in, is.segments_in);
  put(counters.tcp_segments_out, is.segments_out);
  put(counters.tcp_bytes_in, is.bytes_in);
  put(counters.tcp_bytes_out, is.bytes_out);
  put(counters.tcp_retransmits, is.retransmits);
  put(counters.tcp_timeouts, is.timeouts);
  put(counters.tcp_fast_recoveries, is.fast_recoveries);
  put(counters.tcp_ecn_marks, is.ecn_marks);
  put(counters.tcp_ecn_reductions, is.ecn_reductions);
  put(counters.tcp_tail_probes, is.tail_probes);
  put(counters.tcp_window_probes, is.window_probes);
  put(counters.tcp_keepalives, is.keepalives);
  put(counters.tcp_resets_out, is.resets_out);
  put(counters.tcp_out_of_order, is.out_of_order);
  put(counters.tcp_duplicates, is.duplicates);
  put(counters.tcp_challenge_acks, is.challenge_acks);
  put(counters.tcp_icmp_errors, is.icmp_errors);
  put(counters.tcp_pins_copied, is.pins_copied);
  put(counters.drop_tcp_header, is.drop_header);
  put(counters.drop_tcp_checksum, is.drop_checksum);
  put(counters.drop_tcp_nobody, is.drop_nobody);
  put(counters.drop_tcp_window, is.drop_window);
  put(counters.drop_tcp_paws, is.drop_paws);
  put(counters.drop_tcp_ack, is.drop_ack);
  put(counters.drop_tcp_no_memory, is.drop_no_memory);
  put(counters.drop_tcp_icmp, is.icmp_refused);
  put(gauges.tcp_connections, is.open);
  put(gauges.tcp_half_open, is.half_open);
  put(gauges.tcp_time_wait, is.time_wait);
  put(gauges.tcp_send_blocks, is.blocks_used);
  put(gauges.tcp_receive_packets, is.receive_packets_used);
  put(gauges.tcp_memory_bytes, engine.memory_bytes());
  put(gauges.stream_parcels, parcels);
}

}  // namespace gannet::dataplane
