"""gannetd over IPv6, the Linux kernel at the other end: its neighbour discovery, its UDP, its TCP, its ICMPv6."""
import os
import random
import re
import socket
import struct
import subprocess
import time

import harness
import memcache_udp as m
from harness import APPLIANCE6, CLIENT6, stopped_clean

ETHERNET_IP6 = 0x86DD


def link_local_of(mac):
    return socket.inet_ntop(socket.AF_INET6, b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:])


def solicited_node_of(address):
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + socket.inet_pton(socket.AF_INET6, address)[13:])


def neighbour_mac(address):
    """What the kernel has learned by neighbour discovery."""
    shown = subprocess.run(["ip", "-6", "neigh", "show", address], check=True, capture_output=True, text=True).stdout
    return bytes.fromhex(re.search(r"lladdr (\S+)", shown).group(1).replace(":", ""))


def ping(address, size, interface="gnt0", timeout=2):
    """One ICMPv6 echo through a raw socket, whose checksums the kernel makes and checks: true if its own bytes came back."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
        icmp.settimeout(timeout)
        data = random.randbytes(size)
        head = struct.pack(">BBHHH", 128, 0, 0, os.getpid() & 0xFFFF, size)
        icmp.sendto(head + data, (address, 0, 0, socket.if_nametoindex(interface)))
        while True:
            reply, source = icmp.recvfrom(65536)
            if reply[0] == 129 and reply[4:8] == head[4:8]:
                return reply[8:] == data and source[0].split("%")[0] == address


def served(client):
    assert client.noop().status == m.OK
    assert client.set(b"user:7", b"ada", flags=9).status == m.OK
    answer = client.one(m.GETK, b"user:7")
    assert (answer.key, answer.value, answer.flags) == (b"user:7", b"ada", 9)
    assert client.get(b"user:8") is None
    for size in (1, 1000, 1300, 1400, 5000, 100_000):
        value = random.randbytes(size)
        assert client.set(b"large", value[:1300]).status == m.OK
        for at in range(1300, size, 1300):
            assert client.one(m.APPEND, b"large", value[at:at + 1300]).status == m.OK
        assert client.get(b"large") == value, f"a value of {size} bytes"


def a_client_over_ip6_is_served_on_a_tap_and_both_families_see_the_same_items(place):
    appliance = place.start(workers=1, ip6=True)
    served(place.client(address=APPLIANCE6))
    assert place.client().get(b"user:7") == b"ada"
    mac = neighbour_mac(APPLIANCE6)
    assert mac != bytes.fromhex(open("/sys/class/net/gnt0/address").read().strip().replace(":", "")), "the kernel's own MAC"
    local = link_local_of(mac)
    for size in (0, 1, 56, 57, 1000, 1452):
        assert ping(APPLIANCE6, size), f"ping of {size} bytes"
    assert ping(local, 56), f"ping of {local}"
    stranger = m.Client.__new__(m.Client)
    stranger.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    stranger.socket.connect((local, 11211, 0, socket.if_nametoindex("gnt0")))
    stranger.timeout, stranger.next_id = 2, 0
    assert stranger.get(b"user:7") == b"ada"
    stranger.close()
    harness.must_be_unreachable(socket.AF_INET6, APPLIANCE6)
    stopped_clean(appliance)


def two_workers_share_the_flows_over_ip6_in_software_and_on_queues_of_their_own(place):
    for queues in (1, 2):
        appliance = place.start(workers=2, queues=queues, ip6=True)
        clients = [place.client(11211 + k % 3, address=APPLIANCE6) for k in range(9)]
        for k, client in enumerate(clients):
            assert client.set(b"key%d" % k, b"value%d" % k).status == m.OK
        for client in clients:
            for k in range(9):
                assert client.get(b"key%d" % k) == b"value%d" % k
        handled = [int(place.client(11212 + k, address=APPLIANCE6).stat(b"")["cmd_set"]) for k in range(2)]
        assert sum(handled) >= 9, handled
        stopped_clean(appliance)


def a_client_is_served_on_a_veth_whose_kernel_asks_who_we_are(place):
    appliance = place.start(kind="af_packet", device="gnp0", workers=2, ip6=True)
    served(place.client(address=APPLIANCE6))
    stopped_clean(appliance)


def the_network_is_told_our_ip6_addresses_when_the_appliance_comes_up(place):
    harness.netns("device_up", "af_packet", place.namespace, "gnp0", f"{harness.CLIENT}/24", 1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_IP6)) as raw:
        raw.bind(("gnp0-c", ETHERNET_IP6))
        raw.settimeout(10)
        appliance = place.start(kind="af_packet", device="gnp0", make=False, ip6=True)
        told, asked, heard, began = {}, set(), set(), 0
        while len(told) < 2:
            frame = raw.recv(2048)
            if frame[20] == 58 and frame[54] == 135 and frame[22:38] == bytes(16):
                asked.add(socket.inet_ntop(socket.AF_INET6, frame[62:78]))
                began = time.monotonic()
            if frame[20] == 0 and frame[54] == 58 and frame[62] == 143:  # Router alert in front of a listener report.
                assert frame[:6] == bytes.fromhex("333300000016") and frame[21] == 1
                heard = {socket.inet_ntop(socket.AF_INET6, frame[74 + 20 * k:90 + 20 * k]) for k in range(frame[69])}
            if frame[20] == 58 and frame[54] == 136:
                assert frame[:6] == bytes.fromhex("333300000001") and frame[21] == 255
                told[socket.inet_ntop(socket.AF_INET6, frame[62:78])] = frame[80:86]
        mac = told[APPLIANCE6]
        assert told == {APPLIANCE6: mac, link_local_of(mac): mac}
        # Whether somebody has them is asked first, and he is given time to answer; switches are told what we hear.
        assert asked == set(told) and time.monotonic() - began > 0.7
        assert heard == {solicited_node_of(address) for address in told}, heard
    assert place.client(address=APPLIANCE6).noop().status == m.OK
    assert neighbour_mac(APPLIANCE6) == mac
    stopped_clean(appliance)


def who_wants_our_address_for_himself_learns_that_it_is_taken(place):
    appliance = place.start(workers=1, ip6=True)
    subprocess.run(["ip", "-6", "address", "add", f"{APPLIANCE6}/64", "dev", "gnt0"], check=True)
    for _ in range(50):
        shown = subprocess.run(["ip", "-6", "address", "show", "dev", "gnt0"], check=True, capture_output=True, text=True).stdout
        if "dadfailed" in shown:
            break
        time.sleep(0.1)
    assert re.search(rf"{APPLIANCE6}/64 .*dadfailed", shown), shown
    subprocess.run(["ip", "-6", "address", "del", f"{APPLIANCE6}/64", "dev", "gnt0"], check=True)
    assert place.client(address=APPLIANCE6).noop().status == m.OK
    stopped_clean(appliance)


def an_address_that_somebody_has_is_not_taken_from_him_and_the_operator_is_told(place):
    harness.netns("device_up", "af_packet", place.namespace, "gnp0", f"{harness.CLIENT}/24", 1)
    harness.netns("device_join6", "af_packet", place.namespace, "gnp0", f"{APPLIANCE6}/64")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_IP6)) as raw:
        raw.bind(("gnp0-c", ETHERNET_IP6))
        raw.settimeout(2.5)
        appliance = place.start(kind="af_packet", device="gnp0", make=False, ip6=True)
        appliance.wait_for_log("claims our address")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                frame, where = raw.recvfrom(2048)
            except TimeoutError:
                break
            taken = where[2] != socket.PACKET_OUTGOING and frame[20] == 58 and frame[54] == 136
            assert not taken, "the appliance announced an address that another has"
    assert place.client().noop().status == m.OK
    stopped_clean(appliance)
    harness.netns("device_down", "af_packet", place.namespace, "gnp0")


def only_allowed_sources_are_answered_over_ip6(place):
    def verdict():
        client = place.client(address=APPLIANCE6, timeout=0.5)
        try:
            return client.noop().status == m.OK
        except m.Lost:
            return False

    appliance = place.start(workers=1, ip6=True, more=["--allow", "fd78::/64", "--allow", "10.77.0.0/24"])
    assert not verdict()
    assert place.client().noop().status == m.OK
    stopped_clean(appliance)
    appliance = place.start(workers=1, ip6=True, more=["--allow", f"{CLIENT6}/128"])
    assert verdict()
    stopped_clean(appliance)


def received(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, f"the connection ended after {len(data)} of {size} bytes"
        data += piece
    return data


def a_tcp_client_over_ip6_is_served_by_the_same_appliance(place):
    appliance = place.start(workers=2, ip6=True, more=["--tcp", "11211"])
    value = random.randbytes(500_000)
    for k in range(4):  # Flows of both workers, keys of both.
        with socket.create_connection((APPLIANCE6, 11211), timeout=5) as connection:
            key = b"tcp%d" % k
            connection.sendall(m.request(m.SET, key, value, struct.pack(">II", 0, 0)) + m.request(m.GET, key))
            assert m.Answer(received(connection, 24)).status == m.OK
            assert m.Answer(received(connection, 24 + 4 + len(value))).value == value
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as nobody:
        nobody.settimeout(3)
        assert nobody.connect_ex((APPLIANCE6, 4242)) != 0, "port 4242 is open"
    assert place.client(address=APPLIANCE6).noop().status == m.OK
    stopped_clean(appliance)


CASES = [
    a_client_over_ip6_is_served_on_a_tap_and_both_families_see_the_same_items,
    a_tcp_client_over_ip6_is_served_by_the_same_appliance,
    two_workers_share_the_flows_over_ip6_in_software_and_on_queues_of_their_own,
    a_client_is_served_on_a_veth_whose_kernel_asks_who_we_are,
    the_network_is_told_our_ip6_addresses_when_the_appliance_comes_up,
    who_wants_our_address_for_himself_learns_that_it_is_taken,
    an_address_that_somebody_has_is_not_taken_from_him_and_the_operator_is_told,
    only_allowed_sources_are_answered_over_ip6,
]

if __name__ == "__main__":
    harness.main(CASES, [])
