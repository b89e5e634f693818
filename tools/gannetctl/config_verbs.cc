#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "control/admin.h"
#include "control/config.h"
#include "tools/gannetctl/verbs.h"

namespace gannet::tools {
namespace {

using nlohmann::json;

constexpr int kAskMs = 3000;

/// One sentence a line on stderr, or all of them in JSON.
int faults(const Session& session, const std::vector<std::string>& sentences) {
  if (session.json) {
    session.print("", {{"ok", false}, {"faults", sentences}});
  } else {
    for (const std::string& sentence : sentences) std::fprintf(stderr, "%s\n", sentence.c_str());
  }
  return kExitUsage;
}

json keys_json(const control::Config& config) {
  json keys = json::array();
  for (const control::ShownKey& shown : control::show_config(config))
    keys.push_back({{"key", shown.key},
                    {"value", shown.value},
                    {"given", shown.given},
                    {"default", shown.info->fallback},
                    {"apply", control::apply_name(shown.info->apply)},
                    {"allowed", shown.info->allowed},
                    {"meaning", shown.info->meaning}});
  return keys;
}

std::string keys_text(const json& keys) {
  std::string out;
  for (const json& key : keys) {
    const std::string note = key.contains("after_restart")
                                 ? fmt::format("{} after a restart", key["after_restart"].get<std::string>())
                             : key["given"].get<bool>() ? ""
                                                        : "default";
    out += fmt::format("{:<28} = {:<24} {}\n", key["key"].get<std::string>(), key["value"].get<std::string>(), note);
  }
  return out;
}

std::string changes_text(const json& changes) {
  std::string out;
  for (const json& change : changes)
    out += fmt::format("  {}: {} -> {}{}\n", change["key"].get<std::string>(), change["from"].get<std::string>(),
                       change["to"].get<std::string>(), change["apply"] == "control" ? " (a new gannet-control)" : "");
  return out;
}

}  // namespace

int config_check(const Session& session, const std::string& file) {
  const control::ConfigResult read = control::load_config(file);
  if (!read.ok()) return faults(session, read.faults);
  std::string text = fmt::format("{}: good\n", file);
  for (const std::string& warning : read.config.warnings) text += fmt::format("warning: {}\n", warning);
  session.print(text,
                {{"ok", true}, {"file", file}, {"warnings", read.config.warnings}, {"keys", keys_json(read.config)}});
  return kExitOk;
}

int config_show(Session& session, const std::string& file) {
  std::string path = file, note;
  if (path.empty()) {
    std::string fault;
    if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
    const json answer = control::ask_control(session.socket_path(), {{"do", "config show"}}, kAskMs);
    if (answer.value("ok", false)) {
      session.print(keys_text(answer["keys"]), answer);
      return kExitOk;
    }
    path = session.paths.started();
    note = "gannet-control is dead; this is what gannetd was started with";
  }
  const control::ConfigResult read = control::load_config(path);
  if (!read.ok()) return faults(session, read.faults);
  if (!note.empty() && !session.json) std::fprintf(stderr, "gannetctl: %s\n", note.c_str());
  const json keys = keys_json(read.config);
  session.print(keys_text(keys), {{"ok", true}, {"file", path}, {"keys", keys}, {"warnings", read.config.warnings}});
  return kExitOk;
}

int config_apply(Session& session) {
  std::string fault;
  if (!session.open(false, fault)) return session.fail(kExitNotRunning, fault);
  const json answer = control::ask_control(session.socket_path(), {{"do", "config apply"}}, kAskMs);
  if (answer.contains("faults")) {
    if (!session.json) std::fprintf(stderr, "gannetctl: %s\n", answer.value("error", "").c_str());
    return faults(session, answer["faults"].get<std::vector<std::string>>());
  }
  if (!answer.value("ok", false)) return session.fail(kExitNotHealthy, answer.value("error", "it was refused"));
  std::string text = fmt::format("published as configuration {}\n", answer["generation"].get<std::uint64_t>());
  if (!answer["applied"].empty()) text += "now in force:\n" + changes_text(answer["applied"]);
  if (!answer["waiting_for_restart"].empty())
    text += "in force after `gannetctl restart`:\n" + changes_text(answer["waiting_for_restart"]);
  if (answer["applied"].empty() && answer["waiting_for_restart"].empty())
    text += "nothing differs from what is in force\n";
  for (const json& warning : answer["warnings"]) text += fmt::format("warning: {}\n", warning.get<std::string>());
  session.print(text, answer);
  return kExitOk;
}

int config_keys(const Session& session, bool markdown) {
  std::string text;
  json keys = json::array();
  if (markdown) text = "| key | type | allowed | default | change | meaning |\n|---|---|---|---|---|---|\n";
  for (const control::KeyInfo& info : control::config_keys()) {
    const std::string fallback = *info.fallback == '\0' ? "must be given" : info.fallback;
    if (markdown) {
      text += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", info.name, info.type, info.allowed,
                          *info.fallback == '\0' ? fallback : "`" + fallback + "`", control::apply_name(info.apply),
                          info.meaning);
    } else {
      text += fmt::format("{}\n    {}\n    {}: {}\n    default {}; a change is {}\n", info.name, info.meaning,
                          info.type, info.allowed, fallback,
                          info.apply == control::Apply::kLive      ? "live (gannetctl config apply)"
                          : info.apply == control::Apply::kRestart ? "in force after gannetctl restart"
                                                                   : "in force with a new gannet-control");
    }
    keys.push_back({{"key", info.name},
                    {"type", info.type},
                    {"allowed", info.allowed},
                    {"default", info.fallback},
                    {"apply", control::apply_name(info.apply)},
                    {"meaning", info.meaning}});
  }
  session.print(text, {{"keys", keys}});
  return kExitOk;
}

}  // namespace gannet::tools
