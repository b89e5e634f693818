/// Seeded random operations for the conformance suite: keys, values, expiries and clock steps of every awkward size.
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "tests/storage/conformance/model.h"

namespace gannet::testing {

struct Workload {
  std::uint32_t keys = 1000;
  std::uint32_t value_bytes_max = 400;   ///< Most values are much smaller.
  std::uint32_t too_large_per_1000 = 5;  ///< Sets of more than item_bytes_max.
  std::uint32_t ttl_per_1000 = 500;      ///< Stores that expire at all.
  UnixSeconds ttl_max = 10 * 365 * 86400;
  std::uint32_t flush_per_10000 = 2;
  std::uint32_t clock_per_1000 = 100;    ///< Operations before which the clock moves.
  UnixSeconds clock_step_max = 100'000;  ///< Most steps are 1 s.
  bool clock_runs_back = true;           ///< By up to 5 s, now and then.
  std::uint32_t set_weight = 30, get_weight = 40, other_weight = 30;
  bool pins = false;          ///< Hold pins of found items across operations and compare their bytes.
  bool reservations = false;  ///< Hold sets open across operations.
};

/// Hands out one operation after the other; the same seed, the same operations.
class Script {
 public:
  Script(const Workload& workload, std::uint64_t seed, std::uint32_t item_bytes_max);

  /// The clock of the next operation. Starts in 2026.
  [[nodiscard]] UnixSeconds advance_clock();
  [[nodiscard]] UnixSeconds now() const { return now_; }

  /// `model` lends the CAS of live items, so that conditions hold about half of the time.
  [[nodiscard]] Operation next(const Model& model);
  [[nodiscard]] Operation next_set(const Model& model);

  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  [[nodiscard]] std::string key();
  [[nodiscard]] std::string value();
  [[nodiscard]] UnixSeconds expiry();
  [[nodiscard]] std::uint64_t cas_for(const std::string& key, const Model& model);

  Workload workload_;
  std::mt19937_64 random_;
  std::uint32_t item_bytes_max_;
  UnixSeconds now_ = 1'795'000'000;
  UnixSeconds latest_ = now_;
  std::uint64_t written_ = 0;
};

}  // namespace gannet::testing
