#!/usr/bin/env python3
"""Reads every #include of the tree against tools/layers.txt: which room may include which. Exit 1 and one line a fault."""
import argparse
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCES = {".h", ".cc"}


def read_rules(text):
    rules = {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        room, _, words = line.partition(":")
        allowed = [w for w in words.split() if not w.startswith("!")]
        forbidden = [w[1:] for w in words.split() if w.startswith("!")]
        rules[room.strip()] = (allowed, forbidden)
    return rules


def room_of(path, rules):
    rooms = [room for room in rules if path == room or path.startswith(room + "/")]
    return max(rooms, key=len, default=None)


def faults_of(path, text, rules, top_level):
    """Faults of one file, each a sentence."""
    room = room_of(path, rules)
    if room is None:
        return [f"{path}: belongs to no room of tools/layers.txt"]
    allowed, forbidden = rules[room]
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, header = match.groups()
        target = room_of(header, rules) if header.split("/")[0] in top_level else None
        if target is None:
            if quote == '"' and header.split("/")[0] not in top_level:
                faults.append(f'{path}:{number}: write "{header}" from the top of the tree, or in <> if it is not ours')
            for word in forbidden:
                if header.startswith(word):
                    faults.append(f"{path}:{number}: {room} may never include <{header}>")
        elif target != room and "*" not in allowed and target not in allowed:
            faults.append(f"{path}:{number}: {room} may not include {target} ({header})")
    return faults


def check(root):
    rules = read_rules((root / "tools/layers.txt").read_text())
    top_level = {room.split("/")[0] for room in rules}
    faults, files = [], 0
    for top in sorted(top_level):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES:
                files += 1
                faults += faults_of(path.relative_to(root).as_posix(), path.read_text(), rules, top_level)
    return faults, files


def self_test():
    rules = read_rules("a: b !rte_\nb:\nc: *\n")
    top = {"a", "b", "c"}
    cases = [
        ("a/x.h", '#include "b/y.h"\n#include <vector>\n', 0),
        ("b/x.h", '#include "a/y.h"\n', 1),
        ("a/x.h", "#include <rte_mbuf.h>\n", 1),
        ("c/x.cc", '#include "a/y.h"\n#include <rte_mbuf.h>\n', 0),
        ("a/x.h", '#include "y.h"\n', 1),
        ("d/x.h", "", 1),
    ]
    for path, text, expected in cases:
        found = faults_of(path, text, rules, top)
        if len(found) != expected:
            print(f"self-test: {path} {text!r}: expected {expected} faults, found {found}")
            return 1
    print(f"layers self-test: {len(cases)} cases")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true", help="prove that a fault is found")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    faults, files = check(args.root)
    print("\n".join(faults) if faults else f"layers: {files} files keep to tools/layers.txt")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
