// An engine behind a tap device that this program opens itself, so that the Linux kernel is its peer. Run inside a
// network namespace: tcp_tap_server NAME=VALUE...
//   device=gt0 seed=1 loss=0 reorder=0 duplicate=0 corrupt=0 mark=0 delay_us=0
//   connections=8192 half_open=512 time_wait_ms=1000 idle_ms=0 retries=15 syn_retries=5 rto_max_ms=60000
//   keepalive_ms=7200000
// With loss and its like, a wire of that kind lies between the kernel and the engine, both ways. The application obeys
// its clients: each sends commands of eight bytes, a letter, three bytes of nothing, a big-endian number:
//   W n  write n bytes of the pattern     E n  echo the n bytes that follow     D n  drop the n bytes that follow
//   S    shut down writing                C    close                            R    reset
//   P n  read nothing for n milliseconds
// Prints "ready"; on SIGTERM one line of counters, exit 0.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <set>
#include <string>

#include "tests/tcp/channel.h"
#include "tests/tcp/rig.h"

namespace {

using namespace gannet;
using namespace gannet::test;
using namespace gannet::test::tcp;

constexpr std::uint8_t kSalt = 0x42;
constexpr std::size_t kCommandBytes = 8, kOutMax = 65'536;
volatile std::sig_atomic_t stopping = 0;

struct Arguments {
  std::map<std::string, std::string> values;
  [[nodiscard]] std::string text(const std::string& name, const std::string& otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : found->second;
  }
  [[nodiscard]] double number(const std::string& name, double otherwise) const {
    const auto found = values.find(name);
    return found == values.end() ? otherwise : std::strtod(found->second.c_str(), nullptr);
  }
};

MonotonicNs clock_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<MonotonicNs>(now.tv_sec) * 1'000'000'000 + static_cast<MonotonicNs>(now.tv_nsec);
}

/// One client's wishes.
struct Session {
  Frame command;  ///< Bytes of an unfinished one.
  char mode = 0;  ///< 'E' or 'D' while payload follows.
  std::uint32_t payload_left = 0;
  std::uint32_t pattern_left = 0;
  std::uint64_t pattern_at = 0;
  Frame out;  ///< To be written next, from out_at.
  std::size_t out_at = 0;
  MonotonicNs paused_until = 0;
  bool ended = false;  ///< Our FIN is said.
  bool peer_closed = false;
};

class Server {
 public:
  explicit Server(Rig& rig) : rig_(rig) {
    rig_.on_event = [this](const nic::Event& event) {
      if ((event.what & nic::kClosed) != 0) {
        sessions_.erase(event.id);
        paused_.erase(event.id);
        return;
      }
      Session& session = sessions_[event.id];
      if ((event.what & nic::kPeerClosed) != 0) session.peer_closed = true;
      work(event.id, session);
    };
  }

  /// Sessions whose pause is over go on. Gives when the next one is.
  MonotonicNs wake(MonotonicNs now) {
    MonotonicNs next = ~MonotonicNs{0};
    for (auto at = paused_.begin(); at != paused_.end();) {
      Session& session = sessions_[*at];
      if (session.paused_until > now) {
        next = std::min(next, session.paused_until);
        ++at;
        continue;
      }
      const nic::ConnectionId id = *at;
      at = paused_.erase(at);
      session.paused_until = 0;
      work(id, session);
    }
    return next;
  }

 private:
  void work(nic::ConnectionId id, Session& session) {
    nic::Engine& engine = rig_.engine();
    while (engine.is_live(id)) {
      if (!write(id, session)) return;
      if (session.paused_until != 0) return;
      const Bytes piece = engine.readable(id);
      if (piece.empty()) break;
      const std::size_t used = take(id, session, piece);
      if (!engine.is_live(id)) {
        sessions_.erase(id);
        return;
      }
      engine.consume(id, static_cast<std::uint32_t>(used), rig_.sink());
    }
    if (session.peer_closed && engine.is_live(id) && engine.readable_bytes(id) == 0) {
      engine.close(id, rig_.now(), rig_.sink());
      sessions_.erase(id);
    }
  }

  /// False: there is more to write than room.
  bool write(nic::ConnectionId id, Session& session) {
    nic::Engine& engine = rig_.engine();
    while (true) {
      if (session.out_at == session.out.size()) {
        const auto count = std::min<std::uint32_t>(session.pattern_left, 16'384);
        if (count == 0) return true;
        session.out = pattern_bytes(session.pattern_at, count, kSalt);
        session.out_at = 0;
        session.pattern_at += count;
        session.pattern_left -= count;
      }
      const Bytes rest = Bytes(session.out).subspan(session.out_at);
      const std::uint32_t taken = session.ended ? static_cast<std::uint32_t>(rest.size()) : engine.write(id, rest);
      session.out_at += taken;
      if (taken < rest.size()) return false;
    }
  }

  /// Gives how many bytes of `piece` are done with.
  std::size_t take(nic::ConnectionId id, Session& session, Bytes piece) {
    if (session.payload_left > 0) {
      const std::size_t count = std::min({piece.size(), std::size_t{session.payload_left}, kOutMax});
      session.payload_left -= static_cast<std::uint32_t>(count);
      if (session.mode == 'E') {
        session.out.assign(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
        session.out_at = 0;
      }
      return count;
    }
    const std::size_t count = std::min(piece.size(), kCommandBytes - session.command.size());
    session.command.insert(session.command.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count));
    if (session.command.size() == kCommandBytes) {
      const char letter = static_cast<char>(session.command[0]);
      const auto number = load_be<std::uint32_t>(session.command.data() + 4);
      session.command.clear();
      obey(id, session, letter, number, count);
    }
    return count;
  }

  void obey(nic::ConnectionId id, Session& session, char letter, std::uint32_t number, std::size_t count) {
    nic::Engine& engine = rig_.engine();
    switch (letter) {
      case 'W':
        session.pattern_left = number;
        break;
      case 'E':
      case 'D':
        session.mode = letter;
        session.payload_left = number;
        break;
      case 'S':
        engine.shutdown(id);
        session.ended = true;
        break;
      case 'P':
        session.paused_until = rig_.now().mono_ns + MonotonicNs{number} * 1'000'000;
        paused_.insert(id);
        break;
      case 'C':
        // The command itself counts as read, or close would be a reset.
        engine.consume(id, static_cast<std::uint32_t>(count), rig_.sink());
        engine.close(id, rig_.now(), rig_.sink());
        break;
      default:
        engine.abort(id, rig_.now(), rig_.sink());
        break;
    }
  }

  Rig& rig_;
  std::map<nic::ConnectionId, Session> sessions_;
  std::set<nic::ConnectionId> paused_;
};

int open_tap(const std::string& name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) {
    std::fprintf(stderr, "tcp_tap_server: cannot open tap %s: %s\n", name.c_str(), std::strerror(errno));
    std::exit(1);
  }
  return fd;
}

/// Kernel is side 0 of the wire, the engine side 1.
class Loop {
 public:
  Loop(int tap, Rig& rig, const ChannelOptions& wire, std::uint64_t seed)
      : tap_(tap),
        rig_(rig),
        server_(rig),
        wire_(wire, seed),
        lossy_(wire.loss > 0 || wire.mark > 0 || wire.rtt_ns > 1) {
    offset_ = rig.now().mono_ns - clock_ns();
  }

  void run() {
    while (stopping == 0) {
      const MonotonicNs now = clock_ns() + offset_;
      rig_.advance(now);
      const bool busy = take_in(now);
      const MonotonicNs wakes = server_.wake(now);
      rig_.finish_turn();
      give_out();
      if (busy) continue;
      const MonotonicNs next = std::min({rig_.engine().next_timer(), wire_.next(), wakes, now + 50'000'000});
      pollfd ready{tap_, POLLIN, 0};
      const MonotonicNs wait = next > now ? next - now : 0;
      const timespec time{static_cast<time_t>(wait / 1'000'000'000), static_cast<long>(wait % 1'000'000'000)};
      ppoll(&ready, 1, &time, nullptr);
    }
  }

 private:
  bool take_in(MonotonicNs now) {
    std::vector<Frame> burst;
    std::byte buffer[65'536];
    for (int i = 0; i < 64; ++i) {
      const ssize_t bytes = read(tap_, buffer, sizeof buffer);
      if (bytes <= 0) break;
      Frame frame(buffer, buffer + bytes);
      if (lossy_ && is_ip(frame)) {
        wire_.send(0, std::move(frame), now);
      } else {
        burst.push_back(std::move(frame));
      }
    }
    while (wire_.next() <= now) {
      Channel::Arrival arrival = wire_.take();
      if (arrival.side == 1) {
        burst.push_back(std::move(arrival.frame));
      } else {
        to_kernel(arrival.frame);
      }
    }
    if (burst.empty()) return false;
    rig_.receive_burst(burst);
    return true;
  }

  void give_out() {
    for (Rig::Sent& sent : rig_.sent()) {
      if (lossy_ && is_ip(sent.frame)) {
        wire_.send(1, std::move(sent.frame), sent.at);
      } else {
        to_kernel(sent.frame);
      }
    }
    rig_.sent().clear();
  }

  static bool is_ip(const Frame& frame) {
    return frame.size() > 14 && frame[12] == std::byte{8} && frame[13] == std::byte{0};
  }

  /// A frame the kernel does not take is lost, as on a wire.
  void to_kernel(const Frame& frame) { static_cast<void>(!write(tap_, frame.data(), frame.size())); }

  const int tap_;
  Rig& rig_;
  Server server_;
  Channel wire_;
  const bool lossy_;
  MonotonicNs offset_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) {
      std::fprintf(stderr, "tcp_tap_server: \"%s\" is not NAME=VALUE\n", argv[i]);
      return 2;
    }
    arguments.values[word.substr(0, equals)] = word.substr(equals + 1);
  }
  RigOptions options;
  options.checks = options.scribble = false;
  options.buffers = 32'768;
  options.sends = 4096;
  options.spares = 4096;
  options.config.connections_max = static_cast<std::uint32_t>(arguments.number("connections", 8192));
  options.config.half_open_max = static_cast<std::uint32_t>(arguments.number("half_open", 512));
  options.config.time_wait_ns = static_cast<MonotonicNs>(arguments.number("time_wait_ms", 1000) * 1e6);
  options.config.idle_ns = static_cast<MonotonicNs>(arguments.number("idle_ms", 0) * 1e6);
  options.config.receive_packets = 16'384;
  options.config.retries = static_cast<std::uint8_t>(arguments.number("retries", 15));
  options.config.syn_retries = static_cast<std::uint8_t>(arguments.number("syn_retries", 5));
  options.config.rto_max_ns = static_cast<MonotonicNs>(arguments.number("rto_max_ms", 60'000) * 1e6);
  options.config.keepalive_ns = static_cast<MonotonicNs>(arguments.number("keepalive_ms", 7'200'000) * 1e6);
  options.config.keepalive_interval_ns = options.config.keepalive_ns / 4;
  ChannelOptions wire;
  wire.rtt_ns = 1 + static_cast<MonotonicNs>(arguments.number("delay_us", 0) * 2e3);
  wire.loss = arguments.number("loss", 0);
  wire.reorder = arguments.number("reorder", 0);
  wire.duplicate = arguments.number("duplicate", 0);
  wire.corrupt = arguments.number("corrupt", 0);
  wire.mark = arguments.number("mark", 0);

  std::signal(SIGTERM, [](int) { stopping = 1; });
  const int tap = open_tap(arguments.text("device", "gt0"));
  Rig rig(options);
  Loop loop(tap, rig, wire, static_cast<std::uint64_t>(arguments.number("seed", 1)));
  std::printf("ready\n");
  std::fflush(stdout);
  loop.run();
  const nic::Stats& stats = rig.engine().stats();
  rig.engine().check();
  std::printf(
      "done accepted=%llu open=%llu closed=%llu reset_by_peer=%llu aborted=%llu timed_out=%llu retransmits=%llu "
      "timeouts=%llu cookies_sent=%llu cookies_accepted=%llu blocks_used=%llu packets_used=%llu checksum=%llu "
      "ecn_marks=%llu ecn_reductions=%llu tail_probes=%llu spurious=%llu segments_out=%llu\n",
      static_cast<unsigned long long>(stats.accepted), static_cast<unsigned long long>(stats.open),
      static_cast<unsigned long long>(stats.closed), static_cast<unsigned long long>(stats.reset_by_peer),
      static_cast<unsigned long long>(stats.aborted), static_cast<unsigned long long>(stats.timed_out),
      static_cast<unsigned long long>(stats.retransmits), static_cast<unsigned long long>(stats.timeouts),
      static_cast<unsigned long long>(stats.cookies_sent), static_cast<unsigned long long>(stats.cookies_accepted),
      static_cast<unsigned long long>(stats.blocks_used), static_cast<unsigned long long>(stats.receive_packets_used),
      static_cast<unsigned long long>(stats.drop_checksum), static_cast<unsigned long long>(stats.ecn_marks),
      static_cast<unsigned long long>(stats.ecn_reductions), static_cast<unsigned long long>(stats.tail_probes),
      static_cast<unsigned long long>(stats.spurious), static_cast<unsigned long long>(stats.segments_out));
  close(tap);
  return 0;
}
