/// Bytes of a connection into streams: the first byte chooses workers and how small the sender's buffer is, then pieces
/// with a length byte in front; a piece of length 0 is a FIN, a reader's acknowledgement, or a second connection.
/// Whatever they are: what is answered is well-formed, and every parcel, pin and room comes back (the rig's
/// destructor).
#include <cstdint>
#include <string_view>

#include "tests/dataplane/stream_rig.h"
#include "tests/dataplane/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gannet::test;  // NOLINT(google-build-using-namespace)
  if (size < 1) return 0;
  static const gannet::dataplane::SaslUsers* const users = [] {
    auto* made = new gannet::dataplane::SaslUsers;
    MUST(made->parse("a:b").empty());
    return made;
  }();
  const std::uint8_t shape = data[0];
  StreamRig rig({.workers = 1u + shape % 3,
                 .connections = 8,
                 .send_bytes_max = (shape & 4) != 0 ? 4096u : 65536u,
                 .shard_bytes = 512u << 10,
                 .users = (shape & 8) != 0 ? users : nullptr});
  const auto text = std::string_view(reinterpret_cast<const char*>(data), size);
  StreamRig::Line line = rig.connect();
  (void)rig.exchange(line, set("k", std::string(5000, 'x')).bytes());
  std::string got;
  for (std::size_t at = 1; at < size && rig.engine(line).live(line.id);) {
    const std::size_t bytes = data[at++];
    if (bytes != 0) {
      const std::string_view piece = text.substr(at, bytes);
      if (!piece.empty()) rig.engine(line).arrive(line.id, piece);
      at += bytes;
    } else if (at < size && data[at] % 3 == 0) {
      got += rig.engine(line).acknowledge(line.id);
    } else if (at < size && data[at] % 3 == 1) {
      rig.settle();
    } else {
      rig.engine(line).fin(line.id);
      break;
    }
    (void)rig.turn();
  }
  for (int i = 0; i < 200; ++i) {
    rig.settle();
    const std::string more = rig.engine(line).acknowledge(line.id);
    if (more.empty()) break;
    got += more;
  }
  if ((shape & 4) == 0) (void)responses_of(got);  // Throws, and so aborts, on what is no whole answer.
  return 0;
}
