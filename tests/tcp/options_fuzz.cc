// Any bytes as a TCP option list: the engine's reader survives them, and where the tests' own strict reader finds a
// right list, both read the same.
#include <algorithm>
#include <memory>

#include "nicpipe/tcp/segment.h"
#include "storage/base/must.h"
#include "tests/tcp/segment.h"

using namespace gannet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 40) return 0;
  const auto exact = std::make_unique<std::byte[]>(size);  // The sanitizer sees a byte too far.
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, exact.get());
  const Bytes bytes{exact.get(), size};
  nicpipe::tcp::Options got;
  nicpipe::tcp::parse_options(bytes, got);
  MUST_LE(got.sack_count, 4);
  MUST(got.window_scale <= 14 || got.window_scale == nicpipe::tcp::Options::kNoScale);
  test::tcp::Segment expected;
  if (!test::tcp::read_options(bytes, expected).empty()) return 0;
  MUST_EQ(got.mss, expected.mss.value_or(0));
  MUST_EQ(got.sack_permitted, expected.sack_permitted);
  MUST_EQ(got.has_timestamps, expected.timestamps.has_value());
  if (expected.timestamps) {
    MUST_EQ(got.ts_value, expected.timestamps->value);
    MUST_EQ(got.ts_echo, expected.timestamps->echo);
  }
  if (expected.window_scale) MUST_EQ(got.window_scale, *expected.window_scale > 14 ? 14 : *expected.window_scale);
  return 0;
}
