#include "nicpipe/memory_endpoint.h"

#include <algorithm>
#include <cstring>

#include "nicpipe/checksum.h"
#include "nicpipe/headers.h"
#include "storage/base/must.h"

#if defined(__SANITIZE_ADDRESS__)
#define GANNET_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GANNET_POISON 1
#endif
#endif
#ifdef GANNET_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#endif

namespace gannet::nicpipe {
namespace {

/// What a device does for kTxIpChecksum, kTxUdpChecksum and kTxTcpChecksum, on the joined frame.
void finish_checksums(const Packet& packet, MemoryEndpoint::Frame& frame) {
  std::byte* ip = frame.data() + packet.l2_bytes;
  if ((packet.flags & kTxIpChecksum) != 0) {
    MUST_EQ(load_raw<std::uint16_t>(ip + wire::ipv4::kChecksum), 0);
    store_raw(ip + wire::ipv4::kChecksum, checksum_of(sum_bytes(ip, packet.l3_bytes)));
  }
  if ((packet.flags & kTxUdpChecksum) != 0) {
    std::byte* udp = ip + packet.l3_bytes;
    const auto bytes = static_cast<std::size_t>(frame.data() + frame.size() - udp);
    store_raw(udp + wire::udp::kChecksum, udp_checksum_of(sum_bytes(udp, bytes)));
  }
  if ((packet.flags & kTxTcpChecksum) != 0) {
    std::byte* tcp = ip + packet.l3_bytes;
    const auto bytes = static_cast<std::size_t>(frame.data() + frame.size() - tcp);
    store_raw(tcp + wire::tcp::kChecksum, checksum_of(sum_bytes(tcp, bytes)));
  }
}

/// What a device does for kTxTcpSegment: frames of at most segment_bytes payload each, with numbers, lengths and
/// checksums of their own; FIN and PSH on the last alone.
std::vector<MemoryEndpoint::Frame> cut_segments(const Packet& packet, const MemoryEndpoint::Frame& whole) {
  const std::size_t l3 = packet.l2_bytes, l4 = l3 + packet.l3_bytes, payload = l4 + packet.l4_bytes;
  MUST(packet.segment_bytes > 0 && payload <= whole.size());
  MUST((packet.flags & kTxTcpChecksum) != 0);
  const bool is_v4 = (whole[l3] & std::byte{0xf0}) == std::byte{0x40};
  MUST(!is_v4 || (packet.flags & kTxIpChecksum) != 0);
  std::vector<MemoryEndpoint::Frame> frames;
  for (std::size_t offset = 0; payload + offset < whole.size(); offset += packet.segment_bytes) {
    const std::size_t bytes = std::min<std::size_t>(packet.segment_bytes, whole.size() - payload - offset);
    const bool last = payload + offset + bytes == whole.size();
    MemoryEndpoint::Frame& frame = frames.emplace_back(whole.begin(), whole.begin() + static_cast<long>(payload));
    const auto from = whole.begin() + static_cast<long>(payload + offset);
    frame.insert(frame.end(), from, from + static_cast<long>(bytes));
    std::byte* ip = frame.data() + l3;
    std::byte* tcp = frame.data() + l4;
    const std::size_t tcp_bytes = packet.l4_bytes + bytes;
    constexpr std::size_t kIpv6PayloadLength = 4;
    if (is_v4) {
      store_be(ip + wire::ipv4::kTotalLength, static_cast<std::uint16_t>(packet.l3_bytes + tcp_bytes));
    } else {
      store_be(ip + kIpv6PayloadLength, static_cast<std::uint16_t>(tcp_bytes));
    }
    store_be(tcp + wire::tcp::kSequence,
             load_be<std::uint32_t>(tcp + wire::tcp::kSequence) + static_cast<std::uint32_t>(offset));
    if (!last) tcp[wire::tcp::kFlags] &= ~std::byte{wire::tcp::kFin | wire::tcp::kPsh};
    // The field holds the pseudo-header's sum without the length.
    const Sum sum =
        Sum{load_raw<std::uint16_t>(tcp + wire::tcp::kChecksum)} + byte_swap(static_cast<std::uint16_t>(tcp_bytes));
    store_raw(tcp + wire::tcp::kChecksum, fold(sum));
    finish_checksums(packet, frame);
  }
  return frames;
}

}  // namespace

MemoryPool::MemoryPool(const Options& options)
    : options_(options),
      // Distances in whole cache lines, as devices' pools keep them and the address sanitizer wants it.
      stride_((std::size_t{options.headroom} + options.data_bytes + 63) / 64 * 64),
      memory_(std::make_unique<std::byte[]>(stride_ * options.buffers)),
      slots_(options.buffers) {
  free_.reserve(options.buffers);
  for (std::uint32_t i = options.buffers; i-- > 0;) {
    slots_[i] = {this, i, false};
    free_.push_back(i);
  }
  ASAN_POISON_MEMORY_REGION(memory_.get(), stride_ * options.buffers);
}

MemoryPool::~MemoryPool() {
  ASAN_UNPOISON_MEMORY_REGION(memory_.get(), stride_ * options_.buffers);
}

std::uint32_t MemoryPool::alloc(std::span<Packet> packets) noexcept {
  const std::lock_guard lock(mutex_);
  const auto count = static_cast<std::uint32_t>(std::min(packets.size(), free_.size()));
  for (std::uint32_t i = 0; i < count; ++i) {
    Slot& slot = slots_[free_.back()];
    free_.pop_back();
    slot.out = true;
    std::byte* memory = memory_.get() + stride_ * slot.index;
    ASAN_UNPOISON_MEMORY_REGION(memory, std::size_t{options_.headroom} + options_.data_bytes);
    packets[i] = Packet{};
    packets[i].data = memory + options_.headroom;
    packets[i].buffer = &slot;
    packets[i].headroom = options_.headroom;
    packets[i].tailroom = options_.data_bytes;
  }
  return count;
}

void MemoryPool::free(std::span<const Packet> packets) noexcept {
  while (!packets.empty()) {  // One lock for each run of packets of the same pool.
    MemoryPool& pool = *static_cast<Slot*>(packets.front().buffer)->pool;
    std::size_t run = 0;
    const std::lock_guard lock(pool.mutex_);
    for (; run < packets.size(); ++run) {
      Slot& slot = *static_cast<Slot*>(packets[run].buffer);
      if (slot.pool != &pool) break;
      MUST(slot.out);
      slot.out = false;
      std::byte* memory = pool.memory_.get() + pool.stride_ * slot.index;
      if (pool.options_.scribble)
        std::memset(memory, 0xdd, std::size_t{pool.options_.headroom} + pool.options_.data_bytes);
      ASAN_POISON_MEMORY_REGION(memory, pool.stride_);
      pool.free_.push_back(slot.index);
    }
    packets = packets.subspan(run);
  }
}

std::uint32_t MemoryPool::buffers_out() const noexcept {
  const std::lock_guard lock(mutex_);
  return options_.buffers - static_cast<std::uint32_t>(free_.size());
}

MemoryEndpoint::MemoryEndpoint(MemoryPool& pool, const Options& options, ReleaseHook hook)
    : pool_(pool), options_(options), hook_(hook) {}

MemoryEndpoint::~MemoryEndpoint() {
  complete_tx();
}

void MemoryEndpoint::deliver(Bytes frame, std::uint16_t flags) {
  wire_in_.push_back({Frame(frame.begin(), frame.end()), flags});
}

std::uint32_t MemoryEndpoint::rx_burst(std::span<Packet> packets, MonotonicNs now) noexcept {
  std::uint32_t count = 0;
  while (count < packets.size() && !wire_in_.empty()) {
    const Delivered& frame = wire_in_.front();
    Packet& packet = packets[count];
    if (pool_.alloc({&packet, 1}) == 0) {
      ++rx_lost_;
    } else if (frame.bytes.size() > packet.tailroom) {
      ++rx_lost_;
      MemoryPool::free({&packet, 1});
    } else {
      std::memcpy(packet.data, frame.bytes.data(), frame.bytes.size());
      packet.bytes = static_cast<std::uint16_t>(frame.bytes.size());
      packet.tailroom = static_cast<std::uint16_t>(packet.tailroom - frame.bytes.size());
      packet.flags = frame.flags;
      packet.received_ns = now;
      ++rx_frames_;
      ++count;
    }
    wire_in_.pop_front();
  }
  return count;
}

std::uint32_t MemoryEndpoint::tx_burst(std::span<Packet> packets) noexcept {
  const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(packets.size(), tx_limit_));
  if (tx_limit_ != kNoLimit) tx_limit_ -= count;
  for (const Packet& packet : packets.first(count)) {
    const Capabilities& device = options_.capabilities;
    MUST((packet.tail == nullptr) == (packet.tail_bytes == 0));
    MUST(packet.tail == nullptr || device.multi_segment);
    MUST((packet.flags & kTxIpChecksum) == 0 || device.tx_ip_checksum);
    MUST((packet.flags & kTxUdpChecksum) == 0 || device.tx_udp_checksum);
    MUST((packet.flags & kTxTcpChecksum) == 0 || device.tx_tcp_checksum);
    MUST((packet.flags & kTxTcpSegment) == 0 || device.tcp_segmentation);
    MUST(static_cast<const MemoryPool::Slot*>(packet.buffer)->out);
    ++tx_frames_;
    tails_sent_ += packet.tail != nullptr;
    sending_.push_back(packet);
  }
  if (options_.release_at_once) complete_tx();
  return count;
}

void MemoryEndpoint::complete_tx() {
  for (const Packet& packet : sending_) {
    Frame frame(packet.data, packet.data + packet.bytes);
    if (packet.tail != nullptr) frame.insert(frame.end(), packet.tail, packet.tail + packet.tail_bytes);
    if ((packet.flags & kTxTcpSegment) != 0) {
      for (Frame& segment : cut_segments(packet, frame)) wire_out_.push_back(std::move(segment));
      continue;
    }
    finish_checksums(packet, frame);
    wire_out_.push_back(std::move(frame));
  }
  const auto done = std::move(sending_);
  sending_.clear();
  for (const Packet& packet : done) release(packet);
  MemoryPool::free(done);
}

void MemoryEndpoint::free(std::span<Packet> packets) noexcept {
  for (const Packet& packet : packets) release(packet);
  MemoryPool::free(packets);
}

void MemoryEndpoint::release(const Packet& packet) noexcept {
  if (packet.tail == nullptr) return;
  ++pins_released_;
  if (hook_.release != nullptr) hook_.release(hook_.context, packet.pin);
}

std::vector<MemoryEndpoint::Frame> MemoryEndpoint::take_sent() {
  std::vector<Frame> sent = std::move(wire_out_);
  wire_out_.clear();
  return sent;
}

}  // namespace gannet::nicpipe
