/// The client's side of the memcache binary protocol: requests written, answers read. Layouts: protocol_binary.h's
/// fields, all big-endian. Written apart from the appliance's own parser on purpose: a mistake there must not be
/// repeated here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/base/bytes.h"

namespace gannet::load {

inline constexpr std::uint32_t kHeaderBytes = 24;
inline constexpr std::uint32_t kFrameBytes =
    8;  // The memcache UDP frame header: request id, sequence, datagrams, reserved.

enum class Opcode : std::uint8_t { kGet = 0x00, kSet = 0x01, kDelete = 0x04 };

enum Status : std::uint16_t { kStatusOk = 0, kStatusNotFound = 1 };

struct Frame {
  std::uint16_t request_id, sequence, datagrams;
};

inline void write_frame(std::byte* out, std::uint16_t request_id) noexcept {
  store_be<std::uint16_t>(out, request_id);
  store_be<std::uint16_t>(out + 2, 0);
  store_be<std::uint16_t>(out + 4, 1);
  store_be<std::uint16_t>(out + 6, 0);
}

[[nodiscard]] inline Frame read_frame(const std::byte* in) noexcept {
  return {load_be<std::uint16_t>(in), load_be<std::uint16_t>(in + 2), load_be<std::uint16_t>(in + 4)};
}

/// A request's header; the caller writes extras, key and value behind it.
inline void write_header(std::byte* out, Opcode opcode, std::uint32_t extras_bytes, std::uint32_t key_bytes,
                         std::uint32_t value_bytes, std::uint32_t opaque) noexcept {
  out[0] = std::byte{0x80};
  out[1] = static_cast<std::byte>(opcode);
  store_be(out + 2, static_cast<std::uint16_t>(key_bytes));
  out[4] = static_cast<std::byte>(extras_bytes);
  out[5] = std::byte{0};
  store_be<std::uint16_t>(out + 6, 0);
  store_be(out + 8, extras_bytes + key_bytes + value_bytes);
  store_be(out + 12, opaque);
  store_be<std::uint64_t>(out + 16, 0);
}

struct Answer {
  Opcode opcode;
  std::uint16_t status;
  std::uint32_t opaque;
  Bytes value;  // Into the bytes given.
};

/// How many bytes the answer that starts at `in` has, header included; 0: no answer starts here, or fewer than 24 bytes
/// are there.
[[nodiscard]] inline std::size_t answer_bytes(Bytes in) noexcept {
  if (in.size() < kHeaderBytes || in[0] != std::byte{0x81}) return 0;
  return kHeaderBytes + std::size_t{load_be<std::uint32_t>(in.data() + 8)};
}

/// Reads a whole answer; false when its lengths contradict each other or `in` is not exactly one answer.
[[nodiscard]] inline bool read_answer(Bytes in, Answer& out) noexcept {
  if (in.size() < kHeaderBytes || answer_bytes(in) != in.size()) return false;
  const std::size_t before_value =
      kHeaderBytes + std::to_integer<std::size_t>(in[4]) + load_be<std::uint16_t>(in.data() + 2);
  if (before_value > in.size()) return false;
  out.opcode = static_cast<Opcode>(in[1]);
  out.status = load_be<std::uint16_t>(in.data() + 6);
  out.opaque = load_be<std::uint32_t>(in.data() + 12);
  out.value = in.subspan(before_value);
  return true;
}

}  // namespace gannet::load
