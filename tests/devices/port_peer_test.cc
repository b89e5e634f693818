// A vhost and its virtio-user in one process: tails, and peers that come, go, or use fewer queues than they are
// offered.
#include <rte_mbuf.h>

#include "tests/devices/ports.h"

namespace gannet::nicpipe::dpdk {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

TEST_CASE("tails reach a vhost peer byte for byte, odd places and checksums asked of the device included",
          "[devices][tail]") {
  VhostPair pair(1, 1);
  Pins pins;
  Endpoint& sender = pair.near->endpoint(0);
  sender.set_release_hook(pins.hook());
  REQUIRE(sender.capabilities().multi_segment);
  std::vector<std::byte> segment(1400);
  for (std::size_t i = 0; i < segment.size(); ++i) segment[i] = static_cast<std::byte>(i * 7);
  std::uint32_t sent = 0;
  for (const std::uint16_t head : {std::uint16_t{42}, std::uint16_t{43}, std::uint16_t{75}}) {
    for (const std::uint32_t tail : {1u, 2u, 513u, 1400u}) {
      INFO("head " << head << ", tail " << tail);
      Packet packet, in;
      REQUIRE(sender.alloc({&packet, 1}) == 1);
      fill(packet, head, 2);
      packet.data[12] = std::byte{0x88};  // Some local experiment's type: no driver looks inside.
      packet.data[13] = std::byte{0xb5};
      packet.tail = segment.data();
      packet.tail_bytes = tail;
      packet.pin = sent;
      REQUIRE(sender.tx_burst({&packet, 1}) == 1);
      REQUIRE(pins.released.size() == ++sent);
      REQUIRE(receive(pair.far->endpoint(0), {&in, 1}) == 1);
      REQUIRE(in.bytes == head + tail);
      REQUIRE(std::memcmp(in.data + head, segment.data(), tail) == 0);
      pair.far->endpoint(0).free({&in, 1});
    }
  }
  REQUIRE(sender.counters().tails_sent == sent);
  REQUIRE(sender.counters().tails_copied == 0);
}

TEST_CASE("a refused packet keeps its tail and its pin", "[devices][tail]") {
  VhostPair pair(1, 1);
  Pins pins;
  Endpoint& sender = pair.near->endpoint(0);
  sender.set_release_hook(pins.hook());
  const std::vector<std::byte> segment(900, std::byte{0x33});
  std::vector<Packet> out(400);  // More than the peer's ring holds while it does not look.
  REQUIRE(sender.alloc(out) == 400);
  for (std::uint32_t i = 0; i < 400; ++i) {
    fill(out[i], 60, i);
    out[i].tail = segment.data();
    out[i].tail_bytes = 900;
    out[i].pin = i;
  }
  const std::uint32_t taken = sender.tx_burst(out);
  REQUIRE(taken > 0);
  REQUIRE(taken < 400);
  REQUIRE(pins.released.size() == taken);
  for (std::uint32_t i = taken; i < 400; ++i) {
    REQUIRE(out[i].tail == segment.data());
    REQUIRE(out[i].tail_bytes == 900);
    REQUIRE(is_filled(out[i], 60, i));
  }
  sender.free(std::span(out).subspan(taken));
  REQUIRE(pins.released.size() == 400);
  REQUIRE(pins.released.back() == 399);
  REQUIRE(sender.tails_out() == 0);
}

TEST_CASE("a peer that reads one queue of two gets the second worker's frames through the first", "[devices]") {
  VhostPair pair(2, 1);
  Pins pins;
  Endpoint& second = pair.near->endpoint(1);
  second.set_release_hook(pins.hook());
  const std::vector<std::byte> segment(700, std::byte{0x44});
  Packet packet, in;
  REQUIRE(second.alloc({&packet, 1}) == 1);
  fill(packet, 60, 4);
  packet.tail = segment.data();
  packet.tail_bytes = 700;
  packet.pin = 6;
  REQUIRE(second.tx_burst({&packet, 1}) == 1);
  REQUIRE(second.counters().tx_forwarded == 1);
  REQUIRE(pins.released ==
          std::vector<std::uint32_t>{6});  // Copied: it may not be released on another worker's thread.
  REQUIRE(receive(pair.far->endpoint(0), {&in, 1}, &pair.near->endpoint(0)) == 1);
  REQUIRE(in.bytes == 760);
  pair.far->endpoint(0).free({&in, 1});
}

TEST_CASE("a peer that comes back is served again", "[devices]") {
  const std::string path = scratch_path(".again");
  std::unique_ptr<Port> near = open(small(DeviceKind::kVhost, path));
  for (unsigned life = 0; life < 2; ++life) {
    std::unique_ptr<Port> far = open(small(DeviceKind::kVirtioUser, path));
    for (int i = 0; i < 1000 && !near->link_up(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE(near->link_up());
    Packet packet, in;
    REQUIRE(near->endpoint(0).alloc({&packet, 1}) == 1);
    fill(packet, 60, life);
    REQUIRE(near->endpoint(0).tx_burst({&packet, 1}) == 1);
    REQUIRE(receive(far->endpoint(0), {&in, 1}) == 1);
    REQUIRE(is_filled(in, 60, life));
    far->endpoint(0).free({&in, 1});
    REQUIRE(far->close() == 0);
    for (int i = 0; i < 1000 && near->link_up(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    REQUIRE_FALSE(near->link_up());
  }
  REQUIRE(near->close() == 0);
}

}  // namespace
}  // namespace gannet::nicpipe::dpdk
