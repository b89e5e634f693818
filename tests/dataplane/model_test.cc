/// Random requests over UDP against the oracle of the store's conformance suite: every answer must be one that
/// memcached's rules allow, wherever the datagram arrives and however many requests share it.
#include <catch2/catch.hpp>

#include "dataplane/core/routing.h"
#include "tests/dataplane/appliance.h"
#include "tests/storage/conformance/workload.h"

namespace {

using namespace gannet::test;  // NOLINT(google-build-using-namespace)
using gannet::UnixSeconds;
using gannet::storage::SetMode;
using gannet::storage::StoreStatus;
using gannet::testing::Model;
using gannet::testing::Operation;
using Verb = Operation::Verb;

[[nodiscard]] Request request_of(const Operation& operation) {
  const std::uint32_t expiry = operation.expires_at;
  switch (operation.verb) {
    case Verb::kGet:
    case Verb::kTick:
      return getk(operation.key);
    case Verb::kSet: {
      const std::uint8_t opcode = operation.mode == SetMode::kSet   ? 0x01
                                  : operation.mode == SetMode::kAdd ? 0x02
                                                                    : 0x03;
      return set(operation.key, operation.value, operation.flags, expiry).with_opcode(opcode).with_cas(operation.cas);
    }
    case Verb::kErase:
      return erase(operation.key).with_cas(operation.cas);
    case Verb::kTouch:
      return gat(operation.key, expiry);
    case Verb::kArithmetic: {
      const std::uint32_t create = operation.create ? expiry : 0xffffffff;
      return (operation.decrement ? decrement(operation.key, operation.delta, operation.initial, create)
                                  : increment(operation.key, operation.delta, operation.initial, create))
          .with_cas(operation.cas);
    }
    case Verb::kConcat:
      return (operation.front ? prepend(operation.key, operation.value) : append(operation.key, operation.value))
          .with_cas(operation.cas);
    case Verb::kFlush:
      return flush(expiry);
  }
  return noop();
}

[[nodiscard]] StoreStatus status_of(std::uint16_t status, Verb verb) {
  switch (status) {
    case 0x00:
      return StoreStatus::kStored;
    case 0x01:
      return StoreStatus::kNotFound;
    case 0x02:
      return StoreStatus::kExists;
    case 0x03:
      return StoreStatus::kTooLarge;
    case 0x05:
      return StoreStatus::kNotStored;
    case 0x06:
      return StoreStatus::kNotNumeric;
    default:
      break;
  }
  FAIL("status " << status << " for verb " << static_cast<int>(verb));
  return StoreStatus::kNoMemory;
}

[[nodiscard]] gannet::testing::Answer answer_of(const Operation& operation, const Response& response,
                                                const Model& model, UnixSeconds now, std::uint32_t item_bytes_max) {
  gannet::testing::Answer answer;
  answer.status = status_of(response.status, operation.verb);
  answer.cas = response.cas;
  if (operation.verb == Verb::kConcat &&
      response.status == 0x05) {  // The wire has one status for absent and too large.
    const auto* const known = model.live(operation.key, now);
    const bool large =
        known != nullptr && operation.key.size() + known->value.size() + operation.value.size() + 64 > item_bytes_max;
    answer.status = large ? StoreStatus::kNotStored : StoreStatus::kNotFound;
  }
  if (response.status != 0) return answer;
  if (operation.verb == Verb::kArithmetic) {
    for (const char c : response.value) answer.number = answer.number << 8 | static_cast<unsigned char>(c);
  }
  if (operation.verb == Verb::kGet || operation.verb == Verb::kTouch) {
    gannet::testing::ItemSeen seen;
    seen.value = response.value;
    for (const char c : response.extras) seen.flags = seen.flags << 8 | static_cast<unsigned char>(c);
    seen.cas = response.cas;
    // The wire does not tell the expiry; that an item is there or not does.
    const auto* const known = model.live(operation.key, now);
    seen.expires_at = operation.verb == Verb::kTouch ? operation.expires_at : known == nullptr ? 0 : known->expires_at;
    answer.item = seen;
  }
  return answer;
}

// Sanitized, the same script runs a quarter as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kShare = 4;
#else
constexpr int kShare = 1;
#endif

void run(std::uint32_t workers, std::uint64_t seed, int rounds, std::size_t shard_bytes, bool may_forget) {
  Appliance appliance(
      {.workers = workers, .shard_bytes = shard_bytes, .queues = seed % 3 == 0 ? 1u : 0u, .now = 1'795'000'000});
  gannet::testing::Workload workload;
  workload.keys = may_forget ? 20'000 : 300;
  workload.value_bytes_max = 1000;
  workload.too_large_per_1000 = 0;
  workload.clock_runs_back = false;
  const std::uint32_t item_bytes_max = appliance.shard().item_bytes_max();
  gannet::testing::Script script(workload, seed, item_bytes_max);
  std::vector<Model> models(workers, Model({.may_forget = may_forget, .item_bytes_max = item_bytes_max}));

  for (int round = 0; round < rounds / kShare; ++round) {
    const UnixSeconds now = script.advance_clock();
    appliance.advance(now - appliance.now());
    std::vector<Operation> operations;
    std::string body;
    for (std::uint64_t more = script.below(4) + 1; more > 0; --more) {
      Operation operation = script.next(models[script.below(workers)]);
      if (operation.verb == Verb::kTick) operation.verb = Verb::kGet;
      const std::string bytes =
          request_of(operation).with_opaque(static_cast<std::uint32_t>(operations.size())).bytes();
      if (body.size() + bytes.size() > 1400) break;
      body += bytes;
      operations.push_back(operation);
    }
    if (operations.empty()) continue;
    const Client client{.address = "10.77.0.1:" + std::to_string(2000 + script.below(30)),
                        .at = seed % 3 == 0 ? 0 : static_cast<std::uint32_t>(script.below(workers))};
    const std::vector<Response> answers = appliance.ask(body, client);
    REQUIRE(answers.size() == operations.size());
    for (std::size_t i = 0; i < operations.size(); ++i) {
      const Operation& operation = operations[i];
      const Response& response = answers[i];
      INFO("seed " << seed << ", round " << round << ": " << to_text(operation) << " was answered "
                   << to_text(response));
      REQUIRE(response.opaque == i);
      if (operation.verb == Verb::kFlush) {
        REQUIRE(response.status == 0);
        for (Model& model : models) REQUIRE(model.judge(operation, now, {}).empty());
        continue;
      }
      Model& model = models[gannet::dataplane::worker_of(gannet::as_bytes(operation.key), workers)];
      REQUIRE(model.judge(operation, now, answer_of(operation, response, model, now, item_bytes_max)) == "");
    }
  }
}

TEST_CASE("with room for everything, random requests are answered exactly as the model says", "[dataplane][model]") {
  const std::uint32_t workers = GENERATE(1u, 2u, 4u);
  for (const std::uint64_t seed : {1u, 2u, 3u}) run(workers, seed * 100 + workers, 2500, 4u << 20, false);
}

TEST_CASE("with memory full, a hit is right and a store never fails", "[dataplane][model]") {
  const std::uint32_t workers = GENERATE(1u, 2u);
  run(workers, 40 + workers, 8000, 512u << 10, true);
}

}  // namespace
