#include "nicpipe/ip6_chain.h"

#include "nicpipe/headers.h"

namespace gannet::nicpipe {
namespace {

/// An unknown option says in its two upper bits what to do: 00 skip it, else discard the packet (section 4.2). The only
/// ones we know are to be skipped too.
bool may_skip(Bytes options) noexcept {
  std::size_t at = 2;  // Next header, length.
  while (at < options.size()) {
    const auto type = static_cast<std::uint8_t>(options[at]);
    if (type == wire::ipv6::kOptionPad1) {
      ++at;
      continue;
    }
    if (type >> 6 != 0 || at + 1 == options.size()) return false;
    at += 2 + static_cast<std::size_t>(options[at + 1]);
  }
  return at == options.size();
}

}  // namespace

Ip6Chain find_upper(Bytes packet, Ip6Upper& out) noexcept {
  constexpr std::size_t kFirst = wire::ipv6::kHeaderBytes;
  auto next = static_cast<std::uint8_t>(packet[wire::ipv6::kNextHeader]);
  std::size_t at = kFirst;
  bool has_fragment_header = false;
  for (;;) {
    if (next == wire::ipv6::kRouting || (next == wire::ipv6::kHopByHop && at != kFirst)) return Ip6Chain::kRefused;
    if (next != wire::ipv6::kHopByHop && next != wire::ipv6::kDestinationOptions && next != wire::ipv6::kFragment)
      break;
    if (packet.size() < at + wire::ipv6::kExtensionUnit) return Ip6Chain::kRefused;
    if (next == wire::ipv6::kFragment) {
      const auto field = load_be<std::uint16_t>(packet.data() + at + wire::ipv6::kFragmentField);
      if ((field & wire::ipv6::kAnyFragment) != 0) return Ip6Chain::kFragment;
      if (has_fragment_header || at + wire::ipv6::kExtensionUnit > kFirst + kIp6ExtensionBytesMax)
        return Ip6Chain::kRefused;
      has_fragment_header = true;
      next = static_cast<std::uint8_t>(packet[at]);
      at += wire::ipv6::kExtensionUnit;
      continue;
    }
    const std::size_t bytes = (static_cast<std::size_t>(packet[at + 1]) + 1) * wire::ipv6::kExtensionUnit;
    if (at + bytes > packet.size() || at + bytes > kFirst + kIp6ExtensionBytesMax) return Ip6Chain::kRefused;
    if (!may_skip(packet.subspan(at, bytes))) return Ip6Chain::kRefused;
    next = static_cast<std::uint8_t>(packet[at]);
    at += bytes;
  }
  out = {next, has_fragment_header, static_cast<std::uint16_t>(at)};
  return Ip6Chain::kOk;
}

}  // namespace gannet::nicpipe
