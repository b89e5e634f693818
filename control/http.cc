#include "control/http.h"

#include <fmt/format.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "control/metrics.h"
#include "control/values.h"

namespace gannet::control {
namespace {

constexpr MonotonicNs kSampleNs = 1'000'000'000;
constexpr std::size_t kThreads = 2;  ///< Scrapes and curious eyes, not a web site.
constexpr std::size_t kRequestBytesMax = 8192;

std::string describe(const Report& report) {
  return report.because.empty() ? report.state + "\n" : fmt::format("{}: {}\n", report.state, report.because);
}

}  // namespace

void Sampler::tick(const abi::Shared& shared, MonotonicNs now) {
  const std::lock_guard lock(mutex_);
  if (newer_.at != 0 && now - newer_.at < kSampleNs) return;
  older_ = std::move(newer_);
  newer_ = take_sample(shared, now);
}

Report Sampler::report(const abi::Shared& shared, Alive alive) const {
  const MonotonicNs now = monotonic_ns();
  const std::lock_guard lock(mutex_);
  const Sample* before = older_.at != 0 ? &older_ : newer_.at != 0 && now > newer_.at ? &newer_ : nullptr;
  return make_report(shared, alive, now, unix_seconds(), before);
}

struct HttpServer::Inside {
  httplib::Server server;
  std::thread thread;
  std::atomic<bool> ended{false};
};

HttpServer::HttpServer() : inside_(std::make_unique<Inside>()) {}

HttpServer::~HttpServer() {
  stop();
}

void HttpServer::stop() {
  inside_->server.stop();
  if (inside_->thread.joinable()) inside_->thread.join();
}

std::string HttpServer::bind(const std::string& host_port) {
  const std::optional<HostPort> address = parse_host_port(host_port);
  inside_->server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  inside_->server.set_payload_max_length(kRequestBytesMax);
  // The library would set SO_REUSEPORT, and two appliances would share a port without knowing.
  inside_->server.set_socket_options([](int fd) {
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  if (!address || !inside_->server.bind_to_port(address->host, address->port))
    return fmt::format(
        "control.http = \"{}\" cannot be served: the port is taken or the address is not this machine's; choose "
        "another or \"off\"",
        host_port);
  return "";
}

void HttpServer::serve(const abi::Shared& shared, const Sampler& sampler) {
  const auto report = [&shared, &sampler] { return sampler.report(shared, Alive{true, dataplane_alive(shared)}); };
  constexpr const char* kPlain = "text/plain; charset=utf-8";
  httplib::Server& server = inside_->server;
  server.Get("/healthz", [report](const httplib::Request&, httplib::Response& response) {
    const Report now = report();
    response.status = now.healthy || now.state == "starting" ? 200 : 503;
    response.set_content(describe(now), kPlain);
  });
  server.Get("/readyz", [report](const httplib::Request&, httplib::Response& response) {
    const Report now = report();
    response.status = now.ready ? 200 : 503;
    response.set_content(describe(now), kPlain);
  });
  server.Get("/status", [report](const httplib::Request&, httplib::Response& response) {
    response.set_content(report_json(report()).dump(2) + "\n", "application/json");
  });
  server.Get("/metrics", [report, &shared](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics_text(shared, report()), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/", [report](const httplib::Request&, httplib::Response& response) {
    response.set_content(report_text(report()) + "\n/healthz /readyz /status /metrics\n", kPlain);
  });
  inside_->thread = std::thread([inside = inside_.get()] {
    inside->server.listen_after_bind();
    inside->ended.store(true);
  });
  // The library's stop() does nothing to a server that does not run yet: a gannetd that fails at once would have us
  // wait for this thread for ever.
  while (!server.is_running() && !inside_->ended.load()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace gannet::control
