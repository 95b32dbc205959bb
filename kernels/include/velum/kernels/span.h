#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// A view of `size` contiguous elements. Trivially copyable, usable in device code (std::span is
/// not without --expt-relaxed-constexpr). Indices are checked by `assert` only.
template <typename T>
class Span {
 public:
  constexpr Span() = default;
  VELUM_HOST_DEVICE constexpr Span(T* data, std::int64_t size) : data_(data), size_(size) {}

  /// From a container with data() and size(), or another Span; T may add const.
  template <typename Container,
            typename = std::enable_if_t<std::is_convertible_v<
                std::remove_pointer_t<decltype(std::declval<Container&>().data())> (*)[],
                T (*)[]>>>
  VELUM_HOST_DEVICE constexpr Span(Container&& container)  // NOLINT: conversion is the point
      : data_(container.data()), size_(static_cast<std::int64_t>(container.size())) {}

  VELUM_HOST_DEVICE constexpr T* data() const { return data_; }
  VELUM_HOST_DEVICE constexpr std::int64_t size() const { return size_; }
  VELUM_HOST_DEVICE constexpr bool empty() const { return size_ == 0; }
  VELUM_HOST_DEVICE constexpr T& operator[](std::int64_t index) const {
    assert(index >= 0 && index < size_);
    return data_[index];
  }
  VELUM_HOST_DEVICE constexpr T* begin() const { return data_; }
  VELUM_HOST_DEVICE constexpr T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

/// A row-major view of rows x cols elements; consecutive rows are `row_stride` elements apart
/// (row_stride >= cols unless there is at most one row).
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;

  constexpr MatrixView() = default;
  VELUM_HOST_DEVICE constexpr MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_)
      : data(data_), rows(rows_), cols(cols_), row_stride(cols_) {}
  VELUM_HOST_DEVICE constexpr MatrixView(T* data_, std::int64_t rows_, std::int64_t cols_,
                                         std::int64_t row_stride_)
      : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_) {}
  /// A view of mutable elements is a view of const ones.
  template <typename U, typename = std::enable_if_t<std::is_same_v<const U, T>>>
  VELUM_HOST_DEVICE constexpr MatrixView(const MatrixView<U>& other)  // NOLINT
      : data(other.data), rows(other.rows), cols(other.cols), row_stride(other.row_stride) {}

  VELUM_HOST_DEVICE constexpr T& operator()(std::int64_t row, std::int64_t col) const {
    assert(row >= 0 && row < rows && col >= 0 && col < cols);
    return data[row * row_stride + col];
  }
};

}  // namespace velum::kernels
