#include "velum/kernels/polynomial/modulus_chain.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace velum::kernels {
namespace {

template <typename Word>
std::vector<Modulus<Word>> checked_moduli(const std::vector<Word>& values) {
  if (values.empty() || values.size() > LimbIndices::kMaxLimbs) {
    throw std::invalid_argument("ModulusChain: values.size() = " + std::to_string(values.size()) +
                                ", expected 1 to " + std::to_string(LimbIndices::kMaxLimbs));
  }
  std::vector<Modulus<Word>> moduli;
  moduli.reserve(values.size());
  for (const Word value : values) moduli.push_back(make_modulus(value));
  std::vector<Word> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    throw std::invalid_argument("ModulusChain: the modulus " + std::to_string(*twice) +
                                " is there twice, expected different ones");
  }
  return moduli;
}

}  // namespace

template <typename Word>
ModulusChain<Word>::ModulusChain(const std::vector<Word>& values, const Stream& stream)
    : host_(checked_moduli(values)), resident_(static_cast<std::int64_t>(host_.size()), stream) {
  copy(Span<const Modulus<Word>>(host_), resident_.span(), stream);
  synchronize(stream);
}

template class ModulusChain<std::uint32_t>;
template class ModulusChain<std::uint64_t>;

}  // namespace velum::kernels
