#include "velum/dpsgd/training/training_run.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <type_traits>
#include <utility>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/atomic_file.h"
#include "velum/dpsgd/image_views.h"
#include "velum/dpsgd/ledger/ledger.h"
#include "velum/dpsgd/ledger/ledger_guard.h"
#include "velum/dpsgd/loader.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/dpsgd/training/checkpoint.h"
#include "velum/dpsgd/training/durable_file.h"
#include "velum/dpsgd/training/image_data.h"
#include "velum/dpsgd/training/models.h"
#include "velum/dpsgd/training/release_journal.h"
#include "velum/dpsgd/training/release_labels.h"
#include "velum/dpsgd/training/scatter_features.h"
#include "velum/dpsgd/training/user_ids.h"
#include "velum/dpsgd/user_poisson_sampler.h"
#include "velum/dpsgd/weight_average.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::int64_t kSpaceProbeBytes = std::int64_t{16} << 20;

struct RunFiles {
  explicit RunFiles(fs::path run_directory) : directory(std::move(run_directory)) {}
  fs::path directory;
  fs::path plan = directory / "plan.json";
  fs::path journal = directory / "releases.jsonl";
  fs::path checkpoint = directory / "checkpoint.pt";
  fs::path metrics = directory / "metrics.jsonl";
  fs::path model = directory / "model.pt";
  fs::path report_json = directory / "report.json";
  fs::path report_text = directory / "report.txt";
};

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

/// Keys of a run: secret ones, or those of its insecure seed.
kernels::RandomKey new_key(const TrainingPlan& plan) {
  return plan.insecure_seed ? kernels::insecure_key_from_seed(*plan.insecure_seed)
                            : kernels::secure_random_key();
}

std::uint64_t model_seed(const TrainingPlan& plan) {
  const kernels::RandomKey key = new_key(plan);
  return (std::uint64_t{key.words[0]} << 32) | key.words[1];
}

/// The releases that are left: as many training steps as the plan still has and the budget pays.
std::int64_t affordable_steps(const TrainingPlan& plan, const Accountant& spent,
                              std::int64_t wanted) {
  const auto within_budget = [&](std::int64_t steps) {
    const std::unique_ptr<Accountant> accountant = spent.clone();
    accountant->compose(plan.step_mechanism(), steps, plan.training_label());
    return accountant->epsilon(plan.delta) <= plan.epsilon;
  };
  if (wanted <= 0 || within_budget(wanted)) return std::max<std::int64_t>(wanted, 0);
  std::int64_t low = 0;  // affordable, or nothing is
  std::int64_t high = wanted;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (within_budget(middle) ? low : high) = middle;
  }
  return low;
}

/// Lines of metrics.jsonl up to a step: later ones belong to steps that were lost.
std::string metrics_until(const fs::path& path, std::int64_t step) {
  if (!fs::exists(path)) return {};
  std::istringstream lines(read_file(path));
  std::string kept, line;
  while (std::getline(lines, line)) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || json.value("step", step + 1) > step) break;
    kept += line + '\n';
  }
  return kept;
}

std::string to_json_line(const EpochMetrics& metrics) {
  nlohmann::ordered_json json{{"epoch", metrics.epoch},
                              {"step", metrics.step},
                              {"epsilon", metrics.epsilon},
                              {"test_accuracy", metrics.test_accuracy},
                              {"seconds", metrics.seconds}};
  if (metrics.clipping_norm) json["clipping_norm"] = *metrics.clipping_norm;
  return json.dump();
}

at::Tensor label_tensor(const LabelledImages& images) {
  at::Tensor labels = at::empty({images.count}, at::kLong);
  std::copy(images.labels.begin(), images.labels.end(), labels.data_ptr<std::int64_t>());
  return labels;
}

/// [n, 1, height, width] in [0, 1] or, centred, [-1, 1].
at::Tensor pixel_tensor(const LabelledImages& images, bool centred) {
  at::Tensor pixels = at::empty({images.count, 1, images.height, images.width}, at::kFloat);
  float* const out = pixels.data_ptr<float>();
  for (std::size_t i = 0; i < images.images.size(); ++i) {
    const float value = static_cast<float>(images.images[i]) / 255.0f;
    out[i] = centred ? 2.0f * value - 1.0f : value;
  }
  return pixels;
}

/// Inputs and targets of a model, and what made the inputs.
struct ModelData {
  at::Tensor train_inputs, train_targets, test_inputs, test_targets;
  std::map<std::string, at::Tensor> constants;  // saved with the model
};

/// The ledger of a run, verified, with a data set that this training fits.
std::shared_ptr<Ledger> open_ledger(const LedgerUse& use, const TrainingPlan& plan) {
  auto ledger = std::make_shared<Ledger>(Ledger::open(use.file));
  if (ledger->id() != use.ledger_id) {
    throw std::runtime_error(use.file.string() + " is not the ledger of this run, " +
                             use.ledger_id);
  }
  if (const Verification verification = ledger->verify(); !verification.ok()) {
    throw LedgerDamaged("the ledger " + use.file.string() +
                        " does not verify: " + verification.findings.front());
  }
  const DataSet data_set = ledger->status(use.data_set).data_set;
  if (data_set.neighbouring != Neighbouring::kAddOrRemoveOne) {
    throw std::runtime_error(
        "the data set " + use.data_set + " is kept for " + to_string(data_set.neighbouring) +
        " in the ledger, but training is private for " + to_string(Neighbouring::kAddOrRemoveOne));
  }
  // One budget is about one unit: releases that bound examples say nothing about people who have
  // several, and a statement about users would read as one about examples.
  const std::string& unit = data_set.unit;
  if (is_one_example(unit) == plan.by_user()) {
    throw std::runtime_error(
        "the budget of the data set " + use.data_set + " in the ledger is about one " + unit +
        ", but this training draws and bounds " + plan.unit() + "s" +
        (plan.by_user()
             ? "; train without users, or enter it in a data set whose unit is the user "
               "(velum ledger init --unit user)"
             : "; give the users (--users), or enter it in a data set whose unit is the record "
               "(velum ledger init --unit record)"));
  }
  if (!data_set.public_size) {
    throw std::runtime_error("the size of the data set " + use.data_set +
                             " is not public by the ledger, but training makes it public");
  }
  if (*data_set.public_size != plan.unit_count()) {
    throw std::runtime_error("the data set " + use.data_set + " has " +
                             std::to_string(*data_set.public_size) + " " + plan.unit() +
                             "s by the ledger, but there are " + std::to_string(plan.unit_count()) +
                             " " + (plan.by_user() ? "users" : "training examples"));
  }
  return ledger;
}

/// Refuses before anything is made where the budget does not pay the first release.
LedgerUse choose_ledger(const TrainingOptions& options, const TrainingPlan& plan,
                        TrainingObserver& observer) {
  LedgerUse use{.file = fs::absolute(options.ledger_file), .data_set = options.ledger_data_set};
  use.ledger_id = Ledger::open(use.file).id();
  kernels::RandomKey name = kernels::secure_random_key();
  std::ostringstream run;
  run << "train-" << std::hex << name.words[0] << name.words[1];
  use.run = run.str();
  const std::shared_ptr<Ledger> ledger = open_ledger(use, plan);
  ReservationRequest first{.data_set = use.data_set, .mechanism = plan.step_mechanism()};
  if (!plan.preparation.empty()) {
    first.mechanism = GaussianMechanism{plan.preparation.front().noise_multiplier};
  }
  if (ledger->affordable(first) == 0) {
    throw BudgetExceeded("the budget of the data set " + use.data_set + " in the ledger " +
                         use.file.string() + " does not pay the first release of this training");
  }
  const std::int64_t steps = ledger->affordable(
      {.data_set = use.data_set, .mechanism = plan.step_mechanism(), .count = plan.steps});
  if (steps < plan.steps) {
    observer.note("the budget of the data set " + use.data_set + " in the ledger pays at most " +
                  std::to_string(steps) + " of " + std::to_string(plan.steps) + " steps");
  }
  return use;
}

/// The books of a run: the ledger, where it keeps one, and then its journal, so that a refusal
/// leaves no trace.
class RunBooks final : public ReleaseGuard {
 public:
  RunBooks(const TrainingPlan& plan, ReleaseJournal& journal) : journal_(journal) {
    if (!plan.ledger) return;
    ledger_ = open_ledger(*plan.ledger, plan);
    guard_ = std::make_unique<LedgerGuard>(ledger_, plan.ledger->data_set, plan.ledger->run,
                                           plan.steps_per_epoch,
                                           "velum train, " + std::string(to_string(plan.model)));
    require_ledger_has(journal.history(), ledger_->reserved_by_run(plan.ledger->run));
  }

  void before_release(const Mechanism& mechanism, std::string_view label) override {
    if (guard_ != nullptr) guard_->before_release(mechanism, label);
    journal_.record(mechanism, label);
  }

  std::optional<Neighbouring> neighbouring() const override {
    return guard_ == nullptr ? std::nullopt : guard_->neighbouring();
  }
  std::optional<std::string> unit() const override {
    return guard_ == nullptr ? std::nullopt : guard_->unit();
  }

  void reserve_ahead(const Mechanism& mechanism, std::string_view label, std::int64_t count) {
    if (guard_ != nullptr) guard_->reserve_ahead(mechanism, label, count);
  }

  void give_back_unused() {
    if (guard_ != nullptr) guard_->give_back_unused();
  }

  std::optional<std::string> ledger_head() const {
    if (ledger_ == nullptr) return std::nullopt;
    return ledger_->head().to_string();
  }

 private:
  /// A ledger that was put back to an earlier state would allow what is spent already.
  void require_ledger_has(const Composition& released, const Composition& reserved) const {
    const auto count_of = [](const Composition& all, const Mechanism& mechanism) {
      std::int64_t count = 0;
      for (const Phase& phase : all.phases()) {
        if (phase.mechanism == mechanism) count += phase.count;
      }
      return count;
    };
    for (const Phase& phase : released.phases()) {
      const std::int64_t in_journal = count_of(released, phase.mechanism);
      const std::int64_t in_ledger = count_of(reserved, phase.mechanism);
      if (in_ledger < in_journal) {
        throw std::runtime_error(
            "this run recorded " + std::to_string(in_journal) + " releases (" +
            describe(phase.mechanism) + "), the ledger " + ledger_->path().string() + " has " +
            std::to_string(in_ledger) +
            " of them: it is older than the run; bring back the newer one, or enter the "
            "difference with velum ledger import and train anew");
      }
    }
  }

  ReleaseJournal& journal_;
  std::shared_ptr<Ledger> ledger_;
  std::unique_ptr<LedgerGuard> guard_;
};

/// A run from its plan to its report, in a directory that is locked and has the plan.
class Run final : public PreparatoryReleases {
 public:
  /// @param users  of the training images, for a plan by user.
  Run(TrainingPlan plan, std::vector<std::int64_t> users, const RunOptions& options,
      TrainingObserver& observer)
      : plan_(std::move(plan)),
        users_(std::move(users)),
        options_(options),
        files_(options.directory),
        observer_(observer),
        journal_(files_.journal),
        books_(std::make_shared<RunBooks>(plan_, journal_)),
        accountant_(std::make_shared<RdpAccountant>()),
        stream_(kernels::Stream::cpu(options.threads)),
        preparation_key_(new_key(plan_)) {
    accountant_->compose(journal_.history());
    if (fs::exists(files_.checkpoint)) {
      checkpoint_ = load_checkpoint(files_.checkpoint);
      seconds_before_ = checkpoint_.seconds;
      if (checkpoint_.releases > journal_.history().total_count()) {
        throw std::runtime_error(files_.journal.string() + " records " +
                                 std::to_string(journal_.history().total_count()) +
                                 " releases, but the checkpoint was made after " +
                                 std::to_string(checkpoint_.releases) +
                                 ": the books are incomplete and the run cannot go on");
      }
    }
    const std::int64_t lost = journal_.history().total_count() - checkpoint_.releases;
    if (lost > 0) {
      observer_.note(std::to_string(lost) + (lost == 1 ? " release was" : " releases were") +
                     " made or begun after the last checkpoint and lost; the budget counts them");
    }
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() override { kernels::wipe(preparation_key_); }

  TrainingOutcome execute(const ImageData& images) {
    begin_ = Clock::now();
    observer_.planned(plan_);
    ModelData data = load_inputs(images);
    model_ = make_model(plan_.model, data.train_inputs.size(-1), model_seed(plan_));
    optimizer_ = std::make_unique<torch::optim::SGD>(
        model_->parameters(),
        torch::optim::SGDOptions(plan_.learning_rate).momentum(plan_.momentum));
    if (fs::exists(files_.checkpoint)) load_checkpoint(files_.checkpoint, model_, *optimizer_);
    average_ = std::make_unique<WeightAverage>(model_->parameters(), plan_.average_decay);
    if (!checkpoint_.average.empty()) {
      average_->restore(checkpoint_.average, checkpoint_.average_updates);
    }
    if (plan_.model == ModelKind::kScatterLinear) map_features(data);
    train(data);
    save();
    give_back_unused();
    return finish(data);
  }

 private:
  double seconds() const { return seconds_before_ + seconds_between(begin_, Clock::now()); }

  void stop_if_requested() {
    if (observer_.stop_requested()) throw StoppedEarly("stopped before the training");
  }

  std::function<void(const std::string&)> note() {
    return [this](const std::string& text) { observer_.note(text); };
  }

  RowProgress progress(const char* name) {
    return [this, name](std::int64_t done, std::int64_t total) {
      observer_.preparing(name, done, total);
      stop_if_requested();
    };
  }

  ModelData load_inputs(const ImageData& images) {
    ModelData data;
    data.train_targets = label_tensor(images.train);
    data.test_targets = label_tensor(images.test);
    if (plan_.model != ModelKind::kScatterLinear) {
      data.train_inputs = pixel_tensor(images.train, plan_.centre_pixels);
      data.test_inputs = pixel_tensor(images.test, plan_.centre_pixels);
      if (plan_.centre_pixels) {
        data.constants = {{"pixel_scale", at::scalar_tensor(2.0)},
                          {"pixel_offset", at::scalar_tensor(-1.0)}};
      }
      return data;
    }
    const auto& cache = options_.cache_directory;
    data.train_inputs = unit_scattering_rows(images.train, cache,
                                             progress("scattering features of the training images"),
                                             note(), stream_);
    data.test_inputs = unit_scattering_rows(
        images.test, cache, progress("scattering features of the test images"), note(), stream_);
    return data;
  }

  void map_features(ModelData& data) {
    const ScatterFeatureMap map = make_scatter_feature_map(
        data.train_inputs, plan_, *this, preparation_key_, journal_.key_epoch(), stream_);
    stop_if_requested();
    apply_scatter_feature_map(map, data.train_inputs, stream_);
    apply_scatter_feature_map(map, data.test_inputs, stream_);
    data.constants = {{"feature_mean", map.mean},
                      {"channel_preconditioner", map.channel},
                      {"spatial_preconditioner", map.spatial}};
  }

  std::optional<at::Tensor> kept(const std::string& label) const override {
    const auto found = checkpoint_.released.find(label);
    if (found == checkpoint_.released.end()) return std::nullopt;
    return found->second;
  }

  void announce(const PreparatoryRelease& release) override {
    stop_if_requested();
    const GaussianMechanism mechanism{release.noise_multiplier};
    const std::unique_ptr<Accountant> after = accountant_->clone();
    after->compose(mechanism, 1, release.label);
    if (!(after->epsilon(plan_.delta) <= plan_.epsilon)) {
      throw std::runtime_error("the budget of epsilon " + std::to_string(plan_.epsilon) +
                               " has nothing left for the " + release.label);
    }
    books_->reserve_ahead(mechanism, release.label, 1);
    books_->before_release(mechanism, release.label);
    accountant_->compose(mechanism, 1, release.label);
  }

  void keep(const std::string& label, const at::Tensor& value) override {
    checkpoint_.released.insert_or_assign(label, value);
    save();  // a crash must not make the budget pay for it twice
  }

  void train(const ModelData& data) {
    const std::int64_t end =
        checkpoint_.step + affordable_steps(plan_, *accountant_, plan_.steps - checkpoint_.step);
    if (end == 0) {
      throw std::runtime_error("the budget of epsilon " + std::to_string(plan_.epsilon) +
                               " pays no training step");
    }
    if (plan_.by_user()) {
      UserPoissonSampler sampler(users_, plan_.sampling_rate,
                                 {.max_samples_per_user = plan_.max_samples_per_user},
                                 new_key(plan_), journal_.key_epoch(), checkpoint_.step);
      train(data, sampler, end);
    } else {
      PoissonSampler sampler(plan_.dataset_size, plan_.sampling_rate, new_key(plan_),
                             journal_.key_epoch(), checkpoint_.step);
      train(data, sampler, end);
    }
  }

  template <typename Sampler>
  void train(const ModelData& data, Sampler& sampler, std::int64_t end) {
    namespace functional = torch::nn::functional;
    const kernels::RandomKey views_key = new_key(plan_);
    const ImageViews views(
        {.count = std::max<std::int64_t>(1, plan_.views), .fill = plan_.centre_pixels ? -1.0 : 0.0},
        views_key, journal_.key_epoch());
    const auto losses_of = [&](const PhysicalBatch& batch) {
      const auto per_sample = functional::CrossEntropyFuncOptions().reduction(torch::kNone);
      if (plan_.views == 0) {
        return functional::cross_entropy(model_->forward(batch.inputs), batch.targets, per_sample);
      }
      return views.mean(functional::cross_entropy(
          model_->forward(views(batch.inputs, batch.indices, checkpoint_.step)),
          views.repeat(batch.targets), per_sample));
    };
    PoissonLoader loader(sampler, data.train_inputs, data.train_targets, plan_.physical_batch_size);
    PrivacyOptions privacy{.clipping = plan_.clipping,
                           .noise_multiplier = plan_.noise_multiplier,
                           .accountant = accountant_,
                           .release_guard = books_};
    if (plan_.insecure_seed) privacy.insecure_test_key = new_key(plan_);
    PrivacyEngine engine = make_engine(model_->parameters(), sampler, std::move(privacy));

    write_file_atomically(files_.metrics, metrics_until(files_.metrics, checkpoint_.step));
    AppendOnlyFile metrics(files_.metrics);
    Clock::time_point saved = Clock::now();
    while (checkpoint_.step < end && !observer_.stop_requested() &&
           budget_allows(engine.mechanism(), end - checkpoint_.step)) {
      for (const PhysicalBatch& batch : loader.steps(1)) {
        if constexpr (std::is_same_v<Sampler, UserPoissonSampler>) {
          engine.accumulate(losses_of(batch), batch.users);
        } else {
          engine.accumulate(losses_of(batch));
        }
      }
      engine.finish_step();  // asks the books first
      if (accountant_->composition().total_count() != journal_.history().total_count()) {
        throw std::logic_error("the accountant and the record of releases differ");
      }
      optimizer_->step();
      average_->update();
      ++checkpoint_.step;
      if (adapts()) checkpoint_.clipping_norm = engine.sensitivity();
      const double epsilon = accountant_->epsilon(plan_.delta);
      observer_.step_done({checkpoint_.step, end, epsilon});
      const bool epoch_ends =
          checkpoint_.step % plan_.steps_per_epoch == 0 || checkpoint_.step == end;
      if (epoch_ends || seconds_between(saved, Clock::now()) >= options_.checkpoint_seconds) {
        save();
        saved = Clock::now();
      }
      if (epoch_ends) {
        const EpochMetrics line{
            (checkpoint_.step + plan_.steps_per_epoch - 1) / plan_.steps_per_epoch,
            checkpoint_.step,
            epsilon,
            test_accuracy(data),
            seconds(),
            checkpoint_.clipping_norm};
        metrics.append(to_json_line(line));
        observer_.epoch_done(line);
      }
    }
    complete_ = checkpoint_.step >= end;
  }

  bool adapts() const { return plan_.clipping.kind() == Clipping::Kind::kAdaptive; }

  /// Of the weights that a run ends with: the average, where one is kept.
  double test_accuracy(const ModelData& data) {
    if (plan_.average_decay == 0) {
      return accuracy_percent(model_, data.test_inputs, data.test_targets);
    }
    average_->swap();
    const double accuracy = accuracy_percent(model_, data.test_inputs, data.test_targets);
    average_->swap();
    return accuracy;
  }

  /// False, with a note, where the ledger's budget is out. A run without a step is an error.
  bool budget_allows(const Mechanism& mechanism, std::int64_t steps_left) {
    try {
      books_->reserve_ahead(mechanism, plan_.training_label(),
                            std::min(steps_left, plan_.steps_per_epoch));
      return true;
    } catch (const BudgetExceeded& refusal) {
      if (checkpoint_.step == 0) throw;
      observer_.note(std::string("stopping: ") + refusal.what());
      budget_exhausted_ = true;
      return false;
    }
  }

  void give_back_unused() {
    try {
      books_->give_back_unused();
    } catch (const LedgerError& error) {
      observer_.note(std::string("steps that never ran stay in the ledger: ") + error.what());
    }
  }

  /// The history is already in the accountant; the engine gets the session's key epoch.
  template <typename Sampler>
  PrivacyEngine make_engine(std::vector<at::Tensor> parameters, const Sampler& sampler,
                            PrivacyOptions privacy) const {
    if (journal_.key_epoch() == 0) {
      return PrivacyEngine(std::move(parameters), sampler, std::move(privacy));
    }
    EngineState state{.composition = Composition(),
                      .step = checkpoint_.step,
                      .key_epoch = journal_.key_epoch() - 1};
    if (adapts()) {
      if (checkpoint_.step > 0 && !checkpoint_.clipping_norm) {
        throw std::runtime_error("the checkpoint is damaged: " + files_.checkpoint.string() +
                                 ": it has no clipping norm, but the clipping adapts");
      }
      state.clipping_norm = checkpoint_.clipping_norm.value_or(plan_.clipping.clipping_norm());
    }
    return PrivacyEngine(std::move(parameters), sampler, std::move(privacy), state);
  }

  void save() {
    checkpoint_.releases = journal_.history().total_count();
    checkpoint_.seconds = seconds();
    if (plan_.average_decay > 0) {
      checkpoint_.average = average_->values();
      checkpoint_.average_updates = average_->updates();
    }
    save_checkpoint(files_.checkpoint, checkpoint_, model_, *optimizer_);
  }

  TrainingOutcome finish(const ModelData& data) {
    TrainingReport report = make_training_report(*accountant_, plan_.delta, plan_.unit());
    report.unit_count = plan_.user_count;
    report.secure_randomness = !plan_.insecure_seed.has_value();
    report.noise_multiplier = plan_.noise_multiplier;
    report.clipping_norm = plan_.clipping_norm;
    report.clipping = plan_.clipping.to_text();
    report.sampling_rate = plan_.sampling_rate;
    for (const Phase& phase : journal_.history().phases()) {
      if (phase.label == plan_.training_label()) report.steps += phase.count;
    }
    report.dataset_size = plan_.dataset_size;
    report.expected_batch_size = plan_.sampling_rate * static_cast<double>(plan_.unit_count());
    report.model = to_string(plan_.model);
    if (plan_.model == ModelKind::kScatterLinear) {
      report.model += ", recipe " + std::string(to_string(plan_.recipe));
    }
    report.dataset = plan_.dataset;
    if (plan_.views > 0) report.model += ", views " + std::to_string(plan_.views);
    if (plan_.average_decay > 0) {
      average_->swap();  // for good: the average is what the run ends with
      report.model += ", averaged weights";
    }
    report.test_accuracy = accuracy_percent(model_, data.test_inputs, data.test_targets);
    report.training_seconds = seconds();
    report.backend = "cpu";
    report.threads = options_.threads;
    report.versions["torch"] = TORCH_VERSION;
    if (report.steps > checkpoint_.step) {
      report.assumptions.push_back(
          "The model holds " + std::to_string(checkpoint_.step) + " of " +
          std::to_string(report.steps) +
          " training steps; the others were lost by interruptions and are counted.");
    }
    report.assumptions.push_back(
        plan_.held_out == 0
            ? "The test accuracy is computed from the test set without noise: the test set is not "
              "protected."
            : "The test accuracy is of the last " + std::to_string(plan_.held_out) +
                  " training images, which were held out, without noise: they are not protected.");
    if (fs::exists(files_.directory / "releases.1.jsonl")) {
      report.assumptions.push_back(
          "Earlier runs in this folder released results from the same data; their books are "
          "releases.1.jsonl and following, and are not part of this epsilon.");
    }
    if (plan_.delta * static_cast<double>(plan_.unit_count()) >= 1.0) {
      report.assumptions.push_back(std::string("Delta is not below one over the number of ") +
                                   plan_.unit() + "s: this is too weak to protect each of them.");
    }
    if (plan_.ledger) {
      report.assumptions.push_back(
          "This epsilon is of this run alone; the ledger " + plan_.ledger->ledger_id +
          " has all releases from the data set " + plan_.ledger->data_set + ".");
    }
    save_model(files_.model, model_, data.constants);
    write_file_atomically(files_.report_text, report.to_text());
    write_file_atomically(files_.report_json, report.to_json());
    return {complete_, budget_exhausted_, std::move(report), books_->ledger_head()};
  }

  TrainingPlan plan_;
  std::vector<std::int64_t> users_;
  RunOptions options_;
  RunFiles files_;
  TrainingObserver& observer_;
  ReleaseJournal journal_;
  std::shared_ptr<RunBooks> books_;
  std::shared_ptr<RdpAccountant> accountant_;
  kernels::Stream stream_;
  kernels::RandomKey preparation_key_;
  Checkpoint checkpoint_;
  torch::nn::Sequential model_{nullptr};
  std::unique_ptr<torch::optim::SGD> optimizer_;
  std::unique_ptr<WeightAverage> average_;
  Clock::time_point begin_;
  double seconds_before_ = 0.0;
  bool complete_ = false;
  bool budget_exhausted_ = false;
};

/// The last `count` training images take the place of the test images.
void hold_out(ImageData& images, std::int64_t count) {
  if (count == 0) return;
  LabelledImages& train = images.train;
  if (count >= train.count) {
    throw std::invalid_argument("held_out = " + std::to_string(count) +
                                ", expected fewer than the " + std::to_string(train.count) +
                                " training images");
  }
  const std::int64_t kept = train.count - count, pixels = kept * train.height * train.width;
  LabelledImages& test = images.test;
  test = train;
  test.count = count;
  test.images.erase(test.images.begin(), test.images.begin() + pixels);
  test.labels.erase(test.labels.begin(), test.labels.begin() + kept);
  train.count = kept;
  train.images.resize(static_cast<std::size_t>(pixels));
  train.labels.resize(static_cast<std::size_t>(kept));
}

/// The users of the training images, none where images are what is protected.
std::vector<std::int64_t> load_users(const fs::path& file, std::int64_t images) {
  if (file.empty()) return {};
  std::vector<std::int64_t> users = read_user_ids(file);
  if (static_cast<std::int64_t>(users.size()) != images) {
    throw DataError(file.string() + ": " + std::to_string(users.size()) +
                    " users, expected one for each of the " + std::to_string(images) +
                    " training images");
  }
  return users;
}

std::optional<std::int64_t> count_of(const std::vector<std::int64_t>& users) {
  if (users.empty()) return std::nullopt;
  return static_cast<std::int64_t>(std::set<std::int64_t>(users.begin(), users.end()).size());
}

/// Found before the first release, and not by the loader after it.
void require_users_fit(const TrainingPlan& plan, const std::vector<std::int64_t>& users) {
  if (!plan.by_user()) return;
  const UserPoissonSampler sampler(users, plan.sampling_rate,
                                   {.max_samples_per_user = plan.max_samples_per_user});
  if (sampler.most_samples_of_a_user() > plan.physical_batch_size) {
    throw std::invalid_argument(
        "physical_batch_size = " + std::to_string(plan.physical_batch_size) +
        ", expected at least the most images of a user, which belong in one physical batch: give "
        "more, or bound them by max_samples_per_user");
  }
}

void validate(const RunOptions& run) {
  if (run.directory.empty()) throw std::invalid_argument("the run needs a directory");
  if (run.threads < 1) {
    throw std::invalid_argument("threads = " + std::to_string(run.threads) +
                                ", expected at least 1");
  }
}

/// Puts the books and results of an earlier run out of the way; books are never deleted.
void retire_run(const RunFiles& files) {
  if (fs::exists(files.journal)) {
    fs::path kept;
    for (int number = 1; kept.empty() || fs::exists(kept); ++number) {
      kept = files.directory / ("releases." + std::to_string(number) + ".jsonl");
    }
    fs::rename(files.journal, kept);
  }
  for (const fs::path& file : {files.checkpoint, files.metrics, files.model, files.report_text,
                               files.report_json, files.plan}) {
    fs::remove(file);
  }
}

}  // namespace

TrainingOutcome start_training(const TrainingOptions& options, const RunOptions& run,
                               TrainingObserver& observer, bool overwrite) {
  validate(options);
  validate(run);
  const RunFiles files(run.directory);
  const auto refuse_existing_run = [&] {
    if (!overwrite && (fs::exists(files.plan) || fs::exists(files.journal))) {
      throw std::runtime_error(run.directory.string() +
                               " holds a run already: resume it, overwrite it, or choose another "
                               "directory");
    }
  };
  refuse_existing_run();
  ImageData images = load_image_data(options.dataset, options.data_directory);
  hold_out(images, options.held_out);
  TrainingOptions with_file = options;
  if (!options.users_file.empty()) with_file.users_file = fs::absolute(options.users_file);
  const std::vector<std::int64_t> users = load_users(with_file.users_file, images.train.count);
  TrainingPlan plan = make_training_plan(with_file, images.train.count, count_of(users));
  require_users_fit(plan, users);
  if (!options.ledger_file.empty()) {
    plan.ledger = choose_ledger(options, plan, observer);
  }
  require_writable_directory(run.directory, kSpaceProbeBytes);
  const DirectoryLock lock(run.directory);
  refuse_existing_run();
  if (overwrite) retire_run(files);
  write_file_atomically(files.plan, plan.to_json());
  at::set_num_threads(run.threads);
  return Run(plan, users, run, observer).execute(images);
}

TrainingOutcome resume_training(const RunOptions& run, TrainingObserver& observer) {
  validate(run);
  const RunFiles files(run.directory);
  if (!fs::exists(files.plan)) {
    throw std::runtime_error("there is no run in " + run.directory.string());
  }
  require_writable_directory(run.directory, kSpaceProbeBytes);
  const DirectoryLock lock(run.directory);
  TrainingPlan plan = TrainingPlan::from_json(read_file(files.plan));
  if (run.ledger_file) {
    if (!plan.ledger) {
      throw std::invalid_argument("the run in " + run.directory.string() +
                                  " keeps no ledger: --ledger belongs to a new run");
    }
    plan.ledger->file = fs::absolute(*run.ledger_file);
    open_ledger(*plan.ledger, plan);
    write_file_atomically(files.plan, plan.to_json());
  }
  ImageData images = load_image_data(plan.dataset, plan.data_directory);
  hold_out(images, plan.held_out);
  if (images.train.count != plan.dataset_size) {
    throw std::runtime_error("the data set has " + std::to_string(images.train.count) +
                             " training examples, but the run began with " +
                             std::to_string(plan.dataset_size));
  }
  const std::vector<std::int64_t> users = load_users(plan.users_file, images.train.count);
  if (count_of(users) != plan.user_count) {
    throw std::runtime_error(
        plan.users_file.string() + " has " + std::to_string(count_of(users).value_or(0)) +
        " users, but the run began with " + std::to_string(plan.user_count.value_or(0)));
  }
  require_users_fit(plan, users);
  at::set_num_threads(run.threads);
  return Run(plan, users, run, observer).execute(images);
}

}  // namespace velum::dpsgd
