# remcached over EventMachine: binary from the ground up, quiet multi operations.
require 'remcached'

host = ARGV[0]
ANSWER_SECONDS = 20

def must(good, what)
  return if good
  warn what
  exit! 1
end

ok, missing, exists = Memcached::Errors::NO_ERROR, Memcached::Errors::KEY_NOT_FOUND, Memcached::Errors::KEY_EXISTS
large = 'abcdefghij' * 20_000
many = (0...300).to_h { |i| ["key#{i}", "value#{i}"] }

# Each step calls the next one from its answer.
steps = [
  ->(go) { Memcached.set(key: 'ruby', value: 'first') { |r| must(r[:status] == ok, 'set'); go.call } },
  ->(go) { Memcached.get(key: 'ruby') { |r| must(r[:value] == 'first', 'get'); go.call } },
  ->(go) { Memcached.add(key: 'ruby', value: 'second') { |r| must(r[:status] == exists, 'add'); go.call } },
  ->(go) { Memcached.set(key: 'large', value: large) { |r| must(r[:status] == ok, 'large'); go.call } },
  ->(go) { Memcached.get(key: 'large') { |r| must(r[:value] == large, 'large back'); go.call } },
  ->(go) { Memcached.multi_set(many.map { |k, v| { key: k, value: v } }) { |_| go.call } },
  lambda do |go|
    Memcached.multi_get(many.keys.map { |k| { key: k } }) do |results|
      must(many.all? { |k, v| results[k][:value] == v }, 'multi_get')
      go.call
    end
  end,
  ->(go) { Memcached.delete(key: 'ruby') { |r| must(r[:status] == ok, 'delete'); go.call } },
  ->(go) { Memcached.get(key: 'ruby') { |r| must(r[:status] == missing, 'gone'); go.call } }
]

EventMachine.run do
  EventMachine.add_timer(ANSWER_SECONDS) { must(false, 'no answer') }
  Memcached.servers = [host]
  run_from = lambda do |i|
    exit! 0 if i == steps.size
    steps[i].call(-> { run_from.call(i + 1) })
  end
  begin_when_connected = lambda do
    Memcached.usable? ? run_from.call(0) : EventMachine.add_timer(0.05, &begin_when_connected)
  end
  begin_when_connected.call
end
