#include "nicpipe/dpdk/devices.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "storage/base/must.h"

namespace gannet::nicpipe::dpdk {
namespace {

constexpr KindTraits kTraits[] = {
    {.name = "tap", .queues_max = 16, .tail_is_read_by_cpu = true, .tail_may_be_given = true},
    {.name = "af_packet",
     .queues_max = 16,
     .kernel_interface = true,
     .tail_is_read_by_cpu = true,
     .tail_may_be_given = true},
    {.name = "af_xdp",
     .queues_max = 16,
     .queue_per_device = true,
     .kernel_interface = true,
     .driver_keeps_buffers = true},
    {.name = "vhost",
     .queues_max = 16,
     .checksum_offload = true,
     .tail_is_read_by_cpu = true,
     .tail_may_be_given = true},
    // The peer reads our memory, and only DPDK's part of it is shared: no tails.
    {.name = "virtio-user", .queues_max = 16, .checksum_offload = true},
    {.name = "memif", .queues_max = 16, .tail_is_read_by_cpu = true, .tail_may_be_given = true},
    {.name = "memif-client", .queues_max = 16, .tail_is_read_by_cpu = true, .tail_may_be_given = true},
    {.name = "pci", .queues_max = 64, .checksum_offload = true, .tail_may_be_given = true},
    // The other end would free our tail on its own thread: none.
    {.name = "ring", .queues_max = 16},
};

Outcome bad_option(std::string error) {
  return {Status::kBadOption, std::move(error)};
}

bool has_capability(unsigned capability) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  return (data[capability / 32].effective >> (capability % 32) & 1) != 0;
}

Outcome needs_capability(unsigned capability, const char* name, const PortOptions& options) {
  if (has_capability(capability)) return {};
  return {Status::kNoPermission, std::string("a ") + to_text(options.kind) + " device needs " + name +
                                     ": start as root or give the process the capability"};
}

bool is_server(DeviceKind kind) {
  return kind == DeviceKind::kVhost || kind == DeviceKind::kMemif;
}
bool has_socket(DeviceKind kind) {
  return is_server(kind) || kind == DeviceKind::kVirtioUser || kind == DeviceKind::kMemifClient;
}

Outcome check_server_path(const std::string& path, int type) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (folder.empty() || std::filesystem::is_directory(folder)) return {};
    return {Status::kNoDevice, "no folder " + folder.string() + " for the socket: make it, or name another path"};
  }
  if (!S_ISSOCK(info.st_mode))
    return {Status::kNoDevice, path + " exists and is no socket: remove it or name another path"};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int probe = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  const bool answered = probe >= 0 && connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const bool dead = !answered && errno == ECONNREFUSED;
  if (probe >= 0) close(probe);
  if (!dead) return {Status::kNoDevice, path + " is served by another process: stop that one or name another path"};
  if (unlink(path.c_str()) != 0)
    return {Status::kNoPermission, path + " is left over and cannot be removed: " + std::strerror(errno)};
  return {};
}

Outcome check_socket(const PortOptions& options) {
  if (options.device.empty())
    return bad_option(std::string("a ") + to_text(options.kind) + " device needs a socket path");
  if (options.device.size() >= sizeof(sockaddr_un::sun_path))
    return bad_option("the socket path is longer than 107 bytes: " + options.device);
  if (options.device.find_first_of(",=") != std::string::npos)
    return bad_option("a socket path may hold neither ',' nor '=': " + options.device);
  const int type = options.kind == DeviceKind::kMemif ? SOCK_SEQPACKET : SOCK_STREAM;
  if (is_server(options.kind)) return check_server_path(options.device, type);
  if (std::filesystem::exists(options.device)) return {};
  return {Status::kNoDevice, "nobody serves " + options.device + ": start the process at the other end first"};
}

/// A tap that somebody made to outlast its process (ip tuntap add dev NAME mode tap multi_queue), with no process at it
/// now.
bool is_waiting_tap(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool asked = any >= 0 && ioctl(any, SIOCGIFFLAGS, &request) == 0;
  if (any >= 0) close(any);
  if (!asked || (request.ifr_flags & IFF_RUNNING) != 0) return false;  // Running: somebody reads it.
  const int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tap < 0) return false;
  request.ifr_flags = IFF_TAP | IFF_MULTI_QUEUE | IFF_NO_PI;
  const bool waits = ioctl(tap, TUNSETIFF, &request) == 0 && ioctl(tap, TUNGETIFF, &request) == 0 &&
                     (request.ifr_flags & IFF_PERSIST) != 0;
  close(tap);
  return waits;
}

Outcome check_tap(const PortOptions& options) {
  const std::string name = device_name(options);
  if (access("/dev/net/tun", R_OK | W_OK) != 0) {
    return {errno == ENOENT ? Status::kNoDevice : Status::kNoPermission,
            std::string("/dev/net/tun cannot be opened (") + std::strerror(errno) +
                "): run modprobe tun, and start as root"};
  }
  const Outcome allowed = needs_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN", options);
  if (!allowed.ok()) return allowed;
  if (interface_mtu(name) != 0 && !is_waiting_tap(name)) {
    return {Status::kNoDevice,
            "an interface " + name + " exists already: stop the process that holds it or name another"};
  }
  return {};
}

Outcome check_kernel_interface(const PortOptions& options) {
  if (options.device.empty())
    return bad_option(std::string("a ") + to_text(options.kind) + " device needs an interface name");
  if (interface_mtu(options.device) == 0) {
    return {Status::kNoDevice,
            "no interface " + options.device + " in this network namespace: make it or name another"};
  }
  const Outcome raw = needs_capability(CAP_NET_RAW, "CAP_NET_RAW", options);
  if (!raw.ok() || options.kind == DeviceKind::kAfPacket) return raw;
  return needs_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN", options);
}

Outcome check_pci(const Eal& eal, const PortOptions& options) {
  const std::filesystem::path device = "/sys/bus/pci/devices/" + options.device;
  std::error_code error;
  if (options.device.empty() || !std::filesystem::exists(device, error)) {
    return {Status::kNoDevice,
            "no PCI device " + options.device + ": write its full address, like 0000:3b:00.0 (see lspci -D)"};
  }
  if (!eal.hugepages()) return bad_option("a PCI device needs hugepages: reserve some, or use a virtual device");
  const std::string driver = std::filesystem::read_symlink(device / "driver", error).filename().string();
  const std::array usable = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"};
  if (std::find(usable.begin(), usable.end(), driver) != usable.end()) return {};
  return {Status::kNoDevice, options.device + " is bound to " + (driver.empty() ? "no driver" : driver) +
                                 ": bind it first: dpdk-devbind.py -b vfio-pci " + options.device};
}

std::string packet_socket_arguments(const PortOptions& options, std::uint16_t queues) {
  const std::uint32_t slot = packet_socket_slot_bytes(options.mtu);
  const std::uint32_t block = slot == 2048 ? 64u * 1024 : slot;  // The driver wants blocks to be full of slots.
  return "iface=" + options.device + ",qpairs=" + std::to_string(queues) + ",framesz=" + std::to_string(slot) +
         ",blocksz=" + std::to_string(block) + ",framecnt=" + std::to_string(options.rx_slots);
}

std::string memif_arguments(const PortOptions& options) {
  const std::uint32_t slot = std::max(2048u, std::bit_ceil(frame_bytes_max(options.mtu)));
  return std::string("role=") + (options.kind == DeviceKind::kMemif ? "server" : "client") +
         ",id=0,socket-abstract=no,socket=" + options.device + ",bsize=" + std::to_string(slot) +
         ",rsize=" + std::to_string(std::countr_zero(options.rx_slots));
}

}  // namespace

const KindTraits& traits_of(DeviceKind kind) noexcept {
  MUST_LT(static_cast<std::size_t>(kind), std::size(kTraits));
  return kTraits[static_cast<std::size_t>(kind)];
}

const char* to_text(DeviceKind kind) noexcept {
  return traits_of(kind).name;
}

std::string device_name(const PortOptions& options) {
  if (options.kind == DeviceKind::kTap && options.device.empty()) return "gannet" + std::to_string(options.index);
  return options.device;
}

std::vector<DeviceRequest> requests_for(const PortOptions& options, std::uint16_t queues) {
  const std::string index = std::to_string(options.index), count = std::to_string(queues);
  switch (options.kind) {
    case DeviceKind::kTap:
      return {{"net_tap" + index, "iface=" + device_name(options)}};
    case DeviceKind::kAfPacket:
      return {{"net_af_packet" + index, packet_socket_arguments(options, queues)}};
    case DeviceKind::kAfXdp: {
      std::vector<DeviceRequest> requests;
      for (std::uint16_t queue = 0; queue < queues; ++queue) {
        requests.push_back({"net_af_xdp" + std::to_string(options.index * 64 + queue),
                            "iface=" + options.device + ",start_queue=" + std::to_string(queue) + ",queue_count=1"});
      }
      return requests;
    }
    case DeviceKind::kVhost:
      return {{"net_vhost" + index, "iface=" + options.device + ",queues=" + count + ",client=0"}};
    case DeviceKind::kVirtioUser:
      // One buffer holds a whole frame (Port makes them so), and the other end gives them back in order: the shorter
      // paths.
      return {{"net_virtio_user" + index, "path=" + options.device + ",queues=" + count + ",queue_size=" +
                                              std::to_string(options.rx_slots) + ",mrg_rxbuf=0,in_order=1"}};
    case DeviceKind::kMemif:
    case DeviceKind::kMemifClient:
      return {{"net_memif" + index, memif_arguments(options)}};
    case DeviceKind::kPci:
      return {{options.device, ""}};
    case DeviceKind::kRing:
      return {{"net_ring_" + options.device, ""}};
  }
  return {};
}

Outcome check_before_open(const Eal& eal, const PortOptions& options) {
  if (options.workers < 1 || options.workers > 64)
    return bad_option("a port serves 1 to 64 workers, not " + std::to_string(options.workers));
  if (options.mtu < 576 || options.mtu > 9000)
    return bad_option("mtu must be 576 to 9000, not " + std::to_string(options.mtu));
  if (!std::has_single_bit(options.rx_slots) || !std::has_single_bit(options.tx_slots)) {
    return bad_option("a port's slots must be a power of two");
  }
  const bool is_interface = options.kind == DeviceKind::kTap || traits_of(options.kind).kernel_interface;
  if (is_interface && device_name(options).size() >= IFNAMSIZ)
    return bad_option("an interface name has at most 15 letters: " + options.device);
  if (is_interface && options.device.find_first_of(",=/ ") != std::string::npos)
    return bad_option("no interface can be called " + options.device);
  if (options.kind == DeviceKind::kTap) return check_tap(options);
  if (traits_of(options.kind).kernel_interface) return check_kernel_interface(options);
  if (has_socket(options.kind)) return check_socket(options);
  if (options.kind == DeviceKind::kPci) return check_pci(eal, options);
  if (options.device.empty() || options.device.size() > 12) return bad_option("a ring needs a name of 1 to 12 letters");
  return {};
}

std::uint32_t packet_socket_slot_bytes(std::uint32_t mtu) noexcept {
  const std::uint32_t needed = frame_bytes_max(mtu) + 128;
  return needed <= 2048 ? 2048 : (needed + 4095) / 4096 * 4096;
}

std::uint16_t interface_mtu(const std::string& name) {
  const int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return 0;
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  const int got = ioctl(probe, SIOCGIFMTU, &request);
  close(probe);
  return got == 0 ? static_cast<std::uint16_t>(std::min(request.ifr_mtu, 65535)) : 0;
}

}  // namespace gannet::nicpipe::dpdk
