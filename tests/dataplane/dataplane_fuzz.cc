/// UDP payloads into a small appliance. The first byte chooses its shape; then datagrams, each with a two-byte length
/// in front. Whatever they are: what is sent is well-formed, every buffer and pin comes back, requests are answers and
/// silences, and the shards' audits are clean.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "tests/dataplane/appliance.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gannet::test;  // NOLINT(google-build-using-namespace)
  if (size < 1) return 0;
  const std::uint8_t shape = data[0];
  const std::uint32_t workers = std::uint32_t{1} << (shape & 3) % 3;
  Appliance appliance({.workers = workers,
                       .multi_segment = (shape & 4) != 0,
                       .release_at_once = (shape & 8) != 0,
                       .shard_bytes = 512u << 10,
                       .buffers = 200,
                       .spares = 16,
                       .queues = (shape & 16) != 0 ? 1u : 0u});
  appliance.put("k", std::string(3000, 'x'));
  appliance.put("a", "1");
  const char* at = reinterpret_cast<const char*>(data) + 1;
  std::size_t left = size - 1;
  for (std::uint32_t n = 0; left >= 2 && n < 64; ++n) {
    std::size_t bytes = (static_cast<std::size_t>(data[size - left]) << 8 | data[size - left + 1]) % 1473;
    at += 2;
    left -= 2;
    if (bytes > left) bytes = left;
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(std::string_view(at, bytes)).frame(),
                      (shape & 16) != 0 ? 0 : n % workers);
    at += bytes;
    left -= bytes;
    if ((shape & 32) != 0) appliance.settle();
  }
  appliance.settle();
  for (const Frame& frame : appliance.sent()) (void)payload_of(frame);
  if (const std::string fault = appliance.close(); !fault.empty()) {
    std::fprintf(stderr, "%s\n", fault.c_str());
    std::abort();
  }
  return 0;
}
