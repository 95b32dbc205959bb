#include "clipping_options.h"

namespace velum::cli {

std::vector<CLI::Option*> add_clipping_options(CLI::App& command, const std::string& group,
                                               dpsgd::TrainingOptions& training,
                                               std::string& kind) {
  std::vector<CLI::Option*> options;
  const auto add = [&](auto& value, const char* name, const char* text) {
    options.push_back(command.add_option(name, value, text)->group(group));
    return options.back();
  };
  add(kind, "--clipping",
      "flat; per-layer: equal shares of the norm; automatic: every gradient brought near the norm; "
      "adaptive: the norm follows a quantile")
      ->type_name("NAME")
      ->capture_default_str();
  add(training.clipping_norm, "--clipping-norm",
      "bound on the gradient of each example, or user; of adaptive clipping the first one");
  add(training.clipping_stability, "--clipping-stability",
      "of automatic clipping: what is added to each norm");
  add(training.clipping_quantile, "--clipping-quantile",
      "of adaptive clipping: share of the gradients that stay as they are");
  add(training.clipping_rate, "--clipping-rate", "of adaptive clipping: how fast the norm follows");
  add(training.clipping_count_noise, "--clipping-count-noise",
      "of adaptive clipping: standard deviation of the noise on the count of such gradients; part "
      "of the same epsilon");
  return options;
}

}  // namespace velum::cli
