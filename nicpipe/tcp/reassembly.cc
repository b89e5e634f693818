// Payload: from frames to bytes in order (RFC 9293 section 3.10.7.4, seventh; RFC 2018, RFC 2883).
//
// A payload that is next in order and finds nothing waiting stays in its frame: the application reads it there before
// the turn ends. One that must wait is copied into blocks when it is small, so that a window full of tiny segments
// cannot hold a window full of frames; and when too many frames are held already.
#include <algorithm>
#include <cstring>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

void Core::free_span(std::uint32_t span, Sink& sink) noexcept {
  Span& gone = spans[span];
  if (gone.block != kNone) {
    blocks.give(gone.block);
  } else {
    --packets_kept;
    sink.free(gone.packet);
  }
  spans.give(span);
}

/// A span with `bytes` of the payload from `offset`: the frame itself, or as much of it as one block holds. kNone: no
/// memory.
std::uint32_t Core::make_span(const Packet& packet, const Segment& s, std::uint32_t offset, std::uint32_t bytes,
                              bool whole) noexcept {
  if (whole && packets_kept >= config.receive_packets) whole = false;
  const std::uint32_t block = whole ? kNone : blocks.take();
  if (!whole && block == kNone) return kNone;
  const std::uint32_t index = spans.take();
  if (index == kNone) {
    if (block != kNone) blocks.give(block);
    return kNone;
  }
  Span& span = spans[index];
  std::byte* const at = packet.data + s.payload_offset + offset;
  span.seq = s.seq + offset;
  span.next = kNone;
  span.block = block;
  if (whole) {
    ++packets_kept;
    span.packet = packet;
    span.data = at;
    span.bytes = bytes;
  } else {
    span.data = blocks[block].bytes.data();
    span.bytes = std::min(bytes, kBlockBytes);
    std::memcpy(span.data, at, span.bytes);
  }
  return index;
}

/// Copies the front of `bytes` behind what a block's span holds; gives how many.
std::uint32_t Core::extend_span(Span& span, const std::byte* at, std::uint32_t bytes) noexcept {
  if (span.block == kNone) return 0;
  std::byte* const end = span.data + span.bytes;
  const std::byte* const limit = blocks[span.block].bytes.data() + kBlockBytes;
  const auto count = std::min(bytes, static_cast<std::uint32_t>(limit - end));
  std::memcpy(end, at, count);
  span.bytes += count;
  return count;
}

bool Core::take_payload(Connection& c, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  std::uint32_t offset = 0;
  if (seq_lt(s.seq, c.rcv_nxt)) {  // The front we have already.
    offset = c.rcv_nxt - s.seq;
    ++stats.duplicates;
    c.has_dsack = true;
    c.dsack = {s.seq, c.rcv_nxt};
    c.ack_now = c.ack_now || c.sack || offset >= s.payload_bytes;
    if (offset >= s.payload_bytes) return false;
  }
  c.payload_ns = now.mono_ns;
  c.mss_received = std::max(c.mss_received, static_cast<std::uint16_t>(s.payload_bytes));
  if (s.seq + offset != c.rcv_nxt) return keep_behind_gap(c, packet, s, now, sink);

  bool kept = false;
  std::uint32_t done = offset;
  while (done < s.payload_bytes) {
    const std::uint32_t left = s.payload_bytes - done;
    if (!kept && c.read_tail != kNone && left < kKeepWholeBytes) {
      const std::uint32_t added = extend_span(spans[c.read_tail], packet.data + s.payload_offset + done, left);
      done += added;
      if (added > 0) continue;
    }
    const bool whole = done == offset && (c.read_head == kNone || left >= kKeepWholeBytes);
    const std::uint32_t span = make_span(packet, s, done, left, whole);
    if (span == kNone) {
      ++stats.drop_no_memory;
      break;
    }
    (c.read_tail == kNone ? c.read_head : spans[c.read_tail].next) = span;
    c.read_tail = span;
    kept = spans[span].block == kNone;
    done += spans[span].bytes;
  }
  const std::uint32_t taken = done - offset;
  if (taken == 0) return false;
  c.rcv_nxt += taken;
  c.unread += taken;
  c.ack_owed += taken;
  stats.bytes_in += taken;
  event(c, kReadable);
  if (c.gap_head != kNone) {
    join_gap(c, sink);
    c.ack_now = true;  // RFC 5681 section 4.2: all or part of a gap was filled.
  }
  if (c.ack_owed >= 2u * c.mss_received) {
    c.ack_now = true;
  } else if (c.deadline_ack == kNever) {
    c.deadline_ack = now.mono_ns + config.delayed_ack_ns;
  }
  return kept;
}

/// RFC 5681 section 4.2: acknowledged at once. A piece that overlaps others gives way where they are.
bool Core::keep_behind_gap(Connection& c, const Packet& packet, const Segment& s, Now now, Sink& sink) noexcept {
  std::uint32_t previous = kNone, next = c.gap_head;
  if (next != kNone && seq_le(spans[c.gap_tail].seq, s.seq)) {  // Behind all others, as nearly always.
    previous = c.gap_tail;
    next = kNone;
  }
  while (next != kNone && seq_le(spans[next].seq, s.seq)) {
    previous = next;
    next = spans[next].next;
  }
  Seq start = s.seq;
  const Seq end = s.seq + s.payload_bytes;
  Seq stop = end;
  if (previous != kNone) start = seq_max(start, spans[previous].seq + spans[previous].bytes);
  bool kept = false;
  if (seq_ge(start, end)) {
    ++stats.duplicates;
    c.has_dsack = true;
    c.dsack = {s.seq, end};
  } else {
    while (next != kNone && seq_ge(stop, spans[next].seq + spans[next].bytes)) {  // Swallowed whole by the new piece.
      const std::uint32_t gone = next;
      next = spans[gone].next;
      (previous == kNone ? c.gap_head : spans[previous].next) = next;
      if (next == kNone) c.gap_tail = previous;
      free_span(gone, sink);
      --c.gap_count;
    }
    if (next != kNone) stop = seq_min(stop, spans[next].seq);
    std::uint32_t offset = start - s.seq;
    const std::uint32_t limit = stop - s.seq;
    while (offset < limit) {
      if (previous != kNone && spans[previous].seq + spans[previous].bytes == s.seq + offset &&
          limit - offset < kKeepWholeBytes) {
        const std::uint32_t added =
            extend_span(spans[previous], packet.data + s.payload_offset + offset, limit - offset);
        offset += added;
        if (added > 0) continue;
      }
      const bool whole = !kept && offset == start - s.seq && limit - offset >= kKeepWholeBytes;
      const std::uint32_t span = c.gap_count >= config.out_of_order_max || is_short_of_memory()
                                     ? kNone
                                     : make_span(packet, s, offset, limit - offset, whole);
      if (span == kNone) {
        ++stats.drop_no_memory;
        break;
      }
      spans[span].next = next;
      (previous == kNone ? c.gap_head : spans[previous].next) = span;
      if (next == kNone) c.gap_tail = span;
      previous = span;
      ++c.gap_count;
      kept = kept || spans[span].block == kNone;
      offset += spans[span].bytes;
    }
    if (offset > start - s.seq) {
      ++stats.out_of_order;
      tell_sack(c, start, s.seq + offset);
    }
  }
  send_ack(c, now, sink);
  return kept;
}

/// Out-of-order pieces are a luxury: they get the first half of the memory only.
bool Core::is_short_of_memory() const noexcept {
  return blocks.left() < blocks.size() / 4 || spans.left() < spans.size() / 4 ||
         packets_kept > config.receive_packets / 2;
}

/// The block around `start` becomes the first that is told; what lies within it is told no longer (RFC 2018 section 4).
void Core::tell_sack(Connection& c, Seq start, Seq end) noexcept {
  if (!c.sack) return;
  // Mostly it continues what was told last, and is the last piece of all.
  const Span& last = spans[c.gap_tail];
  const bool continues = c.recent_count > 0 && c.recent[0].end == start && last.seq + last.bytes == end;
  SackBlock block{continues ? c.recent[0].start : start, end};
  for (std::uint32_t span = continues ? kNone : c.gap_head; span != kNone; span = spans[span].next) {
    if (span == c.gap_head || spans[span].seq != block.end) {
      if (span != c.gap_head && seq_gt(block.end, start)) break;
      block.start = spans[span].seq;
    }
    block.end = spans[span].seq + spans[span].bytes;
  }
  std::array<SackBlock, 4> told{block};
  std::uint8_t count = 1;
  for (std::uint8_t i = 0; i < c.recent_count && count < told.size(); ++i) {
    const SackBlock& old = c.recent[i];
    if (seq_ge(old.start, block.start) && seq_le(old.end, block.end)) continue;
    told[count++] = old;
  }
  c.recent = told;
  c.recent_count = count;
}

/// rcv_nxt has moved: what it reached is readable now.
void Core::join_gap(Connection& c, Sink& sink) noexcept {
  while (c.gap_head != kNone && seq_le(spans[c.gap_head].seq, c.rcv_nxt)) {
    const std::uint32_t index = c.gap_head;
    Span& span = spans[index];
    c.gap_head = span.next;
    if (c.gap_head == kNone) c.gap_tail = kNone;
    --c.gap_count;
    const std::uint32_t had = c.rcv_nxt - span.seq;
    if (had >= span.bytes) {
      free_span(index, sink);
      continue;
    }
    span.data += had;
    span.bytes -= had;
    span.seq += had;
    span.next = kNone;
    (c.read_tail == kNone ? c.read_head : spans[c.read_tail].next) = index;
    c.read_tail = index;
    c.rcv_nxt += span.bytes;
    c.unread += span.bytes;
    c.ack_owed += span.bytes;
    stats.bytes_in += span.bytes;
  }
  std::uint8_t count = 0;
  for (std::uint8_t i = 0; i < c.recent_count; ++i)
    if (seq_gt(c.recent[i].start, c.rcv_nxt)) c.recent[count++] = c.recent[i];
  c.recent_count = count;
}

void Core::release_gap(Connection& c, Sink& sink) noexcept {
  free_spans(c.gap_head, sink);
  c.gap_tail = kNone;
  c.gap_count = 0;
  c.recent_count = 0;
}

void Core::consume(Connection& c, std::uint32_t bytes, Sink& sink) noexcept {
  MUST_LE(bytes, c.unread);
  c.unread -= bytes;
  while (bytes > 0) {
    Span& span = spans[c.read_head];
    if (bytes < span.bytes) {
      span.data += bytes;
      span.bytes -= bytes;
      break;
    }
    bytes -= span.bytes;
    const std::uint32_t gone = c.read_head;
    c.read_head = span.next;
    if (c.read_head == kNone) c.read_tail = kNone;
    free_span(gone, sink);
  }
  if (c.state == State::kDead) {
    if (c.closed_held && c.unread == 0) event(c, kClosed);
    return;
  }
  // Worth a segment of its own when little of the window is left and much is added (RFC 9293 section 3.8.6.2.2).
  const std::uint32_t left = c.rcv_edge - c.rcv_nxt;
  if (!c.window_update && !c.fin_received && left < window_max(c) / 2 && window_edge(c) != c.rcv_edge) {
    c.window_update = true;
    want_output(c);
  }
}

std::uint32_t Core::window_max(const Connection& c) const noexcept {
  return std::min(config.receive_bytes_max, 0xffffu << c.receive_shift);
}

/// Where the window may end now: never before its last end, and moved only by a full segment or half the buffer.
Seq Core::window_edge(const Connection& c) const noexcept {
  const std::uint32_t most = window_max(c);
  std::uint32_t room = c.unread < most ? most - c.unread : 0;
  if (is_short_of_memory()) room = std::min(room, c.unread == 0 ? 2u * c.mss_received : 0u);
  const Seq edge = c.rcv_nxt + room;
  if (seq_le(edge, c.rcv_edge)) return c.rcv_edge;
  const std::uint32_t step = std::min<std::uint32_t>(c.mss_received, most / 2);
  return edge - c.rcv_edge >= step || c.rcv_edge - c.rcv_nxt >= most - step ? edge : c.rcv_edge;
}

}  // namespace gannet::nicpipe::tcp
