"""The Linux kernel against the engine: run inside the namespace where tcp_tap_server's tap lives.

kernel_peer.py CASE [NAME=VALUE...]   Exit 0: it holds. The cases are the functions below named case_*.
The commands the server obeys are in tap_server.cc; Oracle below obeys the same ones from an ordinary kernel socket.
"""
import os
import random
import select
import socket
import struct
import sys
import threading
import time

SERVER = ("10.77.0.2", 11211)
SALT = 0x42


# The pattern of segment.h in rows of 256 bytes: a row depends on its number only by one addend.
ROWS = [bytes((i * 167 + addend) & 0xFF for i in range(256)) for addend in range(256)]


def pattern_prefix(count):
    rows = (count + 255) // 256
    return b"".join(ROWS[(row * 13 + (row >> 8) * 7 + SALT) & 0xFF] for row in range(rows))[:count]


def command(letter, number=0):
    return struct.pack(">c3xI", letter.encode(), number)


def dial(timeout=30.0, source=None, to=SERVER):
    client = socket.socket()
    client.settimeout(timeout)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source:
        client.bind((source, 0))
    client.connect(to)
    return client


def receive(client, count):
    pieces = []
    while count > 0:
        piece = client.recv(min(count, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def must(right, what):
    if not right:
        print("FAILED: " + what)
        sys.exit(1)


class Oracle:
    """The command server of tap_server.cc on the kernel's own TCP."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        at = 0
        shut = False
        try:
            while True:
                head = receive(client, 8)
                if len(head) < 8:
                    client.close()
                    return
                letter, number = struct.unpack(">c3xI", head)
                if letter == b"W":
                    data = pattern_prefix(at + number)[at:]
                    at += number
                    if not shut:
                        client.sendall(data)
                elif letter in b"ED":
                    while number > 0:
                        piece = client.recv(min(number, 65536))
                        if not piece:
                            client.close()
                            return
                        number -= len(piece)
                        if letter == b"E" and not shut:
                            client.sendall(piece)
                elif letter == b"S":
                    client.shutdown(socket.SHUT_WR)
                    shut = True
                elif letter == b"P":
                    time.sleep(number / 1000)
                elif letter == b"C":
                    client.close()
                    return
                else:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()
                    return
        except OSError:
            client.close()


def random_script(seed):
    """What one client does: bytes to send with pauses, how it ends."""
    rng = random.Random(seed)
    steps = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.random()
        if kind < 0.35:
            count = rng.choice([1, 24, 1000, 1460, 1461, 20000, 100000])
            steps.append(("send", command("W", count)))
        elif kind < 0.7:
            count = rng.choice([1, 24, 536, 1448, 5000, 70000])
            steps.append(("send", command("E", count) + rng.randbytes(count)))
        elif kind < 0.8:
            count = rng.randint(1, 50000)
            steps.append(("send", command("D", count) + rng.randbytes(count)))
        elif kind < 0.9:
            steps.append(("send", command("P", rng.randint(1, 20))))
        else:
            steps.append(("pause", rng.random() * 0.02))
    end = rng.choice(["S", "C", "R", "client_shutdown", "client_close", "S_then_more", "C_then_more", "W_then_R"])
    if end in "SCR":
        steps.append(("send", command(end)))
    elif end == "S_then_more":
        steps.append(("send", command("S")))
        steps.append(("pause", 0.01))
        steps.append(("send", command("D", 5000) + bytes(5000)))
    elif end == "C_then_more":
        # Bytes that are there unread when the server closes: a reset.
        steps.append(("send", command("C") + bytes(100)))
    elif end == "W_then_R":
        steps.append(("drain", 0))
        steps.append(("send", command("R")))
    steps.append((end if end.startswith("client") else "wait", 0))
    return steps, rng.randint(1, 7)


def play(steps, to, cut):
    """Gives what the client received and how it ended: "end" (FIN), "reset", None (by itself, or open for 5 s)."""
    client = dial(to=to)
    got = bytearray()
    outcome = None

    def listen(seconds):
        nonlocal outcome
        until = time.monotonic() + seconds
        while outcome is None:
            left = until - time.monotonic()
            if left < 0 or not select.select([client], [], [], left)[0]:
                return
            try:
                piece = client.recv(1 << 20)
            except ConnectionResetError:
                outcome = "reset"
                return
            if not piece:
                outcome = "end"
                return
            got.extend(piece)

    try:
        for what, argument in steps:
            if what == "send":
                view = memoryview(argument)
                while view and outcome != "reset":
                    # Cut in odd places, and read all the while, or both sides would wait for each other.
                    sent = client.send(view[: max(1, len(view) // cut)])
                    view = view[sent:]
                    listen(0)
            elif what == "pause":
                listen(argument)
            elif what == "drain":
                listen(0.1)
            elif what == "client_shutdown":
                client.shutdown(socket.SHUT_WR)
                listen(5)
            elif what == "wait":
                # The end is due: how it comes is compared. A connection left open answers nothing.
                listen(5)
    except (ConnectionResetError, BrokenPipeError):
        outcome = "reset"
    client.close()
    return bytes(got), outcome


def case_echo(arguments):
    """Both ways at once, cut anyhow, byte for byte."""
    total = int(arguments.get("bytes", 3_000_000))
    sent = random.Random(1).randbytes(total)
    client = dial()
    writer = threading.Thread(target=lambda: client.sendall(command("E", total) + sent))
    writer.start()
    got = receive(client, total)
    writer.join()
    must(got == sent, "the echo differs")
    client.sendall(command("W", total))
    must(receive(client, total) == pattern_prefix(total), "the pattern differs")
    client.sendall(command("C"))
    must(client.recv(1) == b"", "no end after close")


def case_ecn(arguments):
    """The kernel asks for ECN, and a path that marks loses nothing."""
    with open("/proc/sys/net/ipv4/tcp_ecn", "w") as setting:
        setting.write("1")
    client = dial()
    options = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
    must(options & 8, "ECN was not agreed")
    client.close()
    case_echo(arguments)
    with open("/proc/net/netstat") as file:
        rows = [line.split() for line in file if line.startswith("IpExt:")]
    seen = dict(zip(rows[0][1:], map(int, rows[1][1:])))
    must(seen["InCEPkts"] > 0, "the kernel saw no mark on what we sent")


def case_differential(arguments):
    """The same random scripts against the engine and against the kernel: same bytes, same end."""
    oracle = Oracle()
    seed = int(arguments.get("seed", 1))
    count = int(arguments.get("count", 60))
    results = [None] * count

    def one(number):
        steps, cut = random_script(seed * 100000 + number)
        results[number] = play(steps, SERVER, cut), play(steps, oracle.address, cut)

    numbers = iter(range(count))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            one(number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, pair in enumerate(results):
        must(pair is not None, f"script {number} was not played")
        (got, end), (expected, expected_end) = pair
        what = f"script seed={seed} number={number}: "
        must(end == expected_end, f"{what}ended with {end}, on the kernel with {expected_end}")
        # A reset may overtake bytes, and a client that closes by itself has read what had come; it must still be the
        # beginning of the same stream.
        common = min(len(got), len(expected))
        must(got[:common] == expected[:common], what + "other bytes than from the kernel")
        if end == "end":
            must(len(got) == len(expected), f"{what}{len(got)} bytes, from the kernel {len(expected)}")


def case_requests(arguments):
    """Many small requests over a few connections, each answered by its own bytes (for a lossy wire)."""
    count = int(arguments.get("count", 2000))
    clients = int(arguments.get("clients", 20))
    depth = int(arguments.get("depth", 8))
    failures = []

    def one(number):
        rng = random.Random(number)
        client = dial(timeout=60)
        for _ in range(count // clients // depth):
            batch = [rng.randbytes(rng.randint(1, 200)) for _ in range(depth)]
            client.sendall(b"".join(command("E", len(each)) + each for each in batch))
            expected = b"".join(batch)
            if receive(client, len(expected)) != expected:
                failures.append(number)
        client.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    must(not failures, f"wrong answers to clients {failures}")


def case_many(arguments):
    """So many connections at once, each alive."""
    count = int(arguments.get("count", 5000))
    clients = [dial() for _ in range(count)]
    for number, client in enumerate(clients):
        client.sendall(command("E", 4) + struct.pack(">I", number))
    for number, client in enumerate(clients):
        must(receive(client, 4) == struct.pack(">I", number), f"connection {number} has another's answer")
    for client in clients:
        client.close()


def case_storm(arguments):
    """Connect, ask, close, again and again, by either side."""
    count = int(arguments.get("count", 2000))
    for number in range(count):
        client = dial()
        if number % 3 == 0:
            client.sendall(command("C"))
            must(client.recv(1) == b"", "no end")
        elif number % 3 == 1:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def case_flood(arguments):
    """Half-open connections of strangers; a new client still gets in within a second."""
    count = int(arguments.get("count", 20000))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    own = socket.inet_aton(SERVER[0])
    worst = 0.0
    for number in range(count):
        source = struct.pack(">BBBB", 10, 77, 0, 10 + number % 240)
        port = 1024 + number // 240
        head = struct.pack(">HHIIBBHHHBBH", port, SERVER[1], number * 7919, 0, 6 << 4, 2, 65535, 0, 0, 2, 4, 1460)
        total = checksum(source + own + struct.pack(">HH", 6, len(head)) + head)
        head = head[:16] + struct.pack(">H", total) + head[18:]
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(head), 0, 0x4000, 64, 6, 0, source, own)
        raw.sendto(ip + head, (SERVER[0], 0))
        if number % (count // 5) == count // 5 - 1:
            began = time.monotonic()
            client = dial(timeout=5)
            client.sendall(command("E", 5) + b"hello")
            must(receive(client, 5) == b"hello", "no answer during the flood")
            worst = max(worst, time.monotonic() - began)
            client.close()
    print(f"worst time to connect and be answered: {worst * 1000:.1f} ms")
    must(worst <= 1.0, f"a new client waited {worst:.2f} s")


def case_never_reads(arguments):
    """Readers that never read hold little, and do not stop others."""
    deaf = [dial() for _ in range(int(arguments.get("count", 50)))]
    for client in deaf:
        client.sendall(command("W", 50_000_000))
    time.sleep(0.3)
    client = dial()
    for _ in range(200):
        client.sendall(command("E", 5) + b"hello")
        must(receive(client, 5) == b"hello", "no answer beside deaf readers")
    # One of them wakes up and gets every byte.
    total = 3_000_000
    must(receive(deaf[0], total) == pattern_prefix(total), "the waiting bytes are wrong")
    for each in deaf:
        each.close()


def case_vanishes(arguments):
    """Clients that are gone in the middle of a value, without a word: the server's timers clear them away."""
    os.system("ip address add 10.77.0.77/24 dev gt0")
    gone = [dial(source="10.77.0.77") for _ in range(20)]
    for number, client in enumerate(gone):
        client.sendall(command("E", 1000) + bytes(number))
        client.sendall(command("W", 100000)) if number % 2 else None
    os.system("ip address delete 10.77.0.77/24 dev gt0")
    for client in gone:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    client = dial()
    client.sendall(command("E", 5) + b"hello")
    must(receive(client, 5) == b"hello", "no answer after others vanished")
    time.sleep(float(arguments.get("wait", 3)))


def main():
    cases = {name[5:]: function for name, function in globals().items() if name.startswith("case_")}
    cases[sys.argv[1]](dict(word.split("=") for word in sys.argv[2:]))


if __name__ == "__main__":
    main()
