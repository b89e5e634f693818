/// The release, as CMakeLists.txt has it.
#pragma once

namespace gannet::control {

/// "0.1.0"
[[nodiscard]] const char* version() noexcept;

}  // namespace gannet::control
