#include "tools/load/engine.h"

#include <fmt/format.h>
#include <nmmintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace gannet::load {
namespace {

constexpr std::uint32_t kSendsPerTurn = 64;      // Then answers are looked at again.
constexpr std::uint32_t kSendsPerFlow = 16;      // In a row: fewer system calls, still spread over the flows.
constexpr std::uint64_t kIdleNsMax = 1'000'000;  // Longest sleep, so that a stop is seen.
constexpr std::uint64_t kPreloadPatienceNs = 3'000'000'000;
constexpr std::size_t kFillsMax = 1 << 16;

constexpr std::uint32_t share(std::uint64_t all, std::uint32_t part, std::uint32_t parts) {
  return static_cast<std::uint32_t>(all * part / parts);
}

}  // namespace

std::uint32_t owner_of(Bytes key, std::uint32_t workers) noexcept {
  std::uint32_t crc = ~0u;
  for (const std::byte byte : key) crc = _mm_crc32_u8(crc, std::to_integer<std::uint8_t>(byte));
  return static_cast<std::uint32_t>((std::uint64_t{~crc} * workers) >> 32);
}

Engine::Engine(const Options& options, const Keyspace& keyspace, Link& link, Tally& tally, std::uint32_t thread,
               Clock clock)
    : options_(options),
      keyspace_(keyspace),
      link_(link),
      tally_(tally),
      clock_(clock),
      random_(mix(options.seed) + thread),
      inbound_(kInboundMax),
      preload_next_(share(options.keys, thread, options.threads)),
      preload_end_of_thread_(share(options.keys, thread + 1, options.threads)) {
  preload_all_sent_ = options.keys * thread / options.threads == options.keys * (thread + 1) / options.threads;
  if (options.zipf > 0) zipf_.emplace(options.keys, options.zipf);
  flows_.reserve(options.flows);
  for (std::uint32_t flow = 0; flow < options.flows; ++flow) flows_.emplace_back(options.depth);
  requests_left_ =
      options.requests == 0 ? ~std::uint64_t{0} : std::max<std::uint64_t>(1, options.requests / options.threads);
}

std::string Engine::preload(const std::atomic<bool>& stop) {
  mode_ = Mode::kPreload;
  now_ns_ = clock_();
  std::uint64_t quiet_since = now_ns_, settled = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    if (!turn()) link_.wait(idle_ns());
    if (link_.trouble()[0] != '\0') return link_.trouble();
    if (preload_all_sent_ && again_.empty() && in_flight() == 0) break;
    const std::uint64_t answered = tally_.value(Count::kStored) + tally_.value(Count::kRefused);
    if (answered != settled) {
      settled = answered;
      quiet_since = now_ns_;
    } else if (now_ns_ - quiet_since > kPreloadPatienceNs) {
      return "no answer for 3 seconds while storing the keys: is the appliance up, and is our address inside its "
             "listen.allow?";
    }
  }
  if (preload_refused_ == 0) return {};
  return fmt::format("{} of the keys were refused while storing them", preload_refused_);
}

void Engine::run(const std::atomic<bool>& stop) {
  mode_ = Mode::kRun;
  now_ns_ = clock_();
  if (options_.rate > 0) {
    pacer_.emplace(options_.rate / options_.threads / options_.batch, options_.arrival, random_.next(), now_ns_);
  }
  while (!stop.load(std::memory_order_relaxed) && requests_left_ != 0 && link_.trouble()[0] == '\0') {
    if (!turn()) link_.wait(idle_ns());
  }
  if (pacer_) not_sent_ = std::min(pacer_->behind(now_ns_) * options_.batch, requests_left_);
}

void Engine::drain() {
  mode_ = Mode::kDrain;
  now_ns_ = clock_();
  const std::uint64_t end = now_ns_ + 2'000'000ull * options_.timeout_ms;
  while (in_flight() != 0 && now_ns_ < end && link_.trouble()[0] == '\0') {
    if (!turn()) link_.wait(idle_ns());
  }
  for (Outstanding& flow : flows_) {
    for (Slot& slot : flow.slots()) {
      if (slot.open == 0) continue;
      lose(slot);
      flow.release(slot);
    }
  }
}

bool Engine::turn() {
  const std::uint64_t before = now_ns_;
  receive();
  const bool received = now_ns_ != before;
  if (!received) now_ns_ = clock_();
  if (now_ns_ >= next_expiry_ns_) expire();
  return send_some() || received;
}

void Engine::receive() {
  const std::uint32_t count = link_.receive(inbound_);
  if (count == 0) return;
  now_ns_ = std::max(clock_(), now_ns_ + 1);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto& [flow, bytes] = inbound_[i];
    if (options_.protocol == Protocol::kUdp) {
      on_datagram(flow, bytes);
      continue;
    }
    const auto id = static_cast<std::uint16_t>(load_be<std::uint32_t>(bytes.data() + 12));
    Slot* slot = flows_[flow].find(id);
    if (slot == nullptr) {
      tally_.add(Count::kLate);
    } else {
      on_answers(flow, *slot, id, bytes);
    }
  }
}

void Engine::on_datagram(std::uint32_t flow, Bytes datagram) {
  if (datagram.size() <= kFrameBytes) {
    tally_.add(Count::kMalformed);
    return;
  }
  const Frame frame = read_frame(datagram.data());
  Bytes bytes = datagram.subspan(kFrameBytes);
  Slot* slot = flow < flows_.size() ? flows_[flow].find(frame.request_id) : nullptr;
  if (slot == nullptr) {
    tally_.add(Count::kLate);
    return;
  }
  if (frame.datagrams != 1) {
    bytes = assemble(*slot, frame, bytes);
    if (bytes.empty()) return;
  }
  on_answers(flow, *slot, frame.request_id, bytes);
}

/// Gives the whole answer once its last missing piece is there. Every piece but the last has the same size.
Bytes Engine::assemble(Slot& slot, const Frame& frame, Bytes piece) {
  if (frame.datagrams == 0 || frame.datagrams > 64 || frame.sequence >= frame.datagrams || piece.empty()) {
    tally_.add(Count::kMalformed);
    return {};
  }
  constexpr std::uint32_t kUsualPieceBytes = 1392;
  const bool last = frame.sequence + 1 == frame.datagrams;
  if (slot.pieces == 0) slot.piece_bytes = last ? kUsualPieceBytes : static_cast<std::uint32_t>(piece.size());
  if ((!last && piece.size() != slot.piece_bytes) || (last && piece.size() > slot.piece_bytes)) {
    tally_.add(Count::kMalformed);
    return {};
  }
  slot.assembly.resize(std::size_t{slot.piece_bytes} * frame.datagrams);
  std::memcpy(slot.assembly.data() + std::size_t{slot.piece_bytes} * frame.sequence, piece.data(), piece.size());
  if (last) slot.answer_bytes = slot.piece_bytes * frame.sequence + static_cast<std::uint32_t>(piece.size());
  slot.pieces |= std::uint64_t{1} << frame.sequence;
  if (std::popcount(slot.pieces) != frame.datagrams) return {};
  return Bytes{slot.assembly}.first(slot.answer_bytes);
}

void Engine::on_answers(std::uint32_t flow, Slot& slot, std::uint16_t id, Bytes bytes) {
  while (!bytes.empty()) {
    const std::size_t length = answer_bytes(bytes);
    Answer answer;
    if (length == 0 || length > bytes.size() || !read_answer(bytes.first(length), answer)) {
      tally_.add(Count::kMalformed);
      return;
    }
    bytes = bytes.subspan(length);
    const std::uint32_t place = (answer.opaque >> 16) & 0xff;
    if ((answer.opaque & 0xffff) != id || place >= kBatchMax || (slot.open >> place & 1) == 0) {
      tally_.add(Count::kLate);
      continue;
    }
    slot.open &= ~(1u << place);
    const Operation operation = slot.operations[place];
    settle(operation, slot, answer);
    if (slot.open == 0) {
      flows_[flow].release(slot);
      return;
    }
  }
}

void Engine::settle(const Operation& operation, const Slot& slot, const Answer& answer) {
  const std::uint64_t latency = now_ns_ - std::min(now_ns_, slot.intended_ns);
  if (answer.opcode != (operation.get ? Opcode::kGet : Opcode::kSet)) tally_.add(Count::kMalformed);
  if (!operation.get) {
    tally_.sets().record(latency);
    tally_.add(answer.status == kStatusOk ? Count::kStored : Count::kRefused);
    if (answer.status != kStatusOk && mode_ == Mode::kPreload) ++preload_refused_;
    return;
  }
  tally_.gets().record(latency);
  if (answer.status == kStatusOk) {
    tally_.add(Count::kHit);
    if (options_.verify && !keyspace_.is_right(operation.key, answer.value)) tally_.add(Count::kWrong);
  } else if (answer.status == kStatusNotFound) {
    tally_.add(Count::kMiss);
    if (options_.fill && mode_ == Mode::kRun && again_.size() < kFillsMax) again_.push_back(operation.key);
  } else {
    tally_.add(Count::kRefused);
  }
}

void Engine::lose(Slot& slot) {
  for (std::uint32_t place = 0; place < options_.batch; ++place) {
    if ((slot.open >> place & 1) == 0) continue;
    tally_.add(Count::kLost);
    if (mode_ == Mode::kPreload) again_.push_back(slot.operations[place].key);
  }
}

void Engine::expire() {
  const std::uint64_t timeout = 1'000'000ull * options_.timeout_ms;
  next_expiry_ns_ = now_ns_ + std::max<std::uint64_t>(timeout / 8, 1'000'000);
  for (Outstanding& flow : flows_) {
    if (flow.in_flight() == 0) continue;
    for (Slot& slot : flow.slots()) {
      if (slot.open == 0 || now_ns_ - slot.sent_ns < timeout) continue;
      lose(slot);
      flow.release(slot);
    }
  }
}

bool Engine::send_some() {
  if (mode_ == Mode::kDrain) return false;
  std::uint32_t sent = 0;
  for (std::uint32_t tried = 0; tried < flows_.size() && sent < kSendsPerTurn; ++tried) {
    bool more = true;
    for (std::uint32_t row = 0; more && row < kSendsPerFlow && sent < kSendsPerTurn && !flows_[flow_].full(); ++row) {
      std::uint64_t intended_ns = now_ns_;
      const auto operations = static_cast<std::uint32_t>(std::min<std::uint64_t>(options_.batch, requests_left_));
      more = operations != 0 && next_intended(intended_ns) && send_message(flow_, intended_ns, operations);
      sent += more;
    }
    flow_ = flow_ + 1 == flows_.size() ? 0 : flow_ + 1;
    if (!more) break;
  }
  if (sent == 0) return false;
  if (const std::uint32_t refused = link_.flush(); refused != 0) tally_.add(Count::kPeerGone, refused);
  return true;
}

bool Engine::next_intended(std::uint64_t& intended_ns) {
  if (mode_ == Mode::kPreload) return !(preload_all_sent_ && again_.empty());
  return !pacer_ || pacer_->due(now_ns_, intended_ns);
}

bool Engine::next_operation(Operation& operation) {
  if (!again_.empty()) {
    operation = {again_.front(), false};
    again_.pop_front();
    return true;
  }
  if (mode_ == Mode::kRun) {
    const std::uint64_t rank = zipf_ ? zipf_->draw(random_) : random_.below(options_.keys);
    operation = {static_cast<std::uint32_t>(rank), random_.unit() < options_.gets};
    return true;
  }
  if (preload_all_sent_) return false;
  operation = {preload_next_++, false};
  if (preload_next_ == preload_end_of_thread_) preload_all_sent_ = true;
  return true;
}

bool Engine::send_message(std::uint32_t flow, std::uint64_t intended_ns, std::uint32_t operations) {
  std::array<Operation, kBatchMax> wanted;
  std::uint32_t count = 0;
  while (count < operations && next_operation(wanted[count])) ++count;
  if (count == 0) return false;
  std::byte* out = link_.open(flow, port_of(flow, wanted[0].key));
  std::uint16_t id = 0;
  Slot& slot = flows_[flow].take(id);
  slot.intended_ns = intended_ns;
  slot.sent_ns = now_ns_;
  slot.open = count == 32 ? ~0u : (1u << count) - 1;
  slot.operations = wanted;
  tally_.add(Count::kSent, count);
  if (mode_ == Mode::kRun) requests_left_ -= count;
  if (out == nullptr) {  // The slot stays open and times out: what the wire refuses is lost, and told.
    tally_.add(Count::kPeerGone);
    return false;
  }
  std::byte* at = out;
  if (options_.protocol == Protocol::kUdp) {
    write_frame(at, id);
    at += kFrameBytes;
  }
  for (std::uint32_t place = 0; place < count; ++place) at += write_request(wanted[place], id | place << 16, at);
  link_.close(static_cast<std::uint32_t>(at - out));
  return true;
}

std::uint32_t Engine::write_request(const Operation& operation, std::uint32_t opaque, std::byte* out) {
  if (operation.get) {
    const std::uint32_t key_bytes = keyspace_.write_key(operation.key, out + kHeaderBytes);
    write_header(out, Opcode::kGet, 0, key_bytes, 0, opaque);
    return kHeaderBytes + key_bytes;
  }
  constexpr std::uint32_t kExtrasBytes = 8;
  const std::uint32_t nonce = keyspace_.varying() ? static_cast<std::uint32_t>(random_.next()) : 0;
  const std::uint32_t ttl = options_.ttl.max() == 0 ? 0 : options_.ttl.of(random_.next());
  store_be<std::uint32_t>(out + kHeaderBytes, 0);
  store_be<std::uint32_t>(out + kHeaderBytes + 4, ttl);
  const std::uint32_t key_bytes = keyspace_.write_key(operation.key, out + kHeaderBytes + kExtrasBytes);
  const std::uint32_t value_bytes = keyspace_.value_bytes(operation.key, nonce);
  keyspace_.write_value(operation.key, nonce, out + kHeaderBytes + kExtrasBytes + key_bytes);
  write_header(out, Opcode::kSet, kExtrasBytes, key_bytes, value_bytes, opaque);
  return kHeaderBytes + kExtrasBytes + key_bytes + value_bytes;
}

std::uint16_t Engine::port_of(std::uint32_t flow, std::uint32_t key) const {
  if (options_.route == Route::kBase) return options_.port;
  std::uint32_t worker = flow % options_.workers;
  if (options_.route == Route::kOwner) {
    std::array<std::byte, kKeyBytesMax> bytes;
    worker = owner_of(Bytes{bytes}.first(keyspace_.write_key(key, bytes.data())), options_.workers);
  }
  return static_cast<std::uint16_t>(options_.port + 1 + worker);
}

std::uint64_t Engine::in_flight() const {
  std::uint64_t sum = 0;
  for (const Outstanding& flow : flows_) sum += flow.in_flight();
  return sum;
}

std::uint64_t Engine::idle_ns() const {
  if (mode_ != Mode::kRun || !pacer_) return kIdleNsMax;
  const std::uint64_t next = pacer_->next_ns();
  return next <= now_ns_ ? 0 : std::min(kIdleNsMax, next - now_ns_);
}

}  // namespace gannet::load
