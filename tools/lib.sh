# shellcheck shell=bash
# What the scripts of tools/ share: progress, one-sentence failures, packages, hugepages. Sourced, never run.
# Needs: bash 5 with `set -euo pipefail`; the caller sets nothing else.

gannet_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
gannet_run=/run/gannet          # State of what is running; gone after a reboot, like what it describes.
gannet_hugepage_kib=2048        # The page size every script reserves.

# say TEXT...: one line of progress.
say() { printf '%s\n' "== $*"; }

# warn TEXT...: something to know; the run goes on.
warn() { printf '%s\n' "gannet: warning: $*" >&2; }

# fail WHAT FIX: ends the script with one sentence and what mends it.
fail() {
  printf '%s\n' "gannet: $1${2:+: $2}" >&2
  exit 1
}

# need_root COMMAND: COMMAND is what the user typed, shown with sudo in front.
need_root() {
  [ "$(id -u)" -eq 0 ] || fail "$1 needs root for namespaces, hugepages and devices" "run \`sudo $1\`"
}

# packages_of SECTION...: package names of these sections of tools/packages.
packages_of() {
  awk -v wanted=" $* " '
    { sub(/#.*/, ""); gsub(/[ \t]+$/, "") }
    /^\[.*\]$/ { section = substr($0, 2, length($0) - 2); next }
    NF && index(wanted, " " section " ") { print $1 }' "$gannet_root/tools/packages"
}

# packages_missing SECTION...: those of them that are not installed.
packages_missing() {
  local names installed
  mapfile -t names < <(packages_of "$@")
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${names[@]}" 2>/dev/null || true)
  local name
  for name in "${names[@]}"; do
    grep -qx "installed $name" <<<"$installed" || printf '%s\n' "$name"
  done
}

# install_packages SECTION...: installs what is missing, and says so; silent and quick when nothing is.
install_packages() {
  command -v dpkg-query >/dev/null || fail "this machine is no Debian" "use Debian 12, or install the packages of tools/packages by hand"
  local missing
  mapfile -t missing < <(packages_missing "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || fail "packages are missing" "run \`sudo apt-get install --no-install-recommends ${missing[*]}\`"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
         DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "apt-get could not install ${missing[*]}" "mend what it says above and run this again"
  fi
  rm -f "$log"
}

# quietly LOG COMMAND...: runs it with the output in LOG; shows the end of LOG when it fails. Gives the command's status.
quietly() {
  local log=$1 status=0
  shift
  "$@" >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then tail -n 40 "$log" >&2; fi
  return "$status"
}

# Hugepages: each user has a name and a record of what it added, so that giving back leaves exactly what was there before, also when
# the run that added them died. Runs under a lock because the kernel only offers read, add, write.
hugepages_record() { printf '%s/hugepages.%s\n' "$gannet_run" "$1"; }

hugepages_locked() {
  mkdir -p "$gannet_run"
  local lock
  exec {lock}>"$gannet_run/hugepages.lock"
  flock "$lock"
  "$@"
  local status=$?
  exec {lock}>&-
  return "$status"
}

hugepages_total() { awk '/^HugePages_Total:/ { print $2 }' /proc/meminfo; }
hugepages_free() { awk '/^HugePages_Free:/ { print $2 }' /proc/meminfo; }

# hugepages_add NAME MIB: reserves MIB more on top of what there is; what NAME had added before counts.
hugepages_add() { hugepages_locked hugepages_change "$1" $((($2 * 1024 + gannet_hugepage_kib - 1) / gannet_hugepage_kib)); }

# hugepages_give_back NAME: takes away what NAME added; nothing when it added nothing.
hugepages_give_back() { hugepages_locked hugepages_change "$1" 0; }

hugepages_change() {
  local name=$1 wanted=$2 record had=0 before after
  record=$(hugepages_record "$name")
  if [ -s "$record" ]; then had=$(<"$record"); fi
  before=$(hugepages_total)
  # A reboot empties both; a record larger than what the machine has is not worth believing.
  if [ "$had" -gt "$before" ]; then had=$before; fi
  if [ "$wanted" -ne "$had" ]; then
    echo $((before - had + wanted)) >/proc/sys/vm/nr_hugepages
  fi
  after=$(hugepages_total)
  if [ "$wanted" -eq 0 ]; then
    rm -f "$record"
    return 0
  fi
  echo $((after - before + had)) >"$record"
  [ $((after - before + had)) -ge "$wanted" ] || return 1
}

# duration_of COMMAND...: runs it; $duration_s has the seconds it took, its status is given.
duration_of() {
  local started=$SECONDS status=0
  "$@" || status=$?
  # shellcheck disable=SC2034  # Read by the caller.
  duration_s=$((SECONDS - started))
  return "$status"
}

# keep_owner PATH...: what root made in a user's tree goes back to that user.
keep_owner() {
  if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_UID:-}" ] && [ "$SUDO_UID" != 0 ]; then
    chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$@" 2>/dev/null || true
  fi
}
