#include "velum/kernels/polynomial/base_conversion.h"

#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "polynomial/base_conversion_halves.h"
#include "polynomial/check_rns.h"
#include "polynomial/host_arithmetic.h"

namespace velum::kernels {
namespace {

template <typename Word>
const LimbIndices& checked(const ModulusChain<Word>& chain, const LimbIndices& limbs,
                           const char* name, int least) {
  const char* function = "BaseConversion";
  check_at_least(function, std::string(name) + ".count", limbs.count, least);
  check_indices(function, name, limbs, chain.size());
  return limbs;
}

template <typename Word>
std::vector<ShoupFactor<Word>> inverse_factors_of(const std::vector<Modulus<Word>>& from) {
  std::vector<ShoupFactor<Word>> factors;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const Word inverse = modular_inverse(product_modulo(from, i, from[i]), from[i]);
    if (inverse == 0) {
      throw std::invalid_argument(
          "BaseConversion: the modulus " + std::to_string(from[i].value) +
          " has a divisor in common with another, expected pairwise coprime "
          "ones");
    }
    factors.push_back(shoup_factor(inverse, from[i].value));
  }
  return factors;
}

/// floor(2^(2w - 1 + m) / q'), bit by bit.
template <typename Word>
Reciprocal<Word> reciprocal_of(const Modulus<Word>& modulus) {
  using Wide = WideOf<Word>;
  constexpr int kModulusBits = WordTraits<Word>::kModulusBits;
  const int shift = kModulusBits - modulus.bits;
  const Word divisor = static_cast<Word>(modulus.value << shift);
  Wide quotient = 1;  // of 2^m and q', which is in (2^(m-1), 2^m)
  Word remainder = static_cast<Word>((Word{1} << kModulusBits) - divisor);
  for (int bit = 0; bit < 2 * WordTraits<Word>::kBits - 1; ++bit) {
    remainder = static_cast<Word>(2 * remainder);  // < 2 q' < 2^w
    quotient = 2 * quotient + (remainder >= divisor ? 1 : 0);
    remainder = reduce_once(remainder, divisor);
  }
  return {static_cast<Word>(quotient >> WordTraits<Word>::kBits), static_cast<Word>(quotient),
          shift};
}

template <typename Word>
std::vector<Reciprocal<Word>> reciprocals_of(const std::vector<Modulus<Word>>& from) {
  std::vector<Reciprocal<Word>> reciprocals;
  reciprocals.reserve(from.size());
  for (const Modulus<Word>& modulus : from) reciprocals.push_back(reciprocal_of(modulus));
  return reciprocals;
}

template <typename Word>
std::vector<Word> table_of(const std::vector<Modulus<Word>>& from,
                           const std::vector<Modulus<Word>>& to) {
  std::vector<Word> table;
  for (std::size_t i = 0; i <= from.size(); ++i) {
    for (const Modulus<Word>& p : to) {
      const auto word_size =
          static_cast<Word>((WideOf<Word>{1} << WordTraits<Word>::kBits) % p.value);
      const Word product = product_modulo(from, i, p);  // of all of them for the last row
      const Word value = multiply_mod(product, word_size, p);
      table.push_back(i == from.size() ? negate_mod(value, p.value) : value);
    }
  }
  return table;
}

}  // namespace

template <typename Word>
BaseConversion<Word>::BaseConversion(const ModulusChain<Word>& chain, const LimbIndices& from,
                                     const LimbIndices& to, const Stream& stream)
    : from_(checked(chain, from, "from", 1)),
      to_(checked(chain, to, "to", 0)),
      host_inverse_factors_(inverse_factors_of(moduli_of(chain, from))),
      from_moduli_(resident(moduli_of(chain, from), stream)),
      to_moduli_(resident(moduli_of(chain, to), stream)),
      inverse_factors_(resident(host_inverse_factors_, stream)),
      reciprocals_(resident(reciprocals_of(moduli_of(chain, from)), stream)),
      table_(resident(table_of(moduli_of(chain, from), moduli_of(chain, to)), stream)) {}

template class BaseConversion<std::uint32_t>;
template class BaseConversion<std::uint64_t>;

template <typename Word>
void run_base_conversion(const BaseConversionTask<Word>& task, const Stream& stream) {
  VELUM_DISPATCH(stream,
                 base_conversions_cpu(Span<const BaseConversionTask<Word>>(&task, 1), stream),
                 base_conversion_cuda(task, stream));
}

template <typename Word>
void convert_base(RnsView<const std::type_identity_t<Word>> in,
                  RnsView<std::type_identity_t<Word>> out, const BaseConversion<Word>& conversion,
                  Correction correction, Premultiplied premultiplied, const Stream& stream) {
  const char* function = "convert_base";
  const RnsShape in_shape("in", in);
  const RnsShape out_shape("out", out);
  check_view(function, out_shape);
  check_view(function, in_shape);
  check_memory(function, "conversion", conversion.backend(), stream);
  check_count(function, "in.limbs", in.limbs, "conversion.from().count", conversion.from().count);
  check_count(function, "out.limbs", out.limbs, "conversion.to().count", conversion.to().count);
  check_count(function, "in.degree", in.degree, "out.degree", out.degree);
  check_polys(function, in_shape, out_shape, false);
  check_disjoint(function, out_shape, in_shape);
  run_base_conversion(
      BaseConversionTask<Word>{in, out, conversion.view(), correction == Correction::kCentred,
                               premultiplied == Premultiplied::kYes, conversion.to().count, 0},
      stream);
}

#define VELUM_INSTANTIATE(Word)                                                               \
  template void run_base_conversion(const BaseConversionTask<Word>&, const Stream&);          \
  template void convert_base(RnsView<const Word>, RnsView<Word>, const BaseConversion<Word>&, \
                             Correction, Premultiplied, const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
