/// What goes through the stages: a request, and what becomes of its packet afterwards.
#pragma once

#include <cstdint>

#include "dataplane/core/memcache/binary.h"
#include "nicpipe/packet.h"
#include "storage/store.h"

namespace gannet::dataplane {

/// One request of a stage. Lives from parsing to the answer; its pointers lead into the packet.
struct Job {
  memcache::RequestView request;
  storage::Probe probe;
  nicpipe::Packet* packet = nullptr;  ///< In the backlog.
  memcache::ParseStatus parsed = memcache::ParseStatus::kOk;
  bool last = false;         ///< Nothing of the datagram is needed after this: the answer may be written over it.
  bool more_visits = false;  ///< FLUSH on its round, not at its last worker yet: execute, do not answer.
  bool answered = false;     ///< Executed, and its outcome told or told by silence.
  std::uint8_t latency_class = 0;
};

enum class Fate : std::uint8_t {
  kDone,    ///< The last job has taken the packet, or without a job it is freed.
  kTravel,  ///< The next request is another worker's.
  kStay,    ///< Not finished; it stays at the head of the backlog.
};

/// One packet's share of a stage.
struct Run {
  nicpipe::Packet* packet = nullptr;
  std::uint32_t jobs = 0;
  std::uint32_t target = 0;  ///< Of kTravel.
  Fate fate = Fate::kDone;
};

}  // namespace gannet::dataplane
