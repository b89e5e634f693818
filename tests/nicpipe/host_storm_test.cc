// Thousands of damaged frames: each has one fate, and what is sent is always right.
#include <array>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Verdict;

namespace {

/// Destination unreachable: "fragmentation needed, 576" about a segment of ours; its checksum is repaired on the way.
std::vector<std::byte> tcp_error() {
  std::vector<std::byte> error(36);
  error[0] = std::byte{3};
  error[1] = std::byte{4};
  store_be<std::uint16_t>(error.data() + 6, 576);
  error[8] = std::byte{0x45};
  error[17] = std::byte{6};
  nicpipe::store_ipv4(error.data() + 20, ipv4(kUs));
  nicpipe::store_ipv4(error.data() + 24, ipv4(kPeer));
  return error;
}

std::vector<Frame> seeds() {
  const nicpipe::Mac us = mac_of(ipv4(kUs));
  return {
      udp(kPeerPort, kUsPort).payload("the quick brown fox"),
      udp(kPeerPort, kUsPort).payload("tagged").vlan(12),
      udp(kPeerPort, kUsPort).payload("with options").ip_options(12),
      udp(kPeerPort, "10.77.0.2:7").payload("nobody here"),
      udp(kPeerPort, "10.77.0.2:7").ip_options(40).vlan(3),
      arp_request(kPeer, kUs),
      arp_request(kPeer, kUs).padded().vlan(9),
      arp_reply("10.77.0.9", kUs),
      arp_request("10.77.0.8", "10.77.0.9"),
      echo_request(kPeer, kUs, 1, 2).payload("ping ping ping"),
      echo_request(kPeer, kUs, 1, 2).ip_options(8).vlan(7),
      ip_packet(kPeer, kUs, 6).payload("not UDP at all").to_mac(us),
      ip_packet(kPeer, kUs, 6).payload("a segment, for all we know").ip_options(8).padded(),
      ip_packet(kPeer, kUs, 1).payload(tcp_error()),
      ip_packet(kPeer, kUs, 1).payload(tcp_error()).ip_options(4),
      udp(kPeerPort6, kUsPort6).to_mac(us).payload("the quick brown fox"),
      udp(kPeerPort6, kUsPort6).to_mac(us).payload("tagged, with options").vlan(12).extension(0).extension(60, 24),
      udp(kPeerPort6, "[fd77::2]:7").to_mac(us).payload("nobody here").extension(60),
      udp(kPeerPort6, kUsPort6).to_mac(us).extension(43),
      ip_packet(kPeer6, kUs6, 6).to_mac(us).payload("a segment, for all we know").extension(60).padded(),
      echo_request(kPeer6, kUs6, 1, 2).to_mac(us).payload("ping ping ping"),
      neighbour_solicitation(kPeer6, kUs6),
      neighbour_solicitation("::", kUs6).vlan(3),
      neighbour_advertisement(kPeer6, kUs6, kPeer6).to_mac(us),
  };
}

TEST_CASE("any damage to any frame ends in one fate, and whatever is sent is well formed", "[nicpipe][host][storm]") {
  const std::uint32_t seed = 20241;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto frames = seeds();
  std::array<int, nicpipe::kVerdicts> verdicts{};
  std::array<int, nicpipe::kDrops> drops{};
  auto config = host6_config();
  config.tcp = true;
  config.echoes_per_s = config.unreachables_per_s = 1'000'000;
  TestHost us(config);
  us.host.limit_sources(20'000);
  constexpr int kFrames = 60'000;
  for (int i = 0; i < kFrames; ++i) {
    Frame frame = frames[random() % frames.size()];
    for (std::uint32_t damage = random() % 4; damage > 0; --damage) {
      switch (random() % 4) {
        case 0:
          frame[random() % frame.size()] = static_cast<std::byte>(random());
          break;
        case 1:
          frame[random() % std::min<std::size_t>(frame.size(), 60)] ^= static_cast<std::byte>(1u << random() % 8);
          break;
        case 2:
          frame.resize(1 + random() % (frame.size() + 20));
          break;
        case 3: {  // A hostile 16-bit value somewhere in the headers.
          constexpr std::array<std::uint16_t, 6> kValues{0, 1, 7, 8, 0x7fff, 0xffff};
          if (frame.size() > 50) store_be(frame.data() + 12 + random() % 32, kValues[random() % kValues.size()]);
          break;
        }
      }
    }
    if (random() % 2 == 0) repair_checksums(frame);
    us.headroom = static_cast<std::uint16_t>(random() % 3 * 28);
    us.tailroom = static_cast<std::uint16_t>(random() % 3 * 14);
    us.now.mono_ns += 1000;
    const auto flags = static_cast<std::uint16_t>(random() % 4 == 0 ? random() % 16 : 0);
    const Fate fate = us.receive(frame, flags);
    if (!us.books_right) FAIL("frame " << i << ": the packet's books\n" << describe(frame));
    ++verdicts[static_cast<std::size_t>(fate.verdict)];
    if (fate.drop) ++drops.at(static_cast<std::size_t>(*fate.drop));
    const bool sent = fate.verdict == Verdict::kArpReply || fate.verdict == Verdict::kEchoReply ||
                      fate.verdict == Verdict::kUnreachable || fate.verdict == Verdict::kNdpReply;
    // A device that vouches for a ping's IP checksum does not make us believe it: the reply's header is always fresh.
    if (sent && !fault_of(fate.frame).empty())
      FAIL("frame " << i << ": " << fault_of(fate.frame) << "\n"
                    << describe(frame) << "became\n"
                    << describe(fate.frame));
    const bool to_group = sent && (fate.frame[0] & std::byte{1}) != std::byte{0};
    if (to_group && fate.verdict != Verdict::kNdpReply) FAIL("frame " << i << ": a reply to a group");
  }
  // The storm reached everything.
  for (const int count : verdicts) REQUIRE(count > 0);
  int dropped = 0;
  for (std::size_t i = 0; i < drops.size(); ++i) {
    INFO(to_text(static_cast<nicpipe::Drop>(i)));
    REQUIRE(drops[i] > 0);
    dropped += drops[i];
  }
  REQUIRE(dropped == verdicts[static_cast<std::size_t>(Verdict::kDrop)]);
}

TEST_CASE("frames of pure noise are survived", "[nicpipe][host][storm]") {
  std::mt19937 random(7);
  TestHost us;
  for (int i = 0; i < 20'000; ++i) {
    Frame frame(random() % 128);
    for (std::byte& byte : frame) byte = static_cast<std::byte>(random());
    if (frame.size() > 14) {  // Past the first door, most of the time.
      nicpipe::store_mac(frame.data(), mac_of(ipv4(kUs)));
      store_be<std::uint16_t>(frame.data() + 12, random() % 4 == 0 ? 0x0806 : 0x0800);
    }
    const Fate fate = us.receive(frame);
    if (!us.books_right) FAIL("frame " << i << "\n" << describe(frame));
  }
  SUCCEED();
}

}  // namespace
