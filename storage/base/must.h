/// MUST checks: our own mistakes. They stay on in release, print both values and abort. A peer's mistake is never one
/// of these: it is a status or a counted drop.
#pragma once

#include <cinttypes>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace gannet::detail {

template <class T>
[[nodiscard]] inline std::intmax_t must_value(const T& value) noexcept {
  if constexpr (std::is_enum_v<T>) {
    return static_cast<std::intmax_t>(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_pointer_v<T>) {
    return static_cast<std::intmax_t>(reinterpret_cast<std::uintptr_t>(value));
  } else {
    return static_cast<std::intmax_t>(value);
  }
}

[[noreturn, gnu::cold, gnu::noinline]] inline void must_failed(const char* file, int line, const char* what) noexcept {
  std::fprintf(stderr, "%s:%d: MUST failed: %s\n", file, line, what);
  std::abort();
}

[[noreturn, gnu::cold, gnu::noinline]] inline void must_failed(const char* file, int line, const char* what,
                                                               std::intmax_t left, std::intmax_t right) noexcept {
  std::fprintf(stderr, "%s:%d: MUST failed: %s (left %" PRIdMAX ", right %" PRIdMAX ")\n", file, line, what, left,
               right);
  std::abort();
}

}  // namespace gannet::detail

#define MUST(condition)                                              \
  do {                                                               \
    if (!(condition)) [[unlikely]]                                   \
      ::gannet::detail::must_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define GANNET_MUST_COMPARE(left, op, right)                                      \
  do {                                                                            \
    const auto& must_left = (left);                                               \
    const auto& must_right = (right);                                             \
    if (!(must_left op must_right)) [[unlikely]]                                  \
      ::gannet::detail::must_failed(__FILE__, __LINE__, #left " " #op " " #right, \
                                    ::gannet::detail::must_value(must_left),      \
                                    ::gannet::detail::must_value(must_right));    \
  } while (false)

#define MUST_EQ(left, right) GANNET_MUST_COMPARE(left, ==, right)
#define MUST_NE(left, right) GANNET_MUST_COMPARE(left, !=, right)
#define MUST_LT(left, right) GANNET_MUST_COMPARE(left, <, right)
#define MUST_LE(left, right) GANNET_MUST_COMPARE(left, <=, right)
#define MUST_GT(left, right) GANNET_MUST_COMPARE(left, >, right)
#define MUST_GE(left, right) GANNET_MUST_COMPARE(left, >=, right)
