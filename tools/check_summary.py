#!/usr/bin/env python3
"""Reads ctest's JUnit files (label=path ...) and prints a line a stage, what failed, what was skipped and why, and the sum alone on the
last line. Exit 1 when a test failed, when none ran, or, with --no-skips, when one was skipped."""
import argparse
import re
import sys
import xml.etree.ElementTree as xml


def outcome_of(case):
    """passed, failed or skipped; only a test that says so itself (exit code 77) is skipped, one that could not start has failed."""
    if case.get("status") == "run":
        return "passed", ""
    skipped = case.find("skipped")
    if skipped is not None and "SKIP" in (skipped.get("message") or ""):
        said = re.search(r"SKIPPED:\s*(.+)", case.findtext("system-out") or "")
        return "skipped", said.group(1).strip() if said else "no reason given"
    return "failed", ""


def read(path):
    cases = []
    for case in xml.parse(path).getroot().iter("testcase"):
        outcome, reason = outcome_of(case)
        cases.append((case.get("name"), outcome, reason, float(case.get("time") or 0)))
    return cases


def summarise(stages, broken, no_skips):
    """stages: (label, cases); broken: labels whose build failed. Lines to print and the exit code."""
    lines, total = [], {"passed": 0, "failed": 0, "skipped": 0}
    remarks = []
    for label, cases in stages:
        count = {key: sum(1 for case in cases if case[1] == key) for key in total}
        lines.append(f"{label:10} {count['passed']:4} passed {count['failed']:4} failed {count['skipped']:4} skipped")
        for key in total:
            total[key] += count[key]
        for name, outcome, reason, _ in cases:
            if outcome == "failed":
                remarks.append(f"failed:  {label}/{name}")
            elif outcome == "skipped":
                remarks.append(f"skipped: {label}/{name}: {reason}")
    for label in broken:
        lines.append(f"{label:10} broken, see above")
        total["failed"] += 1
        remarks.append(f"failed:  {label}")
    bad = total["failed"] > 0 or total["passed"] == 0 or (no_skips and total["skipped"] > 0)
    if no_skips and total["skipped"]:
        remarks.append("here no test may be skipped (CI=true)")
    lines += remarks
    lines.append(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return lines, 1 if bad else 0


def self_test():
    junit = xml.fromstring(
        '<testsuite><testcase name="a" status="run" time="1"/><testcase name="b" status="fail"><failure message=""/></testcase>'
        '<testcase name="c" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/><system-out>x\nSKIPPED: no root\n</system-out></testcase>'
        '<testcase name="d" status="notrun"><skipped message="Unable to find executable"/></testcase></testsuite>')
    outcomes = [outcome_of(case) for case in junit.iter("testcase")]
    expected = [("passed", ""), ("failed", ""), ("skipped", "no root"), ("failed", "")]
    if outcomes != expected:
        print(f"self-test: expected {expected}, found {outcomes}")
        return 1
    ran, skipped, failed = [("a", "passed", "", 1)], [("c", "skipped", "no root", 0)], [("b", "failed", "", 0)]
    cases = [((ran, []), 0, False, 0), ((ran, skipped), 0, False, 0), ((ran, skipped), 0, True, 1), ((ran, failed), 0, False, 1),
             (([], []), 0, False, 1), ((ran, []), 1, False, 1)]
    for (first, second), broken, no_skips, code in cases:
        _, found = summarise([("x", first + second)], ["y"] * broken, no_skips)
        if found != code:
            print(f"self-test: {first + second}, {broken} broken, no_skips={no_skips}: expected exit {code}, found {found}")
            return 1
    print(f"check_summary self-test: {len(cases) + 1} cases")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help="label=junit.xml; label= for a stage whose build failed")
    parser.add_argument("--no-skips", action="store_true")
    parser.add_argument("--self-test", action="store_true", help="prove that a fault is found")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    stages, broken = {}, []
    for stage in args.stages:
        label, _, path = stage.partition("=")
        if path:
            stages.setdefault(label, []).extend(read(path))
        else:
            broken.append(label)
    lines, code = summarise(list(stages.items()), broken, args.no_skips)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
