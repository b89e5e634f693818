#include "nicpipe/memory_endpoint.h"

#include <array>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "nicpipe/udp.h"
#include "tests/support/packets.h"

using namespace gannet;
using namespace gannet::nicpipe;
using gannet::test::udp;

namespace {

std::vector<std::uint32_t>& pins_of(void* context) {
  return *static_cast<std::vector<std::uint32_t>*>(context);
}
void remember(void* context, std::uint32_t pin) {
  pins_of(context).push_back(pin);
}

TEST_CASE("frames arrive in order, in one buffer each, as the wire had them", "[nicpipe][memory]") {
  MemoryPool pool({.buffers = 8});
  MemoryEndpoint endpoint(pool, {});
  const test::Frame first = udp("10.0.0.1:1", "10.0.0.2:2").payload("first");
  const test::Frame second = udp("10.0.0.1:1", "10.0.0.2:2").payload("second");
  endpoint.deliver(first, kRxIpChecksumGood);
  endpoint.deliver(second);
  std::array<Packet, 4> packets;
  REQUIRE(endpoint.rx_burst(packets, 77) == 2);
  REQUIRE(test::Frame(packets[0].data, packets[0].data + packets[0].bytes) == first);
  REQUIRE(test::Frame(packets[1].data, packets[1].data + packets[1].bytes) == second);
  REQUIRE(packets[0].flags == kRxIpChecksumGood);
  REQUIRE(packets[1].flags == 0);
  REQUIRE(packets[0].received_ns == 77);
  REQUIRE(packets[0].headroom == 128);
  REQUIRE(packets[0].tailroom == 2048 - first.size());
  REQUIRE(pool.buffers_out() == 2);
  endpoint.free(std::span(packets).first(2));
  REQUIRE(pool.buffers_out() == 0);
}

TEST_CASE("without a free buffer, or too long for one, a frame is lost and counted", "[nicpipe][memory]") {
  MemoryPool pool({.buffers = 1, .data_bytes = 100});
  MemoryEndpoint endpoint(pool, {});
  const test::Frame small(100), large(101);
  std::array<Packet, 4> packets;
  endpoint.deliver(large);
  endpoint.deliver(small);
  endpoint.deliver(small);
  REQUIRE(endpoint.rx_burst(packets, 0) == 1);
  REQUIRE(endpoint.rx_lost() == 2);
  REQUIRE(endpoint.rx_frames() == 1);
  REQUIRE(endpoint.waiting() == 0);
  std::array<Packet, 1> more;
  REQUIRE(endpoint.alloc(more) == 0);
  endpoint.free(std::span(packets).first(1));
  REQUIRE(endpoint.alloc(more) == 1);
  REQUIRE(more[0].bytes == 0);
  endpoint.free(more);
}

TEST_CASE("a transmit queue takes what its limit says and leaves the rest to the caller", "[nicpipe][memory]") {
  MemoryPool pool({.buffers = 8});
  MemoryEndpoint endpoint(pool, {});
  std::array<Packet, 4> packets;
  REQUIRE(endpoint.alloc(packets) == 4);
  endpoint.tx_limit(3);
  REQUIRE(endpoint.tx_burst(packets) == 3);
  REQUIRE(endpoint.tx_burst(std::span(packets).subspan(3)) == 0);
  REQUIRE(pool.buffers_out() == 1);
  endpoint.tx_limit(MemoryEndpoint::kNoLimit);
  REQUIRE(endpoint.tx_burst(std::span(packets).subspan(3)) == 1);
  REQUIRE(pool.buffers_out() == 0);
  REQUIRE(endpoint.tx_frames() == 4);
  REQUIRE(endpoint.take_sent().size() == 4);
  REQUIRE(endpoint.take_sent().empty());
}

TEST_CASE("a tail is read when the device completes, and its pin is released once, sent or freed",
          "[nicpipe][memory]") {
  MemoryPool pool({.buffers = 8});
  std::vector<std::uint32_t> released;
  MemoryEndpoint::Options options;
  options.release_at_once = false;
  MemoryEndpoint endpoint(pool, options, {remember, &released});
  std::array<Packet, 2> packets;
  REQUIRE(endpoint.alloc(packets) == 2);
  std::array<std::byte, 3> value{std::byte{1}, std::byte{2}, std::byte{3}};
  for (std::size_t i = 0; i < 2; ++i) {
    packets[i].tail = value.data();
    packets[i].tail_bytes = 3;
    packets[i].pin = static_cast<std::uint32_t>(70 + i);
  }
  REQUIRE(endpoint.tx_burst(std::span(packets).first(1)) == 1);
  REQUIRE(released.empty());
  REQUIRE(endpoint.take_sent().empty());
  REQUIRE(pool.buffers_out() == 2);
  value[0] = std::byte{9};  // Until completion the device may still read: what it reads is what is there then.
  endpoint.complete_tx();
  REQUIRE(released == std::vector<std::uint32_t>{70});
  REQUIRE(endpoint.take_sent().at(0) == std::vector<std::byte>{std::byte{9}, std::byte{2}, std::byte{3}});
  endpoint.free(std::span(packets).subspan(1));
  REQUIRE(released == std::vector<std::uint32_t>{70, 71});
  REQUIRE(endpoint.pins_released() == 2);
  REQUIRE(endpoint.tails_sent() == 1);
  REQUIRE(pool.buffers_out() == 0);
}

TEST_CASE("packets of two pools freed in one burst go home", "[nicpipe][memory]") {
  MemoryPool a({.buffers = 4}), b({.buffers = 4});
  MemoryEndpoint endpoint_a(a, {}), endpoint_b(b, {});
  std::array<Packet, 4> packets;
  REQUIRE(endpoint_a.alloc(std::span(packets).first(1)) == 1);
  REQUIRE(endpoint_b.alloc(std::span(packets).subspan(1, 2)) == 2);
  REQUIRE(endpoint_a.alloc(std::span(packets).subspan(3)) == 1);
  REQUIRE(a.buffers_out() == 2);
  REQUIRE(b.buffers_out() == 2);
  REQUIRE(endpoint_b.tx_burst(packets) == 4);
  REQUIRE(a.buffers_out() == 0);
  REQUIRE(b.buffers_out() == 0);
}

TEST_CASE("a buffer taken on one thread may be given back on another", "[nicpipe][memory]") {
  MemoryPool pool({.buffers = 64});
  const auto churn = [&pool] {
    std::array<Packet, 8> packets;
    for (int i = 0; i < 2000; ++i) {
      const std::uint32_t count = pool.alloc(packets);
      for (std::uint32_t k = 0; k < count; ++k) packets[k].data[0] = std::byte{1};
      MemoryPool::free(std::span(packets).first(count));
    }
  };
  std::thread other(churn);
  churn();
  other.join();
  REQUIRE(pool.buffers_out() == 0);
}

}  // namespace
