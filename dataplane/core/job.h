/// What goes through the stages: a request, and what becomes of its packet afterwards.
#pragma once

#include <cstdint>

#include "dataplane/core/memcache/binary.h"
#include "nicpipe/packet.h"
#include "storage/store.h"

namespace gannet::dataplane {

/// One request of a stage. Lives from parsing to the answer; its pointers lead into the packet.
struct Errand;
struct Mixed;

struct Job {
  memcache::RequestView request;
  storage::Probe probe;
  nicpipe::Packet* packet = nullptr;  ///< In the backlog, or of a mixed datagram.
  memcache::ParseStatus parsed = memcache::ParseStatus::kOk;
  bool last = false;      ///< Nothing of the datagram is needed after this: the answer may be written over it.
  bool answered = false;  ///< Executed, and its outcome told or told by silence.
  std::uint8_t latency_class = 0;
  Mixed* mixed = nullptr;    ///< The packet is this one's, not the backlog's.
  Errand* errand = nullptr;  ///< Where the answer's value lies then; whoever needs it longer takes it out of here.
};

enum class Fate : std::uint8_t {
  kDone,    ///< The last job has taken the packet, or without a job it is freed.
  kTravel,  ///< Its requests are another worker's.
  kMix,     ///< They are several workers'.
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
