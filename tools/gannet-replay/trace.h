/// Request traces: 20 bytes a request, little endian, no header, ordered by time (what libCacheSim calls `twr`).
///
///   bytes  0-3    4-11        12-15                                16-19
///          second object id   key bytes : 10 | value bytes : 22    operation : 8 | lifetime in seconds : 24
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "storage/base/bytes.h"

namespace gannet::replay {

enum class Operation : std::uint8_t { kGet = 1, kSet = 3, kDelete = 9 };

struct Request {
  std::uint32_t second = 0, key_bytes = 0, value_bytes = 0, lifetime_s = 0;
  Operation operation = Operation::kGet;
  std::uint64_t id = 0;
};

/// A trace file, mapped. Read only.
class Trace {
 public:
  static constexpr std::size_t kRecordBytes = 20;

  Trace() = default;
  /// False: `why` is one sentence. Every record's fields are in their ranges afterwards.
  [[nodiscard]] bool open(const std::string& path, std::string& why);
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
  ~Trace();

  [[nodiscard]] std::size_t size() const noexcept { return bytes_ / kRecordBytes; }
  [[nodiscard]] Request operator[](std::size_t at) const noexcept {
    const std::byte* const record = data_ + at * kRecordBytes;
    const auto lengths = load_raw<std::uint32_t>(record + 12), last = load_raw<std::uint32_t>(record + 16);
    return {
        load_raw<std::uint32_t>(record),    lengths >> 22, lengths & 0x3fffff, last & 0xffffff, Operation(last >> 24),
        load_raw<std::uint64_t>(record + 4)};
  }
  /// The file's name without folder and ending: what the table of references knows it by.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::string name_;
};

/// The key on the wire: the id in lower-case hexadecimal, `0` on the left up to the key's length.
void write_key(std::uint64_t id, std::byte* out, std::uint32_t bytes) noexcept;
/// Sixteen bytes that only this object has; a value is them over and over.
void write_value(std::uint64_t id, std::byte* out, std::uint32_t bytes) noexcept;
/// Whether a value's length is right and its first and last bytes are the object's.
[[nodiscard]] bool is_value(std::uint64_t id, Bytes value, std::uint32_t bytes) noexcept;

}  // namespace gannet::replay
