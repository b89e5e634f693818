#include "tests/tcp/runner.h"

#include <algorithm>
#include <memory>

#include "tests/tcp/conversation.h"

namespace gannet::test::tcp {
namespace {

constexpr MonotonicNs kEarlyNs = 1'000'000, kLateNs = 2'000'000;

std::string time_text(MonotonicNs ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f s", static_cast<double>(ns) / 1e9);
  return text;
}

class Runner {
 public:
  explicit Runner(const Script& script) : script_(script), settings_(settings_of(script)) {
    if (!settings_.fault.empty()) throw Fault{settings_.fault};
    rig_ = std::make_unique<Rig>(settings_.options);
    start_ = last_ = rig_->now().mono_ns;
    rig_->on_event = [this](const nic::Event& event) { note(event); };
  }

  void run() {
    for (const Step& step : script_.steps) {
      step_ = &step;
      play(step);
    }
    step_ = nullptr;
    if (!rig_->sent().empty()) throw Fault{"sent behind the script's end:\n    " + next_text()};
  }

  [[nodiscard]] std::string told(const std::string& what) const {
    std::string text = script_.name + ".tcp proves \"" + script_.proves + "\"\n";
    if (step_ != nullptr) text += "  line " + std::to_string(step_->line) + ": " + step_->text + "\n";
    text += "  " + what + "\n  so far:\n";
    for (const std::string& line : trace_) text += "    " + line + "\n";
    return text;
  }

 private:
  /// The peers' timestamps: milliseconds of the script, and a thousand.
  [[nodiscard]] std::uint32_t peer_clock() const {
    return static_cast<std::uint32_t>((rig_->now().mono_ns - start_) / 1'000'000) + 1000;
  }

  void trace(const std::string& text) {
    trace_.push_back(time_text(rig_->now().mono_ns - start_) + "  " + text);
    if (trace_.size() > 40) trace_.erase(trace_.begin());
  }

  void note(const nic::Event& event) {
    nic::Tuple tuple;
    if (!known_.contains(event.id) && rig_->engine().tuple(event.id, tuple)) {
      for (auto& [number, peer] : talk_.peers())
        if (peer.way.from.port == tuple.peer_port && peer.way.to.port == tuple.own_port && !is_over(peer))
          known_[event.id] = number;
    }
    const auto found = known_.find(event.id);
    if (found == known_.end()) return;
    Peer& peer = talk_.peers().at(found->second);
    if (!peer.id || (event.what & nic::kOpened) != 0) peer.id = event.id;
    peer.events |= event.what;
    if ((event.what & nic::kClosed) != 0) peer.reason = event.reason;
  }

  [[nodiscard]] static bool is_over(const Peer& peer) { return peer.reason != nic::Close::kNone; }

  [[nodiscard]] std::string next_text() {
    const Rig::Sent& sent = rig_->sent().front();
    return time_text(sent.at - start_) + "  " + talk_.text_of(read_sent(sent.frame));
  }

  void must_be_quiet() {
    if (!rig_->sent().empty()) throw Fault{"not expected before this line:\n    " + next_text()};
  }

  void wait(MonotonicNs ns) {
    must_be_quiet();
    const MonotonicNs to = last_ + ns;
    rig_->advance(std::max(to, rig_->now().mono_ns));
    must_be_quiet();
    last_ = rig_->now().mono_ns;
  }

  void expect(const Step& step) {
    MonotonicNs earliest = last_ + step.from_ns, latest = last_ + step.to_ns;
    latest += step.to_ns == 0 ? 0 : kLateNs;
    if (!step.range) {
      earliest -= std::min(earliest, step.from_ns == 0 ? 0 : kEarlyNs);
    }
    if (rig_->sent().empty() && !rig_->advance_until_sent(latest))
      throw Fault{"nothing was sent until " + time_text(latest - start_)};
    const Rig::Sent sent = rig_->sent().front();
    if (sent.at < earliest) throw Fault{"too early:\n    " + next_text()};
    if (sent.at > latest) throw Fault{"too late:\n    " + next_text()};
    const Segment got = read_sent(sent.frame);
    talk_.match(step.segment, got);
    trace(talk_.text_of(got));
    rig_->sent().erase(rig_->sent().begin());
    last_ = sent.at;
  }

  // What comes in.

  void deliver(const Segment& segment, const std::string& text) {
    trace("< " + text);
    rig_->receive(to_frame(segment));
  }

  void play_in(const Step& step) {
    wait(step.from_ns);
    deliver(talk_.segment_of(step.segment, peer_clock()), step.text);
  }

  /// "TYPE CODE [rest N] seq N [short N] [@P]": about a segment of ours with that sequence number.
  void play_icmp(const Step& step) {
    wait(step.from_ns);
    std::uint32_t type = 0, code = 0, rest = 0, seq = 0, quoted = 8, number = 1;
    const auto& words = step.words;
    bool right = words.size() >= 2 && parse_number(words[0], type) && parse_number(words[1], code);
    for (std::size_t i = 2; right && i < words.size(); i += 2) {
      right = i + 1 < words.size();
      if (!right) break;
      std::uint32_t& target = words[i] == "rest"    ? rest
                              : words[i] == "seq"   ? seq
                              : words[i] == "short" ? quoted
                                                    : number;
      right = parse_number(words[i + 1], target);
    }
    if (!right) throw Fault{"icmp TYPE CODE [rest N] seq N [short N] [peer P]"};
    const Peer& about = talk_.peer(number);
    Segment ours = about.way;
    std::swap(ours.from, ours.to);
    ours.flags = kAck;
    ours.seq = seq + about.our_isn;
    trace(step.text);
    rig_->receive(icmp_error(about.way.from.address, ours, static_cast<std::uint8_t>(type),
                             static_cast<std::uint8_t>(code), rest, quoted));
  }

  void play_open(const Step& step) {
    wait(step.from_ns);
    Peer& from = talk_.peer(step.segment.peer);
    SegmentWords syn = step.segment;
    syn.flags = kSyn;
    syn.seq = Number{};
    syn.data.reset();
    if (!syn.options) {
      syn.options.emplace();
      syn.options->mss = Number{Number::Kind::kValue, 1460, {}};
    }
    deliver(talk_.segment_of(syn, peer_clock()), step.text);
    if (rig_->sent().empty()) throw Fault{"the SYN was not answered"};
    const Segment answer = read_sent(rig_->sent().front().frame);
    from.our_isn = answer.seq;
    from.knows_us = true;
    if (answer.flags != (kSyn | kAck) || answer.ack != from.isn + 1)
      throw Fault{"the SYN was answered with\n    " + next_text()};
    if (answer.timestamps) from.last_ts = answer.timestamps->value;
    from.timestamps = answer.timestamps && syn.options->ts_value;
    trace(talk_.text_of(answer));
    rig_->sent().erase(rig_->sent().begin());
    wait(step.segment.rtt_ns);
    SegmentWords ack;
    ack.peer = step.segment.peer;
    ack.flags = kAck;
    ack.seq = ack.ack = Number{Number::Kind::kValue, 1, {}};
    deliver(talk_.segment_of(ack, peer_clock()), "the handshake's ACK");
    if ((from.events & nic::kOpened) == 0) throw Fault{"the handshake is done and the application was not told"};
    must_be_quiet();
  }

  /// "N": SYNs of that many others, whose answers nobody looks at.
  void play_flood(const Step& step) {
    wait(step.from_ns);
    std::uint32_t count = 0;
    if (step.words.size() != 1 || !parse_number(step.words[0], count)) throw Fault{"flood COUNT"};
    Segment syn = talk_.peer(1).way;
    syn.flags = kSyn;
    syn.window = 65535;
    syn.mss = 1460;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t host = flooded_++;
      syn.from.address.bytes[14] = static_cast<std::uint8_t>(100 + host / 250 % 100);
      syn.from.address.bytes[15] = static_cast<std::uint8_t>(1 + host % 250);
      syn.from.port = static_cast<std::uint16_t>(2000 + host / 25'000);
      syn.seq = host * 7919;
      rig_->receive(to_frame(syn));
    }
    trace(step.text);
    std::erase_if(rig_->sent(), [&](const Rig::Sent& sent) { return talk_.is_strangers(read_sent(sent.frame)); });
  }

  /// "NUMBER [address A] [port P] [to P] [isn N]": who that peer is.
  void play_peer(const Step& step) {
    std::uint32_t number = 0;
    bool right = step.words.size() % 2 == 1 && parse_number(step.words[0], number);
    for (std::size_t i = 1; right && i + 1 < step.words.size(); i += 2) {
      Peer& it = talk_.peer(number);
      std::uint32_t value = 0;
      if (step.words[i] == "address") {
        it.way.from.address = address(step.words[i + 1]);
        continue;
      }
      right = parse_number(step.words[i + 1], value);
      if (step.words[i] == "port") {
        it.way.from.port = static_cast<std::uint16_t>(value);
      } else if (step.words[i] == "to") {
        it.way.to.port = static_cast<std::uint16_t>(value);
      } else if (step.words[i] == "isn") {
        it.isn = value;
      } else {
        right = false;
      }
    }
    if (!right) throw Fault{"peer NUMBER [address A] [port P] [to P] [isn N]"};
  }

  /// "A..B TIME [FLAGS]": how many frames are sent until then; flags: only those are counted, others may not come.
  void play_count(const Step& step) {
    std::uint32_t least = 0, most = 0;
    MonotonicNs ns = 0;
    const std::string& range = step.words.empty() ? std::string() : step.words[0];
    const std::size_t dots = range.find("..");
    const bool right = step.words.size() >= 2 && parse_time(step.words[1], ns) &&
                       (dots == std::string::npos
                            ? parse_number(range, least) && parse_number(range, most)
                            : parse_number(range.substr(0, dots), least) && parse_number(range.substr(dots + 2), most));
    if (!right) throw Fault{"count A..B TIME [FLAGS]"};
    rig_->advance(std::max(last_ + ns, rig_->now().mono_ns));
    last_ = rig_->now().mono_ns;
    for (const Rig::Sent& sent : rig_->sent()) {
      const Segment segment = read_sent(sent.frame);
      trace(time_text(sent.at - start_) + " " + talk_.text_of(segment));
      const std::uint8_t flags = segment.flags & static_cast<std::uint8_t>(~kPsh);
      if (step.words.size() > 2 && flags_text(flags) != step.words[2])
        throw Fault{"among them:\n    " + talk_.text_of(segment)};
      if (segment.timestamps) talk_.peer(1).last_ts = segment.timestamps->value;
    }
    const std::size_t count = rig_->sent().size();
    rig_->sent().clear();
    if (count < least || count > most) throw Fault{std::to_string(count) + " frames were sent"};
  }

  // The application.

  [[nodiscard]] nic::ConnectionId connection(Peer& of) {
    if (!of.id) throw Fault{"the application knows of no such connection"};
    return *of.id;
  }

  void play_event(const Step& step, bool wanted) {
    wait(step.from_ns);
    std::size_t at = 0;
    Peer& of = talk_.peer(peer_word(step.words, at));
    if (at >= step.words.size()) throw Fault{"event NAME"};
    const std::string& name = step.words[at];
    const std::uint8_t bit = event_bit(name);
    if (bit == 0) throw Fault{"\"" + name + "\" is no event"};
    if (((of.events & bit) != 0) != wanted) throw Fault{wanted ? "it did not happen" : "it happened"};
    of.events &= static_cast<std::uint8_t>(~bit);
    if (bit == nic::kClosed && wanted && at + 1 < step.words.size() && close_text(of.reason) != step.words[at + 1])
      throw Fault{"closed for another reason: " + close_text(of.reason)};
  }

  [[nodiscard]] static std::uint32_t peer_word(const std::vector<std::string>& words, std::size_t& at) {
    std::uint32_t number = 1;
    if (at < words.size() && words[at].starts_with("@") && parse_number(words[at].substr(1), number)) ++at;
    return number;
  }

  void play_app(const Step& step) {
    wait(step.from_ns);
    trace("app " + step.text);
    std::size_t at = 0;
    Peer& of = talk_.peer(peer_word(step.words, at));
    // "app write 10 ; write 20": one turn.
    while (at < step.words.size()) {
      std::vector<std::string> command;
      for (; at < step.words.size() && step.words[at] != ";"; ++at) command.push_back(step.words[at]);
      ++at;
      if (!command.empty()) act(of, command);
    }
    rig_->finish_turn();
  }

  void act(Peer& of, const std::vector<std::string>& words) {
    std::uint32_t count = 0;
    const std::string& verb = words[0];
    if (words.size() > 1 && !parse_number(words[1], count)) throw Fault{"\"" + words[1] + "\" is no number"};
    nic::Engine& engine = rig_->engine();
    if (verb == "read") {
      read_app(of, count);
    } else if (verb == "readable") {
      const std::uint32_t got = engine.readable_bytes(connection(of));
      if (got != count) throw Fault{std::to_string(got) + " bytes are readable"};
    } else if (verb == "write" || verb == "pin") {
      write_app(of, words, count);
    } else if (verb == "shutdown") {
      engine.shutdown(connection(of));
    } else if (verb == "close") {
      engine.close(connection(of), rig_->now(), rig_->sink());
    } else if (verb == "abort") {
      engine.abort(connection(of), rig_->now(), rig_->sink());
    } else if (verb == "connect") {
      of.id = engine.connect(0, of.way.to.port, settings_.v6 ? settings_.peer_ip6 : settings_.peer_ip, of.way.from.port,
                             tcp::mac_of(of.way.from.address), rig_->now(), rig_->sink());
      if (!engine.is_live(*of.id)) throw Fault{"connect was refused"};
      known_[*of.id] = peer_number(of);
    } else if (verb == "unacknowledged") {
      const std::uint32_t got = engine.unacknowledged(connection(of));
      if (got != count) throw Fault{std::to_string(got) + " bytes are unacknowledged"};
    } else if (verb == "starve") {
      rig_->starve(count != 0);
    } else if (verb == "stale") {
      if (engine.is_live(connection(of))) throw Fault{"the id is still live"};
    } else {
      const std::optional<std::uint64_t> value = stat_of(engine.stats(), verb);
      if (!value) throw Fault{"\"" + verb + "\" is nothing the application does, and no counter"};
      if (*value != count) throw Fault{verb + " is " + std::to_string(*value)};
    }
  }

  [[nodiscard]] std::uint32_t peer_number(const Peer& of) {
    for (const auto& [number, peer] : talk_.peers())
      if (&peer == &of) return number;
    return 0;
  }

  void read_app(Peer& of, std::uint32_t count) {
    nic::Engine& engine = rig_->engine();
    const nic::ConnectionId id = connection(of);
    if (engine.readable_bytes(id) < count)
      throw Fault{"only " + std::to_string(engine.readable_bytes(id)) + " bytes are readable"};
    while (count > 0) {
      const Bytes piece = engine.readable(id);
      if (piece.empty()) throw Fault{"readable() is empty before readable_bytes() are read"};
      const auto bytes = std::min(count, static_cast<std::uint32_t>(piece.size()));
      if (pattern_fault(piece.first(bytes), of.app_read, kPeerSalt) != bytes)
        throw Fault{"wrong bytes around stream position " +
                    std::to_string(of.app_read + pattern_fault(piece.first(bytes), of.app_read, kPeerSalt))};
      engine.consume(id, bytes, rig_->sink());
      of.app_read += bytes;
      count -= bytes;
    }
  }

  void write_app(Peer& of, const std::vector<std::string>& words, std::uint32_t count) {
    pinned_.push_back(pattern_bytes(of.app_written, count, kOurSalt));
    const Bytes bytes = pinned_.back();
    std::uint32_t taken = 0, expected = count;
    if (words[0] == "pin") {
      taken = rig_->write_pinned(connection(of), bytes) ? count : 0;
    } else {
      taken = rig_->engine().write(connection(of), bytes);
      pinned_.pop_back();
    }
    if (words.size() == 4 && words[2] == "takes" && !parse_number(words[3], expected)) throw Fault{"takes NUMBER"};
    if (taken != expected) throw Fault{std::to_string(taken) + " bytes were taken"};
    of.app_written += taken;
  }

  void play(const Step& step) {
    switch (step.kind) {
      case Step::Kind::kIn:
        return play_in(step);
      case Step::Kind::kOut:
        return expect(step);
      case Step::Kind::kSilence:
        wait(step.from_ns);
        trace("silence until here");
        return;
      case Step::Kind::kOpen:
        return play_open(step);
      case Step::Kind::kIcmp:
        return play_icmp(step);
      case Step::Kind::kApp:
        return play_app(step);
      case Step::Kind::kEvent:
        return play_event(step, true);
      case Step::Kind::kNoEvent:
        return play_event(step, false);
      case Step::Kind::kFlood:
        return play_flood(step);
      case Step::Kind::kWho:
        return play_peer(step);
      case Step::Kind::kCount:
        return play_count(step);
    }
  }

  const Script& script_;
  Settings settings_;
  std::vector<Frame> pinned_;
  std::unique_ptr<Rig> rig_;
  MonotonicNs start_ = 0, last_ = 0;
  Conversation talk_{settings_};
  std::map<nic::ConnectionId, std::uint32_t> known_;
  std::uint32_t flooded_ = 0;
  std::vector<std::string> trace_;
  const Step* step_ = nullptr;
};

}  // namespace

std::string run_script(const Script& script) {
  std::unique_ptr<Runner> runner;
  try {
    runner = std::make_unique<Runner>(script);
    runner->run();
  } catch (const Fault& fault) {
    return runner ? runner->told(fault.text) : script.name + ".tcp: " + fault.text;
  }
  return "";
}

}  // namespace gannet::test::tcp
