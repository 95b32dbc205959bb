#include "velum/he/decryptor.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "encryption.h"
#include "noise.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he {
namespace {

/// The widest noise whose draws are 64-bit integers: see `wide_gaussian`.
constexpr int kMostDraws = 57;

/// How many draws of standard deviation 3.19 make one of at least sigma: x = d_0 + 2 d_1 + 4 d_2 +
/// .. has the variance 3.19^2 (4^count - 1) / 3.
int draws_for(double sigma) {
  int count = 1;
  while (count <= kMostDraws &&
         std::sqrt(noise::kErrorVariance * (std::exp2(2.0 * count) - 1.0) / 3.0) < sigma)
    ++count;
  return count;
}
double sigma_of_draws(int count) {
  return std::sqrt(noise::kErrorVariance * (std::exp2(2.0 * count) - 1.0) / 3.0);
}

/// Discrete Gaussians of parameter `sigma_of_draws(count)`, exact integers in every bit: a rounded
/// floating-point number would leave the lowest bits of what it floods in the open.
///
/// Where x' is a discrete Gaussian of parameter r >= 3.19, 2 x' + d is one of parameter sqrt(4 r^2
/// + 3.19^2) up to factors 1 +- 2^-57 in each probability: both sums of the pmf run over a coset of
/// 2Z with a Gaussian of parameter at least 2 * 3.19 / sqrt(5), wider than the smoothing parameter
/// of 2Z for 2^-57. Paper: Micciancio and Walter, Gaussian Sampling over the Integers, 2017 (ePrint
/// 2017/259), section 4.
void wide_gaussian(int count, Span<std::int64_t> out, const SecretSeed& seed) {
  const Stream host = Stream::serial();
  SecretBuffer<std::int8_t> draws(out.size(), host);
  std::fill(out.begin(), out.end(), 0);
  for (int i = 0; i < count; ++i) {
    kernels::discrete_gaussian_fill(
        draws.span(), seed.key(),
        {kernels::Purpose::kHeFlooding, 0, static_cast<std::uint64_t>(i), 0}, host);
    for (std::int64_t j = 0; j < out.size(); ++j)
      out[j] += static_cast<std::int64_t>(draws.data()[j]) * (std::int64_t{1} << i);
  }
}

}  // namespace

Decryptor::Decryptor(std::shared_ptr<const SecretKey> key, std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  if (key_ == nullptr || randomness_ == nullptr)
    throw std::invalid_argument("Decryptor: key or randomness is null");
  key_->context()->check_scheme("Decryptor", SchemeType::kCkks);
}

Plaintext Decryptor::decrypt(const char* function, const Ciphertext& ciphertext, int draw_count,
                             const Stream& stream) const {
  const Context& context = *key_->context();
  context.check_stream(function, stream);
  if (!(ciphertext.context()->parameters() == context.parameters()) ||
      ciphertext.context()->backend() != context.backend()) {
    throw std::invalid_argument(
        std::string(function) +
        ": the ciphertext has other parameters than the key, or lies on another backend");
  }
  if (ciphertext.key_id() != key_->id()) {
    throw std::invalid_argument(std::string(function) + ": the ciphertext belongs to key " +
                                to_string(ciphertext.key_id()) + ", this is key " +
                                to_string(key_->id()));
  }
  const LimbIndices limbs = context.q_limbs(ciphertext.level());
  const std::int64_t degree = context.degree();
  Buffer<Word> residues(limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, degree);
  evaluate_at_secret(*key_, ciphertext.view(), limbs, out, stream);
  NoiseEstimate noise = ciphertext.noise();
  if (draw_count > 0) {
    const SecretSeed seed(randomness_->next());
    SecretBuffer<std::int64_t> draws(degree, Stream::serial());
    wide_gaussian(draw_count, draws.span(), seed);
    SecretBuffer<std::int64_t> resident(degree, stream);
    kernels::copy(Span<const std::int64_t>(draws.span()), resident.span(), stream);
    SecretBuffer<Word> flood(limbs.count * degree, stream);
    const RnsView<Word> flood_view(flood.data(), 1, limbs.count, degree);
    kernels::small_to_residues(Span<const std::int64_t>(resident.span()), flood_view, limbs,
                               context.moduli(), stream);
    kernels::ntt_forward_inplace(flood_view, limbs, context.tables(), stream);
    kernels::add<Word>(out, flood_view, out, limbs, context.moduli(), stream);
    kernels::synchronize(stream);
    const double sigma = sigma_of_draws(draw_count);
    const noise::Error added = noise::sum_error(static_cast<double>(degree), sigma * sigma);
    noise = noise::with_error(noise, noise::error_of(noise) + added);
  }
  return {key_->context(), std::move(residues), ciphertext.level(), ciphertext.scale(),
          noise,           ciphertext.history()};
}

Plaintext Decryptor::decrypt_for_owner(const Ciphertext& ciphertext, const Stream& stream) const {
  return decrypt("Decryptor::decrypt_for_owner", ciphertext, 0, stream);
}

Plaintext Decryptor::decrypt_for_release(const Ciphertext& ciphertext, const ReleasePolicy& policy,
                                         const Stream& stream) const {
  const std::string function = "Decryptor::decrypt_for_release";
  if (policy.queries < 1) {
    throw std::invalid_argument(function + ": queries = " + std::to_string(policy.queries) +
                                ", expected at least 1");
  }
  if (policy.statistical_bits < 10 || policy.statistical_bits > 128) {
    throw std::invalid_argument(function + ": statistical_bits = " +
                                std::to_string(policy.statistical_bits) + ", expected 10 to 128");
  }
  if (ciphertext.history() != History::kKnown) {
    throw std::invalid_argument(
        function +
        ": the ciphertext, or something that went into it, was loaded, so nothing shows that its "
        "noise bound holds; expected one whose history is known, or that Ciphertext::"
        "vouch_for_history() was called for (docs/noise.md)");
  }
  const double flooding = ciphertext.noise().slot_bound *
                          std::sqrt(12.0 * static_cast<double>(policy.queries)) *
                          std::exp2(0.5 * policy.statistical_bits);
  const int draw_count = draws_for(flooding);
  // The message, its error and the largest draw that there is must fit into half of the modulus.
  const Parameters& parameters = ciphertext.context()->parameters();
  const double message = noise::largest_coefficient(ciphertext.noise(), ciphertext.scale(),
                                                    static_cast<double>(parameters.ring_degree()));
  const double log_q = parameters.log_q(ciphertext.level());
  if (!(flooding > 0.0 && draw_count <= kMostDraws &&
        std::log2(message + 41.0 * std::exp2(draw_count)) + 1.0 < log_q)) {
    throw std::invalid_argument(
        function + ": noise of standard deviation 2^" + std::to_string(std::log2(flooding)) +
        " is needed beside a message of up to 2^" + std::to_string(std::log2(message)) +
        ", expected at most 2^57 and with the message about 2^-7 of the modulus 2^" +
        std::to_string(log_q) +
        ": release at a higher level and a larger scale, fewer queries, or fewer "
        "statistical_bits");
  }
  return decrypt(function.c_str(), ciphertext, draw_count, stream);
}

}  // namespace velum::he
