/// What is known of one connection beside what the TCP engine knows: how far the framer is in its requests, and which
/// answers are owed to it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/core/memcache/binary.h"
#include "dataplane/core/parcel.h"
#include "nicpipe/tcp/config.h"
#include "storage/base/must.h"

namespace gannet::dataplane {

/// Longest header, extras and key that belong together. Only SASL's may have extras beyond 20 bytes, and is refused
/// then.
inline constexpr std::uint32_t kCarryBytes = memcache::kHeaderBytes + 255 + storage::kKeyBytesMax;
static_assert(kCarryBytes <= kParcelBytes);

struct Session {
  enum class Mode : std::uint8_t {
    kHead,    ///< The next byte belongs to a request's header, extras or key; or a small value behind a carried head.
    kGather,  ///< A small request in pieces is put together in the parcel `receiving`.
    kBegin,   ///< A large value is announced, and this stage asks for room.
    kAway,    ///< Another worker was asked for room, or for a FLUSH: nothing is read until it answers.
    kValue,   ///< A large value is written into the room of `receiving`.
    kSkip,    ///< `skip` bytes of a refused body go by.
    kEnding,  ///< No request is executed any more; what is owed is sent, then the connection ends.
    kEnded,   ///< Our FIN is on its way; what still comes is thrown away.
  };

  nicpipe::tcp::ConnectionId id;
  Mode mode = Mode::kHead;
  bool open = false;
  bool queued = false;       ///< In the queue of sessions with something to do.
  bool peer_closed = false;  ///< Nothing follows what is readable.
  bool authenticated = false;
  bool starved = false;      ///< This stage: stopped for want of room towards the peer; kWritable wakes it.
  bool carry_whole = false;  ///< The carried head was taken by this stage: forget it when the stage is settled.
  std::uint16_t carry = 0;   ///< Bytes of a head carried over from earlier segments.
  std::uint32_t owed = 0;    ///< Parcels from `first` to `last`.
  std::uint32_t skip = 0;
  std::uint32_t taken = 0;  ///< This stage: bytes to consume when it is settled.
  std::uint32_t jobs = 0;   ///< This stage: requests of this connection in it.
  Parcel* first = nullptr;  ///< Answers owed, oldest first. While there is one, newer ones wait behind it.
  Parcel* last = nullptr;
  Parcel* receiving = nullptr;  ///< With kGather, kAway and kValue.
};

/// One session a slot of the engine. Allocates in the constructor.
class SessionTable {
 public:
  explicit SessionTable(std::uint32_t connections)
      : sessions_(std::make_unique<Session[]>(connections)),
        carries_(std::make_unique_for_overwrite<Carry[]>(connections)),
        active_(std::make_unique_for_overwrite<std::uint32_t[]>(connections)),
        connections_(connections) {}

  /// The session of a live connection; nullptr when `id` is not that of the session in its slot.
  [[nodiscard]] Session* find(nicpipe::tcp::ConnectionId id) noexcept {
    MUST_LT(id.slot, connections_);
    Session& session = sessions_[id.slot];
    return session.open && session.id == id ? &session : nullptr;
  }
  [[nodiscard]] Session& open(nicpipe::tcp::ConnectionId id) noexcept {
    MUST_LT(id.slot, connections_);
    Session& session = sessions_[id.slot];
    MUST(!session.open);
    const bool queued = session.queued;  // A place in the queue is not taken back.
    session = Session{};
    session.id = id;
    session.open = true;
    session.queued = queued;
    ++open_;
    return session;
  }
  void close(Session& session) noexcept {
    MUST(session.open && session.first == nullptr && session.receiving == nullptr);
    session.open = false;
    --open_;
  }
  [[nodiscard]] std::uint32_t open_count() const noexcept { return open_; }
  [[nodiscard]] std::uint32_t slots() const noexcept { return connections_; }
  [[nodiscard]] Session& at(std::uint32_t slot) noexcept { return sessions_[slot]; }
  [[nodiscard]] std::byte* carry_of(const Session& session) noexcept { return carries_[session.id.slot].data(); }

  /// The queue of sessions with something to do: each is in it once at most.
  void queue(Session& session) noexcept {
    if (session.queued) return;
    session.queued = true;
    active_[(active_first_ + active_count_) % connections_] = session.id.slot;
    ++active_count_;
  }
  [[nodiscard]] std::uint32_t queued() const noexcept { return active_count_; }
  /// Needs queued() > 0. May give a session that was closed meanwhile.
  [[nodiscard]] Session& next() noexcept {
    Session& session = sessions_[active_[active_first_]];
    active_first_ = active_first_ + 1 == connections_ ? 0 : active_first_ + 1;
    --active_count_;
    session.queued = false;
    return session;
  }

 private:
  using Carry = std::array<std::byte, kCarryBytes>;
  const std::unique_ptr<Session[]> sessions_;
  const std::unique_ptr<Carry[]> carries_;  ///< Apart: most connections never touch theirs.
  const std::unique_ptr<std::uint32_t[]> active_;
  const std::uint32_t connections_;
  std::uint32_t active_first_ = 0, active_count_ = 0, open_ = 0;
};

}  // namespace gannet::dataplane
