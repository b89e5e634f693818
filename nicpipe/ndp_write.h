/// The message both kinds of neighbour discovery frames of ours are. Inside nicpipe only.
#pragma once

#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"

namespace gannet::nicpipe {

struct NdpMessage {
  std::uint8_t type = 0;    ///< wire::ndp::kSolicitation or kAdvertisement.
  std::uint32_t flags = 0;  ///< kSolicited, kOverride.
  IpAddress source, destination, target;
  std::uint8_t option = 0;  ///< wire::ndp::kSourceMac or kTargetMac, with link.source; 0: none.
};

/// Makes the packet this message and nothing else. MUST: the buffer has room behind packet.data.
void write_ndp(Packet& packet, const Link& link, const NdpMessage& message) noexcept;

}  // namespace gannet::nicpipe
