/// Streams over an engine's door in memory: framing across any segmentation, order, large values, slow readers, ends.
#include <catch2/catch.hpp>
#include <random>

#include "dataplane/core/routing.h"
#include "tests/dataplane/stream_rig.h"
#include "tests/dataplane/wire.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using gannet::dataplane::kParcelBytes;

/// A key of `worker` among `workers`.
std::string key_of(std::uint32_t worker, std::uint32_t workers, const std::string& name) {
  for (int i = 0;; ++i) {
    std::string key = name + std::to_string(i);
    if (gannet::dataplane::worker_of(gannet::as_bytes(key), workers) == worker) return key;
  }
}

std::string pattern(std::size_t bytes, unsigned seed = 1) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 31 + (i >> 8) + seed) & 0xff);
  return text;
}

/// A pipeline with something of everything, small enough to be split at every byte.
std::string some_of_everything() {
  return set("alpha", "one").with_opaque(1).bytes() + get("alpha").with_opaque(2).bytes() +
         getkq("nobody").with_opaque(3).bytes() + set("beta", "").with_opcode(0x11).with_opaque(4).bytes() +
         increment("counter", 5, 7).with_opaque(5).bytes() + getk("beta").with_opaque(6).bytes() +
         append("alpha", "-and-a-half").with_opaque(7).bytes() + touch("alpha", 100).with_opaque(8).bytes() +
         noop().with_opcode(0x77).with_opaque(9).bytes() + set("k", "v").with_opcode(0x55).with_opaque(10).bytes() +
         get("alpha").with_opaque(11).bytes() + erase("beta").with_opaque(12).bytes() +
         flush().with_opaque(13).bytes() + set("after", "flush").with_opaque(14).bytes() +
         get("after").with_opaque(15).bytes() + version().with_opaque(16).bytes() + noop().with_opaque(17).bytes();
}

TEST_CASE("a pipeline gets the same answers wherever it is cut in two", "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 3u);
  const std::string requests = some_of_everything();
  std::string whole;
  {
    StreamRig rig({.workers = workers});
    whole = rig.exchange(rig.connect(), requests, requests.size());
  }
  const std::vector<Response> answers = responses_of(whole);
  REQUIRE(answers.size() == 15);
  std::uint32_t last = 0;
  for (const Response& answer : answers) {
    REQUIRE(answer.opaque > last);
    last = answer.opaque;
  }
  REQUIRE(answers[1].value == "one");
  REQUIRE(answers[8].value == "one-and-a-half");
  REQUIRE(answers[12].value == "flush");
  StreamRig rig({.workers = workers});
  for (std::size_t cut = 1; cut < requests.size(); ++cut) {
    const StreamRig::Line line = rig.connect(static_cast<std::uint32_t>(cut) % workers);
    INFO("cut at " << cut);
    std::string got = rig.exchange(line, requests.substr(0, cut), cut);
    got += rig.exchange(line, requests.substr(cut), requests.size());
    // The CAS goes on counting, and the counter was flushed away.
    std::vector<Response> cut_answers = responses_of(got);
    REQUIRE(cut_answers.size() == answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      Response expected = answers[i];
      expected.cas = cut_answers[i].cas;
      REQUIRE(to_text(cut_answers[i]) == to_text(expected));
    }
    rig.engine(line).fin(line.id);
    rig.settle();
    REQUIRE(rig.engine(line).shut(line.id));
  }
}

TEST_CASE("a pipeline in pieces of 1 to 40 bytes, with or without turns between, gets the same answers",
          "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  const std::string requests = some_of_everything();
  StreamRig rig({.workers = workers});
  for (std::size_t piece = 1; piece <= 40; ++piece) {
    for (const bool between : {false, true}) {
      const StreamRig::Line line = rig.connect();
      INFO("pieces of " << piece << (between ? ", turn by turn" : ", at once"));
      const std::vector<Response> answers = responses_of(rig.exchange(line, requests, piece, between));
      REQUIRE(answers.size() == 15);
      REQUIRE(answers[8].value == "one-and-a-half");
      REQUIRE(answers[14].opaque == 17);
      rig.engine(line).reset(line.id);
      rig.settle();
    }
  }
}

TEST_CASE("values of every kind of size arrive and leave whole, whoever owns the key", "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  const std::uint32_t owner = GENERATE(0u, 1u);
  if (owner >= workers) return;
  StreamRig rig({.workers = workers, .shard_bytes = 32u << 20});
  const std::string key = key_of(owner, workers, "big");
  const StreamRig::Line line = rig.connect();
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, kParcelBytes - 60ul, std::size_t{kParcelBytes},
        std::size_t{4095}, std::size_t{4096}, std::size_t{70'000}, std::size_t{400'000}}) {
    for (const std::size_t piece : {std::size_t{1448}, std::size_t{997}, std::size_t{9000}}) {
      INFO(bytes << " bytes in pieces of " << piece);
      const std::string value = pattern(bytes, static_cast<unsigned>(piece));
      // All in one pipeline: what is behind the value must stay in step.
      const auto answers =
          responses_of(rig.exchange(line,
                                    set(key, value, 77).with_opaque(1).bytes() + get(key).with_opaque(2).bytes() +
                                        append(key, "tail").with_opaque(3).bytes() + getk(key).with_opaque(4).bytes() +
                                        noop().with_opaque(5).bytes(),
                                    piece));
      REQUIRE(answers.size() == 5);
      REQUIRE(answers[0].status == 0);
      REQUIRE((answers[1].value == value));
      REQUIRE(answers[1].extras == be32(77));
      REQUIRE(answers[2].status == 0);
      REQUIRE((answers[3].value == value + "tail"));
      REQUIRE(answers[3].key == key);
      REQUIRE(answers[4].opaque == 5);
    }
  }
  REQUIRE(rig.engine(line).pinned_writes > 0);
}

TEST_CASE("an APPEND of a large value joins it, in front or behind, or is refused and stays in step",
          "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  StreamRig rig({.workers = workers, .shard_bytes = 32u << 20});
  const std::string key = key_of(workers - 1, workers, "join");
  const StreamRig::Line line = rig.connect();
  const std::string piece = pattern(50'000);
  const std::size_t limit = rig.shard().item_bytes_max();
  const auto answers = responses_of(rig.exchange(
      line, append(key, piece).bytes() + set(key, "middle").bytes() + append(key, piece).bytes() +
                prepend(key, piece).bytes() + get(key).bytes() + append(key, pattern(limit - 60'000)).bytes() +
                append(key, pattern(limit + 10)).bytes() + get(key).with_opaque(9).bytes()));
  REQUIRE(answers.size() == 8);
  REQUIRE(answers[0].status == 0x05);
  REQUIRE((answers[4].value == piece + "middle" + piece));
  REQUIRE(answers[5].status == 0x05);
  REQUIRE(answers[6].status == 0x03);
  REQUIRE(answers[7].opaque == 9);
  REQUIRE(answers[7].value.size() == 100'006);
}

TEST_CASE("a value above the item limit is refused before a byte of it is kept, and the stream stays in step",
          "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  StreamRig rig({.workers = workers});
  const std::string key = key_of(workers - 1, workers, "toolarge");
  const StreamRig::Line line = rig.connect();
  (void)rig.exchange(line, set(key, "old").bytes());
  const std::string value(rig.shard().item_bytes_max() + 1, 'x');
  const std::string request = set(key, value).with_opaque(1).bytes();
  rig.send(line, request.substr(0, 2000));
  rig.settle();
  REQUIRE(responses_of(rig.engine(line).acknowledge(line.id))[0].status == 0x03);
  const auto answers = responses_of(rig.exchange(line, request.substr(2000) + get(key).with_opaque(2).bytes()));
  REQUIRE(answers.size() == 1);
  REQUIRE(answers[0].opaque == 2);
  REQUIRE(answers[0].status == 0x01);  // As memcached: the old value is gone.
  // A body beyond every limit is refused at once, and the connection ends.
  gannet::test::Request lying = set(key, "v");
  lying.body_bytes = 0x40000001;
  REQUIRE(responses_of(rig.exchange(line, lying.bytes()))[0].status == 0x04);
  REQUIRE(rig.engine(line).shut(line.id));
}

TEST_CASE("thousands of requests in one pipeline are answered in order, whoever owns their keys",
          "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  StreamRig rig({.workers = workers});
  const StreamRig::Line line = rig.connect(workers - 1);
  std::string requests;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    const std::string key = "key" + std::to_string(i % 700);
    requests += (i % 3 == 0 ? set(key, std::to_string(i)) : get(key)).with_opaque(i).bytes();
  }
  const auto answers = responses_of(rig.exchange(line, requests));
  REQUIRE(answers.size() == 5000);
  std::vector<std::string> model(700);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    REQUIRE(answers[i].opaque == i);
    if (i % 3 == 0) {
      model[i % 700] = std::to_string(i);
    } else if (model[i % 700].empty()) {
      REQUIRE(answers[i].status == 0x01);
    } else {
      REQUIRE(answers[i].value == model[i % 700]);
    }
  }
  if (workers > 1) REQUIRE(rig.counters(workers - 1).handed_over.load() > 1000);
}

TEST_CASE("a reader that does not read is not read either, and goes on when it does", "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  StreamRig rig({.workers = workers, .send_bytes_max = 64 * 1024, .shard_bytes = 32u << 20});
  const StreamRig::Line line = rig.connect();
  const std::string key = key_of(workers - 1, workers, "slow");
  const std::string value = pattern(GENERATE(std::size_t{900}, std::size_t{3000}, std::size_t{200'000}));
  REQUIRE(responses_of(rig.exchange(line, set(key, value).bytes()))[0].status == 0);
  std::string requests;
  for (std::uint32_t i = 0; i < 500; ++i) requests += get(key).with_opaque(i).bytes();
  rig.send(line, requests, 100);
  rig.settle();
  REQUIRE(rig.engine(line).unread(line.id) > requests.size() / 2);
  REQUIRE(rig.streams().parcels_used() <= gannet::dataplane::kParcelsHeldMax);
  // Another connection is served meanwhile.
  const StreamRig::Line other = rig.connect();
  REQUIRE(responses_of(rig.exchange(other, get(key).bytes()))[0].value.size() == value.size());
  std::string got;
  for (int i = 0; got.size() < 500 * (28 + value.size()); ++i) {
    REQUIRE(i < 100'000);
    got += rig.engine(line).acknowledge(line.id, 30'000);
    rig.settle();
  }
  const auto answers = responses_of(got);
  REQUIRE(answers.size() == 500);
  for (std::uint32_t i = 0; i < 500; ++i) {
    REQUIRE(answers[i].opaque == i);
    REQUIRE((answers[i].value == value));
  }
}

TEST_CASE("a client that goes away anywhere leaves nothing behind", "[dataplane][stream]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  StreamRig rig({.workers = workers, .shard_bytes = 16u << 20});
  const std::string key = key_of(workers - 1, workers, "gone");
  const StreamRig::Line writer = rig.connect();
  (void)rig.exchange(writer, set(key, "old value").bytes());
  const std::string request = get(key).bytes() + set(key, pattern(60'000)).bytes();
  for (std::size_t cut = 1; cut < request.size(); cut += cut < 200 ? 1 : 3001) {
    for (const bool politely : {false, true}) {
      const StreamRig::Line line = rig.connect();
      rig.send(line, request.substr(0, cut), 1448, true);
      if (cut % 2 == 0) rig.settle();
      if (politely) {
        rig.engine(line).fin(line.id);
      } else {
        rig.engine(line).reset(line.id);
      }
      rig.settle();
      REQUIRE(rig.engine(line).shut(line.id));
      REQUIRE(rig.shard(workers - 1).stats().reservations == 0);
      REQUIRE(rig.streams().parcels_used() == 0);
    }
  }
  REQUIRE(responses_of(rig.exchange(writer, get(key).bytes()))[0].value == "old value");
}

TEST_CASE("QUIT is answered, QUITQ is not, and nothing behind them is executed", "[dataplane][stream]") {
  StreamRig rig;
  const StreamRig::Line line = rig.connect(), quiet = rig.connect();
  const auto answers = responses_of(rig.exchange(line, set("k", "1").bytes() + quit().bytes() + set("k", "2").bytes()));
  REQUIRE(answers.size() == 2);
  REQUIRE(answers[1].opcode == 0x07);
  REQUIRE(rig.engine(line).shut(line.id));
  REQUIRE(responses_of(rig.exchange(quiet, get("k").bytes() + quit().with_opcode(0x17).bytes())).size() == 1);
  REQUIRE(rig.engine(quiet).shut(quiet.id));
  // The client says FIN as well: the slot is free at once. One that does not is heard out for a second.
  rig.engine(line).fin(line.id);
  rig.settle();
  REQUIRE(rig.streams().sessions() == 1);
  rig.advance(2);
  rig.settle();
  REQUIRE(rig.streams().sessions() == 0);
}

TEST_CASE("what is no binary request ends the connection without a word, after the answers owed",
          "[dataplane][stream]") {
  StreamRig rig({.workers = 2});
  const StreamRig::Line line = rig.connect();
  const auto answers = responses_of(rig.exchange(line, get("a").bytes() + get("b").bytes() + "get a\r\n"));
  REQUIRE(answers.size() == 2);
  REQUIRE(rig.engine(line).shut(line.id));
  REQUIRE(rig.counters().stream_bad_magic.load() == 1);
}

TEST_CASE("a broken request is answered as memcached does, then the connection ends", "[dataplane][stream]") {
  StreamRig rig;
  gannet::test::Request lying = get("key");
  lying.body_bytes = 2;
  for (const auto& [request, status] :
       {std::pair{get(std::string(251, 'k')).bytes(), 0x04}, std::pair{set("", "v").bytes(), 0x04},
        std::pair{lying.bytes(), 0x81}, std::pair{get("").bytes(), 0x04}}) {
    const StreamRig::Line line = rig.connect();
    const auto answers = responses_of(rig.exchange(line, request + get("k").bytes()));
    REQUIRE(answers.size() == 1);
    REQUIRE(answers[0].status == status);
    REQUIRE(rig.engine(line).shut(line.id));
  }
}

TEST_CASE("a store in the pipeline behind a FLUSH survives it on every worker, one before does not",
          "[dataplane][stream]") {
  const std::uint32_t workers = 4;
  StreamRig rig({.workers = workers});
  const StreamRig::Line line = rig.connect(1);
  for (int round = 0; round < 20; ++round) {
    std::string requests;
    for (std::uint32_t k = 0; k < workers; ++k) requests += set(key_of(k, workers, "before"), "x").bytes();
    requests += flush().bytes();
    for (std::uint32_t k = 0; k < workers; ++k) requests += set(key_of(k, workers, "after"), "y").bytes();
    for (std::uint32_t k = 0; k < workers; ++k) requests += get(key_of(k, workers, "before")).bytes();
    for (std::uint32_t k = 0; k < workers; ++k) requests += get(key_of(k, workers, "after")).bytes();
    const auto answers = responses_of(rig.exchange(line, requests, 37));
    REQUIRE(answers.size() == 4 * workers + 1);
    for (std::uint32_t k = 0; k < workers; ++k) {
      REQUIRE(answers[2 * workers + 1 + k].status == 0x01);
      REQUIRE(answers[3 * workers + 1 + k].value == "y");
    }
  }
}

TEST_CASE("every STAT group comes whole, also to a slow reader and to more than there are buffers",
          "[dataplane][stream]") {
  StreamRig rig({.send_bytes_max = 4096});
  const StreamRig::Line line = rig.connect();
  std::string got;
  rig.send(line, stat().bytes() + stat("settings").bytes() + stat("nothing").bytes() + noop().bytes());
  for (int i = 0; i < 200; ++i) {
    rig.settle();
    got += rig.engine(line).acknowledge(line.id, 1000);
  }
  const auto answers = responses_of(got);
  REQUIRE(answers.back().opcode == 0x0a);
  REQUIRE(answers[answers.size() - 2].status == 0x01);
  REQUIRE(std::count_if(answers.begin(), answers.end(),
                        [](const Response& r) { return r.opcode == 0x10 && r.key.empty() && r.status == 0; }) == 2);
  // Five readers that do not read: one finds no buffer, and is told.
  StreamRig crowd({.send_bytes_max = 2048});
  std::size_t refused = 0;
  std::vector<StreamRig::Line> lines;
  for (int i = 0; i < 5; ++i) lines.push_back(crowd.connect());
  for (const auto& reader : lines) crowd.send(reader, stat("gannet").bytes());
  crowd.settle();
  for (const auto& reader : lines) {
    const std::string head = crowd.engine(reader).acknowledge(reader.id).substr(6, 2);
    refused += head == be16(0x82) ? 1 : 0;
  }
  REQUIRE(refused == 1);
}

TEST_CASE("with SASL nothing is served before the right password", "[dataplane][stream][sasl]") {
  gannet::dataplane::SaslUsers users;
  REQUIRE(users.parse("# who may\nada:lovelace\nbob:a:b\n") == "");
  StreamRig rig({.users = &users});
  const auto auth = [](const std::string& mechanism, const std::string& message) {
    gannet::test::Request request = noop().with_opcode(0x21);
    request.key = mechanism;
    request.value = message;
    return request;
  };
  const std::string right = std::string("\0ada\0lovelace", 13);
  SECTION("anything but SASL and VERSION is refused, and the connection ends") {
    for (const auto& request : {get("k"), set("k", "v"), noop(), flush(), stat(), noop().with_opcode(0x77)}) {
      const StreamRig::Line line = rig.connect();
      const auto answers = responses_of(rig.exchange(line, version().bytes() + request.bytes() + noop().bytes()));
      REQUIRE(answers.size() == 2);
      REQUIRE(answers[0].status == 0);
      REQUIRE(answers[1].status == 0x20);
      REQUIRE(rig.engine(line).shut(line.id));
    }
  }
  SECTION("LIST says PLAIN, AUTH lets in, at every split") {
    const std::string requests =
        noop().with_opcode(0x20).bytes() + auth("PLAIN", right).bytes() + set("k", "v").bytes();
    for (std::size_t cut = 1; cut < requests.size(); ++cut) {
      const StreamRig::Line line = rig.connect();
      std::string got = rig.exchange(line, requests.substr(0, cut));
      got += rig.exchange(line, requests.substr(cut));
      const auto answers = responses_of(got);
      INFO("cut at " << cut);
      REQUIRE(answers.size() == 3);
      REQUIRE(answers[0].value == "PLAIN");
      REQUIRE(answers[1].status == 0);
      REQUIRE(answers[1].value == "Authenticated");
      REQUIRE(answers[2].status == 0);
      rig.engine(line).reset(line.id);
      rig.settle();
    }
  }
  SECTION("wrong words are refused and may be tried again; a failed second try locks out") {
    const StreamRig::Line line = rig.connect();
    std::vector<std::string> wrong = {std::string("\0ada\0lovelac", 12),
                                      std::string("\0ada\0lovelacf", 13),
                                      std::string("\0eve\0lovelace", 13),
                                      std::string("bob\0ada\0lovelace", 16),
                                      "",
                                      "ada",
                                      std::string(5000, 'x')};
    for (const std::string& message : wrong) {
      INFO("message of " << message.size());
      const auto answers = responses_of(rig.exchange(line, auth("PLAIN", message).bytes()));
      REQUIRE(answers.size() == 1);
      REQUIRE(answers[0].status == 0x20);
      REQUIRE(answers[0].value == "Auth failure.");
    }
    REQUIRE(responses_of(rig.exchange(line, auth("CRAM-MD5", right).bytes()))[0].status == 0x20);
    REQUIRE(responses_of(rig.exchange(line, auth(std::string(33, 'P'), right).bytes()))[0].status == 0x04);
    REQUIRE(responses_of(rig.exchange(line, auth("PLAIN", std::string("\0bob\0a:b", 8)).with_opcode(0x22).bytes()))[0]
                .status == 0x20);
    REQUIRE(responses_of(rig.exchange(line, auth("PLAIN", std::string("\0bob\0a:b", 8)).bytes()))[0].status == 0);
    REQUIRE(responses_of(rig.exchange(line, get("k").bytes()))[0].status == 0x01);
    REQUIRE(responses_of(rig.exchange(line, auth("PLAIN", "no").bytes()))[0].status == 0x20);
    REQUIRE(responses_of(rig.exchange(line, get("k").bytes()))[0].status == 0x20);
  }
  REQUIRE(gannet::dataplane::SaslUsers().parse("ada\n").find("line 1") == 0);
  REQUIRE(gannet::dataplane::SaslUsers().parse("# nobody\n").find("names nobody") != std::string::npos);
  REQUIRE(gannet::dataplane::SaslUsers().parse(std::string(200, 'a') + ":b").find("too long") != std::string::npos);
}

TEST_CASE("where SASL is off its opcodes are unknown and the connection stays", "[dataplane][stream][sasl]") {
  StreamRig rig;
  const StreamRig::Line line = rig.connect();
  const auto answers = responses_of(rig.exchange(
      line, set("PLAIN", "x").with_opcode(0x21).bytes() + noop().with_opcode(0x20).bytes() + get("k").bytes()));
  REQUIRE(answers.size() == 3);
  REQUIRE(answers[0].status == 0x81);
  REQUIRE(answers[1].status == 0x81);
  REQUIRE(answers[2].status == 0x01);
}

}  // namespace
