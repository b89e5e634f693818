"""A network namespace with gannetd in it, for the end-to-end tests. The test's file runs twice: outside it makes the namespace, inside it
runs the cases; whatever happens, the outer half takes the namespace away again.

    if __name__ == "__main__":
        harness.main(CASES, CASES_ON_HUGEPAGES)

A case is a function whose name is a sentence; it takes the Place it runs in. Exit code 77: the machine lacks what is needed, said aloud."""
import argparse
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

import memcache_udp  # noqa: E402

CLIENT, APPLIANCE = "10.77.0.1", "10.77.0.2"
CLIENT6, APPLIANCE6 = "fd77::1", "fd77::2"
SKIPPED = 77
PREFIX = "g-program-"
INSIDE = "GANNET_TEST_NAMESPACE"


def netns(function, *arguments, check=True):
    """Calls one function of tools/netns."""
    words = " ".join(f"'{a}'" for a in arguments)
    return subprocess.run(["bash", "-c", f". '{ROOT}/tools/netns'; {function} {words}"], check=check, capture_output=True, text=True)


def must_be_unreachable(family, address):
    """Sends to a port where nobody listens: the error must come back."""
    with socket.socket(family, socket.SOCK_DGRAM) as nobody:
        nobody.settimeout(2)
        nobody.connect((address, 4242))
        nobody.send(b"anybody there?")
        try:
            nobody.recv(10)
        except ConnectionRefusedError:
            return
        raise AssertionError("port 4242 answered")


class Gannetd:
    """One gannetd process. Its log is kept and shown when a case fails."""

    def __init__(self, place, words, environment):
        self.log_file = tempfile.NamedTemporaryFile(mode="w+", suffix=".log")
        self.place = place
        self.process = subprocess.Popen([place.gannetd, *words], stdout=self.log_file, stderr=self.log_file, env={**os.environ, **environment})

    def log(self):
        self.log_file.flush()
        return pathlib.Path(self.log_file.name).read_text()

    def wait_for_log(self, text, seconds=15):
        end = time.monotonic() + seconds
        while text not in self.log():
            assert self.process.poll() is None, f"gannetd ended with {self.process.returncode} before it said {text!r}"
            assert time.monotonic() < end, f"gannetd did not say {text!r} within {seconds} s"
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM, seconds=10):
        """Ends it and gives the exit code; negative: the signal that ended it."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"gannetd did not end within {seconds} s of {how.name}")


class Place:
    """Where a case runs: inside the namespace."""

    def __init__(self, namespace, gannetd, load, hugepages):
        self.namespace, self.gannetd, self.load, self.hugepages = namespace, gannetd, load, hugepages
        self.running, self.devices = [], []

    def start(self, kind="tap", workers=1, memory="64M", device="gnt0", queues=None, more=(), environment=None, make=True, source=CLIENT, ip6=False):
        """gannetd on a device of `kind`, serving, the client's side up with `source`, and CLIENT6 with `ip6`. `make` False: the device is
        there already."""
        if make:
            netns("device_up", kind, self.namespace, device, f"{source}/24", queues or workers)
        self.devices.append((kind, device))
        words = ["--dev", f"{kind}:{device}", "--address", f"{APPLIANCE}/24"]
        if ip6:
            words += ["--address6", f"{APPLIANCE6}/64"]
        if queues:
            words += ["--queues", str(queues)]
        words += ["--workers", str(workers), "--memory", memory, *([] if self.hugepages else ["--no-huge"]), *more]
        appliance = self.launch(words, environment)
        appliance.wait_for_log("msg=serving")
        netns("device_join", kind, self.namespace, device, f"{source}/24")
        if ip6:
            netns("device_join6", kind, self.namespace, device, f"{CLIENT6}/64")
        return appliance

    def launch(self, words, environment=None):
        appliance = Gannetd(self, words, {"GANNET_AUDIT_ON_STOP": "1", **(environment or {})})
        self.running.append(appliance)
        return appliance

    def client(self, port=11211, address=APPLIANCE, **more):
        return memcache_udp.Client(address, port, **more)

    def end_all(self):
        """Whatever a case left behind: the next one starts from an empty namespace."""
        for appliance in self.running:
            if appliance.process.poll() is None:
                appliance.process.kill()
                appliance.process.wait()
        for kind, device in self.devices:
            netns("device_down", kind, self.namespace, device)

    def interfaces(self):
        return os.listdir("/sys/class/net")


def stopped_clean(appliance):
    """Ends a gannetd by SIGTERM and holds it to: exit 0, no buffer lost, no broken invariant in the store."""
    code = appliance.stop()
    log = appliance.log()
    assert code == 0, f"gannetd ended with {code}"
    assert "never came back" not in log, "packet buffers leaked"
    audits = re.findall(r"msg=audit .*? faults=(\d+) pins=(\d+) reservations=(\d+)", log)
    assert audits and all(a == ("0", "0", "0") for a in audits), f"audit: {audits}"
    assert "msg=stopped" in log


def remove_stale_namespaces():
    """Of runs that were killed: their names carry the pid that made them."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        pid = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            netns("netns_down", name, check=False)


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def free_hugepages():
    return int(re.search(r"HugePages_Free:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))


def outside(arguments):
    if os.geteuid() != 0:
        skip("needs root: network namespaces and devices are made")
    if not os.path.exists("/dev/net/tun"):
        skip("needs /dev/net/tun: modprobe tun")
    namespace = f"{PREFIX}{os.getpid()}"
    remove_stale_namespaces()
    made = netns("netns_up", namespace, check=False)
    if made.returncode != 0:
        skip(f"needs network namespaces: {made.stderr.strip()}")
    raised = reserve_hugepages(arguments.hugepages)
    try:
        inner = subprocess.run(["ip", "netns", "exec", namespace, sys.executable, *sys.argv], env={**os.environ, INSIDE: namespace})
        return inner.returncode
    finally:
        netns("netns_down", namespace, check=False)
        give_back_hugepages(raised)


def reserve_hugepages(count):
    """Adds what is missing of `count` free pages of 2 MiB; gives how many were added."""
    if count == 0:
        return 0
    number = pathlib.Path("/proc/sys/vm/nr_hugepages")
    before = int(number.read_text())
    missing = max(0, count - free_hugepages())
    number.write_text(str(before + missing))
    if free_hugepages() < count:
        number.write_text(str(before))
        skip(f"needs {count} free hugepages of 2 MiB and the kernel could not make them")
    return missing


def give_back_hugepages(count):
    if count:
        number = pathlib.Path("/proc/sys/vm/nr_hugepages")
        number.write_text(str(max(0, int(number.read_text()) - count)))


def inside(cases, arguments):
    failed = 0
    for case in cases:
        name = case.__name__.replace("_", " ")
        if arguments.case and arguments.case not in name:
            continue
        place = Place(os.environ[INSIDE], os.path.abspath(arguments.gannetd), os.path.abspath(arguments.load), arguments.hugepages > 0)
        started = time.monotonic()
        try:
            case(place)
            print(f"ok      {name} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 - a failed case must not keep the others from running
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
            for appliance in place.running:
                print(f"log of gannetd {appliance.process.pid}:\n{appliance.log()}", flush=True)
        finally:
            place.end_all()
    print(f"{failed} failed", flush=True)
    return 1 if failed else 0


def main(cases, cases_on_hugepages):
    parser = argparse.ArgumentParser()
    parser.add_argument("--gannetd", required=True)
    parser.add_argument("--load", required=True, help="gannet-load")
    parser.add_argument("--hugepages", type=int, default=0, help="free pages of 2 MiB the cases need; 0: they run on 4 KiB pages")
    parser.add_argument("--case", help="only cases whose sentence contains this")
    arguments = parser.parse_args()
    if os.environ.get(INSIDE):
        sys.exit(inside(cases + (cases_on_hugepages if arguments.hugepages else []), arguments))
    sys.exit(outside(arguments))
