// gannet-control, gannetctl and a fake gannetd as real processes: what an operator can do, and what may die.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "control/abi/reader.h"
#include "control/admin.h"
#include "tests/control/harness.h"

using namespace gannet;
using namespace gannet::test;
using nlohmann::json;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Configuration that worker 0 says it runs with: the fake tells its idle_sleep_us in `items`.
std::uint64_t idle_sleep_seen(const Rack& rack) {
  return rack.ctl({"--json", "stats", "--worker", "0"}).json().value("items", std::uint64_t{0});
}

}  // namespace

TEST_CASE("control starts gannetd, says how it is everywhere, and stops it on request", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));

  const Outcome status = rack.ctl({"status", "--sample-ms", "200"});
  INFO(status.out);
  REQUIRE(status.code == 0);
  REQUIRE(status.out.starts_with("rack: serving\n"));
  REQUIRE(has(status.out, "75.00 %"));
  REQUIRE(has(status.out, "drop_udp_checksum"));
  REQUIRE_FALSE(has(status.out, "drop_arp"));  // Reasons that did not occur are not told.
  REQUIRE(has(status.out, "two workers share CPU 0"));
  const json machine = rack.ctl({"--json", "status", "--sample-ms", "200"}).json();
  REQUIRE(machine["ready"] == true);
  REQUIRE(machine["healthy"] == true);
  REQUIRE(machine["workers"].size() == 2);
  REQUIRE(machine["requests_per_s"].get<double>() > 0);
  REQUIRE(machine["hit_ratio"].get<double>() == Approx(0.75));
  REQUIRE(machine["latency"]["get_hit"]["p50_ns"].get<std::uint64_t>() >= 2000);
  REQUIRE(machine["latency"]["get_hit"]["p50_ns"].get<std::uint64_t>() < 2300);
  REQUIRE(machine["latency"]["get_hit"]["p999_ns"].get<std::uint64_t>() >= 50'000);
  REQUIRE(machine["memory"]["limit_bytes"] == 16u << 20);

  const json sum = rack.ctl({"--json", "stats"}).json(), one = rack.ctl({"--json", "stats", "--worker", "1"}).json();
  REQUIRE(sum["requests"].get<std::uint64_t>() > 0);
  REQUIRE(sum["cmd_get"].get<std::uint64_t>() == 4 * sum["cmd_set"].get<std::uint64_t>());
  REQUIRE(one["cmd_get"].get<std::uint64_t>() > 0);
  REQUIRE(rack.ctl({"stats", "--worker", "2"}).code == 2);
  const json topo = rack.ctl({"topo", "--json"}).json();
  REQUIRE(topo["ports"][0]["device"] == "fake0");
  REQUIRE(topo["ports"][0]["address"] == "10.77.0.2/24");
  REQUIRE(topo["workers"].size() == 2);
  REQUIRE(rack.ctl({"config", "show", "--json"}).json()["keys"].size() > 20);

  int code = 0;
  REQUIRE(has(http_get(rack.http_port, "/healthz", code), "serving"));
  REQUIRE(code == 200);
  REQUIRE(has(http_get(rack.http_port, "/readyz", code), "serving"));
  REQUIRE(code == 200);
  REQUIRE(json::parse(http_get(rack.http_port, "/status", code))["name"] == "rack");
  REQUIRE(has(http_get(rack.http_port, "/", code), "rack: serving"));
  REQUIRE_FALSE(has(http_get(rack.http_port, "/etc/passwd", code), "root"));
  REQUIRE(code == 404);

  struct stat file {};
  REQUIRE(::stat(rack.paths.socket().c_str(), &file) == 0);
  REQUIRE((file.st_mode & 0777) == 0660);
  REQUIRE(::stat(rack.paths.shared().c_str(), &file) == 0);
  REQUIRE((file.st_mode & 0007) == 0);

  const Outcome stop = rack.ctl({"stop"});
  INFO(stop.err << rack.log());
  REQUIRE(stop.code == 0);
  REQUIRE(rack.wait_control().code == 0);
  REQUIRE_FALSE(std::filesystem::exists(rack.paths.shared()));
  REQUIRE_FALSE(std::filesystem::exists(rack.paths.socket()));
  REQUIRE(rack.ctl({"status"}).code == 3);
  REQUIRE(rack.status()["state"] == "not running");
  REQUIRE(rack.status()["dataplane"]["alive"] == false);
  REQUIRE(rack.ctl({"stop"}).code == 3);
}

TEST_CASE("a bad file starts nothing and is told line by line", "[control][process]") {
  Rack rack;
  rack.configure("stuck_after_ms = 1\n[memory2]\n");
  rack.start_control();
  const Outcome outcome = rack.wait_control();
  REQUIRE(outcome.code == 2);
  REQUIRE(has(outcome.err, ":13: control.stuck_after_ms = 1 is not allowed; it must be 100 to 60000"));
  REQUIRE(has(outcome.err, ":14: memory2 is no section; did you mean [memory]?"));
  REQUIRE_FALSE(std::filesystem::exists(rack.paths.shared()));
  const Outcome check = rack.ctl({"config", "check", rack.config_file});
  REQUIRE(check.code == 2);
  REQUIRE(has(check.err, "stuck_after_ms = 1"));
  REQUIRE(rack.ctl({"--json", "config", "check", rack.config_file}).json()["faults"].size() == 2);
}

TEST_CASE("a gannetd that says it is hopeless is not started again, and control says why", "[control][process]") {
  Rack rack;
  rack.order("hopeless");
  rack.start_control();
  const Outcome outcome = rack.wait_control();
  INFO(outcome.err);
  REQUIRE(outcome.code == 2);
  REQUIRE(has(outcome.err, "gannet-control: gannetd cannot serve: needs 512 hugepages of 2MiB"));
  const Outcome status = rack.ctl({"status"});  // The file stays, for the one who comes later.
  REQUIRE(status.code == 3);
  REQUIRE(has(status.out, "rack: failed: needs 512 hugepages"));
  REQUIRE(has(status.out, "start 1 with") == false);
}

TEST_CASE("a program that is not there is a sentence", "[control][process]") {
  Rack rack;
  const Outcome outcome = run({GANNET_CONTROL, "--config", rack.config_file, "--gannetd", "/nonexistent/gannetd",
                               "--state", rack.paths.directory});
  REQUIRE(outcome.code == 2);
  REQUIRE(has(
      outcome.err,
      "gannetd cannot be started as /nonexistent/gannetd: No such file or directory; name the program with --gannetd"));
}

TEST_CASE("a crashing gannetd is started again with growing waits, and the crash is told", "[control][process]") {
  Rack rack;
  rack.order("crash 50");
  rack.start_control();
  REQUIRE(eventually([&] { return rack.status()["dataplane"].value("crashes", 0) >= 2; }));
  REQUIRE(has(rack.log(), "killed by signal 6"));
  rack.order("");
  REQUIRE(rack.reaches("serving"));
  const json status = rack.status();
  REQUIRE(status["dataplane"]["starts"].get<int>() == status["dataplane"]["crashes"].get<int>() + 1);
  REQUIRE(has(status["warnings"].dump(), "gannetd crashed"));
  rack.signal_control(SIGTERM);
  REQUIRE(rack.wait_control().code == 0);
  REQUIRE(rack.dataplane_pid() == 0);
}

TEST_CASE("a killed gannetd comes back with its figures at zero", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const pid_t first = rack.dataplane_pid();
  REQUIRE(::kill(first, SIGKILL) == 0);
  REQUIRE(eventually([&] { return rack.dataplane_pid() != 0 && rack.dataplane_pid() != first; }));
  REQUIRE(rack.reaches("serving"));
  REQUIRE(rack.status()["dataplane"]["starts"] == 2);
  control::SharedFile shared;
  REQUIRE(control::SharedFile::open(rack.paths.shared(), false, shared).empty());
  REQUIRE(shared->start.start_count == 2);
  REQUIRE(shared->start.memory_starts == 1);  // The same memory, not a fresh one.
}

TEST_CASE("control may be killed: gannetd serves on, figures can be read, and the next control adopts it",
          "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const pid_t pid = rack.dataplane_pid();
  rack.signal_control(SIGKILL);
  REQUIRE(rack.wait_control().code == 128 + SIGKILL);

  const std::uint64_t before = rack.ctl({"--json", "stats"}).json()["requests"];
  REQUIRE(eventually([&] { return rack.ctl({"--json", "stats"}).json()["requests"].get<std::uint64_t>() > before; }));
  const Outcome status = rack.ctl({"status", "--sample-ms", "50"});
  REQUIRE(status.code == 0);
  REQUIRE(has(status.out, "gannet-control is dead"));
  REQUIRE(rack.status()["control"]["alive"] == false);
  REQUIRE(rack.ctl({"config", "show"}).code == 0);
  REQUIRE(rack.ctl({"config", "apply"}).code == 1);

  rack.configure("", "count = 2\nidle_sleep_us = 777");
  rack.start_control();
  REQUIRE(eventually([&] { return rack.status()["control"].value("alive", false); }));
  REQUIRE(rack.dataplane_pid() == pid);
  REQUIRE(rack.status()["dataplane"]["starts"] == 1);
  REQUIRE(has(rack.log(), "adopted the gannetd that was running"));
  REQUIRE(eventually([&] { return idle_sleep_seen(rack) == 777; }));  // Configuration flows again.

  // The adopted one is supervised: it dies, and comes back.
  REQUIRE(::kill(pid, SIGKILL) == 0);
  REQUIRE(eventually([&] { return rack.dataplane_pid() != 0 && rack.dataplane_pid() != pid; }));
  REQUIRE(rack.reaches("serving"));
  REQUIRE(rack.status()["dataplane"]["crashes"] == 1);

  rack.signal_control(SIGKILL);  // And again: the next control goes on counting where this one was.
  REQUIRE(rack.wait_control().code == 128 + SIGKILL);
  rack.start_control();
  REQUIRE(eventually([&] { return rack.status()["control"].value("alive", false); }));
  REQUIRE(rack.status()["dataplane"]["crashes"] == 1);
  REQUIRE(rack.ctl({"stop"}).code == 0);
  REQUIRE(rack.wait_control().code == 0);
}

TEST_CASE("control leaves on request and gannetd serves on, until the next control takes it over",
          "[control][process]") {
  const bool by_signal = GENERATE(false, true);
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const pid_t pid = rack.dataplane_pid();
  if (by_signal) {
    rack.signal_control(SIGUSR1);
  } else {
    const Outcome outcome = rack.ctl({"--json", "detach"});
    REQUIRE(outcome.code == 0);
    REQUIRE(outcome.json()["dataplane_pid"] == pid);
  }
  REQUIRE(rack.wait_control().code == 0);
  REQUIRE(rack.dataplane_pid() == pid);
  REQUIRE(rack.status()["state"] == "serving");
  REQUIRE(has(rack.ctl({"detach"}).err, "gannet-control of \"rack\" does not run"));
  rack.start_control();
  REQUIRE(eventually([&] { return rack.status()["control"].value("alive", false); }));
  REQUIRE(rack.dataplane_pid() == pid);
  REQUIRE(rack.status()["dataplane"]["starts"] == 1);
  REQUIRE(rack.ctl({"stop"}).code == 0);
  REQUIRE(rack.wait_control().code == 0);
}

TEST_CASE("a gannetd that hangs while it starts is killed, and status says what to do", "[control][process]") {
  Rack rack;
  rack.order("slow 60000");
  rack.configure("start_limit_s = 1");
  rack.start_control();
  REQUIRE(eventually([&] { return rack.status()["dataplane"].value("crashes", 0) == 1; }));
  INFO(rack.log());
  REQUIRE(has(rack.log(), "it did not serve within 1 s and was killed"));
  REQUIRE(has(rack.log(), "raise control.start_limit_s"));
  rack.order("");
  REQUIRE(rack.reaches("serving"));
}

TEST_CASE("gannetctl stops a gannetd whose control is dead", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  rack.signal_control(SIGKILL);
  REQUIRE(rack.wait_control().code == 128 + SIGKILL);
  REQUIRE(rack.ctl({"stop"}).code == 0);
  REQUIRE(rack.dataplane_pid() == 0);
  const Outcome status = rack.ctl({"status"});
  REQUIRE(status.code == 3);
  REQUIRE(has(status.out, "rack: stopped"));
  rack.start_control();  // And a new control starts afresh.
  REQUIRE(rack.reaches("serving"));
}

TEST_CASE("live keys are applied at once, others wait for a restart, a faulty file changes nothing",
          "[control][process]") {
  Rack rack;
  rack.configure("", "count = 1\nidle_sleep_us = 10");
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  REQUIRE(eventually([&] { return idle_sleep_seen(rack) == 10; }));
  const pid_t pid = rack.dataplane_pid();

  rack.configure("", "count = 3\nidle_sleep_us = 20");
  const json applied = rack.ctl({"--json", "config", "apply"}).json();
  INFO(applied.dump());
  REQUIRE(applied["applied"].size() == 1);
  REQUIRE(applied["applied"][0]["key"] == "workers.idle_sleep_us");
  REQUIRE(applied["waiting_for_restart"].size() == 1);
  REQUIRE(applied["waiting_for_restart"][0]["key"] == "workers.count");
  REQUIRE(eventually([&] { return idle_sleep_seen(rack) == 20; }));
  REQUIRE(rack.dataplane_pid() == pid);
  REQUIRE(has(rack.ctl({"config", "show"}).out, "3 after a restart"));
  REQUIRE(rack.status()["config"]["keys_waiting_for_restart"] == 1);

  rack.configure("", "count = 3\nidle_sleep_us = 99999");
  const Outcome refused = rack.ctl({"config", "apply"});
  REQUIRE(refused.code == 2);
  REQUIRE(has(refused.err, "workers.idle_sleep_us = 99999 is not allowed"));
  REQUIRE(idle_sleep_seen(rack) == 20);

  rack.configure("", "count = 3\nidle_sleep_us = 30");
  rack.signal_control(SIGHUP);
  REQUIRE(eventually([&] { return idle_sleep_seen(rack) == 30; }));

  const Outcome restart = rack.ctl({"restart"});
  INFO(restart.err << rack.log());
  REQUIRE(restart.code == 0);
  REQUIRE(rack.dataplane_pid() != pid);
  REQUIRE(rack.status()["workers"].size() == 3);
  REQUIRE(rack.status()["config"]["keys_waiting_for_restart"] == 0);
  REQUIRE(rack.status()["dataplane"]["crashes"] == 0);

  // Other workers own the keys now: the items are moved, once, and a later start has them where they belong.
  REQUIRE(rack.status()["dataplane"]["story"] == "former memory was given");
  REQUIRE(rack.ctl({"restart"}).code == 0);
  REQUIRE(rack.status()["dataplane"]["story"] == "");
}

TEST_CASE("a stuck worker is told by everybody, and gannetd restarted only where that is wished",
          "[control][process]") {
  Rack rack;
  rack.configure("stuck_after_ms = 500");
  rack.order("stick 0");
  rack.start_control();
  REQUIRE(rack.reaches("stuck"));
  const Outcome status = rack.ctl({"status", "--sample-ms", "0"});
  REQUIRE(status.code == 1);
  REQUIRE(has(status.out, "worker 0 has not finished a turn"));
  REQUIRE(has(status.out, "STUCK"));
  int code = 0;
  REQUIRE(has(http_get(rack.http_port, "/healthz", code), "stuck"));
  REQUIRE(code == 503);
  REQUIRE_FALSE(has(http_get(rack.http_port, "/readyz", code), "serving"));
  REQUIRE(code == 503);
  REQUIRE(rack.status()["dataplane"]["starts"] == 1);
  rack.order("");
  rack.configure("stuck_after_ms = 500\nrestart_when_stuck = true");
  REQUIRE(rack.ctl({"config", "apply"}).code == 0);
  REQUIRE(rack.reaches("serving"));
  REQUIRE(rack.status()["dataplane"]["starts"] >= 2);
}

TEST_CASE("a gannetd that needs long to start is not ready, and not unhealthy", "[control][process]") {
  Rack rack;
  rack.order("slow 600");
  rack.start_control();
  REQUIRE(rack.reaches("starting"));
  int code = 0;
  REQUIRE(eventually([&] { return has(http_get(rack.http_port, "/healthz", code), "starting"); }));
  REQUIRE(code == 200);
  REQUIRE_FALSE(has(http_get(rack.http_port, "/readyz", code), "serving"));
  REQUIRE(code == 503);
  REQUIRE(rack.ctl({"status", "--sample-ms", "0"}).code == 1);
  REQUIRE(rack.reaches("serving"));
}

TEST_CASE("a second control for the same appliance is refused and disturbs nothing", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const Outcome second =
      run({GANNET_CONTROL, "--config", rack.config_file, "--gannetd", GANNET_FAKE, "--state", rack.paths.directory});
  REQUIRE(second.code == 2);
  REQUIRE(has(second.err, "another gannet-control looks after \"rack\""));
  REQUIRE(rack.reaches("serving"));
  REQUIRE(rack.ctl({"config", "show"}).code == 0);
}

TEST_CASE("an HTTP address that is taken is told before anything starts", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const Outcome other = run(
      {GANNET_CONTROL, "--config", rack.config_file, "--gannetd", GANNET_FAKE, "--state", rack.paths.directory + "2"});
  REQUIRE(other.code == 2);
  REQUIRE(has(other.err, "cannot be served: the port is taken"));
}

TEST_CASE("the admin socket answers nonsense with a sentence and survives it", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  for (const json& request : {json{{"do", "dance"}}, json{{"do", 3}}, json::array({1}), json(std::string(3000, 'x')),
                              json{{"do", "\n\xff"}}}) {
    const json answer = control::ask_control(rack.paths.socket(), request, 2000);
    INFO(answer.dump(-1, ' ', true, json::error_handler_t::replace));
    REQUIRE(answer["ok"] == false);
    REQUIRE_FALSE(answer.contains("reached"));
  }
  REQUIRE(control::ask_control(rack.paths.socket(), json(std::string(100'000, 'x')), 2000)["ok"] == false);
  REQUIRE(control::ask_control(rack.paths.socket(), {{"do", "status"}}, 2000)["status"]["state"] == "serving");
  REQUIRE(control::ask_control(rack.paths.socket() + "x", {{"do", "status"}}, 2000)["reached"] == false);
}

TEST_CASE("every line of /metrics can be parsed, every figure is there, and every family is described",
          "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  int code = 0;
  std::istringstream page(http_get(rack.http_port, "/metrics", code));
  REQUIRE(code == 200);
  std::set<std::string> described, typed, families;
  std::map<std::string, double> values;
  for (std::string line; std::getline(page, line);) {
    INFO(line);
    std::istringstream words(line);
    std::string first, second, name;
    words >> first;
    if (first == "#") {
      words >> second >> name;
      REQUIRE((second == "HELP" || second == "TYPE"));
      REQUIRE((second == "HELP" ? described : typed).insert(name).second);  // Once a family.
      REQUIRE(words.peek() != EOF);
      continue;
    }
    const std::size_t space = line.rfind(' ');
    const std::string series = line.substr(0, space);
    std::size_t used = 0;
    const std::string number = line.substr(space + 1);
    const double value = std::stod(number, &used);
    REQUIRE(used == number.size());
    REQUIRE(values.emplace(series, value).second);
    std::string family = series.substr(0, series.find('{'));
    for (const char* suffix : {"_bucket", "_sum", "_count"})
      if (family.starts_with("gannet_request_latency") && family.ends_with(suffix))
        family.resize(family.size() - std::string(suffix).size());
    families.insert(family);
  }
  REQUIRE(families == described);
  REQUIRE(families == typed);
  for (const abi::Description& what : abi::kCounterDescriptions)
    REQUIRE(values.contains("gannet_" + std::string(what.name) + "_total{worker=\"1\"}"));
  for (const abi::Description& what : abi::kGaugeDescriptions)
    REQUIRE(values.contains("gannet_" + std::string(what.name) + "{worker=\"1\"}"));
  REQUIRE(values["memcached_up"] == 1);
  REQUIRE(values["memcached_limit_bytes"] == 16 << 20);
  REQUIRE(values["memcached_commands_total{command=\"get\",status=\"hit\"}"] > 0);
  REQUIRE(values["gannet_state{state=\"serving\"}"] == 1);
  // Cumulative, exact at powers of two: 99 of 100 are about 2 us, one is 65,536 ns.
  double last = 0;
  for (int octave = 10; octave <= 30; ++octave) {
    std::ostringstream le;
    le << "gannet_request_latency_seconds_bucket{kind=\"get_hit\",le=\"";
    const auto at = std::find_if(values.begin(), values.end(), [&](const auto& entry) {
      return entry.first.starts_with(le.str()) && std::abs(std::stod(entry.first.substr(le.str().size())) -
                                                           1e-9 * static_cast<double>(1u << octave)) < 1e-12;
    });
    INFO("octave " << octave);
    REQUIRE(at != values.end());
    REQUIRE(at->second >= last);
    last = at->second;
    if (octave == 10) REQUIRE(last == 0);
    const double all = values["gannet_request_latency_seconds_count{kind=\"get_hit\"}"];
    if (octave == 11 || octave == 16) REQUIRE(last == Approx(0.99 * all));  // 65,536 ns is not below 2^16 ns.
    if (octave == 17) REQUIRE(last == all);
  }
  REQUIRE(last == values["gannet_request_latency_seconds_count{kind=\"get_hit\"}"]);
}

TEST_CASE("gannetctl explains every figure and corrects a slip of the pen", "[control][process]") {
  const json all = json::parse(run({GANNETCTL, "--json", "config", "keys"}).out);
  REQUIRE(all["keys"].size() > 20);
  REQUIRE(has(run({GANNETCTL, "explain", "get_hits"}).out, "GET family that found the key"));
  REQUIRE(has(run({GANNETCTL, "stats", "--explain", "pins"}).out, "answers on the wire"));
  const Outcome slip = run({GANNETCTL, "explain", "get_hist"});
  REQUIRE(slip.code == 2);
  REQUIRE(has(slip.err, "did you mean get_hits?"));
  REQUIRE(run({GANNETCTL, "--json", "version"}).out.find("version") != std::string::npos);
  REQUIRE(run({GANNETCTL, "frobnicate"}).code == 2);
  REQUIRE(run({GANNETCTL}).code == 2);
  REQUIRE(run({GANNETCTL, "--help"}).code == 0);
  REQUIRE(run({GANNETCTL, "--state", "/nonexistent", "status"}).code == 3);
}

TEST_CASE("the service manager hears that it serves, from control alone", "[control][process]") {
  Rack rack;
  const std::string path = rack.paths.directory + ".notify";
  const control::Fd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::copy(path.begin(), path.end(), address.sun_path);
  REQUIRE(::bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  rack.start_control();
  ::unsetenv("NOTIFY_SOCKET");
  REQUIRE(rack.reaches("serving"));  // The fake refuses to serve with NOTIFY_SOCKET in its environment.
  std::string heard;
  REQUIRE(eventually([&] {
    char bytes[512];
    const ssize_t got = ::recv(manager.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) heard.append(bytes, static_cast<std::size_t>(got)).append("\n");
    return has(heard, "READY=1");
  }));
  REQUIRE(has(heard, "STATUS=serving"));
}

TEST_CASE("gannetd inherits its two descriptors and nothing of control's", "[control][process]") {
  Rack rack;
  rack.start_control();
  REQUIRE(rack.reaches("serving"));
  const control::Fd visitor(
      ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));  // The HTTP library's connection is not close-on-exec.
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(rack.http_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(visitor.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::send(visitor.get(), "GET /he", 7, MSG_NOSIGNAL) == 7);
  const pid_t first = rack.dataplane_pid();
  ::usleep(50'000);
  REQUIRE(::kill(first, SIGKILL) == 0);
  REQUIRE(eventually([&] { return rack.dataplane_pid() != 0 && rack.dataplane_pid() != first; }));
  REQUIRE(rack.reaches("serving"));
  std::set<std::string> held;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(rack.dataplane_pid()) + "/fd"))
    held.insert(entry.path().filename().string());
  REQUIRE(held == std::set<std::string>{"0", "1", "2", "3", "4"});
}
