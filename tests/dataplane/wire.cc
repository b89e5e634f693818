#include "tests/dataplane/wire.h"

#include <map>
#include <stdexcept>

namespace gannet::test {

namespace {

[[nodiscard]] std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}

[[nodiscard]] std::uint64_t number_at(std::string_view bytes, std::size_t at, int count) {
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

[[nodiscard]] Request keyed(std::uint8_t opcode, std::string_view key) {
  Request request;
  request.opcode = opcode;
  request.key = key;
  return request;
}

}  // namespace

std::string be16(std::uint16_t value) {
  return big_endian(value, 2);
}
std::string be32(std::uint32_t value) {
  return big_endian(value, 4);
}
std::string be64(std::uint64_t value) {
  return big_endian(value, 8);
}

Request Request::with_opaque(std::uint32_t value_) const {
  Request copy = *this;
  copy.opaque = value_;
  return copy;
}

Request Request::with_cas(std::uint64_t value_) const {
  Request copy = *this;
  copy.cas = value_;
  return copy;
}

Request Request::with_opcode(std::uint8_t value_) const {
  Request copy = *this;
  copy.opcode = value_;
  return copy;
}

std::string Request::bytes() const {
  std::string out;
  out += static_cast<char>(magic);
  out += static_cast<char>(opcode);
  out += be16(key_bytes.value_or(static_cast<std::uint16_t>(key.size())));
  out += static_cast<char>(extras_bytes.value_or(static_cast<std::uint8_t>(extras.size())));
  out += static_cast<char>(data_type);
  out += be16(vbucket);
  out += be32(body_bytes.value_or(static_cast<std::uint32_t>(extras.size() + key.size() + value.size())));
  out += be32(opaque);
  out += be64(cas);
  return out + extras + key + value;
}

Request get(std::string_view key) {
  return keyed(0x00, key);
}
Request getk(std::string_view key) {
  return keyed(0x0c, key);
}
Request getkq(std::string_view key) {
  return keyed(0x0d, key);
}
Request erase(std::string_view key) {
  return keyed(0x04, key);
}
Request noop() {
  return keyed(0x0a, {});
}
Request version() {
  return keyed(0x0b, {});
}
Request stat(std::string_view group) {
  return keyed(0x10, group);
}
Request quit() {
  return keyed(0x07, {});
}

Request set(std::string_view key, std::string_view value, std::uint32_t flags, std::uint32_t expiry) {
  Request request = keyed(0x01, key);
  request.extras = be32(flags) + be32(expiry);
  request.value = value;
  return request;
}

Request append(std::string_view key, std::string_view value) {
  Request request = keyed(0x0e, key);
  request.value = value;
  return request;
}

Request prepend(std::string_view key, std::string_view value) {
  return append(key, value).with_opcode(0x0f);
}

Request increment(std::string_view key, std::uint64_t delta, std::uint64_t initial, std::uint32_t expiry) {
  Request request = keyed(0x05, key);
  request.extras = be64(delta) + be64(initial) + be32(expiry);
  return request;
}

Request decrement(std::string_view key, std::uint64_t delta, std::uint64_t initial, std::uint32_t expiry) {
  return increment(key, delta, initial, expiry).with_opcode(0x06);
}

Request touch(std::string_view key, std::uint32_t expiry) {
  Request request = keyed(0x1c, key);
  request.extras = be32(expiry);
  return request;
}

Request gat(std::string_view key, std::uint32_t expiry) {
  return touch(key, expiry).with_opcode(0x1d);
}

Request flush(std::optional<std::uint32_t> delay) {
  Request request = keyed(0x08, {});
  if (delay) request.extras = be32(*delay);
  return request;
}

std::string to_text(const Response& response) {
  const auto shown = [](const std::string& text) {
    std::string out = "\"";
    for (const char c : text.substr(0, 80)) {
      if (c >= ' ' && c < 0x7f) {
        out += c;
      } else {
        constexpr const char* kHex = "0123456789abcdef";
        out += {'\\', 'x', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
      }
    }
    return out + "\"(" + std::to_string(text.size()) + ")";
  };
  return "op " + std::to_string(response.opcode) + " status " + std::to_string(response.status) + " key " +
         shown(response.key) + " extras " + shown(response.extras) + " value " + shown(response.value) + " opaque " +
         std::to_string(response.opaque) + " cas " + std::to_string(response.cas);
}

std::vector<Response> responses_of(std::string_view bytes) {
  std::vector<Response> all;
  while (!bytes.empty()) {
    if (bytes.size() < 24) throw std::runtime_error("an answer is cut inside its header");
    if (number_at(bytes, 0, 1) != 0x81) throw std::runtime_error("an answer does not begin with 0x81");
    if (number_at(bytes, 5, 1) != 0) throw std::runtime_error("an answer's data type is not 0");
    const std::size_t key = number_at(bytes, 2, 2), extras = number_at(bytes, 4, 1), body = number_at(bytes, 8, 4);
    if (key + extras > body || bytes.size() < 24 + body) throw std::runtime_error("an answer's lengths do not fit");
    Response response;
    response.opcode = static_cast<std::uint8_t>(number_at(bytes, 1, 1));
    response.status = static_cast<std::uint16_t>(number_at(bytes, 6, 2));
    response.opaque = static_cast<std::uint32_t>(number_at(bytes, 12, 4));
    response.cas = number_at(bytes, 16, 8);
    response.extras = bytes.substr(24, extras);
    response.key = bytes.substr(24 + extras, key);
    response.value = bytes.substr(24 + extras + key, body - extras - key);
    all.push_back(response);
    bytes.remove_prefix(24 + body);
  }
  return all;
}

std::string datagram(std::uint16_t id, std::string_view requests, std::uint16_t sequence, std::uint16_t total) {
  return be16(id) + be16(sequence) + be16(total) + be16(0) + std::string(requests);
}

std::vector<Message> messages_of(const std::vector<std::string>& datagrams) {
  std::vector<Message> messages;
  struct Open {
    std::size_t message, next, total;
  };
  std::map<std::uint64_t, Open> open;
  for (const std::string& bytes : datagrams) {
    if (bytes.size() < 8 + 1 || bytes.size() > 1400)
      throw std::runtime_error("a datagram of " + std::to_string(bytes.size()) + " bytes");
    const auto id = static_cast<std::uint16_t>(number_at(bytes, 0, 2));
    const std::size_t sequence = number_at(bytes, 2, 2), total = number_at(bytes, 4, 2);
    if (number_at(bytes, 6, 2) != 0) throw std::runtime_error("reserved bytes of a frame header are not 0");
    auto at = open.find(id);
    if (at == open.end()) {
      at = open.insert({id, {messages.size(), 0, total}}).first;
      messages.push_back({id, static_cast<std::uint16_t>(total), {}});
    }
    Open& message = at->second;
    if (sequence != message.next || total != message.total || sequence >= total)
      throw std::runtime_error("datagram " + std::to_string(sequence) + " of " + std::to_string(total) + " where " +
                               std::to_string(message.next) + " of " + std::to_string(message.total) + " was due");
    messages[message.message].bytes += bytes.substr(8);
    if (++message.next == total) open.erase(at);
  }
  if (!open.empty()) throw std::runtime_error("a message is not whole");
  return messages;
}

}  // namespace gannet::test
