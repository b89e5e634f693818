/// The queue of a real device that one worker owns: Packets in front, mbufs behind. The hot path of nicpipe/dpdk;
/// everything inline.
///
/// Ownership of a tail (zero copy): segment bytes are the device's from the tx_burst that took the packet until the
/// release hook. The hook runs on the worker that sent it, inside a later tx_burst, reclaim() or free(), or inside
/// Port::close() on the main thread after the workers ended. A packet that travelled from worker A keeps A's buffer
/// (pools may be returned to from any worker) but its tail is released by the sender.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "nicpipe/endpoint.h"
#include "nicpipe/packet.h"
#include "storage/base/must.h"
#include "storage/base/spsc_ring.h"

namespace gannet::nicpipe::dpdk {

class Port;

inline constexpr std::uint32_t kDeviceBurstMax = 64;  ///< Frames one call of the driver moves.
inline constexpr std::uint32_t kForwardSlots = 1024;  ///< Frames waiting for the owner of a shared transmit queue.
inline constexpr std::uint32_t kForwardSourcesMax =
    63;  ///< Workers that may share one transmit queue, its owner aside.

/// Sums of one endpoint. Writer: its worker. Read by that worker (it publishes them).
struct EndpointCounters {
  std::uint64_t rx_multi_buffer_dropped = 0;  ///< Frames in several buffers that did not fit one.
  std::uint64_t rx_multi_buffer_joined = 0;   ///< Frames in several buffers, copied into one.
  std::uint64_t tails_sent = 0;               ///< Tails handed to the device without a copy.
  std::uint64_t tails_copied = 0;             ///< Tails copied because the device or the tail pool could not.
  std::uint64_t tx_link_down_dropped = 0;     ///< Frames dropped because nobody is at the other end.
  std::uint64_t tx_forwarded = 0;             ///< Frames sent through another worker's queue.
  std::uint64_t tx_forward_dropped =
      0;  ///< Of frames forwarded to this worker: dropped because the device refused them.
};

/// Satisfies nicpipe::Endpoint. Made by Port; one thread at a time, registered by WorkerRegistration.
class alignas(128) Endpoint {
 public:
  /// Fills `packets` from the front; gives how many. At most kDeviceBurstMax a call. Never waits.
  [[nodiscard]] std::uint32_t rx_burst(std::span<Packet> packets, MonotonicNs now) noexcept {
    if (inbound_count_ != 0) drain_inbound();
    if (!receives_) return 0;
    std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
    const auto room = static_cast<std::uint16_t>(std::min<std::size_t>(packets.size(), kDeviceBurstMax));
    const std::uint16_t there = rte_eth_rx_burst(device_, queue_, mbufs.data(), room);
    constexpr std::uint16_t kAhead =
        4;  // The frame's first line was written by another core or the device; hide that miss.
    for (std::uint16_t i = 0; i < std::min(there, kAhead); ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void*));
    std::uint32_t filled = 0;
    for (std::uint16_t i = 0; i < there; ++i) {
      if (i + kAhead < there) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + kAhead], void*));
      rte_mbuf* mbuf = mbufs[i];
      if (mbuf->nb_segs != 1 && !join(mbuf)) [[unlikely]]
        continue;
      describe_received(*mbuf, now, packets[filled++]);
    }
    packets_out_ += filled;
    return filled;
  }

  /// Takes packets from the front; gives how many. The rest stay the caller's, ready for another try; a tail that had
  /// to be copied is by then part of `data` (tail == nullptr) and its pin released. Needs: bytes + tail_bytes within
  /// the MTU's frame. Never waits.
  [[nodiscard]] std::uint32_t tx_burst(std::span<Packet> packets) noexcept {
    std::uint32_t taken = 0;
    while (taken < packets.size()) {
      const auto chunk = packets.subspan(taken, std::min<std::size_t>(packets.size() - taken, kDeviceBurstMax));
      const std::uint32_t sent = tx_chunk(chunk);
      taken += sent;
      if (sent < chunk.size()) break;
    }
    return taken;
  }

  /// Fills `packets` with empty buffers (data at the default headroom, bytes 0); gives how many.
  [[nodiscard]] std::uint32_t alloc(std::span<Packet> packets) noexcept {
    std::uint32_t filled = 0;
    std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
    while (filled < packets.size()) {
      auto count = static_cast<unsigned>(std::min<std::size_t>(packets.size() - filled, kDeviceBurstMax));
      if (rte_pktmbuf_alloc_bulk(pool_, mbufs.data(), count) != 0) {
        mbufs[0] = rte_pktmbuf_alloc(pool_);  // The last few of a pool come one by one.
        if (mbufs[0] == nullptr) break;
        count = 1;
      }
      for (unsigned i = 0; i < count; ++i) packets[filled++] = empty_packet(*mbufs[i]);
    }
    packets_out_ += filled;
    return filled;
  }

  /// Takes all of them back, wherever they came from. A tail still set is released through the hook.
  void free(std::span<Packet> packets) noexcept {
    std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
    for (std::size_t done = 0; done < packets.size();) {
      const std::size_t count = std::min<std::size_t>(packets.size() - done, kDeviceBurstMax);
      for (std::size_t i = 0; i < count; ++i) {
        Packet& packet = packets[done + i];
        if (packet.tail != nullptr) release(packet.pin);
        mbufs[i] = mbuf_of(packet);
        packet.tail = nullptr;
        packet.buffer = nullptr;
      }
      rte_pktmbuf_free_bulk(mbufs.data(), static_cast<unsigned>(count));
      done += count;
    }
    packets_out_ -= static_cast<std::int64_t>(packets.size());
  }

  [[nodiscard]] const Capabilities& capabilities() const noexcept { return capabilities_; }

  /// Called for every tail once the device has read it. Set before the first tail is sent.
  void set_release_hook(ReleaseHook hook) noexcept { hook_ = hook; }

  /// Has the driver give back what it has sent, tails first of all. For idle turns: drivers that free late would hold
  /// pins for ever.
  void reclaim() noexcept {
    if (tails_out_ != 0) (void)rte_eth_tx_done_cleanup(device_, queue_, 0);
  }

  [[nodiscard]] std::uint32_t tails_out() const noexcept { return tails_out_; }  ///< Pins the device still holds.
  /// Packets this endpoint handed out less those it took back. Packets travel between workers, so one alone may be
  /// negative; the sum over a port's endpoints is what the workers hold, and 0 when they hold nothing.
  [[nodiscard]] std::int64_t packets_out() const noexcept { return packets_out_; }
  [[nodiscard]] const EndpointCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] bool receives() const noexcept {
    return receives_;
  }  ///< false: the device has no queue for this worker.
  [[nodiscard]] std::uint32_t buffers_total() const noexcept { return pool_->size; }
  /// Walks the pool's per-thread caches: about once a second, not each turn.
  [[nodiscard]] std::uint32_t buffers_free() const noexcept { return rte_mempool_avail_count(pool_); }

 private:
  friend class Port;

  /// Lives in a tail mbuf's private area: the reference count DPDK wants beside an external buffer, and whom to tell.
  struct TailState {
    rte_mbuf_ext_shared_info shared;
    Endpoint* sender;
    std::uint32_t pin;
    bool armed;  ///< false: the packet went back to its caller with the tail, so there is nothing to release.
  };
  static_assert(sizeof(TailState) % RTE_MBUF_PRIV_ALIGN == 0);

  static rte_mbuf* mbuf_of(const Packet& packet) noexcept { return static_cast<rte_mbuf*>(packet.buffer); }
  static std::byte* room_of(const rte_mbuf& mbuf) noexcept { return static_cast<std::byte*>(mbuf.buf_addr); }

  static Packet empty_packet(rte_mbuf& mbuf) noexcept {
    Packet packet;
    packet.data = rte_pktmbuf_mtod(&mbuf, std::byte*);
    packet.buffer = &mbuf;
    packet.headroom = mbuf.data_off;
    packet.tailroom = static_cast<std::uint16_t>(mbuf.buf_len - mbuf.data_off);
    return packet;
  }

  void describe_received(rte_mbuf& mbuf, MonotonicNs now, Packet& packet) const noexcept {
    // Only good news is passed on. "Bad" is judged again in software: some NICs (82599) call a UDP checksum of 0 bad,
    // and it costs one sum.
    const std::uint64_t ip = mbuf.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK,
                        l4 = mbuf.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
    std::uint16_t flags = 0;
    if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD) flags |= kRxIpChecksumGood;
    // NONE: the field is not filled but the frame never left this machine's memory (vhost); the device vouches for it.
    if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE) flags |= kRxL4ChecksumGood;
    if ((mbuf.ol_flags & RTE_MBUF_F_RX_RSS_HASH) != 0) flags |= kRxFlowHash;
    packet = Packet{.data = room_of(mbuf) + mbuf.data_off,
                    .buffer = &mbuf,
                    .bytes = mbuf.data_len,
                    .headroom = mbuf.data_off,
                    .tailroom = static_cast<std::uint16_t>(mbuf.buf_len - mbuf.data_off - mbuf.data_len),
                    .flags = flags,
                    .flow_hash = (flags & kRxFlowHash) != 0 ? mbuf.hash.rss : 0,
                    .received_ns = now,
                    .port = port_index_};
  }

  bool join(rte_mbuf* mbuf) noexcept {
    if (rte_pktmbuf_linearize(mbuf) == 0) {
      ++counters_.rx_multi_buffer_joined;
      return true;
    }
    ++counters_.rx_multi_buffer_dropped;
    rte_pktmbuf_free(mbuf);
    return false;
  }

  void release(std::uint32_t pin) noexcept {
    if (hook_.release != nullptr) hook_.release(hook_.context, pin);
  }

  static void on_tail_read(void* /*bytes*/, void* opaque) noexcept {
    auto& state = *static_cast<TailState*>(opaque);
    --state.sender->tails_out_;
    if (state.armed) state.sender->release(state.pin);
  }

  void copy_tail(Packet& packet) noexcept {
    std::memcpy(packet.data + packet.bytes, packet.tail, packet.tail_bytes);
    packet.bytes = static_cast<std::uint16_t>(packet.bytes + packet.tail_bytes);
    packet.tailroom = static_cast<std::uint16_t>(packet.tailroom - packet.tail_bytes);
    packet.tail = nullptr;
    packet.tail_bytes = 0;
    ++counters_.tails_copied;
    release(packet.pin);
  }

  /// Drivers that fill the UDP or TCP checksum in software (vhost, when the peer wants whole ones) sum a chain wrongly
  /// if its first part of the datagram is of odd length: 22.11's rte_raw_cksum_mbuf cuts a 32-bit sum to 16 bits before
  /// it swaps it. One byte changes sides. False: that was the whole tail.
  static bool even_joint(Packet& packet) noexcept {
    const unsigned datagram_head = static_cast<unsigned>(packet.bytes) - packet.l2_bytes - packet.l3_bytes;
    if ((packet.flags & (kTxUdpChecksum | kTxTcpChecksum)) == 0 || datagram_head % 2 == 0) return true;
    if (packet.tail_bytes == 1 || packet.tailroom == 0) return false;
    packet.data[packet.bytes++] = *packet.tail++;
    --packet.tail_bytes;
    --packet.tailroom;
    return true;
  }

  rte_mbuf* make_tail(const Packet& packet) noexcept {
    rte_mbuf* tail = rte_pktmbuf_alloc(tail_pool_);
    if (tail == nullptr) return nullptr;
    auto* state = static_cast<TailState*>(rte_mbuf_to_priv(tail));
    state->shared.free_cb = &on_tail_read;
    state->shared.fcb_opaque = state;
    rte_mbuf_ext_refcnt_set(&state->shared, 1);
    state->sender = this;
    state->pin = packet.pin;
    state->armed = true;
    void* bytes = const_cast<std::byte*>(packet.tail);  // The device only reads it.
    const auto length = static_cast<std::uint16_t>(packet.tail_bytes);
    rte_pktmbuf_attach_extbuf(tail, bytes, reinterpret_cast<rte_iova_t>(bytes), length, &state->shared);
    tail->data_off = 0;
    tail->data_len = length;
    ++tails_out_;
    return tail;
  }

  /// Null: not now.
  rte_mbuf* prepare(Packet& packet, bool in_place) noexcept {
    rte_mbuf* mbuf = mbuf_of(packet);
    rte_mbuf* tail = nullptr;
    const auto offset = static_cast<std::size_t>(packet.data - room_of(*mbuf));
    if (packet.tail != nullptr) {
      if (in_place && even_joint(packet)) tail = make_tail(packet);
      if (tail == nullptr) {
        // Only a frame that the device shall segment can be too long for its buffer: it waits for a tail to come back.
        if (offset + packet.bytes + packet.tail_bytes > mbuf->buf_len && (packet.flags & kTxTcpSegment) != 0)
          return nullptr;
        MUST_LE(offset + packet.bytes + packet.tail_bytes, mbuf->buf_len);
        copy_tail(packet);
      }
    }
    MUST_LE(offset + packet.bytes, mbuf->buf_len);
    mbuf->data_off = static_cast<std::uint16_t>(offset);
    mbuf->data_len = packet.bytes;
    mbuf->pkt_len = packet.bytes + packet.tail_bytes;
    if (tail != nullptr) {  // Else both are so already, and `next` is on a cache line that stays untouched this way.
      mbuf->next = tail;
      mbuf->nb_segs = 2;
    }
    mbuf->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
    if ((packet.flags & (kTxIpChecksum | kTxUdpChecksum | kTxTcpChecksum)) != 0) {
      const bool is_v4 = (packet.data[packet.l2_bytes] & std::byte{0xf0}) == std::byte{0x40};
      mbuf->ol_flags |= is_v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
      if ((packet.flags & kTxIpChecksum) != 0) mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
      if ((packet.flags & kTxUdpChecksum) != 0) mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
      if ((packet.flags & kTxTcpChecksum) != 0) mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
      mbuf->l2_len = packet.l2_bytes;
      mbuf->l3_len = packet.l3_bytes;
      if ((packet.flags & kTxTcpSegment) != 0) {
        mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
        mbuf->l4_len = packet.l4_bytes;
        mbuf->tso_segsz = packet.segment_bytes;
      }
    }
    return mbuf;
  }

  /// The device did not take it: the tail mbuf goes, the tail stays with the packet.
  static void take_back(rte_mbuf& mbuf) noexcept {
    if (mbuf.next == nullptr) return;
    static_cast<TailState*>(rte_mbuf_to_priv(mbuf.next))->armed = false;
    rte_pktmbuf_free_seg(mbuf.next);
    mbuf.next = nullptr;
    mbuf.nb_segs = 1;
  }

  std::uint32_t tx_chunk(std::span<Packet> packets) noexcept {
    std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
    auto count = static_cast<std::uint16_t>(packets.size());
    const bool forwards = forward_ != nullptr && (tx_live_ == nullptr || !tx_live_->load(std::memory_order_relaxed));
    const bool in_place =
        capabilities_.multi_segment && !forwards;  // A forwarded tail would be released on the other worker's thread.
    for (std::uint16_t i = 0; i < count; ++i) {
      if (i + 2 < count) rte_prefetch0(mbuf_of(packets[i + 2]));
      mbufs[i] = prepare(packets[i], in_place);
      if (mbufs[i] == nullptr) [[unlikely]]
        count = i;
    }
    if (count == 0) return 0;
    std::uint32_t sent;
    if (forwards) [[unlikely]] {
      sent = forward_->push(std::span<rte_mbuf* const>(mbufs.data(), count));
      counters_.tx_forwarded += sent;
    } else {
      sent = rte_eth_tx_burst(device_, queue_, mbufs.data(), count);
    }
    for (std::uint32_t i = 0; i < sent; ++i) {
      if (packets[i].tail != nullptr) ++counters_.tails_sent;
      packets[i].tail = nullptr;
      packets[i].buffer = nullptr;
    }
    packets_out_ -= sent;
    if (sent == count) return count;
    for (std::uint32_t i = sent; i < count; ++i) take_back(*mbufs[i]);
    if (link_up_->load(std::memory_order_relaxed)) return sent;
    counters_.tx_link_down_dropped += packets.size() - sent;
    free(packets.subspan(sent));
    return static_cast<std::uint32_t>(packets.size());
  }

  /// Sends what workers without a transmit queue passed on. What the device refuses is dropped and counted: UDP may
  /// lose, a queue may not grow.
  void drain_inbound() noexcept {
    std::array<rte_mbuf*, kDeviceBurstMax> mbufs;
    for (std::uint32_t source = 0; source < inbound_count_; ++source) {
      const auto count = static_cast<std::uint16_t>(inbound_[source]->pop(mbufs));
      if (count == 0) continue;
      const std::uint16_t sent = rte_eth_tx_burst(device_, queue_, mbufs.data(), count);
      if (sent == count) continue;
      counters_.tx_forward_dropped += static_cast<std::uint64_t>(count - sent);
      rte_pktmbuf_free_bulk(mbufs.data() + sent, static_cast<unsigned>(count - sent));
    }
  }

  std::uint16_t device_ = 0;  ///< DPDK's port id.
  std::uint16_t queue_ = 0;
  std::uint8_t port_index_ = 0;
  bool receives_ = false;
  std::uint32_t tails_out_ = 0;
  std::int64_t packets_out_ = 0;
  rte_mempool* pool_ = nullptr;
  rte_mempool* tail_pool_ = nullptr;  ///< Mbufs without a data room of their own; null unless multi_segment.
  const std::atomic<bool>* link_up_ = nullptr;
  SpscRing<rte_mbuf*>* forward_ =
      nullptr;  ///< Where frames go when this worker has no transmit queue of its own; null when it has.
  const std::atomic<bool>* tx_live_ =
      nullptr;  ///< With forward_: true while the peer reads our own queue; null: we have none.
  ReleaseHook hook_;
  Capabilities capabilities_;
  EndpointCounters counters_;
  std::uint32_t inbound_count_ = 0;
  std::array<SpscRing<rte_mbuf*>*, kForwardSourcesMax> inbound_{};
};

static_assert(nicpipe::Endpoint<Endpoint>);

}  // namespace gannet::nicpipe::dpdk
