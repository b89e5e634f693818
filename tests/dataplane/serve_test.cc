/// What every request is answered, byte by byte where it matters, through a whole appliance of one worker.
#include <catch2/catch.hpp>

#include "tests/dataplane/appliance.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using gannet::UnixSeconds;
using Counters = gannet::abi::WorkerCounters;

constexpr std::uint16_t kOk = 0, kNotFound = 1, kExists = 2, kTooLarge = 3, kInvalid = 4, kNotStored = 5,
                        kNotNumeric = 6, kAuth = 0x20, kUnknown = 0x81;

[[nodiscard]] std::string frame_bytes(std::string_view hex_free) {
  return std::string(hex_free);
}

TEST_CASE("a SET and a GET are answered exactly as memcached would", "[dataplane][serve]") {
  Appliance appliance;
  const auto stored = appliance.exchange(datagram(0x1234, set("k", "vvv", 0x01020304).with_opaque(0xa1b2c3d4).bytes()));
  REQUIRE(stored.size() == 1);
  const std::string cas = stored[0].substr(8 + 16, 8);
  REQUIRE(cas != std::string(8, '\0'));
  REQUIRE(stored[0] == frame_bytes(std::string_view("\x12\x34\0\0\0\1\0\0"
                                                    "\x81\x01\0\0\0\0\0\0\0\0\0\0\xa1\xb2\xc3\xd4",
                                                    24)) +
                           cas);

  const auto found = appliance.exchange(datagram(0x1235, get("k").with_opaque(7).bytes()));
  REQUIRE(found.size() == 1);
  REQUIRE(found[0] == std::string("\x12\x35\0\0\0\1\0\0"
                                  "\x81\0\0\0\4\0\0\0\0\0\0\7\0\0\0\7",
                                  24) +
                          cas + "\1\2\3\4vvv");

  const auto missed = appliance.exchange(datagram(0x1236, get("absent").with_opaque(8).bytes()));
  REQUIRE(missed.size() == 1);
  REQUIRE(missed[0] == std::string("\x12\x36\0\0\0\1\0\0"
                                   "\x81\0\0\0\0\0\0\1\0\0\0\x09\0\0\0\x08"
                                   "\0\0\0\0\0\0\0\0"
                                   "Not found",
                                   41));
}

TEST_CASE("GETK and GATK repeat the key, and on a miss it is the whole body", "[dataplane][serve]") {
  Appliance appliance;
  (void)appliance.one(set("user:7", "ada", 9));
  const Response hit = appliance.one(getk("user:7"));
  REQUIRE(hit.key == "user:7");
  REQUIRE(hit.value == "ada");
  REQUIRE(hit.extras == be32(9));
  const Response miss = appliance.one(getk("user:8"));
  REQUIRE(miss.status == kNotFound);
  REQUIRE(miss.key == "user:8");
  REQUIRE(miss.value.empty());
  REQUIRE(miss.cas == 0);
  REQUIRE(appliance.one(gat("user:7", 60).with_opcode(0x23)).key == "user:7");
  REQUIRE(appliance.one(gat("user:8", 60).with_opcode(0x23)).key == "user:8");
  REQUIRE(appliance.one(gat("user:8", 60)).value == "Not found");
}

TEST_CASE("keys of 250 arbitrary bytes and empty values are stored and found", "[dataplane][serve]") {
  Appliance appliance;
  std::string key;
  for (int i = 0; i < 250; ++i) key += static_cast<char>(i + 128);
  REQUIRE(appliance.one(set(key, "")).status == kOk);
  const Response found = appliance.one(getk(key));
  REQUIRE(found.status == kOk);
  REQUIRE(found.key == key);
  REQUIRE(found.value.empty());
}

TEST_CASE("ADD and REPLACE ask whether the item is there", "[dataplane][serve]") {
  Appliance appliance;
  REQUIRE(appliance.one(set("k", "1").with_opcode(0x03)).status == kNotFound);
  REQUIRE(appliance.one(set("k", "2").with_opcode(0x02)).status == kOk);
  const Response present = appliance.one(set("k", "3").with_opcode(0x02));
  REQUIRE(present.status == kExists);
  REQUIRE(present.value == "Data exists for key.");
  REQUIRE(present.cas == 0);
  REQUIRE(appliance.one(set("k", "4").with_opcode(0x03)).status == kOk);
  REQUIRE(appliance.one(get("k")).value == "4");
}

TEST_CASE("a CAS decides: match stores, mismatch is 0x02, absent is 0x01, for every writing command",
          "[dataplane][serve][cas]") {
  Appliance appliance;
  const std::uint64_t cas = appliance.one(set("k", "1")).cas;
  for (const Request& request : {set("k", "x"), set("k", "x").with_opcode(0x02), set("k", "x").with_opcode(0x03),
                                 append("k", "x"), prepend("k", "x"), erase("k")}) {
    INFO("opcode " << int{request.opcode});
    REQUIRE(appliance.one(request.with_cas(cas + 77)).status == kExists);
  }
  REQUIRE(appliance.one(get("k")).cas == cas);
  const Response again = appliance.one(set("k", "2").with_cas(cas));
  REQUIRE(again.status == kOk);
  REQUIRE(again.cas != cas);
  REQUIRE(appliance.one(set("k", "3").with_opcode(0x02).with_cas(again.cas)).status ==
          kOk);  // ADD with a CAS behaves like SET.
  REQUIRE(appliance.one(set("no", "x").with_cas(5)).status == kNotFound);
  REQUIRE(appliance.one(set("no", "x").with_opcode(0x02).with_cas(5)).status == kNotFound);
  REQUIRE(appliance.one(get("k").with_cas(1)).value == "3");  // GET ignores it.
  REQUIRE(appliance.sum(&Counters::cas_badval) == 6);
  REQUIRE(appliance.sum(&Counters::cas_misses) == 2);
  REQUIRE(appliance.sum(&Counters::cas_hits) == 2);
}

TEST_CASE("DELETE answers with CAS 0, once", "[dataplane][serve]") {
  Appliance appliance;
  (void)appliance.one(set("k", "1"));
  const Response gone = appliance.one(erase("k"));
  REQUIRE(gone.status == kOk);
  REQUIRE(gone.cas == 0);
  REQUIRE(gone.value.empty());
  REQUIRE(appliance.one(erase("k")).status == kNotFound);
  REQUIRE(appliance.sum(&Counters::delete_hits) == 1);
  REQUIRE(appliance.sum(&Counters::delete_misses) == 1);
}

TEST_CASE("APPEND and PREPEND join, keep the flags, and say 0x05 when there is nothing to join", "[dataplane][serve]") {
  Appliance appliance;
  REQUIRE(appliance.one(append("k", "x")).status == kNotStored);
  REQUIRE(appliance.one(append("k", "x")).value == "Not stored.");
  (void)appliance.one(set("k", "b", 5));
  REQUIRE(appliance.one(append("k", "c")).status == kOk);
  REQUIRE(appliance.one(prepend("k", "a")).status == kOk);
  REQUIRE(appliance.one(append("k", "")).status == kOk);
  const Response joined = appliance.one(get("k"));
  REQUIRE(joined.value == "abc");
  REQUIRE(joined.extras == be32(5));
}

TEST_CASE("counters count as memcached counts", "[dataplane][serve][counter]") {
  Appliance appliance;
  REQUIRE(appliance.one(increment("c", 1, 7, 0xffffffff)).status == kNotFound);
  const Response created = appliance.one(increment("c", 1, 7));
  REQUIRE(created.value == be64(7));
  REQUIRE(created.extras.empty());
  REQUIRE(created.cas != 0);
  REQUIRE(appliance.one(increment("c", 5)).value == be64(12));
  REQUIRE(appliance.one(decrement("c", 100)).value == be64(0));
  REQUIRE(appliance.one(get("c")).value == "0 ");
  REQUIRE(appliance.one(increment("c", UINT64_MAX)).value == be64(UINT64_MAX));
  REQUIRE(appliance.one(increment("c", 2)).value == be64(1));
  for (const std::string_view text : {"", "-1", "0x10", "1.5", "12a", "18446744073709551616", "1 2"}) {
    INFO("value '" << text << "'");
    (void)appliance.one(set("t", text));
    const Response refused = appliance.one(increment("t", 1));
    REQUIRE(refused.status == kNotNumeric);
    REQUIRE(refused.value == "Non-numeric server-side value for incr or decr");
    REQUIRE(appliance.one(get("t")).value == text);
  }
  (void)appliance.one(set("t", "0007"));
  REQUIRE(appliance.one(increment("t", 1)).value == be64(8));
  REQUIRE(appliance.sum(&Counters::incr_misses) == 2);
}

TEST_CASE("TOUCH and GAT give a new expiry and leave the CAS", "[dataplane][serve][expiry]") {
  Appliance appliance;
  const std::uint64_t cas = appliance.one(set("k", "v", 3, 10)).cas;
  const Response touched = appliance.one(touch("k", 20));
  REQUIRE(touched.extras == be32(3));
  REQUIRE(touched.value.empty());
  REQUIRE(touched.cas == cas);
  appliance.advance(19);
  const Response seen = appliance.one(gat("k", 5));
  REQUIRE(seen.value == "v");
  REQUIRE(seen.cas == cas);
  appliance.advance(4);
  REQUIRE(appliance.one(get("k")).status == kOk);
  appliance.advance(1);
  REQUIRE(appliance.one(get("k")).status == kNotFound);
  REQUIRE(appliance.one(touch("k", 5)).status == kNotFound);
}

TEST_CASE("expiry is relative up to 30 days, a date above, and a past date is gone at once",
          "[dataplane][serve][expiry]") {
  Appliance appliance;
  (void)appliance.one(set("relative", "v", 0, 2'592'000));
  (void)appliance.one(set("date", "v", 0, appliance.now() + 50));
  (void)appliance.one(set("past", "old"));
  REQUIRE(appliance.one(set("past", "v", 0, appliance.now() - 1)).status == kOk);
  REQUIRE(appliance.one(get("past")).status == kNotFound);
  (void)appliance.one(set("far", "v", 0, 0xffffffff));
  appliance.advance(49);
  REQUIRE(appliance.one(get("date")).status == kOk);
  appliance.advance(1);
  REQUIRE(appliance.one(get("date")).status == kNotFound);
  appliance.advance(2'592'000 - 51);
  REQUIRE(appliance.one(get("relative")).status == kOk);
  appliance.advance(1);
  REQUIRE(appliance.one(get("relative")).status == kNotFound);
  REQUIRE(appliance.one(get("far")).status == kOk);
}

TEST_CASE("FLUSH takes what was stored before it, and nothing behind it", "[dataplane][serve][flush]") {
  Appliance appliance;
  (void)appliance.one(set("before", "v"));
  const auto answers =
      appliance.ask(flush().bytes() + set("behind", "v").bytes() + get("before").bytes() + get("behind").bytes());
  REQUIRE(answers.size() == 4);
  REQUIRE(answers[0].status == kOk);
  REQUIRE(answers[2].status == kNotFound);
  REQUIRE(answers[3].status == kOk);
  REQUIRE(appliance.one(flush(10)).status == kOk);
  (void)appliance.one(set("later", "v"));
  appliance.advance(9);
  REQUIRE(appliance.one(get("behind")).status == kOk);
  appliance.advance(1);
  REQUIRE(appliance.one(get("behind")).status == kNotFound);
  REQUIRE(appliance.one(get("later")).status == kNotFound);
  REQUIRE(appliance.sum(&Counters::cmd_flush) == 2);
}

TEST_CASE("quiet requests speak only when memcached's do", "[dataplane][serve][quiet]") {
  Appliance appliance;
  REQUIRE(appliance.silent(get("k").with_opcode(0x09)));
  REQUIRE(appliance.silent(getkq("k")));
  REQUIRE(appliance.silent(gat("k", 5).with_opcode(0x1e)));
  REQUIRE(appliance.silent(gat("k", 5).with_opcode(0x24)));
  REQUIRE(appliance.silent(set("k", "5").with_opcode(0x11)));
  REQUIRE(appliance.one(getkq("k")).opcode == 0x0d);
  REQUIRE(appliance.one(gat("k", 0).with_opcode(0x1e)).value == "5");
  REQUIRE(appliance.one(set("k", "v").with_opcode(0x12)).status == kExists);
  REQUIRE(appliance.one(set("n", "v").with_opcode(0x13)).status == kNotFound);
  REQUIRE(appliance.silent(increment("k", 1).with_opcode(0x15)));
  REQUIRE(appliance.silent(decrement("k", 1).with_opcode(0x16)));
  REQUIRE(appliance.silent(append("k", "1").with_opcode(0x19)));
  REQUIRE(appliance.silent(prepend("k", "1").with_opcode(0x1a)));
  REQUIRE(appliance.one(get("k")).value == "151");
  REQUIRE(appliance.silent(erase("k").with_opcode(0x14)));
  REQUIRE(appliance.one(erase("k").with_opcode(0x14)).status == kNotFound);
  REQUIRE(appliance.silent(flush().with_opcode(0x18)));
  REQUIRE(appliance.silent(quit().with_opcode(0x17)));
  Request broken = getkq("k");
  broken.extras = "x";
  const Response refused = appliance.one(broken);
  REQUIRE(refused.status == kInvalid);
  REQUIRE(refused.opcode == 0x0d);
  REQUIRE(appliance.sum(&Counters::quiet_silences) == 12);
}

TEST_CASE("NOOP, VERSION, VERBOSITY, QUIT and unknown commands are answered", "[dataplane][serve]") {
  Appliance appliance;
  REQUIRE(appliance.one(noop().with_opaque(3)) == Response{.opcode = 0x0a, .opaque = 3});
  REQUIRE(appliance.one(version()).value == "1.6.18-gannet-0.1.0");
  Request verbosity;
  verbosity.opcode = 0x1b;
  verbosity.extras = be32(1);
  REQUIRE(appliance.one(verbosity).status == kOk);
  REQUIRE(appliance.one(quit()).opcode == 0x07);
  for (const int opcode : {0x1f, 0x20, 0x21, 0x22, 0x25, 0x30, 0x3c, 0x40, 0xff}) {
    Request unknown = set("key", "value");
    unknown.opcode = static_cast<std::uint8_t>(opcode);
    const auto answers = appliance.ask(unknown.bytes() + noop().bytes());
    INFO("opcode " << opcode);
    REQUIRE(answers.size() == 2);
    REQUIRE(answers[0].status == kUnknown);
    REQUIRE(answers[0].value == "Unknown command");
    REQUIRE(answers[1].opcode == 0x0a);
  }
}

TEST_CASE("a broken rule is answered 0x04, and nothing behind it in the datagram is executed", "[dataplane][serve]") {
  Appliance appliance;
  Request broken = get("k").with_opaque(4);
  broken.value = "x";
  auto answers = appliance.ask(set("k", "1").bytes() + broken.bytes() + set("k", "2").bytes());
  REQUIRE(answers.size() == 2);
  REQUIRE(answers[1] == Response{.opcode = 0, .status = kInvalid, .value = "Invalid arguments", .opaque = 4});
  Request long_key = get(std::string(251, 'k'));
  REQUIRE(appliance.one(long_key).status == kInvalid);
  Request too_short = get("longer");
  too_short.body_bytes = 3;
  REQUIRE(appliance.one(too_short).status == kUnknown);
  answers = appliance.ask(quit().bytes() + set("k", "3").bytes());
  REQUIRE(answers.size() == 1);
  REQUIRE(appliance.one(get("k")).value == "1");
}

TEST_CASE("a value above the operator's limit for UDP is refused, a smaller one is told", "[dataplane][serve]") {
  Appliance appliance;
  (void)appliance.one(set("large", std::string(101, 'x')));
  (void)appliance.one(set("small", std::string(100, 'x')));
  gannet::abi::LiveConfig live;
  live.udp_answer_bytes_max = 100;
  appliance.configure(live);
  const Response refused = appliance.one(getk("large"));
  REQUIRE(refused.status == kTooLarge);
  REQUIRE(refused.value == "Too large.");
  REQUIRE(refused.key.empty());
  REQUIRE(appliance.one(get("small")).status == kOk);
  REQUIRE(appliance.sum(&Counters::answers_refused_large) == 1);
}

TEST_CASE("an operator can switch the administrative commands off", "[dataplane][serve]") {
  Appliance appliance;
  (void)appliance.one(set("k", "v"));
  gannet::abi::LiveConfig live;
  live.udp_admin = 0;
  appliance.configure(live);
  for (const Request& request : {flush(), flush().with_opcode(0x18), stat(), stat("reset"), version()}) {
    REQUIRE(appliance.one(request).status == kAuth);
  }
  REQUIRE(appliance.one(get("k")).value == "v");
}

TEST_CASE("a source that sends more than it may is dropped and counted, and its neighbour is served",
          "[dataplane][serve]") {
  Appliance appliance;
  gannet::abi::LiveConfig live;
  live.udp_rate_per_source = 1000;  // 100 at once.
  appliance.configure(live);
  for (int i = 0; i < 300; ++i) {
    appliance.deliver(udp("10.77.0.1:40000", "10.77.0.2:11211").payload(datagram(1, noop().bytes())).frame());
    if (i % 30 == 0) appliance.settle();
  }
  appliance.settle();
  REQUIRE(appliance.sent().size() == 100);
  REQUIRE(appliance.sum(&Counters::drop_source_rate) == 200);
  REQUIRE(appliance.one(noop(), {.address = "10.77.0.9:40000"}).status == 0);
  live.udp_rate_per_source = 0;
  appliance.configure(live);
  REQUIRE(appliance.one(noop()).status == 0);
}

TEST_CASE("a source outside the allowed prefixes gets nothing, and a new list is obeyed", "[dataplane][serve]") {
  Appliance appliance;
  const Client stranger{.address = "192.0.2.9:4000"};
  REQUIRE(appliance.ask(noop(), stranger).empty());
  gannet::abi::LiveConfig live;
  live.prefixes = 1;
  live.allow[0] = {.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0}, .bits = 96 + 24};
  appliance.configure(live);
  REQUIRE(appliance.ask(noop(), stranger).size() == 1);
  REQUIRE(appliance.ask(noop()).empty());
  REQUIRE(appliance.sum(&Counters::drop_source_refused) == 2);
  REQUIRE(appliance.shared().worker[0].gauges.config_generation.load() == 1);
}

TEST_CASE("STAT tells its groups packet by packet, and 0x01 for a group there is not", "[dataplane][serve][stat]") {
  Appliance appliance;
  (void)appliance.one(set("k", "v"));
  (void)appliance.one(get("k"));
  const auto table = [&](std::string_view group) {
    std::vector<std::pair<std::string, std::string>> rows;
    const auto answers = appliance.ask(stat(group).with_opaque(0x77));
    REQUIRE(!answers.empty());
    for (const Response& row : answers) {
      REQUIRE(row.status == kOk);
      REQUIRE(row.opcode == 0x10);
      REQUIRE(row.opaque == 0x77);
      rows.emplace_back(row.key, row.value);
    }
    REQUIRE(rows.back() == std::pair<std::string, std::string>{"", ""});
    return rows;
  };
  const auto value = [](const auto& rows, std::string_view name) {
    for (const auto& [key, text] : rows) {
      if (key == name) return text;
    }
    return std::string("(not there)");
  };
  const auto general = table("");
  REQUIRE(value(general, "cmd_get") == "1");
  REQUIRE(value(general, "get_hits") == "1");
  REQUIRE(value(general, "curr_items") == "1");
  REQUIRE(value(general, "uptime") == "100");
  REQUIRE(value(general, "threads") == "1");
  REQUIRE(value(table("settings"), "udpport") == "11211");
  REQUIRE(value(table("items"), "items:1:number") == "1");
  REQUIRE(value(table("segments"), "segments_total") != "0");
  REQUIRE(value(table("workers"), "worker:0:udp_port") == "11212");
  REQUIRE(value(table("routing"), "hash") == "crc32c");
  REQUIRE(value(table("gannet"), "get_hits") == "1");
  for (const std::string_view group : {"conns", "cachedump", "nonsense", "setting"}) {
    REQUIRE(appliance.one(stat(group)).status == kNotFound);
  }
  REQUIRE(appliance.one(stat("reset")) == Response{.opcode = 0x10});
  REQUIRE(value(table(""), "cmd_get") == "0");
  REQUIRE(appliance.sum(&Counters::cmd_get) == 1);  // The shared file's counters only grow.
}

TEST_CASE("latency is recorded once for each answered request, by class", "[dataplane][serve]") {
  Appliance appliance;
  (void)appliance.one(set("k", "v"));
  (void)appliance.one(get("k"));
  (void)appliance.one(get("absent"));
  (void)appliance.one(noop());
  const auto& latency = appliance.shared().worker[0].latency.buckets;
  for (const auto& row : latency) {
    std::uint64_t count = 0;
    for (const auto& cell : row) count += cell.load();
    REQUIRE(count == 1);
  }
}

}  // namespace
