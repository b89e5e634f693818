/// What a request is answered, described but not yet written: the executor fills it, the reply writer lays it out.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/core/memcache/binary.h"
#include "storage/base/bytes.h"
#include "storage/store.h"

namespace gannet::dataplane {

/// The item that is told of, if one is, lies in the base, where the store's find() puts it: of a constant text or a
/// number it is `value` alone, in a segment until the store changes, unless pinned.
struct Answer : storage::ItemView {
  memcache::Status status = memcache::Status::kOk;
  bool speaks = true;          ///< false: a quiet request whose outcome is told by silence.
  bool has_flags = false;      ///< 4 bytes of extras: `flags`.
  bool in_segment = false;     ///< `value` lies in segment `segment`; else it is constant text or `number`.
  std::uint8_t opcode = 0;     ///< Of the request.
  std::uint8_t key_bytes = 0;  ///< Of an echoed key.
  std::uint32_t opaque = 0;
  const std::byte* key = nullptr;  ///< The echoed key: in the request, which the answer may be about to overwrite.
  std::array<std::byte, 8> number{};

  [[nodiscard]] std::uint32_t extras_bytes() const noexcept { return has_flags ? 4 : 0; }
  /// Header, extras and key: everything but the value.
  [[nodiscard]] std::uint32_t head_bytes() const noexcept {
    return static_cast<std::uint32_t>(memcache::kHeaderBytes) + extras_bytes() + key_bytes;
  }
  [[nodiscard]] std::uint64_t message_bytes() const noexcept { return head_bytes() + value.size(); }

  /// Turns it into a refusal with memcached's text.
  void refuse(memcache::Status why) noexcept {
    status = why;
    speaks = true;
    has_flags = false;
    in_segment = false;
    key_bytes = 0;
    cas = 0;
    value = as_bytes(memcache::text_of(why));
  }
};

/// Longest head of an answer: header, flags, key.
inline constexpr std::size_t kAnswerHeadBytesMax = memcache::kHeaderBytes + 4 + 255;

/// Writes head_bytes() at `at`. The key may lie in the bytes that are overwritten.
inline void write_head(std::byte* at, const Answer& answer) noexcept {
  std::byte* key = at + memcache::kHeaderBytes + answer.extras_bytes();
  if (answer.key_bytes != 0)
    std::memmove(key, answer.key, answer.key_bytes);  // First: what it lies in is overwritten next.
  if (answer.has_flags) store_be(at + memcache::kHeaderBytes, answer.flags);
  memcache::write_header(
      at, {.opcode = answer.opcode,
           .extras_bytes = static_cast<std::uint8_t>(answer.extras_bytes()),
           .key_bytes = answer.key_bytes,
           .status = answer.status,
           .body_bytes = answer.extras_bytes() + answer.key_bytes + static_cast<std::uint32_t>(answer.value.size()),
           .opaque = answer.opaque,
           .cas = answer.cas});
}

}  // namespace gannet::dataplane
