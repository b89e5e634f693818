#!/usr/bin/env python3
"""Sends UDP datagrams through the kernel to an echo and compares every answer byte for byte. Bounded in time; exit 1 on any fault."""
import argparse
import random
import select
import socket
import sys
import time


def payload_of(rng, number, size):
    """`size` bytes that name their datagram as far as they can."""
    return (number.to_bytes(4, "big") + rng.randbytes(max(0, size - 4)))[:size]


def sizes_of(rng, count, largest):
    """The edges first, then anything."""
    edges = [1, 2, 3, 18, 19, 127, 128, 129, 1000, largest - 1, largest]
    return (edges + [rng.randint(1, largest) for _ in range(count)])[:count]


def udp_socket(target):
    return socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)


def wait_until_answered(target, deadline):
    """The first datagram waits for ARP and for the device to be really up."""
    with udp_socket(target) as probe:
        probe.settimeout(0.2)
        while time.monotonic() < deadline:
            try:
                probe.sendto(b"probe", target)
                if probe.recv(2048) == b"probe":
                    return True
            except OSError:
                time.sleep(0.05)
    return False


class Flow:
    """One socket with one datagram under way."""

    def __init__(self, target):
        self.socket = udp_socket(target)
        self.socket.connect(target)
        self.expected, self.tries, self.sent_at = None, 0, 0.0

    def send(self, payload):
        self.expected, self.tries = payload, 0
        self.send_again()

    def send_again(self):
        self.tries += 1
        self.sent_at = time.monotonic()
        try:
            self.socket.send(self.expected)
        except OSError:
            pass  # A full queue: the timeout tries again.


def run(args):
    rng = random.Random(args.seed)
    target = (args.address, args.port)
    deadline = time.monotonic() + args.seconds
    if not wait_until_answered(target, deadline):
        print(f"no echo from {target}", file=sys.stderr)
        return 1
    work = [payload_of(rng, i, size) for i, size in enumerate(sizes_of(rng, args.count, args.largest))]
    flows = [Flow((args.address, args.port + (i % args.ports))) for i in range(args.flows)]
    by_socket = {flow.socket: flow for flow in flows}
    done = repeats = wrong = 0
    for flow in flows:
        if work:
            flow.send(work.pop())
    busy = sum(flow.expected is not None for flow in flows)
    while busy and time.monotonic() < deadline:
        for ready in select.select(list(by_socket), [], [], 0.05)[0]:
            flow = by_socket[ready]
            try:
                answer = ready.recv(65536)
            except OSError as error:
                print(f"fault: {error}", file=sys.stderr)
                wrong += 1
                continue
            if flow.expected is None:
                continue
            if answer != flow.expected:
                if flow.tries > 1:
                    continue  # Perhaps the late answer to the datagram before.
                print(f"wrong answer: {len(answer)} bytes for {len(flow.expected)}, first difference at "
                      f"{next((i for i, (a, b) in enumerate(zip(answer, flow.expected)) if a != b), 'the end')}", file=sys.stderr)
                wrong += 1
            done += 1
            flow.expected = None
            if work:
                flow.send(work.pop())
            else:
                busy -= 1
        now = time.monotonic()
        for flow in flows:
            if flow.expected is not None and now - flow.sent_at > 0.5:
                repeats += 1
                flow.send_again()
    lost = args.count - done
    print(f"echoed={done} lost={lost} repeats={repeats} wrong={wrong} flows={args.flows} seed={args.seed}")
    return 0 if not lost and not wrong and repeats <= args.count // 50 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--port", type=int, default=11211)
    parser.add_argument("--ports", type=int, default=1, help="destination ports used, from --port up")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--flows", type=int, default=32)
    parser.add_argument("--largest", type=int, default=1472)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--seed", type=int, default=4711)
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()
