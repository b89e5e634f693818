/// The opcodes of the memcache binary protocol and what each may carry, as memcached 1.6 enforces it; one table for
/// both transports.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace gannet::dataplane::memcache {

/// What a request does. Several opcodes share one (GET, GETQ, GETK and GETKQ are all kGet); the table says how they
/// differ.
enum class Action : std::uint8_t {
  kUnknown,
  kGet,
  kTouch,
  kGetAndTouch,
  kSet,
  kAdd,
  kReplace,
  kAppend,
  kPrepend,
  kDelete,
  kIncrement,
  kDecrement,
  kFlush,
  kStat,
  kNoop,
  kVersion,
  kVerbosity,
  kQuit,
  kSaslList,
  kSaslAuth,
  kSaslStep,
};

enum class KeyRule : std::uint8_t { kNone, kNeeded, kOptional };

/// What is known of an opcode before any byte behind the header is read.
struct OpcodeRule {
  Action action = Action::kUnknown;
  KeyRule key = KeyRule::kOptional;
  std::uint8_t extras = 0;  ///< Bytes of extras, exactly; also allowed: 0, where `extras_optional`.
  bool extras_optional = false;
  bool value = false;     ///< May carry a value (an empty one too).
  bool quiet = false;     ///< Reading: mute on a miss. Writing: mute on success.
  bool echo_key = false;  ///< GETK, GATK families: the answer repeats the key.

  [[nodiscard]] constexpr bool is_sasl() const noexcept {
    return action == Action::kSaslList || action == Action::kSaslAuth || action == Action::kSaslStep;
  }
};

inline constexpr std::uint8_t kMagicRequest = 0x80, kMagicResponse = 0x81;
inline constexpr std::size_t kHeaderBytes = 24;

// The numbers the rest of the code and the tests speak of by name.
inline constexpr std::uint8_t kOpGet = 0x00, kOpSet = 0x01, kOpAdd = 0x02, kOpReplace = 0x03, kOpDelete = 0x04,
                              kOpIncrement = 0x05, kOpDecrement = 0x06, kOpQuit = 0x07, kOpFlush = 0x08, kOpGetQ = 0x09,
                              kOpNoop = 0x0a, kOpVersion = 0x0b, kOpGetK = 0x0c, kOpGetKQ = 0x0d, kOpAppend = 0x0e,
                              kOpPrepend = 0x0f, kOpStat = 0x10, kOpSetQ = 0x11, kOpAddQ = 0x12, kOpReplaceQ = 0x13,
                              kOpDeleteQ = 0x14, kOpIncrementQ = 0x15, kOpDecrementQ = 0x16, kOpQuitQ = 0x17,
                              kOpFlushQ = 0x18, kOpAppendQ = 0x19, kOpPrependQ = 0x1a, kOpVerbosity = 0x1b,
                              kOpTouch = 0x1c, kOpGat = 0x1d, kOpGatQ = 0x1e, kOpSaslList = 0x20, kOpSaslAuth = 0x21,
                              kOpSaslStep = 0x22, kOpGatK = 0x23, kOpGatKQ = 0x24;

namespace detail {

consteval std::array<OpcodeRule, 256> opcode_rules() {
  using enum Action;
  using enum KeyRule;
  std::array<OpcodeRule, 256> rules{};
  const auto both = [&rules](std::uint8_t loud, std::uint8_t silent, OpcodeRule rule) {
    rules[loud] = rule;
    rule.quiet = true;
    rules[silent] = rule;
  };
  both(kOpGet, kOpGetQ, {.action = kGet, .key = kNeeded});
  both(kOpGetK, kOpGetKQ, {.action = kGet, .key = kNeeded, .echo_key = true});
  both(kOpSet, kOpSetQ, {.action = kSet, .key = kNeeded, .extras = 8, .value = true});
  both(kOpAdd, kOpAddQ, {.action = kAdd, .key = kNeeded, .extras = 8, .value = true});
  both(kOpReplace, kOpReplaceQ, {.action = kReplace, .key = kNeeded, .extras = 8, .value = true});
  both(kOpAppend, kOpAppendQ, {.action = kAppend, .key = kNeeded, .value = true});
  both(kOpPrepend, kOpPrependQ, {.action = kPrepend, .key = kNeeded, .value = true});
  both(kOpDelete, kOpDeleteQ, {.action = kDelete, .key = kNeeded});
  both(kOpIncrement, kOpIncrementQ, {.action = kIncrement, .key = kNeeded, .extras = 20});
  both(kOpDecrement, kOpDecrementQ, {.action = kDecrement, .key = kNeeded, .extras = 20});
  both(kOpGat, kOpGatQ, {.action = kGetAndTouch, .key = kNeeded, .extras = 4});
  both(kOpGatK, kOpGatKQ, {.action = kGetAndTouch, .key = kNeeded, .extras = 4, .echo_key = true});
  both(kOpFlush, kOpFlushQ, {.action = kFlush, .key = kNone, .extras = 4, .extras_optional = true});
  both(kOpQuit, kOpQuitQ, {.action = kQuit, .key = kNone});
  rules[kOpTouch] = {.action = kTouch, .key = kNeeded, .extras = 4};
  rules[kOpNoop] = {.action = kNoop, .key = kNone};
  rules[kOpVersion] = {.action = kVersion, .key = kNone};
  rules[kOpStat] = {.action = kStat, .key = kOptional};
  rules[kOpVerbosity] = {.action = kVerbosity, .key = kNone, .extras = 4, .extras_optional = true};
  // What these may carry is judged where SASL is on; everywhere else they are unknown, whatever they carry.
  rules[kOpSaslList] = {.action = kSaslList, .value = true};
  rules[kOpSaslAuth] = {.action = kSaslAuth, .value = true};
  rules[kOpSaslStep] = {.action = kSaslStep, .value = true};
  return rules;
}

}  // namespace detail

/// Indexed by opcode.
inline constexpr std::array<OpcodeRule, 256> kOpcodeRules = detail::opcode_rules();

}  // namespace gannet::dataplane::memcache
