#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "tape/arithmetic.h"
#include "tape/tape.h"

namespace velum::dpsgd::detail {
namespace {

/// Of the sizes of `like`, in its math type.
at::Tensor contiguous_zeros(const at::Tensor& like, at::Tensor out) {
  if (out.defined() && out.sizes() == like.sizes() && out.is_contiguous() &&
      out.scalar_type() == math_type(like.scalar_type())) {
    return out.zero_();
  }
  return at::zeros(like.sizes(), math_options(like));
}

at::Tensor plus(const at::Tensor& sum, const at::Tensor& term) {
  return sum.defined() ? sum.add(term) : term;
}

/// NaN in either stays.
at::Tensor with_floor(const at::Tensor& squared_norms, const at::Tensor& squared_magnitudes) {
  if (!squared_magnitudes.defined()) return squared_norms;
  return at::maximum(squared_norms,
                     squared_magnitudes.mul(kConditioningFloor * kConditioningFloor));
}

std::int64_t bytes_per_sample(const at::Tensor& parameter) {
  return std::max<std::int64_t>(1, parameter.numel()) *
         static_cast<std::int64_t>(c10::elementSize(math_type(parameter.scalar_type())));
}

/// Calls body(begin, end) over ranges of samples of at most limits.chunk_bytes each; 0 bytes: all
/// at once.
template <typename Body>
void for_each_chunk(std::int64_t batch, std::int64_t bytes_per_sample, const MemoryLimits& limits,
                    const Body& body) {
  const std::int64_t step = bytes_per_sample == 0
                                ? std::max<std::int64_t>(1, batch)
                                : std::max<std::int64_t>(1, limits.chunk_bytes / bytes_per_sample);
  for (std::int64_t begin = 0; begin < batch; begin += step) {
    body(begin, std::min(begin + step, batch));
  }
}

std::string joined_name(const std::vector<ParameterGradient::Use>& uses) {
  return uses.front().operation + " and " + std::to_string(uses.size() - 1) + " more";
}

}  // namespace

ParameterGradient::ParameterGradient(std::shared_ptr<const Graph> graph, at::Tensor parameter,
                                     std::int64_t batch, std::vector<Use> uses, MemoryLimits limits)
    : graph_(std::move(graph)),
      parameter_(std::move(parameter)),
      batch_(batch),
      uses_(std::move(uses)),
      limits_(limits) {
  if (uses_.size() <= 1) {
    separate_ = uses_.empty() || uses_.front().path->isometric();
    return;
  }
  join_uses<LinearGradient>([](const LinearGradient& a, const LinearGradient& b) {
    return a.inputs_first() == b.inputs_first() && a.options().dtype() == b.options().dtype();
  });
  join_uses<EmbeddingGradient>([](const EmbeddingGradient& a, const EmbeddingGradient& b) {
    return a.sizes() == b.sizes() && a.options().dtype() == b.options().dtype();
  });
  if (uses_.size() == 1) return;
  // Gradients that are at hand are added up now, and weighted as they are measured.
  const bool at_hand = std::all_of(uses_.begin(), uses_.end(), [&](const Use& use) {
    return use.path->kind() == ParameterPath::Kind::kIdentity && use.operand->at_hand().defined() &&
           use.operand->sizes() == uses_.front().operand->sizes() &&
           use.operand->options().dtype() == uses_.front().operand->options().dtype();
  });
  if (at_hand) {
    std::vector<std::shared_ptr<OperandGradient>> operands;
    for (const Use& use : uses_) operands.push_back(use.operand);
    uses_ = {{MaterialisedGradient::sum_of(operands), uses_.front().path, joined_name(uses_)}};
    return;
  }
  if (LinearGradient* const linear = tied_uses().first) linear->measure_with_table();
  for (std::size_t i = 0; i < uses_.size() && separate_; ++i) {
    separate_ = uses_[i].path->isometric();
    for (std::size_t j = 0; j < i && separate_; ++j) {
      separate_ = uses_[i].path->disjoint(*uses_[j].path);
    }
  }
}

/// Uses of the whole parameter of one form are one use: products between them count in the norm.
template <typename Form, typename Alike>
void ParameterGradient::join_uses(const Alike& alike) {
  std::vector<const Form*> forms;
  std::vector<Use> joined, others;
  for (const Use& use : uses_) {
    const auto* form = dynamic_cast<const Form*>(use.operand.get());
    const bool joins = form != nullptr && use.path->kind() == ParameterPath::Kind::kIdentity &&
                       (forms.empty() || alike(*form, *forms.front()));
    if (joins) forms.push_back(form);
    (joins ? joined : others).push_back(use);
  }
  if (forms.size() < 2) return;
  const Use one{Form::join(forms), joined.front().path, joined_name(joined)};
  uses_ = std::move(others);
  uses_.push_back(one);
}

std::pair<LinearGradient*, EmbeddingGradient*> ParameterGradient::tied_uses() const {
  if (uses_.size() != 2) return {};
  LinearGradient* linear = nullptr;
  EmbeddingGradient* table = nullptr;
  for (const Use& use : uses_) {
    if (use.path->kind() != ParameterPath::Kind::kIdentity) return {};
    if (auto* form = dynamic_cast<LinearGradient*>(use.operand.get())) linear = form;
    if (auto* form = dynamic_cast<EmbeddingGradient*>(use.operand.get())) table = form;
  }
  if (linear == nullptr || table == nullptr || linear->sizes() != table->sizes()) return {};
  return {linear, table};
}

bool ParameterGradient::isometric() const {
  return std::all_of(uses_.begin(), uses_.end(),
                     [](const Use& use) { return use.path->isometric(); });
}

ParameterGradient::SquaredNorms ParameterGradient::squared_norms() {
  SquaredNorms norms;
  if (uses_.empty()) return norms;
  if (!separate_) {
    const at::Tensor magnitudes = overlapping_squared_magnitudes();
    norms.exact = overlapping_squared_norms();
    norms.clipping = with_floor(norms.exact, magnitudes);
    return norms;
  }
  for (const Use& use : uses_) {
    const at::Tensor exact = use.operand->squared_norms();
    const at::Tensor clipping = with_floor(exact, use.operand->squared_magnitudes());
    norms.exact = plus(norms.exact, exact);
    norms.clipping = plus(norms.clipping, clipping);
  }
  return norms;
}

at::Tensor ParameterGradient::grouped_squared_norms(const SampleGroups& groups) {
  if (uses_.empty()) return {};
  // Samples of one group may cancel each other, whatever each of them does by itself.
  const auto with_floor_of = [&](const at::Tensor& norms, const at::Tensor& sample_magnitudes) {
    return with_floor(norms, groups.sums(sample_magnitudes.sqrt()).square());
  };
  if (!separate_) {
    at::Tensor magnitudes = overlapping_squared_magnitudes();
    const at::Tensor own = overlapping_squared_norms();
    magnitudes = magnitudes.defined() ? at::maximum(magnitudes, own) : own;
    const at::Tensor norms = detail::grouped_squared_norms(
        groups, parameter_.numel(), math_options(parameter_), limits_,
        [this](std::int64_t begin, std::int64_t end) {
          return per_sample(begin, end).reshape({end - begin, parameter_.numel()});
        });
    return with_floor_of(norms, magnitudes);
  }
  at::Tensor sum;
  for (const Use& use : uses_) {
    at::Tensor magnitudes = use.operand->squared_magnitudes();
    if (!magnitudes.defined()) magnitudes = use.operand->squared_norms();
    sum = plus(sum, with_floor_of(use.operand->grouped_squared_norms(groups, limits_), magnitudes));
  }
  return sum;
}

at::Tensor ParameterGradient::overlapping_squared_magnitudes() {
  at::Tensor magnitudes;
  for (const Use& use : uses_) {
    // The scale of such a path is unknown; its gradients are summed as they are measured.
    if (use.path->kind() >= ParameterPath::Kind::kWeightNorm) continue;
    at::Tensor squares = use.operand->squared_magnitudes();
    if (!squares.defined()) squares = use.operand->squared_norms();
    magnitudes = plus(magnitudes, squares.sqrt());
  }
  return magnitudes.defined() ? magnitudes.square() : magnitudes;
}

at::Tensor ParameterGradient::overlapping_squared_norms() {
  // A table that is the output layer too: [batch, *parameter] is never made. All in float64: the
  // products may cancel the squares.
  const auto [linear, table] = tied_uses();
  if (linear != nullptr && linear->norms_from_products()) {
    return linear->squared_norms()
        .add(table->in_float64().squared_norms())
        .add(linear->products_with(*table), 2)
        .clamp_min_(0);  // a square, up to rounding; NaN stays
  }
  const std::int64_t each = bytes_per_sample(parameter_);
  if (each <= limits_.keep_bytes / batch_) {
    kept_ = per_sample(0, batch_).contiguous();
    return row_squared_norms(kept_.view({batch_, parameter_.numel()}));
  }
  const at::Tensor norms = at::empty({batch_}, math_options(parameter_).dtype(at::kDouble));
  for_each_chunk(batch_, each, limits_, [&](std::int64_t begin, std::int64_t end) {
    norms.narrow(0, begin, end - begin)
        .copy_(
            row_squared_norms(per_sample(begin, end).reshape({end - begin, parameter_.numel()})));
  });
  return norms;
}

at::Tensor ParameterGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (kept_.defined()) return kept_.narrow(0, begin, end - begin);
  at::Tensor sum;
  for (const Use& use : uses_) {
    const at::Tensor term = use.path->to_leaf(*graph_, use.operand->per_sample(begin, end));
    sum = sum.defined() ? sum.add(term) : term;
  }
  if (sum.defined()) return sum;
  std::vector<std::int64_t> sizes{end - begin};
  sizes.insert(sizes.end(), parameter_.sizes().begin(), parameter_.sizes().end());
  return at::zeros(sizes, math_options(parameter_));
}

at::Tensor ParameterGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  if (uses_.empty()) return contiguous_zeros(parameter_, out);
  if (separate_ && uses_.size() == 1 &&
      uses_.front().path->kind() == ParameterPath::Kind::kIdentity) {
    OperandGradient& operand = *uses_.front().operand;
    const bool usable = out.defined() && out.is_contiguous() && out.numel() == operand.numel();
    return operand.weighted_sum(factors, usable ? out.view(operand.sizes()) : at::Tensor())
        .view(parameter_.sizes())
        .to(math_type(parameter_.scalar_type()));
  }
  const at::Tensor sum = contiguous_zeros(parameter_, out);
  const bool of_measured = !separate_ && (kept_.defined() || !isometric());
  if (of_measured) {
    // The gradients whose norms were taken, not sums that round otherwise.
    const at::Tensor weights = factors.as(math_type(parameter_.scalar_type()));
    const std::int64_t chunk = kept_.defined() ? 0 : bytes_per_sample(parameter_);
    for_each_chunk(batch_, chunk, limits_, [&](std::int64_t begin, std::int64_t end) {
      const at::Tensor chosen = weights.narrow(0, begin, end - begin);
      at::Tensor rows = per_sample(begin, end).reshape({end - begin, parameter_.numel()});
      if (!kept_.defined()) rows = rows.masked_fill(chosen.eq(0).unsqueeze(1), 0);
      sum.view({-1}).add_(at::mv(rows.t(), chosen));
    });
    return sum;
  }
  for (const Use& use : uses_) {
    const at::Tensor weighted = use.operand->weighted_sum(factors, {}).unsqueeze(0);
    sum.add_(use.path->to_leaf(*graph_, weighted).squeeze(0));
  }
  return sum;
}

const EmbeddingGradient* ParameterGradient::lookups() const {
  if (uses_.size() != 1 || uses_.front().path->kind() != ParameterPath::Kind::kIdentity) {
    return nullptr;
  }
  const auto* const lookups = dynamic_cast<const EmbeddingGradient*>(uses_.front().operand.get());
  // A bag that takes maxima looks up elements, of a table of as many rows.
  return lookups != nullptr && parameter_.sizes() == lookups->sizes() ? lookups : nullptr;
}

void ParameterGradient::exclude(const at::Tensor& excluded) {
  for (const Use& use : uses_) {
    // What other parameters get of the same operand is theirs to exclude; a factor of 0 does where
    // all is finite.
    use.operand->exclude(
        use.shared
            ? excluded.logical_and(
                  at::isfinite(use.operand->squared_norms()).logical_not().to(excluded.device()))
            : excluded);
  }
  if (kept_.defined()) {
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(kept_.dim()), 1);
    sizes.front() = batch_;
    kept_ = kept_.masked_fill(excluded.view(sizes), 0);
  }
}

void ParameterGradient::release() {
  uses_.clear();
  kept_.reset();
}

std::vector<at::Tensor> ParameterGradient::held() const {
  std::vector<at::Tensor> tensors{kept_};
  for (const Use& use : uses_) {
    const std::vector<at::Tensor> of_use = use.operand->held();
    tensors.insert(tensors.end(), of_use.begin(), of_use.end());
  }
  return tensors;
}

at::ScalarType ParameterGradient::summed_type() const {
  at::ScalarType type = math_type(parameter_.scalar_type());
  for (const Use& use : uses_) {
    if (use.operand->options().dtype() != at::kDouble) type = at::kFloat;
  }
  return type;
}

bool ParameterGradient::exact_path() const {
  return std::all_of(uses_.begin(), uses_.end(), [](const Use& use) {
    return use.path->kind() != ParameterPath::Kind::kOpaque;
  });
}

double ParameterGradient::rounding_scale(std::int64_t sample) const {
  double scale = 0;
  for (const Use& use : uses_) {
    scale += use.operand->rounding_scale(sample) * use.path->gain(*graph_);
  }
  return scale * (1 + static_cast<double>(uses_.size()));
}

bool ParameterGradient::summed_before_rounding() const {
  return uses_.size() == 1 && exact_path() && uses_.front().operand->summed_before_rounding();
}

BatchGradients::BatchGradients(std::shared_ptr<const Graph> graph, std::int64_t batch,
                               std::size_t parameters)
    : graph_(std::move(graph)),
      batch_(batch),
      parameters_(parameters),
      squared_norms_(parameters) {}

void BatchGradients::set(std::size_t index, ParameterGradient gradient) {
  parameters_[index].emplace(std::move(gradient));
}

ParameterGradient& BatchGradients::parameter(std::size_t index) {
  std::optional<ParameterGradient>& gradient = parameters_[index];
  if (!gradient.has_value()) {
    throw std::logic_error("tape: the gradient of parameter " + std::to_string(index) +
                           " is asked for before the pass has it");
  }
  return *gradient;
}

const ParameterGradient::SquaredNorms& BatchGradients::squared_norms_of(std::size_t index) {
  std::optional<ParameterGradient::SquaredNorms>& norms = squared_norms_[index];
  if (!norms.has_value()) norms = parameter(index).squared_norms();
  return *norms;
}

at::Tensor BatchGradients::squared_norms(const std::vector<std::size_t>& parameters) {
  at::Tensor sum;
  for (const std::size_t index : parameters) {
    const ParameterGradient::SquaredNorms& norms = squared_norms_of(index);
    if (norms.clipping.defined()) sum = plus(sum, norms.clipping);
  }
  return sum.defined() ? sum : at::zeros({batch_}, at::TensorOptions(at::kDouble));
}

at::Tensor BatchGradients::squared_norms() {
  std::vector<std::size_t> all(parameters_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return squared_norms(all);
}

at::Tensor BatchGradients::squared_norms(const std::vector<std::size_t>& parameters,
                                         const SampleGroups& groups) {
  at::Tensor sum;
  for (const std::size_t index : parameters) {
    const at::Tensor norms = parameter(index).grouped_squared_norms(groups);
    if (norms.defined()) sum = plus(sum, norms);
  }
  return sum.defined() ? sum : at::zeros({groups.count()}, at::TensorOptions(at::kDouble));
}

at::Tensor BatchGradients::exact_squared_norms() {
  at::Tensor sum;
  for (std::size_t index = 0; index < parameters_.size(); ++index) {
    const ParameterGradient::SquaredNorms& norms = squared_norms_of(index);
    if (norms.exact.defined()) sum = plus(sum, norms.exact);
  }
  return sum.defined() ? sum : at::zeros({batch_}, at::TensorOptions(at::kDouble));
}

std::vector<std::size_t> BatchGradients::in_order_of_release(
    const std::vector<std::size_t>& parameters, const std::vector<std::int64_t>& taken) const {
  // Memory that only these gradients hold, and which of them do.
  struct Memory {
    std::int64_t bytes = 0;
    std::size_t references = 0;
    std::set<const c10::TensorImpl*> tensors;
    std::set<std::size_t> holders;  // indices into `parameters`
  };
  std::map<const c10::StorageImpl*, Memory> memories;
  // A view holds its base: `tensors` has a base, too, that nobody else holds.
  std::map<const c10::TensorImpl*, std::set<const c10::TensorImpl*>> views;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const at::Tensor& tensor : parameters_[parameters[i]].value().held()) {
      if (!tensor.defined() || !tensor.has_storage()) continue;
      Memory& memory = memories[tensor.storage().unsafeGetStorageImpl()];
      memory.bytes = static_cast<std::int64_t>(tensor.storage().nbytes());
      memory.references = tensor.storage().use_count();
      memory.tensors.insert(tensor.unsafeGetTensorImpl());
      memory.holders.insert(i);
      if (!tensor.is_view()) continue;
      const at::TensorBase& base = tensor._base();
      std::set<const c10::TensorImpl*>& of_base = views[base.unsafeGetTensorImpl()];
      of_base.insert(tensor.unsafeGetTensorImpl());
      if (base.use_count() == of_base.size()) memory.tensors.insert(base.unsafeGetTensorImpl());
    }
  }
  std::erase_if(memories, [](const auto& entry) {
    return entry.second.references != entry.second.tensors.size();
  });

  // Gradients that share memory are one job: it is freed by the last of them.
  std::vector<std::size_t> job_of(parameters.size());
  std::iota(job_of.begin(), job_of.end(), std::size_t{0});
  std::vector<std::int64_t> freed(parameters.size(), 0);
  std::vector<std::vector<Memory*>> shared(parameters.size());
  for (auto& entry : memories) {
    Memory& memory = entry.second;
    const std::size_t job = job_of[*memory.holders.begin()];
    if (memory.holders.size() == 1) freed[*memory.holders.begin()] += memory.bytes;
    for (const std::size_t i : memory.holders) {
      shared[i].push_back(&memory);
      std::replace(job_of.begin(), job_of.end(), std::size_t{job_of[i]}, job);
    }
  }

  // Johnson's rule ("Optimal two- and three-stage production schedules", 1954): first what frees
  // more than it takes, by what it takes at most; then the others, what frees most from there
  // first.
  using Rank = std::tuple<bool, std::int64_t, std::int64_t, std::size_t>;
  const auto rank = [](std::int64_t most, std::int64_t frees, std::size_t i) -> Rank {
    if (frees > most) return {false, most, 0, i};
    return {true, -frees, most, i};
  };
  const auto rank_of = [&](std::size_t i) { return rank(taken[i], freed[i], i); };
  std::map<Rank, std::vector<std::size_t>> jobs;
  for (std::size_t job = 0; job < parameters.size(); ++job) {
    std::set<Rank> left;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (job_of[i] == job) left.insert(rank_of(i));
    }
    if (left.empty()) continue;
    std::vector<std::size_t> order;
    std::int64_t now = 0, most = 0;
    while (!left.empty()) {
      const std::size_t next = std::get<3>(*left.begin());
      left.erase(left.begin());
      order.push_back(parameters[next]);
      now += taken[next];
      most = std::max(most, now);
      now -= freed[next];
      for (Memory* const memory : shared[next]) {
        memory->holders.erase(next);
        if (memory->holders.size() != 1) continue;
        const std::size_t last = *memory->holders.begin();
        left.erase(rank_of(last));
        freed[last] += memory->bytes;
        left.insert(rank_of(last));
      }
    }
    jobs.emplace(rank(most, most - now, job), std::move(order));
  }
  std::vector<std::size_t> all;
  for (const auto& job : jobs) all.insert(all.end(), job.second.begin(), job.second.end());
  return all;
}

at::ScalarType BatchGradients::summed_type(const std::vector<std::size_t>& parameters) const {
  const bool in_double = std::all_of(parameters.begin(), parameters.end(), [&](std::size_t i) {
    return parameters_[i].value().summed_type() == at::kDouble;
  });
  return in_double ? at::kDouble : at::kFloat;
}

void BatchGradients::exclude(const at::Tensor& excluded) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameter(i).exclude(excluded);
}

void BatchGradients::release_graph() {
  for (const GraphNode& node : graph_->nodes()) {
    node.function->will_release_variables();
    node.function->release_variables();
  }
}

}  // namespace velum::dpsgd::detail
