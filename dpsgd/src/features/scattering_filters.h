#pragma once

#include <cstdint>
#include <vector>

#include "velum/dpsgd/features/scattering.h"

namespace velum::dpsgd::detail {

/// One axis of the padded image: how it is filled, and how a signal on it is low-passed.
struct ScatteringAxis {
  std::int64_t size = 0;                      // of the image
  std::int64_t padded = 0;                    // a multiple of 2^J
  std::int64_t output = 0;                    // size / 2^J
  std::vector<std::int64_t> source;           // [padded]: index in the image
  std::vector<std::vector<double>> low_pass;  // [J][output * (padded >> level)], row-major:
                                              // phi, subsampling and cropping in one matrix
};

/// The filter bank in double precision. Spectra are real; frequencies in the order of the discrete
/// Fourier transform.
struct ScatteringFilters {
  explicit ScatteringFilters(const ScatteringOptions& options);

  ScatteringAxis rows;
  ScatteringAxis columns;
  /// wavelets[j * L + theta][level], level < max(1, min(j + 1, J - 1)): the spectrum of psi for
  /// signals subsampled by 2^level, [rows.padded >> level, columns.padded >> level].
  std::vector<std::vector<std::vector<double>>> wavelets;
};

}  // namespace velum::dpsgd::detail
