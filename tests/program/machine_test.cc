#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "control/abi/shared.h"
#include "dataplane/program/notify.h"
#include "dataplane/program/plan_text.h"
#include "dataplane/program/shared_file.h"
#include "dataplane/program/topology.h"
#include "dataplane/program/wish.h"

using namespace gannet::dataplane;
namespace abi = gannet::abi;

namespace {

Machine synthetic(std::string_view text) {
  Machine machine;
  REQUIRE(machine.load(text).empty());
  return machine;
}

/// A folder of this test's own that goes with it.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/gannet-program-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const std::string& file) const { return path_ + "/" + file; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("a synthetic machine is read with its sockets, cores, siblings and caches", "[topology]") {
  const Machine machine = synthetic("pack:2 l3:2 core:4 pu:2");
  const Topology& topology = machine.topology();
  REQUIRE(topology.pus.size() == 32);
  std::set<int> packages, l3s, cores, cpus;
  for (const Pu& pu : topology.pus) {
    packages.insert(pu.package);
    l3s.insert(pu.l3);
    cores.insert(pu.core);
    cpus.insert(pu.cpu);
    REQUIRE(pu.allowed);
    REQUIRE_FALSE(pu.isolated);
  }
  REQUIRE(packages.size() == 2);
  REQUIRE(l3s.size() == 4);
  REQUIRE(cores.size() == 16);
  REQUIRE(cpus.size() == 32);
}

TEST_CASE("NUMA nodes of a synthetic machine carry the CPUs near them", "[topology]") {
  const Machine machine = synthetic("numa:2 pack:1 core:3 pu:1");
  REQUIRE(machine.topology().nodes.size() == 2);
  int on_node_1 = 0;
  for (const Pu& pu : machine.topology().pus) on_node_1 += pu.node == 1;
  REQUIRE(on_node_1 == 3);
  const PlanResult plan = plan_workers(machine.topology(), {.workers = 2, .nic_node = 1});
  REQUIRE(plan.ok());
  REQUIRE(plan.plan.worker[0].node == 1);
  REQUIRE(plan.plan.worker[1].node == 1);
}

TEST_CASE("a description that is none is refused with an example", "[topology]") {
  Machine machine;
  REQUIRE(machine.load("two sockets please") ==
          "The topology \"two sockets please\" is not understood: write for example \"pack:2 core:8 pu:2\".");
}

TEST_CASE("this machine can be read and planned for, and its virtual devices have no node", "[topology]") {
  const Machine machine = synthetic("");
  REQUIRE_FALSE(machine.topology().pus.empty());
  REQUIRE_FALSE(machine.topology().nodes.empty());
  REQUIRE(plan_workers(machine.topology(), {.workers = 1}).ok());
  REQUIRE(machine.node_of_device("no-such-interface") == kUnknownNode);
  REQUIRE(machine.node_of_device("ffff:ff:1f.7") == kUnknownNode);
  REQUIRE(machine.node_of_device("") == kUnknownNode);
}

TEST_CASE("the kernel's CPU lists are understood", "[topology]") {
  REQUIRE(parse_cpu_list("").empty());
  REQUIRE(parse_cpu_list("3") == std::vector<std::int32_t>{3});
  REQUIRE(parse_cpu_list("0-2,8,10-11") == std::vector<std::int32_t>{0, 1, 2, 8, 10, 11});
  REQUIRE(parse_cpu_list("x,1,-2,5-,7-6") == std::vector<std::int32_t>{1});
}

TEST_CASE("the plan is the same in words and in JSON", "[plan]") {
  const Machine machine = synthetic("pack:1 core:4 pu:2");
  const PlanResult result = plan_workers(machine.topology(), {.workers = 2, .nic_node = 0});
  const PlanView view{machine.topology(), result, 0, 11211};
  const auto json = nlohmann::json::parse(plan_as_json(view));
  REQUIRE(json["machine"] ==
          nlohmann::json{{"packages", 1}, {"numa_nodes", 1}, {"cores", 4}, {"cpus", 8}, {"allowed_cpus", 8}});
  REQUIRE(json["workers"].size() == 2);
  REQUIRE(json["workers"][1]["worker"] == 1);
  REQUIRE(json["workers"][1]["cpu"] == result.plan.worker[1].cpu);
  REQUIRE(json["workers"][1]["udp_port"] == 11213);
  REQUIRE(json["rest_cpus"].size() == 4);
  REQUIRE(json["warnings"].empty());
  const std::string text = plan_as_text(view);
  REQUIRE(text.find("machine   1 package, 1 NUMA node, 4 cores, 8 CPUs (8 allowed)\n") == 0);
  REQUIRE(text.find("nic       NUMA node 0\n") != std::string::npos);
  REQUIRE(text.find("worker 1  CPU ") != std::string::npos);
}

TEST_CASE("a refusal is shown in words and in JSON", "[plan]") {
  const Machine machine = synthetic("pack:1 core:1 pu:1");
  const PlanResult result = plan_workers(machine.topology(), {.workers = 9});
  const PlanView view{machine.topology(), result, kUnknownNode, 11211};
  REQUIRE(nlohmann::json::parse(plan_as_json(view))["refusal"] == result.refusal);
  REQUIRE(plan_as_text(view).find("refused   9 workers on 1 CPU: ") != std::string::npos);
}

TEST_CASE("a configuration that cannot be started is refused before anything is touched", "[wish]") {
  abi::StartConfig good;
  good.ports = 1;
  good.port[0].address = 0x0a4d0002;
  REQUIRE(judge_start(good).empty());
  const auto refusal = [&](auto change) {
    abi::StartConfig bad = good;
    change(bad);
    return judge_start(bad);
  };
  using Config = abi::StartConfig;
  REQUIRE(refusal([](Config& c) { c.workers = 0; }) == "workers.count is 0: choose 1..64.");
  REQUIRE(refusal([](Config& c) { c.workers = 65; }) == "workers.count is 65: choose 1..64.");
  REQUIRE(refusal([](Config& c) { c.ports = 0; }) == "0 ports are configured: write 1..4 [[port]] sections.");
  REQUIRE(refusal([](Config& c) { c.ports = 5; }) == "5 ports are configured: write 1..4 [[port]] sections.");
  REQUIRE(refusal([](Config& c) { c.port[0].kind = static_cast<abi::DeviceKind>(99); }).find("unknown kind") !=
          std::string::npos);
  for (const std::uint32_t address : {0u, 0x7f000001u, 0xe0000001u, 0xffffffffu})
    REQUIRE(refusal([&](Config& c) { c.port[0].address = address; }).find("no unicast address") != std::string::npos);
  REQUIRE(refusal([](Config& c) { c.port[0].prefix_bits = 0; }).find("prefix length") != std::string::npos);
  REQUIRE(refusal([](Config& c) { c.port[0].mtu = 500; }) == "[[port]] 1 has mtu 500: choose 576..9000.");
  const auto with6 = [](Config& c, std::uint8_t first) {
    c.port[0].address6 = {first};
    c.port[0].address6[15] = 2;
  };
  REQUIRE(refusal([&](Config& c) { with6(c, 0xfd); }).empty());
  REQUIRE(refusal([&](Config& c) { with6(c, 0xff); }).find("no unicast IPv6 address") != std::string::npos);
  REQUIRE(refusal([&](Config& c) {
            with6(c, 0xfd);
            c.port[0].prefix6_bits = 0;
          }).find("no unicast IPv6 address") != std::string::npos);
  REQUIRE(refusal([&](Config& c) {
            with6(c, 0xfd);
            c.port[0].mtu = 1279;
          }) == "[[port]] 1 has mtu 1279: choose 1280..9000.");
  REQUIRE(refusal([](Config& c) { c.port[0].vlan = 4095; }) == "[[port]] 1 has vlan 4095: choose 0..4094.");
  REQUIRE(refusal([](Config& c) { c.udp_port = 65'535; }).find("listen.udp is 65535") != std::string::npos);
}

TEST_CASE("what is configured becomes what the planner is asked", "[wish]") {
  const Machine machine = synthetic("pack:1 core:4 pu:1");
  abi::StartConfig start;
  start.workers = 3;
  start.ports = 1;
  start.cores.fill(-1);
  start.cores[1] = 2;
  start.memory_bytes = 1u << 30;
  abi::LiveConfig live;
  PlacementWish wish = wish_of(start, live, machine, 0);
  REQUIRE(wish.workers == 3);
  REQUIRE(wish.cpus == std::vector<std::int32_t>{-1, 2, -1});
  REQUIRE(wish.nic_node == kUnknownNode);
  REQUIRE_FALSE(wish.may_sleep);
  REQUIRE(wish.memory_bytes == 1u << 30);
  live.idle_sleep_us_max = 50;
  wish = wish_of(start, live, machine, 1000u << 20);
  REQUIRE(wish.may_sleep);
  REQUIRE(wish.memory_bytes == 24u << 20);
  REQUIRE(wish_of(start, live, machine, 2ull << 30).memory_bytes == 0);
}

TEST_CASE("a shared file that was made can be mapped again, by path and by descriptor", "[shared]") {
  const Folder folder;
  const SharedMapping made = create_shared(folder / "g.shared");
  REQUIRE(made.error.empty());
  made.shared->start.workers = 3;
  const SharedMapping by_path = map_shared(folder / "g.shared");
  REQUIRE(by_path.error.empty());
  REQUIRE(by_path.shared->start.workers == 3);
  by_path.shared->dataplane.pid.store(42);
  REQUIRE(made.shared->dataplane.pid.load() == 42);
  const int fd = ::open((folder / "g.shared").c_str(), O_RDWR | O_CLOEXEC);
  const SharedMapping by_fd = map_shared(std::to_string(fd));
  REQUIRE(by_fd.error.empty());
  REQUIRE(by_fd.shared->start.workers == 3);
  REQUIRE(::fcntl(fd, F_GETFD) == -1);
  for (abi::Shared* shared : {made.shared, by_path.shared, by_fd.shared}) ::munmap(shared, sizeof *shared);
}

TEST_CASE("a file that is none of ours is refused before anything of it is used", "[shared]") {
  const Folder folder;
  const auto error_of = [&] { return map_shared(folder / "f").error; };
  REQUIRE(error_of().find("cannot be opened (No such file or directory)") != std::string::npos);
  const int fd = ::open((folder / "f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(error_of().find("too short") != std::string::npos);
  REQUIRE(::ftruncate(fd, sizeof(abi::Shared)) == 0);
  REQUIRE(error_of().find("wrong magic") != std::string::npos);
  const std::uint64_t magic = abi::kSharedMagic;
  REQUIRE(::pwrite(fd, &magic, sizeof magic, offsetof(abi::SharedHeader, magic)) == sizeof magic);
  REQUIRE(error_of().find("another layout version") != std::string::npos);
  ::close(fd);
  REQUIRE(map_shared("999").error.find("cannot be opened") != std::string::npos);
}

TEST_CASE("a supervisor that listens is told, one that does not is no trouble", "[notify]") {
  const Folder folder;
  const std::string path = folder / "notify";
  ::unsetenv("NOTIFY_SOCKET");
  notify_supervisor("READY=1");
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  notify_supervisor("READY=1");
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  notify_supervisor("READY=1\nSTATUS=serving");
  char text[64] = {};
  REQUIRE(::recv(fd, text, sizeof text, MSG_DONTWAIT) == 22);
  REQUIRE(std::string(text) == "READY=1\nSTATUS=serving");
  ::close(fd);
  ::unsetenv("NOTIFY_SOCKET");
}
