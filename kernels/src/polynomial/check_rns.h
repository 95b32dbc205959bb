#pragma once

#include <cstdint>
#include <string>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// What the public functions of polynomial/ check before they dispatch. The texts name the
/// function, the value and the allowed range.
namespace velum::kernels {

inline constexpr std::int64_t kMaxDegree = std::int64_t{1} << 17;

/// std::invalid_argument: "<function>: <what> = <value>, expected <expected>".
[[noreturn]] void refuse(const char* function, const std::string& what, std::int64_t value,
                         const std::string& expected);

/// A view without its words, so that the checks are compiled once.
struct RnsShape {
  const char* name;
  const void* data;
  std::int64_t polys, limbs, degree, poly_stride;
  std::int64_t word_bytes;

  template <typename Word>
  RnsShape(const char* name_, const RnsView<Word>& view)
      : name(name_),
        data(view.data),
        polys(view.polys),
        limbs(view.limbs),
        degree(view.degree),
        poly_stride(view.poly_stride),
        word_bytes(sizeof(Word)) {}
};

/// Sizes in range: polys and limbs at least 0, the degree a power of two from 2 to kMaxDegree, the
/// stride wide enough.
void check_view(const char* function, const RnsShape& view);
/// The degree and the number of limbs of another view.
void check_same_ring(const char* function, const RnsShape& view, const RnsShape& expected);
void check_count(const char* function, const std::string& what, std::int64_t value,
                 const std::string& expected_name, std::int64_t expected);
/// Its polynomials are as many as `expected` has, or one where `may_broadcast`.
void check_polys(const char* function, const RnsShape& view, const RnsShape& expected,
                 bool may_broadcast);
/// The memory of a chain or of tables belongs to the stream's backend.
void check_memory(const char* function, const char* name, Backend backend, const Stream& stream);
void check_at_least(const char* function, const std::string& what, std::int64_t value,
                    std::int64_t least);
/// Each index inside the chain.
void check_indices(const char* function, const char* name, const LimbIndices& limbs,
                   int chain_size);
/// No index is there twice in the two lists together; each is below LimbIndices::kMaxLimbs.
void check_distinct(const char* function, const char* names, const LimbIndices& a,
                    const LimbIndices& b);
/// One index per limb, each inside the chain.
void check_limbs(const char* function, const LimbIndices& limbs, const RnsShape& view,
                 int chain_size);
/// No limb of one view touches a limb of the other.
void check_disjoint(const char* function, const RnsShape& out, const RnsShape& in);
/// The same, except that `in` may be `out` itself.
void check_same_or_disjoint(const char* function, const RnsShape& out, const RnsShape& in);

template <typename Word>
void check_chain(const char* function, const LimbIndices& limbs, const RnsShape& view,
                 const ModulusChain<Word>& chain, const Stream& stream) {
  check_memory(function, "chain", chain.backend(), stream);
  check_limbs(function, limbs, view, chain.size());
}

}  // namespace velum::kernels
