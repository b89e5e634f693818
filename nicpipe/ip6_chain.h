/// IPv6 extension headers: what lies between the fixed header and UDP, TCP or ICMPv6 (RFC 8200 section 4). Bounded.
#pragma once

#include <cstdint>

#include "storage/base/bytes.h"

namespace gannet::nicpipe {

inline constexpr std::size_t kIp6ExtensionBytesMax = 128;  ///< All of a packet's together; hardly anybody needs 8.

enum class Ip6Chain : std::uint8_t {
  kOk,
  kFragment,  ///< It is a part of a packet. One that is all of it (RFC 6946) is no part.
  kRefused,  ///< A routing header, an option that says "discard who does not know me", hop-by-hop options not in front,
             ///< one that goes beyond the packet, or more than kIp6ExtensionBytesMax.
};

struct Ip6Upper {
  std::uint8_t protocol = 0;         ///< What follows the last extension header that we can skip.
  bool has_fragment_header = false;  ///< Of a fragment that is the whole packet.
  std::uint16_t offset = 0;  ///< Where it begins, from the fixed header's first byte: 40 without extension headers.
};

/// `packet` is the fixed header and its payload, at least 40 bytes. On kOk `out` is filled, offset <= packet.size();
/// else it is untouched.
[[nodiscard]] Ip6Chain find_upper(Bytes packet, Ip6Upper& out) noexcept;

}  // namespace gannet::nicpipe
