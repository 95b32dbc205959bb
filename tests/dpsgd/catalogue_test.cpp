// Every module of torch::nn in every usual way: exact, or refused by name. What holds is written
// into docs/layers.md; VELUM_UPDATE_DOCS=1 rewrites that table.
#include "dpsgd/support/catalogue.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include "dpsgd/single_sample_oracle.h"
#include "dpsgd/support/engine_step.h"
#include "reference/single_sample_gradients.h"

namespace velum::testing {
namespace {

/// The largest error over the parameters, |got - want| / |want| in L2. A parameter whose true sum
/// is exactly zero must be exactly zero.
double relative_error(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  double worst = 0;
  for (std::size_t p = 0; p < want.size(); ++p) {
    const double difference = (got[p].to(torch::kFloat64) - want[p]).norm().item<double>();
    const double length = want[p].norm().item<double>();
    if (!(difference <= 0)) worst = std::max(worst, length > 0 ? difference / length : INFINITY);
    if (std::isnan(difference)) return NAN;
  }
  return worst;
}

std::string refusal_of(const Problem& problem, bool allow_slow_rules) {
  try {
    clipped_sum_of_one_batch(problem.parameters, problem.losses(problem.inputs), 1.0,
                             allow_slow_rules);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

class EveryWay : public ::testing::TestWithParam<Way> {
 protected:
  static bool slow() { return GetParam().verdict == Verdict::kSlow; }
  static bool refused() { return GetParam().verdict == Verdict::kRefused; }
};

TEST_P(EveryWay, GradientsNormsAndClippedSumsAreThoseOfSingleSamples) {
  if (refused()) GTEST_SKIP() << "refused";
  const auto [single, twin] = single_and_double(GetParam().problem);
  const auto want = reference::single_sample_gradients(twin.losses(twin.inputs), twin.parameters);
  std::vector<double> norms;
  for (const auto& gradient : want) norms.push_back(reference::norm(gradient));

  // The module itself mixes no samples: the same gradients from forwards of one sample each.
  const std::vector<at::Tensor> alone =
      single_sample_gradients(twin.losses, twin.inputs, twin.parameters);
  const dpsgd::PerSampleOptions options{.allow_slow_rules = slow()};
  const std::vector<at::Tensor> got =
      dpsgd::per_sample_gradients(twin.losses(twin.inputs), twin.parameters, options);
  const at::Tensor got_norms =
      dpsgd::per_sample_norms(twin.losses(twin.inputs), twin.parameters, options);
  for (std::size_t b = 0; b < want.size(); ++b) {
    const auto sample = static_cast<std::int64_t>(b);
    // Relative to the sample's whole gradient: a parameter may cancel to nothing.
    for (std::size_t p = 0; p < want[b].size(); ++p) {
      EXPECT_LE((alone[p][sample] - want[b][p]).norm().item<double>(), 1e-11 * norms[b]);
      EXPECT_LE((got[p][sample] - want[b][p]).norm().item<double>(), 1e-12 * norms[b])
          << "sample " << b << ", parameter " << p;
    }
    EXPECT_NEAR(got_norms[sample].item<double>(), norms[b], 1e-12 * norms[b]);
  }

  // Clips nobody, about half, everybody.
  std::vector<double> sorted = norms;
  std::sort(sorted.begin(), sorted.end());
  for (const double clipping_norm :
       {2 * sorted.back() + 1, sorted[sorted.size() / 2] * 1.001 + 1e-6,
        0.1 * sorted.front() + 1e-3 * sorted.back() + 1e-6}) {
    const std::vector<at::Tensor> sum =
        reference::clipped_sum(want, twin.parameters, clipping_norm);
    const auto sum_of = [&](const Problem& problem) {
      return clipped_sum_of_one_batch(problem.parameters, problem.losses(problem.inputs),
                                      clipping_norm, slow());
    };
    EXPECT_LE(relative_error(sum_of(twin), sum), 1e-12) << "float64, clipping at " << clipping_norm;
    EXPECT_LE(relative_error(sum_of(single), sum), 1e-5)
        << "float32, clipping at " << clipping_norm;
  }
}

TEST_P(EveryWay, RefusalNamesTheOperationAndTheRemedy) {
  if (GetParam().verdict == Verdict::kExact) GTEST_SKIP() << "exact";
  const Problem problem = single_and_double(GetParam().problem).first;
  const std::string refusal = refusal_of(problem, /*allow_slow_rules=*/false);
  EXPECT_NE(refusal, "");
  for (const std::string& named : GetParam().named) {
    EXPECT_NE(refusal.find(named), std::string::npos) << named << "\n" << refusal;
  }
  if (refused()) {
    EXPECT_NE(refusal_of(problem, /*allow_slow_rules=*/true), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Catalogue, EveryWay, ::testing::ValuesIn(every_way()),
                         [](const auto& way) { return way.param.problem.name; });

// Completeness

/// The names of all modules that the installed torch declares.
std::set<std::string> declared_modules() {
  std::set<std::string> names;
  const std::regex macro(R"(^TORCH_MODULE\((\w+)\);)");
  const std::regex holder(R"(^class (\w+)\s*: public (torch::nn::)?ModuleHolder<)");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(VELUM_TORCH_MODULES)) {
    if (entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (std::regex_search(line, match, macro) || std::regex_search(line, match, holder)) {
        names.insert(match[1]);
      }
    }
  }
  return names;
}

TEST(Catalogue, ListsEveryModuleOfTheInstalledTorch) {
  std::set<std::string> listed;
  for (const auto& [name, module] : modules_without_parameters()) listed.insert(name);
  for (const Way& way : every_way()) listed.insert(way.module);
  const std::set<std::string> declared = declared_modules();
  EXPECT_GT(declared.size(), 100U);
  for (const std::string& name : declared) {
    EXPECT_TRUE(listed.contains(name)) << "torch::nn::" << name << " is not in the catalogue";
  }
}

TEST(Catalogue, ModulesThatAreLeftOutHaveNoParameters) {
  const std::set<std::string> declared = declared_modules();
  for (const auto& [name, module] : modules_without_parameters()) {
    EXPECT_TRUE(module->parameters().empty()) << name;
    EXPECT_TRUE(declared.contains(name)) << name;
  }
}

// The table

/// What takes each parameter, with the views before it: "AddmmBackward0 <- TBackward0".
std::vector<std::string> consumers(const Problem& problem) {
  using torch::autograd::Node;
  static const std::set<std::string> views{"TBackward0",
                                           "ViewBackward0",
                                           "TransposeBackward0",
                                           "PermuteBackward0",
                                           "SliceBackward0",
                                           "SplitBackward0",
                                           "SelectBackward0",
                                           "UnsqueezeBackward0",
                                           "CloneBackward0",
                                           "UnsafeViewBackward0",
                                           "SqueezeBackward1",
                                           "UnbindBackward0",
                                           "SplitWithSizesBackward0"};
  const at::Tensor losses = problem.losses(problem.inputs);
  std::map<const Node*, std::vector<const Node*>> users;
  std::vector<const Node*> stack{losses.grad_fn().get()};
  std::unordered_set<const Node*> seen{stack.front()};
  while (!stack.empty()) {
    const Node* node = stack.back();
    stack.pop_back();
    for (const auto& edge : node->next_edges()) {
      if (edge.function == nullptr) continue;
      users[edge.function.get()].push_back(node);
      if (seen.insert(edge.function.get()).second) stack.push_back(edge.function.get());
    }
  }
  std::vector<std::string> found;
  const std::function<void(const Node*, const std::string&)> follow =
      [&](const Node* node, const std::string& below) {
        for (const Node* user : users[node]) {
          const std::string text = user->name() + (below.empty() ? "" : " ← " + below);
          if (views.contains(user->name())) {
            follow(user, text);
          } else if (std::find(found.begin(), found.end(), text) == found.end()) {
            found.push_back(text);
          }
        }
      };
  for (const at::Tensor& parameter : problem.parameters) {
    follow(torch::autograd::impl::grad_accumulator(parameter).get(), "");
  }
  return found;
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) {
    text.insert(at, 1, '\\');
  }
  return text;
}

std::string table() {
  std::ostringstream text;
  text << R"(# Layers

What the tape makes of every module of `torch::nn` that has parameters, and of models made of them, in
each way of use. The catalogue test (`tests/dpsgd/catalogue_test.cpp`) writes this table and holds it:
norms, per-sample gradients and clipped sums against backwards of single samples, in float32 and float64.
A module of the installed torch that is missing here fails the test.

- **exact**: by a rule; costs no backward per sample.
- **exact, slow**: by the operation's own backward, once per sample, where `allow_slow_rules` is set; else
  refused by the operation's name.
- **refused**: an error that names the operation and the remedy.

Operations are those of torch 2.11 on the CPU in float32: what takes a parameter, and after the arrow the views
between. Whatever is not listed and has no rule is refused by name as well.

| Module | Way of use | Operations that take its parameters | Verdict | Remedy |
| --- | --- | --- | --- | --- |
)";
  for (const Way& way : every_way()) {
    torch::manual_seed(20);
    std::string operations;
    for (const std::string& one : consumers(way.problem.make(torch::kFloat32))) {
      operations += (operations.empty() ? "" : ", ") + one;
    }
    const char* verdict = way.verdict == Verdict::kExact  ? "exact"
                          : way.verdict == Verdict::kSlow ? "exact, slow"
                                                          : "**refused**";
    text << "| " << way.module << " | " << way.use << " | " << operations << " | " << verdict
         << " | " << cell(way.remedy) << " |\n";
  }
  text << "\nModules without parameters:";
  for (const auto& [name, module] : modules_without_parameters()) text << ' ' << name;
  text << ".\n";
  return text.str();
}

TEST(Catalogue, TheTableInTheDocumentationIsCurrent) {
  const std::string current = table();
  if (std::getenv("VELUM_UPDATE_DOCS") != nullptr) {
    std::ofstream(VELUM_LAYERS_TABLE, std::ios::binary) << current;
  }
  std::ifstream file(VELUM_LAYERS_TABLE, std::ios::binary);
  std::ostringstream committed;
  committed << file.rdbuf();
  EXPECT_TRUE(committed.str() == current)
      << "docs/layers.md is stale: run this test with VELUM_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace velum::testing
