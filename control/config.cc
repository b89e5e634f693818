#include "control/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "control/abi/reader.h"
#include "control/config_keys.h"

namespace gannet::control {
namespace {

constexpr std::size_t kFileBytesMax = 1u << 20;
constexpr std::size_t kShownValueMax = 60;
constexpr std::size_t kFaultsMax = 50;

/// The value as a reader would recognise it, short and on one line, whatever is in it.
std::string describe(const toml::node& node) {
  std::string text;
  if (const auto* value = node.as_string()) {
    text = quoted(value->get());
  } else if (node.is_table()) {
    text = "a table";
  } else {
    std::ostringstream out;
    node.visit([&out](const auto& visited) { out << visited; });
    text = out.str();
    for (char& c : text)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  }
  if (text.size() > kShownValueMax) {
    std::size_t cut = kShownValueMax;  // Not inside a UTF-8 sequence.
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
    text = text.substr(0, cut) + "...";
  }
  return text;
}

/// A name from the file, fit for a sentence.
std::string shown_name(std::string_view name) {
  std::string text = quoted(name.substr(0, kShownValueMax));
  return text.size() == name.size() + 2 ? std::string(name) : text;
}

class Reader {
 public:
  Reader(std::string_view file, std::string_view text) {
    config_.file = std::string(file);
    config_.text = std::string(text);
  }

  ConfigResult read(const toml::table& root) {
    for (const auto& [key, node] : root) read_section(key.str(), node);
    if (config_.ports.empty() && faults_.empty())
      fault(0, "there is no [[port]]: add one with device = \"tap\" and address = \"10.77.0.2/24\"");
    if (faults_.empty()) check_together();
    return finish();
  }

  ConfigResult refuse(int line, std::string sentence) {
    fault(line, std::move(sentence));
    return finish();
  }

 private:
  static int line_of(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

  void fault(int line, std::string sentence) {
    faults_.emplace_back(line, line > 0 ? fmt::format("{}:{}: {}", config_.file, line, sentence)
                                        : fmt::format("{}: {}", config_.file, sentence));
  }

  void read_section(std::string_view section, const toml::node& node) {
    static const std::vector<std::string> kSections = {"appliance", "port", "workers", "memory", "listen", "control"};
    if (std::find(kSections.begin(), kSections.end(), section) == kSections.end()) {
      const std::string near = nearest(section, kSections);
      fault(
          line_of(node),
          fmt::format("{} is no section; {}", shown_name(section),
                      near.empty() ? "the sections are appliance, [[port]], workers, memory, listen and control"
                                   : fmt::format("did you mean {}?", near == "port" ? "[[port]]" : "[" + near + "]")));
      return;
    }
    if (section == "port") {
      read_ports(node);
    } else if (const toml::table* table = node.as_table()) {
      PortWish none;
      read_keys(section, std::string(section), *table, none);
    } else {
      fault(line_of(node),
            fmt::format("{} = {} is not allowed; it must be a section, [{}]", section, describe(node), section));
    }
  }

  void read_ports(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr || list->empty() || !list->is_homogeneous<toml::table>()) {
      fault(line_of(node), "port must be written as [[port]], once per port");
      return;
    }
    if (list->size() > abi::kPortsMax) {
      fault(line_of((*list)[abi::kPortsMax]),
            fmt::format("there are {} [[port]]; at most {} are allowed", list->size(), abi::kPortsMax));
      return;
    }
    for (const toml::node& element : *list) {
      const toml::table& table = *element.as_table();
      PortWish port;
      port.line = line_of(element);
      const std::string shown = fmt::format("port[{}]", config_.ports.size());
      read_keys("port", shown, table, port);
      for (const char* needed : {"device", "address"})
        if (!table.contains(needed))
          fault(port.line, fmt::format("{}.{} is missing; it must be {}", shown, needed,
                                       spec_of(fmt::format("port.{}", needed))->info.allowed));
      config_.ports.push_back(std::move(port));
    }
  }

  static const KeySpec* spec_of(std::string_view name) {
    for (const KeySpec& spec : key_specs())
      if (name == spec.info.name) return &spec;
    return nullptr;
  }

  void read_keys(std::string_view section, const std::string& shown, const toml::table& table, PortWish& port) {
    for (const auto& [key, node] : table) {
      const KeySpec* spec = spec_of(fmt::format("{}.{}", section, key.str()));
      if (spec == nullptr) {
        fault(line_of(node),
              fmt::format("{}.{} is no key; {}", shown, shown_name(key.str()), advice(section, key.str())));
        continue;
      }
      const std::string name = fmt::format("{}.{}", shown, key.str());
      const Verdict verdict = spec->read(node, config_, port);
      if (verdict.ok) {
        config_.given.insert(name);
        lines_[name] = line_of(node);
      } else {
        fault(line_of(node), fmt::format("{} = {} is not allowed; it must be {}{}", name, describe(node),
                                         spec->info.allowed, verdict.hint.empty() ? "" : "; " + verdict.hint));
      }
    }
  }

  /// The nearest key of this section, or the section where a key of this name lives.
  static std::string advice(std::string_view section, std::string_view key) {
    std::vector<std::string> here, everywhere;
    for (const KeyInfo& info : config_keys()) {
      const std::string_view name = info.name;
      const std::size_t dot = name.find('.');
      if (name.substr(0, dot) == section) here.emplace_back(name.substr(dot + 1));
      if (name.substr(dot + 1) == key) everywhere.emplace_back(name);
    }
    if (!everywhere.empty()) return fmt::format("did you mean {}?", everywhere[0]);
    const std::string near = nearest(key, here);
    if (!near.empty()) return fmt::format("did you mean {}.{}?", section, near);
    return fmt::format("the keys here are {}", fmt::join(here, ", "));
  }

  int line_of_key(const std::string& key) const {
    const auto found = lines_.find(key);
    return found == lines_.end() ? 0 : found->second;
  }

  /// What no key can know alone.
  void check_together() {
    Config& c = config_;
    if (c.memory_bytes % c.page_bytes != 0) {
      const std::uint64_t up = (c.memory_bytes / c.page_bytes + 1) * c.page_bytes;
      fault(line_of_key("memory.size"),
            fmt::format(
                "memory.size = \"{}\" is not allowed; it must be a multiple of memory.page = \"{}\"; write \"{}\"",
                format_size(c.memory_bytes), format_size(c.page_bytes), format_size(up)));
    }
    const std::uint64_t segment = c.segment_bytes == 0 ? 0 : c.segment_bytes,
                        needed = c.workers * std::uint64_t{8} * segment;
    if (c.memory_bytes < needed)
      fault(line_of_key("memory.segment"), fmt::format("memory.segment = \"{}\" is not allowed; every one of {} "
                                                       "workers needs 8 segments, so memory.size must be at least "
                                                       "\"{}\"; write a smaller segment or \"auto\"",
                                                       format_size(segment), c.workers, format_size(needed)));
    if (c.memory_bytes < c.workers * (std::uint64_t{4} << 20))
      fault(
          line_of_key("memory.size"),
          fmt::format("memory.size = \"{}\" is not allowed; every one of {} workers needs 4MiB; write at least \"{}\"",
                      format_size(c.memory_bytes), c.workers, format_size(c.workers * (std::uint64_t{4} << 20))));
    if (c.segment_bytes != 0 && c.item_bytes_max > c.segment_bytes)
      fault(line_of_key("memory.item_max"),
            fmt::format("memory.item_max = \"{}\" is not allowed; it must be at most memory.segment = \"{}\"; "
                        "write \"{}\" or \"auto\"",
                        format_size(c.item_bytes_max), format_size(segment), format_size(segment)));
    if (!c.cores.empty() && c.cores.size() != c.workers)
      fault(line_of_key("workers.cores"),
            fmt::format(
                "workers.cores = [{}] is not allowed; it must name one CPU for each of workers.count = {}, or be []",
                fmt::join(c.cores, ", "), c.workers));
    if (c.udp + c.workers > 65535)
      fault(line_of_key("listen.udp"), fmt::format("listen.udp = {} is not allowed; with {} workers it must be 1 to {}",
                                                   c.udp, c.workers, 65535 - c.workers));
    check_ports();
    if (c.tcp == 0 && !c.sasl_users.empty())
      fault(
          line_of_key("listen.sasl_users"),
          fmt::format("listen.sasl_users = {} is not allowed with listen.tcp = 0: passwords are asked over TCP alone; "
                      "write listen.tcp = 11211",
                      quoted(c.sasl_users)));
    if (!c.sasl_users.empty())
      c.warnings.emplace_back(
          "listen.sasl_users demands a password, which a datagram cannot give: UDP is not answered");
    if (c.page_bytes == 4096)
      c.warnings.emplace_back("memory.page = \"4KiB\" costs speed: reserve hugepages and write \"2MiB\" or \"1GiB\"");
    for (const abi::Prefix& prefix : c.allow)
      if (const std::string text = format_prefix(prefix); text == "0.0.0.0/0" || text == "::/0")
        c.warnings.push_back(fmt::format(
            "listen.allow contains \"{}\": anybody can make this machine answer; keep it behind a firewall", text));
  }

  void check_ports() {
    for (std::size_t i = 0; i < config_.ports.size(); ++i) {
      if (config_.ports[i].address6.bits != 0 && config_.ports[i].mtu < 1280)
        fault(
            line_of_key(fmt::format("port[{}].mtu", i)),
            fmt::format("port[{}].mtu = {} is not allowed; with address6 it must be at least 1280 (RFC 8200 section 5)",
                        i, config_.ports[i].mtu));
      for (std::size_t k = 0; k < i; ++k) {
        const PortWish &port = config_.ports[i], &other = config_.ports[k];
        const bool same_device = port.device.kind == other.device.kind && port.device.argument == other.device.argument;
        if (same_device)
          fault(line_of_key(fmt::format("port[{}].device", i)),
                fmt::format("port[{}].device = {} is not allowed; port[{}] uses that device already", i,
                            quoted(format_device(port.device.kind, port.device.argument)), k));
        if (port.address.address == other.address.address)
          fault(line_of_key(fmt::format("port[{}].address", i)),
                fmt::format("port[{}].address = \"{}\" is not allowed; port[{}] has that address already", i,
                            format_cidr(port.address.address, port.address.bits), k));
        if (port.address6.bits != 0 && port.address6.address == other.address6.address)
          fault(line_of_key(fmt::format("port[{}].address6", i)),
                fmt::format("port[{}].address6 = \"{}\" is not allowed; port[{}] has that address already", i,
                            format_cidr6(port.address6.address, port.address6.bits), k));
      }
    }
  }

  ConfigResult finish() {
    std::stable_sort(faults_.begin(), faults_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    ConfigResult result;
    for (auto& [line, sentence] : faults_) {
      if (result.faults.size() == kFaultsMax) {
        result.faults.push_back(fmt::format("{}: and {} more", config_.file, faults_.size() - kFaultsMax));
        break;
      }
      result.faults.push_back(std::move(sentence));
    }
    if (result.faults.empty()) result.config = std::move(config_);
    return result;
  }

  Config config_;
  std::vector<std::pair<int, std::string>> faults_;
  std::map<std::string, int> lines_;
};

}  // namespace

const char* apply_name(Apply apply) noexcept {
  switch (apply) {
    case Apply::kLive:
      return "live";
    case Apply::kRestart:
      return "restart";
    case Apply::kControl:
      return "control";
  }
  return "unknown";
}

const std::vector<KeyInfo>& config_keys() {
  static const std::vector<KeyInfo> keys = [] {
    std::vector<KeyInfo> list;
    for (const KeySpec& spec : key_specs()) list.push_back(spec.info);
    return list;
  }();
  return keys;
}

ConfigResult parse_config(std::string_view text, std::string_view file_name) {
  Reader reader(file_name, text.substr(0, kFileBytesMax));
  if (text.size() > kFileBytesMax)
    return reader.refuse(0, "the file is larger than 1MiB; that is no configuration of Gannet");
  try {
    return reader.read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    std::string what(error.description());
    for (char& c : what)
      if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
    return reader.refuse(static_cast<int>(error.source().begin.line), fmt::format("this is not TOML: {}", what));
  }
}

ConfigResult load_config(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof()))
    return Reader(path, "").refuse(0, "cannot be read: name an existing file that this user may read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_config(text, path);
}

std::vector<ShownKey> show_config(const Config& config) {
  std::vector<ShownKey> shown;
  const std::vector<KeySpec>& specs = key_specs();
  const PortWish none;
  const auto is_port = [](const KeySpec& spec) { return std::string_view(spec.info.name).starts_with("port."); };
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (!is_port(specs[i])) {
      shown.push_back({specs[i].info.name, specs[i].show(config, none), config.given.contains(specs[i].info.name),
                       &config_keys()[i]});
      continue;
    }
    if (i > 0 && is_port(specs[i - 1]))
      continue;  // The first key of the port section writes all ports, one after the other.
    for (std::size_t p = 0; p < config.ports.size(); ++p) {
      for (std::size_t k = i; k < specs.size() && is_port(specs[k]); ++k) {
        const std::string key = fmt::format("port[{}].{}", p, std::string_view(specs[k].info.name).substr(5));
        shown.push_back({key, specs[k].show(config, config.ports[p]), config.given.contains(key), &config_keys()[k]});
      }
    }
  }
  return shown;
}

std::vector<Change> diff_config(const Config& from, const Config& to) {
  const std::vector<ShownKey> before = show_config(from), after = show_config(to);
  const auto find = [](const std::vector<ShownKey>& list, const std::string& key) {
    return std::find_if(list.begin(), list.end(), [&key](const ShownKey& shown) { return shown.key == key; });
  };
  std::vector<Change> changes;
  for (const ShownKey& was : before) {
    const auto is = find(after, was.key);
    const std::string now = is == after.end() ? "" : is->value;
    if (now != was.value) changes.push_back({was.key, was.value, now, was.info->apply});
  }
  for (const ShownKey& is : after)
    if (find(before, is.key) == before.end()) changes.push_back({is.key, "", is.value, is.info->apply});
  return changes;
}

void fill_start(const Config& config, abi::StartConfig& start) {
  start.workers = config.workers;
  start.cores.fill(-1);
  std::copy(config.cores.begin(), config.cores.end(), start.cores.begin());
  start.ports = static_cast<std::uint32_t>(config.ports.size());
  start.port = {};
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    const PortWish& wish = config.ports[i];
    abi::PortConfig& port = start.port[i];
    port.kind = wish.device.kind;
    port.queues = wish.queues == 0 ? config.workers : wish.queues;
    abi::set_text(port.device, wish.device.argument);
    port.address = wish.address.address;
    port.prefix_bits = wish.address.bits;
    if (wish.address6.bits != 0) {
      port.address6 = wish.address6.address;
      port.prefix6_bits = wish.address6.bits;
    }
    port.mtu = wish.mtu;
    port.vlan = wish.vlan;
  }
  start.memory_bytes = config.memory_bytes;
  start.page_bytes = config.page_bytes;
  start.segment_bytes = config.segment_bytes;
  start.item_bytes_max = config.item_bytes_max;
  start.allow_remote = config.allow_remote ? 1 : 0;
  start.udp_port = config.udp;
  start.tcp_port = config.tcp;
  start.tcp_connections_max = config.tcp_connections_max;
  start.tcp_source_max = config.tcp_source_max;
  start.tcp_idle_s = config.tcp_idle_s;
  abi::set_text(start.sasl_users, config.sasl_users);
}

abi::LiveConfig make_live(const Config& config) {
  abi::LiveConfig live;
  live.prefixes = static_cast<std::uint32_t>(config.allow.size());
  std::copy(config.allow.begin(), config.allow.end(), live.allow.begin());
  live.udp_answer_bytes_max = config.udp_answer_max;
  live.idle_sleep_us_max = config.idle_sleep_us;
  live.eviction = config.eviction;
  live.udp_admin = config.udp_admin ? 1 : 0;
  live.udp_rate_per_source = config.udp_rate_per_source;
  return live;
}

}  // namespace gannet::control
