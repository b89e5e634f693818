#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "control/version.h"
#include "tools/gannetctl/verbs.h"

namespace {

using gannet::tools::Session;

/// The command line; each verb's callback leaves its exit code in `code`.
int run(int argc, char** argv) {
  CLI::App app{
      "gannetctl: the operator's command. Reads the shared file itself, so status and stats work with gannet-control "
      "dead.\n"
      "Exit codes: 0 good, 1 running but not healthy or refused, 2 wrong usage or configuration, 3 not running.",
      "gannetctl"};
  Session session;
  int code = gannet::tools::kExitOk;
  app.add_option("--state", session.state_directory, "State directory of gannet-control")->capture_default_str();
  app.add_option("--name", session.name, "Appliance; needed only if there are several");
  app.add_flag("--json", session.json, "Answer in JSON");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", gannet::control::version());

  unsigned sample_ms = 1000, timeout_s = 20;
  int worker = -1;
  std::string name, file, program;
  bool markdown = false;

  CLI::App* status =
      app.add_subcommand("status", "How it is: state, rates over a second, latency, memory, drops, warnings");
  status->add_option("--sample-ms", sample_ms, "Time between the two looks that give rates; 0: do not wait")
      ->check(CLI::Range(0, 60'000))
      ->capture_default_str();
  status->callback([&] { code = gannet::tools::status(session, sample_ms); });

  CLI::App* stats = app.add_subcommand("stats", "Every figure");
  stats->add_option("--worker", worker, "Of this worker alone")->check(CLI::Range(0, 63));
  stats->add_option("--explain", name, "What this figure means");
  stats->callback(
      [&] { code = name.empty() ? gannet::tools::stats(session, worker) : gannet::tools::explain(session, name); });

  CLI::App* explain = app.add_subcommand("explain", "What a figure means");
  explain->add_option("figure", name, "Its name")->required();
  explain->callback([&] { code = gannet::tools::explain(session, name); });

  CLI::App* topo = app.add_subcommand(
      "topo", "Ports, queues, workers, CPUs, memory; without a running gannetd, what it would choose");
  topo->add_option("--gannetd", program, "The dataplane's program; default: next to this one");
  topo->callback([&] { code = gannet::tools::topo(session, program); });

  CLI::App* stop = app.add_subcommand("stop", "Stop gannetd and gannet-control, and wait until they are gone");
  stop->add_option("--timeout", timeout_s, "Seconds to wait")->check(CLI::Range(1, 600))->capture_default_str();
  stop->callback([&] { code = gannet::tools::stop(session, timeout_s); });

  CLI::App* detach = app.add_subcommand(
      "detach", "End gannet-control and leave gannetd serving; the next gannet-control takes it over");
  detach->add_option("--timeout", timeout_s, "Seconds to wait")->check(CLI::Range(1, 600))->capture_default_str();
  detach->callback([&] { code = gannet::tools::detach(session, timeout_s); });

  CLI::App* restart =
      app.add_subcommand("restart", "Stop gannetd and start it with the newest configuration; waits until it serves");
  restart->add_option("--timeout", timeout_s, "Seconds to wait")->check(CLI::Range(1, 600))->capture_default_str();
  restart->callback([&] { code = gannet::tools::restart(session, timeout_s); });

  CLI::App* config = app.add_subcommand("config", "The configuration");
  config->require_subcommand(1);
  config->fallthrough();
  CLI::App* check = config->add_subcommand("check", "Is this file good? Touches nothing");
  check->add_option("file", file, "The TOML file")->required();
  check->callback([&] { code = gannet::tools::config_check(session, file); });
  CLI::App* show = config->add_subcommand("show", "Every key with its value: in force, or of a file");
  show->add_option("file", file, "A TOML file");
  show->callback([&] { code = gannet::tools::config_show(session, file); });
  CLI::App* apply =
      config->add_subcommand("apply", "Read the running appliance's file again: live keys at once, the rest is named");
  apply->callback([&] { code = gannet::tools::config_apply(session); });
  CLI::App* keys = config->add_subcommand("keys", "Every key with range, default and meaning");
  keys->add_flag("--markdown", markdown, "As a table");
  keys->callback([&] { code = gannet::tools::config_keys(session, markdown); });

  CLI::App* version = app.add_subcommand("version", "This release");
  version->callback([&] {
    session.print(fmt::format("gannetctl {}\n", gannet::control::version()), {{"version", gannet::control::version()}});
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? gannet::tools::kExitOk : gannet::tools::kExitUsage;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv);
}
