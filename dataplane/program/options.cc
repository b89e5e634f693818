#include "dataplane/program/options.h"

#include <array>
#include <charconv>
#include <span>

#include "control/abi/reader.h"
#include "nicpipe/ip_address.h"

namespace gannet::dataplane {
namespace {

template <class Number>
[[nodiscard]] bool parse_number(std::string_view text, Number low, Number high, Number& out) noexcept {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high) return false;
  out = value;
  return true;
}

[[nodiscard]] bool is_pci_address(std::string_view text) noexcept {
  constexpr std::string_view kShape = "hhhh:hh:hh.h";
  if (text.size() != kShape.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex =
        (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f') || (text[i] >= 'A' && text[i] <= 'F');
    if (kShape[i] == 'h' ? !hex : text[i] != kShape[i]) return false;
  }
  return true;
}

class Parser {
 public:
  explicit Parser(const std::vector<std::string_view>& words) : words_(words) {
    out_.options.start.cores.fill(-1);
    out_.options.live.idle_sleep_us_max = 100;
  }

  [[nodiscard]] ParsedOptions run() {
    while (out_.error.empty() && at_ < words_.size()) take(words_[at_++]);
    if (out_.error.empty()) judge();
    return std::move(out_);
  }

 private:
  void fail(std::string sentence) {
    if (out_.error.empty()) out_.error = std::move(sentence);
  }

  [[nodiscard]] std::string_view value_of(std::string_view option) {
    if (at_ < words_.size()) return words_[at_++];
    fail(std::string(option) + " needs a value: see gannetd --help.");
    return {};
  }

  /// One number into one field; the range is said when it is broken.
  template <class Number>
  void take_number(std::string_view option, Number low, Number high, Number& field) {
    const std::string_view text = value_of(option);
    if (out_.error.empty() && !parse_number(text, low, high, field))
      fail(std::string(option) + " " + std::string(text) + ": choose a number in " + std::to_string(low) + ".." +
           std::to_string(high) + ".");
  }

  template <class Parse>
  void take_parsed(std::string_view option, const char* example, Parse parse) {
    const std::string_view text = value_of(option);
    if (out_.error.empty() && !parse(text))
      fail(std::string(option) + " " + std::string(text) + " is not understood: write for example " + example + ".");
  }

  void take(std::string_view option) {
    Options& o = out_.options;
    abi::StartConfig& start = o.start;
    if (option == "--help" || option == "-h") {
      o.action = Options::Action::kHelp;
    } else if (option == "--version") {
      o.action = Options::Action::kVersion;
    } else if (option == "--plan") {
      o.action = Options::Action::kPlan;
    } else if (option == "--json") {
      o.json = true;
    } else if (option == "--topology") {
      o.topology = value_of(option);
    } else if (option == "--shared") {
      o.shared = value_of(option);
    } else if (option == "--memory-fd") {
      take_number(option, 0, 1'000'000, o.memory_fd);
    } else if (option == "--former-fd") {
      take_number(option, 0, 1'000'000, o.former_fd);
    } else if (option == "--dev") {
      o.developer = true;
      take_port(value_of(option));
    } else if (option == "--workers") {
      take_number<std::uint32_t>(option, 1, abi::kWorkersMax, start.workers);
    } else if (option == "--cores") {
      take_parsed(option, "1,2,-1", [&](std::string_view text) { return take_cores(text); });
    } else if (option == "--memory") {
      take_parsed(option, "256MiB", [&](std::string_view text) { return parse_size(text, start.memory_bytes); });
    } else if (option == "--segment") {
      take_parsed(option, "1MiB", [&](std::string_view text) {
        std::uint64_t bytes = 0;
        const bool good = parse_size(text, bytes) && bytes <= UINT32_MAX;
        start.segment_bytes = static_cast<std::uint32_t>(bytes);
        return good;
      });
    } else if (option == "--page") {
      take_parsed(option, "4KiB, 2MiB or 1GiB", [&](std::string_view text) {
        return parse_size(text, start.page_bytes) &&
               (start.page_bytes == 4096 || start.page_bytes == 2U << 20 || start.page_bytes == 1U << 30);
      });
    } else if (option == "--no-huge") {
      start.page_bytes = 4096;
    } else if (option == "--udp") {
      take_number<std::uint16_t>(option, 1024, 65'000, start.udp_port);
    } else if (option == "--tcp") {
      take_number<std::uint16_t>(option, 0, 65'535, start.tcp_port);
    } else if (option == "--tcp-connections") {
      take_number<std::uint32_t>(option, 1, 262'144, start.tcp_connections_max);
    } else if (option == "--sasl-users") {
      take_parsed(option, "/etc/gannet/users",
                  [&](std::string_view text) { return !text.empty() && abi::set_text(start.sasl_users, text); });
    } else if (option == "--idle-sleep-us") {
      take_number<std::uint32_t>(option, 0, 10'000, o.live.idle_sleep_us_max);
    } else if (option == "--allow") {
      take_parsed(option, "10.0.0.0/8", [&](std::string_view text) { return take_prefix(text); });
    } else if (option == "--address" || option == "--address6" || option == "--mtu" || option == "--queues") {
      take_of_port(option);
    } else {
      fail("The option " + std::string(option) + " is unknown: see gannetd --help.");
    }
  }

  void take_port(std::string_view text) {
    abi::StartConfig& start = out_.options.start;
    if (!out_.error.empty()) return;
    if (start.ports == abi::kPortsMax)
      return fail("More than " + std::to_string(abi::kPortsMax) + " --dev: name fewer devices.");
    abi::PortConfig port;
    if (!parse_device(text, port))
      return fail("--dev " + std::string(text) +
                  " is not understood: write tap, tap:NAME, af_packet:IF, af_xdp:IF, vhost:PATH, memif:PATH, ring or a "
                  "PCI address.");
    port.queues = 0;
    start.port[start.ports++] = port;
  }

  /// Options that belong to the --dev before them.
  void take_of_port(std::string_view option) {
    abi::StartConfig& start = out_.options.start;
    if (start.ports == 0) return fail(std::string(option) + " comes before any --dev: name the device first.");
    abi::PortConfig& port = start.port[start.ports - 1];
    if (option == "--mtu") return take_number<std::uint32_t>(option, 576, 9000, port.mtu);
    if (option == "--queues") return take_number<std::uint32_t>(option, 1, 64, port.queues);
    if (option == "--address6")
      return take_parsed(option, "fd77::2/64", [&](std::string_view text) { return take_address6(text, port); });
    take_parsed(option, "10.77.0.2/24",
                [&](std::string_view text) { return parse_address(text, port.address, port.prefix_bits); });
  }

  [[nodiscard]] bool take_cores(std::string_view text) {
    std::size_t worker = 0;
    while (!text.empty()) {
      const std::size_t comma = text.find(',');
      std::int32_t cpu = 0;
      if (worker == abi::kWorkersMax || !parse_number(text.substr(0, comma), -1, 65'535, cpu)) return false;
      out_.options.start.cores[worker++] = cpu;
      text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
    }
    return worker > 0;
  }

  [[nodiscard]] static bool take_address6(std::string_view text, abi::PortConfig& port) {
    nicpipe::IpPrefix prefix;
    if (!nicpipe::parse(text, prefix) || !prefix.address.is_unicast6() || prefix.bits == 0) return false;
    nicpipe::store_ipv6(std::as_writable_bytes(std::span(port.address6)).data(), prefix.address);
    port.prefix6_bits = prefix.bits;
    return true;
  }

  [[nodiscard]] bool take_prefix(std::string_view text) {
    abi::LiveConfig& live = out_.options.live;
    nicpipe::IpPrefix wanted;
    if (live.prefixes == abi::kPrefixesMax || !nicpipe::parse(text, wanted)) return false;
    const nicpipe::IpAddress mask = wanted.mask();
    abi::Prefix& prefix = live.allow[live.prefixes++];
    nicpipe::store_ipv6(std::as_writable_bytes(std::span(prefix.address)).data(),
                        {wanted.address.high & mask.high, wanted.address.low & mask.low});
    prefix.bits = wanted.bits;
    return true;
  }

  void judge() {
    Options& o = out_.options;
    if (o.action == Options::Action::kHelp || o.action == Options::Action::kVersion) return;
    for (std::size_t worker = o.start.workers; worker < abi::kWorkersMax; ++worker)
      if (o.start.cores[worker] != -1)
        return fail("--cores names more CPUs than --workers " + std::to_string(o.start.workers) +
                    ": name one CPU a worker.");
    if (o.action == Options::Action::kPlan) return;
    if (!o.developer && o.shared.empty())
      return fail(
          "Nothing to serve: gannet-control starts gannetd with --shared, a developer with --dev; see gannetd --help.");
    if (!o.developer) return;
    for (std::uint32_t port = 0; port < o.start.ports; ++port)
      if (o.start.port[port].address == 0)
        return fail("--dev without --address: write for example --dev tap --address 10.77.0.2/24.");
    if (o.start.memory_bytes == 0) o.start.memory_bytes = std::uint64_t{256} << 20;
  }

  const std::vector<std::string_view>& words_;
  std::size_t at_ = 0;
  ParsedOptions out_;
};

}  // namespace

ParsedOptions parse_options(const std::vector<std::string_view>& words) {
  return Parser(words).run();
}

bool parse_size(std::string_view text, std::uint64_t& bytes) noexcept {
  constexpr std::array<std::string_view, 4> kUnits = {"K", "M", "G", "T"};
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value == 0) return false;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit.ends_with("iB")) unit.remove_suffix(2);
  if (!unit.empty() || end != text.data() + text.size()) {
    unsigned shift = 0;
    for (unsigned i = 0; i < kUnits.size(); ++i)
      if (unit == kUnits[i]) shift = 10 * (i + 1);
    if (shift == 0 || value > UINT64_MAX >> shift) return false;
    value <<= shift;
  }
  bytes = value;
  return true;
}

bool parse_address(std::string_view text, std::uint32_t& address, std::uint32_t& bits) noexcept {
  const std::size_t slash = text.find('/');
  std::uint32_t length = 32, whole = 0;
  if (slash != std::string_view::npos && !parse_number<std::uint32_t>(text.substr(slash + 1), 0, 32, length))
    return false;
  std::string_view rest = text.substr(0, slash);
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = rest.find('.');
    if ((dot == std::string_view::npos) != (part == 3)) return false;
    std::uint32_t value = 0;
    if (!parse_number<std::uint32_t>(rest.substr(0, dot), 0, 255, value)) return false;
    whole = whole << 8 | value;
    rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  }
  address = whole;
  bits = length;
  return true;
}

bool parse_device(std::string_view text, abi::PortConfig& port) noexcept {
  if (is_pci_address(text)) {
    port.kind = abi::DeviceKind::kPci;
    return abi::set_text(port.device, text);
  }
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  const std::string_view name = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  bool name_needed = true;
  if (kind == "tap" || kind == "ring") {
    port.kind = kind == "tap" ? abi::DeviceKind::kTap : abi::DeviceKind::kRing;
    name_needed = colon != std::string_view::npos;
  } else if (kind == "af_packet") {
    port.kind = abi::DeviceKind::kAfPacket;
  } else if (kind == "af_xdp") {
    port.kind = abi::DeviceKind::kAfXdp;
  } else if (kind == "vhost") {
    port.kind = abi::DeviceKind::kVhost;
  } else if (kind == "memif") {
    port.kind = abi::DeviceKind::kMemif;
  } else {
    return false;
  }
  if (name_needed && name.empty()) return false;
  return abi::set_text(port.device, name);
}

const char* usage() noexcept {
  return R"(gannetd: the dataplane of a Gannet appliance. Usually started by gannet-control.

  gannetd --shared FD|PATH [--memory-fd FD]     serve what the shared file of gannet-control says
      --former-fd FD                            move the items left in that memory into it: its size or division changed
  gannetd --dev DEVICE --address A.B.C.D/N ...  serve without gannet-control, for development
  gannetd --plan [--json] ...                   show where the workers would run, start nothing
  gannetd --version | --help

DEVICE: tap, tap:NAME, af_packet:IF, af_xdp:IF, vhost:PATH, memif:PATH, ring, or a PCI address. May be repeated; each is followed by
  --address A.B.C.D/N   our address on it            --mtu N      576..9000, default 1500
  --queues N            default: one a worker        --address6 PREFIX  our IPv6 address, like fd77::2/64
With --dev or --plan:
  --workers N           1..64, default 1             --cores LIST   a CPU per worker, -1 for the planner's choice
  --memory SIZE         of all items, default 256M   --page SIZE    4KiB, 2MiB (default) or 1GiB
  --no-huge             the same as --page 4KiB      --segment SIZE default: chosen from the memory
  --udp PORT            default 11211                --idle-sleep-us N  0: never sleep; default 100
  --tcp PORT            default 11211, 0: no TCP     --tcp-connections N  of each worker, default 8192
  --sasl-users FILE     lines of name:password; TCP clients must know one, UDP is off
  --allow PREFIX        sources that are answered, may be repeated; default: the port's own subnet
  --shared PATH         put the statistics file there instead of keeping it unnamed
  --topology TEXT       with --plan: a synthetic machine, e.g. "pack:2 core:8 pu:2"

Exit: 0 stopped as asked, 1 failed, 2 the configuration or the machine must be changed first.
)";
}

}  // namespace gannet::dataplane
