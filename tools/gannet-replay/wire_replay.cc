#include "tools/gannet-replay/wire_replay.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "storage/base/must.h"
#include "tools/load/wire.h"

namespace gannet::replay {
namespace {

using load::Opcode;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kSetExtras = 8;
/// Longer lifetimes mean a date to a memcache server.
constexpr std::uint32_t kRelativeMax = 30 * 24 * 3600;

constexpr std::uint32_t set_bytes(const Request& request) noexcept {
  return load::kHeaderBytes + kSetExtras + request.key_bytes + request.value_bytes;
}

class Client {
 public:
  Client(load::Link& link, std::uint16_t port, const WireRun& run, Outcome& out)
      : link_(link), port_(port), run_(run), out_(out) {}

  /// First what they ask, then a store for each get that missed.
  void serve(const std::vector<Request>& batch) {
    batch_ = &batch;
    missed_.clear();
    begin();
    for (std::uint32_t i = 0; i < batch.size(); ++i) ask(i, batch[i].operation);
    finish();
    if (!out_.error.empty()) return;
    begin();
    for (const std::uint32_t i : missed_) ask(i, Operation::kSet);
    finish();
  }

 private:
  enum class State : std::uint8_t { kNothing, kGet, kSet, kDelete };

  void begin() {
    state_.assign(batch_->size(), State::kNothing);
    parts_.clear();
    waiting_ = 0;
    ++round_;
  }

  [[nodiscard]] std::uint32_t lifetime(std::uint32_t seconds) const {
    const double shrunk = run_.speed > 0 ? std::ceil(seconds / run_.speed) : seconds;
    const auto lasts = static_cast<std::uint32_t>(std::max(shrunk, 1.0));
    return lasts <= kRelativeMax ? lasts : static_cast<std::uint32_t>(std::time(nullptr)) + lasts;
  }

  void ask(std::uint32_t at, Operation operation) {
    const Request& request = (*batch_)[at];
    const std::uint32_t frame = run_.datagrams ? load::kFrameBytes : 0;
    const bool set = operation == Operation::kSet;
    if (operation == Operation::kGet) {
      ++out_.gets;
      out_.get_bytes += request.key_bytes + request.value_bytes;
    } else {
      served_until_.erase(request.id);
    }
    if (set) ++out_.sets;
    if (set && frame + set_bytes(request) > run_.message_max) {
      ++out_.refused;
      return;
    }
    std::byte* message = link_.open(0, port_);
    if (message == nullptr) {
      (void)link_.flush();  // Datagrams go in portions.
      message = link_.open(0, port_);
    }
    MUST(message != nullptr);
    write(message, request, operation, at);
  }

  void write(std::byte* message, const Request& request, Operation operation, std::uint32_t at) {
    const bool set = operation == Operation::kSet;
    std::byte* out = message;
    if (run_.datagrams) {
      load::write_frame(out, static_cast<std::uint16_t>(round_ * kWireBatchMax + at));
      out += load::kFrameBytes;
    }
    const Opcode opcode = set ? Opcode::kSet : operation == Operation::kGet ? Opcode::kGet : Opcode::kDelete;
    const std::uint32_t extras = set ? kSetExtras : 0, value = set ? request.value_bytes : 0;
    load::write_header(out, opcode, extras, request.key_bytes, value, round_ * kWireBatchMax + at);
    out += load::kHeaderBytes;
    if (set) {
      store_be<std::uint32_t>(out, 0);
      store_be<std::uint32_t>(out + 4, lifetime(request.lifetime_s));
      out += kSetExtras;
    }
    write_key(request.id, out, request.key_bytes);
    out += request.key_bytes;
    if (set) write_value(request.id, out, value);
    out += value;
    link_.close(static_cast<std::uint32_t>(out - message));
    state_[at] = set ? State::kSet : operation == Operation::kGet ? State::kGet : State::kDelete;
    ++waiting_;
  }

  void finish() {
    (void)link_.flush();
    const auto patience = std::chrono::milliseconds(run_.timeout_ms * (run_.datagrams ? 1 : 20));
    const auto until = Clock::now() + patience;
    while (waiting_ > 0 && out_.error.empty()) {
      const std::uint32_t count = link_.receive(inbound_);
      for (std::uint32_t i = 0; i < count; ++i) take(inbound_[i].bytes);
      if (count > 0) {
        silent_ = 0;
        continue;
      }
      if (link_.trouble()[0] != '\0') {
        out_.error = std::string(link_.trouble()) + ".";
      } else if (Clock::now() >= until) {
        give_up();
      } else {
        link_.wait(10'000'000);
      }
    }
  }

  /// What has not been answered is lost: a get of it missed, a store may have been done or not.
  void give_up() {
    constexpr std::uint32_t kSilentMax = 4;
    if (!run_.datagrams || ++silent_ == kSilentMax) {
      out_.error = "the server does not answer.";
      return;
    }
    for (std::uint32_t i = 0; i < state_.size(); ++i) {
      if (state_[i] == State::kNothing) continue;
      ++out_.lost;
      if (state_[i] == State::kGet) note_miss(i);
      state_[i] = State::kNothing;
    }
    waiting_ = 0;
  }

  void take(Bytes message) {
    if (run_.datagrams) {
      if (message.size() < load::kFrameBytes) return;
      const load::Frame frame = load::read_frame(message.data());
      message = message.subspan(load::kFrameBytes);
      if (frame.datagrams != 1 && !join(frame, message)) return;
    }
    load::Answer answer;
    if (!load::read_answer(message, answer)) {
      out_.error = "the server sent something that is no binary answer.";
      return;
    }
    const std::uint32_t at = answer.opaque % kWireBatchMax;
    // A datagram that was given up comes late, or twice.
    if (answer.opaque / kWireBatchMax != round_ % (1u << 24) || at >= state_.size() || state_[at] == State::kNothing) {
      return;
    }
    const Request& request = (*batch_)[at];
    const State state = std::exchange(state_[at], State::kNothing);
    --waiting_;
    if (state == State::kGet) return take_get(at, request, answer);
    if (state == State::kDelete) return;
    if (answer.status != load::kStatusOk) {
      ++out_.refused;
      return;
    }
    out_.stored_bytes += request.key_bytes + request.value_bytes;
    served_until_[request.id] = request.second + request.lifetime_s;
  }

  /// An answer of several datagrams, in whatever order. True: `message` was the last one, and is the whole answer now.
  bool join(const load::Frame& frame, Bytes& message) {
    std::map<std::uint16_t, std::vector<std::byte>>& parts = parts_[frame.request_id];
    if (frame.sequence >= frame.datagrams) return false;
    parts[frame.sequence].assign(message.begin(), message.end());
    if (parts.size() != frame.datagrams) return false;
    whole_.clear();
    for (const auto& [sequence, part] : parts) whole_.insert(whole_.end(), part.begin(), part.end());
    parts_.erase(frame.request_id);
    message = whole_;
    return true;
  }

  void take_get(std::uint32_t at, const Request& request, const load::Answer& answer) {
    if (answer.status != load::kStatusOk) return note_miss(at);
    const auto known = served_until_.find(request.id);
    // What an earlier user of this server has stored is not ours to count as a hit.
    if (known == served_until_.end() || request.second >= known->second) return note_miss(at);
    out_.wrong += !is_value(request.id, answer.value, request.value_bytes);
  }

  void note_miss(std::uint32_t at) {
    const Request& request = (*batch_)[at];
    ++out_.misses;
    out_.miss_bytes += request.key_bytes + request.value_bytes;
    missed_.push_back(at);
  }

  load::Link& link_;
  const std::uint16_t port_;
  const WireRun run_;
  Outcome& out_;
  const std::vector<Request>* batch_ = nullptr;
  std::vector<State> state_;
  std::vector<std::uint32_t> missed_;
  /// Of answers that have not come whole, by the number in the frame: their datagrams by sequence.
  std::unordered_map<std::uint16_t, std::map<std::uint16_t, std::vector<std::byte>>> parts_;
  std::vector<std::byte> whole_;
  std::array<load::Inbound, load::kInboundMax> inbound_;
  std::unordered_map<std::uint64_t, std::uint32_t> served_until_;  ///< First second of the trace in which it is gone.
  std::uint32_t waiting_ = 0, round_ = 0, silent_ = 0;
};

}  // namespace

std::uint32_t longest_set(const Trace& trace) {
  std::uint32_t longest = 0;
  for (std::size_t i = 0; i < trace.size(); ++i) longest = std::max(longest, set_bytes(trace[i]));
  return longest;
}

Outcome replay_over(load::Link& link, std::uint16_t port, const Trace& trace, const WireRun& run,
                    const std::function<void(std::size_t)>& progress) {
  constexpr std::size_t kProgressEvery = 1 << 12;
  MUST(run.batch >= 1 && run.batch <= kWireBatchMax);
  Outcome out;
  Client client(link, port, run, out);
  std::vector<Request> batch;
  const auto begin = Clock::now();
  std::size_t told = 0;
  for (std::size_t next = 0; next < trace.size() && out.error.empty();) {
    batch.clear();
    const std::uint32_t second = trace[next].second;
    if (run.speed > 0) {
      const std::chrono::duration<double> due(static_cast<double>(second - trace[0].second) / run.speed);
      while (Clock::now() - begin < due) link.wait(1'000'000);
    }
    for (; next < trace.size() && batch.size() < run.batch; ++next) {
      const Request request = trace[next];
      const bool again = std::any_of(batch.begin(), batch.end(), [&](const Request& r) { return r.id == request.id; });
      if (again || (run.speed > 0 && request.second != second)) break;
      batch.push_back(request);
    }
    client.serve(batch);
    if (next - told >= kProgressEvery && progress) progress(told = next);
    out.requests = next;
  }
  out.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return out;
}

}  // namespace gannet::replay
