#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace velum::testing {

/// A model, its trainable parameters, a batch, and per-sample losses as a user would write them.
/// The batch is always the first dimension of `inputs`; what the model does inside is its own.
struct Problem {
  std::vector<at::Tensor> parameters;
  std::function<at::Tensor(const at::Tensor& inputs)> losses;  ///< [B, ...] -> [B]
  at::Tensor inputs;
};

/// Makes the problem with parameters of a floating-point type.
struct ProblemFactory {
  std::string name;
  std::function<Problem(at::ScalarType)> make;
};
inline void PrintTo(const ProblemFactory& factory, std::ostream* os) { *os << factory.name; }
struct ProblemName {
  template <typename Info>
  std::string operator()(const Info& info) const {
    return info.param.name;
  }
};

/// The float32 problem and its float64 twin with equal values.
inline std::pair<Problem, Problem> single_and_double(const ProblemFactory& factory) {
  torch::manual_seed(20);
  Problem single = factory.make(torch::kFloat32);
  torch::manual_seed(21);  // whatever the twin draws is overwritten
  Problem twin = factory.make(torch::kFloat64);
  {
    const torch::NoGradGuard no_grad;
    for (std::size_t p = 0; p < single.parameters.size(); ++p) {
      twin.parameters[p].copy_(single.parameters[p]);
    }
  }
  twin.inputs =
      single.inputs.is_floating_point() ? single.inputs.to(torch::kFloat64) : single.inputs.clone();
  return {std::move(single), std::move(twin)};
}

/// A scalar per sample that depends on every output, with gradients of different sizes per sample.
inline at::Tensor reduce_to_losses(const at::Tensor& outputs) {
  const at::Tensor flat = outputs.flatten(1);
  return 0.5 * flat.square().sum(1) + flat.sin().sum(1);
}

namespace problems {

namespace nn = torch::nn;
namespace F = torch::nn::functional;

inline at::Tensor parameter(at::IntArrayRef sizes, at::ScalarType type, double scale = 0.5) {
  return (torch::randn(sizes, torch::kFloat32) * scale).to(type).requires_grad_(true);
}

/// Inputs in float32 whatever the type, of different magnitude per sample, so that some samples
/// are clipped and some are not.
inline at::Tensor inputs(at::IntArrayRef sizes) {
  at::Tensor values = torch::randn(sizes, torch::kFloat32);
  std::vector<std::int64_t> ones(sizes.size(), 1);
  ones[0] = sizes[0];
  return values * torch::linspace(0.05, 1.5, sizes[0]).view(ones);
}

/// Wraps a module holder: parameters and forward of the unmodified module.
template <typename Holder>
Problem of_module(Holder module, at::ScalarType type, at::Tensor batch,
                  std::function<at::Tensor(Holder&, const at::Tensor&)> forward = nullptr) {
  module->to(type);
  Problem problem;
  problem.parameters = module->parameters();
  problem.inputs = std::move(batch);
  if (!forward) {
    forward = [](Holder& m, const at::Tensor& x) { return m->forward(x); };
  }
  problem.losses = [module, forward](const at::Tensor& x) mutable {
    return reduce_to_losses(forward(module, x));
  };
  return problem;
}

inline at::Tensor time_major(const at::Tensor& x) { return x.transpose(0, 1); }

/// A model with attention (time-major rows in its projections), normalisation and a batch-major
/// head: the mixture that makes a fixed rule about rows wrong.
struct MixedTransformer : nn::Module {
  MixedTransformer()
      : embedding(register_module("embedding", nn::Embedding(11, 8))),
        position(register_parameter("position", torch::randn({1, 5, 8}) * 0.3)),
        attention(register_module("attention",
                                  nn::MultiheadAttention(nn::MultiheadAttentionOptions(8, 2)))),
        norm(register_module("norm", nn::LayerNorm(nn::LayerNormOptions({8})))),
        head(register_module("head", nn::Linear(8, 3))) {}
  at::Tensor forward(const at::Tensor& tokens) {
    const at::Tensor x = time_major(embedding->forward(tokens) + position);  // [T, B, 8]
    const at::Tensor attended = std::get<0>(attention->forward(x, x, x));
    return head->forward(time_major(norm->forward(x + attended)));  // [B, T, 3]
  }
  nn::Embedding embedding;
  at::Tensor position;
  nn::MultiheadAttention attention;
  nn::LayerNorm norm;
  nn::Linear head;
};
TORCH_MODULE_IMPL(MixedTransformerHolder, MixedTransformer);  // NOLINT

/// The tanh network of Tramer & Boneh 2021, end to end.
inline nn::Sequential tanh_cnn() {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 16, 8).stride(2).padding(3)), nn::Tanh(),
                        nn::MaxPool2d(nn::MaxPool2dOptions(2).stride(1)),
                        nn::Conv2d(nn::Conv2dOptions(16, 32, 4).stride(2)), nn::Tanh(),
                        nn::MaxPool2d(nn::MaxPool2dOptions(2).stride(1)), nn::Flatten(),
                        nn::Linear(512, 32), nn::Tanh(), nn::Linear(32, 10));
}
inline nn::Sequential group_norm_cnn() {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 8, 3).padding(1)),
                        nn::GroupNorm(nn::GroupNormOptions(4, 8)), nn::ReLU(), nn::MaxPool2d(2),
                        nn::Conv2d(nn::Conv2dOptions(8, 16, 3).padding(1)),
                        nn::GroupNorm(nn::GroupNormOptions(4, 16)), nn::ReLU(),
                        nn::AdaptiveAvgPool2d(1), nn::Flatten(), nn::Linear(16, 10));
}

template <typename Make>
ProblemFactory problem(std::string name, Make make) {
  return {std::move(name), std::move(make)};
}

inline std::vector<ProblemFactory> linear() {
  std::vector<ProblemFactory> all;
  for (const bool bias : {true, false}) {
    const std::string suffix = bias ? "WithBias" : "WithoutBias";
    const auto layer = [bias](std::int64_t in, std::int64_t out) {
      return nn::Linear(nn::LinearOptions(in, out).bias(bias));
    };
    all.push_back(problem("LinearOnVectors" + suffix, [=](at::ScalarType t) {
      return of_module(layer(7, 5), t, inputs({9, 7}));
    }));
    all.push_back(problem("LinearOnSequences" + suffix, [=](at::ScalarType t) {
      return of_module(layer(7, 5), t, inputs({9, 6, 7}));
    }));
    all.push_back(problem("LinearOnLongSequences" + suffix, [=](at::ScalarType t) {
      return of_module(layer(3, 2), t, inputs({4, 40, 3}));
    }));
    all.push_back(problem("LinearOnGrids" + suffix, [=](at::ScalarType t) {
      return of_module(layer(4, 3), t, inputs({5, 2, 3, 4}));
    }));
    all.push_back(problem("LinearOnTimeMajorRows" + suffix, [=](at::ScalarType t) {
      return of_module<nn::Linear>(
          layer(7, 5), t, inputs({4, 6, 7}),
          [](nn::Linear& m, const at::Tensor& x) { return time_major(m->forward(time_major(x))); });
    }));
    // As many steps as samples: shapes alone cannot tell the two layouts apart.
    all.push_back(problem("LinearOnTimeMajorSquareRows" + suffix, [=](at::ScalarType t) {
      return of_module<nn::Linear>(layer(3, 5), t, inputs({6, 6, 3}),
                                   [](nn::Linear& m, const at::Tensor& x) {
                                     return time_major(m->forward(time_major(x).contiguous()));
                                   });
    }));
    all.push_back(problem("LinearUsedTwice" + suffix, [=](at::ScalarType t) {
      return of_module<nn::Linear>(layer(6, 6), t, inputs({8, 6}),
                                   [](nn::Linear& m, const at::Tensor& x) {
                                     return m->forward(torch::tanh(m->forward(x)));
                                   });
    }));
    all.push_back(problem("LinearUsedOnBothLayouts" + suffix, [=](at::ScalarType t) {
      return of_module<nn::Linear>(
          layer(5, 5), t, inputs({4, 3, 5}), [](nn::Linear& m, const at::Tensor& x) {
            return m->forward(torch::tanh(time_major(m->forward(time_major(x)))));
          });
    }));
    all.push_back(problem("RecurrentCell" + suffix, [=](at::ScalarType t) {
      return of_module<nn::Linear>(
          layer(10, 6), t, inputs({5, 7, 4}), [](nn::Linear& m, const at::Tensor& x) {
            at::Tensor h = torch::zeros({x.size(0), 6}, x.options());
            for (std::int64_t step = 0; step < x.size(1); ++step) {
              h = torch::tanh(m->forward(torch::cat({x.select(1, step), h}, 1)));
            }
            return h;
          });
    }));
  }
  return all;
}

inline std::vector<ProblemFactory> convolution() {
  std::vector<ProblemFactory> all;
  struct Shape {
    std::int64_t groups, stride, padding, dilation;
    bool bias;
  };
  const std::vector<Shape> shapes{{1, 1, 0, 1, true},  {1, 2, 1, 1, false}, {2, 1, 1, 2, true},
                                  {4, 1, 2, 1, false}, {2, 3, 2, 2, true},  {1, 1, 1, 1, true}};
  for (const Shape& s : shapes) {
    const std::string suffix = "Groups" + std::to_string(s.groups) + "Stride" +
                               std::to_string(s.stride) + "Padding" + std::to_string(s.padding) +
                               "Dilation" + std::to_string(s.dilation) +
                               (s.bias ? "WithBias" : "WithoutBias");
    all.push_back(problem("Conv1d" + suffix, [=](at::ScalarType t) {
      return of_module(nn::Conv1d(nn::Conv1dOptions(4, 8, 3)
                                      .groups(s.groups)
                                      .stride(s.stride)
                                      .padding(s.padding)
                                      .dilation(s.dilation)
                                      .bias(s.bias)),
                       t, inputs({5, 4, 13}));
    }));
    all.push_back(problem("Conv2d" + suffix, [=](at::ScalarType t) {
      return of_module(nn::Conv2d(nn::Conv2dOptions(4, 8, {3, 2})
                                      .groups(s.groups)
                                      .stride(s.stride)
                                      .padding(s.padding)
                                      .dilation(s.dilation)
                                      .bias(s.bias)),
                       t, inputs({5, 4, 9, 8}));
    }));
    all.push_back(problem("Conv3d" + suffix, [=](at::ScalarType t) {
      return of_module(nn::Conv3d(nn::Conv3dOptions(4, 4, {2, 3, 2})
                                      .groups(s.groups)
                                      .stride(s.stride)
                                      .padding(s.padding)
                                      .dilation(s.dilation)
                                      .bias(s.bias)),
                       t, inputs({3, 4, 6, 7, 6}));
    }));
  }
  all.push_back(problem("Conv2dOnChannelsLast", [](at::ScalarType t) {
    return of_module<nn::Conv2d>(nn::Conv2d(nn::Conv2dOptions(3, 6, 3).padding(1)), t,
                                 inputs({4, 3, 7, 7}), [](nn::Conv2d& m, const at::Tensor& x) {
                                   return m->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
                                 });
  }));
  all.push_back(problem("Conv2dPaddingSame", [](at::ScalarType t) {
    return of_module(nn::Conv2d(nn::Conv2dOptions(3, 6, 4).padding(torch::kSame)), t,
                     inputs({4, 3, 7, 7}));
  }));
  all.push_back(problem("Conv2dUsedTwice", [](at::ScalarType t) {
    return of_module<nn::Conv2d>(
        nn::Conv2d(nn::Conv2dOptions(3, 3, 3).padding(1)), t, inputs({4, 3, 6, 6}),
        [](nn::Conv2d& m, const at::Tensor& x) { return m->forward(torch::tanh(m->forward(x))); });
  }));
  return all;
}

inline std::vector<ProblemFactory> normalisation() {
  return {
      problem(
          "GroupNormOnImages",
          [](at::ScalarType t) {
            return of_module(nn::GroupNorm(nn::GroupNormOptions(3, 6)), t, inputs({5, 6, 4, 3}));
          }),
      problem("GroupNormOnVectors",
              [](at::ScalarType t) {
                return of_module(nn::GroupNorm(nn::GroupNormOptions(2, 8)), t, inputs({5, 8}));
              }),
      problem("LayerNormOnVectors",
              [](at::ScalarType t) {
                return of_module(nn::LayerNorm(nn::LayerNormOptions({6})), t, inputs({7, 6}));
              }),
      problem("LayerNormOnSequences",
              [](at::ScalarType t) {
                return of_module(nn::LayerNorm(nn::LayerNormOptions({6})), t, inputs({7, 5, 6}));
              }),
      problem(
          "LayerNormOverTwoDimensions",
          [](at::ScalarType t) {
            return of_module(nn::LayerNorm(nn::LayerNormOptions({3, 6})), t, inputs({7, 5, 3, 6}));
          }),
      problem("LayerNormOnTimeMajorRows",
              [](at::ScalarType t) {
                return of_module<nn::LayerNorm>(
                    nn::LayerNorm(nn::LayerNormOptions({6})), t, inputs({4, 5, 6}),
                    [](nn::LayerNorm& m, const at::Tensor& x) {
                      return time_major(m->forward(time_major(x).contiguous()));
                    });
              }),
  };
}

inline at::Tensor tokens(at::IntArrayRef sizes, std::int64_t vocabulary) {
  return torch::randint(vocabulary, sizes, torch::kInt64);
}

inline std::vector<ProblemFactory> embedding() {
  return {
      problem("EmbeddingOfSequences",
              [](at::ScalarType t) {  // 4 words, 9 places: ids repeat within every sample
                return of_module(nn::Embedding(4, 5), t, tokens({6, 9}, 4));
              }),
      problem("EmbeddingOfOneTokenEach",
              [](at::ScalarType t) { return of_module(nn::Embedding(20, 5), t, tokens({6}, 20)); }),
      problem("EmbeddingWithPadding",
              [](at::ScalarType t) {
                return of_module(nn::Embedding(nn::EmbeddingOptions(5, 4).padding_idx(2)), t,
                                 tokens({6, 9}, 5));
              }),
      problem("EmbeddingOnTimeMajorRows",
              [](at::ScalarType t) {
                return of_module<nn::Embedding>(
                    nn::Embedding(7, 4), t, tokens({5, 5}, 7),
                    [](nn::Embedding& m, const at::Tensor& x) {
                      return time_major(m->forward(time_major(x).contiguous()));
                    });
              }),
      problem("EmbeddingTiedToTheOutput",
              [](at::ScalarType t) {
                return of_module<nn::Embedding>(nn::Embedding(7, 4), t, tokens({5, 6}, 7),
                                                [](nn::Embedding& m, const at::Tensor& x) {
                                                  return F::linear(torch::tanh(m->forward(x)),
                                                                   m->weight);
                                                });
              }),
  };
}

/// Forms of gradients that the problems above do not meet.
inline std::vector<ProblemFactory> forms() {
  const auto bag = [](const nn::EmbeddingBagMode& mode) {
    return [mode](at::ScalarType t) {
      return of_module(nn::EmbeddingBag(nn::EmbeddingBagOptions(6, 4).mode(mode).padding_idx(2)), t,
                       tokens({5, 7}, 6));
    };
  };
  return {
      problem("BagsSummed", bag(torch::kSum)),
      problem("BagsAveraged", bag(torch::kMean)),
      problem("LargestOfBags", bag(torch::kMax)),
      problem("EmbeddingTiedToALargeOutput",
              [](at::ScalarType t) {
                return of_module<nn::Embedding>(nn::Embedding(400, 3), t, tokens({5, 3}, 9),
                                                [](nn::Embedding& m, const at::Tensor& x) {
                                                  return F::linear(torch::tanh(m->forward(x)),
                                                                   m->weight);
                                                });
              }),
      problem("EmbeddingTiedToALargeOutputForOneWord",
              [](at::ScalarType t) {
                return of_module<nn::Embedding>(
                    nn::Embedding(400, 3), t, tokens({5, 3}, 9),
                    [](nn::Embedding& m, const at::Tensor& x) {
                      return torch::tanh(m->forward(x)).sum(1).matmul(m->weight.t());
                    });
              }),
      problem("BilinearOnSequences",
              [](at::ScalarType t) {
                const at::Tensor weight = parameter({2, 4, 4}, t);
                return Problem{
                    {weight},
                    [=](const at::Tensor& x) {
                      return reduce_to_losses(torch::bilinear(x.to(t), x.to(t).flip(1), weight));
                    },
                    inputs({5, 3, 4})};
              }),
      problem("WeightNormOfALinearMap",
              [](at::ScalarType t) {
                const at::Tensor v = parameter({3, 4}, t), g = parameter({3, 1}, t);
                return Problem{
                    {v, g},
                    [=](const at::Tensor& x) {
                      return reduce_to_losses(F::linear(x, torch::_weight_norm(v, g, 0)));
                    },
                    inputs({5, 2, 4})};
              }),
      problem("InstanceNorm",
              [](at::ScalarType t) {
                return of_module(nn::InstanceNorm2d(nn::InstanceNormOptions(3).affine(true)), t,
                                 inputs({5, 3, 4, 2}));
              }),
      problem("VolumesOfASample",
              [](at::ScalarType t) {
                return of_module<nn::Conv3d>(
                    nn::Conv3d(nn::Conv3dOptions(2, 3, 2).padding(1)), t,
                    inputs({4, 2, 2, 3, 4, 3}), [](nn::Conv3d& m, const at::Tensor& x) {
                      return m->forward(x.flatten(0, 1)).unflatten(0, {x.size(0), 2});
                    });
              }),
  };
}

/// Tables looked up by position, with indices that have no batch dimension, and by the class of a
/// sample, whose rows are broadcast over its positions.
inline std::vector<ProblemFactory> positions() {
  constexpr std::int64_t kSteps = 6, kWidth = 4, kWords = 9;
  using Positions = std::function<at::Tensor(nn::Embedding&, const at::Tensor& embedded)>;
  const auto places = [] { return torch::arange(kSteps, torch::kInt64); };
  const auto added = [=](const std::string& name, const Positions& use,
                         std::optional<std::int64_t> padding = {}) {
    return problem(name, [=](at::ScalarType t) {
      nn::Embedding words(kWords, kWidth);
      nn::Embedding table_of_places(nn::EmbeddingOptions(kSteps + 2, kWidth).padding_idx(padding));
      words->to(t);
      table_of_places->to(t);
      std::vector<at::Tensor> parameters = words->parameters();
      parameters.push_back(table_of_places->weight);
      return Problem{parameters,
                     [=](const at::Tensor& x) mutable {
                       return reduce_to_losses(use(table_of_places, words->forward(x)));
                     },
                     tokens({5, kSteps}, kWords)};
    });
  };
  return {
      added("PositionsLookedUp",
            [=](nn::Embedding& table, const at::Tensor& x) { return x + table(places()); }),
      added("PositionsLookedUpFirst",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return torch::sub(table(places()), x, 0.5);
            }),
      added("PositionsLookedUpThenUnsqueezed",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x + table(places()).unsqueeze(0);
            }),
      added("PositionsLookedUpThenExpanded",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return torch::tanh(x) + table(places()).unsqueeze(0).expand_as(x);
            }),
      added("PositionsLookedUpWithABatchOfOne",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x * table(places().unsqueeze(0));
            }),
      added("PositionsLookedUpThenConcatenated",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return torch::cat({x, table(places()).expand_as(x)}, 2).tanh();
            }),
      added("PositionsLookedUpThenSliced",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x + table(torch::arange(kSteps + 2)).slice(0, 1, kSteps + 1);
            }),
      added("PositionsOnTimeMajorRows",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return time_major((time_major(x) + table(places()).unsqueeze(1)).tanh());
            }),
      added("PositionsThatRepeat",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x + table(places().div(2, "floor"));
            }),
      added(
          "PositionsWithPadding",
          [=](nn::Embedding& table, const at::Tensor& x) { return x + table(places()); }, 3),
      added("PositionsUsedTwice",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return (x + table(places())).tanh() * table(places()) + table(places() + 1);
            }),
      added("OnePositionForAll",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x.tanh() * table(torch::tensor(2, torch::kInt64));
            }),
      added("PositionsRepeatedForEverySample",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x.tanh() + table(places()).repeat({x.size(0), 1, 1});
            }),
      added("PositionsFromASliceOfTheTable",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x + table->weight.slice(0, 0, kSteps);
            }),
      added("PositionsFromASliceThatIsExpanded",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x.tanh() + table->weight.slice(0, 1, kSteps + 1).unsqueeze(0).expand_as(x);
            }),
      added("PositionsFromASliceThatIsLookedUp",
            [=](nn::Embedding& table, const at::Tensor& x) {
              return x + F::embedding(places(), table->weight.slice(0, 1, kSteps + 1));
            }),
      problem("PositionsFromTheTableOfWords",
              [=](at::ScalarType t) {
                return of_module<nn::Embedding>(
                    nn::Embedding(kWords, kWidth), t, tokens({5, kSteps}, kWords),
                    [=](nn::Embedding& m, const at::Tensor& x) { return m(x) + m(places()); });
              }),
      added("ClassesBroadcastOverPositions",
            [=](nn::Embedding& table, const at::Tensor& x) {
              const at::Tensor classes =
                  x.detach().select(1, 0).select(1, 0).gt(0).to(torch::kInt64);
              return x + table(classes).unsqueeze(1);
            }),
      added("ClassesOfOneColumnBroadcastOverPositions",
            [=](nn::Embedding& table, const at::Tensor& x) {
              const at::Tensor classes = x.detach().select(2, 0).slice(1, 0, 1).gt(0);
              return x * table(classes.to(torch::kInt64)) + table(classes.to(torch::kInt64) + 2);
            }),
      added("ClassesExpandedOverPositions",
            [=](nn::Embedding& table, const at::Tensor& x) {
              const at::Tensor classes =
                  x.detach().select(1, 0).select(1, 0).gt(0).to(torch::kInt64);
              return x.tanh() * table(classes).unsqueeze(1).expand_as(x);
            }),
  };
}

/// Parameters used directly, and through views.
inline std::vector<ProblemFactory> direct() {
  return {
      problem("ParametersAddedAndMultiplied",
              [](at::ScalarType t) {
                const at::Tensor gain = parameter({6}, t);
                const at::Tensor shift = parameter({1, 5, 6}, t);
                const at::Tensor scale = parameter({}, t);
                return Problem{{gain, shift, scale},
                               [=](const at::Tensor& x) {
                                 return reduce_to_losses(scale * torch::tanh(x * gain + shift));
                               },
                               inputs({4, 5, 6})};
              }),
      problem("ParameterAddedWithAFactor",
              [](at::ScalarType t) {
                const at::Tensor shift = parameter({5, 1}, t);
                return Problem{{shift},
                               [=](const at::Tensor& x) {
                                 return reduce_to_losses(torch::add(x, shift, -2.5));
                               },
                               inputs({4, 5, 6})};
              }),
      problem("ParameterAddedToTimeMajorRows",
              [](at::ScalarType t) {
                const at::Tensor shift = parameter({5, 1, 6}, t);
                return Problem{
                    {shift},
                    [=](const at::Tensor& x) {
                      return reduce_to_losses(time_major(torch::tanh(time_major(x) + shift)));
                    },
                    inputs({4, 5, 6})};
              }),
      problem("AutoencoderWithTiedWeights",
              [](at::ScalarType t) {
                const at::Tensor weight = parameter({4, 6}, t);
                return Problem{{weight},
                               [=](const at::Tensor& x) {
                                 const at::Tensor code = torch::tanh(F::linear(x, weight));
                                 return reduce_to_losses(F::linear(code, weight.t()) - x);
                               },
                               inputs({7, 6})};
              }),
      problem("PackedWeightUsedBySlices",
              [](at::ScalarType t) {
                const at::Tensor packed = parameter({12, 6}, t);
                const at::Tensor bias = parameter({12}, t);
                return Problem{{packed, bias},
                               [=](const at::Tensor& x) {
                                 const auto weights = packed.split(4);
                                 const at::Tensor q = F::linear(x, weights[0], bias.slice(0, 0, 4));
                                 const at::Tensor k =
                                     F::linear(x, packed.slice(0, 4, 8), bias.slice(0, 4, 8));
                                 const at::Tensor v =
                                     F::linear(x, packed.narrow(0, 8, 4), bias.narrow(0, 8, 4));
                                 return reduce_to_losses(torch::softmax(q * k, -1) * v);
                               },
                               inputs({5, 3, 6})};
              }),
      problem("WeightReshapedBeforeUse",
              [](at::ScalarType t) {
                const at::Tensor flat = parameter({24}, t);
                return Problem{
                    {flat},
                    [=](const at::Tensor& x) {
                      return reduce_to_losses(F::linear(x, flat.view({6, 4}).transpose(0, 1)));
                    },
                    inputs({5, 6})};
              }),
      problem("ParameterReshapedToOneRow",
              [](at::ScalarType t) {
                const at::Tensor shift = parameter({6}, t);
                return Problem{{shift},
                               [=](const at::Tensor& x) {
                                 return reduce_to_losses(torch::tanh(x + shift.view({1, 6})));
                               },
                               inputs({5, 6})};
              }),
      problem("OneWeightPerHead",
              [](at::ScalarType t) {
                const at::Tensor weight = parameter({4, 5, 3}, t);  // [width, heads, out]
                return Problem{
                    {weight},
                    [=](const at::Tensor& x) {  // [B, steps, heads, width]
                      return reduce_to_losses(torch::einsum("bthd,dhk->bthk", {x, weight}));
                    },
                    inputs({4, 2, 5, 4})};
              }),
      problem("OneWeightPerHeadBroadcastOverSamples",
              [](at::ScalarType t) {
                const at::Tensor weight = parameter({6, 3, 4}, t);
                return Problem{{weight},
                               [=](const at::Tensor& x) {  // [B, heads, steps, 4]
                                 return reduce_to_losses(x.matmul(weight.transpose(1, 2)));
                               },
                               inputs({4, 6, 2, 4})};
              }),
      problem("AttentionOfScaledInputs",
              [](at::ScalarType t) {
                const at::Tensor queries = parameter({4}, t), keys = parameter({4}, t);
                return Problem{{queries, keys},
                               [=](const at::Tensor& x) {  // [B, steps, 4]
                                 const at::Tensor scores =
                                     (x * queries).bmm((x * keys).transpose(1, 2));
                                 return reduce_to_losses(scores.softmax(-1).bmm(x));
                               },
                               inputs({4, 6, 4})};
              }),
      problem("GainOfASampleBroadcastOverPositions",
              [](at::ScalarType t) {
                const at::Tensor gain = parameter({4}, t), weight = parameter({4, 4}, t);
                return Problem{{gain, weight},
                               [=](const at::Tensor& x) {  // [B, 6, 4]
                                 const at::Tensor first = x.slice(1, 0, 1) * gain;
                                 return reduce_to_losses(F::linear(x, weight) * first);
                               },
                               inputs({4, 6, 4})};
              }),
      problem("ClassToken",
              [](at::ScalarType t) {
                const at::Tensor token = parameter({1, 1, 4}, t), gain = parameter({1, 4}, t);
                return Problem{
                    {token, gain},
                    [=](const at::Tensor& x) {  // [B, 6, 4]
                      const at::Tensor all = torch::cat({token.expand({x.size(0), 1, 4}), x}, 1);
                      return reduce_to_losses(all.cumsum(1) * gain.expand({x.size(0), 7, 4}));
                    },
                    inputs({4, 6, 4})};
              }),
      problem("WeightCastBeforeUse",
              [](at::ScalarType t) {
                const at::Tensor weight = parameter({4, 6}, t);
                return Problem{{weight},
                               [=](const at::Tensor& x) {
                                 return reduce_to_losses(
                                     F::linear(x.to(torch::kFloat64), weight.to(torch::kFloat64)));
                               },
                               inputs({5, 6})};
              }),
  };
}

/// Whole models.
inline std::vector<ProblemFactory> models() {
  return {
      problem("MultilayerPerceptron",
              [](at::ScalarType t) {
                return of_module(nn::Sequential(nn::Flatten(), nn::Linear(49, 32), nn::ReLU(),
                                                nn::Linear(32, 32), nn::ReLU(), nn::Linear(32, 10)),
                                 t, inputs({12, 1, 7, 7}));
              }),
      problem("TanhNetwork",
              [](at::ScalarType t) {
                return of_module(tanh_cnn(), t, inputs({6, 1, 28, 28}));
              }),
      problem("GroupNormNetwork",
              [](at::ScalarType t) {
                return of_module(group_norm_cnn(), t, inputs({6, 1, 12, 12}));
              }),
      problem("TransformerWithBothLayouts",
              [](at::ScalarType t) {
                return of_module(MixedTransformerHolder(std::make_shared<MixedTransformer>()), t,
                                 tokens({5, 5}, 11));
              }),
      problem("FrozenBackbone",
              [](at::ScalarType t) {
                nn::Linear backbone(6, 8);
                nn::Linear head(8, 3);
                backbone->to(t);
                head->to(t);
                torch::manual_seed(3);
                const torch::NoGradGuard no_grad;
                backbone->weight.copy_(torch::randn({8, 6}).to(t));
                backbone->bias.fill_(0.1);
                for (at::Tensor& p : backbone->parameters()) p.requires_grad_(false);
                return Problem{
                    head->parameters(),
                    [=](const at::Tensor& x) mutable {
                      return reduce_to_losses(head->forward(torch::tanh(backbone->forward(x))));
                    },
                    inputs({5, 6})};
              }),
      problem("ParameterThatNoSampleReaches",
              [](at::ScalarType t) {
                const at::Tensor used = parameter({4, 6}, t);
                const at::Tensor unused = parameter({3}, t);
                return Problem{
                    {used, unused},
                    [=](const at::Tensor& x) { return reduce_to_losses(F::linear(x, used)); },
                    inputs({5, 6})};
              }),
  };
}

}  // namespace problems

/// Every problem of the grid.
inline std::vector<ProblemFactory> every_problem() {
  std::vector<ProblemFactory> all;
  for (auto part : {problems::linear(), problems::convolution(), problems::normalisation(),
                    problems::embedding(), problems::forms(), problems::positions(),
                    problems::direct(), problems::models()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace velum::testing
