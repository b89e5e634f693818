// Any bytes as a frame: Host and Dispatch must survive them, every frame has one fate, and what is sent is well formed.
// Input: one byte of switches, one of headroom, one of tailroom, then the frame.
//   switches: 0..3 what the device says of checksums, 5: the peer speaks IPv6, 6: make checksums right, 7: make MACs
//   and addresses ours and the peer's. The last two only spare the fuzzer the search for the doors; with them off every
//   byte is its own.
#include <algorithm>
#include <memory>

#include "nicpipe/flow_hash.h"
#include "storage/base/must.h"
#include "tests/nicpipe/host_fixture.h"

using namespace gannet;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static test::TestHost us = [] {
    auto config = test::host6_config();
    config.tcp = true;
    config.echoes_per_s = config.unreachables_per_s = 1'000'000'000;
    return test::TestHost(config);
  }();
  static constexpr std::array<std::byte, nicpipe::kFlowKeyBytes> kKey{std::byte{0x6d}, std::byte{0x5a},
                                                                      std::byte{0x56}};
  static const nicpipe::Dispatch dispatch{nicpipe::FlowHash(kKey), 3, 11211};
  if (size < 3 || size > 4096) return 0;
  us.now.mono_ns += 1'000'000;
  us.headroom = data[1];
  us.tailroom = data[2];
  test::Frame frame(size - 3);
  std::copy_n(reinterpret_cast<const std::byte*>(data) + 3, frame.size(), frame.begin());
  if ((data[0] & 0x80) != 0 && frame.size() >= 38) {
    const bool tagged = frame[12] == std::byte{0x81};
    nicpipe::store_mac(frame.data(), us.host.config().mac);
    frame[6] &= std::byte{0xfe};
    const bool six = (data[0] & 0x20) != 0 && frame.size() >= 58;
    const std::uint16_t type = six ? nicpipe::wire::ethernet::kTypeIpv6 : nicpipe::wire::ethernet::kTypeIpv4;
    store_be(frame.data() + 12, tagged ? nicpipe::wire::ethernet::kTypeVlan : type);
    if (tagged) store_be(frame.data() + 16, type);
    std::byte* ip = frame.data() + (tagged ? 18 : 14);
    if (six) {
      nicpipe::store_ipv6(ip + nicpipe::wire::ipv6::kSource, test::ip(test::kPeer6));
      nicpipe::store_ipv6(ip + nicpipe::wire::ipv6::kDestination, us.host.config().address6);
    } else {
      nicpipe::store_ipv4(ip + nicpipe::wire::ipv4::kSource, test::ipv4(test::kPeer));
      nicpipe::store_ipv4(ip + nicpipe::wire::ipv4::kDestination, us.host.config().address);
    }
  }
  if ((data[0] & 0x40) != 0) test::repair_checksums(frame);

  nicpipe::Packet raw;
  const auto exact = std::make_unique<std::byte[]>(frame.size());
  std::copy(frame.begin(), frame.end(), exact.get());
  raw.data = exact.get();
  raw.bytes = static_cast<std::uint16_t>(frame.size());
  MUST_LT(dispatch.worker_of(raw), dispatch.workers);

  const test::Fate fate = us.receive(frame, static_cast<std::uint16_t>(data[0] & 15));
  MUST(us.books_right);
  switch (fate.verdict) {
    case nicpipe::Verdict::kUdp:
      MUST_LE(fate.payload.size() + 42, frame.size());
      break;
    case nicpipe::Verdict::kDrop:
      MUST_LT(static_cast<std::size_t>(*fate.drop), nicpipe::kDrops);
      break;
    case nicpipe::Verdict::kArpLearned:
    case nicpipe::Verdict::kNdpLearned:
      break;
    case nicpipe::Verdict::kNdpReply:  // To a probe: to everybody.
      MUST(test::fault_of(fate.frame).empty());
      break;
    case nicpipe::Verdict::kTcp:
    case nicpipe::Verdict::kTcpError:
      MUST_LE(fate.frame.size(), frame.size());
      break;
    case nicpipe::Verdict::kArpReply:
    case nicpipe::Verdict::kEchoReply:
    case nicpipe::Verdict::kUnreachable:
      MUST(test::fault_of(fate.frame).empty());
      MUST((fate.frame[0] & std::byte{1}) == std::byte{0});
      break;
  }
  return 0;
}
