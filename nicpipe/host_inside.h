/// What host.cc and host6.cc share. Inside nicpipe only.
#pragma once

#include <cstdint>

#include "nicpipe/frame_write.h"
#include "nicpipe/headers.h"
#include "nicpipe/host.h"

namespace gannet::nicpipe {

inline constexpr std::uint16_t kPrivilegedPorts = 1024;

/// A constant as load_raw gives it.
[[nodiscard]] constexpr std::uint16_t raw(std::uint16_t value) noexcept {
  return byte_swap(value);
}

[[nodiscard]] inline Verdict drop(Drop reason, Drop& why) noexcept {
  why = reason;
  return Verdict::kDrop;
}

/// The way back to the sender of a received frame.
[[nodiscard]] inline Link link_back(const Packet& packet, Mac own, Mac peer) noexcept {
  const bool tagged = packet.l2_bytes == wire::vlan::kHeaderBytes;
  return {peer, own, tagged ? load_be<std::uint16_t>(packet.data + wire::vlan::kTci) : std::uint16_t{0}, tagged};
}

}  // namespace gannet::nicpipe
