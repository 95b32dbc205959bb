#pragma once

#include <torch/torch.h>

#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "dpsgd/support/problems.h"

namespace velum::testing {

/// What the tape makes of a way of using a module.
enum class Verdict {
  kExact,    ///< by a rule
  kSlow,     ///< exact by the operations' own backwards, if `allow_slow_rules` is set
  kRefused,  ///< refused by name, with a remedy
};

/// A module of torch::nn, or something that holds parameters without being one, in one way of use.
struct Way {
  std::string module;
  std::string use;
  Verdict verdict = Verdict::kExact;
  std::vector<std::string> named;  ///< what the refusal must name, without `allow_slow_rules`
  std::string remedy;              ///< for the table
  ProblemFactory problem;          ///< its name is `module` and a number
};
inline void PrintTo(const Way& way, std::ostream* os) { *os << way.module << ": " << way.use; }

/// Every module of torch::nn that has parameters, in the usual ways, and models made of them.
std::vector<Way> every_way();

/// Every module of torch::nn that has none, by name.
std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>>
modules_without_parameters();

}  // namespace velum::testing
