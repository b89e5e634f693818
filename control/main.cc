#include <CLI/CLI.hpp>

#include "control/process.h"
#include "control/state.h"
#include "control/version.h"

int main(int argc, char** argv) {
  CLI::App app{
      "gannet-control: starts gannetd, looks after it, publishes its configuration and its figures. Exit code: 0 "
      "stopped, 1 own "
      "failure, 2 configuration or machine do not allow it.",
      "gannet-control"};
  gannet::control::ControlOptions options;
  options.state_directory = gannet::control::kStateDirectory;
  app.add_option("--config", options.config_file, "The TOML file (see gannetctl config keys)")->required();
  app.add_option("--gannetd", options.dataplane_program, "The dataplane's program; default: next to this one");
  app.add_option("--state", options.state_directory, "Directory of the shared file and the admin socket")
      ->capture_default_str();
  app.set_version_flag("--version", gannet::control::version());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return gannet::control::run_control(options);
}
