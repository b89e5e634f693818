/// BasicWorker: its TCP side in the turn.
#pragma once

#include "dataplane/core/stream_stage.h"
#include "dataplane/core/worker.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

template <class S>
void BasicWorker<S>::make_tcp(const WorkerOptions& options) {
  if (options.tcp.port == 0) return;
  const StreamOptions streams{.index = index_,
                              .connections_max = options.tcp.connections_max,
                              .users = options.tcp.users,
                              .mono_now = options.mono_now,
                              .refresh = &BasicWorker::refresh_gauges,
                              .context = this};
  tcp_ = std::make_unique<TcpSide<S>>(group_, shard_, streams, engine_config(options.tcp, options.ports));
}

template <class S>
void BasicWorker<S>::refresh_gauges(void* self, Now now) {
  static_cast<BasicWorker*>(self)->write_gauges(now);
}

/// A segment, or an ICMP error about one. Where TCP is not served nobody is told: a port scan learns nothing.
template <class S>
void BasicWorker<S>::admit_segment(Packet& packet, nicpipe::Verdict verdict, Now now) noexcept {
  if (tcp_ == nullptr) {
    abi::bump(counters_.drop_ip_protocol);
    return out_.free(packet);
  }
  if (verdict == nicpipe::Verdict::kTcp) return tcp_->engine.receive(packet, now, tcp_->sink);
  // A device spreads ICMP errors by the router's address, not by the connection they quote. Where it decides, nobody
  // here can tell whose that is: the frame goes round, its cursor counting, until somebody knows it.
  const bool by_device = ports_[packet.port].dispatch == nullptr && workers_ > 1;
  if (by_device && !tcp_->engine.is_about_ours(packet) && packet.cursor + 1u < workers_ &&
      (packet.cursor > 0 || errors_passed_.take(now.mono_ns))) {
    ++packet.cursor;
    packet.mark = kMarkRawFrame;
    return travel(packet, (index_ + 1) % workers_);
  }
  tcp_->engine.receive_icmp(packet, now, tcp_->sink);
}

/// Timers, requests, answers, segments. True: something was done. After a pause of this thread frames wait that were
/// sent long ago: nobody is timed out before they are heard.
template <class S>
bool BasicWorker<S>::turn_tcp(Now now, bool more_waits) noexcept {
  TcpSide<S>& tcp = *tcp_;
  if (!more_waits || ++timers_waited_ >= kTimersWaitTurns) {
    timers_waited_ = 0;
    tcp.engine.tick(now, tcp.sink);
  }
  bool busy = tcp.streams.turn(now, tcp.sink);
  tcp.engine.flush(now, tcp.sink);
  busy |= tcp.hand_over(out_, static_cast<std::uint32_t>(ports_.size()));
  return busy;
}

/// Before the end: connections that nothing is owed to are closed. Call it in each turn of the drain.
template <class S>
void BasicWorker<S>::hang_up(Now now) noexcept {
  if (tcp_ != nullptr) tcp_->streams.hang_up(now, tcp_->sink, false);
}

/// At the end, for close(): true when nothing of TCP is left.
template <class S>
bool BasicWorker<S>::close_tcp() noexcept {
  TcpSide<S>& tcp = *tcp_;
  tcp.streams.hang_up({}, tcp.sink, true);
  const bool streams_done = tcp.streams.close();
  tcp.engine.end_all(tcp.sink);
  while (tcp.sink.room() > 0) tcp.sink.free(tcp.sink.take_packet());
  const std::span<Packet> unsent = tcp.sink.to_send();
  for (const Packet& packet : unsent) out_.free(packet);
  tcp.sink.sent(static_cast<std::uint32_t>(unsent.size()));
  for (const Packet& packet : tcp.sink.to_free()) out_.free(packet);
  const bool still = unsent.empty() && tcp.sink.to_free().empty();
  tcp.sink.freed();
  return streams_done && still;
}

}  // namespace gannet::dataplane
