// Every list, count and number against the others; and what memory all this takes.
#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

void Core::check_sending(const Connection& c) const {
  MUST(seq_le(c.snd_una, c.snd_nxt));
  MUST_EQ(c.write_end + (c.fin_sent ? 1 : 0) - c.snd_una >= c.snd_nxt - c.snd_una, true);
  std::uint32_t held = 0, blocks_seen = 0, pins_seen = 0, last = kNone;
  for (std::uint32_t i = c.chunk_head; i != kNone; last = i, i = chunks[i].next) {
    MUST_GT(chunks[i].bytes, 0u);
    held += chunks[i].bytes;
    ++(chunks[i].block != kNone ? blocks_seen : pins_seen);
  }
  MUST_EQ(last, c.chunk_tail);
  MUST_EQ(blocks_seen, c.blocks_held);
  MUST_EQ(pins_seen, c.pins_held);
  if (c.is_synchronized()) {
    const std::uint32_t fin_out = c.fin_sent && c.snd_una == c.snd_nxt ? 1 : 0;
    MUST_EQ(held - c.head_done, c.write_end + fin_out - c.snd_una);
  }
  std::uint32_t sacked = 0, lost = 0, count = 0, sacked_count = 0;
  Seq at = c.snd_una;
  std::uint32_t chunk = c.chunk_head, chunk_begins = 0;  // The latter from the first chunk's first byte.
  last = kNone;
  for (std::uint32_t i = c.flight_head; i != kNone; last = i, i = flights[i].next) {
    const Flight& f = flights[i];
    MUST_EQ(f.seq, at);
    MUST_GT(f.bytes, 0u);
    MUST(!(f.sacked && f.lost));
    at = f.end();
    ++count;
    if (f.sacked) sacked += f.bytes, ++sacked_count;
    if (f.lost) lost += f.bytes;
    if (f.bytes > (f.fin ? 1u : 0u)) {
      const std::uint32_t place = f.seq - c.snd_una + c.head_done;
      for (; chunk != kNone && place - chunk_begins >= chunks[chunk].bytes; chunk = chunks[chunk].next)
        chunk_begins += chunks[chunk].bytes;
      MUST_NE(chunk, kNone);
      MUST_EQ(f.chunk, chunk);
      MUST_EQ(f.chunk_offset, place - chunk_begins);
    }
  }
  if (c.flight_head != kNone) MUST_EQ(at, c.snd_nxt);
  MUST_EQ(last, c.flight_tail);
  MUST_EQ(count, c.flight_count);
  MUST_EQ(sacked, c.sacked_bytes);
  MUST_EQ(sacked_count, c.sacked_count);
  MUST_EQ(lost, c.lost_bytes);
  // Whatever is under way, or waits for the peer's window, has a timer.
  if (c.flight_head != kNone || (c.unsent() > 0 && !c.in_output && c.is_synchronized()))
    MUST(c.send_timer != SendTimer::kOff);
  if (c.send_timer != SendTimer::kOff) {
    MUST_NE(c.deadline_send, kNever);
    MUST_NE(wheel.deadline(slot_of(c)), kNever);
  }
}

void Core::check_receiving(const Connection& c) const {
  std::uint32_t unread = 0, last = kNone;
  for (std::uint32_t i = c.read_head; i != kNone; last = i, i = spans[i].next) {
    MUST_GT(spans[i].bytes, 0u);
    unread += spans[i].bytes;
  }
  MUST_EQ(last, c.read_tail);
  MUST_EQ(unread, c.unread);
  std::uint32_t count = 0;
  Seq at = c.rcv_nxt;
  last = kNone;
  for (std::uint32_t i = c.gap_head; i != kNone; last = i, i = spans[i].next, ++count) {
    MUST(count == 0 ? seq_gt(spans[i].seq, at) : seq_ge(spans[i].seq, at));
    at = spans[i].seq + spans[i].bytes;
  }
  MUST(seq_le(at, c.rcv_edge));
  MUST_EQ(last, c.gap_tail);
  MUST_EQ(count, c.gap_count);
}

void Core::check() const {
  std::uint32_t live = 0, chunks_used = 0, flights_used = 0, spans_used = 0, blocks_used = 0, half_open = 0;
  for (std::uint32_t i = 0; i < connections.size(); ++i) {
    const Connection& c = connections[i];
    if (c.state == State::kFree) continue;
    ++live;
    half_open += c.counted_half_open;
    for (std::uint32_t k = c.chunk_head; k != kNone; k = chunks[k].next) ++chunks_used;
    blocks_used += c.blocks_held;
    flights_used += c.flight_count;
    for (const std::uint32_t head : {c.read_head, c.gap_head}) {
      for (std::uint32_t k = head; k != kNone; k = spans[k].next) {
        ++spans_used;
        blocks_used += spans[k].block != kNone;
      }
    }
    if (c.state == State::kDead) continue;
    MUST(c.in_table);
    check_sending(c);
    check_receiving(c);
  }
  MUST_EQ(live, connections.used());
  MUST_EQ(chunks_used, chunks.used());
  MUST_EQ(flights_used, flights.used());
  MUST_EQ(spans_used, spans.used());
  MUST_EQ(blocks_used, blocks.used());
  MUST_EQ(half_open, stats.half_open);
}

std::uint64_t Core::memory_bytes() const noexcept {
  return sizeof(Core) + connections.bytes() + chunks.bytes() + flights.bytes() + blocks.bytes() + spans.bytes() +
         time_waits.bytes() + sources.bytes() + std::uint64_t{heads_mask + 1} * 4 +
         std::uint64_t{connections.size()} * TimerWheel::bytes_each();
}

std::uint64_t Core::memory_bytes(const Connection& c) const noexcept {
  std::uint64_t bytes =
      sizeof(Connection) + TimerWheel::bytes_each() + 8 + std::uint64_t{c.flight_count} * sizeof(Flight);
  for (std::uint32_t i = c.chunk_head; i != kNone; i = chunks[i].next)
    bytes += sizeof(Chunk) + (chunks[i].block != kNone ? sizeof(Block) : 0);
  for (const std::uint32_t head : {c.read_head, c.gap_head}) {
    for (std::uint32_t i = head; i != kNone; i = spans[i].next) {
      const Packet& packet = spans[i].packet;
      bytes +=
          sizeof(Span) +
          (spans[i].block != kNone ? sizeof(Block) : std::uint64_t{packet.headroom} + packet.bytes + packet.tailroom);
    }
  }
  return bytes;
}

}  // namespace gannet::nicpipe::tcp
