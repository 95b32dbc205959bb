#include <algorithm>
#include <map>
#include <set>

#include "aggregation/protocol/messages.h"
#include "aggregation_fixture.h"
#include "velum/he/aggregation/protocol.h"

namespace velum::he::aggregation {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

Span<const std::uint8_t> view(const Bytes& bytes) { return Span<const std::uint8_t>(bytes); }
Span<const std::int32_t> view(const Values& values) { return Span<const std::int32_t>(values); }

Identity identity_of(int number) {
  std::array<std::uint8_t, 32> key{};
  key[0] = static_cast<std::uint8_t>(number);
  key[1] = 77;
  return Identity::from_private_key(key);
}

/// A group whose members talk as they should, unless a test carries the messages itself.
struct Network {
  Network(AggregationPlan plan, Backend backend, std::uint64_t seed, int quorum = 0,
          int least_vectors = 0)
      : stream(make_stream(backend)),
        context(AggregationContext::create(std::move(plan), stream)),
        once(threshold::once_register_that_forgets_on_restart()),
        randomness(Randomness::insecure_from_seed(seed)),
        bits(seed) {
    roster.aggregator = identity_of(0).public_identity();
    for (int owner = 1; owner <= context->plan().owners(); ++owner)
      roster.owners.push_back(identity_of(owner).public_identity());
    roster.nonce[0] = static_cast<std::uint8_t>(seed);
    roster.quorum = quorum;
    roster.least_vectors = least_vectors;
    aggregator.emplace_back(context, roster, identity_of(0), stream);
    for (int owner = 1; owner <= context->plan().owners(); ++owner)
      owners.push_back(owner_of(owner));
  }

  Owner owner_of(int number) const {
    return {context, roster, number, identity_of(number), once, stream, randomness};
  }
  Aggregator& hub() { return aggregator.front(); }
  Owner& owner(int number) { return owners[static_cast<std::size_t>(number - 1)]; }
  std::vector<int> everybody() const {
    std::vector<int> numbers;
    for (const Owner& owner : owners) numbers.push_back(owner.number());
    return numbers;
  }
  void receive(const Bytes& message) { hub().receive(view(message)); }

  void set_up() {
    for (Owner& owner : owners) receive(owner.start_setup());
    const Bytes keys = hub().setup_keys();
    for (Owner& owner : owners) {
      for (const Bytes& share : owner.deal(view(keys))) receive(share);
    }
    for (Owner& owner : owners) receive(owner.finish_setup(hub().shares_for(owner.number())));
  }
  Values random_values() {
    Values values(static_cast<std::size_t>(context->plan().values()));
    const std::int32_t low = context->plan().smallest_value();
    for (std::int32_t& value : values)
      value = low + static_cast<std::int32_t>(bits() % static_cast<std::uint64_t>(-2 * low));
    return values;
  }
  /// From the start of a round to the account: the vectors of `senders` are in it.
  Bytes submitted(const std::vector<int>& senders) {
    std::vector<Values> vectors;
    start = hub().start_round();
    for (const int number : senders) {
      vectors.push_back(random_values());
      receive(owner(number).submit(view(start), view(vectors.back())));
    }
    expected = summed(vectors);
    return hub().close_submissions();
  }
  /// A whole round: who sends a vector, and who confirms.
  /// @return what comes out, and the plain sums.
  std::pair<Values, Values> round(const std::vector<int>& senders,
                                  const std::vector<int>& confirmers) {
    const Bytes summary = submitted(senders);
    for (const int number : confirmers) {
      if (std::find(senders.begin(), senders.end(), number) == senders.end())
        owner(number).join(view(start));
      receive(owner(number).confirm(view(summary)));
    }
    const Bytes request = hub().request_shares();
    for (const int number : hub().parties()) receive(owner(number).share(view(request)));
    return {hub().finish(), expected};
  }
  void expect_round(const std::vector<int>& senders, const std::vector<int>& confirmers) {
    EXPECT_EQ(round(senders, confirmers).first, expected);
  }

  Stream stream;
  std::shared_ptr<const AggregationContext> context;
  threshold::OnceRegister once;
  std::shared_ptr<Randomness> randomness;
  std::mt19937_64 bits;
  Roster roster;
  std::vector<Aggregator> aggregator;  // one
  std::vector<Owner> owners;
  Bytes start;      // of the round
  Values expected;  // its sums
};

class ProtocolOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(ProtocolOnEveryBackend, RoundsGiveTheSumsOfWhoTookPart) {
  Network network(small_insecure_plan(100, 8, 5, 3), GetParam(), 1);
  network.set_up();
  const std::vector<std::pair<std::vector<int>, std::vector<int>>> rounds{
      {{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}},
      {{1, 2, 4}, {1, 2, 4}},     // owners 3 and 5 were away
      {{2, 3, 4, 5}, {1, 3, 5}},  // 2 and 4 fall silent after their vectors, 1 comes to decrypt
      {{1, 2, 3, 4, 5}, {3, 4, 5}}};
  std::uint64_t number = 0;
  for (const auto& [senders, confirmers] : rounds) {
    const auto [found, expected] = network.round(senders, confirmers);
    ASSERT_EQ(found, expected) << "round " << number;
    ++number;
    EXPECT_EQ(network.hub().round(), number);
    const Bytes result = network.hub().result();
    EXPECT_EQ(network.owner(confirmers.front()).result(view(result)), expected);
  }
}

TEST_P(ProtocolOnEveryBackend, WithoutAThresholdAllWhoseVectorsAreInTheSumDecrypt) {
  Network network(small_insecure_plan(100, 8, 4, 0), GetParam(), 2);
  network.set_up();
  network.expect_round({1, 2, 3, 4}, {1, 2, 3, 4});
  network.expect_round({1, 3, 4}, {1, 3, 4});
  // One that falls silent after its vector ends the round; the next one is as any.
  const Bytes summary = network.submitted({1, 2, 3});
  for (const int number : {1, 2}) network.receive(network.owner(number).confirm(view(summary)));
  EXPECT_EQ(refusal_of([&] { network.hub().request_shares(); }),
            "Aggregator::request_shares: 2 confirmations have come, expected 3 or more; "
            "start_round begins anew");
  network.expect_round({1, 2, 4}, {1, 2, 4});
  EXPECT_THAT(refusal_of([&] { network.owner(3).join(view(network.start)); }),
              HasSubstr("without a threshold only those decrypt"));
}

// Each message at each wrong time: refused, and the round goes on as if it had never come.
TEST_P(ProtocolOnEveryBackend, MessagesOutOfOrderRepeatedOrOfAnotherRoundAreRefused) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 3);
  std::vector<Bytes> old;  // of owners, from steps that are over
  const auto refused = [&] {
    for (const Bytes& message : old) {
      EXPECT_THROW(network.receive(message), ProtocolError);
    }
  };
  const auto send = [&](const Bytes& message) {
    network.receive(message);
    old.push_back(message);
    refused();
  };
  for (int number = 1; number <= 3; ++number) send(network.owner(number).start_setup());
  const Bytes keys = network.hub().setup_keys();
  for (int number = 1; number <= 3; ++number) {
    for (const Bytes& share : network.owner(number).deal(view(keys))) send(share);
  }
  for (int number = 1; number <= 3; ++number)
    send(network.owner(number).finish_setup(network.hub().shares_for(number)));
  std::vector<Bytes> starts, summaries, requests;
  for (int round = 0; round < 3; ++round) {
    const Bytes start = network.hub().start_round();
    refused();
    for (int number = 1; number <= 3; ++number)
      send(network.owner(number).submit(view(start), view(network.random_values())));
    // The account of an earlier round, or what is not an account.
    const Bytes summary = network.hub().close_submissions();
    for (const std::vector<Bytes>* const list : {&starts, &summaries, &requests}) {
      for (const Bytes& message : *list)
        EXPECT_THROW(network.owner(1).confirm(view(message)), ProtocolError);
    }
    for (const Bytes& message : starts)
      EXPECT_THROW(network.owner(1).submit(view(message), view(network.random_values())),
                   ProtocolError);
    for (int number = 1; number <= 3; ++number) send(network.owner(number).confirm(view(summary)));
    const Bytes request = network.hub().request_shares();
    for (const Bytes& message : requests)
      EXPECT_THROW(network.owner(1).share(view(message)), ProtocolError);
    EXPECT_THROW(network.owner(3).share(view(request)), ProtocolError);  // was not asked
    for (const int number : network.hub().parties())
      send(network.owner(number).share(view(request)));
    network.hub().finish();
    refused();
    starts.push_back(start);
    summaries.push_back(summary);
    requests.push_back(request);
  }
}

TEST_P(ProtocolOnEveryBackend, CallsAtTheWrongTimeSayWhatIsNext) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 4);
  Owner& owner = network.owner(1);
  const Bytes nothing;
  EXPECT_EQ(refusal_of([&] { owner.deal(view(nothing)); }),
            "Owner::deal: owner 1 is new: start_setup comes first");
  EXPECT_EQ(refusal_of([&] { network.hub().setup_keys(); }),
            "Aggregator::setup_keys: keys of 0 owners have come, expected those of all 3");
  EXPECT_EQ(refusal_of([&] { network.hub().start_round(); }),
            "Aggregator::start_round: the set-up is not over");
  network.set_up();
  EXPECT_EQ(refusal_of([&] { owner.start_setup(); }),
            "Owner::start_setup: owner 1 is between rounds: submit or join is next");
  EXPECT_EQ(refusal_of([&] { owner.confirm(view(nothing)); }),
            "Owner::confirm: owner 1 is between rounds: submit or join is next");
  EXPECT_EQ(refusal_of([&] { network.hub().close_submissions(); }),
            "Aggregator::close_submissions: no round waits for vectors");
  network.hub().start_round();
  EXPECT_EQ(refusal_of([&] { network.hub().close_submissions(); }),
            "Aggregator::close_submissions: 0 vectors have come, expected 2 or more; start_round "
            "begins anew");
  EXPECT_EQ(refusal_of([&] { network.hub().request_shares(); }),
            "Aggregator::request_shares: no round waits for confirmations");
  EXPECT_EQ(refusal_of([&] { network.hub().finish(); }),
            "Aggregator::finish: no round waits for shares");
  EXPECT_EQ(refusal_of([&] { network.hub().result(); }),
            "Aggregator::result: the round has no result: finish is first");
}

// Whoever is not in the roster, or changes a bit, is not heard; nor is one member in another's
// name.
TEST_P(ProtocolOnEveryBackend, EveryBitOfAMessageIsSigned) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 5);
  network.set_up();
  const Bytes start = network.hub().start_round();
  const Bytes vector = network.owner(1).submit(view(start), view(network.random_values()));
  for (std::size_t i = 0; i < vector.size(); i += i < 140 || i + 70 > vector.size() ? 1 : 17) {
    Bytes changed = vector;
    changed[i] ^= 0x10;
    EXPECT_THROW(network.receive(changed), ProtocolError) << "byte " << i;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{135}, vector.size() - 1}) {
    EXPECT_THROW(
        network.receive(Bytes(vector.begin(), vector.begin() + static_cast<std::ptrdiff_t>(size))),
        ProtocolError);
  }
  network.receive(vector);  // after all of that it is still taken
  // A network with other identities in the same places.
  Network other(small_insecure_plan(20, 8, 3, 2), GetParam(), 6);
  other.set_up();
  EXPECT_EQ(refusal_of([&] { other.owner(1).submit(view(start), view(other.random_values())); }),
            "Owner::submit: the start of a round of another group, plan or roster");
  EXPECT_THAT(refusal_of([&] { network.receive(start); }),
              HasSubstr("a message of the aggregator itself"));
}

// The heart of it: an aggregator that shows different owners different accounts gets no shares.
TEST_P(ProtocolOnEveryBackend, AnAggregatorCannotShowOwnersDifferentAccounts) {
  // Two aggregators with the same identity: what one that cheats would do.
  Network network(small_insecure_plan(20, 8, 4, 2), GetParam(), 7);
  std::vector<Aggregator> liar;
  liar.emplace_back(network.context, network.roster, identity_of(0), network.stream);
  const auto both = [&](const Bytes& message) {
    network.receive(message);
    liar[0].receive(view(message));
  };
  for (Owner& owner : network.owners) both(owner.start_setup());
  const Bytes keys = network.hub().setup_keys();
  for (Owner& owner : network.owners) {
    for (const Bytes& share : owner.deal(view(keys))) both(share);
  }
  for (Owner& owner : network.owners)
    both(owner.finish_setup(network.hub().shares_for(owner.number())));
  const Bytes start = network.hub().start_round();
  ASSERT_EQ(liar[0].start_round(), start);
  // All send their vectors; one account has all, the other leaves out owner 4.
  for (int number = 1; number <= 4; ++number) {
    const Bytes vector = network.owner(number).submit(view(start), view(network.random_values()));
    network.receive(vector);
    if (number != 4) liar[0].receive(view(vector));
  }
  const Bytes summary = network.hub().close_submissions();
  const Bytes other_summary = liar[0].close_submissions();
  // Two owners sign each: no quorum (3 of 4) for either.
  for (const int number : {1, 2}) network.receive(network.owner(number).confirm(view(summary)));
  for (const int number : {3, 4})
    liar[0].receive(view(network.owner(number).confirm(view(other_summary))));
  EXPECT_THAT(refusal_of([&] { network.hub().request_shares(); }), HasSubstr("expected 3 or more"));
  EXPECT_THAT(refusal_of([&] { liar[0].request_shares(); }), HasSubstr("expected 3 or more"));
  // Nobody signs twice.
  EXPECT_THROW(network.owner(1).confirm(view(other_summary)), std::logic_error);
}

// What an aggregator that has its identity and does not keep to the protocol could sign.
struct Forger {
  explicit Forger(const Network& network)
      : group(group_of(network.context->plan(), network.roster)) {}
  Bytes message(MessageKind kind, std::uint64_t round, const Bytes& payload) const {
    return message_of({.kind = kind, .group = group, .round = round, .sender = 0, .receiver = 0},
                      view(payload), identity_of(0));
  }
  Digest group;
};
Summary read(const Network& network, const Bytes& summary) {
  const Members members("test", network.context, network.roster);
  return read_summary("test", members, members.open("test", view(summary)).payload);
}
ShareRequest read_request(const Network& network, const Bytes& request) {
  const Members members("test", network.context, network.roster);
  return read_share_request("test", members, members.open("test", view(request)).payload);
}

TEST_P(ProtocolOnEveryBackend, OwnersConfirmNoAccountThatIsNotTrue) {
  Network network(small_insecure_plan(20, 8, 4, 2), GetParam(), 8);
  network.set_up();
  network.expect_round({1, 2, 3, 4}, {1, 2, 3, 4});
  const Bytes old = network.submitted({1, 2, 3, 4});  // a round that comes to nothing
  const Summary of_old = read(network, old);
  const Bytes summary = network.submitted({1, 2, 3});
  const Forger forger(network);
  const auto confirming = [&](const Summary& forged) {
    const Bytes message = forger.message(MessageKind::kSummary, 3, summary_payload(forged));
    return refusal_of([&] { network.owner(1).confirm(view(message)); });
  };
  Summary forged = read(network, summary);
  forged.vectors.pop_back();
  EXPECT_EQ(confirming(forged), "Owner::confirm: a sum of 2 vectors, expected 3 or more");
  forged = read(network, summary);
  forged.previous[0] ^= 1;
  EXPECT_THAT(confirming(forged), HasSubstr("goes on from another one"));
  // A vector of an owner who sent none this time: its signature of the round before.
  forged = read(network, summary);
  forged.vectors.push_back(of_old.vectors.back());
  EXPECT_EQ(confirming(forged),
            "Owner::confirm: the vector of owner 4 is not signed by it for this round");
  forged = read(network, summary);
  forged.vectors[1].hash[5] ^= 1;
  EXPECT_THAT(confirming(forged), HasSubstr("the vector of owner 2 is not signed by it"));
  // Twice the same one.
  forged = read(network, summary);
  forged.vectors[1] = forged.vectors[0];
  EXPECT_THAT(confirming(forged), HasSubstr("the next owner = 1, expected 2 to 4"));
  EXPECT_EQ(confirming(read(network, summary)), "no error");
  // Own vectors: 4 sent none, so an account that has one is not signed either.
  network.owner(4).join(view(network.start));
  EXPECT_EQ(refusal_of([&] { network.owner(4).confirm(view(summary)); }), "no error");
}

TEST_P(ProtocolOnEveryBackend, OwnersGiveNoShareWithoutAQuorumOnTheirOwnAccount) {
  Network network(small_insecure_plan(20, 8, 4, 2), GetParam(), 9);
  network.set_up();
  const Bytes first = network.submitted({1, 2, 3, 4});
  for (const int number : {1, 2, 3, 4}) network.receive(network.owner(number).confirm(view(first)));
  const ShareRequest of_old = read_request(network, network.hub().request_shares());
  const Bytes summary = network.submitted({1, 2, 3, 4});
  for (const int number : {1, 2, 3, 4})
    network.receive(network.owner(number).confirm(view(summary)));
  const Bytes request = network.hub().request_shares();
  const Forger forger(network);
  const auto sharing = [&](const ShareRequest& forged) {
    const Bytes message =
        forger.message(MessageKind::kShareRequest, 2, share_request_payload(forged));
    return refusal_of([&] { network.owner(1).share(view(message)); });
  };
  ShareRequest forged = read_request(network, request);
  forged.confirmations.resize(2);
  EXPECT_EQ(sharing(forged), "Owner::share: 2 owners signed the account, expected 3 or more");
  forged.confirmations = {};
  EXPECT_EQ(sharing(forged), "Owner::share: 0 owners signed the account, expected 3 or more");
  // Signatures on the account of the round before.
  forged = read_request(network, request);
  forged.confirmations[2] = of_old.confirmations[2];
  EXPECT_EQ(
      sharing(forged),
      "Owner::share: owner 3 did not sign the account of the round that this owner was given");
  // Who decrypts: another number of them, one who did not sign, one who is not asked.
  forged = read_request(network, request);
  forged.parties = {1};
  EXPECT_EQ(sharing(forged), "Owner::share: 1 parties, expected 2");
  forged.parties = {1, 4};
  forged.confirmations.resize(3);
  EXPECT_EQ(sharing(forged), "Owner::share: one of those who decrypt did not sign the account");
  forged.parties = {2, 3};
  EXPECT_EQ(sharing(forged), "Owner::share: this owner is none of those who decrypt");
  EXPECT_EQ(sharing(read_request(network, request)), "no error");
  EXPECT_THAT(sharing(read_request(network, request)), HasSubstr("has given its share"));
}

TEST_P(ProtocolOnEveryBackend, RoundsGoOnFromTheAccountThatWasConfirmed) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 9);
  std::vector<Aggregator> liar;
  liar.emplace_back(network.context, network.roster, identity_of(0), network.stream);
  const auto both = [&](const Bytes& message) {
    network.receive(message);
    liar[0].receive(view(message));
  };
  for (Owner& owner : network.owners) both(owner.start_setup());
  const Bytes keys = network.hub().setup_keys();
  for (Owner& owner : network.owners) {
    for (const Bytes& share : owner.deal(view(keys))) both(share);
  }
  for (Owner& owner : network.owners)
    both(owner.finish_setup(network.hub().shares_for(owner.number())));
  network.expect_round({1, 2, 3}, {1, 2, 3});
  // Another history of the group: round 2 after a round 1 without an account.
  liar[0].start_round();
  const Bytes other = liar[0].start_round();
  EXPECT_EQ(
      refusal_of([&] { network.owner(1).submit(view(other), view(network.random_values())); }),
      "Owner::submit: round 2 goes on from another account of round 0 than this owner was "
      "given: it last confirmed that of round 1");
  EXPECT_EQ(network.owner(1).round(), 1u);
  network.expect_round({1, 2, 3}, {1, 2, 3});
}

// A process that begins anew has no secrets of the group, and its register knows that it had.
TEST_P(ProtocolOnEveryBackend, AnOwnerThatBeginsAnewCannotSetUpTheSameGroup) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 10);
  network.owner(1).start_setup();
  Owner again = network.owner_of(1);
  EXPECT_THROW(again.start_setup(), threshold::AlreadyUsed);
}

TEST_P(ProtocolOnEveryBackend, SharesOfTheSetUpAreForTheirReceiverAlone) {
  Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 11);
  for (Owner& owner : network.owners) network.receive(owner.start_setup());
  const Bytes keys = network.hub().setup_keys();
  std::map<int, std::vector<Bytes>> dealt;
  for (Owner& owner : network.owners) {
    dealt[owner.number()] = owner.deal(view(keys));
    ASSERT_EQ(dealt[owner.number()].size(), 2u);
    for (const Bytes& share : dealt[owner.number()]) network.receive(share);
  }
  // What another one should have had; too few; one twice.
  EXPECT_THAT(refusal_of([&] { network.owner(1).finish_setup(network.hub().shares_for(2)); }),
              HasSubstr("for number 2, expected 1"));
  EXPECT_EQ(refusal_of([&] { network.owner(1).finish_setup({}); }),
            "Owner::finish_setup: 0 shares, expected 2");
  EXPECT_THAT(refusal_of([&] {
                network.owner(1).finish_setup({dealt[2].front(), dealt[2].front()});
              }),
              HasSubstr("expected one from each other owner"));
  for (Owner& owner : network.owners)
    network.receive(owner.finish_setup(network.hub().shares_for(owner.number())));
  network.expect_round({1, 2, 3}, {1, 2, 3});
}

TEST_P(ProtocolOnEveryBackend, RostersThatDoNotFitAreRefused) {
  const Network network(small_insecure_plan(20, 8, 3, 2), GetParam(), 12);
  const auto made = [&](const Roster& roster, int number, int identity) {
    return refusal_of([&] {
      Owner(network.context, roster, number, identity_of(identity), network.once, network.stream);
    });
  };
  EXPECT_EQ(made(network.roster, 2, 3), "Owner: the identity is not that of owner 2 in the roster");
  EXPECT_EQ(made(network.roster, 4, 3), "Owner: number 4, expected 1 to 3");
  Roster roster = network.roster;
  roster.owners.pop_back();
  EXPECT_EQ(made(roster, 1, 1), "Owner: the roster has 2 owners, expected those of the plan, 3");
  roster = network.roster;
  roster.owners[1] = roster.owners[0];
  EXPECT_EQ(made(roster, 1, 1), "Owner: two members of the roster have the same identity");
  roster = network.roster;
  roster.quorum = 1;
  EXPECT_EQ(made(roster, 1, 1), "Owner: quorum = 1, expected 2 to 3, or 0");
  roster.quorum = 0;
  roster.least_vectors = 4;
  EXPECT_EQ(made(roster, 1, 1), "Owner: least_vectors = 4, expected 2 to 3, or 0");
  EXPECT_EQ(refusal_of([&] {
              Aggregator(network.context, network.roster, identity_of(1), network.stream);
            }),
            "Aggregator: the identity is not that of the aggregator in the roster");
}

TEST(Identity, SignsAsRfc8032Says) {
  // RFC 8032, section 7.1, TEST 1: the public key of a private key.
  const std::array<std::uint8_t, 32> secret{0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
                                            0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
                                            0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
                                            0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
  const PublicIdentity expected{0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
  const Identity identity = Identity::from_private_key(secret);
  EXPECT_EQ(identity.public_identity(), expected);
  EXPECT_EQ(identity.export_private_key_secret(), secret);
  EXPECT_NE(Identity::generate().public_identity(), Identity::generate().public_identity());
}

INSTANTIATE_TEST_SUITE_P(All, ProtocolOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he::aggregation
