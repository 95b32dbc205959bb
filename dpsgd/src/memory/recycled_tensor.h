#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

namespace velum::dpsgd::detail {

/// What the cache below keeps at most.
inline constexpr std::size_t kMostRecycledBytes = std::size_t{16} << 20;

/// An uninitialised CPU tensor whose memory goes back to a small cache of this process when the
/// last reference is gone, and not to the system. Per-sample gradients are the largest blocks of a
/// step and have the same sizes in each: taken from the system anew, their first touch costs as
/// much as computing them. Blocks of less than 2 MiB, and other devices, are left to the torch
/// allocator. The cache keeps at most 16 MiB, the most recently freed: what it keeps is not there
/// for the forward pass. Thread-safe.
at::Tensor recycled_empty(at::IntArrayRef sizes, const at::TensorOptions& options);

}  // namespace velum::dpsgd::detail
