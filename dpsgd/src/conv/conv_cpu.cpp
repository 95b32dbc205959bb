#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "conv/conv_cpu_kernels.h"
#include "conv/conv_problem.h"
#include "linear/gram_cpu_kernels.h"

namespace velum::dpsgd::detail {
namespace {

/// The one stride of all spatial dimensions, if they are laid out like one.
std::optional<std::int64_t> position_stride(const at::Tensor& tensor) {
  std::optional<std::int64_t> stride;
  std::int64_t expected = 0;
  for (std::int64_t d = tensor.dim() - 1; d >= 2; --d) {
    if (tensor.size(d) == 1) continue;
    if (!stride) {
      stride = tensor.stride(d);
    } else if (tensor.stride(d) != expected) {
      return std::nullopt;
    }
    expected = tensor.stride(d) * tensor.size(d);
  }
  return stride.value_or(1);
}

/// All sums of one choice per dimension: [sizes[0] * sizes[1] * ...], the last index fastest.
std::vector<std::int64_t> lattice(const std::vector<std::int64_t>& sizes,
                                  const std::vector<std::int64_t>& steps) {
  std::vector<std::int64_t> offsets{0};
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(sizes[d]));
    for (const std::int64_t offset : offsets) {
      for (std::int64_t i = 0; i < sizes[d]; ++i) next.push_back(offset + i * steps[d]);
    }
    offsets = std::move(next);
  }
  return offsets;
}

/// @param by_lanes  groups of one output may share a vector.
template <typename T>
ConvCpuTask<T> make_task(const ConvProblem& problem, const at::Tensor& input,
                         const at::Tensor& grad_output, bool by_lanes) {
  ConvCpuTask<T> task;
  task.groups = problem.groups;
  task.outputs = problem.outputs;
  task.channels = problem.channels;
  task.features = problem.features();
  task.positions = problem.positions;

  task.input = input.const_data_ptr<T>();
  task.input_sample_stride = input.stride(0);
  task.input_channel_stride = input.stride(1);
  const ConvGeometry& geometry = problem.geometry;
  task.padding = geometry.padding;
  const auto spatial = [](at::IntArrayRef list) {
    return std::vector<std::int64_t>(list.begin() + 2, list.end());
  };
  task.sizes = spatial(input.sizes());
  task.strides = spatial(input.strides());
  const std::size_t dims = task.sizes.size();
  std::vector<std::int64_t> image_strides = task.strides;
  std::int64_t channel_stride = task.input_channel_stride;
  task.padded_plane = 0;
  task.depthwise = by_lanes && problem.groups > 1 && problem.outputs == 1;
  if (task.depthwise ||
      std::any_of(task.padding.begin(), task.padding.end(), [](auto p) { return p > 0; })) {
    task.padded_plane = 1;
    task.padded_sizes.resize(dims);
    for (std::size_t d = dims; d-- > 0;) {
      image_strides[d] = task.padded_plane;
      task.padded_sizes[d] = task.sizes[d] + 2 * task.padding[d];
      task.padded_plane *= task.padded_sizes[d];
    }
    channel_stride = task.padded_plane;
  }
  std::vector<std::int64_t> feature_sizes{problem.channels}, feature_steps{channel_stride};
  std::vector<std::int64_t> position_steps(dims);
  for (std::size_t d = 0; d < dims; ++d) {
    feature_sizes.push_back(problem.weight_sizes[d + 2]);
    feature_steps.push_back(image_strides[d] * geometry.dilation[d]);
    position_steps[d] = image_strides[d] * geometry.stride[d];
  }
  task.feature_offsets = lattice(feature_sizes, feature_steps);
  task.position_offsets = lattice(spatial(grad_output.sizes()), position_steps);

  task.grad_output = grad_output.const_data_ptr<T>();
  task.grad_sample_stride = grad_output.stride(0);
  task.grad_channel_stride = grad_output.stride(1);
  task.grad_position_stride = *position_stride(grad_output);
  return task;
}

template <typename T>
ConvRows compute(const ConvProblem& problem, const at::Tensor& input, const at::Tensor& grad_output,
                 ConvWanted wanted) {
  ConvRows rows;
  ConvCpuTask<T> task = make_task<T>(problem, input, grad_output, /*by_lanes=*/true);
  if (wanted.gradients) {
    rows.gradients = at::empty({problem.batch, problem.parameters()}, input.options());
    task.gradients = rows.gradients.mutable_data_ptr<T>();
  }
  if (wanted.squared_norms) {
    rows.squared_norms = at::empty({problem.batch}, input.options().dtype(at::kDouble));
    task.squared_norms = rows.squared_norms.mutable_data_ptr<double>();
  }
  if (wanted.bias_gradients) {
    rows.bias_gradients =
        at::empty({problem.batch, problem.groups * problem.outputs}, input.options());
    task.bias_gradients = rows.bias_gradients.mutable_data_ptr<T>();
  }
  at::parallel_for(0, problem.batch, 1, [&](std::int64_t begin, std::int64_t end) {
    conv_samples_cpu(task, begin, end);
  });
  return rows;
}

template <typename T>
at::Tensor weighted_sum(const ConvProblem& problem, const at::Tensor& input,
                        const at::Tensor& grad_output, const at::Tensor& factors) {
  ConvCpuTask<T> task = make_task<T>(problem, input, grad_output, /*by_lanes=*/false);
  const at::Tensor sum = at::zeros({problem.parameters()}, input.options());
  const std::int64_t tiles =
      problem.groups * ((problem.features() + kConvTileFeatures - 1) / kConvTileFeatures);
  at::parallel_for(0, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    conv_weighted_sum_cpu(task, problem.batch, factors.const_data_ptr<T>(), begin, end,
                          sum.mutable_data_ptr<T>());
  });
  return sum;
}

template <typename T>
at::Tensor gram_norms(const ConvProblem& problem, const at::Tensor& padded,
                      const at::Tensor& grad_output) {
  const ConvGeometry& geometry = problem.geometry;
  const std::size_t dims = geometry.stride.size();
  // Sizes and steps of what a row of the unfolded input is made of, and of the positions.
  std::vector<std::int64_t> features{problem.channels}, feature_steps{padded.stride(1)};
  std::vector<std::int64_t> positions, input_steps, grad_steps;
  for (std::size_t d = 0; d < dims; ++d) {
    const auto dim = static_cast<std::int64_t>(d) + 2;
    features.push_back(problem.weight_sizes[d + 2]);
    feature_steps.push_back(padded.stride(dim) * geometry.dilation[d]);
    positions.push_back(grad_output.size(dim));
    input_steps.push_back(padded.stride(dim) * geometry.stride[d]);
    grad_steps.push_back(grad_output.stride(dim));
  }
  const auto rows_of = [](const at::Tensor& tensor, std::vector<std::int64_t> columns,
                          std::vector<std::int64_t> steps) {
    OffsetRows<T> rows;
    rows.first = tensor.const_data_ptr<T>();
    rows.sample_stride = tensor.stride(0);
    rows.width = static_cast<std::int64_t>(columns.size());
    rows.columns = std::move(columns);
    rows.steps = std::move(steps);
    return rows;
  };
  GramCpuTask<T, OffsetRows> task;
  task.input = rows_of(padded, lattice(features, feature_steps), lattice(positions, input_steps));
  task.grad = rows_of(grad_output, lattice({problem.outputs}, {grad_output.stride(1)}),
                      lattice(positions, grad_steps));
  const at::Tensor norms = at::zeros({problem.batch}, padded.options().dtype(at::kDouble));
  const at::Tensor of_group = at::empty_like(norms);
  task.squared_norms = of_group.mutable_data_ptr<double>();
  for (std::int64_t group = 0; group < problem.groups; ++group) {
    at::parallel_for(0, problem.batch, 1, [&](std::int64_t begin, std::int64_t end) {
      gram_samples_cpu(task, begin, end);
    });
    norms.add_(of_group);
    task.input.first += problem.channels * padded.stride(1);
    task.grad.first += problem.outputs * grad_output.stride(1);
  }
  return norms;
}

template <typename T>
void add_rows(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum) {
  constexpr std::int64_t kGrain = 2048;
  const T* const from = rows.const_data_ptr<T>();
  const T* const weights = factors.const_data_ptr<T>();
  T* const to = sum.mutable_data_ptr<T>();
  at::parallel_for(0, rows.size(1), kGrain, [&](std::int64_t begin, std::int64_t end) {
    add_weighted_rows_cpu(from, rows.size(0), rows.size(1), weights, begin, end, to);
  });
}

}  // namespace

ConvRows conv_rows_cpu(const ConvProblem& problem, const at::Tensor& input,
                       const at::Tensor& grad_output, ConvWanted wanted) {
  const at::Tensor grad = position_stride(grad_output) ? grad_output : grad_output.contiguous();
  return input.scalar_type() == at::kFloat ? compute<float>(problem, input, grad, wanted)
                                           : compute<double>(problem, input, grad, wanted);
}

at::Tensor conv_weighted_sum_cpu(const ConvProblem& problem, const at::Tensor& input,
                                 const at::Tensor& grad_output, const at::Tensor& factors) {
  const at::Tensor grad = position_stride(grad_output) ? grad_output : grad_output.contiguous();
  const at::Tensor weights = factors.contiguous();
  return input.scalar_type() == at::kFloat ? weighted_sum<float>(problem, input, grad, weights)
                                           : weighted_sum<double>(problem, input, grad, weights);
}

at::Tensor conv_gram_squared_norms_cpu(const ConvProblem& problem, const at::Tensor& input,
                                       const at::Tensor& grad_output) {
  const at::Tensor padded = with_padding(problem, input);
  return input.scalar_type() == at::kFloat ? gram_norms<float>(problem, padded, grad_output)
                                           : gram_norms<double>(problem, padded, grad_output);
}

void add_weighted_rows_cpu(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum) {
  const at::Tensor weights = factors.contiguous();
  if (rows.scalar_type() == at::kFloat) {
    add_rows<float>(rows, weights, sum);
  } else {
    add_rows<double>(rows, weights, sum);
  }
}

}  // namespace velum::dpsgd::detail
