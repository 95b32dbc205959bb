#pragma once

#include <vector>

#include "velum/he/context.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/division.h"
#include "velum/kernels/polynomial/modulus_ratio.h"

namespace velum::he::bfv {

/// What BFV needs of a context beside what CKKS does, in the memory of one backend.
struct Tables {
  struct Level {
    Level(const Parameters& parameters, const kernels::NttTables<Word>& tables, int level,
          const Stream& stream);

    /// Q/t.
    kernels::ModulusRatio ratio;
    /// Of the primes whose product is R (auxiliary_primes.h).
    LimbIndices auxiliary;
    /// From Q to R: the extension of an operand; and the division of a number modulo QR by Q.
    kernels::RnsDivision<Word> division;
    /// From R back to Q.
    kernels::BaseConversion<Word> back;
    /// t modulo the q, then modulo the auxiliary primes.
    Buffer<kernels::ShoupFactor<Word>> plaintext_modulus;
  };

  Tables(const Parameters& parameters, const kernels::NttTables<Word>& tables,
         const Stream& stream);

  std::vector<Level> levels;
};

}  // namespace velum::he::bfv
