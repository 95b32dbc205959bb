#include "velum/kernels/polynomial/modulus_ratio.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/host_arithmetic.h"
#include "polynomial/modulus_ratio_body.h"
#include "polynomial/modulus_ratio_halves.h"

namespace velum::kernels {
namespace {

using Wide = WideOf<std::uint64_t>;

std::uint64_t checked_divisor(std::uint64_t t) {
  if (t < 2 || t > ModulusRatio::kMaxDivisor) {
    throw std::invalid_argument("ModulusRatio: t = " + std::to_string(t) + ", expected 2 to 2^60");
  }
  return t;
}

/// Q modulo t.
std::uint64_t remainder_of(const std::vector<Modulus<std::uint32_t>>& moduli, std::uint64_t t) {
  std::uint64_t remainder = 1 % t;
  for (const auto& m : moduli) {
    remainder = static_cast<std::uint64_t>(static_cast<Wide>(remainder) * (m.value % t) % t);
  }
  return remainder;
}

/// floor(Q / t) modulo m: the product of the moduli one after the other, as quotient modulo m and
/// remainder modulo t.
std::uint32_t quotient_modulo(const std::vector<Modulus<std::uint32_t>>& moduli, std::uint64_t t,
                              const Modulus<std::uint32_t>& m) {
  std::uint64_t remainder = 1 % t;  // of the product so far, 1
  std::uint32_t quotient = 0;
  for (const auto& q : moduli) {
    const Wide product = static_cast<Wide>(remainder) * q.value;  // < 2^90
    quotient = add_mod(multiply_mod(quotient, q.value % m.value, m),
                       static_cast<std::uint32_t>(product / t % m.value), m.value);
    remainder = static_cast<std::uint64_t>(product % t);
  }
  return quotient;
}

std::vector<ModulusRatioView::Limb> limbs_of(const std::vector<Modulus<std::uint32_t>>& moduli,
                                             std::uint64_t t) {
  std::vector<ModulusRatioView::Limb> limbs;
  limbs.reserve(moduli.size());
  for (const auto& m : moduli) limbs.push_back({m, shoup_factor(quotient_modulo(moduli, t, m), m)});
  return limbs;
}

void check_arguments(const char* function, const RnsShape& view, std::int64_t numbers,
                     const ModulusRatio& ratio, const Stream& stream) {
  check_view(function, view);
  check_memory(function, "ratio", ratio.backend(), stream);
  const std::string name = view.name;
  if (view.polys != 1) refuse(function, name + ".polys", view.polys, "1");
  check_count(function, name + ".limbs", view.limbs, "ratio.limbs()", ratio.limbs());
  check_count(function, "numbers.size()", numbers, name + ".degree", view.degree);
}

}  // namespace

ModulusRatio::ModulusRatio(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
                           std::uint64_t t, const Stream& stream)
    : t_(checked_divisor(t)),
      remainder_(0),
      reciprocal_(~Wide{0} / t),
      radix_(chain, limbs, stream),
      resident_limbs_(resident(limbs_of(moduli_of(chain, limbs), t), stream)) {
  remainder_ = remainder_of(moduli_of(chain, limbs), t);
}

void multiply_by_ratio(Span<const std::int64_t> numbers, RnsView<std::uint32_t> out,
                       const ModulusRatio& ratio, const Stream& stream) {
  const char* function = "multiply_by_ratio";
  const RnsShape shape("out", out);
  check_arguments(function, shape, numbers.size(), ratio, stream);
  check_disjoint(
      function, shape,
      RnsShape("numbers", RnsView<const std::int64_t>(numbers.data(), 1, 1, out.degree)));
  const MultiplyByRatioBody body{numbers, out, ratio.view()};
  VELUM_DISPATCH(stream, multiply_by_ratio_cpu(body, stream), multiply_by_ratio_cuda(body, stream));
}

void divide_by_ratio(RnsView<const std::uint32_t> in, Span<std::int64_t> numbers,
                     const ModulusRatio& ratio, const Stream& stream) {
  const char* function = "divide_by_ratio";
  const RnsShape shape("in", in);
  check_arguments(function, shape, numbers.size(), ratio, stream);
  check_disjoint(
      function, RnsShape("numbers", RnsView<std::int64_t>(numbers.data(), 1, 1, in.degree)), shape);
  const DivideByRatioBody body{in, numbers, ratio.view()};
  VELUM_DISPATCH(stream, divide_by_ratio_cpu(body, stream), divide_by_ratio_cuda(body, stream));
}

}  // namespace velum::kernels
