#include "explain_command.h"

#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>
#include <torch/types.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/explain.h"
#include "velum/dpsgd/training/models.h"
#include "velum/dpsgd/training/training_plan.h"

namespace velum::cli {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  std::string model = "cnn";
  std::int64_t batch = 256;
  std::int64_t features = 3969;  // scattering of 28 x 28 at scale 2: 81 channels of 7 x 7
  int threads = 0;
  std::vector<std::string> methods;
  bool json = false;
};

/// "2=gram" as {2, kGram}.
std::pair<std::size_t, dpsgd::GradientMethod> override_of(const std::string& text) {
  const std::size_t sign = text.find('=');
  if (sign == std::string::npos || sign == 0 || text.find_first_not_of("0123456789") != sign ||
      sign > 9) {
    throw std::invalid_argument("--method = " + text +
                                ", expected the number of a parameter, = and a method: 2=gram");
  }
  return {std::stoul(text.substr(0, sign)), dpsgd::gradient_method(text.substr(sign + 1))};
}

int explain(const Arguments& arguments) {
  const auto positive = [](const char* option, std::int64_t value) {
    if (value >= 1 && value <= 1'000'000) return;
    throw std::invalid_argument(std::string(option) + " = " + std::to_string(value) +
                                ", expected 1 to 1000000");
  };
  positive("--batch-size", arguments.batch);
  positive("--features", arguments.features);
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  const dpsgd::ModelKind kind = dpsgd::model_kind_from_string(arguments.model);
  dpsgd::PerSampleOptions options;
  for (const std::string& text : arguments.methods) {
    options.method_overrides.insert_or_assign(override_of(text).first, override_of(text).second);
  }

  torch::nn::Sequential model = dpsgd::make_model(kind, arguments.features, /*seed=*/1);
  const bool on_features = kind == dpsgd::ModelKind::kScatterLinear;
  // Of the shapes of the data only; no data, no secret, nothing that is released.
  const at::Tensor made_up_inputs = on_features
                                        ? torch::randn({arguments.batch, arguments.features})
                                        : torch::randn({arguments.batch, 1, 28, 28});
  namespace F = torch::nn::functional;
  const at::Tensor losses =
      F::cross_entropy(model->forward(made_up_inputs), torch::randint(10, {arguments.batch}),
                       F::CrossEntropyFuncOptions().reduction(torch::kNone));
  const auto rows = dpsgd::explain(losses, model->parameters(), options);
  if (!arguments.json) {
    std::printf(
        "%s, batch of %lld, %d threads: norms and weighted sum of per-sample gradients\n\n%s",
        arguments.model.c_str(), static_cast<long long>(arguments.batch), at::get_num_threads(),
        dpsgd::to_table(rows).c_str());
    return 0;
  }
  ordered_json all = ordered_json::array();
  for (const dpsgd::UseExplanation& row : rows) {
    ordered_json methods = ordered_json::array();
    ordered_json by_method = ordered_json::object();
    for (std::size_t m = 0; m < row.methods.size(); ++m) {
      methods.push_back(to_text(row.methods[m]));
      const std::optional<double>& seconds = row.seconds_by_method[m];
      by_method[to_text(row.methods[m])] =
          seconds.has_value() ? ordered_json(*seconds) : ordered_json(nullptr);
    }
    all.push_back({{"parameter", row.parameter},
                   {"sizes", row.parameter_sizes},
                   {"operation", row.operation},
                   {"use", row.shape},
                   {"method", to_text(row.method)},
                   {"methods", std::move(methods)},
                   {"flops", row.flops},
                   {"bytes", row.bytes},
                   {"seconds", row.seconds ? ordered_json(*row.seconds) : ordered_json(nullptr)},
                   {"seconds_by_method", std::move(by_method)}});
  }
  std::printf("%s\n", ordered_json{{"model", arguments.model},
                                   {"batch_size", arguments.batch},
                                   {"threads", at::get_num_threads()},
                                   {"cost_model", dpsgd::cost_model().source},
                                   {"uses", std::move(all)}}
                          .dump(2)
                          .c_str());
  return 0;
}

}  // namespace

void add_explain_command(CLI::App& program, int* exit_code) {
  auto shared = std::make_shared<Arguments>();
  Arguments& arguments = *shared;
  CLI::App* command = program.add_subcommand(
      "explain", "Show how the per-sample gradients of a model are taken, and at what cost.");
  command->footer(
      "Examples:\n"
      "  velum explain --model cnn --batch-size 256\n"
      "  velum explain --model cnn --method 2=tiles --json\n"
      "Predicted by a model of this machine that is measured at first use and kept in\n"
      "$XDG_CACHE_HOME/velum (or ~/.cache/velum); VELUM_COST_MODEL=default takes fixed figures\n"
      "instead. Touches no data. Exit status: 0 done; 1 failed; 2 bad usage.");
  command->add_option("--model", arguments.model, "scatter-linear, cnn or mlp")
      ->capture_default_str();
  command->add_option("--batch-size", arguments.batch, "samples in one backward pass")
      ->capture_default_str();
  command->add_option("--features", arguments.features, "inputs of scatter-linear")
      ->capture_default_str();
  command->add_option("--threads", arguments.threads, "of torch; default: as many as it takes");
  command->add_option("--method", arguments.methods,
                      "number of a parameter = kept, tiles or gram, in place of the cheapest; may "
                      "be repeated");
  command->add_flag("--json", arguments.json, "machine-readable");
  command->callback([shared, exit_code] { *exit_code = explain(*shared); });
}

}  // namespace velum::cli
