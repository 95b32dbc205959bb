#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/per_sample_gradients.h"

namespace velum::dpsgd {

/// What the tape does with each use of each parameter in a batch, and what that should cost.
struct UseExplanation {
  std::size_t parameter = 0;                  ///< index among the parameters
  std::vector<std::int64_t> parameter_sizes;  ///< of the whole parameter
  std::string operation;                      ///< the autograd node; "and 27 more" if it is joined
  std::string shape;                          ///< of the use, per sample: "64 steps, 128 -> 512"
  GradientMethod method = GradientMethod::kAtHand;
  std::vector<GradientMethod> methods;  ///< that could be chosen instead (`method_overrides`)
  double flops = 0;                     ///< of norms and weighted sum, the whole batch
  double bytes = 0;                     ///< read and written for them
  std::optional<double> seconds;        ///< predicted; nothing for backwards of unknown cost
  std::vector<std::optional<double>> seconds_by_method;  ///< the same for each of `methods`
};

/// One row for each parameter and use, in the order of the parameters; uses that are computed
/// together are one row. Runs the backward pass and the proof, as the first step would; keeps the
/// graph, changes no parameter and no `.grad`.
///
/// @param losses      [batch], one loss per sample, with its graph; batch >= 1.
/// @param parameters  as of `per_sample_norms`.
/// @throws as `per_sample_norms`; std::invalid_argument if losses is empty.
std::vector<UseExplanation> explain(const at::Tensor& losses,
                                    const std::vector<at::Tensor>& parameters,
                                    const PerSampleOptions& options = {});

/// The rows as a table for people, with a line for the sum and one for the cost model's source.
std::string to_table(const std::vector<UseExplanation>& rows);

}  // namespace velum::dpsgd
