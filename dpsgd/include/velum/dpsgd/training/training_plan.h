#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "velum/dpsgd/accounting/composition.h"
#include "velum/dpsgd/clipping.h"

namespace velum::dpsgd {

enum class ModelKind {
  kScatterLinear,  ///< softmax regression on preconditioned scattering features
  kCnn,            ///< two tanh convolutions and two linear layers on pixels
  kMlp,            ///< one tanh layer on pixels
};
std::string_view to_string(ModelKind model);  ///< "scatter-linear", "cnn", "mlp"
/// @throws std::invalid_argument naming the known ones.
ModelKind model_kind_from_string(std::string_view name);

/// The layers of a model: the indices of the parameters of each, in the order of `parameters()`.
std::vector<std::vector<std::int64_t>> layers_of_model(ModelKind kind);

/// Where the preconditioner of `ModelKind::kScatterLinear` comes from.
enum class FeatureRecipe {
  kShapes,   ///< "S": images of random shapes, a constant of the program; costs no privacy
  kMoments,  ///< "K": second moments of the training features, released with noise
};
std::string_view to_string(FeatureRecipe recipe);  ///< "S", "K"
/// @throws std::invalid_argument naming the known ones.
FeatureRecipe feature_recipe_from_string(std::string_view name);

/// How each example's gradient is bounded (clipping.h).
enum class ClippingKind {
  kFlat,       ///< by one norm
  kPerLayer,   ///< by a norm for each layer, weight and bias together: equal shares of one norm
  kAutomatic,  ///< brought near one norm
  kAdaptive,   ///< by a norm that follows a quantile of the gradients' norms
};
std::string_view to_string(
    ClippingKind clipping);  ///< "flat", "per-layer", "automatic", "adaptive"
/// @throws std::invalid_argument naming the known ones.
ClippingKind clipping_kind_from_string(std::string_view name);

/// What is asked of a training run. What is left open gets the default of the model.
struct TrainingOptions {
  std::string dataset = "fashion-mnist";      ///< or "idx": any files of the MNIST family
  std::filesystem::path data_directory = {};  ///< empty: where Debian's package puts fashion-mnist
  ModelKind model = ModelKind::kScatterLinear;
  FeatureRecipe recipe = FeatureRecipe::kShapes;

  /// Whose each training image is (user_ids.h): users are protected, each with all images. Empty:
  /// images are.
  std::filesystem::path users_file = {};
  /// Most images of a user in a step, chosen anew at random; none: all.
  std::optional<std::int64_t> max_samples_per_user = std::nullopt;

  std::optional<double> epsilon = std::nullopt;           ///< this or noise_multiplier
  std::optional<double> noise_multiplier = std::nullopt;  ///< of the training steps
  double delta = 1e-5;

  std::optional<double> epochs = std::nullopt;  ///< this or steps
  std::optional<std::int64_t> steps = std::nullopt;
  std::optional<double> sampling_rate = std::nullopt;  ///< this or batch_size
  std::optional<std::int64_t> batch_size =
      std::nullopt;  ///< expected units: sampling_rate = batch_size / N
  ClippingKind clipping = ClippingKind::kFlat;
  std::optional<double> clipping_norm = std::nullopt;         ///< C; of kAdaptive the first one
  std::optional<double> clipping_stability = std::nullopt;    ///< gamma of kAutomatic
  std::optional<double> clipping_quantile = std::nullopt;     ///< gamma of kAdaptive
  std::optional<double> clipping_rate = std::nullopt;         ///< eta_C of kAdaptive
  std::optional<double> clipping_count_noise = std::nullopt;  ///< sigma_b of kAdaptive
  std::optional<double> learning_rate = std::nullopt;
  std::optional<double> momentum = std::nullopt;
  std::optional<std::int64_t> physical_batch_size = std::nullopt;
  /// Random views of each image, averaged before the clip (image_views.h); 0: the image itself.
  std::optional<std::int64_t> views = std::nullopt;
  /// Decay of the average of the weights that is the result (weight_average.h); 0: the last ones.
  std::optional<double> average_decay = std::nullopt;
  /// Pixels for a network in [-1, 1] instead of [0, 1]: a constant of the program, no statistic.
  std::optional<bool> centre_pixels = std::nullopt;
  /// Train without the last so many training images and test on them instead of the test images:
  /// for choosing all the rest. They are not protected.
  std::int64_t held_out = 0;
  /// Makes the run reproducible, and therefore not private.
  std::optional<std::uint64_t> insecure_seed = std::nullopt;
  /// A ledger that every release is entered into, and whose budget ends the run; with
  /// `ledger_data_set`.
  std::filesystem::path ledger_file = {};
  std::string ledger_data_set = {};  ///< what the training data are called in it
};

/// The ledger of a run.
struct LedgerUse {
  std::filesystem::path file = {};  ///< absolute
  std::string ledger_id = {};
  std::string data_set = {};
  std::string run = {};
};

/// A Gaussian release that comes before the training steps.
struct PreparatoryRelease {
  std::string label = {};
  double noise_multiplier = 0.0;
};

/// A training run with nothing left open; what a resumed run goes by.
struct TrainingPlan {
  std::string dataset;
  std::filesystem::path data_directory;
  std::int64_t dataset_size = 0;  ///< images; treated as public where they are what is protected
  std::filesystem::path users_file = {};  ///< absolute
  std::optional<std::int64_t> user_count =
      std::nullopt;  ///< if users are what is protected; public
  std::optional<std::int64_t> max_samples_per_user = std::nullopt;
  ModelKind model = ModelKind::kScatterLinear;
  FeatureRecipe recipe = FeatureRecipe::kShapes;

  double epsilon = 0.0;  ///< the budget: of the whole plan at delta; no release exceeds it
  double delta = 0.0;
  std::vector<PreparatoryRelease> preparation;
  double noise_multiplier = 0.0;
  double moment_floor = 0.0;  ///< of the preconditioner
  double sampling_rate = 0.0;
  std::int64_t steps = 0;
  std::int64_t steps_per_epoch = 0;
  double clipping_norm = 0.0;  ///< `clipping.clipping_norm()`
  Clipping clipping = Clipping::flat(1.0);
  double learning_rate = 0.0;
  double momentum = 0.0;
  std::int64_t physical_batch_size = 0;
  std::int64_t views = 0;
  double average_decay = 0.0;
  bool centre_pixels = false;
  std::int64_t held_out = 0;  ///< not in dataset_size
  std::optional<std::uint64_t> insecure_seed;
  std::optional<LedgerUse> ledger;

  bool by_user() const { return user_count.has_value(); }
  const char* unit() const { return by_user() ? "user" : "example"; }
  /// N: examples or users.
  std::int64_t unit_count() const { return user_count.value_or(dataset_size); }
  /// Of the training steps, as the engine labels them.
  const char* training_label() const;
  /// What one training step is to an accountant.
  Mechanism step_mechanism() const;
  /// All releases, if nothing goes wrong.
  Composition planned_releases() const;

  std::string to_json() const;
  /// @throws std::invalid_argument if the text is not what `to_json` writes.
  static TrainingPlan from_json(std::string_view json);
};

/// Everything about the options that can be found wrong without the data.
/// @throws std::invalid_argument naming option, value and range.
void validate(const TrainingOptions& options);

/// Decides what was left open, and the noise: the smallest with which all planned releases stay
/// within (epsilon, delta).
///
/// Defaults, C = 0.1 and momentum 0.9 throughout; of adaptive clipping the quantile 0.5, rate 0.2
/// and noise on the counts of a twentieth of the expected batch size, but at least the noise
/// multiplier; of automatic clipping gamma 0.01:
/// - scatter-linear: sampling_rate 1, 60 steps; learning rate 360, 660, 960, 1600 at epsilon 1, 2,
///   3, 8, between and beyond by a power law through the two nearest, times 0.1 / C.
///   Shares of the budget's mu: recipe S 0.12 for the mean of the features; recipe K 0.10 for the
///   mean, 0.20 and 0.15 for the second moments over positions and over channels.
/// - cnn: batch_size 2048 (at most N / 4), 40 epochs, learning rate 4, times 0.1 / C; pixels in
///   [-1, 1], averaged weights with decay 0.995, no views.
/// - mlp: batch_size 4096 (at most N / 4), 60 epochs, learning rate 8, times 0.1 / C; pixels in
///   [0, 1], the last weights.
///
/// @param dataset_size  >= 1: images to train on, without those held out.
/// @param user_count    number of different users, with `options.users_file` and only then; N above
///                      is that, and else dataset_size.
/// @throws std::invalid_argument as `validate`, or where the budget allows no training.
TrainingPlan make_training_plan(const TrainingOptions& options, std::int64_t dataset_size,
                                std::optional<std::int64_t> user_count = std::nullopt);

/// @throws std::invalid_argument where an option belongs to another clipping.
void require_clipping_fits(const TrainingOptions& options);
/// The clipping that the options ask for.
/// @param default_count_noise  of adaptive clipping, where the options say nothing.
/// @throws std::invalid_argument where a value is out of range.
Clipping clipping_of(const TrainingOptions& options, double default_count_noise);

}  // namespace velum::dpsgd
