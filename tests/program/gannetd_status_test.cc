/// gannetd as its supervisor sees it: through the shared file, its exit code and sd_notify. On a ring device: no root,
/// no hugepages.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "control/abi/config_slot.h"
#include "control/abi/reader.h"
#include "dataplane/program/shared_file.h"

extern char** environ;

namespace abi = gannet::abi;

namespace {

bool within(const std::function<bool()>& holds) {
  for (int round = 0; round < 6'000; ++round) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

/// A gannetd with a shared file of its own; killed if the test forgets it.
class Process {
 public:
  explicit Process(std::vector<std::string> more = {}) {
    char name[] = "/tmp/gannet-status-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder_ = name;
    ::setenv("NOTIFY_SOCKET", (folder_ + "/notify").c_str(), 1);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ + "/notify").copy(address.sun_path, sizeof address.sun_path - 1);
    notify_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(notify_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    std::vector<std::string> words = {GANNETD,        "--dev",     "ring",     "--address",
                                      "10.77.0.2/24", "--no-huge", "--memory", "32M",
                                      "--workers",    "2",         "--shared", folder_ + "/shared"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    REQUIRE(::posix_spawn(&pid_, GANNETD, nullptr, nullptr, arguments.data(), environ) == 0);
    ::unsetenv("NOTIFY_SOCKET");
    REQUIRE(
        within([this] { return (shared_ = gannet::dataplane::map_shared(folder_ + "/shared").shared) != nullptr; }));
  }
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(notify_);
    ::munmap(shared_, sizeof *shared_);
    std::filesystem::remove_all(folder_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] abi::Shared& shared() { return *shared_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool reaches(abi::Phase phase) {
    return within([&] { return shared_->dataplane.phase.load() == static_cast<std::uint64_t>(phase); });
  }
  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }

  /// The exit code; -1: a signal ended it, -2: it lives on.
  int wait() {
    int status = 0;
    if (!within([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; })) return -2;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// All that was told to the supervisor.
  [[nodiscard]] std::string told() const {
    std::string all;
    char text[256];
    for (ssize_t bytes; (bytes = ::recv(notify_, text, sizeof text, MSG_DONTWAIT)) > 0;)
      all.append(text, static_cast<std::size_t>(bytes));
    return all;
  }

 private:
  std::string folder_;
  pid_t pid_ = -1;
  int notify_ = -1;
  abi::Shared* shared_ = nullptr;
};

}  // namespace

TEST_CASE("gannetd publishes its life, places and ports, obeys live configuration and stops when asked", "[gannetd]") {
  Process process;
  abi::Shared& shared = process.shared();
  REQUIRE(process.reaches(abi::Phase::kServing));
  const abi::DataplaneStatus& status = shared.dataplane;
  REQUIRE(status.pid.load() == static_cast<std::uint64_t>(process.pid()));
  REQUIRE(status.workers.load() == 2);
  REQUIRE(status.ports.load() == 1);
  REQUIRE(status.start_duration_ns.load() > 0);
  REQUIRE(status.port[0].mtu.load() == 1500);
  REQUIRE(status.port[0].mac != std::array<std::uint8_t, 6>{});
  for (std::uint32_t k = 0; k < 2; ++k) {
    REQUIRE(shared.worker[k].info.tid.load() != 0);
    REQUIRE(shared.worker[k].info.udp_port.load() == 11212 + k);
  }
  REQUIRE(within([&] { return process.told().find("READY=1") != std::string::npos; }));

  // Both workers and the main thread are alive, and both say which configuration they run with.
  const auto echoed = [&](std::uint64_t generation) {
    return shared.worker[0].gauges.config_generation.load() == generation &&
           shared.worker[1].gauges.config_generation.load() == generation;
  };
  REQUIRE(within([&] { return echoed(1); }));
  const std::uint64_t beat = status.heartbeat_ns.load();
  const std::uint64_t beat_0 = shared.worker[0].gauges.heartbeat_ns.load(),
                      beat_1 = shared.worker[1].gauges.heartbeat_ns.load();
  REQUIRE(within([&] {
    return status.heartbeat_ns.load() > beat && shared.worker[0].gauges.heartbeat_ns.load() > beat_0 &&
           shared.worker[1].gauges.heartbeat_ns.load() > beat_1;
  }));
  REQUIRE(within([&] { return shared.worker[1].gauges.buffers_total.load() > 0; }));
  REQUIRE(abi::publish_config(shared.config, {.idle_sleep_us_max = 1'000}) == 2);
  REQUIRE(within([&] { return echoed(2); }));

  shared.dataplane.stop_requested.store(1);
  REQUIRE(process.wait() == 0);
  REQUIRE(status.phase.load() == static_cast<std::uint64_t>(abi::Phase::kStopped));
  REQUIRE(process.told().find("STOPPING=1") != std::string::npos);
}

TEST_CASE("SIGINT ends gannetd as SIGTERM does, SIGHUP and SIGPIPE do nothing", "[gannetd]") {
  Process process;
  REQUIRE(process.reaches(abi::Phase::kServing));
  process.signal(SIGHUP);
  process.signal(SIGPIPE);
  const std::uint64_t beat = process.shared().dataplane.heartbeat_ns.load();
  REQUIRE(within([&] { return process.shared().dataplane.heartbeat_ns.load() > beat; }));
  process.signal(SIGINT);
  REQUIRE(process.wait() == 0);
  REQUIRE(process.shared().dataplane.phase.load() == static_cast<std::uint64_t>(abi::Phase::kStopped));
}

TEST_CASE("a start that cannot be is told in the shared file and by exit code 2", "[gannetd]") {
  Process process({"--cores", "60000"});
  REQUIRE(process.wait() == 2);
  const abi::DataplaneStatus& status = process.shared().dataplane;
  REQUIRE(status.phase.load() == static_cast<std::uint64_t>(abi::Phase::kFailed));
  REQUIRE(abi::text_of(status.message[0])
              .starts_with("workers.cores names CPU 60000, which this machine does not have: choose from "));
  REQUIRE(process.told().find("READY=1") == std::string::npos);
}
