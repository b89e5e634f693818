#include "control/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "control/admin.h"
#include "control/appliance.h"
#include "control/log.h"
#include "control/version.h"

namespace gannet::control {
namespace {

using nlohmann::json;

/// Between two looks at gannetd: while it starts, somebody waits for the moment it serves.
constexpr int kTurnMs = 100, kTurnWhileStartingMs = 5;
constexpr int kExitOwnFailure = 1;

int refuse(int code, const std::string& sentence) {
  std::fprintf(stderr, "gannet-control: %s\n", sentence.c_str());
  return code;
}

/// One gannet-control an appliance. Released by the kernel whatever becomes of us.
std::string take_lock(const StatePaths& paths, Fd& out) {
  std::error_code error;
  std::filesystem::create_directories(paths.directory, error);
  Fd fd(::open(paths.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (!fd)
    return fmt::format("the state directory {} cannot be written: {}; run as root or name another with --state",
                       paths.directory, std::strerror(errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return fmt::format(
        "another gannet-control looks after \"{}\" in {}: use gannetctl to speak to it, or choose another "
        "appliance.name",
        paths.name, paths.directory);
  out = std::move(fd);
  return "";
}

/// Speaks to the service manager, if one listens.
class Notifier {
 public:
  explicit Notifier() {
    std::uint64_t us = 0;
    if (::sd_watchdog_enabled(0, &us) > 0) watchdog_ = true;
  }
  void turn(abi::Supervision state) {
    if (watchdog_) ::sd_notify(0, "WATCHDOG=1");
    if (state == told_) return;
    told_ = state;
    ::sd_notifyf(0, "%sSTATUS=%s",
                 state == abi::Supervision::kServing && !ready_ ? "READY=1\n"
                 : state == abi::Supervision::kStopping         ? "STOPPING=1\n"
                                                                : "",
                 abi::supervision_name(static_cast<std::uint64_t>(state)));
    if (state == abi::Supervision::kServing) ready_ = true;
  }

 private:
  bool watchdog_ = false, ready_ = false;
  abi::Supervision told_ = abi::Supervision::kNone;
};

json answer_admin(Appliance& appliance, const json& request, const Peer& peer) {
  const std::string what = request["do"];
  if (what == "status") return {{"ok", true}, {"status", report_json(appliance.report())}};
  if (what == "config show") return appliance.show();
  log_line(Level::kInfo, "admin request",
           {{"do", what.substr(0, 32)}, {"uid", fmt::format("{}", peer.uid)}, {"pid", fmt::format("{}", peer.pid)}});
  if (what == "config apply") return appliance.apply();
  if (what == "restart") {
    appliance.restart(monotonic_ns());
    return {{"ok", true}};
  }
  if (what == "stop") {
    appliance.stop(monotonic_ns());
    return {{"ok", true}, {"control_pid", ::getpid()}};
  }
  if (what == "detach") {
    const std::string fault = appliance.detach();
    if (!fault.empty()) return {{"ok", false}, {"error", fault}};
    return {{"ok", true}, {"control_pid", ::getpid()}};
  }
  return {{"ok", false},
          {"error", "do must be \"status\", \"config show\", \"config apply\", \"restart\", \"detach\" or \"stop\""}};
}

void take_signals(int fd, Appliance& appliance) {
  signalfd_siginfo info;
  while (::read(fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      log_line(Level::kInfo, "SIGHUP: reading the configuration again");
      [[maybe_unused]] const json told = appliance.apply();
    } else if (info.ssi_signo == SIGUSR1) {
      const std::string fault = appliance.detach();
      if (!fault.empty()) log_line(Level::kWarn, "SIGUSR1 ignored", {{"why", fault}});
    } else {
      log_line(Level::kInfo, "asked to stop", {{"signal", ::strsignal(static_cast<int>(info.ssi_signo))}});
      appliance.stop(monotonic_ns());
    }
  }
}

}  // namespace

int run_control(const ControlOptions& options) {
  ConfigResult read = load_config(options.config_file);
  if (!read.ok()) {
    for (const std::string& fault : read.faults) refuse(kExitHopeless, fault);
    return kExitHopeless;
  }
  if (!watch_process(::getpid())) return refuse(kExitHopeless, "this kernel has no pidfd_open: run Linux 5.3 or newer");
  for (const std::string& warning : read.config.warnings) log_line(Level::kWarn, warning);
  const StatePaths paths{options.state_directory, read.config.name};
  Fd lock;
  std::string fault = take_lock(paths, lock);
  if (!fault.empty()) return refuse(kExitHopeless, fault);

  // Blocked before any thread is made, so that every thread has them blocked and they arrive here only.
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const Fd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));

  HttpServer http;
  if (!read.config.http.empty()) {
    fault = http.bind(read.config.http);
    if (!fault.empty()) return refuse(kExitHopeless, fault);
  }
  AdminServer admin;
  fault = admin.open(read.config.socket.empty() ? paths.socket() : read.config.socket);
  if (!fault.empty()) return refuse(kExitHopeless, fault);
  const bool with_http = !read.config.http.empty();
  Appliance appliance(std::move(read.config),
                      options.dataplane_program.empty() ? default_dataplane_program() : options.dataplane_program,
                      paths);
  fault = appliance.open();
  if (!fault.empty()) return refuse(kExitOwnFailure, fault);
  // Made after the appliance, so that its threads end before what they read goes away.
  const struct StopHttp {
    HttpServer* server;
    ~StopHttp() {
      if (server != nullptr) server->stop();
    }
  } stop_http{&http};
  if (with_http) http.serve(appliance.shared(), appliance.sampler());
  log_line(Level::kInfo, "gannet-control is up",
           {{"version", version()}, {"name", paths.name}, {"state", paths.directory}});

  Notifier notifier;
  std::vector<pollfd> polls;
  while (appliance.turn(monotonic_ns())) {
    notifier.turn(appliance.state());
    polls.clear();
    polls.push_back({signal_fd.get(), POLLIN, 0});
    polls.push_back({appliance.watch_fd(), POLLIN, 0});
    admin.add_to(polls);
    const bool starting = appliance.state() == abi::Supervision::kStarting;
    if (::poll(polls.data(), polls.size(), starting ? kTurnWhileStartingMs : kTurnMs) < 0 && errno != EINTR)
      return refuse(kExitOwnFailure, fmt::format("poll failed: {}", std::strerror(errno)));
    if (polls[0].revents != 0) take_signals(signal_fd.get(), appliance);
    admin.serve(polls, monotonic_ns(),
                [&appliance](const json& request, const Peer& peer) { return answer_admin(appliance, request, peer); });
  }
  notifier.turn(appliance.state());
  if (appliance.exit_code() != 0) {
    const std::string_view message = abi::text_of(appliance.shared().dataplane.message[0]);
    refuse(appliance.exit_code(),
           fmt::format("gannetd cannot serve: {}", message.empty() ? "it said no more than its exit code" : message));
  }
  appliance.tidy();
  return appliance.exit_code();
}

}  // namespace gannet::control
