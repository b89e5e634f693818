#include "tools/load/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "storage/base/must.h"

namespace gannet::load {

std::uint64_t Picture::count() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

std::uint64_t Picture::at(double share) const {
  const std::uint64_t all = count();
  if (all == 0) return 0;
  const auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all))));
  std::uint64_t seen = 0;
  std::size_t last = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    if (counts_[bucket] == 0) continue;
    seen += counts_[bucket];
    last = bucket;
    if (seen >= wanted) break;
  }
  return bucket_top(last);
}

double Picture::mean() const {
  double sum = 0;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    if (counts_[bucket] == 0) continue;
    const double bottom = bucket == 0 ? 0 : static_cast<double>(bucket_top(bucket - 1) + 1);
    sum += static_cast<double>(counts_[bucket]) * (bottom + static_cast<double>(bucket_top(bucket))) / 2;
  }
  const std::uint64_t all = count();
  return all == 0 ? 0 : sum / static_cast<double>(all);
}

std::uint64_t Picture::between(std::uint64_t from, std::uint64_t to) const {
  MUST((from == 0 || std::has_single_bit(from)) && std::has_single_bit(to));
  std::uint64_t sum = 0;
  const std::size_t end = to >= std::uint64_t{1} << kOctaveMax ? counts_.size() : bucket_of(to);
  for (std::size_t bucket = bucket_of(from); bucket < end; ++bucket) sum += counts_[bucket];
  return sum;
}

Picture& Picture::operator+=(const Picture& other) {
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) counts_[bucket] += other.counts_[bucket];
  return *this;
}

Picture& Picture::operator-=(const Picture& earlier) {
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    MUST_LE(earlier.counts_[bucket], counts_[bucket]);
    counts_[bucket] -= earlier.counts_[bucket];
  }
  return *this;
}

Picture Histogram::picture() const {
  Picture picture;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    picture.counts_[bucket] = counts_[bucket].load(std::memory_order_relaxed);
  }
  return picture;
}

}  // namespace gannet::load
