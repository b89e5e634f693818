// Any conversation of four peers with one engine: segments near and far from what is expected, raw bytes behind a right
// IP header, ICMP errors, time, an application that does anything, buffers that run out. The engine must survive, keep
// its books (Engine::check after every turn), send nothing malformed, deliver only bytes the peer sent at their place,
// and hold nothing when all is over.
// Input: one byte chooses the configuration, then actions of one to eight bytes (Fuzzer::act).
#include <array>
#include <optional>

#include "storage/base/must.h"
#include "tests/tcp/rig.h"

using namespace gannet;
using namespace gannet::test;
using namespace gannet::test::tcp;

namespace {

constexpr std::uint8_t kPeerSalt = 3, kOurSalt = 9;
constexpr std::uint32_t kSpares = 32;

class Input {
 public:
  explicit Input(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(bytes_[0]);
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::uint16_t word() {
    const std::uint16_t high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  /// Mostly small, sometimes anything.
  std::uint32_t distance() {
    const std::uint8_t kind = byte();
    if (kind < 128) return 0;
    if (kind < 192) return static_cast<std::uint32_t>(static_cast<std::int8_t>(byte()));
    if (kind < 240) return static_cast<std::uint32_t>(static_cast<std::int16_t>(word()));
    return std::uint32_t{word()} << 16 | word();
  }
  Bytes take(std::size_t count) {
    const Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes bytes_;
};

struct Peer {
  Segment way;
  std::uint32_t isn = 0, next = 0;  ///< Of theirs. Their stream's bytes are the pattern at their sequence numbers.
  std::uint32_t first = 0;          ///< Number of the stream's first byte: what our SYN-ACK acknowledged.
  std::uint32_t our_isn = 0, our_end = 0, our_ts = 0;
  /// Both streams' bytes are known. Not where a challenge ACK told our_end and the SYN-ACK was never sent, nor behind a
  /// lie about the header's length.
  bool knows_bytes = false;
  std::uint64_t written = 0, got = 0;
  std::optional<nic::ConnectionId> id;
};

RigOptions options_of(std::uint8_t choice) {
  RigOptions options;
  nic::Config& config = options.config;
  config.connections_max = 6;
  config.half_open_max = (choice & 1) != 0 ? 0 : 2;
  config.time_wait_max = 2;
  config.send_blocks = 16;
  config.receive_packets = 16;
  config.send_bytes_max = 16'384;
  config.receive_bytes_max = (choice & 2) != 0 ? 4096 : 131'072;
  config.out_of_order_max = 4;
  config.timestamps = (choice & 4) == 0;
  config.sack = (choice & 8) == 0;
  config.congestion = (choice & 16) != 0 ? nic::Congestion::kNewReno : nic::Congestion::kCubic;
  config.per_source_max = (choice & 32) != 0 ? 3 : 0;
  config.idle_ns = (choice & 64) != 0 ? 5'000'000'000 : 0;
  options.capabilities.multi_segment = (choice & 128) == 0;
  options.buffers = 128;
  options.sends = 8;
  options.spares = kSpares;
  return options;
}

class Fuzzer {
 public:
  explicit Fuzzer(std::uint8_t choice) : rig_(options_of(choice)) {
    for (std::uint32_t i = 0; i < peers_.size(); ++i) {
      Peer& peer = peers_[i];
      peer.way.from = {address("10.77.0.1"), static_cast<std::uint16_t>(4000 + i)};
      peer.way.to = {address(kUs), kPort};
      peer.isn = peer.next = i * 0x5555'5555u - 3;
    }
    rig_.on_event = [this](const nic::Event& event) { heard(event); };
  }

  void act(Input& input) {
    const std::uint8_t action = input.byte();
    Peer& peer = peers_[action >> 6];
    switch (action & 15) {
      case 0:
        handshake(peer, input.byte());
        break;
      default:
        segment(peer, input);
        break;
      case 8:
        raw(peer, input);
        break;
      case 9:
        rig_.advance(rig_.now().mono_ns + (MonotonicNs{1000} << (input.byte() & 31)));
        break;
      case 10:
        read(peer, input.word());
        break;
      case 11:
        write(peer, input.word(), false);
        break;
      case 12:
        write(peer, input.word(), true);
        break;
      case 13:
        end(peer, input.byte());
        break;
      case 14:
        icmp(peer, input);
        break;
      case 15:
        rig_.starve((input.byte() & 1) != 0);
        break;
    }
    rig_.finish_turn();
    hear_frames();
  }

  void finish() {
    rig_.starve(false);
    rig_.finish_turn();
    for (const nic::ConnectionId id : seen_) rig_.engine().abort(id, rig_.now(), rig_.sink());
    rig_.finish_turn();
    // Half-open ones go by their timers, TIME-WAITs too.
    rig_.advance(rig_.now().mono_ns + 1'000'000'000'000);
    hear_frames();
    const nic::Stats& stats = rig_.engine().stats();
    MUST_EQ(stats.time_wait, 0u);
    MUST_EQ(stats.open, 0u);
    MUST_EQ(stats.blocks_used, 0u);
    MUST_EQ(stats.receive_packets_used, 0u);
    MUST_EQ(rig_.pins_held(), 0u);
    MUST_EQ(rig_.buffers_out(), kSpares);
  }

 private:
  void heard(const nic::Event& event) {
    nic::Tuple tuple;
    for (Peer& peer : peers_) {
      if (rig_.engine().tuple(event.id, tuple) && tuple.peer_port == peer.way.from.port &&
          (!peer.id || *peer.id != event.id)) {
        peer.id = event.id;
        seen_.push_back(event.id);
        peer.written = peer.got = 0;
      }
      if (peer.id == event.id && (event.what & nic::kClosed) != 0) peer.id.reset();
    }
  }

  void hear_frames() {
    for (const Rig::Sent& sent : rig_.sent()) {
      Segment segment;
      const std::string fault = test::tcp::read(sent.frame, segment);
      if (!fault.empty()) std::fprintf(stderr, "sent a frame with a fault: %s\n", fault.c_str());
      MUST(fault.empty());
      for (Peer& peer : peers_) {
        if (peer.way.from != segment.to) continue;
        if (segment.has(kSyn)) {
          peer.our_isn = peer.our_end = segment.seq;
          peer.first = segment.ack;
          peer.knows_bytes = true;
        }
        if (segment.timestamps) peer.our_ts = segment.timestamps->value;
        if (segment.has(kRst)) continue;
        const std::uint32_t end = segment.seq + segment.length();
        if (static_cast<std::int32_t>(end - peer.our_end) > 0) peer.our_end = end;
        const std::uint32_t at = segment.seq - peer.our_isn - 1;
        if (peer.knows_bytes) MUST_EQ(pattern_fault(segment.payload, at, kOurSalt), segment.payload.size());
      }
    }
    rig_.sent().clear();
  }

  void deliver(const Segment& segment) { rig_.receive(to_frame(segment)); }

  void handshake(Peer& peer, std::uint8_t options) {
    Segment syn = peer.way;
    syn.flags = kSyn;
    if (!peer.id) peer.knows_bytes = false;
    syn.seq = peer.next = peer.isn = peer.isn + (options >> 4) * 70'000u;
    syn.window = 65'535;
    syn.mss = (options & 1) != 0 ? 1460 : 100;
    if ((options & 2) != 0) syn.window_scale = 7;
    syn.sack_permitted = (options & 4) != 0;
    if ((options & 8) != 0) syn.timestamps = Timestamps{1, 0};
    deliver(syn);
    hear_frames();
    peer.way.timestamps = syn.timestamps;
    ++peer.next;
    Segment ack = peer.way;
    ack.flags = kAck;
    ack.seq = peer.next;
    ack.ack = peer.our_end;
    ack.window = 1000;
    if (ack.timestamps) ack.timestamps->echo = peer.our_ts;
    deliver(ack);
  }

  void segment(Peer& peer, Input& input) {
    Segment segment = peer.way;
    const std::uint8_t flags = input.byte();
    segment.flags = (flags & 0x80) != 0 ? flags : static_cast<std::uint8_t>(kAck | ((flags & 3) == 3 ? kFin : 0));
    const std::uint32_t off = input.distance();
    segment.seq = peer.next + off;
    segment.ack = peer.our_end + input.distance();
    segment.window = input.word();
    const std::uint8_t size = input.byte();
    if (size > 100) segment.payload = pattern_bytes(segment.seq, (size - 100) * 9u, kPeerSalt);
    if (segment.timestamps) segment.timestamps = Timestamps{clock_ms(), peer.our_ts};
    if ((flags & 0x40) != 0) {
      const std::uint32_t first = peer.our_end + input.distance();
      segment.sacks.push_back({first, first + input.distance()});
    }
    if (off == 0) peer.next += segment.length();
    deliver(segment);
  }

  [[nodiscard]] std::uint32_t clock_ms() const { return static_cast<std::uint32_t>(rig_.now().mono_ns / 1'000'000); }

  /// TCP header bytes as they come, with options as they come; length and checksum are right.
  void raw(Peer& peer, Input& input) {
    Segment segment = peer.way;
    segment.seq = peer.next;
    segment.ack = peer.our_end;
    segment.window = 500;
    segment.timestamps.reset();
    segment.flags = input.byte();
    segment.urgent = input.word();
    segment.header_words = input.byte() & 15;
    const Bytes options = input.take(input.byte() % 41 / 4 * 4);
    segment.raw_options.assign(options.begin(), options.end());
    const bool options_are_payload = segment.header_words != 0 && segment.header_words < 5 + options.size() / 4;
    if (options_are_payload) peer.knows_bytes = false;
    deliver(segment);
  }

  void icmp(Peer& peer, Input& input) {
    Segment ours = peer.way;
    std::swap(ours.from, ours.to);
    ours.flags = kAck;
    ours.seq = peer.our_end - input.distance();
    const std::uint8_t type = input.byte(), code = input.byte();
    rig_.receive(icmp_error(peer.way.from.address, ours, (type & 0x80) != 0 ? type : 3, code, input.word(), 8));
  }

  void read(Peer& peer, std::uint32_t count) {
    if (!peer.id) return;
    nic::Engine& engine = rig_.engine();
    count = std::min(count, engine.readable_bytes(*peer.id));
    while (count > 0) {
      const Bytes piece = engine.readable(*peer.id);
      MUST(!piece.empty());
      const auto bytes = std::min(count, static_cast<std::uint32_t>(piece.size()));
      if (peer.knows_bytes) MUST_EQ(pattern_fault(piece.first(bytes), peer.first + peer.got, kPeerSalt), bytes);
      engine.consume(*peer.id, bytes, rig_.sink());
      peer.got += bytes;
      count -= bytes;
    }
  }

  void write(Peer& peer, std::uint32_t count, bool pinned) {
    if (!peer.id) return;
    Frame bytes = pattern_bytes(peer.written, count, kOurSalt);
    if (!pinned) {
      peer.written += rig_.engine().write(*peer.id, bytes);
    } else if (count > 0) {
      values_.push_back(std::move(bytes));
      if (rig_.write_pinned(*peer.id, values_.back())) peer.written += count;
    }
  }

  void end(Peer& peer, std::uint8_t how) {
    if (!peer.id) return;
    if (how < 100) return rig_.engine().shutdown(*peer.id);
    if (how < 200) {
      rig_.engine().close(*peer.id, rig_.now(), rig_.sink());
    } else {
      rig_.engine().abort(*peer.id, rig_.now(), rig_.sink());
    }
    MUST(!rig_.engine().is_live(*peer.id));
    peer.id.reset();
  }

  /// All connections there were: with bytes unread an old one may live on beside the next of its peer.
  std::vector<nic::ConnectionId> seen_;
  std::vector<Frame> values_;
  std::array<Peer, 4> peers_;
  Rig rig_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 2048) return 0;
  Input input({reinterpret_cast<const std::byte*>(data), size});
  Fuzzer fuzzer(input.byte());
  while (!input.empty()) fuzzer.act(input);
  fuzzer.finish();
  return 0;
}
