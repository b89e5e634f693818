#!/usr/bin/env bash
# Clients written by others, in binary over TCP, against an appliance of two workers on a tap: libmemcached's tools, and what Debian packages
# for Python, Ruby, PHP, Perl and Java. Prints a markdown table; every row must be "works". Then the same appliance demands a password.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/tools/own_appliance.sh
source tests/tools/own_appliance.sh
own_appliance tcpclients 384 memccapable
server=10.77.0.2:11211 programs=$PWD/tests/tools/clients bad=0

# start [LINE...]: an appliance whose [listen] has these lines.
start() {
  appliance_stop "$state"
  appliance_config "$state" tap:clients0 10.77.0.2/24 2 64
  local line
  for line in "$@"; do sed -i "/^udp = /a $line" "$state/gannet.toml"; done
  appliance_start "$ns" "$state" 60 {lock}>&-
  device_join tap "$ns" clients0 10.77.0.1/24
}

# client NAME WHAT COMMAND...: one row.
client() {
  local name=$1 what=$2 says=works
  shift 2
  if ! timeout 60 ip netns exec "$ns" "$@" >"$files/out" 2>&1; then
    says="**fails**"
    bad=1
    tail -n 5 "$files/out" >&2
  fi
  printf '| %s | %s | %s |\n' "$name" "$what" "$says"
}

# version_of PACKAGE
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || printf 'missing'; }

# by_package PACKAGE INTERPRETER PROGRAM WHAT: a row for a program of ours over that package; a package that is not there is said aloud.
by_package() {
  if [ "$(version_of "$1")" = missing ] || [ ! -x "$2" ]; then
    printf '| %s | %s | not installed here |\n' "$1" "$4"
    return
  fi
  client "$1 $(version_of "$1")" "$4" "$2" "$programs/$3" "$server" "${@:5}"
}

# shellcheck disable=SC2317  # Called through `client`.
tools_round_trip() {
  memccp --binary --servers="$server" "$files/small" "$files/large" && memcexist --binary --servers="$server" small &&
    memctouch --binary --servers="$server" --expire=100 small && memccat --binary --servers="$server" --file="$files/back" large &&
    cmp "$files/back" "$files/large" && memcrm --binary --servers="$server" small && ! memcexist --binary --servers="$server" small &&
    memcstat --binary --servers="$server" | grep -q curr_items
}
export -f tools_round_trip
export files server
export CLASSPATH=/usr/share/java/spymemcached.jar

start
echo small >"$files/small"
head -c 200000 /dev/urandom >"$files/large"
lib=libmemcached-tools
echo "| client | what | |"
echo "|---|---|---|"
client "memccapable -b ($lib $(version_of $lib))" "all 27 tests of the binary protocol" memccapable -b -h 10.77.0.2 -p 11211
client "memccp memccat memcexist memctouch memcrm memcstat --binary" "store, ask, read 200 kB back, touch, remove, statistics" bash -c tools_round_trip
client "memcaslap -B" "20,000 requests, 16 connections" memcaslap -s "$server" -B -x 20000 -T 1 -c 16
client "memcslap --binary" "SET, GET and multi-GET, 4 connections" bash -c "for test in set get mget; do memcslap --binary --servers=$server --test=\$test --concurrency=4 --execute-number=200 || exit 1; done"
client "memcflush --binary" "everything is gone" memcflush --binary --servers="$server"
by_package python3-pylibmc /usr/bin/python3 pylibmc_client.py "set add replace cas append touch counters, 500 keys at once, 200 kB"
by_package python3-binary-memcached /usr/bin/python3 bmemcached_client.py "the same in pure Python, 300 kB"
by_package ruby-dalli /usr/bin/ruby dalli_client.rb "the same in Ruby, quiet multi"
by_package ruby-remcached /usr/bin/ruby remcached_client.rb "the same in Ruby over EventMachine, quiet multi"
by_package php-memcached /usr/bin/php php_memcached_client.php "the same in PHP over libmemcached"
by_package php-memcache /usr/bin/php php_memcache_client.php "the same in PHP, its own implementation"
by_package libmemcached-libmemcached-perl /usr/bin/perl libmemcached_client.pl "the same in Perl"
by_package libcache-memcached-libmemcached-perl /usr/bin/perl cache_memcached_client.pl "the same in Perl, structures"
by_package libspymemcached-java /usr/bin/java SpyClient.java "the same in Java, 300 kB"

printf '# users of the test\nada:lovelace\n' >"$files/users"
chmod 0600 "$files/users"
start "sasl_users = \"$files/users\""
by_package python3-binary-memcached /usr/bin/python3 bmemcached_client.py "with SASL PLAIN, the right password" ada lovelace
by_package ruby-dalli /usr/bin/ruby dalli_client.rb "with SASL PLAIN, the right password" ada lovelace
by_package libspymemcached-java /usr/bin/java SpyClient.java "with SASL PLAIN, the right password" ada lovelace
if timeout 20 ip netns exec "$ns" /usr/bin/php "$programs/php_memcached_client.php" "$server" >/dev/null 2>&1; then
  echo "FAILED: a client without a password was served"
  bad=1
fi
if [ "$bad" -ne 0 ]; then echo "FAILED: a client does not work"; exit 1; fi
echo "every client works; without a password none does where one is demanded"
