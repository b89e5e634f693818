/// Overflow buckets of the index: pages of buckets, given out one by one and taken back, in such an order that pages
/// become empty again and can be returned. Knows pages and links, not what the buckets hold.
///
///   page:  [header 64 B][bucket 1][bucket 2] ... [bucket n - 1]       a free bucket's first word: the next free one
///
/// Every step is O(1): a new page is not written but for its header, pages with something free are a list, the fullest
/// to the front as far as that costs nothing, empty ones to the back.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/base/bytes.h"
#include "storage/base/must.h"

namespace gannet::storage {

class OverflowPages {
 public:
  static constexpr std::uint32_t kBucketBytes = 64;

  OverflowPages() = default;
  /// `base`: what links count from; `pages`: page 0; both in the region.
  void format(std::byte* base, std::byte* pages, std::uint32_t page_shift) noexcept;

  [[nodiscard]] std::uint64_t free_buckets() const noexcept { return free_; }
  [[nodiscard]] std::uint64_t used_buckets() const noexcept { return used_; }

  /// One more page to give buckets from.
  void add_page(std::uint32_t page) noexcept;
  /// The link of a bucket, its bytes as they are: distance from the base / 64. Needs free_buckets() > 0.
  [[nodiscard]] std::uint64_t take() noexcept;
  void give_back(std::uint64_t link) noexcept;
  /// A page none of whose buckets is out, if `reserve` buckets and a page's worth stay free without it: the caller's
  /// from here on. False: there is none.
  [[nodiscard]] bool take_page(std::uint64_t reserve, std::uint32_t& page) noexcept {
    return free_ >= 2 * std::uint64_t{buckets_} + reserve && take_last(page);
  }

 private:
  struct alignas(kBucketBytes) PageHeader {
    std::uint32_t next, previous;  ///< In the list of pages with free buckets: page + 1, 0 for none.
    std::uint32_t out;             ///< Buckets given out.
    std::uint32_t fresh;           ///< First bucket that was never given out.
    std::uint32_t free;            ///< First of those given back, 0 for none.
  };
  static_assert(sizeof(PageHeader) == kBucketBytes);

  [[nodiscard]] std::byte* bytes_of(std::uint32_t page) const noexcept {
    return pages_ + (static_cast<std::uint64_t>(page) << page_shift_);
  }
  [[nodiscard]] PageHeader& header(std::uint32_t page) const noexcept {
    return *reinterpret_cast<PageHeader*>(bytes_of(page));
  }
  [[nodiscard]] bool full(const PageHeader& header) const noexcept { return header.out == buckets_; }
  [[nodiscard]] bool take_last(std::uint32_t& page) noexcept;
  void link_front(std::uint32_t page) noexcept;
  void link_back(std::uint32_t page) noexcept;
  void unlink(std::uint32_t page) noexcept;

  std::byte* base_ = nullptr;
  std::byte* pages_ = nullptr;
  std::uint32_t page_shift_ = 0;
  std::uint32_t buckets_ = 0;  ///< Per page that can be given out: all but the header's.
  std::uint32_t front_ = 0, back_ = 0;
  std::uint64_t free_ = 0, used_ = 0;
};

}  // namespace gannet::storage
