#pragma once

#include <cstdint>

namespace velum::dpsgd::detail {

/// For planes [begin, end) of `size` elements, all contiguous: the sums of g and of
/// g * (x - mean) * rstd, the statistics being those of plane / planes_per_statistic.
void group_norm_planes_cpu(const float* x, const float* g, const float* mean, const float* rstd,
                           std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                           std::int64_t end, float* scale, float* shift);
void group_norm_planes_cpu(const double* x, const double* g, const double* mean, const double* rstd,
                           std::int64_t planes_per_statistic, std::int64_t size, std::int64_t begin,
                           std::int64_t end, double* scale, double* shift);

/// For one sample [rows, columns], contiguous: the sums over rows of g and of
/// g * (x - mean[row]) * rstd[row].
void layer_norm_sample_cpu(const float* x, const float* g, const float* mean, const float* rstd,
                           std::int64_t rows, std::int64_t columns, float* scale, float* shift);
void layer_norm_sample_cpu(const double* x, const double* g, const double* mean, const double* rstd,
                           std::int64_t rows, std::int64_t columns, double* scale, double* shift);

}  // namespace velum::dpsgd::detail
