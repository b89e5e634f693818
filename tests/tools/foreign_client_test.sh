#!/usr/bin/env bash
# A client written by others: libmemcached's own tools store over UDP (their UDP only writes, by design); what arrived is read back by a
# client of the test. Own namespace and state.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/tools/own_appliance.sh
source tests/tools/own_appliance.sh
own_appliance foreign 320 memccp
appliance_config "$state" tap:foreign0 10.77.0.2/24 2 64
appliance_start "$ns" "$state" 60 {lock}>&-
device_join tap "$ns" foreign0 10.77.0.1/24

# read_back NAME...: each name with the value's MD5 sum, or "absent".
read_back() {
  netns_run "$ns" python3 - "$@" <<'PY'
import hashlib, socket, struct, sys

link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(2)
link.connect(("10.77.0.2", 11211))
for number, name in enumerate(sys.argv[1:]):
    key = name.encode()
    link.send(struct.pack(">HHHHBBHBBHIIQ", number, 0, 1, 0, 0x80, 0, len(key), 0, 0, 0, len(key), number, 0) + key)
    answer, pieces = b"", 1
    while pieces:
        datagram = link.recv(2048)
        request, sequence, total, _ = struct.unpack_from(">HHHH", datagram)
        assert request == number, "an answer to another request"
        answer += datagram[8:]
        pieces = total - sequence - 1
    status, = struct.unpack_from(">H", answer, 6)
    print(name, hashlib.md5(answer[28:]).hexdigest() if status == 0 else "absent")
PY
}

names=()
for number in $(seq 20); do
  names+=("file$number")
  head -c $((number * 65)) /dev/urandom >"$files/file$number"
done
netns_run "$ns" memccp --binary --udp --servers=10.77.0.2:11211 "$files"/file*
sleep 0.3
expected=$(for name in "${names[@]}"; do printf '%s %s\n' "$name" "$(md5sum <"$files/$name" | cut -d' ' -f1)"; done)
found=$(read_back "${names[@]}")
diff <(echo "$expected") <(echo "$found") || { echo "FAILED: what memccp stored is not what came back"; exit 1; }

# memcslap's values are of all sizes; what does not fit one datagram arrives in fragments, which are refused and counted, two or more a SET.
figure() { ctl "$state" --json stats | python3 tests/tools/figure.py "$1"; }
before=$(figure cmd_set)
netns_run "$ns" memcslap --binary --udp --servers=10.77.0.2:11211 --test=set --concurrency=1 --execute-number=100 >/dev/null
sleep 1.5
stored=$(($(figure cmd_set) - before)) fragments=$(figure drop_ip_fragment)
if [ "$stored" -lt 10 ] || [ "$stored" -gt 100 ] || [ $((stored + fragments / 2)) -lt 100 ]; then
  echo "FAILED: of memcslap's 100 SETs $stored were executed and $fragments fragments counted"
  exit 1
fi
echo "memccp and memcslap of libmemcached are understood; what they stored is there, byte for byte"
