#include "tools/load/run.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/load/engine.h"

namespace gannet::load {
namespace {

MonotonicNs monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<MonotonicNs>(now.tv_sec) * 1'000'000'000 + static_cast<MonotonicNs>(now.tv_nsec);
}

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  static_cast<void>(pthread_setaffinity_np(pthread_self(), sizeof set, &set));
}

/// The threads and the moments at which all of them are: links made, keys stored, load ended.
class Crew {
 public:
  Crew(const Options& options, const LinkMaker& make_link, const std::atomic<bool>& stop)
      : options_(options),
        make_link_(make_link),
        stop_(stop),
        keyspace_(options.keyspace()),
        tallies_(options.threads) {
    for (std::uint32_t thread = 0; thread < options.threads; ++thread) {
      threads_.emplace_back([this, thread] { work(thread); });
    }
  }

  /// Until all threads passed moment `moment` (1 stored, 2 run ended, 3 drained), or the time is over. Gives whether
  /// they did.
  bool wait_for(unsigned moment, std::chrono::nanoseconds most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [&] { return passed_[moment] == options_.threads; });
  }
  void start_run() {
    const std::scoped_lock lock(mutex_);
    go_ = true;
    changed_.notify_all();
  }
  void end_run() { end_.store(true, std::memory_order_relaxed); }
  void join() {
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] TallyPicture picture() const {
    TallyPicture sum;
    for (const Tally& tally : tallies_) sum += tally.picture();
    return sum;
  }
  [[nodiscard]] std::string trouble() {
    const std::scoped_lock lock(mutex_);
    return trouble_;
  }
  [[nodiscard]] std::uint64_t not_sent() const { return not_sent_.load(); }

 private:
  void pass(unsigned moment) {
    const std::scoped_lock lock(mutex_);
    ++passed_[moment];
    changed_.notify_all();
  }
  void complain(const std::string& what) {
    const std::scoped_lock lock(mutex_);
    if (trouble_.empty()) trouble_ = what;
  }
  void work(std::uint32_t thread) {
    if (options_.core >= 0) pin(options_.core + static_cast<int>(thread));
    prctl(PR_SET_TIMERSLACK, 1000);  // An open loop's next request may be due in microseconds.
    std::string wrong;
    const std::unique_ptr<Link> link = make_link_(options_, wrong);
    if (link == nullptr) {
      complain(wrong);
      for (const unsigned moment : {1u, 2u, 3u}) pass(moment);
      return;
    }
    Engine engine(options_, keyspace_, *link, tallies_[thread], thread, monotonic_ns);
    if (options_.preload) {
      if (const std::string why = engine.preload(stop_); !why.empty()) complain(why);
    }
    pass(1);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return go_; });
    }
    if (trouble().empty()) engine.run(end_);
    if (link->trouble()[0] != '\0') complain(link->trouble());
    not_sent_ += engine.not_sent();
    pass(2);
    engine.drain();
    pass(3);
  }

  const Options& options_;
  const LinkMaker& make_link_;
  const std::atomic<bool>& stop_;
  const Keyspace keyspace_;
  std::vector<Tally> tallies_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t passed_[4] = {};
  bool go_ = false;
  std::string trouble_;
  std::atomic<bool> end_{false};
  std::atomic<std::uint64_t> not_sent_{0};
  std::vector<std::thread> threads_;  // Last: they use all of the above.
};

double since(MonotonicNs start_ns) {
  return static_cast<double>(monotonic_ns() - start_ns) / 1e9;
}

std::string progress_line(double second, const TallyPicture& now, const TallyPicture& before, double seconds) {
  TallyPicture step = now;
  step -= before;
  Picture all = step.gets;
  all += step.sets;
  const std::uint64_t gets = step[Count::kHit] + step[Count::kMiss];
  return fmt::format(
      "{:6.0f} s {:>10.0f} requests/s   hit ratio {:5.1f} %   p50 {:>8.1f} us   p99 {:>8.1f} us   lost {}\n", second,
      static_cast<double>(step.answers()) / seconds,
      gets == 0 ? 0.0 : 100.0 * static_cast<double>(step[Count::kHit]) / static_cast<double>(gets),
      static_cast<double>(all.at(0.5)) / 1e3, static_cast<double>(all.at(0.99)) / 1e3, step[Count::kLost]);
}

}  // namespace

Result run_load(const Options& options, const LinkMaker& make_link, const std::atomic<bool>& stop,
                std::FILE* progress) {
  using std::chrono::milliseconds;
  Result result;
  Crew crew(options, make_link, stop);
  const MonotonicNs preload_start = monotonic_ns();
  double told = 1;
  while (!crew.wait_for(1, milliseconds(50))) {
    if (!options.progress || since(preload_start) < told) continue;
    fmt::print(progress, "{:6.0f} s storing keys: {} of {}\n", since(preload_start), crew.picture()[Count::kStored],
               options.keys);
    std::fflush(progress);
    told += 1;
  }
  result.preload_seconds = options.preload ? since(preload_start) : 0;

  crew.start_run();
  MonotonicNs start = monotonic_ns();
  const auto wait_until = [&](double second) {
    while (!stop && since(start) < second && !crew.wait_for(2, milliseconds(5))) {
    }
    return !stop && since(start) >= second;
  };
  if (options.warmup_seconds > 0) wait_until(options.warmup_seconds);
  const TallyPicture before = crew.picture();
  TallyPicture last = before;
  start = monotonic_ns();
  const double end = options.seconds > 0 ? options.seconds : 1e9;
  for (double second = 1; crew.trouble().empty(); second += 1) {
    const double until = std::min(second, end);
    const double step_start = since(start);
    const bool whole = wait_until(until);
    if (options.progress && whole && since(start) > step_start) {
      const TallyPicture now = crew.picture();
      std::fputs(progress_line(until, now, last, since(start) - step_start).c_str(), progress);
      std::fflush(progress);
      last = now;
    }
    if (!whole || until >= end) break;
  }
  result.measured = crew.picture();
  result.measured -= before;
  result.seconds = since(start);
  crew.end_run();
  crew.join();
  result.total = crew.picture();
  if (options.requests != 0) {  // The last answers count too: nothing is sent after the limit.
    result.measured = result.total;
    result.measured -= before;
  }
  result.trouble = crew.trouble();
  result.not_sent = crew.not_sent();
  return result;
}

int exit_code_of(const Result& result) {
  if (result.total[Count::kWrong] != 0 || result.total[Count::kMalformed] != 0) return 3;
  return result.trouble.empty() && result.total.answers() != 0 ? 0 : 1;
}

}  // namespace gannet::load
