// Layers of LSTMs that oneDNN has computed as a whole: what the tape computes of them again, on
// every SIMD target, against autograd of the written-out recurrence in float64; and what flows on
// from them to what is below.
#include "tape/lstm_layer.h"

#include <ATen/record_function.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"
#include "support/simd_targets.h"
#include "tape/rules.h"
#include "tape/tape.h"

namespace velum::testing {
namespace {

using dpsgd::detail::lstm_first_hidden_gradient;
using dpsgd::detail::lstm_gate_gradients;
using dpsgd::detail::lstm_input_gradient;
using dpsgd::detail::LstmLayer;
using dpsgd::detail::LstmLayerGates;
using torch::Tensor;

struct Shape {
  std::string name;
  std::int64_t steps, rows, inputs, width;
  bool reverse = false, bias = true;
  bool outputs = true, last = true;  // what flows in: of every step, of the last states
};
void PrintTo(const Shape& shape, std::ostream* os) { *os << shape.name; }

const std::vector<Shape> kShapes{
    {"OneUnit", 3, 2, 1, 1},
    {"OneStep", 1, 5, 3, 4},
    {"Vectors", 4, 6, 7, 16, false, true, true, false},
    {"Tails", 5, 3, 9, 33, true},
    {"ManyRows", 3, 70, 4, 17, true, false},
    {"LastStatesAlone", 4, 3, 5, 31, false, true, false, true},
    {"LastStatesAloneReversed", 4, 3, 5, 31, true, true, false, true},
};

/// A layer, what flows into it, and, by autograd in float64, what flows out.
struct Oracle {
  explicit Oracle(const Shape& shape) {
    torch::manual_seed(3);
    const auto random = [](at::IntArrayRef sizes) { return torch::randn(sizes).mul_(0.7); };
    layer.input = random({shape.steps, shape.rows, shape.inputs});
    layer.input_weight = random({4 * shape.width, shape.inputs});
    layer.state_weight = random({4 * shape.width, shape.width}).div_(std::sqrt(shape.width));
    if (shape.bias) {
      layer.input_bias = random({4 * shape.width});
      layer.state_bias = random({4 * shape.width});
    }
    layer.first_hidden = random({shape.rows, shape.width});
    layer.first_cell = random({shape.rows, shape.width});
    layer.reverse = shape.reverse;
    if (shape.outputs) output_grads = random({shape.steps, shape.rows, shape.width});
    if (shape.last) {
      hidden_grads = random({shape.rows, shape.width});
      cell_grads = random({shape.rows, shape.width});
    }

    const auto leaf = [](const Tensor& x) { return x.to(torch::kDouble).requires_grad_(); };
    const Tensor input = leaf(layer.input), first_hidden = leaf(layer.first_hidden),
                 first_cell = leaf(layer.first_cell);
    const Tensor input_weight = layer.input_weight.to(torch::kDouble),
                 state_weight = layer.state_weight.to(torch::kDouble);
    std::vector<Tensor> gates(static_cast<std::size_t>(shape.steps)), outputs = gates;
    hidden = torch::empty({shape.steps, shape.rows, shape.width}, torch::kDouble);
    Tensor h = first_hidden, c = first_cell;
    for (std::int64_t step = 0; step < shape.steps; ++step) {
      const std::int64_t time = shape.reverse ? shape.steps - 1 - step : step;
      hidden[time].copy_(h.detach());
      Tensor z = input[time].matmul(input_weight.t()) + h.matmul(state_weight.t());
      if (shape.bias) z = z + layer.input_bias + layer.state_bias;
      const std::vector<Tensor> parts = z.chunk(4, 1);
      c = parts[1].sigmoid() * c + parts[0].sigmoid() * parts[2].tanh();
      h = parts[3].sigmoid() * c.tanh();
      gates[static_cast<std::size_t>(time)] = z;
      outputs[static_cast<std::size_t>(time)] = h;
    }
    const Tensor output = torch::stack(outputs);
    layer.output = output.detach().to(torch::kFloat);
    Tensor total = torch::zeros({}, torch::kDouble);
    if (shape.outputs) total = total + (output * output_grads).sum();
    if (shape.last) total = total + (h * hidden_grads).sum() + (c * cell_grads).sum();
    std::vector<Tensor> wanted = gates;
    wanted.insert(wanted.end(), {input, first_hidden, first_cell});
    std::vector<Tensor> found = torch::autograd::grad({total}, wanted);
    to_first_cell = found.back();
    to_first_hidden = found[found.size() - 2];
    to_input = found[found.size() - 3];
    found.resize(gates.size());
    to_gates = torch::stack(found);
    // Every element passes all steps forward and back, with sums over inputs and states in each.
    roundings = static_cast<double>(shape.steps * (shape.inputs + 5 * shape.width + 32)) * 0x1p-24;
  }
  LstmLayerGates computed() const {
    return lstm_gate_gradients(layer, output_grads, hidden_grads, cell_grads);
  }

  LstmLayer layer;
  Tensor output_grads, hidden_grads, cell_grads;
  Tensor hidden, to_gates, to_input, to_first_hidden, to_first_cell;
  double roundings = 0;
};

void expect_within(const Tensor& got, const Tensor& want, double relative) {
  ASSERT_EQ(got.sizes(), want.sizes());
  EXPECT_LE((got.to(torch::kDouble) - want).norm().item<double>(),
            relative * want.norm().item<double>());
}

class LstmGates : public ::testing::TestWithParam<Shape> {};

TEST_P(LstmGates, AreThoseOfTheWrittenOutRecurrence) {
  const Oracle oracle(GetParam());
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    const LstmLayerGates gates = oracle.computed();
    expect_within(gates.hidden, oracle.hidden, oracle.roundings);
    expect_within(gates.grads, oracle.to_gates, oracle.roundings);
    expect_within(gates.cell_grads, oracle.to_first_cell, oracle.roundings);
    expect_within(lstm_input_gradient(gates.grads, oracle.layer.input_weight), oracle.to_input,
                  oracle.roundings);
    expect_within(
        lstm_first_hidden_gradient(gates.grads, oracle.layer.state_weight, oracle.layer.reverse),
        oracle.to_first_hidden, oracle.roundings);
  });
}

TEST_P(LstmGates, OutputGradientsMayHaveAnyStrides) {
  Oracle oracle(GetParam());
  if (!oracle.output_grads.defined()) GTEST_SKIP() << "nothing flows into the outputs";
  const Tensor before = oracle.computed().grads;
  for (const std::vector<std::int64_t>& order :
       std::vector<std::vector<std::int64_t>>{{1, 0, 2}, {2, 1, 0}, {0, 2, 1}}) {
    // The same values, stored in another order; these orders are their own inverses.
    oracle.output_grads = oracle.output_grads.permute(order).contiguous().permute(order);
    EXPECT_TRUE(oracle.computed().grads.equal(before));
  }
}

TEST_P(LstmGates, ARowThatIsNotANumberSpoilsNoOther) {
  Oracle oracle(GetParam());
  const std::int64_t rows = oracle.layer.input.size(1);
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    Oracle spoilt = oracle;
    spoilt.layer.input = oracle.layer.input.clone();
    spoilt.layer.input.select(1, 1).fill_(std::numeric_limits<float>::quiet_NaN());
    const Tensor clean = oracle.computed().grads, grads = spoilt.computed().grads;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (row == 1) {
        EXPECT_TRUE(grads.select(1, row).isnan().all().item<bool>());
      } else {
        EXPECT_TRUE(grads.select(1, row).equal(clean.select(1, row))) << "row " << row;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, LstmGates, ::testing::ValuesIn(kShapes),
                         [](const auto& shape) { return shape.param.name; });

TEST(LstmGatesOfLargeSums, AreFiniteAndSaturated) {
  // Of one unit, whose gates get what the inputs say.
  for (const float size : {20.0F, 87.0F, 88.0F, 89.0F, 104.0F, 1e4F, 3e38F}) {
    for_each_simd_target(kernels::Backend::kCpu, [&] {
      LstmLayer layer;
      layer.input = torch::tensor({size, -size}).view({1, 2, 1});
      layer.input_weight = torch::ones({4, 1});
      layer.state_weight = torch::zeros({4, 1});
      layer.first_hidden = torch::zeros({2, 1});
      layer.first_cell = torch::full({2, 1}, 0.5F);
      layer.output = torch::zeros({1, 2, 1});
      const LstmLayerGates gates =
          lstm_gate_gradients(layer, torch::ones({1, 2, 1}), {}, torch::ones({2, 1}));
      EXPECT_TRUE(gates.grads.isfinite().all().item<bool>()) << size;
      // Above, the cell passes on what flows into it, and of the output's 1 the slope of tanh 1.5;
      // below, nothing.
      const double slope = 1 - std::pow(std::tanh(1.5), 2);
      EXPECT_NEAR(gates.cell_grads[0].item<double>(), 1 + slope, 16 * 0x1p-24) << size;
      EXPECT_LE(gates.cell_grads[1].item<double>(), 2 * std::exp(-std::min(size, 87.0F))) << size;
    });
  }
}

// Networks

Tensor parameter(at::IntArrayRef sizes, at::ScalarType type) {
  return torch::randn(sizes, type).mul_(0.5).requires_grad_();
}

std::vector<ProblemFactory> networks() {
  using torch::nn::LSTM;
  using torch::nn::LSTMOptions;
  std::vector<ProblemFactory> all;
  const auto inputs = [](at::IntArrayRef sizes) { return torch::randn(sizes); };
  all.push_back({"TwoBidirectionalLayersOverAnEmbedding", [](at::ScalarType t) {
                   LSTM lstm(LSTMOptions(6, 5).num_layers(2).bidirectional(true).batch_first(true));
                   lstm->to(t);
                   const Tensor table = parameter({11, 6}, t);
                   std::vector<Tensor> parameters = lstm->parameters();
                   parameters.push_back(table);
                   return Problem{parameters,
                                  [=](const Tensor& x) mutable {
                                    return reduce_to_losses(
                                        std::get<0>(lstm->forward(torch::embedding(table, x))));
                                  },
                                  torch::randint(11, {7, 4})};
                 }});
  all.push_back({"BesideItsInputTimeMajor", [inputs](at::ScalarType t) {
                   LSTM lstm(LSTMOptions(6, 6).bias(false));
                   lstm->to(t);
                   const Tensor weight = parameter({6, 3}, t);
                   std::vector<Tensor> parameters = lstm->parameters();
                   parameters.push_back(weight);
                   return Problem{parameters,
                                  [=](const Tensor& x) mutable {
                                    const Tensor below =
                                        torch::linear(x.to(t), weight).transpose(0, 1);
                                    const Tensor out = std::get<0>(lstm->forward(below)) + below;
                                    return reduce_to_losses(out.transpose(0, 1));
                                  },
                                  inputs({5, 4, 3})};
                 }});
  all.push_back(
      {"LearntFirstStatesSeenByTheLast", [inputs](at::ScalarType t) {
         LSTM lstm(LSTMOptions(3, 4).batch_first(true));
         lstm->to(t);
         const Tensor hidden = parameter({1, 1, 4}, t), cell = parameter({1, 1, 4}, t);
         std::vector<Tensor> parameters = lstm->parameters();
         parameters.insert(parameters.end(), {hidden, cell});
         return Problem{
             parameters,
             [=](const Tensor& x) mutable {
               const auto start = [&](const Tensor& state) {
                 return state.expand({1, x.size(0), 4}).contiguous();
               };
               const auto last =
                   std::get<1>(lstm->forward(x.to(t), std::make_tuple(start(hidden), start(cell))));
               return reduce_to_losses(torch::cat({std::get<0>(last)[0], std::get<1>(last)[0]}, 1));
             },
             inputs({5, 4, 3})};
       }});
  all.push_back(
      {"SeveralSequencesASample", [inputs](at::ScalarType t) {
         LSTM lstm(LSTMOptions(5, 4).batch_first(true));
         lstm->to(t);
         const Tensor weight = parameter({5, 3}, t);
         std::vector<Tensor> parameters = lstm->parameters();
         parameters.push_back(weight);
         return Problem{
             parameters,
             [=](const Tensor& x) mutable {
               const Tensor below = torch::linear(x.to(t), weight).flatten(0, 1);
               return reduce_to_losses(
                   std::get<0>(lstm->forward(below)).unflatten(0, {x.size(0), x.size(1)}));
             },
             inputs({4, 2, 3, 3})};
       }});
  return all;
}

/// How often oneDNN's own backward of a layer has been given something, as long as this lives.
class LayerBackwards {
 public:
  LayerBackwards() {
    count_ = 0;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&LayerBackwards::see)
                                             .needsInputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~LayerBackwards() { at::removeCallback(handle_); }
  LayerBackwards(const LayerBackwards&) = delete;
  LayerBackwards& operator=(const LayerBackwards&) = delete;
  static std::int64_t count() { return count_; }

 private:
  static std::unique_ptr<at::ObserverContext> see(const at::RecordFunction& function) {
    constexpr std::size_t kFirstGrad = 10, kGrads = 3;
    if (std::string_view(function.name()) != "aten::mkldnn_rnn_layer_backward") return nullptr;
    for (const c10::IValue& grad : function.inputs().slice(kFirstGrad, kGrads)) {
      if (!grad.isNone() && grad.toTensor().defined()) {
        ++count_;
        break;
      }
    }
    return nullptr;
  }
  static thread_local std::int64_t count_;
  at::CallbackHandle handle_{};
};
thread_local std::int64_t LayerBackwards::count_ = 0;

class LstmNetworks : public ::testing::TestWithParam<ProblemFactory> {};

TEST_P(LstmNetworks, GradientsBelowAreThoseOfSingleSamplesInEveryPass) {
  const auto [single, twin] = single_and_double(GetParam());
  const auto want = reference::single_sample_gradients(twin.losses(twin.inputs), twin.parameters);
  dpsgd::detail::Tape tape(single.parameters, /*allow_slow_rules=*/false);
  for (int pass = 0; pass < 6; ++pass) {
    SCOPED_TRACE("pass " + std::to_string(pass));
    dpsgd::detail::BatchGradients gradients =
        tape.differentiate(single.losses(single.inputs), /*release=*/true);
    EXPECT_EQ(tape.proofs(), 1);
    const Tensor norms = gradients.exact_squared_norms().sqrt();
    for (std::size_t b = 0; b < want.size(); ++b) {
      const auto sample = static_cast<std::int64_t>(b);
      const double norm = reference::norm(want[b]);
      EXPECT_NEAR(norms[sample].item<double>(), norm, 1e-5 * norm);
      for (std::size_t p = 0; p < single.parameters.size(); ++p) {
        const Tensor got = gradients.parameter(p).per_sample(sample, sample + 1)[0];
        EXPECT_LE((got.to(torch::kDouble) - want[b][p]).norm().item<double>(), 1e-5 * norm)
            << "sample " << b << ", parameter " << p;
      }
    }
  }
}

TEST_P(LstmNetworks, TheLayersOwnBackwardRunsInTheProofAlone) {
  const Problem problem = single_and_double(GetParam()).first;
  dpsgd::detail::Tape tape(problem.parameters, /*allow_slow_rules=*/false);
  {
    const LayerBackwards backwards;
    tape.differentiate(problem.losses(problem.inputs));
    EXPECT_GT(backwards.count(), 0);
  }
  for (int pass = 0; pass < 4; ++pass) {
    const LayerBackwards backwards;
    tape.differentiate(problem.losses(problem.inputs));
    EXPECT_EQ(backwards.count(), 0) << "pass " << pass;
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, LstmNetworks, ::testing::ValuesIn(networks()), ProblemName());

TEST(LstmInputGradients, AgreeWithTheLayersOwnBackwardOrAreRefused) {
  using dpsgd::detail::input_gradients_agree;
  torch::manual_seed(5);
  constexpr std::int64_t kSteps = 4, kBatch = 6, kInputs = 3, kWidth = 5;
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(kInputs, kWidth));
  const Tensor input = torch::randn({kSteps, kBatch, kInputs}).requires_grad_();
  const auto state = [] { return torch::randn({1, kBatch, kWidth}).requires_grad_(); };
  const Tensor output = std::get<0>(lstm->forward(input, std::make_tuple(state(), state())));
  dpsgd::detail::GraphNode node;
  node.function = output.grad_fn();
  while (node.function->name() != "MkldnnRnnLayerBackward0") {
    node.function = node.function->next_edge(0).function;
  }
  node.name = node.function->name();
  node.edges.resize(node.function->num_outputs());
  ASSERT_TRUE(dpsgd::detail::gives_input_gradients(node));

  const torch::NoGradGuard no_grad;
  const auto use = [&] {
    dpsgd::detail::NodeUse made;
    made.node = &node;
    torch::manual_seed(6);
    made.grads = {torch::randn({kSteps, kBatch, kWidth}), torch::Tensor(), torch::Tensor()};
    made.mappings.assign(3, {1, 1, kBatch, 1});
    return made;
  };
  const auto agree = [&](const std::vector<Tensor>& own) {
    dpsgd::detail::NodeUse fresh = use();
    return input_gradients_agree(fresh, own, 0x1p-24);
  };
  const std::vector<Tensor> own = (*node.function)(use().grads);
  EXPECT_EQ(agree(own), true);
  for (const std::size_t slot : {0, 5, 6}) {
    ASSERT_TRUE(own[slot].defined());
    std::vector<Tensor> other = own;
    other[slot] = own[slot].clone();
    other[slot].select(-2, 4).mul_(1.1);  // of one sample
    EXPECT_EQ(agree(other), false) << "slot " << slot;
    other[slot].select(-2, 4).fill_(std::numeric_limits<float>::infinity());
    EXPECT_EQ(agree(other), std::nullopt) << "slot " << slot;
  }
}

}  // namespace
}  // namespace velum::testing
