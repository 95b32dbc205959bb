#pragma once

#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// Draws grey images of random shapes: one to five rotated rectangles and ellipses, each filled
/// with a random grey and a texture of coloured noise, or erased, on black.
///
/// They stand for "some image" where a statistic of images is wanted and no data may be looked at:
/// row b is image number first_image + b of one fixed sequence, a constant of the program, from a
/// public key. Nothing here is secret and nothing knows a data set.
///
/// @param images  [n, height * width]; overwritten with values in [0, 1].
/// @throws std::invalid_argument unless height and width are 1 to 4096, images.cols is their
/// product,
///         first_image >= 0, and the stream is the CPU's.
/// Determinism: an image depends on its number and the size only.
void draw_random_shapes(std::int64_t height, std::int64_t width, std::int64_t first_image,
                        kernels::MatrixView<float> images, const kernels::Stream& stream);

}  // namespace velum::dpsgd
