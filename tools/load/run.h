/// A whole load: threads, phases, progress, and the result.
#pragma once

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "tools/load/link.h"
#include "tools/load/options.h"
#include "tools/load/tally.h"

namespace gannet::load {

struct Result {
  std::string trouble;  ///< Why the load could not run or ended early; empty when all went well.
  double preload_seconds = 0;
  double seconds = 0;          ///< Measured.
  TallyPicture measured;       ///< Inside the measured time.
  TallyPicture total;          ///< Preload, warm-up and drain included: sent = hit + miss + stored + refused + lost.
  std::uint64_t not_sent = 0;  ///< Open loop: due at the end, never sent.
};

/// Makes the link of one thread; nullptr and a sentence in `wrong` when that fails.
using LinkMaker = std::function<std::unique_ptr<Link>(const Options&, std::string& wrong)>;

/// Runs the load to its end or until `stop`. Progress goes to `progress` when options.progress says so.
[[nodiscard]] Result run_load(const Options& options, const LinkMaker& make_link, const std::atomic<bool>& stop,
                              std::FILE* progress);

/// What the result says to a person, and to a program.
[[nodiscard]] std::string to_text(const Options& options, const Result& result);
[[nodiscard]] std::string to_json(const Options& options, const Result& result);

/// 0 all well; 1 the load could not run; 3 a wrong value, or something that is no answer, came back.
[[nodiscard]] int exit_code_of(const Result& result);

}  // namespace gannet::load
