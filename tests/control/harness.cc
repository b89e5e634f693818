#include "tests/control/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

extern char** environ;

namespace gannet::test {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

pid_t spawn(const std::vector<std::string>& words, const std::string& out, const std::string& err) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, 1, out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, words[0].c_str(), &files, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  REQUIRE(error == 0);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  const bool ended = eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }, 20'000);
  if (!ended) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, &status, 0);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string make_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "gannet-control-test-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  return name;
}

}  // namespace

nlohmann::json Outcome::json() const {
  return nlohmann::json::parse(out, nullptr, false);
}

Outcome run(const std::vector<std::string>& words) {
  const std::string directory = make_directory();
  Outcome outcome;
  outcome.code = wait_for(spawn(words, directory + "/out", directory + "/err"));
  outcome.out = read_file(directory + "/out");
  outcome.err = read_file(directory + "/err");
  std::filesystem::remove_all(directory);
  return outcome;
}

bool eventually(const std::function<bool()>& holds, unsigned ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

int free_port() {
  const control::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), bytes) == 0);
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &bytes) == 0);
  return ntohs(address.sin_port);
}

std::string http_get(int port, const std::string& path, int& status) {
  status = 0;
  const control::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return "";
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string answer;
  char bytes[4096];
  while (true) {
    pollfd waiting{fd.get(), POLLIN, 0};
    if (::poll(&waiting, 1, 5000) <= 0) break;
    const ssize_t got = ::recv(fd.get(), bytes, sizeof bytes, 0);
    if (got <= 0) break;
    answer.append(bytes, static_cast<std::size_t>(got));
  }
  const std::size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos || answer.size() < 12) return "";
  status = std::atoi(answer.c_str() + 9);
  return answer.substr(body + 4);
}

Rack::Rack() : directory_(make_directory()) {
  paths = {directory_ + "/state", "rack"};
  config_file = directory_ + "/gannet.toml";
  http_port = free_port();
  ::setenv("FAKE_GANNETD", (directory_ + "/orders").c_str(), 1);
  order("");
  configure("");
}

Rack::~Rack() {
  if (control_ != 0) {
    ::kill(control_, SIGKILL);
    ::waitpid(control_, nullptr, 0);
  }
  if (const pid_t pid = dataplane_pid(); pid != 0) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, WNOHANG);
  }
  std::filesystem::remove_all(directory_);
}

void Rack::order(const std::string& words) const {
  std::ofstream(directory_ + "/orders") << words << "\n";
}

void Rack::configure(const std::string& more, const std::string& workers) const {
  std::ofstream(config_file) << "[appliance]\nname = \"rack\"\n[[port]]\ndevice = \"tap\"\naddress = \"10.77.0.2/24\"\n"
                             << "[memory]\nsize = \"16MiB\"\npage = \"4KiB\"\n[workers]\n"
                             << workers << "\n[control]\nhttp = \"127.0.0.1:" << http_port << "\"\n"
                             << more << "\n";
}

void Rack::start_control() {
  REQUIRE(control_ == 0);
  control_ = spawn({GANNET_CONTROL, "--config", config_file, "--gannetd", GANNET_FAKE, "--state", paths.directory},
                   directory_ + "/log", directory_ + "/log");
}

Outcome Rack::wait_control() {
  REQUIRE(control_ != 0);
  Outcome outcome;
  outcome.code = wait_for(control_);
  control_ = 0;
  outcome.err = log();
  return outcome;
}

void Rack::signal_control(int signal) const {
  REQUIRE(control_ != 0);
  REQUIRE(::kill(control_, signal) == 0);
}

Outcome Rack::ctl(std::vector<std::string> words) const {
  words.insert(words.begin(), {GANNETCTL, "--state", paths.directory});
  return run(words);
}

bool Rack::reaches(const std::string& state) const {
  return eventually([&] {
    const nlohmann::json now = status();
    return now.is_object() && now.value("state", "") == state;
  });
}

pid_t Rack::dataplane_pid() const {
  control::SharedFile shared;
  if (!control::SharedFile::open(paths.shared(), false, shared).empty() || !control::dataplane_alive(*shared)) return 0;
  return control::dataplane_pid(*shared);
}

std::string Rack::log() const {
  return read_file(directory_ + "/log");
}

}  // namespace gannet::test
