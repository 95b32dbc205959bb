#include "velum/kernels/polynomial/residues_to_doubles.h"

#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/residues_to_doubles_body.h"
#include "polynomial/residues_to_doubles_halves.h"

namespace velum::kernels {
namespace {

constexpr char kFunction[] = "residues_to_doubles";

/// x^-1 modulo q, for x and q without a common factor: Euclid's algorithm.
std::uint32_t inverse_modulo(std::uint32_t x, std::uint32_t q) {
  std::int64_t a = q, b = x, u = 0, v = 1;  // a = u x, b = v x modulo q
  while (b != 0) {
    const std::int64_t quotient = a / b;
    std::int64_t next = a - quotient * b;
    a = b;
    b = next;
    next = u - quotient * v;
    u = v;
    v = next;
  }
  return static_cast<std::uint32_t>(u < 0 ? u + q : u);
}

std::vector<MixedRadix::Limb> make_limbs(const ModulusChain<std::uint32_t>& chain,
                                         const LimbIndices& limbs,
                                         std::vector<std::uint32_t>& products) {
  if (limbs.count < 1) {
    throw std::invalid_argument("MixedRadix: limbs.count = " + std::to_string(limbs.count) +
                                ", expected >= 1");
  }
  std::vector<MixedRadix::Limb> out;
  for (int i = 0; i < limbs.count; ++i) {
    if (limbs[i] >= chain.size()) {
      throw std::invalid_argument(
          "MixedRadix: limbs[" + std::to_string(i) + "] = " + std::to_string(limbs[i]) +
          ", expected below chain.size() = " + std::to_string(chain.size()));
    }
    const Modulus<std::uint32_t>& m = chain[limbs[i]];
    std::uint32_t product = 1;
    for (const MixedRadix::Limb& earlier : out) {
      if (std::gcd(earlier.modulus.value, m.value) != 1) {
        throw std::invalid_argument(
            "MixedRadix: the moduli " + std::to_string(earlier.modulus.value) + " and " +
            std::to_string(m.value) + " have a common factor, expected none");
      }
      products.push_back(product);
      product = multiply_mod(product, earlier.modulus.value % m.value, m);
    }
    out.push_back({m, shoup_factor(inverse_modulo(product, m.value), m)});
  }
  return out;
}

}  // namespace

MixedRadix::MixedRadix(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
                       const Stream& stream)
    : products_(),
      limbs_(make_limbs(chain, limbs, products_)),
      log2_modulus_(0),
      resident_limbs_(static_cast<std::int64_t>(limbs_.size()), stream),
      resident_products_(static_cast<std::int64_t>(products_.size()), stream) {
  for (const Limb& limb : limbs_) log2_modulus_ += std::log2(limb.modulus.value);
  copy(Span<const Limb>(limbs_), resident_limbs_.span(), stream);
  copy(Span<const std::uint32_t>(products_), resident_products_.span(), stream);
  synchronize(stream);
}

void residues_to_doubles(RnsView<const std::uint32_t> in, Span<double> high, Span<double> low,
                         const MixedRadix& radix, const Stream& stream) {
  const RnsShape shape("in", in);
  check_view(kFunction, shape);
  if (in.polys != 1) refuse(kFunction, "in.polys", in.polys, "1");
  check_memory(kFunction, "radix", radix.backend(), stream);
  check_count(kFunction, "in.limbs", in.limbs, "radix.limbs()", radix.limbs());
  if (high.size() < 1 || in.degree % high.size() != 0) {
    refuse(kFunction, "high.size()", high.size(),
           "a divisor of in.degree = " + std::to_string(in.degree));
  }
  check_count(kFunction, "low.size()", low.size(), "high.size()", high.size());
  const ResiduesToDoublesBody body{in,           in.degree / high.size(), high, low,
                                   radix.data(), radix.products()};
  VELUM_DISPATCH(stream, residues_to_doubles_cpu(body, stream),
                 residues_to_doubles_cuda(body, stream));
}

}  // namespace velum::kernels
