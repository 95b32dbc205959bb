#pragma once

#include <cstdint>
#include <vector>

namespace velum::reference {

/// The scattering transform in double precision by its definition: circular convolutions summed in
/// the image plane, no Fourier transform of a signal anywhere. O(pixels^2) per path.
///
/// Follows Bruna and Mallat (arXiv 1203.1513) with the conventions of kymatio 0.3: reflection
/// padding, filters with their origin at (0, 0) summed over 5 x 5 periodic copies, subsampling by
/// plain decimation, and the low-pass of a decimated signal band-limited before it is decimated.
/// Only J <= 2, where no wavelet meets a decimated signal.
std::vector<double> scattering_by_convolution(const std::vector<double>& image, std::int64_t height,
                                              std::int64_t width, int scales, int orientations);

}  // namespace velum::reference
