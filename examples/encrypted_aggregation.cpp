// Three hospitals count their patients by age and publish the total under differential privacy.
// None of them shows its counts to anybody: each adds its share of integer noise, encrypts, and
// only the exact sum of the three can be decrypted, by any two of them together, once.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/integer_noise.h"
#include "velum/dpsgd/ledger/ledger.h"
#include "velum/he/aggregation/protocol.h"

using namespace velum;
using he::aggregation::Aggregator;
using he::aggregation::Bytes;
using he::aggregation::Identity;
using he::aggregation::Owner;
using kernels::Stream;

constexpr int kOwners = 3;
constexpr int kThreshold = 2;  // so many decrypt; fewer learn nothing
constexpr int kHonest = 2;     // so many keep their noise to themselves
constexpr int kBins = 100;     // years of age

int main() {
  const Stream stream = Stream::cpu(2);
  std::string pattern = (std::filesystem::temp_directory_path() / "velum-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return 1;
  const std::filesystem::path folder = pattern;

  // What all agree on: the sums, the noise, who is who.
  const auto context = he::aggregation::AggregationContext::create(
      he::aggregation::AggregationPlan::create(
          {.values = kBins, .bits = 20, .owners = kOwners, .threshold = kThreshold}),
      stream);
  const dpsgd::IntegerNoisePlan noise =
      plan_integer_noise(dpsgd::IntegerNoise::kDiscreteGaussian, 100.0, kHonest);
  // A patient is in one bin: he moves the counts by 1.
  const dpsgd::Mechanism mechanism = dpsgd::mechanism(noise, kBins, {.l1 = 1.0, .l2 = 1.0});
  std::vector<Identity> identities;
  he::aggregation::Roster roster;
  for (int i = 0; i < kOwners; ++i) {
    identities.push_back(Identity::generate());
    roster.owners.push_back(identities.back().public_identity());
  }
  Identity of_aggregator = Identity::generate();
  roster.aggregator = of_aggregator.public_identity();
  roster.least_vectors = kOwners;

  // Each owner has a register that survives restarts: nothing is encrypted or decrypted twice.
  std::vector<std::shared_ptr<dpsgd::Ledger>> ledgers;
  std::vector<Owner> owners;
  for (int number = 1; number <= kOwners; ++number) {
    const auto ledger = std::make_shared<dpsgd::Ledger>(
        dpsgd::Ledger::create(folder / ("hospital-" + std::to_string(number) + ".db")));
    ledgers.push_back(ledger);
    owners.emplace_back(
        context, roster, number, std::move(identities[static_cast<std::size_t>(number - 1)]),
        [ledger](std::string_view domain, const he::threshold::Digest& digest) {
          return ledger->claim_once(domain, digest);
        },
        stream);
  }
  Aggregator aggregator(context, roster, std::move(of_aggregator), stream);

  // Set-up, once. The messages would travel over a network; here they are handed over.
  for (Owner& owner : owners) aggregator.receive(owner.start_setup());
  const Bytes keys = aggregator.setup_keys();
  for (Owner& owner : owners) {
    for (const Bytes& share : owner.deal(keys)) aggregator.receive(share);
  }
  for (Owner& owner : owners) {
    aggregator.receive(owner.finish_setup(aggregator.shares_for(owner.number())));
  }

  // A round: counts and noise go in, encrypted.
  std::vector<std::int64_t> truth(kBins, 0), noised(kBins, 0);
  const Bytes start = aggregator.start_round();
  for (Owner& owner : owners) {
    const kernels::RandomKey key = kernels::secure_random_key();
    std::vector<std::int64_t> share = integer_noise_share(
        noise, kBins, key, {.purpose = kernels::Purpose::kIntegerNoise}, stream);
    std::vector<std::int32_t> values;
    for (int age = 0; age < kBins; ++age) {
      const std::int64_t patients = (age * 37 + owner.number() * 101) % 250;
      truth[static_cast<std::size_t>(age)] += patients;
      noised[static_cast<std::size_t>(age)] += patients + share[static_cast<std::size_t>(age)];
      values.push_back(static_cast<std::int32_t>(patients + share[static_cast<std::size_t>(age)]));
    }
    aggregator.receive(owner.submit(start, values));
  }
  const Bytes summary = aggregator.close_submissions();
  for (Owner& owner : owners) aggregator.receive(owner.confirm(summary));
  const Bytes request = aggregator.request_shares();
  for (const int party : aggregator.parties()) {
    aggregator.receive(owners[static_cast<std::size_t>(party - 1)].share(request));
  }
  const std::vector<std::int32_t> sums = aggregator.finish();

  dpsgd::RdpAccountant accountant;
  accountant.compose(mechanism, 1, "counts by age");
  std::printf("age   patients   published\n");
  bool exact = true;
  for (int age = 0; age < kBins; ++age) {
    const auto i = static_cast<std::size_t>(age);
    if (age % 20 == 0) {
      std::printf("%3d   %8lld   %9d\n", age, static_cast<long long>(truth[i]), sums[i]);
    }
    exact = exact && sums[i] == noised[i];
  }
  std::printf(
      "epsilon %.4f at delta 1e-6 for a patient, towards everybody else and one curious "
      "hospital\n%.2f bytes a value; the sum of counts and noise is %s\n",
      accountant.epsilon(1e-6), context->plan().bytes_per_value(), exact ? "exact" : "WRONG");

  // A second share of the same round would let two different sums be subtracted: it is refused.
  bool refused = false;
  try {
    owners.front().share(request);
  } catch (const std::exception& error) {
    refused = true;
    std::printf("again: %s\n", error.what());
  }
  std::filesystem::remove_all(folder);
  return exact && refused ? 0 : 1;
}
