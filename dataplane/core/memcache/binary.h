/// One memcache binary request read where it lies, and the header of one answer written where it goes. Knows no
/// transport: the datagrams' stages and the framer of the streams both call these.
///
///   0      1       2       4        5      6        8       12      16    24
///   magic  opcode  key     extras   data   vbucket  body    opaque  CAS   extras | key | value
///   0x80   1       bytes 2 bytes 1  type 1 2        bytes 4 4       8     all big-endian; the value is what is left of
///   the body
#pragma once

#include <cstdint>

#include "dataplane/core/memcache/opcode.h"
#include "dataplane/core/memcache/status.h"
#include "storage/base/bytes.h"

namespace gannet::dataplane::memcache {

/// In the order of the checks. "Answered" ones fill opcode and opaque of the view and are followed by the end of the
/// connection (over UDP: of the datagram).
enum class ParseStatus : std::uint8_t {
  kOk,
  kNeedMore,      ///< Header, extras, key or value are not all there. Over UDP: dropped.
  kBadMagic,      ///< No binary request starts here. Never answered.
  kBadLength,     ///< Key and extras are longer than the body. Answered 0x81.
  kBodyTooLarge,  ///< The body is beyond kBodyBytesMax. Answered 0x04.
  kBadKey,        ///< The key is longer than 250 bytes. Answered 0x04.
  kBadArguments,  ///< The opcode's rule is broken: extras, key or value missing or too many. Answered 0x04.
};

/// No request may announce more, whatever the item limit is (memcached 1.6.45 refuses the same way).
inline constexpr std::uint32_t kBodyBytesMax = 1u << 30;

/// A request in place. The pointers lead into the bytes given to parse() and live as long as those.
struct RequestView {
  const std::byte* extras = nullptr;
  const std::byte* key = nullptr;
  const std::byte* value = nullptr;
  std::uint32_t value_bytes = 0;
  std::uint32_t wire_bytes = 0;  ///< Header and body: where the next request starts.
  std::uint32_t opaque = 0;      ///< The four bytes as they lie; echoed, never swapped.
  std::uint8_t opcode = 0;
  std::uint8_t key_bytes = 0;  ///< 0..250
  std::uint8_t extras_bytes = 0;
  std::uint64_t cas = 0;  ///< 0: no condition.

  /// Header, extras and key: what must lie together for the request to be understood.
  [[nodiscard]] std::uint32_t head_bytes() const noexcept { return wire_bytes - value_bytes; }
  [[nodiscard]] const OpcodeRule& rule() const noexcept { return kOpcodeRules[opcode]; }
  [[nodiscard]] Bytes key_span() const noexcept { return {key, key_bytes}; }
  [[nodiscard]] Bytes value_span() const noexcept { return {value, value_bytes}; }
  /// One past the last byte: where the next request starts.
  [[nodiscard]] const std::byte* end() const noexcept { return value + value_bytes; }
};

/// Judges the kHeaderBytes at `at`, which begin with kMagicRequest, before anything behind them is there. kOk fills all
/// of `out` but the pointers; the answered refusals fill opcode and opaque. Never kNeedMore nor kBadMagic.
[[nodiscard]] ParseStatus judge_header(const std::byte* at, RequestView& out) noexcept;

/// Extras and key of the request at `at`, as judge_header() left it in `out`; `value` is where the value would follow.
inline void point_into(const std::byte* at, RequestView& out) noexcept {
  out.extras = at + kHeaderBytes;
  out.key = out.extras + out.extras_bytes;
  out.value = out.key + out.key_bytes;
}

/// Reads the request that starts at bytes[0]. kOk fills all of `out`; the answered refusals fill opcode and opaque;
/// kNeedMore and kBadMagic leave it untouched. An unknown opcode is kOk: its whole body is skipped and it is answered
/// 0x81. Never reads beyond `bytes`.
[[nodiscard]] ParseStatus parse(Bytes bytes, RequestView& out) noexcept;

/// What an answered refusal of parse() says.
[[nodiscard]] constexpr Status status_of(ParseStatus refusal) noexcept {
  return refusal == ParseStatus::kBadLength ? Status::kUnknownCommand : Status::kInvalid;
}

/// The 24 bytes of an answer.
struct ResponseHeader {
  std::uint8_t opcode = 0;  ///< The request's, quiet bit included.
  std::uint8_t extras_bytes = 0;
  std::uint16_t key_bytes = 0;
  Status status = Status::kOk;
  std::uint32_t body_bytes = 0;  ///< Extras, key and value.
  std::uint32_t opaque = 0;      ///< As RequestView::opaque.
  std::uint64_t cas = 0;
};

/// Writes kHeaderBytes at `at`.
inline void write_header(std::byte* at, const ResponseHeader& header) noexcept {
  const std::uint64_t first = std::uint64_t{kMagicResponse} | std::uint64_t{header.opcode} << 8 |
                              std::uint64_t{byte_swap(header.key_bytes)} << 16 |
                              std::uint64_t{header.extras_bytes} << 32 |
                              std::uint64_t{byte_swap(static_cast<std::uint16_t>(header.status))} << 48;
  store_raw(at, first);
  store_be(at + 8, header.body_bytes);
  store_raw(at + 12, header.opaque);
  store_be(at + 16, header.cas);
}

}  // namespace gannet::dataplane::memcache
