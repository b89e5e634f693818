#include "storage/overflow.h"

namespace gannet::storage {

void OverflowPages::format(std::byte* base, std::byte* pages, std::uint32_t page_shift) noexcept {
  *this = OverflowPages{};
  base_ = base;
  pages_ = pages;
  page_shift_ = page_shift;
  buckets_ = (std::uint32_t{1} << page_shift) / kBucketBytes - 1;
  MUST_GT(buckets_, 1u);  // A page that was full and one that is empty differ by more than one bucket.
}

void OverflowPages::link_front(std::uint32_t page) noexcept {
  header(page).previous = 0;
  header(page).next = front_;
  (front_ != 0 ? header(front_ - 1).previous : back_) = page + 1;
  front_ = page + 1;
}

void OverflowPages::link_back(std::uint32_t page) noexcept {
  header(page).next = 0;
  header(page).previous = back_;
  (back_ != 0 ? header(back_ - 1).next : front_) = page + 1;
  back_ = page + 1;
}

void OverflowPages::unlink(std::uint32_t page) noexcept {
  const PageHeader& gone = header(page);
  (gone.previous != 0 ? header(gone.previous - 1).next : front_) = gone.next;
  (gone.next != 0 ? header(gone.next - 1).previous : back_) = gone.previous;
}

void OverflowPages::add_page(std::uint32_t page) noexcept {
  header(page) = PageHeader{0, 0, 0, 1, 0};
  link_back(page);
  free_ += buckets_;
}

std::uint64_t OverflowPages::take() noexcept {
  MUST_NE(front_, 0u);
  const std::uint32_t page = front_ - 1;
  PageHeader& from = header(page);
  std::uint32_t bucket = from.free;
  if (bucket != 0) {
    from.free = load_raw<std::uint32_t>(bytes_of(page) + std::size_t{bucket} * kBucketBytes);
  } else {
    bucket = from.fresh++;
  }
  MUST_LE(bucket, buckets_);
  if (++from.out == buckets_) unlink(page);
  --free_;
  ++used_;
  return static_cast<std::uint64_t>(bytes_of(page) - base_) / kBucketBytes + bucket;
}

void OverflowPages::give_back(std::uint64_t link) noexcept {
  std::byte* const at = base_ + link * kBucketBytes;
  const auto page = static_cast<std::uint32_t>(static_cast<std::uint64_t>(at - pages_) >> page_shift_);
  PageHeader& to = header(page);
  MUST_GT(to.out, 0u);
  const bool was_full = full(to);
  store_raw(at, to.free);
  to.free = static_cast<std::uint32_t>((at - bytes_of(page)) / kBucketBytes);
  --to.out;
  ++free_;
  --used_;
  if (was_full) {
    link_front(page);
  } else if (to.out == 0) {
    unlink(page);
    link_back(page);
  }
}

bool OverflowPages::take_last(std::uint32_t& page) noexcept {
  if (back_ == 0 || header(back_ - 1).out != 0) return false;
  page = back_ - 1;
  unlink(page);
  free_ -= buckets_;
  return true;
}

}  // namespace gannet::storage
