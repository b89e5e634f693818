"""python-binary-memcached: a client in pure Python, binary only. With two words more: its SASL user and password."""
import sys

import bmemcached

client = bmemcached.Client([sys.argv[1]], *sys.argv[2:4])
large = "".join(chr(97 + i % 26) for i in range(300_000))
assert client.set("bmemcached", "first") and client.get("bmemcached") == "first"
assert not client.add("bmemcached", "second") and client.replace("bmemcached", "third")
assert client.set("large", large) and client.get("large") == large
assert client.set("count", "7") and client.incr("count", 5) == 12 and client.decr("count", 2) == 10
many = {f"key{i}": f"value{i}" for i in range(300)}
assert client.set_multi(many) == [] and client.get_multi(list(many)) == many
value, cas = client.gets("bmemcached")
assert value == "third" and client.cas("bmemcached", "fourth", cas) and not client.cas("bmemcached", "fifth", cas)
assert client.delete("bmemcached") and client.get("bmemcached") is None
assert list(client.stats().values())[0]
client.disconnect_all()
