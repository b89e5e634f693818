// What rewrites an item that is there: touch, arithmetic, concat. Items are immutable, so each writes a successor.
#include <charconv>
#include <cstring>
#include <limits>

#include "storage/shard.h"

namespace gannet::storage {
namespace {

/// Digits in front of a decimal number that are still read; leading zeros and trailing blanks included. Bounds the work
/// of one call.
constexpr std::size_t kNumericBytesMax = 1024;
constexpr std::size_t kDigitsMax = 20;  // 2^64 - 1.

/// Decimal digits, then nothing but blanks (what a decrement leaves behind). No sign, no blank in front.
[[nodiscard]] bool parse_number(Bytes value, std::uint64_t& out) noexcept {
  if (value.size() > kNumericBytesMax) return false;
  const std::string_view text = as_text(value);
  std::size_t digits = 0;
  std::uint64_t number = 0;
  for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
    const auto digit = static_cast<std::uint64_t>(text[digits] - '0');
    if (number > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return false;
    number = number * 10 + digit;
  }
  if (digits == 0 || text.find_first_not_of(' ', digits) != std::string_view::npos) return false;
  out = number;
  return true;
}

[[nodiscard]] std::string_view print_number(std::uint64_t number, char (&buffer)[kDigitsMax]) noexcept {
  const auto end = std::to_chars(buffer, buffer + kDigitsMax, number).ptr;
  return {buffer, static_cast<std::size_t>(end - buffer)};
}

}  // namespace

Location Shard::make_successor(std::uint64_t hash, NewItem item, Location& from) noexcept {
  const Location at = make_item(item).at;
  from = locate_visible(hash, item.key);
  if (at == 0 || from != 0) return at;
  discard(at);
  return 0;
}

StoreStatus Shard::touch(Probe probe, Bytes key, UnixSeconds expires_at, UnixSeconds now, ItemView& out) noexcept {
  check_owner();
  advance(now);
  Location from = locate_visible(probe.hash, key);
  const bool ends = expires_at != kNever && expires_at <= now_;
  if (from == 0) {
    if (ends && restoring()) remove(probe.hash, key, 0);
    return StoreStatus::kNotFound;
  }
  count_use(item_at(from));
  out = describe(from);
  if (out.expires_at == expires_at) return StoreStatus::kStored;
  if (ends) {
    SegmentHeader& segment = pool_.header(out.segment);
    ++segment.pins;  // Its bytes stay readable until the next change, whatever has to be moved for that.
    remove(probe.hash, key, from);
    --segment.pins;
    out.expires_at = expires_at;
    return StoreStatus::kStored;
  }
  const std::uint64_t cas = out.cas;
  const Location at = make_successor(probe.hash, {key, item_at(from).value_bytes(), out.flags, expires_at, cas}, from);
  if (at == 0) return from == 0 ? StoreStatus::kNotFound : StoreStatus::kNoMemory;
  const Bytes value = item_at(from).value();
  if (!value.empty()) std::memcpy(item_at(at).value().data(), value.data(), value.size());
  MUST(publish(probe.hash, at, cas, index_.entry_of(probe.hash, from)));  // A replacement needs no room in the index.
  out = describe(at);
  return StoreStatus::kStored;
}

StoreStatus Shard::arithmetic(Probe probe, const ArithmeticRequest& request, UnixSeconds now, std::uint64_t& number_out,
                              std::uint64_t& cas_out) noexcept {
  check_owner();
  advance(now);
  char buffer[kDigitsMax];
  Location from = locate_visible(probe.hash, request.key);
  if (from == 0) {
    if (!request.create) return StoreStatus::kNotFound;
    const Bytes text = as_bytes(print_number(request.initial, buffer));
    SetRequest set_request;
    set_request.key = request.key;
    set_request.value_bytes = static_cast<std::uint32_t>(text.size());
    set_request.expires_at = request.expires_at;
    const StoreStatus status = set(probe, set_request, text, now, cas_out);
    if (status == StoreStatus::kStored) number_out = request.initial;
    return status;
  }
  // memcached's order: an empty value is judged before the CAS, a wrong number after it.
  if (item_at(from).value_bytes() == 0) return StoreStatus::kNotNumeric;
  if (request.cas != 0 && cas_at(from) != request.cas) return StoreStatus::kExists;
  std::uint64_t number = 0;
  if (!parse_number(item_at(from).value(), number)) return StoreStatus::kNotNumeric;
  number = !request.decrement ? number + request.delta : number > request.delta ? number - request.delta : 0;
  const std::string_view text = print_number(number, buffer);
  const std::uint32_t before = item_at(from).value_bytes();
  const auto value_bytes = before > text.size() ? before : static_cast<std::uint32_t>(text.size());
  if (item_bytes_most(request.key.size(), value_bytes, item_at(from).flags()) > item_bytes_max_)
    return StoreStatus::kTooLarge;
  count_use(item_at(from));
  const NewItem successor{request.key, value_bytes, item_at(from).flags(), expiry_at(from), kNextCas};
  const Location at = make_successor(probe.hash, successor, from);
  if (at == 0 && from != 0) return StoreStatus::kNoMemory;
  if (at == 0) {  // Making room evicted it: as if it had not been there, and then it is not there any more.
    return request.create ? arithmetic(probe, request, now, number_out, cas_out) : StoreStatus::kNotFound;
  }
  const MutableBytes value = item_at(at).value();
  std::memcpy(value.data(), text.data(), text.size());
  std::memset(value.data() + text.size(), ' ', value.size() - text.size());
  cas_out = header().next_cas++;
  number_out = number;
  MUST(publish(probe.hash, at, cas_out, index_.entry_of(probe.hash, from)));
  return StoreStatus::kStored;
}

StoreStatus Shard::concat(Probe probe, Bytes key, Bytes tail, bool front, std::uint64_t cas, UnixSeconds now,
                          std::uint64_t& cas_out) noexcept {
  check_owner();
  advance(now);
  Location from = locate_visible(probe.hash, key);
  if (from == 0) return StoreStatus::kNotFound;
  if (cas != 0 && cas_at(from) != cas) return StoreStatus::kExists;
  const std::uint32_t before = item_at(from).value_bytes();
  if (item_bytes_most(key.size(), before + std::uint64_t{tail.size()}, item_at(from).flags()) > item_bytes_max_) {
    return StoreStatus::kNotStored;
  }
  const auto value_bytes = static_cast<std::uint32_t>(before + tail.size());
  const NewItem successor{key, value_bytes, item_at(from).flags(), expiry_at(from), kNextCas};
  const Location at = make_successor(probe.hash, successor, from);
  if (at == 0) return from == 0 ? StoreStatus::kNotFound : StoreStatus::kNoMemory;
  std::byte* const value = item_at(at).value().data();
  if (!tail.empty()) std::memcpy(front ? value : value + before, tail.data(), tail.size());
  if (before != 0) std::memcpy(front ? value + tail.size() : value, item_at(from).value().data(), before);
  cas_out = header().next_cas++;
  MUST(publish(probe.hash, at, cas_out, index_.entry_of(probe.hash, from)));
  return StoreStatus::kStored;
}

}  // namespace gannet::storage
