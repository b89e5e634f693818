"""memcache's binary protocol over UDP, standard library only: what the end-to-end tests speak to a running appliance.

One Client is one kernel socket over IPv4 or IPv6, so one flow. Every wait is bounded; a datagram that does not come is Lost, never a hang."""
import select
import socket
import struct
import time

REQUEST = struct.Struct(">BBHBBHIIQ")
FRAME = struct.Struct(">HHHH")
GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND, STAT = range(17)
SETQ, ADDQ, REPLACEQ, DELETEQ, INCREMENTQ, DECREMENTQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ, VERBOSITY, TOUCH, GAT, GATQ = range(0x11, 0x1F)
OK, NOT_FOUND, EXISTS, TOO_LARGE, INVALID, NOT_STORED, NOT_NUMERIC = range(7)
UNKNOWN_COMMAND, OUT_OF_MEMORY = 0x81, 0x82


class Lost(Exception):
    """No answer within the time allowed."""


class Answer:
    """One answer packet: fields as on the wire."""

    def __init__(self, packet):
        (self.magic, self.opcode, key_bytes, extras_bytes, self.data_type, self.status, body_bytes, self.opaque,
         self.cas) = REQUEST.unpack_from(packet)
        assert self.magic == 0x81, f"magic {self.magic:#x}"
        body = packet[24:24 + body_bytes]
        assert len(body) == body_bytes, "an answer shorter than it says"
        self.extras, self.key, self.value = body[:extras_bytes], body[extras_bytes:extras_bytes + key_bytes], body[extras_bytes + key_bytes:]
        self.bytes = 24 + body_bytes

    @property
    def flags(self):
        return struct.unpack(">I", self.extras[:4])[0]

    @property
    def number(self):
        return struct.unpack(">Q", self.value)[0]


def request(opcode, key=b"", value=b"", extras=b"", opaque=0, cas=0):
    body = extras + key + value
    return REQUEST.pack(0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, cas) + body


def answers_of(message):
    """The answer packets that follow each other in one message."""
    out = []
    while message:
        out.append(Answer(message))
        message = message[out[-1].bytes:]
    return out


class Client:
    def __init__(self, address, port=11211, timeout=1.0, source_port=0):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("", source_port))
        self.socket.connect((address, port))
        self.socket.setblocking(False)
        self.timeout = timeout
        self.next_id = 0

    def close(self):
        self.socket.close()

    def send(self, payload):
        """One datagram with `payload` behind the frame header; gives its request id."""
        self.next_id = (self.next_id + 1) & 0xFFFF
        self.socket.send(FRAME.pack(self.next_id, 0, 1, 0) + payload)
        return self.next_id

    def receive(self, request_id, timeout=None):
        """One whole message (its numbered datagrams joined) that carries `request_id`; others are dropped."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        parts, total = {}, None
        while total is None or len(parts) < total:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise Lost(f"request {request_id}: {len(parts)} of {total} datagrams")
            datagram = self.socket.recv(65536)
            got_id, sequence, count, reserved = FRAME.unpack_from(datagram)
            if got_id != request_id:
                continue
            assert reserved == 0 and sequence < count, f"frame header {got_id} {sequence} {count} {reserved}"
            total = count
            parts[sequence] = datagram[8:]
        return b"".join(parts[i] for i in range(total))

    def ask(self, payload, tries=1):
        """The first message that answers `payload`. Tries again only where the request may be repeated."""
        for attempt in range(tries):
            try:
                return self.receive(self.send(payload))
            except Lost:
                if attempt + 1 == tries:
                    raise

    def one(self, opcode, key=b"", value=b"", extras=b"", cas=0, opaque=0x5EED, tries=1):
        answer, = answers_of(self.ask(request(opcode, key, value, extras, opaque, cas), tries))
        assert (answer.opcode, answer.opaque) == (opcode, opaque), f"answer to another request: {answer.opcode} {answer.opaque:#x}"
        return answer

    def get(self, key, tries=3):
        """The value, or None."""
        answer = self.one(GET, key, tries=tries)
        if answer.status == NOT_FOUND:
            return None
        assert answer.status == OK, f"GET status {answer.status:#x}"
        return answer.value

    def set(self, key, value, flags=0, expiry=0, cas=0, opcode=SET, tries=3):
        return self.one(opcode, key, value, struct.pack(">II", flags, expiry), cas, tries=tries)

    def delete(self, key, cas=0):
        return self.one(DELETE, key, cas=cas)

    def arithmetic(self, key, delta, initial=0, expiry=0, opcode=INCREMENT):
        return self.one(opcode, key, extras=struct.pack(">QQI", delta, initial, expiry))

    def flush(self):
        return self.one(FLUSH, tries=3)

    def noop(self):
        return self.one(NOOP, tries=5)

    def stat(self, group=b""):
        """A group of statistics as a dict of texts."""
        answers = answers_of(self.ask(request(STAT, group), tries=3))
        assert answers and not answers[-1].key, "STAT does not end with an empty packet"
        return {a.key.decode(): a.value.decode() for a in answers[:-1]}
