/// Bytes of a connection into streams: the first byte chooses workers and how small the sender's buffer is, then pieces
/// with a length byte in front; behind a length of 0 comes what is no byte: an acknowledgement of the reader, a rest, a
/// FIN, a reset, or the other one of two connections.
/// Whatever they are: what is answered is well-formed, and every parcel, pin and room comes back (StreamRig::end_all).
/// A rig of each kind lives as long as the program, because making one costs a hundred times a run; FLUSH empties it.
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "tests/dataplane/stream_rig.h"
#include "tests/dataplane/wire.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)

StreamRig& rig_of(std::uint32_t workers, bool narrow, bool closed) {
  static const gannet::dataplane::SaslUsers* const users = [] {
    auto* made = new gannet::dataplane::SaslUsers;
    MUST(made->parse("a:b").empty());
    return made;
  }();
  static std::unique_ptr<StreamRig> rigs[3][2][2];
  std::unique_ptr<StreamRig>& rig = rigs[workers - 1][narrow ? 1 : 0][closed ? 1 : 0];
  if (!rig)
    rig = std::make_unique<StreamRig>(
        StreamRigOptions{.workers = workers,
                         .connections = 8,
                         .send_bytes_max = narrow ? 4 * gannet::dataplane::kParcelBytes : 65536u,
                         .shard_bytes = 512u << 10,
                         .users = closed ? users : nullptr});
  return *rig;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::uint8_t shape = data[0];
  const bool narrow = (shape & 4) != 0, closed = (shape & 8) != 0;
  StreamRig& rig = rig_of(1u + shape % 3, narrow, closed);
  const auto text = std::string_view(reinterpret_cast<const char*>(data), size);
  std::array<StreamRig::Line, 2> lines = {rig.connect(), rig.connect()};
  std::array<std::string, 2> got;
  if (closed && (shape & 16) != 0) {
    Request auth = noop().with_opcode(0x21);
    auth.key = "PLAIN";
    auth.value = std::string("\0a\0b", 4);
    (void)rig.exchange(lines[0], auth.bytes());
  }
  if (!closed) (void)rig.exchange(lines[0], set("k", std::string(5000, 'x')).bytes());
  std::uint32_t which = 0;
  for (std::size_t at = 1; at < size;) {
    const StreamRig::Line line = lines[which];
    const bool live = rig.engine(line).live(line.id);
    const std::size_t bytes = data[at++];
    if (bytes != 0) {
      const std::string_view piece = text.substr(at, bytes);
      if (!piece.empty() && live) rig.engine(line).arrive(line.id, piece);
      at += bytes;
    } else if (at < size) {
      switch (data[at++] % 5) {
        case 0:
          got[which] += rig.engine(line).acknowledge(line.id);
          break;
        case 1:
          rig.settle();
          break;
        case 2:
          if (live) rig.engine(line).fin(line.id);
          break;
        case 3:
          which ^= 1;
          break;
        default:
          if (live) rig.engine(line).reset(line.id);
          break;
      }
    }
    (void)rig.turn();
  }
  for (which = 0; which < 2; ++which) {
    for (int i = 0; i < 200; ++i) {
      rig.settle();
      const std::string more = rig.engine(lines[which]).acknowledge(lines[which].id);
      if (more.empty()) break;
      got[which] += more;
    }
    // Throws, and so aborts, on what is no whole answer. A connection that was reset may end within one.
    if (!narrow && rig.engine(lines[which]).live(lines[which].id)) (void)responses_of(got[which]);
  }
  rig.end_all();
  rig.flush();
  return 0;
}
