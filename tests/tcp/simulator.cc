#include "tests/tcp/simulator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string_view>

namespace gannet::test::tcp {
namespace {

constexpr std::string_view kClientAddress = "10.77.0.1";
constexpr std::uint8_t kUpSalt = 0x21, kDownSalt = 0x84;
constexpr std::uint16_t kClientPort = 40'000;

RigOptions rig_options(const SimulatorOptions& options, std::string_view address) {
  RigOptions rig;
  rig.config = options.engine;
  rig.address = address;
  rig.capabilities = options.device;
  rig.checks = false;
  rig.scribble = false;
  return rig;
}

/// One side's application: writes its stream, reads the other's, closes when both are through.
class Application {
 public:
  Application(const RigOptions& options, const SimulatorOptions& simulator, bool is_server)
      : rig(options),
        simulator_(simulator),
        is_server_(is_server),
        write_total_(is_server ? simulator.down_bytes : simulator.up_bytes),
        read_total_(is_server ? simulator.up_bytes : simulator.down_bytes),
        write_salt_(is_server ? kDownSalt : kUpSalt),
        read_salt_(is_server ? kUpSalt : kDownSalt) {
    if (simulator.pinned && is_server) stream_ = pattern_bytes(0, write_total_, write_salt_);
    rig.on_event = [this](const nic::Event& event) { heard(event); };
  }

  void connect(const Rig& server) {
    const Address to = address(kUs);
    id = rig.engine().connect(0, kClientPort, ipv4(kUs), kPort, tcp::mac_of(to), rig.now(), rig.sink());
    static_cast<void>(server);
    rig.finish_turn();
  }

  /// Moves what can be moved; call after every arrival and timer.
  void work() {
    if (!opened || closed) return;
    read();
    write();
    rig.finish_turn();
  }

  [[nodiscard]] bool is_through() const { return written == write_total_ && got == read_total_; }

  Rig rig;
  nic::ConnectionId id;
  bool opened = false, closed = false, peer_closed = false;
  nic::Close reason = nic::Close::kNone;
  std::uint64_t written = 0, got = 0;
  std::string fault;

 private:
  void heard(const nic::Event& event) {
    if ((event.what & nic::kOpened) != 0) {
      id = event.id;
      opened = true;
    }
    if (event.id != id) fault = "an event of another connection";
    if ((event.what & nic::kPeerClosed) != 0) peer_closed = true;
    if ((event.what & nic::kClosed) != 0) {
      closed = true;
      reason = event.reason;
    }
  }

  void read() {
    nic::Engine& engine = rig.engine();
    std::uint32_t budget = simulator_.read_bytes_max;
    while (budget > 0) {
      const Bytes piece = engine.readable(id);
      if (piece.empty()) break;
      const auto bytes = static_cast<std::uint32_t>(std::min<std::size_t>(piece.size(), budget));
      const std::size_t right = pattern_fault(piece.first(bytes), got, read_salt_);
      if (right != bytes && fault.empty()) fault = "wrong byte at " + std::to_string(got + right);
      engine.consume(id, bytes, rig.sink());
      got += bytes;
      budget -= bytes;
    }
    if (got > read_total_ && fault.empty()) fault = "more bytes than were sent";
    if (peer_closed && engine.readable_bytes(id) == 0 && got != read_total_ && fault.empty())
      fault = "the stream ends after " + std::to_string(got) + " bytes";
  }

  /// With rounds: the server may have written as much as it has read, the client one round more.
  [[nodiscard]] std::uint64_t may_write() const {
    if (simulator_.round_bytes == 0) return write_total_;
    const std::uint64_t round = simulator_.round_bytes;
    const std::uint64_t rounds = got / round + (is_server_ ? 0 : 1);
    return std::min(write_total_, rounds * round);
  }

  void write() {
    nic::Engine& engine = rig.engine();
    const std::uint64_t until = may_write();
    while (written < until) {
      const std::uint64_t bytes = std::min<std::uint64_t>(until - written, 16'384);
      if (!stream_.empty()) {
        if (!rig.write_pinned(id, Bytes(stream_).subspan(written, bytes))) break;
        written += bytes;
        continue;
      }
      const std::uint32_t taken = engine.write(id, pattern_bytes(written, bytes, write_salt_));
      written += taken;
      if (taken < bytes) break;
    }
    if (written == write_total_ && !shut_) {
      engine.shutdown(id);
      shut_ = true;
    }
  }

  const SimulatorOptions& simulator_;
  const bool is_server_;
  const std::uint64_t write_total_, read_total_;
  const std::uint8_t write_salt_, read_salt_;
  Frame stream_;
  bool shut_ = false;
};

class Simulation {
 public:
  explicit Simulation(const SimulatorOptions& options)
      : options_(options),
        channel_(options.channel, options.seed),
        client_(rig_options(options, kClientAddress), options_, false),
        server_(rig_options(options, kUs), options_, true) {}

  SimulatorResult run() {
    const MonotonicNs start = client_.rig.now().mono_ns;
    MonotonicNs opened_ns = 0;
    client_.connect(server_.rig);
    collect();
    while (result_.fault.empty() && !(client_.closed && server_.closed)) {
      const MonotonicNs next =
          std::min({channel_.next(), client_.rig.engine().next_timer(), server_.rig.engine().next_timer()});
      if (next == ~MonotonicNs{0}) fail("stuck: no timer and nothing under way");
      if (next > start + options_.limit_ns) fail("not done after the time allowed");
      if (!result_.fault.empty()) break;
      move_to(next);
      if (opened_ns == 0 && server_.opened) opened_ns = next;
      if (result_.took_ns == 0 && client_.got == options_.down_bytes && server_.got == options_.up_bytes)
        result_.took_ns = next - opened_ns;
    }
    if (result_.fault.empty()) judge_end();
    add(client_);
    add(server_);
    result_.lost = channel_.lost();
    result_.marked = channel_.marked();
    if (result_.took_ns > 0)
      result_.bits_per_s =
          static_cast<double>(options_.up_bytes + options_.down_bytes) * 8e9 / static_cast<double>(result_.took_ns);
    return result_;
  }

 private:
  void fail(const std::string& what) {
    if (!result_.fault.empty()) return;
    result_.fault = what + " (client " + side_text(client_) + "; server " + side_text(server_) + ")";
  }

  [[nodiscard]] static std::string side_text(const Application& side) {
    return std::string(side.opened ? "" : "not open, ") + (side.closed ? "closed, " : "") + "wrote " +
           std::to_string(side.written) + ", got " + std::to_string(side.got);
  }

  void move_to(MonotonicNs at) {
    client_.rig.advance(at);
    server_.rig.advance(at);
    collect();
    while (channel_.next() <= at) {
      const Channel::Arrival arrival = channel_.take();
      inspector_.reaches(arrival.side, arrival.frame);
      side(arrival.side).rig.receive(arrival.frame);
      side(arrival.side).work();
      collect();
    }
    client_.work();
    server_.work();
    collect();
  }

  Application& side(std::uint32_t number) { return number == 0 ? client_ : server_; }

  void collect() {
    for (std::uint32_t number = 0; number < 2; ++number) {
      Application& from = side(number);
      for (Rig::Sent& sent : from.rig.sent()) {
        const std::string broken = inspector_.leaves(number, sent.frame);
        if (!broken.empty()) fail(std::string(number == 0 ? "the client" : "the server") + " sent " + broken);
        const std::uint64_t digest = digest_of(sent);
        const std::uint64_t lost = channel_.lost();
        const std::string text = options_.trace ? trace_text(number, sent) : "";
        channel_.send(number, std::move(sent.frame), sent.at);
        if (options_.trace) std::printf("%s%s\n", text.c_str(), channel_.lost() > lost ? "  LOST" : "");
        ++result_.frames;
        result_.digest = digest;
      }
      from.rig.sent().clear();
      if (!from.fault.empty()) fail(std::string(number == 0 ? "client: " : "server: ") + from.fault);
    }
  }

  [[nodiscard]] std::uint64_t digest_of(const Rig::Sent& sent) const {
    const std::string_view bytes(reinterpret_cast<const char*>(sent.frame.data()), sent.frame.size());
    return (result_.digest ^ sent.at ^ std::hash<std::string_view>{}(bytes)) * 0x9e37'79b9'7f4a'7c15;
  }

  static std::string trace_text(std::uint32_t number, const Rig::Sent& sent) {
    Segment segment;
    static_cast<void>(read(sent.frame, segment));
    char text[160];
    std::snprintf(text, sizeof text, "%12.6f %s %-3s seq %u ack %u win %u data %zu sacks %zu",
                  static_cast<double>(sent.at) / 1e9, number == 0 ? "client" : "server",
                  flags_text(segment.flags).c_str(), segment.seq, segment.ack, segment.window, segment.payload.size(),
                  segment.sacks.size());
    return text;
  }

  void judge_end() {
    for (Application* side : {&client_, &server_}) {
      if (side->reason != nic::Close::kDone) fail("closed for another reason than FINs");
      if (!side->is_through()) fail("closed before all was through");
    }
    // What follows is TIME-WAIT; behind it nothing is left of the connection.
    const MonotonicNs end = client_.rig.now().mono_ns + 200'000'000'000;
    while (result_.fault.empty()) {
      const MonotonicNs next =
          std::min({channel_.next(), client_.rig.engine().next_timer(), server_.rig.engine().next_timer()});
      if (next > end) break;
      move_to(next);
    }
    for (Application* side : {&client_, &server_}) {
      const nic::Stats& stats = side->rig.engine().stats();
      if (stats.open != 0 || stats.time_wait != 0) fail("a connection is left behind the end");
      if (stats.blocks_used != 0 || stats.receive_packets_used != 0) fail("memory is left behind the end");
      if (side->rig.pins_held() != 0) fail("a pin is left behind the end");
      side->rig.engine().check();
    }
  }

  void add(Application& of) {
    const nic::Stats& stats = of.rig.engine().stats();
    result_.retransmits += stats.retransmits;
    result_.timeouts += stats.timeouts;
    result_.fast_recoveries += stats.fast_recoveries;
    result_.tail_probes += stats.tail_probes;
    result_.spurious += stats.spurious;
    result_.predicted_in += stats.predicted_in;
    result_.predicted_out += stats.predicted_out;
    result_.ecn_reductions += stats.ecn_reductions;
  }

  const SimulatorOptions options_;
  Channel channel_;
  Inspector inspector_;
  SimulatorResult result_;
  Application client_, server_;
};

}  // namespace

SimulatorResult simulate(const SimulatorOptions& options) {
  return Simulation(options).run();
}

double floor_bits_per_s(const SimulatorOptions& options) {
  const ChannelOptions& wire = options.channel;
  constexpr double kMssBits = 1448 * 8;
  const double rtt_s = static_cast<double>(wire.rtt_ns) / 1e9 + 2 * kMssBits / wire.bits_per_s;
  const double bits = static_cast<double>(options.up_bytes + options.down_bytes) * 8;
  // Slow start from ten segments, then the rate or the window.
  const double rounds = 2 + std::log2(1 + bits / (10 * kMssBits));
  const double window_bits = static_cast<double>(options.engine.receive_bytes_max) * 8;
  double rate = std::min(wire.bits_per_s, window_bits / rtt_s);
  const double damage = wire.loss + wire.corrupt;
  if (damage + wire.reorder > 0) rate = std::min(rate, kMssBits / rtt_s * 1.2 / std::sqrt(damage + wire.reorder));
  double seconds = rounds * rtt_s + bits / rate;
  // Request and answer: one round trip each, and a timeout for each of the two that is lost.
  const double rto_s = static_cast<double>(options.engine.rto_min_ns) / 1e9 + rtt_s;
  double segments = bits / kMssBits;
  if (options.round_bytes != 0) {
    const double requests = static_cast<double>(options.up_bytes) / options.round_bytes;
    segments = 2 * requests;
    seconds += requests * rtt_s + 4 * damage * requests * rto_s;
  }
  // Tails and retransmissions that are lost again wait for timers, longer and longer the more is lost.
  seconds += (damage * 10 + damage * damage * segments * (damage > 0.1 ? 20 : 4)) * rto_s;
  return bits / (seconds * 4);
}

}  // namespace gannet::test::tcp
