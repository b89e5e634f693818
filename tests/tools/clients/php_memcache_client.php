<?php
// php-memcache, a client of its own, in binary.
ini_set('memcache.protocol', 'binary');
[$host, $port] = explode(':', $argv[1]);
$client = new MemcachePool();
$client->addServer($host, (int)$port);
function must(bool $good, string $what): void {
    if (!$good) {
        fwrite(STDERR, "$what failed\n");
        exit(1);
    }
}
$large = str_repeat('abcdefghij', 20000);
must($client->set('phpm', 'first') && $client->get('phpm') === 'first', 'set');
must(!$client->add('phpm', 'second') && $client->replace('phpm', 'third'), 'add, replace');
must($client->set('large', $large) && $client->get('large') === $large, 'large');
$many = [];
for ($i = 0; $i < 100; ++$i) must($client->set("key$i", $many["key$i"] = "value$i"), 'many');
must($client->get(array_keys($many)) == $many, 'multi get');
must($client->set('count', '7') && $client->increment('count', 5) == 12, 'increment');
must($client->delete('phpm') && $client->get('phpm') === false, 'delete');
