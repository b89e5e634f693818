// Any bytes as a configuration: never a crash, and either faults that fit on a line or a configuration that survives
// being told to gannetd.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "control/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  using namespace gannet;
  const control::ConfigResult read = control::parse_config({reinterpret_cast<const char*>(data), bytes}, "fuzz.toml");
  for (const std::string& fault : read.faults) {
    if (fault.empty() || fault.size() > 2000) std::abort();
    for (const char c : fault)
      if (static_cast<unsigned char>(c) < ' ') std::abort();
  }
  if (!read.ok()) return 0;
  abi::StartConfig start;
  control::fill_start(read.config, start);
  const abi::LiveConfig live = control::make_live(read.config);
  if (start.workers == 0 || start.workers > abi::kWorkersMax || start.ports == 0 || start.ports > abi::kPortsMax)
    std::abort();
  if (live.prefixes > abi::kPrefixesMax || start.memory_bytes % start.page_bytes != 0) std::abort();
  if (!control::diff_config(read.config, read.config).empty()) std::abort();
  return 0;
}
