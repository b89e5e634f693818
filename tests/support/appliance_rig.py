"""One appliance of a test's own, standard library only: gannet-control on a veth pair in a network namespace that goes away again, its configuration, state
and log in a folder, asked over its admin socket. kill-test and drill stand on it."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT, APPLIANCE, DEVICE = "10.78.0.1", "10.78.0.2", "gnk0"


class Wrong(Exception):
    """An answer that must not be, or a process that does not come back."""


def config_text(workers, size, page, path="", more=""):
    """An appliance on DEVICE, over UDP alone."""
    return (f'[appliance]\nname = "rig"\n[[port]]\ndevice = "af_packet:{DEVICE}"\naddress = "{APPLIANCE}/24"\n'
            f"queues = {workers}\n[workers]\ncount = {workers}\nidle_sleep_us = 200\n"
            f'[memory]\nsize = "{size}"\npage = "{page}"\npath = "{path}"\n[listen]\ntcp = 0\n[control]\nhttp = "off"\n{more}')


class Rig:
    """gannet-control and what it needs, in this namespace."""

    def __init__(self, programs, config):
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="gannet-rig-")
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.config = os.path.join(self.folder, "gannet.toml")
        self.control = None
        self.configure(config)

    def configure(self, text):
        pathlib.Path(self.config).write_text(text)

    def start_control(self, **environment):
        self.control = subprocess.Popen(
            [os.path.join(self.programs, "gannet-control"), "--config", self.config, "--state", self.folder],
            stdout=self.log, stderr=self.log, env=dict(os.environ, **environment), start_new_session=True)  # Ctrl-C is for us.

    def ctl(self, *words):
        """gannetctl, as the operator has it."""
        told = subprocess.run([os.path.join(self.programs, "gannetctl"), "--state", self.folder, *words], capture_output=True, text=True)
        if told.returncode != 0:
            raise Wrong(f"gannetctl {' '.join(words)} ended with {told.returncode}: {told.stdout}{told.stderr}")
        return told.stdout

    def ask(self, what):
        end = time.monotonic() + 10
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as admin:
                    admin.settimeout(5)
                    admin.connect(os.path.join(self.folder, "rig.sock"))
                    admin.sendall(json.dumps({"do": what}).encode() + b"\n")
                    text = b""
                    while not text.endswith(b"\n"):
                        part = admin.recv(65536)
                        if not part:
                            raise OSError("closed")
                        text += part
                    return json.loads(text)
            except OSError as error:
                if self.control.poll() is not None:
                    raise Wrong(f"gannet-control ended with {self.control.returncode}") from error
                if time.monotonic() > end:
                    raise Wrong(f"gannet-control does not answer: {error}") from error
                time.sleep(0.02)

    def dataplane(self):
        status = self.ask("status")["status"]
        return status["dataplane"]["pid"], status

    def wait_serving(self, other_than=0, seconds=20):
        end = time.monotonic() + seconds
        while True:
            pid, status = self.dataplane()
            if pid and pid != other_than and status["state"] == "serving":
                return pid, status
            if time.monotonic() > end:
                raise Wrong(f"gannetd does not serve within {seconds} s: {status['state']} {status['because']}")
            time.sleep(0.01)

    def log_text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def end(self, keep_log=False):
        if self.control and self.control.poll() is None:
            try:
                self.ask("stop")
                self.control.wait(15)
            except (Wrong, subprocess.TimeoutExpired):
                pid = self.dataplane_pid_from_proc()
                self.control.kill()
                self.control.wait()
                if pid:
                    os.kill(pid, signal.SIGKILL)
        if not keep_log:
            shutil.rmtree(self.folder, ignore_errors=True)

    def dataplane_pid_from_proc(self):
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if f"PPid:\t{self.control.pid}\n" in pathlib.Path(f"/proc/{entry}/status").read_text():
                    return int(entry)
            except OSError:
                pass
        return 0


def kill(pid):
    """False: it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def netns(text):
    return subprocess.run(["bash", "-c", f". '{ROOT}/tools/netns'; {text}"], capture_output=True, text=True)


def inside_namespace(program, words, programs, queues):
    """Runs `program` again with `words`, in a namespace of its own with the veth pair; gives its exit code. 77, said aloud: this machine cannot."""
    if os.geteuid() != 0:
        print("SKIPPED: needs root: network namespaces and devices are made")
        return 77
    if not os.access(os.path.join(programs, "gannetd"), os.X_OK):
        print(f"{os.path.basename(program)}: there is no gannetd in {programs}: build the release preset, or name the folder with --bin", file=sys.stderr)
        return 2
    space = f"g-rig-{os.getpid()}"
    made = netns(f"netns_up {space} && device_up af_packet {space} {DEVICE} {CLIENT}/24 {queues}")
    if made.returncode != 0:
        print(f"SKIPPED: no network namespace can be made here: {made.stderr.strip()}")
        return 77
    try:
        for number in (signal.SIGINT, signal.SIGTERM):  # The process inside ends in good order, then this one does.
            signal.signal(number, lambda *_: within.terminate())
        within = subprocess.Popen(["ip", "netns", "exec", space, sys.executable, program, *words], env=dict(os.environ, GANNET_RIG_INSIDE="1"))
        return within.wait()
    finally:
        netns(f"netns_down {space}")


def is_inside():
    return "GANNET_RIG_INSIDE" in os.environ
