#!/usr/bin/env bash
# tools/quickstart, as a newcomer and a careless one would use it: start, start again on another device, lose a process, stop, stop again.
# Its own instance: a quickstart the user left running is not touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(id -u)" -ne 0 ]; then echo "SKIPPED: quickstart needs root"; exit 77; fi
if [ ! -c /dev/net/tun ]; then echo "SKIPPED: no /dev/net/tun"; exit 77; fi

export GANNET_INSTANCE=test
state=/run/gannet-test
quickstart() { ./tools/quickstart "$@"; }
ctl() { build/release/bin/gannetctl --state "$state" "$@"; }
must() { echo "MUST: $*"; "$@" || { echo "FAILED: $*"; exit 1; }; }
must_not() { echo "MUST NOT: $*"; if "$@"; then echo "FAILED: not $*"; exit 1; fi; }
trap 'quickstart stop >/dev/null 2>&1 || true' EXIT

out=$(quickstart --memory 64MiB)
echo "$out"
must grep -q 'hit ratio' <<<"$out"
must grep -q 'wrong values 0, refused 0, late 0, malformed 0' <<<"$out"
must grep -q 'quickstart stop' <<<"$out"
must ctl status --sample-ms 0
first=$(<"$state/gannetd.pid")

echo "-- gannetd killed: it comes back on the same tap, where the client's address has stayed"
kill -KILL "$first"
state_and_pid() {
  ctl --json status --sample-ms 0 | python3 -c 'import json, sys; s = json.load(sys.stdin); print(s["state"], s["dataplane"]["pid"])'
}
for _ in $(seq 100); do
  read -r phase pid < <(state_and_pid) || true
  if [ "$phase" = serving ] && [ "$pid" != "$first" ]; then break; fi
  sleep 0.1
done
must [ "$phase" = serving ]
must_not [ "$pid" = "$first" ]
must ip netns exec gannet-test build/release/bin/gannet-load --target 10.77.0.2 --seconds 1 --keys 1000
first=$pid

echo "-- again, on another device with two workers, after gannet-control was killed"
kill -KILL "$(<"$state/control.pid")"
out=$(quickstart --device af_packet --workers 2 --memory 64MiB)
echo "$out"
must grep -q 'wrong values 0' <<<"$out"
must_not kill -0 "$first"
must [ "$(ctl --json status --sample-ms 0 | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["workers"]))')" = 2 ]

echo "-- gannetd killed: it comes back, and stop still ends everything"
second=$(<"$state/gannetd.pid")
kill -KILL "$second"
quickstart stop
must_not [ -e /run/netns/gannet-test ]
must_not [ -e /run/gannet/hugepages.quickstart-test ]
for pid in /proc/[0-9]*; do
  must_not grep -qsz -- "$state/gannet.toml" "$pid/cmdline"
done >/dev/null
quickstart stop

echo "-- a bad option starts nothing and says one sentence"
must_not quickstart --memory lots
must_not [ -e /run/netns/gannet-test ]
echo "quickstart: all as it should be"
