/// Where the fields of the headers lie that we read and write: offsets in bytes from the header's first byte, sizes,
/// and the few values we know. Fields are big-endian; read them with load_be, write them with store_be.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gannet::nicpipe::wire {

/// Ethernet II. Followed by its payload, or by one VLAN tag.
namespace ethernet {
inline constexpr std::size_t kDestination = 0;  ///< 6 bytes, MAC.
inline constexpr std::size_t kSource = 6;       ///< 6 bytes, MAC.
inline constexpr std::size_t kType =
    12;  ///< 2 bytes, one of the types below; under 1536 it is a length (802.3), not served.
inline constexpr std::size_t kHeaderBytes = 14;
inline constexpr std::uint16_t kTypeIpv4 = 0x0800, kTypeArp = 0x0806, kTypeVlan = 0x8100, kTypeIpv6 = 0x86dd;
}  // namespace ethernet

/// IEEE 802.1Q: type 0x8100 in the Ethernet header, then these four bytes, offsets from the frame's first byte.
namespace vlan {
inline constexpr std::size_t kTci = 14;        ///< 2 bytes: priority 3 bits, drop eligible 1 bit, VLAN id 12 bits.
inline constexpr std::size_t kInnerType = 16;  ///< 2 bytes, as ethernet::kType.
inline constexpr std::size_t kHeaderBytes = 18;
inline constexpr std::uint16_t kIdMask = 0x0fff;
}  // namespace vlan

/// RFC 826, for IPv4 over Ethernet.
namespace arp {
inline constexpr std::size_t kHardware = 0;        ///< 2 bytes: 1.
inline constexpr std::size_t kProtocol = 2;        ///< 2 bytes: ethernet::kTypeIpv4.
inline constexpr std::size_t kHardwareLength = 4;  ///< 1 byte: 6.
inline constexpr std::size_t kProtocolLength = 5;  ///< 1 byte: 4.
inline constexpr std::size_t kOperation = 6;       ///< 2 bytes.
inline constexpr std::size_t kSenderMac = 8;       ///< 6 bytes.
inline constexpr std::size_t kSenderAddress = 14;  ///< 4 bytes.
inline constexpr std::size_t kTargetMac = 18;      ///< 6 bytes.
inline constexpr std::size_t kTargetAddress = 24;  ///< 4 bytes.
inline constexpr std::size_t kBytes = 28;
inline constexpr std::uint64_t kFixedPart = 0x0001'0800'06'04;  ///< The first six bytes as one big-endian number.
inline constexpr std::uint16_t kRequest = 1, kReply = 2;
}  // namespace arp

/// RFC 791.
namespace ipv4 {
inline constexpr std::size_t kVersionIhl = 0;   ///< 1 byte: 4, then header length in 4-byte words, 5..15.
inline constexpr std::size_t kTos = 1;          ///< 1 byte: DSCP and ECN.
inline constexpr std::size_t kTotalLength = 2;  ///< 2 bytes: header and payload.
inline constexpr std::size_t kId = 4;           ///< 2 bytes.
inline constexpr std::size_t kFragment =
    6;                                  ///< 2 bytes: reserved, don't fragment, more fragments, offset in 8-byte units.
inline constexpr std::size_t kTtl = 8;  ///< 1 byte.
inline constexpr std::size_t kProtocol = 9;      ///< 1 byte.
inline constexpr std::size_t kChecksum = 10;     ///< 2 bytes, over the header.
inline constexpr std::size_t kSource = 12;       ///< 4 bytes.
inline constexpr std::size_t kDestination = 16;  ///< 4 bytes.
inline constexpr std::size_t kHeaderBytes = 20;  ///< Without options.
inline constexpr std::size_t kHeaderBytesMax = 60;
inline constexpr std::uint16_t kDontFragment = 0x4000;
inline constexpr std::uint16_t kAnyFragment = 0x3fff;  ///< "More fragments" or an offset.
inline constexpr std::uint8_t kVersion4Ihl5 = 0x45, kTtlSent = 64;
inline constexpr std::uint8_t kProtocolIcmp = 1, kProtocolTcp = 6, kProtocolUdp = 17;
}  // namespace ipv4

/// RFC 8200.
namespace ipv6 {
inline constexpr std::size_t kVersion = 0;        ///< 4 bits: 6; then traffic class 8 bits, flow label 20 bits.
inline constexpr std::size_t kPayloadLength = 4;  ///< 2 bytes: extension headers included, this header not.
inline constexpr std::size_t kNextHeader = 6;     ///< 1 byte: what follows, an extension header or a protocol.
inline constexpr std::size_t kHopLimit = 7;       ///< 1 byte.
inline constexpr std::size_t kSource = 8;         ///< 16 bytes.
inline constexpr std::size_t kDestination = 24;   ///< 16 bytes.
inline constexpr std::size_t kHeaderBytes = 40;
inline constexpr std::size_t kMtuMin = 1280;  ///< Every link carries this much (section 5).
inline constexpr std::uint8_t kHopLimitSent = 64;
inline constexpr std::uint8_t kHopByHop = 0, kProtocolTcp = 6, kProtocolUdp = 17, kRouting = 43, kFragment = 44,
                              kProtocolIcmp = 58, kDestinationOptions = 60;
inline constexpr std::size_t kFragmentField = 2;  ///< Of a fragment header, 2 bytes: offset, two reserved bits, more.
inline constexpr std::uint16_t kAnyFragment = 0xfff9;
inline constexpr std::size_t kExtensionUnit = 8;  ///< Extension headers are multiples of it.
inline constexpr std::uint8_t kOptionPad1 = 0;    ///< An option of one byte, without a length.
}  // namespace ipv6

/// RFC 792.
namespace icmp {
inline constexpr std::size_t kType = 0;      ///< 1 byte.
inline constexpr std::size_t kCode = 1;      ///< 1 byte.
inline constexpr std::size_t kChecksum = 2;  ///< 2 bytes, over header and data.
inline constexpr std::size_t kRest = 4;      ///< 4 bytes: identifier and sequence of an echo; zero in an unreachable.
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::size_t kQuotedBytes =
    8;  ///< Of the offending datagram's payload, behind its IP header, in an error message.
inline constexpr std::uint8_t kEchoReply = 0, kUnreachable = 3, kEchoRequest = 8, kTimeExceeded = 11,
                              kParameterProblem = 12;
inline constexpr std::uint8_t kPortUnreachable = 3, kFragmentationNeeded = 4;  ///< Codes of kUnreachable.
}  // namespace icmp

/// RFC 4443.
namespace icmp6 {
inline constexpr std::size_t kType = 0;      ///< 1 byte; under 128 it is an error.
inline constexpr std::size_t kCode = 1;      ///< 1 byte.
inline constexpr std::size_t kChecksum = 2;  ///< 2 bytes, over pseudo-header, header and data.
inline constexpr std::size_t kRest = 4;      ///< 4 bytes: identifier and sequence of an echo, the MTU of "too big".
inline constexpr std::size_t kHeaderBytes = 8;
inline constexpr std::uint8_t kUnreachable = 1, kPacketTooBig = 2, kTimeExceeded = 3, kParameterProblem = 4,
                              kEchoRequest = 128, kEchoReply = 129;
inline constexpr std::uint8_t kPortUnreachable = 4;  ///< Code of kUnreachable.
}  // namespace icmp6

/// RFC 4861: ICMPv6 messages 133 to 137.
namespace ndp {
inline constexpr std::uint8_t kRouterSolicitation = 133, kSolicitation = 135, kAdvertisement = 136, kRedirect = 137;
inline constexpr std::size_t kTarget = 8;  ///< 16 bytes: the address asked for or told of.
inline constexpr std::size_t kOptions = 24;
inline constexpr std::size_t kOptionUnit = 8;  ///< Options are multiples of it: type 1 byte, length in units 1 byte.
inline constexpr std::uint8_t kSourceMac = 1, kTargetMac = 2;  ///< Options of one unit: the MAC behind the two bytes.
inline constexpr std::size_t kBytes = kOptions + kOptionUnit;  ///< Of a message with one of these two.
inline constexpr std::uint32_t kSolicited = 0x4000'0000, kOverride = 0x2000'0000;  ///< Of icmp6::kRest, as a number.
inline constexpr std::uint8_t kHopLimit = 255;  ///< Always: no router has passed it on.
}  // namespace ndp

/// RFC 3810: ICMPv6 messages 130 and 143.
namespace mld {
inline constexpr std::uint8_t kQuery = 130, kReport = 143;
inline constexpr std::size_t kQueryGroup = 8;         ///< 16 bytes: the group asked about; zero: all.
inline constexpr std::size_t kQueryBytesMin = 24;     ///< Of a version 1 query (RFC 2710); version 2 has 28 and more.
inline constexpr std::size_t kReportHeaderBytes = 8;  ///< The last two are the number of records.
inline constexpr std::size_t kRecordGroup = 4;   ///< 16 bytes; before it: type, auxiliary words, number of sources.
inline constexpr std::size_t kRecordBytes = 20;  ///< Without sources and auxiliary data.
inline constexpr std::uint8_t kHopLimit = 1;
}  // namespace mld

/// RFC 768.
namespace udp {
inline constexpr std::size_t kSourcePort = 0;       ///< 2 bytes.
inline constexpr std::size_t kDestinationPort = 2;  ///< 2 bytes.
inline constexpr std::size_t kLength = 4;           ///< 2 bytes: header and payload, 8..65535.
inline constexpr std::size_t kChecksum =
    6;  ///< 2 bytes, over pseudo-header, header and payload; 0: the sender made none (IPv4 only).
inline constexpr std::size_t kHeaderBytes = 8;
}  // namespace udp

/// RFC 9293 section 3.1.
namespace tcp {
inline constexpr std::size_t kSourcePort = 0;       ///< 2 bytes.
inline constexpr std::size_t kDestinationPort = 2;  ///< 2 bytes.
inline constexpr std::size_t kSequence = 4;         ///< 4 bytes.
inline constexpr std::size_t kAcknowledgement = 8;  ///< 4 bytes.
inline constexpr std::size_t kOffset = 12;       ///< 1 byte: header length in 4-byte words, 5..15, in the upper half.
inline constexpr std::size_t kFlags = 13;        ///< 1 byte, bits below.
inline constexpr std::size_t kWindow = 14;       ///< 2 bytes.
inline constexpr std::size_t kChecksum = 16;     ///< 2 bytes, over pseudo-header, header and payload.
inline constexpr std::size_t kUrgent = 18;       ///< 2 bytes.
inline constexpr std::size_t kHeaderBytes = 20;  ///< Without options.
inline constexpr std::size_t kHeaderBytesMax = 60;
inline constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32, kEce = 64, kCwr = 128;
inline constexpr std::uint8_t kOptionEnd = 0, kOptionNop = 1, kOptionMss = 2, kOptionWindowScale = 3,
                              kOptionSackPermitted = 4, kOptionSack = 5, kOptionTimestamps = 8;
}  // namespace tcp

}  // namespace gannet::nicpipe::wire
