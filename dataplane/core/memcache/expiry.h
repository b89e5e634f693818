/// From the expiry of the wire to the absolute second of the store. Source: memcached's realtime(), measured on 1.6.18.
#pragma once

#include <cstdint>

#include "storage/base/clock.h"

namespace gannet::dataplane::memcache {

/// Up to here an expiry counts from now; above it is Unix time.
inline constexpr std::uint32_t kRelativeExpiryMax = 60 * 60 * 24 * 30;
/// INCREMENT and DECREMENT with this expiry do not create an absent counter.
inline constexpr std::uint32_t kExpiryDoNotCreate = 0xffffffff;
/// A second that is past for every clock we accept, and not the store's "never".
inline constexpr UnixSeconds kLongGone = 1;

/// First second in which the item is gone; 0 for never. A date at or before `started` or now is past: the item is
/// stored and gone at once. There is no negative expiry in binary: 0x80000000 and above are dates up to 2106.
[[nodiscard]] constexpr UnixSeconds expiry_second(std::uint32_t wire, UnixSeconds now) noexcept {
  if (wire == 0) return 0;
  if (wire > kRelativeExpiryMax) return wire <= now ? kLongGone : wire;
  return now > UINT32_MAX - wire ? UINT32_MAX : now + wire;
}

/// FLUSH's delay under the same rule: 0 means now.
[[nodiscard]] constexpr UnixSeconds flush_second(std::uint32_t wire, UnixSeconds now) noexcept {
  const UnixSeconds at = expiry_second(wire, now);
  return at <= now ? 0 : at;
}

}  // namespace gannet::dataplane::memcache
