#include "train_command.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "clipping_options.h"
#include "interrupt.h"
#include "progress_display.h"
#include "velum/dpsgd/features/feature_cache.h"
#include "velum/dpsgd/keep_freed_memory.h"
#include "velum/dpsgd/training/training_run.h"

namespace velum::cli {
namespace {

constexpr int kStoppedByBudget = 3;

struct Arguments {
  dpsgd::TrainingOptions training;
  dpsgd::RunOptions run;
  std::string model = std::string(to_string(dpsgd::TrainingOptions{}.model));
  std::string recipe = std::string(to_string(dpsgd::TrainingOptions{}.recipe));
  std::string clipping = std::string(to_string(dpsgd::TrainingOptions{}.clipping));
  std::string data_directory;
  std::string users_file;
  std::string ledger;
  std::string out;
  std::string resume;
  std::string cache;
  bool no_cache = false;
  bool force = false;
  bool quiet = false;
  bool no_progress = false;
};

/// runs/2024-05-31-235959: where a run goes that was given no name.
std::string default_run_directory() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  std::strftime(text, sizeof text, "runs/%Y-%m-%d-%H%M%S", &utc);
  return text;
}

std::optional<std::filesystem::path> cache_directory(const Arguments& arguments) {
  if (arguments.no_cache) return std::nullopt;
  if (!arguments.cache.empty()) return arguments.cache;
  return dpsgd::default_cache_directory();
}

int train(Arguments& arguments) {
  dpsgd::RunOptions& run = arguments.run;
  run.cache_directory = cache_directory(arguments);
  ProgressDisplay display(arguments.quiet         ? ProgressDisplay::Style::kQuiet
                          : arguments.no_progress ? ProgressDisplay::Style::kLines
                                                  : ProgressDisplay::style_of_stderr());
  catch_interrupts();
  dpsgd::keep_freed_memory();
  try {
    dpsgd::TrainingOutcome outcome;
    if (!arguments.resume.empty()) {
      run.directory = arguments.resume;
      if (!arguments.ledger.empty()) run.ledger_file = arguments.ledger;
      outcome = dpsgd::resume_training(run, display);
    } else {
      run.directory = arguments.out.empty() ? default_run_directory() : arguments.out;
      arguments.training.model = dpsgd::model_kind_from_string(arguments.model);
      arguments.training.recipe = dpsgd::feature_recipe_from_string(arguments.recipe);
      arguments.training.clipping = dpsgd::clipping_kind_from_string(arguments.clipping);
      arguments.training.data_directory = arguments.data_directory;
      arguments.training.users_file = arguments.users_file;
      arguments.training.ledger_file = arguments.ledger;
      outcome = dpsgd::start_training(arguments.training, run, display, arguments.force);
    }
    if (!arguments.quiet) {
      std::fputs(outcome.report.to_text().c_str(), stdout);
      std::printf("\nModel and report: %s\n", run.directory.c_str());
      if (outcome.ledger_head) std::printf("Ledger head: %s\n", outcome.ledger_head->c_str());
    }
    if (outcome.complete) return 0;
    if (outcome.budget_exhausted) {
      std::fprintf(stderr, "velum: stopped at the ledger's budget; saved and reported\n");
      return kStoppedByBudget;
    }
  } catch (const dpsgd::StoppedEarly&) {
  }
  std::fprintf(stderr, "velum: stopped; go on with: velum train --resume %s\n",
               run.directory.c_str());
  return 128 + caught_signal();
}

}  // namespace

void add_train_command(CLI::App& program, int* exit_code) {
  auto arguments = std::make_shared<Arguments>();
  dpsgd::TrainingOptions& training = arguments->training;
  arguments->run.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));

  CLI::App* command = program.add_subcommand(
      "train", "Train a model on images under differential privacy, and say what it promises.");
  command->footer(
      "Example: velum train --dataset fashion-mnist --model scatter-linear --epsilon 3\n"
      "Neighbouring data sets: one has one example more, or with --users one user with all "
      "images.\n"
      "Ctrl-C finishes the step, saves and\n"
      "reports (exit status 130); --resume goes on. With --ledger, the run ends at the data set's\n"
      "budget in the same way (exit status 3, also where the budget pays no step at all).");

  std::vector<CLI::Option*> of_a_new_run;
  const auto add = [&](auto& value, const char* name, const char* text, const char* group) {
    CLI::Option* option = command->add_option(name, value, text)->group(group);
    of_a_new_run.push_back(option);
    return option;
  };
  const char* what = "What to train";
  add(training.dataset, "--dataset",
      "fashion-mnist, or idx: any 28 x 28 images in files of the MNIST family", what)
      ->type_name("NAME")
      ->capture_default_str();
  add(arguments->data_directory, "--data",
      "folder of the four data files; fashion-mnist is otherwise looked for where Debian's "
      "package dataset-fashion-mnist puts it",
      what)
      ->type_name("DIR");
  add(arguments->model, "--model", "scatter-linear, cnn or mlp", what)
      ->type_name("NAME")
      ->capture_default_str();
  add(arguments->recipe, "--recipe",
      "of scatter-linear: S preconditions by images of random shapes, K by noised moments of the "
      "data",
      what)
      ->type_name("S|K")
      ->capture_default_str();

  add(arguments->users_file, "--users",
      "whose each training image is: a number on each line, or NPY; users are protected, each with "
      "all images (cnn, mlp)",
      what)
      ->type_name("FILE");
  add(training.max_samples_per_user, "--max-samples-per-user",
      "most images of a user in a step, chosen anew; bounds memory, not what a user costs", what)
      ->type_name("N");

  const char* privacy = "Privacy";
  add(training.epsilon, "--epsilon", "budget of the whole run; sets the noise", privacy);
  add(training.delta, "--delta", "of the budget", privacy)->capture_default_str();
  add(training.noise_multiplier, "--noise-multiplier",
      "noise over clipping norm, instead of --epsilon", privacy);
  command
      ->add_option("--ledger", arguments->ledger,
                   "ledger that every release is entered into and whose budget ends the run; with "
                   "--resume: where it is now")
      ->type_name("FILE")
      ->group(privacy);
  add(training.ledger_data_set, "--dataset-id", "what the training data are called in --ledger",
      privacy)
      ->type_name("ID");
  add(training.insecure_seed, "--seed-insecure",
      "reproducible noise and sampling: the run is NOT private", privacy)
      ->type_name("N");

  const char* recipe = "How to train (defaults: those of the model)";
  add(training.epochs, "--epochs", "expected passes over the data", recipe);
  add(training.steps, "--steps", "instead of --epochs", recipe);
  add(training.sampling_rate, "--sampling-rate",
      "probability of each example, or user, to be in a step; 1: all in each", recipe);
  add(training.batch_size, "--batch-size", "expected, instead of --sampling-rate", recipe);
  for (CLI::Option* option :
       add_clipping_options(*command, recipe, training, arguments->clipping)) {
    of_a_new_run.push_back(option);
  }
  add(training.learning_rate, "--learning-rate", "of SGD", recipe);
  add(training.momentum, "--momentum", "of SGD", recipe);
  add(training.physical_batch_size, "--physical-batch-size",
      "most examples computed at once; changes memory and speed only", recipe);
  add(training.views, "--views",
      "random views of each image, averaged before the clip; 0: the image itself", recipe);
  add(training.average_decay, "--average",
      "decay of the moving average of the weights that the run ends with; 0: the last weights",
      recipe);
  // Not by add_flag, which sets its variable where the flag is not given, too.
  const auto centre = [&training](std::int64_t count) { training.centre_pixels = count > 0; };
  of_a_new_run.push_back(
      command
          ->add_flag_function("--centre-pixels,!--raw-pixels", centre,
                              "pixels in [-1, 1], default of cnn, or in [0, 1], of mlp")
          ->group(recipe));
  add(training.held_out, "--held-out",
      "test on the last so many training images, which are left out and unprotected", recipe)
      ->type_name("N");

  const char* running = "Running";
  add(arguments->out, "--out", "folder of the run; otherwise runs/ and the date", running)
      ->type_name("DIR");
  CLI::Option* force =
      command->add_flag("--force", arguments->force, "start over in a folder that holds a run")
          ->group(running);
  of_a_new_run.push_back(force);
  CLI::Option* resume = command
                            ->add_option("--resume", arguments->resume,
                                         "go on with the run in this folder, as it was begun")
                            ->type_name("DIR")
                            ->group(running);
  command->add_option("--threads", arguments->run.threads, "CPU threads")
      ->group(running)
      ->capture_default_str();
  command
      ->add_option("--cache", arguments->cache,
                   "folder that keeps features between runs (as private as the data)")
      ->type_name("DIR")
      ->group(running);
  command->add_flag("--no-cache", arguments->no_cache, "keep no features")->group(running);
  command->add_flag("-q,--quiet", arguments->quiet, "say nothing but errors")->group(running);
  command->add_flag("--no-progress", arguments->no_progress, "plain lines, no bar")->group(running);

  // Not by CLI11's excludes(): its help would say it at every option.
  command->callback([arguments, exit_code, resume, of_a_new_run] {
    for (const CLI::Option* option : of_a_new_run) {
      if (resume->count() > 0 && option->count() > 0) {
        throw CLI::ValidationError(option->get_name(),
                                   "does not go with --resume: the run keeps what it began with");
      }
    }
    *exit_code = train(*arguments);
  });
}

}  // namespace velum::cli
