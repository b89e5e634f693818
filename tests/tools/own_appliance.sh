# shellcheck shell=bash
# An appliance of a test's own: namespace, state directory, scratch files, hugepages; all taken away at the exit. Sourced from the tree's top, never run.
# shellcheck source=tools/lib.sh
source tools/lib.sh
# shellcheck source=tools/netns
source tools/netns
# shellcheck source=tools/appliance
source tools/appliance

# own_appliance NAME HUGEPAGES PROGRAM: sets ns, state and files; says why it skips where it lacks something.
own_appliance() {
  own_name=$1
  if [ "$(id -u)" -ne 0 ]; then echo "SKIPPED: needs root"; exit 77; fi
  if ! command -v "$3" >/dev/null; then echo "SKIPPED: $3 (package libmemcached-tools) is not installed"; exit 77; fi
  ns=gannet-$1 state=/run/gannet-$1 files=$(mktemp -d)
  trap own_appliance_leave EXIT
  mkdir -p "$state"
  exec {lock}>"$state/lock"
  flock -w 60 "$lock" || { echo "FAILED: another $1 test is at work"; exit 1; }
  hugepages_add "$1" "$2" || { echo "SKIPPED: $2 hugepages of 2 MiB are not to be had"; exit 77; }
  netns_up "$ns"
}

# shellcheck disable=SC2317  # Called by the trap.
own_appliance_leave() {
  appliance_stop "$state"
  netns_down "$ns"
  hugepages_give_back "$own_name"
  rm -rf "$files" "$state"
}
