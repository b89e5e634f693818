/// Every bound of a worker, in one place, checked against each other before the program can exist.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gannet::dataplane {

/// Requests that go through the stages together: enough that one item's cache miss hides behind the others' work.
inline constexpr std::uint32_t kStageJobsMax = 32;

inline constexpr std::size_t kLineBytes = 64;

/// Packets with requests not yet executed. Received frames may fill half of it, packets from other workers the whole.
inline constexpr std::uint32_t kBacklogPackets = 256;
inline constexpr std::uint32_t kBacklogReceived = kBacklogPackets / 2;
/// Stages run in one turn at most; what is left of the backlog waits for the next turn.
inline constexpr std::uint32_t kStageRunsPerTurn = 16;

/// Answers made and not yet taken by the device, for each port.
inline constexpr std::uint32_t kSendPackets = 512;
/// Empty buffers kept for answers that cannot use their request's own.
inline constexpr std::uint32_t kSparePackets = 256;
/// A packet that needs a spare waits this many turns for one; then its answer is dropped (drop_no_buffer) so that its
/// own buffer comes free.
inline constexpr std::uint32_t kStarvedTurnsMax = 64;

/// Requests to another worker that wait in the ring between two workers, and how many are collected before they are
/// pushed.
inline constexpr std::uint32_t kHandoverSlots = 512;
inline constexpr std::uint32_t kHandoverBurst = 32;
/// Packets taken from each other worker in one turn.
inline constexpr std::uint32_t kTakeoverBurst = 32;

/// Requests of one worker's datagrams that others execute for it, under way at once.
inline constexpr std::uint32_t kDatagramErrands = 256;
/// The ring between two workers carries what one asks and what it gives back to the other: room for all of it.
inline constexpr std::uint32_t kErrandSlots = 2 * kDatagramErrands;
/// Errands collected before they are pushed, and taken from each other worker in one turn.
inline constexpr std::uint32_t kErrandBurst = 32;
/// Of an answer's value copied into the errand; a longer one is pinned and read where it lies.
inline constexpr std::size_t kErrandValueBytes = 1024;

/// Datagrams with several owners under way at once, and requests of them asked for in one turn.
inline constexpr std::uint32_t kMixedMax = 64;
inline constexpr std::uint32_t kMixedRequestsPerTurn = 256;

/// Answers longer than a datagram under way at once; one more is refused with 0x82.
inline constexpr std::uint32_t kTransfersMax = 256;
/// Their datagrams in one turn, so that small answers are not stuck behind large ones.
inline constexpr std::uint32_t kTransferDatagramsPerTurn = 128;

/// STAT answers under way at once, and the room of one.
inline constexpr std::uint32_t kStatBuffers = 4;
inline constexpr std::size_t kStatBytes = 64 * 1024;

/// A datagram of an answer is at most this long, as memcached's, or what the MTU leaves; the first 8 bytes are the
/// frame header.
inline constexpr std::size_t kDatagramBytesMax = 1400;

/// A value of at least this size leaves straight from its segment where the device gathers. Measured by
/// bench/dataplane/parts_bench.cc.
inline constexpr std::uint32_t kPointBytesMin = 1024;

/// How often the store works in the background and how much it may walk each time.
inline constexpr std::uint64_t kTickIntervalNs = 250'000;
inline constexpr std::uint32_t kTickBytes = 256 * 1024;
/// How often gauges are written.
inline constexpr std::uint64_t kGaugeIntervalNs = 100'000'000;

/// Streams (TCP). A parcel is a block for one request or answer that cannot be handled where it lies: on its way to or
/// from another worker, split over segments, or waiting for room towards a slow reader.
inline constexpr std::uint32_t kParcels = 4096;
inline constexpr std::uint32_t kParcelBytes = 2048;
/// Of those, at most this many wait for a peer: half a request received, an answer not taken. The rest always comes
/// back by itself.
inline constexpr std::uint32_t kParcelsHeldMax = kParcels / 2;
/// Messages to one other worker in flight; what does not fit waits at the sender.
inline constexpr std::uint32_t kStreamSlots = 512;
inline constexpr std::uint32_t kStreamBurst = 64;
/// A value of at least this size leaves from its segment, pinned until acknowledged.
inline constexpr std::uint32_t kStreamPointBytesMin = 4096;
/// Pins a shard gives out at most, whatever its owner configures (storage::ShardOptions::pins_max).
inline constexpr std::uint32_t kPinsMax = 65535;
/// Bytes copied for one connection in one stage: a large value arriving must not starve the others.
inline constexpr std::uint32_t kAbsorbBytesMax = 256 * 1024;
/// Frames a turn receives at most. One that receives so many may have left more in the device, acknowledgements among
/// them: TCP's timers then wait, so many turns at most, which empties any device's ring.
inline constexpr std::uint32_t kReceiveBurst = 64;
inline constexpr std::uint32_t kTimersWaitTurns = 64;
/// A connection that we end is heard out for so long, so that a reset does not destroy the last answer.
inline constexpr std::uint64_t kLingerNs = 1'000'000'000;

/// The TCP engine of a worker: packets it may have waiting to be sent, empty ones it keeps, received ones whose payload
/// waits; blocks for bytes written and not yet acknowledged (2 KiB each).
inline constexpr std::uint32_t kTcpSendPackets = 512;
inline constexpr std::uint32_t kTcpSparePackets = 256;
inline constexpr std::uint32_t kTcpReceivePackets = 1024;
inline constexpr std::uint32_t kTcpSendBlocks = 16384;
/// One connection: written and not acknowledged (large values in their segments apart); and what is announced as its
/// window. 512 readers that do not read could hold all blocks with that, so the engine gives one source a quarter of
/// them and one each, and everybody less once half of them are gone.
inline constexpr std::uint32_t kTcpSendBytesMax = 64 * 1024;
inline constexpr std::uint32_t kTcpReceiveBytesMax = 256 * 1024;
/// Handshakes half done before SYNs are answered with cookies.
inline constexpr std::uint32_t kTcpHalfOpenMax = 512;
/// A rack's round trip is microseconds; an answer that waits for a client's delayed acknowledgement (40 ms on Linux)
/// must not be taken for lost.
inline constexpr std::uint64_t kTcpRtoMinNs = 60'000'000;

/// More than one port feeds a worker from one set of tables.
inline constexpr std::uint32_t kPortsMax = 4;
inline constexpr std::uint32_t kWorkersMax = 64;

static_assert(kBacklogReceived >= 2 * kStageJobsMax, "received frames must be able to fill a stage");
static_assert((kBacklogPackets & (kBacklogPackets - 1)) == 0, "the backlog is a ring");
static_assert(kSendPackets >= 2 * kBacklogReceived,
              "every received frame may be answered at once while older answers wait");
static_assert(kSendPackets > kTransferDatagramsPerTurn + kStageJobsMax,
              "large answers must not take all of the send queue");
static_assert(kTcpSendBytesMax / 4 >= kParcelBytes,
              "who is told that there is room must find enough of it for one request, or it would ask for ever");
static_assert(kSparePackets >= kTransferDatagramsPerTurn + kStageJobsMax,
              "one turn's large answers and one stage must find buffers");
/// ICMP errors a second and worker that begin their way round the workers, and at once.
inline constexpr std::uint32_t kErrorsPassedPerS = 1000, kErrorsPassedBurst = 32;
inline constexpr std::uint32_t kTcpFreePackets =
    kTcpReceivePackets + kTcpSparePackets + kBacklogPackets + kTakeoverBurst * kWorkersMax;
static_assert(kParcelsHeldMax + 4 * kStageJobsMax <= kParcels, "held parcels must leave some for travelling");
static_assert(kHandoverSlots % kHandoverBurst == 0);
static_assert((kErrandSlots & (kErrandSlots - 1)) == 0 && kErrandSlots % kErrandBurst == 0,
              "rings hold a power of two");
static_assert(kDatagramErrands >= 2 * kWorkersMax, "a FLUSH asks every worker");

}  // namespace gannet::dataplane
