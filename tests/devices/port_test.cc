// Endpoints of a ring in one process: frames, tails, pools, what a full or an absent device does; and what Port says.
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/devices/ports.h"

namespace gannet::nicpipe::dpdk {
namespace {

using namespace test;  // NOLINT(google-build-using-namespace)

TEST_CASE("frames of every size cross a ring whole and every buffer comes home", "[devices]") {
  RingPair pair;
  Endpoint& sender = pair.near->endpoint(0);
  for (std::uint16_t bytes = 14; bytes <= frame_bytes_max(1500); bytes = static_cast<std::uint16_t>(bytes + 37)) {
    std::array<Packet, 3> out, in;
    REQUIRE(sender.alloc(out) == 3);
    REQUIRE(out[0].bytes == 0);
    REQUIRE(out[0].headroom == RTE_PKTMBUF_HEADROOM);
    REQUIRE(out[0].tailroom >= frame_bytes_max(1500));
    for (unsigned i = 0; i < 3; ++i) fill(out[i], bytes, i);
    REQUIRE(sender.tx_burst(out) == 3);
    REQUIRE(out[0].buffer == nullptr);
    REQUIRE(sender.packets_out() == 0);
    REQUIRE(pair.far->endpoint(0).rx_burst(in, 42) == 3);
    for (unsigned i = 0; i < 3; ++i) {
      REQUIRE(is_filled(in[i], bytes, i));
      REQUIRE(in[i].received_ns == 42);
      REQUIRE(in[i].tail == nullptr);
      REQUIRE(in[i].headroom + in[i].bytes + in[i].tailroom == RTE_PKTMBUF_HEADROOM + 2048);
    }
    REQUIRE(pair.far->endpoint(0).packets_out() == 3);
    pair.far->endpoint(0).free(in);
    REQUIRE(pair.far->endpoint(0).packets_out() == 0);
  }
}

TEST_CASE("a packet whose data moved forward or back is sent from where it begins now", "[devices]") {
  RingPair pair;
  Packet packet, in;
  REQUIRE(pair.near->endpoint(0).alloc({&packet, 1}) == 1);
  fill(packet, 100, 1);
  packet.data += 10;  // As when IP options are cut out.
  packet.bytes = 90;
  REQUIRE(pair.near->endpoint(0).tx_burst({&packet, 1}) == 1);
  REQUIRE(pair.far->endpoint(0).rx_burst({&in, 1}, 0) == 1);
  REQUIRE(in.bytes == 90);
  REQUIRE(in.data[0] == static_cast<std::byte>(31 + 10));
  in.data -= 4;  // As when a tag is put in front.
  in.bytes = 94;
  REQUIRE(pair.far->endpoint(0).tx_burst({&in, 1}) == 1);
  REQUIRE(pair.near->endpoint(0).rx_burst({&packet, 1}, 0) == 1);
  REQUIRE(packet.bytes == 94);
  REQUIRE(packet.data[4] == static_cast<std::byte>(31 + 10));
  pair.near->endpoint(0).free({&packet, 1});
}

TEST_CASE("a device that cannot point gets the tail's bytes copied, and the pin is back at once", "[devices][tail]") {
  RingPair pair;
  Pins pins;
  Endpoint& sender = pair.near->endpoint(0);
  sender.set_release_hook(pins.hook());
  REQUIRE_FALSE(sender.capabilities().multi_segment);
  std::vector<std::byte> segment(1000, std::byte{0x5a});
  Packet packet, in;
  REQUIRE(sender.alloc({&packet, 1}) == 1);
  fill(packet, 61, 9);
  packet.tail = segment.data();
  packet.tail_bytes = 1000;
  packet.pin = 77;
  REQUIRE(sender.tx_burst({&packet, 1}) == 1);
  REQUIRE(pins.released == std::vector<std::uint32_t>{77});
  REQUIRE(sender.counters().tails_copied == 1);
  REQUIRE(pair.far->endpoint(0).rx_burst({&in, 1}, 0) == 1);
  REQUIRE(in.bytes == 1061);
  REQUIRE(std::memcmp(in.data + 61, segment.data(), 1000) == 0);
  pair.far->endpoint(0).free({&in, 1});
}

TEST_CASE("what a full device refuses stays the caller's, in order", "[devices]") {
  RingPair pair;
  Endpoint& sender = pair.near->endpoint(0);
  REQUIRE(pair.near->link_up());
  std::vector<Packet> out(300);
  REQUIRE(sender.alloc(out) == 300);
  for (unsigned i = 0; i < 300; ++i) fill(out[i], 60, i);
  const std::uint32_t taken = sender.tx_burst(out);
  REQUIRE(taken == 255);  // A ring of 256 slots.
  REQUIRE(sender.packets_out() == 45);
  for (std::uint32_t i = taken; i < 300; ++i) REQUIRE(is_filled(out[i], 60, i));
  std::array<Packet, 64> in;
  std::uint32_t seen = 0;
  while (const std::uint32_t count = pair.far->endpoint(0).rx_burst(in, 0)) {
    for (std::uint32_t i = 0; i < count; ++i) REQUIRE(is_filled(in[i], 60, seen++));
    pair.far->endpoint(0).free(std::span(in).first(count));
  }
  REQUIRE(seen == 255);
  REQUIRE(sender.tx_burst(std::span(out).subspan(taken)) == 45);
}

TEST_CASE("an empty pool gives what it has, and all of it comes back", "[devices]") {
  RingPair pair;
  Endpoint& endpoint = pair.near->endpoint(0);
  std::vector<Packet> all(endpoint.buffers_total() + 10);
  const std::uint32_t got = endpoint.alloc(all);
  REQUIRE(got <= endpoint.buffers_total());
  REQUIRE(got >= 512);
  REQUIRE(endpoint.buffers_free() == endpoint.buffers_total() - got);
  endpoint.free(std::span(all).first(got));
  REQUIRE(endpoint.buffers_free() == endpoint.buffers_total());
}

TEST_CASE("a buffer that nobody gave back is told at close", "[devices]") {
  std::unique_ptr<Port> port = open(small(DeviceKind::kRing, "leaky"));
  Packet kept;
  REQUIRE(port->endpoint(0).alloc({&kept, 1}) == 1);
  REQUIRE(port->close() == 1);
  REQUIRE(port->close() == 0);  // Once is enough.
}

TEST_CASE("a buffer that went astray below the endpoint is told at close too", "[devices]") {
  std::unique_ptr<Port> port = open(small(DeviceKind::kRing, "astray"));
  Packet packet;
  REQUIRE(port->endpoint(0).alloc({&packet, 1}) == 1);
  REQUIRE(rte_pktmbuf_alloc(static_cast<rte_mbuf*>(packet.buffer)->pool) != nullptr);  // As a driver might.
  port->endpoint(0).free({&packet, 1});
  REQUIRE(port->endpoint(0).packets_out() == 0);
  REQUIRE(port->close() == 1);
}

TEST_CASE("a frame spread over several buffers is joined where it fits and dropped where not", "[devices]") {
  RingPair pair;
  Packet packet;
  REQUIRE(pair.near->endpoint(0).alloc({&packet, 1}) == 1);  // Its pool serves for buffers made by hand.
  rte_mempool* pool = static_cast<rte_mbuf*>(packet.buffer)->pool;
  pair.near->endpoint(0).free({&packet, 1});
  rte_ring* wire = rte_ring_lookup("gt.b0");
  REQUIRE(wire != nullptr);
  const auto chain_of = [&](std::uint16_t first, std::uint16_t second) {
    rte_mbuf* head = rte_pktmbuf_alloc(pool);
    rte_mbuf* next = rte_pktmbuf_alloc(pool);
    std::memset(rte_pktmbuf_append(head, first), 0x11, first);
    std::memset(rte_pktmbuf_append(next, second), 0x22, second);
    REQUIRE(rte_pktmbuf_chain(head, next) == 0);
    REQUIRE(rte_ring_enqueue(wire, head) == 0);
  };
  chain_of(1000, 500);
  chain_of(2000, 100);
  Endpoint& endpoint = pair.near->endpoint(0);
  std::array<Packet, 8> in;
  REQUIRE(endpoint.rx_burst(in, 0) == 1);
  REQUIRE(in[0].bytes == 1500);
  REQUIRE(in[0].data[999] == std::byte{0x11});
  REQUIRE(in[0].data[1000] == std::byte{0x22});
  REQUIRE(in[0].data[1499] == std::byte{0x22});
  REQUIRE(endpoint.counters().rx_multi_buffer_joined == 1);
  REQUIRE(endpoint.counters().rx_multi_buffer_dropped == 1);
  endpoint.free(std::span(in).first(1));
}

TEST_CASE("a worker without a queue sends through its owner and receives nothing", "[devices]") {
  RingPair pair(2, 1);
  REQUIRE(pair.near->dispatch_in_software());
  REQUIRE(pair.near->rx_queues() == 1);
  Endpoint& owner = pair.near->endpoint(0);
  Endpoint& queueless = pair.near->endpoint(1);
  REQUIRE_FALSE(queueless.receives());
  REQUIRE_FALSE(queueless.capabilities().multi_segment);
  Packet packet, in;
  REQUIRE(queueless.alloc({&packet, 1}) == 1);
  fill(packet, 64, 3);
  REQUIRE(queueless.tx_burst({&packet, 1}) == 1);
  REQUIRE(pair.far->endpoint(0).rx_burst({&in, 1}, 0) == 0);
  REQUIRE(owner.rx_burst({}, 0) == 0);  // The owner's turn sends it.
  REQUIRE(pair.far->endpoint(0).rx_burst({&in, 1}, 0) == 1);
  REQUIRE(is_filled(in, 64, 3));
  pair.far->endpoint(0).free({&in, 1});
}

TEST_CASE("frames still waiting in a forward ring are no leak", "[devices]") {
  RingPair pair(2, 1);
  std::array<Packet, 5> out;
  REQUIRE(pair.near->endpoint(1).alloc(out) == 5);
  for (Packet& packet : out) fill(packet, 64, 1);
  REQUIRE(pair.near->endpoint(1).tx_burst(out) == 5);
}

TEST_CASE("with nobody at the other end frames are dropped and counted, and their pins come back", "[devices][tail]") {
  std::unique_ptr<Port> port = open(small(DeviceKind::kVhost, scratch_path(".lonely")));
  REQUIRE_FALSE(port->link_up());
  Pins pins;
  Endpoint& endpoint = port->endpoint(0);
  endpoint.set_release_hook(pins.hook());
  const std::vector<std::byte> segment(512);
  std::array<Packet, 2> out;
  REQUIRE(endpoint.alloc(out) == 2);
  for (Packet& packet : out) fill(packet, 64, 1);
  out[1].tail = segment.data();
  out[1].tail_bytes = 512;
  out[1].pin = 5;
  REQUIRE(endpoint.tx_burst(out) == 2);
  REQUIRE(endpoint.counters().tx_link_down_dropped == 2);
  REQUIRE(pins.released == std::vector<std::uint32_t>{5});
  REQUIRE(endpoint.tails_out() == 0);
  REQUIRE(port->close() == 0);
}

TEST_CASE("what cannot work is refused with a sentence that says the fix", "[devices]") {
  struct Case {
    DeviceKind kind;
    const char* device;
    std::uint16_t workers, mtu;
    Status status;
    const char* says;
  };
  const Case cases[] = {
      {DeviceKind::kRing, "r", 0, 1500, Status::kBadOption, "1 to 64 workers, not 0"},
      {DeviceKind::kRing, "r", 65, 1500, Status::kBadOption, "1 to 64 workers, not 65"},
      {DeviceKind::kRing, "r", 1, 100, Status::kBadOption, "mtu must be 576 to 9000, not 100"},
      {DeviceKind::kRing, "", 1, 1500, Status::kBadOption, "a ring needs a name"},
      {DeviceKind::kTap, "a-name-of-16-char", 1, 1500, Status::kBadOption, "at most 15 letters"},
      {DeviceKind::kTap, "a,b=c", 1, 1500, Status::kBadOption, "no interface can be called"},
      {DeviceKind::kAfPacket, "", 1, 1500, Status::kBadOption, "needs an interface name"},
      {DeviceKind::kAfPacket, "g-absent", 1, 1500, Status::kNoDevice,
       "no interface g-absent in this network namespace"},
      {DeviceKind::kAfXdp, "g-absent", 1, 1500, Status::kNoDevice, "no interface g-absent in this network namespace"},
      {DeviceKind::kVhost, "", 1, 1500, Status::kBadOption, "needs a socket path"},
      {DeviceKind::kVhost, "/nowhere/at/all", 1, 1500, Status::kNoDevice, "no folder /nowhere/at for the socket"},
      {DeviceKind::kVhost, "/dev/null", 1, 1500, Status::kNoDevice, "is no socket"},
      {DeviceKind::kMemif, "/tmp/a,b", 1, 1500, Status::kBadOption, "neither ',' nor '='"},
      {DeviceKind::kVirtioUser, "/nowhere/at/all", 1, 1500, Status::kNoDevice, "nobody serves"},
      {DeviceKind::kPci, "0000:ff:1f.7", 1, 1500, Status::kNoDevice, "no PCI device 0000:ff:1f.7"},
  };
  for (const Case& wrong : cases) {
    PortOptions options = small(wrong.kind, wrong.device, wrong.workers);
    options.mtu = wrong.mtu;
    std::unique_ptr<Port> port;
    const Outcome outcome = Port::open(eal(), options, port);
    INFO(outcome.error);
    CHECK(outcome.status == wrong.status);
    CHECK(outcome.error.find(wrong.says) != std::string::npos);
    CHECK(port == nullptr);
  }
  PortOptions odd = small(DeviceKind::kRing, "r");
  odd.rx_slots = 300;
  std::unique_ptr<Port> port;
  CHECK(Port::open(eal(), odd, port).status == Status::kBadOption);
}

TEST_CASE("a dead socket is cleared away, a served one is left alone", "[devices]") {
  const std::string path = scratch_path(".dead");
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 1) == 0);
  std::unique_ptr<Port> port;
  const Outcome served = Port::open(eal(), small(DeviceKind::kVhost, path), port);
  REQUIRE(served.status == Status::kNoDevice);
  REQUIRE(served.error.find("is served by another process") != std::string::npos);
  close(listener);  // As after a crash: the file stays.
  REQUIRE(std::filesystem::exists(path));
  port = open(small(DeviceKind::kVhost, path));
  REQUIRE(port->close() == 0);
  REQUIRE_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a port says what it is and what it could not have", "[devices]") {
  PortOptions options = small(DeviceKind::kRing, "words", 2);
  options.queues = 9;
  std::unique_ptr<Port> port = open(options);
  REQUIRE(port->describe().find("ring words (net_ring): 2 queues for 2 workers, MTU 1500") == 0);
  REQUIRE(port->warnings().size() == 1);
  REQUIRE(port->warnings()[0].find("9 queues were asked for, 2 are used") != std::string::npos);
  REQUIRE_FALSE(port->steer_udp(11212));
  REQUIRE(port->numa_node() == -1);
  REQUIRE(port->close() == 0);
}

TEST_CASE("DPDK starts once in a process", "[devices]") {
  (void)eal();
  EalOptions options;
  options.hugepages = false;
  std::unique_ptr<Eal> second;
  REQUIRE(Eal::start(options, second).status == Status::kInternal);
  options.memory_mib = 1;
  REQUIRE(Eal::start(options, second).status == Status::kBadOption);
  options.memory_mib = 64;
  options.pci_allow = {"0000:00:00.0"};
  REQUIRE(Eal::start(options, second).error.find("a PCI device needs hugepages") == 0);
}

TEST_CASE("driver arguments fit the frames they must carry", "[devices]") {
  PortOptions options = small(DeviceKind::kAfPacket, "veth0", 2);
  options.rx_slots = 512;
  REQUIRE(requests_for(options, 2)[0].arguments == "iface=veth0,qpairs=2,framesz=2048,blocksz=65536,framecnt=512");
  options.mtu = 9000;
  REQUIRE(requests_for(options, 2)[0].arguments == "iface=veth0,qpairs=2,framesz=12288,blocksz=12288,framecnt=512");
  options.kind = DeviceKind::kAfXdp;
  const std::vector<DeviceRequest> each = requests_for(options, 2);
  REQUIRE(each.size() == 2);
  REQUIRE(each[0].name != each[1].name);
  REQUIRE(each[1].arguments == "iface=veth0,start_queue=1,queue_count=1");
  options.kind = DeviceKind::kMemif;
  options.device = "/run/m";
  REQUIRE(requests_for(options, 2)[0].arguments ==
          "role=server,id=0,socket-abstract=no,socket=/run/m,bsize=16384,rsize=9");
  options.kind = DeviceKind::kTap;
  options.device = "";
  options.index = 3;
  REQUIRE(requests_for(options, 1)[0].arguments == "iface=gannet3");
}

}  // namespace
}  // namespace gannet::nicpipe::dpdk
