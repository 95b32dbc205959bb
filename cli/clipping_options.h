#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "velum/dpsgd/training/training_plan.h"

namespace velum::cli {

/// --clipping and what belongs to each kind, into `training`, but for the kind, whose name goes
/// into `kind`.
std::vector<CLI::Option*> add_clipping_options(CLI::App& command, const std::string& group,
                                               dpsgd::TrainingOptions& training, std::string& kind);

}  // namespace velum::cli
