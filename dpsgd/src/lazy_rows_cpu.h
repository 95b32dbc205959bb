#pragma once

#include <cstdint>

namespace velum::dpsgd::detail {

/// to[rows[i]] += scales[i] * values[i] for i in [begin, end), in double; `low` [any, width] holds
/// what `to` lacks.
void add_scaled_rows_of(const std::int64_t* rows, const double* scales, const double* values,
                        std::int64_t begin, std::int64_t end, std::int64_t width, float* to,
                        float* low);
void add_scaled_rows_of(const std::int64_t* rows, const double* scales, const double* values,
                        std::int64_t begin, std::int64_t end, std::int64_t width, double* to);

}  // namespace velum::dpsgd::detail
