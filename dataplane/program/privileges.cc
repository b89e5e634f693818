#include "dataplane/program/privileges.h"

#include <cap-ng.h>
#include <sys/prctl.h>

namespace gannet::dataplane {

std::vector<int> capabilities_kept(abi::DeviceKind kind) {
  switch (kind) {
    case abi::DeviceKind::kTap:
      return {CAP_NET_ADMIN};  // Taking the interface down when it is closed.
    case abi::DeviceKind::kAfPacket:
      return {CAP_NET_ADMIN, CAP_NET_RAW};  // Interface flags at close.
    case abi::DeviceKind::kAfXdp:
      return {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF,
              CAP_SYS_ADMIN};  // Detaching the XDP program; kernels before 5.8 want SYS_ADMIN.
    case abi::DeviceKind::kPci:
      return {CAP_IPC_LOCK, CAP_SYS_RAWIO};  // DMA mappings made while serving; port I/O of legacy virtio.
    case abi::DeviceKind::kVhost:
    case abi::DeviceKind::kMemif:
    case abi::DeviceKind::kRing:
      return {};
  }
  return {};
}

std::string drop_capabilities(const std::vector<int>& keep) {
  if (capng_get_caps_process() != 0) return "Capabilities cannot be read: gannetd keeps those it was started with.";
  std::vector<int> had;
  for (const int capability : keep)
    if (capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(capability)) != 0) had.push_back(capability);
  capng_clear(CAPNG_SELECT_BOTH);
  for (const int capability : had)
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                 static_cast<unsigned>(capability));
  if (capng_apply(CAPNG_SELECT_CAPS) != 0)
    return "Capabilities cannot be dropped: gannetd keeps those it was started with.";
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return "The right to gain privileges by executing a file cannot be given up: the kernel is older than 3.5.";
  return {};
}

}  // namespace gannet::dataplane
