"""Random requests through kernel UDP sockets against a running appliance, compared answer by answer with a Python model of memcached's rules.
Many flows, so that requests arrive at every worker; every key's owner is the appliance's own affair, and must not show."""
import random
import struct

import memcache_udp as m

MASK = (1 << 64) - 1
PAYLOAD_MAX = 1400  # A request must fit one frame: fragments are dropped.


class Model:
    """What must be answered, as (status, value). Nothing is evicted: the memory is roomy."""

    def __init__(self):
        self.items = {}  # key: [value, flags, cas]

    def store(self, opcode, key, value, flags):
        there = key in self.items
        if (opcode == m.ADD and there) or (opcode == m.REPLACE and not there):
            return m.EXISTS if there else m.NOT_FOUND
        self.items[key] = [value, flags, None]
        return m.OK

    def concat(self, key, value, front):
        if key not in self.items:
            return m.NOT_STORED
        item = self.items[key]
        item[0] = value + item[0] if front else item[0] + value
        return m.OK

    def arithmetic(self, key, delta, initial, down):
        if key not in self.items:
            self.items[key] = [str(initial).encode(), 0, None]
            return m.OK, initial
        item = self.items[key]
        if not item[0].rstrip(b" ").isdigit() or int(item[0]) > MASK:
            return m.NOT_NUMERIC, None
        number = max(0, int(item[0]) - delta) if down else (int(item[0]) + delta) & MASK
        text = str(number).encode()
        # memcached writes a shorter number over the longer one in place, blanks behind.
        item[0] = text.ljust(len(item[0]))
        return m.OK, number


def one_step(rng, model, client, keys):
    key = rng.choice(keys)
    roll = rng.random()
    item = model.items.get(key)
    if roll < 0.40:
        answer = client.one(m.GET, key)
        if item is None:
            assert answer.status == m.NOT_FOUND, f"GET {key}: {answer.status:#x}, should miss"
        else:
            assert answer.status == m.OK, f"GET {key}: {answer.status:#x}, should hit"
            assert answer.value == item[0], f"GET {key}: {answer.value[:80]} for {item[0][:80]}"
            assert answer.flags == item[1], f"GET {key}: flags {answer.flags}"
            assert item[2] is None or answer.cas == item[2], f"GET {key}: CAS {answer.cas}"
            item[2] = answer.cas
    elif roll < 0.70:
        opcode = rng.choice((m.SET, m.SET, m.ADD, m.REPLACE))
        value = rng.randbytes(rng.choice((0, 1, 8, 64, 500, 1100))) if rng.random() < 0.8 else str(rng.getrandbits(40)).encode()
        flags = rng.getrandbits(32)
        answer = client.set(key, value, flags, opcode=opcode, tries=1)
        expected = model.store(opcode, key, value, flags)
        assert answer.status == expected, f"store {opcode} {key}: {answer.status:#x}, should be {expected:#x}"
        if expected == m.OK:
            model.items[key][2] = answer.cas
    elif roll < 0.78:
        status = client.delete(key).status
        assert status == (m.NOT_FOUND if item is None else m.OK), f"DELETE {key}: {status:#x}"
        model.items.pop(key, None)
    elif roll < 0.86:
        front = rng.random() < 0.5
        tail = rng.randbytes(rng.randrange(0, 200))
        answer = client.one(m.PREPEND if front else m.APPEND, key, tail)
        expected = model.concat(key, tail, front)
        assert answer.status == expected, f"concat {key}: {answer.status:#x}, should be {expected:#x}"
        if expected == m.OK:
            model.items[key][2] = answer.cas
    elif roll < 0.94:
        down = rng.random() < 0.5
        delta, initial = rng.getrandbits(rng.choice((1, 8, 40))), rng.getrandbits(32)
        answer = client.arithmetic(key, delta, initial, opcode=m.DECREMENT if down else m.INCREMENT)
        expected, number = model.arithmetic(key, delta, initial, down)
        assert answer.status == expected, f"arithmetic {key}: {answer.status:#x}, should be {expected:#x}"
        if expected == m.OK:
            assert answer.number == number, f"arithmetic {key}: {answer.number}, should be {number}"
            model.items[key][2] = answer.cas
    elif roll < 0.97 and item is not None and item[2] is not None:
        right = rng.random() < 0.5
        answer = client.set(key, b"conditional", 7, cas=item[2] if right else item[2] + 1, tries=1)
        assert answer.status == (m.OK if right else m.EXISTS), f"CAS SET {key}: {answer.status:#x}"
        if right:
            model.items[key] = [b"conditional", 7, answer.cas]
    else:
        batch(rng, model, client, keys)


def batch(rng, model, client, keys):
    """One datagram with several requests, quiet ones among them, that may belong to any worker: each answered or silent as the rules say."""
    wanted, payload = {}, b""
    for opaque in range(rng.randrange(2, 12)):
        key = rng.choice(keys)
        if len(payload) + len(key) + 100 > PAYLOAD_MAX:
            break
        item = model.items.get(key)
        if rng.random() < 0.6:
            # An answer of several datagrams is told from the others of this request id by its total alone: not in a batch.
            if item is not None and len(key) + len(item[0]) > 1300:
                continue
            payload += m.request(m.GETKQ, key, opaque=opaque)
            if item is not None:
                wanted[opaque] = key + item[0]
        else:
            value = b"batch%d" % rng.getrandbits(32)
            payload += m.request(m.SETQ, key, value, struct.pack(">II", 3, 0), opaque=opaque)
            model.items[key] = [value, 3, None]
    payload += m.request(m.NOOP, opaque=0xE0D)
    request_id = client.send(payload)
    got = {}
    while len(got) <= len(wanted):
        try:
            for answer in m.answers_of(client.receive(request_id)):
                got[answer.opaque] = answer
        except m.Lost:
            raise m.Lost(f"batch: answers {sorted(got)} came, should be {[*wanted, 0xE0D]}") from None
    assert got.pop(0xE0D).opcode == m.NOOP
    assert got.keys() == wanted.keys(), f"batch: answers {sorted(got)}, should be {sorted(wanted)}"
    for opaque, body in wanted.items():
        assert got[opaque].status == m.OK and got[opaque].key + got[opaque].value == body, f"batch: answer {opaque}"


def run(place, steps, seed, flows=12, keys=200):
    """`steps` random requests over `flows` sockets, one at a time; ends with a FLUSH that every worker must have obeyed."""
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    model = Model()
    clients = [place.client() for _ in range(flows)]
    names = [b"key:%d:%s" % (i, b"x" * rng.randrange(0, 200)) for i in range(keys)]
    clients[0].noop()
    for step in range(steps):
        try:
            one_step(rng, model, rng.choice(clients), names)
        except Exception as error:
            raise AssertionError(f"step {step} of seed {seed}: {error}") from error
    for name in names:
        assert rng.choice(clients).get(name) == (model.items[name][0] if name in model.items else None), name
    assert clients[0].flush().status == m.OK
    for name in names:
        assert rng.choice(clients).get(name) is None, f"{name} survived FLUSH"
    for client in clients:
        client.close()
