/// What the device tests' two programs share: options, start, and the store their zero-copy tails come from.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nicpipe/address.h"
#include "nicpipe/dpdk/eal.h"
#include "nicpipe/dpdk/port.h"
#include "nicpipe/ip_address.h"

namespace gannet::testing {

struct DeviceOptions {
  nicpipe::dpdk::PortOptions port;
  nicpipe::dpdk::EalOptions eal;
  nicpipe::Ipv4 address, peer;
  nicpipe::IpAddress address6, peer6;  ///< Zero: no IPv6. With peer6 the peer speaks nothing else.
  bool tails = false;                  ///< Answer from segments where the payload is large enough.
  bool open_only = false;              ///< Open the port, close it, end.
  std::uint32_t count = 1000;          ///< Datagrams the peer sends.
};

/// "tap", "af_packet" ... as the drivers are called in KindTraits. False: no such kind.
inline bool parse_kind(std::string_view text, nicpipe::dpdk::DeviceKind& out) {
  using enum nicpipe::dpdk::DeviceKind;
  for (const auto kind : {kTap, kAfPacket, kAfXdp, kVhost, kVirtioUser, kMemif, kMemifClient, kPci, kRing}) {
    if (text == to_text(kind)) {
      out = kind;
      return true;
    }
  }
  return false;
}

/// NAME=VALUE words. False with a sentence on stderr.
inline bool parse_options(int count, char** words, DeviceOptions& out) {
  out.port.buffers_held = 1024;
  out.port.rx_slots = out.port.tx_slots = 512;
  out.port.workers = 1;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const std::string value(equals == std::string_view::npos ? "" : word.substr(equals + 1));
    const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    bool good = true;
    if (name == "kind") {
      good = parse_kind(value, out.port.kind);
    } else if (name == "device") {
      out.port.device = value;
    } else if (name == "workers") {
      out.port.workers = static_cast<std::uint16_t>(number);
    } else if (name == "queues") {
      out.port.queues = static_cast<std::uint16_t>(number);
    } else if (name == "mtu") {
      out.port.mtu = static_cast<std::uint16_t>(number);
    } else if (name == "slots") {
      out.port.rx_slots = out.port.tx_slots = static_cast<std::uint16_t>(number);
    } else if (name == "address") {
      good = nicpipe::parse(value, out.address);
    } else if (name == "address6") {
      good = nicpipe::parse(value, out.address6);
    } else if (name == "peer") {
      good = nicpipe::parse(value, out.peer);
    } else if (name == "peer6") {
      good = nicpipe::parse(value, out.peer6);
    } else if (name == "count") {
      out.count = number;
    } else if (name == "tails") {
      out.tails = true;
    } else if (name == "open-only") {
      out.open_only = true;
    } else if (name == "no-huge") {
      out.eal.hugepages = false;
    } else if (name == "no-offload") {
      out.port.allow_offload = false;
    } else if (name == "verbose") {
      out.eal.verbose = true;
    } else {
      good = false;
    }
    if (!good) {
      std::fprintf(stderr, "bad option: %s\n", words[i]);
      return false;
    }
  }
  out.eal.memory_mib = nicpipe::dpdk::Port::memory_mib(out.port, out.eal.hugepages);
  return true;
}

/// EAL and port up, or a sentence on stderr.
inline bool open(const DeviceOptions& options, std::unique_ptr<nicpipe::dpdk::Eal>& eal,
                 std::unique_ptr<nicpipe::dpdk::Port>& port) {
  nicpipe::dpdk::Outcome outcome = nicpipe::dpdk::Eal::start(options.eal, eal);
  if (outcome.ok()) outcome = nicpipe::dpdk::Port::open(*eal, options.port, port);
  if (!outcome.ok()) std::fprintf(stderr, "%s\n", outcome.error.c_str());
  return outcome.ok();
}

/// A worker's "segment memory": slots lent to the device as tails. A slot that comes back is overwritten, so that a
/// device that still reads it sends rubbish, and the client notices.
class TailStore {
 public:
  static constexpr std::uint32_t kSlots = 512, kSlotBytes = 9216;

  nicpipe::ReleaseHook hook() noexcept {
    return {[](void* store, std::uint32_t pin) { static_cast<TailStore*>(store)->take_back(pin); }, this};
  }

  /// Moves the bytes behind the first `keep` of the frame's payload into a slot. False: no slot is free.
  bool lend(nicpipe::Packet& packet, std::uint16_t keep_bytes) noexcept {
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      const std::uint32_t slot = (next_ + i) % kSlots;
      if (lent_[slot]) continue;
      next_ = slot + 1;
      lent_[slot] = true;
      ++lent_count_;
      std::byte* at = bytes_.get() + std::size_t{slot} * kSlotBytes;
      const auto moved = static_cast<std::uint16_t>(packet.bytes - keep_bytes);
      std::memcpy(at, packet.data + keep_bytes, moved);
      std::memset(packet.data + keep_bytes, 0xee, moved);
      packet.bytes = keep_bytes;
      packet.tailroom = static_cast<std::uint16_t>(packet.tailroom + moved);
      packet.tail = at;
      packet.tail_bytes = moved;
      packet.pin = slot;
      return true;
    }
    return false;
  }

  [[nodiscard]] std::uint64_t lent() const noexcept { return lent_count_; }
  [[nodiscard]] std::uint64_t returned() const noexcept { return returned_; }
  [[nodiscard]] std::uint64_t returned_twice() const noexcept { return returned_twice_; }

 private:
  void take_back(std::uint32_t pin) noexcept {
    if (!lent_[pin]) ++returned_twice_;
    lent_[pin] = false;
    ++returned_;
    std::memset(bytes_.get() + std::size_t{pin} * kSlotBytes, 0xdd, kSlotBytes);
  }

  std::unique_ptr<std::byte[]> bytes_ = std::make_unique<std::byte[]>(std::size_t{kSlots} * kSlotBytes);
  std::array<bool, kSlots> lent_{};
  std::uint32_t next_ = 0;
  std::uint64_t lent_count_ = 0, returned_ = 0, returned_twice_ = 0;
};

}  // namespace gannet::testing
