#include "ledger/books.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "accounting/range_check.h"
#include "ledger/event_text.h"
#include "velum/dpsgd/ledger/ledger.h"

namespace velum::dpsgd {
namespace detail {

using nlohmann::json;

namespace {

[[noreturn]] void contradiction(const std::string& what) { throw std::invalid_argument(what); }

/// Calls `visit` with every line that is not empty; an exception gets the number of its line.
template <typename Visit>
void for_each_line(std::string_view text, const Visit& visit) {
  std::int64_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      visit(line);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("line " + std::to_string(number) + ": " + error.what());
    } catch (const std::overflow_error& error) {
      throw std::invalid_argument("line " + std::to_string(number) + ": " + error.what());
    }
  }
}

}  // namespace

void Books::apply(const LedgerEvent& event) {
  if (event.sequence != head_.count + 1) {
    contradiction("event " + std::to_string(event.sequence) + " stands where event " +
                  std::to_string(head_.count + 1) + " should");
  }
  if (event_hash(head_.hash, event) != event.hash) {
    contradiction("the hash of event " + std::to_string(event.sequence) +
                  " does not follow from the event and its predecessor");
  }
  const LedgerEntry entry = parse_entry(event.kind, event.body);
  if ((event.sequence == 1) != std::holds_alternative<LedgerCreated>(entry)) {
    contradiction("event " + std::to_string(event.sequence) + " is of kind " + event.kind +
                  ": the first event, and no other, is of kind ledger");
  }
  std::visit([&](const auto& alternative) { enter(event, alternative); }, entry);
  head_ = {event.sequence, event.hash};
}

Books::DataSetBooks& Books::data_set(const std::string& id) {
  const auto found = data_sets_.find(id);
  if (found == data_sets_.end()) contradiction("there is no data set " + id);
  return found->second;
}

void Books::enter(const LedgerEvent&, const LedgerCreated&) {}

void Books::enter(const LedgerEvent& event, const DataSetAdded& entry) {
  const auto [unused, added] = data_sets_.try_emplace(
      entry.data_set.id, DataSetBooks{entry.data_set, event.sequence, event.sequence, {}});
  if (!added) contradiction("there is a data set " + entry.data_set.id + " already");
}

void Books::enter(const LedgerEvent& event, const BudgetChanged& entry) {
  DataSetBooks& books = data_set(entry.data_set);
  books.data_set.budget = entry.budget;
  books.revised = event.sequence;
}

void Books::enter(const LedgerEvent& event, const RunBegun& entry) {
  data_set(entry.data_set);
  const auto [unused, added] =
      runs_.try_emplace(entry.run, RunBooks{entry.data_set, event.sequence});
  if (!added) contradiction("there is a run " + entry.run + " already");
}

void Books::enter(const LedgerEvent& event, const ReleasesReserved& entry) {
  DataSetBooks& books = data_set(entry.data_set);
  if (entry.release.neighbouring() != books.data_set.neighbouring) {
    contradiction("the release is for " + to_string(entry.release.neighbouring()) +
                  ", the data set " + entry.data_set + " for " +
                  to_string(books.data_set.neighbouring));
  }
  if (entry.run) {
    const auto run = runs_.find(*entry.run);
    if (run == runs_.end()) contradiction("there is no run " + *entry.run);
    if (run->second.data_set != entry.data_set) {
      contradiction("the run " + *entry.run + " is on another data set");
    }
  }
  const Phase& phase = entry.release.phases().front();
  std::string key = mechanism_key(event.body);
  const auto spent = books.spent.find(key);
  const std::int64_t total =
      add_counts(spent == books.spent.end() ? 0 : spent->second, phase.count);
  books.spent[key] = total;
  reservations_[event.sequence] = {
      entry.data_set, entry.run, std::move(key), phase.label, entry.foreign, phase.count, 0};
}

void Books::enter(const LedgerEvent& event, const ReleasesGivenBack& entry) {
  const auto found = reservations_.find(entry.reservation);
  if (found == reservations_.end() || found->second.foreign) {
    contradiction("there is no reservation " + std::to_string(entry.reservation));
  }
  ReservationBooks& reservation = found->second;
  if (entry.count > reservation.count - reservation.returned) {
    reject("ledger", "count", entry.count,
           "at most " + std::to_string(reservation.count - reservation.returned) +
               ", which is left of reservation " + std::to_string(entry.reservation));
  }
  DataSetBooks& books = data_set(reservation.data_set);
  reservation.returned += entry.count;
  books.spent.at(reservation.mechanism) -= entry.count;
  books.revised = event.sequence;
}

void Books::enter(const LedgerEvent&, const Noted&) {}

void Books::enter(const LedgerEvent& event, const Claimed& entry) {
  const auto [unused, added] =
      claims_.try_emplace(std::pair(entry.domain, entry.digest), event.sequence);
  if (!added) {
    contradiction("there is a claim of " + hexadecimal(entry.digest) + " in " + entry.domain +
                  " already");
  }
}

std::string mechanism_key(std::string_view body) {
  json release = parse_json(body).at("release");
  for (json& phase : release.at("phases")) {
    phase["count"] = 1;
    phase["label"] = "";
  }
  return release.dump();
}

std::int64_t add_counts(std::int64_t spent, std::int64_t count) {
  const std::int64_t room = std::numeric_limits<std::int64_t>::max() - spent;
  if (count > room) reject("ledger", "count", count, "at most " + std::to_string(room));
  return spent + count;
}

std::vector<LedgerEvent> parse_export(std::string_view json_lines) {
  std::vector<LedgerEvent> events;
  Books books;
  for_each_line(json_lines, [&](std::string_view line) {
    const json object = parse_json(line);
    LedgerEvent event;
    if (!object.is_object() || object.size() != 5 || !object.contains("sequence") ||
        !object.contains("time") || !object.contains("kind") || !object.contains("body") ||
        !object.contains("hash")) {
      throw std::invalid_argument(
          "expected an object with the keys sequence, time, kind, body, hash");
    }
    if (!object.at("sequence").is_number_integer() || !object.at("time").is_number_integer() ||
        !object.at("kind").is_string() || !object.at("hash").is_string()) {
      throw std::invalid_argument("sequence and time are integers, kind and hash strings");
    }
    event.sequence = object.at("sequence").get<std::int64_t>();
    event.time = object.at("time").get<std::int64_t>();
    event.kind = object.at("kind").get<std::string>();
    event.body = object.at("body").dump();
    event.hash = hash_from_hexadecimal(object.at("hash").get<std::string>());
    books.apply(event);
    events.push_back(std::move(event));
  });
  if (events.empty()) throw std::invalid_argument("there is no event");
  return events;
}

std::string export_line(const LedgerEvent& event) {
  return json{{"sequence", event.sequence},
              {"time", event.time},
              {"kind", event.kind},
              {"body", parse_json(event.body)},
              {"hash", hexadecimal(event.hash)}}
      .dump();
}

}  // namespace detail

Composition parse_foreign_releases(std::string_view json_lines, Neighbouring neighbouring) {
  using nlohmann::json;
  Composition releases(neighbouring);
  detail::for_each_line(json_lines, [&](std::string_view line) {
    json phase = detail::parse_json(line);
    if (!phase.is_object()) throw std::invalid_argument("expected an object");
    if (!phase.contains("count")) phase["count"] = 1;
    if (!phase.contains("label")) phase["label"] = "";
    json composition = json::parse(Composition(neighbouring).to_json());
    composition["phases"] = json::array({std::move(phase)});
    const Composition one = Composition::from_json(composition.dump());
    const Phase& parsed = one.phases().front();
    releases.append(parsed.mechanism, parsed.count, parsed.label);
  });
  if (releases.empty()) throw std::invalid_argument("there is no release");
  return releases;
}

}  // namespace velum::dpsgd
