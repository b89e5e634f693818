#!/usr/bin/env python3
"""Sends what no client should: random bytes, cut and lying requests, answers, empty datagrams. About 500 a second, seeded; ends after the
given seconds and prints how many it sent as JSON. usage: soak_noise.py ADDRESS PORT SEED SECONDS"""
import json
import random
import socket
import struct
import sys
import time


def request(rng):
    """A request of any opcode, mostly well-formed; keys are its own."""
    opcode = rng.choice([0x00, 0x01, 0x04, 0x05, 0x09, 0x0A, 0x0B, 0x0C, 0x0E, 0x11, 0x1C, 0x1D, 0x30, 0xEE])
    key = b"noise-%d" % rng.randrange(1000)
    extras = {0x01: bytes(8), 0x11: bytes(8), 0x05: struct.pack(">QQI", 1, 0, 0), 0x1C: bytes(4), 0x1D: bytes(4)}.get(opcode, b"")
    value = rng.randbytes(rng.randrange(40)) if opcode in (0x01, 0x0E, 0x11) else b""
    if opcode in (0x0A, 0x0B):
        key = b""
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(extras) + len(key) + len(value), rng.getrandbits(32), 0) + extras + key + value


def datagram(rng):
    frame = struct.pack(">HHHH", rng.getrandbits(16), 0, 1, 0)
    good = bytearray(frame + request(rng) + (request(rng) if rng.random() < 0.3 else b""))
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1472))
    if kind == 1:
        return bytes(good[: rng.randrange(len(good) + 1)])
    if kind == 2:  # One byte lies.
        good[rng.randrange(len(good))] = rng.getrandbits(8)
    elif kind == 3:  # The length lies.
        struct.pack_into(">I", good, 16, rng.getrandbits(32))
    elif kind == 4:  # A part of several datagrams.
        struct.pack_into(">HH", good, 2, rng.randrange(3), rng.choice([0, 2, 65535]))
    elif kind == 5:  # An answer.
        good[8] = 0x81
    elif kind == 6:
        return b""
    return bytes(good)


def drain(link):
    """Answers that lie in the socket. Many-datagram ones count once: a lie may turn a NOOP into a STAT."""
    count = 0
    try:
        while True:
            _, number, _, _ = struct.unpack_from(">HHHH", link.recv(65536))
            count += number == 0
    except OSError:
        return count


def main():
    address, port, seed, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    rng = random.Random(seed)
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect((address, port))
    link.setblocking(False)
    sent, answers, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(10):
            try:
                link.send(datagram(rng))
                sent += 1
            except OSError:
                pass
        time.sleep(0.02)
        answers += drain(link)
    time.sleep(0.5)
    answers += drain(link)
    print(json.dumps({"sent": sent, "answers": answers}))


if __name__ == "__main__":
    main()
