#include "ledger_command.h"

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

#include "arguments.h"
#include "velum/dpsgd/accounting/batch_sampling.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/ledger/ledger.h"

namespace velum::cli {
namespace {

using dpsgd::Ledger;
using nlohmann::ordered_json;

constexpr int kVerificationFailed = 4;

struct Arguments {
  std::string ledger;
  bool json = false;
  std::string actor = dpsgd::current_user();
  std::string data_set;
  std::string reason;

  // init, budget
  std::string from;
  std::string unit = dpsgd::DataSet{}.unit;
  std::string neighbouring = to_string(dpsgd::Neighbouring::kAddOrRemoveOne);
  std::optional<std::int64_t> size;
  std::optional<double> epsilon;
  std::optional<double> delta;
  std::string accountant;
  std::string description;

  // reserve
  std::optional<double> noise_multiplier;
  std::optional<double> sampling_rate;
  std::string sampling = to_string(dpsgd::BatchSampling::kPoisson);
  std::optional<std::int64_t> largest_batch;
  std::string mechanism;
  std::int64_t steps = 1;
  std::string label;
  bool up_to = false;

  bool statement = false;            // status
  std::optional<std::int64_t> last;  // history
  std::string head;                  // verify
  std::string file;                  // export, import, backup
  std::string text;                  // note
};

std::string time_text(std::int64_t microseconds) {
  const std::time_t seconds = microseconds / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &utc);
  return text;
}

void print(const ordered_json& object) { std::printf("%s\n", object.dump(2).c_str()); }

std::string read_text(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) {
    throw std::system_error(errno, std::generic_category(), "cannot read " + name);
  }
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

double required(const std::optional<double>& value, const char* option) {
  if (!value) throw std::invalid_argument(std::string(option) + " is missing");
  return *value;
}

Ledger open_for_reading(const Arguments& arguments) {
  return Ledger::open(arguments.ledger, Ledger::Access::kReadOnly);
}

ordered_json status_json(const dpsgd::DataSetStatus& status) {
  const dpsgd::DataSet& set = status.data_set;
  return {{"dataset_id", set.id},
          {"description", set.description},
          {"unit", set.unit},
          {"neighbouring", to_string(set.neighbouring)},
          {"public_size", set.public_size ? ordered_json(*set.public_size) : ordered_json(nullptr)},
          {"budget",
           {{"epsilon", set.budget.epsilon},
            {"delta", set.budget.delta},
            {"accountant", set.budget.accountant}}},
          {"spent",
           {{"epsilon", finite_or_null(status.guarantee.epsilon)},
            {"delta", set.budget.delta},
            {"method", status.guarantee.method},
            {"releases", status.spent.total_count()},
            {"composition", ordered_json::parse(status.spent.to_json())}}},
          {"over_budget", status.over_budget}};
}

std::string status_text(const dpsgd::DataSetStatus& status) {
  const dpsgd::DataSet& set = status.data_set;
  std::ostringstream out;
  out << "data set " << set.id;
  if (!set.description.empty()) out << ": " << set.description;
  out << "\n  protects   one " << set.unit << " (" << to_string(set.neighbouring) << "), size "
      << (set.public_size ? std::to_string(*set.public_size) + ", public" : "not public")
      << "\n  budget     epsilon " << number_text(set.budget.epsilon) << " at delta "
      << number_text(set.budget.delta) << ", accountant " << set.budget.accountant
      << "\n  spent      epsilon " << dpsgd::epsilon_text(status.guarantee.epsilon) << " by "
      << status.spent.total_count() << " releases (" << status.guarantee.method << ")\n";
  if (status.over_budget) out << "  OVER THE BUDGET: no release is allowed\n";
  return out.str();
}

/// What the releases of a data set cost so far, for a paper.
dpsgd::PrivacyStatement statement_of(const dpsgd::DataSetStatus& status) {
  const dpsgd::DataSet& set = status.data_set;
  return make_privacy_statement(status.spent, status.guarantee, set.budget.accountant,
                                {.unit = set.unit, .size_is_public = set.public_size.has_value()});
}

/// What an event says, for people.
struct EventText {
  std::string operator()(const dpsgd::LedgerCreated& e) const { return "ledger " + e.ledger_id; }
  std::string operator()(const dpsgd::DataSetAdded& e) const {
    return "data set " + e.data_set.id + ", " + budget(e.data_set.budget) + by(e.actor);
  }
  std::string operator()(const dpsgd::BudgetChanged& e) const {
    return "data set " + e.data_set + ", " + budget(e.budget) + by(e.actor) + ": " + e.reason;
  }
  std::string operator()(const dpsgd::RunBegun& e) const {
    return "run " + e.run + " on " + e.data_set + by(e.actor) + colon(e.description);
  }
  std::string operator()(const dpsgd::ReleasesReserved& e) const {
    const dpsgd::Phase& phase = e.release.phases().front();
    return std::to_string(phase.count) + " x " + describe(phase.mechanism) + " on " + e.data_set +
           (phase.label.empty() ? "" : ", " + phase.label) + (e.run ? ", run " + *e.run : "") +
           (e.foreign ? ", made elsewhere" : "") + by(e.actor) + colon(e.reason);
  }
  std::string operator()(const dpsgd::ReleasesGivenBack& e) const {
    return std::to_string(e.count) + " of event " + std::to_string(e.reservation) + by(e.actor) +
           colon(e.reason);
  }
  std::string operator()(const dpsgd::Noted& e) const { return e.text + by(e.actor); }
  std::string operator()(const dpsgd::Claimed& e) const {
    std::string digits;
    for (const std::uint8_t byte : e.digest) {
      char text[3];
      std::snprintf(text, sizeof text, "%02x", byte);
      digits += text;
    }
    return e.domain + " " + digits + by(e.actor);
  }

 private:
  static std::string budget(const dpsgd::Budget& budget) {
    return "budget epsilon " + number_text(budget.epsilon) + " at delta " +
           number_text(budget.delta) + " by " + budget.accountant;
  }
  static std::string by(const std::string& actor) {
    return actor.empty() ? "" : " [" + actor + "]";
  }
  static std::string colon(const std::string& text) { return text.empty() ? "" : ": " + text; }
};

const std::string* data_set_of(const dpsgd::LedgerEntry& entry) {
  if (const auto* added = std::get_if<dpsgd::DataSetAdded>(&entry)) return &added->data_set.id;
  if (const auto* budget = std::get_if<dpsgd::BudgetChanged>(&entry)) return &budget->data_set;
  if (const auto* run = std::get_if<dpsgd::RunBegun>(&entry)) return &run->data_set;
  if (const auto* reserved = std::get_if<dpsgd::ReleasesReserved>(&entry)) {
    return &reserved->data_set;
  }
  return nullptr;
}

// --- commands ---------------------------------------------------------------------------------

/// After a change: where the data set stands, and the head to note.
void show_change(const Ledger& ledger, const Arguments& arguments, ordered_json result,
                 const std::string& text) {
  result["head"] = ledger.head().to_string();
  if (arguments.json) return print(result);
  std::printf("%shead: %s\n", text.c_str(), ledger.head().to_string().c_str());
}

void init(const Arguments& arguments) {
  if (!arguments.from.empty()) {
    if (!arguments.data_set.empty()) {
      throw std::invalid_argument(
          "--from and --dataset-id do not go together: an export brings "
          "its data sets");
    }
    const Ledger ledger = Ledger::restore(arguments.ledger, read_text(arguments.from));
    return show_change(ledger, arguments, {{"ledger", ledger.path()}, {"id", ledger.id()}},
                       "made " + ledger.path().string() + " from " + arguments.from + "\n");
  }
  dpsgd::DataSet set;
  if (!arguments.data_set.empty()) {
    set = {.id = arguments.data_set,
           .unit = arguments.unit,
           .neighbouring = neighbouring_of(arguments.neighbouring),
           .public_size = arguments.size,
           .budget = {.epsilon = required(arguments.epsilon, "--epsilon"),
                      .delta = required(arguments.delta, "--delta"),
                      .accountant = arguments.accountant.empty() ? dpsgd::default_accountant()
                                                                 : arguments.accountant},
           .description = arguments.description};
    // What is wrong with it is told before a file is made.
    event_body(dpsgd::DataSetAdded{set, arguments.actor});
    dpsgd::make_accountant(set.budget.accountant, set.neighbouring);
  } else if (arguments.epsilon || arguments.delta || arguments.size) {
    throw std::invalid_argument("--dataset-id is missing: a budget belongs to a data set");
  }
  const bool there = std::filesystem::exists(arguments.ledger) && !set.id.empty();
  Ledger ledger = there ? Ledger::open(arguments.ledger) : Ledger::create(arguments.ledger);
  std::string text = there ? "" : "made " + ledger.path().string() + "\n";
  ordered_json result = {{"ledger", ledger.path()}, {"id", ledger.id()}};
  if (!set.id.empty()) {
    ledger.add_data_set(set, arguments.actor);
    const dpsgd::DataSetStatus status = ledger.status(set.id);
    result["data_set"] = status_json(status);
    text += status_text(status);
  }
  show_change(ledger, arguments, std::move(result), text);
}

void show_data_set(const Ledger& ledger, const Arguments& arguments, ordered_json result,
                   const std::string& text) {
  const dpsgd::DataSetStatus status = ledger.status(arguments.data_set);
  result["data_set"] = status_json(status);
  show_change(ledger, arguments, std::move(result), text + status_text(status));
}

void change_budget(const Arguments& arguments) {
  Ledger ledger = Ledger::open(arguments.ledger);
  const dpsgd::Budget old = ledger.status(arguments.data_set).data_set.budget;
  ledger.change_budget(arguments.data_set,
                       {.epsilon = arguments.epsilon.value_or(old.epsilon),
                        .delta = arguments.delta.value_or(old.delta),
                        .accountant = arguments.accountant},
                       arguments.reason, arguments.actor);
  show_data_set(ledger, arguments, {}, "");
}

void status(const Arguments& arguments) {
  const Ledger ledger = open_for_reading(arguments);
  ordered_json sets = ordered_json::array();
  std::string text =
      "ledger " + ledger.path().string() + ", " + std::to_string(ledger.head().count) + " events\n";
  bool found = arguments.data_set.empty();
  for (const dpsgd::DataSet& set : ledger.data_sets()) {
    if (!arguments.data_set.empty() && set.id != arguments.data_set) continue;
    found = true;
    const dpsgd::DataSetStatus status = ledger.status(set.id);
    ordered_json object = status_json(status);
    object["statement"] = ordered_json::parse(statement_of(status).to_json());
    sets.push_back(std::move(object));
    text += status_text(status);
    if (arguments.statement) text += "\n" + statement_of(status).to_text() + "\n";
  }
  if (!found) ledger.status(arguments.data_set);  // says that there is none
  show_change(ledger, arguments,
              {{"ledger", ledger.path()},
               {"id", ledger.id()},
               {"events", ledger.head().count},
               {"data_sets", std::move(sets)}},
              text);
}

void history(const Arguments& arguments) {
  if (arguments.last && *arguments.last < 0) {
    reject("--last", std::to_string(*arguments.last), ">= 0");
  }
  const Ledger ledger = open_for_reading(arguments);
  if (!arguments.data_set.empty()) ledger.status(arguments.data_set);  // there is one
  std::deque<dpsgd::LedgerEvent> events;
  ledger.for_each_event([&](const dpsgd::LedgerEvent& event) {
    if (!arguments.data_set.empty()) {
      const dpsgd::LedgerEntry entry = dpsgd::parse_entry(event.kind, event.body);
      const std::string* data_set = data_set_of(entry);
      if (data_set != nullptr && *data_set != arguments.data_set) return;
    }
    events.push_back(event);
    if (arguments.last && static_cast<std::int64_t>(events.size()) > *arguments.last) {
      events.pop_front();
    }
  });
  ordered_json list = ordered_json::array();
  for (const dpsgd::LedgerEvent& event : events) {
    if (arguments.json) {
      list.push_back({{"sequence", event.sequence},
                      {"time", time_text(event.time)},
                      {"kind", event.kind},
                      {"body", ordered_json::parse(event.body)}});
    } else {
      std::printf("%6lld  %s  %-8s  %s\n", static_cast<long long>(event.sequence),
                  time_text(event.time).c_str(), event.kind.c_str(),
                  std::visit(EventText{}, dpsgd::parse_entry(event.kind, event.body)).c_str());
    }
  }
  if (arguments.json) print({{"events", std::move(list)}, {"head", ledger.head().to_string()}});
}

int verify(const Arguments& arguments) {
  std::optional<dpsgd::LedgerHead> expected;
  if (!arguments.head.empty()) expected = dpsgd::LedgerHead::from_string(arguments.head);
  dpsgd::Verification verification;
  try {
    verification = open_for_reading(arguments).verify(expected);
  } catch (const dpsgd::LedgerDamaged& error) {
    verification.findings.emplace_back(error.what());
  }
  if (arguments.json) {
    print({{"ok", verification.ok()},
           {"findings", verification.findings},
           {"head", verification.head.to_string()}});
  } else if (verification.ok()) {
    std::printf("%lld events, all in order\nhead: %s\n",
                static_cast<long long>(verification.head.count),
                verification.head.to_string().c_str());
  } else {
    for (const std::string& finding : verification.findings) {
      std::fprintf(stderr, "velum: %s\n", finding.c_str());
    }
  }
  return verification.ok() ? 0 : kVerificationFailed;
}

void export_events(const Arguments& arguments) {
  const Ledger ledger = open_for_reading(arguments);
  if (arguments.file.empty()) {
    ledger.export_json_lines(std::cout);
    std::cout.flush();
    if (!std::cout) throw std::runtime_error("cannot write the export");
    return;
  }
  std::ofstream file(arguments.file, std::ios::binary | std::ios::trunc);
  ledger.export_json_lines(file);
  file.close();
  if (!file) throw std::runtime_error("cannot write " + arguments.file);
  show_change(ledger, arguments, {{"out", arguments.file}}, "");
}

dpsgd::BatchSampling sampling_of(const Arguments& arguments) {
  using dpsgd::BatchSampling;
  for (const BatchSampling sampling : {BatchSampling::kPoisson, BatchSampling::kTruncatedPoisson,
                                       BatchSampling::kWithoutReplacement}) {
    if (arguments.sampling == to_string(sampling)) return sampling;
  }
  reject("--sampling", arguments.sampling,
         "poisson, truncated-poisson or without-replacement; batches that are fixed or shuffled "
         "are entered as one release without sampling for each epoch (docs/accounting.md)");
}

/// Gaussian noise on all of the data set, or on a sample.
dpsgd::Mechanism gaussian_of(const Arguments& arguments, const dpsgd::DataSet& set) {
  using dpsgd::BatchSampling;
  const BatchSampling sampling = sampling_of(arguments);
  dpsgd::BatchPlan plan{
      .sampling = sampling,
      .sampling_rate = arguments.sampling_rate.value_or(1.0),
      .noise_multiplier = required(arguments.noise_multiplier, "--noise-multiplier")};
  if (sampling != BatchSampling::kPoisson) required(arguments.sampling_rate, "--sampling-rate");
  if (sampling == BatchSampling::kTruncatedPoisson) {
    if (!arguments.largest_batch) throw std::invalid_argument("--largest-batch is missing");
    if (!set.public_size) {
      reject("--sampling", arguments.sampling,
             "a data set whose size is public by the ledger; that of " + set.id + " is not");
    }
    // Of the larger of two neighbours.
    plan.dataset_size = *set.public_size + 1;
    plan.largest_batch_size = *arguments.largest_batch;
  } else if (arguments.largest_batch) {
    throw std::invalid_argument("--largest-batch goes with --sampling truncated-poisson only");
  }
  return mechanism_of_batches(plan);
}

dpsgd::Mechanism mechanism_of(const Arguments& arguments, const dpsgd::DataSet& set) {
  const bool gaussian = arguments.noise_multiplier || arguments.sampling_rate ||
                        arguments.largest_batch || arguments.sampling != Arguments{}.sampling;
  const bool approximate = arguments.epsilon || arguments.delta;
  if (gaussian + approximate + !arguments.mechanism.empty() != 1) {
    throw std::invalid_argument(
        "give one mechanism: --noise-multiplier (with --sampling-rate, if sampled), --epsilon and "
        "--delta, or --mechanism");
  }
  if (gaussian) return gaussian_of(arguments, set);
  if (approximate) {
    return dpsgd::ApproximateDpMechanism{required(arguments.epsilon, "--epsilon"),
                                         required(arguments.delta, "--delta")};
  }
  return dpsgd::parse_foreign_releases("{\"mechanism\":" + arguments.mechanism + "}",
                                       set.neighbouring)
      .phases()
      .front()
      .mechanism;
}

void reserve(const Arguments& arguments) {
  Ledger ledger = Ledger::open(arguments.ledger);
  if (arguments.steps < 1) reject("--steps", std::to_string(arguments.steps), ">= 1");
  const dpsgd::DataSet set = ledger.status(arguments.data_set).data_set;
  const dpsgd::ReservationRequest request{.data_set = arguments.data_set,
                                          .run = std::nullopt,
                                          .mechanism = mechanism_of(arguments, set),
                                          .count = arguments.steps,
                                          .label = arguments.label,
                                          .reason = arguments.reason,
                                          .actor = arguments.actor};
  const dpsgd::Reservation reservation =
      arguments.up_to ? ledger.reserve_up_to(request) : ledger.reserve(request);
  show_data_set(ledger, arguments, {{"reservation", reservation.id}, {"count", reservation.count}},
                "reserved " + std::to_string(reservation.count) + " releases (event " +
                    std::to_string(reservation.id) + "); release now\n");
}

void import_releases(const Arguments& arguments) {
  Ledger ledger = Ledger::open(arguments.ledger);
  const dpsgd::DataSet set = ledger.status(arguments.data_set).data_set;
  dpsgd::Composition releases(set.neighbouring);
  if (!arguments.file.empty()) {
    if (arguments.epsilon || arguments.delta || arguments.noise_multiplier ||
        arguments.sampling_rate || arguments.largest_batch || !arguments.mechanism.empty()) {
      throw std::invalid_argument("--file and a mechanism do not go together");
    }
    releases = dpsgd::parse_foreign_releases(read_text(arguments.file), set.neighbouring);
  } else {
    if (arguments.steps < 1) reject("--steps", std::to_string(arguments.steps), ">= 1");
    releases.append(mechanism_of(arguments, set), arguments.steps, arguments.label);
  }
  ledger.record_foreign(set.id, releases, arguments.reason, arguments.actor);
  show_data_set(
      ledger, arguments, {{"count", releases.total_count()}},
      "entered " + std::to_string(releases.total_count()) + " releases that were made elsewhere\n");
}

void backup(const Arguments& arguments) {
  const Ledger ledger = open_for_reading(arguments);
  ledger.backup(arguments.file);
  show_change(ledger, arguments, {{"backup", arguments.file}},
              "copied and verified: " + arguments.file + "\n");
}

void note(const Arguments& arguments) {
  Ledger ledger = Ledger::open(arguments.ledger);
  ledger.note(arguments.text, arguments.actor);
  show_change(ledger, arguments, ordered_json::object(), "");
}

/// The error about the argument that gave the value.
std::invalid_argument named_by_arguments(const std::invalid_argument& error,
                                         const Arguments& arguments) {
  std::invalid_argument named = about_argument(error, {{"data set", "--dataset-id"},
                                                       {"unit", "--unit"},
                                                       {"public_size", "--size"},
                                                       {"name", "--accountant"},
                                                       {"accountant", "--accountant"},
                                                       {"description", "--description"},
                                                       {"actor", "--actor"},
                                                       {"label", "--label"},
                                                       {"reason", "--reason"},
                                                       {"text", "--text"},
                                                       {"head", "--head"},
                                                       {"hash", "--head"}});
  // The others may stand in what --mechanism or a file says.
  if (!arguments.mechanism.empty() || !arguments.file.empty()) return named;
  return about_argument(named, {{"epsilon", "--epsilon"},
                                {"delta", "--delta"},
                                {"noise_multiplier", "--noise-multiplier"},
                                {"sampling_rate", "--sampling-rate"},
                                {"largest_batch_size", "--largest-batch"}});
}

}  // namespace

void add_ledger_command(CLI::App& program, int* exit_code) {
  auto shared = std::make_shared<Arguments>();
  Arguments& arguments = *shared;
  CLI::App* group = program.add_subcommand(
      "ledger", "Keep a durable record of every private release, and enforce budgets.");
  group->require_subcommand(1);
  group->footer(
      "Epsilon is a natural logarithm, delta a probability; neighbouring data sets are named by\n"
      "--neighbouring. Note the head (number of events and hash) elsewhere now and then:\n"
      "'velum ledger verify --head' finds a removed end against it only.\n"
      "Exit status: 0 done; 1 failed; 2 bad usage; 3 refused by the budget; 4 verification "
      "failed.");

  const auto add = [&](const char* name, const char* text,
                       const std::function<int(const Arguments&)>& work) {
    CLI::App* command = group->add_subcommand(name, text);
    command->add_option("--ledger", arguments.ledger, "the ledger's file")
        ->type_name("FILE")
        ->required();
    command->add_flag("--json", arguments.json, "print one JSON object");
    command->footer("Exit status: 0 done; 1 failed; 2 bad usage.");
    command->callback([shared, exit_code, work] {
      try {
        *exit_code = work(*shared);
      } catch (const std::invalid_argument& error) {
        throw named_by_arguments(error, *shared);
      }
    });
    return command;
  };
  const auto plain = [](void (*work)(const Arguments&)) {
    return [work](const Arguments& given) {
      work(given);
      return 0;
    };
  };
  const auto actor = [&](CLI::App* command) {
    command->add_option("--actor", arguments.actor, "who does this")
        ->type_name("NAME")
        ->capture_default_str();
  };
  const auto data_set = [&](CLI::App* command, const char* text) {
    return command->add_option("--dataset-id", arguments.data_set, text)->type_name("ID");
  };
  const auto reason = [&](CLI::App* command, const char* text) {
    return command->add_option("--reason", arguments.reason, text)->type_name("TEXT");
  };
  const auto budget = [&](CLI::App* command) {
    command->add_option("--epsilon", arguments.epsilon,
                        "budget of all releases together; > 0, natural log");
    command->add_option("--delta", arguments.delta, "of the budget; a probability in (0, 1)");
    command->add_option("--accountant", arguments.accountant, "that enforces it: rdp or pld")
        ->type_name("NAME");
  };
  const auto mechanism = [&](CLI::App* command) {
    command->add_option("--noise-multiplier", arguments.noise_multiplier,
                        "Gaussian: standard deviation over sensitivity; >= 0");
    command->add_option("--sampling-rate", arguments.sampling_rate,
                        "of --sampling; in [0, 1]; left out: no sampling");
    command
        ->add_option(
            "--sampling", arguments.sampling,
            "poisson, truncated-poisson (with --largest-batch) or without-replacement "
            "(replace-one); fixed or shuffled batches: no --sampling-rate, an epoch a step")
        ->type_name("NAME")
        ->capture_default_str();
    command->add_option("--largest-batch", arguments.largest_batch,
                        "of truncated-poisson: examples, at least 1");
    command->add_option("--epsilon", arguments.epsilon,
                        "known by (epsilon, delta) only; >= 0, natural log");
    command->add_option("--delta", arguments.delta, "with --epsilon; in [0, 1]");
    command->add_option("--mechanism", arguments.mechanism, "any other, as JSON")
        ->type_name("JSON");
    command->add_option("--steps", arguments.steps, "releases of it; at least 1")
        ->capture_default_str();
    command->add_option("--label", arguments.label, "what is released")->type_name("TEXT");
  };

  CLI::App* command =
      add("init", "Make a ledger, or enter a further data set into one.", plain(init));
  data_set(command, "name of the data set; 1 to 64 of letters, digits, '.', '_', '-'");
  budget(command);
  command->add_option("--unit", arguments.unit, "whose presence is protected: record, person, ...")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--neighbouring", arguments.neighbouring, "add-or-remove-one or replace-one")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--size", arguments.size,
                      "number of records, which is public then; left out: not public");
  command->add_option("--description", arguments.description, "for people")->type_name("TEXT");
  command->add_option("--from", arguments.from, "make it from an export, all or nothing")
      ->type_name("FILE");
  actor(command);

  command = add("budget", "Change the budget of a data set.", plain(change_budget));
  data_set(command, "whose budget")->required();
  budget(command);
  reason(command, "why; stays in the ledger")->required();
  actor(command);

  command = add("status", "Show budgets and what was spent.", plain(status));
  data_set(command, "only this one");
  command->add_flag("--statement", arguments.statement,
                    "also what was spent as a statement for a paper; --json always has it");

  command = add("history", "List the events.", plain(history));
  data_set(command, "only what concerns this one, or all");
  command->add_option("--last", arguments.last, "only so many of the last");

  command = add("verify", "Check every event and every sum.", verify);
  command->footer("Exit status: 0 all in order; 1 failed; 2 bad usage; 4 verification failed.");
  command->add_option("--head", arguments.head, "noted earlier: must still be in the ledger")
      ->type_name("N:HASH");

  command = add("export", "Write all events as JSON lines.", plain(export_events));
  command->footer(
      "Without --out the lines are all that is printed, with --json too. Exit status: 0 done;\n"
      "1 failed; 2 bad usage.");
  command->add_option("--out", arguments.file, "instead of standard output")->type_name("FILE");

  command = add("reserve", "Enter releases before they happen, if the budget allows them.",
                plain(reserve));
  command->footer(
      "Release only after exit status 0. Exit status: 0 entered; 1 failed; 2 bad usage; 3 the\n"
      "budget refuses: nothing was entered.");
  data_set(command, "from which is released")->required();
  mechanism(command);
  command->add_flag("--up-to", arguments.up_to, "as many of --steps as the budget allows");
  reason(command, "stays in the ledger");
  actor(command);

  command = add("import", "Enter releases that were made elsewhere; no budget refuses them.",
                plain(import_releases));
  data_set(command, "from which was released")->required();
  command
      ->add_option("--file", arguments.file,
                   "JSON lines: {\"mechanism\": {...}, \"count\": N, \"label\": TEXT}; all or "
                   "nothing")
      ->type_name("FILE");
  mechanism(command);
  reason(command, "where it comes from; stays in the ledger")->required();
  actor(command);

  command = add("backup", "Copy the ledger, also while others write, and verify the copy.",
                plain(backup));
  command->add_option("--out", arguments.file, "the copy; must not exist")
      ->type_name("FILE")
      ->required();

  command = add("note", "Enter a remark.", plain(note));
  command->add_option("--text", arguments.text, "the remark")->type_name("TEXT")->required();
  actor(command);
}

}  // namespace velum::cli
