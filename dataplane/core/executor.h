/// What each request does to a shard and what it is answered. Knows no packet and no transport: a parsed request in, a
/// described answer out. The rules are memcached 1.6.18's, but where README.md, "Deviations", says otherwise.
#pragma once

#include <cstdint>
#include <string_view>

#include "control/abi/shared.h"
#include "dataplane/core/answer.h"
#include "dataplane/core/memcache/binary.h"
#include "dataplane/core/memcache/expiry.h"
#include "storage/store.h"

namespace gannet::dataplane {

/// What VERSION answers, and `stats`.
inline constexpr std::string_view kVersionText = "1.6.18-gannet-0.1.0";

namespace detail {

[[nodiscard]] constexpr memcache::Status status_of(storage::StoreStatus status) noexcept {
  using enum storage::StoreStatus;
  switch (status) {
    case kStored:
      return memcache::Status::kOk;
    case kNotFound:
      return memcache::Status::kNotFound;
    case kExists:
      return memcache::Status::kExists;
    case kNotStored:
      return memcache::Status::kNotStored;
    case kTooLarge:
      return memcache::Status::kTooLarge;
    case kNotNumeric:
      return memcache::Status::kNotNumeric;
    case kNoMemory:
      return memcache::Status::kNoMemory;
  }
  return memcache::Status::kNoMemory;
}

/// Writes with a CAS are counted by how it compared.
inline void count_cas(abi::WorkerCounters& counters, std::uint64_t cas, memcache::Status status) noexcept {
  if (cas == 0) return;
  if (status == memcache::Status::kOk) {
    abi::bump(counters.cas_hits);
  } else if (status == memcache::Status::kNotFound) {
    abi::bump(counters.cas_misses);
  } else if (status == memcache::Status::kExists) {
    abi::bump(counters.cas_badval);
  }
}

inline void count_refusal(abi::WorkerCounters& counters, memcache::Status status) noexcept {
  switch (status) {
    case memcache::Status::kUnknownCommand:
      abi::bump(counters.error_unknown_command);
      break;
    case memcache::Status::kInvalid:
      abi::bump(counters.error_invalid);
      break;
    case memcache::Status::kTooLarge:
      abi::bump(counters.error_too_large);
      break;
    case memcache::Status::kNoMemory:
      abi::bump(counters.error_no_memory);
      break;
    default:
      break;
  }
}

}  // namespace detail

/// What differs between the ways in: UDP's rules come from the live configuration, because its sources cannot be
/// trusted with everything.
struct ServeRules {
  std::uint32_t value_bytes_max = 0;  ///< Largest value told; 0: any.
  bool admin = true;                  ///< FLUSH, VERSION and STAT are executed, else refused with 0x20.
};

/// One shard's executor. Cheap to make; holds references only.
template <class S>
class Executor {
 public:
  Executor(S& shard, abi::WorkerCounters& counters, UnixSeconds now, const ServeRules& rules) noexcept
      : shard_(shard), counters_(counters), now_(now), rules_(rules) {
    static_assert(storage::Store<S>);
  }

  /// Executes `request` (parsed kOk, any action but kStat and SASL, which are its caller's) and describes the answer.
  /// `answer` is fresh but for opcode and opaque. A value found is not pinned: use it before the store changes.
  void run(const memcache::RequestView& request, storage::Probe probe, Answer& answer) noexcept {
    using enum memcache::Action;
    const memcache::OpcodeRule& rule = request.rule();
    switch (rule.action) {
      case kGet:
        return get(request, probe, answer);
      case kTouch:
      case kGetAndTouch:
        return touch(request, rule, probe, answer);
      case kSet:
      case kAdd:
      case kReplace:
        return store(request, rule, probe, answer);
      case kAppend:
      case kPrepend:
        return concat(request, rule, probe, answer);
      case kDelete:
        return erase(request, rule, probe, answer);
      case kIncrement:
      case kDecrement:
        return arithmetic(request, rule, probe, answer);
      case kFlush:
        return flush(request, rule, answer);
      case kVersion:
        return version(answer);
      case kQuit:
        answer.speaks = !rule.quiet;
        return;
      case kNoop:
      case kVerbosity:
        return;
      case kStat:
      case kUnknown:
      case kSaslList:
      case kSaslAuth:
      case kSaslStep:
        return refuse(answer, memcache::Status::kUnknownCommand);
    }
  }

  /// run() for a request whose action is kGet.
  void get(const memcache::RequestView& request, storage::Probe probe, Answer& answer) noexcept {
    const memcache::OpcodeRule& rule = request.rule();
    abi::bump(counters_.cmd_get);
    if (shard_.find(probe, request.key_span(), now_, answer) == storage::FindStatus::kHit) {
      abi::bump(counters_.get_hits);
      return show(request, rule, answer);
    }
    abi::bump(counters_.get_misses);
    miss(request, rule, answer);
  }

  /// For a storing request whose value is still on its way: judges it and makes room for the value, `room.value`.
  /// False: refused, `answer` says why, nothing stays open. The room of an APPEND or PREPEND holds what is to be
  /// joined.
  [[nodiscard]] bool begin_store(const memcache::RequestView& request, storage::Probe probe, storage::Reservation& room,
                                 Answer& answer) noexcept {
    abi::bump(counters_.cmd_set);
    const memcache::OpcodeRule& rule = request.rule();
    storage::SetRequest set;
    if (is_concat(rule)) {
      set.key = request.key_span();
      set.value_bytes = request.value_bytes;
      set.mode = storage::SetMode::kReplace;  // Judged too large, it leaves the item alone.
    } else {
      set = set_request(request);
    }
    storage::StoreStatus status = shard_.reserve(probe, set, now_, room);
    if (status == storage::StoreStatus::kStored) return true;
    if (status == storage::StoreStatus::kNotFound && is_concat(rule)) status = storage::StoreStatus::kNotStored;
    told(status, request, rule, answer);
    return false;
  }

  /// The value lies in `room.value` whole: stores or joins it, closes the room and describes the answer.
  void finish_store(const memcache::RequestView& request, storage::Probe probe, const storage::Reservation& room,
                    Answer& answer) noexcept {
    const memcache::OpcodeRule& rule = request.rule();
    if (!is_concat(rule)) return told(shard_.commit(room, now_, answer.cas), request, rule, answer);
    join(request, probe, room.value, rule, answer);
    shard_.abandon(room);
  }

 private:
  void refuse(Answer& answer, memcache::Status status) noexcept {
    answer.refuse(status);
    detail::count_refusal(counters_, status);
  }

  /// The item found, or 0x03 when the operator forbids values of that size.
  void show(const memcache::RequestView& request, const memcache::OpcodeRule& rule, Answer& answer) noexcept {
    if (rules_.value_bytes_max != 0 && answer.value.size() > rules_.value_bytes_max) [[unlikely]] {
      abi::bump(counters_.answers_refused_large);
      return refuse(answer, memcache::Status::kTooLarge);
    }
    answer.has_flags = true;
    answer.in_segment = true;
    if (rule.echo_key) {
      answer.key = request.key;
      answer.key_bytes = request.key_bytes;
    }
  }

  /// A miss of the reading commands: quiet ones are mute, those that echo the key have it as the whole body, the others
  /// the text.
  void miss(const memcache::RequestView& request, const memcache::OpcodeRule& rule, Answer& answer) noexcept {
    answer.refuse(memcache::Status::kNotFound);
    answer.speaks = !rule.quiet;
    if (rule.echo_key) {
      answer.value = {};
      answer.key = request.key;
      answer.key_bytes = request.key_bytes;
    }
  }

  void touch(const memcache::RequestView& request, const memcache::OpcodeRule& rule, storage::Probe probe,
             Answer& answer) noexcept {
    abi::bump(counters_.cmd_touch);
    const UnixSeconds expires_at = memcache::expiry_second(load_be<std::uint32_t>(request.extras), now_);
    const storage::StoreStatus status = shard_.touch(probe, request.key_span(), expires_at, now_, answer);
    if (status == storage::StoreStatus::kNotFound) {
      abi::bump(counters_.touch_misses);
      return miss(request, rule, answer);
    }
    if (status != storage::StoreStatus::kStored) return refuse(answer, detail::status_of(status));
    abi::bump(counters_.touch_hits);
    if (rule.action == memcache::Action::kGetAndTouch) return show(request, rule, answer);
    answer.has_flags = true;
    answer.value = {};
  }

  [[nodiscard]] storage::SetRequest set_request(const memcache::RequestView& request) const noexcept {
    const memcache::Action action = request.rule().action;
    storage::SetRequest set;
    set.key = request.key_span();
    set.value_bytes = request.value_bytes;
    set.flags = load_be<std::uint32_t>(request.extras);
    set.expires_at = memcache::expiry_second(load_be<std::uint32_t>(request.extras + 4), now_);
    set.cas = request.cas;
    set.mode = action == memcache::Action::kAdd       ? storage::SetMode::kAdd
               : action == memcache::Action::kReplace ? storage::SetMode::kReplace
                                                      : storage::SetMode::kSet;
    return set;
  }

  void store(const memcache::RequestView& request, const memcache::OpcodeRule& rule, storage::Probe probe,
             Answer& answer) noexcept {
    abi::bump(counters_.cmd_set);
    told(shard_.set(probe, set_request(request), request.value_span(), now_, answer.cas), request, rule, answer);
  }

  void concat(const memcache::RequestView& request, const memcache::OpcodeRule& rule, storage::Probe probe,
              Answer& answer) noexcept {
    abi::bump(counters_.cmd_set);
    join(request, probe, request.value_span(), rule, answer);
  }

  [[nodiscard]] static bool is_concat(const memcache::OpcodeRule& rule) noexcept {
    return rule.action == memcache::Action::kAppend || rule.action == memcache::Action::kPrepend;
  }

  void join(const memcache::RequestView& request, storage::Probe probe, Bytes value, const memcache::OpcodeRule& rule,
            Answer& answer) noexcept {
    const bool front = rule.action == memcache::Action::kPrepend;
    storage::StoreStatus status = shard_.concat(probe, request.key_span(), value, front, request.cas, now_, answer.cas);
    if (status == storage::StoreStatus::kNotFound) status = storage::StoreStatus::kNotStored;
    told(status, request, rule, answer);
  }

  void erase(const memcache::RequestView& request, const memcache::OpcodeRule& rule, storage::Probe probe,
             Answer& answer) noexcept {
    const storage::StoreStatus status = shard_.erase(probe, request.key_span(), request.cas, now_);
    if (status == storage::StoreStatus::kStored) abi::bump(counters_.delete_hits);
    if (status == storage::StoreStatus::kNotFound) abi::bump(counters_.delete_misses);
    told(status, request, rule, answer);
  }

  void arithmetic(const memcache::RequestView& request, const memcache::OpcodeRule& rule, storage::Probe probe,
                  Answer& answer) noexcept {
    const bool decrement = rule.action == memcache::Action::kDecrement;
    const auto expiry = load_be<std::uint32_t>(request.extras + 16);
    storage::ArithmeticRequest asked;
    asked.key = request.key_span();
    asked.delta = load_be<std::uint64_t>(request.extras);
    asked.decrement = decrement;
    asked.create = expiry != memcache::kExpiryDoNotCreate;
    asked.initial = load_be<std::uint64_t>(request.extras + 8);
    asked.expires_at = memcache::expiry_second(expiry, now_);
    asked.cas = request.cas;
    // Whether it was there is known only before it is created.
    storage::ItemView before;
    const bool hit = shard_.find(probe, asked.key, now_, before) == storage::FindStatus::kHit;
    abi::bump(decrement ? (hit ? counters_.decr_hits : counters_.decr_misses)
                        : (hit ? counters_.incr_hits : counters_.incr_misses));
    std::uint64_t number = 0;
    const storage::StoreStatus status = shard_.arithmetic(probe, asked, now_, number, answer.cas);
    if (status == storage::StoreStatus::kStored) {
      store_be(answer.number.data(), number);
      answer.value = answer.number;
    }
    told(status, request, rule, answer);
  }

  void flush(const memcache::RequestView& request, const memcache::OpcodeRule& rule, Answer& answer) noexcept {
    if (!rules_.admin) return refuse(answer, memcache::Status::kAuth);
    const std::uint32_t delay = request.extras_bytes == 0 ? 0 : load_be<std::uint32_t>(request.extras);
    shard_.flush(memcache::flush_second(delay, now_), now_);
    answer.speaks = !rule.quiet;
  }

  void version(Answer& answer) noexcept {
    if (!rules_.admin) return refuse(answer, memcache::Status::kAuth);
    answer.value = as_bytes(kVersionText);
  }

  /// The end of everything that writes: success is told, unless quiet; refusals always.
  void told(storage::StoreStatus status, const memcache::RequestView& request, const memcache::OpcodeRule& rule,
            Answer& answer) noexcept {
    const memcache::Status wire = detail::status_of(status);
    detail::count_cas(counters_, request.cas, wire);
    if (wire != memcache::Status::kOk) return refuse(answer, wire);
    answer.speaks = !rule.quiet;
  }

  S& shard_;
  abi::WorkerCounters& counters_;
  const UnixSeconds now_;
  const ServeRules& rules_;
};

}  // namespace gannet::dataplane
