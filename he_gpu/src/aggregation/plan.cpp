#include "velum/he/aggregation/plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "aggregation/format.h"
#include "noise.h"
#include "sha256.h"
#include "velum/kernels/polynomial/digit_packing.h"
#include "velum/kernels/random/small_polynomial.h"

namespace velum::he::aggregation {
namespace {

constexpr int kPrimeBits = kernels::WordTraits<std::uint32_t>::kModulusBits;
constexpr std::int64_t kMostValues = std::int64_t{1} << 32;
constexpr int kUsualLogN = 13;
constexpr int kLogN[] = {kUsualLogN, 14, 12, 11};

[[noreturn]] void refuse(const std::string& what, std::int64_t value, const std::string& expected) {
  throw std::invalid_argument("AggregationPlan: " + what + " = " + std::to_string(value) +
                              ", expected " + expected);
}

void check_range(const std::string& what, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    refuse(what, value, std::to_string(low) + " to " + std::to_string(high));
  }
}

const PlanRequest& checked(const PlanRequest& request) {
  check_range("values", request.values, 1, kMostValues);
  check_range("bits", request.bits, 2, 24);
  check_range("owners", request.owners, 2, kMostOwners);
  if ((static_cast<std::int64_t>(request.owners) << request.bits) > std::int64_t{1} << 31) {
    refuse("owners", request.owners,
           "at most " + std::to_string((std::int64_t{1} << 31) >> request.bits) + " for " +
               std::to_string(request.bits) + "-bit values: sums are 32-bit integers");
  }
  if (request.threshold != 0) check_range("threshold", request.threshold, 2, request.owners);
  check_range("statistical_bits", request.statistical_bits, 10, 80);
  check_range("correctness_bits", request.correctness_bits, 40, 128);
  return request;
}

/// K (2^bits - 1) + 1: sums of at most K digits below 2^bits are below it.
std::uint32_t base_of(const PlanRequest& request) {
  return static_cast<std::uint32_t>(request.owners) * ((1u << request.bits) - 1) + 1;
}

std::int64_t coefficients_of(const PlanRequest& request, int digits) {
  return (request.values + digits - 1) / digits;
}

/// r with 4 C e^(-r^2/2) = 2^-c: a coefficient of C is beyond r standard deviations with
/// probability at most 2 e^(-r^2/2), and there are two bounds.
double tail_of(const PlanRequest& request, int digits) {
  const auto coefficients = static_cast<double>(coefficients_of(request, digits));
  return std::sqrt(2.0 * std::numbers::ln2 *
                   (request.correctness_bits + 2.0 + std::log2(coefficients)));
}

double error_bound_of(const PlanRequest& request, int digits) {
  const double k = request.owners;
  return std::min(tail_of(request, digits) * std::sqrt(k * noise::kErrorVariance),
                  k * kernels::DiscreteGaussian::kBound);
}

double noise_bound_of(const PlanRequest& request, int digits, double smudging_sigma) {
  const double shares = request.threshold == 0 ? request.owners : request.threshold;
  return tail_of(request, digits) * std::sqrt(request.owners * noise::kErrorVariance +
                                              shares * smudging_sigma * smudging_sigma);
}

/// About the bits of Q that v digits take, at most.
double modulus_bits_for(const PlanRequest& request, int digits) {
  const double base = base_of(request);
  const double sigma = std::ldexp(error_bound_of(request, digits), request.statistical_bits + 1);
  return digits * std::log2(base) + 1.0 +
         std::log2(noise_bound_of(request, digits, sigma) + digits * base) + 1e-3;
}

kernels::LimbIndices all_limbs(const Parameters& parameters) {
  return kernels::LimbIndices::range(0, static_cast<int>(parameters.primes().size()));
}

/// What the packing has room for; 0 if it has none.
double room_of(const Parameters& parameters, std::uint32_t base, int digits) {
  const kernels::Stream host = kernels::Stream::serial();
  const kernels::ModulusChain<std::uint32_t> chain(parameters.primes(), host);
  try {
    const kernels::DigitPacking packing(chain, all_limbs(parameters), base, digits, host);
    return static_cast<double>(packing.largest_noise()) * (1.0 - 1e-12);  // rounded down

  } catch (const std::invalid_argument&) {
    return 0.0;
  }
}

/// Primes of about `bits` bits together, if there are such.
std::optional<Parameters> ring(const PlanRequest& request, int log_n, int bits, bool secure) {
  ParametersBuilder builder;
  builder.log_n(log_n)
      .plaintext_modulus(base_of(request))
      .modulus_bits(bits)
      .without_key_switching();
  if (secure) {
    builder.security(request.security);
  } else {
    builder.insecure_without_security_check();
  }
  try {
    return builder.build();
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

int packed_bits(const Parameters& parameters) {
  int bits = 0;
  for (const std::uint32_t prime : parameters.primes()) bits += std::bit_width(prime);
  return bits;
}

/// The ring whose residues have the fewest bits among those with room for v digits, and of these
/// the one with the most room.
std::optional<Parameters> ring_for(const PlanRequest& request, int log_n, int digits, int limit,
                                   bool secure) {
  const double most = modulus_bits_for(request, digits);
  const int primes = static_cast<int>(std::ceil(most / kPrimeBits));
  std::optional<Parameters> best;
  // The noise may be half as wide as was assumed; and the builder's primes are near, not exact.
  for (int bits = static_cast<int>(most) - 1; bits <= std::min(limit, primes * kPrimeBits);
       ++bits) {
    const std::optional<Parameters> found = ring(request, log_n, bits, secure);
    if (!found) continue;
    const double error = error_bound_of(request, digits);
    const double sigma =
        threshold::smudging_for("AggregationPlan", *found, {request.statistical_bits}, error,
                                std::sqrt(static_cast<double>(found->ring_degree())) * error)
            .sigma;
    if (room_of(*found, base_of(request), digits) < noise_bound_of(request, digits, sigma))
      continue;
    if (!best || packed_bits(*found) <= packed_bits(*best)) best = found;
  }
  return best;
}

}  // namespace

AggregationPlan AggregationPlan::create(const PlanRequest& request) {
  checked(request);
  if (request.log_n != 0) check_range("log_n", request.log_n, 11, 14);
  const auto plan_for = [&](int log_n) -> std::optional<AggregationPlan> {
    const int limit = largest_log_qp(log_n, request.security);
    std::optional<AggregationPlan> best;
    // From many digits down: more share the room for the noise, so they are mostly the best.
    for (int digits = kernels::DigitPacking::kMaxDigits; digits > 0; --digits) {
      const double bits = modulus_bits_for(request, digits) - 1.0;  // at least
      if (bits > limit) continue;
      const double least_bytes = bits / 8.0 * static_cast<double>(coefficients_of(request, digits));
      if (best && least_bytes >= static_cast<double>(best->vector_bytes())) continue;
      const std::optional<Parameters> found = ring_for(request, log_n, digits, limit, true);
      if (!found) continue;
      const AggregationPlan plan(request, *found, digits);
      if (!best || plan.vector_bytes() < best->vector_bytes()) best = plan;
    }
    return best;
  };
  for (const int log_n : kLogN) {
    if (request.log_n != 0 && log_n != request.log_n) continue;
    if (std::optional<AggregationPlan> plan = plan_for(log_n)) return *plan;
  }
  throw std::invalid_argument(
      "AggregationPlan: no ring has room for one value of " + std::to_string(request.bits) +
      " bits of " + std::to_string(request.owners) + " owners and noise of " +
      std::to_string(request.statistical_bits) + " statistical_bits at " +
      he::to_string(request.security) +
      "-bit security; expected fewer bits or statistical_bits, or another log_n");
}

AggregationPlan AggregationPlan::create_insecure(const PlanRequest& request, int log_n,
                                                 int digits) {
  checked(request);
  check_range("log_n", log_n, 4, 14);
  check_range("digits", digits, 1, kernels::DigitPacking::kMaxDigits);
  constexpr int kNoLimit = 1000;
  const std::optional<Parameters> found = ring_for(request, log_n, digits, kNoLimit, false);
  if (!found) refuse("digits", digits, "fewer: there are no primes for so many");
  return {request, *found, digits};
}

AggregationPlan::AggregationPlan(const PlanRequest& request, Parameters parameters, int digits)
    : request_(request),
      parameters_(std::move(parameters)),
      base_(base_of(request)),
      digits_(digits),
      error_bound_(error_bound_of(request, digits)),
      smudging_(threshold::smudging_for(
          "AggregationPlan", parameters_, {request.statistical_bits}, error_bound_,
          std::sqrt(static_cast<double>(parameters_.ring_degree())) * error_bound_)),
      noise_bound_(noise_bound_of(request, digits, smudging_.sigma)),
      largest_noise_(room_of(parameters_, base_, digits)) {
  if (!(noise_bound_ <= largest_noise_)) {
    throw std::logic_error("AggregationPlan: the noise does not fit");
  }
  Sha256 hash;
  hash.update_text("velum aggregation plan 1");
  hash.update(parameters_.id().data(), parameters_.id().size());
  hash.update_u64(static_cast<std::uint64_t>(request.values));
  for (const int number : {request.bits, request.owners, request.threshold,
                           request.statistical_bits, request.correctness_bits, digits}) {
    hash.update_u32(static_cast<std::uint32_t>(number));
  }
  id_ = hash.finish();
}

std::int64_t AggregationPlan::coefficients() const { return coefficients_of(request_, digits_); }

std::int64_t AggregationPlan::ciphertexts() const {
  const std::int64_t degree = parameters_.ring_degree();
  return (coefficients() + degree - 1) / degree;
}

std::int64_t AggregationPlan::vector_bytes() const {
  return kHeaderBytes + residue_bytes(*this) + kHashBytes;
}

std::string AggregationPlan::to_string() const {
  const auto bits_of = [](double x) {
    char text[32];
    std::snprintf(text, sizeof text, "2^%.2f", std::log2(x));
    return std::string(text);
  };
  char bytes[32];
  std::snprintf(bytes, sizeof bytes, "%.3f", bytes_per_value());
  const PlanRequest& r = request_;
  std::ostringstream out;
  out << "aggregation of " << r.values << " values of " << r.bits << " bits, up to " << r.owners
      << " owners, decrypted by "
      << (r.threshold == 0 ? "all whose vectors are in the sum"
                           : "any " + std::to_string(r.threshold) + " of them")
      << "\n"
      << "  ring           N = " << parameters_.ring_degree() << ", log2(Q) "
      << bits_of(std::exp2(parameters_.log_q(parameters_.max_level()))).substr(2) << " in "
      << parameters_.primes().size() << " primes";
  if (parameters_.security()) {
    out << ", at most " << largest_log_qp(parameters_.log_n(), *parameters_.security()) << " for "
        << he::to_string(*parameters_.security()) << "-bit security (ePrint 2024/463, Table 5.2)\n";
  } else {
    out << "; INSECURE: the security table was not enforced\n";
  }
  out << "  packing        " << digits_ << " digits in base B = " << base_ << " = " << r.owners
      << " (2^" << r.bits << " - 1) + 1: no sum carries\n"
      << "  errors         of " << r.owners << " owners at most " << bits_of(error_bound_)
      << " in every coefficient\n"
      << "  shares         noise of standard deviation " << bits_of(smudging_.sigma)
      << ", at least 2^" << r.statistical_bits << " times that; statistical distance "
      << bits_of(smudging_.statistical_distance) << " a polynomial, of which there are "
      << ciphertexts() << "\n"
      << "  together       at most " << bits_of(noise_bound_) << ", room for "
      << bits_of(largest_noise_) << "; beyond with probability below 2^-" << r.correctness_bits
      << " in all " << coefficients() << " coefficients\n"
      << "  bytes          " << vector_bytes() << " a vector, " << bytes << " a value\n";
  return out.str();
}

}  // namespace velum::he::aggregation
