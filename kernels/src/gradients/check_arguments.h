#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "gradients/add_gaussian_noise_body.h"
#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"

/// What the public functions of gradients/ check before they dispatch. The texts name the function,
/// the value and the allowed range.
namespace velum::kernels {

/// Shortest decimal text that reads back as the same double.
std::string text(double value);

void check_size(const char* function, const char* name, std::int64_t size,
                const char* expected_name, std::int64_t expected);
void check_not_negative(const char* function, const std::string& name, std::int64_t value);
void check_equal(const char* function, const char* name, std::int64_t value,
                 const char* expected_name, std::int64_t expected);
void check_workspace(const char* function, std::int64_t size, std::int64_t needed);
void check_matrix(const char* function, std::int64_t rows, std::int64_t cols,
                  std::int64_t row_stride);
void check_bound(const char* function, const ClippingBound& bound);

/// The noise for `params` coordinates, its arguments checked.
/// @throws also std::out_of_range, for the position and for params > 2^35.
NoiseAndScale checked_noise(const char* function, double standard_deviation, double divisor,
                            const RandomKey& key, const RandomPosition& position,
                            std::int64_t params);

template <typename T>
void check_matrix(const char* function, const MatrixView<T>& grads) {
  check_matrix(function, grads.rows, grads.cols, grads.row_stride);
}

}  // namespace velum::kernels
