#include "velum/dpsgd/training/training_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/training/release_labels.h"

namespace velum::dpsgd {
namespace {

using Json = nlohmann::json;

constexpr int kPlanFormat = 1;
/// A velum that knows no ledger must not go on with a run that keeps one.
constexpr int kLedgerPlanFormat = 2;
/// As the former, with views of the images, averages of the weights or images held out.
constexpr int kViewsPlanFormat = 3;
/// As the former, with another clipping than by one norm.
constexpr int kClippingPlanFormat = 4;
/// As the former, for users.
constexpr int kUsersPlanFormat = 5;
constexpr double kDefaultClippingNorm = 0.1;
constexpr double kDefaultMomentum = 0.9;
constexpr double kDefaultStability = 0.01;

// Shares of the budget's mu that the releases before the training take.
constexpr double kShapesMeanShare = 0.12;
constexpr double kMomentsMeanShare = 0.10;
constexpr double kMomentsChannelShare = 0.20;
constexpr double kMomentsSpatialShare = 0.15;

template <typename T>
[[noreturn]] void refuse(const char* name, const T& value, const char* expected) {
  std::ostringstream text;
  text << name << " = " << value << ", expected " << expected;
  throw std::invalid_argument(text.str());
}

void require_positive(const char* name, const std::optional<double>& value) {
  if (value && !(*value > 0.0 && std::isfinite(*value))) {
    refuse(name, *value, "finite and above 0");
  }
}

void require_at_least_one(const char* name, const std::optional<std::int64_t>& value) {
  if (value && *value < 1) refuse(name, *value, "at least 1");
}

int format_of(const TrainingPlan& plan) {
  if (plan.by_user()) return kUsersPlanFormat;
  if (plan.clipping.kind() != Clipping::Kind::kFlat) return kClippingPlanFormat;
  if (plan.views > 0 || plan.average_decay > 0 || plan.centre_pixels || plan.held_out > 0)
    return kViewsPlanFormat;
  return plan.ledger ? kLedgerPlanFormat : kPlanFormat;
}

void require_not_both(const char* a, bool has_a, const char* b, bool has_b) {
  if (has_a && has_b) {
    throw std::invalid_argument(std::string(a) + " and " + b + " say the same thing: give one");
  }
}

/// Measured values and a power law through the two nearest.
struct Anchor {
  double epsilon;
  double value;
};
template <std::size_t kCount>
double power_law(const std::array<Anchor, kCount>& anchors, double epsilon) {
  std::size_t upper = 1;
  while (upper + 1 < kCount && epsilon > anchors[upper].epsilon) ++upper;
  const Anchor& a = anchors[upper - 1];
  const Anchor& b = anchors[upper];
  const double slope = std::log(b.value / a.value) / std::log(b.epsilon / a.epsilon);
  return a.value * std::pow(epsilon / a.epsilon, slope);
}
constexpr std::array<Anchor, 4> kScatterLearningRate{{{1, 360}, {2, 660}, {3, 960}, {8, 1600}}};
constexpr std::array<Anchor, 3> kMomentFloor{{{1, 6e-3}, {2, 2e-3}, {3, 1e-3}}};

/// What a network takes where the options say nothing, not charged to epsilon: batch, passes and
/// rate of the cnn are Tramer and Boneh's (ICLR 2021) for this network on Fashion-MNIST; the rest,
/// and the mlp's, was chosen on 10,000 images held out of the training set, not on the test set
/// (docs/fashion_mnist.md).
struct NetworkDefaults {
  double batch_size;  // expected; at most a quarter of the data set
  double epochs;
  double learning_rate;  // at kDefaultClippingNorm
  std::int64_t views;
  double average_decay;
  bool centre_pixels;
};
NetworkDefaults network_defaults(ModelKind model) {
  if (model == ModelKind::kMlp) return {4096, 60, 8, 0, 0, false};
  return {2048, 40, 4, 0, 0.995, true};
}
constexpr double kScatterEpochs = 60;
constexpr std::int64_t kMaxViews = 1024;
/// Most images in a physical batch of a network, all views counted.
constexpr std::int64_t kPhysicalImages = 512;

bool is_scatter(const TrainingPlan& plan) { return plan.model == ModelKind::kScatterLinear; }

/// The releases before the training, each with its share.
std::vector<PlannedRelease> preparation_shares(const TrainingPlan& plan) {
  if (!is_scatter(plan)) return {};
  if (plan.recipe == FeatureRecipe::kShapes) return {{kMeanLabel, 1, kShapesMeanShare}};
  return {{kMeanLabel, 1, kMomentsMeanShare},
          {kChannelMomentLabel, 1, kMomentsChannelShare},
          {kSpatialMomentLabel, 1, kMomentsSpatialShare}};
}

double epsilon_of(const Composition& releases, double delta) {
  RdpAccountant accountant(releases.neighbouring());
  accountant.compose(releases);
  return accountant.epsilon(delta);
}

/// Fills in the noise for a budget of (plan.epsilon, plan.delta).
void calibrate(TrainingPlan& plan) {
  std::vector<PlannedRelease> releases = preparation_shares(plan);
  releases.push_back({plan.training_label(), plan.steps, std::nullopt});
  const std::vector<double> noise = calibrate_gaussian_releases(plan.epsilon, plan.delta, releases);
  for (std::size_t i = 0; i + 1 < releases.size(); ++i) {
    plan.preparation.push_back({releases[i].label, noise[i]});
  }
  plan.noise_multiplier = noise.back();
  if (plan.sampling_rate < 1.0) {
    RdpAccountant spent;
    for (const PreparatoryRelease& release : plan.preparation) {
      spent.compose(GaussianMechanism{release.noise_multiplier});
    }
    plan.noise_multiplier =
        calibrate_noise_multiplier(spent, plan.epsilon, plan.delta, plan.sampling_rate, plan.steps);
  }
}

/// The noise of the training steps is given: the budget is what they and the releases before them,
/// at their usual shares, cost together.
void price(TrainingPlan& plan, double noise_multiplier) {
  plan.noise_multiplier = noise_multiplier;
  const std::vector<PlannedRelease> releases = preparation_shares(plan);
  if (!releases.empty()) {
    // As for full batches, the training has what the shares leave of mu^2; where it is sampled,
    // the mu of a full-batch training that costs the same takes its place.
    double left = 1.0;
    for (const PlannedRelease& release : releases) left -= *release.share * *release.share;
    Composition training;
    training.append(plan.step_mechanism(), plan.steps, plan.training_label());
    RdpAccountant accountant;
    accountant.compose(training);
    double mu = std::sqrt(static_cast<double>(plan.steps)) / noise_multiplier;
    if (plan.sampling_rate < 1.0) {
      const double epsilon = accountant.epsilon(plan.delta);
      if (!std::isfinite(epsilon)) {
        refuse("noise_multiplier", noise_multiplier, "large enough for a finite epsilon");
      }
      double low = 0.0, high = mu;  // sampling makes the training cheaper than that
      for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        RdpAccountant gaussian;
        gaussian.compose(GaussianMechanism{1.0 / middle});
        (gaussian.epsilon(plan.delta) < epsilon ? low : high) = middle;
      }
      mu = high;
    }
    const double budget_mu = mu / std::sqrt(left);
    for (const PlannedRelease& release : releases) {
      plan.preparation.push_back({release.label, 1.0 / (*release.share * budget_mu)});
    }
  }
  plan.epsilon = epsilon_of(plan.planned_releases(), plan.delta);
  if (!std::isfinite(plan.epsilon)) {
    refuse("noise_multiplier", noise_multiplier, "large enough for a finite epsilon");
  }
}

[[noreturn]] void refuse_integer(const char* key) {
  throw std::invalid_argument(std::string("not the plan of a run: ") + key +
                              " is no integer of 64 bits");
}

/// The JSON library would convert a number with a fraction, of any size.
std::int64_t integer(const Json& object, const char* key) {
  const Json& value = object.at(key);
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)) {
    refuse_integer(key);
  }
  return value.get<std::int64_t>();
}

}  // namespace

std::string_view to_string(ModelKind model) {
  switch (model) {
    case ModelKind::kScatterLinear:
      return "scatter-linear";
    case ModelKind::kCnn:
      return "cnn";
    case ModelKind::kMlp:
      return "mlp";
  }
  throw std::logic_error("to_string: unknown ModelKind");
}

ModelKind model_kind_from_string(std::string_view name) {
  for (const ModelKind model : {ModelKind::kScatterLinear, ModelKind::kCnn, ModelKind::kMlp}) {
    if (name == to_string(model)) return model;
  }
  refuse("model", name, "scatter-linear, cnn or mlp");
}

std::string_view to_string(ClippingKind clipping) {
  switch (clipping) {
    case ClippingKind::kFlat:
      return "flat";
    case ClippingKind::kPerLayer:
      return "per-layer";
    case ClippingKind::kAutomatic:
      return "automatic";
    case ClippingKind::kAdaptive:
      return "adaptive";
  }
  throw std::logic_error("to_string: unknown ClippingKind");
}

ClippingKind clipping_kind_from_string(std::string_view name) {
  for (const ClippingKind clipping : {ClippingKind::kFlat, ClippingKind::kPerLayer,
                                      ClippingKind::kAutomatic, ClippingKind::kAdaptive}) {
    if (name == to_string(clipping)) return clipping;
  }
  refuse("clipping", name, "flat, per-layer, automatic or adaptive");
}

std::vector<std::vector<std::int64_t>> layers_of_model(ModelKind kind) {
  switch (kind) {
    case ModelKind::kScatterLinear:
      return {{0}};
    case ModelKind::kCnn:
      return {{0, 1}, {2, 3}, {4, 5}, {6, 7}};
    case ModelKind::kMlp:
      return {{0, 1}, {2, 3}};
  }
  throw std::logic_error("layers_of_model: unknown ModelKind");
}

std::string_view to_string(FeatureRecipe recipe) {
  return recipe == FeatureRecipe::kShapes ? "S" : "K";
}

FeatureRecipe feature_recipe_from_string(std::string_view name) {
  for (const FeatureRecipe recipe : {FeatureRecipe::kShapes, FeatureRecipe::kMoments}) {
    if (name == to_string(recipe)) return recipe;
  }
  refuse("recipe", name, "S or K");
}

const char* TrainingPlan::training_label() const {
  return by_user() ? kUserTrainingLabel : kTrainingLabel;
}

Mechanism TrainingPlan::step_mechanism() const {
  if (sampling_rate == 1.0) return GaussianMechanism{noise_multiplier};
  return PoissonSampledGaussianMechanism{sampling_rate, noise_multiplier};
}

Composition TrainingPlan::planned_releases() const {
  Composition releases;
  for (const PreparatoryRelease& release : preparation) {
    releases.append(GaussianMechanism{release.noise_multiplier}, 1, release.label);
  }
  releases.append(step_mechanism(), steps, training_label());
  return releases;
}

std::string TrainingPlan::to_json() const {
  Json releases = Json::array();
  for (const PreparatoryRelease& release : preparation) {
    releases.push_back({{"label", release.label}, {"noise_multiplier", release.noise_multiplier}});
  }
  Json json{
      {"format", format_of(*this)},
      {"dataset", dataset},
      {"data_directory", data_directory.string()},
      {"dataset_size", dataset_size},
      {"model", to_string(model)},
      {"recipe", to_string(recipe)},
      {"epsilon", epsilon},
      {"delta", delta},
      {"preparation", releases},
      {"noise_multiplier", noise_multiplier},
      {"moment_floor", moment_floor},
      {"sampling_rate", sampling_rate},
      {"steps", steps},
      {"steps_per_epoch", steps_per_epoch},
      {"clipping_norm", clipping_norm},
      {"learning_rate", learning_rate},
      {"momentum", momentum},
      {"physical_batch_size", physical_batch_size},
      {"insecure_seed", insecure_seed ? Json(*insecure_seed) : Json(nullptr)},
  };
  if (format_of(*this) >= kViewsPlanFormat) {
    json["views"] = views;
    json["average_decay"] = average_decay;
    json["centre_pixels"] = centre_pixels;
    json["held_out"] = held_out;
  }
  if (by_user()) {
    json["users_file"] = users_file.string();
    json["user_count"] = *user_count;
    json["max_samples_per_user"] =
        max_samples_per_user ? Json(*max_samples_per_user) : Json(nullptr);
  }
  if (format_of(*this) >= kClippingPlanFormat) json["clipping"] = Json::parse(clipping.to_json());
  if (ledger) {
    json["ledger"] = {{"file", ledger->file.string()},
                      {"ledger_id", ledger->ledger_id},
                      {"data_set", ledger->data_set},
                      {"run", ledger->run}};
  }
  return json.dump(2) + "\n";
}

TrainingPlan TrainingPlan::from_json(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    const std::int64_t format = integer(json, "format");
    if (format < kPlanFormat || format > kUsersPlanFormat) refuse("format", format, "1 to 5");
    TrainingPlan plan;
    json.at("dataset").get_to(plan.dataset);
    plan.data_directory = json.at("data_directory").get<std::string>();
    plan.dataset_size = integer(json, "dataset_size");
    plan.model = model_kind_from_string(json.at("model").get<std::string>());
    plan.recipe = feature_recipe_from_string(json.at("recipe").get<std::string>());
    json.at("epsilon").get_to(plan.epsilon);
    json.at("delta").get_to(plan.delta);
    for (const Json& release : json.at("preparation")) {
      plan.preparation.push_back(
          {release.at("label").get<std::string>(), release.at("noise_multiplier").get<double>()});
    }
    json.at("noise_multiplier").get_to(plan.noise_multiplier);
    json.at("moment_floor").get_to(plan.moment_floor);
    json.at("sampling_rate").get_to(plan.sampling_rate);
    plan.steps = integer(json, "steps");
    plan.steps_per_epoch = integer(json, "steps_per_epoch");
    json.at("clipping_norm").get_to(plan.clipping_norm);
    json.at("learning_rate").get_to(plan.learning_rate);
    json.at("momentum").get_to(plan.momentum);
    plan.physical_batch_size = integer(json, "physical_batch_size");
    if (!json.at("insecure_seed").is_null()) {
      if (!json.at("insecure_seed").is_number_unsigned()) refuse_integer("insecure_seed");
      plan.insecure_seed = json.at("insecure_seed").get<std::uint64_t>();
    }
    plan.clipping = format >= kClippingPlanFormat ? Clipping::from_json(json.at("clipping").dump())
                                                  : Clipping::flat(plan.clipping_norm);
    if (format >= kViewsPlanFormat) {
      plan.views = integer(json, "views");
      json.at("average_decay").get_to(plan.average_decay);
      json.at("centre_pixels").get_to(plan.centre_pixels);
      plan.held_out = integer(json, "held_out");
    }
    if (format >= kUsersPlanFormat) {
      plan.users_file = json.at("users_file").get<std::string>();
      plan.user_count = integer(json, "user_count");
      if (!json.at("max_samples_per_user").is_null()) {
        plan.max_samples_per_user = integer(json, "max_samples_per_user");
      }
    }
    if (format == kLedgerPlanFormat || json.contains("ledger")) {
      const Json& ledger = json.at("ledger");
      plan.ledger =
          LedgerUse{ledger.at("file").get<std::string>(), ledger.at("ledger_id").get<std::string>(),
                    ledger.at("data_set").get<std::string>(), ledger.at("run").get<std::string>()};
    }
    return plan;
  } catch (const Json::exception& error) {
    throw std::invalid_argument(std::string("not the plan of a run: ") + error.what());
  }
}

void require_clipping_fits(const TrainingOptions& options) {
  const auto require_kind = [&](const char* name, bool given, ClippingKind kind) {
    if (!given || options.clipping == kind) return;
    throw std::invalid_argument(std::string(name) + " belongs to the clipping " +
                                std::string(to_string(kind)) + ", not to " +
                                std::string(to_string(options.clipping)));
  };
  require_kind("clipping_stability", options.clipping_stability.has_value(),
               ClippingKind::kAutomatic);
  require_kind("clipping_quantile", options.clipping_quantile.has_value(), ClippingKind::kAdaptive);
  require_kind("clipping_rate", options.clipping_rate.has_value(), ClippingKind::kAdaptive);
  require_kind("clipping_count_noise", options.clipping_count_noise.has_value(),
               ClippingKind::kAdaptive);
}

void validate(const TrainingOptions& options) {
  if (options.dataset != "fashion-mnist" && options.dataset != "idx") {
    refuse("dataset", options.dataset, "fashion-mnist or idx");
  }
  if (options.dataset == "idx" && options.data_directory.empty()) {
    throw std::invalid_argument("dataset idx needs the data directory that holds its files");
  }
  if (options.recipe != FeatureRecipe::kShapes && options.model != ModelKind::kScatterLinear) {
    throw std::invalid_argument("a recipe belongs to the model scatter-linear, not to " +
                                std::string(to_string(options.model)));
  }
  require_not_both("epsilon", options.epsilon.has_value(), "noise_multiplier",
                   options.noise_multiplier.has_value());
  if (!options.epsilon && !options.noise_multiplier) {
    throw std::invalid_argument("how private? give epsilon or noise_multiplier");
  }
  require_positive("epsilon", options.epsilon);
  require_positive("noise_multiplier", options.noise_multiplier);
  if (!(options.delta > 0.0 && options.delta < 1.0)) {
    refuse("delta", options.delta, "above 0 and below 1");
  }
  require_not_both("epochs", options.epochs.has_value(), "steps", options.steps.has_value());
  require_not_both("sampling_rate", options.sampling_rate.has_value(), "batch_size",
                   options.batch_size.has_value());
  require_positive("epochs", options.epochs);
  require_at_least_one("steps", options.steps);
  if (options.sampling_rate && !(*options.sampling_rate > 0.0 && *options.sampling_rate <= 1.0)) {
    refuse("sampling_rate", *options.sampling_rate, "above 0 and at most 1");
  }
  require_at_least_one("batch_size", options.batch_size);
  require_positive("clipping_norm", options.clipping_norm);
  require_clipping_fits(options);
  static_cast<void>(clipping_of(options, /*default_count_noise=*/1.0));
  require_positive("learning_rate", options.learning_rate);
  if (options.momentum && !(*options.momentum >= 0.0 && *options.momentum < 1.0)) {
    refuse("momentum", *options.momentum, "at least 0 and below 1");
  }
  require_at_least_one("physical_batch_size", options.physical_batch_size);
  if (options.views && (*options.views < 0 || *options.views > kMaxViews)) {
    refuse("views", *options.views, "0 to 1024");
  }
  if (options.views.value_or(0) > 0 && options.model == ModelKind::kScatterLinear) {
    throw std::invalid_argument(
        "views belong to a model that sees images, not to scatter-linear: leave them out");
  }
  if (options.average_decay && !(*options.average_decay >= 0.0 && *options.average_decay < 1.0)) {
    refuse("average_decay", *options.average_decay, "at least 0 and below 1");
  }
  if (options.centre_pixels.value_or(false) && options.model == ModelKind::kScatterLinear) {
    throw std::invalid_argument(
        "centre_pixels belongs to a model that sees images, not to scatter-linear: leave it out");
  }
  require_at_least_one("max_samples_per_user", options.max_samples_per_user);
  if (options.users_file.empty() && options.max_samples_per_user) {
    throw std::invalid_argument(
        "max_samples_per_user belongs to the training of users: give their file (--users)");
  }
  if (!options.users_file.empty() && options.model == ModelKind::kScatterLinear) {
    throw std::invalid_argument(
        "users go with the models cnn and mlp: scatter-linear releases the mean of the features of "
        "single examples");
  }
  if (!options.users_file.empty() && options.held_out > 0) {
    throw std::invalid_argument(
        "held_out does not go with users: what is held out is read without noise, and its users "
        "are not protected");
  }
  if (options.held_out < 0) refuse("held_out", options.held_out, "at least 0");
  if (options.held_out > 0 && !options.ledger_file.empty()) {
    throw std::invalid_argument(
        "held_out does not go with a ledger: what is held out is read without noise");
  }
  if (options.ledger_file.empty() != options.ledger_data_set.empty()) {
    throw std::invalid_argument(
        "a ledger and a data set in it (--ledger, --dataset-id) go together");
  }
  if (!options.ledger_file.empty() && options.insecure_seed) {
    throw std::invalid_argument(
        "insecure_seed does not go with a ledger: no epsilon covers what such a run releases");
  }
}

Clipping clipping_of(const TrainingOptions& options, double default_count_noise) {
  const double norm = options.clipping_norm.value_or(kDefaultClippingNorm);
  switch (options.clipping) {
    case ClippingKind::kFlat:
      return Clipping::flat(norm);
    case ClippingKind::kPerLayer: {
      std::vector<std::vector<std::int64_t>> layers = layers_of_model(options.model);
      const double share = Clipping::equal_share(norm, static_cast<std::int64_t>(layers.size()));
      std::vector<ClippingGroup> groups;
      for (std::vector<std::int64_t>& layer : layers) groups.push_back({std::move(layer), share});
      return Clipping::by_groups(std::move(groups));
    }
    case ClippingKind::kAutomatic:
      return Clipping::automatic(norm, options.clipping_stability.value_or(kDefaultStability));
    case ClippingKind::kAdaptive: {
      AdaptiveClipping adaptive{
          .initial_norm = norm,
          .count_noise = options.clipping_count_noise.value_or(default_count_noise)};
      adaptive.quantile = options.clipping_quantile.value_or(adaptive.quantile);
      adaptive.learning_rate = options.clipping_rate.value_or(adaptive.learning_rate);
      return Clipping::adaptive(adaptive);
    }
  }
  throw std::logic_error("clipping_of: unknown ClippingKind");
}

TrainingPlan make_training_plan(const TrainingOptions& options, std::int64_t dataset_size,
                                std::optional<std::int64_t> user_count) {
  validate(options);
  if (dataset_size < 1) refuse("dataset_size", dataset_size, "at least 1");
  if (user_count.has_value() == options.users_file.empty()) {
    throw std::invalid_argument("make_training_plan: a users_file and a user_count go together");
  }
  if (user_count && (*user_count < 1 || *user_count > dataset_size)) {
    refuse("user_count", *user_count,
           ("1 to the number of examples, " + std::to_string(dataset_size)).c_str());
  }
  TrainingPlan plan;
  plan.dataset = options.dataset;
  plan.data_directory = options.data_directory;
  plan.dataset_size = dataset_size;
  plan.users_file = options.users_file;
  plan.user_count = user_count;
  plan.max_samples_per_user = options.max_samples_per_user;
  plan.model = options.model;
  plan.recipe = options.recipe;
  plan.delta = options.delta;
  plan.insecure_seed = options.insecure_seed;
  plan.held_out = options.held_out;

  const NetworkDefaults network = network_defaults(plan.model);
  const auto size = static_cast<double>(plan.unit_count());
  if (options.sampling_rate) {
    plan.sampling_rate = *options.sampling_rate;
  } else if (options.batch_size) {
    if (*options.batch_size > plan.unit_count()) {
      refuse("batch_size", *options.batch_size,
             (std::string("at most the number of ") + plan.unit() + "s, " +
              std::to_string(plan.unit_count()))
                 .c_str());
    }
    plan.sampling_rate = static_cast<double>(*options.batch_size) / size;
  } else {
    plan.sampling_rate =
        is_scatter(plan) ? 1.0 : std::min(network.batch_size, std::ceil(size / 4)) / size;
  }

  plan.steps_per_epoch =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::llround(1.0 / plan.sampling_rate)));
  if (options.steps) {
    plan.steps = *options.steps;
  } else {
    const double epochs =
        options.epochs.value_or(is_scatter(plan) ? kScatterEpochs : network.epochs);
    const double steps = std::ceil(epochs / plan.sampling_rate - 1e-9);
    if (!(steps <= 1e15)) refuse("epochs", epochs, "at most 1e15 steps");
    plan.steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
  }

  if (options.epsilon) {
    plan.epsilon = *options.epsilon;
    calibrate(plan);
  } else {
    price(plan, *options.noise_multiplier);
  }

  // The paper's noise on the counts, and never so little that the sum would get much more for it.
  plan.clipping =
      clipping_of(options, std::max(plan.sampling_rate * size / 20, plan.noise_multiplier));
  plan.clipping_norm = options.clipping_norm.value_or(kDefaultClippingNorm);
  static_cast<void>(plan.clipping.sum_noise_multiplier(plan.noise_multiplier));  // or refuse
  plan.momentum = options.momentum.value_or(kDefaultMomentum);
  const double rate_at_default_clipping =
      is_scatter(plan) ? power_law(kScatterLearningRate, plan.epsilon) : network.learning_rate;
  plan.learning_rate = options.learning_rate.value_or(rate_at_default_clipping *
                                                      kDefaultClippingNorm / plan.clipping_norm);
  plan.moment_floor = is_scatter(plan) && plan.recipe == FeatureRecipe::kMoments
                          ? power_law(kMomentFloor, std::min(plan.epsilon, 3.0))
                          : 1e-3;
  plan.views = options.views.value_or(is_scatter(plan) ? 0 : network.views);
  plan.average_decay = options.average_decay.value_or(is_scatter(plan) ? 0 : network.average_decay);
  plan.centre_pixels = options.centre_pixels.value_or(!is_scatter(plan) && network.centre_pixels);
  const std::int64_t rows =
      is_scatter(plan)
          ? 10000
          : std::max<std::int64_t>(1, kPhysicalImages / std::max<std::int64_t>(1, plan.views));
  // All images of a user belong in one physical batch.
  plan.physical_batch_size = options.physical_batch_size.value_or(
      std::max(rows, options.max_samples_per_user.value_or(1)));
  return plan;
}

}  // namespace velum::dpsgd
