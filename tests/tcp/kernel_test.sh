#!/bin/bash
# The engine behind a tap, the Linux kernel as its peer: every case of kernel_peer.py.
#   kernel_test.sh BIN_DIR CASE [server=WORD]... [zero=WORDS] [some=WORDS] [NAME=VALUE]...
# server=NAME=VALUE goes to tcp_tap_server, other words to the case. zero: counters of the server's last line that must be 0; some: that must not.
# Exit 77 and a line "SKIPPED: reason" where the machine lacks something.
set -uo pipefail
bin=$1 case=$2
shift 2
tests=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/netns
. "$tests/../../tools/netns"
server_words=() case_words=() zero=blocks_used,packets_used some=
for word in "$@"; do
  case "$word" in
    server=*) server_words+=("${word#server=}") ;;
    zero=*) zero=${word#zero=} ;;
    some=*) some=${word#some=} ;;
    *) case_words+=("$word") ;;
  esac
done
skip() { echo "SKIPPED: $1" && exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root"
[ -c /dev/net/tun ] || skip "no /dev/net/tun"
ns=g-tcp-$$
scratch=$(mktemp -d /tmp/g-tcp.XXXXXX)
server='' failed=0
# shellcheck disable=SC2317  # Called by the trap.
cleanup() {
  if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null; fi
  netns_down "$ns"
  rm -rf "$scratch"
}
trap cleanup EXIT
netns_up "$ns" || skip "this machine allows no network namespace"
# exec: the pid is the server's own.
(exec ip netns exec "$ns" "$bin/tcp_tap_server" device=gt0 "${server_words[@]}") >"$scratch/out" 2>"$scratch/err" &
server=$!
for _ in $(seq 100); do
  grep -q '^ready' "$scratch/out" && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
grep -q '^ready' "$scratch/out" || { cat "$scratch/err"; echo "FAILED: the server did not start"; exit 1; }
device_join tap "$ns" gt0 10.77.0.1/24 || { echo "FAILED: device_join"; exit 1; }
ulimit -n 16384 2>/dev/null
netns_run "$ns" timeout -s KILL "${KERNEL_TEST_SECONDS:-100}" python3 "$tests/kernel_peer.py" "$case" "${case_words[@]}" || failed=1
sleep 0.2
kill -TERM "$server"
wait "$server" || { echo "FAILED: the server ended with status $?"; failed=1; }
server=''
cat "$scratch/err"
tail -n 1 "$scratch/out"
for word in ${zero//,/ }; do
  grep -q "^done.* $word=0\b" "$scratch/out" || { echo "FAILED: $word is not 0"; failed=1; }
done
for word in ${some//,/ }; do
  grep -q "^done.* $word=[1-9]" "$scratch/out" || { echo "FAILED: $word is 0"; failed=1; }
done
exit "$failed"
