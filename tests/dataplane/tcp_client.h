/// A TCP client of an appliance in memory: an engine of our own at the other end of the wire, turned with the
/// appliance.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "nicpipe/host.h"
#include "nicpipe/memory_endpoint.h"
#include "nicpipe/tcp/engine.h"
#include "tests/dataplane/appliance.h"

namespace gannet::test {

/// Needs ApplianceOptions::tcp, and ip6 for an `address` of that kind. All connections of one client lie on the
/// appliance's queue `at`, where their frames come in.
class TcpClient {
 public:
  using ConnectionId = nicpipe::tcp::ConnectionId;

  explicit TcpClient(Appliance& appliance, std::string_view address = "10.77.0.1", std::uint32_t at = 0);
  ~TcpClient();
  TcpClient(const TcpClient&) = delete;
  TcpClient& operator=(const TcpClient&) = delete;

  /// The handshake is done on return.
  [[nodiscard]] ConnectionId connect(std::uint16_t own_port);
  /// Sends all of it, turning as room is needed; what comes meanwhile is kept.
  void send(ConnectionId id, std::string_view bytes);
  /// Everything received and not yet taken.
  [[nodiscard]] std::string take(ConnectionId id);
  /// Turns until `bytes` more have come or the appliance closed; an exception when that takes too long.
  [[nodiscard]] std::string receive(ConnectionId id, std::size_t bytes);
  /// Sends, and turns until an answer with this opaque came last; all answers up to it, NOOP's own left out.
  [[nodiscard]] std::vector<Response> ask(ConnectionId id, std::string_view requests);
  /// Turns until the appliance said FIN or reset; false: it did not.
  [[nodiscard]] bool closes(ConnectionId id);
  void abort(ConnectionId id);
  void finish(ConnectionId id) { engine_->shutdown(id); }
  void turn();
  /// What the appliance sent in the last turn. It has no acknowledgement of it yet.
  [[nodiscard]] const std::vector<Frame>& heard() const { return heard_; }

 private:
  void take_events();
  Appliance& appliance_;
  const std::uint32_t at_;
  nicpipe::MemoryPool pool_;
  nicpipe::MemoryEndpoint endpoint_;
  nicpipe::Host host_;
  nicpipe::tcp::Sink sink_;
  std::unique_ptr<nicpipe::tcp::Engine> engine_;
  Now now_;
  std::vector<Frame> heard_;
  std::map<std::uint32_t, std::uint8_t> what_;  ///< By slot: every event bit so far.
};

}  // namespace gannet::test
