#!/usr/bin/env python3
"""What tools/pci-test does inside its guest: usage: pci_guest.py PROGRAMS. The appliance gets the NIC with MAC ...:02 by vfio-pci, the kernel keeps ...:01 as the client."""
import glob
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))
from appliance_rig import Rig, Wrong, kill  # noqa: E402

OURS, CLIENT, APPLIANCE = "52:54:00:00:00:02", "52:54:00:00:00:01", "10.77.0.2"
CONFIG = """[appliance]
name = "rig"
[[port]]
device = "{pci}"
address = "10.77.0.2/24"
[workers]
count = 2
idle_sleep_us = 100
[memory]
size = "128MiB"
[control]
http = "off"
start_limit_s = 300
"""
faults = []


def told(holds, what, detail):
    print(f"  {'holds ' if holds else 'BROKEN'}  {what}: {detail}", flush=True)
    if not holds:
        faults.append(what)


def interface_of(mac):
    for path in glob.glob("/sys/class/net/*/address"):
        if pathlib.Path(path).read_text().strip() == mac:
            return pathlib.Path(path).parent.name
    raise Wrong(f"no interface has {mac}")


def give_to_vfio(interface):
    """The PCI address of what was a kernel interface."""
    device = pathlib.Path(f"/sys/class/net/{interface}/device").resolve()
    while not (device / "vendor").exists() or ":" not in device.name:  # Virtio's own device hangs below the PCI one.
        device = device.parent
    (device / "driver/unbind").write_text(device.name)
    (device / "driver_override").write_text("vfio-pci")
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(device.name)
    return device.name


def load(rig, *words):
    ran = subprocess.run([os.path.join(rig.programs, "gannet-load"), "--target", APPLIANCE, "--connections", "4", "--depth", "2", "--timeout-ms", "5000",
                          "--json", *words], capture_output=True, text=True)
    if ran.returncode != 0:
        raise Wrong(f"gannet-load {' '.join(words)}: {ran.stderr.strip()}")
    return json.loads(ran.stdout)["total"]


def judge_load(rig, what, *words):
    total = load(rig, *words)
    answered = total["sent"] - total["lost"]
    told(total["wrong"] == total["malformed"] == 0 and answered > 100 and total["lost"] * 100 <= total["sent"], what,
         f"{answered} of {total['sent']} requests answered, {total['hits']} values compared")


def main():
    client = interface_of(CLIENT)
    pci = give_to_vfio(interface_of(OURS))
    subprocess.run(["ip", "addr", "add", "10.77.0.1/24", "dev", client], check=True)
    subprocess.run(["ip", "link", "set", client, "up"], check=True)
    rig = Rig(sys.argv[1], CONFIG.format(pci=pci))
    rig.start_control(GANNET_AUDIT_ON_STOP="1")
    try:
        pid, status = rig.wait_serving(seconds=200)
        opened = [line for line in rig.log_text().splitlines() if 'msg="port open"' in line]
        told(len(opened) == 1, "the port is open", opened[0].split(" is=")[1] if opened else "nothing was said")
        told("without a copy" in opened[0], "the device may read the item memory", "shown to it through the IOMMU")
        judge_load(rig, "UDP", "--keys", "2000", "--seconds", "8")
        judge_load(rig, "UDP, values the device gathers", "--keys", "200", "--value-bytes", "1300", "--seconds", "5")
        judge_load(rig, "TCP", "--protocol", "tcp", "--keys", "2000", "--seconds", "8")
        judge_load(rig, "TCP, large values the device gathers", "--protocol", "tcp", "--keys", "50", "--value-bytes", "60000", "--seconds", "8")
        zero_copy = re.search(r'"answers_zero_copy": ?(\d+)', rig.ctl("--json", "stats"))
        told(zero_copy is not None and int(zero_copy[1]) > 0, "values left without a copy", f"{zero_copy and zero_copy[1]} answers")
        before = status_items(rig)
        kill(pid)
        _, status = rig.wait_serving(other_than=pid, seconds=200)
        time.sleep(1)
        after = status_items(rig)
        told(status["dataplane"]["warm"] is True and after == before, "killed with SIGKILL, it opens the device again and has its items", f"{before} before, {after} after")
        judge_load(rig, "the items left behind are right", "--protocol", "tcp", "--keys", "50", "--value-bytes", "60000", "--gets", "1", "--no-preload", "--seconds", "8")
        rig.ask("stop")
        told(rig.control.wait(60) == 0, "it stops", "exit code 0")
        log = rig.log_text()
        audits = [line for line in log.splitlines() if "msg=audit" in line]
        told(len(audits) == 2 and all("faults=0 pins=0 reservations=0" in line for line in audits), "the audit of both shards is clean", f"{len(audits)} shards")
        told("never came back" not in log and "MUST failed" not in log, "every packet buffer came back", "said by gannetd when it closed the port")
    except Wrong as wrong:
        told(False, "it runs", str(wrong))
    if faults:
        print("\n".join(rig.log_text().splitlines()[-20:]))
    rig.end()
    print("pci-test: " + ("all of it holds" if not faults else f"{len(faults)} lines are broken"), flush=True)


def status_items(rig):
    time.sleep(1)
    return rig.dataplane()[1]["memory"]["items"]


if __name__ == "__main__":
    main()
