/// The shared file (control/abi/shared.h) as gannetd gets hold of it: inherited, by path, or one of its own.
#pragma once

#include <string>
#include <string_view>

#include "control/abi/shared.h"

namespace gannet::dataplane {

/// `shared` is mapped read-write for the life of the process; nullptr on failure, and `error` is one sentence with the
/// fix.
struct SharedMapping {
  abi::Shared* shared = nullptr;
  std::string error;
};

/// Maps an existing file. `where`: a descriptor's number that was inherited, or a path. Judges size, magic and version
/// before anything else is read. An inherited descriptor is closed: the mapping is enough.
[[nodiscard]] SharedMapping map_shared(std::string_view where);

/// Makes a fresh one: unnamed when `path` is empty, else at `path` (0600; an old file there is replaced, so that
/// whoever still maps it sees no tearing).
[[nodiscard]] SharedMapping create_shared(const std::string& path);

}  // namespace gannet::dataplane
