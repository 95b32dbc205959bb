#include "velum/he/aggregation/context.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/format.h"
#include "aggregation/rounds.h"
#include "sha256.h"
#include "threshold/transcript.h"

namespace velum::he::aggregation {

std::shared_ptr<const AggregationContext> AggregationContext::create(AggregationPlan plan,
                                                                     const Stream& stream) {
  return std::shared_ptr<const AggregationContext>(new AggregationContext(std::move(plan), stream));
}

AggregationContext::AggregationContext(AggregationPlan plan, const Stream& stream)
    : plan_(std::move(plan)),
      ring_(Context::create(plan_.parameters(), stream)),
      packing_(ring_->moduli(), limbs(), plan_.base(), plan_.digits(), stream) {}

std::string to_string(const Round& round) {
  char group[9];
  std::snprintf(group, sizeof group, "%02x%02x%02x%02x", round.group[0], round.group[1],
                round.group[2], round.group[3]);
  return "round " + std::to_string(round.number) + " of group " + group;
}

PublicSeed public_seed_of(const AggregationPlan& plan, const Round& round) {
  Sha256 hash;
  hash.update_text("velum aggregation public polynomials 1");
  hash.update(plan.id().data(), plan.id().size());
  hash.update(round.group.data(), round.group.size());
  hash.update_u64(round.number);
  return threshold::random_key_of(hash.finish());
}

Digest use_of(const Round& round, const void* secret, std::size_t size) {
  Sha256 hash;
  hash.update_text("velum aggregation use 1");
  hash.update(round.group.data(), round.group.size());
  hash.update_u64(round.number);
  hash.update_u64(size);
  hash.update(secret, size);
  return hash.finish();
}

void check_member(const char* function, const std::shared_ptr<const AggregationContext>& context,
                  int number, const threshold::OnceRegister& once,
                  const std::shared_ptr<Randomness>& randomness) {
  if (context == nullptr || once == nullptr || randomness == nullptr) {
    throw std::invalid_argument(std::string(function) +
                                ": context, register or randomness is null");
  }
  if (number < 1 || number > context->plan().owners()) {
    throw std::invalid_argument(std::string(function) + ": number " + std::to_string(number) +
                                ", expected 1 to " + std::to_string(context->plan().owners()));
  }
}

void check_secret(const char* function, const AggregationContext& context,
                  const std::shared_ptr<const SecretKey>& secret) {
  if (secret == nullptr) throw std::invalid_argument(std::string(function) + ": secret is null");
  if (secret->context() != context.ring()) {
    throw std::invalid_argument(std::string(function) +
                                ": the secret belongs to another ring than the plan's; "
                                "KeyGenerator(context->ring()) makes such");
  }
}

void clear_unused(const AggregationPlan& plan, RnsView<Word> polynomials, const Stream& stream) {
  const std::int64_t last = polynomials.polys - 1;
  const std::int64_t written = written_coefficients(plan, last);
  const std::vector<Word> zeros(static_cast<std::size_t>(polynomials.degree - written));
  for (std::int64_t limb = 0; limb < polynomials.limbs; ++limb) {
    kernels::copy(
        Span<const Word>(zeros),
        Span<Word>(polynomials.limb(last, limb) + written, static_cast<std::int64_t>(zeros.size())),
        stream);
  }
  kernels::synchronize(stream);
}

void check_numbers(const char* function, const char* name, const std::vector<int>& numbers,
                   int owners) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] < 1 || numbers[i] > owners) {
      throw std::invalid_argument(std::string(function) + ": " + name + " has number " +
                                  std::to_string(numbers[i]) + ", expected 1 to " +
                                  std::to_string(owners));
    }
    if (i > 0 && numbers[i] <= numbers[i - 1]) {
      throw std::invalid_argument(
          std::string(function) + ": " + name + " has " + std::to_string(numbers[i]) + " after " +
          std::to_string(numbers[i - 1]) + ", expected rising numbers, each once");
    }
  }
}

void check_sum(const char* function, const AggregationPlan& plan, const std::vector<int>& owners,
               const std::vector<int>& parties) {
  check_numbers(function, "owners", owners, plan.owners());
  check_numbers(function, "parties", parties, plan.owners());
  const int threshold = plan.request().threshold;
  const int least = std::max(2, threshold);
  const auto summed = static_cast<int>(owners.size());
  if (summed < least) {
    throw std::invalid_argument(std::string(function) + ": a sum of " + std::to_string(summed) +
                                " vectors, expected " + std::to_string(least) +
                                " or more: a sum of fewer shows too much of each");
  }
  if (static_cast<int>(parties.size()) != plan.shares(summed)) {
    throw std::invalid_argument(std::string(function) + ": " + std::to_string(parties.size()) +
                                " parties, expected " + std::to_string(plan.shares(summed)));
  }
  if (threshold == 0 && parties != owners) {
    throw std::invalid_argument(
        std::string(function) +
        ": without a threshold the parties are the owners whose vectors are in the sum");
  }
}

void check_same_backend(const char* function, const AggregationContext& context,
                        const AggregationContext& other) {
  if (!(context.plan() == other.plan()) || context.ring()->backend() != other.ring()->backend()) {
    throw std::invalid_argument(std::string(function) +
                                ": a vector, sum or share is of another plan, or lies on another "
                                "backend");
  }
}

void check_same_round(const char* function, const Round& found, const Round& expected) {
  if (!(found == expected)) {
    throw std::invalid_argument(std::string(function) + ": found " + to_string(found) +
                                ", expected " + to_string(expected));
  }
}

}  // namespace velum::he::aggregation
