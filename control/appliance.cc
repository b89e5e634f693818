#include "control/appliance.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/abi/config_slot.h"
#include "control/log.h"

namespace gannet::control {
namespace {

using nlohmann::json;

SupervisorRules rules_of(const Config& config) {
  SupervisorRules rules;
  rules.restart_when_stuck = config.restart_when_stuck;
  return rules;
}

/// DataplaneStatus::message[0], or the kind of the ending.
std::string why_it_ended(const abi::Shared& shared) {
  const std::string message(abi::text_of(shared.dataplane.message[0]));
  const std::string kind = exit_sentence(shared.control.last_exit.load());
  return message.empty() ? kind : fmt::format("{} ({})", message, kind);
}

json change_json(const Change& change) {
  return {{"key", change.key}, {"from", change.from}, {"to", change.to}, {"apply", apply_name(change.apply)}};
}

}  // namespace

Appliance::Appliance(Config config, std::string dataplane_program, StatePaths paths)
    : booted_(config),
      started_(config),
      wanted_(config),
      program_(std::move(dataplane_program)),
      paths_(std::move(paths)),
      memory_made_for_(config),
      supervisor_(rules_of(config)) {}

std::string Appliance::open() {
  const MonotonicNs now = monotonic_ns();
  std::string fault;
  if (std::filesystem::exists(paths_.shared())) {
    SharedFile found;
    fault = SharedFile::open(paths_.shared(), true, found);
    if (!fault.empty()) log_line(Level::kWarn, "the former shared file is of no use", {{"why", fault}});
    if (fault.empty() && dataplane_alive(*found)) {
      const pid_t pid = dataplane_pid(*found);
      watch_ = watch_process(pid);
      if (watch_ &&
          dataplane_alive(*found)) {  // Looked at again with the descriptor in hand: the pid cannot have changed hands.
        shared_ = std::move(found);
        child_ = pid;
        adopted_ = true;
        memory_ = take_memory_of(watch_);
        struct stat status {};
        if (memory_ && (::fstat(memory_.get(), &status) != 0 ||
                        static_cast<std::uint64_t>(status.st_size) != shared_->start.memory_bytes))
          memory_.reset();
        ConfigResult former = load_config(paths_.started());
        if (former.ok()) started_ = memory_made_for_ = former.config;
        shared_.writable().control.child_pid.store(static_cast<std::uint64_t>(pid));
        shared_.writable().control.child_start_ticks.store(process_start_ticks(pid));
        supervisor_.adopt(now, shared_->dataplane.phase.load() == static_cast<std::uint64_t>(abi::Phase::kServing));
        log_line(Level::kInfo, "adopted the gannetd that was running",
                 {{"pid", fmt::format("{}", pid)},
                  {"phase", abi::phase_name(shared_->dataplane.phase.load())},
                  {"memory", memory_ ? "held" : "not held"}});
      }
    }
  }
  if (!shared_) {
    fault = SharedFile::create(paths_, shared_);
    if (!fault.empty()) return fault;
    abi::Shared& fresh = shared_.writable();
    std::error_code error;
    abi::set_text(fresh.header.config_path, std::filesystem::absolute(booted_.file, error).string());
    abi::set_text(fresh.header.http_address, booted_.http);
    if (!booted_.socket.empty()) abi::set_text(fresh.header.socket_path, booted_.socket);
    fill_start(started_, fresh.start);
    supervisor_.begin(now);
  }
  abi::ControlStatus& status = shared_.writable().control;
  crashes_before_ = status.crashes.load();
  status.pid.store(static_cast<std::uint64_t>(::getpid()));
  status.started_unix_s.store(unix_seconds());
  publish_live();
  note_status(now);
  return "";
}

void Appliance::publish_live() {
  abi::Shared& shared = shared_.writable();
  const std::uint64_t generation = abi::publish_config(shared.config, make_live(wanted_));
  shared.control.stuck_after_ms.store(wanted_.stuck_after_ms);
  shared.control.config_applied_unix_s.store(unix_seconds());
  shared.control.config_pending.store(pending().size());
  supervisor_.set_restart_when_stuck(wanted_.restart_when_stuck);
  supervisor_.set_start_limit(std::uint64_t{wanted_.start_limit_s} * 1'000'000'000);
  log_line(Level::kInfo, "published the live configuration",
           {{"generation", fmt::format("{}", generation)}, {"file", wanted_.file}});
}

std::vector<Change> Appliance::pending() const {
  std::vector<Change> waiting;
  for (Change& change : diff_config(started_, wanted_))
    if (change.apply == Apply::kRestart) waiting.push_back(std::move(change));
  for (Change& change : diff_config(booted_, wanted_))
    if (change.apply == Apply::kControl) waiting.push_back(std::move(change));
  return waiting;
}

bool Appliance::same_memory() const {
  return memory_ && memory_made_for_.memory_bytes == wanted_.memory_bytes &&
         memory_made_for_.page_bytes == wanted_.page_bytes && memory_made_for_.memory_path == wanted_.memory_path;
}

std::string Appliance::prepare_memory() {
  abi::StartConfig& start = shared_.writable().start;
  const Config& made = memory_made_for_;
  const bool divided_alike = made.workers == wanted_.workers && made.segment_bytes == wanted_.segment_bytes &&
                             made.item_bytes_max == wanted_.item_bytes_max;
  if (same_memory() && divided_alike) {
    ++start.memory_starts;
    return "";
  }
  Fd fresh, found;
  if (std::string fault = open_memory(wanted_, static_cast<bool>(memory_), fresh, found); !fault.empty()) return fault;
  former_ = std::move(found);
  if (memory_ && reserve_memory(fresh, wanted_.memory_bytes)) {
    former_ = std::move(memory_);
  } else if (memory_) {
    log_line(Level::kWarn, "there is no room for the new item memory beside the old: the items will not be moved",
             {{"size", format_size(wanted_.memory_bytes)}});
    former_.reset();
  }
  // Anonymous memory of the right size need not be given back to be had again.
  if (!memory_ || !same_memory() || !wanted_.memory_path.empty()) memory_ = std::move(fresh);
  memory_made_for_ = wanted_;
  // An id of this memory; an anonymous one never comes back, a file's is told by its content.
  start.memory_id = shared_->header.instance_id ^ monotonic_ns();
  start.memory_starts = 0;
  return "";
}

void Appliance::drop_former_if_served() {
  if (!former_) return;
  const auto phase = static_cast<abi::Phase>(shared_->dataplane.phase.load(std::memory_order_acquire));
  if (phase == abi::Phase::kServing || phase == abi::Phase::kDraining || phase == abi::Phase::kStopped) former_.reset();
}

void Appliance::fail_start(MonotonicNs now, const std::string& sentence) {
  abi::Shared& shared = shared_.writable();
  abi::set_text(shared.dataplane.message[0], sentence);
  shared.dataplane.phase.store(static_cast<std::uint64_t>(abi::Phase::kFailed));
  log_line(Level::kError, "gannetd cannot be started", {{"why", sentence}});
  supervisor_.start_failed(now, true);
}

void Appliance::start(MonotonicNs now) {
  abi::Shared& shared = shared_.writable();
  drop_former_if_served();
  clear_dataplane(shared);
  if (const std::string memory_fault = prepare_memory(); !memory_fault.empty()) {
    fail_start(now, memory_fault);
    return;
  }
  started_ = wanted_;
  fill_start(started_, shared.start);
  shared.start.start_count = static_cast<std::uint32_t>(shared.control.starts.load() + 1);
  shared.control.config_pending.store(pending().size());
  std::ofstream(paths_.started(), std::ios::binary | std::ios::trunc) << started_.text;
  shared.control.child_pid.store(0);
  shared.control.child_start_ticks.store(0);
  shared.control.starts.fetch_add(1);
  shared.control.supervision.store(static_cast<std::uint64_t>(abi::Supervision::kStarting));
  const std::string fault =
      spawn_dataplane(program_, shared_.fd(), memory_.get(), former_ ? former_.get() : -1, child_);
  if (!fault.empty()) {
    fail_start(now, fault);
    return;
  }
  adopted_ = false;
  watch_ = watch_process(child_);
  shared.control.child_start_ticks.store(process_start_ticks(child_));
  shared.control.child_pid.store(static_cast<std::uint64_t>(child_));
  supervisor_.started(now);
  log_line(Level::kInfo, "started gannetd",
           {{"pid", fmt::format("{}", child_)},
            {"program", program_},
            {"start", fmt::format("{}", shared.start.start_count)}});
}

void Appliance::notice_end(MonotonicNs now) {
  if (!supervisor_.alive()) return;
  Ending ending;
  ending.seen = !adopted_;
  if (adopted_) {
    if (process_alive(child_, shared_->control.child_start_ticks.load())) return;
  } else {
    const pid_t ended = ::waitpid(child_, &ending.status, WNOHANG);
    if (ended == 0) return;
    if (ended < 0)
      ending.seen = false;  // Somebody else's wait: only a fault of ours; treat it as an ending nobody saw.
  }
  abi::Shared& shared = shared_.writable();
  ending.stop_asked = shared.dataplane.stop_requested.load() != 0;
  shared.control.last_exit.store(ending.seen ? exit_of_status(ending.status) : kExitUnseen);
  shared.control.last_exit_unix_s.store(unix_seconds());
  supervisor_.ended(now, ending);
  shared.control.child_pid.store(0);
  shared.control.child_start_ticks.store(0);
  watch_.reset();
  const bool expected = supervisor_.state() == abi::Supervision::kStopped;
  log_line(expected ? Level::kInfo : Level::kError, "gannetd ended",
           {{"pid", fmt::format("{}", child_)},
            {"how", why_it_ended(shared)},
            {"now", abi::supervision_name(static_cast<std::uint64_t>(supervisor_.state()))}});
  child_ = 0;
}

void Appliance::note_status(MonotonicNs now) {
  abi::ControlStatus& status = shared_.writable().control;
  status.heartbeat_ns.store(now);
  const auto state = static_cast<std::uint64_t>(supervisor_.state());
  const std::uint64_t before = status.supervision.exchange(state);
  if (before != state)
    log_line(state == static_cast<std::uint64_t>(abi::Supervision::kStuck) ? Level::kWarn : Level::kInfo, "state",
             {{"from", abi::supervision_name(before)}, {"to", abi::supervision_name(state)}});
  status.crashes.store(crashes_before_ + supervisor_.crashes());
  status.next_start_ns.store(supervisor_.next_start_ns());
}

std::string Appliance::detach() {
  const abi::Supervision state = supervisor_.state();
  if (!supervisor_.alive() || state == abi::Supervision::kStopping)
    return fmt::format("gannetd is {}: there is none to be left running",
                       abi::supervision_name(static_cast<std::uint64_t>(state)));
  log_line(Level::kInfo, "leaving gannetd to the next gannet-control", {{"pid", fmt::format("{}", child_)}});
  detached_ = true;
  return "";
}

bool Appliance::turn(MonotonicNs now) {
  if (detached_) return false;
  notice_end(now);
  drop_former_if_served();
  const auto phase = static_cast<abi::Phase>(shared_->dataplane.phase.load(std::memory_order_acquire));
  const MonotonicNs since = supervisor_.serving_since_ns() != 0 ? supervisor_.serving_since_ns() : now;
  supervisor_.observe(now, phase, any_stuck(*shared_, now, since, wanted_.stuck_after_ms));
  for (Action action = supervisor_.next(now); action != Action::kNone; action = supervisor_.next(now)) {
    switch (action) {
      case Action::kStart:
        start(now);
        break;
      case Action::kAskStop:
        shared_.writable().dataplane.stop_requested.store(1);
        signal_process(watch_, SIGTERM);
        break;
      case Action::kKill:
        if (supervisor_.state() == abi::Supervision::kStarting)
          abi::set_text(shared_.writable().dataplane.message[0],
                        fmt::format("it did not serve within {} s and was killed: if its memory takes longer to be "
                                    "cleared, raise control.start_limit_s",
                                    wanted_.start_limit_s));
        log_line(Level::kWarn, "killing gannetd", {{"pid", fmt::format("{}", child_)}});
        signal_process(watch_, SIGKILL);
        break;
      case Action::kLeave:
        note_status(now);
        return false;
      case Action::kNone:
        break;
    }
  }
  note_status(now);
  sampler_.tick(*shared_, now);
  return true;
}

json Appliance::apply() {
  ConfigResult read = load_config(booted_.file);
  if (!read.ok()) {
    for (const std::string& fault : read.faults)
      log_line(Level::kError, "the configuration was not applied", {{"why", fault}});
    return {{"ok", false}, {"error", "the file has faults; nothing changed"}, {"faults", read.faults}};
  }
  json live = json::array(), waiting = json::array();
  for (const Change& change : diff_config(wanted_, read.config))
    if (change.apply == Apply::kLive) live.push_back(change_json(change));
  wanted_ = std::move(read.config);
  publish_live();
  for (const Change& change : pending()) waiting.push_back(change_json(change));
  return {{"ok", true},
          {"generation", abi::newest_generation(shared_->config)},
          {"applied", live},
          {"waiting_for_restart", waiting},
          {"warnings", wanted_.warnings}};
}

json Appliance::show() const {
  const std::vector<Change> waiting = pending();
  json keys = json::array();
  for (const ShownKey& shown : show_config(wanted_)) {
    json key = {{"key", shown.key},
                {"value", shown.value},
                {"given", shown.given},
                {"default", shown.info->fallback},
                {"apply", apply_name(shown.info->apply)},
                {"allowed", shown.info->allowed},
                {"meaning", shown.info->meaning}};
    for (const Change& change : waiting)
      if (change.key == shown.key) {
        key["value"] = change.from;
        key["after_restart"] = change.to;
      }
    keys.push_back(std::move(key));
  }
  return {{"ok", true},
          {"file", wanted_.file},
          {"generation", abi::newest_generation(shared_->config)},
          {"keys", keys},
          {"warnings", wanted_.warnings}};
}

Report Appliance::report() const {
  return sampler_.report(*shared_, Alive{true, supervisor_.alive()});
}

void Appliance::tidy() {
  if (supervisor_.state() != abi::Supervision::kStopped) return;
  ::unlink(paths_.shared().c_str());
  ::unlink(paths_.started().c_str());
}

}  // namespace gannet::control
