// Host over IPv6: what is taken, what is answered and how, whom neighbour discovery teaches us. What is refused stands
// in host_drops_test.cc.
#include <array>
#include <catch2/catch.hpp>
#include <string>

#include "nicpipe/ip6_chain.h"
#include "nicpipe/memory_endpoint.h"
#include "nicpipe/ndp.h"
#include "tests/nicpipe/host_fixture.h"

using namespace gannet;
using namespace gannet::test;
using nicpipe::Drop;
using nicpipe::Verdict;

namespace {

/// A frame in words, built or received.
std::string words(const Frame& frame) {
  return describe(frame);
}

FrameBuilder request() {
  return udp(kPeerPort6, kUsPort6).to_mac(kOurMac).payload("payload");
}

std::string text_of(const Frame& frame) {
  return std::string(reinterpret_cast<const char*>(frame.data()), frame.size());
}

/// The answer `payload` to a datagram that was taken.
Frame answered(TestHost& us, const Fate& fate, std::string_view payload) {
  std::array<std::byte, 2048> memory{};
  nicpipe::Packet packet;
  packet.data = memory.data();
  packet.tailroom = memory.size();
  const std::size_t headers = udp_headers_bytes(fate.flow);
  const Bytes bytes = as_bytes(payload);
  std::copy(bytes.begin(), bytes.end(), packet.data + headers);
  us.host.write_udp(packet, fate.flow, static_cast<std::uint16_t>(payload.size()));
  return {packet.data, packet.data + packet.bytes};
}

TEST_CASE("a datagram over IPv6 is taken, and its answer goes back to the MAC it came from", "[nicpipe][host6]") {
  TestHost us(host6_config());
  const nicpipe::Mac router = mac("02:00:00:00:00:99");
  for (const std::string_view payload : {"", "x", "payload", "a longer one, of odd length"}) {
    const Fate fate = us.receive(request().payload(payload).from_mac(router));
    REQUIRE(fate.verdict == Verdict::kUdp);
    REQUIRE(us.books_right);
    REQUIRE(text_of(fate.payload) == payload);
    REQUIRE(to_text(fate.flow.peer) == kPeer6);
    REQUIRE(fate.flow.peer_port == 4000);
    REQUIRE(words(answered(us, fate, "the answer")) ==
            words(udp(kUsPort6, kPeerPort6).from_mac(kOurMac).to_mac(router).payload("the answer")));
  }
}

TEST_CASE("our link-local address is served as the other, and answers for itself", "[nicpipe][host6]") {
  TestHost us(host6_config());
  const Fate fate = us.receive(udp("[fe80::1]:4000", "[fe80::aff:fe4d:2]:11211").to_mac(kOurMac).vlan(5).payload("x"));
  REQUIRE(fate.verdict == Verdict::kUdp);
  REQUIRE(words(answered(us, fate, "y")) ==
          words(udp("[fe80::aff:fe4d:2]:11211", "[fe80::1]:4000").from_mac(kOurMac).vlan(5).payload("y")));
}

TEST_CASE("options are skipped and cut out, padding too, tagged or not", "[nicpipe][host6]") {
  using std::string_view_literals::operator""sv;
  TestHost us(host6_config());
  const Bytes router_alert = as_bytes("\x05\x02\0\0\x01\0"sv), unknown = as_bytes("\x3e\x04wxyz"sv);
  for (const Frame& frame :
       {request().extension(0, 8, router_alert).frame(), request().extension(60, 8, unknown).vlan(7).frame(),
        request().extension(0).extension(60, 24).extension(60).trailing(9).frame(),
        request().extension(60, 128).padded().frame(), request().trailing(1).frame()}) {
    INFO(words(frame));
    const Fate fate = us.receive(frame);
    REQUIRE(fate.verdict == Verdict::kUdp);
    REQUIRE(us.books_right);
    REQUIRE(text_of(fate.payload) == "payload");
    REQUIRE(to_text(fate.flow.peer) == kPeer6);
    REQUIRE(fate.packet.l3_bytes == 40);
    const Fate again = us.receive(fate.frame);  // What is left is a right packet.
    REQUIRE(again.verdict == Verdict::kUdp);
    REQUIRE(again.frame == fate.frame);
  }
}

TEST_CASE("the chain of extension headers is read within its packet only", "[nicpipe][host6]") {
  const Frame frame = request().extension(0).extension(60, 24);
  const Bytes packet = Bytes(frame).subspan(14);
  nicpipe::Ip6Upper upper;
  REQUIRE(nicpipe::find_upper(packet, upper) == nicpipe::Ip6Chain::kOk);
  REQUIRE(upper.protocol == 17);
  REQUIRE(upper.offset == 72);
  for (std::size_t bytes = 40; bytes < 72; ++bytes) {
    const auto exact = std::make_unique<std::byte[]>(bytes);
    std::copy_n(packet.begin(), bytes, exact.get());
    REQUIRE(nicpipe::find_upper({exact.get(), bytes}, upper) == nicpipe::Ip6Chain::kRefused);
  }
  REQUIRE(upper.offset == 72);
}

TEST_CASE("a device's word on a UDP checksum is taken over IPv6 as over IPv4", "[nicpipe][host6]") {
  TestHost us(host6_config());
  REQUIRE(us.receive(request().bad_checksum(), nicpipe::kRxL4ChecksumGood).verdict == Verdict::kUdp);
  REQUIRE(us.receive(request(), nicpipe::kRxL4ChecksumBad).drop == Drop::kUdpChecksum);
  REQUIRE(us.receive(request().no_checksum(), nicpipe::kRxL4ChecksumGood).drop == Drop::kUdpChecksum);
}

TEST_CASE("a device that makes UDP checksums gets the pseudo-header's sum over IPv6", "[nicpipe][host6]") {
  auto config = host6_config();
  config.capabilities.tx_udp_checksum = config.capabilities.tx_ip_checksum = true;
  TestHost us(config);
  const Fate fate = us.receive(request());
  Frame sent = answered(us, fate, "odd");
  // What the device does: sum all of UDP, the field's own words included.
  Frame udp_part(sent.begin() + 54, sent.end());
  const std::uint16_t checksum = naive_checksum(udp_part);
  store_be(sent.data() + 60, checksum);
  REQUIRE(fault_of(sent).empty());
}

TEST_CASE("without an IPv6 address of ours there is no IPv6", "[nicpipe][host6]") {
  TestHost us;
  REQUIRE(us.receive(request()).drop == Drop::kEthertype);
  REQUIRE(us.receive(neighbour_solicitation(kPeer6, kUs6)).drop == Drop::kNotOurs);
  REQUIRE(us.host.udp_payload_max() == 1472);
  REQUIRE(TestHost(host6_config()).host.udp_payload_max() == 1452);
}

TEST_CASE("who is answered over IPv6 is what the prefixes say, our subnet and the link at first", "[nicpipe][host6]") {
  TestHost us(host6_config());
  const auto verdict = [&us](std::string_view from) {
    return us.receive(udp(std::string("[") + std::string(from) + "]:4000", kUsPort6).to_mac(kOurMac)).verdict;
  };
  REQUIRE(verdict("fd77::ffff:ffff:ffff:ffff") == Verdict::kUdp);
  REQUIRE(verdict("fe80::1") == Verdict::kUdp);
  REQUIRE(verdict("fd77:0:0:1::1") == Verdict::kDrop);
  nicpipe::IpPrefix some, all4;
  REQUIRE(parse("2001:db8::/33", some));
  REQUIRE(parse("0.0.0.0/0", all4));
  us.host.allow(std::array{some, all4});
  REQUIRE(verdict("2001:db8:7fff::1") == Verdict::kUdp);
  REQUIRE(verdict("2001:db8:8000::1") == Verdict::kDrop);
  REQUIRE(verdict("fd77::1") == Verdict::kDrop);
  REQUIRE(us.receive(udp("192.0.2.1:4000", kUsPort)).verdict == Verdict::kUdp);
  us.host.allow(std::array{nicpipe::IpPrefix({}, 0)});
  REQUIRE(verdict("2001:db8:8000::1") == Verdict::kUdp);
  REQUIRE(us.receive(udp(kPeerPort, kUsPort)).verdict == Verdict::kDrop);
  us.host.allow({});
  REQUIRE(verdict("fd77::1") == Verdict::kUdp);
  REQUIRE(us.receive(udp(kPeerPort, kUsPort)).verdict == Verdict::kUdp);
}

TEST_CASE("a ping over IPv6 comes back as it was, from the address it went to", "[nicpipe][host6]") {
  TestHost us(host6_config());
  for (const std::string_view payload : {"", "x", "ping ping", "\xff\xff\xff\xff\xff\xff"}) {
    const auto ping = echo_request(kPeer6, kUs6, 7, 9).to_mac(kOurMac).payload(payload);
    for (FrameBuilder asked : {ping, FrameBuilder(ping).vlan(3), FrameBuilder(ping).extension(60, 16).trailing(4)}) {
      const Fate fate = us.receive(asked);
      REQUIRE(fate.verdict == Verdict::kEchoReply);
      REQUIRE(us.books_right);
      FrameBuilder reply = echo_reply(kUs6, kPeer6, 7, 9).from_mac(kOurMac).payload(payload);
      if (Frame(asked)[12] == std::byte{0x81}) reply.vlan(3);
      REQUIRE(words(fate.frame) == words(reply));
    }
  }
  const Fate local = us.receive(echo_request("fe80::1", "fe80::aff:fe4d:2", 7, 9).to_mac(kOurMac));
  REQUIRE(words(local.frame) == words(echo_reply("fe80::aff:fe4d:2", "fe80::1", 7, 9).from_mac(kOurMac)));
}

TEST_CASE("pings of both families share one limit", "[nicpipe][host6]") {
  auto config = host6_config();
  config.echoes_per_s = 10;
  TestHost us(config);
  int answered = 0;
  for (int i = 0; i < 500; ++i) {
    answered += us.receive(echo_request(kPeer6, kUs6, 1, 1).to_mac(kOurMac)).verdict == Verdict::kEchoReply;
    answered += us.receive(echo_request(kPeer, kUs, 1, 1)).verdict == Verdict::kEchoReply;
  }
  REQUIRE(answered == 200);
}

/// Our answer to neighbour_solicitation(`to`, `target`).
FrameBuilder advertisement(std::string_view to, std::string_view target, std::uint32_t flags = 0x6000'0000) {
  Frame body(16);
  nicpipe::store_ipv6(body.data(), ip(target));
  for (const int byte : {2, 1, 2, 0, 0x0a, 0x4d, 0, 2}) body.push_back(static_cast<std::byte>(byte));
  return neighbour_advertisement(target, to, target, flags).from_mac(kOurMac).payload(body);
}

TEST_CASE("who asks for our addresses is told our MAC", "[nicpipe][host6]") {
  TestHost us(host6_config());
  for (const std::string_view target : {kUs6, kUsLocal})
    for (const std::string_view asker : {kPeer6, kPeerLocal}) {
      INFO(asker << " asks for " << target);
      const Fate fate = us.receive(neighbour_solicitation(asker, target));
      REQUIRE(fate.verdict == Verdict::kNdpReply);
      REQUIRE(us.books_right);
      REQUIRE(fault_of(fate.frame).empty());
      REQUIRE(words(fate.frame) == words(advertisement(asker, target)));
      const Fate tagged = us.receive(neighbour_solicitation(asker, target).vlan(9));
      REQUIRE(words(tagged.frame) == words(advertisement(asker, target).vlan(9)));
    }
}

TEST_CASE("a question without a MAC is answered to where it came from, and teaches nothing", "[nicpipe][host6]") {
  TestHost us(host6_config());
  Frame target(16);
  nicpipe::store_ipv6(target.data(), ip(kUs6));
  const auto asked = neighbour_solicitation(kPeer6, kUs6).to_mac(kOurMac).payload(target);
  const Fate fate = us.receive(asked);
  REQUIRE(words(fate.frame) == words(advertisement(kPeer6, kUs6)));
  REQUIRE(us.host.neighbours6().size(us.now.mono_ns) == 0);
  us.tailroom = 7;  // The answer is 8 bytes longer.
  REQUIRE(us.receive(asked).drop == Drop::kNdp);
  REQUIRE(us.books_right);
}

TEST_CASE("who probes whether our address is free learns, with everybody, that it is not", "[nicpipe][host6]") {
  TestHost us(host6_config());
  for (const std::string_view target : {kUs6, kUsLocal}) {
    const Fate fate = us.receive(neighbour_solicitation("::", target).from_mac(mac_of(ip(kPeer6))));
    REQUIRE(fate.verdict == Verdict::kNdpReply);
    REQUIRE(words(fate.frame) == words(advertisement("ff02::1", target, 0x2000'0000)));
  }
  REQUIRE(us.host.neighbours6().size(us.now.mono_ns) == 0);
}

TEST_CASE("neighbours are learned from questions to us and answers to us, refreshed by news", "[nicpipe][host6]") {
  TestHost us(host6_config());
  const auto known = [&us](std::string_view address) {
    nicpipe::Mac found;
    return us.host.neighbours6().find(ip(address), us.now.mono_ns, found) ? to_text(found) : "";
  };
  const auto news = [](std::string_view of) { return neighbour_advertisement(of, "ff02::1", of, 0x2000'0000); };
  REQUIRE(us.receive(news("fd77::9")).drop == Drop::kNdp);
  REQUIRE(known("fd77::9").empty());
  REQUIRE(us.receive(neighbour_advertisement("fd77::9", kUs6, "fd77::9").to_mac(kOurMac)).verdict ==
          Verdict::kNdpLearned);
  REQUIRE(known("fd77::9") == "02:06:00:00:00:09");
  us.now.mono_ns += nicpipe::kNeighbourLifeNs - 1;
  REQUIRE(us.receive(news("fd77::9")).drop == Drop::kNdp);
  us.now.mono_ns += nicpipe::kNeighbourLifeNs - 1;
  REQUIRE(known("fd77::9") == "02:06:00:00:00:09");
  us.now.mono_ns += 1;
  REQUIRE(known("fd77::9").empty());
  REQUIRE(us.receive(neighbour_solicitation("fe80::8", kUs6)).verdict == Verdict::kNdpReply);
  REQUIRE(known("fe80::8") == "02:06:00:00:00:08");
  // A stranger is answered, but is no neighbour.
  REQUIRE(us.receive(neighbour_solicitation("fd78::8", kUs6)).verdict == Verdict::kNdpReply);
  REQUIRE(known("fd78::8").empty());
}

TEST_CASE("a flood of IPv6 neighbours never outgrows the table, and one subnet spreads over it", "[nicpipe][host6]") {
  nicpipe::NdpTable table;
  for (std::uint64_t host = 1; host <= 128; ++host) table.learn({0xfd77'0000'0000'0000, host}, kOurMac, 1000, true);
  REQUIRE(table.size(1000) > 112);
  constexpr std::uint64_t kFlood = 100'000;
  for (std::uint64_t i = 1; i <= kFlood; ++i) table.learn({0xfd77'0000'0000'0000, i << 8}, kOurMac, 1000 + i, true);
  REQUIRE(table.size(1000 + kFlood) == nicpipe::NdpTable::kSets * nicpipe::NdpTable::kWays);
}

TEST_CASE("the frames we start ourselves are an announcement and a question", "[nicpipe][host6]") {
  nicpipe::MemoryPool pool({.buffers = 1});
  nicpipe::MemoryEndpoint endpoint(pool, {});
  const auto sent = [&](auto write) {
    nicpipe::Packet packet;
    REQUIRE(endpoint.alloc({&packet, 1}) == 1);
    write(packet);
    REQUIRE(endpoint.tx_burst({&packet, 1}) == 1);
    return endpoint.take_sent().at(0);
  };
  for (const std::uint16_t vlan : {0, 17}) {
    FrameBuilder announced = advertisement("ff02::1", kUs6, 0x2000'0000);
    FrameBuilder asked = neighbour_solicitation(kUs6, "fd77::9").from_mac(kOurMac);
    Frame body(16);
    nicpipe::store_ipv6(body.data(), ip("fd77::9"));
    for (const int byte : {1, 1, 2, 0, 0x0a, 0x4d, 0, 2}) body.push_back(static_cast<std::byte>(byte));
    asked.payload(body);
    if (vlan != 0) announced.vlan(vlan), asked.vlan(vlan);
    REQUIRE(words(sent([&](auto& packet) { write_neighbour_announcement(packet, kOurMac, ip(kUs6), vlan); })) ==
            words(announced));
    REQUIRE(words(sent([&](auto& packet) {
              write_neighbour_solicitation(packet, kOurMac, ip(kUs6), ip("fd77::9"), vlan);
            })) == words(asked));
  }
  REQUIRE(pool.buffers_out() == 0);
}

TEST_CASE("a port nobody serves is told so over IPv6, quoting all that fits 1280 bytes", "[nicpipe][host6]") {
  TestHost us(host6_config());
  for (const std::size_t bytes : {0, 1, 100, 1184, 1185, 1400}) {
    const auto asked = udp(kPeerPort6, "[fd77::2]:7").to_mac(kOurMac).payload(std::string(bytes, 'q'));
    for (const std::uint16_t headroom : {128, 48, 47, 0}) {
      us.headroom = headroom;
      us.tailroom = 48;
      us.now.mono_ns += 1'000'000'000;
      const Fate fate = us.receive(asked);
      INFO(bytes << " bytes of payload, headroom " << headroom);
      REQUIRE(fate.verdict == Verdict::kUnreachable);
      REQUIRE(us.books_right);
      REQUIRE(words(fate.frame) == words(port_unreachable(kUs6, kPeer6, asked).from_mac(kOurMac)));
    }
  }
  us.headroom = us.tailroom = 0;  // No room for the message at either end.
  REQUIRE(us.receive(udp(kPeerPort6, "[fd77::2]:7").to_mac(kOurMac)).drop == Drop::kUdpPort);
}

TEST_CASE("TCP over IPv6 goes to whoever takes it, options and padding cut off", "[nicpipe][host6]") {
  auto config = host6_config();
  config.tcp = true;
  TestHost us(config);
  const auto segment = ip_packet(kPeer6, kUs6, 6).to_mac(kOurMac).payload("a segment, for all we know");
  for (const Frame& frame : {segment.frame(), FrameBuilder(segment).extension(60, 16).trailing(3).frame()}) {
    const Fate fate = us.receive(frame);
    REQUIRE(fate.verdict == Verdict::kTcp);
    REQUIRE(us.books_right);
    REQUIRE(words(fate.frame) == words(segment));
  }
  REQUIRE(us.receive(ip_packet("fd78::1", kUs6, 6).to_mac(kOurMac)).drop == Drop::kSourceRefused);
}

TEST_CASE("errors about TCP segments of ours are passed on over IPv6, others are not", "[nicpipe][host6]") {
  auto config = host6_config();
  config.tcp = true;
  TestHost us(config);
  const auto error = [](std::string_view sender, std::uint8_t protocol, std::uint8_t type, std::size_t bytes) {
    const Frame quoted = ip_packet(sender, kPeer6, protocol).payload(std::string(64, 's'));
    return echo_request("fd77::99", kUs6, 0, 1280)
        .icmp_type(type, 0)
        .to_mac(kOurMac)
        .payload(Bytes(quoted).subspan(14, bytes));
  };
  for (const std::uint8_t type : {1, 2, 3, 4}) {
    const Fate fate = us.receive(error(kUs6, 6, type, 48).extension(60).trailing(2));
    REQUIRE(fate.verdict == Verdict::kTcpError);
    REQUIRE(us.books_right);
    REQUIRE(words(fate.frame) == words(error(kUs6, 6, type, 48)));
  }
  REQUIRE(us.receive(error(kUs6, 6, 2, 47)).drop == Drop::kIcmp);
  REQUIRE(us.receive(error(kUs6, 17, 2, 48)).drop == Drop::kIcmp);
  REQUIRE(us.receive(error("fd77::3", 6, 2, 48)).drop == Drop::kIcmp);
  REQUIRE(us.receive(error(kUs6, 6, 5, 48)).drop == Drop::kIcmp);
  REQUIRE(us.receive(error(kUs6, 6, 2, 48).bad_checksum()).drop == Drop::kIcmp);
}

}  // namespace
