#pragma once

#include <cstdint>
#include <memory>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

struct ScatteringOptions {
  std::int64_t height = 28;
  std::int64_t width = 28;
  int scales = 2;        // J: the output is averaged over windows of 2^J pixels
  int orientations = 8;  // L: wavelets per scale, theta in [0, pi)
};

/// The wavelet scattering transform of grey images, orders 0, 1 and 2:
///
///   S0 = x * phi,  S1 = |x * psi_1| * phi,  S2 = ||x * psi_1| * psi_2| * phi
///
/// with Morlet wavelets psi_(j, theta), j < J, scale of psi_2 larger than that of psi_1, and a
/// Gaussian phi at scale 2^J, each path subsampled by 2^J. It is a fixed map of one image: no
/// weight is learnt from data, so it costs no privacy.
/// Channels: S0; S1 ordered by (j, theta); S2 ordered by (j1, theta1, j2, theta2). With J = 2 and
/// L = 8 that is 1 + 16 + 64 = 81 channels of 7 x 7 for 28 x 28 images.
/// Paper: Bruna and Mallat, "Invariant Scattering Convolution Networks" (arXiv 1203.1513). Filters,
/// padding (reflection without the edge) and layout are those of kymatio 0.3 (arXiv 1812.11214),
/// whose numbers are reached to 1e-5 for images in [0, 1].
///
/// Immutable after construction: one object may be used by many threads.
class ScatteringTransform {
 public:
  /// Builds the filters.
  /// @throws std::invalid_argument unless 1 <= scales <= 8, 1 <= orientations <= 64, and height and
  ///         width lie in [2^scales, 4096].
  explicit ScatteringTransform(const ScatteringOptions& options);
  ~ScatteringTransform();
  ScatteringTransform(ScatteringTransform&&) noexcept;
  ScatteringTransform& operator=(ScatteringTransform&&) noexcept;

  const ScatteringOptions& options() const;
  std::int64_t image_size() const;     // height * width
  std::int64_t channels() const;       // 1 + J L + L^2 J (J - 1) / 2
  std::int64_t output_height() const;  // height / 2^J, rounded down
  std::int64_t output_width() const;
  std::int64_t output_size() const;  // channels * output_height * output_width

  /// Transforms each row.
  ///
  /// @param images  [n, image_size], each a row-major image; by convention in [0, 1].
  /// @param out     [n, output_size]: channel, row, column; overwritten; must not overlap `images`.
  /// @param stream  a CPU stream; images are spread over its threads.
  /// @throws std::invalid_argument if shapes differ or the stream is not the CPU's.
  /// Determinism: a row depends on its image only, not on its place or on the threads. Between
  /// instruction sets (SSE, AVX2, AVX-512) results differ by rounding.
  void transform(kernels::MatrixView<const float> images, kernels::MatrixView<float> out,
                 const kernels::Stream& stream) const;
  /// The same for bytes, which stand for value / 255.
  void transform(kernels::MatrixView<const std::uint8_t> images, kernels::MatrixView<float> out,
                 const kernels::Stream& stream) const;

 private:
  class Plan;
  std::unique_ptr<const Plan> plan_;
};

}  // namespace velum::dpsgd
