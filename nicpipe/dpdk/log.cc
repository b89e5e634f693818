#include "nicpipe/dpdk/log.h"

#include <dlfcn.h>
#include <rte_log.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>

namespace gannet::nicpipe::dpdk {
namespace {

constexpr std::size_t kKeptBytesMax =
    400;  // A sentence, not a log: the first error names the cause, the rest are its echoes.

struct KeptLog {
  std::mutex mutex;
  std::string text;
  bool verbose = false;
  std::FILE* stream = nullptr;
};

// Reached by DPDK's own threads until the process ends, so it is never destroyed.
KeptLog& kept() {
  static auto* log = new KeptLog;
  return *log;
}

ssize_t keep_lines(void* /*cookie*/, const char* bytes, std::size_t size) {
  KeptLog& log = kept();
  const std::scoped_lock lock(log.mutex);
  if (log.verbose) (void)std::fwrite(bytes, 1, size, stderr);
  std::size_t end = size;
  while (end > 0 && (bytes[end - 1] == '\n' || bytes[end - 1] == ' ' || bytes[end - 1] == '.')) --end;
  if (end > 0 && log.text.size() + end < kKeptBytesMax) {
    if (!log.text.empty()) log.text += "; ";
    log.text.append(bytes, end);
  }
  return static_cast<ssize_t>(size);
}

}  // namespace

void capture_log(bool verbose) {
  KeptLog& log = kept();
  log.verbose = verbose;
  if (log.stream == nullptr) {
    log.stream = fopencookie(nullptr, "w", cookie_io_functions_t{nullptr, &keep_lines, nullptr, nullptr});
    if (log.stream == nullptr) return;
    (void)std::setvbuf(log.stream, nullptr, _IOLBF, 1024);
  }
  (void)rte_openlog_stream(log.stream);
}

void hush_libraries() {
  if (kept().verbose) return;
  // The AF_XDP driver's libraries print hints to stderr, past DPDK's log. They are loaded with the drivers, so they are
  // looked for, not linked.
  for (const auto& [library, setter] :
       {std::pair{"libbpf.so.1", "libbpf_set_print"}, std::pair{"libxdp.so.1", "libxdp_set_print"}}) {
    void* handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr) continue;
    using Printer = int (*)(int level, const char* format, va_list arguments);
    if (void* set = dlsym(handle, setter)) reinterpret_cast<Printer (*)(Printer)>(set)(nullptr);
    (void)dlclose(handle);
  }
}

void forget_log() {
  const std::scoped_lock lock(kept().mutex);
  kept().text.clear();
}

std::string kept_log() {
  const std::scoped_lock lock(kept().mutex);
  return kept().text;
}

}  // namespace gannet::nicpipe::dpdk
