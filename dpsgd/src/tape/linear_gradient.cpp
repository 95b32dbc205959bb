#include <ATen/Parallel.h>
#include <ATen/TensorIndexing.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "conv/conv_cpu_kernels.h"
#include "linear/gram_cpu_kernels.h"
#include "linear/product.h"
#include "tape/operand_gradient.h"
#include "tape/operand_parts.h"
#include "torch_products.h"
#include "velum/dpsgd/cost_model.h"

namespace velum::dpsgd::detail {
namespace {

/// Of one block of a sample's gradient whose squares are added.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 16;

std::vector<std::int64_t> linear_sizes(const SampleRows& input, const SampleRows& grad,
                                       bool inputs_first) {
  const std::int64_t inputs = input.rows.size(1), outputs = grad.rows.size(1);
  if (inputs_first) return {inputs, outputs};
  return {outputs, inputs};
}

/// Groups of one size, and their samples, group by group.
struct GroupsOfOneSize {
  std::vector<std::int64_t> groups, members;
};

std::map<std::int64_t, GroupsOfOneSize> groups_of_each_size(const SampleGroups& groups) {
  std::map<std::int64_t, GroupsOfOneSize> result;
  for (std::int64_t group = 0; group < groups.count(); ++group) {
    const std::int64_t size = groups.size_of(group);
    GroupsOfOneSize& alike = result[size];
    alike.groups.push_back(group);
    const auto first = groups.order().begin() + groups.begins()[static_cast<std::size_t>(group)];
    alike.members.insert(alike.members.end(), first, first + size);
  }
  return result;
}

at::Tensor with_contiguous_columns(const at::Tensor& rows) {
  return rows.size(1) <= 1 || rows.stride(1) == 1 ? rows : rows.contiguous();
}

template <typename T>
void add_steps(const SampleRows& rows, const at::Tensor& data, StepRows<T>& result) {
  const RowMapping& mapping = rows.mapping;
  const std::int64_t stride = data.stride(0);
  result.width = data.size(1);
  for (std::int64_t outer = 0; outer < mapping.outer; ++outer) {
    for (std::int64_t inner = 0; inner < mapping.inner; ++inner) {
      const std::int64_t row = outer * mapping.batch * mapping.inner + inner;
      result.steps.push_back({data.const_data_ptr<T>() + row * stride, mapping.inner * stride});
    }
  }
}

/// The rows of every sample as [sample, step, column] by strides.
struct StridedRows {
  at::Tensor data;
  std::int64_t sample_stride, step_stride;
};

StridedRows strided(const SampleRows& rows) {
  const RowMapping& mapping = rows.mapping;
  const at::Tensor data = with_contiguous_columns(rows.rows);
  const std::int64_t stride = data.stride(0);
  if (mapping.inner == 1) return {data, stride, mapping.batch * stride};
  if (mapping.outer == 1) return {data, mapping.inner * stride, stride};
  const at::Tensor samples = rows.samples().contiguous();
  return {samples, samples.stride(0), samples.stride(1)};
}

}  // namespace

LinearGradient::LinearGradient(std::shared_ptr<const SampleRows> input,
                               std::shared_ptr<const SampleRows> grad, bool inputs_first,
                               MemoryLimits limits, double roundings)
    : LinearGradient(std::vector<Use>{{std::move(input), std::move(grad)}}, inputs_first, limits,
                     roundings) {}

LinearGradient::LinearGradient(std::vector<Use> uses, bool inputs_first, MemoryLimits limits,
                               double roundings)
    : OperandGradient(uses.front().grad->mapping.batch,
                      linear_sizes(*uses.front().input, *uses.front().grad, inputs_first),
                      uses.front().grad->rows.options()),
      uses_(std::move(uses)),
      inputs_first_(inputs_first),
      limits_(limits),
      roundings_(roundings),
      single_use_(uses_.size() == 1) {
  for (const Use& use : uses_) steps_ += use.grad->mapping.steps();
}

std::shared_ptr<LinearGradient> LinearGradient::join(
    const std::vector<const LinearGradient*>& gradients) {
  std::vector<Use> uses;
  double roundings = 0;
  for (const LinearGradient* gradient : gradients) {
    roundings = std::max(roundings, gradient->roundings_);
    uses.insert(uses.end(), gradient->uses_.begin(), gradient->uses_.end());
  }
  return std::make_shared<LinearGradient>(std::move(uses), gradients.front()->inputs_first_,
                                          gradients.front()->limits_, roundings);
}

std::int64_t LinearGradient::inputs() const { return sizes()[inputs_first_ ? 0 : 1]; }
std::int64_t LinearGradient::outputs() const { return sizes()[inputs_first_ ? 1 : 0]; }
bool LinearGradient::on_cpu() const { return options().device().is_cpu(); }

SampleRows LinearGradient::joined(std::shared_ptr<const SampleRows> Use::*rows) const {
  if (uses_.size() == 1) return *(uses_.front().*rows);
  std::vector<at::Tensor> parts;
  parts.reserve(uses_.size());
  for (const Use& use : uses_) parts.push_back((use.*rows)->samples());
  const at::Tensor all = at::cat(parts, 1);
  return {all.view({batch() * steps_, all.size(2)}), RowMapping{0, 1, batch(), steps_}};
}

GradientCost LinearGradient::cost_of(GradientMethod method) const {
  const CostModel model = on_cpu() ? cost_model() : CostModel::fixed();
  const bool wide = options().dtype().toScalarType() == at::kDouble;
  const double samples = wide ? model.samples_float64 : model.samples_float32;
  const double gemm = wide ? model.gemm_float64 : model.gemm_float32;
  const double element = static_cast<double>(options().dtype().itemsize());
  const double steps = static_cast<double>(steps_), count = static_cast<double>(batch());
  const double widths = static_cast<double>(inputs() + outputs());
  const double parameters = count * static_cast<double>(numel());
  const double product = 2 * steps * parameters;         // one pass over all steps
  const double rows = count * steps * widths * element;  // input and gradient, read once
  GradientCost cost;
  switch (method) {
    case GradientMethod::kKept:
      cost.flops = product + 2 * parameters;
      cost.bytes = rows + 2 * parameters * element;
      cost.seconds = product / samples + cost.bytes / model.bytes;
      break;
    case GradientMethod::kTiles:
      cost.flops = 2 * product;
      cost.bytes = 2 * rows;
      cost.seconds = product / samples + product / gemm + cost.bytes / model.bytes;
      break;
    case GradientMethod::kGram: {
      const double products = count * steps * (steps + 1) * widths;
      cost.flops = products + product;
      cost.bytes = 2 * rows;
      cost.seconds = products / model.gram + product / gemm + cost.bytes / model.bytes;
      break;
    }
    default:  // outer product
      cost.flops = product + 2 * count * widths;
      cost.bytes = 2 * rows;
      cost.seconds = product / gemm + cost.bytes / model.bytes;
  }
  return cost;
}

std::vector<GradientMethod> LinearGradient::methods() const {
  if (steps_ == 1) return {GradientMethod::kOuterProduct};
  std::vector<GradientMethod> all{GradientMethod::kKept, GradientMethod::kTiles};
  if (!on_cpu() || steps_ <= kMostGramSteps) all.push_back(GradientMethod::kGram);
  return all;
}

GradientMethod LinearGradient::method() const {
  const std::vector<GradientMethod> all = methods();
  if (limits_.method.has_value() &&
      std::find(all.begin(), all.end(), *limits_.method) != all.end()) {
    return *limits_.method;
  }
  // Gradients that are kept take the place of what they are computed from, and no more.
  const double elements = static_cast<double>(batch()) * static_cast<double>(numel());
  const double replaced =
      static_cast<double>(batch() * steps_) * static_cast<double>(inputs() + outputs());
  const bool fits = elements <= replaced && bytes_of(elements, options()) <= limits_.keep_bytes;
  return cheapest(*this, fits);
}

std::string LinearGradient::shape() const {
  return std::to_string(steps_) + (steps_ == 1 ? " step, " : " steps, ") +
         std::to_string(inputs()) + " -> " + std::to_string(outputs());
}

template <typename T>
void LinearGradient::measure_samples(bool keep) {
  const StridedRows input = strided(joined(&Use::input)), grad = strided(joined(&Use::grad));
  ConvCpuTask<T> task{};
  task.groups = 1;
  task.outputs = outputs();
  task.channels = task.features = inputs();
  task.positions = steps_;
  for (std::int64_t column = 0; column < inputs(); ++column) {
    task.feature_offsets.push_back(column);
  }
  for (std::int64_t step = 0; step < steps_; ++step) {
    task.position_offsets.push_back(step * input.step_stride);
  }
  task.input = input.data.template const_data_ptr<T>();
  task.input_sample_stride = input.sample_stride;
  task.input_channel_stride = 1;
  task.grad_output = grad.data.template const_data_ptr<T>();
  task.grad_sample_stride = grad.sample_stride;
  task.grad_channel_stride = 1;
  task.grad_position_stride = grad.step_stride;
  squared_norms_ = at::zeros({batch()}, options().dtype(at::kDouble));
  auto* const norms = squared_norms_.mutable_data_ptr<double>();
  std::int64_t block = outputs();
  if (keep) {
    kept_ = at::empty({batch(), inputs(), outputs()}, options());
    task.gradients = kept_.mutable_data_ptr<T>();
  } else {
    block =
        std::max<std::int64_t>(32, kBlockElements / std::max<std::int64_t>(1, inputs()) / 32 * 32);
  }
  std::vector<double> of_block(static_cast<std::size_t>(batch()));
  task.squared_norms = of_block.data();
  at::parallel_for(0, batch(), 1, [&](std::int64_t begin, std::int64_t end) {
    ConvCpuTask<T> part = task;
    for (std::int64_t first = 0; first < outputs(); first += block) {
      part.outputs = std::min(block, outputs() - first);
      part.grad_output = task.grad_output + first;
      conv_samples_cpu(part, begin, end);
      for (std::int64_t b = begin; b < end; ++b) {
        norms[b] += of_block[static_cast<std::size_t>(b)];
      }
    }
  });
}

template <typename T>
void LinearGradient::measure_gram() {
  GramCpuTask<T> task;
  std::vector<at::Tensor> alive;
  for (const Use& use : uses_) {
    alive.push_back(with_contiguous_columns(use.input->rows));
    add_steps(*use.input, alive.back(), task.input);
    alive.push_back(with_contiguous_columns(use.grad->rows));
    add_steps(*use.grad, alive.back(), task.grad);
  }
  squared_norms_ = at::empty({batch()}, options().dtype(at::kDouble));
  squared_magnitudes_ = at::empty({batch()}, options().dtype(at::kDouble));
  task.squared_norms = squared_norms_.mutable_data_ptr<double>();
  task.squared_magnitudes = squared_magnitudes_.mutable_data_ptr<double>();
  at::parallel_for(0, batch(), 1, [&](std::int64_t begin, std::int64_t end) {
    gram_samples_cpu(task, begin, end);
  });
}

void LinearGradient::measure_elsewhere(GradientMethod chosen) {
  if (chosen == GradientMethod::kKept) {
    kept_ = per_sample(0, batch());
    if (!inputs_first_) kept_ = kept_.transpose(1, 2);
    squared_norms_ = row_squared_norms(kept_.flatten(1));
    return;
  }
  if (options().device().is_cuda()) {
    squared_norms_ =
        linear_squared_norms(chosen == GradientMethod::kTiles ? kernels::LinearNormForm::kTile
                                                              : kernels::LinearNormForm::kGram,
                             joined(&Use::input).samples(), joined(&Use::grad).samples());
    return;
  }
  squared_norms_ = at::empty({batch()}, options().dtype(at::kDouble));
  if (chosen == GradientMethod::kTiles) {
    for_each_chunk(batch(), bytes_of(static_cast<double>(numel()), options()), limits_,
                   [&](std::int64_t begin, std::int64_t end) {
                     squared_norms_.narrow(0, begin, end - begin)
                         .copy_(row_squared_norms(per_sample(begin, end).flatten(1)));
                   });
    return;
  }
  // In float64: float32 would lose a small norm of large, opposite terms.
  const at::Tensor inputs = joined(&Use::input).samples(), grads = joined(&Use::grad).samples();
  const std::int64_t elements = steps_ * (2 * steps_ + inputs.size(2) + grads.size(2));
  for_each_chunk(batch(), elements * static_cast<std::int64_t>(sizeof(double)), limits_,
                 [&](std::int64_t begin, std::int64_t end) {
                   const auto gram = [&](const at::Tensor& rows) {
                     const at::Tensor x = rows.narrow(0, begin, end - begin).to(at::kDouble);
                     return at::bmm(x, x.transpose(1, 2));
                   };
                   squared_norms_.narrow(0, begin, end - begin)
                       .copy_(gram(inputs).mul_(gram(grads)).sum({1, 2}));
                 });
  squared_norms_.clamp_min_(0);  // a sum of squares, up to rounding; NaN stays
}

at::Tensor LinearGradient::squared_norms() {
  if (squared_norms_.defined()) return squared_norms_;
  const GradientMethod chosen = method();
  if (chosen == GradientMethod::kOuterProduct) {
    squared_norms_ = uses_.front().input->squared_norms().mul(uses_.front().grad->squared_norms());
    squared_magnitudes_ = squared_norms_;
    return squared_norms_;
  }
  const bool wide = options().dtype().toScalarType() == at::kDouble;
  if (!on_cpu()) {
    measure_elsewhere(chosen);
  } else if (chosen == GradientMethod::kGram) {
    wide ? measure_gram<double>() : measure_gram<float>();
  } else {
    const bool keep = chosen == GradientMethod::kKept;
    wide ? measure_samples<double>(keep) : measure_samples<float>(keep);
  }
  if (!squared_magnitudes_.defined()) {
    at::Tensor inputs, grads;
    for (const Use& use : uses_) {
      const at::Tensor of_input = use.input->sample_squared_norms();
      const at::Tensor of_grad = use.grad->sample_squared_norms();
      inputs = inputs.defined() ? inputs.add(of_input) : of_input;
      grads = grads.defined() ? grads.add(of_grad) : of_grad;
    }
    squared_magnitudes_ = inputs.mul(grads);
  }
  if (kept_.defined()) uses_.clear();
  return squared_norms_;
}

bool LinearGradient::norms_from_products() const {
  if (kept_.defined()) return false;
  const GradientMethod chosen = method();
  return chosen == GradientMethod::kOuterProduct || chosen == GradientMethod::kGram;
}

void LinearGradient::measure_with_table() {
  const std::vector<GradientMethod> all = methods();
  const bool has_gram = std::find(all.begin(), all.end(), GradientMethod::kGram) != all.end();
  if (limits_.method.has_value() || kept_.defined() || !has_gram) return;
  // The table's are written beside them, both read and their sum written, and that read once more.
  // On the CPU what is written is fresh memory, of which the pages cost most: about a nanosecond a
  // byte for all of it (131 MB: 0.13 s on an EPYC of family 26).
  constexpr double kPasses = 5, kFreshByteSeconds = 1e-9;
  const double written = static_cast<double>(batch()) * static_cast<double>(numel()) *
                         static_cast<double>(options().dtype().itemsize());
  const double each = on_cpu() ? kFreshByteSeconds : kPasses / CostModel::fixed().bytes;
  const double made = *cost_of(GradientMethod::kKept).seconds + written * each;
  if (*cost_of(GradientMethod::kGram).seconds <= made) limits_.method = GradientMethod::kGram;
}

at::Tensor LinearGradient::products_with(const EmbeddingGradient& table) const {
  // With P the side as wide as the table has rows and D the other one, g_b = sum_s P_s D_s^T, so
  // that a row t of e_b meets the elements P[s][index t] and <D_s, row t>.
  const LookedUpRows& looked_up = table.rows();
  const SampleRows inputs = joined(&Use::input), grads = joined(&Use::grad);
  const at::Tensor places = (inputs_first_ ? inputs : grads).samples();  // [batch, steps, rows]
  const at::Tensor widths = (inputs_first_ ? grads : inputs).samples();  // [batch, steps, width]
  const at::Tensor products = at::zeros({batch()}, options().dtype(at::kDouble));
  if (looked_up.indices.numel() == 0) return products;
  const auto on_device = [&](const std::vector<std::int64_t>& values) {
    return at::tensor(values, at::TensorOptions(at::kLong)).to(options().device());
  };
  const at::Tensor owners = looked_up.samples.to(at::kCPU).contiguous();
  const SampleGroups lookups(
      {owners.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(owners.numel())});
  const std::int64_t steps = places.size(1), width = widths.size(2);
  const at::Tensor every_step = at::arange(steps, options().dtype(at::kLong)).view({1, steps, 1});
  for (const auto& [size, alike] : groups_of_each_size(lookups)) {
    const std::int64_t count = size;  // of lookups, of each of these samples
    std::vector<std::int64_t> names;
    for (const std::int64_t group : alike.groups) {
      names.push_back(lookups.names()[static_cast<std::size_t>(group)]);
    }
    const at::Tensor samples = on_device(names), rows = on_device(alike.members);
    const std::int64_t sample_bytes = (count * width + steps * width + 2 * steps * count) *
                                      static_cast<std::int64_t>(sizeof(double));
    for_each_chunk(
        samples.numel(), sample_bytes, limits_, [&](std::int64_t begin, std::int64_t end) {
          const std::int64_t n = end - begin;
          const at::Tensor chosen = samples.narrow(0, begin, n);
          const at::Tensor of_chosen = rows.narrow(0, begin * count, n * count);
          const at::Tensor row =
              looked_up.grads.index_select(0, of_chosen).to(at::kDouble).view({n, count, width});
          const at::Tensor index = looked_up.indices.index_select(0, of_chosen).view({n, 1, count});
          const at::Tensor dots =  // [samples, steps, lookups]
              at::bmm(widths.index_select(0, chosen).to(at::kDouble), row.transpose(1, 2));
          const at::Tensor met = places.index({chosen.view({n, 1, 1}), every_step, index});
          products.index_copy_(0, chosen, dots.mul_(met).sum({1, 2}));
        });
  }
  return products;
}

at::Tensor LinearGradient::grouped_squared_norms(const SampleGroups& groups,
                                                 const MemoryLimits& limits) {
  if (kept_.defined()) return OperandGradient::grouped_squared_norms(groups, limits);
  // A group of n samples of T steps is one sample of n T steps. One product for each n that occurs.
  const auto index = [&](const std::vector<std::int64_t>& values) {
    return at::tensor(values, at::TensorOptions(at::kLong)).to(options().device());
  };
  const SampleRows inputs = joined(&Use::input), grads = joined(&Use::grad);
  const at::Tensor norms = at::empty({groups.count()}, options().dtype(at::kDouble));
  for (const auto& [size, alike] : groups_of_each_size(groups)) {
    const std::vector<std::int64_t>& members = alike.groups;
    const RowMapping mapping{0, 1, static_cast<std::int64_t>(members.size()), size * steps_};
    const at::Tensor chosen = index(alike.members);
    const auto rows_of = [&](const SampleRows& all) {
      const at::Tensor rows = all.samples().index_select(0, chosen);
      return std::make_shared<const SampleRows>(
          rows.reshape({mapping.batch * mapping.steps(), rows.size(2)}), mapping);
    };
    LinearGradient together(rows_of(inputs), rows_of(grads), inputs_first_, limits);
    norms.index_copy_(0, index(members), together.squared_norms());
  }
  return norms;
}

at::Tensor LinearGradient::squared_magnitudes() {
  if (steps_ == 1) return {};  // one product an element: nothing cancels
  squared_norms();
  return squared_magnitudes_;
}

at::Tensor LinearGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (kept_.defined()) {
    const at::Tensor kept = kept_.narrow(0, begin, end - begin);
    return inputs_first_ ? kept : kept.transpose(1, 2);
  }
  const at::Tensor inputs = joined(&Use::input).samples().narrow(0, begin, end - begin);
  const at::Tensor grads = joined(&Use::grad).samples().narrow(0, begin, end - begin);
  return inputs_first_ ? at::bmm(inputs.transpose(1, 2), grads)
                       : at::bmm(grads.transpose(1, 2), inputs);
}

at::Tensor LinearGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  out = usable(out, sizes(), options());
  if (kept_.defined()) {
    if (inputs_first_ && kept_.is_contiguous()) return weighted_rows(kept_, factors, out);
    const at::Tensor sum =
        weighted_rows(kept_.contiguous(), factors, at::empty({inputs(), outputs()}, options()));
    return out.copy_(inputs_first_ ? sum : sum.t());
  }
  bool first = true;
  for (const Use& use : uses_) {
    const at::Tensor row_factors =
        use.grad->mapping.to_rows(factors.as(options().dtype().toScalarType()));
    const at::Tensor &inputs = use.input->rows, &grads = use.grad->rows;
    if (on_cpu()) {
      product_out((inputs_first_ ? inputs : grads).t(), inputs_first_ ? grads : inputs,
                  row_factors.contiguous(), /*add=*/!first, out);
    } else {
      const bool scale_inputs = inputs.size(1) < grads.size(1);
      const at::Tensor scaled = (scale_inputs ? inputs : grads).mul(row_factors.unsqueeze(1));
      const at::Tensor &left = scale_inputs ? scaled : inputs,
                       &right = scale_inputs ? grads : scaled;
      const at::Tensor &a = inputs_first_ ? left : right, &b = inputs_first_ ? right : left;
      if (first) {
        at::mm_out(out, a.t(), b);
      } else {
        out.addmm_(a.t(), b);
      }
    }
    first = false;
  }
  return out;
}

void LinearGradient::exclude(const at::Tensor& excluded) {
  for (Use& use : uses_) {
    use = {std::make_shared<SampleRows>(use.input->without(excluded)),
           std::make_shared<SampleRows>(use.grad->without(excluded))};
  }
  if (kept_.defined()) kept_ = masked_rows(kept_, excluded, one_row_each(batch()));
}

double LinearGradient::rounding_scale(std::int64_t sample) const {
  double squared = 0;
  if (squared_magnitudes_.defined()) {
    squared = squared_magnitudes_[sample].item<double>();
  } else {
    double input = 0, grad = 0;
    for (const Use& use : uses_) {
      input += std::pow(use.input->norm_of(sample), 2);
      grad += std::pow(use.grad->norm_of(sample), 2);
    }
    squared = input * grad;
  }
  return (static_cast<double>(steps_) + kExtraRoundings + roundings_) * std::sqrt(squared);
}

void LinearGradient::settle(bool alone) {
  if (alone) squared_norms();
}

bool LinearGradient::settling_frees(bool passing) const {
  if (squared_norms_.defined() || method() != GradientMethod::kKept) return true;
  // A gradient that flows past the use, too, as along a residual connection, stays for now.
  std::int64_t freed = 0;
  for (const Use& use : uses_) {
    for (const at::Tensor* rows : {&use.input->rows, &use.grad->rows}) {
      const bool let_go = passing ? rows == &use.input->rows : rows->storage().use_count() == 1;
      if (let_go) freed += static_cast<std::int64_t>(rows->nbytes());
    }
  }
  return bytes_of(static_cast<double>(batch() * numel()), options()) <= freed;
}

std::vector<at::Tensor> LinearGradient::held() const {
  std::vector<at::Tensor> tensors{kept_};
  for (const Use& use : uses_) {
    tensors.push_back(use.input->rows);
    tensors.push_back(use.grad->rows);
  }
  return tensors;
}

}  // namespace velum::dpsgd::detail
