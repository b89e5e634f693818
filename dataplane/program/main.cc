/// gannetd: the dataplane process. See README.md beside this file.
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"
#include "dataplane/program/appliance.h"
#include "dataplane/program/log.h"
#include "dataplane/program/options.h"
#include "dataplane/program/plan_text.h"
#include "dataplane/program/shared_file.h"
#include "dataplane/program/topology.h"
#include "dataplane/program/wish.h"
#include "dataplane/program/worker_loop.h"

namespace {

using namespace gannet::dataplane;
namespace abi = gannet::abi;

constexpr int kHopeless = 2;

int fail(int code, std::string_view sentence) {
  log(LogLevel::kError, sentence, {{"exit", std::to_string(code)}});
  return code;
}

int show_plan(const Options& options) {
  abi::StartConfig start = options.start;
  abi::LiveConfig live = options.live;
  if (!options.developer && !options.shared.empty()) {
    const SharedMapping mapping = map_shared(options.shared);
    if (mapping.shared == nullptr) return fail(kHopeless, mapping.error);
    start = mapping.shared->start;
    std::uint64_t generation = 0;
    (void)abi::adopt_config(mapping.shared->config, generation, live);
  }
  Machine machine;
  if (const std::string error = machine.load(options.topology); !error.empty()) return fail(kHopeless, error);
  const PlacementWish wish = wish_of(start, live, machine, 0);
  const PlanResult result = plan_workers(machine.topology(), wish);
  const PlanView view{machine.topology(), result, wish.nic_node, start.udp_port};
  std::fputs((options.json ? plan_as_json(view) : plan_as_text(view)).c_str(), stdout);
  return result.ok() ? 0 : kHopeless;
}

int serve(const Options& options, std::uint64_t started_ns) {
  const SharedMapping mapping = options.developer ? create_shared(options.shared) : map_shared(options.shared);
  if (mapping.shared == nullptr) return fail(kHopeless, mapping.error);
  abi::Shared& shared = *mapping.shared;
  if (options.developer) {
    shared.start = options.start;
    shared.start.start_count = 1;
    abi::set_text(shared.header.name, "developer");
    (void)abi::publish_config(shared.config, options.live);
  }
  block_signals();
  Ending ending;
  {
    Appliance appliance(shared, options.memory_fd, options.former_fd);
    ending = appliance.start(started_ns);
    if (ending.ok()) {
      appliance.serve();
      ending = appliance.stop();
    }
  }
  if (!ending.ok()) abi::set_text(shared.dataplane.message[0], ending.sentence);
  const abi::Phase phase = ending.ok() ? abi::Phase::kStopped : abi::Phase::kFailed;
  shared.dataplane.phase.store(static_cast<std::uint64_t>(phase), std::memory_order_release);
  if (!ending.ok()) return fail(ending.exit_code, ending.sentence);
  log(LogLevel::kInfo, "stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t started_ns = LoopClock::mono_now();
  const ParsedOptions parsed = parse_options(std::vector<std::string_view>(argv + 1, argv + argc));
  if (!parsed.error.empty()) return fail(kHopeless, parsed.error);
  switch (parsed.options.action) {
    case Options::Action::kHelp:
      std::fputs(usage(), stdout);
      return 0;
    case Options::Action::kVersion:
      std::printf("gannetd %s, shared layout %u\n", GANNET_VERSION, abi::kAbiVersion);
      return 0;
    case Options::Action::kPlan:
      return show_plan(parsed.options);
    case Options::Action::kServe:
      return serve(parsed.options, started_ns);
  }
  return kHopeless;
}
