#include "conv/conv_weight_gradients.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "conv/conv_problem.h"

namespace velum::dpsgd::detail {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw std::invalid_argument("per_sample_conv_weight_gradients: " + text);
}

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream text;
  (text << ... << parts);
  refuse(text.str());
}

ConvProblem check(const at::Tensor& input, const at::Tensor& grad_output,
                  at::IntArrayRef weight_sizes, const ConvGeometry& geometry) {
  const std::int64_t dims = input.dim() - 2;
  require(dims >= 1 && dims <= 3, "input has ", input.dim(), " dimensions, expected 3 to 5");
  require(grad_output.dim() == input.dim(), "grad_output has ", grad_output.dim(),
          " dimensions, expected ", input.dim());
  require(static_cast<std::int64_t>(weight_sizes.size()) == input.dim(), "weight_sizes has ",
          weight_sizes.size(), " entries, expected ", input.dim());
  for (const auto* list : {&geometry.stride, &geometry.padding, &geometry.dilation}) {
    require(static_cast<std::int64_t>(list->size()) == dims,
            "stride, padding and dilation need one entry for each of ", dims, " dimensions");
  }
  require(input.scalar_type() == at::kFloat || input.scalar_type() == at::kDouble,
          "input is of type ", input.scalar_type(), ", expected float32 or float64");
  require(grad_output.scalar_type() == input.scalar_type(), "grad_output is of type ",
          grad_output.scalar_type(), ", input of type ", input.scalar_type());
  require(grad_output.device() == input.device(), "grad_output is on ", grad_output.device(),
          ", input on ", input.device());
  require(grad_output.size(0) == input.size(0), "grad_output.size(0) = ", grad_output.size(0),
          ", expected ", input.size(0));
  const std::int64_t groups = geometry.groups;
  require(groups >= 1 && input.size(1) % groups == 0 && weight_sizes[0] % groups == 0,
          "groups = ", groups, ", expected a divisor of ", input.size(1), " and ", weight_sizes[0]);
  require(grad_output.size(1) == weight_sizes[0], "grad_output.size(1) = ", grad_output.size(1),
          ", expected weight_sizes[0] = ", weight_sizes[0]);
  require(weight_sizes[1] == input.size(1) / groups, "weight_sizes[1] = ", weight_sizes[1],
          ", expected ", input.size(1) / groups);
  ConvProblem problem{weight_sizes.vec(),
                      geometry,
                      input.size(0),
                      groups,
                      weight_sizes[0] / groups,
                      weight_sizes[1],
                      1,
                      1};
  for (std::int64_t d = 0; d < dims; ++d) {
    const std::int64_t stride = geometry.stride[d], padding = geometry.padding[d],
                       dilation = geometry.dilation[d], kernel = weight_sizes[d + 2];
    require(stride >= 1 && dilation >= 1 && padding >= 0 && kernel >= 1, "dimension ", d,
            ": stride = ", stride, ", dilation = ", dilation, ", padding = ", padding,
            ", kernel = ", kernel, " out of range");
    const std::int64_t room = input.size(d + 2) + 2 * padding - dilation * (kernel - 1) - 1;
    require(room >= 0 && grad_output.size(d + 2) == room / stride + 1, "grad_output.size(", d + 2,
            ") = ", grad_output.size(d + 2), " does not fit input.size(", d + 2,
            ") = ", input.size(d + 2));
    problem.kernel *= kernel;
    problem.positions *= grad_output.size(d + 2);
  }
  return problem;
}

/// Calls body(chunk of input, chunk of grad_output, first, count) over ranges of samples.
template <typename Body>
void for_each_chunk(const at::Tensor& input, const at::Tensor& grad_output,
                    std::int64_t bytes_per_sample, std::int64_t chunk_bytes, const Body& body) {
  const std::int64_t batch = input.size(0);
  const std::int64_t step =
      std::max<std::int64_t>(1, chunk_bytes / std::max<std::int64_t>(1, bytes_per_sample));
  for (std::int64_t first = 0; first < batch; first += step) {
    const std::int64_t count = std::min(step, batch - first);
    body(input.narrow(0, first, count), grad_output.narrow(0, first, count), first, count);
  }
}

ConvRows conv_rows(const ConvProblem& problem, const at::Tensor& input,
                   const at::Tensor& grad_output, ConvWanted wanted) {
  return input.is_cpu() ? conv_rows_cpu(problem, input, grad_output, wanted)
                        : conv_rows_aten(problem, input, grad_output, wanted);
}

void add_weighted_rows(const at::Tensor& rows, const at::Tensor& factors, at::Tensor& sum) {
  if (rows.is_cpu()) {
    add_weighted_rows_cpu(rows, factors, sum);
  } else {
    add_weighted_rows_aten(rows, factors, sum);
  }
}

/// [*leading, parameters] in the order of its backend to [*leading, *weight_sizes].
at::Tensor in_weight_order(const ConvProblem& problem, const at::Tensor& rows) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes.pop_back();
  const auto with = [&sizes](at::IntArrayRef tail) {
    std::vector<std::int64_t> all = sizes;
    all.insert(all.end(), tail.begin(), tail.end());
    return all;
  };
  const at::Tensor outputs_first =
      rows.is_cpu()
          ? rows.view(with({problem.groups, problem.features(), problem.outputs})).transpose(-1, -2)
          : rows;
  return outputs_first.reshape(with(problem.weight_sizes));
}

/// What a chunk holds beside its samples: on the CPU the input with its margins, about twice the
/// input at most; else unfolded inputs and gradients, float64 at most.
std::int64_t chunk_bytes_per_sample(const ConvProblem& problem, const at::Tensor& input) {
  if (input.is_cpu()) {
    return 2 * static_cast<std::int64_t>(input.nbytes()) / std::max<std::int64_t>(1, problem.batch);
  }
  return (problem.groups * problem.features() * problem.positions + problem.parameters()) *
         static_cast<std::int64_t>(sizeof(double));
}

void check_factors(const ConvProblem& problem, const at::Tensor& factors,
                   const at::TensorOptions& like) {
  require(factors.dim() == 1 && factors.size(0) == problem.batch, "factors has sizes ",
          factors.sizes(), ", expected [", problem.batch, "]");
  require(factors.scalar_type() == c10::typeMetaToScalarType(like.dtype()) &&
              factors.device() == like.device(),
          "factors must have the type and the device of input");
}

}  // namespace

at::Tensor per_sample_conv_weight_gradients(const at::Tensor& input, const at::Tensor& grad_output,
                                            at::IntArrayRef weight_sizes,
                                            const ConvGeometry& geometry) {
  const ConvProblem problem = check(input, grad_output, weight_sizes, geometry);
  return in_weight_order(problem,
                         conv_rows(problem, input, grad_output, {.gradients = true}).gradients);
}

namespace {

at::Tensor squared_norms_by(bool gram, const ConvProblem& problem, const at::Tensor& input,
                            const at::Tensor& grad_output, std::int64_t chunk_bytes) {
  if (!gram && input.is_cuda()) return conv_fused_squared_norms(problem, input, grad_output);
  if (!gram && input.is_cpu()) {  // the CPU kernels hold one sample a thread
    return conv_rows_cpu(problem, input, grad_output, {.squared_norms = true}).squared_norms;
  }
  at::Tensor norms = at::zeros({problem.batch}, input.options().dtype(at::kDouble));
  for_each_chunk(
      input, grad_output, chunk_bytes_per_sample(problem, input), chunk_bytes,
      [&](const at::Tensor& x, const at::Tensor& g, std::int64_t first, std::int64_t count) {
        ConvProblem chunk = problem;
        chunk.batch = count;
        norms.narrow(0, first, count)
            .copy_(!gram        ? conv_rows(chunk, x, g, {.squared_norms = true}).squared_norms
                   : x.is_cpu() ? conv_gram_squared_norms_cpu(chunk, x, g)
                                : conv_gram_squared_norms_aten(chunk, x, g));
      });
  return norms;
}

}  // namespace

at::Tensor weighted_conv_weight_gradient(const at::Tensor& input, const at::Tensor& grad_output,
                                         const at::Tensor& factors, at::IntArrayRef weight_sizes,
                                         const ConvGeometry& geometry, std::int64_t chunk_bytes) {
  const ConvProblem problem = check(input, grad_output, weight_sizes, geometry);
  check_factors(problem, factors, input.options());
  if (input.is_cpu()) {
    return in_weight_order(problem, conv_weighted_sum_cpu(problem, input, grad_output, factors))
        .clone(at::MemoryFormat::Contiguous);
  }
  at::Tensor sum = at::zeros({problem.parameters()}, input.options());
  for_each_chunk(
      input, grad_output, chunk_bytes_per_sample(problem, input), chunk_bytes,
      [&](const at::Tensor& x, const at::Tensor& g, std::int64_t first, std::int64_t count) {
        ConvProblem chunk = problem;
        chunk.batch = count;
        add_weighted_rows(conv_rows(chunk, x, g, {.gradients = true}).gradients,
                          factors.narrow(0, first, count), sum);
      });
  return in_weight_order(problem, sum).clone(at::MemoryFormat::Contiguous);
}

ConvWeightGradients::ConvWeightGradients(const at::Tensor& input, const at::Tensor& grad_output,
                                         at::IntArrayRef weight_sizes, const ConvGeometry& geometry,
                                         ConvMethod method, std::int64_t chunk_bytes)
    : problem_(std::make_shared<ConvProblem>(check(input, grad_output, weight_sizes, geometry))),
      method_(method),
      chunk_bytes_(chunk_bytes) {
  const bool materialise = method_ == ConvMethod::kMaterialise;
  // The CPU kernels and a materialised batch give the norms on the way; those of the Gram form
  // know nothing of a bias.
  const bool together = materialise || (method_ == ConvMethod::kTile && input.is_cpu());
  const auto rows_by = method_ == ConvMethod::kGram ? conv_rows_aten : conv_rows;
  ConvRows rows =
      rows_by(*problem_, input, grad_output,
              {.gradients = materialise, .squared_norms = together, .bias_gradients = true});
  rows_ = std::move(rows.gradients);
  bias_gradients_ = std::move(rows.bias_gradients);
  squared_norms_ = together ? std::move(rows.squared_norms)
                            : squared_norms_by(method_ == ConvMethod::kGram, *problem_, input,
                                               grad_output, chunk_bytes);
  if (!materialise) {
    input_ = input;
    grad_output_ = grad_output;
  }
}

at::Tensor ConvWeightGradients::kept(std::int64_t begin, std::int64_t end) const {
  return in_weight_order(*problem_, rows_.narrow(0, begin, end - begin));
}

at::Tensor ConvWeightGradients::weighted_sum(const at::Tensor& factors) const {
  if (method_ != ConvMethod::kMaterialise) {
    return weighted_conv_weight_gradient(input_, grad_output_, factors, problem_->weight_sizes,
                                         problem_->geometry, chunk_bytes_);
  }
  check_factors(*problem_, factors, rows_.options());
  at::Tensor sum = at::zeros({problem_->parameters()}, rows_.options());
  add_weighted_rows(rows_, factors, sum);
  return in_weight_order(*problem_, sum).clone(at::MemoryFormat::Contiguous);
}

}  // namespace velum::dpsgd::detail
