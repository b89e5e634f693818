#!/usr/bin/env python3
"""Reads what a soak left behind and says, line by line, whether the books are right. usage: soak_verdict.py STATE WORKERS CLIENTS-FAILED
(or --progress SECOND with a status on stdin: one line of it)"""
import json
import pathlib
import re
import sys

# What may stand between a request executed and its answer, each counted.
ANSWER_DROPS = ("drop_no_buffer", "tx_refused")
# What only the noise can be dropped for: the other clients send nothing of the kind.
NOISE_DROPS = ("drop_frame_header", "drop_multi_datagram", "drop_bad_magic", "drop_truncated")


def progress(second):
    status = json.load(sys.stdin)
    memory = status["memory"]
    print(f"{second:>6} s {status['state']}: {status['requests_per_s']:>9.0f} requests/s, hit ratio {100 * (status['hit_ratio'] or 0):5.1f} %, "
          f"{memory['items']} items, {memory['evicted_items']} evicted, {memory['expired_items']} expired, drops {status['drops']}", flush=True)


def kernel_drops(state):
    """Frames the client's kernel dropped: on the interfaces, both ways, and in full socket buffers."""
    drops = 0
    for line in (state / "kernel-devices").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            fields = [int(word) for word in rest.split()]
            drops += fields[3] + fields[11]
    udp = [line.split() for line in (state / "kernel-udp").read_text().splitlines() if line.startswith("Udp:")]
    counters = dict(zip(udp[0][1:], map(int, udp[1][1:])))
    return drops + counters["RcvbufErrors"] + counters["SndbufErrors"] + counters["InErrors"]


def flatten(stats):
    """name -> value, whether the statistics come flat or in groups."""
    flat = {}
    for key, value in stats.items():
        if isinstance(value, dict):
            flat.update(flatten(value))
        elif isinstance(value, (int, float)):
            flat[key] = value
    return flat


def verdict(state, workers, clients_failed):
    sizes, batch, noise = (json.loads((state / name).read_text()) for name in ("sizes.json", "batch.json", "noise.json"))
    stats = flatten(json.loads((state / "stats.json").read_text()))
    life = json.loads((state / "status.json").read_text())["dataplane"]
    log = (state / "log").read_text()
    drops = {name: value for name, value in stats.items() if (name.startswith("drop_") or name == "tx_refused") and value}
    kernel = kernel_drops(state)
    totals = [client["total"] for client in (sizes, batch)]
    lost = sum(total["lost"] for total in totals)
    answered = sum(total[kind] for total in totals for kind in ("hits", "misses", "stored", "refused"))
    sent = sum(total["sent"] for total in totals)
    swallowed = sum(stats[name] for name in ANSWER_DROPS)
    # A dropped frame may have carried a whole batch.
    excuse = 8 * (sum(value for name, value in drops.items() if name not in NOISE_DROPS) + kernel)
    received = answered + noise["answers"] + sum(total["late"] for total in totals)
    audits = re.findall(r"msg=audit .*", log)
    clean = [line for line in audits if "faults=0" in line and "pins=0" in line and "reservations=0" in line]
    lines = [
        ("clients ended well", clients_failed == 0, f"{sent} requests sent, {answered} answered, {lost} lost, {noise['sent']} datagrams of noise"),
        ("requests sent = answered + lost", sent == answered + lost, f"{sent} = {answered} + {lost}"),
        ("every loss has a counted drop behind it", lost <= excuse, f"{lost} lost; the appliance dropped {drops or 'nothing'}, the client's kernel {kernel}"),
        ("requests executed = answers + silences + counted drops",
         stats["answers"] + stats["quiet_silences"] <= stats["requests"] <= stats["answers"] + stats["quiet_silences"] + swallowed,
         f"{stats['requests']} = {stats['answers']} + {stats['quiet_silences']}, dropped on the way out {swallowed}"),
        ("answers made = answers received", received <= stats["answers"] <= received + excuse,
         f"{stats['answers']} made, {received} received, {noise['answers']} of them by the noise"),
        ("no wrong value, nothing malformed", all(total["wrong"] == 0 and total["malformed"] == 0 for total in totals),
         f"{sum(total['hits'] for total in totals)} values compared"),
        ("memory was full: items were evicted", stats["evicted_items"] > 0, f"{stats['evicted_items']} evicted, {stats['expired_items']} expired"),
        ("no SET was refused for want of memory", stats["error_no_memory"] == 0 and all(total["refused"] == 0 for total in totals),
         f"{stats['cmd_set']} sets"),
        ("no pin, no reservation left", stats["pins"] == 0 and stats["reservations"] == 0, f"{stats['pins']}, {stats['reservations']}"),
        ("every packet buffer came back", "never came back" not in log and "msg=stopped" in log, "said by gannetd when it closed its ports"),
        ("the audit of every shard is clean", len(clean) == len(audits) == workers, f"{len(clean)} of {workers} shards"),
        ("gannetd ran through", (life["starts"], life["crashes"]) == (1, 0), f"{life['starts']} start, {life['crashes']} crashes"),
    ]
    for what, holds, detail in lines:
        print(f"  {'holds ' if holds else 'BROKEN'}  {what}: {detail}")
    good = all(holds for _, holds, _ in lines)
    print("soak: " + ("all of it holds" if good else f"{sum(not holds for _, holds, _ in lines)} lines are broken; what was kept: {state}"))
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1] == "--progress":
        progress(sys.argv[2])
    else:
        sys.exit(verdict(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
