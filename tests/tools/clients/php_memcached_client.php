<?php
// php-memcached, which is libmemcached in PHP, in binary.
[$host, $port] = explode(':', $argv[1]);
$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$client->setOption(Memcached::OPT_COMPRESSION, false);
$client->addServer($host, (int)$port);
function must(bool $good, string $what): void {
    global $client;
    if (!$good) {
        fwrite(STDERR, "$what: " . $client->getResultMessage() . "\n");
        exit(1);
    }
}
$large = str_repeat('abcdefghij', 20000);
must($client->set('php', 'first') && $client->get('php') === 'first', 'set');
must(!$client->add('php', 'second') && $client->replace('php', 'third'), 'add, replace');
must($client->set('large', $large) && $client->get('large') === $large, 'large');
must($client->increment('php-count', 1, 7) === 7 && $client->increment('php-count', 5) === 12, 'increment');
$many = [];
for ($i = 0; $i < 300; ++$i) $many["key$i"] = "value$i";
must($client->setMulti($many) && $client->getMulti(array_keys($many)) == $many, 'multi');
must($client->append('php', '!') && $client->get('php') === 'third!', 'append');
must($client->touch('php', 100) && $client->delete('php') && $client->get('php') === false, 'delete');
must(count($client->getStats()) === 1, 'stats');
