# Dalli, binary. With two words more: its SASL user and password.
require 'dalli'

options = { protocol: :binary, value_max_bytes: 1_048_576 }
options.update(username: ARGV[1], password: ARGV[2]) if ARGV.size > 1
client = Dalli::Client.new(ARGV[0], options)
large = 'abcdefghij' * 20_000
raise 'set' unless client.set('dalli', 'first') && client.get('dalli') == 'first'
raise 'add' if client.add('dalli', 'second')
raise 'replace' unless client.replace('dalli', 'third') && client.get('dalli') == 'third'
raise 'large' unless client.set('large', large) && client.get('large') == large
raise 'counter' unless client.incr('dalli-count', 1, 0, 7) == 7 && client.incr('dalli-count', 5) == 12 && client.decr('dalli-count', 2) == 10
client.multi { 300.times { |i| client.set("key#{i}", "value#{i}") } }
found = client.get_multi((0...300).map { |i| "key#{i}" })
raise 'multi' unless found.size == 300 && found['key42'] == 'value42'
raise 'cas' unless client.cas('dalli') { |value| value + '!' } && client.get('dalli') == 'third!'
raise 'touch' unless client.touch('dalli', 100)
raise 'delete' unless client.delete('dalli') && client.get('dalli').nil?
raise 'stats' unless client.stats.values.first['pid']
client.close
