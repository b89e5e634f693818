/// The least of a memcache server: GET and SET on a map, requests in, answers out. For the load generator's tests.
#pragma once

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "storage/base/bytes.h"
#include "tools/load/wire.h"

namespace gannet::load {

/// The first whole request of `bytes`, which REQUIREs that there is one.
inline Bytes first_request(Bytes bytes) {
  REQUIRE(bytes.size() >= kHeaderBytes);
  REQUIRE(bytes[0] == std::byte{0x80});
  const std::size_t body = load_be<std::uint32_t>(bytes.data() + 8);
  REQUIRE(bytes.size() >= kHeaderBytes + body);
  return bytes.first(kHeaderBytes + body);
}

struct MapItems {
  std::map<std::string, std::string> values;

  std::vector<std::byte> answer(Bytes request) {
    const std::size_t key_bytes = load_be<std::uint16_t>(request.data() + 2);
    const auto extras = std::to_integer<std::size_t>(request[4]);
    const std::string key{as_text(request.subspan(kHeaderBytes + extras, key_bytes))};
    const std::string value{as_text(request.subspan(kHeaderBytes + extras + key_bytes))};
    std::vector<std::byte> out(kHeaderBytes);
    std::uint16_t status = 0;
    std::uint32_t answer_extras = 0;
    if (request[1] == std::byte{1}) {
      REQUIRE(extras == 8);
      values[key] = value;
    } else if (const auto found = values.find(key); found != values.end()) {
      answer_extras = 4;
      out.resize(kHeaderBytes + answer_extras);
      const Bytes bytes = as_bytes(found->second);
      out.insert(out.end(), bytes.begin(), bytes.end());
    } else {
      status = kStatusNotFound;
    }
    write_header(out.data(), static_cast<Opcode>(request[1]), answer_extras, 0, 0,
                 load_be<std::uint32_t>(request.data() + 12));
    out[0] = std::byte{0x81};
    store_be(out.data() + 6, status);
    store_be(out.data() + 8, static_cast<std::uint32_t>(out.size() - kHeaderBytes));
    return out;
  }
};

}  // namespace gannet::load
