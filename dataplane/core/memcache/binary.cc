#include "dataplane/core/memcache/binary.h"

#include <limits>

#include "storage/store.h"

namespace gannet::dataplane::memcache {

namespace {

/// True if what the header announces is what the opcode takes.
[[nodiscard]] bool obeys(const OpcodeRule& rule, std::uint32_t extras_bytes, std::uint32_t key_bytes,
                         std::uint32_t value_bytes) noexcept {
  if (rule.key == KeyRule::kNeeded && extras_bytes == rule.extras && key_bytes != 0) [[likely]]
    return rule.value || value_bytes == 0;
  if (rule.action == Action::kUnknown || rule.is_sasl()) return true;
  const bool extras_good = extras_bytes == rule.extras || (rule.extras_optional && extras_bytes == 0);
  const bool key_good = rule.key == KeyRule::kOptional || (rule.key == KeyRule::kNeeded) == (key_bytes != 0);
  return extras_good && key_good && (rule.value || value_bytes == 0);
}

/// judge_header(), and kNeedMore, which leaves `out` untouched, where not all of a good request's `there` bytes are
/// there. Each field is written once, where it stays: a copy of fields just written would wait for them.
[[nodiscard, gnu::always_inline]] inline ParseStatus judge(const std::byte* at, std::size_t there,
                                                           RequestView& out) noexcept {
  const std::uint32_t key_bytes = load_be<std::uint16_t>(at + 2);
  const auto extras_bytes = static_cast<std::uint32_t>(at[4]);
  const auto body_bytes = load_be<std::uint32_t>(at + 8);
  const auto opcode = static_cast<std::uint8_t>(at[1]);
  const auto opaque = load_raw<std::uint32_t>(at + 12);
  const auto refuse = [&](ParseStatus status) {
    out = RequestView{};
    out.opcode = opcode;
    out.opaque = opaque;
    return status;
  };
  if (key_bytes + extras_bytes > body_bytes) [[unlikely]]
    return refuse(ParseStatus::kBadLength);
  if (body_bytes > kBodyBytesMax) [[unlikely]]
    return refuse(ParseStatus::kBodyTooLarge);
  if (key_bytes > storage::kKeyBytesMax) [[unlikely]]
    return refuse(ParseStatus::kBadKey);
  const std::uint32_t value_bytes = body_bytes - key_bytes - extras_bytes;
  if (!obeys(kOpcodeRules[opcode], extras_bytes, key_bytes, value_bytes)) [[unlikely]]
    return refuse(ParseStatus::kBadArguments);
  if (there < kHeaderBytes + body_bytes) return ParseStatus::kNeedMore;
  out.value_bytes = value_bytes;
  out.wire_bytes = static_cast<std::uint32_t>(kHeaderBytes) + body_bytes;
  out.opaque = opaque;
  out.opcode = opcode;
  out.key_bytes = static_cast<std::uint8_t>(key_bytes);
  out.extras_bytes = static_cast<std::uint8_t>(extras_bytes);
  out.cas = load_be<std::uint64_t>(at + 16);
  return ParseStatus::kOk;
}

}  // namespace

ParseStatus judge_header(const std::byte* at, RequestView& out) noexcept {
  return judge(at, std::numeric_limits<std::size_t>::max(), out);
}

ParseStatus parse(Bytes bytes, RequestView& out) noexcept {
  if (bytes.empty()) return ParseStatus::kNeedMore;
  const std::byte* at = bytes.data();
  if (at[0] != std::byte{kMagicRequest}) return ParseStatus::kBadMagic;
  if (bytes.size() < kHeaderBytes) return ParseStatus::kNeedMore;
  const std::size_t there = bytes.size() - kHeaderBytes;
  if (there < load_be<std::uint16_t>(at + 2) + static_cast<std::size_t>(at[4])) return ParseStatus::kNeedMore;
  const ParseStatus status = judge(at, bytes.size(), out);
  if (status == ParseStatus::kOk) point_into(at, out);
  return status;
}

}  // namespace gannet::dataplane::memcache
