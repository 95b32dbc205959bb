#pragma once

#include <cstdint>

#include "velum/kernels/gradients/segment_sums.h"
#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// Keys for norms: rows of one sample and one index share theirs, and keys order by sample first.
/// Each sample has one key more, for indices that are not of the table. Above those of all samples
/// come rows that add nothing, then rows of no sample.
struct NormKeys {
  Span<const std::int64_t> indices;
  Span<const std::int64_t> samples;
  std::int64_t batch;
  std::int64_t table_rows;
  std::int64_t padding_index;

  VELUM_HOST_DEVICE std::uint64_t first_of(std::int64_t sample) const {
    return static_cast<std::uint64_t>(sample) * static_cast<std::uint64_t>(table_rows + 1);
  }
  VELUM_HOST_DEVICE std::uint64_t unknown_index_of(std::int64_t sample) const {
    return first_of(sample) + static_cast<std::uint64_t>(table_rows);
  }
  /// Keys from here on are no segments.
  VELUM_HOST_DEVICE std::uint64_t segments_end() const { return first_of(batch); }
  VELUM_HOST_DEVICE std::uint64_t unknown_sample() const { return segments_end() + 1; }
  VELUM_HOST_DEVICE std::uint64_t largest() const { return unknown_sample(); }

  /// The index of a row, or the one more; the row's key is its sample's first and this, unless the
  /// row is padding or of no sample.
  VELUM_HOST_DEVICE std::uint64_t index_of(std::int64_t row) const {
    const std::int64_t index = indices[row];
    return static_cast<std::uint64_t>(index < 0 || index >= table_rows ? table_rows : index);
  }
  VELUM_HOST_DEVICE bool is_padding(std::int64_t row) const {
    return padding_index >= 0 && padding_index < table_rows && indices[row] == padding_index;
  }
  VELUM_HOST_DEVICE std::uint64_t operator()(std::int64_t row) const {
    const std::int64_t sample = samples[row];
    if (sample < 0 || sample >= batch) return unknown_sample();
    return is_padding(row) ? segments_end() : first_of(sample) + index_of(row);
  }
};

/// Keys for sums over all samples: the index; rows that add nothing come last.
struct SumKeys {
  Span<const std::int64_t> indices;
  Span<const std::int64_t> samples;
  Span<const double> factors;
  std::int64_t table_rows;
  std::int64_t padding_index;

  VELUM_HOST_DEVICE std::uint64_t segments_end() const {
    return static_cast<std::uint64_t>(table_rows);
  }
  VELUM_HOST_DEVICE std::uint64_t largest() const { return segments_end(); }

  VELUM_HOST_DEVICE std::uint64_t operator()(std::int64_t row) const {
    const std::int64_t sample = samples[row];
    const std::int64_t index = indices[row];
    const bool adds = sample >= 0 && sample < factors.size() && index >= 0 && index < table_rows &&
                      index != padding_index && factors[sample] > 0.0;
    return adds ? static_cast<std::uint64_t>(index) : segments_end();
  }
};

/// What a row counts in its segment's sum.
struct UnitWeights {
  VELUM_HOST_DEVICE double operator()(std::int64_t /*row*/) const { return 1.0; }
};
struct FactorWeights {
  Span<const std::int64_t> samples;
  Span<const double> factors;
  VELUM_HOST_DEVICE double operator()(std::int64_t row) const { return factors[samples[row]]; }
};

template <typename T>
struct ZeroBody {
  MatrixView<T> out;
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    out(i / out.cols, i % out.cols) = T(0);
  }
};

}  // namespace velum::kernels
