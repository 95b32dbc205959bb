#include "audit_command.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "arguments.h"
#include "clipping_options.h"
#include "interrupt.h"
#include "planning_options.h"
#include "progress_display.h"
#include "velum/dpsgd/accounting/atomic_file.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/audit/audit_report.h"
#include "velum/dpsgd/data/idx.h"
#include "velum/dpsgd/training/image_data.h"
#include "velum/dpsgd/training/models.h"
#include "velum/dpsgd/training/scatter_features.h"
#include "velum/dpsgd/training/training_plan.h"
#include "velum/dpsgd/training/user_ids.h"
#include "velum/kernels/random/uniform.h"

namespace velum::cli {
namespace {

using dpsgd::LabelledImages;
using dpsgd::ModelKind;

constexpr int kRefuted = 4;
constexpr std::int64_t kSide = 28;
constexpr std::int64_t kClasses = 10;
// Of the data that are made up, of the first weights and of the canaries' pixels: no secrets.
constexpr std::uint64_t kPublicSeed = 2305;

struct Arguments {
  std::string dataset = "synthetic";
  std::string data_directory;
  std::int64_t examples = 1000;
  std::string model = "mlp";
  bool double_precision = false;

  std::optional<double> epsilon;
  std::optional<double> noise_multiplier;
  double delta = 1e-5;
  std::optional<double> claim;
  std::int64_t steps = 20;
  std::optional<double> sampling_rate;
  std::optional<std::int64_t> batch_size;
  dpsgd::TrainingOptions training;  // of it the clipping
  std::string clipping = std::string(to_string(dpsgd::TrainingOptions{}.clipping));
  std::string users_file;
  double learning_rate = 0.1;
  std::int64_t physical_batch_size = 128;

  std::int64_t replay_steps = 5;
  std::int64_t canaries = 1000;
  std::string canary_kind = "dirac";
  std::int64_t runs = 0;
  double confidence = 0.95;
  std::optional<std::uint64_t> insecure_seed;

  std::string report;
  int threads = 1;
  bool json = false;
  bool quiet = false;
  bool no_progress = false;
};

/// Uniform bytes, the same for everyone.
std::vector<std::uint8_t> public_bytes(std::int64_t count, std::uint64_t stream) {
  std::vector<std::uint64_t> words(static_cast<std::size_t>(count / 8 + 1));
  kernels::uniform_bits_fill(words, kernels::insecure_key_from_seed(kPublicSeed),
                             {.purpose = kernels::Purpose::kTest, .step = stream}, 0,
                             kernels::Stream::serial());
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(words[i / 8] >> (8 * (i % 8)));
  }
  return bytes;
}

/// Images of ten classes: noise, and with `bars` a bright bar whose place tells the class. Without,
/// the labels are as random as the pixels: a model learns them one by one or not at all.
LabelledImages made_up_images(std::int64_t count, bool bars, std::uint64_t stream) {
  LabelledImages images;
  images.count = count;
  images.height = images.width = kSide;
  images.classes = kClasses;
  images.images = public_bytes(count * kSide * kSide, 2 * stream);
  const std::vector<std::uint8_t> labels = public_bytes(count, 2 * stream + 1);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t label = labels[static_cast<std::size_t>(i)] % kClasses;
    images.labels.push_back(static_cast<std::uint8_t>(label));
    if (!bars) continue;
    for (std::int64_t pixel = 0; pixel < kSide * kSide; ++pixel) {
      std::uint8_t& value = images.images[static_cast<std::size_t>(i * kSide * kSide + pixel)];
      const std::int64_t column = pixel % kSide;
      value = static_cast<std::uint8_t>(value / 4);
      if (column / 2 == label + 2) value = static_cast<std::uint8_t>(255 - value);
    }
  }
  return images;
}

LabelledImages first_of(LabelledImages images, std::int64_t count) {
  images.count = std::min(count, images.count);
  images.images.resize(static_cast<std::size_t>(images.count * images.height * images.width));
  images.labels.resize(static_cast<std::size_t>(images.count));
  return images;
}

struct Inputs {
  at::Tensor inputs, targets;
};

/// What the model reads: pixels in [0, 1], or scattering features of norm 1.
Inputs inputs_of(const LabelledImages& images, ModelKind model, at::ScalarType type,
                 ProgressDisplay& display, int threads) {
  Inputs data;
  data.targets = at::empty({images.count}, at::kLong);
  std::copy(images.labels.begin(), images.labels.end(), data.targets.data_ptr<std::int64_t>());
  if (model == ModelKind::kScatterLinear) {
    data.inputs = dpsgd::unit_scattering_rows(
        images, std::nullopt,
        [&](std::int64_t done, std::int64_t total) {
          display.preparing("scattering features", done, total);
        },
        [&](const std::string& text) { display.note(text); }, kernels::Stream::cpu(threads));
    data.inputs.select(1, data.inputs.size(1) - 1).fill_(0.3);  // the constant feature
  } else {
    data.inputs = at::empty({images.count, 1, images.height, images.width}, at::kFloat);
    auto* out = data.inputs.data_ptr<float>();
    for (std::size_t i = 0; i < images.images.size(); ++i) {
      out[i] = static_cast<float>(images.images[i]) / 255.0f;
    }
  }
  data.inputs = data.inputs.to(type);
  return data;
}

std::function<at::Tensor(const std::vector<std::int64_t>&)> losses_of(torch::nn::Sequential model,
                                                                      const Inputs& data) {
  return [model, data](const std::vector<std::int64_t>& indices) mutable {
    namespace functional = torch::nn::functional;
    const at::Tensor rows = at::tensor(indices, at::kLong);
    return functional::cross_entropy(model->forward(data.inputs.index_select(0, rows)),
                                     data.targets.index_select(0, rows),
                                     functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  };
}

/// Most positions over which a gradient of the model is summed: those of the first convolution.
std::int64_t positions_of(ModelKind model) { return model == ModelKind::kCnn ? 14 * 14 : 1; }

void check(const Arguments& arguments) {
  check_delta(arguments.delta);
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) reject(name, std::to_string(value), ">= " + std::to_string(least));
  };
  at_least("--examples", arguments.examples, 2);
  at_least("--steps", arguments.steps, 1);
  at_least("--physical-batch-size", arguments.physical_batch_size, 1);
  at_least("--replay-steps", arguments.replay_steps, 0);
  at_least("--canaries", arguments.canaries, 0);
  at_least("--runs", arguments.runs, 0);
  at_least("--threads", arguments.threads, 1);
  if (arguments.epsilon && arguments.noise_multiplier) {
    throw std::invalid_argument("give one of --epsilon and --noise-multiplier");
  }
  if (arguments.sampling_rate && arguments.batch_size) {
    throw std::invalid_argument("give one of --sampling-rate and --batch-size");
  }
  if (arguments.claim && !(*arguments.claim >= 0.0 && std::isfinite(*arguments.claim))) {
    reject("--claim", number_text(*arguments.claim), "finite and >= 0");
  }
  if (arguments.runs > 0 && arguments.canaries == 0) {
    throw std::invalid_argument("--runs needs --canaries of at least 1");
  }
}

double sampling_rate_of(const Arguments& arguments, std::int64_t examples) {
  if (arguments.sampling_rate) return *arguments.sampling_rate;
  const std::int64_t batch = arguments.batch_size.value_or(std::min<std::int64_t>(64, examples));
  if (batch < 1 || batch > examples) {
    reject("--batch-size", std::to_string(batch), "1 to " + std::to_string(examples));
  }
  return static_cast<double>(batch) / static_cast<double>(examples);
}

/// The users of the first examples; none where examples are audited.
std::vector<std::int64_t> users_of(const Arguments& arguments, std::int64_t examples) {
  if (arguments.users_file.empty()) return {};
  std::vector<std::int64_t> users = dpsgd::read_user_ids(arguments.users_file);
  if (static_cast<std::int64_t>(users.size()) < examples) {
    throw dpsgd::DataError(arguments.users_file + ": " + std::to_string(users.size()) +
                           " users, expected one for each of the " + std::to_string(examples) +
                           " examples that are audited");
  }
  users.resize(static_cast<std::size_t>(examples));
  return users;
}

std::int64_t number_of(const std::vector<std::int64_t>& users) {
  return static_cast<std::int64_t>(std::set<std::int64_t>(users.begin(), users.end()).size());
}

/// Reports beside each other: the given name with .json and with .md.
void write_report(const dpsgd::AuditReport& report, std::filesystem::path path) {
  const std::filesystem::path folder = path.parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder);
  if (path.extension() == ".json" || path.extension() == ".md") path.replace_extension();
  dpsgd::write_file_atomically(path.string() + ".json", report.to_json());
  dpsgd::write_file_atomically(path.string() + ".md", report.to_markdown());
}

int audit(const Arguments& arguments) {
  check(arguments);
  ProgressDisplay display(arguments.quiet         ? ProgressDisplay::Style::kQuiet
                          : arguments.no_progress ? ProgressDisplay::Style::kLines
                                                  : ProgressDisplay::style_of_stderr());
  catch_interrupts();
  at::set_num_threads(arguments.threads);
  const ModelKind kind = dpsgd::model_kind_from_string(arguments.model);
  const dpsgd::CanaryKind canary_kind = dpsgd::canary_kind_from_string(arguments.canary_kind);
  const at::ScalarType type = arguments.double_precision ? at::kDouble : at::kFloat;
  const LabelledImages images =
      arguments.dataset == "synthetic"
          ? made_up_images(arguments.examples, true, 1)
          : first_of(dpsgd::load_image_data(arguments.dataset, arguments.data_directory).train,
                     arguments.examples);
  const std::vector<std::int64_t> users = users_of(arguments, images.count);
  const std::int64_t units = users.empty() ? images.count : number_of(users);
  const double rate = sampling_rate_of(arguments, units);
  const double sigma = arguments.noise_multiplier ? *arguments.noise_multiplier
                                                  : dpsgd::calibrate_noise_multiplier(
                                                        arguments.epsilon.value_or(1.0),
                                                        arguments.delta, rate, arguments.steps);
  const auto progress = [&](const char* name) {
    return [&display, name](std::int64_t done, std::int64_t total) {
      display.preparing(name, done, total);
      if (display.stop_requested()) throw dpsgd::StoppedEarly("stopped");
    };
  };

  const Inputs data = inputs_of(images, kind, type, display, arguments.threads);
  torch::nn::Sequential network = dpsgd::make_model(kind, data.inputs.size(-1), kPublicSeed);
  network->to(type);
  const dpsgd::AuditedModel model{.parameters = network->parameters(),
                                  .dataset_size = images.count,
                                  .user_of_example = users,
                                  .losses = losses_of(network, data)};
  const dpsgd::EngineFactory factory = dpsgd::privacy_engine_factory();
  const std::uint64_t seed = arguments.insecure_seed.value_or(1);
  dpsgd::TrainingOptions training = arguments.training;
  training.model = kind;
  training.clipping = dpsgd::clipping_kind_from_string(arguments.clipping);
  dpsgd::require_clipping_fits(training);
  // As `velum train` has it.
  const dpsgd::Clipping clipping =
      dpsgd::clipping_of(training, std::max(rate * static_cast<double>(units) / 20, sigma));

  dpsgd::AuditReport report;
  report.subject = {{"engine", "velum " + dpsgd::velum_version()},
                    {"model", arguments.model},
                    {"data", std::to_string(images.count) + " examples, " + arguments.dataset},
                    {"unit", users.empty() ? "example" : "user, " + std::to_string(units)},
                    {"type", arguments.double_precision ? "float64" : "float32"},
                    {"sampling rate", number_text(rate)},
                    {"clipping", clipping.to_text()},
                    {"noise multiplier", number_text(sigma)},
                    {"steps", std::to_string(arguments.steps)}};
  report.conformance =
      dpsgd::engine_conformance(model, factory,
                                {.sampling_rate = rate,
                                 .clipping = clipping,
                                 .noise_multiplier = sigma,
                                 .physical_batch_size = arguments.physical_batch_size,
                                 .insecure_seed = seed},
                                progress("conformance"));
  if (arguments.replay_steps > 0) {
    report.replay = dpsgd::neighbour_replay(model, factory,
                                            {.steps = arguments.replay_steps,
                                             .sampling_rate = rate,
                                             .clipping = clipping,
                                             .noise_multiplier = sigma,
                                             .learning_rate = arguments.learning_rate,
                                             .physical_batch_size = arguments.physical_batch_size,
                                             .positions = positions_of(kind),
                                             .insecure_seed = seed},
                                            progress("neighbour replay"));
  }
  if (arguments.canaries > 0) {
    dpsgd::CanaryAuditOptions options{.kind = canary_kind,
                                      .canaries = arguments.canaries,
                                      .steps = arguments.steps,
                                      .sampling_rate = rate,
                                      .clipping = clipping,
                                      .noise_multiplier = sigma,
                                      .learning_rate = arguments.learning_rate,
                                      .physical_batch_size = arguments.physical_batch_size,
                                      .runs = arguments.runs,
                                      .delta = arguments.delta,
                                      .confidence = arguments.confidence,
                                      .insecure_seed = arguments.insecure_seed};
    if (canary_kind == dpsgd::CanaryKind::kInput) {
      options.canary_losses =
          losses_of(network, inputs_of(made_up_images(arguments.canaries, false, 2), kind, type,
                                       display, arguments.threads));
    }
    report.canaries = dpsgd::canary_audit(model, factory, options, progress("canaries"));
    report.subject.emplace_back("canaries", arguments.canary_kind);
    if (arguments.claim) {
      report.subject.emplace_back("epsilon by the books",
                                  number_text(report.canaries->epsilon_upper));
      report.subject.emplace_back("epsilon claimed", number_text(*arguments.claim));
      report.canaries->epsilon_upper = *arguments.claim;
    }
  }

  if (!arguments.report.empty()) write_report(report, arguments.report);
  if (arguments.json) {
    std::fputs(report.to_json().c_str(), stdout);
  } else if (!arguments.quiet) {
    std::fputs(report.to_markdown().c_str(), stdout);
  }
  if (report.holds()) return 0;
  std::fprintf(stderr, "velum: the audit refutes what is promised\n");
  return kRefuted;
}

}  // namespace

void add_audit_command(CLI::App& program, int* exit_code) {
  auto shared = std::make_shared<Arguments>();
  Arguments& arguments = *shared;
  arguments.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  CLI::App* command = program.add_subcommand(
      "audit", "Hold the training to what it promises: replay, conformance, canaries.");
  command->footer(
      "Example: velum audit --model mlp --epsilon 1 --steps 20 --report audit\n"
      "An audit refutes or does not; it proves nothing (docs/auditing.md). The report depends on\n"
      "single examples: where the data are secret, so is it. Exit status: 0 nothing refuted; 1\n"
      "failed; 2 bad usage; 4 refuted: a violated check, or epsilon at least above epsilon at "
      "most.");

  const char* what = "What to audit";
  command
      ->add_option("--dataset", arguments.dataset,
                   "synthetic (made-up images), fashion-mnist, or idx: files of the MNIST family")
      ->type_name("NAME")
      ->group(what)
      ->capture_default_str();
  command->add_option("--data", arguments.data_directory, "folder of the data files")
      ->type_name("DIR")
      ->group(what);
  command
      ->add_option("--users", arguments.users_file,
                   "whose each example is, as for velum train: users are what is audited")
      ->type_name("FILE")
      ->group(what);
  command->add_option("--examples", arguments.examples, "so many, the first ones")
      ->group(what)
      ->capture_default_str();
  command
      ->add_option("--model", arguments.model,
                   "mlp, cnn or scatter-linear (on scattering features without the released map)")
      ->type_name("NAME")
      ->group(what)
      ->capture_default_str();
  command
      ->add_flag("--float64", arguments.double_precision,
                 "the model in float64: next to no allowance for rounding")
      ->group(what);

  const char* training = "The training that is audited";
  command->add_option("--epsilon", arguments.epsilon, "sets the noise; default 1")->group(training);
  command->add_option("--noise-multiplier", arguments.noise_multiplier, "instead of --epsilon")
      ->group(training);
  command->add_option("--delta", arguments.delta, "in (0, 1)")
      ->group(training)
      ->capture_default_str();
  command
      ->add_option("--claim", arguments.claim,
                   "epsilon that is claimed, instead of that of the books")
      ->group(training);
  command->add_option("--steps", arguments.steps, "of every run")
      ->group(training)
      ->capture_default_str();
  command->add_option("--sampling-rate", arguments.sampling_rate, "in (0, 1]")->group(training);
  command
      ->add_option("--batch-size", arguments.batch_size,
                   "expected, instead of --sampling-rate; default 64")
      ->group(training);
  add_clipping_options(*command, training, arguments.training, arguments.clipping);
  command->add_option("--learning-rate", arguments.learning_rate, "of plain SGD")
      ->group(training)
      ->capture_default_str();
  command
      ->add_option("--physical-batch-size", arguments.physical_batch_size,
                   "most examples computed at once")
      ->group(training)
      ->capture_default_str();

  const char* audits = "Audits";
  command->add_option("--replay-steps", arguments.replay_steps, "of the neighbour replay; 0: none")
      ->group(audits)
      ->capture_default_str();
  command->add_option("--canaries", arguments.canaries, "in the one run; 0: none")
      ->group(audits)
      ->capture_default_str();
  command->add_option("--canary-kind", arguments.canary_kind, "dirac, gradient or input")
      ->type_name("NAME")
      ->group(audits)
      ->capture_default_str();
  command
      ->add_option("--runs", arguments.runs,
                   "further runs with one canary, for the bound of many runs; 0, or >= 4")
      ->group(audits)
      ->capture_default_str();
  command->add_option("--confidence", arguments.confidence, "of all lower bounds together")
      ->group(audits)
      ->capture_default_str();
  command
      ->add_option("--seed-insecure", arguments.insecure_seed,
                   "reproducible canaries: the confidence holds for secret ones")
      ->type_name("N")
      ->group(audits);

  const char* running = "Running";
  command->add_option("--report", arguments.report, "write FILE.json and FILE.md")
      ->type_name("FILE")
      ->group(running);
  command->add_option("--threads", arguments.threads, "CPU threads")
      ->group(running)
      ->capture_default_str();
  command->add_flag("--json", arguments.json, "the report as JSON")->group(running);
  command->add_flag("-q,--quiet", arguments.quiet, "say nothing but errors")->group(running);
  command->add_flag("--no-progress", arguments.no_progress, "plain lines, no bar")->group(running);
  command->callback([shared, exit_code] {
    try {
      *exit_code = audit(*shared);
    } catch (const std::invalid_argument& error) {
      throw about_argument(error, {{"sampling_rate", "--sampling-rate"},
                                   {"clipping_norm", "--clipping-norm"},
                                   {"noise_multiplier", "--noise-multiplier"},
                                   {"learning_rate", "--learning-rate"},
                                   {"epsilon", "--epsilon"},
                                   {"canaries", "--canaries"},
                                   {"runs", "--runs"},
                                   {"confidence", "--confidence"}});
    } catch (const dpsgd::StoppedEarly&) {
      std::fprintf(stderr, "velum: stopped\n");
      *exit_code = 128 + caught_signal();
    }
  });
}

}  // namespace velum::cli
