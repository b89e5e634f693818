#!/usr/bin/env python3
"""Kernel clients that make an appliance's life hard; each word on the command line is one trial, run in order. tools/tcp-torture runs them.

  relay TAP INTERFACE LOSS SEED     not a trial: joins a tap and an interface, losing that share of frames each way
  loss N                            N pipelined requests over 8 connections, every answer compared byte by byte
  crowd N                           N connections open at once, each served three times
  storm N                           N connections one after the other, ended in four ways
  flood N                           N half-open connections; meanwhile a new client must be served within a second
  slow                              a reader that does not read; others are served; then it reads, and all is right
  vanish                            clients that vanish in the middle of a value, without a word
"""
import collections
import os
import random
import resource
import selectors
import socket
import struct
import subprocess
import sys
import time

SERVER = ("10.77.0.2", 11211)
MAGIC = {"get": 0x00, "set": 0x01, "noop": 0x0A, "quit": 0x07, "stat": 0x10}


def request(op, key=b"", value=b"", opaque=0):
    extras = b"\0" * 8 if op == "set" else b""
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, MAGIC[op], len(key), len(extras), 0, 0, len(body), opaque, 0) + body


class Reader:
    """Whole answers out of a socket."""

    def __init__(self, link):
        self.link, self.buffer = link, bytearray()

    def more(self):
        piece = self.link.recv(1 << 16)
        if not piece:
            raise ConnectionError("the appliance closed")
        self.buffer += piece

    def answers(self):
        while len(self.buffer) >= 24:
            size = 24 + struct.unpack_from(">I", self.buffer, 8)[0]
            if len(self.buffer) < size:
                return
            answer = bytes(self.buffer[:size])
            del self.buffer[:size]
            yield answer

    def one(self):
        while True:
            for answer in self.answers():
                return answer
            self.more()


def connect(source=None, timeout=20):
    link = socket.socket()
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.settimeout(timeout)
    if source:
        link.bind((source, 0))
    link.connect(SERVER)
    return link


def must(good, what):
    if not good:
        sys.exit(f"FAILED: {what}")


def parts(answer):
    key_bytes, extras_bytes, _, status = struct.unpack_from(">HBBH", answer, 2)
    return status, struct.unpack_from(">I", answer, 12)[0], answer[24 + extras_bytes + key_bytes:]


def one_value(key):
    link = connect()
    link.sendall(request("get", key))
    status, _, value = parts(Reader(link).one())
    link.close()
    return value if status == 0 else None


def figures():
    link = connect()
    link.sendall(request("stat", b"gannet"))
    reader, found = Reader(link), {}
    while True:
        answer = reader.one()
        size = struct.unpack_from(">H", answer, 2)[0]
        if size == 0:
            link.close()
            return found
        found[answer[24:24 + size].decode()] = int(answer[24 + size:])


def within(seconds, name, good):
    """A worker writes its gauges ten times a second, so a figure is asked for until it is good, or time is up."""
    end = time.monotonic() + seconds
    while not good(seen := figures()[name]) and time.monotonic() < end:
        time.sleep(0.05)
    return seen


def value_of(number, generator):
    size = generator.choice((10, 100, 1000, 3000, 20_000)) if number % 20 else 60_000
    return struct.pack(">I", number) * (size // 4)


def loss(count):
    """Each connection owns its keys, so it knows every answer."""
    links, chooser = 8, selectors.DefaultSelector()
    started, done = time.monotonic(), 0
    for index in range(links):
        link = connect(timeout=120)
        link.setblocking(False)
        chooser.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE,
                         {"reader": Reader(link), "out": bytearray(), "model": {}, "expected": collections.deque(), "sent": 0, "index": index,
                          "random": random.Random(index)})
    share = count // links
    while done < share * links:
        events = chooser.select(120)
        must(events, f"nothing moved for two minutes after {done} answers")
        for key, mask in events:
            state = key.data
            if mask & selectors.EVENT_WRITE:
                while len(state["out"]) < 32_768 and state["sent"] < share and len(state["expected"]) < 400:
                    number, chance = state["sent"], state["random"]
                    name = b"c%d-%d" % (state["index"], chance.randrange(60))
                    if chance.random() < 0.25:
                        value = value_of(number, chance)
                        state["model"][name] = value
                        state["out"] += request("set", name, value, number)
                        state["expected"].append((number, None))
                    else:
                        state["out"] += request("get", name, opaque=number)
                        state["expected"].append((number, state["model"].get(name, b"Not found")))
                    state["sent"] += 1
                if state["out"]:
                    del state["out"][:key.fileobj.send(state["out"])]
            if mask & selectors.EVENT_READ:
                state["reader"].more()
                for answer in state["reader"].answers():
                    number, value = state["expected"].popleft()
                    status, opaque, got = parts(answer)
                    must(opaque == number, f"answer {opaque} where {number} was due")
                    must(got == value if value is not None else status == 0, f"request {number} of connection {state['index']} got a wrong value")
                    done += 1
                if state["sent"] == share and not state["expected"]:  # The appliance ends what is idle for too long.
                    chooser.unregister(key.fileobj)
                    key.fileobj.close()
    now = figures()
    print(f"loss: {done} requests, every byte right, {time.monotonic() - started:.1f} s; the appliance sent {now['tcp_retransmits']} segments "
          f"again, {now['tcp_timeouts']} timeouts, {now['tcp_out_of_order']} segments came out of order")


def crowd(count):
    started = time.monotonic()
    links = []
    for number in range(count):
        links.append(connect(source=f"10.77.0.{10 + number % 8}"))
    opened = time.monotonic() - started
    for turn in range(3):
        for number, link in enumerate(links):
            key = b"crowd%d" % number
            link.sendall(request("set", key, b"%d" % turn) + request("get", key))
        for number, link in enumerate(links):
            reader = Reader(link)
            stored, got = parts(reader.one()), parts(reader.one())
            must(stored[0] == 0 and got[2] == b"%d" % turn, f"connection {number} got {stored} and {got} in turn {turn}")
    there = within(2, "tcp_connections", lambda seen: seen >= count)
    must(there >= count, f"the appliance counts {there} connections")
    for link in links:
        link.close()
    print(f"crowd: {count} connections at once, opened in {opened:.1f} s, each served three times, {time.monotonic() - started:.1f} s in all")


def storm(count):
    started = time.monotonic()
    for number in range(count):
        link = connect(source=f"10.77.0.{10 + number % 8}")
        way = number % 4
        link.sendall(request("get", b"storm") + (request("quit") if way == 0 else b""))
        if way != 3:
            Reader(link).one()
        if way == 2:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
    seconds = time.monotonic() - started
    there = within(3, "tcp_connections", lambda seen: seen < 50)
    must(there < 50, f"{there} connections are left after the storm")
    print(f"storm: {count} connections, {count / seconds:.0f} a second, {there} left a moment later")


def flood(count):
    interface = open("/run/gannet-torture/client-interface").read().strip()
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    own = open(f"/sys/class/net/{interface}/address").read().strip()
    peer = subprocess.run(["ip", "neigh", "show", SERVER[0]], capture_output=True, text=True, check=True).stdout.split("lladdr ")[1].split()[0]
    frame_head = bytes.fromhex(peer.replace(":", "") + own.replace(":", "")) + b"\x08\x00"

    def checksum(data):
        total = sum(struct.unpack(f">{len(data) // 2}H", data))
        total = (total & 0xFFFF) + (total >> 16)
        return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF

    chance = random.Random(1)
    before = figures()
    started, slowest = time.monotonic(), 0.0
    for number in range(count):
        source = struct.pack(">BBH", 10, 77, chance.randrange(0x0100, 0xFFFF))
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 44, 0, 0x4000, 64, 6, 0, source, socket.inet_aton(SERVER[0]))
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        tcp = struct.pack(">HHIIBBHHHBBH", chance.randrange(1024, 65535), SERVER[1], chance.randrange(1 << 32), 0, 0x60, 2, 64240, 0, 0, 2, 4, 1460)
        pseudo = source + socket.inet_aton(SERVER[0]) + struct.pack(">HH", 6, len(tcp))
        tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
        while True:
            try:
                raw.send(frame_head + head + tcp)
                break
            except OSError:
                time.sleep(0.0005)
        if number % max(1, count // 20) == count // 40:
            begun = time.monotonic()
            must(one_value(b"nobody has this") is None, "a GET during the flood")
            slowest = max(slowest, time.monotonic() - begun)
    seconds = time.monotonic() - started
    now = figures()
    seen = now["tcp_cookies_sent"] - before["tcp_cookies_sent"]
    must(slowest <= 1.0, f"a new client waited {slowest:.2f} s during the flood")
    print(f"flood: {count} half-open connections in {seconds:.1f} s, {seen} answered by cookies; a new client is served within {slowest * 1000:.0f} ms")


def slow():
    value = bytes(i & 0xFF for i in range(100_000))
    link = connect()
    link.sendall(request("set", b"slow", value))
    must(parts(Reader(link).one())[0] == 0, "the slow reader's value")
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    reader.settimeout(60)
    reader.connect(SERVER)
    reader.sendall(b"".join(request("get", b"slow", opaque=n) for n in range(500)))
    slowest = 0.0
    for _ in range(300):
        begun = time.monotonic()
        must(one_value(b"slow") == value, "another client beside the slow reader")
        slowest = max(slowest, time.monotonic() - begun)
    held = figures()
    must(held["tcp_send_blocks"] * 2048 < 8 << 20, f"the slow reader holds {held['tcp_send_blocks']} blocks")
    answers = Reader(reader)
    for number in range(500):
        status, opaque, got = parts(answers.one())
        must(status == 0 and opaque == number and got == value, f"answer {number} to the slow reader")
    print(f"slow: 50 MB waited for a reader that did not read while others were served within {slowest * 1000:.0f} ms; then every byte was right")


def vanish():
    value = b"v" * 200_000
    first = connect()
    first.sendall(request("set", b"vanish", b"old"))
    Reader(first).one()
    for cut in (10, 24, 40, 5000, 150_000):
        link = connect()
        link.sendall(request("set", b"vanish", value)[:cut])
        time.sleep(0.1)
        link.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR: the kernel forgets the connection without a segment.
        link.close()
    during = figures()
    end = time.monotonic() + 60
    while figures()["reservations"] > 0:
        must(time.monotonic() < end, "values of clients that vanished are still waited for")
        time.sleep(0.5)
    must(one_value(b"vanish") == b"old", "the old value")
    print(f"vanish: five clients vanished, {during['reservations']} values half received were given up, the old value is intact")


def relay(tap, interface, share, seed):
    import fcntl
    share = float(share)
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH", tap.encode(), 0x1002))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((interface, 0))
    chance = random.Random(int(seed))
    chooser = selectors.DefaultSelector()
    chooser.register(fd, selectors.EVENT_READ, 0)
    chooser.register(wire, selectors.EVENT_READ, 1)
    print("relay: ready", flush=True)
    while True:
        for key, _ in chooser.select():
            if key.data == 0:
                frame = os.read(fd, 4096)
            else:
                frame, address = wire.recvfrom(4096)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
            tcp = len(frame) > 34 and frame[12:14] == b"\x08\x00" and frame[23] == 6
            if tcp and chance.random() < share:
                continue
            try:
                if key.data == 0:
                    wire.send(frame)
                else:
                    os.write(fd, frame)
            except OSError:
                pass


def main():
    words = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    trials = {"loss": (loss, 1), "crowd": (crowd, 1), "storm": (storm, 1), "flood": (flood, 1), "slow": (slow, 0), "vanish": (vanish, 0)}
    while words:
        word = words.pop(0)
        if word == "relay":
            return relay(*words)
        trial, arguments = trials[word]
        trial(*(int(words.pop(0)) for _ in range(arguments)))
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    main()
