/// Multicast listener discovery (RFC 3810): telling switches that our solicited-node groups have a listener here. A
/// switch that snoops passes neighbour solicitations on only to ports that told so.
#pragma once

#include <cstdint>

#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"
#include "nicpipe/ip_address.h"
#include "nicpipe/packet.h"

namespace gannet::nicpipe {

/// What a report is.
enum class MldReport : std::uint8_t {
  kState = 2,   ///< The answer to a query: MODE_IS_EXCLUDE (section 5.2.12).
  kChange = 4,  ///< We have just begun to listen: CHANGE_TO_EXCLUDE_MODE.
};

/// Behind the Ethernet header, at most.
inline constexpr std::size_t kMldReportBytesMax =
    wire::ipv6::kHeaderBytes + wire::ipv6::kExtensionUnit + wire::mld::kReportHeaderBytes + 2 * wire::mld::kRecordBytes;

/// Makes the packet a report of the solicited-node groups of `address` and of the link-local address that follows from
/// `link.source`; one where they are the same. Sets link.destination itself. MUST: the buffer has room behind
/// packet.data.
void write_mld_report(Packet& packet, Link link, const IpAddress& address, MldReport kind) noexcept;

}  // namespace gannet::nicpipe
