/// BasicWorker: writing answers. A small answer is written over its request, or into a spare packet when the datagram
/// holds more requests; an answer longer than a datagram becomes a transfer that goes on over the next turns.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/core/executor.h"
#include "dataplane/core/mixed.h"
#include "dataplane/core/stat.h"
#include "dataplane/core/udp_message.h"
#include "dataplane/core/worker.h"
#include "nicpipe/udp.h"
#include "storage/base/copy.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

template <class S>
void BasicWorker<S>::reply(Job& job, Answer& answer) noexcept {
  if (!answer.speaks) {
    abi::bump(counters_.quiet_silences);
    return finish_packet(job);
  }
  abi::bump(counters_.answers);
  const Port& port = ports_[job.packet->port];
  if (answer.message_bytes() <= port.chunk_bytes) [[likely]]
    return reply_single(job, answer, port);
  reply_long(job, answer, port);
}

/// The request's buffer is not used for an answer: it goes if nothing in it is needed any more.
template <class S>
void BasicWorker<S>::finish_packet(const Job& job) noexcept {
  if (job.last) out_.free(*job.packet);
}

/// A spare packet that begins with the headers of `request`, to be turned around; false, counted, when there is none.
template <class S>
bool BasicWorker<S>::take_spare_for(const Packet& request, Packet& packet) noexcept {
  if (out_.spares() == 0) {
    abi::bump(counters_.drop_no_buffer);
    return false;
  }
  packet = out_.take_spare();
  packet.port = request.port;
  const std::size_t headers = nicpipe::udp_headers_bytes(request);
  if (headers > std::size_t{packet.bytes} + packet.tailroom) {  // A pool of buffers smaller than that.
    abi::bump(counters_.drop_no_buffer);
    out_.free(packet);
    return false;
  }
  std::memcpy(packet.data, request.data, headers);
  packet.l2_bytes = request.l2_bytes;
  packet.l3_bytes = request.l3_bytes;
  return true;
}

/// Lets `packet` end in `value` where it lies, pinned until the device has read it. False: copy it.
template <class S>
bool BasicWorker<S>::point_at(Packet& packet, Bytes value, std::uint32_t segment, const Port& port) noexcept {
  if (!port.multi_segment || value.size() < kPointBytesMin || !shard_.pin(segment)) return false;
  packet.tail = value.data();
  packet.tail_bytes = static_cast<std::uint32_t>(value.size());
  packet.pin = segment;
  return true;
}

template <class S>
void BasicWorker<S>::reply_single(Job& job, const Answer& answer, const Port& port) noexcept {
  const Packet& request = *job.packet;
  const std::size_t headers = nicpipe::udp_headers_bytes(request);
  const auto id = load_raw<std::uint16_t>(request.data + headers);
  Packet spare;
  if (!job.last && !take_spare_for(request, spare)) return;
  const Packet& buffer = job.last ? request : spare;
  const std::size_t head = kUdpFrameBytes + answer.head_bytes();
  if (headers + head + answer.value.size() > std::size_t{buffer.bytes} + buffer.tailroom) [[unlikely]] {
    abi::bump(counters_.drop_no_buffer);  // A pool of buffers smaller than a datagram.
    return out_.free(buffer);
  }
  Packet& packet = out_.send(buffer);
  std::byte* const at = packet.data + headers;
  write_head(at + kUdpFrameBytes, answer);
  write_udp_frame(at, id, 0, 1);
  std::size_t payload = head;
  if (answer.in_segment && point_at(packet, answer.value, answer.segment, port)) {
    abi::bump(counters_.answers_zero_copy);
  } else if (!answer.value.empty()) {
    copy_value(at + head, answer.value.data(), answer.value.size());
    payload += answer.value.size();
  }
  port.host.turn_udp(packet, static_cast<std::uint16_t>(payload));
  abi::bump(counters_.answer_datagrams);
}

/// Only values from a segment are this long, ours or another worker's that keeps it for our errand. No slot or no pin:
/// a refusal that the client may take as "try again".
template <class S>
void BasicWorker<S>::reply_long(Job& job, Answer& answer, const Port& port) noexcept {
  MUST(answer.in_segment || job.errand != nullptr);
  const bool fits = datagrams_of(answer.message_bytes(), port.chunk_bytes) <= kDatagramsMax;
  if (!fits || transfers_.full() || (answer.in_segment && !shard_.pin(answer.segment))) {
    answer.refuse(fits ? memcache::Status::kNoMemory : memcache::Status::kTooLarge);
    detail::count_refusal(counters_, answer.status);
    return reply_single(job, answer, port);
  }
  Transfer& transfer = transfers_.add();
  write_head(transfer.head.data(), answer);  // First: the key lies in the packet.
  begin_transfer(transfer, job, answer.message_bytes(), port);
  transfer.source = answer.in_segment ? Transfer::Source::kSegment : Transfer::Source::kErrand;
  transfer.held = answer.segment;
  transfer.errand = std::exchange(job.errand, nullptr);
  transfer.head_bytes = answer.head_bytes();
  transfer.value = answer.value;
}

template <class S>
void BasicWorker<S>::reply_stat(Job& job, Answer& answer, Now now) noexcept {
  const Port& port = ports_[job.packet->port];
  const auto refuse = [&](memcache::Status why) {
    answer.refuse(why);
    detail::count_refusal(counters_, why);
    reply(job, answer);
  };
  if (live_.udp_admin == 0) return refuse(memcache::Status::kAuth);
  const std::string_view stat_group = as_text(job.request.key_span());
  if (stat_group == "reset") {
    group_.reset_counters();
    return reply(job, answer);  // The packet without a key, which ends every STAT answer.
  }
  std::uint32_t buffer = 0;
  if (transfers_.full() || !transfers_.take_stat_buffer(buffer)) return refuse(memcache::Status::kNoMemory);
  write_gauges(now);
  const StatSource source{.group = group_,
                          .item_bytes_max = shard_.item_bytes_max(),
                          .now = now.unix_s,
                          .opcode = job.request.opcode,
                          .opaque = job.request.opaque};
  const std::size_t bytes = write_stats(source, stat_group, transfers_.stat_buffer(buffer));
  if (bytes == 0) {
    transfers_.give_stat_buffer(buffer);
    return refuse(memcache::Status::kNotFound);
  }
  abi::bump(counters_.answers);
  Transfer& transfer = transfers_.add();
  begin_transfer(transfer, job, bytes, port);
  transfer.source = Transfer::Source::kStat;
  transfer.held = buffer;
  transfer.head_bytes = 0;
  transfer.value = transfers_.stat_buffer(buffer).first(bytes);
}

/// Whom it goes to and in how many pieces. The request's packet is freed, or it waits for the end with its other
/// requests; a mixed datagram waits in any case.
template <class S>
void BasicWorker<S>::begin_transfer(Transfer& transfer, Job& job, std::uint64_t message_bytes,
                                    const Port& port) noexcept {
  Packet& packet = *job.packet;
  const Bytes payload = nicpipe::udp_payload(packet);
  transfer.flow = nicpipe::udp_flow(packet);
  transfer.request_id = load_raw<std::uint16_t>(payload.data());
  transfer.total = static_cast<std::uint16_t>(datagrams_of(message_bytes, port.chunk_bytes));
  transfer.next = 0;
  transfer.port = packet.port;
  transfer.mixed = job.mixed;
  transfer.has_parked = !job.last && job.mixed == nullptr;
  if (job.mixed != nullptr) {
    job.mixed->waits = true;
    return;
  }
  if (job.last) return out_.free(packet);
  packet.cursor = static_cast<std::uint16_t>(job.request.end() - payload.data());
  transfer.parked = packet;
  packet.mark = kMarkParked;
}

/// The oldest goes out whole before the next one starts: datagrams of two answers never mix. True: at least one was
/// made.
template <class S>
bool BasicWorker<S>::continue_transfers() noexcept {
  const auto ports = static_cast<std::uint32_t>(ports_.size());
  std::uint32_t made = 0;
  while (transfers_.size() > 0) {
    Transfer& transfer = transfers_.oldest();
    if (transfer.has_parked && backlog_.room() == 0) break;
    for (; transfer.next < transfer.total; ++made) {
      if (made == kTransferDatagramsPerTurn || out_.spares() == 0 || out_.send_room(ports) <= kStageJobsMax)
        return made > 0;
      send_next(transfer);
    }
    if (transfer.has_parked) backlog_.push(transfer.parked);
    release_oldest();
  }
  return made > 0;
}

template <class S>
void BasicWorker<S>::send_next(Transfer& transfer) noexcept {
  const Port& port = ports_[transfer.port];
  Packet packet = out_.take_spare();
  packet.port = transfer.port;
  std::byte* const at = packet.data + nicpipe::udp_headers_bytes(transfer.flow);
  const std::size_t offset = std::size_t{transfer.next} * port.chunk_bytes;
  const std::size_t bytes = std::min<std::size_t>(port.chunk_bytes, transfer.message_bytes() - offset);
  MUST_LE(nicpipe::udp_headers_bytes(transfer.flow) + kUdpFrameBytes + bytes,
          std::size_t{packet.bytes} + packet.tailroom);
  write_udp_frame(at, transfer.request_id, transfer.next, transfer.total);
  std::size_t payload = kUdpFrameBytes;
  if (transfer.next == 0) {  // The head always fits the first datagram.
    std::memcpy(at + payload, transfer.head.data(), transfer.head_bytes);
    payload += transfer.head_bytes;
  }
  const Bytes piece =
      transfer.value.subspan(offset == 0 ? 0 : offset - transfer.head_bytes, kUdpFrameBytes + bytes - payload);
  if (transfer.source == Transfer::Source::kSegment && point_at(packet, piece, transfer.held, port)) {
    if (transfer.next == 0) abi::bump(counters_.answers_zero_copy);
  } else {
    std::memcpy(at + payload, piece.data(), piece.size());
    payload += piece.size();
  }
  port.host.write_udp(packet, transfer.flow, static_cast<std::uint16_t>(payload));
  ++transfer.next;
  abi::bump(counters_.answer_datagrams);
  out_.send(packet);
}

/// Gives back what the oldest transfer held on to.
template <class S>
void BasicWorker<S>::release_oldest() noexcept {
  const Transfer& transfer = transfers_.oldest();
  switch (transfer.source) {
    case Transfer::Source::kSegment:
      shard_.unpin(transfer.held);
      break;
    case Transfer::Source::kStat:
      transfers_.give_stat_buffer(transfer.held);
      break;
    case Transfer::Source::kErrand:
      finish_errand(*transfer.errand);
      break;
  }
  if (transfer.mixed != nullptr) transfer.mixed->waits = false;
  transfers_.remove_oldest();
}

}  // namespace gannet::dataplane
