/// The 8 bytes that memcached puts in front of every UDP payload, and how an answer of any size becomes numbered
/// datagrams.
///
///   0           2         4       6         8
///   request id  sequence  total   reserved  payload          big-endian; the id is the client's and is echoed
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/core/limits.h"
#include "storage/base/bytes.h"

namespace gannet::dataplane {

inline constexpr std::size_t kUdpFrameBytes = 8;
/// The total is 16 bits wide; a longer answer cannot be told over UDP.
inline constexpr std::uint32_t kDatagramsMax = 65535;

enum class FrameStatus : std::uint8_t {
  kOk,
  kTooShort,       ///< No room for the frame header and a request header.
  kMultiDatagram,  ///< Part of a request that was split: total is not 1, or sequence is not 0.
};

/// Judges the frame header of a request's payload.
[[nodiscard]] inline FrameStatus judge_udp_frame(Bytes payload, std::size_t request_header_bytes) noexcept {
  if (payload.size() < kUdpFrameBytes + request_header_bytes) return FrameStatus::kTooShort;
  if (load_raw<std::uint32_t>(payload.data() + 2) != byte_swap(std::uint32_t{1})) return FrameStatus::kMultiDatagram;
  return FrameStatus::kOk;
}

/// `id` as it lay in the request: never swapped.
inline void write_udp_frame(std::byte* at, std::uint16_t id, std::uint16_t sequence, std::uint16_t total) noexcept {
  store_raw(at, id);
  store_be(at + 2, sequence);
  store_be(at + 4, total);
  store_raw(at + 6, std::uint16_t{0});
}

/// Message bytes that one datagram carries on a port whose UDP payloads may have `udp_payload_max` bytes.
[[nodiscard]] constexpr std::uint32_t chunk_bytes(std::uint16_t udp_payload_max) noexcept {
  return static_cast<std::uint32_t>(std::min<std::size_t>(kDatagramBytesMax, udp_payload_max) - kUdpFrameBytes);
}

[[nodiscard]] constexpr std::uint64_t datagrams_of(std::uint64_t message_bytes, std::uint32_t chunk) noexcept {
  return (message_bytes + chunk - 1) / chunk;
}

}  // namespace gannet::dataplane
