#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "reference/bfv_integers.h"
#include "support/every_backend.h"
#include "velum/he/context.h"

namespace velum::testing {

/// Residues of a context as integers of any size, by definition and by none of velum's arithmetic.
class RingIntegers {
 public:
  RingIntegers(std::shared_ptr<const he::Context> context, Stream stream)
      : context_(std::move(context)), stream_(std::move(stream)) {
    const he::Parameters& p = context_->parameters();
    for (int i = 0; i < p.limbs(p.max_level()); ++i) {
      interpolations_.emplace_back(n(), p.ciphertext_prime(i),
                                   context_->tables().root(p.special_prime_count() + i));
    }
  }

  std::size_t n() const { return static_cast<std::size_t>(context_->degree()); }
  std::vector<std::uint32_t> moduli(int level) const {
    std::vector<std::uint32_t> q;
    for (int i = 0; i < context_->parameters().limbs(level); ++i)
      q.push_back(context_->parameters().ciphertext_prime(i));
    return q;
  }
  BigInteger modulus(int level) const {
    BigInteger product = 1;
    for (const std::uint32_t q : moduli(level)) product *= q;
    return product;
  }
  /// Polynomials, coefficients in [0, Q).
  /// @param view  [polys, limbs(level), N], NTT form, on the backend.
  std::vector<bfv::Polynomial> polynomials(he::RnsView<const he::Word> view, int level) const {
    const std::vector<he::Word> words =
        to_host(Span<const he::Word>(view.data, view.polys * view.limbs * view.degree), stream_);
    const ChineseRemainders remainders(moduli(level));
    std::vector<bfv::Polynomial> out;
    const auto limbs = static_cast<std::size_t>(view.limbs);
    for (std::size_t poly = 0; poly < static_cast<std::size_t>(view.polys); ++poly) {
      std::vector<std::vector<std::uint64_t>> rows;
      for (std::size_t limb = 0; limb < limbs; ++limb)
        rows.push_back(interpolations_[limb].coefficients(&words[(poly * limbs + limb) * n()]));
      bfv::Polynomial polynomial;
      for (std::size_t i = 0; i < n(); ++i) {
        std::vector<BigInteger> residues;
        for (const auto& row : rows) residues.emplace_back(row[i]);
        polynomial.push_back(remainders.number(residues));
      }
      out.push_back(std::move(polynomial));
    }
    return out;
  }
  /// The other way: [polys, limbs(level), N], NTT form.
  std::vector<he::Word> words(const std::vector<bfv::Polynomial>& polynomials, int level) const {
    std::vector<he::Word> out;
    const std::vector<std::uint32_t> q = moduli(level);
    for (const bfv::Polynomial& polynomial : polynomials) {
      for (std::size_t limb = 0; limb < q.size(); ++limb) {
        std::vector<std::uint64_t> row;
        for (const BigInteger& x : polynomial)
          row.push_back(modulo(x, q[limb]).convert_to<std::uint64_t>());
        for (const he::Word word : interpolations_[limb].values(row)) out.push_back(word);
      }
    }
    return out;
  }

 private:
  std::shared_ptr<const he::Context> context_;
  Stream stream_;
  std::vector<bfv::Interpolation> interpolations_;
};

}  // namespace velum::testing
