#include "velum/he/parameters.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ostream>
#include <sstream>
#include <stdexcept>

#include "bfv/auxiliary_primes.h"
#include "bfv/noise_bound.h"
#include "parameters_fields.h"
#include "prime_search.h"
#include "sha256.h"
#include "velum/kernels/polynomial/modulus_ratio.h"
#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::he {
namespace {

constexpr int kSmallestLogN = 10;
constexpr int kLargestLogN = 17;
constexpr int kSmallestInsecureLogN = 4;
constexpr int kLargestDepth = 60;
constexpr int kPrimeBits = kernels::WordTraits<std::uint32_t>::kModulusBits;  // q < 2^30
/// From here on a level has two primes. Between 29 and 36 one is too large for a word and halves
/// are too small.
constexpr int kSmallestSingle = 20, kLargestSingle = 29, kSmallestPair = 36, kLargestPair = 58;
constexpr int kMostBasePrimes = 4;
constexpr std::uint64_t kLargestPlaintextModulus = kernels::ModulusRatio::kMaxDivisor;
constexpr int kSmallestModulusBits = 20, kLargestModulusBits = 3523;
constexpr int kLargestBfvDepth = 30;
constexpr int kMostParties = 1024;
/// How far the scale of a level may be from 2^scale_bits, in bits.
constexpr double kScaleTolerance = 0.25;

[[noreturn]] void reject(const std::string& text) {
  throw std::invalid_argument("ParametersBuilder: " + text);
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

double log2_product(const std::vector<std::uint32_t>& primes, std::size_t begin, std::size_t end) {
  double sum = 0.0;
  for (std::size_t i = begin; i < end; ++i) sum += std::log2(static_cast<double>(primes[i]));
  return sum;
}

/// log2 of the largest digit.
double largest_digit(const std::vector<std::uint32_t>& q, int digit_limbs) {
  const auto size = static_cast<std::size_t>(digit_limbs);
  double largest = 0.0;
  for (std::size_t begin = 0; begin < q.size(); begin += size) {
    largest = std::max(largest, log2_product(q, begin, std::min(q.size(), begin + size)));
  }
  return largest;
}

constexpr double kLogarithmSlack = 1e-6;

/// The fewest of the largest primes left whose product is above 2^bits; nothing if there are not so
/// many.
std::optional<std::vector<std::uint32_t>> largest_special_primes(double bits,
                                                                 const PrimeSearch& search) {
  for (int count = static_cast<int>(bits / kPrimeBits) + 1;; ++count) {
    PrimeSearch rest = search;
    std::optional<std::vector<std::uint32_t>> primes = rest.take_largest(count);
    if (!primes || log2_product(*primes, 0, primes->size()) > bits + kLogarithmSlack) return primes;
  }
}

/// As few, but with a product not far above 2^bits.
std::optional<std::vector<std::uint32_t>> tight_special_primes(double bits,
                                                               const PrimeSearch& search) {
  const int count = static_cast<int>(std::ceil((bits + 0.2) / kPrimeBits));
  PrimeSearch rest = search;
  return rest.take_above((bits + kLogarithmSlack) / count, count);
}

ParametersId parameters_id(const ParametersFields& fields) {
  Sha256 hash;
  const bool bfv = fields.plaintext_modulus != 0;
  hash.update_text(bfv ? "velum bfv parameters 1" : "velum ckks parameters 1");
  for (const int value :
       {fields.log_n, fields.scale_bits, fields.base_count, fields.primes_per_level,
        fields.max_level, fields.special_count, fields.digit_limbs, fields.security}) {
    hash.update_u32(static_cast<std::uint32_t>(value));
  }
  if (bfv) hash.update_u64(fields.plaintext_modulus);
  if (fields.parties != 1) {
    hash.update_text("parties");
    hash.update_u32(static_cast<std::uint32_t>(fields.parties));
  }
  for (const std::uint32_t prime : fields.primes) hash.update_u32(prime);
  return hash.finish();
}

/// The fewest of the first primes that hold messages modulo t and the noise of a division; nothing
/// if all together do not.
std::optional<int> bfv_base_count(int log_n, int parties, std::uint64_t t,
                                  const std::vector<std::uint32_t>& q) {
  const bfv::noise::Ring ring{std::ldexp(1.0, log_n), static_cast<double>(parties)};
  double product = 1.0;
  for (std::size_t i = 0; i < q.size() && i < kMostBasePrimes; ++i) {
    product *= q[i];
    if (bfv::noise::holds_messages(ring, static_cast<double>(t), product))
      return static_cast<int>(i) + 1;
  }
  return std::nullopt;
}

}  // namespace

int Parameters::limbs(int level) const {
  if (level < 0 || level > max_level_) {
    throw std::out_of_range("Parameters: level = " + std::to_string(level) + ", expected 0 to " +
                            std::to_string(max_level_));
  }
  return base_count_ + primes_per_level_ * level;
}

std::uint32_t Parameters::ciphertext_prime(int index) const {
  if (index < 0 || index >= limbs(max_level_)) {
    throw std::out_of_range("Parameters: ciphertext prime " + std::to_string(index) +
                            ", expected 0 to " + std::to_string(limbs(max_level_) - 1));
  }
  return primes_[static_cast<std::size_t>(special_count_ + index)];
}

int Parameters::digit_count(int level) const {
  if (special_count_ == 0) return 0;
  return (limbs(level) + digit_limbs_ - 1) / digit_limbs_;
}

std::string to_string(SchemeType scheme) { return scheme == SchemeType::kCkks ? "CKKS" : "BFV"; }

double Parameters::scale(int level) const {
  if (scheme() != SchemeType::kCkks) {
    throw std::logic_error("Parameters::scale: the scheme is BFV, which has no scales");
  }
  limbs(level);  // checks the level
  return scales_[static_cast<std::size_t>(level)];
}

double Parameters::level_modulus(int level) const {
  if (level < 1 || level > max_level_) {
    throw std::out_of_range("Parameters: level = " + std::to_string(level) + ", expected 1 to " +
                            std::to_string(max_level_) + ": level 0 has nothing to divide by");
  }
  double product = 1.0;  // exact: two primes below 2^30 have 60 bits, a double rounds once
  for (int i = limbs(level - 1); i < limbs(level); ++i) product *= ciphertext_prime(i);
  return product;
}

double Parameters::log_q(int level) const {
  return log2_product(primes_, static_cast<std::size_t>(special_count_),
                      static_cast<std::size_t>(special_count_ + limbs(level)));
}

double Parameters::log_p() const {
  return log2_product(primes_, 0, static_cast<std::size_t>(special_count_));
}

std::string Parameters::to_string() const {
  std::ostringstream out;
  out << he::to_string(scheme()) << " parameters " << he::to_string(id_).substr(0, 16) << "\n";
  if (scheme() == SchemeType::kCkks) {
    out << "  ring degree    " << ring_degree() << " (" << max_slots() << " slots)\n"
        << "  levels         " << max_level_ << ", " << primes_per_level_
        << (primes_per_level_ == 1 ? " prime" : " primes") << " each; scale 2^" << scale_bits_
        << "\n";
  } else {
    out << "  ring degree    " << ring_degree() << "\n"
        << "  messages       modulo t = " << plaintext_modulus_ << "\n"
        << "  levels         " << max_level_ << ", 1 prime each\n";
  }
  if (parties_ != 1) out << "  keys           of up to " << parties_ << " parties together\n";
  out << "  log2(Q)        " << number_text(log_q(max_level_)) << " in " << limbs(max_level_)
      << " primes\n"
      << "  log2(P)        " << number_text(log_p()) << " in " << special_count_ << " primes; "
      << dnum() << (dnum() == 1 ? " digit" : " digits") << "\n"
      << "  log2(QP)       " << number_text(log_qp());
  if (security_) {
    out << ", at most " << largest_log_qp(log_n_, *security_) << " for "
        << he::to_string(*security_) << "-bit security (ePrint 2024/463, Table 5.2)\n";
  } else {
    out << "; INSECURE: the security table was not enforced\n";
  }
  return out.str();
}

std::ostream& operator<<(std::ostream& out, const Parameters& parameters) {
  return out << parameters.to_string();
}

std::string to_string(const ParametersId& id) {
  std::string text;
  for (const std::uint8_t byte : id) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

ParametersBuilder& ParametersBuilder::log_n(int value) {
  log_n_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::scale_bits(int value) {
  scale_bits_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::depth(int value) {
  depth_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::base_bits(int value) {
  base_bits_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::plaintext_modulus(std::uint64_t value) {
  plaintext_modulus_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::modulus_bits(int value) {
  modulus_bits_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::dnum(int value) {
  dnum_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::parties(int value) {
  parties_ = value;
  return *this;
}
ParametersBuilder& ParametersBuilder::without_key_switching() {
  key_switching_ = false;
  return *this;
}
ParametersBuilder& ParametersBuilder::security(SecurityLevel level) {
  security_ = level;
  return *this;
}
ParametersBuilder& ParametersBuilder::insecure_without_security_check() {
  security_.reset();
  return *this;
}

std::vector<std::uint32_t> ParametersBuilder::choose_ckks_primes(Parameters& p,
                                                                 PrimeSearch& search) const {
  if (modulus_bits_) reject("modulus_bits is for BFV, which plaintext_modulus makes");
  if (!scale_bits_) reject("scale_bits is missing");
  const bool single = *scale_bits_ >= kSmallestSingle && *scale_bits_ <= kLargestSingle;
  const bool pair = *scale_bits_ >= kSmallestPair && *scale_bits_ <= kLargestPair;
  if (!single && !pair) {
    reject("scale_bits = " + std::to_string(*scale_bits_) + ", expected 20 to 29 or 36 to 58");
  }
  const int depth = depth_.value_or(0);
  if (depth < 0 || depth > kLargestDepth) {
    reject("depth = " + std::to_string(depth) + ", expected 0 to " + std::to_string(kLargestDepth));
  }
  const int base_bits = base_bits_.value_or(*scale_bits_ + 10);
  if (base_bits < *scale_bits_ + 2 || base_bits > 4 * kPrimeBits) {
    reject("base_bits = " + std::to_string(base_bits) + ", expected " +
           std::to_string(*scale_bits_ + 2) + " to " + std::to_string(4 * kPrimeBits));
  }

  p.scale_bits_ = *scale_bits_;
  p.max_level_ = depth;
  p.primes_per_level_ = single ? 1 : 2;

  // The levels first, from the highest down: their primes decide how exact the scales are.
  const double scale = std::ldexp(1.0, *scale_bits_);
  p.scales_.assign(static_cast<std::size_t>(depth) + 1, scale);
  std::vector<std::vector<std::uint32_t>> levels(static_cast<std::size_t>(depth) + 1);
  for (int level = depth; level > 0; --level) {
    const double current = p.scales_[static_cast<std::size_t>(level)];
    const double wanted = current * current / scale;
    const std::optional<std::vector<std::uint32_t>> found =
        search.take_product(wanted, p.primes_per_level_);
    double product = 1.0;
    if (found) {
      for (const std::uint32_t prime : *found) product *= prime;
    }
    if (!found || std::abs(std::log2(product / wanted)) > kScaleTolerance) {
      reject("scale_bits = " + std::to_string(*scale_bits_) +
             " and depth = " + std::to_string(depth) + ": only " + std::to_string(depth - level) +
             " levels find primes near enough in the ring of degree 2^" + std::to_string(*log_n_) +
             "; a larger scale has more of them");
    }
    p.scales_[static_cast<std::size_t>(level) - 1] = current * (current / product);
    levels[static_cast<std::size_t>(level)] = *found;
  }
  p.base_count_ = (base_bits + kPrimeBits - 1) / kPrimeBits;
  const std::optional<std::vector<std::uint32_t>> base =
      search.take_near(static_cast<double>(base_bits) / p.base_count_, p.base_count_);
  if (!base)
    reject("base_bits = " + std::to_string(base_bits) +
           ": there are not enough primes of that size");
  std::vector<std::uint32_t> q = *base;
  for (const auto& level : levels) q.insert(q.end(), level.begin(), level.end());
  return q;
}

std::vector<std::uint32_t> ParametersBuilder::choose_bfv_primes(Parameters& p,
                                                                PrimeSearch& search) const {
  if (scale_bits_ || base_bits_ || depth_) {
    reject(
        "plaintext_modulus makes parameters of BFV, which have no scale_bits, base_bits or depth; "
        "expected modulus_bits");
  }
  const std::uint64_t t = *plaintext_modulus_;
  if (t < 2 || t > kLargestPlaintextModulus) {
    reject("plaintext_modulus = " + std::to_string(t) + ", expected 2 to 2^60");
  }
  if (!modulus_bits_) reject("modulus_bits is missing");
  if (*modulus_bits_ < kSmallestModulusBits || *modulus_bits_ > kLargestModulusBits) {
    reject("modulus_bits = " + std::to_string(*modulus_bits_) + ", expected " +
           std::to_string(kSmallestModulusBits) + " to " + std::to_string(kLargestModulusBits));
  }
  const int count = (*modulus_bits_ + kPrimeBits - 1) / kPrimeBits;
  std::optional<std::vector<std::uint32_t>> q;
  do {  // without those that divide t
    q = search.take_near(static_cast<double>(*modulus_bits_) / count, count);
    if (!q) {
      reject("modulus_bits = " + std::to_string(*modulus_bits_) +
             ": there are not enough primes of that size in the ring of degree 2^" +
             std::to_string(*log_n_));
    }
  } while (std::any_of(q->begin(), q->end(), [&](std::uint32_t prime) { return t % prime == 0; }));
  const std::optional<int> base = bfv_base_count(*log_n_, p.parties_, t, *q);
  if (!base) {
    reject("modulus_bits = " + std::to_string(*modulus_bits_) +
           " do not hold messages modulo plaintext_modulus = " + std::to_string(t) +
           " and the noise of one division in the ring of degree 2^" + std::to_string(*log_n_) +
           "; take more modulus_bits");
  }
  p.plaintext_modulus_ = t;
  p.base_count_ = *base;
  p.primes_per_level_ = 1;
  p.max_level_ = count - *base;
  return *q;
}

Parameters ParametersBuilder::build() const {
  if (!log_n_) reject("log_n is missing");
  const int smallest_log_n = security_ ? kSmallestLogN : kSmallestInsecureLogN;
  if (*log_n_ < smallest_log_n || *log_n_ > kLargestLogN) {
    reject("log_n = " + std::to_string(*log_n_) + ", expected " + std::to_string(smallest_log_n) +
           " to " + std::to_string(kLargestLogN));
  }
  Parameters p;
  p.log_n_ = *log_n_;
  p.security_ = security_;
  p.parties_ = parties_.value_or(1);
  if (p.parties_ < 1 || p.parties_ > kMostParties) {
    reject("parties = " + std::to_string(p.parties_) + ", expected 1 to " +
           std::to_string(kMostParties));
  }
  PrimeSearch search(*log_n_);
  const std::vector<std::uint32_t> q =
      plaintext_modulus_ ? choose_bfv_primes(p, search) : choose_ckks_primes(p, search);

  const int limbs = static_cast<int>(q.size());
  if (dnum_ && (*dnum_ < 1 || *dnum_ > limbs)) {
    reject("dnum = " + std::to_string(*dnum_) + ", expected 1 to " + std::to_string(limbs));
  }
  const double log_q = log2_product(q, 0, q.size());
  const int limit = security_ ? largest_log_qp(*log_n_, *security_) : 0;
  const auto finish = [&](const std::vector<std::uint32_t>& specials, int digit_limbs) {
    p.special_count_ = static_cast<int>(specials.size());
    p.digit_limbs_ = digit_limbs;
    p.primes_ = specials;
    p.primes_.insert(p.primes_.end(), q.begin(), q.end());
    if (p.primes_.size() > static_cast<std::size_t>(kernels::LimbIndices::kMaxLimbs)) {
      reject("the chain has " + std::to_string(p.primes_.size()) + " primes, expected at most " +
             std::to_string(kernels::LimbIndices::kMaxLimbs) +
             ": take fewer levels or more digits");
    }
    if (p.scheme() == SchemeType::kBfv) bfv::auxiliary_primes(p);  // there are enough
    p.id_ = parameters_id(ParametersFields::of(p));
    return p;
  };
  if (!key_switching_) {
    if (!security_ || log_q <= limit) return finish({}, limbs);
  } else {
    for (int dnum = dnum_.value_or(1); dnum <= dnum_.value_or(limbs); ++dnum) {
      const int digit_limbs = (limbs + dnum - 1) / dnum;
      const double digit = largest_digit(q, digit_limbs);
      // Large special primes make the noise of key switching smaller; tight ones fit more often.
      for (const auto choose : {&largest_special_primes, &tight_special_primes}) {
        const std::optional<std::vector<std::uint32_t>> specials = choose(digit, search);
        if (specials &&
            (!security_ || log_q + log2_product(*specials, 0, specials->size()) <= limit)) {
          return finish(*specials, digit_limbs);
        }
      }
    }
  }
  if (!security_) reject("there are not enough primes for the special ones; take more digits");
  reject("log2(Q) = " + number_text(log_q) +
         (key_switching_ ? " leaves no room for special primes below " : " is above ") +
         std::to_string(limit) + ", the largest log2(QP) for " + he::to_string(*security_) +
         "-bit security at log_n = " + std::to_string(*log_n_) +
         "; take fewer levels, a smaller scale" + (dnum_ ? ", a larger dnum" : "") +
         " or a larger ring");
}

Parameters Parameters::for_depth(int depth, int precision_bits, SecurityLevel security) {
  if (depth < 0 || depth > kLargestDepth) {
    throw std::invalid_argument("Parameters::for_depth: depth = " + std::to_string(depth) +
                                ", expected 0 to " + std::to_string(kLargestDepth));
  }
  if (precision_bits < 10 || precision_bits > 45) {
    throw std::invalid_argument("Parameters::for_depth: precision_bits = " +
                                std::to_string(precision_bits) + ", expected 10 to 45");
  }
  for (int log_n = kSmallestLogN; log_n <= kLargestLogN; ++log_n) {
    // The error of a fresh public-key encryption is about 2^(log_n + 2) in a slot, at most.
    const int wanted = std::max(precision_bits + log_n + 3, kSmallestSingle);
    for (int scale_bits = wanted; scale_bits <= kLargestPair; ++scale_bits) {
      if (scale_bits > kLargestSingle && scale_bits < kSmallestPair) scale_bits = kSmallestPair;
      if (scale_bits * (depth + 1) >= largest_log_qp(log_n, security)) break;
      try {
        return ParametersBuilder()
            .log_n(log_n)
            .scale_bits(scale_bits)
            .depth(depth)
            .security(security)
            .build();
      } catch (const std::invalid_argument&) {  // primes too scarce at this scale, or not secure in
                                                // this ring
      }
    }
  }
  throw std::invalid_argument("Parameters::for_depth: depth = " + std::to_string(depth) +
                              " at precision_bits = " + std::to_string(precision_bits) +
                              " needs more than log_n = 17 allows at " + he::to_string(security) +
                              "-bit security");
}

std::uint64_t Parameters::batching_modulus(int log_n, int bits) {
  const std::string function = "Parameters::batching_modulus: ";
  if (log_n < kSmallestInsecureLogN || log_n > kLargestLogN) {
    throw std::invalid_argument(function + "log_n = " + std::to_string(log_n) + ", expected " +
                                std::to_string(kSmallestInsecureLogN) + " to " +
                                std::to_string(kLargestLogN));
  }
  if (bits > log_n + 1 && bits <= 60) {
    const std::uint64_t step = std::uint64_t{2} << log_n;
    for (std::uint64_t t = (std::uint64_t{1} << bits) - step + 1; t >> (bits - 1) != 0; t -= step) {
      if (kernels::is_prime(t)) return t;
    }
  }
  throw std::invalid_argument(function + "bits = " + std::to_string(bits) +
                              ": there is no prime of so many bits that is 1 modulo 2N = " +
                              std::to_string(std::uint64_t{2} << log_n) + ", expected about " +
                              std::to_string(log_n + 3) + " to 60");
}

Parameters Parameters::bfv_for_depth(int depth, int plaintext_bits, SecurityLevel security) {
  const std::string function = "Parameters::bfv_for_depth: ";
  if (depth < 0 || depth > kLargestBfvDepth) {
    throw std::invalid_argument(function + "depth = " + std::to_string(depth) + ", expected 0 to " +
                                std::to_string(kLargestBfvDepth));
  }
  if (plaintext_bits < 12 || plaintext_bits > 60) {
    throw std::invalid_argument(function + "plaintext_bits = " + std::to_string(plaintext_bits) +
                                ", expected 12 to 60");
  }
  using bfv::noise::operator+;
  for (int log_n = kSmallestLogN; log_n <= kLargestLogN; ++log_n) {
    std::uint64_t t = 0;
    try {
      t = batching_modulus(log_n, plaintext_bits);
    } catch (const std::invalid_argument&) {  // the ring is too large for so small a modulus
      break;
    }
    // What each multiplication adds, at least; the rest is found by trying.
    const double step = std::log2(static_cast<double>(t)) + log_n + 3.0;
    const int limit = largest_log_qp(log_n, security);
    for (int bits =
             std::max(kSmallestModulusBits, plaintext_bits + 10 + static_cast<int>(depth * step));
         bits <= limit; bits += 2) {
      try {
        const Parameters p = ParametersBuilder()
                                 .log_n(log_n)
                                 .plaintext_modulus(t)
                                 .modulus_bits(bits)
                                 .security(security)
                                 .build();
        const bfv::NoiseBound switched =
            bfv::noise::key_switching(p, p.max_level(), bfv::noise::Switching::kPlain);
        const bfv::noise::Ring ring = noise::ring_of(p);
        bfv::NoiseBound noise = bfv::noise::public_key_encryption(ring);
        for (int i = 0; i < depth; ++i) {
          const bfv::NoiseBound sum = noise + noise;
          noise =
              bfv::noise::multiplied(ring, static_cast<double>(t), sum, sum) + switched + switched;
        }
        noise = noise + noise + switched;
        if (bfv::noise::budget(p, p.max_level(), noise) > 0.0) return p;
      } catch (const std::invalid_argument&) {  // no room for special primes: a larger ring
        break;
      }
    }
  }
  throw std::invalid_argument(function + "depth = " + std::to_string(depth) +
                              " with plaintext_bits = " + std::to_string(plaintext_bits) +
                              " finds no ring to log_n = 17 at " + he::to_string(security) +
                              "-bit security; more plaintext_bits allow larger rings, fewer need "
                              "smaller ones");
}

ParametersFields ParametersFields::of(const Parameters& parameters) {
  return {
      parameters.log_n_,       parameters.scale_bits_,
      parameters.base_count_,  parameters.primes_per_level_,
      parameters.max_level_,   parameters.special_count_,
      parameters.digit_limbs_, parameters.security_ ? static_cast<int>(*parameters.security_) : 0,
      parameters.primes_,      parameters.plaintext_modulus_,
      parameters.parties_};
}

Parameters ParametersFields::restore() const {
  const auto refuse = [](const std::string& text) { throw std::invalid_argument(text); };
  const auto expect = [&](const char* name, int value, int low, int high) {
    if (value < low || value > high) {
      refuse(std::string(name) + " = " + std::to_string(value) + ", expected " +
             std::to_string(low) + " to " + std::to_string(high));
    }
  };
  std::optional<SecurityLevel> level;
  for (const SecurityLevel known :
       {SecurityLevel::k128, SecurityLevel::k192, SecurityLevel::k256}) {
    if (security == static_cast<int>(known)) level = known;
  }
  if (security != 0 && !level) {
    refuse("security = " + std::to_string(security) + ", expected 0, 128, 192 or 256");
  }
  expect("log_n", log_n, level ? kSmallestLogN : kSmallestInsecureLogN, kLargestLogN);
  const bool bfv = plaintext_modulus != 0;
  const bool single = scale_bits >= kSmallestSingle && scale_bits <= kLargestSingle;
  if (bfv) {
    if (plaintext_modulus < 2 || plaintext_modulus > kLargestPlaintextModulus) {
      refuse("plaintext modulus = " + std::to_string(plaintext_modulus) + ", expected 2 to 2^60");
    }
    expect("scale_bits", scale_bits, 0, 0);
  } else if (!single && (scale_bits < kSmallestPair || scale_bits > kLargestPair)) {
    refuse("scale_bits = " + std::to_string(scale_bits) + ", expected 20 to 29 or 36 to 58");
  }
  expect("parties", parties, 1, kMostParties);
  expect("primes per level", primes_per_level, single || bfv ? 1 : 2, single || bfv ? 1 : 2);
  expect("levels", max_level, 0, bfv ? kernels::LimbIndices::kMaxLimbs : kLargestDepth);
  expect("base primes", base_count, 1, kMostBasePrimes);
  const int q_count = base_count + primes_per_level * max_level;
  expect("special primes", special_count, 0, kernels::LimbIndices::kMaxLimbs - q_count);
  expect("primes of a digit", digit_limbs, special_count == 0 ? q_count : 1, q_count);
  if (static_cast<std::int64_t>(primes.size()) != special_count + q_count) {
    refuse(std::to_string(primes.size()) + " primes, expected " +
           std::to_string(special_count + q_count));
  }
  for (std::size_t i = 0; i < primes.size(); ++i) {
    const std::uint32_t prime = primes[i];
    if (prime <= (std::uint32_t{1} << 12) || prime >= (std::uint32_t{1} << kPrimeBits) ||
        prime % (std::uint32_t{2} << log_n) != 1 || !kernels::is_prime(prime)) {
      refuse("prime " + std::to_string(i) + " = " + std::to_string(prime) +
             ", expected a prime between 2^12 and 2^30 that is 1 modulo 2N = " +
             std::to_string(std::uint32_t{2} << log_n));
    }
    if (std::find(primes.begin(), primes.begin() + static_cast<std::ptrdiff_t>(i), prime) !=
        primes.begin() + static_cast<std::ptrdiff_t>(i)) {
      refuse("prime " + std::to_string(prime) + " is there twice");
    }
    if (bfv && plaintext_modulus % prime == 0) {
      refuse("prime " + std::to_string(prime) + " divides the plaintext modulus " +
             std::to_string(plaintext_modulus) + ", expected none that does");
    }
  }
  if (bfv) {
    const std::optional<int> base = bfv_base_count(log_n, parties, plaintext_modulus,
                                                   {primes.begin() + special_count, primes.end()});
    if (!base || *base != base_count) {
      refuse("base primes = " + std::to_string(base_count) + ", expected " +
             (base ? std::to_string(*base) : "more than there are") + " for plaintext modulus " +
             std::to_string(plaintext_modulus));
    }
  }

  Parameters p;
  p.log_n_ = log_n;
  p.scale_bits_ = scale_bits;
  p.base_count_ = base_count;
  p.primes_per_level_ = primes_per_level;
  p.max_level_ = max_level;
  p.special_count_ = special_count;
  p.digit_limbs_ = digit_limbs;
  p.primes_ = primes;
  p.security_ = level;
  p.plaintext_modulus_ = plaintext_modulus;
  p.parties_ = parties;
  // As `build` computes them, to the bit.
  const double scale = std::ldexp(1.0, scale_bits);
  if (!bfv) p.scales_.assign(static_cast<std::size_t>(max_level) + 1, scale);
  for (int l = bfv ? 0 : max_level; l > 0; --l) {
    const double current = p.scales_[static_cast<std::size_t>(l)];
    const double product = p.level_modulus(l);
    if (!(std::abs(std::log2(product / (current * current / scale))) <= kScaleTolerance)) {
      refuse("the primes of level " + std::to_string(l) + " have the product 2^" +
             number_text(std::log2(product)) + ", expected within 2^" +
             number_text(kScaleTolerance) + " of 2^" +
             number_text(std::log2(current * current / scale)));
    }
    p.scales_[static_cast<std::size_t>(l) - 1] = current * (current / product);
  }
  if (special_count > 0) {
    const double digit = largest_digit({primes.begin() + special_count, primes.end()}, digit_limbs);
    if (!(p.log_p() > digit)) {
      refuse("log2(P) = " + number_text(p.log_p()) +
             ", expected above that of the largest digit, " + number_text(digit));
    }
  }
  if (level && !(p.log_qp() <= largest_log_qp(log_n, *level))) {
    refuse("log2(QP) = " + number_text(p.log_qp()) + ", expected at most " +
           std::to_string(largest_log_qp(log_n, *level)) + " for the " + he::to_string(*level) +
           "-bit security that is claimed at log_n = " + std::to_string(log_n));
  }
  if (bfv) bfv::auxiliary_primes(p);  // there are enough
  p.id_ = parameters_id(*this);
  return p;
}

}  // namespace velum::he
