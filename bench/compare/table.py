#!/usr/bin/env python3
"""Collects results of bench/compare/run and prints their medians as a markdown table.
usage: table.py --add RESULTS SUBJECT RESULT.json CPU-BEFORE CPU-AFTER CORES-DISTANCE-NS  |  table.py [--loads] RESULTS COMMAND MEMCACHED-VERSION
       table.py --rate RESULTS: the median of requests a second, a whole number"""
import json
import os
import statistics
import sys

POLLS = "gannet"  # These servers use their core whatever they do: their CPU time is the time that passes, times their workers (1).


def add(results, subject, path, before, after, distance):
    with open(path) as file:
        load = json.load(file)
    if load["trouble"] or load["total"]["wrong"] or load["total"]["malformed"]:
        sys.exit(f"{subject}: {load['trouble'] or 'wrong answers'}")
    answered = load["answers"]
    if subject.startswith(POLLS):
        cores = 1.0
    else:
        # Around the whole client process: what it asked for in all, its last answers included.
        answered = sum(load["total"][kind] for kind in ("hits", "misses", "stored", "refused"))
        cores = (float(after) - float(before)) / load["seconds"]
    per_core = answered / (cores * load["seconds"])
    row = {"subject": subject, "rate": load["requests_per_second"], "cores": cores, "per_core": per_core, "hit_ratio": load["hit_ratio"],
           "p50": load["get"]["p50_us"], "p99": load["get"]["p99_us"], "lost": load["total"]["lost"], "distance": float(distance)}
    with open(results, "a") as file:
        file.write(json.dumps(row) + "\n")


def read(results):
    rows = {}
    with open(results) as file:
        for line in file:
            row = json.loads(line)
            rows.setdefault(row["subject"], []).append(row)
    medians = {subject: {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "subject"} for subject, runs in rows.items()}
    return rows, medians


def conditions(rows, command, version):
    load = os.getloadavg()[0]
    return (f"\nMedians of {len(list(rows.values())[-1])} rounds; `{command}`; memcached {version}, {os.cpu_count()} CPUs, "
            f"load average at the end {load:.1f}.")


def loads(results, command, version):
    """Subjects are SERVER-tcp-SHAPE-rRATE; a row a rate, the servers beside each other; the run without a rate is the most memcached can do."""
    rows, medians = read(results)
    most = next(median["rate"] for subject, median in medians.items() if "-r" not in subject)
    servers, rates = [], {}
    for subject, median in medians.items():
        if "-r" in subject:
            server, rate = subject.split("-tcp-")[0], int(subject.rsplit("-r", 1)[1])
            rates.setdefault(rate, {})[server] = median
            if server not in servers:
                servers.append(server)
    print(f"memcached's most, in a closed loop: {most:,.0f} requests/s. p50 / p99 in us; in brackets what was answered where it is less than was asked for.\n")
    print("| of memcached's most | requests/s asked for | " + " | ".join(servers) + " | p99: " + ", p99: ".join(f"{s} to memcached" for s in servers[1:]) + " |")
    print("|---:|---:|" + "---:|" * (len(servers) + 1))
    for rate, by in sorted(rates.items()):
        cells = [f"{m['p50']:.0f} / {m['p99']:.0f}" + (f" ({m['rate']:,.0f})" if m["rate"] < 0.97 * rate else "") for m in (by[s] for s in servers)]
        ratios = ", ".join(f"{by[s]['p99'] / by[servers[0]]['p99']:.2f}" for s in servers[1:])
        print(f"| {rate / most:.0%} | {rate:,} | " + " | ".join(cells) + f" | {ratios} |")
    print(conditions(rows, command, version))


def rate(results):
    """Of everything measured so far."""
    print(int(statistics.median(row["rate"] for runs in read(results)[0].values() for row in runs)))


def table(results, command, version):
    rows, medians = read(results)
    base = medians.get("memcached-udp", {}).get("per_core")
    print("| server and wire | requests/s | server cores used | requests per server core and second | lowest .. highest run | to memcached UDP | p50, us | p99, us | lost | cores apart, ns |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for subject, median in medians.items():
        runs = sorted(run["per_core"] for run in rows[subject])
        distances = sorted(run["distance"] for run in rows[subject])
        ratio = f"{median['per_core'] / base:.1f} x" if base else "-"
        print(f"| {subject} | {median['rate']:,.0f} | {median['cores']:.2f} | {median['per_core']:,.0f} | {runs[0]:,.0f} .. {runs[-1]:,.0f} | {ratio} | "
              f"{median['p50']:.0f} | {median['p99']:.0f} | {median['lost']:.0f} | {distances[0]:.0f} .. {distances[-1]:.0f} |")
    print(conditions(rows, command, version))


if __name__ == "__main__":
    if sys.argv[1] == "--add":
        add(*sys.argv[2:])
    elif sys.argv[1] == "--rate":
        rate(*sys.argv[2:])
    elif sys.argv[1] == "--loads":
        loads(*sys.argv[2:])
    else:
        table(*sys.argv[1:])
