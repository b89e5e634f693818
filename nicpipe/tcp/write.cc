// Bytes in from the application, and the ends it wants.
#include <algorithm>
#include <cstring>

#include "nicpipe/tcp/core.h"
#include "storage/base/must.h"

namespace gannet::nicpipe::tcp {

/// A block more of this connection. The first one does not count for its source.
void Core::count_block(Connection& c) noexcept {
  if (++c.blocks_held > 1) ++sources[c.source].blocks;
}

/// Blocks this connection may take now. What it may hold shrinks with what there is besides: half of it, and once half
/// of all blocks are gone its bound in their proportion, so that no number of readers that do not read takes the last
/// ones. Its source's connections may hold a quarter of all together, and one each. Writing makes it smaller by what
/// was written and no more: who asked for room has it.
std::uint32_t Core::blocks_for(const Connection& c) const noexcept {
  const std::uint32_t left = blocks.left(), there = left + c.blocks_held;
  std::uint32_t share = there / 2;
  if (share < blocks.size() / 4) [[unlikely]] {
    const std::uint64_t most = (config.send_bytes_max + kBlockBytes - 1) / kBlockBytes;
    share = std::clamp(static_cast<std::uint32_t>(2 * most * there / blocks.size()), 1u, std::max(share, 1u));
  }
  const std::uint32_t source_max = blocks.size() / 4, source_has = sources[c.source].blocks;
  const std::uint32_t of_source =
      (source_has < source_max ? source_max - source_has : 0) + (c.blocks_held == 0 ? 1 : 0);
  return std::min({c.blocks_held < share ? share - c.blocks_held : 0, of_source, left});
}

bool Core::may_write(const Connection& c) noexcept {
  const bool open = c.state == State::kEstablished || c.state == State::kCloseWait || c.state == State::kSynSent ||
                    c.state == State::kSynReceived;
  return open && !c.fin_wanted;
}

/// What write() would take.
std::uint32_t Core::write_room(const Connection& c) const noexcept {
  if (!may_write(c)) return 0;
  const std::uint32_t held = c.write_end - c.snd_una;
  if (held >= config.send_bytes_max) return 0;
  std::uint32_t fits = blocks_for(c) * kBlockBytes;
  fits = std::min(fits, std::min(chunks.left(), 1u << 16) * kBlockBytes);
  if (c.chunk_tail != kNone && chunks[c.chunk_tail].block != kNone) fits += kBlockBytes - chunks[c.chunk_tail].bytes;
  return std::min(config.send_bytes_max - held, fits);
}

/// "Enough": a quarter of the connection's bound. Scarce blocks can keep the room below that for long, so whoever holds
/// nothing any more is told too, or, where there is no block at all, waits for others' blocks: no acknowledgement will
/// ever wake it.
void Core::announce_room(Connection& c) noexcept {
  if (!c.wants_writable) return;
  const std::uint32_t room = write_room(c);
  const bool holds = c.write_end != c.snd_una;
  if (room < config.send_bytes_max / 4 && (room == 0 || holds)) {
    if (!holds && !c.fin_wanted && !c.in_starved) {
      c.in_starved = true;
      c.starved_next = starved_head;
      starved_head = slot_of(c);
    }
    return;
  }
  c.wants_writable = false;
  event(c, kWritable);
}

void Core::want_writable(Connection& c) noexcept {
  c.wants_writable = true;
  announce_room(c);
}

/// There are blocks again: whoever found none is told, as many as there is a block for, so that nobody waits for ever
/// on memory that others held.
void Core::feed_starved() noexcept {
  if (starved_head == kNone || blocks.left() < blocks.size() / 64) return;
  for (std::uint32_t most = blocks.left(); starved_head != kNone && most > 0; --most) {
    Connection& c = connections[starved_head];
    starved_head = c.starved_next;
    c.in_starved = false;
    if (c.state == State::kDead) {
      if (c.is_orphan) release_slot(c, nullptr);
      continue;
    }
    if (c.wants_writable) event(c, kWritable);
    c.wants_writable = false;
  }
}

void Core::append_chunk(Connection& c, std::uint32_t index) noexcept {
  chunks[index].next = kNone;
  (c.chunk_tail == kNone ? c.chunk_head : chunks[c.chunk_tail].next) = index;
  c.chunk_tail = index;
  if (c.next_chunk == kNone) {
    c.next_chunk = index;
    c.next_offset = 0;
  }
}

/// An empty block behind everything written; something has to be put there.
bool Core::add_block(Connection& c) noexcept {
  if (chunks.left() == 0 || blocks.left() == 0) return false;
  const std::uint32_t index = chunks.take(), block = blocks.take();
  Chunk& fresh = chunks[index];
  fresh.data = blocks[block].bytes.data();
  fresh.bytes = 0;
  fresh.block = block;
  count_block(c);
  append_chunk(c, index);
  return true;
}

/// With nothing unacknowledged and blocks enough for everybody, a block more is always granted.
bool Core::can_write(const Connection& c, std::uint32_t bytes) const noexcept {
  if (c.state == State::kEstablished && !c.fin_wanted && c.blocks_held == 0 && c.write_end == c.snd_una &&
      bytes <= kBlockBytes && blocks.left() >= blocks.size() / 2 && chunks.left() > 0) [[likely]]
    return true;
  return write_room(c) >= bytes;
}

MutableBytes Core::extend(Connection& c, std::uint32_t bytes) noexcept {
  MUST(bytes > 0 && bytes <= kBlockBytes);
  const bool continues = c.chunk_tail != kNone && chunks[c.chunk_tail].block != kNone;
  const std::uint32_t left = continues ? kBlockBytes - chunks[c.chunk_tail].bytes : 0;
  if (bytes > left && (left > 0 || !can_write(c, bytes) || !add_block(c))) return {};
  if (bytes <= left && (!may_write(c) || c.write_end - c.snd_una + bytes > config.send_bytes_max)) return {};
  Chunk& chunk = chunks[c.chunk_tail];
  std::byte* const at = blocks[chunk.block].bytes.data() + chunk.bytes;
  chunk.bytes += bytes;
  c.write_end += bytes;
  want_output(c);
  return {at, bytes};
}

std::uint32_t Core::write(Connection& c, Bytes bytes) noexcept {
  const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), 1u << 30));
  const std::uint32_t count = std::min(wanted, write_room(c));
  std::uint32_t done = 0;
  while (done < count) {
    if (c.chunk_tail == kNone || chunks[c.chunk_tail].block == kNone || chunks[c.chunk_tail].bytes == kBlockBytes) {
      const bool added = add_block(c);
      MUST(added);
    }
    Chunk& chunk = chunks[c.chunk_tail];
    const std::uint32_t piece = std::min(count - done, kBlockBytes - chunk.bytes);
    std::memcpy(blocks[chunk.block].bytes.data() + chunk.bytes, bytes.data() + done, piece);
    chunk.bytes += piece;
    done += piece;
  }
  c.write_end += done;
  if (done < wanted) {
    c.wants_writable = !c.fin_wanted && c.state != State::kDead;
    if (c.write_end == c.snd_una) announce_room(c);
  }
  if (done > 0) want_output(c);
  return done;
}

bool Core::write_pinned(Connection& c, Bytes bytes, std::uint32_t pin) noexcept {
  const bool may = c.state == State::kEstablished || c.state == State::kCloseWait;
  const std::uint32_t held = c.write_end - c.snd_una;
  if (!may || c.fin_wanted || bytes.empty() || bytes.size() > config.send_bytes_max * 2ull || c.pins_copied ||
      held >= config.send_bytes_max || chunks.left() < chunks.size() / 8) {
    if (may && !c.fin_wanted && held >= config.send_bytes_max) c.wants_writable = true;
    return false;
  }
  const std::uint32_t index = chunks.take();
  if (index == kNone) return false;
  chunks[index] = {bytes.data(), static_cast<std::uint32_t>(bytes.size()), kNone, kNone, pin};
  ++c.pins_held;
  append_chunk(c, index);
  c.write_end += static_cast<std::uint32_t>(bytes.size());
  want_output(c);
  return true;
}

/// The peer stalls: what is pinned moves into blocks as far as there are any, so that the store gets its memory back.
/// Chunks are cut where blocks end; flights that pointed into one point into its pieces afterwards.
void Core::copy_out_pins(Connection& c) noexcept {
  if (c.pins_held == 0) return;
  c.pins_copied = true;
  std::uint32_t previous = kNone;
  for (std::uint32_t index = c.chunk_head; index != kNone; previous = index, index = chunks[index].next) {
    if (chunks[index].block != kNone) continue;
    const Chunk pinned = chunks[index];
    const std::uint32_t pieces = (pinned.bytes + kBlockBytes - 1) / kBlockBytes;
    if (blocks.left() < pieces + blocks.size() / 8 || chunks.left() < pieces) return;
    std::uint32_t first = kNone, last = kNone;
    for (std::uint32_t offset = 0; offset < pinned.bytes; offset += kBlockBytes) {
      const std::uint32_t piece = chunks.take(), block = blocks.take();
      Chunk& copy = chunks[piece];
      copy = {blocks[block].bytes.data(), std::min(kBlockBytes, pinned.bytes - offset), kNone, block, 0};
      std::memcpy(blocks[block].bytes.data(), pinned.data + offset, copy.bytes);
      (first == kNone ? first : chunks[last].next) = piece;
      last = piece;
      count_block(c);
    }
    chunks[last].next = pinned.next;
    (previous == kNone ? c.chunk_head : chunks[previous].next) = first;
    if (c.chunk_tail == index) c.chunk_tail = last;
    const auto move = [&](std::uint32_t& chunk, std::uint32_t& offset) {
      if (chunk != index) return;
      chunk = first;
      while (offset >= kBlockBytes && chunk != last) {
        offset -= kBlockBytes;
        chunk = chunks[chunk].next;
      }
    };
    if (previous == kNone) {
      // What of the first chunk was acknowledged goes with the pieces it filled.
      std::uint32_t head = index;
      move(c.next_chunk, c.next_offset);
      for (std::uint32_t f = c.flight_head; f != kNone; f = flights[f].next)
        move(flights[f].chunk, flights[f].chunk_offset);
      move(head, c.head_done);
      while (c.chunk_head != head) {
        const std::uint32_t done = c.chunk_head;
        c.chunk_head = chunks[done].next;
        free_chunk(c, done);
      }
    } else {
      move(c.next_chunk, c.next_offset);
      for (std::uint32_t f = c.flight_head; f != kNone; f = flights[f].next)
        move(flights[f].chunk, flights[f].chunk_offset);
    }
    free_chunk(c, index);
    ++stats.pins_copied;
    index = last;
  }
}

void Core::shutdown(Connection& c) noexcept {
  if (c.fin_wanted || c.state == State::kDead) return;
  c.fin_wanted = true;
  c.wants_writable = false;
  want_output(c);
}

/// The connection goes on without the application, or ends when nothing is left to be said.
void Core::close(Connection& c, Now now, Sink& sink) noexcept {
  if (c.state == State::kDead) {
    release_slot(c, &sink);
    return;
  }
  if (c.state == State::kSynSent) {
    c.is_orphan = true;
    end(c, Close::kDone, sink);
    return;
  }
  if (c.unread > 0) {
    abort(c, sink);
    return;
  }
  shutdown(c);
  c.is_orphan = true;
  c.events = 0;
  c.fin_wait_2_ns = now.mono_ns;
  set_life_deadline(c);
  arm(c);
}

void Core::abort(Connection& c, Sink& sink) noexcept {
  if (c.state == State::kDead) {
    release_slot(c, &sink);
    return;
  }
  c.is_orphan = true;
  ++stats.aborted;
  if (c.state != State::kSynSent) send_reset(c, sink);
  end(c, Close::kReset, sink);
}

}  // namespace gannet::nicpipe::tcp
