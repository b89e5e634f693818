#!/bin/bash
# One device, end to end: the echo on it, real datagrams through it, every answer compared, nothing leaked, the device gone afterwards.
#   device_test.sh BIN_DIR NAME=VALUE...
# kind=tap|af_packet|af_xdp|vhost|memif   workers=N   queues=N (0: as workers)   mtu=N   pages=huge|small
# peer_queues=N   queues the peer of a socket device uses (default: workers)
# expect=WORDS    figures of the echo's last line that must not be 0, comma separated
# zero=WORDS      figures that must be 0
# family=6        everything over IPv6
# offload=no      the echo keeps to software; peer_offload=no: the peer does
# Exit 77 and a line "SKIPPED: reason" where the machine lacks something.
set -uo pipefail
bin=$1
shift
tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/netns
. "$tests/../../tools/netns"

kind=tap workers=1 queues=0 mtu=1500 pages=small peer_queues='' expect='' zero='' offload=yes peer_offload=yes family=4
for word in "$@"; do
  case "$word" in
    kind=* | workers=* | queues=* | mtu=* | pages=* | peer_queues=* | expect=* | zero=* | offload=* | peer_offload=* | family=*) declare "$word" ;;
    *) echo "bad option: $word" && exit 2 ;;
  esac
done

skip() { echo "SKIPPED: $1" && exit 77; }
fault() { echo "FAILED: $1" && failed=1; }

[ "$(id -u)" -eq 0 ] || skip "needs root"
ns=g-devices-$$
scratch=$(mktemp -d /tmp/g-devices.XXXXXX)
device=gd0 echo_pid='' failed=0
# shellcheck disable=SC2317  # Called by the trap.
cleanup() {
  if [ -n "$echo_pid" ]; then kill -KILL "$echo_pid" 2>/dev/null; fi
  netns_down "$ns"
  rm -rf "$scratch"
}
trap cleanup EXIT

case "$kind" in
  tap) [ -c /dev/net/tun ] || skip "no /dev/net/tun" ;;
  vhost | memif) device=$scratch/socket ;;
esac
if [ "$pages" = huge ]; then
  free=$(awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo)
  [ "$free" -ge 128 ] || skip "needs 128 free hugepages of 2 MiB, there are $free"
fi
netns_up "$ns" || skip "this machine allows no network namespace"
device_up "$kind" "$ns" "$device" 10.77.0.1/24 "$workers" "$mtu" || { fault "device_up"; exit 1; }

options=(mtu="$mtu")
[ "$pages" = huge ] || options+=(no-huge)
echo_options=(kind="$kind" device="$device" workers="$workers" queues="$queues" address=10.77.0.2 tails "${options[@]}")
[ "$family" = 4 ] || echo_options+=(address6=fd77::2)
[ "$offload" = yes ] || echo_options+=(no-offload)
peer_options=("${options[@]}")
[ "$family" = 4 ] || peer_options+=(address6=fd77::1 peer6=fd77::2)
[ "$peer_offload" = yes ] || peer_options+=(no-offload)
# exec: the pid is the echo's own, so that nothing else is ever signalled.
(exec ip netns exec "$ns" "$bin/echo_port" "${echo_options[@]}") >"$scratch/out" 2>"$scratch/err" &
echo_pid=$!
for _ in $(seq 100); do
  grep -q '^ready' "$scratch/out" && break
  kill -0 "$echo_pid" 2>/dev/null || break
  sleep 0.1
done
if ! grep -q '^ready' "$scratch/out"; then
  cat "$scratch/out" "$scratch/err"
  fault "the echo did not start"
  exit 1
fi
cat "$scratch/out"

case "$kind" in
  vhost | memif)
    [ "$kind" = vhost ] && peer=virtio-user || peer=memif-client
    timeout -s KILL 30 "$bin/peer_port" kind="$peer" device="$device" workers="${peer_queues:-$workers}" address=10.77.0.1 peer=10.77.0.2 \
      count=6000 "${peer_options[@]}" || fault "the peer"
    ;;
  *)
    device_join "$kind" "$ns" "$device" 10.77.0.1/24 "$mtu" || fault "device_join"
    target=10.77.0.2 headers=28
    if [ "$family" = 6 ]; then
      device_join6 "$kind" "$ns" "$device" fd77::1/64 || skip "this kernel has no IPv6"
      target=fd77::2 headers=48
    fi
    netns_run "$ns" python3 "$tests/echo_client.py" "$target" --largest $((mtu - headers)) --ports $((workers + 1)) || fault "the client"
    if [ "$kind" = tap ]; then
      own=$(ip -n "$ns" -o link show dev "$device" | sed -n 's/.*link.ether \([^ ]*\).*/\1/p')
      ip -n "$ns" neigh show "$target" | grep -q "lladdr ${own:-none}" && fault "both ends of the tap have the address $own"
    fi
    ;;
esac

kill -TERM "$echo_pid"
wait "$echo_pid" || fault "the echo ended with status $? (1: a buffer or a tail did not come back)"
echo_pid=''
tail -n 1 "$scratch/out"
# Quiet is part of the contract: what DPDK has to say comes in our own sentences.
if [ -s "$scratch/err" ]; then
  cat "$scratch/err"
  fault "something was printed to stderr"
fi
for word in ${expect//,/ }; do
  grep -q "^done.* $word=[1-9]" "$scratch/out" || fault "$word is 0"
done
for word in ${zero//,/ }; do
  grep -q "^done.* $word=0" "$scratch/out" || fault "$word is not 0"
done
if [ "$workers" -gt 1 ]; then grep -q "^done.* busy_workers=$workers " "$scratch/out" || fault "not every worker had work"; fi
case "$kind" in
  tap) ip -n "$ns" link show dev "$device" >/dev/null 2>&1 && fault "the tap is still there" ;;
  af_xdp) ip -n "$ns" link show dev "$device" | grep -q xdp && fault "the XDP program is still attached" ;;
  vhost) [ ! -e "$device" ] || fault "the socket is still there" ;;
esac
exit "$failed"
