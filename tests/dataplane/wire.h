/// Memcache binary requests and answers in words, and UDP messages put together again from their datagrams. Written
/// from the protocol's description, not from the product's code, so that the two can disagree.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gannet::test {

/// One request. What is not said is as a well-behaved client would send it; the lies are for malformed ones.
struct Request {
  std::uint8_t opcode = 0;
  std::string key{}, extras{}, value{};
  std::uint32_t opaque = 0;
  std::uint64_t cas = 0;
  std::uint8_t magic = 0x80, data_type = 0;
  std::uint16_t vbucket = 0;
  std::optional<std::uint16_t> key_bytes;  ///< Lie about the key's length.
  std::optional<std::uint8_t> extras_bytes;
  std::optional<std::uint32_t> body_bytes;

  [[nodiscard]] Request with_opaque(std::uint32_t value_) const;
  [[nodiscard]] Request with_cas(std::uint64_t value_) const;
  [[nodiscard]] Request with_opcode(std::uint8_t value_) const;  ///< For the quiet twin of a builder's request.
  [[nodiscard]] std::string bytes() const;
};

[[nodiscard]] std::string be16(std::uint16_t value);
[[nodiscard]] std::string be32(std::uint32_t value);
[[nodiscard]] std::string be64(std::uint64_t value);

[[nodiscard]] Request get(std::string_view key);
[[nodiscard]] Request getk(std::string_view key);
[[nodiscard]] Request getkq(std::string_view key);
[[nodiscard]] Request set(std::string_view key, std::string_view value, std::uint32_t flags = 0,
                          std::uint32_t expiry = 0);
[[nodiscard]] Request erase(std::string_view key);
[[nodiscard]] Request append(std::string_view key, std::string_view value);
[[nodiscard]] Request prepend(std::string_view key, std::string_view value);
[[nodiscard]] Request increment(std::string_view key, std::uint64_t delta, std::uint64_t initial = 0,
                                std::uint32_t expiry = 0);
[[nodiscard]] Request decrement(std::string_view key, std::uint64_t delta, std::uint64_t initial = 0,
                                std::uint32_t expiry = 0);
[[nodiscard]] Request touch(std::string_view key, std::uint32_t expiry);
[[nodiscard]] Request gat(std::string_view key, std::uint32_t expiry);
[[nodiscard]] Request flush(std::optional<std::uint32_t> delay = std::nullopt);
[[nodiscard]] Request noop();
[[nodiscard]] Request version();
[[nodiscard]] Request stat(std::string_view group = {});
[[nodiscard]] Request quit();

/// One answer as a client sees it.
struct Response {
  std::uint8_t opcode = 0;
  std::uint16_t status = 0;
  std::string key{}, extras{}, value{};
  std::uint32_t opaque = 0;
  std::uint64_t cas = 0;
  bool operator==(const Response&) const = default;
};
[[nodiscard]] std::string to_text(const Response& response);

/// All answers in `bytes`, which must hold whole ones with magic 0x81 and lengths that fit; else an exception says what
/// is wrong.
[[nodiscard]] std::vector<Response> responses_of(std::string_view bytes);

/// The UDP payload of a request: frame header and bodies.
[[nodiscard]] std::string datagram(std::uint16_t id, std::string_view requests, std::uint16_t sequence = 0,
                                   std::uint16_t total = 1);

/// Puts datagrams together. Each must carry its message's number in order, 0 to total - 1, before the next message of
/// the same id begins, and be no longer than memcached's; else an exception.
struct Message {
  std::uint16_t id = 0;
  std::uint16_t datagrams = 0;
  std::string bytes;
};
[[nodiscard]] std::vector<Message> messages_of(const std::vector<std::string>& datagrams);

}  // namespace gannet::test
