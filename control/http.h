/// The HTTP door: /healthz /readyz /status /metrics, and / as a page for eyes. Reads the shared file; changes nothing.
/// Its threads never touch the supervisor.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/report.h"
#include "control/state.h"

namespace gannet::control {

/// Keeps a sample about a second old, so that every page has rates without waiting. Any thread.
class Sampler {
 public:
  /// Called by the main loop, often; takes a new sample once a second.
  void tick(const abi::Shared& shared, MonotonicNs now);
  [[nodiscard]] Report report(const abi::Shared& shared, Alive alive) const;

 private:
  mutable std::mutex mutex_;
  Sample older_, newer_;
};

class HttpServer {
 public:
  HttpServer();
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Takes the address, so that a clash is found before anything starts. "" or the sentence why not.
  [[nodiscard]] std::string bind(const std::string& host_port);
  /// Answers from now on, in threads of its own. Needs: bind() gave ""; shared and sampler outlive this.
  void serve(const abi::Shared& shared, const Sampler& sampler);
  /// No answer is being made any more when this returns.
  void stop();

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace gannet::control
