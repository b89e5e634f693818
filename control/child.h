/// gannetd as a process: its memory file, its start, its end.
#pragma once

#include <sys/types.h>

#include <string>

#include "control/config.h"
#include "control/state.h"

namespace gannet::control {

/// The file that is the item memory: anonymous in pages of config.page_bytes, or config.memory_path. Sized, not faulted
/// in: gannetd does that and says how many hugepages are missing. A file at the path that has the size is taken as it
/// is, unless `fresh`; otherwise another takes its name, and `former` is what was there. "" or the sentence why not.
[[nodiscard]] std::string open_memory(const Config& config, bool fresh, Fd& out, Fd& former);

/// Whether all of the memory could be had now, beside what is there already; if so its hugepages are set aside for it.
[[nodiscard]] bool reserve_memory(const Fd& memory, std::uint64_t bytes);

/// Starts `program` with `--shared 3 --memory-fd 4`, and `--former-fd 5` unless former_fd is -1: those descriptors and
/// stderr/stdout, nothing else; in a
/// session of its own, so that a terminal's Ctrl-C reaches control alone; with default signals and without this
/// service's notification environment. "" or why not.
[[nodiscard]] std::string spawn_dataplane(const std::string& program, int shared_fd, int memory_fd, int former_fd,
                                          pid_t& pid);

/// A descriptor that polls readable when the process has ended; empty if it is gone already.
[[nodiscard]] Fd watch_process(pid_t pid);
/// Signals the very process that `watch` stands for. False: it is gone.
bool signal_process(const Fd& watch, int signal);

/// Takes over descriptor 4 of a live gannetd: its memory file, so that a restart still finds the items. Empty if this
/// process may not.
[[nodiscard]] Fd take_memory_of(const Fd& watch);

/// gannetd next to this program's own file; "gannetd" if there is none, for PATH.
[[nodiscard]] std::string default_dataplane_program();

}  // namespace gannet::control
