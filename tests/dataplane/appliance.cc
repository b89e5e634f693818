#include "tests/dataplane/appliance.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "control/abi/config_slot.h"
#include "dataplane/core/routing.h"
#include "storage/geometry.h"

namespace gannet::test {

std::string payload_of(const Frame& frame) {
  return std::string(as_text(Bytes(frame).subspan(frame[12] == std::byte{0x86} ? 62 : 42)));
}

Appliance::Appliance(const Options& options)
    : options_(options),
      now_{.unix_s = options.now, .mono_ns = 1'000'000'000},
      shared_(std::make_unique<abi::Shared>()),
      pool_(std::make_unique<nicpipe::MemoryPool>(nicpipe::MemoryPool::Options{.buffers = options.buffers})),
      group_(std::make_unique<dataplane::WorkerGroup>(*shared_, options.workers)) {
  shared_->start.workers = options.workers;
  shared_->start.udp_port = 11211;
  shared_->dataplane.started_unix_s.store(options.now - 100);
  const std::uint32_t queues = options.queues == 0 ? options.workers : options.queues;
  if (queues < options.workers) {
    static constexpr std::array<std::byte, nicpipe::kFlowKeyBytes> kKey = [] {
      std::array<std::byte, nicpipe::kFlowKeyBytes> key{};
      for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::byte>(i * 37 + 11);
      return key;
    }();
    dispatch_ = std::make_unique<nicpipe::Dispatch>(
        nicpipe::Dispatch{.hash = nicpipe::FlowHash(kKey), .workers = options.workers, .udp_port_first = 11211});
  }
  for (std::uint32_t k = 0; k < options.workers; ++k) {
    memory_.push_back(std::make_unique<Line[]>(options.shard_bytes / sizeof(Line)));
    std::string why;
    const MutableBytes region(memory_.back()[0].bytes, options.shard_bytes);
    shards_.push_back(storage::Shard::format(
        region,
        {.segment_bytes = options.segment_bytes,
         .item_bytes_max = options.segment_bytes != 0 ? 0 : storage::usual_item_bytes_max(options.shard_bytes),
         .hash_key = {11 + k, 13},
         .now = options.now},
        why));
    if (!shards_.back()) throw std::runtime_error(why);
    nicpipe::HostConfig host;
    host.address = ipv4(kAddress);
    host.mac = mac_of(host.address);
    if (options.ip6) host.address6 = ip(kAddress6);
    host.mtu = options.mtu;
    host.capabilities.multi_segment = options.multi_segment;
    host.udp_ports = static_cast<std::uint16_t>(1 + options.workers);
    dataplane::WorkerOptions worker;
    worker.index = k;
    worker.spares = options.spares;
    worker.ports = {host};
    worker.dispatch = {dispatch_.get()};
    worker.mono_now = [] { return MonotonicNs{1'000'000'500}; };
    worker.tcp = {.port = static_cast<std::uint16_t>(options.tcp ? 11211 : 0),
                  .connections_max = 64,
                  .isn_key = {k + 1, 2},
                  .cookie_key = {3, 4},
                  .users = options.users};
    workers_.push_back(std::make_unique<dataplane::Worker>(*group_, *shards_.back(), worker));
    endpoints_.push_back(std::make_unique<nicpipe::MemoryEndpoint>(
        *pool_,
        nicpipe::MemoryEndpoint::Options{.capabilities = host.capabilities, .release_at_once = options.release_at_once},
        workers_.back()->release_hook()));
  }
}

Appliance::~Appliance() {
  if (closed_) return;
  for (auto& endpoint : endpoints_) endpoint->tx_limit(nicpipe::MemoryEndpoint::kNoLimit);
  settle();
  const std::string fault = close();
  if (fault.empty()) return;
  std::fprintf(stderr, "the appliance's books do not balance: %s\n", fault.c_str());
  std::abort();
}

std::string Appliance::close() {
  closed_ = true;
  for (auto& endpoint : endpoints_) endpoint->complete_tx();
  if (sum(&abi::WorkerCounters::requests) !=
      sum(&abi::WorkerCounters::answers) + sum(&abi::WorkerCounters::quiet_silences))
    return "requests are not answers and silences";
  for (bool all = false; !all;) {  // All together: what one holds of another's comes back to that one.
    all = true;
    for (std::uint32_t k = 0; k < workers_.size(); ++k) {
      all &= workers_[k]->close();
      endpoints_[k]->free(workers_[k]->to_free());
      workers_[k]->freed();
    }
  }
  for (std::uint32_t k = 0; k < workers_.size(); ++k) {
    if (shards_[k]->stats().pins != 0) return "a pin is left on worker " + std::to_string(k);
    const storage::AuditReport report = shards_[k]->audit(now_.unix_s);
    if (report.faults != 0) return "audit of worker " + std::to_string(k) + ": " + report.first_fault;
  }
  if (pool_->buffers_out() != 0) return std::to_string(pool_->buffers_out()) + " buffers did not come back";
  return {};
}

void Appliance::put(std::string_view key, std::string_view value, std::uint32_t flags) {
  storage::Shard& owner = *shards_[dataplane::worker_of(as_bytes(key), options_.workers)];
  storage::SetRequest request;
  request.key = as_bytes(key);
  request.value_bytes = static_cast<std::uint32_t>(value.size());
  request.flags = flags;
  std::uint64_t cas = 0;
  if (owner.set(owner.hash(request.key), request, as_bytes(value), now_.unix_s, cas) != storage::StoreStatus::kStored)
    throw std::runtime_error("the test's own item was not stored");
}

void Appliance::deliver(Bytes frame, std::uint32_t at) {
  endpoints_[at]->deliver(frame);
}

bool Appliance::turn() {
  bool busy = false;
  now_.mono_ns += 1'000;
  for (std::uint32_t k = 0; k < workers_.size(); ++k) {
    const std::array<nicpipe::MemoryEndpoint*, 1> ports{endpoints_[k].get()};
    busy |= dataplane::pump(*workers_[k], std::span<nicpipe::MemoryEndpoint* const>(ports), now_);
  }
  return busy;
}

void Appliance::settle() {
  for (std::uint32_t idle = 0, turns = 0; idle < 3; ++turns) {
    bool busy = turn();
    for (auto& worker : workers_) busy |= !worker->drained();
    for (auto& endpoint : endpoints_) busy |= endpoint->waiting() != 0;
    busy |= group_->packets_travelling() != 0;
    idle = busy ? 0 : idle + 1;
    if (turns == 100'000) throw std::runtime_error("the appliance does not come to rest");
  }
}

std::vector<Frame> Appliance::sent() {
  std::vector<Frame> frames;
  senders_ = 0;
  for (auto& endpoint : endpoints_) {
    endpoint->complete_tx();
    const std::size_t before = frames.size();
    for (Frame& frame : endpoint->take_sent()) {
      if (const std::string fault = fault_of(frame); !fault.empty())
        throw std::runtime_error("a bad frame was sent: " + fault);
      frames.push_back(std::move(frame));
    }
    senders_ += frames.size() > before ? 1 : 0;
  }
  return frames;
}

std::vector<std::string> Appliance::exchange(std::string_view payload, const Client& client) {
  const bool six = client.address.starts_with('[');
  const std::string us = six ? "[" + std::string(kAddress6) + "]:11211" : std::string(kAddress) + ":11211";
  const nicpipe::Mac our_mac = mac_of(ipv4(kAddress));
  deliver(udp(client.address, us).to_mac(our_mac).payload(payload).frame(), client.at);
  settle();
  std::vector<std::string> payloads;
  for (const Frame& frame : sent()) {
    payloads.push_back(payload_of(frame));
    const Frame expected = udp(us, client.address).from_mac(our_mac).payload(payloads.back());
    if (describe(frame) != describe(expected))
      throw std::runtime_error("an answer's headers are not the request's turned round");
  }
  if (senders_ > 1) throw std::runtime_error("one datagram was answered by several workers");
  return payloads;
}

std::vector<Response> Appliance::ask(std::string_view requests, const Client& client) {
  const std::uint16_t id = next_id_++;
  std::vector<Response> all;
  for (const Message& message : messages_of(exchange(datagram(id, requests), client))) {
    if (message.id != id) throw std::runtime_error("the answer has another request id");
    for (const Response& response : responses_of(message.bytes)) all.push_back(response);
  }
  return all;
}

Response Appliance::one(const Request& request, const Client& client) {
  const std::vector<Response> all = ask(request, client);
  if (all.size() != 1) throw std::runtime_error(std::to_string(all.size()) + " answers instead of one");
  return all[0];
}

void Appliance::configure(const abi::LiveConfig& live) {
  abi::publish_config(shared_->config, live);
}

std::uint64_t Appliance::sum(abi::Cell abi::WorkerCounters::*counter) const {
  std::uint64_t total = 0;
  for (std::uint32_t k = 0; k < workers_.size(); ++k) total += (shared_->worker[k].counters.*counter).load();
  return total;
}

std::uint64_t Appliance::drops() const {
  using C = abi::WorkerCounters;
  return sum(&C::drop_frame_header) + sum(&C::drop_multi_datagram) + sum(&C::drop_bad_magic) + sum(&C::drop_truncated) +
         sum(&C::drop_handover_full) + sum(&C::drop_no_buffer);
}

}  // namespace gannet::test
