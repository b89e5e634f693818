/// Streams without TCP: workers over shards, each with an engine's door in plain memory, turned by hand. What a client
/// sends arrives in the pieces the test chooses; what comes back is one string a connection.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/core/stream_stage.h"
#include "storage/geometry.h"
#include "storage/shard.h"

namespace gannet::test {

/// The application's side of nicpipe::tcp::Engine, kept to the letter: spans die when the door says so, and a freed
/// piece is overwritten.
class FakeEngine {
 public:
  using ConnectionId = nicpipe::tcp::ConnectionId;
  using Event = nicpipe::tcp::Event;

  FakeEngine(std::uint32_t connections, std::uint32_t send_bytes_max)
      : connections_(connections), send_bytes_max_(send_bytes_max) {}
  ~FakeEngine() {
    for (Connection& connection : connections_) release_pins(connection);
  }
  void set_hooks(const nicpipe::tcp::PinHooks& hooks) { hooks_ = hooks; }

  // The test's side.
  ConnectionId open() {
    for (std::uint32_t slot = 0; slot < connections_.size(); ++slot) {
      Connection& connection = connections_[slot];
      if (connection.live || connection.events != 0) continue;
      const std::uint32_t generation = connection.generation + 1;
      connection = Connection{};
      connection.generation = generation;
      connection.live = true;
      tell(connection, nicpipe::tcp::kOpened);
      return {slot, generation};
    }
    throw std::runtime_error("no slot is free");
  }
  void arrive(ConnectionId id, std::string_view piece) {
    Connection& connection = at(id);
    connection.in.emplace_back(piece);
    connection.in_bytes += piece.size();
    tell(connection, nicpipe::tcp::kReadable);
  }
  void fin(ConnectionId id) {
    Connection& connection = at(id);
    connection.peer_closed = true;
    tell(connection, nicpipe::tcp::kPeerClosed);
    if (connection.shut) gone(connection);
  }
  void reset(ConnectionId id) { gone(at(id)); }
  /// The peer acknowledges everything it has: room to write, pins come free.
  std::string acknowledge(ConnectionId id, std::size_t most = ~std::size_t{0}) {
    Connection& connection = connections_[id.slot];
    if (connection.generation != id.generation) return {};
    std::string bytes = connection.out.substr(0, most);
    connection.out.erase(0, bytes.size());
    if (connection.out.empty()) release_pins(connection);
    if (connection.live && connection.wants && writable_bytes(id) >= send_bytes_max_ / 4) {
      connection.wants = false;
      tell(connection, nicpipe::tcp::kWritable);
    }
    return bytes;
  }
  [[nodiscard]] bool live(ConnectionId id) const {
    return connections_[id.slot].live && connections_[id.slot].generation == id.generation;
  }
  [[nodiscard]] bool shut(ConnectionId id) const {
    const Connection& connection = connections_[id.slot];
    return connection.generation != id.generation || connection.shut || !connection.live;
  }
  [[nodiscard]] std::size_t unread(ConnectionId id) const { return connections_[id.slot].in_bytes; }
  [[nodiscard]] bool has_events() const {
    return std::any_of(connections_.begin(), connections_.end(), [](const Connection& c) { return c.events != 0; });
  }
  std::uint64_t pinned_writes = 0;

  // The door.
  std::uint32_t take_events(std::span<Event> events) noexcept {
    std::uint32_t count = 0;
    for (std::uint32_t slot = 0; slot < connections_.size() && count < events.size(); ++slot) {
      Connection& connection = connections_[slot];
      if (connection.events == 0) continue;
      events[count++] = {.id = {slot, connection.generation}, .what = connection.events};
      connection.events = 0;
    }
    return count;
  }
  MutableBytes readable(ConnectionId id) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr || connection->in.empty()) return {};
    return {reinterpret_cast<std::byte*>(connection->in.front().data()), connection->in.front().size()};
  }
  std::uint32_t readable_bytes(ConnectionId id) noexcept {
    Connection* connection = find(id);
    return connection == nullptr ? 0 : static_cast<std::uint32_t>(connection->in_bytes);
  }
  void consume(ConnectionId id, std::uint32_t bytes, nicpipe::tcp::Sink&) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr) return;
    MUST_LE(bytes, connection->in_bytes);
    connection->in_bytes -= bytes;
    while (bytes > 0) {
      std::string& piece = connection->in.front();
      const auto n = std::min<std::size_t>(bytes, piece.size());
      std::fill_n(piece.begin(), n, '\xee');
      if (n == piece.size()) {
        connection->in.pop_front();
      } else {
        piece = std::string(piece, n);  // Elsewhere: an old span shows rubbish.
      }
      bytes -= static_cast<std::uint32_t>(n);
    }
  }
  std::uint32_t write(ConnectionId id, Bytes bytes) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr || connection->shut) return 0;
    const auto n = std::min<std::size_t>(bytes.size(), writable_bytes(id));
    connection->out += as_text(bytes.first(n));
    if (n < bytes.size()) connection->wants = true;
    return static_cast<std::uint32_t>(n);
  }
  MutableBytes extend(ConnectionId id, std::uint32_t bytes) noexcept {
    Connection* connection = find(id);
    if (!can_write(id, bytes) || ++extends % 3 == 0) return {};  // Now and then it would not lie in one piece.
    std::string& out = connection->out;
    out.resize(out.size() + bytes, '\xee');
    return as_writable_bytes(std::span(out)).last(bytes);
  }
  bool can_write(ConnectionId id, std::uint32_t bytes) noexcept { return writable_bytes(id) >= bytes; }
  std::uint64_t extends = 0;
  std::uint32_t writable_bytes(ConnectionId id) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr || connection->shut || connection->out.size() >= send_bytes_max_) return 0;
    return static_cast<std::uint32_t>(send_bytes_max_ - connection->out.size());
  }
  bool write_pinned(ConnectionId id, Bytes bytes, std::uint32_t pin) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr || connection->shut || connection->out.size() >= send_bytes_max_) return false;
    connection->out += as_text(bytes);
    connection->pins.push_back(pin);
    ++pinned_writes;
    return true;
  }
  void want_writable(ConnectionId id) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr) return;
    if (writable_bytes(id) >= send_bytes_max_ / 4) return tell(*connection, nicpipe::tcp::kWritable);
    connection->wants = true;
  }
  void shutdown(ConnectionId id) noexcept {
    Connection* connection = find(id);
    if (connection == nullptr) return;
    connection->shut = true;
    if (connection->peer_closed) gone(*connection);
  }
  void close(ConnectionId id, Now, nicpipe::tcp::Sink&) noexcept { end(id); }
  void abort(ConnectionId id, Now, nicpipe::tcp::Sink&) noexcept { end(id); }

 private:
  struct Connection {
    std::uint32_t generation = 0;
    bool live = false, peer_closed = false, shut = false, wants = false;
    std::uint8_t events = 0;
    std::deque<std::string> in;
    std::size_t in_bytes = 0;
    std::string out;
    std::vector<std::uint32_t> pins;
  };
  Connection* find(ConnectionId id) noexcept { return live(id) ? &connections_[id.slot] : nullptr; }
  Connection& at(ConnectionId id) {
    if (!live(id)) throw std::runtime_error("the connection is gone");
    return connections_[id.slot];
  }
  void tell(Connection& connection, std::uint8_t what) noexcept { connection.events |= what; }
  void release_pins(Connection& connection) noexcept {
    for (const std::uint32_t pin : connection.pins) hooks_.release(hooks_.context, pin);
    connection.pins.clear();
  }
  void gone(Connection& connection) noexcept {
    release_pins(connection);
    connection.live = false;
    tell(connection, nicpipe::tcp::kClosed);
  }
  void end(ConnectionId id) noexcept {
    if (Connection* connection = find(id); connection != nullptr) {
      release_pins(*connection);
      connection->live = false;
      connection->events = 0;
    }
  }

  std::vector<Connection> connections_;
  const std::uint32_t send_bytes_max_;
  nicpipe::tcp::PinHooks hooks_;
};

struct StreamRigOptions {
  std::uint32_t workers = 1;
  std::uint32_t connections = 16;
  std::uint32_t send_bytes_max = 1 << 20;
  std::size_t shard_bytes = 8u << 20;
  const dataplane::SaslUsers* users = nullptr;
  UnixSeconds now = 1'800'000'000;
};

class StreamRig {
 public:
  using Streams = dataplane::Streams<storage::Shard, FakeEngine>;
  using Options = StreamRigOptions;
  struct Line {
    std::uint32_t worker = 0;
    nicpipe::tcp::ConnectionId id;
  };

  explicit StreamRig(const Options& options = {})
      : shared_(std::make_unique<abi::Shared>()),
        group_(std::make_unique<dataplane::WorkerGroup>(*shared_, options.workers)),
        now_{.unix_s = options.now, .mono_ns = 1'000'000'000} {
    for (std::uint32_t k = 0; k < options.workers; ++k) {
      memory_.push_back(std::make_unique<Block[]>(options.shard_bytes / sizeof(Block)));
      std::string why;
      shards_.push_back(storage::Shard::format({memory_.back()[0].bytes, options.shard_bytes},
                                               {.item_bytes_max = storage::usual_item_bytes_max(options.shard_bytes),
                                                .hash_key = {11 + k, 13},
                                                .now = options.now},
                                               why));
      if (!shards_.back()) throw std::runtime_error(why);
      streams_.push_back(std::make_unique<Streams>(
          *group_, *shards_.back(),
          dataplane::StreamOptions{.index = k, .connections_max = options.connections, .users = options.users}));
      engines_.push_back(std::make_unique<FakeEngine>(options.connections, options.send_bytes_max));
      engines_.back()->set_hooks(streams_.back()->pin_hooks());
      streams_.back()->attach(*engines_.back());
    }
  }
  /// end_all(), then the memory.
  ~StreamRig() { end_all(); }
  /// Ends every connection; aborts the program when a pin, a room or a parcel is missing. The rig may be used again:
  /// the stores keep their items.
  void end_all() {
    for (std::uint32_t k = 0; k < streams_.size(); ++k) streams_[k]->hang_up(now_, sink_, true);
    for (int turns = 0; turns < 10; ++turns) turn();
    std::string fault;
    for (std::uint32_t k = 0; k < streams_.size(); ++k) {
      if (!streams_[k]->drained()) fault = "parcels are left";
      if (streams_[k]->sessions() != 0) fault = "sessions are left";
      const storage::Stats stats = shards_[k]->stats();
      if (stats.pins != 0) fault = "pins are left";
      if (stats.reservations != 0) fault = "reservations are left";
      if (const auto report = shards_[k]->audit(now_.unix_s); report.faults != 0) fault = report.first_fault;
    }
    if (fault.empty()) return;
    std::fprintf(stderr, "the books of the streams do not balance: %s\n", fault.c_str());
    std::abort();
  }
  StreamRig(const StreamRig&) = delete;
  StreamRig& operator=(const StreamRig&) = delete;

  [[nodiscard]] Line connect(std::uint32_t worker = 0) { return {worker, engines_[worker]->open()}; }
  FakeEngine& engine(const Line& line) { return *engines_[line.worker]; }
  FakeEngine& engine(std::uint32_t worker = 0) { return *engines_[worker]; }
  Streams& streams(std::uint32_t worker = 0) { return *streams_[worker]; }
  storage::Shard& shard(std::uint32_t worker = 0) { return *shards_[worker]; }
  abi::WorkerCounters& counters(std::uint32_t worker = 0) { return shared_->worker[worker].counters; }
  /// Every item of every worker is gone.
  void flush() {
    for (auto& shard : shards_) shard->flush(0, now_.unix_s);
  }
  void advance(std::uint32_t seconds) {
    now_.unix_s += seconds, now_.mono_ns += seconds * std::uint64_t{1'000'000'000};
  }

  /// One worker's, on its thread, with a sink of that thread's.
  bool turn(std::uint32_t worker, Now now, nicpipe::tcp::Sink& sink) { return streams_[worker]->turn(now, sink); }
  bool turn() {
    bool busy = false;
    now_.mono_ns += 1'000;
    for (auto& streams : streams_) busy |= streams->turn(now_, sink_);
    return busy;
  }
  /// Turns until nothing moves any more.
  void settle() {
    for (std::uint32_t idle = 0, turns = 0; idle < 3; ++turns) {
      const bool busy = turn();
      idle = busy || group_->packets_travelling() != 0 ? 0 : idle + 1;
      if (turns == 1'000'000) throw std::runtime_error("the streams do not come to rest");
    }
  }
  /// In pieces of `piece` bytes, all there before the first turn, or a turn after each.
  void send(const Line& line, std::string_view bytes, std::size_t piece = 1448, bool turn_between = false) {
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      engine(line).arrive(line.id, bytes.substr(at, piece));
      if (turn_between) turn();
    }
  }
  /// Sends, and gives all that comes back once everything is at rest; the peer reads at once.
  [[nodiscard]] std::string exchange(const Line& line, std::string_view bytes, std::size_t piece = 1448,
                                     bool turn_between = false) {
    send(line, bytes, piece, turn_between);
    std::string answer;
    for (;;) {
      settle();
      const std::string more = engine(line).acknowledge(line.id);
      if (more.empty() && !engine(line).has_events()) return answer;
      answer += more;
    }
  }

 private:
  struct alignas(64) Block {
    std::byte bytes[64];
  };
  std::unique_ptr<abi::Shared> shared_;
  std::unique_ptr<dataplane::WorkerGroup> group_;
  std::vector<std::unique_ptr<Block[]>> memory_;
  std::vector<std::unique_ptr<storage::Shard>> shards_;
  std::vector<std::unique_ptr<Streams>> streams_;
  std::vector<std::unique_ptr<FakeEngine>> engines_;  // Before the streams in death: they give pins back.
  nicpipe::tcp::Sink sink_{1, 1, 1};
  Now now_;
};

}  // namespace gannet::test
