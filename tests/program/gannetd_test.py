"""gannetd end to end on devices of this machine: what a client in the network sees, and what an operator sees of its life."""
import json
import os
import random
import signal
import socket
import struct
import subprocess
import time

import harness
import memcache_udp as m
import model
from harness import APPLIANCE, CLIENT, stopped_clean

ETHERNET_ARP = 0x0806


def seed():
    return int(os.environ.get("GANNET_TEST_SEED", random.SystemRandom().getrandbits(32)))


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(size, timeout=2):
    """One ICMP echo through a raw socket: true if its own bytes came back."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.settimeout(timeout)
        data = random.randbytes(size)
        head = struct.pack(">BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, size)
        icmp.sendto(head[:2] + struct.pack(">H", checksum(head + data)) + head[4:] + data, (APPLIANCE, 0))
        while True:
            reply = icmp.recv(65536)[20:]
            if reply[0] == 0 and reply[4:8] == head[4:8]:
                return checksum(reply) == 0 and reply[8:] == data


def who_has(interface, address, source):
    """One ARP request by hand: the MAC that answers."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_ARP)) as raw:
        raw.bind((interface, ETHERNET_ARP))
        raw.settimeout(2)
        own = raw.getsockname()[4]
        raw.send(b"\xff" * 6 + own + struct.pack(">HHHBBH", ETHERNET_ARP, 1, 0x0800, 6, 4, 1) + own + socket.inet_aton(source) + b"\0" * 6 +
                 socket.inet_aton(address))
        while True:
            frame = raw.recv(2048)
            operation, sender_mac, sender = struct.unpack(">H6s4s", frame[20:32])
            if operation == 2 and sender == socket.inet_aton(address):
                assert frame[:6] == own and frame[6:12] == sender_mac
                return sender_mac


def a_client_of_one_worker_is_served_and_the_tap_goes_with_the_process(place):
    appliance = place.start(workers=1)
    client = place.client()
    assert client.noop().status == m.OK
    assert client.set(b"user:7", b"ada", flags=9).status == m.OK
    answer = client.one(m.GETK, b"user:7")
    assert (answer.key, answer.value, answer.flags) == (b"user:7", b"ada", 9)
    assert client.get(b"user:8") is None
    assert client.one(0x5D).status == m.UNKNOWN_COMMAND
    assert "gnt0" in place.interfaces()
    stopped_clean(appliance)
    assert "gnt0" not in place.interfaces()


def ping_arp_and_port_unreachable_are_answered(place):
    appliance = place.start(workers=1)
    mac = who_has("gnt0", APPLIANCE, CLIENT)
    assert mac != bytes.fromhex(open("/sys/class/net/gnt0/address").read().strip().replace(":", "")), "the kernel's own MAC"
    for size in (0, 1, 56, 57, 1000, 1472):
        assert ping(size), f"ping of {size} bytes"
    harness.must_be_unreachable(socket.AF_INET, APPLIANCE)
    stopped_clean(appliance)


def the_network_is_told_whose_address_it_is_when_the_appliance_comes_up(place):
    harness.netns("device_up", "af_packet", place.namespace, "gnp0", f"{CLIENT}/24", 1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_ARP)) as raw:
        raw.bind(("gnp0-c", ETHERNET_ARP))
        raw.settimeout(10)
        appliance = place.start(kind="af_packet", device="gnp0", make=False)
        while True:
            frame = raw.recv(2048)
            sender_mac, sender, _, target = struct.unpack(">6s4s6s4s", frame[22:42])
            if sender == socket.inet_aton(APPLIANCE):
                break
        assert frame[:6] == b"\xff" * 6 and target == sender, "not a gratuitous ARP"
        assert who_has("gnp0-c", APPLIANCE, CLIENT) == sender_mac
    stopped_clean(appliance)


def sources_outside_our_subnet_get_no_answer_unless_they_are_allowed(place):
    appliance = place.start(workers=1)
    subprocess.run(["ip", "address", "add", "10.99.0.1/24", "dev", "gnt0"], check=True)
    stranger = m.Client.__new__(m.Client)
    stranger.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.socket.bind(("10.99.0.1", 0))
    stranger.socket.connect((APPLIANCE, 11211))
    stranger.timeout, stranger.next_id = 0.5, 0
    try:
        stranger.noop()
        raise AssertionError("a stranger was answered")
    except m.Lost:
        pass
    assert place.client().noop().status == m.OK
    stopped_clean(appliance)
    appliance = place.start(workers=1, more=["--allow", "10.99.0.0/24"])
    subprocess.run(["ip", "address", "add", "10.99.0.1/24", "dev", "gnt0"], check=True)
    stranger.timeout = 2
    assert stranger.noop().status == m.OK
    stranger.close()
    stopped_clean(appliance)


def one_worker_agrees_with_the_model(place):
    appliance = place.start(workers=1)
    model.run(place, 4000, seed())
    stopped_clean(appliance)


def two_workers_agree_with_the_model(place):
    appliance = place.start(workers=2)
    model.run(place, 4000, seed())
    stopped_clean(appliance)


def four_workers_agree_with_the_model(place):
    appliance = place.start(workers=4)
    model.run(place, 4000, seed())
    stopped_clean(appliance)


def two_workers_behind_one_queue_share_the_flows_in_software(place):
    appliance = place.start(kind="af_packet", device="gnp0", workers=2, queues=1)
    assert "1 queue for 2 workers" in appliance.log()
    model.run(place, 3000, seed())
    stopped_clean(appliance)


def two_workers_agree_with_the_model_on_af_packet(place):
    appliance = place.start(kind="af_packet", device="gnp0", workers=2)
    model.run(place, 3000, seed())
    stopped_clean(appliance)


def two_workers_agree_with_the_model_on_af_xdp(place):
    appliance = place.start(kind="af_xdp", device="gnx0", workers=2)
    model.run(place, 3000, seed())
    stopped_clean(appliance)


def loaded_over_a_socket(place, kind, peer, workers, protocols=("udp",)):
    """gannet-load drives gannetd through a socket device: every answer compared, none lost. Two seconds of it, because the link is looked at once a second."""
    path = f"/run/gannet-test-{os.getpid()}.sock"
    appliance = place.launch(["--dev", f"{kind}:{path}", "--address", f"{APPLIANCE}/24", "--workers", str(workers), "--memory", "64M"])
    appliance.wait_for_log("msg=serving")
    try:
        for protocol in protocols:
            load = subprocess.run([place.load, "--dpdk", f"{peer}:{path}", "--queues", str(workers), "--source", f"{CLIENT}/24", "--target",
                                   APPLIANCE, "--protocol", protocol, "--keys", "2000", "--requests", "50000", "--rate", "25000",
                                   "--timeout-ms", "3000", "--no-progress", "--json"],
                                  capture_output=True, text=True, timeout=60)
            assert load.returncode == 0, f"gannet-load {protocol}: {load.returncode}\n{load.stdout}\n{load.stderr}"
            total = json.loads(load.stdout)["total"]
            assert (total["lost"], total["wrong"], total["refused"]) == (0, 0, 0), load.stdout
        appliance.wait_for_log('msg="link up"')
        stopped_clean(appliance)
        assert not os.path.exists(path), f"{path} was left behind"
    finally:
        if os.path.exists(path):
            os.unlink(path)


def one_worker_is_loaded_over_vhost(place):
    loaded_over_a_socket(place, "vhost", "virtio-user", 1, ("udp", "tcp"))


def two_workers_are_loaded_over_vhost(place):
    loaded_over_a_socket(place, "vhost", "virtio-user", 2)


def two_workers_are_loaded_over_memif(place):
    loaded_over_a_socket(place, "memif", "memif", 2, ("udp", "tcp"))


def every_workers_own_port_is_served(place):
    appliance = place.start(workers=4)
    for worker in range(4):
        client = place.client(11212 + worker)
        assert client.set(b"from:%d" % worker, b"%d" % worker).status == m.OK
        client.close()
    client = place.client()
    for worker in range(4):
        assert client.get(b"from:%d" % worker) == b"%d" % worker
    stopped_clean(appliance)


def large_values_come_back_whole_in_numbered_datagrams(place):
    appliance = place.start(workers=2)
    client = place.client()
    rng = random.Random(seed())
    value = rng.randbytes(1200)
    client.set(b"large", value)
    while len(value) < 60_000:
        piece = rng.randbytes(1200)
        assert client.one(m.APPEND, b"large", piece).status == m.OK
        value += piece
    for _ in range(20):
        assert client.get(b"large") == value
    stopped_clean(appliance)


def an_item_is_gone_in_the_second_it_expires(place):
    appliance = place.start(workers=1)
    client = place.client()
    client.set(b"short", b"life", expiry=2)
    client.set(b"long", b"life", expiry=100)
    assert client.get(b"short") == b"life"
    time.sleep(2.1)
    assert client.get(b"short") is None
    assert client.get(b"long") == b"life"
    stopped_clean(appliance)


def garbage_from_the_network_changes_nothing(place):
    appliance = place.start(workers=2)
    client = place.client()
    client.set(b"steady", b"value")
    rng = random.Random(seed())
    whole = m.FRAME.pack(1, 0, 1, 0) + m.request(m.SET, b"steady", b"other", struct.pack(">II", 0, 0))
    for _ in range(3000):
        bytes_ = bytearray(whole if rng.random() < 0.5 else rng.randbytes(rng.randrange(0, 300)))
        if len(bytes_) > 9:
            bytes_[8] = rng.choice((0x00, 0x7F, 0x81, 0xFF))
        client.socket.send(bytes(bytes_))
    time.sleep(0.2)
    other = place.client()
    assert other.get(b"steady") == b"value"
    stopped_clean(appliance)


def two_ports_serve_the_same_items_each_in_its_own_subnet(place):
    words = ["--dev", "tap:gnt0", "--address", f"{APPLIANCE}/24", "--dev", "tap:gnt1", "--address", "10.78.0.2/24", "--workers", "2"]
    appliance = place.launch([*words, "--memory", "64M", *([] if place.hugepages else ["--no-huge"])])
    appliance.wait_for_log("msg=serving")
    harness.netns("device_join", "tap", place.namespace, "gnt0", f"{CLIENT}/24")
    harness.netns("device_join", "tap", place.namespace, "gnt1", "10.78.0.1/24")
    one, other = place.client(), m.Client("10.78.0.2")
    for i in range(50):
        key = b"port:%d" % i
        assert one.set(key, b"from one side").status == m.OK
        assert other.get(key) == b"from one side"
        assert other.delete(key).status == m.OK
        assert one.get(key) is None
    stopped_clean(appliance)
    assert not {"gnt0", "gnt1"} & set(place.interfaces())


def a_killed_gannetd_leaves_nothing_in_the_way_of_the_next_one(place):
    for _ in range(3):
        appliance = place.start(workers=2)
        client = place.client()
        assert client.set(b"k", b"v").status == m.OK
        client.close()
        assert appliance.stop(signal.SIGKILL) == -signal.SIGKILL
        assert "gnt0" not in place.interfaces()
    appliance = place.start(workers=2)
    stopped_clean(appliance)


def stopping_under_load_answers_what_was_taken_and_loses_no_buffer(place):
    appliance = place.start(workers=2)
    clients = [place.client() for _ in range(8)]
    clients[0].noop()
    payload = b"".join(m.request(m.SETQ, b"load:%d" % i, b"x" * 40, struct.pack(">II", 0, 0)) for i in range(10)) + m.request(m.NOOP)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for client in clients:
            client.send(payload)
    appliance.process.send_signal(signal.SIGTERM)
    for _ in range(50):
        for client in clients:
            try:
                client.send(payload)
            except OSError:
                pass
    stopped_clean(appliance)


def a_wrong_start_says_one_sentence_and_exits_with_2(place):
    def refused(words, sentence):
        appliance = place.launch(words)
        code = appliance.process.wait(20)
        lines = appliance.log().splitlines()
        assert code == 2, f"{words}: exit {code}\n{appliance.log()}"
        assert sentence in lines[-1], f"{words}: {lines[-1]}"
        assert "gnt0" not in place.interfaces()

    common = ["--dev", "tap:gnt0", "--address", f"{APPLIANCE}/24", "--no-huge"]
    refused(["--shared", "/nowhere/shared"], "cannot be opened")
    refused([*common, "--cores", "9999"], "which this machine does not have")
    refused(["--dev", "af_packet:nosuch0", "--address", f"{APPLIANCE}/24", "--no-huge"], "nosuch0")
    refused(["--dev", "0000:ff:1f.7", "--address", f"{APPLIANCE}/24"], "0000:ff:1f.7")
    refused(["--dev", "tap:gnt0", "--address", f"{APPLIANCE}/24", "--memory", "900G"], "hugepages")


CASES = [
    a_client_of_one_worker_is_served_and_the_tap_goes_with_the_process,
    ping_arp_and_port_unreachable_are_answered,
    the_network_is_told_whose_address_it_is_when_the_appliance_comes_up,
    sources_outside_our_subnet_get_no_answer_unless_they_are_allowed,
    every_workers_own_port_is_served,
    large_values_come_back_whole_in_numbered_datagrams,
    an_item_is_gone_in_the_second_it_expires,
    garbage_from_the_network_changes_nothing,
    two_ports_serve_the_same_items_each_in_its_own_subnet,
    a_killed_gannetd_leaves_nothing_in_the_way_of_the_next_one,
    stopping_under_load_answers_what_was_taken_and_loses_no_buffer,
    a_wrong_start_says_one_sentence_and_exits_with_2,
    one_worker_agrees_with_the_model,
    two_workers_agree_with_the_model,
    four_workers_agree_with_the_model,
    two_workers_behind_one_queue_share_the_flows_in_software,
    two_workers_agree_with_the_model_on_af_packet,
    two_workers_agree_with_the_model_on_af_xdp,
]
# Peers of these share their packet memory as files of hugepages.
CASES_ON_HUGEPAGES = [
    one_worker_is_loaded_over_vhost,
    two_workers_are_loaded_over_vhost,
    two_workers_are_loaded_over_memif,
]

if __name__ == "__main__":
    harness.main(CASES, CASES_ON_HUGEPAGES)
