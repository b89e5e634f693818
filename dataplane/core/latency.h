/// Which of the latency histograms a request belongs to.
#pragma once

#include "control/abi/shared.h"
#include "dataplane/core/memcache/opcode.h"
#include "dataplane/core/memcache/status.h"

namespace gannet::dataplane {

[[nodiscard]] inline abi::LatencyClass latency_class_of(memcache::Action action, memcache::Status status) noexcept {
  using enum memcache::Action;
  switch (action) {
    case kGet:
    case kGetAndTouch:
      return status == memcache::Status::kNotFound ? abi::LatencyClass::kGetMiss : abi::LatencyClass::kGetHit;
    case kSet:
    case kAdd:
    case kReplace:
    case kAppend:
    case kPrepend:
      return abi::LatencyClass::kStore;
    default:
      return abi::LatencyClass::kOther;
  }
}

}  // namespace gannet::dataplane
