/// A whole dataplane in memory: workers over shards, each with an endpoint in memory, turned by hand. What goes in and
/// comes out is counted, and at the end nothing may be missing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/abi/shared.h"
#include "dataplane/core/pump.h"
#include "dataplane/core/worker.h"
#include "nicpipe/memory_endpoint.h"
#include "storage/shard.h"
#include "tests/dataplane/wire.h"
#include "tests/support/packets.h"

namespace gannet::test {

struct ApplianceOptions {
  std::uint32_t workers = 1;
  bool multi_segment = true;
  bool release_at_once = true;  ///< false: the device reads a sent tail only when sent() is called.
  std::size_t shard_bytes = 4u << 20;
  std::uint32_t segment_bytes = 0;
  std::uint32_t buffers = 4096;
  std::uint32_t spares = dataplane::kSparePackets;
  std::uint16_t mtu = 1500;
  std::uint32_t queues = 0;  ///< Receive queues; 0: one a worker. Fewer: software dispatch.
  UnixSeconds now = 1'800'000'000;
  bool tcp = false;  ///< On port 11211.
  bool ip6 = false;  ///< At Appliance::kAddress6 as well.
  const dataplane::SaslUsers* users = nullptr;
};

/// A client is an "address:port", or "[address]:port" over IPv6. Its frames come in at the queue of `at`.
struct Client {
  std::string address = "10.77.0.1:40000";
  std::uint32_t at = 0;
};

class Appliance {
 public:
  using Options = ApplianceOptions;
  static constexpr std::string_view kAddress = "10.77.0.2", kAddress6 = "fd77::2";

  explicit Appliance(const Options& options = {});
  ~Appliance();  ///< Drains and closes; aborts the program when a buffer or a pin is missing.
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;

  /// One UDP payload, and the payloads that come back to the same client, once nothing is under way any more. All of
  /// them must be one worker's: only then does a client see them in order.
  [[nodiscard]] std::vector<std::string> exchange(std::string_view payload, const Client& client = {});
  /// The answers to `requests` sent in one datagram, one message each.
  [[nodiscard]] std::vector<Response> ask(std::string_view requests, const Client& client = {});
  [[nodiscard]] std::vector<Response> ask(const Request& request, const Client& client = {}) {
    return ask(request.bytes(), client);
  }
  /// Exactly one answer, else an exception.
  [[nodiscard]] Response one(const Request& request, const Client& client = {});
  /// No answer may come.
  [[nodiscard]] bool silent(const Request& request, const Client& client = {}) { return ask(request, client).empty(); }

  /// Behind the network's back, in the shard that owns the key: for values no datagram could bring.
  void put(std::string_view key, std::string_view value, std::uint32_t flags = 0);

  /// Without waiting: into the wire of queue `at`.
  void deliver(Bytes frame, std::uint32_t at = 0);
  /// One turn of each worker. True: somebody did something.
  bool turn();
  /// Turns until all is answered; an exception after too many.
  void settle();
  /// Frames sent since the last call, all queues; every one is checked for right lengths
  /// and checksums. The device has read them then.
  [[nodiscard]] std::vector<Frame> sent();
  /// How many workers sent something of what sent() gave last.
  [[nodiscard]] std::uint32_t senders() const { return senders_; }

  void advance(std::uint32_t seconds) { now_.unix_s += seconds; }
  /// The workers' thread does not run for so long; frames that come meanwhile wait.
  void pause(MonotonicNs ns) { now_.mono_ns += ns; }
  [[nodiscard]] UnixSeconds now() const { return now_.unix_s; }
  void configure(const abi::LiveConfig& live);

  [[nodiscard]] abi::Shared& shared() { return *shared_; }
  [[nodiscard]] std::uint64_t sum(abi::Cell abi::WorkerCounters::*counter) const;
  [[nodiscard]] std::uint64_t drops() const;  ///< Of the memcache layer, in requests and datagrams.
  [[nodiscard]] storage::Shard& shard(std::uint32_t worker = 0) { return *shards_[worker]; }
  [[nodiscard]] dataplane::Worker& worker(std::uint32_t worker = 0) { return *workers_[worker]; }
  [[nodiscard]] nicpipe::MemoryEndpoint& endpoint(std::uint32_t worker = 0) { return *endpoints_[worker]; }
  [[nodiscard]] nicpipe::MemoryPool& pool() { return *pool_; }
  [[nodiscard]] dataplane::WorkerGroup& group() { return *group_; }

  /// Ends everything as it stands, whatever is under way. What of the books does not balance then; empty when all does.
  [[nodiscard]] std::string close();

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  const Options options_;
  Now now_;
  std::unique_ptr<abi::Shared> shared_;
  std::unique_ptr<nicpipe::MemoryPool> pool_;
  std::unique_ptr<dataplane::WorkerGroup> group_;
  std::unique_ptr<nicpipe::Dispatch> dispatch_;
  std::vector<std::unique_ptr<Line[]>> memory_;
  std::vector<std::unique_ptr<storage::Shard>> shards_;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<std::unique_ptr<nicpipe::MemoryEndpoint>> endpoints_;
  std::uint16_t next_id_ = 1;
  std::uint32_t senders_ = 0;
  bool closed_ = false;
};

/// The UDP payload of a frame of ours, 42 bytes of headers.
[[nodiscard]] std::string payload_of(const Frame& frame);

}  // namespace gannet::test
