/// gannet-load: see --help, and tools/load/README.md.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "tools/load/kernel_tcp.h"
#include "tools/load/kernel_udp.h"
#include "tools/load/options.h"
#include "tools/load/run.h"
#ifdef GANNET_LOAD_DPDK
#include "tools/load/dpdk_link.h"
#endif

namespace {

std::atomic<bool> g_stop{false};

void on_signal(int) {
  g_stop.store(true, std::memory_order_relaxed);
}

std::unique_ptr<gannet::load::Link> make_link(const gannet::load::Options& options, std::string& wrong) {
  using namespace gannet::load;
  if (!options.dpdk.empty()) {
#ifdef GANNET_LOAD_DPDK
    return make_dpdk_link(options, wrong);
#else
    wrong = "this gannet-load was built without DPDK: use the one of the release preset";
    return nullptr;
#endif
  }
  if (options.protocol == Protocol::kTcp) return KernelTcp::make(options, wrong);
  return KernelUdp::make(options, wrong);
}

}  // namespace

int main(int argc, char** argv) {
  gannet::load::Options options;
  const auto outcome =
      gannet::load::parse_options(std::vector<std::string>(argv + 1, argv + argc), isatty(STDOUT_FILENO) != 0, options);
  if (!outcome.run) {
    if (outcome.exit_code == 0) {
      std::fputs(outcome.text.c_str(), stdout);
    } else {
      fmt::print(stderr, "gannet-load: {}\n", outcome.text);
    }
    return outcome.exit_code;
  }
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  const gannet::load::Result result =
      gannet::load::run_load(options, make_link, g_stop, options.json ? stderr : stdout);
  if (result.trouble.empty() || result.measured.answers() != 0) {
    std::fputs((options.json ? to_json(options, result) : to_text(options, result)).c_str(), stdout);
  }
  if (!result.trouble.empty()) fmt::print(stderr, "gannet-load: {}\n", result.trouble);
  return exit_code_of(result);
}
