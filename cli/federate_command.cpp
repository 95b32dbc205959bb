#include "federate_command.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "interrupt.h"
#include "message_channel.h"
#include "progress_display.h"
#include "velum/dpsgd/accounting/atomic_file.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/features/feature_cache.h"
#include "velum/dpsgd/ledger/ledger.h"
#include "velum/dpsgd/ledger/ledger_guard.h"
#include "velum/dpsgd/training/checkpoint.h"
#include "velum/dpsgd/training/durable_file.h"
#include "velum/dpsgd/training/federated_training.h"
#include "velum/dpsgd/training/image_data.h"
#include "velum/dpsgd/training/models.h"
#include "velum/he/aggregation/protocol.h"

namespace velum::cli {
namespace {

namespace aggregation = he::aggregation;
namespace fs = std::filesystem;
using aggregation::Bytes;
using dpsgd::LabelledImages;
using kernels::Span;
using kernels::Stream;
using Clock = std::chrono::steady_clock;

struct Arguments {
  bool demo = false;
  int owners = 3;
  int curious = 1;
  int dropouts = 0;
  double epsilon = 3.0;
  double delta = 1e-5;
  std::int64_t steps = 60;
  double clipping_norm = 0.1;
  std::optional<double> learning_rate;
  std::string dataset = "fashion-mnist";
  std::string data_directory;
  std::string out;
  std::string cache;
  bool no_cache = false;
  int threads = 1;
  bool quiet = false;
  int owner_process = 0;
  std::int64_t leave_at_round = 0;
  int leaving_owner = 0;
};

dpsgd::FederatedOptions training_options(const Arguments& arguments, std::int64_t examples) {
  return {.owners = arguments.owners,
          .honest = arguments.owners - arguments.curious - arguments.dropouts,
          .examples = examples,
          .epsilon = arguments.epsilon,
          .delta = arguments.delta,
          .steps = arguments.steps,
          .clipping_norm = arguments.clipping_norm,
          .learning_rate = arguments.learning_rate};
}

/// As many decrypt as it takes that the curious ones alone cannot.
int threshold_of(const Arguments& arguments) { return std::max(2, arguments.curious + 1); }

std::shared_ptr<const aggregation::AggregationContext> aggregation_context(
    const Arguments& arguments, const dpsgd::FederatedPlan& plan, const Stream& stream) {
  return aggregation::AggregationContext::create(
      aggregation::AggregationPlan::create({.values = plan.values(),
                                            .bits = plan.options.bits,
                                            .owners = arguments.owners,
                                            .threshold = threshold_of(arguments)}),
      stream);
}

void check(const Arguments& arguments) {
  const auto refuse = [](const std::string& text) { throw std::invalid_argument(text); };
  if (!arguments.demo) {
    refuse(
        "velum federate runs all owners on this machine: say so by --demo. Between machines, the "
        "protocol is a library without a network (velum::he::aggregation, "
        "examples/encrypted_aggregation.cpp)");
  }
  if (arguments.owners < 2 || arguments.owners > 16) {
    refuse("--owners " + std::to_string(arguments.owners) + ", expected 2 to 16");
  }
  if (arguments.curious < 0 || arguments.dropouts < 0 ||
      arguments.owners - arguments.curious - arguments.dropouts < 1) {
    refuse("--curious " + std::to_string(arguments.curious) + " and --dropouts " +
           std::to_string(arguments.dropouts) + ", expected at least 0, and fewer than the " +
           std::to_string(arguments.owners) + " owners together: somebody's noise must count");
  }
  if (threshold_of(arguments) > arguments.owners - arguments.dropouts) {
    refuse("--dropouts " + std::to_string(arguments.dropouts) + ": " +
           std::to_string(threshold_of(arguments)) + " owners decrypt, so at most " +
           std::to_string(arguments.owners - threshold_of(arguments)) + " may be missing");
  }
  // Every two sets of so many owners have one in common who is not curious: so there is one account
  // of a round, and one sum.
  const int quorum = arguments.owners - arguments.dropouts;
  if (2 * quorum <= arguments.owners + arguments.curious) {
    refuse("--curious " + std::to_string(arguments.curious) + " and --dropouts " +
           std::to_string(arguments.dropouts) + " of " + std::to_string(arguments.owners) +
           " owners: two halves could be told different things; expected curious + 2 dropouts "
           "below the number of owners");
  }
  if (arguments.leaving_owner < 0 || arguments.leaving_owner > arguments.owners) {
    refuse("--leave " + std::to_string(arguments.leaving_owner) + ", expected an owner, 1 to " +
           std::to_string(arguments.owners));
  }
}

/// Block number `owner` of 1 to `owners`; blocks differ by one image at most.
LabelledImages part_of(const LabelledImages& all, int owner, int owners) {
  const std::int64_t begin = all.count * (owner - 1) / owners, end = all.count * owner / owners;
  const std::int64_t pixels = all.height * all.width;
  LabelledImages part = all;
  part.count = end - begin;
  part.images.assign(all.images.begin() + begin * pixels, all.images.begin() + end * pixels);
  part.labels.assign(all.labels.begin() + begin, all.labels.begin() + end);
  return part;
}

std::optional<fs::path> cache_directory(const Arguments& arguments) {
  if (arguments.no_cache) return std::nullopt;
  if (!arguments.cache.empty()) return arguments.cache;
  return dpsgd::default_cache_directory();
}

at::Tensor labels_of(const LabelledImages& images) {
  const at::Tensor labels = at::empty({images.count}, at::kLong);
  std::copy(images.labels.begin(), images.labels.end(), labels.data_ptr<std::int64_t>());
  return labels;
}

aggregation::PublicIdentity to_identity(const Bytes& bytes, std::size_t at = 0) {
  aggregation::PublicIdentity identity{};
  if (bytes.size() < at + identity.size()) throw std::runtime_error("a public key is too short");
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), identity.size(), identity.begin());
  return identity;
}

/// What the processes of the demonstration are told at their start; between organisations it is
/// agreed on by other ways (docs/threat_model.md).
Bytes to_bytes(const aggregation::Roster& roster) {
  Bytes bytes(32 * (2 + roster.owners.size()));
  auto out = std::copy(roster.aggregator.begin(), roster.aggregator.end(), bytes.begin());
  out = std::copy(roster.nonce.begin(), roster.nonce.end(), out);
  for (const aggregation::PublicIdentity& owner : roster.owners) {
    out = std::copy(owner.begin(), owner.end(), out);
  }
  return bytes;
}

aggregation::Roster roster_of(const Bytes& bytes, const Arguments& arguments) {
  aggregation::Roster roster;
  roster.aggregator = to_identity(bytes);
  roster.nonce = to_identity(bytes, 32);
  for (int owner = 0; owner < arguments.owners; ++owner) {
    roster.owners.push_back(to_identity(bytes, 64 + 32 * static_cast<std::size_t>(owner)));
  }
  roster.least_vectors = arguments.owners - arguments.dropouts;
  roster.quorum = roster.least_vectors;
  return roster;
}

// --- an owner -----------------------------------------------------------------------------------

/// The owner's own ledger: its budget, and what it made once.
std::shared_ptr<dpsgd::Ledger> make_ledger(const Arguments& arguments, const fs::path& directory,
                                           std::int64_t examples) {
  auto ledger = std::make_shared<dpsgd::Ledger>(dpsgd::Ledger::create(directory / "ledger.db"));
  ledger->add_data_set(
      {.id = "own-images",
       .unit = "example",
       .public_size = examples,
       .budget = {.epsilon = arguments.epsilon, .delta = arguments.delta, .accountant = "rdp"}});
  return ledger;
}

int run_owner(const Arguments& arguments) {
  at::set_num_threads(arguments.threads);
  const Stream stream = Stream::cpu(arguments.threads);
  const int number = arguments.owner_process;
  MessageChannel channel(ChildProcess::kChildDescriptor, "the aggregator");
  const dpsgd::ImageData images =
      dpsgd::load_image_data(arguments.dataset, arguments.data_directory);
  const dpsgd::FederatedPlan plan =
      make_federated_plan(training_options(arguments, images.train.count));
  const LabelledImages own = part_of(images.train, number, arguments.owners);
  const fs::path directory = fs::path(arguments.out) / ("owner-" + std::to_string(number));
  fs::create_directories(directory);
  const std::shared_ptr<dpsgd::Ledger> ledger = make_ledger(arguments, directory, own.count);

  aggregation::Identity identity = aggregation::Identity::generate();
  const aggregation::PublicIdentity& name = identity.public_identity();
  channel.send(Bytes(name.begin(), name.end()));
  const aggregation::Roster roster = roster_of(channel.receive(), arguments);
  aggregation::Owner owner(
      aggregation_context(arguments, plan, stream), roster, number, std::move(identity),
      [ledger](std::string_view domain, const he::threshold::Digest& digest) {
        return ledger->claim_once(domain, digest);
      },
      stream);

  channel.send(owner.start_setup());
  const std::vector<Bytes> deals = owner.deal(channel.receive());
  for (const Bytes& deal : deals) channel.send(deal);
  std::vector<Bytes> shares(deals.size());
  for (Bytes& share : shares) share = channel.receive();
  channel.send(owner.finish_setup(shares));

  const auto guard = std::make_shared<dpsgd::LedgerGuard>(ledger, "own-images", "federate",
                                                          /*block=*/1, "velum federate");
  dpsgd::FederatedOwner trainer(
      plan,
      dpsgd::unit_scattering_rows(
          own, cache_directory(arguments), [](std::int64_t, std::int64_t) {},
          [](const std::string&) {}, stream),
      labels_of(own), guard, stream);
  while (!trainer.model().done()) {
    const Bytes start = channel.receive();
    if (number == arguments.leaving_owner && trainer.model().round() == arguments.leave_at_round) {
      return 0;
    }
    channel.send(owner.submit(start, trainer.contribute()));
    channel.send(owner.confirm(channel.receive()));
    // Empty: others decrypt.
    if (const Bytes request = channel.receive(); !request.empty()) {
      channel.send(owner.share(request));
    }
    trainer.apply(owner.result(channel.receive()));
  }
  guard->give_back_unused();
  return 0;
}

// --- the aggregator -----------------------------------------------------------------------------

/// The owners that are still there.
class Members {
 public:
  Members(const Arguments& arguments, const std::vector<std::string>& common) {
    for (int number = 1; number <= arguments.owners; ++number) {
      std::vector<std::string> own = common;
      own.push_back("--owner-process=" + std::to_string(number));
      processes_.emplace_back(std::in_place, own, "owner " + std::to_string(number));
    }
  }

  /// Does something with every owner's channel. An owner who is gone stays gone: `left` is told.
  void each(const std::function<void(int, MessageChannel&)>& work,
            const std::function<void(int)>& left) {
    for (int number = 1; number <= static_cast<int>(processes_.size()); ++number) {
      auto& process = processes_[static_cast<std::size_t>(number - 1)];
      if (!process) continue;
      try {
        work(number, process->channel());
      } catch (const ChannelClosed&) {
        bytes_ += process->channel().bytes_sent() + process->channel().bytes_received();
        const int status = process->wait();
        process.reset();
        if (status != 0) {
          throw std::runtime_error("owner " + std::to_string(number) + " failed with exit status " +
                                   std::to_string(status));
        }
        left(number);
      }
    }
  }

  std::uint64_t bytes() const {
    std::uint64_t all = bytes_;
    for (const auto& process : processes_) {
      if (!process) continue;
      const MessageChannel& channel = process->channel();
      all += channel.bytes_sent() + channel.bytes_received();
    }
    return all;
  }

 private:
  std::vector<std::optional<ChildProcess>> processes_;
  std::uint64_t bytes_ = 0;
};

struct Outcome {
  double accuracy = 0.0;
  double seconds = 0.0;
  std::uint64_t bytes = 0;
  std::uint64_t vector_bytes = 0;
  std::vector<int> left;
};

std::vector<int> all_owners(int owners) {
  std::vector<int> numbers;
  for (int number = 1; number <= owners; ++number) numbers.push_back(number);
  return numbers;
}

std::string to_text(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) {
    if (!text.empty()) text += ", ";
    text += std::to_string(number);
  }
  return text;
}

class Federation {
 public:
  Federation(const Arguments& arguments, ProgressDisplay& display)
      : arguments_(arguments),
        display_(display),
        stream_(Stream::cpu(arguments.threads)),
        images_(dpsgd::load_image_data(arguments.dataset, arguments.data_directory)),
        plan_(make_federated_plan(training_options(arguments, images_.train.count))),
        context_(aggregation_context(arguments, plan_, stream_)),
        model_(plan_, stream_) {}

  const dpsgd::FederatedPlan& plan() const { return plan_; }
  const aggregation::AggregationPlan& aggregation_plan() const { return context_->plan(); }
  dpsgd::FederatedModel& model() { return model_; }

  Outcome run() {
    const Clock::time_point begin = Clock::now();
    members_.emplace(arguments_, arguments_of_owners());
    set_up();
    const at::Tensor test_rows = dpsgd::unit_scattering_rows(
        images_.test, cache_directory(arguments_),
        [this](std::int64_t done, std::int64_t total) {
          display_.preparing("scattering features of the test images", done, total);
        },
        [this](const std::string& text) { display_.note(text); }, stream_);
    const at::Tensor test_labels = labels_of(images_.test);
    dpsgd::RdpAccountant accountant;
    while (!model_.done()) {
      const dpsgd::FederatedRelease& release = plan_.release(model_.round());
      accountant.compose(release.mechanism, 1, release.label);
      const std::vector<std::int32_t> sums = one_round();
      model_.apply(sums);
      if (model_.round() == 1) {
        dpsgd::apply_scatter_feature_map(model_.features(), test_rows, stream_);
      }
      display_.step_done({model_.round(), plan_.rounds(), accountant.epsilon(plan_.options.delta)});
    }
    outcome_.accuracy =
        dpsgd::accuracy_percent(model_.model(), test_rows.to(at::kDouble), test_labels);
    outcome_.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    outcome_.bytes = members_->bytes();
    return outcome_;
  }

 private:
  std::vector<std::string> arguments_of_owners() const {
    std::vector<std::string> common{
        "federate",
        "--demo",
        "--owners=" + std::to_string(arguments_.owners),
        "--curious=" + std::to_string(arguments_.curious),
        "--dropouts=" + std::to_string(arguments_.dropouts),
        "--epsilon=" + exact(arguments_.epsilon),
        "--delta=" + exact(arguments_.delta),
        "--steps=" + std::to_string(arguments_.steps),
        "--clipping-norm=" + exact(arguments_.clipping_norm),
        "--dataset=" + arguments_.dataset,
        "--out=" + arguments_.out,
        "--threads=" + std::to_string(std::max(1, arguments_.threads / arguments_.owners))};
    if (arguments_.learning_rate) {
      common.push_back("--learning-rate=" + exact(*arguments_.learning_rate));
    }
    if (!arguments_.data_directory.empty()) common.push_back("--data=" + arguments_.data_directory);
    if (!arguments_.cache.empty()) common.push_back("--cache=" + arguments_.cache);
    if (arguments_.no_cache) common.emplace_back("--no-cache");
    if (arguments_.leaving_owner > 0) {
      common.push_back("--leave=" + std::to_string(arguments_.leaving_owner));
      common.push_back("--leave-at=" + std::to_string(arguments_.leave_at_round));
    }
    return common;
  }

  /// Reads back as the same double.
  static std::string exact(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
  }

  void lost(int number) {
    outcome_.left.push_back(number);
    display_.note("owner " + std::to_string(number) + " is gone");
    if (static_cast<int>(outcome_.left.size()) > arguments_.dropouts) {
      throw std::runtime_error(
          std::to_string(outcome_.left.size()) + " owners are gone, but --dropouts is " +
          std::to_string(arguments_.dropouts) +
          ": the noise of those who are left is not enough, and nothing more is released");
    }
  }

  void each(const std::function<void(int, MessageChannel&)>& work) {
    members_->each(work, [this](int number) { lost(number); });
  }

  void set_up() {
    aggregation::Identity identity = aggregation::Identity::generate();
    aggregation::Roster roster;
    roster.aggregator = identity.public_identity();
    roster.owners.resize(static_cast<std::size_t>(arguments_.owners));
    const kernels::RandomKey nonce = kernels::secure_random_key();
    for (std::size_t i = 0; i < roster.nonce.size(); ++i) {
      roster.nonce[i] = static_cast<std::uint8_t>(nonce.words[i / 4] >> (8 * (i % 4)));
    }
    each([&](int number, MessageChannel& channel) {
      roster.owners[static_cast<std::size_t>(number - 1)] = to_identity(channel.receive());
    });
    const Bytes told = to_bytes(roster);
    each([&](int, MessageChannel& channel) { channel.send(told); });
    aggregator_.emplace(context_, roster_of(told, arguments_), std::move(identity), stream_);
    const auto take = [&](int, MessageChannel& channel) {
      aggregator_->receive(channel.receive());
    };
    each(take);
    const Bytes keys = aggregator_->setup_keys();
    each([&](int, MessageChannel& channel) { channel.send(keys); });
    each([&](int, MessageChannel& channel) {
      for (int other = 1; other < arguments_.owners; ++other) {
        aggregator_->receive(channel.receive());
      }
    });
    each([&](int number, MessageChannel& channel) {
      for (const Bytes& share : aggregator_->shares_for(number)) channel.send(share);
    });
    each(take);
  }

  std::vector<std::int32_t> one_round() {
    const auto take = [&](int, MessageChannel& channel) {
      aggregator_->receive(channel.receive());
    };
    const auto tell = [&](const Bytes& message) {
      each([&](int, MessageChannel& channel) { channel.send(message); });
    };
    tell(aggregator_->start_round());
    each([&](int, MessageChannel& channel) {
      const Bytes vector = channel.receive();
      outcome_.vector_bytes = vector.size();
      aggregator_->receive(vector);
    });
    tell(aggregator_->close_submissions());
    each(take);
    const Bytes request = aggregator_->request_shares();
    const std::vector<int> parties = aggregator_->parties();
    const auto decrypts = [&](int number) {
      return std::find(parties.begin(), parties.end(), number) != parties.end();
    };
    each([&](int number, MessageChannel& channel) {
      channel.send(decrypts(number) ? request : Bytes());
    });
    each([&](int number, MessageChannel& channel) {
      if (decrypts(number)) {
        aggregator_->receive(channel.receive());
      }
    });
    std::vector<std::int32_t> sums = aggregator_->finish();
    tell(aggregator_->result());
    return sums;
  }

  Arguments arguments_;
  ProgressDisplay& display_;
  Stream stream_;
  dpsgd::ImageData images_;
  dpsgd::FederatedPlan plan_;
  std::shared_ptr<const aggregation::AggregationContext> context_;
  dpsgd::FederatedModel model_;
  std::optional<Members> members_;
  std::optional<aggregation::Aggregator> aggregator_;
  Outcome outcome_;
};

// --- the report ---------------------------------------------------------------------------------

struct Report {
  std::string text;
  std::string json;
};

/// From what epsilon follows.
nlohmann::ordered_json noise_of(const dpsgd::FederatedRelease& release) {
  return {{"label", release.label},
          {"dimension", release.dimension},
          {"clipping_norm", release.clipping_norm},
          {"units_in_clipping_norm", release.grid},
          {"sensitivity", release.sensitivity},
          {"share_variance", kernels::double_at_most(release.noise.share_variance)}};
}

Report make_report(const Arguments& arguments, const Federation& federation,
                   const Outcome& outcome) {
  const dpsgd::FederatedPlan& plan = federation.plan();
  const aggregation::AggregationPlan& sums = federation.aggregation_plan();
  dpsgd::RdpAccountant accountant;
  accountant.compose(plan.releases());
  const dpsgd::PrivacyGuarantee guarantee = accountant.guarantee(plan.options.delta);
  const dpsgd::PrivacyStatement statement =
      make_privacy_statement(plan.releases(), guarantee, accountant.name());
  const int threshold = threshold_of(arguments);
  const double bytes_per_value =
      static_cast<double>(outcome.vector_bytes) / static_cast<double>(plan.values());
  const std::string everybody = "owners " + to_text(all_owners(arguments.owners));
  const std::vector<std::pair<std::string, std::string>> who{
      {"an owner's images", "that owner"},
      {"an owner's sum or vector", "that owner; no other party, nor the aggregator"},
      {"sum of all owners, with noise",
       "any " + std::to_string(threshold) + " of " + everybody +
           " together, once a round; then the aggregator and every owner"},
      {"the model", "everybody: it follows from the noised sums"}};

  char line[256];
  std::string text = "Federated training under encryption\n\n";
  const auto add = [&](const char* pattern, auto... values) {
    std::snprintf(line, sizeof line, pattern, values...);
    text += line;
  };
  add("  %-22s %d, each with about %lld of %lld examples\n", "owners", arguments.owners,
      static_cast<long long>(plan.options.examples / arguments.owners),
      static_cast<long long>(plan.options.examples));
  add("  %-22s %.2f %%\n", "test accuracy", outcome.accuracy);
  add("  %-22s %s at delta %g, towards everybody else, with up to %d curious owner(s)\n", "epsilon",
      dpsgd::epsilon_text(guarantee.epsilon).c_str(), plan.options.delta, arguments.curious);
  add("  %-22s %lld (a mean and %lld steps)\n", "rounds", static_cast<long long>(plan.rounds()),
      static_cast<long long>(plan.options.steps));
  add("  %-22s %.2f bytes a value, %llu for one vector of %lld values\n", "an owner sends",
      bytes_per_value, static_cast<unsigned long long>(outcome.vector_bytes),
      static_cast<long long>(plan.values()));
  add("  %-22s %.1f MB, all messages of all rounds\n", "exchanged",
      static_cast<double>(outcome.bytes) / 1e6);
  add("  %-22s %.1f s\n", "time", outcome.seconds);
  if (!outcome.left.empty()) add("  %-22s %s\n", "left on the way", to_text(outcome.left).c_str());
  text += "\nWho could read what\n\n";
  for (const auto& [what, whom] : who) text += "  " + what + ":\n      " + whom + "\n";
  text += "\nThe sums\n\n" + sums.to_string() + "\n" + statement.to_text();

  nlohmann::ordered_json readers = nlohmann::ordered_json::object();
  for (const auto& [what, whom] : who) readers[what] = whom;
  const nlohmann::ordered_json json{
      {"owners", arguments.owners},
      {"curious", arguments.curious},
      {"dropouts", arguments.dropouts},
      {"left", outcome.left},
      {"threshold", threshold},
      {"honest", plan.options.honest},
      {"examples", plan.options.examples},
      {"rounds", plan.rounds()},
      {"epsilon", guarantee.epsilon},
      {"delta", plan.options.delta},
      {"accountant", accountant.name()},
      {"test_accuracy", outcome.accuracy},
      {"seconds", outcome.seconds},
      {"values", plan.values()},
      {"vector_bytes", outcome.vector_bytes},
      {"bytes_per_value", bytes_per_value},
      {"bytes", outcome.bytes},
      {"releases", nlohmann::json::parse(plan.releases().to_json())},
      {"noise", {noise_of(plan.mean), noise_of(plan.step)}},
      {"who_reads", readers},
      {"statement", nlohmann::json::parse(statement.to_json())},
      {"versions", {{"velum", dpsgd::velum_version()}, {"torch", TORCH_VERSION}}}};
  return {text, json.dump(2) + "\n"};
}

int federate(Arguments& arguments) {
  check(arguments);
  if (arguments.owner_process > 0) return run_owner(arguments);
  if (arguments.out.empty()) arguments.out = "runs/federate";
  const fs::path out = arguments.out;
  if (fs::exists(out / "report.json") || fs::exists(out / "owner-1")) {
    throw std::runtime_error(out.string() +
                             " holds a run already: choose another folder with --out. What its "
                             "owners released stays released");
  }
  at::set_num_threads(arguments.threads);
  ProgressDisplay display(arguments.quiet ? ProgressDisplay::Style::kQuiet
                                          : ProgressDisplay::style_of_stderr());
  Federation federation(arguments, display);
  dpsgd::require_writable_directory(out, std::int64_t{1} << 24);
  const Outcome outcome = federation.run();
  const Report report = make_report(arguments, federation, outcome);
  const dpsgd::ScatterFeatureMap& features = federation.model().features();
  dpsgd::save_model(out / "model.pt", federation.model().model(),
                    {{"feature_mean", features.mean},
                     {"channel_preconditioner", features.channel},
                     {"spatial_preconditioner", features.spatial}});
  dpsgd::write_file_atomically(out / "report.txt", report.text);
  dpsgd::write_file_atomically(out / "report.json", report.json);
  if (!arguments.quiet) {
    std::fputs(report.text.c_str(), stdout);
    std::printf("\nModel and report: %s\n", out.c_str());
  }
  return 0;
}

}  // namespace

void add_federate_command(CLI::App& program, int* exit_code) {
  auto arguments = std::make_shared<Arguments>();
  arguments->threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  CLI::App* command = program.add_subcommand(
      "federate",
      "Train one model on the data of several owners, who show each other nothing but sums.");
  command->footer(
      "Example: velum federate --demo --epsilon 3 --out runs/federate\n"
      "Every owner is a process with its own part of the data, key, noise and ledger\n"
      "(OUT/owner-K/ledger.db). What goes between them is encrypted and signed; the aggregator\n"
      "learns the sum of all, with noise, and nothing else: docs/threat_model.md.");
  command->add_flag("--demo", arguments->demo, "all owners on this machine, over local sockets");
  const char* who = "Owners";
  command->add_option("--owners", arguments->owners, "how many; the data are divided among them")
      ->group(who)
      ->capture_default_str();
  command
      ->add_option("--curious", arguments->curious,
                   "owners who may tell the aggregator all they see, their noise too, without "
                   "weakening epsilon")
      ->group(who)
      ->capture_default_str();
  command
      ->add_option("--dropouts", arguments->dropouts,
                   "owners who may be missing without weakening epsilon")
      ->group(who)
      ->capture_default_str();
  const char* privacy = "Privacy and training";
  command->add_option("--epsilon", arguments->epsilon, "of the whole run")
      ->group(privacy)
      ->capture_default_str();
  command->add_option("--delta", arguments->delta)->group(privacy)->capture_default_str();
  command->add_option("--steps", arguments->steps, "of training, each on all data")
      ->group(privacy)
      ->capture_default_str();
  command->add_option("--clipping-norm", arguments->clipping_norm)
      ->group(privacy)
      ->capture_default_str();
  command->add_option("--learning-rate", arguments->learning_rate, "of SGD")->group(privacy);
  const char* data = "Data";
  command->add_option("--dataset", arguments->dataset, "fashion-mnist, or idx")
      ->group(data)
      ->capture_default_str();
  command->add_option("--data", arguments->data_directory, "folder of the four data files")
      ->type_name("DIR")
      ->group(data);
  command->add_option("--cache", arguments->cache, "folder that keeps features between runs")
      ->type_name("DIR")
      ->group(data);
  command->add_flag("--no-cache", arguments->no_cache, "keep no features")->group(data);
  const char* running = "Running";
  command->add_option("--out", arguments->out, "folder of the run; otherwise runs/federate")
      ->type_name("DIR")
      ->group(running);
  command->add_option("--threads", arguments->threads, "CPU threads, of all processes together")
      ->group(running)
      ->capture_default_str();
  command->add_flag("-q,--quiet", arguments->quiet, "say nothing but errors")->group(running);
  command
      ->add_option("--leave", arguments->leaving_owner,
                   "this owner ends in the middle, for trying --dropouts")
      ->group(running);
  command->add_option("--leave-at", arguments->leave_at_round, "in this round")->group(running);
  command->add_option("--owner-process", arguments->owner_process)->group("");
  command->callback([arguments, exit_code] { *exit_code = federate(*arguments); });
}

}  // namespace velum::cli
