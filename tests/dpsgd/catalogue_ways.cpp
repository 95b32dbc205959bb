// The ways of using torch::nn that docs/layers.md lists. Written as a user would write them.
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "dpsgd/support/catalogue.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;
using problems::inputs;
using problems::parameter;
using problems::time_major;
using problems::tokens;
using Make = std::function<Problem(at::ScalarType)>;
using Type = at::ScalarType;

class Catalogue {
 public:
  void module(std::string name) { module_ = std::move(name); }
  void exact(const std::string& use, Make make) {
    add(use, Verdict::kExact, {}, "", std::move(make));
  }
  void slow(const std::string& use, const std::string& operation, const std::string& remedy,
            Make make) {
    add(use, Verdict::kSlow, {operation, "allow_slow_rules"}, remedy, std::move(make));
  }
  void refused(const std::string& use, std::vector<std::string> named, const std::string& remedy,
               Make make) {
    add(use, Verdict::kRefused, std::move(named), remedy, std::move(make));
  }
  std::vector<Way> ways() && { return std::move(ways_); }

 private:
  void add(const std::string& use, Verdict verdict, std::vector<std::string> named,
           const std::string& remedy, Make make) {
    std::string name;
    for (const char c : module_) {
      if (std::isalnum(static_cast<unsigned char>(c)) != 0) name += c;
    }
    name += std::to_string(++count_[module_]);
    ways_.push_back({module_, use, verdict, std::move(named), remedy, {name, std::move(make)}});
  }

  std::string module_;
  std::map<std::string, int> count_;
  std::vector<Way> ways_;
};

/// A module with the initial parameters made large enough that every path matters.
template <typename Holder>
Holder lively(Holder module) {
  const torch::NoGradGuard no_grad;
  for (at::Tensor& p : module->parameters()) p.add_(torch::randn_like(p) * 0.3);
  return module;
}

template <typename Holder, typename Forward>
Problem use_of(Holder module, Type type, at::Tensor batch, Forward forward) {
  module = lively(std::move(module));
  module->to(type);
  const auto losses = [module, forward](const at::Tensor& x) mutable {
    return reduce_to_losses(forward(module, x));
  };
  return {module->parameters(), losses, std::move(batch)};
}
template <typename Holder>
Problem plain(Holder module, Type type, at::Tensor batch) {
  return use_of(std::move(module), type, std::move(batch),
                [](Holder& m, const at::Tensor& x) { return m->forward(x); });
}

// Linear and bilinear maps

void linear(Catalogue& list) {
  list.module("Linear");
  for (const bool bias : {true, false}) {
    const std::string with = bias ? "" : ", without bias";
    const auto layer = [bias] { return nn::Linear(nn::LinearOptions(5, 4).bias(bias)); };
    list.exact("rows [B, in]" + with, [=](Type t) { return plain(layer(), t, inputs({7, 5})); });
    list.exact("sequences [B, T, in]" + with, [=](Type t) {
      return plain(layer(), t, inputs({5, 6, 5}));
    });
    list.exact("grids [B, H, W, in]" + with, [=](Type t) {
      return plain(layer(), t, inputs({4, 2, 3, 5}));
    });
    list.exact("time-major sequences [T, B, in]" + with, [=](Type t) {
      return use_of(layer(), t, inputs({5, 3, 5}), [](nn::Linear& m, const at::Tensor& x) {
        return time_major(m->forward(time_major(x).contiguous()));
      });
    });
  }
  list.exact("the same layer at every step of a loop", [](Type t) {
    return use_of(nn::Linear(9, 4), t, inputs({5, 6, 5}), [](nn::Linear& m, const at::Tensor& x) {
      at::Tensor h = torch::zeros({x.size(0), 4}, x.options());
      for (std::int64_t step = 0; step < x.size(1); ++step) {
        h = torch::tanh(m->forward(torch::cat({x.select(1, step), h}, 1)));
      }
      return h;
    });
  });

  list.module("Bilinear");
  for (const bool bias : {true, false}) {
    const std::string with = bias ? "" : ", without bias";
    const auto layer = [bias] { return nn::Bilinear(nn::BilinearOptions(3, 4, 5).bias(bias)); };
    list.exact("rows [B, in1], [B, in2]" + with, [=](Type t) {
      return use_of(layer(), t, inputs({6, 7}), [](nn::Bilinear& m, const at::Tensor& x) {
        return m->forward(x.slice(1, 0, 3), x.slice(1, 3, 7));
      });
    });
    list.exact("sequences [B, T, in1], [B, T, in2]" + with, [=](Type t) {
      return use_of(layer(), t, inputs({4, 5, 7}), [](nn::Bilinear& m, const at::Tensor& x) {
        return m->forward(x.slice(2, 0, 3), x.slice(2, 3, 7));
      });
    });
  }
}

// Convolutions

/// D = 1, 2, 3: images [batch, channels, 6, 7, 5] of the first D extents.
at::Tensor images(std::int64_t batch, std::int64_t channels, std::size_t dims) {
  std::vector<std::int64_t> sizes{batch, channels, 6, 7, 5};
  sizes.resize(dims + 2);
  return inputs(sizes);
}

/// Frames of each sample through the module as if they were samples: [B, T, ..] to [B T, ..].
template <typename Holder>
Problem on_frames(Holder module, Type t, std::size_t dims) {
  at::Tensor x = images(3 * 2, 4, dims);
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.front() = 2;
  sizes.insert(sizes.begin(), 3);
  return use_of(std::move(module), t, x.view(sizes), [](Holder& m, const at::Tensor& frames) {
    return m->forward(frames.flatten(0, 1)).unflatten(0, {frames.size(0), frames.size(1)});
  });
}

template <typename Holder, typename Options, std::size_t D>
void convolution(Catalogue& list, const std::string& name) {
  list.module(name);
  const auto options = [] { return Options(4, 6, 3); };
  const auto on = [&](const std::string& use, Options with) {
    list.exact(use, [with](Type t) { return plain(Holder(with), t, images(4, 4, D)); });
  };
  on("images [B, C, ..]", options());
  on("without bias", options().bias(false));
  on("groups", options().groups(2));
  on("stride, padding and dilation", options().stride(2).padding(2).dilation(2));
  on("padding same", options().padding(torch::kSame));
  on("padding mode circular", options().padding(1).padding_mode(torch::kCircular));
  on("padding mode replicate", options().padding(1).padding_mode(torch::kReplicate));
  on("padding mode reflect", options().padding(1).padding_mode(torch::kReflect));
  list.exact("frames of a sample [B T, C, ..]",
             [=](Type t) { return on_frames(Holder(options()), t, D); });
}

template <typename Holder, typename Options, std::size_t D>
void transposed_convolution(Catalogue& list, const std::string& name) {
  list.module(name);
  const auto options = [] { return Options(4, 6, 3); };
  const auto on = [&](const std::string& use, Options with) {
    list.exact(use, [with](Type t) { return plain(Holder(with), t, images(4, 4, D)); });
  };
  on("images [B, C, ..]", options());
  on("without bias", options().bias(false));
  on("groups", options().groups(2));
  on("stride, padding, output padding and dilation",
     options().stride(2).padding(1).output_padding(1).dilation(2));
  list.exact("frames of a sample [B T, C, ..]",
             [=](Type t) { return on_frames(Holder(options()), t, D); });
}

// Tables

void embedding(Catalogue& list) {
  list.module("Embedding");
  list.exact("sequences [B, T]", [](Type t) {
    return plain(nn::Embedding(6, 4), t, tokens({6, 9}, 6));
  });
  list.exact("one index a sample [B]",
             [](Type t) { return plain(nn::Embedding(9, 4), t, tokens({6}, 9)); });
  list.exact("time-major sequences [T, B]", [](Type t) {
    return use_of(nn::Embedding(7, 4), t, tokens({5, 6}, 7),
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return time_major(m->forward(time_major(x).contiguous()));
                  });
  });
  list.exact("padding_idx", [](Type t) {
    return plain(nn::Embedding(nn::EmbeddingOptions(5, 4).padding_idx(2)), t, tokens({6, 9}, 5));
  });
  list.exact("positions shared by all samples", [](Type t) {
    return use_of(nn::Embedding(6, 4), t, inputs({5, 6, 4}),
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return torch::tanh(x + m->forward(torch::arange(6, torch::kInt64)));
                  });
  });
  list.exact("tied to the output layer", [](Type t) {
    return use_of(nn::Embedding(7, 4), t, tokens({5, 6}, 7),
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return F::linear(torch::tanh(m->forward(x)), m->weight);
                  });
  });
  list.exact("tied to an output layer of many words", [](Type t) {
    return use_of(nn::Embedding(2000, 4), t, tokens({5, 3}, 30),
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return F::linear(torch::tanh(m->forward(x)), m->weight);
                  });
  });
  list.exact("tied to an output layer of many words, with padding", [](Type t) {
    at::Tensor words = tokens({5, 4}, 30);
    for (int sample = 0; sample < 4; ++sample) words[sample].narrow(0, 0, sample).zero_();
    return use_of(nn::Embedding(nn::EmbeddingOptions(2000, 64).padding_idx(0)), t, words,
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return F::linear(torch::tanh(m->forward(x)), m->weight);
                  });
  });
  list.exact("looked up twice", [](Type t) {
    return use_of(nn::Embedding(6, 4), t, tokens({5, 6}, 6),
                  [](nn::Embedding& m, const at::Tensor& x) {
                    return m->forward(x) * torch::tanh(m->forward(x.flip(1)));
                  });
  });
  list.exact("sparse", [](Type t) {
    return plain(nn::Embedding(nn::EmbeddingOptions(6, 4).sparse(true)), t, tokens({5, 6}, 6));
  });
  list.refused("scale_grad_by_freq", {"EmbeddingBackward0", "scale_grad_by_freq"},
               "leave `scale_grad_by_freq` off", [](Type t) {
                 return plain(nn::Embedding(nn::EmbeddingOptions(5, 4).scale_grad_by_freq(true)), t,
                              tokens({6, 9}, 5));
               });

  list.module("EmbeddingBag");
  const auto bag = [] { return nn::EmbeddingBagOptions(6, 4); };
  const std::vector<std::pair<std::string, nn::EmbeddingBagMode>> modes{
      {"sum", torch::kSum}, {"mean", torch::kMean}, {"max", torch::kMax}};
  const auto rows = [](nn::EmbeddingBagOptions options) {
    return [options](Type t) { return plain(nn::EmbeddingBag(options), t, tokens({6, 5}, 6)); };
  };
  // Bags of different lengths, some of them empty.
  const auto ragged = [](nn::EmbeddingBagOptions options) {
    return [options](Type t) {
      return use_of(nn::EmbeddingBag(options), t, tokens({6, 5}, 6),
                    [options](nn::EmbeddingBag& m, const at::Tensor& x) {
                      std::vector<at::Tensor> bags;
                      std::vector<std::int64_t> offsets{0};
                      for (std::int64_t b = 0; b < x.size(0); ++b) {
                        bags.push_back(x[b].slice(0, 0, x[b][0].item<std::int64_t>()));
                        offsets.push_back(offsets.back() + bags.back().numel());
                      }
                      if (!options.include_last_offset()) offsets.pop_back();
                      return m->forward(torch::cat(bags), torch::tensor(offsets, torch::kInt64));
                    });
    };
  };
  for (const auto& [name, mode] : modes) {
    list.exact(name + " of rows [B, n]", rows(bag().mode(mode)));
    list.exact(name + " of bags by offsets, some empty", ragged(bag().mode(mode)));
    list.exact(name + ", padding_idx", rows(bag().mode(mode).padding_idx(2)));
  }
  list.exact("bags by offsets, include_last_offset",
             ragged(bag().mode(torch::kSum).include_last_offset(true)));
  list.exact("per_sample_weights", [=](Type t) {
    return use_of(nn::EmbeddingBag(bag().mode(torch::kSum)), t, tokens({6, 5}, 6),
                  [](nn::EmbeddingBag& m, const at::Tensor& x) {
                    return m->forward(x, {}, torch::sin(x.to(m->weight.dtype()) + 1));
                  });
  });
  list.exact("per_sample_weights from another table", [=](Type t) {
    nn::EmbeddingBag words = lively(nn::EmbeddingBag(bag().mode(torch::kSum)));
    nn::Embedding gains = lively(nn::Embedding(6, 1));
    words->to(t);
    gains->to(t);
    return Problem{{words->weight, gains->weight},
                   [=](const at::Tensor& x) mutable {
                     return reduce_to_losses(words->forward(x, {}, gains->forward(x).squeeze(2)));
                   },
                   tokens({6, 5}, 6)};
  });
  list.exact("several bags a sample", [=](Type t) {
    return use_of(nn::EmbeddingBag(bag().mode(torch::kMean)), t, tokens({6, 3, 5}, 6),
                  [](nn::EmbeddingBag& m, const at::Tensor& x) {
                    return m->forward(x.flatten(0, 1)).unflatten(0, {x.size(0), x.size(1)});
                  });
  });
  list.refused("scale_grad_by_freq", {"EmbeddingBagBackward0", "scale_grad_by_freq"},
               "leave `scale_grad_by_freq` off",
               rows(bag().mode(torch::kSum).scale_grad_by_freq(true)));
}

// Activations and normalisations

void elementwise(Catalogue& list) {
  list.module("PReLU");
  list.exact("one slope", [](Type t) { return plain(nn::PReLU(), t, inputs({6, 5})); });
  list.exact("a slope a channel, rows [B, C]", [](Type t) {
    return plain(nn::PReLU(nn::PReLUOptions().num_parameters(5)), t, inputs({6, 5}));
  });
  list.exact("a slope a channel, images [B, C, H, W]", [](Type t) {
    return plain(nn::PReLU(nn::PReLUOptions().num_parameters(3)), t, inputs({4, 3, 4, 5}));
  });
}

template <typename Holder>
void batch_norm(Catalogue& list, const std::string& name, std::size_t dims) {
  list.module(name);
  const std::string remedy = "`GroupNorm`, or `LayerNorm`; or evaluation mode";
  list.refused("training mode", {"BatchNorm", "GroupNorm"}, remedy,
               [=](Type t) { return plain(Holder(4), t, images(4, 4, dims)); });
  list.refused("training mode, track_running_stats off", {"BatchNorm", "GroupNorm"}, remedy,
               [=](Type t) {
                 return plain(Holder(nn::BatchNormOptions(4).track_running_stats(false)), t,
                              images(4, 4, dims));
               });
  list.exact("evaluation mode", [=](Type t) {
    Holder norm(4);
    {
      const torch::NoGradGuard no_grad;
      norm->running_mean.copy_(torch::linspace(-1, 1, 4));
      norm->running_var.copy_(torch::linspace(0.5, 2, 4));
    }
    norm->eval();
    return plain(norm, t, images(4, 4, dims));
  });
}

template <typename Holder>
void instance_norm(Catalogue& list, const std::string& name, std::size_t dims) {
  list.module(name);
  const auto options = [] { return nn::InstanceNormOptions(4).affine(true); };
  list.exact("affine", [=](Type t) { return plain(Holder(options()), t, images(4, 4, dims)); });
  list.exact("without weights, after a layer that has some", [=](Type t) {
    return use_of(
        nn::PReLU(nn::PReLUOptions().num_parameters(4)), t, images(4, 4, dims),
        [](nn::PReLU& m, const at::Tensor& x) { return F::instance_norm(m->forward(x)) * x; });
  });
  list.refused("track_running_stats in training mode", {"BatchNorm", "track_running_stats"},
               "without `track_running_stats`, or `GroupNorm(C, C)`, or evaluation mode",
               [=](Type t) {
                 return plain(Holder(options().track_running_stats(true)), t, images(4, 4, dims));
               });
  list.exact("track_running_stats in evaluation mode", [=](Type t) {
    Holder norm(options().track_running_stats(true));
    {
      const torch::NoGradGuard no_grad;
      norm->running_mean.copy_(torch::linspace(-1, 1, 4));
      norm->running_var.copy_(torch::linspace(0.5, 2, 4));
    }
    norm->eval();
    return plain(norm, t, images(4, 4, dims));
  });
}

void normalisation(Catalogue& list) {
  batch_norm<nn::BatchNorm1d>(list, "BatchNorm1d", 1);
  batch_norm<nn::BatchNorm2d>(list, "BatchNorm2d", 2);
  batch_norm<nn::BatchNorm3d>(list, "BatchNorm3d", 3);
  instance_norm<nn::InstanceNorm1d>(list, "InstanceNorm1d", 1);
  instance_norm<nn::InstanceNorm2d>(list, "InstanceNorm2d", 2);
  instance_norm<nn::InstanceNorm3d>(list, "InstanceNorm3d", 3);

  list.module("GroupNorm");
  const auto group = [] { return nn::GroupNorm(nn::GroupNormOptions(2, 6)); };
  list.exact("rows [B, C]", [=](Type t) { return plain(group(), t, inputs({5, 6})); });
  list.exact("images [B, C, H, W]", [=](Type t) {
    return plain(group(), t, inputs({5, 6, 3, 4}));
  });
  list.exact("frames of a sample [B T, C, H, W]", [=](Type t) {
    return use_of(group(), t, inputs({4, 2, 6, 3, 4}), [](nn::GroupNorm& m, const at::Tensor& x) {
      return m->forward(x.flatten(0, 1)).unflatten(0, {x.size(0), x.size(1)});
    });
  });

  list.module("LayerNorm");
  const auto layer = [] { return nn::LayerNorm(nn::LayerNormOptions({6})); };
  list.exact("rows [B, C]", [=](Type t) { return plain(layer(), t, inputs({5, 6})); });
  list.exact("sequences [B, T, C]", [=](Type t) { return plain(layer(), t, inputs({5, 4, 6})); });
  list.exact("time-major sequences [T, B, C]", [=](Type t) {
    return use_of(layer(), t, inputs({5, 4, 6}), [](nn::LayerNorm& m, const at::Tensor& x) {
      return time_major(m->forward(time_major(x).contiguous()));
    });
  });
  list.exact("over two dimensions", [](Type t) {
    return plain(nn::LayerNorm(nn::LayerNormOptions({3, 6})), t, inputs({5, 2, 3, 6}));
  });
}

// Recurrent networks

at::Tensor output_of(const std::tuple<at::Tensor, at::Tensor>& result) {
  return std::get<0>(result);
}
at::Tensor output_of(const std::tuple<at::Tensor, std::tuple<at::Tensor, at::Tensor>>& result) {
  return std::get<0>(result);
}
/// The last hidden state (and cell state) of all layers: [B, layers, ..].
at::Tensor state_of(const std::tuple<at::Tensor, at::Tensor>& result) {
  return time_major(std::get<1>(result));
}
at::Tensor state_of(const std::tuple<at::Tensor, std::tuple<at::Tensor, at::Tensor>>& result) {
  const auto& [h, c] = std::get<1>(result);
  return torch::cat({time_major(h).flatten(1), time_major(c).flatten(1)}, 1);
}

template <typename Holder, typename Options>
void recurrent(Catalogue& list, const std::string& name, const Options& base) {
  list.module(name);
  const auto on = [&](const std::string& use, Options options) {
    list.exact(use, [options](Type t) {
      return use_of(Holder(options), t, inputs({4, 5, 3}), [](Holder& m, const at::Tensor& x) {
        return m->options.batch_first() ? output_of(m->forward(x))
                                        : time_major(output_of(m->forward(time_major(x))));
      });
    });
  };
  Options options = base;
  options.batch_first(true);
  const auto with = [&](auto change) {
    Options changed = options;
    change(changed);
    return changed;
  };
  on("batch_first [B, T, in]", options);
  on("time-major [T, B, in]", base);
  on("without bias", with([](Options& o) { o.bias(false); }));
  on("two layers", with([](Options& o) { o.num_layers(2); }));
  on("bidirectional", with([](Options& o) { o.bidirectional(true); }));
  on("two bidirectional layers", with([](Options& o) { o.num_layers(2).bidirectional(true); }));
  list.exact("last state only", [options](Type t) {
    return use_of(Holder(options), t, inputs({4, 5, 3}),
                  [](Holder& m, const at::Tensor& x) { return state_of(m->forward(x)); });
  });
  list.exact("output and last state", [options](Type t) {
    return use_of(Holder(options), t, inputs({4, 5, 3}), [](Holder& m, const at::Tensor& x) {
      const auto result = m->forward(x);
      return torch::cat({output_of(result).flatten(1), state_of(result).flatten(1)}, 1);
    });
  });
  list.exact("packed sequences of one length", [options](Type t) {
    return use_of(Holder(options), t, inputs({4, 5, 3}), [](Holder& m, const at::Tensor& x) {
      const auto packed = nn::utils::rnn::pack_padded_sequence(
          x, torch::full({x.size(0)}, 5, torch::kInt64), /*batch_first=*/true);
      const auto padded = nn::utils::rnn::pad_packed_sequence(
          std::get<0>(m->forward_with_packed_input(packed)), /*batch_first=*/true);
      return std::get<0>(padded);
    });
  });
  list.refused("packed sequences of several lengths",
               {"Backward0 with", "no dimension", "keeps", "apart", "Remove the operation"},
               "pad, and mask the losses", [options](Type t) {
                 return use_of(
                     Holder(options), t, inputs({4, 5, 3}), [](Holder& m, const at::Tensor& x) {
                       const auto packed = nn::utils::rnn::pack_padded_sequence(
                           x, torch::arange(5, 5 - x.size(0), -1, torch::kInt64),
                           /*batch_first=*/true);
                       const auto padded = nn::utils::rnn::pad_packed_sequence(
                           std::get<0>(m->forward_with_packed_input(packed)), /*batch_first=*/true);
                       return std::get<0>(padded);
                     });
               });
}

class OneDnnDisabled {
 public:
  OneDnnDisabled() { at::globalContext().setUserEnabledMkldnn(false); }
  ~OneDnnDisabled() { at::globalContext().setUserEnabledMkldnn(was_); }
  OneDnnDisabled(const OneDnnDisabled&) = delete;
  OneDnnDisabled& operator=(const OneDnnDisabled&) = delete;

 private:
  bool was_ = at::globalContext().userEnabledMkldnn();
};

at::Tensor hidden_of(const at::Tensor& state) { return state; }
at::Tensor hidden_of(const std::tuple<at::Tensor, at::Tensor>& state) { return std::get<0>(state); }

template <typename Holder, typename Options>
void cell(Catalogue& list, const std::string& name) {
  list.module(name);
  for (const bool bias : {true, false}) {
    list.exact(std::string("five steps") + (bias ? "" : ", without bias"), [bias](Type t) {
      return use_of(Holder(Options(3, 4).bias(bias)), t, inputs({4, 5, 3}),
                    [](Holder& m, const at::Tensor& x) {
                      auto state = m->forward(x.select(1, 0));
                      for (std::int64_t step = 1; step < x.size(1); ++step) {
                        state = m->forward(x.select(1, step), state);
                      }
                      return hidden_of(state);
                    });
    });
  }
}

void recurrent_networks(Catalogue& list) {
  recurrent<nn::RNN>(list, "RNN", nn::RNNOptions(3, 4));
  list.exact("ReLU", [](Type t) {
    return use_of(nn::RNN(nn::RNNOptions(3, 4).batch_first(true).nonlinearity(torch::kReLU)), t,
                  inputs({4, 5, 3}),
                  [](nn::RNN& m, const at::Tensor& x) { return output_of(m->forward(x)); });
  });
  recurrent<nn::GRU>(list, "GRU", nn::GRUOptions(3, 4));
  list.exact("learnt initial state", [](Type t) {
    nn::GRU gru = lively(nn::GRU(nn::GRUOptions(3, 4).batch_first(true)));
    gru->to(t);
    const at::Tensor start = parameter({1, 1, 4}, t);
    std::vector<at::Tensor> parameters = gru->parameters();
    parameters.push_back(start);
    return Problem{parameters,
                   [=](const at::Tensor& x) mutable {
                     const at::Tensor starts = start.expand({1, x.size(0), 4}).contiguous();
                     return reduce_to_losses(output_of(gru->forward(x, starts)));
                   },
                   inputs({4, 5, 3})};
  });
  recurrent<nn::LSTM>(list, "LSTM", nn::LSTMOptions(3, 4));
  list.exact("learnt initial state", [](Type t) {
    nn::LSTM lstm = lively(nn::LSTM(nn::LSTMOptions(3, 4).batch_first(true)));
    lstm->to(t);
    const at::Tensor hidden = parameter({1, 1, 4}, t), cell = parameter({1, 1, 4}, t);
    std::vector<at::Tensor> parameters = lstm->parameters();
    parameters.insert(parameters.end(), {hidden, cell});
    return Problem{parameters,
                   [=](const at::Tensor& x) mutable {
                     const auto start = [&](const at::Tensor& state) {
                       return state.expand({1, x.size(0), 4}).contiguous();
                     };
                     return reduce_to_losses(
                         output_of(lstm->forward(x, std::make_tuple(start(hidden), start(cell)))));
                   },
                   inputs({4, 5, 3})};
  });
  list.exact("several sequences a sample [B S, T, in]", [](Type t) {
    return use_of(
        nn::LSTM(nn::LSTMOptions(3, 4).batch_first(true)), t, inputs({4, 2, 5, 3}),
        [](nn::LSTM& m, const at::Tensor& x) {
          return output_of(m->forward(x.flatten(0, 1))).unflatten(0, {x.size(0), x.size(1)});
        });
  });
  list.exact("oneDNN disabled", [](Type t) {
    return use_of(nn::LSTM(nn::LSTMOptions(3, 4).batch_first(true)), t, inputs({4, 5, 3}),
                  [](nn::LSTM& m, const at::Tensor& x) {
                    const OneDnnDisabled guard;
                    return output_of(m->forward(x));
                  });
  });
  list.exact("proj_size", [](Type t) {
    return use_of(nn::LSTM(nn::LSTMOptions(3, 4).batch_first(true).proj_size(2)), t,
                  inputs({4, 5, 3}),
                  [](nn::LSTM& m, const at::Tensor& x) { return output_of(m->forward(x)); });
  });
  cell<nn::RNNCell, nn::RNNCellOptions>(list, "RNNCell");
  cell<nn::GRUCell, nn::GRUCellOptions>(list, "GRUCell");
  cell<nn::LSTMCell, nn::LSTMCellOptions>(list, "LSTMCell");
}

// Attention and transformers

void attention(Catalogue& list) {
  using Attention = nn::MultiheadAttention;
  using Options = nn::MultiheadAttentionOptions;
  list.module("MultiheadAttention");
  const auto options = [] { return Options(6, 2); };
  const auto on = [&](const std::string& use, Options with, auto forward) {
    list.exact(use, [with, forward](Type t) {
      return use_of(Attention(with), t, inputs({4, 5, 6}),
                    [forward](Attention& m, const at::Tensor& x) {
                      return time_major(forward(m, time_major(x)));
                    });
    });
  };
  const auto self = [](Attention& m, const at::Tensor& x) {
    return std::get<0>(m->forward(x, x, x));
  };
  on("self-attention", options(), self);
  on("self-attention, without bias", options().bias(false), self);
  on("self-attention, causal mask", options(), [](Attention& m, const at::Tensor& x) {
    const at::Tensor mask = torch::full({x.size(0), x.size(0)}, -INFINITY, x.options()).triu(1);
    return std::get<0>(m->forward(x, x, x, {}, true, mask));
  });
  on("self-attention, key padding mask", options(), [](Attention& m, const at::Tensor& x) {
    at::Tensor mask = torch::zeros({x.size(1), x.size(0)}, torch::kBool);
    mask.slice(1, 3).fill_(true);
    return std::get<0>(m->forward(x, x, x, mask));
  });
  on("self-attention, add_zero_attn", options().add_zero_attn(true), self);
  on("cross-attention, key is value", options(), [](Attention& m, const at::Tensor& x) {
    const at::Tensor memory = torch::sin(2 * x.slice(0, 0, 3));
    return std::get<0>(m->forward(x, memory, memory));
  });
  on("three different inputs", options(), [](Attention& m, const at::Tensor& x) {
    return std::get<0>(m->forward(x, torch::sin(2 * x), torch::cos(3 * x)));
  });
  on("kdim and vdim", options().kdim(4).vdim(4), [](Attention& m, const at::Tensor& x) {
    return std::get<0>(m->forward(x, x.slice(2, 0, 4), x.slice(2, 2, 6)));
  });
  list.exact("add_bias_kv", [=](Type t) {
    return use_of(
        Attention(options().add_bias_kv(true)), t, inputs({4, 5, 6}),
        [self](Attention& m, const at::Tensor& x) { return time_major(self(m, time_major(x))); });
  });

  const auto layer = [] { return nn::TransformerEncoderLayerOptions(6, 2).dim_feedforward(8); };
  const auto decoder_layer = [] {
    return nn::TransformerDecoderLayerOptions(6, 2).dim_feedforward(8);
  };
  const auto encoded = [](auto& m, const at::Tensor& x) {
    return time_major(m->forward(time_major(x)));
  };
  const auto decoded = [](auto& m, const at::Tensor& x) {
    const at::Tensor target = time_major(x), memory = torch::sin(2 * target.slice(0, 0, 3));
    return time_major(m->forward(target, memory));
  };
  list.module("TransformerEncoderLayer");
  list.exact("ReLU", [=](Type t) {
    return use_of(nn::TransformerEncoderLayer(layer().dropout(0)), t, inputs({4, 5, 6}), encoded);
  });
  list.exact("GELU", [=](Type t) {
    return use_of(nn::TransformerEncoderLayer(layer().dropout(0).activation(torch::kGELU)), t,
                  inputs({4, 5, 6}), encoded);
  });
  list.module("TransformerDecoderLayer");
  list.exact("with a memory", [=](Type t) {
    return use_of(nn::TransformerDecoderLayer(decoder_layer().dropout(0)), t, inputs({4, 5, 6}),
                  decoded);
  });
  list.module("TransformerEncoder");
  list.exact("two layers, last norm", [=](Type t) {
    nn::TransformerEncoderOptions encoder(layer().dropout(0), 2);
    encoder.norm(nn::AnyModule(nn::LayerNorm(nn::LayerNormOptions({6}))));
    return use_of(nn::TransformerEncoder(encoder), t, inputs({4, 5, 6}), encoded);
  });
  list.module("TransformerDecoder");
  list.exact("two layers", [=](Type t) {
    return use_of(
        nn::TransformerDecoder(nn::TransformerDecoderOptions(decoder_layer().dropout(0), 2)), t,
        inputs({4, 5, 6}), decoded);
  });
  list.module("Transformer");
  list.exact("encoder and decoder", [](Type t) {
    return use_of(nn::Transformer(nn::TransformerOptions(6, 2, 1, 1).dim_feedforward(8).dropout(0)),
                  t, inputs({4, 5, 6}), [](nn::Transformer& m, const at::Tensor& x) {
                    const at::Tensor source = time_major(x);
                    return time_major(m->forward(source, torch::sin(2 * source.slice(0, 0, 3))));
                  });
  });
}

// Losses with parameters

void adaptive_softmax(Catalogue& list) {
  list.module("AdaptiveLogSoftmaxWithLoss");
  const auto layer = [] {
    return nn::AdaptiveLogSoftmaxWithLoss(
        nn::AdaptiveLogSoftmaxWithLossOptions(6, 9, {3, 6}).div_value(2));
  };
  const auto targets = [](const at::Tensor& x) {
    return torch::arange(x.size(0), torch::kInt64).mul(2).remainder(9);
  };
  list.exact("log_prob of all classes", [=](Type t) {
    return use_of(layer(), t, inputs({5, 6}),
                  [](nn::AdaptiveLogSoftmaxWithLoss& m, const at::Tensor& x) {
                    return m->log_prob(x).slice(1, 0, 9, 2);
                  });
  });
  list.refused("forward with targets of several clusters",
               {"Backward0 with", "no dimension", "keeps", "apart", "Remove the operation"},
               "`log_prob` and `gather`", [=](Type t) {
                 return use_of(layer(), t, inputs({5, 6}),
                               [=](nn::AdaptiveLogSoftmaxWithLoss& m, const at::Tensor& x) {
                                 return m->forward(x, targets(x)).output.unsqueeze(1);
                               });
               });
}

// Containers

void containers(Catalogue& list) {
  list.module("Sequential");
  list.exact("convolution, normalisation, linear", [](Type t) {
    return plain(nn::Sequential(nn::Conv2d(2, 4, 3), nn::GroupNorm(2, 4), nn::Tanh(), nn::Flatten(),
                                nn::Linear(4 * 9, 3)),
                 t, inputs({5, 2, 5, 5}));
  });
  list.module("ModuleList");
  list.exact("layers in a loop", [](Type t) {
    return use_of(nn::ModuleList(nn::Linear(5, 5), nn::Linear(5, 5)), t, inputs({6, 5}),
                  [](nn::ModuleList& m, const at::Tensor& x) {
                    at::Tensor h = x;
                    for (const auto& layer : *m)
                      h = torch::tanh(layer->as<nn::Linear>()->forward(h));
                    return h;
                  });
  });
  list.module("ModuleDict");
  list.exact("layers by name", [](Type t) {
    nn::ModuleDict parts;
    parts->update({{"first", nn::Linear(5, 4).ptr()}, {"second", nn::Linear(4, 3).ptr()}});
    return use_of(parts, t, inputs({6, 5}), [](nn::ModuleDict& m, const at::Tensor& x) {
      return (*m)["second"]->as<nn::Linear>()->forward(
          torch::tanh((*m)["first"]->as<nn::Linear>()->forward(x)));
    });
  });
  list.module("ParameterList");
  list.exact("a scale and a shift", [](Type t) {
    return use_of(nn::ParameterList(parameter({5}, t), parameter({4, 5}, t)), t, inputs({6, 4, 5}),
                  [](nn::ParameterList& m, const at::Tensor& x) { return x * (*m)[0] + (*m)[1]; });
  });
  list.module("ParameterDict");
  list.exact("a matrix by name", [](Type t) {
    nn::ParameterDict parts;
    parts->insert("matrix", parameter({5, 3}, t));
    return use_of(parts, t, inputs({6, 4, 5}), [](nn::ParameterDict& m, const at::Tensor& x) {
      return x.matmul((*m)["matrix"]);
    });
  });
}

// Without a module

void functions(Catalogue& list) {
  list.module("torch::_weight_norm");
  const auto weight_norm = [](std::int64_t dim, std::vector<std::int64_t> v,
                              std::vector<std::int64_t> g, at::Tensor batch, auto forward) {
    return [=](Type t) {
      const at::Tensor direction = parameter(v, t), length = parameter(g, t, 1.5);
      return Problem{
          {direction, length},
          [=](const at::Tensor& x) {
            return reduce_to_losses(forward(x, torch::_weight_norm(direction, length, dim)));
          },
          batch};
    };
  };
  const auto linear = [](const at::Tensor& x, const at::Tensor& w) { return F::linear(x, w); };
  list.exact("of a linear map", [=](Type t) {
    return weight_norm(0, {4, 5}, {4, 1}, inputs({6, 5}), linear)(t);
  });
  list.exact("of a linear map, sequences", [=](Type t) {
    return weight_norm(0, {4, 5}, {4, 1}, inputs({6, 3, 5}), linear)(t);
  });
  list.exact("over the last dimension", [=](Type t) {
    return weight_norm(1, {4, 5}, {1, 5}, inputs({6, 5}), linear)(t);
  });
  list.exact("of a convolution", [=](Type t) {
    return weight_norm(0, {4, 3, 2, 2}, {4, 1, 1, 1}, inputs({5, 3, 4, 4}),
                       [](const at::Tensor& x, const at::Tensor& w) { return F::conv2d(x, w); })(t);
  });
  list.exact("of a weight that is used twice", [=](Type t) {
    return weight_norm(0, {5, 5}, {5, 1}, inputs({6, 5}),
                       [](const at::Tensor& x, const at::Tensor& w) {
                         return F::linear(torch::tanh(F::linear(x, w)), w);
                       })(t);
  });

  list.module("torch::rms_norm");
  for (const auto& [use, sizes] : std::vector<std::pair<std::string, std::vector<std::int64_t>>>{
           {"rows [B, C]", {5, 6}}, {"sequences [B, T, C]", {5, 4, 6}}}) {
    list.exact(use, [sizes = sizes](Type t) {
      const at::Tensor gain = parameter({6}, t, 1);
      return Problem{
          {gain},
          [=](const at::Tensor& x) {
            return reduce_to_losses(torch::rms_norm(x.to(gain.dtype()), {6}, gain, 1e-5));
          },
          inputs(sizes)};
    });
  }

  list.module("parameters alone");
  list.exact("added and multiplied", [](Type t) {
    const at::Tensor shift = parameter({4, 5}, t), scale = parameter({5}, t);
    return Problem{{shift, scale},
                   [=](const at::Tensor& x) { return reduce_to_losses((x + shift) * scale); },
                   inputs({6, 4, 5})};
  });
  list.exact("a token in front of every sequence", [](Type t) {
    const at::Tensor token = parameter({1, 1, 5}, t), gain = parameter({5}, t);
    return Problem{{token, gain},
                   [=](const at::Tensor& x) {
                     const at::Tensor first = token.expand({x.size(0), 1, 5});
                     return reduce_to_losses(torch::cat({first, x * gain}, 1).cumsum(1).sin());
                   },
                   inputs({6, 4, 5})};
  });
  list.exact("repeated for every sample", [](Type t) {
    const at::Tensor token = parameter({2, 5}, t);
    return Problem{{token},
                   [=](const at::Tensor& x) {
                     return reduce_to_losses(
                         torch::cat({token.repeat({x.size(0), 2, 1}), x}, 1).cumsum(1).sin());
                   },
                   inputs({6, 4, 5})};
  });
  list.exact("einsum", [](Type t) {
    const at::Tensor weight = parameter({5, 2, 3}, t);
    return Problem{{weight},
                   [=](const at::Tensor& x) {
                     return reduce_to_losses(torch::einsum("btd,dhk->bthk", {x, weight}));
                   },
                   inputs({6, 4, 5})};
  });
  list.slow("expressions of parameters", "MulBackward0",
            "`allow_slow_rules`; `torch::_weight_norm` for g v / |v|", [](Type t) {
              const at::Tensor weight = parameter({4, 5}, t), gain = parameter({4, 1}, t);
              return Problem{{weight, gain},
                             [=](const at::Tensor& x) {
                               return reduce_to_losses(
                                   F::linear(x, weight / weight.norm(2, {1}, true) * gain.exp()));
                             },
                             inputs({6, 5})};
            });
  list.slow("elements picked by index", "IndexBackward0", "`allow_slow_rules`, or `Embedding`",
            [](Type t) {
              const at::Tensor rows = parameter({7, 4}, t);
              return Problem{{rows},
                             [=](const at::Tensor& x) { return reduce_to_losses(rows.index({x})); },
                             tokens({5, 6}, 7)};
            });
}

// Models

/// Two blocks of causal attention with the words' table as output layer.
struct LanguageModelImpl : nn::Module {
  explicit LanguageModelImpl(std::int64_t words)
      : table(register_module("table", nn::Embedding(words, 8))),
        places(register_module("places", nn::Embedding(6, 8))) {
    for (int i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i);
      blocks.push_back({register_module("norm" + n, nn::LayerNorm(nn::LayerNormOptions({8}))),
                        register_module("heads" + n, nn::Linear(8, 24)),
                        register_module("out" + n, nn::Linear(8, 8)),
                        register_module("wide" + n, nn::Linear(8, 16)),
                        register_module("narrow" + n, nn::Linear(16, 8))});
    }
  }
  at::Tensor forward(const at::Tensor& tokens_in) {
    const std::int64_t batch = tokens_in.size(0), steps = tokens_in.size(1);
    at::Tensor x = table->forward(tokens_in) + places->forward(torch::arange(steps, torch::kInt64));
    for (Block& block : blocks) {
      const auto parts = block.heads->forward(block.norm->forward(x)).chunk(3, -1);
      const auto heads = [&](const at::Tensor& part) {
        return part.view({batch, steps, 2, 4}).transpose(1, 2);
      };
      const at::Tensor attended = at::scaled_dot_product_attention(
          heads(parts[0]), heads(parts[1]), heads(parts[2]), {}, 0.0, /*is_causal=*/true);
      x = x + block.out->forward(attended.transpose(1, 2).reshape({batch, steps, 8}));
      x = x + block.narrow->forward(torch::gelu(block.wide->forward(x)));
    }
    return F::linear(x, table->weight);
  }
  struct Block {
    nn::LayerNorm norm;
    nn::Linear heads, out, wide, narrow;
  };
  nn::Embedding table, places;
  std::vector<Block> blocks;
};
TORCH_MODULE(LanguageModel);  // NOLINT

/// Next-word losses, [B, T].
at::Tensor word_losses(const at::Tensor& logits, const at::Tensor& words) {
  return F::cross_entropy(logits.transpose(1, 2), words.roll(-1, 1),
                          F::CrossEntropyFuncOptions().reduction(torch::kNone));
}

/// Patches of an image, a class token and an encoder.
struct VisionTransformerImpl : nn::Module {
  VisionTransformerImpl()
      : patches(register_module("patches", nn::Conv2d(nn::Conv2dOptions(2, 6, 2).stride(2)))),
        token(register_parameter("token", torch::zeros({1, 1, 6}))),
        places(register_parameter("places", torch::zeros({1, 5, 6}))),
        encoder(register_module(
            "encoder",
            nn::TransformerEncoderLayer(
                nn::TransformerEncoderLayerOptions(6, 2).dim_feedforward(8).dropout(0)))),
        head(register_module("head", nn::Linear(6, 3))) {}
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor embedded = patches->forward(x).flatten(2).transpose(1, 2);  // [B, 4, 6]
    const at::Tensor all = torch::cat({token.expand({x.size(0), 1, 6}), embedded}, 1) + places;
    return head->forward(time_major(encoder->forward(time_major(all))).select(1, 0));
  }
  nn::Conv2d patches;
  at::Tensor token, places;
  nn::TransformerEncoderLayer encoder;
  nn::Linear head;
};
TORCH_MODULE(VisionTransformer);  // NOLINT

void freeze(const std::vector<at::Tensor>& parameters) {
  for (at::Tensor parameter : parameters) parameter.requires_grad_(false);
}

/// The same numbers for both types; what is frozen is not copied from one problem to its twin.
at::Tensor fixed(at::IntArrayRef sizes, Type t) {
  const std::int64_t count = c10::multiply_integers(sizes);
  return torch::linspace(-3, 3, count, torch::kFloat64).sin().to(torch::kFloat32).to(t).view(sizes);
}

void models(Catalogue& list) {
  list.module("model");
  list.exact("language model, tied table, sum of losses [B, T]", [](Type t) {
    LanguageModel model = lively(LanguageModel(9));
    model->to(t);
    return Problem{
        model->parameters(),
        [=](const at::Tensor& x) mutable { return word_losses(model->forward(x), x).sum(1); },
        tokens({4, 6}, 9)};
  });
  list.exact("language model, tied table of many words, mean over unmasked words", [](Type t) {
    LanguageModel model = lively(LanguageModel(1500));
    model->to(t);
    return Problem{model->parameters(),
                   [=](const at::Tensor& x) mutable {
                     const at::Tensor mask = x.ne(0).to(model->table->weight.dtype());
                     const at::Tensor losses = word_losses(model->forward(x), x) * mask;
                     return losses.sum(1) / mask.sum(1).clamp_min(1);
                   },
                   tokens({4, 6}, 12)};
  });
  list.exact("vision transformer with a class token", [](Type t) {
    return use_of(VisionTransformer(), t, inputs({4, 2, 4, 4}),
                  [](VisionTransformer& m, const at::Tensor& x) { return m->forward(x); });
  });
  list.exact("frozen features, trained head", [](Type t) {
    nn::Linear head = lively(nn::Linear(4, 3));
    head->to(t);
    const at::Tensor features = fixed({4, 6}, t);
    return Problem{head->parameters(),
                   [=](const at::Tensor& x) mutable {
                     return reduce_to_losses(head->forward(torch::tanh(F::linear(x, features))));
                   },
                   inputs({6, 6})};
  });
  list.exact("trained layers below and above a frozen one", [](Type t) {
    nn::Sequential layers = lively(nn::Sequential(nn::Linear(6, 5), nn::Linear(4, 3)));
    layers->to(t);
    const at::Tensor frozen = fixed({4, 5}, t);
    return Problem{layers->parameters(),
                   [=](const at::Tensor& x) mutable {
                     const at::Tensor h = torch::tanh(layers[0]->as<nn::Linear>()->forward(x));
                     return reduce_to_losses(
                         layers[1]->as<nn::Linear>()->forward(torch::tanh(F::linear(h, frozen))));
                   },
                   inputs({6, 6})};
  });
  list.exact("biases and norms alone", [](Type t) {
    nn::Sequential layers(nn::Linear(6, 5), nn::LayerNorm(nn::LayerNormOptions({5})), nn::Tanh(),
                          nn::Linear(5, 3));
    layers->to(t);
    std::vector<at::Tensor> trained;
    {
      const torch::NoGradGuard no_grad;
      for (const auto& parameter : layers->named_parameters()) {
        parameter.value().copy_(fixed(parameter.value().sizes(), t));
      }
    }
    for (const auto& parameter : layers->named_parameters()) {
      const bool matrix = parameter.value().dim() > 1;
      if (matrix) {
        freeze({parameter.value()});
      } else {
        trained.push_back(parameter.value());
      }
    }
    return Problem{
        trained, [=](const at::Tensor& x) mutable { return reduce_to_losses(layers->forward(x)); },
        inputs({6, 4, 6})};
  });
  list.exact("low-rank adapters beside a frozen linear map", [](Type t) {
    const at::Tensor frozen = fixed({5, 6}, t);
    const at::Tensor down = parameter({2, 6}, t), up = parameter({5, 2}, t);
    return Problem{
        {down, up},
        [=](const at::Tensor& x) {
          return reduce_to_losses(F::linear(x, frozen) + F::linear(F::linear(x, down), up) * 0.5);
        },
        inputs({6, 4, 6})};
  });
  list.slow("low-rank adapters added to the weight", "AddBackward0",
            "`allow_slow_rules`, or add the adapter's output instead: x A B", [](Type t) {
              const at::Tensor weight = parameter({5, 6}, t);
              const at::Tensor down = parameter({2, 6}, t), up = parameter({5, 2}, t);
              return Problem{{weight, down, up},
                             [=](const at::Tensor& x) {
                               return reduce_to_losses(F::linear(x, weight + up.mm(down)));
                             },
                             inputs({6, 4, 6})};
            });
  list.exact("two heads, their losses added", [](Type t) {
    nn::Sequential layers =
        lively(nn::Sequential(nn::Linear(6, 5), nn::Linear(5, 3), nn::Linear(5, 1)));
    layers->to(t);
    return Problem{layers->parameters(),
                   [=](const at::Tensor& x) mutable {
                     const auto layer = [&](std::size_t i, const at::Tensor& h) {
                       return layers[i]->as<nn::Linear>()->forward(h);
                     };
                     const at::Tensor h = torch::tanh(layer(0, x));
                     const at::Tensor classes = x.detach().argmax(1).remainder(3);
                     return F::cross_entropy(layer(1, h), classes,
                                             F::CrossEntropyFuncOptions().reduction(torch::kNone)) +
                            0.3 * layer(2, h).squeeze(1).square();
                   },
                   inputs({6, 6})};
  });
  list.exact("one encoder for both halves of a sample", [](Type t) {
    return use_of(nn::Sequential(nn::Linear(6, 5), nn::Tanh(), nn::Linear(5, 3)), t,
                  inputs({6, 2, 6}), [](nn::Sequential& m, const at::Tensor& x) {
                    return m->forward(x.select(1, 0)) * m->forward(x.select(1, 1));
                  });
  });
}

}  // namespace

std::vector<Way> every_way() {
  Catalogue list;
  linear(list);
  convolution<nn::Conv1d, nn::Conv1dOptions, 1>(list, "Conv1d");
  convolution<nn::Conv2d, nn::Conv2dOptions, 2>(list, "Conv2d");
  convolution<nn::Conv3d, nn::Conv3dOptions, 3>(list, "Conv3d");
  transposed_convolution<nn::ConvTranspose1d, nn::ConvTranspose1dOptions, 1>(list,
                                                                             "ConvTranspose1d");
  transposed_convolution<nn::ConvTranspose2d, nn::ConvTranspose2dOptions, 2>(list,
                                                                             "ConvTranspose2d");
  transposed_convolution<nn::ConvTranspose3d, nn::ConvTranspose3dOptions, 3>(list,
                                                                             "ConvTranspose3d");
  embedding(list);
  elementwise(list);
  normalisation(list);
  recurrent_networks(list);
  attention(list);
  adaptive_softmax(list);
  containers(list);
  functions(list);
  models(list);
  return std::move(list).ways();
}

std::vector<std::pair<std::string, std::shared_ptr<nn::Module>>> modules_without_parameters() {
#define VELUM_MODULE(Name, ...) \
  { #Name, nn::Name{__VA_ARGS__ }.ptr() }
  return {
      VELUM_MODULE(AdaptiveAvgPool1d, 2),
      VELUM_MODULE(AdaptiveAvgPool2d, 2),
      VELUM_MODULE(AdaptiveAvgPool3d, 2),
      VELUM_MODULE(AdaptiveMaxPool1d, 2),
      VELUM_MODULE(AdaptiveMaxPool2d, 2),
      VELUM_MODULE(AdaptiveMaxPool3d, 2),
      VELUM_MODULE(AlphaDropout),
      VELUM_MODULE(AvgPool1d, 2),
      VELUM_MODULE(AvgPool2d, 2),
      VELUM_MODULE(AvgPool3d, 2),
      VELUM_MODULE(BCELoss),
      VELUM_MODULE(BCEWithLogitsLoss),
      VELUM_MODULE(CELU),
      VELUM_MODULE(CTCLoss),
      VELUM_MODULE(ConstantPad1d, nn::ConstantPad1dOptions(1, 0)),
      VELUM_MODULE(ConstantPad2d, nn::ConstantPad2dOptions(1, 0)),
      VELUM_MODULE(ConstantPad3d, nn::ConstantPad3dOptions(1, 0)),
      VELUM_MODULE(CosineEmbeddingLoss),
      VELUM_MODULE(CosineSimilarity),
      VELUM_MODULE(CrossEntropyLoss),
      VELUM_MODULE(CrossMapLRN2d, 2),
      VELUM_MODULE(Dropout),
      VELUM_MODULE(Dropout2d),
      VELUM_MODULE(Dropout3d),
      VELUM_MODULE(ELU),
      VELUM_MODULE(FeatureAlphaDropout),
      VELUM_MODULE(Flatten),
      VELUM_MODULE(Fold, nn::FoldOptions({4, 4}, {2, 2})),
      VELUM_MODULE(FractionalMaxPool2d, nn::FractionalMaxPool2dOptions(2).output_size(2)),
      VELUM_MODULE(FractionalMaxPool3d, nn::FractionalMaxPool3dOptions(2).output_size(2)),
      VELUM_MODULE(Functional, [](const at::Tensor& x) { return x; }),
      VELUM_MODULE(GELU),
      VELUM_MODULE(GLU),
      VELUM_MODULE(Hardshrink),
      VELUM_MODULE(Hardtanh),
      VELUM_MODULE(HingeEmbeddingLoss),
      VELUM_MODULE(HuberLoss),
      VELUM_MODULE(Identity),
      VELUM_MODULE(KLDivLoss),
      VELUM_MODULE(L1Loss),
      VELUM_MODULE(LPPool1d, nn::LPPool1dOptions(2, 2)),
      VELUM_MODULE(LPPool2d, nn::LPPool2dOptions(2, 2)),
      VELUM_MODULE(LPPool3d, nn::LPPool3dOptions(2, 2)),
      VELUM_MODULE(LeakyReLU),
      VELUM_MODULE(LocalResponseNorm, 2),
      VELUM_MODULE(LogSigmoid),
      VELUM_MODULE(LogSoftmax, 1),
      VELUM_MODULE(MSELoss),
      VELUM_MODULE(MarginRankingLoss),
      VELUM_MODULE(MaxPool1d, 2),
      VELUM_MODULE(MaxPool2d, 2),
      VELUM_MODULE(MaxPool3d, 2),
      VELUM_MODULE(MaxUnpool1d, 2),
      VELUM_MODULE(MaxUnpool2d, 2),
      VELUM_MODULE(MaxUnpool3d, 2),
      VELUM_MODULE(Mish),
      VELUM_MODULE(MultiLabelMarginLoss),
      VELUM_MODULE(MultiLabelSoftMarginLoss),
      VELUM_MODULE(MultiMarginLoss),
      VELUM_MODULE(NLLLoss),
      VELUM_MODULE(PairwiseDistance),
      VELUM_MODULE(PixelShuffle, 2),
      VELUM_MODULE(PixelUnshuffle, 2),
      VELUM_MODULE(PoissonNLLLoss),
      VELUM_MODULE(RReLU),
      VELUM_MODULE(ReLU),
      VELUM_MODULE(ReLU6),
      VELUM_MODULE(ReflectionPad1d, 1),
      VELUM_MODULE(ReflectionPad2d, 1),
      VELUM_MODULE(ReflectionPad3d, 1),
      VELUM_MODULE(ReplicationPad1d, 1),
      VELUM_MODULE(ReplicationPad2d, 1),
      VELUM_MODULE(ReplicationPad3d, 1),
      VELUM_MODULE(SELU),
      VELUM_MODULE(SiLU),
      VELUM_MODULE(Sigmoid),
      VELUM_MODULE(SmoothL1Loss),
      VELUM_MODULE(SoftMarginLoss),
      VELUM_MODULE(Softmax, 1),
      VELUM_MODULE(Softmax2d),
      VELUM_MODULE(Softmin, 1),
      VELUM_MODULE(Softplus),
      VELUM_MODULE(Softshrink),
      VELUM_MODULE(Softsign),
      VELUM_MODULE(Tanh),
      VELUM_MODULE(Tanhshrink),
      VELUM_MODULE(Threshold, nn::ThresholdOptions(0, 0)),
      VELUM_MODULE(TripletMarginLoss),
      VELUM_MODULE(TripletMarginWithDistanceLoss),
      VELUM_MODULE(Unflatten, nn::UnflattenOptions(1, {1, 1})),
      VELUM_MODULE(Unfold, nn::UnfoldOptions(2)),
      VELUM_MODULE(Upsample),
      VELUM_MODULE(ZeroPad1d, 1),
      VELUM_MODULE(ZeroPad2d, 1),
      VELUM_MODULE(ZeroPad3d, 1),
  };
#undef VELUM_MODULE
}

}  // namespace velum::testing
