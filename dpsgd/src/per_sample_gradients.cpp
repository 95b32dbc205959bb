#include "velum/dpsgd/per_sample_gradients.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <stdexcept>

#include "tape/arithmetic.h"
#include "tape/tape.h"
#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/explain.h"

namespace velum::dpsgd {
namespace {

/// The tape's parameters must be the caller's, one for one: results are returned by position.
std::vector<at::Tensor> exactly(const char* function, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> tracked = detail::check_parameters(function, parameters);
  if (tracked.size() != parameters.size()) {
    throw std::invalid_argument(std::string(function) + ": parameters has " +
                                std::to_string(parameters.size()) + " tensors of which " +
                                std::to_string(tracked.size()) +
                                " are different ones that require grad, expected all");
  }
  return tracked;
}

}  // namespace

std::vector<at::Tensor> per_sample_gradients(const at::Tensor& losses,
                                             const std::vector<at::Tensor>& parameters,
                                             const PerSampleOptions& options) {
  detail::check_losses("per_sample_gradients", losses);
  const std::vector<at::Tensor> tracked = exactly("per_sample_gradients", parameters);
  const c10::AutoGradMode no_grad(false);
  const detail::AutocastOff no_autocast;
  std::vector<at::Tensor> result;
  if (losses.numel() == 0) {
    for (const at::Tensor& parameter : tracked) {
      std::vector<std::int64_t> sizes{0};
      sizes.insert(sizes.end(), parameter.sizes().begin(), parameter.sizes().end());
      result.push_back(at::zeros(sizes, detail::math_options(parameter)));
    }
    return result;
  }
  detail::Tape tape(tracked, options.allow_slow_rules, {}, options.method_overrides);
  detail::BatchGradients gradients = tape.differentiate(losses);
  for (std::size_t i = 0; i < tracked.size(); ++i) {
    result.push_back(gradients.parameter(i).per_sample(0, gradients.batch()).contiguous());
  }
  return result;
}

at::Tensor per_sample_norms(const at::Tensor& losses, const std::vector<at::Tensor>& parameters,
                            const PerSampleOptions& options) {
  detail::check_losses("per_sample_norms", losses);
  const std::vector<at::Tensor> tracked = exactly("per_sample_norms", parameters);
  const c10::AutoGradMode no_grad(false);
  const detail::AutocastOff no_autocast;
  if (losses.numel() == 0) return at::zeros({0}, at::TensorOptions(at::kDouble));
  detail::Tape tape(tracked, options.allow_slow_rules, {}, options.method_overrides);
  detail::BatchGradients gradients = tape.differentiate(losses);
  return gradients.exact_squared_norms().sqrt().to(at::kCPU);
}

std::vector<UseExplanation> explain(const at::Tensor& losses,
                                    const std::vector<at::Tensor>& parameters,
                                    const PerSampleOptions& options) {
  detail::check_losses("explain", losses);
  const std::vector<at::Tensor> tracked = exactly("explain", parameters);
  if (losses.numel() == 0) {
    throw std::invalid_argument("explain: losses is empty, expected one sample at least");
  }
  const c10::AutoGradMode no_grad(false);
  const detail::AutocastOff no_autocast;
  detail::Tape tape(tracked, options.allow_slow_rules, {}, options.method_overrides);
  detail::BatchGradients gradients = tape.differentiate(losses);
  std::vector<UseExplanation> rows;
  for (std::size_t i = 0; i < tracked.size(); ++i) {
    for (const detail::ParameterGradient::Use& use : gradients.parameter(i).uses()) {
      const detail::GradientCost cost = use.operand->cost();
      rows.push_back({i,
                      tracked[i].sizes().vec(),
                      use.operation,
                      use.operand->shape(),
                      use.operand->method(),
                      use.operand->methods(),
                      cost.flops,
                      cost.bytes,
                      cost.seconds,
                      {}});
      for (const GradientMethod method : rows.back().methods) {
        rows.back().seconds_by_method.push_back(use.operand->cost_of(method).seconds);
      }
    }
  }
  return rows;
}

std::string to_table(const std::vector<UseExplanation>& rows) {
  std::vector<std::vector<std::string>> cells{
      {"parameter", "operation", "use", "method", "GFLOP", "MB", "predicted ms", "others"}};
  const auto number = [](double value, int digits) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
  };
  double flops = 0, bytes = 0, seconds = 0;
  for (const UseExplanation& row : rows) {
    flops += row.flops;
    bytes += row.bytes;
    seconds += row.seconds.value_or(0);
    cells.push_back({std::to_string(row.parameter) + " " + detail::to_text(row.parameter_sizes),
                     row.operation, row.shape, to_text(row.method), number(row.flops * 1e-9, 3),
                     number(row.bytes * 1e-6, 2),
                     row.seconds.has_value() ? number(*row.seconds * 1e3, 3) : "unknown", ""});
    for (std::size_t m = 0; m < row.methods.size(); ++m) {
      if (row.methods[m] == row.method || !row.seconds_by_method[m].has_value()) continue;
      std::string& others = cells.back().back();
      others += (others.empty() ? "" : ", ") + to_text(row.methods[m]) + " " +
                number(*row.seconds_by_method[m] * 1e3, 3);
    }
  }
  cells.push_back({"all", "", "", "", number(flops * 1e-9, 3), number(bytes * 1e-6, 2),
                   number(seconds * 1e3, 3), ""});
  constexpr std::size_t kFirstNumber = 4, kLastNumber = 6;  // to the right, text to the left
  std::vector<std::size_t> widths(cells.front().size(), 0);
  for (const auto& row : cells) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string table;
  for (const auto& row : cells) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      line += (c == 0 ? "" : "  ") +
              (c < kFirstNumber || c > kLastNumber ? row[c] + space : space + row[c]);
    }
    table += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return table + "cost model: " + cost_model().source + "\n";
}

}  // namespace velum::dpsgd
