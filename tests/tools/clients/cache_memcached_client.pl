# Cache::Memcached::libmemcached: the interface of Cache::Memcached over libmemcached, in binary.
use strict;
use warnings;
use Cache::Memcached::libmemcached;

my $client = Cache::Memcached::libmemcached->new({servers => [$ARGV[0]], binary_protocol => 1, compress_threshold => 0});
sub must { my ($good, $what) = @_; die "$what\n" unless $good; }
must($client->is_binary_protocol, 'binary');
my $large = 'abcdefghij' x 20_000;
must($client->set('perl', 'first') && $client->get('perl') eq 'first', 'set, get');
must(!$client->add('perl', 'second'), 'add');
must($client->replace('perl', 'third') && $client->get('perl') eq 'third', 'replace');
must($client->set('large', $large) && $client->get('large') eq $large, 'large');
my %many = map { ("key$_" => "value$_") } 0 .. 299;
$client->set($_, $many{$_}) for keys %many;
my $found = $client->get_multi(keys %many);
must(join(',', map { "$_=" . ($found->{$_} // '') } sort keys %many) eq join(',', map { "$_=$many{$_}" } sort keys %many), 'multi');
must($client->set('list', [1, {two => 3}]) && $client->get('list')->[1]{two} == 3, 'structure');
must($client->set('number', '41') && $client->incr('number') == 42 && $client->decr('number', 2) == 40, 'counters');
must($client->delete('perl') && !defined $client->get('perl'), 'delete');
