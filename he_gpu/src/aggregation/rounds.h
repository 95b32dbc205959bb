#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/aggregation/context.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/once_register.h"

namespace velum::he::aggregation {

/// What the public polynomials of a round follow from: a_k is polynomial k of this seed.
PublicSeed public_seed_of(const AggregationPlan& plan, const Round& round);

/// What a register is asked about: a round, and the name of the secret that is used in it.
Digest use_of(const Round& round, const void* secret, std::size_t size);

/// What every owner and party needs.
void check_member(const char* function, const std::shared_ptr<const AggregationContext>& context,
                  int number, const threshold::OnceRegister& once,
                  const std::shared_ptr<Randomness>& randomness);
void check_secret(const char* function, const AggregationContext& context,
                  const std::shared_ptr<const SecretKey>& secret);
/// Rising, each in [1, owners].
void check_numbers(const char* function, const char* name, const std::vector<int>& numbers,
                   int owners);
/// Who may be in a sum, and who decrypts it.
void check_sum(const char* function, const AggregationPlan& plan, const std::vector<int>& owners,
               const std::vector<int>& parties);
void check_same_backend(const char* function, const AggregationContext& context,
                        const AggregationContext& other);
void check_same_round(const char* function, const Round& found, const Round& expected);

/// Zeros for the coefficients of the last polynomial that are not written: whatever they are, they
/// say no more than the others, and so a vector is the same after a journey as bytes.
void clear_unused(const AggregationPlan& plan, RnsView<Word> polynomials, const Stream& stream);

/// Calls `body(first, count, stream)` for runs of ciphertexts that cover [0, count): on the CPU
/// each with a thread of its own, in whose cache its polynomials stay; on CUDA all at once.
template <typename Body>
void for_each_ciphertext(std::int64_t count, const Stream& stream, const Body& body) {
  if (stream.backend() == Backend::kCuda) {
    body(std::int64_t{0}, count, stream);
  } else if (count < stream.parallel_for().thread_count()) {
    for (std::int64_t i = 0; i < count; ++i) body(i, std::int64_t{1}, stream);
  } else {
    const Stream serial = Stream::serial();
    stream.parallel_for().run(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) body(i, std::int64_t{1}, serial);
    });
  }
}

}  // namespace velum::he::aggregation
