"""pylibmc in binary: what an application does with it, against the server named on the command line."""
import sys

import pylibmc

client = pylibmc.Client([sys.argv[1]], binary=True, behaviors={"tcp_nodelay": True, "cas": True})
large = bytes(i * 31 & 0xFF for i in range(200_000))
assert client.set("pylibmc", "first") and client.get("pylibmc") == "first"
assert client.add("pylibmc", "second") is False and client.replace("pylibmc", "third")
assert client.set("large", large) and client.get("large") == large
assert client.set("count", 7) and client.incr("count", 5) == 12 and client.decr("count", 2) == 10
many = {f"key{i}": i for i in range(500)}
assert client.set_multi(many) == [] and client.get_multi(list(many)) == many
assert client.delete_multi(list(many)) and client.get_multi(list(many)) == {}
value, cas = client.gets("pylibmc")
assert value == "third" and client.cas("pylibmc", "fourth", cas) and not client.cas("pylibmc", "fifth", cas)
assert client.append("pylibmc", "!") and client.get("pylibmc") == "fourth!"
assert client.touch("pylibmc", 100) and client.delete("pylibmc") and client.get("pylibmc") is None
assert client.get_stats()
