#include "lazy_rows.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "lazy_rows_cpu.h"
#include "velum/dpsgd/torch_bridge.h"
#include "velum/kernels/random/gaussian.h"

namespace velum::dpsgd::detail {
namespace {

/// Elements whose noise is drawn and added at a time: 512 KiB.
constexpr std::int64_t kBlockElements = std::int64_t{1} << 16;
constexpr std::int64_t kGrainElements = std::int64_t{1} << 14;

/// All tables that live. Never destroyed: tables may be, at the end of the program.
class Registry {
 public:
  static Registry& instance() {
    static auto* const registry = new Registry;
    return *registry;
  }
  void add(const LazyRows* rows) {
    const std::lock_guard lock(mutex_);
    rows_.insert(rows);
  }
  void remove(const LazyRows* rows) {
    const std::lock_guard lock(mutex_);
    rows_.erase(rows);
  }
  bool lacks_noise(const at::Tensor& weight) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(rows_.begin(), rows_.end(), [&](const LazyRows* rows) {
      return rows->weight().is_same(weight) && !rows->is_released();
    });
  }

 private:
  mutable std::mutex mutex_;
  std::set<const LazyRows*> rows_;
};

at::Tensor as_tensor(const std::vector<std::int64_t>& values) {
  return at::from_blob(const_cast<std::int64_t*>(values.data()),
                       {static_cast<std::int64_t>(values.size())}, at::kLong);
}

}  // namespace

PreciseSum PreciseSum::plus(double term) const {
  PreciseSum sum;
  sum.high_ = high_ + term;
  const double taken = sum.high_ - high_;
  sum.low_ = low_ + ((high_ - (sum.high_ - taken)) + (term - taken));
  return sum;
}

double PreciseSum::minus(const PreciseSum& earlier) const {
  return (high_ - earlier.high_) + (low_ - earlier.low_);
}

void add_scaled_rows(const at::Tensor& weight, const at::Tensor& low, const at::Tensor& rows,
                     const at::Tensor& scales, const at::Tensor& values) {
  if (!weight.is_cpu()) return add_scaled_rows_by_torch(weight, low, rows, scales, values);
  const std::int64_t width = weight.size(1);
  const auto* const row = rows.const_data_ptr<std::int64_t>();
  const auto* const scale = scales.const_data_ptr<double>();
  const auto* const value = values.const_data_ptr<double>();
  const bool in_double = weight.scalar_type() == at::kDouble;
  double* const doubles = in_double ? weight.mutable_data_ptr<double>() : nullptr;
  float* const floats = in_double ? nullptr : weight.mutable_data_ptr<float>();
  float* const lower = in_double ? nullptr : low.mutable_data_ptr<float>();
  const std::int64_t grain = std::max<std::int64_t>(1, kGrainElements / width);
  at::parallel_for(0, rows.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    if (doubles != nullptr) {
      add_scaled_rows_of(row, scale, value, begin, end, width, doubles);
    } else {
      add_scaled_rows_of(row, scale, value, begin, end, width, floats, lower);
    }
  });
}

void add_scaled_rows_by_torch(const at::Tensor& weight, const at::Tensor& low,
                              const at::Tensor& rows, const at::Tensor& scales,
                              const at::Tensor& values) {
  const at::Tensor data = weight.variable_data();  // with a version of its own
  at::Tensor sum = data.index_select(0, rows).to(at::kDouble);
  if (low.defined()) sum.add_(low.index_select(0, rows));
  sum.add_(values.mul(scales.unsqueeze(1)));
  const at::Tensor high = sum.to(weight.scalar_type());
  data.index_copy_(0, rows, high);
  if (low.defined()) low.index_copy_(0, rows, sum.sub_(high).to(low.scalar_type()));
}

LazyRows::LazyRows(at::Tensor weight)
    : weight_(std::move(weight)),
      device_(weight_.defined() ? weight_.device() : c10::Device(at::kCPU)),
      type_(weight_.defined() ? weight_.scalar_type() : at::kFloat) {
  const bool known = weight_.defined() &&
                     (weight_.scalar_type() == at::kFloat || weight_.scalar_type() == at::kDouble);
  if (!known || weight_.dim() != 2 || weight_.numel() == 0 || !weight_.is_contiguous() ||
      !weight_.is_leaf() || !weight_.requires_grad()) {
    std::ostringstream text;
    text << "LazyTable: weight is ";
    if (weight_.defined()) {
      text << weight_.sizes() << ' ' << weight_.scalar_type()
           << (weight_.is_contiguous() ? "" : ", not contiguous")
           << (weight_.is_leaf() ? "" : ", not a leaf")
           << (weight_.requires_grad() ? "" : ", without requires_grad");
    } else {
      text << "undefined";
    }
    text << "; expected a contiguous leaf [rows, width] of float32 or float64 that requires grad";
    throw std::invalid_argument(text.str());
  }
  if (Registry::instance().lacks_noise(weight_)) {
    throw std::invalid_argument(
        "LazyTable: another lazy table of this weight lacks noise of earlier steps; release it "
        "first");
  }
  const c10::AutoGradMode no_grad(false);
  if (weight_.scalar_type() == at::kFloat) low_ = at::zeros_like(weight_);
  noised_.assign(static_cast<std::size_t>(weight_.size(0)), 0);
  taken_.assign(noised_.size(), false);
  version_ = weight_._version();
  Registry::instance().add(this);
}

LazyRows::~LazyRows() {
  Registry::instance().remove(this);
  kernels::wipe(key_);
}

void LazyRows::bind(const kernels::RandomKey& key, std::uint32_t key_epoch,
                    std::uint32_t tensor) noexcept {
  bound_ = true;
  key_ = key;
  key_epoch_ = key_epoch;
  tensor_ = tensor;
}

bool LazyRows::is_released() const { return released_ && !gradient_.has_value(); }

void LazyRows::require_settled(const char* function) const {
  if (!gradient_.has_value()) return require_own_weights(function);
  throw std::logic_error(std::string(function) +
                         ": the gradient of the last step waits; call LazyTable::step with its "
                         "learning rate (0 drops it) after every step of the engine");
}

void LazyRows::require_ready(const char* function) const {
  if (!bound_) {
    throw std::logic_error(std::string(function) +
                           ": no engine has this table; give it to one as options.lazy_tables");
  }
  require_settled(function);
}

void LazyRows::require_own_weights(const char* function) const {
  if (weight_.device() != device_ || weight_.scalar_type() != type_) {
    std::ostringstream text;
    text << function << ": the weights of a lazy table are now " << weight_.scalar_type() << " on "
         << weight_.device() << ", expected " << type_ << " on " << device_
         << " as they were when it was made; convert the model before";
    throw std::logic_error(text.str());
  }
  if (released_ || weight_._version() == version_) return;
  throw std::logic_error(std::string(function) +
                         ": the weights were written by somebody else while rows lack noise, which "
                         "would go into other weights; call LazyTable::release before weights are "
                         "loaded, averaged or exchanged. To go on now, load released weights and "
                         "make a new engine and a new LazyTable");
}

void LazyRows::require_caught_up(const char* function, const at::Tensor& rows) const {
  const at::Tensor on_host = rows.to(at::kCPU).contiguous();
  const auto* const row = on_host.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < on_host.numel(); ++i) {
    if (noised_[static_cast<std::size_t>(row[i])] == steps()) continue;
    throw std::logic_error(
        std::string(function) + ": row " + std::to_string(row[i]) +
        " of a lazy table was read without the noise of earlier steps; call LazyTable::catch_up "
        "with all indices before the forward pass");
  }
}

void LazyRows::receive(RowSums sums, double standard_deviation, double divisor,
                       const kernels::RandomPosition& position) noexcept {
  gradient_ = Gradient{std::move(sums), standard_deviation, divisor, position};
}

template <typename Change>
void LazyRows::draw_for_rows(std::int64_t rows, const kernels::RandomPosition& position,
                             const Change& change) {
  const std::int64_t width = weight_.size(1);
  const std::int64_t rows_at_once = std::max<std::int64_t>(1, kBlockElements / width);
  const kernels::Stream stream = stream_for(weight_.device());
  if (!draws_of_block_.defined()) {
    const c10::InferenceMode ordinary(false);
    draws_of_block_ =
        at::empty({rows_at_once, width}, weight_.options().dtype(at::kDouble).requires_grad(false));
  }
  for (std::int64_t first = 0; first < rows; first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, rows - first);
    const at::Tensor draws = draws_of_block_.narrow(0, 0, count);
    kernels::gaussian_fill(span_of<double>(draws), key_, position, first * width, stream);
    change(first, count, draws);
  }
}

void LazyRows::catch_up(const at::Tensor& indices) {
  require_ready("LazyTable::catch_up");
  if (!indices.defined() ||
      (indices.scalar_type() != at::kLong && indices.scalar_type() != at::kInt)) {
    throw std::invalid_argument("LazyTable::catch_up: indices is " +
                                (indices.defined()
                                     ? std::string(c10::toString(indices.scalar_type()))
                                     : std::string("undefined")) +
                                ", expected a tensor of int64 or int32");
  }
  const at::Tensor on_host = indices.to(at::kCPU, at::kLong).contiguous();
  const auto* const index = on_host.const_data_ptr<std::int64_t>();
  const std::int64_t rows = weight_.size(0);
  for (std::int64_t i = 0; i < on_host.numel(); ++i) {
    if (index[i] >= 0 && index[i] < rows) continue;
    throw std::invalid_argument("LazyTable::catch_up: index " + std::to_string(index[i]) +
                                ", expected 0 to " + std::to_string(rows - 1));
  }
  std::vector<std::int64_t> lacking;
  lacking.reserve(static_cast<std::size_t>(on_host.numel()));
  for (std::int64_t i = 0; i < on_host.numel(); ++i) {
    const auto row = static_cast<std::size_t>(index[i]);
    if (noised_[row] == steps() || taken_[row]) continue;
    taken_[row] = true;
    lacking.push_back(index[i]);
  }
  for (const std::int64_t row : lacking) taken_[static_cast<std::size_t>(row)] = false;
  add_missing_noise("LazyTable::catch_up", lacking);
}

void LazyRows::release() {
  require_ready("LazyTable::release");
  if (released_) return;
  std::vector<std::int64_t> lacking;
  for (std::size_t row = 0; row < noised_.size(); ++row) {
    if (noised_[row] != steps()) lacking.push_back(static_cast<std::int64_t>(row));
  }
  add_missing_noise("LazyTable::release", lacking);
  weight_.unsafeGetTensorImpl()->bump_version();
  version_ = weight_._version();
  released_ = true;
}

void LazyRows::add_missing_noise(const char* function, const std::vector<std::int64_t>& rows) {
  std::vector<std::int64_t> noised_rows;
  std::vector<double> deviations;
  for (const std::int64_t row : rows) {
    std::int32_t& noised = noised_[static_cast<std::size_t>(row)];
    const double variance = variances_.back().minus(variances_[static_cast<std::size_t>(noised)]);
    if (variance > 0) {
      noised_rows.push_back(row);
      deviations.push_back(std::sqrt(variance));
    } else {
      noised = steps();
    }
  }
  if (noised_rows.empty()) return;
  fork_guard_.require_same_process(function);
  const c10::AutoGradMode no_grad(false);
  const c10::Device device = weight_.device();
  const kernels::RandomPosition position{kernels::Purpose::kLazyNoise, key_epoch_, draws_++,
                                         tensor_};
  const auto rows_in_all = static_cast<std::int64_t>(noised_rows.size());
  const at::Tensor all_rows = as_tensor(noised_rows).to(device);
  const at::Tensor all_deviations =
      at::from_blob(deviations.data(), {rows_in_all}, at::kDouble).to(device);
  draw_for_rows(
      rows_in_all, position, [&](std::int64_t first, std::int64_t count, const at::Tensor& draws) {
        add_scaled_rows(weight_, low_, all_rows.narrow(0, first, count),
                        all_deviations.narrow(0, first, count), draws);
        for (std::int64_t i = first; i < first + count; ++i) {
          noised_[static_cast<std::size_t>(noised_rows[static_cast<std::size_t>(i)])] = steps();
        }
      });
}

void LazyRows::step(double learning_rate) {
  if (!std::isfinite(learning_rate) || learning_rate < 0) {
    std::ostringstream text;
    text << "LazyTable::step: learning_rate = " << learning_rate << ", expected finite and >= 0";
    throw std::invalid_argument(text.str());
  }
  if (!gradient_.has_value()) {
    throw std::logic_error(
        "LazyTable::step: no gradient waits; call it once after every step of the engine");
  }
  require_own_weights("LazyTable::step");
  fork_guard_.require_same_process("LazyTable::step");
  const c10::AutoGradMode no_grad(false);
  const double deviation = learning_rate * (gradient_->standard_deviation / gradient_->divisor);
  if (!std::isfinite(variances_.back().plus(deviation * deviation).minus(PreciseSum()))) {
    std::ostringstream text;
    text << "LazyTable::step: learning_rate = " << learning_rate
         << " gives noise of infinite variance, expected a smaller one";
    throw std::invalid_argument(text.str());
  }
  variances_.push_back(variances_.back().plus(deviation * deviation));
  // The low bits of weights that somebody has replaced since the release.
  if (low_.defined() && released_ && weight_._version() != version_) low_.zero_();
  released_ = false;
  const Gradient gradient = std::move(*gradient_);
  gradient_.reset();
  version_ = weight_._version();
  const at::Tensor& rows = gradient.sums.rows;
  const at::Tensor& sums = gradient.sums.sums;
  if (rows.numel() == 0) return;
  const at::Tensor scales = at::empty({rows.numel()}, sums.options().dtype(at::kDouble));
  scales.fill_(-learning_rate);
  draw_for_rows(rows.numel(), gradient.position,
                [&](std::int64_t first, std::int64_t count, const at::Tensor& draws) {
                  draws.mul_(gradient.standard_deviation)
                      .add_(sums.narrow(0, first, count))
                      .div_(gradient.divisor);
                  add_scaled_rows(weight_, low_, rows.narrow(0, first, count),
                                  scales.narrow(0, first, count), draws);
                });
  weight_.unsafeGetTensorImpl()->bump_version();
  version_ = weight_._version();
  const at::Tensor on_host = rows.to(at::kCPU);
  const auto* const row = on_host.const_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < on_host.numel(); ++i) {
    noised_[static_cast<std::size_t>(row[i])] = steps();
  }
  // All of the storage, of which the sums may have taken the first rows alone.
  const std::int64_t width = weight_.size(1);
  const auto elements = static_cast<std::int64_t>(sums.storage().nbytes() / sums.itemsize());
  spare_ = at::empty({0}, sums.options()).set_(sums.storage(), 0, {elements / width, width});
}

void require_released(const char* function, const std::vector<at::Tensor>& weights) {
  for (const at::Tensor& weight : weights) {
    if (!Registry::instance().lacks_noise(weight)) continue;
    throw std::logic_error(std::string(function) +
                           ": a lazy table lacks noise of earlier steps; call LazyTable::release "
                           "first");
  }
}

}  // namespace velum::dpsgd::detail
