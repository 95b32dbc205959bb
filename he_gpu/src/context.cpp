#include "velum/he/context.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "bfv/auxiliary_primes.h"
#include "bfv/tables.h"
#include "residues_of.h"

namespace velum::he {
namespace {

void* queue_of(const Stream& stream) {
  return stream.backend() == Backend::kCuda ? stream.cuda_stream() : nullptr;
}

/// The parameters' primes, and behind them those that BFV multiplies with.
std::vector<std::uint32_t> chain_of(const Parameters& parameters) {
  std::vector<std::uint32_t> chain = parameters.primes();
  if (parameters.scheme() == SchemeType::kBfv) {
    for (const std::uint32_t prime : bfv::auxiliary_primes(parameters)) chain.push_back(prime);
  }
  return chain;
}

/// A workspace keeps this many buffers at most; what is given back beyond is freed.
constexpr std::size_t kMostKept = 32;

}  // namespace

Workspace::Lease Workspace::take(std::int64_t words, const Stream& stream) {
  void* const queue = queue_of(stream);
  {
    const std::lock_guard lock(mutex_);
    // The smallest that is large enough, and not more than twice as large.
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->queue == queue && it->buffer.size() >= words && it->buffer.size() <= 2 * words &&
          (best == free_.end() || it->buffer.size() < best->buffer.size())) {
        best = it;
      }
    }
    if (best != free_.end()) {
      Lease lease(this, std::move(best->buffer), queue);
      free_.erase(best);
      return lease;
    }
  }
  return {this, Buffer<Word>(words, stream), queue};
}

void Workspace::give_back(Buffer<Word> buffer, void* queue) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (free_.size() >= kMostKept) free_.erase(free_.begin());
    free_.push_back({std::move(buffer), queue});
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory to remember it by, so it is freed
  }
}

std::shared_ptr<const Context> Context::create(Parameters parameters, const Stream& stream) {
  return std::shared_ptr<const Context>(new Context(std::move(parameters), stream));
}

Context::Context(Parameters parameters, const Stream& stream)
    : parameters_(std::move(parameters)),
      tables_(parameters_.log_n(), chain_of(parameters_), stream),
      special_product_(parameters_.limbs(parameters_.max_level()), stream) {
  const LimbIndices special = special_limbs();
  for (int level = 0; level <= parameters_.max_level(); ++level) {
    const LimbIndices limbs = q_limbs(level);
    if (level > 0) {
      const int below = parameters_.limbs(level - 1);
      rescalings_.emplace_back(tables_, q_limbs(level - 1),
                               LimbIndices::range(special.count + below, limbs.count - below),
                               stream);
    }
    if (special.count > 0) special_divisions_.emplace_back(tables_, limbs, special, stream);
    std::vector<kernels::DigitExtension<Word>> extensions;
    Buffer<kernels::ShoupFactor<Word>> factors(limbs.count, stream);
    for (int digit = 0; digit < parameters_.digit_count(level); ++digit) {
      const int begin = digit * parameters_.digit_limbs();
      extensions.emplace_back(tables_, qp_limbs(level), special.count + begin,
                              std::min(parameters_.digit_limbs(), limbs.count - begin), stream);
      const auto of_digit = extensions.back().conversion().inverse_factors();
      kernels::copy(of_digit, {factors.data() + begin, of_digit.size()}, stream);
    }
    digit_extensions_.push_back(std::move(extensions));
    digit_factors_.push_back(std::move(factors));
    radices_.emplace_back(moduli(), limbs, stream);
  }
  std::vector<kernels::ShoupFactor<Word>> products;
  products.reserve(static_cast<std::size_t>(special_product_.size()));
  for (int i = 0; i < parameters_.limbs(parameters_.max_level()); ++i) {
    const kernels::Modulus<Word>& q = moduli()[special.count + i];
    Word product = 1;
    for (int j = 0; j < special.count; ++j)
      product = kernels::multiply_mod(product, moduli()[j].value % q.value, q);
    products.push_back(kernels::shoup_factor(product, q.value));
  }
  if (parameters_.scheme() == SchemeType::kBfv) {
    bfv_tables_ = std::make_shared<const bfv::Tables>(parameters_, tables_, stream);
  }
  kernels::copy(Span<const kernels::ShoupFactor<Word>>(products), special_product_.span(), stream);
  kernels::synchronize(stream);
}

LimbIndices Context::q_limbs(int level) const {
  return LimbIndices::range(parameters_.special_prime_count(), parameters_.limbs(level));
}

LimbIndices Context::qp_limbs(int level) const {
  return LimbIndices::range(0, parameters_.special_prime_count() + parameters_.limbs(level));
}

LimbIndices Context::special_limbs() const {
  return LimbIndices::range(0, parameters_.special_prime_count());
}

const kernels::RnsDivision<Word>& Context::rescaling(int level) const {
  return rescalings_.at(static_cast<std::size_t>(level - 1));
}

const kernels::RnsDivision<Word>& Context::special_division(int level) const {
  return special_divisions_.at(static_cast<std::size_t>(level));
}

Span<const kernels::DigitExtension<Word>> Context::digit_extensions(int level) const {
  return digit_extensions_.at(static_cast<std::size_t>(level));
}

Span<const kernels::ShoupFactor<Word>> Context::digit_factors(int level) const {
  return digit_factors_.at(static_cast<std::size_t>(level)).span();
}

const kernels::MixedRadix& Context::radix(int level) const {
  return radices_.at(static_cast<std::size_t>(level));
}

const bfv::Tables& Context::bfv_tables() const {
  if (bfv_tables_ == nullptr)
    throw std::logic_error("Context::bfv_tables: the scheme of the parameters is CKKS");
  return *bfv_tables_;
}

void Context::check_scheme(const char* function, SchemeType scheme) const {
  if (parameters_.scheme() != scheme) {
    throw std::invalid_argument(
        std::string(function) + ": the parameters are of " + to_string(parameters_.scheme()) +
        ", expected " + to_string(scheme) +
        (scheme == SchemeType::kBfv ? "; ParametersBuilder::plaintext_modulus makes such"
                                    : "; what computes with BFV is in velum::he::bfv"));
  }
}

void Context::check_stream(const char* function, const Stream& stream) const {
  if (stream.backend() != backend()) {
    throw std::invalid_argument(std::string(function) + ": the stream is on " +
                                std::string(kernels::to_string(stream.backend())) + ", expected " +
                                std::string(kernels::to_string(backend())) +
                                ", where the context lives");
  }
}

}  // namespace velum::he
