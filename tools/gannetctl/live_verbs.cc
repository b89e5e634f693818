#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "control/admin.h"
#include "control/values.h"
#include "tools/gannetctl/verbs.h"

namespace gannet::tools {
namespace {

using control::monotonic_ns;
using nlohmann::json;

constexpr int kAskMs = 3000;

void sleep_ms(unsigned ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

int code_of(const control::Report& report) {
  if (!report.alive.dataplane && report.state != "waiting" && report.state != "starting") return kExitNotRunning;
  return report.healthy ? kExitOk : kExitNotHealthy;
}

/// Standard output of a program, or nothing if it could not run. `arguments` are ours, never a peer's.
bool output_of(const std::string& command, std::string& out) {
  const auto close = [](FILE* file) { return ::pclose(file); };
  const std::unique_ptr<FILE, decltype(close)> pipe(::popen(command.c_str(), "re"), close);
  if (!pipe) return false;
  std::array<char, 4096> bytes;
  while (const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), pipe.get())) out.append(bytes.data(), got);
  return !out.empty();
}

std::string single_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

int status(Session& session, unsigned sample_ms) {
  std::string fault;
  if (!session.open(false, fault)) {
    if (!session.json) return session.fail(kExitNotRunning, fault);
    control::Report none;  // The same shape as always, so that who polls need not know the difference.
    none.name = session.name;
    none.state = "not running";
    none.because = fault;
    session.print("", control::report_json(none));
    return kExitNotRunning;
  }
  const control::Sample before = control::take_sample(*session.shared, monotonic_ns());
  const bool wait = sample_ms > 0 && session.alive.dataplane;
  if (wait) sleep_ms(sample_ms);
  session.look();
  const control::Report report = control::make_report(*session.shared, session.alive, monotonic_ns(),
                                                      control::unix_seconds(), wait ? &before : nullptr);
  session.print(control::report_text(report), control::report_json(report));
  return code_of(report);
}

int stats(Session& session, int worker) {
  std::string fault;
  if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
  const std::size_t workers = abi::workers_of(*session.shared);
  if (worker >= 0 && static_cast<std::size_t>(worker) >= workers)
    return session.fail(kExitUsage,
                        fmt::format("there is no worker {}: name 0 to {}", worker, workers == 0 ? 0 : workers - 1));
  if (!session.json && !session.alive.dataplane)
    std::fprintf(stderr, "gannetctl: gannetd does not run; these are the figures it left behind\n");
  if (!session.json && !session.alive.control)
    std::fprintf(stderr, "gannetctl: gannet-control is dead; these figures come from the shared file\n");
  session.print(control::stats_text(*session.shared, worker), control::stats_json(*session.shared, worker));
  return session.alive.dataplane ? kExitOk : kExitNotRunning;
}

int explain(const Session& session, const std::string& name) {
  const std::string meaning = control::explain(name);
  if (meaning.empty()) {
    const std::string near = control::nearest(name, control::stat_names());
    return session.fail(kExitUsage, fmt::format("there is no figure {}{}", name,
                                                near.empty() ? "" : fmt::format("; did you mean {}?", near)));
  }
  session.print(meaning + "\n", {{"name", name}, {"meaning", meaning}});
  return kExitOk;
}

int topo(Session& session, const std::string& dataplane_program) {
  std::string fault;
  if (session.open(false, fault) && session.alive.dataplane) {
    session.print(control::topo_text(*session.shared), control::topo_json(*session.shared));
    return kExitOk;
  }
  std::string program = dataplane_program;
  if (program.empty()) {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    const std::filesystem::path beside = self.parent_path() / "gannetd";
    program = std::filesystem::exists(beside, error) ? beside.string() : "gannetd";
  }
  std::string plan;
  if (!output_of(fmt::format("{} --plan{}", single_quoted(program), session.json ? " --json" : ""), plan))
    return session.fail(
        kExitNotRunning,
        fmt::format("no appliance runs, and {} --plan gave nothing: name the program with --gannetd", program));
  if (!session.json) std::fprintf(stderr, "gannetctl: no appliance runs; this is what gannetd would choose\n");
  std::fwrite(plan.data(), 1, plan.size(), stdout);
  return kExitOk;
}

int stop(Session& session, unsigned timeout_s) {
  std::string fault;
  if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
  const auto control_pid = static_cast<pid_t>(session.shared->control.pid.load());
  const bool control_lived = session.alive.control;
  if (!control_lived && !session.alive.dataplane)
    return session.fail(kExitNotRunning, fmt::format("\"{}\" does not run", session.paths.name));
  bool asked = false;
  if (control_lived) {
    const json answer = control::ask_control(session.socket_path(), {{"do", "stop"}}, kAskMs);
    asked = answer.value("ok", false);
    if (!asked && session.alive.dataplane)
      std::fprintf(stderr, "gannetctl: %s; asking gannetd itself\n", answer.value("error", "").c_str());
  }
  if (!asked) {
    // Control is dead or deaf: the note tells the next control that this end was wanted.
    if (!session.open(true, fault)) return session.fail(kExitNotHealthy, fault);
    session.shared.writable().dataplane.stop_requested.store(1);
    const pid_t pid = control::dataplane_pid(*session.shared);
    if (pid != 0 && ::kill(pid, SIGTERM) != 0 && control::dataplane_alive(*session.shared))
      return session.fail(kExitNotHealthy, fmt::format("gannetd (pid {}) cannot be signalled: use sudo", pid));
  }
  for (unsigned waited = 0; waited < timeout_s * 20; ++waited) {
    const bool dataplane_gone = !control::dataplane_alive(*session.shared);
    const bool control_gone = !asked || !control::process_alive(control_pid, 0);
    if (dataplane_gone && control_gone) {
      session.print(fmt::format("{} is stopped\n", session.paths.name),
                    {{"ok", true}, {"name", session.paths.name}, {"state", "stopped"}});
      return kExitOk;
    }
    sleep_ms(50);
  }
  return session.fail(kExitNotHealthy, fmt::format("\"{}\" did not stop within {} s; see gannetctl status",
                                                   session.paths.name, timeout_s));
}

int detach(Session& session, unsigned timeout_s) {
  std::string fault;
  if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
  if (!session.alive.control)
    return session.fail(kExitNotRunning, fmt::format("gannet-control of \"{}\" does not run", session.paths.name));
  const auto control_pid = static_cast<pid_t>(session.shared->control.pid.load());
  const json answer = control::ask_control(session.socket_path(), {{"do", "detach"}}, kAskMs);
  if (!answer.value("ok", false)) return session.fail(kExitNotHealthy, answer.value("error", "it was refused"));
  for (unsigned waited = 0; waited < timeout_s * 20 && control::process_alive(control_pid, 0); ++waited) sleep_ms(50);
  if (control::process_alive(control_pid, 0))
    return session.fail(kExitNotHealthy, fmt::format("gannet-control (pid {}) does not end", control_pid));
  const pid_t pid = control::dataplane_pid(*session.shared);
  session.print(fmt::format("gannetd (pid {}) of {} serves on without gannet-control\n", pid, session.paths.name),
                {{"ok", true}, {"name", session.paths.name}, {"state", "detached"}, {"dataplane_pid", pid}});
  return kExitOk;
}

int restart(Session& session, unsigned timeout_s) {
  std::string fault;
  if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
  const std::uint64_t starts = session.shared->control.starts.load();
  const json answer = control::ask_control(session.socket_path(), {{"do", "restart"}}, kAskMs);
  if (!answer.value("ok", false)) return session.fail(kExitNotHealthy, answer.value("error", "it was refused"));
  for (unsigned waited = 0; waited < timeout_s * 20; ++waited) {
    session.look();
    const bool serving =
        session.shared->control.supervision.load() == static_cast<std::uint64_t>(abi::Supervision::kServing);
    if (session.shared->control.starts.load() > starts && session.alive.dataplane && serving) {
      session.print(fmt::format("{} serves again\n", session.paths.name),
                    {{"ok", true}, {"name", session.paths.name}, {"state", "serving"}});
      return kExitOk;
    }
    if (!control::process_alive(static_cast<pid_t>(session.shared->control.pid.load()), 0)) break;
    sleep_ms(50);
  }
  return session.fail(kExitNotHealthy,
                      fmt::format("\"{}\" does not serve yet; see gannetctl status", session.paths.name));
}

}  // namespace gannet::tools
