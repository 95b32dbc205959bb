#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "velum/dpsgd/audit/audited_engine.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"

// What the audits share: steps of an engine, and random choices that are not secret.

namespace velum::dpsgd::detail {

/// @throws std::invalid_argument naming `function`.
void check_model(std::string_view function, const AuditedModel& model);
/// The sampling rate in (0, 1], the noise multiplier finite and > 0.
void check_settings(std::string_view function, double sampling_rate, double noise_multiplier);
void check_at_least(std::string_view function, std::string_view name, std::int64_t value,
                    std::int64_t least);

/// Whose presence is protected: examples, or users with all their examples.
class Units {
 public:
  explicit Units(const AuditedModel& model);
  bool by_user() const { return !user_of_example_.empty(); }
  std::int64_t count() const { return static_cast<std::int64_t>(names_.size()); }
  /// An index, or the user as the caller named it.
  std::int64_t name(std::int64_t unit) const { return names_[static_cast<std::size_t>(unit)]; }
  /// "example" or "user".
  const char* word() const { return by_user() ? "user" : "example"; }
  /// In [0, count()).
  std::int64_t of(std::int64_t example) const;
  /// All examples of a unit, ascending.
  std::vector<std::int64_t> examples(std::int64_t unit) const;
  /// The units of a batch, ascending, each once.
  std::vector<std::int64_t> in(const std::vector<std::int64_t>& batch) const;

 private:
  std::vector<std::int64_t> user_of_example_;
  std::vector<std::int64_t> names_;  // ascending
};

// What the accounting takes for granted of a clipping, computed from its definition
// (docs/accounting.md) and not by the engine.

/// By how much a unit can move the sum of clipped gradients; of adaptive clipping, in the first
/// step.
double sensitivity_of(const Clipping& clipping);
/// Standard deviation of the noise on the sum over its sensitivity, for steps that are booked as
/// Gaussian mechanisms of `noise_multiplier`.
double sum_noise_multiplier_of(const Clipping& clipping, double noise_multiplier);

/// Examples of a step whose losses are multiplied by something: index of the example, factor. An
/// infinite one is a product that overflows, so that a gradient is infinite where it was not zero
/// and other examples do not meet a number that is none: 0 times NaN would be NaN.
using LossFactors = std::vector<std::pair<std::int64_t, double>>;

/// The largest power of two of the tensor's type, float32 or float64; its square is infinite.
double largest_power(const at::Tensor& like);

/// Gives a batch to the engine, in parts, none of which divides a user. Every loss is multiplied by
/// its factor, 1 if it has none, so that all graphs are alike.
void accumulate_batch(AuditedEngine& engine, const AuditedModel& model,
                      const std::vector<std::int64_t>& batch, std::int64_t physical_batch_size,
                      const LossFactors& factors = {});

/// `.grad` of every parameter times `scale`, as one vector [P] in float64 on the CPU.
/// @throws std::logic_error if a parameter has none: the engine did not finish its step.
at::Tensor gradient_vector(const std::vector<at::Tensor>& parameters, double scale);

/// L2 norm; NaN if an element is.
double norm(const at::Tensor& vector);

/// parameter -= learning_rate * parameter.grad, for all.
void sgd_step(const std::vector<at::Tensor>& parameters, double learning_rate);

/// Unit roundoff of the coarsest type among the parameters.
double unit_roundoff(const std::vector<at::Tensor>& parameters);

/// Uniform choices from one key, which is wiped at the end.
class Choices {
 public:
  explicit Choices(const kernels::RandomKey& key) : key_(key) {}
  Choices(const Choices&) = delete;
  Choices& operator=(const Choices&) = delete;
  ~Choices() { kernels::wipe(key_); }
  /// Uniform in [0, bound), bound >= 1.
  std::int64_t below(std::int64_t bound);
  bool coin() { return below(2) == 1; }
  /// A new key.
  kernels::RandomKey key();

 private:
  kernels::RandomPosition next();

  kernels::RandomKey key_;
  std::uint64_t step_ = 0;
};

}  // namespace velum::dpsgd::detail
