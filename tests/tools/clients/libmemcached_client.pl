# Memcached::libmemcached, the Perl face of libmemcached, in binary.
use strict;
use warnings;
use Memcached::libmemcached qw(:memcached_behavior_t);

my ($host, $port) = split /:/, $ARGV[0];
my $client = Memcached::libmemcached->new;
sub must { my ($good, $what) = @_; die "$what: " . $client->errstr . "\n" unless $good; }
must($client->memcached_behavior_set(MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1), 'binary');
must($client->memcached_server_add($host, $port), 'server');
my $large = 'abcdefghij' x 20_000;
must($client->memcached_set('perl', 'first'), 'set');
must($client->memcached_get('perl') eq 'first', 'get');
must(!$client->memcached_add('perl', 'second'), 'add');
must($client->memcached_replace('perl', 'third'), 'replace');
must($client->memcached_set('large', $large) && $client->memcached_get('large') eq $large, 'large');
my %many = map { ("key$_" => "value$_") } 0 .. 299;
$client->memcached_set($_, $many{$_}) for keys %many;
my %found;
must($client->memcached_mget_into_hashref([keys %many], \%found), 'mget');
must(join(',', map { "$_=$found{$_}" } sort keys %many) eq join(',', map { "$_=$many{$_}" } sort keys %many), 'multi');
must($client->memcached_append('perl', '!') && $client->memcached_get('perl') eq 'third!', 'append');
must($client->memcached_delete('perl') && !defined $client->memcached_get('perl'), 'delete');
