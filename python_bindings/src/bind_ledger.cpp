#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "he_objects.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/ledger/ledger.h"
#include "velum/dpsgd/ledger/ledger_guard.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names

ReservationRequest request_of(const std::string& data_set, const Mechanism& mechanism,
                              std::int64_t count, const std::optional<std::string>& run,
                              const std::string& label, const std::string& reason) {
  ReservationRequest request;
  request.data_set = data_set;
  request.run = run;
  request.mechanism = mechanism;
  request.count = count;
  request.label = label;
  request.reason = reason;
  return request;
}

py::tuple to_tuple(const Reservation& reservation) {
  return py::make_tuple(reservation.id, reservation.count);
}

// The GIL is held: a ledger is not for two threads at once, and its work is milliseconds.
void bind_ledger_class(py::module_& module) {
  py::class_<DataSetStatus>(module, "DataSetStatus", "Where a data set stands.")
      .def_property_readonly("id", [](const DataSetStatus& status) { return status.data_set.id; })
      .def_property_readonly("unit",
                             [](const DataSetStatus& status) { return status.data_set.unit; })
      .def_property_readonly(
          "public_size", [](const DataSetStatus& status) { return status.data_set.public_size; })
      .def_property_readonly(
          "description", [](const DataSetStatus& status) { return status.data_set.description; })
      .def_property_readonly(
          "budget_epsilon",
          [](const DataSetStatus& status) { return status.data_set.budget.epsilon; })
      .def_property_readonly(
          "budget_delta", [](const DataSetStatus& status) { return status.data_set.budget.delta; })
      .def_readonly("spent", &DataSetStatus::spent, "All releases, in no special order.")
      .def_readonly("guarantee", &DataSetStatus::guarantee, "Of `spent`, at the budget's delta.")
      .def_readonly("over_budget", &DataSetStatus::over_budget);

  py::class_<Ledger, std::shared_ptr<Ledger>>(
      module, "Ledger",
      "A crash-safe record, in an SQLite file, of every private release on some data sets: "
      "entered, "
      "durably, before it happens, and refused where it would exceed the budget.")
      .def_static(
          "create",
          [](const std::filesystem::path& path) {
            return std::make_shared<Ledger>(Ledger::create(path));
          },
          py::arg("path"), "Makes a new, empty ledger. LedgerError if anything is there.")
      .def_static(
          "open",
          [](const std::filesystem::path& path, bool read_only, double patience) {
            if (!(patience >= 0 && patience <= 1e6)) {
              throw std::invalid_argument("Ledger.open: patience = " + std::to_string(patience) +
                                          ", expected 0 to 1e6 seconds");
            }
            return std::make_shared<Ledger>(Ledger::open(
                path, read_only ? Ledger::Access::kReadOnly : Ledger::Access::kReadWrite,
                std::chrono::milliseconds(static_cast<std::int64_t>(patience * 1000))));
          },
          py::arg("path"), py::arg("read_only") = false, py::arg("patience") = 60.0,
          "Opens a ledger; `patience`: seconds to wait for other processes before LedgerError.")
      .def_static(
          "restore",
          [](const std::filesystem::path& path, const std::string& json_lines) {
            return std::make_shared<Ledger>(Ledger::restore(path, json_lines));
          },
          py::arg("path"), py::arg("json_lines"),
          "Makes a new ledger of an export, after a check of all of it.")
      .def_property_readonly("path", &Ledger::path)
      .def_property_readonly("id", &Ledger::id)
      .def_property_readonly(
          "head", [](const Ledger& ledger) { return ledger.head().to_string(); },
          "Number of events and the hash of the last: note it elsewhere, and give it to `verify`.")
      .def(
          "add_data_set",
          [](Ledger& ledger, const std::string& id, double epsilon, double delta,
             const std::string& unit, Neighbouring neighbouring,
             std::optional<std::int64_t> public_size, const std::string& accountant,
             const std::string& description) {
            ledger.add_data_set({.id = id,
                                 .unit = unit,
                                 .neighbouring = neighbouring,
                                 .public_size = public_size,
                                 .budget = {epsilon, delta, accountant},
                                 .description = description});
          },
          py::arg("id"), py::kw_only(), py::arg("epsilon"), py::arg("delta"),
          py::arg("unit") = "record",
          py::arg_v("neighbouring", Neighbouring::kAddOrRemoveOne,
                    "velum._core.accounting.Neighbouring.ADD_OR_REMOVE_ONE"),
          py::arg("public_size") = py::none(), py::arg("accountant") = "",
          py::arg("description") = "",
          "Adds a data set with its budget; accountant \"\": the default, \"pld\".")
      .def(
          "change_budget",
          [](Ledger& ledger, const std::string& data_set, double epsilon, double delta,
             const std::string& reason, const std::string& accountant) {
            ledger.change_budget(data_set, {epsilon, delta, accountant}, reason);
          },
          py::arg("data_set"), py::kw_only(), py::arg("epsilon"), py::arg("delta"),
          py::arg("reason"), py::arg("accountant") = "")
      .def(
          "begin_run",
          [](Ledger& ledger, const std::string& run, const std::string& data_set,
             const std::string& description) { ledger.begin_run(run, data_set, description); },
          py::arg("run"), py::arg("data_set"), py::arg("description") = "")
      .def(
          "note", [](Ledger& ledger, const std::string& text) { ledger.note(text); },
          py::arg("text"))
      .def(
          "claim_once",
          [](Ledger& ledger, const std::string& domain, const py::bytes& digest) {
            return ledger.claim_once(domain, digest_of("Ledger.claim_once", "digest", digest));
          },
          py::arg("domain"), py::arg("digest"),
          "Enters, durably, that something is made that must never be made a second time, such as "
          "a\n"
          "decryption share: True, and make it only then; False if the pair was entered before.\n"
          "The method is a register for velum.he.threshold.Party and "
          "velum.he.aggregation.Owner.\n\n"
          "Args:\n"
          "    domain: what is made; as the id of a data set.\n"
          "    digest: 32 bytes, of what it is about.\n\n"
          "Raises:\n"
          "    ValueError: if the domain is none or the digest has another size.\n"
          "    LedgerError: if it could not be entered; nothing must be made then.")
      .def(
          "reserve",
          [](Ledger& ledger, const std::string& data_set, const Mechanism& mechanism,
             std::int64_t count, const std::optional<std::string>& run, const std::string& label,
             const std::string& reason) {
            return to_tuple(
                ledger.reserve(request_of(data_set, mechanism, count, run, label, reason)));
          },
          py::arg("data_set"), py::arg("mechanism"), py::arg("count") = 1,
          py::arg("run") = py::none(), py::arg("label") = "", py::arg("reason") = "",
          "Enters `count` releases, all or none; BudgetExceeded where they do not fit. Release "
          "only "
          "after it returned. Gives (reservation, count).")
      .def(
          "reserve_up_to",
          [](Ledger& ledger, const std::string& data_set, const Mechanism& mechanism,
             std::int64_t count, const std::optional<std::string>& run, const std::string& label,
             const std::string& reason) {
            return to_tuple(
                ledger.reserve_up_to(request_of(data_set, mechanism, count, run, label, reason)));
          },
          py::arg("data_set"), py::arg("mechanism"), py::arg("count"), py::arg("run") = py::none(),
          py::arg("label") = "", py::arg("reason") = "",
          "As many of `count` as the budget allows, one at least. Gives (reservation, count).")
      .def(
          "affordable",
          [](Ledger& ledger, const std::string& data_set, const Mechanism& mechanism,
             std::int64_t count) {
            return ledger.affordable(request_of(data_set, mechanism, count, std::nullopt, "", ""));
          },
          py::arg("data_set"), py::arg("mechanism"), py::arg("count"),
          "How many of `count` the budget allows at this moment.")
      .def(
          "give_back",
          [](Ledger& ledger, std::int64_t reservation, std::int64_t count,
             const std::string& reason) { ledger.give_back(reservation, count, reason); },
          py::arg("reservation"), py::arg("count"), py::arg("reason"),
          "Takes back releases that provably never happened.")
      .def(
          "record_foreign",
          [](Ledger& ledger, const std::string& data_set, const Composition& releases,
             const std::string& reason) { ledger.record_foreign(data_set, releases, reason); },
          py::arg("data_set"), py::arg("releases"), py::arg("reason"),
          "Enters releases that happened without this ledger; no budget refuses them.")
      .def(
          "status",
          [](const Ledger& ledger, const std::string& data_set) { return ledger.status(data_set); },
          py::arg("data_set"), "Where a data set stands.")
      .def(
          "reserved_by_run",
          [](const Ledger& ledger, const std::string& run) { return ledger.reserved_by_run(run); },
          py::arg("run"), "What a run has reserved and not given back: a Composition.")
      .def_property_readonly(
          "data_sets",
          [](const Ledger& ledger) {
            std::vector<std::string> ids;
            for (const DataSet& data_set : ledger.data_sets()) ids.push_back(data_set.id);
            return ids;
          },
          "Their ids.")
      .def(
          "export_json_lines",
          [](const Ledger& ledger) {
            std::ostringstream text;
            ledger.export_json_lines(text);
            return text.str();
          },
          "All events, one JSON object a line.")
      .def("backup", &Ledger::backup, py::arg("target"), "Copies the ledger into a new file.")
      .def(
          "verify",
          [](const Ledger& ledger, const std::optional<std::string>& expected_head) {
            std::optional<LedgerHead> head;
            if (expected_head.has_value()) head = LedgerHead::from_string(*expected_head);
            return ledger.verify(head).findings;
          },
          py::arg("expected_head") = py::none(),
          "Checks everything; what is wrong, at most 20 findings, none if all is well.");

  py::class_<ReleaseGuard, std::shared_ptr<ReleaseGuard>>(
      module, "ReleaseGuard", "Asked before every private release; keeps books or refuses.")
      .def(
          "before_release",
          [](ReleaseGuard& guard, const Mechanism& mechanism, const std::string& label) {
            guard.before_release(mechanism, label);
          },
          py::arg("mechanism"), py::arg("label"),
          "Returns when one release may happen and stands in the books. BudgetExceeded where a "
          "budget\nrefuses it: then nothing may be released. For releases of your own; engines ask "
          "by "
          "themselves.")
      .def_property_readonly("neighbouring", &ReleaseGuard::neighbouring,
                             "For which relation the books are kept; None: for any.")
      .def_property_readonly(
          "unit", &ReleaseGuard::unit,
          "Whose presence the books protect, \"record\" or \"user\" for example; "
          "None: of any unit.");
  py::class_<LedgerGuard, ReleaseGuard, std::shared_ptr<LedgerGuard>>(
      module, "LedgerGuard",
      "Enters the releases of one run into a ledger, `block` at a time, before each happens.\n\n"
      "For `release_guard` of `velum.PrivacyEngine.make_private` and other private releases, "
      "which\n"
      "refuse one whose data set is kept for another relation, or about another unit.\n\n"
      "Args:\n"
      "    ledger: with the data set.\n"
      "    data_set: its id.\n"
      "    run: a name for this run; it is entered, if it is not in the ledger.\n"
      "    block: releases of a mechanism to reserve at once, >= 1; the last one what is left.\n"
      "    description: of the run.\n\n"
      "Raises:\n"
      "    ValueError: if a value is out of range, the data set is unknown, or the run is one on "
      "another.\n"
      "    LedgerError: if it cannot be entered.")
      .def(py::init([](const std::shared_ptr<Ledger>& ledger, const std::string& data_set,
                       const std::string& run, std::int64_t block, const std::string& description) {
             return std::make_shared<LedgerGuard>(ledger, data_set, run, block, description);
           }),
           py::arg("ledger"), py::arg("data_set"), py::arg("run"), py::arg("block") = 1,
           py::arg("description") = "")
      .def(
          "reserve_ahead",
          [](LedgerGuard& guard, const Mechanism& mechanism, const std::string& label,
             std::int64_t count) { guard.reserve_ahead(mechanism, label, count); },
          py::arg("mechanism"), py::arg("label"), py::arg("count"),
          "Makes sure that a release is reserved, at most `count` with it, without using it, so "
          "that a\n"
          "loop finds the end of the budget before it computes a step. The label of an engine's "
          "steps\n"
          "is \"training\", or \"training, by user\". BudgetExceeded where there is no room for "
          "one.")
      .def("give_back_unused", &LedgerGuard::give_back_unused,
           "Gives back what was entered and never asked for; at the end of a training.");
}

}  // namespace

void bind_ledger(py::module_& module) {
  py::module_ ledger = module.def_submodule("ledger", "Documented in velum.ledger.");
  const auto error = py::register_exception<LedgerError>(ledger, "LedgerError", PyExc_RuntimeError);
  error.doc() = "The file cannot be read or written, or is no ledger; the text names it.";
  py::register_exception<LedgerDamaged>(ledger, "LedgerDamaged", error).doc() =
      "The file is not what a ledger writes.";
  bind_ledger_class(ledger);
  ledger.def(
      "parse_foreign_releases",
      [](const std::string& json_lines, Neighbouring neighbouring) {
        return parse_foreign_releases(json_lines, neighbouring);
      },
      py::arg("json_lines"), py::arg("neighbouring"));
  ledger.def(
      "require_books_for",
      [](const std::optional<std::shared_ptr<ReleaseGuard>>& guard, Neighbouring neighbouring,
         const std::string& unit, const std::string& function) {
        require_books_for(guard.value_or(nullptr).get(), neighbouring, unit, function);
      },
      py::arg("guard"), py::arg("neighbouring"), py::arg("unit"), py::arg("function"),
      "ValueError for a guard whose books are for another relation or about another unit.");
}

}  // namespace velum::python
